"""What every store promises: one suite, run on each adapter, on the fake, and on a simulated cloud's."""

import dataclasses
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcade_cloud.adapters.store import open_store
from arcade_cloud.adapters.store.dynamodb.client import Table
from arcade_cloud.adapters.store.dynamodb.items import FORM_KEY
from arcade_cloud.adapters.store.forms import FORM_1, Forms
from arcade_cloud.adapters.store.sqlite.file import MIGRATIONS, SCHEMA_OF_FORM_1
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.config.dynamodb_address import parse
from arcade_cloud.domain import alerts
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.books import EVERY, Line, Only, total
from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.game_overs import GameOver
from arcade_cloud.domain.machines import HEARS_FOR_MS, Hearing, Machine, Presence
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Arrival, Command, HistoryEntry, Order, Resolution, Settlement, UnmatchedAck
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.reconciling import DayReport, DaySums, Difference
from arcade_cloud.domain.screens import Screen, Shown
from arcade_cloud.domain.tab import PLAYS_AT_MOST
from arcade_cloud.domain.tallies import Counts, Name, added
from arcade_cloud.domain.uptime import StateChange
from arcade_cloud.domain.webhooks import Webhooks
from arcade_cloud.errors import AlreadySeen, Conflict, InvariantBroken, PaymentTaken, StoreUnavailable
from arcade_cloud.ports.store import ALERTS_AT_MOST, Move, Store, Waiting
from arcade_sandbox.dynamodb import DynamoDBLocal
from contracts.simulated import simulated_store
from support.dynamodb_tables import a_table
from support.memory_store import MemoryStore
from support.order_records import (
    a_tab,
    an_alert,
    at_machines,
    funded,
    new_order,
    next_version,
    offers,
    orders_at_version_1,
    published,
    step,
    texts,
    with_plays,
)
from support.orders import NOW_MS, only_payment

DAY_MS = 86_400_000
_HYPOTHESIS = settings(
    max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


# Hypothesis runs its examples on one store: each gets an order of its own.
_numbers = itertools.count()


@dataclass(frozen=True)
class Durable:
    """An adapter whose records outlive the program: `url` opens the same store again, from any process."""

    url: str
    endpoint: str | None = None

    def open(self) -> Store:
        return open_store(self.url, dynamodb_endpoint=self.endpoint)


@contextmanager
def _durable(adapter: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Durable]:
    if adapter == "sqlite":
        yield Durable(f"sqlite:///{folder}/arcade.db")
        return
    server: DynamoDBLocal = request.getfixturevalue("dynamodb")
    with a_table(server.endpoint) as url:
        yield Durable(url, server.endpoint)


@pytest.fixture(params=["sqlite", "dynamodb"])
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Durable]:
    with _durable(request.param, request, tmp_path) as found:
        yield found


@pytest.fixture(params=["memory", "simulated", "sqlite", "dynamodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param in {"memory", "simulated"}:
        opened: Store = MemoryStore() if request.param == "memory" else simulated_store()
        yield opened
        opened.close()
        return
    with _durable(request.param, request, tmp_path) as found:
        opened = found.open()
        yield opened
        opened.close()


@contextmanager
def _older_store(durable: Durable) -> Iterator[Store]:
    """A store that other processes use which know the first form only."""
    if durable.endpoint is None:
        path = durable.url.removeprefix("sqlite:///")
        SqliteStore(path, forms=Forms(FORM_1), migrations=MIGRATIONS[:SCHEMA_OF_FORM_1]).close()
    else:
        with closing(Table(parse(durable.url), durable.endpoint)) as table:
            table.request("delete_item", Key=FORM_KEY)
    with closing(durable.open()) as store:
        yield store


def _all_of(store: Store, order_ids: list[str]) -> object:
    """All that can be seen of a store, to compare before and after."""
    return (
        [store.order(order_id) for order_id in order_ids],
        [store.history(order_id) for order_id in order_ids],
        [store.order_of_payment(name) for name in ("pi_1", "pi_2", "pi_3")],
        [store.order_of_credit(name) for name in ("credit-1", "credit-2", "credit-3")],
        [store.is_seen(name) for name in ("evt_1", "evt_2", "evt_3")],
        store.recent_orders(100),
        store.recent_alerts(100),
        store.unsent_alerts(100),
        store.due_orders(NOW_MS * 2, 100),
        store.next_due_ms(),
        [store.booked(order_id) for order_id in order_ids],
        [store.lines_of_day(day) for day in ("2026-11-26", "2026-11-27")],
        store.day_report("2026-11-26"),
    )


# moving orders


def test_an_unknown_order_is_none_and_has_no_history(store: Store) -> None:
    assert store.order("nobody") is None
    assert store.history("nobody") == []
    assert store.order_of_payment("pi_none") is None
    assert store.order_of_credit("none") is None
    assert store.next_due_ms() is None
    assert store.due_orders(NOW_MS, 10) == []
    assert store.recent_orders(10) == []


def test_a_step_is_stored_with_all_that_belongs_to_it(store: Store) -> None:
    first = new_order("o-1")
    second = funded(first, "pi_1", "credit-1")
    store.move(step(first, text="made"))
    store.move(step(second, seen="evt_1", alerts=(an_alert("a-1"),), text="paid"))
    assert store.order("o-1") == second
    assert [(entry.version, entry.text) for entry in store.history("o-1")] == [(1, "made"), (2, "paid")]
    assert store.order_of_payment("pi_1") == "o-1"
    assert store.order_of_credit("credit-1") == "o-1"
    assert store.is_seen("evt_1")
    assert store.unsent_alerts(10) == [an_alert("a-1")]


def _already_seen(store: Store) -> Move:
    return step(funded(new_order("o-1"), "pi_3", "credit-3"), seen="evt_1", alerts=(an_alert("a-3"),))


def _stale_version(store: Store) -> Move:
    stale = funded(new_order("o-2", version=6), "pi_3", "credit-3")
    return step(stale, seen="evt_3", alerts=(an_alert("a-3"),))


def _version_of_the_past(store: Store) -> Move:
    return step(new_order("o-2", version=2), seen="evt_3", alerts=(an_alert("a-3"),))


def _exists_already(store: Store) -> Move:
    return step(new_order("o-2"), seen="evt_3", alerts=(an_alert("a-3"),))


def _was_never_made(store: Store) -> Move:
    return step(new_order("o-3", version=2), seen="evt_3", alerts=(an_alert("a-3"),))


def _payment_of_another(store: Store) -> Move:
    return step(funded(new_order("o-1"), "pi_2", "credit-3"), seen="evt_3", alerts=(an_alert("a-3"),))


def _payment_of_another_for_a_new_order(store: Store) -> Move:
    unmatched = new_order("o-3", stage="returning", payment_intent="pi_2", kind="unmatched")
    return step(unmatched, seen="evt_3", alerts=(an_alert("a-3"),))


def _credit_of_another(store: Store) -> Move:
    return step(funded(new_order("o-1"), "pi_3", "credit-2"), seen="evt_3", alerts=(an_alert("a-3"),))


def _broken_order(store: Store) -> Move:
    return step(next_version(new_order("o-1"), stage="funded"), seen="evt_3")


def _skips_a_version(store: Store) -> Move:
    move = step(next_version(next_version(new_order("o-1"))), seen="evt_3")
    return Move(order=move.order, expected_version=1, history=move.history, seen="evt_3")


def _history_of_another(store: Store) -> Move:
    other = HistoryEntry(order_id="o-2", version=2, at_ms=NOW_MS, event="test", state="open")
    return Move(order=next_version(new_order("o-1")), expected_version=1, history=other, seen="evt_3")


def _too_many_alerts(store: Store) -> Move:
    alerts = tuple(an_alert(f"many-{number}") for number in range(ALERTS_AT_MOST + 1))
    return step(next_version(new_order("o-1")), seen="evt_3", alerts=alerts)


def _other_birth(store: Store) -> Move:
    return step(next_version(new_order("o-1"), created_at_ms=NOW_MS + 1), seen="evt_3")


def _line(order_id: str = "o-1", **changes: Any) -> Line:
    line = Line(
        order_id=order_id,
        number=0,
        serial=1,
        day="2026-11-26",
        at_ms=NOW_MS,
        machine_id="cab-01",
        currency="myr",
        ordered=3,
        delivered=2,
        gross_minor=200,
    )
    return msgspec.structs.replace(line, **changes)


def _booking(*lines: Line) -> Move:
    move = step(next_version(new_order("o-1")), seen="evt_3", alerts=(an_alert("a-3"),))
    return replace(move, lines=lines)


def _booked_already(store: Store) -> Move:
    return _booking(_line(day="2026-11-27"))


def _booked_already_and_stale(store: Store) -> Move:
    return replace(_version_of_the_past(store), lines=(_line("o-2"),))


def _lines_of_another_order(store: Store) -> Move:
    return _booking(_line("o-2", serial=2))


def _lines_of_two_days(store: Store) -> Move:
    return _booking(_line(serial=2), _line(serial=2, number=1, day="2026-11-27"))


def _two_lines_for_one_credit(store: Store) -> Move:
    return _booking(_line(serial=2), _line(serial=2))


def _seen_and_stale_and_paid_by_another(store: Store) -> Move:
    return step(funded(new_order("o-1", version=6), "pi_2", "credit-2"), seen="evt_1")


def _stale_and_paid_by_another(store: Store) -> Move:
    return step(funded(new_order("o-1", version=6), "pi_2", "credit-2"), seen="evt_3")


def _payment_and_credit_of_another(store: Store) -> Move:
    return step(funded(new_order("o-1"), "pi_2", "credit-2"), seen="evt_3")


def _other_machine(store: Store) -> Move:
    return step(next_version(new_order("o-1"), machine_id="cab-02"), seen="evt_3")


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        (_already_seen, AlreadySeen),
        (_stale_version, Conflict),
        (_version_of_the_past, Conflict),
        (_exists_already, Conflict),
        (_was_never_made, Conflict),
        (_payment_of_another, PaymentTaken),
        (_payment_of_another_for_a_new_order, PaymentTaken),
        (_credit_of_another, InvariantBroken),
        (_broken_order, InvariantBroken),
        (_skips_a_version, InvariantBroken),
        (_history_of_another, InvariantBroken),
        (_other_machine, InvariantBroken),
        (_other_birth, InvariantBroken),
        (_too_many_alerts, InvariantBroken),
        (_seen_and_stale_and_paid_by_another, AlreadySeen),
        (_stale_and_paid_by_another, Conflict),
        (_payment_and_credit_of_another, PaymentTaken),
        (_booked_already, Conflict),
        (_booked_already_and_stale, Conflict),
        (_lines_of_another_order, InvariantBroken),
        (_lines_of_two_days, InvariantBroken),
        (_two_lines_for_one_credit, InvariantBroken),
    ],
)
def test_a_refused_step_stores_nothing_at_all(
    store: Store, refused: Callable[[Store], Move], error: type[Exception]
) -> None:
    store.move(replace(step(new_order("o-1"), seen="evt_1"), lines=(_line(),)))
    store.move(step(new_order("o-2"), seen="evt_2"))
    store.move(step(funded(new_order("o-2"), "pi_2", "credit-2")))
    before = _all_of(store, ["o-1", "o-2", "o-3"])
    with pytest.raises(error):
        store.move(refused(store))
    assert _all_of(store, ["o-1", "o-2", "o-3"]) == before
    store.move(step(next_version(new_order("o-1")), seen="evt_3"))


def test_a_repeated_event_is_recognised_before_anything_else(store: Store) -> None:
    """A webhook that comes again finds its order moved on: it must be told apart from a race."""
    store.move(step(new_order("o-1"), seen="evt_1"))
    store.move(step(next_version(new_order("o-1"))))
    with pytest.raises(AlreadySeen):
        store.move(step(next_version(new_order("o-1")), seen="evt_1"))


def test_an_event_noted_without_a_step_counts_as_seen(store: Store) -> None:
    assert store.note_seen("evt_1", NOW_MS)
    assert not store.note_seen("evt_1", NOW_MS + 1)
    with pytest.raises(AlreadySeen):
        store.move(step(new_order("o-1"), seen="evt_1"))
    assert store.order("o-1") is None


def test_a_payment_belongs_to_its_order_for_good(store: Store) -> None:
    """This also holds when the order names another payment later."""
    order = funded(new_order("o-1"), "pi_1")
    store.move(step(new_order("o-1")))
    store.move(step(order))
    order = next_version(order, payment_intent="pi_2")
    store.move(step(order))
    assert store.order_of_payment("pi_1") == "o-1"
    assert store.order_of_payment("pi_2") == "o-1"
    store.move(step(new_order("o-2")))
    with pytest.raises(PaymentTaken):
        store.move(step(funded(new_order("o-2"), "pi_1")))


def test_a_credit_belongs_to_its_order_for_good(store: Store) -> None:
    order = funded(new_order("o-1"), "pi_1", "credit-1")
    store.move(step(new_order("o-1")))
    store.move(step(order))
    second = Command(credit_id="credit-2", installation="a" * 32, expires_at_ms=NOW_MS)
    store.move(step(next_version(order, command=second)))
    assert store.order_of_credit("credit-1") == "o-1"
    assert store.order_of_credit("credit-2") == "o-1"


def test_history_comes_oldest_first(store: Store) -> None:
    order = new_order("o-1")
    store.move(step(order))
    for _ in range(11):
        order = next_version(order)
        store.move(step(order))
    assert [entry.version for entry in store.history("o-1")] == list(range(1, 13))


def _renamed(order: Order, number: int) -> Order:
    """The order with ids that no other has, its payment's and its credits' too."""
    payment, credits = order.payment, []
    if payment is not None and payment.payment_intent is not None:
        payment = msgspec.structs.replace(payment, payment_intent=f"{payment.payment_intent}-{number}")
    for index, credit in enumerate(order.credits):
        delivery = credit.delivery
        if delivery is not None and delivery.command is not None:
            command = msgspec.structs.replace(delivery.command, credit_id=f"c-{number}-{index}")
            credit = msgspec.structs.replace(credit, delivery=msgspec.structs.replace(delivery, command=command))
        credits.append(credit)
    tab = order.tab
    if tab is not None:
        tab = msgspec.structs.replace(tab, secret_hash=f"{number:064}")
    return msgspec.structs.replace(order, order_id=f"o-{number}", payment=payment, credits=tuple(credits), tab=tab)


@_HYPOTHESIS
@given(order=orders_at_version_1(), text=texts, event=texts)
def test_records_come_out_as_they_went_in(store: Store, order: Order, text: str, event: str) -> None:
    order = _renamed(order, next(_numbers))
    move = step(order, text=text, seen=f"{order.order_id} {event}")
    store.move(move)
    assert store.order(order.order_id) == order
    assert store.history(order.order_id) == [move.history]
    assert store.is_seen(f"{order.order_id} {event}")
    again = msgspec.structs.replace(order, version=2, note="again")
    store.move(step(again))
    assert store.order(order.order_id) == again


# what is due


def test_due_orders_come_longest_due_first_and_no_more_than_asked_for(store: Store) -> None:
    for number, due_at_ms in enumerate([500, 100, 300, None, 200, 9_000]):
        store.move(step(new_order(f"o-{number}", due_at_ms=due_at_ms)))
    assert store.due_orders(500, 10) == ["o-1", "o-4", "o-2", "o-0"]
    assert store.due_orders(499, 10) == ["o-1", "o-4", "o-2"]
    assert store.due_orders(500, 2) == ["o-1", "o-4"]
    assert store.due_orders(99, 10) == []
    assert store.due_orders(500, 0) == []
    assert store.next_due_ms() == 100


def test_a_step_moves_the_order_in_the_queue(store: Store) -> None:
    store.move(step(new_order("o-1", due_at_ms=100)))
    store.move(step(new_order("o-2", due_at_ms=200)))
    later = next_version(new_order("o-1"), due_at_ms=300)
    store.move(step(later))
    assert store.due_orders(1_000, 10) == ["o-2", "o-1"]
    assert store.next_due_ms() == 200
    store.move(step(next_version(later, due_at_ms=None, stage="abandoned")))
    store.move(step(next_version(new_order("o-2"), due_at_ms=None)))
    assert store.due_orders(1_000, 10) == []
    assert store.next_due_ms() is None


def test_a_postponed_order_is_due_later_and_its_record_is_as_it_was(store: Store) -> None:
    order = new_order("o-1", due_at_ms=100)
    store.move(step(order))
    store.move(step(new_order("o-2", due_at_ms=200)))
    store.postpone("o-1", 300)
    assert store.due_orders(250, 10) == ["o-2"]
    assert store.due_orders(300, 10) == ["o-2", "o-1"]
    assert store.order("o-1") == order
    assert len(store.history("o-1")) == 1
    store.postpone("o-1", 50)  # never to an earlier moment
    assert store.due_orders(250, 10) == ["o-2"]
    store.move(step(next_version(order, due_at_ms=150)))  # the next step sets it anew
    assert store.due_orders(250, 10) == ["o-1", "o-2"]


def test_only_what_is_due_can_be_postponed(store: Store) -> None:
    store.move(step(new_order("o-1", due_at_ms=None)))
    store.postpone("o-1", 300)
    store.postpone("nobody", 300)
    assert store.due_orders(NOW_MS, 10) == []
    assert store.order("nobody") is None


@_HYPOTHESIS
@given(due=st.lists(st.none() | st.integers(0, 50), max_size=12), now_ms=st.integers(0, 50))
def test_the_queue_holds_exactly_what_is_due(store: Store, due: list[int | None], now_ms: int) -> None:
    name = next(_numbers)
    made = [new_order(f"q-{name}-{number:02}", due_at_ms=at) for number, at in enumerate(due)]
    for order in made:
        store.move(step(order))
    queue = sorted((order.due_at_ms, order.order_id) for order in made if order.due_at_ms is not None)
    try:
        assert store.due_orders(now_ms, 100) == [order_id for at, order_id in queue if at <= now_ms]
        assert store.next_due_ms() == (queue[0][0] if queue else None)
    finally:
        for order in made:
            store.move(step(next_version(order, due_at_ms=None)))


def test_waiting_orders_are_read_on_from_one_to_the_next(store: Store) -> None:
    for number, due_at_ms in enumerate([500, 100, 300, None, 300, 9_000]):
        store.move(step(new_order(f"o-{number}", due_at_ms=due_at_ms)))
    queue = [
        Waiting(100, "o-1"),
        Waiting(300, "o-2"),
        Waiting(300, "o-4"),
        Waiting(500, "o-0"),
        Waiting(9_000, "o-5"),
    ]
    assert store.waiting_orders(Waiting(0, ""), 10) == queue
    assert store.waiting_orders(Waiting(0, ""), 2) == queue[:2]
    for number, one in enumerate(queue):
        assert store.waiting_orders(one, 10) == queue[number + 1 :]
    assert store.waiting_orders(Waiting(300, ""), 10) == queue[1:]
    assert store.waiting_orders(Waiting(300, "o-3"), 10) == queue[2:]
    assert store.waiting_orders(Waiting(0, ""), 0) == []


def _settled(order: Order) -> Order:
    """The order one version later, over with nothing delivered."""
    done = Resolution(delivered=0, by="ack", at_ms=NOW_MS)
    credits = tuple(
        msgspec.structs.replace(
            credit, delivery=msgspec.structs.replace(credit.delivery, resolution=done, due_at_ms=None)
        )
        for credit in order.credits
        if credit.delivery is not None
    )
    settlement = Settlement(done=True)
    return msgspec.structs.replace(order, version=order.version + 1, credits=credits, settlement=settlement)


def test_orders_under_way_are_those_of_which_somebody_waits_for_something(store: Store) -> None:
    for number in range(3):  # what nobody has paid for
        store.move(step(new_order(f"o-open-{number}", due_at_ms=number)))
    sent = published(new_order("o-free", created_at_ms=300), "pi_9", "0199ac00-0000-7000-8000-000000000001")
    credit = msgspec.structs.replace(sent.credits[0], price_minor=0)
    free = msgspec.structs.replace(sent, kind="grant", payment=None, credits=(credit,), version=1)
    store.move(step(free))
    for number, at_ms in enumerate((500, 100, 300)):
        order = new_order(f"o-{number}")
        store.move(step(order))
        order = funded(order, f"pi_{number}")
        arrived = msgspec.structs.replace(only_payment(order), arrival=Arrival(paid_at_ms=at_ms))
        store.move(step(msgspec.structs.replace(order, payment=arrived)))
    ids = [order.order_id for order in store.orders_under_way(1_000, 10)]
    assert ids == ["o-1", "o-2", "o-free", "o-0"]
    store.postpone("o-1", 10**12)  # its record cannot be moved now, and somebody waits all the same
    assert [order.order_id for order in store.orders_under_way(500, 10)] == ids[:3]
    assert [order.order_id for order in store.orders_under_way(1_000, 2)] == ids[:2]
    assert store.orders_under_way(1_000, 0) == []
    for order_id in ("o-free", "o-1"):
        stored = store.order(order_id)
        assert stored is not None
        store.move(step(_settled(stored)))
    assert [order.order_id for order in store.orders_under_way(1_000, 10)] == ["o-2", "o-0"]


def test_how_far_waiting_orders_were_looked_at_is_on_record_until_the_end(store: Store) -> None:
    assert store.rechecked_until() is None
    store.note_rechecked(None)
    store.note_rechecked(Waiting(300, "o-2"))
    assert store.rechecked_until() == Waiting(300, "o-2")
    store.note_rechecked(Waiting(200, "o-9"))
    assert store.rechecked_until() == Waiting(200, "o-9")
    store.note_rechecked(None)
    assert store.rechecked_until() is None


# lists for people


def test_recent_orders_come_newest_first_by_machine_and_by_page(store: Store) -> None:
    for number in range(6):
        order = new_order(f"o-{number}", created_at_ms=1_000 * number, machine_id=f"cab-{number % 2}")
        store.move(step(order))
        store.move(step(next_version(order)))
    assert [order.order_id for order in store.recent_orders(2)] == ["o-5", "o-4"]
    assert [order.order_id for order in store.recent_orders(9, before_ms=3_000)] == ["o-2", "o-1", "o-0"]
    assert [order.order_id for order in store.recent_orders(9, machine_id="cab-1")] == ["o-5", "o-3", "o-1"]
    page = store.recent_orders(1, machine_id="cab-1", before_ms=5_000)
    assert [(order.order_id, order.version) for order in page] == [("o-3", 2)]
    assert store.recent_orders(9, machine_id="cab-7") == []
    assert store.recent_orders(0) == []


def test_an_order_is_found_by_its_code_as_it_is_now_and_two_may_have_one(store: Store) -> None:
    first, second = new_order("twin-16858", created_at_ms=1_000), new_order("twin-19561", created_at_ms=2_000)
    assert first.code == second.code
    for order in (first, second, new_order("o-1")):
        store.move(step(order))
    store.move(step(next_version(first)))
    assert store.orders_with_code(first.code, 9) == [second, next_version(first)]
    assert store.orders_with_code(first.code, 1) == [second]
    assert store.orders_with_code(first.code, 0) == []
    assert store.orders_with_code("AAAAAA", 9) == []


def test_a_forgotten_order_is_not_found_by_its_code(store: Store) -> None:
    order = new_order("o-1", stage="abandoned")
    store.move(step(order))
    store.forget(order)
    assert store.orders_with_code(order.code, 9) == []


def with_last4(order: Order, last4: str | None) -> Order:
    """The order, with a payment that Stripe shows with these digits."""
    payment = only_payment(order)
    shown = Payment(
        payment_intent=payment.payment_intent or "",
        status="requires_capture",
        amount_minor=payment.amount_minor,
        currency=payment.currency,
        last4=last4,
    )
    return msgspec.structs.replace(order, payment=msgspec.structs.replace(payment, shown=shown))


def test_an_order_is_found_by_the_last_four_digits_as_it_is_now(store: Store) -> None:
    orders = []
    for number, last4 in enumerate(("4242", "0005", "4242", None)):
        order = new_order(f"o-{number}", created_at_ms=1_000 * number)
        store.move(step(order))
        paid = funded(order, f"pi_{number}", f"0199ac00-0000-7000-8000-00000000000{number}")
        orders.append(with_last4(paid, last4))
        store.move(step(orders[-1]))
    newer = next_version(orders[0])
    store.move(step(newer))
    assert newer.last4 == "4242"
    assert store.orders_with_last4("4242", 9) == [orders[2], newer]
    assert store.orders_with_last4("4242", 1) == [orders[2]]
    assert store.orders_with_last4("4242", 0) == []
    assert store.orders_with_last4("0005", 9) == [orders[1]]
    assert store.orders_with_last4("9999", 9) == []


def test_an_order_without_a_known_machine_is_listed_as_any_other(store: Store) -> None:
    """Money can arrive for a machine without a name, or with a very long one."""
    for number, machine_id in enumerate(("", "x" * 3_000, "mâchine 1")):
        store.move(step(new_order(f"o-{number}", machine_id=machine_id, created_at_ms=number)))
    assert [order.order_id for order in store.recent_orders(9)] == ["o-2", "o-1", "o-0"]
    assert [order.order_id for order in store.recent_orders(9, machine_id="")] == ["o-0"]
    assert [order.order_id for order in store.recent_orders(9, machine_id="x" * 3_000)] == ["o-1"]


# an order of several credits


def _ids(orders: list[Order]) -> list[str]:
    return [order.order_id for order in orders]


def test_an_order_is_listed_once_at_each_machine_that_has_a_credit_of_it(store: Store) -> None:
    both = at_machines("o-1", "cab-01", "cab-02", "cab-01", created_at_ms=1_000)
    store.move(step(both))
    store.move(step(at_machines("o-2", "cab-02", created_at_ms=2_000)))
    store.move(step(at_machines("o-3", "cab-02", "cab-03", created_at_ms=3_000)))
    store.move(step(at_machines("o-4", "cab-01", created_at_ms=4_000)))

    def check_lists() -> None:
        assert _ids(store.recent_orders(9)) == ["o-4", "o-3", "o-2", "o-1"]
        assert _ids(store.recent_orders(9, machine_id="cab-01")) == ["o-4", "o-1"]
        assert _ids(store.recent_orders(9, machine_id="cab-02")) == ["o-3", "o-2", "o-1"]
        assert _ids(store.recent_orders(9, machine_id="cab-03")) == ["o-3"]

    check_lists()
    both = published(both, "pi_1", "credit-1", "credit-2", "credit-3")
    store.move(step(both))
    check_lists()
    assert store.recent_orders(1, machine_id="cab-02", before_ms=2_000) == [both]


def test_a_machines_list_ends_where_it_is_cut_whichever_credit_an_order_has_there(store: Store) -> None:
    """First credits and further ones are kept apart, and must come out in one order."""
    for number in range(12):
        machines = ("cab-01", "cab-02") if number % 3 else ("cab-02", "cab-01")
        store.move(step(at_machines(f"o-{number:02}", *machines, created_at_ms=1_000 * (number // 2))))
    newest_first = [f"o-{number:02}" for number in reversed(range(12))]
    for machine_id in ("cab-01", "cab-02"):
        for limit in (0, 1, 5, 12, 99):
            assert _ids(store.recent_orders(limit, machine_id=machine_id)) == newest_first[:limit]
        assert _ids(store.recent_orders(3, machine_id=machine_id, before_ms=3_000)) == ["o-05", "o-04", "o-03"]


def test_a_credit_that_is_drawn_later_at_another_machine_lists_the_order_there_too(store: Store) -> None:
    order = published(at_machines("o-1", "cab-01"), "pi_1", "credit-1")
    store.move(step(at_machines("o-1", "cab-01")))
    store.move(step(order))
    assert store.recent_orders(9, machine_id="cab-02") == []
    more = published(at_machines("o-1", "cab-01", "cab-02", version=2), "pi_1", "credit-1", "credit-2")
    store.move(step(more))
    assert store.recent_orders(9, machine_id="cab-01") == store.recent_orders(9, machine_id="cab-02") == [more]


def test_the_id_of_each_credit_leads_to_its_order(store: Store) -> None:
    order = at_machines("o-1", "cab-01", "cab-02")
    store.move(step(order))
    store.move(step(published(order, "pi_1", "credit-1", "credit-2")))
    assert [store.order_of_credit(name) for name in ("credit-1", "credit-2")] == ["o-1", "o-1"]
    found = store.order("o-1")
    assert found is not None
    assert found.credit_ids == ("credit-1", "credit-2")


@pytest.mark.parametrize("credit_ids", [("credit-9", "credit-2"), ("credit-2", "credit-9")])
def test_a_step_with_any_credit_of_another_order_stores_nothing_at_all(
    store: Store, credit_ids: tuple[str, str]
) -> None:
    store.move(step(at_machines("o-1", "cab-01", "cab-02")))
    store.move(step(at_machines("o-2", "cab-01", "cab-02")))
    store.move(step(published(at_machines("o-2", "cab-01", "cab-02"), "pi_2", "credit-1", "credit-2")))
    before = _all_of(store, ["o-1", "o-2"])
    with pytest.raises(InvariantBroken, match=r"o-1.*credit-2"):
        store.move(step(published(at_machines("o-1", "cab-01", "cab-02"), "pi_1", *credit_ids), seen="evt_1"))
    assert _all_of(store, ["o-1", "o-2"]) == before
    assert store.order_of_credit("credit-9") is None


def test_a_store_at_form_1_refuses_an_order_of_several_credits(durable: Durable) -> None:
    """The other processes could not read it. Nothing is stored, and nobody is charged."""
    with _older_store(durable) as store:
        assert store.form() == 1
        with pytest.raises(InvariantBroken, match="form 1 holds one credit, not 2"):
            store.move(step(at_machines("o-1", "cab-01", "cab-02"), seen="evt_1"))
        assert store.order("o-1") is None
        assert not store.is_seen("evt_1")
        with pytest.raises(InvariantBroken, match="form 1 holds no tab"):
            store.move(step(a_tab("tab-1", "1" * 64)))
        assert store.order_of_tab("1" * 64) is None
        store.move(step(at_machines("o-2", "cab-02")))
        assert _ids(store.recent_orders(9, machine_id="cab-02")) == ["o-2"]
        store.upgrade()
        store.move(step(at_machines("o-1", "cab-01", "cab-02")))
        assert _ids(store.recent_orders(9, machine_id="cab-02")) == ["o-2", "o-1"]


def test_a_tab_is_found_by_the_hash_of_its_secret_and_listed_where_it_was_opened_and_played(store: Store) -> None:
    first, second = a_tab("tab-1", "1" * 64), a_tab("tab-2", "2" * 64, machine_id="cab-09")
    store.move(step(first))
    store.move(step(second))
    assert [store.order_of_tab(digit * 64) for digit in "123"] == ["tab-1", "tab-2", None]
    played = with_plays(first, "credit-1", under_way="credit-1")
    store.move(step(played))
    more = with_plays(played, "credit-1", "credit-2", under_way="credit-2")
    store.move(step(more))
    assert store.order("tab-1") == more
    for machine_id in ("cab-01", "cab-02", "cab-03"):
        assert store.recent_orders(9, machine_id=machine_id) == [more]
    assert [store.order_of_credit(name) for name in ("credit-1", "credit-2")] == ["tab-1", "tab-1"]
    assert _ids(store.recent_orders(9, machine_id="cab-09")) == ["tab-2"]


def test_two_tabs_never_share_a_secret(store: Store) -> None:
    store.move(step(a_tab("tab-1", "1" * 64)))
    with pytest.raises(InvariantBroken):
        store.move(step(a_tab("tab-2", "1" * 64)))
    assert store.order("tab-2") is None
    assert store.order_of_tab("1" * 64) == "tab-1"


def test_a_tab_that_nobody_paid_is_forgotten_with_its_secret(store: Store) -> None:
    tab = a_tab("tab-1", "1" * 64)
    store.move(step(tab))
    payment = msgspec.structs.replace(only_payment(tab), stage="abandoned")
    abandoned = msgspec.structs.replace(tab, version=2, payment=payment)
    store.move(step(abandoned))
    store.forget(abandoned)
    assert store.order_of_tab("1" * 64) is None
    store.move(step(a_tab("tab-2", "1" * 64)))


def test_a_tab_with_as_many_plays_as_one_may_have_is_stored_whole(store: Store) -> None:
    """DynamoDB takes a hundred records in one step."""
    order = a_tab("tab-1", "1" * 64)
    store.move(step(order))
    names = tuple(f"credit-{number}" for number in range(PLAYS_AT_MOST))
    for number in range(1, PLAYS_AT_MOST + 1):
        order = with_plays(order, *names[:number], under_way=names[number - 1])
        store.move(step(order))
    store.move(step(order := with_plays(order, *names)))
    assert store.order("tab-1") == order
    assert {store.order_of_credit(name) for name in names} == {"tab-1"}
    assert _ids(store.recent_orders(1, machine_id=f"cab-{PLAYS_AT_MOST + 1}")) == ["tab-1"]


@pytest.mark.parametrize("name", ["", "#", "é" * 40, "x" * 5_000])
def test_any_text_may_be_asked_for_and_is_not_there(store: Store, name: str) -> None:
    """Ids come from addresses and messages that strangers make."""
    assert store.order(name) is None
    assert store.history(name) == []
    assert store.order_of_payment(name) is None
    assert store.order_of_credit(name) is None
    assert store.order_of_tab(name) is None
    assert store.machine(name) is None
    assert store.presence(name) is None
    assert not store.is_seen(name)
    assert store.note_seen(name, NOW_MS)
    assert store.is_seen(name)


# machines


def test_a_machine_is_stored_version_by_version(store: Store) -> None:
    first = Machine(machine_id="cab-01", version=1, name="Daytona")
    assert store.machine("cab-01") is None
    store.put_machine(first, 0)
    store.put_machine(msgspec.structs.replace(first, version=2, name="Daytona 2"), 1)
    found = store.machine("cab-01")
    assert found is not None
    assert found.name == "Daytona 2"


@pytest.mark.parametrize("expected_version", [0, 2, 7])
def test_a_machine_or_presence_that_moved_meanwhile_is_a_conflict(store: Store, expected_version: int) -> None:
    machine = Machine(machine_id="cab-01", version=1)
    presence = Presence(machine_id="cab-01", version=1)
    store.put_machine(machine, 0)
    store.put_presence(presence, 0)
    with pytest.raises(Conflict):
        store.put_machine(msgspec.structs.replace(machine, version=expected_version + 1), expected_version)
    with pytest.raises(Conflict):
        store.put_presence(msgspec.structs.replace(presence, version=expected_version + 1), expected_version)
    assert store.machine("cab-01") == machine
    assert store.presence("cab-01") == presence


def test_a_machine_that_was_never_stored_can_not_be_changed(store: Store) -> None:
    with pytest.raises(Conflict):
        store.put_machine(Machine(machine_id="cab-01", version=2), 1)
    with pytest.raises(Conflict):
        store.put_presence(Presence(machine_id="cab-01", version=2), 1)
    assert store.machine("cab-01") is None
    assert store.presence("cab-01") is None


def test_versions_must_follow_each_other(store: Store) -> None:
    with pytest.raises(InvariantBroken):
        store.put_machine(Machine(machine_id="cab-01", version=3), 1)
    with pytest.raises(InvariantBroken):
        store.put_presence(Presence(machine_id="cab-01", version=1), 1)


def test_presences_of_several_machines_come_in_one_call(store: Store) -> None:
    for number in range(120):
        store.put_presence(Presence(machine_id=f"cab-{number}", version=1, boot_id=str(number)), 0)
    asked = ["cab-7", "cab-none", "cab-119", "cab-7"]
    found = {presence.machine_id: presence.boot_id for presence in store.presences(asked)}
    assert found == {"cab-7": "7", "cab-119": "119"}
    assert len(store.presences([f"cab-{number}" for number in range(120)])) == 120
    assert store.presences([]) == []


def _changes(*changes: tuple[int, str], machine_id: str = "cab-01") -> tuple[StateChange, ...]:
    return tuple(
        StateChange(machine_id=machine_id, at_ms=at_ms, state=state)  # type: ignore[arg-type]
        for at_ms, state in changes
    )


def test_changes_are_stored_with_the_presence_or_not_at_all(store: Store) -> None:
    store.put_presence(Presence(machine_id="cab-01", version=1), 0, _changes((1000, "ready")))
    store.put_presence(Presence(machine_id="cab-02", version=1), 0, _changes((1500, "ready"), machine_id="cab-02"))
    with pytest.raises(Conflict):
        store.put_presence(Presence(machine_id="cab-01", version=1), 0, _changes((2000, "offline")))
    with pytest.raises(InvariantBroken):
        store.put_presence(
            Presence(machine_id="cab-01", version=2), 1, _changes((3, "ready"), machine_id="cab-02")
        )
    with pytest.raises(InvariantBroken):
        store.put_presence(Presence(machine_id="cab-01", version=2), 1, _changes((3, "ready"), (3, "silent")))
    assert store.state_changes("cab-01", 0, 10) == [*_changes((1000, "ready"))]
    later = _changes((3000, "silent"), (4000, "not ready"))
    store.put_presence(Presence(machine_id="cab-01", version=2), 1, later)
    assert store.state_changes("cab-01", 0, 10) == [*reversed(later), *_changes((1000, "ready"))]
    assert store.state_changes("cab-none", 0, 10) == []


def test_changes_come_newest_first_with_the_last_one_before(store: Store) -> None:
    every = _changes((1000, "ready"), (2000, "silent"), (3000, "ready"), (10_000_000_000_000, "offline"))
    store.put_presence(Presence(machine_id="cab-01", version=1), 0, every)
    assert store.state_changes("cab-01", 2500, 10) == [*reversed(every[1:])]
    assert store.state_changes("cab-01", 2000, 10) == [*reversed(every)]
    assert store.state_changes("cab-01", 2500, 2) == [*reversed(every[2:])]
    assert store.state_changes("cab-01", 2500, 1) == [every[3]]


def test_a_step_that_is_not_told_is_stored_without_its_entry(store: Store) -> None:
    store.move(step(new_order("o-1")))
    second = next_version(new_order("o-1"))
    store.move(dataclasses.replace(step(second), is_told=False))
    third = next_version(second)
    store.move(step(third))
    assert store.order("o-1") == third
    assert [entry.version for entry in store.history("o-1")] == [1, 3]
    with pytest.raises(Conflict):
        store.move(dataclasses.replace(step(second), is_told=False))
    with pytest.raises(InvariantBroken):
        store.move(dataclasses.replace(step(new_order("o-2")), is_told=False))
    with pytest.raises(InvariantBroken):
        store.move(dataclasses.replace(step(next_version(third), alerts=(an_alert("a-1"),)), is_told=False))


def _count(order_id: str, credit_id: str, at_ms: int, machine_id: str = "cab-01") -> Count:
    return Count(
        machine_id=machine_id, at_ms=at_ms, order_id=order_id, credit_id=credit_id, pulsed=3, registered=2
    )


def test_counts_are_stored_with_the_step_or_not_at_all(store: Store) -> None:
    store.move(step(new_order("o-1")))
    paid = step(funded(new_order("o-1"), "pi_1", "credit-1"), seen="evt_1")
    count = _count("o-1", "credit-1", 1000)
    for wrong in (_count("o-2", "credit-1", 1000), _count("o-1", "credit-2", 1000)):
        with pytest.raises(InvariantBroken):
            store.move(dataclasses.replace(paid, counts=(wrong,)))
    assert store.counts("cab-01", 0, 10) == []
    store.move(dataclasses.replace(paid, counts=(count,)))
    assert store.counts("cab-01", 0, 10) == [count]
    for refused, error in ((paid, AlreadySeen), (dataclasses.replace(paid, seen=None), Conflict)):
        with pytest.raises(error):
            store.move(dataclasses.replace(refused, counts=(_count("o-1", "credit-1", 2000),)))
    assert store.counts("cab-01", 0, 10) == [count]
    assert store.counts("cab-02", 0, 10) == []


def test_counts_come_newest_first_from_a_moment_on(store: Store) -> None:
    every = []
    for number, at_ms in enumerate((1000, 2000, 2000, 3000, 10_000_000_000_000)):
        order = new_order(f"o-{number}")
        store.move(step(order))
        count = _count(f"o-{number}", f"credit-{number}", at_ms)
        store.move(dataclasses.replace(step(funded(order, f"pi_{number}", f"credit-{number}")), counts=(count,)))
        every.append(count)
    assert store.counts("cab-01", 0, 10) == [*reversed(every)]
    assert store.counts("cab-01", 2000, 10) == [*reversed(every[1:])]
    assert store.counts("cab-01", 2001, 10) == [*reversed(every[3:])]
    assert store.counts("cab-01", 0, 2) == [*reversed(every[3:])]
    assert store.counts("cab-01", 0, 0) == []


def _game_over(at_ms: int, event_id: str = "evt-1", **more: Any) -> GameOver:
    return GameOver(machine_id="cab-01", at_ms=at_ms, event_id=event_id, heard_at_ms=at_ms + 5, **more)


def test_a_game_over_is_stored_once_however_often_it_comes(store: Store) -> None:
    first = _game_over(1000, said_at="1970-01-01T00:00:01Z", source="serial", signed=True, left_out=3)
    assert store.game_overs("cab-01", 0, 10**13, 10) == []
    assert store.note_game_over(first)
    assert not store.note_game_over(_game_over(1000, source="gpio"))
    assert store.game_overs("cab-01", 0, 10**13, 10) == [first]
    assert store.game_overs("cab-02", 0, 10**13, 10) == []


def test_game_overs_come_newest_first_from_one_moment_until_before_another(store: Store) -> None:
    every = [_game_over(at_ms, f"evt-{n}") for n, at_ms in enumerate((1000, 2000, 2000, 3000, 10_000_000_000_000))]
    for one in every:
        assert store.note_game_over(one)
    assert store.game_overs("cab-01", 0, 10**14, 10) == [*reversed(every)]
    assert store.game_overs("cab-01", 2000, 3000, 10) == [*reversed(every[1:3])]
    assert store.game_overs("cab-01", 2001, 3001, 10) == [every[3]]
    assert store.game_overs("cab-01", 0, 10**14, 2) == [*reversed(every[3:])]
    assert store.game_overs("cab-01", 0, 10**14, 0) == []


@pytest.mark.parametrize("event_id", ["x" * 64, "é#\u2028" * 16, "a b"])
def test_a_game_over_may_have_any_short_text_for_an_id(store: Store, event_id: str) -> None:
    one = _game_over(NOW_MS, event_id)
    assert store.note_game_over(one)
    assert not store.note_game_over(one)
    assert store.game_overs("cab-01", NOW_MS, NOW_MS + 1, 10) == [one]


def test_machines_come_by_id(store: Store) -> None:
    for machine_id in ("cab-2", "cab-10", "A-1"):
        store.put_machine(Machine(machine_id=machine_id, version=1), 0)
    assert [machine.machine_id for machine in store.machines()] == ["A-1", "cab-10", "cab-2"]


_CLOSURES = st.none() | st.builds(
    Closure,
    since_ms=st.integers(0, 1 << 45),
    reason=texts,
    until_ms=st.none() | st.integers(0, 1 << 45),
    for_good=st.booleans(),
)


@_HYPOTHESIS
@given(
    name=texts,
    contact=texts,
    location=texts,
    closure=_CLOSURES,
    sold=st.lists(offers, max_size=4),
    heard_at_ms=st.integers(0, 1 << 45),
    reason=texts,
    ready=st.booleans(),
)
def test_machines_and_presences_come_out_as_they_went_in(
    store: Store,
    name: str,
    contact: str,
    location: str,
    closure: Closure | None,
    sold: list[object],
    heard_at_ms: int,
    reason: str,
    ready: bool,
) -> None:
    before_machine, before_presence = store.machine("cab-01"), store.presence("cab-01")
    machine_version = 0 if before_machine is None else before_machine.version
    presence_version = 0 if before_presence is None else before_presence.version
    machine = Machine(
        machine_id="cab-01",
        version=machine_version + 1,
        name=name,
        contact=contact,
        location=location,
        closure=closure,
        offers=tuple(sold),  # type: ignore[arg-type]
    )
    presence = Presence(
        machine_id="cab-01",
        version=presence_version + 1,
        installation=None if ready else reason,
        reason=reason,
        ready=ready,
        heard_at_ms=heard_at_ms,
    )
    store.put_machine(machine, machine_version)
    store.put_presence(presence, presence_version)
    assert store.machine("cab-01") == machine
    assert store.machines() == [machine]
    assert store.presence("cab-01") == presence


# alerts, orphans, echoes


def test_the_same_alert_is_one_record_however_it_comes(store: Store) -> None:
    assert store.raise_alert(an_alert("a-1"))
    assert not store.raise_alert(an_alert("a-1", NOW_MS + 5))
    twice = (an_alert("a-2", NOW_MS + 1), an_alert("a-2", NOW_MS + 2))
    store.move(step(new_order("o-1"), alerts=(an_alert("a-1", NOW_MS + 9), *twice)))
    assert store.recent_alerts(10) == [an_alert("a-2", NOW_MS + 1), an_alert("a-1")]


def test_unsent_alerts_come_oldest_first_and_recent_ones_newest_first(store: Store) -> None:
    for number, at_ms in enumerate([300, 100, 200]):
        store.raise_alert(an_alert(f"a-{number}", at_ms))
    assert [alert.alert_id for alert in store.unsent_alerts(10)] == ["a-1", "a-2", "a-0"]
    assert [alert.alert_id for alert in store.unsent_alerts(1)] == ["a-1"]
    assert [alert.alert_id for alert in store.recent_alerts(2)] == ["a-0", "a-2"]


def test_a_sent_alert_is_not_sent_again_and_still_shown(store: Store) -> None:
    store.raise_alert(an_alert("a-1", 100))
    store.raise_alert(an_alert("a-2", 200))
    store.mark_alert_sent("a-1")
    store.mark_alert_sent("a-1")
    store.mark_alert_sent("nobody")
    assert not store.raise_alert(an_alert("a-1", 900))
    store.move(step(new_order("o-1"), alerts=(an_alert("a-1", 900),)))
    assert [alert.alert_id for alert in store.unsent_alerts(10)] == ["a-2"]
    assert [alert.alert_id for alert in store.recent_alerts(10)] == ["a-2", "a-1"]


def _begun(at_ms: int = NOW_MS, subject: str = "cab-01") -> Alert:
    return alerts.condition("unsellable", subject, "Stripe refuses the price.", at_ms)


def _ack(store: Store, alert: Alert, at_ms: int = NOW_MS + 7) -> Alert:
    after = alerts.acknowledged(alert, "ana", at_ms)
    store.change_alert(alert, after)
    return after


def _end(store: Store, alert: Alert, at_ms: int) -> Alert:
    over = alerts.ended(alert, at_ms)
    store.change_alert(alert, over, alerts.recovery(over, "It is sold again."))
    return over


def _alert_ids(found: list[Alert]) -> list[str]:
    return [alert.alert_id for alert in found]


def test_a_condition_lasts_once_whoever_begins_it(store: Store) -> None:
    first, other = _begun(), _begun(subject="cab-02")
    assert store.lasting_alert("unsellable", "cab-01") is None
    assert store.raise_alert(first)
    assert not store.raise_alert(first)
    assert not store.raise_alert(_begun(NOW_MS + 5))
    assert store.raise_alert(other)
    assert store.lasting_alert("unsellable", "cab-01") == first
    assert store.alert(first.alert_id) == first
    assert store.alert(_begun(NOW_MS + 5).alert_id) is None
    assert store.unsent_alerts(10) == [first, other]
    assert store.recent_alerts(10) == [other, first]


def test_a_condition_ends_once_with_a_notice_of_its_own(store: Store) -> None:
    first = _begun()
    store.raise_alert(first)
    store.mark_alert_sent(first.alert_id)
    over = _end(store, first, NOW_MS + 60)
    assert store.lasting_alert("unsellable", "cab-01") is None
    assert store.alert(first.alert_id) == over
    (notice,) = store.unsent_alerts(10)
    assert (notice.recovers, notice.at_ms, notice.text) == (first.alert_id, NOW_MS + 60, "It is sold again.")
    with pytest.raises(Conflict):
        _end(store, first, NOW_MS + 90)
    assert store.unsent_alerts(10) == [notice]
    store.mark_alert_sent(notice.alert_id)
    assert store.unsent_alerts(10) == []


def test_a_condition_that_comes_back_is_another_alert(store: Store) -> None:
    first, second = _begun(), _begun(NOW_MS + 100)
    store.raise_alert(first)
    over = _end(store, first, NOW_MS + 60)
    assert store.raise_alert(second)
    assert store.lasting_alert("unsellable", "cab-01") == second
    assert store.standing_alerts(10) == [second, over]
    assert _alert_ids(store.unsent_alerts(10)) == [first.alert_id, f"{first.alert_id}:ended", second.alert_id]


def test_what_is_posted_after_the_end_was_begun_first(store: Store) -> None:
    """Whoever posts late tells both, in their order, even if they were in one moment."""
    first = _begun()
    store.raise_alert(first)
    over = _end(store, first, NOW_MS - 5)
    assert _alert_ids(store.unsent_alerts(10)) == [first.alert_id, f"{first.alert_id}:ended"]
    assert store.unsent_alerts(1) == [over]


def test_an_alert_stands_until_it_is_acknowledged_and_a_condition_until_it_has_ended_too(store: Store) -> None:
    event, acked_first, ended_first = an_alert("a-1", NOW_MS - 9), _begun(), _begun(NOW_MS + 1, "cab-02")
    for alert in (event, acked_first, ended_first):
        store.raise_alert(alert)
    assert store.standing_alerts(10) == [ended_first, acked_first, event]
    assert store.standing_alerts(1) == [ended_first]
    acked, over = _ack(store, acked_first), _end(store, ended_first, NOW_MS + 2)
    assert store.standing_alerts(10) == [over, acked, event]
    _ack(store, over)
    assert store.alert(_ack(store, event).alert_id) == alerts.acknowledged(event, "ana", NOW_MS + 7)
    assert store.standing_alerts(10) == [acked]
    _end(store, acked, NOW_MS + 9)
    assert store.standing_alerts(10) == []
    assert not store.raise_alert(event)
    store.move(step(new_order("o-1"), alerts=(event,)))  # raised again, it does not stand again
    assert store.standing_alerts(10) == []
    assert len(store.recent_alerts(10)) == 5


def test_an_alert_is_changed_only_as_it_was_read(store: Store) -> None:
    event = an_alert("a-1")
    with pytest.raises(Conflict):
        _ack(store, event)
    assert store.alert("a-1") is None
    store.raise_alert(event)
    acked = _ack(store, event)
    with pytest.raises(Conflict):
        _ack(store, event, NOW_MS + 8)
    with pytest.raises(Conflict):
        store.change_alert(event, alerts.acknowledged(event, "ben", NOW_MS + 9))
    assert store.alert("a-1") == acked


def test_an_acknowledgement_changes_nothing_about_what_is_posted(store: Store) -> None:
    sent, unsent = an_alert("a-1"), an_alert("a-2")
    for alert in (sent, unsent):
        store.raise_alert(alert)
    store.mark_alert_sent("a-1")
    _ack(store, sent)
    acked = _ack(store, unsent)
    assert store.unsent_alerts(10) == [acked]


@pytest.mark.parametrize(
    "change",
    [
        lambda begun: (begun, msgspec.structs.replace(begun, subject="cab-02"), None),
        lambda begun: (begun, msgspec.structs.replace(begun, alert_id="another"), None),
        lambda begun: (alerts.ended(begun, NOW_MS), begun, None),
        lambda begun: (begun, alerts.ended(begun, NOW_MS), an_alert("a-1")),
    ],
)
def test_an_alert_stays_what_it_is(store: Store, change: Callable[[Alert], tuple[Alert, Alert, Alert]]) -> None:
    store.raise_alert(_begun())
    with pytest.raises(InvariantBroken):
        store.change_alert(*change(_begun()))
    assert store.recent_alerts(10) == [_begun()]


def test_a_condition_belongs_to_no_step(store: Store) -> None:
    with pytest.raises(InvariantBroken, match="condition"):
        store.move(step(new_order("o-1"), alerts=(_begun(),)))
    assert store.order("o-1") is None


def test_pruning_keeps_what_lasts_for_good_and_what_nobody_has_acknowledged_for_400_days(store: Store) -> None:
    def raised(name: str, at_ms: int, *, condition: bool = False, sent: bool = True) -> Alert:
        alert = _begun(at_ms, name) if condition else an_alert(name, at_ms)
        store.raise_alert(alert)
        if sent:
            store.mark_alert_sent(alert.alert_id)
        return alert

    old_ms, ancient_ms = NOW_MS - 90 * DAY_MS - 1, NOW_MS - 400 * DAY_MS - 1
    unread, lasting = raised("unread", old_ms), raised("lasting", ancient_ms, condition=True)
    unsent = raised("unsent", ancient_ms, sent=False)
    ended = _end(store, raised("ended", old_ms, condition=True), old_ms)
    young = _ack(store, raised("young", NOW_MS - 90 * DAY_MS + 1))
    raised("unread for long", ancient_ms)
    _ack(store, raised("acknowledged", old_ms))
    late = raised("acknowledged before it was sent", old_ms, sent=False)
    _ack(store, late)
    store.mark_alert_sent(late.alert_id)
    _ack(store, _end(store, raised("over", old_ms, condition=True), old_ms))
    notices = [alert for alert in store.unsent_alerts(10) if alert.recovers]
    for notice in notices:
        store.mark_alert_sent(notice.alert_id)
    assert len(notices) == 2
    assert store.prune(NOW_MS) == 1 + 2 + 1 + 2
    assert store.prune(NOW_MS) == 0
    kept = {alert.alert_id for alert in (unread, lasting, unsent, ended, young)}
    assert {alert.alert_id for alert in store.recent_alerts(20)} == kept
    assert store.lasting_alert("unsellable", "lasting") == lasting


def _orphan(at_ms: int, **fields: object) -> UnmatchedAck:
    values: dict[str, object] = {
        "machine_id": "cab-01",
        "credit_id": "credit-1",
        "installation": "a" * 32,
        "state": "done",
        "delivered": 2,
        "uncertain": 0,
    }
    return UnmatchedAck(**{**values, **fields}, at_ms=at_ms)  # type: ignore[arg-type]


def test_the_same_orphan_is_kept_once_and_the_latest_comes_first(store: Store) -> None:
    assert store.note_unmatched_ack(_orphan(100))
    assert not store.note_unmatched_ack(_orphan(500))
    assert store.note_unmatched_ack(_orphan(300, delivered=3))
    assert store.note_unmatched_ack(_orphan(200, machine_id="cab-02"))
    assert [orphan.at_ms for orphan in store.unmatched_acks(10)] == [300, 200, 100]
    assert [orphan.at_ms for orphan in store.unmatched_acks(1)] == [300]


def _unclaimed(payment_intent: str, at_ms: int, **fields: object) -> Unclaimed:
    values = {"amount_minor": 200, "currency": "myr", "why": "it names no machine"}
    return Unclaimed(payment_intent=payment_intent, at_ms=at_ms, **{**values, **fields})  # type: ignore[arg-type]


def test_an_unclaimed_payment_is_listed_once_until_it_is_forgotten(store: Store) -> None:
    first = _unclaimed("pi_1", 100, reference="CAB-01 ", likely_machine="cab-01", price_id="price_1", quantity=3)
    assert store.unclaimed_payment("pi_1") is None
    assert store.note_unclaimed(first)
    assert not store.note_unclaimed(_unclaimed("pi_1", 500, why="anything else"))
    assert store.note_unclaimed(_unclaimed("pi_3", 300))
    assert store.note_unclaimed(_unclaimed("pi_2", 200))
    assert [payment.payment_intent for payment in store.unclaimed(10)] == ["pi_3", "pi_2", "pi_1"]
    assert [payment.payment_intent for payment in store.unclaimed(1)] == ["pi_3"]
    assert store.unclaimed(10)[-1] == store.unclaimed_payment("pi_1") == first
    for _ in range(2):
        store.forget_unclaimed("pi_1")
    assert store.unclaimed_payment("pi_1") is None
    assert [payment.payment_intent for payment in store.unclaimed(10)] == ["pi_3", "pi_2"]
    assert store.note_unclaimed(first), "it may be noted again"


def test_pruning_forgets_no_unclaimed_payment(store: Store) -> None:
    store.note_unclaimed(_unclaimed("pi_1", 100))
    store.prune(NOW_MS)
    assert store.unclaimed_payment("pi_1") is not None


def test_only_the_latest_echo_counts(store: Store) -> None:
    assert store.heard_echo_ms() is None
    store.note_echo(200)
    store.note_echo(100)
    assert store.heard_echo_ms() == 200
    store.note_echo(300)
    assert store.heard_echo_ms() == 300


def test_an_echo_from_a_clock_that_was_ahead_is_forgotten(store: Store) -> None:
    store.forget_echoes(0)
    store.note_echo(9000)
    store.forget_echoes(9000)
    assert store.heard_echo_ms() == 9000
    store.forget_echoes(8999)
    assert store.heard_echo_ms() is None
    assert store.hearing() is None
    store.note_echo(200)
    assert store.heard_echo_ms() == 200
    assert store.hearing() == Hearing(200, 200)


def test_echoes_prove_hearing_from_the_first_of_them_that_no_long_gap_precedes(store: Store) -> None:
    assert store.hearing() is None
    start_ms = NOW_MS
    store.note_echo(start_ms)
    assert store.hearing() == Hearing(start_ms, start_ms)
    store.note_echo(start_ms + HEARS_FOR_MS)
    store.note_echo(start_ms + 10)  # late
    assert store.hearing() == Hearing(start_ms, start_ms + HEARS_FOR_MS)
    again_ms = start_ms + 2 * HEARS_FOR_MS + 1
    store.note_echo(again_ms)
    assert store.hearing() == Hearing(again_ms, again_ms)
    store.note_echo(again_ms)
    store.note_echo(again_ms + 5)
    assert store.hearing() == Hearing(again_ms, again_ms + 5)
    assert store.heard_echo_ms() == again_ms + 5


def test_presences_are_due_at_their_time_the_longest_due_first(store: Store) -> None:
    for name, due_at_ms in (("cab-01", 300), ("cab-02", None), ("cab-03", 100), ("cab-04", 301), ("cab-05", 100)):
        store.put_presence(Presence(machine_id=name, version=1, due_at_ms=due_at_ms), 0)
    assert store.due_presences(300, 10) == ["cab-03", "cab-05", "cab-01"]
    assert store.due_presences(300, 2) == ["cab-03", "cab-05"]
    assert store.due_presences(99, 10) == []
    store.put_presence(Presence(machine_id="cab-03", version=2, due_at_ms=None), 1)
    store.put_presence(Presence(machine_id="cab-05", version=2, due_at_ms=400), 1)
    assert store.due_presences(300, 10) == ["cab-01"]
    assert store.due_presences(400, 10) == ["cab-01", "cab-04", "cab-05"]


def test_presences_wait_for_later_the_first_due_first(store: Store) -> None:
    for name, due_at_ms in (("cab-01", 300), ("cab-02", None), ("cab-03", 100), ("cab-04", 301), ("cab-05", 300)):
        store.put_presence(Presence(machine_id=name, version=1, due_at_ms=due_at_ms), 0)
    assert store.waiting_presences(100, 10) == ["cab-01", "cab-05", "cab-04"]
    assert store.waiting_presences(99, 2) == ["cab-03", "cab-01"]
    assert store.waiting_presences(301, 10) == []
    store.put_presence(Presence(machine_id="cab-01", version=2, due_at_ms=100), 1)
    store.put_presence(Presence(machine_id="cab-05", version=2, due_at_ms=None), 1)
    assert store.waiting_presences(100, 10) == ["cab-04"]


def test_the_last_note_of_a_sweep_counts(store: Store) -> None:
    """It corrects a clock that was ahead."""
    assert store.reconciled_ms() is None
    store.note_reconciled(200)
    assert store.reconciled_ms() == 200
    store.note_reconciled(100)
    assert store.reconciled_ms() == 100


def test_an_accepted_webhook_makes_those_that_were_refused_before_count_no_more(store: Store) -> None:
    assert store.webhooks() == Webhooks()
    store.note_webhooks_refused(3, 100, "no signature fits")
    store.note_webhooks_refused(2, 200, "the clock")
    refused = Webhooks(refused=5, refused_since_ms=100, refused_at_ms=200, why="the clock")
    assert store.webhooks() == refused
    store.note_webhook_accepted(300)
    store.note_webhook_accepted(250)
    store.note_webhooks_refused(9, 290, "late")
    assert store.webhooks() == Webhooks(accepted_at_ms=300)
    store.note_webhooks_refused(1, 300, "no signature fits")
    assert store.webhooks() == Webhooks(
        accepted_at_ms=300, refused=1, refused_since_ms=300, refused_at_ms=300, why="no signature fits"
    )


# housekeeping


def test_pruning_forgets_old_events_and_sent_alerts_and_nothing_else(store: Store) -> None:
    old_ms = NOW_MS - 90 * DAY_MS - 1
    young_ms = NOW_MS - 90 * DAY_MS + 1
    order = new_order("o-1", created_at_ms=old_ms, due_at_ms=old_ms)
    entry = HistoryEntry(order_id="o-1", version=1, at_ms=old_ms, event="test", state="open")
    store.move(Move(order=order, expected_version=0, history=entry, seen="evt_old"))
    store.note_seen("evt_old_too", old_ms)
    store.note_seen("evt_young", young_ms)
    for name, at_ms in (("old", old_ms), ("young", young_ms), ("waiting", old_ms)):
        store.raise_alert(an_alert(name, at_ms))
        _ack(store, an_alert(name, at_ms))
    store.mark_alert_sent("old")
    store.mark_alert_sent("young")
    assert store.prune(NOW_MS) == 3
    assert store.prune(NOW_MS) == 0
    assert [store.is_seen(name) for name in ("evt_old", "evt_old_too", "evt_young")] == [False, False, True]
    assert sorted(alert.alert_id for alert in store.recent_alerts(10)) == ["waiting", "young"]
    assert [alert.alert_id for alert in store.unsent_alerts(10)] == ["waiting"]
    assert store.order("o-1") == order
    assert store.history("o-1") == [entry]


def _unpaid(order_id: str = "o-1", **fields: Any) -> Order:
    return new_order(order_id, stage="abandoned", **fields)


def test_an_order_that_nobody_paid_is_forgotten_with_all_that_belongs_to_it(store: Store) -> None:
    begun, other = new_order("o-1", payment_intent="pi_1"), _unpaid("o-2", due_at_ms=NOW_MS + 1)
    order = next_version(begun, stage="abandoned", due_at_ms=NOW_MS)
    store.move(step(begun))
    store.move(step(order))
    store.move(step(other))
    store.forget(order)
    assert store.order("o-1") is None
    assert store.history("o-1") == []
    assert store.order_of_payment("pi_1") is None
    assert store.due_orders(NOW_MS + 10, 10) == ["o-2"]
    assert store.recent_orders(10) == store.recent_orders(10, machine_id=other.machine_id) == [other]
    assert (store.order("o-2"), len(store.history("o-2"))) == (other, 1)


def test_what_was_forgotten_may_be_stored_again(store: Store) -> None:
    order = _unpaid(payment_intent="pi_1")
    store.move(step(order))
    store.forget(order)
    store.move(step(new_order("o-2", payment_intent="pi_1")))
    store.move(step(_unpaid(note="again")))
    assert store.order_of_payment("pi_1") == "o-2"
    assert [entry.version for entry in store.history("o-1")] == [1]


def test_an_order_that_has_moved_or_is_gone_is_not_forgotten(store: Store) -> None:
    order = _unpaid(payment_intent="pi_1")
    store.move(step(order))
    paid = funded(order, "pi_1")
    store.move(step(paid))
    with pytest.raises(Conflict):
        store.forget(order)
    assert store.order("o-1") == paid
    assert (len(store.history("o-1")), store.order_of_payment("pi_1")) == (2, "o-1")
    with pytest.raises(Conflict):
        store.forget(_unpaid("o-2"))


def test_an_order_that_had_money_is_never_forgotten(store: Store) -> None:
    order = new_order("o-1")
    store.move(step(order))
    with pytest.raises(InvariantBroken):
        store.forget(order)
    paid = funded(order, "pi_1")
    store.move(step(paid))
    with pytest.raises(InvariantBroken):
        store.forget(paid)
    gone = _unpaid("o-2", arrival=Arrival(paid_at_ms=NOW_MS))
    store.move(step(gone))
    with pytest.raises(InvariantBroken):
        store.forget(gone)
    assert [store.order("o-1"), store.order("o-2")] == [paid, gone]


def test_a_long_history_is_forgotten_whole(store: Store) -> None:
    order = _unpaid()
    store.move(step(order))
    for _ in range(130):
        order = next_version(order, due_at_ms=NOW_MS)
        store.move(step(order))
    store.forget(order)
    assert (store.order("o-1"), store.history("o-1")) == (None, [])


def test_pruning_takes_all_that_is_old_however_much(store: Store) -> None:
    raised = tuple(an_alert(f"a-{number}", 0) for number in range(640))
    for start in range(0, len(raised), ALERTS_AT_MOST):
        store.move(step(new_order(f"o-{start}"), alerts=raised[start : start + ALERTS_AT_MOST]))
    for alert in raised[:600]:
        store.mark_alert_sent(alert.alert_id)
    assert store.prune(NOW_MS) == 600
    assert len(store.recent_alerts(2_000)) == 40


def test_a_closed_store_says_so(store: Store) -> None:
    store.move(step(new_order("o-1")))
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.order("o-1")
    with pytest.raises(StoreUnavailable):
        store.move(step(next_version(new_order("o-1"))))


# the books


def test_lines_are_booked_with_their_step_and_found_by_order_and_by_day(store: Store) -> None:
    first = (_line(), _line(number=1, machine_id="cab-02"))
    second = (_line(serial=2, day="2026-11-27", goodwill_minor=50, ordered=0, delivered=0, gross_minor=0),)
    store.move(replace(step(new_order("o-1")), lines=first))
    store.move(replace(step(next_version(new_order("o-1"))), lines=second))
    store.move(replace(step(new_order("o-10")), lines=(_line("o-10"),)))
    assert store.booked("o-1") == [*first, *second]
    assert store.booked("o-10") == [_line("o-10")]
    assert store.booked("nobody") == store.lines_of_day("2026-11-25") == []
    days = {day: store.lines_of_day(day) for day in ("2026-11-26", "2026-11-27")}
    assert sorted(days["2026-11-26"], key=lambda line: (line.order_id, line.number)) == [*first, _line("o-10")]
    assert days["2026-11-27"] == list(second)


def test_lines_without_a_step_are_booked_once(store: Store) -> None:
    store.move(step(new_order("o-1")))
    store.book((_line(),))
    for again in (_line(), _line(day="2026-11-27"), _line(gross_minor=1)):
        with pytest.raises(Conflict):
            store.book((again,))
    with pytest.raises(InvariantBroken):
        store.book((_line(serial=2), _line("o-2", serial=2)))
    store.book((_line(serial=2),))
    assert store.booked("o-1") == [_line(), _line(serial=2)]
    assert store.lines_of_day("2026-11-27") == []
    assert store.order("o-1") == new_order("o-1")


def test_what_is_booked_without_a_step_meanwhile_stops_the_step(store: Store) -> None:
    store.move(step(new_order("o-1")))
    store.book((_line(),))
    with pytest.raises(Conflict):
        store.move(replace(step(next_version(new_order("o-1"))), lines=(_line(gross_minor=100),)))
    assert store.order("o-1") == new_order("o-1")
    assert len(store.history("o-1")) == 1


@_HYPOTHESIS
@given(
    line=st.builds(
        Line,
        order_id=st.just("o"),
        day=st.just("2026-02-28"),
        serial=st.integers(1, 99),
        at_ms=st.integers(0, 2**53),
    )
)
def test_lines_come_out_as_they_went_in(store: Store, line: Line) -> None:
    line = msgspec.structs.replace(line, order_id=f"o-{next(_numbers)}")
    store.book((line,))
    assert store.booked(line.order_id) == [line]
    assert line in store.lines_of_day(line.day)


def test_a_busy_day_is_found_whole(store: Store) -> None:
    for number in range(200):
        store.book((_line(f"o-{number}"),))
    assert {line.order_id for line in store.lines_of_day("2026-11-26")} == {f"o-{n}" for n in range(200)}


def test_of_many_that_book_the_same_one_does(store: Store) -> None:
    done: list[int] = []

    def book(number: int) -> None:
        try:
            store.book((_line(gross_minor=number),))
        except Conflict:
            return
        done.append(number)

    _in_threads(8, book)
    assert [line.gross_minor for line in store.booked("o-1")] == done
    assert [line.gross_minor for line in store.lines_of_day("2026-11-26")] == done


def _fee(order_id: str, serial: int, **fields: Any) -> Line:
    values = {"kind": "fee", "what": "charge", "fee_minor": 7, "ordered": 0, "delivered": 0, "gross_minor": 0}
    return _line(order_id, serial=serial, **{**values, **fields})


# What three orders book one after the other, at two machines, in two months.
_BOOKINGS = (
    (_line("o-1"), _line("o-1", number=1, machine_id="cab-02", location="Hall #2#x")),
    (_line("o-2", machine_id="cab-02", location="Hall #2#x", method="fpx", day="2026-12-01"),),
    (_fee("o-1", 2, at_ms=NOW_MS + 3_600_000),),
    (_line("o-3", currency="", method="free", gross_minor=0),),
    (_line("o-1", serial=3, day="2026-12-01", ordered=0, delivered=0, gross_minor=0, goodwill_minor=50),),
    (_fee("o-2", 2, day="2026-12-02", machine_id="cab-02", currency="usd"),),
    (_line("o-4", day="2026-12-01"),),
)


def _book_all(store: Store) -> None:
    for lines in _BOOKINGS:
        store.book(lines, added(store.booked(lines[0].order_id), lines))


def test_tallies_are_what_their_lines_add_up_to(store: Store) -> None:
    _book_all(store)
    every = [line for lines in _BOOKINGS for line in lines]
    for by in get_args(Name):
        for only in (
            EVERY,
            Only(machine_id="cab-02"),
            Only(machines=frozenset({"cab-01", "gone"})),
            Only(location="Hall #2#x"),
            Only(method="card", currency="myr"),
        ):
            for first, last in (
                ("2026-11-01", "2026-12-31"),
                ("2026-11-26", "2026-12-01"),
                ("2026-12-02", "2026-12-02"),
                ("2026-12-02", "2026-12-31"),  # a month but for some days
                ("2026-11-01", "2026-11-25"),
            ):
                meant = [line for line in every if first <= line.day <= last and only.has(line)]
                names = {"day": "day", "location": "location", "machine": "machine_id", "method": "method"}
                for one in (found := store.taken(first, last, by, only)):
                    lines = [
                        line
                        for line in meant
                        if (getattr(line, names[by]), line.currency) == (one.name, one.currency)
                    ]
                    assert one.counts.sums == total(lines)
                    assert one.counts.lines == len(lines)
                assert sum(one.counts.lines for one in found) == len(meant)
                assert found == sorted(found, key=lambda one: (one.name, one.currency))
    assert {one.currency: one.counts for one in store.taken("2026-11-26", "2026-12-31", "day")}.keys() == {
        "",
        "myr",
        "usd",
    }


def test_a_part_is_what_a_page_shows_with_what_is_to_be_said_of_all(store: Store) -> None:
    _book_all(store)
    store.book((_line("o-7", machine_id="cab-03", currency="", method="free", gross_minor=0),))
    for by in get_args(Name):
        for only in (EVERY, Only(machine_id="cab-02"), Only(location="Main Hall"), Only(machines=frozenset())):
            for days in (("2026-11-01", "2026-12-31"), ("2026-12-02", "2026-12-31"), ("2026-11-01", "2026-11-25")):
                every = store.taken(*days, by, only)
                sums: dict[str, list[Counts]] = {}
                for one in every:
                    sums.setdefault(one.currency, []).append(one.counts)
                earned = {one.name for one in every if one.counts.sums.gross_minor > 0}
                for offset, limit in ((0, 100), (0, 1), (1, 2), (len(every), 5), (10**6, 5)):
                    found = store.taken_part(*days, by, only, offset, limit)
                    assert list(found.taken) == every[offset : offset + limit]
                    assert found.number == len(every)
                    assert set(found.earned) == earned
                    assert [one.currency for one in found.totals] == sorted(sums)
                    for one in found.totals:
                        assert one.counts.numbers == reduce(add, sums[one.currency]).numbers


def test_a_tally_counts_the_orders_whose_fee_is_open_where_they_were_charged(store: Store) -> None:
    _book_all(store)

    def fees(first: str, last: str) -> dict[str, tuple[int, int]]:
        found = store.taken(first, last, "machine", Only(currency="myr"))
        return {one.name: (one.counts.charged, one.counts.fees_open) for one in found}

    # The fee of o-2 is booked on another day and in another currency; o-4 has none yet.
    assert fees("2026-11-01", "2026-11-30") == {"cab-01": (1, 0), "cab-02": (0, 0)}
    assert fees("2026-12-01", "2026-12-01") == {"cab-01": (1, 1), "cab-02": (1, 0)}
    assert fees("2026-11-01", "2026-12-31") == {"cab-01": (2, 1), "cab-02": (1, 0)}


def test_a_day_until_a_moment(store: Store) -> None:
    _book_all(store)
    day = "2026-11-26"

    def until(at_ms: int) -> dict[str, tuple[int, int]]:
        found = store.taken_until(day, at_ms)
        return {one.currency: (one.counts.sums.gross_minor, one.counts.sums.fee_minor) for one in found}

    assert until(NOW_MS - 1) == {}
    assert until(NOW_MS) == {"": (0, 0), "myr": (400, 0)}
    assert until(NOW_MS + 3_599_999) == {"": (0, 0), "myr": (400, 0)}
    assert until(NOW_MS + 9_000_000) == {"": (0, 0), "myr": (400, 7)}


@pytest.mark.parametrize("by", ["day", "machine"])
def test_the_calendar_ends_and_a_report_to_its_end_does_too(store: Store, by: Name) -> None:
    assert store.taken("9999-12-31", "9999-12-31", by) == []
    assert store.taken("9999-11-15", "9999-12-31", by) == []


def test_a_day_until_a_moment_is_known_however_long_ago_it_was(store: Store) -> None:
    """A store may forget what it was quick by, and more may be booked for that day afterwards."""
    _book_all(store)
    day, at_ms, long_after_ms = "2026-11-26", NOW_MS + 9_000_000, NOW_MS + 200 * DAY_MS
    whole = store.taken_until(day, at_ms)
    before = {one.currency: one.counts.lines for one in whole}
    store.prune(long_after_ms)
    assert store.taken_until(day, at_ms) == whole
    late = _fee("o-5", 1, at_ms=long_after_ms)
    store.book((late,), added((), (late,)))
    assert store.taken_until(day, at_ms) == whole
    found = store.taken_until(day, long_after_ms + 1)
    assert {one.currency: one.counts.lines for one in found} == {**before, "myr": before["myr"] + 1}
    assert not store.put_tallies_right(day)


def test_the_last_play_is_the_latest(store: Store) -> None:
    store.book((_line("o-1", at_ms=NOW_MS),), added((), (_line("o-1", at_ms=NOW_MS),)))
    store.book((_line("o-2", at_ms=NOW_MS + 5),), added((), (_line("o-2", at_ms=NOW_MS + 5),)))
    nothing = _line("o-3", at_ms=NOW_MS + 9, delivered=0, gross_minor=0)
    store.book((nothing,), added((), (nothing,)))
    (one,) = store.taken("2026-11-26", "2026-11-26", "machine")
    assert one.counts.played_ms == NOW_MS + 5


def test_the_newest_lines_of_a_day_are_among_those_that_are_given(store: Store) -> None:
    for number in range(30):
        line = _line(f"o-{number}", at_ms=NOW_MS + number, machine_id=f"cab-{number % 3}")
        store.book((line,), added((), (line,)))
    newest = {line.order_id for line in store.newest_lines("2026-11-26", 5)}
    assert newest >= {f"o-{number}" for number in range(25, 30)}
    of_one = {line.order_id for line in store.newest_lines("2026-11-26", 4, ["cab-1"])}
    assert of_one >= {"o-28", "o-25", "o-22", "o-19"}
    assert store.newest_lines("2026-11-27", 5) == store.newest_lines("2026-11-26", 5, []) == []


def test_a_booking_that_conflicts_adds_nothing_to_the_tallies(store: Store) -> None:
    _book_all(store)
    before = store.tallies_of_day("2026-11-26")
    with pytest.raises(Conflict):
        store.book((_line("o-1", gross_minor=9),), added((), (_line("o-1", gross_minor=9),)))
    again = step(new_order("o-1"))
    with pytest.raises(Conflict):
        store.move(replace(again, lines=(_line("o-1"),), tallies=added((), (_line("o-1"),))))
    assert store.tallies_of_day("2026-11-26") == before


def test_many_that_book_at_one_machine_lose_nothing(store: Store) -> None:
    def book(number: int) -> None:
        line = _line(f"o-{number}")
        store.book((line,), added((), (line,)))

    _in_threads(16, book)
    (one,) = store.taken("2026-11-26", "2026-11-26", "machine")
    assert (one.counts.lines, one.counts.sums.gross_minor, one.counts.fees_open) == (16, 16 * 200, 16)


def test_tallies_that_another_program_has_left_out_are_put_right(store: Store) -> None:
    _book_all(store)
    right = {day: store.tallies_of_day(day) for day in ("2026-11-26", "2026-12-01", "2026-12-02")}
    assert not any(store.put_tallies_right(day) for day in right)
    assert {day: store.tallies_of_day(day) for day in right} == right
    for line in (_line("o-8"), _fee("o-8", 2), _fee("o-4", 2), _line("o-9", day="2026-12-01")):
        store.book((line,))
    assert [store.put_tallies_right(day) for day in right] == [True, True, False]
    assert not any(store.put_tallies_right(day) for day in right)
    (month,) = store.taken("2026-12-01", "2026-12-31", "location", Only(location="", currency="myr"))
    assert (month.counts.charged, month.counts.fees_open, month.counts.lines) == (2, 1, 3)
    until = store.taken_until("2026-11-26", NOW_MS)
    assert {one.currency: one.counts.lines for one in until} == {"": 1, "myr": 5}


def _screen(**fields: Any) -> Screen:
    return Screen(**{"machine_id": "cab-01", "version": 1, "seen_ms": NOW_MS, **fields})


def test_what_a_screen_shows_is_kept_and_replaced_by_version(store: Store) -> None:
    assert store.screen("cab-01") is None
    store.put_screen(_screen(), 0)
    second = _screen(version=2, shown=(Shown(colour="blue", shape="star", until_ms=NOW_MS + 1),))
    store.put_screen(second, 1)
    store.put_screen(_screen(machine_id="cab-02"), 0)
    assert store.screen("cab-01") == second
    for screen, expected in ((_screen(), 0), (_screen(version=2), 1), (_screen(version=4), 3)):
        with pytest.raises(Conflict):
            store.put_screen(screen, expected)
    with pytest.raises(InvariantBroken):
        store.put_screen(_screen(version=3), 1)
    assert store.screen("cab-01") == second
    assert (store.machine("cab-01"), store.presence("cab-01")) == (None, None)


def _report(**fields: Any) -> DayReport:
    return DayReport(**{"day": "2026-11-26", "version": 1, "began_ms": NOW_MS, **fields})


def test_what_reconciling_a_day_has_found_is_kept_and_replaced_by_version(store: Store) -> None:
    assert store.day_report("2026-11-26") is None
    store.put_day_report(_report(), 0)
    found = Difference(
        cause="dispute", subject="pi_1", text="RM 3.00", currency="myr", amount_minor=-300, alerts=True
    )
    sums = DaySums(currency="myr", charged_minor=300, fees_minor=109)
    second = _report(version=2, phase="done", done_ms=NOW_MS + 1, differences=(found,), sums=(sums,), more=3)
    store.put_day_report(second, 1)
    store.put_day_report(_report(day="2026-11-27"), 0)
    assert store.day_report("2026-11-26") == second
    for report, expected in ((_report(), 0), (_report(version=2), 1), (_report(version=4), 3)):
        with pytest.raises(Conflict):
            store.put_day_report(report, expected)
    with pytest.raises(InvariantBroken):
        store.put_day_report(_report(version=3), 1)
    assert store.day_report("2026-11-26") == second


# many at once


def _in_threads(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in so many threads at once; what any of them raises is raised here."""
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        gate.wait(10)
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(run, number) for number in range(count)]:
            done.result(60)


def test_sixteen_threads_move_one_order_and_each_version_exists_once(store: Store) -> None:
    store.move(step(new_order("o-1")))
    won: list[int] = []

    def work(number: int) -> None:
        moved = 0
        for _ in range(10_000):
            order = store.order("o-1")
            assert order is not None
            try:
                store.move(step(next_version(order), seen=f"evt_{number}_{moved}", text=str(number)))
            except Conflict:
                continue
            won.append(order.version + 1)
            moved += 1
            if moved == 5:
                return
        raise AssertionError("never got its five moves")

    _in_threads(16, work)
    assert sorted(won) == list(range(2, 82))
    found = store.order("o-1")
    assert found is not None
    assert found.version == 81
    history = store.history("o-1")
    assert [entry.version for entry in history] == list(range(1, 82))
    assert all(sum(entry.text == str(number) for entry in history) == 5 for number in range(16))


def test_of_many_orders_that_want_one_payment_one_gets_it(store: Store) -> None:
    for number in range(16):
        store.move(step(new_order(f"o-{number}")))
    refused: list[int] = []

    def work(number: int) -> None:
        try:
            store.move(step(funded(new_order(f"o-{number}"), "pi_1")))
        except PaymentTaken:
            refused.append(number)

    _in_threads(16, work)
    assert len(refused) == 15
    (winner,) = set(range(16)) - set(refused)
    assert store.order_of_payment("pi_1") == f"o-{winner}"


def test_of_many_that_bring_one_event_one_gets_it_stored(store: Store) -> None:
    stored: list[int] = []

    def work(number: int) -> None:
        if number % 2:
            if store.note_seen("evt_1", NOW_MS):
                stored.append(number)
            return
        try:
            store.move(step(new_order(f"o-{number}"), seen="evt_1"))
        except AlreadySeen:
            return
        stored.append(number)

    _in_threads(16, work)
    assert len(stored) == 1


def test_threads_that_do_all_kinds_of_things_do_not_disturb_each_other(store: Store) -> None:
    store.put_machine(Machine(machine_id="cab-01", version=1), 0)

    def work(number: int) -> None:
        for turn in range(10):
            order = new_order(f"o-{number}-{turn}", due_at_ms=NOW_MS + turn)
            store.move(step(order, alerts=(an_alert(f"a-{turn}"),)))
            store.note_echo(number * 100 + turn)
            assert store.order(order.order_id) == order
            assert store.machine("cab-01") is not None
            assert len(store.due_orders(NOW_MS * 2, 5)) >= 1
            assert not store.raise_alert(an_alert(f"a-{turn}"))

    _in_threads(8, work)
    assert len(store.recent_orders(1_000)) == 80
    assert len(store.recent_alerts(1_000)) == 10
    assert store.heard_echo_ms() == 709


# what outlives the program


def test_opening_again_finds_everything(durable: Durable) -> None:
    store = durable.open()
    order = funded(new_order("o-1"), "pi_1", "credit-1")
    store.move(step(new_order("o-1"), seen="evt_1", alerts=(an_alert("a-1"),)))
    store.move(step(order))
    store.put_machine(Machine(machine_id="cab-01", version=1), 0)
    store.put_presence(Presence(machine_id="cab-01", version=1), 0)
    store.note_unmatched_ack(_orphan(100))
    store.note_echo(7)
    store.note_reconciled(8)
    store.note_rechecked(Waiting(9, "o-1"))
    before = _all_of(store, ["o-1"])
    store.close()

    again = durable.open()
    assert _all_of(again, ["o-1"]) == before
    assert again.order("o-1") == order
    assert again.machine("cab-01") == Machine(machine_id="cab-01", version=1)
    assert again.presence("cab-01") == Presence(machine_id="cab-01", version=1)
    assert again.unmatched_acks(10) == [_orphan(100)]
    assert again.heard_echo_ms() == 7
    assert again.reconciled_ms() == 8
    assert again.rechecked_until() == Waiting(9, "o-1")
    again.close()


_OTHER_PROCESS = """
import json, sys
sys.path.insert(0, sys.argv[2])
from arcade_cloud.errors import Conflict
from arcade_cloud.adapters.store import open_store
from arcade_cloud.adapters.store.dynamodb.client import Table
from arcade_cloud.adapters.store.dynamodb.items import FORM_KEY
from arcade_cloud.adapters.store.forms import FORM_1, Forms
from arcade_cloud.adapters.store.sqlite.file import MIGRATIONS, SCHEMA_OF_FORM_1
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.config.dynamodb_address import parse
from support.order_records import new_order, next_version, step
from support.orders import NOW_MS

print("ready", flush=True)
sys.stdin.readline()
store = open_store(sys.argv[1], dynamodb_endpoint=sys.argv[5] or None)
name, wanted = sys.argv[3], int(sys.argv[4])
won, noted = [], []
while len(won) < wanted:
    order = store.order("shared")
    try:
        store.move(step(new_order("shared") if order is None else next_version(order), text=name))
    except Conflict:
        continue
    won.append(1 if order is None else order.version + 1)
    print(won[-1], flush=True)
    event = f"evt_{len(won)}"
    if store.note_seen(event, NOW_MS):
        noted.append(event)
store.close()
print(json.dumps([won, noted]), flush=True)
"""


def _start(durable: Durable, name: str, wanted: int) -> subprocess.Popen[str]:
    """A process that is ready to open the store, and waits for `_go`."""
    tests = str(Path(__file__).resolve().parents[1])
    process = subprocess.Popen(
        [sys.executable, "-c", _OTHER_PROCESS, durable.url, tests, name, str(wanted), durable.endpoint or ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_processes_that_start_at_once_on_nothing_share_one_store(durable: Durable) -> None:
    """The first start makes the schema, whoever is first; then each version is made once, each event new once."""
    running = [_start(durable, f"p-{number}", 25) for number in range(4)]
    for process in running:
        _go(process)
    answers = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 4, answers
    told = [json.loads(out.strip().splitlines()[-1]) for out, _ in answers]
    assert sorted(version for won, _ in told for version in won) == list(range(1, 101))
    assert sorted(event for _, noted in told for event in noted) == sorted(f"evt_{n}" for n in range(1, 26))
    store = durable.open()
    assert [entry.version for entry in store.history("shared")] == list(range(1, 101))
    store.close()


def test_what_was_reported_as_stored_is_there_after_a_kill(durable: Durable) -> None:
    process = _start(durable, "victim", 1_000_000)
    _go(process)
    assert process.stdout is not None
    reported = [int(process.stdout.readline()) for _ in range(40)]
    process.kill()
    reported += [int(line) for line in process.communicate()[0].split("\n")[:-1]]
    store = durable.open()
    order = store.order("shared")
    assert order is not None
    assert order.version >= reported[-1]
    assert [entry.version for entry in store.history("shared")] == list(range(1, order.version + 1))
    store.move(step(next_version(order)))
    store.close()
