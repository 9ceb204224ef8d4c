"""This version beside a later one on one store: both work until the later one upgrades it, then this one refuses.

The later version is made up here: its orders have a form of their own, and its files one schema more.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from arcade_cloud.adapters.store.dynamodb import items
from arcade_cloud.adapters.store.dynamodb.client import Table
from arcade_cloud.adapters.store.dynamodb.store import FORM_LIFE_S, DynamoStore
from arcade_cloud.adapters.store.dynamodb.table import make_table
from arcade_cloud.adapters.store.forms import FORM_1, FORM_2, FORMS, Form, Forms
from arcade_cloud.adapters.store.sqlite.file import MIGRATIONS
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.config.dynamodb_address import TableAddress, parse
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.order import Order
from arcade_cloud.errors import FormTooNew, InvariantBroken, StoreUnavailable
from arcade_cloud.ports.store import Store, Waiting
from arcade_sandbox.dynamodb import DynamoDBLocal
from simulation.account_payments import AccountPayments
from support.dynamodb_tables import a_table
from support.mortal_cloud import MortalCloud
from support.order_records import an_alert, new_order, next_version, step
from support.orders import NOW_MS


class Record3(Struct, frozen=True, forbid_unknown_fields=True):
    """An order as the later version stores it: with something that this one does not know."""

    form: int
    order: Order
    prize: str


FORM_3 = Form(
    3,
    lambda record: msgspec.json.decode(record, type=Record3).order,
    lambda order: msgspec.json.encode(Record3(3, order, "a plush penguin")),
)
LATER_FORMS = Forms(FORM_1, FORM_2, FORM_3)
LATER_MIGRATIONS = (*MIGRATIONS, ("ALTER TABLE orders ADD COLUMN prize TEXT",))
# The words are for whoever runs the older one: what it is, and what to do.
WHOLE_STORE = (
    r"(schema version 4, this program knows 3|form 3, and this program knows forms up to 2): install the newer"
)
ONE_ORDER = r"order o-3 has form 3, and this program knows forms up to 2: install the newer"


@dataclass
class Shared:
    """One database, and how each version opens it. `raw` is a record as it is stored, `contents` all there is."""

    open_this: Callable[[], Store]
    open_later: Callable[[], Store]
    raw: Callable[[str], bytes]
    write_raw: Callable[[str, bytes], None]
    contents: Callable[[], Any]
    a_minute_goes_by: Callable[[], None]
    opened: list[Store] = field(default_factory=list)

    def this(self) -> Store:
        """A process of this version."""
        self.opened.append(self.open_this())
        return self.opened[-1]

    def later(self) -> Store:
        """A process of the later version."""
        self.opened.append(self.open_later())
        return self.opened[-1]


@contextmanager
def _in_sqlite(path: Path) -> Iterator[Shared]:
    SqliteStore(path).close()

    def sql(statement: str, *values: object) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    tables = [row[0] for row in sql("SELECT name FROM sqlite_master WHERE type = 'table'")]
    yield Shared(
        open_this=lambda: SqliteStore(path),
        open_later=lambda: SqliteStore(path, forms=LATER_FORMS, migrations=LATER_MIGRATIONS),
        raw=lambda order_id: bytes(sql("SELECT record FROM orders WHERE order_id = ?", order_id)[0][0]),
        write_raw=lambda order_id, record: (
            sql("UPDATE orders SET record = ? WHERE order_id = ?", record, order_id),
            None,
        )[-1],
        contents=lambda: {name: sql(f"SELECT * FROM {name}") for name in tables},
        a_minute_goes_by=lambda: None,
    )


@contextmanager
def _in_dynamodb(endpoint: str) -> Iterator[Shared]:
    with a_table(endpoint) as url, closing(Table(parse(url), endpoint)) as table:
        seconds = 0.0

        def opened(forms: Forms) -> Store:
            return DynamoStore(parse(url), endpoint, forms=forms, monotonic_s=lambda: seconds)

        def item(order_id: str) -> items.Item:
            found = table.get(items.key("order", order_id))
            assert found is not None
            return found

        def a_minute_goes_by() -> None:
            nonlocal seconds
            seconds += FORM_LIFE_S

        def write_raw(order_id: str, record: bytes) -> None:
            table.request("put_item", Item={**item(order_id), "body": {"B": record}})

        def contents() -> Any:
            found = table.request("scan", ConsistentRead=True)["Items"]
            return sorted(found, key=lambda item: (item["pk"]["S"], item["sk"]["S"]))

        yield Shared(
            open_this=lambda: opened(FORMS),
            open_later=lambda: opened(LATER_FORMS),
            raw=lambda order_id: items.body(item(order_id)),
            write_raw=write_raw,
            contents=contents,
            a_minute_goes_by=a_minute_goes_by,
        )


@pytest.fixture(params=["sqlite", "dynamodb"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    if request.param == "sqlite":
        with _in_sqlite(tmp_path / "arcade.db") as found:
            yield found
    else:
        with _in_dynamodb(request.getfixturevalue("dynamodb").endpoint) as found:
            yield found
    for store in found.opened:
        store.close()


def form_of(record: bytes) -> int:
    return int(json.loads(record).get("form", 1))


def upgraded(shared: Shared, later: Store) -> None:
    """An operator believes that only the later version is left."""
    assert later.upgrade() == 3
    shared.a_minute_goes_by()


def test_both_versions_work_on_the_same_orders_until_the_upgrade(shared: Shared) -> None:
    this, later = shared.this(), shared.later()
    order = new_order("o-1")
    this.move(step(order))
    for store in (later, this, later, this):
        found = store.order("o-1")
        assert found == order
        order = next_version(order)
        store.move(step(order))
    assert this.form() == later.form() == 2
    assert form_of(shared.raw("o-1")) == 2
    assert this.history("o-1") == later.history("o-1")
    assert len(this.history("o-1")) == 5


def test_after_the_upgrade_this_version_refuses_in_words_and_writes_nothing(shared: Shared) -> None:
    this, later = shared.this(), shared.later()
    old, moved = new_order("o-1"), new_order("o-3")
    this.move(step(old))
    this.move(step(moved))
    this.put_machine(Machine(machine_id="cab-01", version=1), 0)
    upgraded(shared, later)
    later.move(step(next_version(moved)))
    assert (form_of(shared.raw("o-1")), form_of(shared.raw("o-3"))) == (2, 3)

    before = shared.contents()
    refused: list[Callable[[], object]] = [
        lambda: this.move(step(next_version(old))),
        lambda: this.move(step(new_order("o-9"))),
        lambda: this.put_machine(Machine(machine_id="cab-01", version=2), 1),
        lambda: this.note_seen("evt_1", NOW_MS),
        lambda: this.raise_alert(an_alert("a-1")),
        lambda: this.note_echo(NOW_MS),
        lambda: this.forget_echoes(NOW_MS),
        lambda: this.postpone("o-1", NOW_MS + 10**9),
        lambda: this.note_rechecked(Waiting(NOW_MS, "o-1")),
        lambda: this.note_rechecked(None),
        this.form,
        this.upgrade,
    ]
    for call in refused:
        with pytest.raises(FormTooNew, match=WHOLE_STORE):
            call()
    with pytest.raises(FormTooNew, match=ONE_ORDER):
        this.order("o-3")
    assert this.order("o-1") == old
    assert shared.contents() == before

    assert later.order("o-1") == old
    assert later.order("o-3") == next_version(moved)
    later.move(step(next_version(old)))
    assert form_of(shared.raw("o-1")) == 3
    assert b"a plush penguin" in shared.raw("o-1")


def test_what_is_refused_can_be_asked_again_elsewhere(shared: Shared) -> None:
    """The caller is told that nothing was stored, so Stripe and the broker send it again."""
    this, later = shared.this(), shared.later()
    upgraded(shared, later)
    with pytest.raises(StoreUnavailable):
        this.note_seen("evt_1", NOW_MS)
    assert later.note_seen("evt_1", NOW_MS)


def test_a_version_that_starts_on_a_store_which_is_newer_does_not_get_far(shared: Shared) -> None:
    upgraded(shared, shared.later())
    with pytest.raises(FormTooNew, match=WHOLE_STORE):
        shared.this().form()


def test_an_upgrade_can_be_repeated_and_never_goes_back(shared: Shared) -> None:
    later = shared.later()
    assert [later.upgrade(), later.upgrade(), later.form()] == [3, 3, 3]
    with pytest.raises(FormTooNew):
        shared.this().upgrade()
    assert later.form() == 3


@pytest.fixture
def in_dynamodb(dynamodb: DynamoDBLocal) -> Iterator[Shared]:
    with _in_dynamodb(dynamodb.endpoint) as found:
        yield found
        for store in found.opened:
            store.close()


def test_in_the_minute_after_the_upgrade_a_table_gets_what_the_later_version_reads(in_dynamodb: Shared) -> None:
    this, later = in_dynamodb.this(), in_dynamodb.later()
    order = new_order("o-1")
    this.move(step(order))
    later.upgrade()
    this.move(step(next_version(order)))
    assert form_of(in_dynamodb.raw("o-1")) == 2
    assert later.order("o-1") == next_version(order)
    in_dynamodb.a_minute_goes_by()
    with pytest.raises(FormTooNew, match=WHOLE_STORE):
        this.move(step(next_version(next_version(order))))


def test_in_the_minute_after_the_upgrade_no_newer_order_is_put_off(in_dynamodb: Shared) -> None:
    """The timer that meets one looks at once whether the table was upgraded."""
    this, later = in_dynamodb.this(), in_dynamodb.later()
    world = a_world_on(this)
    world.machine.is_up = False
    order_id = world.buy()
    assert order_id is not None
    world.settle_down(until=lambda: world.order(order_id).state == "funded")
    later.upgrade()
    later.move(step(next_version(world.order(order_id))))
    world.now_ms = max(world.now_ms, this.next_due_ms() or 0)
    before = in_dynamodb.contents()
    with pytest.raises(FormTooNew, match=WHOLE_STORE):
        world.fulfilment.run_once()
    assert in_dynamodb.contents() == before


def _nested(record: Any) -> Iterator[dict[str, Any]]:
    """Every object in a record."""
    if isinstance(record, dict):
        yield record
    for part in record.values() if isinstance(record, dict) else record if isinstance(record, list) else ():
        yield from _nested(part)


def test_a_field_that_this_version_does_not_know_is_refused_wherever_it_is_and_not_lost(shared: Shared) -> None:
    """Within the form that it knows: only the form says what a record may hold."""
    this = shared.this()
    world = a_world_on(this)
    order_id = world.buy()
    assert order_id is not None
    world.settle_down()
    sound = shared.raw(order_id)
    objects = len(list(_nested(json.loads(sound))))
    assert objects >= 11  # the record, the order and its parts, as deep as they go
    for number in range(objects):
        record = json.loads(sound)
        list(_nested(record))[number]["prize"] = "a plush penguin"
        strange = json.dumps(record).encode()
        shared.write_raw(order_id, strange)
        with pytest.raises(InvariantBroken, match=f"order {order_id}: .*prize"):
            this.order(order_id)
        with pytest.raises(InvariantBroken, match=f"order {order_id}: .*prize"):
            world.operations.refund(order_id, by="operator", reason="stuck joystick")
        assert shared.raw(order_id) == strange


def a_world_on(store: Store) -> MortalCloud:
    """The usual world, with its cloud on this store."""
    world = MortalCloud(payments=AccountPayments)
    world.store = store  # type: ignore[assignment]
    machine = MortalCloud(payments=AccountPayments).store.machine("cab-01")
    assert machine is not None
    store.put_machine(machine, 0)
    world.start()
    world.machine.say_status()
    world.settle_down()
    return world


def test_one_newer_order_keeps_no_other_from_moving_and_waits_for_the_later_version(shared: Shared) -> None:
    """As after a part of another database was put back: the store says that it is older than that record."""
    this = shared.this()
    world = a_world_on(this)
    world.machine.is_up = False
    order_ids = [order_id for order_id in (world.buy() for _ in range(3)) if order_id is not None]
    world.settle_down(until=lambda: all(world.order(order_id).state == "funded" for order_id in order_ids))
    newer, *others = order_ids
    known = world.order(newer)
    record = FORM_3.write(known)
    shared.write_raw(newer, record)

    world.machine.is_up = True
    for _ in range(400):  # more passes than it takes the others to come to their end
        world.now_ms += 1_000
        world.fulfilment.run_once(limit=1)
        while world.to_cloud:
            world.deliver_message()
    assert [world.order(order_id).state for order_id in others] == ["settled", "settled"]
    assert shared.raw(newer) == record
    (alert,) = [alert for alert in this.recent_alerts(100) if alert.subject == newer]
    assert alert.kind == "stuck"
    assert alert.text == (
        f"The order cannot be moved: order {newer} has form 3, and this program knows forms up to 2: "
        "install the newer version of Arcade STEM again."
    )
    assert "stuck" in world.alerts.kinds

    assert (this.next_due_ms() or 0) <= world.now_ms + 10_000  # it stays due
    world.store = shared.later()  # type: ignore[assignment]
    world.start()
    world.settle_down()
    assert world.order(newer).state == "settled"


def test_a_timer_of_this_version_leaves_a_newer_store_alone(shared: Shared) -> None:
    """Putting orders off would keep the later version from them."""
    this, later = shared.this(), shared.later()
    world = a_world_on(this)
    world.machine.is_up = False
    order_id = world.buy()
    assert order_id is not None
    world.settle_down(until=lambda: world.order(order_id).state == "funded")
    upgraded(shared, later)
    world.now_ms = max(world.now_ms, world.order(order_id).due_at_ms or 0)
    for _ in range(2):  # an order of the form that it knows, and then one of the newer form
        before = shared.contents()
        with pytest.raises(FormTooNew, match=WHOLE_STORE):
            world.fulfilment.run_once()
        assert shared.contents() == before
        found = later.order(order_id)
        assert found is not None
        later.move(step(next_version(found)))


def test_a_new_database_is_at_the_newest_form(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "new.db")) as this:
        assert this.form() == FORMS.newest
    with closing(SqliteStore(tmp_path / "later.db", forms=LATER_FORMS, migrations=LATER_MIGRATIONS)) as later:
        assert later.form() == 3
    with pytest.raises(FormTooNew, match=WHOLE_STORE):
        SqliteStore(tmp_path / "later.db")


def test_a_new_table_is_at_the_newest_form_and_one_that_is_there_stays_as_it_is(
    dynamodb: DynamoDBLocal,
) -> None:
    with a_table(dynamodb.endpoint) as url, closing(DynamoStore(parse(url), dynamodb.endpoint)) as store:
        assert store.form() == FORMS.newest
    with a_table(dynamodb.endpoint, older=True) as url:
        address: TableAddress = parse(url)
        with closing(Table(address, dynamodb.endpoint)) as table:
            assert list(make_table(table))
        with closing(DynamoStore(address, dynamodb.endpoint)) as store:
            assert store.form() == 1
