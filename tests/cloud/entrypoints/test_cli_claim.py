"""`arcade-cloud claim`: what players say did not arrive is listed, and declined with a reason."""

import json
import time
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.audit import AuditEntry
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.order import HistoryEntry
from arcade_cloud.domain.people import Act
from arcade_cloud.domain.player_claims import PLAYER, Claimed
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.ports.store import Move
from arcade_sandbox.processes import free_port
from support.lives import Life, new_order, paid

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
}


@pytest.fixture
def claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database of a cloud that reaches neither Stripe nor broker, with a claim about the order ord_1."""
    monkeypatch.chdir(tmp_path)
    path, nobody = tmp_path / "cloud.sqlite", free_port()
    here = {"STRIPE_API_BASE": f"http://127.0.0.1:{nobody}", "EMQX_PORT": str(nobody)}
    for name, value in {**SETTINGS, **here, "DATABASE_URL": f"sqlite:///{path}"}.items():
        monkeypatch.setenv(name, value)
    life = Life(new_order(amount_minor=300)).resolved(3, paid(amount_minor=300))
    order = msgspec.structs.replace(life.order, version=1)
    first = HistoryEntry(
        order_id="ord_1", version=1, at_ms=order.created_at_ms, event="Ordered", state=order.state
    )
    with closing(SqliteStore(path)) as made:
        made.put_machine(Machine(machine_id="cab-01", version=1), 0)
        made.move(Move(order=order, expected_version=0, history=first))
        made.people.append_audit(
            AuditEntry(
                entry_id="0199",
                at_ms=int(time.time() * 1000),
                who=PLAYER,
                act=Act.PLAYER_CLAIM,
                on="ord_1",
                wish="2 of 3 credits did not arrive: RM 2.00",
                claimed=Claimed(credits=2, machine_id="cab-01", back_minor=200, keep_minor=100, phone="f" * 16),
            )
        )


@pytest.mark.usefixtures("claimed")
def test_a_claim_is_listed_until_it_is_declined(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claim", "list", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["order"], line["machine"], line["credits"], line["amount"]) == ("ord_1", "cab-01", 2, "2.00")
    assert (line["state"], line["answer"], line["known"]) == ("waits", None, "no coin meter has counted them")
    assert main(["claim", "list"]) == 0
    assert "2 of 3 credits did not arrive" in " ".join(capsys.readouterr().out.split())
    assert main(["audit"]) == 0
    assert "waits" in capsys.readouterr().out

    assert main(["claim", "decline", "ord_1", "--reason", "The camera shows three games"]) == 0
    assert main(["claim", "decline", "ord_1", "--reason", "again"]) == 1
    assert "answered before" in capsys.readouterr().err
    assert main(["claim", "list", "--json"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["claim", "list", "--all", "--json"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["state"], line["answer"]) == ("declined", "The camera shows three games")


@pytest.mark.usefixtures("claimed")
def test_an_order_without_a_claim_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["claim", "decline", "ord_2", "--reason", "no"]) == 1
    assert "there is no order ord_2" in capsys.readouterr().err
