"""The console at size: how long each page takes with 10,000 machines and 1,000,000 orders on SQLite.

A file is judged by its first byte: from then on it is sent while it is made. Its row says when it was whole.
"""

import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.people import Role
from bench import big_arcade
from bench.rows import Row
from support.console import Console
from support.site import START_MS, Site

MACHINES, ORDERS = 10_000, 1_000_000
ROUNDS = 7
TARGET_MS = 200
# A file that is kept from run to run, for whoever works on this. It is made if it is not there.
KEPT = os.environ.get("ARCADE_BENCH_FILE")


class BigSite(Site):
    """The application on that file, at the moment of its last orders."""

    def __init__(self, path: Path) -> None:
        self._path = path
        super().__init__()
        self.now_ms = START_MS + big_arcade.DAYS * big_arcade.DAY_MS

    def _store(self) -> Any:
        return SqliteStore(self._path)


def pages(site: Site) -> dict[str, str]:
    """The console's pages by what they are called, with everything that they can be asked for."""
    newest = site.store.recent_orders(1, before_ms=site.now_ms)[0]
    middle = site.store.recent_orders(1, before_ms=site.now_ms - 45 * big_arcade.DAY_MS)[0]
    machine, hall, month = newest.machine_id, "Hall+007", "first=2026-11-01&last=2026-11-30"
    quarter, odd = "first=2026-10-01&last=2026-12-20", "first=2026-09-22&last=2026-12-20"
    return {
        "Today": "/console/",
        "Machines": "/console/machines",
        "Machines, page 100": "/console/machines?page=100",
        "Machines by name": "/console/machines?q=0042",
        "Machines, not payable": "/console/machines?rank=dead",
        "one machine": f"/console/machines/{machine}",
        "several machines, a place": "/console/fleet?location=at:Hall+007",
        "Orders": "/console/orders",
        "Orders of a machine": f"/console/orders?machine={machine}",
        "Orders by code": f"/console/orders?q={middle.code}",
        "Orders by a code that none has": "/console/orders?q=ZZZZZZ",
        "Orders by Stripe's id": f"/console/orders?q={middle.payment_intent or newest.order_id}",
        "Orders by credit": f"/console/orders?q={(middle.credit_ids or ('x',))[0]}",
        "Orders about a time": "/console/orders?at=2026-11-26T21:00",
        "Orders about a time, by amount": "/console/orders?at=2026-11-26T21:00&amount=5.00",
        "Orders of the last day, by amount": "/console/orders?amount=5.00",
        "one order": f"/console/orders/{middle.order_id}",
        "Takings, a month by day": f"/console/takings?{month}&by=day",
        "Takings, a quarter by week": f"/console/takings?{quarter}&by=week",
        "Takings, a quarter by month": f"/console/takings?{quarter}&by=month",
        "Takings, a month by location": f"/console/takings?{month}&by=location",
        "Takings, a quarter by location": f"/console/takings?{quarter}&by=location",
        "Takings, a month by machine": f"/console/takings?{month}&by=machine",
        "Takings, a quarter by machine": f"/console/takings?{quarter}&by=machine",
        "Takings, ninety odd days by machine": f"/console/takings?{odd}&by=machine",
        "Takings, a quarter of a location by machine": f"/console/takings?{quarter}&by=machine&location={hall}",
        "Takings, a month by method": f"/console/takings?{month}&by=method",
        "Takings, a quarter of a machine by day": f"/console/takings?{quarter}&by=day&machine={machine}",
        "Takings, CSV by day": f"/console/takings.csv?{month}&by=day",
        "Takings, CSV by machine": f"/console/takings.csv?{month}&by=machine",
        "Takings, CSV of a quarter by machine": f"/console/takings.csv?{quarter}&by=machine",
        "Takings, lines of a day": "/console/takings/lines?first=2026-11-20&last=2026-11-20",
        "Takings, lines of a month": f"/console/takings/lines?{month}",
        "Takings, a machine's lines of a month": f"/console/takings/lines?{month}&machine={machine}",
        "Takings, a location's lines of a month": f"/console/takings/lines?{month}&location={hall}",
        "Takings, lines of a month by a method": f"/console/takings/lines?{month}&method=fpx",
        "Statement of a location": f"/console/statement?month=2026-11&location={hall}&share=30",
        "Statement of all": "/console/statement?month=2026-11",
        "Books": "/console/books",
        "Payments without proof": "/console/payments",
        "Alerts": "/console/alerts",
        "Audit": "/console/audit",
        "Audit of a machine": f"/console/audit?on={machine}",
        "People": "/console/people",
    }


def console() -> list[Row]:
    """Each page, as its application answers it; the floor is a page that shows nothing: one's own account.

    The bound is on the time that passes. On a computer that others use too, the time of the processor beside it
    says what the page itself takes.
    """
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        path = Path(KEPT) if KEPT else folder / "big.sqlite"
        if not path.exists():
            big_arcade.make(path, ORDERS, MACHINES)
        site = BigSite(path)
        ending.callback(site.store.close)
        browser = Console(site, Role.OWNER, f"bench-{time.time_ns()}")
        every = {"account": "/console/account", **pages(site)}
        taken: dict[str, list[Taken]] = {name: [] for name in every}
        for _ in range(ROUNDS):  # in turn, so that all meet the same weather
            for name, address in every.items():
                taken[name].append(_take(browser, address))
    floor = statistics.median(one.first_ms for one in taken.pop("account"))
    return [_row(name, several, floor) for name, several in taken.items()]


@dataclass(frozen=True)
class Taken:
    """How long one answer took, in milliseconds: to its first byte (of the processor), and to its last."""

    first_ms: float
    busy_ms: float
    whole_ms: float
    is_streamed: bool


def _take(browser: Console, address: str) -> Taken:
    began, busy = time.perf_counter(), time.process_time()
    answer = browser.get(address)
    first, busy_first = time.perf_counter(), time.process_time()
    if answer.status_code != 200:
        raise RuntimeError(f"{address}: {answer.status}")
    is_streamed = answer.content_length is None
    for _ in answer.iter_encoded():
        pass
    whole = time.perf_counter()
    return Taken((first - began) * 1000, (busy_first - busy) * 1000, (whole - began) * 1000, is_streamed)


def _row(name: str, several: list[Taken], floor: float) -> Row:
    first = statistics.median(one.first_ms for one in several)
    measured = f"{first:.0f} ms ({statistics.median(one.busy_ms for one in several):.0f} ms of the processor)"
    if several[0].is_streamed:
        whole = statistics.median(one.whole_ms for one in several)
        measured = f"{measured} to the first byte, {whole:.0f} ms to the last"
    return Row(
        f"console, {name}; {MACHINES:,} machines, {ORDERS:,} orders, p50",
        measured,
        f"{floor:.1f} ms, one's own account",
        f"{first / floor:.1f} ×",
        f"≤ {TARGET_MS} ms",
        first <= TARGET_MS,
        is_bound=True,
    )
