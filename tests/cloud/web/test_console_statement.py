"""A month's statement with the share of a location: percentage, flat sum, both; to print and for a spreadsheet."""

import csv
import html
import io

import pytest

from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.people import Role
from support.console import Console
from support.pages import MARKUP, words
from support.site import Site

DAY_MS = 86_400_000
WHERE = "/console/statement?month=2026-09&location=Mid+Valley"
FIVE = Offer(offer_id="five", credits=5, amount_minor=800, currency="myr")
DOLLARS = Offer(offer_id="dollars", credits=1, amount_minor=150, currency="usd")


@pytest.fixture
def site() -> Site:
    made = Site()
    made.add_machine("cab-02", name="Daytona USA", location="Mid Valley", offers=(FIVE,))
    made.add_machine("cab-03", location="Mid Valley", offers=(DOLLARS,))
    made.add_machine("cab-04", location="Sunway", offers=(FIVE,))
    return made


@pytest.fixture
def console(site: Site) -> Console:
    return Console(site, Role.VIEWER)


def play(site: Site, machine_id: str, delivered: int) -> None:
    """A purchase that goes the whole way."""
    site.say_status(machine_id)
    order_id = site.cloud.sales.begin_checkout(machine_id).order_id
    site.pay(order_id)
    site.say_ack(order_id, "done", delivered)
    site.deliver_events()
    assert site.order(order_id).state == "settled"


def test_percentage_and_flat_sum_are_lines_of_their_own_and_add_up(site: Site, console: Console) -> None:
    play(site, "cab-02", 5)
    play(site, "cab-02", 2)
    play(site, "cab-04", 5)
    text = words(console.get(f"{WHERE}&share=12.5&flat=250.00MYR"))
    assert "Total 7 of 10 RM 11.20" in text
    assert "Share of the location, 12.5 % of what was kept RM 1.40" in text
    assert "Share of the location, flat for the month RM 250.00" in text
    assert "Share of the location, altogether RM 251.40" in text
    assert "this month is not over" in text
    for flat in ("250", "RM 250", "myr 250.00", "250.00 MYR"):  # there is one currency only
        text = words(console.get("/console/statement", month="2026-09", location="Mid Valley", flat=flat))
        assert "Share of the location, flat for the month RM 250.00" in text
        assert "altogether" not in text


def test_a_flat_sum_is_due_for_a_month_in_which_nothing_was_booked(site: Site, console: Console) -> None:
    site.now_ms += 40 * DAY_MS
    text = words(console.get(f"{WHERE}&flat=250.00MYR&share=30"))
    assert "Share of the location, flat for the month RM 250.00" in text
    assert "is not over" not in text
    assert "Nothing was booked" in words(console.get(WHERE))


def test_each_currency_has_its_own_share_and_the_flat_sum_is_in_one(site: Site, console: Console) -> None:
    play(site, "cab-02", 5)
    play(site, "cab-03", 1)
    text = words(console.get(f"{WHERE}&share=10&flat=20.00USD"))
    assert "Share of the location, 10 % of what was kept RM 0.80" in text
    assert "Share of the location, 10 % of what was kept $ 0.15" in text
    assert "altogether $ 20.15" in text
    assert text.count("flat for the month") == 1
    refused = console.get(f"{WHERE}&flat=20")
    assert refused.status_code == 422
    assert "names no currency: write 250.00MYR" in html.unescape(refused.text)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("&flat=x", "is not an amount"),
        ("&flat=-5.00MYR", "is not an amount"),
        ("&flat=5.001MYR", "2 decimals"),
        ("&flat=5.00XYZ", "names no currency"),
        ("&share=101", "0 to 100 per cent"),
        ("&share=%C2%B2", "0 to 100 per cent"),
    ],
)
def test_a_share_that_makes_no_sense_is_refused_and_the_sums_are_shown(
    site: Site, console: Console, query: str, says: str
) -> None:
    play(site, "cab-02", 5)
    answer = console.get(WHERE + query)
    assert answer.status_code == 422
    assert says in html.unescape(answer.text)
    assert "RM 8.00" in answer.text
    assert console.get(WHERE.replace("statement", "statement.csv") + query).status_code == 422


def test_a_flat_sum_needs_its_location(console: Console) -> None:
    answer = console.get("/console/statement?month=2026-09&flat=250.00MYR")
    assert answer.status_code == 422
    assert "name the location" in answer.text


def test_the_csv_has_every_line_and_no_formula(site: Site, console: Console) -> None:
    evil = "=1+1"
    site.add_machine("cab-02", name="+cmd", location=evil, offers=(FIVE,))
    play(site, "cab-02", 5)
    answer = console.get("/console/statement.csv", month="2026-09", location=evil, share="25", flat="100.00MYR")
    assert answer.mimetype == "text/csv"
    assert "statement-2026-09.csv" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [(row["line"], row["kept"], row["percent"], row["amount"]) for row in rows] == [
        ("machine", "8.00", "", ""),
        ("total", "8.00", "", ""),
        ("percentage", "", "25", "2.00"),
        ("flat", "", "", "100.00"),
        ("due", "", "", "102.00"),
    ]
    assert {row["location"] for row in rows} == {"'=1+1"}
    assert rows[0]["name"] == "'+cmd"


def test_no_text_becomes_markup(site: Site, console: Console) -> None:
    play(site, "cab-02", 5)
    for name in ("share", "flat", "location", "month"):
        asked = {"month": "2026-09", "location": "Mid Valley"} | {name: MARKUP}
        answer = console.get("/console/statement", **asked)
        assert answer.status_code in {200, 422}
        assert "<script>alert" not in answer.text.lower()
