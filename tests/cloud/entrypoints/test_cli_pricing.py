"""`arcade-cloud pricing`, and the document that quotes it."""

import json
import re
import shlex
from pathlib import Path

import pytest

from arcade_cloud.entrypoints.cli import main

DOCUMENT = Path(__file__).parents[3] / "docs" / "PRICING.md"
QUOTED = re.findall(r"```\n\$ arcade-cloud (pricing [^\n]*)\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "STRIPE_API_KEY": "sk_test_nobody",
        "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
        "EMQX_BROKER_URL": "127.0.0.1",
        "MQTT_TLS": "0",
        "SIGNING_SECRET": "s" * 40,
        "DATABASE_URL": f"sqlite:///{tmp_path}/arcade.db",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("command", "printed"), QUOTED, ids=[command for command, _ in QUOTED])
def test_the_document_quotes_what_the_command_prints(
    command: str, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == printed


def test_the_document_has_a_table_for_each_currency() -> None:
    assert [re.findall(r"[A-Z]{3}", command)[0] for command, _ in QUOTED] == ["MYR", "SGD", "EUR", "USD"]


def test_a_machines_own_offers_with_the_operators_fee(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARD_FEES", "2%+0.50MYR, 3.6%+0JPY")
    assert main(["machine", "add", "cab-01", "--offer", "1=2.00MYR"]) == 0
    assert "RM 2.00 by card: RM 0.54 goes to Stripe (27 %)" in capsys.readouterr().err
    assert main(["pricing", "cab-01", "--plays", "4", "--json"]) == 0
    once, singly, tab = map(json.loads, capsys.readouterr().out.splitlines())
    assert (once["fees"], singly["fees"], tab["fees"]) == ("0.54", "2.16", "0.66")
    assert tab == {
        "how": "tab",
        "plays": 4,
        "credits": 4,
        "currency": "MYR",
        "price": "8.00",
        "fees": "0.66",
        "feePercent": 8,
        "left": "7.34",
        "isSold": True,
    }


def test_changed_offers_say_what_they_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machine", "add", "cab-01", "--offer", "1=2.00MYR"]) == 0
    capsys.readouterr()
    assert main(["machine", "set", "cab-01", "--offer", "5=8.00MYR"]) == 0
    assert "RM 8.00 by card: RM 1.24 goes to Stripe (16 %)" in capsys.readouterr().err


def test_a_currency_whose_fee_is_not_known_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pricing", "--offer", "1=100JPY"]) == 1
    assert "the fee in JPY is not known: name it with --fee PERCENT%+AMOUNTJPY" in capsys.readouterr().err
    assert main(["pricing", "--offer", "1=100JPY", "--fee", "3.6%+0JPY", "--csv"]) == 0
    assert "single,1,1,JPY,100,4,4,96,true" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [[], ["cab-01", "--offer", "1=2.00MYR"], ["cab-09"], ["--offer", "x"], ["--offer", "1=2.00MYR", "--fee", "3"]],
)
def test_a_call_that_cannot_be_answered_says_why(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machine", "add", "cab-01"]) == 0
    capsys.readouterr()
    assert main(["pricing", *arguments]) == 1
    assert capsys.readouterr().err.startswith("arcade-cloud: ")


def test_a_wrong_fee_in_the_settings_is_a_fault_that_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CARD_FEES", "3%")
    assert main(["pricing", "--offer", "1=2.00MYR"]) == 2
    assert "CARD_FEES" in capsys.readouterr().err
