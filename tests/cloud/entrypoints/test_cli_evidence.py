"""`arcade-cloud order evidence`, and what `order show` and `machine show` say of game overs and meters."""

import json
import time
from pathlib import Path

import msgspec
import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.game_overs import GameOver
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.order import HistoryEntry
from arcade_cloud.domain.receipts import Receipt, ReceiptDue, Series
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.ports.store import Move
from arcade_shared.times import format_ms
from support.order_records import funded, new_order


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqliteStore:
    values = {
        "STRIPE_API_KEY": "sk_test_nobody",
        "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
        "STRIPE_PRICE_ID": "price_nobody",
        "EMQX_BROKER_URL": "127.0.0.1",
        "MQTT_TLS": "0",
        "SIGNING_SECRET": "s" * 40,
        "PUBLIC_BASE_URL": "https://play.example",
        "SITE_NAME": "Silver Arcade",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.sqlite'}",
    }
    monkeypatch.chdir(tmp_path)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert main(["machine", "add", "cab-01"]) == 0
    return SqliteStore(tmp_path / "cloud.sqlite")


def test_the_evidence_of_an_order_is_written_to_a_file(
    store: SqliteStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order = new_order("o-1")
    entry = HistoryEntry(order_id="o-1", version=1, at_ms=1, event="Ordered", state="open", text="")
    store.move(Move(order=order, expected_version=0, history=entry))
    assert main(["order", "evidence", "o-1", "-o", "o-1.html"]) == 0
    text = (tmp_path / "o-1.html").read_text()
    assert f"Evidence {order.code} · Silver Arcade" in text
    assert "Nobody has paid for this order." in text
    assert "A player went to pay" in text
    capsys.readouterr()
    for wrong in (["o-2", "-o", "o-2.html"], ["o-1", "-o", "no/folder.html"]):
        assert main(["order", "evidence", *wrong]) == 1
    assert "there is no order o-2" in capsys.readouterr().err


def test_what_the_meter_counted_is_in_the_fields_of_a_machine(
    store: SqliteStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("meterTrains", "meterPulsed", "meterRegistered", "meterDifference")
    capsys.readouterr()
    assert main(["machine", "show", "cab-01", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [shown[name] for name in names] == [None] * 4
    counts = [
        Count(machine_id="cab-01", credit_id=f"c-{n}", order_id="o", at_ms=1, pulsed=3, registered=n)
        for n in (3, 1)
    ]
    monkeypatch.setattr(SqliteStore, "counts", lambda *_: counts)
    assert main(["machine", "show", "cab-01", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [shown[name] for name in names] == [2, 6, 4, -2]


def test_an_order_is_shown_with_its_game_overs_and_its_receipt(
    store: SqliteStore, capsys: pytest.CaptureFixture[str]
) -> None:
    now_ms = int(time.time() * 1000)
    order = funded(new_order("o-1"), "pi_1", "credit-1")
    (credit,) = order.credits
    assert credit.delivery is not None
    drawn = msgspec.structs.replace(credit.delivery, drawn_at_ms=now_ms - 120_000)
    credits = (msgspec.structs.replace(credit, delivery=drawn),)
    order = msgspec.structs.replace(order, version=1, credits=credits)
    entry = HistoryEntry(order_id="o-1", version=1, at_ms=1, event="Ordered", state=order.state, text="")
    store.move(Move(order=order, expected_version=0, history=entry))
    assert main(["order", "show", "o-1"]) == 0
    assert "game over" not in capsys.readouterr().out  # a machine that sends none is not judged by that
    for number, signed in enumerate((True, False)):
        at_ms = now_ms - 60_000 + number
        over = GameOver(machine_id="cab-01", at_ms=at_ms, event_id="e", heard_at_ms=at_ms, signed=signed)
        store.note_game_over(over)
    receipt = Receipt(prefix="A-", number=1, order_id="o-1", serial=1, issued_at_ms=now_ms)
    due = ReceiptDue(order_id="o-1", serial=1, at_ms=now_ms)
    store.receipts.issue([receipt], Series(prefix="A-", last=1, begun_ms=1), Series(prefix="A-"), [due])
    assert main(["order", "show", "o-1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    (after,) = shown["gameOvers"]
    assert (after["play"], after["machine"], after["sendsAny"]) == (1, "cab-01", True)
    assert [one["signed"] for one in after["gameOvers"]] == [True, False]
    assert (shown["receipt"], shown["receiptPage"]) == ("A-1", "https://play.example/m/cab-01/o/o-1/receipt")
    assert main(["order", "show", "o-1"]) == 0
    text = capsys.readouterr().out
    assert "A-1 (https://play.example/m/cab-01/o/o-1/receipt)" in " ".join(text.split())
    assert "(unsigned)" in text
    assert main(["machine", "show", "cab-01"]) == 0
    assert "last game over" in capsys.readouterr().out
    assert main(["machine", "show", "cab-01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lastGameOverAt"] == format_ms(now_ms - 59_999)
