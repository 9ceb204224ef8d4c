"""`arcade-cloud payment`: payments without proof are listed, and nothing moves before a person says yes."""

import io
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.entrypoints.cli import main
from arcade_sandbox.processes import free_port
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.orders import NOW_MS
from support.sandbox_account import SandboxAccount


@dataclass
class Desk:
    """A store with one unclaimed payment, which Stripe knows."""

    store: SqliteStore
    account: SandboxAccount
    intent: str

    def kept(self) -> int:
        return int(self.account.money_of(self.intent)["kept"])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.chdir(tmp_path)
    with StripeSandbox() as sandbox, closing(SqliteStore(tmp_path / "cloud.sqlite")) as store:
        for name, value in {
            "STRIPE_API_KEY": "sk_test_desk",
            "STRIPE_API_BASE": sandbox.base_url,
            "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
            "STRIPE_PRICE_ID": "price_play",
            "EMQX_BROKER_URL": "127.0.0.1",
            "EMQX_PORT": str(free_port()),
            "MQTT_TLS": "0",
            "SIGNING_SECRET": "s" * 40,
            "DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.sqlite'}",
        }.items():
            monkeypatch.setenv(name, value)
        account = SandboxAccount(sandbox)
        account.add_price("price_play", 200)
        intent = account.pay(account.visit_link("price_play", 3, metadata={"machine_id": "CAB-01"}), "fpx")
        store.put_machine(Machine(machine_id="cab-01", version=1), 0)
        noted = Unclaimed(
            payment_intent=intent,
            amount_minor=600,
            currency="myr",
            why="its price is sold here, but it names no registered machine",
            at_ms=NOW_MS,
            reference="CAB-01",
            likely_machine="cab-01",
            price_id="price_play",
            quantity=3,
        )
        store.note_unclaimed(noted)
        yield Desk(store, account, intent)


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def test_what_waits_for_a_decision_is_listed_with_what_was_meant(desk: Desk, capsys: Any) -> None:
    assert main(["payment", "list"]) == 0
    headings, first, *details = capsys.readouterr().out.splitlines()
    assert headings.split() == ["PAYMENT", "TIME", "AMOUNT", "WHY"]
    assert first.startswith(desk.intent)
    assert "RM 6.00" in first
    assert [" ".join(line.split()) for line in details] == [
        "names the machine 'CAB-01'",
        "probably means cab-01",
        "bought 3 × price_play",
    ]


@pytest.mark.parametrize("said", ["no\n", "", "\n"])
@pytest.mark.parametrize("command", [["return"], ["deliver", "--machine", "cab-01"]])
def test_nothing_moves_before_somebody_says_yes(
    desk: Desk, command: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    answer(monkeypatch, said)
    assert main(["payment", *command, desk.intent]) == 1
    told = capsys.readouterr()
    assert "nothing was done" in told.err
    assert "succeeded" in told.out, "what Stripe shows is printed before the question"
    assert desk.kept() == 600
    assert desk.store.unclaimed_payment(desk.intent) is not None


@pytest.mark.parametrize("asked", [True, False])
def test_it_is_given_back(desk: Desk, asked: bool, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    answer(monkeypatch, "yes\n" if asked else "")
    assert main(["payment", "return", desk.intent, *([] if asked else ["--yes"])]) == 0
    assert "settled" in capsys.readouterr().out
    assert desk.kept() == 0
    assert main(["payment", "list"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["payment", "return", desk.intent, "--yes"]) == 1
    assert f"belongs to order stray_{desk.intent}" in capsys.readouterr().err


def test_the_question_says_how_many_credits_on_which_machine(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    answer(monkeypatch, "no\n")
    main(["payment", "deliver", desk.intent, "--machine", "cab-01"])
    assert "Shall machine cab-01 pulse 3 credits for it now?" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--machine", "cab-01", "--yes"], "has not been connected"),
        (["--machine", "cab-02", "--yes"], "no machine cab-02 is registered"),
        (["--machine", "a/b", "--yes"], "machine id"),
        (["--machine", "cab-01", "--credits", "100000", "--yes"], "credits"),
    ],
)
def test_what_can_not_be_delivered_is_said_and_left(
    desk: Desk, arguments: list[str], says: str, capsys: Any
) -> None:
    assert main(["payment", "deliver", desk.intent, *arguments]) == 1
    assert says in capsys.readouterr().err
    assert desk.kept() == 600
    assert desk.store.unclaimed_payment(desk.intent) is not None


def test_a_machine_that_sells_nothing_at_this_price_needs_the_number_of_credits(desk: Desk, capsys: Any) -> None:
    from arcade_cloud.domain.money import Offer

    offer = Offer(offer_id="x", credits=1, amount_minor=900, currency="myr")
    desk.store.put_machine(Machine(machine_id="cab-03", version=1, offers=(offer,)), 0)
    assert main(["payment", "deliver", desk.intent, "--machine", "cab-03", "--yes"]) == 1
    assert "sells nothing for RM 6.00: add --credits" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["return", "--yes"], ["dismiss"], ["deliver", "--machine", "cab-01", "--yes"]]
)
def test_another_payment_of_the_account_is_not_to_be_had(desk: Desk, command: list[str], capsys: Any) -> None:
    other = desk.account.pay(desk.account.visit_shop(), "fpx")
    assert main(["payment", *command, other]) == 1
    assert "is not unclaimed" in capsys.readouterr().err
    assert desk.account.money_of(other)["kept"] == 4_900


def test_somebody_elses_is_dismissed(desk: Desk, capsys: Any) -> None:
    assert main(["payment", "dismiss", desk.intent]) == 0
    assert "left alone" in capsys.readouterr().out
    assert main(["payment", "list"]) == 0
    assert capsys.readouterr().out == ""
    assert desk.kept() == 600
