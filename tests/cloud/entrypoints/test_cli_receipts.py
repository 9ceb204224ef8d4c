"""`arcade-cloud receipts`: a month's receipts and notes, from whole purchases, and what they come to."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from arcade_cloud.domain.receipts import Issuing
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.services.receipts import ISSUE_EVERY_S
from support.site import Site

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
    "DATABASE_URL": "dynamodb://nobody?region=eu-central-1",
}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site that has sold three plays, and given one back; the command works on it."""
    site = Site(issuing=Issuing(prefix="A-", tax_bp=800))
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)

    @contextmanager
    def build(_: Any) -> Iterator[Any]:
        yield SimpleNamespace(services=site.cloud, store=site.store)

    monkeypatch.setattr("arcade_cloud.bootstrap.build", build)
    for quantity in (1, 2, 5):
        last = sold(site, quantity)
    number(site)
    site.cloud.operations.refund(last, by="ann", reason="The button sticks", keep_minor=200)
    site.deliver_events()
    return site


def sold(site: Site, quantity: int) -> str:
    site.say_status("cab-01")
    order_id = site.begin(quantity)
    site.pay(order_id)
    site.say_ack(order_id, delivered=quantity)
    site.now_ms += 10_000
    site.cloud.fulfilment.run_once()
    return order_id


def number(site: Site) -> None:
    site.now_ms += 1000 * ISSUE_EVERY_S
    site.cloud.receipts.run_once()


@pytest.mark.usefixtures("site")
def test_each_receipt_is_a_row_and_so_is_what_was_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receipts", "--month", "2026-09", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["document"], line["kind"], line["amount"], line["tax"], line["net"]) for line in lines] == [
        ("A-1", "receipt", "1.00", "0.07", "0.93"),
        ("A-2", "receipt", "2.00", "0.15", "1.85"),
        ("A-3", "receipt", "5.00", "0.37", "4.63"),
        ("A-3/2", "credit note", "-3.00", "-0.22", "-2.78"),
    ]
    assert all(line["currency"] == "MYR" and line["machines"] == "cab-01" for line in lines)


@pytest.mark.usefixtures("site")
def test_the_summary_has_the_range_of_numbers_and_totals_by_tax(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receipts", "--month", "2026-09", "--summary"]) == 0
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "NUMBERS CURRENCY RECEIPTS RECEIVED NOTES NOTED AMOUNT TAX % TAX",
        "A-1 – A-3 MYR 3 8.00 1 -3.00 5.00 8 0.37",
    ]
    assert main(["receipts", "--month", "2026-09", "--summary", "--csv"]) == 0
    heading, row = capsys.readouterr().out.strip().splitlines()
    assert heading == "month,numbers,waiting,currency,taxRate,receipts,notes,received,noted,amount,tax,net"
    assert row == "2026-09,A-1 – A-3,0,MYR,8,3,1,8.00,-3.00,5.00,0.37,4.63"


def test_what_has_no_number_yet_is_listed_and_ends_the_command_with_1(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    sold(site, 3)
    assert main(["receipts", "--month", "2026-09", "--csv"]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith(",receipt,,2026-09-21,")
    assert "without a number yet: 1." in said.err
    number(site)
    assert main(["receipts", "--month", "2026-09", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("A-4,receipt,A-4,2026-09-21,")


@pytest.mark.usefixtures("site")
def test_a_month_without_sales_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["receipts", "--month", "2026-08"]) == 0
    assert "nothing was sold or given back in 2026-08" in capsys.readouterr().err
    assert main(["receipts", "--month", "August"]) == 1
    assert "write a month such as 2026-11" in capsys.readouterr().err
