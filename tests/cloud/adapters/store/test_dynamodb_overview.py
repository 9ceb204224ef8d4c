"""What the operator's overview asks of DynamoDB: no scan, and as many reads as the fleet needs, and no more."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from arcade_cloud.adapters.store import open_store
from arcade_cloud.adapters.store.dynamodb.store import DynamoStore
from arcade_cloud.domain.books import Line
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.tallies import added
from arcade_cloud.services.overview import Overview
from arcade_sandbox.dynamodb import DynamoDBLocal
from support.dynamodb_tables import a_table, requests_of

NOW_MS = 1_790_000_000_000
MACHINES = 250


@pytest.fixture
def store(dynamodb: DynamoDBLocal) -> Iterator[DynamoStore]:
    with a_table(dynamodb.endpoint) as url:
        opened = open_store(url, dynamodb_endpoint=dynamodb.endpoint)
        assert isinstance(opened, DynamoStore)
        yield opened
        opened.close()


def counted(asked: list[tuple[str, dict[str, Any]]]) -> dict[str, int]:
    names = [name for name, _ in asked]
    asked.clear()
    return {name: names.count(name) for name in sorted(set(names))}


def test_today_and_a_machine_are_counted_reads(store: DynamoStore) -> None:
    for number in range(MACHINES):
        name = f"cab-{number:03}"
        store.put_machine(Machine(machine_id=name, version=1), 0)
        store.put_presence(Presence(machine_id=name, version=1, heard_at_ms=NOW_MS, online=True), 0)
    fulfilment = cast("Any", SimpleNamespace(store=store, now_ms=lambda: NOW_MS))
    overview = Overview(fulfilment=fulfilment)
    asked = requests_of(store)
    assert len(overview.today().machines) == MACHINES
    # The tallies of today, the lines of a week ago, the machines, the alerts, what is under way: a query for each
    # of the shards. The presences come a hundred at a time.
    empty = counted(asked)
    assert empty == {"BatchGetItem": 3, "Query": 8 + 8 + 8 + 2 + 4}
    for number in range(300):
        line = Line(
            order_id=f"ord_{number}",
            number=0,
            serial=1,
            day="2026-09-21",
            at_ms=NOW_MS,
            machine_id="cab-001",
            currency="myr",
            delivered=1,
            gross_minor=100,
        )
        store.book((line,), added((), (line,)))
    asked.clear()
    today = overview.today()
    assert [compared.now.kept_minor for compared in today.takings] == [30_000]
    assert counted(asked) == empty
    top = overview.with_takings(today.machines[:20])
    assert sum(seen.plays for seen in top) == 300
    assert counted(asked) == {"Query": 8}
    machine = store.machine("cab-001")
    assert machine is not None
    asked.clear()
    overview.machine(machine)
    assert counted(asked) == {"BatchGetItem": 1, "Query": 1 + 2 + 1 + 2 + 1 + 1}
