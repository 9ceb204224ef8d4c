"""The takings of very many machines: a page with the totals of all, and files that are sent as they are made."""

import csv
import io
from datetime import date
from typing import Any

import pytest

from arcade_cloud.domain.books import Line, Only
from arcade_cloud.domain.people import Role
from arcade_cloud.domain.tallies import added
from arcade_cloud.services import takings
from arcade_cloud.web.console.takings_pages import ROWS_A_PAGE
from support.console import Console
from support.pages import words
from support.site import Site

SEPTEMBER = "by=machine&first=2026-09-01&last=2026-09-30"


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def console(site: Site) -> Console:
    return Console(site, Role.OWNER)


def a_line(order_id: str, machine_id: str, **fields: Any) -> Line:
    """A play of RM 1."""
    values = {"number": 0, "serial": 1, "day": "2026-09-21", "method": "card", "currency": "myr"}
    sums = {"ordered": 1, "delivered": 1, "gross_minor": 100}
    return Line(order_id=order_id, machine_id=machine_id, **{**values, **sums, **fields})


def sell(site: Site, machines: int) -> None:
    """A play at each of so many machines."""
    for number in range(machines):
        line = a_line(f"o-{number}", f"more-{number:04}", at_ms=site.now_ms)
        site.store.book((line,), added((), (line,)))


def test_each_page_has_its_rows_and_the_totals_of_all(site: Site, console: Console) -> None:
    number = ROWS_A_PAGE + 5
    sell(site, number)
    first, last = (words(console.get(f"/console/takings?{SEPTEMBER}&page={page}")) for page in (1, 2))
    assert ("more-0000" in first, f"more-{ROWS_A_PAGE:04}" in first) == (True, False)
    assert ("more-0000" in last, f"more-{ROWS_A_PAGE:04}" in last) == (False, True)
    for page in (first, last):
        assert f"Total {number} of {number} RM {number}.00" in page
    assert "Page 1 of 2" in first
    assert "Page 2 of 2" in last
    # Nothing of it is idle, on whichever page it stands.
    site.add_machine("more-0000")
    site.add_machine(f"more-{ROWS_A_PAGE:04}")
    site.add_machine("cab-99")
    assert "earned nothing 2 Street Fighter II cab-01 cab-99" in words(
        console.get(f"/console/takings?{SEPTEMBER}")
    )


@pytest.mark.parametrize("beyond", ["3", "999999999999999"])
def test_a_page_after_the_last_is_the_last(site: Site, console: Console, beyond: str) -> None:
    sell(site, ROWS_A_PAGE + 5)
    assert "Page 2 of 2" in words(console.get(f"/console/takings?{SEPTEMBER}&page={beyond}"))
    statement = words(console.get(f"/console/statement?month=2026-09&page={beyond}"))
    assert f"more-{ROWS_A_PAGE + 4:04}" in statement


def test_a_long_csv_is_sent_while_it_is_made(site: Site, console: Console) -> None:
    sell(site, 1_200)
    answer = console.get(f"/console/takings.csv?{SEPTEMBER}")
    parts = list(answer.iter_encoded())
    assert len(parts) > 2
    rows = list(csv.DictReader(io.StringIO(b"".join(parts).decode(), newline="")))
    assert [row["machine"] for row in rows] == [f"more-{number:04}" for number in range(1_200)]
    assert {(row["gross"], row["currency"]) for row in rows} == {("1.00", "MYR")}


@pytest.mark.parametrize("method", ["card", "fpx", "rare"])
def test_the_newest_lines_by_a_method_are_those_however_rare_it_is(
    site: Site, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(takings, "MACHINES_LOOKED_UP", 0)
    for number in range(200):
        paid = "rare" if number < 2 else "fpx" if number % 5 == 0 else "card"
        line = a_line(f"o-{number:03}", f"cab-{number % 7}", at_ms=site.now_ms + number, method=paid)
        site.store.book((line,), added((), (line,)))
    day, only = date(2026, 9, 21), Only(method=method)
    found = site.cloud.takings.newest(day, day, only, limit=6)
    lines = [line for line in site.store.lines_of_day("2026-09-21") if line.method == method]
    assert found == sorted(lines, key=lambda line: line.at_ms, reverse=True)[:6]
    assert len(found) == (2 if method == "rare" else 6)
