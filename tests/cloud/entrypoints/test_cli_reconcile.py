"""`arcade-cloud reconcile`: what differs, in words, JSON and CSV, and an exit status for scripts."""

import csv
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.entrypoints.cli import main
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.sandbox_account import SandboxAccount

YESTERDAY = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
    "TIMEZONE": "UTC",
}


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxAccount]:
    """An account on which it is still yesterday, and a database."""
    monkeypatch.chdir(tmp_path)
    noon = datetime.fromisoformat(f"{YESTERDAY}T12:00:00+00:00").timestamp()
    began = time.monotonic()
    with StripeSandbox(now_s=lambda: noon + time.monotonic() - began) as sandbox:
        sandbox.set_rules(balance_delay_s=0, available_after_days=0)
        values = {
            **SETTINGS,
            "STRIPE_API_BASE": sandbox.base_url,
            "DATABASE_URL": f"sqlite:///{tmp_path}/arcade.db",
        }
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        SqliteStore(tmp_path / "arcade.db").close()
        yield SandboxAccount(sandbox)


def failed_payout(account: SandboxAccount) -> str:
    """The id of a payout that the bank refused."""
    account.world.pay(account.visit_shop(), "fpx")
    (payout,) = account.world.pay_out()
    account.world.fail_payout(payout["id"])
    return str(payout["id"])


def test_no_difference_is_0(account: SandboxAccount, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile"]) == 0
    assert capsys.readouterr().out == f"{YESTERDAY}: no differences\n"
    account.world.charge_account(250)
    assert main(["reconcile", "--day", YESTERDAY]) == 0
    out = capsys.readouterr().out
    assert "account fee" in out
    assert f"{YESTERDAY}: no differences\n  at Stripe: fees RM 2.50\n" in out
    assert "→" not in out  # a note wants nothing


def test_a_difference_is_1_and_says_what_to_do(
    account: SandboxAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    payout = failed_payout(account)
    assert main(["reconcile"]) == 1
    out = capsys.readouterr().out
    assert payout in out
    assert "payout failed" in out
    assert "→ Put the bank account right at Stripe" in out
    assert f"{YESTERDAY}: 1 difference\n" in out


def test_json_and_csv_have_one_record_for_each(
    account: SandboxAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    payout = failed_payout(account)
    assert main(["reconcile", "--json"]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["cause"] for record in records] == ["payout_failed", "foreign"]
    told = records[0]
    assert told.pop("text").startswith("RM 46")
    assert told == {
        "day": YESTERDAY,
        "kind": "difference",
        "cause": "payout_failed",
        "currency": "MYR",
        "amount": "46.53",
        "order": None,
        "machine": None,
        "subject": payout,
        "todo": "Put the bank account right at Stripe, under Payouts",
        "alert": True,
        "accepted": False,
    }
    assert main(["reconcile", "--csv", "--stored"]) == 1
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["kind"] for row in rows] == ["difference", "note"]


def test_what_was_found_last_is_shown_and_accepted_without_stripe(
    account: SandboxAccount, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failed_payout(account)
    assert main(["reconcile", "--stored"]) == 0
    assert f"{YESTERDAY} was not reconciled yet" in capsys.readouterr().err
    assert main(["reconcile", "--accept"]) == 1  # nothing was found yet
    assert "arcade-cloud reconcile --day" in capsys.readouterr().err
    assert main(["reconcile"]) == 1
    assert main(["alert", "list", "--json"]) == 0
    assert '"books_differ"' in capsys.readouterr().out
    monkeypatch.setenv("STRIPE_API_BASE", "http://127.0.0.1:9")
    assert main(["reconcile", "--stored"]) == 1
    assert main(["reconcile", "--accept", "--by", "Mei", "--reason", "the bank knows"]) == 0
    out = capsys.readouterr().out
    assert "payout failed (accepted)" in out
    assert "accepted by Mei" in out
    assert "the bank knows" in out
    assert main(["audit", "--json"]) == 0
    (done,) = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "differences accept" in line][
        :1
    ]
    assert YESTERDAY in done.values()
    assert main(["reconcile", "--stored"]) == 0
    capsys.readouterr()
    assert main(["alert", "list", "--json"]) == 0
    lasting = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["state"] for one in lasting if one["kind"] == "books_differ"] == ["ended"]
    assert main(["reconcile"]) == 1
    assert "reading the balance" in capsys.readouterr().err


def test_several_days_each_have_their_line(account: SandboxAccount, capsys: pytest.CaptureFixture[str]) -> None:
    failed_payout(account)
    first = (datetime.fromisoformat(YESTERDAY) - timedelta(days=2)).date().isoformat()
    assert main(["reconcile", "--from", first]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.endswith(("difference", "differences"))]
    assert [line.partition(": ")[2] for line in lines] == ["no differences", "no differences", "1 difference"]


def test_a_payout_is_taken_apart(account: SandboxAccount, capsys: pytest.CaptureFixture[str]) -> None:
    account.world.pay(account.visit_shop(), "fpx")
    account.world.charge_account(100)
    (payout,) = account.world.pay_out()
    assert main(["reconcile", "--payout", payout["id"]]) == 0
    assert "made by hand, or just now" in capsys.readouterr().err
    account.world.advance(86_400)
    assert main(["reconcile", "--payout", payout["id"]]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "DAY FEES OTHERS NET",
        f"{YESTERDAY} RM 1.00 RM 46.53 RM 45.53",
        f"{payout['id']}: RM 45.53, paid",
    ]
    assert main(["reconcile", "--payout", payout["id"], "--json"]) == 0
    (record,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (record["day"], record["others"], record["charged"], record["net"]) == (
        YESTERDAY,
        "46.53",
        "0.00",
        "45.53",
    )
    assert main(["reconcile", "--payout", "po_none"]) == 1
    assert "knows no payout" in capsys.readouterr().err


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--day", YESTERDAY, "--from", YESTERDAY], "give --day, or --from and --to"),
        (["--from", "2026-01-01", "--to", "2026-12-01"], "that must be 1 to 31 days"),
        (["--from", YESTERDAY, "--to", "2026-01-01"], "that must be 1 to 31 days"),
    ],
)
def test_days_that_make_no_sense_are_refused(
    given: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconcile", *given]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.usefixtures("account")
def test_a_day_that_has_not_begun_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    later = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    assert main(["reconcile", "--day", later]) == 1
    assert "has not begun yet" in capsys.readouterr().err
