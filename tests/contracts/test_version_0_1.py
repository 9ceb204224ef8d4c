"""What version 0.1 left in a store, with orders in every state, is brought to its right end by this version."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.dynamodb import items
from arcade_cloud.adapters.store.dynamodb.store import FORM_LIFE_S, DynamoStore
from arcade_cloud.adapters.store.forms import FORMS
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.config.dynamodb_address import parse
from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.order import Order
from arcade_cloud.ports.store import Store
from support.dynamodb_tables import a_table
from support.orders import only_credit, session_of
from support.version_0_1 import TakenOver, write_file, write_table

# As 0.1 had them, but for the silence about a hold, which would be six hours.
LIMITS = Limits(hold_silence_limit_s=200)


@dataclass(frozen=True)
class End:
    """How an order of three credits for RM 3.00 ends. `kept`: what the operator has at Stripe then."""

    state: str
    delivered: int | None = None
    by: str = ""
    kept: int = 0
    goodwill: int = 0
    lost: int = 0


ENDS = {
    "settled": End("settled", 3, "ack", 300),
    "settled, refund pending": End("settled", 1, "ack", 100),
    "settled, disputed": End("settled", 3, "ack", 300, lost=300),
    "settled, goodwill": End("settled", 3, "ack", 200, goodwill=100),
    "capture lost": End("settled", 3, "ack", 300),
    "capture unanswered": End("settled", 3, "ack", 300),
    "cancel lost": End("settled", 0, "ack", 0),
    "refund lost": End("settled", 1, "ack", 100),
    "refund unanswered": End("settled", 1, "ack", 100),
    "whole capture": End("settled", 2, "ack", 200),
    "resolved, unread": End("settled", 2, "ack", 200),
    "returning, late": End("settled"),
    "unmatched": End("settled"),
    "abandoned, to be read": End("abandoned"),
    "abandoned, nobody came": End("abandoned"),
    "abandoned, no page": End("abandoned"),
    "open, waiting": End("abandoned"),
    "open, bank decides": End("settled"),  # too late: the player paid long before the bank decided
    "open, paid and not told": End("settled", 3, "ack", 300),
    "open, pays later": End("settled", 3, "ack", 300),
    "revoking, silent": End("settled", 1, "silence", 100),
    "revoking, nothing confirmed": End("settled", 0, "ack", 0),
    "revoking, refund asked": End("settled", 3, "ack", 100, goodwill=200),
    "revoking, grown quiet": End("settled", 2, "ack", 200),
    "funded, machine off": End("settled", 3, "ack", 300),
    "funded, publish unknown": End("settled", 3, "ack", 300),
    "funded, pulsing": End("settled", 3, "ack", 300),
    "funded, power cut": End("settled", 1, "ack", 100),
    "funded, reported and not read": End("settled", 3, "ack", 300),
    "funded, computer exchanged": End("settled", 0, "unsent", 0),
    "subscriber, refused": End("settled", 3, "broker", 300),
    "subscriber, sending": End("settled", 0, "unconfirmed", 0),
    "link, machine off": End("settled", 3, "ack", 300),
    "link, never heard": End("settled", 0, "unsent", 0),
    "grant": End("settled", 2, "ack"),
}
# Three credits each for what was funded or paid in time, and two for the grant; the others had been pulsed before.
PULSED_NOW = 6 * 3 + 2


@dataclass(frozen=True)
class Left:
    """A store as version 0.1 left it. `record` is an order's JSON as it is stored."""

    store: Store
    record: Callable[[str], bytes]
    upgrade_elsewhere: Callable[[], None]


@contextmanager
def _in_sqlite(path: Path) -> Iterator[Left]:
    write_file(path)

    def record(order_id: str) -> bytes:
        with closing(sqlite3.connect(path)) as connection:
            (found,) = connection.execute("SELECT record FROM orders WHERE order_id = ?", (order_id,)).fetchone()
        return bytes(found)

    def upgrade_elsewhere() -> None:
        with closing(SqliteStore(path)) as other:
            assert other.upgrade() == FORMS.newest

    with closing(SqliteStore(path)) as store:
        yield Left(store, record, upgrade_elsewhere)


@contextmanager
def _in_dynamodb(endpoint: str) -> Iterator[Left]:
    with a_table(endpoint, older=True) as url:
        seconds = 0.0
        with closing(DynamoStore(parse(url), endpoint, monotonic_s=lambda: seconds)) as store:
            write_table(store.table)

            def record(order_id: str) -> bytes:
                found = store.table.get(items.key("order", order_id))
                assert found is not None
                return items.body(found)

            def upgrade_elsewhere() -> None:
                nonlocal seconds
                with closing(DynamoStore(parse(url), endpoint)) as other:
                    assert other.upgrade() == FORMS.newest
                seconds += FORM_LIFE_S

            yield Left(store, record, upgrade_elsewhere)


@pytest.fixture(params=["sqlite", "dynamodb"])
def left(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Left]:
    if request.param == "sqlite":
        with _in_sqlite(tmp_path / "arcade.db") as found:
            yield found
        return
    with _in_dynamodb(request.getfixturevalue("dynamodb").endpoint) as found:
        yield found


def form_of(record: bytes) -> int:
    return int(json.loads(record).get("form", 1))


def go_on(world: TakenOver) -> None:
    """What players and banks do next."""
    stripe, intent_of = world.account, world.payment_intent_of
    stripe.pay(session_of(world.labelled("open, pays later")))
    stripe.settle_async(intent_of("open, bank decides"))
    world.settle_down(days=0.02)
    stripe.finish_refund(intent_of("settled, refund pending"), "failed")
    stripe.close_dispute(intent_of("settled, disputed"), "lost")
    world.settle_down()


def end_of(world: TakenOver, label: str) -> End:
    order = world.labelled(label)
    done = only_credit(order).resolution
    paid = order.payment_intent is not None
    return End(
        order.state,
        order.delivered,
        "" if done is None else done.by,
        world.account.money_of(world.payment_intent_of(label))["kept"] if paid else 0,
        order.books.goodwill_minor,
        order.books.lost_minor,
    )


def check_ends(world: TakenOver) -> None:
    assert {label: end_of(world, label) for label in world.labels} == ENDS
    assert world.machine.pulsed == PULSED_NOW
    kinds = {alert.kind for alert in world.store.recent_alerts(1000)}
    assert not kinds & {"unclaimed", "unmatched_payment"}, "all that was under way is ours by its record"
    assert [line for line in world.account.money() if line["held"]] == []
    for label in world.labels:  # what nobody paid is due to be forgotten
        order = world.labelled(label)
        assert order.due_at_ms is None or order.state == "abandoned", label


def test_the_store_was_left_with_orders_in_every_state(left: Left) -> None:
    """What these tests need is there: a new version of the files must not lose any of it."""
    world = TakenOver(left.store, LIMITS)
    assert set(world.labels) == set(ENDS)

    def shows(label: str) -> Order:
        return world.labelled(label)

    for label in world.labels:
        order = shows(label)
        state = label.split(",")[0]
        if state in {"open", "abandoned", "funded", "revoking", "resolved", "returning", "settled"}:
            assert order.state == state, label
    assert {shows(label).state for label in ("capture lost", "refund unanswered", "whole capture")} == {"resolved"}
    assert [shows(label).kind for label in ("grant", "link, never heard", "unmatched")] == [
        "grant",
        "link",
        "unmatched",
    ]
    assert shows("open, bank decides").payment_intent is not None
    assert shows("open, waiting").payment_intent is None
    assert shows("abandoned, to be read").due_at_ms is not None
    assert shows("settled, refund pending").due_at_ms is not None
    assert shows("funded, machine off").credit_ids != ()
    assert shows("link, never heard").credit_ids == shows("funded, computer exchanged").credit_ids == ()
    assert only_credit(shows("subscriber, sending")).subscriber
    for label, confirmed in (("revoking, silent", True), ("revoking, nothing confirmed", False)):
        delivery = only_credit(shows(label)).delivery
        assert delivery is not None
        assert delivery.revoking is not None
        assert (delivery.revoking.first_confirmed_at_ms is not None) is confirmed
    for label, operation in (("capture lost", "capture"), ("refund lost", "refund"), ("cancel lost", "cancel")):
        settlement = shows(label).settlement
        assert settlement.key.startswith(f"{operation}:")
        assert not settlement.key_over
    assert shows("whole capture").settlement.whole_capture
    assert shows("settled, goodwill").books.goodwill_minor == 100


def test_everything_else_that_it_left_is_read(left: Left) -> None:
    store = left.store
    assert left.store.form() == 1
    assert [machine.machine_id for machine in store.machines()] == [
        "cab-01",
        "cab-02",
        "cab-03",
        "cab-04",
        "software",
    ]
    presence = store.presence("cab-01")
    assert presence is not None
    assert presence.ready
    assert [ack.delivered for ack in store.unmatched_acks(10)] == [3]
    assert {alert.kind for alert in store.recent_alerts(50)} >= {"orphan", "stray", "dispute"}
    assert store.heard_echo_ms() is not None
    assert store.reconciled_ms() is not None
    orders = store.recent_orders(100)
    assert len(orders) == len(ENDS)
    for order in orders:
        assert [entry.version for entry in store.history(order.order_id)] == list(range(1, order.version + 1))
        for credit_id in order.credit_ids:
            assert store.order_of_credit(credit_id) == order.order_id
        if order.payment_intent is not None:
            assert store.order_of_payment(order.payment_intent) == order.order_id
        assert order in store.recent_orders(100, machine_id=order.machine_id)


def test_every_order_comes_to_its_right_end_while_the_store_stays_at_form_1(left: Left) -> None:
    """What was under way at Stripe goes on with the same keys: no lost request, or answer, is asked for twice."""
    world = TakenOver(left.store, LIMITS)
    under_way = ("capture lost", "capture unanswered", "cancel lost", "refund lost", "refund unanswered")
    keys = {label: world.labelled(label).settlement.key for label in under_way}
    go_on(world)
    check_ends(world)
    assert {label: world.labelled(label).settlement.key for label in under_way} == keys
    assert left.store.form() == 1
    kept = set(world.labels.values()) - world.forgotten.keys()
    assert {form_of(left.record(order_id)) for order_id in kept} == {1}


def test_what_0_1_settled_is_booked_once_by_a_rebuild_and_the_lines_say_what_the_orders_say(left: Left) -> None:
    """Also where this version has settled an order anew in the meantime, and booked all of it."""
    world = TakenOver(left.store, LIMITS)
    assert all(left.store.booked(order_id) == [] for order_id in world.labels.values())
    *_, first = world.services.takings.rebuild()
    assert first.booked == sum(world.order(order_id).state == "settled" for order_id in world.labels.values()) > 0
    assert (first.broken, first.differences) == ([], [])
    go_on(world)
    check_ends(world)
    *_, then = world.services.takings.rebuild()
    assert (then.booked, then.broken, then.differences) == (0, [], [])
    kept = sum(end.kept - end.lost for end in ENDS.values())
    assert then.by_days["myr"].kept_minor == kept
    assert then.by_days["myr"].goodwill_minor == sum(end.goodwill for end in ENDS.values())
    assert then.by_days["myr"].lost_minor == sum(end.lost for end in ENDS.values())
    assert then.by_days["myr"].delivered == sum(
        end.delivered or 0 for name, end in ENDS.items() if name != "grant"
    )
    assert then.by_days[""].delivered == 2


def test_an_upgrade_in_the_middle_changes_no_end_and_each_record_at_its_next_step_only(left: Left) -> None:
    world = TakenOver(left.store, LIMITS)
    ids = world.labels.values()

    def settled() -> int:
        return sum(world.order(order_id).state == "settled" for order_id in ids)

    world.settle_down(until=lambda: settled() >= 10)
    records = {order_id: left.record(order_id) for order_id in ids}
    versions = {order_id: world.order(order_id).version for order_id in ids}
    left.upgrade_elsewhere()
    assert {order_id: left.record(order_id) for order_id in ids} == records
    assert {form_of(record) for record in records.values()} == {1}

    go_on(world)
    check_ends(world)
    assert left.store.form() == FORMS.newest
    moved = {order_id for order_id in ids if world.order(order_id).version > versions[order_id]}
    kept = set(ids) - world.forgotten.keys()
    assert 0 < len(kept) < len(ids)  # what nobody paid is gone
    for order_id in kept:
        after = left.record(order_id)
        assert (after != records[order_id]) == (order_id in moved)
        assert form_of(after) == (FORMS.newest if order_id in moved else 1)
    assert 0 < len(moved) < len(records)
    assert {order.order_id for order in left.store.recent_orders(100)} == kept


def test_an_upgrade_at_the_start_changes_no_end(tmp_path: Path) -> None:
    with _in_sqlite(tmp_path / "arcade.db") as left:
        left.upgrade_elsewhere()
        world = TakenOver(left.store, LIMITS)
        go_on(world)
        check_ends(world)


class _Machine01(msgspec.Struct, frozen=True, kw_only=True):
    """A machine as 0.1 reads and writes it."""

    machine_id: str
    version: int = 0
    kind: str = "agent"
    name: str = ""
    contact: str = ""
    picture_url: str = ""
    offers: tuple[dict[str, object], ...] = ()
    created_at_ms: int = 0


def test_a_machine_of_0_1_is_in_service_and_nowhere() -> None:
    written = msgspec.json.encode(_Machine01(machine_id="cab-01", version=1, name="Duel"))
    machine = records.machine(written, "cab-01")
    assert (machine.name, machine.location, machine.closure) == ("Duel", "", None)


def test_0_1_reads_a_machine_of_this_version_and_forgets_what_it_does_not_know_when_it_changes_it() -> None:
    """docs/UPGRADING.md says so: no machine is closed while 0.1 still changes machines."""
    closed = Machine(machine_id="cab-01", version=2, name="Duel", location="Pier", closure=Closure(since_ms=1))
    read = msgspec.json.decode(records.encode(closed), type=_Machine01)
    assert (read.name, read.version) == ("Duel", 2)
    after = records.machine(msgspec.json.encode(msgspec.structs.replace(read, version=3)), "cab-01")
    assert (after.location, after.closure) == ("", None)
