"""What the console's pages ask of DynamoDB: nothing scans, and no page asks more because the arcade is larger."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from arcade_cloud.adapters.store import open_store
from arcade_cloud.adapters.store.dynamodb.store import DynamoStore
from arcade_cloud.domain.books import Line
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.people import Role
from arcade_cloud.domain.tallies import added
from arcade_cloud.web.console.app import create_console
from arcade_sandbox.dynamodb import DynamoDBLocal
from support.console import Console
from support.console_tour import kinds, tour
from support.dynamodb_tables import a_table, requests_of
from support.site import ONE, Site

# Few enough for one request for presences, and enough for each partition to have one.
FEW, MACHINES = 40, 160
# Whoever asks for a page has a session, and is a person.
SIGNED_IN = 2
# How many requests a page makes at the most; others make twenty. Lists lie in eight partitions, or less.
DOWNLOADS = ("console.receipts_csv", "console.receipts_summary_csv")
MOST = {
    # Tallies of all and of the machines on top, the lines of a week ago, machines, alerts, what is under way.
    "console.today": 44,
    "console.books": 31 + 8,  # a report for each day, and the machines
    # A download of all that a month has booked: each day has eight parts, and so has what is named by the month.
    "console.receipts_csv": 31 * 9 + 20,
    "console.receipts_summary_csv": 31 * 9 + 20,
    "console.takings_lines": 32,  # the tallies of the month, then those and the lines of one day, and the totals
}


class AtAws(Site):
    """The application on a DynamoDB table."""

    def __init__(self, store: DynamoStore) -> None:
        self.opened = store
        super().__init__()

    def _store(self) -> Any:
        return self.opened


@pytest.fixture
def site(dynamodb: DynamoDBLocal) -> Iterator[AtAws]:
    with a_table(dynamodb.endpoint) as url:
        opened = open_store(url, dynamodb_endpoint=dynamodb.endpoint)
        assert isinstance(opened, DynamoStore)
        yield AtAws(opened)
        opened.close()


def grow(site: AtAws, numbers: range) -> None:
    """More machines, and what they have booked."""
    day = "2026-09-21"
    for number in numbers:
        name = f"more-{number:03}"
        site.opened.put_machine(Machine(machine_id=name, version=1, location="Main Hall"), 0)
        site.opened.put_presence(Presence(machine_id=name, version=1, heard_at_ms=site.now_ms, online=True), 0)
        line = Line(
            order_id=f"ord_{number}",
            number=0,
            serial=1,
            day=day,
            at_ms=site.now_ms,
            machine_id=name,
            currency="myr",
            ordered=1,
            delivered=1,
            gross_minor=100,
        )
        site.opened.book((line,), added((), (line,)))


def test_every_page_is_read_without_a_scan_and_a_larger_arcade_costs_no_page_more(site: AtAws) -> None:
    site.add_machine("cab-01", location="Main Hall", offers=(ONE,))
    site.say_status("cab-01")
    order_id = site.begin(2)
    site.pay(order_id)
    site.say_ack(order_id, "done", 2)
    site.deliver_events()
    assert site.order(order_id).state == "settled"
    grow(site, range(FEW))
    console = Console(site, Role.OWNER)
    rules = create_console(site.dependencies).url_map
    asked = requests_of(site.opened)
    pages = tour(console.get, rules)
    pages["console.order"] = f"/console/orders/{order_id}"
    pages["console.refund"] = f"/console/orders/{order_id}/refund?reason=sorry"
    pages["console.machine"] = "/console/machines/cab-01"
    for name in (
        "today",
        "machines",
        "orders",
        "takings",
        "takings_lines",
        "statement",
        "books",
        "alerts",
        "audit",
    ):
        assert f"console.{name}" in pages
    assert set(pages) <= kinds(rules)

    def counted() -> dict[str, Counter[str]]:
        found = {}
        for kind, address in sorted(pages.items()):
            asked.clear()
            assert console.get(address).status_code in {200, 422}, (
                address
            )  # a form may want more than its defaults
            found[kind] = Counter(name for name, _ in asked)
        return found

    console.get("/console/")
    small = counted()
    assert all("Scan" not in names for names in small.values())
    asks = {kind: sum(names.values()) - SIGNED_IN for kind, names in small.items()}
    assert {kind: asks[kind] for kind in asks if asks[kind] > MOST.get(kind, 20)} == {}
    grow(site, range(FEW, MACHINES))
    large = counted()
    more = {kind: large[kind] - small[kind] for kind in pages if large[kind] - small[kind]}
    for kind in DOWNLOADS:  # what was booked here asked for no number; each such order is looked up, once
        assert more.pop(kind)["Query"] <= MACHINES
    # Presences are read a hundred at a time, side by side.
    assert all(set(names) == {"BatchGetItem"} and names["BatchGetItem"] <= 2 for names in more.values()), more
