"""What every store promises about the numbers of receipts: one suite for all."""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from arcade_cloud.adapters.store import open_store
from arcade_cloud.domain.books import Line
from arcade_cloud.domain.receipts import Issuing, Receipt, ReceiptDue, Series
from arcade_cloud.errors import Conflict, InvariantBroken, StoreUnavailable
from arcade_cloud.ports.receipts import NUMBERED_AT_MOST
from arcade_cloud.ports.whole_store import WholeStore
from arcade_cloud.services.receipts import Receipts
from arcade_sandbox.dynamodb import DynamoDBLocal
from support.dynamodb_tables import a_table
from support.memory_store import MemoryStore
from support.order_records import new_order, step

NOW_MS = 1_790_000_000_000


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WholeStore]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "sqlite":
        with closing(open_store(f"sqlite:///{tmp_path}/arcade.db")) as store:
            yield store
    else:
        server: DynamoDBLocal = request.getfixturevalue("dynamodb")
        with a_table(server.endpoint) as url, closing(open_store(url, dynamodb_endpoint=server.endpoint)) as store:
            yield store


def a_due(name: str = "o-1", at_ms: int = NOW_MS, serial: int = 1) -> ReceiptDue:
    return ReceiptDue(order_id=name, serial=serial, at_ms=at_ms)


def a_receipt(number: int, order_id: str, prefix: str = "", **fields: Any) -> Receipt:
    return Receipt(prefix=prefix, number=number, order_id=order_id, serial=1, issued_at_ms=NOW_MS, **fields)


def a_line(order_id: str, serial: int = 1) -> Line:
    return Line(
        order_id=order_id,
        number=0,
        serial=serial,
        day="2026-11-26",
        at_ms=NOW_MS,
        machine_id="cab-01",
        currency="myr",
        gross_minor=100,
    )


def a_process(store: WholeStore, prefix: str = "") -> Receipts:
    """What numbers receipts in one process of the cloud."""
    fulfilment = SimpleNamespace(store=store, now_ms=lambda: NOW_MS, clock=lambda: "right")
    return Receipts(fulfilment=cast("Any", fulfilment), issuing=Issuing(prefix=prefix, tax_bp=800))


# the queue


def test_the_step_that_books_puts_the_order_into_the_queue_or_does_nothing(whole: WholeStore) -> None:
    order = new_order("o-1")
    move = replace(step(order), lines=(a_line("o-1"),), receipt=a_due())
    whole.move(move)
    assert whole.receipts.due(5) == [a_due()]
    with pytest.raises(Conflict):
        whole.move(replace(move, receipt=a_due(serial=1)))
    other = step(new_order("o-2"))
    with pytest.raises(InvariantBroken):
        whole.move(replace(other, receipt=a_due("o-2")))  # without the lines that it is about
    with pytest.raises(InvariantBroken):
        whole.move(replace(other, lines=(a_line("o-2"),), receipt=a_due("o-3")))
    assert whole.receipts.due(5) == [a_due()]
    assert whole.order("o-2") is None


def test_the_queue_gives_the_longest_waiting_first_and_each_once(whole: WholeStore) -> None:
    every = [a_due(f"o-{number}", NOW_MS + number) for number in range(25)]
    mixed = random.Random(1).sample(every, len(every))
    whole.receipts.queue(mixed)
    whole.receipts.queue(mixed[:5])
    assert whole.receipts.due(7) == every[:7]
    assert whole.receipts.due(100) == every
    assert whole.receipts.due(0) == []


# numbers


def test_numbers_follow_each_other_and_are_found_by_order_and_by_number(whole: WholeStore) -> None:
    store = whole.receipts
    first, second = [a_due("o-1"), a_due("o-2")], [a_due("o-3")]
    store.queue([*first, *second])
    one = (a_receipt(1, "o-1", "A-", tax_bp=800), a_receipt(2, "o-2", "A-"))
    begun = Series(prefix="A-", last=2, begun_ms=NOW_MS)
    store.issue(one, begun, Series(prefix="A-"), first)
    assert store.due(5) == second
    store.issue((a_receipt(3, "o-3", "A-"),), replaced(begun, 3), begun, second)
    assert store.due(5) == []
    assert store.series() == [replaced(begun, 3)]
    assert store.receipts_of(["o-1", "o-2", "nobody"]) == {"o-1": one[0], "o-2": one[1]}
    assert store.receipts_of([]) == {}
    assert [found.order_id for found in store.numbered("A-", 1, 3)] == ["o-1", "o-2", "o-3"]
    assert store.numbered("A-", 2, 2) == [one[1]]
    assert store.numbered("A-", 4, 5) == store.numbered("", 1, 5) == []


def replaced(series: Series, last: int) -> Series:
    return Series(prefix=series.prefix, last=last, begun_ms=series.begun_ms)


def test_who_counts_from_another_number_gives_none(whole: WholeStore) -> None:
    store = whole.receipts
    store.queue([a_due("o-1"), a_due("o-2")])
    store.issue((a_receipt(1, "o-1"),), Series(last=1, begun_ms=1), Series(), [a_due("o-1")])
    with pytest.raises(Conflict):  # it has not seen the first
        store.issue((a_receipt(1, "o-2"),), Series(last=1, begun_ms=1), Series(), [a_due("o-2")])
    with pytest.raises(Conflict):  # it has seen what was never given
        store.issue((a_receipt(6, "o-2"),), Series(last=6), Series(last=5), [a_due("o-2")])
    assert store.due(5) == [a_due("o-2")]
    assert store.series() == [Series(last=1, begun_ms=1)]
    assert store.receipts_of(["o-2"]) == {}


def test_an_order_gets_one_number_whatever_the_series(whole: WholeStore) -> None:
    store = whole.receipts
    store.issue((a_receipt(1, "o-1"),), Series(last=1), Series(), [a_due("o-1")])
    store.queue([a_due("o-1", serial=3), a_due("o-2")])
    both = [a_due("o-1", serial=3), a_due("o-2")]
    new = (a_receipt(1, "o-2", "B-"), a_receipt(2, "o-1", "B-"))
    with pytest.raises(Conflict):
        store.issue(new, Series(prefix="B-", last=2), Series(prefix="B-"), both)
    assert store.receipts_of(["o-2"]) == {}
    assert [one.prefix for one in store.series()] == [""]
    store.issue((), Series(prefix="B-"), Series(prefix="B-"), [both[0]])  # it has one: it waits no longer
    assert store.due(5) == [a_due("o-2")]


@pytest.mark.parametrize(
    ("receipts", "after", "done"),
    [
        ((a_receipt(2, "o-1"),), Series(last=1), [a_due("o-1")]),
        ((a_receipt(1, "o-1"),), Series(last=2), [a_due("o-1")]),
        ((a_receipt(1, "o-1"), a_receipt(2, "o-1")), Series(last=2), [a_due("o-1")]),
        ((a_receipt(1, "o-1"),), Series(last=1), []),
        ((a_receipt(1, "o-1", "B-"),), Series(last=1), [a_due("o-1")]),
        ((), Series(), [a_due(f"o-{number}") for number in range(NUMBERED_AT_MOST + 1)]),
    ],
    ids=["skips one", "counts too far", "two for one order", "goes on waiting", "another series", "too many"],
)
def test_a_batch_that_contradicts_itself_is_a_defect(
    whole: WholeStore, receipts: tuple[Receipt, ...], after: Series, done: list[ReceiptDue]
) -> None:
    with pytest.raises(InvariantBroken):
        whole.receipts.issue(receipts, after, Series(), done)
    assert whole.receipts.series() == []


def test_a_whole_batch_fits_into_one_transaction(whole: WholeStore) -> None:
    whole.receipts.queue([a_due(f"o-{number}", NOW_MS + number) for number in range(NUMBERED_AT_MOST + 1)])
    process = a_process(whole, "Kuala-Lumpur")
    assert process.issue() == NUMBERED_AT_MOST
    assert process.issue() == 1
    found = whole.receipts.numbered("Kuala-Lumpur", 1, 100)
    assert [one.order_id for one in found] == [f"o-{number}" for number in range(NUMBERED_AT_MOST + 1)]
    assert [one.name for one in found][-1] == f"Kuala-Lumpur{NUMBERED_AT_MOST + 1}"


def test_of_many_processes_that_number_at_once_each_order_gets_one_number_and_there_is_no_gap(
    whole: WholeStore,
) -> None:
    orders = [f"o-{number}" for number in range(150)]
    begin = threading.Barrier(4)
    whole.receipts.queue([a_due(name, NOW_MS + number) for number, name in enumerate(orders[:60])])

    def work(number: int) -> None:
        process, mine = a_process(whole), orders[60 + 30 * number :][:30] if number < 3 else []
        begin.wait()
        for late in mine:
            whole.receipts.queue([a_due(late, NOW_MS + int(late[2:]))])
        for _ in range(200):
            process.issue()
            if not whole.receipts.due(1):
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    while a_process(whole).issue():
        pass
    found = whole.receipts.numbered("", 1, 1_000)
    assert [one.number for one in found] == list(range(1, 151))
    assert sorted(one.order_id for one in found) == sorted(orders)
    assert whole.receipts.due(5) == []
    assert whole.receipts.series() == [Series(last=150, begun_ms=NOW_MS)]


class Killed(BaseException):
    """The process is dead."""


@pytest.mark.parametrize("is_stored", [False, True], ids=["before it is stored", "after it is stored"])
def test_a_process_that_dies_while_it_numbers_leaves_no_gap_and_numbers_nothing_twice(
    whole: WholeStore, is_stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [f"o-{number}" for number in range(50)]
    whole.receipts.queue([a_due(name, NOW_MS + number) for number, name in enumerate(orders)])
    issue = whole.receipts.issue

    def dies(*batch: Any) -> None:
        if is_stored:
            issue(*batch)
        raise Killed

    monkeypatch.setattr(whole.receipts, "issue", dies)
    with pytest.raises(Killed):
        a_process(whole).issue()
    monkeypatch.undo()
    while a_process(whole).issue():
        pass
    assert [one.order_id for one in whole.receipts.numbered("", 1, 1_000)] == orders
    assert [one.number for one in whole.receipts.numbered("", 1, 1_000)] == list(range(1, 51))


def test_two_series_have_numbers_of_their_own(whole: WholeStore) -> None:
    whole.receipts.queue([a_due("o-1")])
    a_process(whole, "A-").issue()
    whole.receipts.queue([a_due("o-2", NOW_MS + 1)])
    a_process(whole, "B-").issue()
    named = {name: one.name for name, one in whole.receipts.receipts_of(["o-1", "o-2"]).items()}
    assert named == {"o-1": "A-1", "o-2": "B-1"}
    assert [one.prefix for one in whole.receipts.series()] == ["A-", "B-"]


def test_numbers_beyond_a_thousand_are_found(whole: WholeStore) -> None:
    store = whole.receipts
    store.issue((a_receipt(1, "o-0"),), Series(last=1), Series(), [a_due("o-0")])
    last, number = Series(last=1), 1
    while number < 1_020:
        names = [f"n-{number + place}" for place in range(1, 30)]
        new = tuple(a_receipt(number + place + 1, name) for place, name in enumerate(names))
        after = Series(last=number + len(new))
        store.issue(new, after, last, [a_due(name) for name in names])
        last, number = after, after.last
    assert [one.number for one in store.numbered("", 990, 1_010)] == list(range(990, 1_011))


def test_a_store_that_is_closed_says_so(whole: WholeStore) -> None:
    if isinstance(whole, MemoryStore):
        whole.unavailable = True
    else:
        whole.close()
    for call in (lambda: whole.receipts.due(1), lambda: whole.receipts.queue([a_due()]), whole.receipts.series):
        with pytest.raises(StoreUnavailable):
            call()


def test_receipts_outlive_the_process_and_are_never_changed(tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "arcade.db"
    with closing(open_store(f"sqlite:///{path}")) as store:
        store.receipts.queue([a_due()])
        a_process(store).issue()
    with closing(open_store(f"sqlite:///{path}")) as store:
        assert [one.name for one in store.receipts.numbered("", 1, 5)] == ["1"]
    with closing(sqlite3.connect(path)) as connection:
        for sql in ("DELETE FROM receipts", "UPDATE receipts SET number = 2"):
            with pytest.raises(sqlite3.IntegrityError, match="only appended to"):
                connection.execute(sql)
