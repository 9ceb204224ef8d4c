"""The cloud's store over simulated years: it grows by what was sold alone; what it forgets does no harm."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arcade_cloud.adapters.store.records import FORGET_AFTER_MS
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.adapters.stripe import events as webhook
from arcade_cloud.domain.limits import Limits
from arcade_cloud.entrypoints.server import PRUNE_EVERY_S
from arcade_cloud.ports.store import Store
from arcade_cloud.services.machine_messages import (
    GAME_OVERS_AT_ONCE,
    GAME_OVERS_PER_MINUTE,
    UNMATCHED_ACKS_PER_MINUTE,
)
from arcade_cloud.services.rate_limit import Rate, Share
from arcade_shared.errors import BadMessage
from arcade_shared.ids import uuid7
from arcade_shared.messages import Ack, Gameover
from arcade_shared.signing import machine_key, seal
from arcade_shared.times import format_ms
from arcade_shared.topics import machine_topic
from simulation.account_payments import AccountPayments
from support.memory_store import MemoryStore
from support.mortal_cloud import MACHINE, SECRET, MortalCloud
from support.orders import only_command

DAY_MS = 86_400_000
YEARS = 3
# By then as much is forgotten as comes, even of the alerts that nobody acknowledges.
SETTLED_DAYS = 450
DAYS_BETWEEN = 3
# What is kept for ever, and how much of it one order leaves.
FOR_EVER = {
    "orders": 1,
    "payments": 1,
    "credits": 1,
    "takings": 1,
    "history": 20,
    "tallies": 3,
    "lines_at": 1,
    "receipts": 1,
}
BYTES_AN_ORDER = 8_000


class YearsOfTrade:
    """A cloud that sells, day after day, and prunes as its timer does. Each tenth player meets a dead machine."""

    def __init__(self, store: Store) -> None:
        cloud = MortalCloud(limits=Limits(silence_limit_s=200, hold_silence_limit_s=200), payments=AccountPayments)
        machine, presence = cloud.store.machine(MACHINE), cloud.store.presence(MACHINE)
        assert machine is not None
        assert presence is not None
        store.put_machine(machine, 0)
        store.put_presence(msgspec.structs.replace(presence, version=1), 0)
        cloud.store = store  # type: ignore[assignment]  # another adapter of the same port
        cloud.start()
        self.cloud, self.store = cloud, store
        self.order_ids: list[str] = []
        self.events: list[dict[str, Any]] = []
        self.heard: list[tuple[str, bytes]] = []
        self._next_prune_ms = 0

    def days(self, number: int) -> None:
        """One purchase every third day."""
        cloud = self.cloud
        for _ in range(number // DAYS_BETWEEN):
            next_ms = cloud.now_ms + DAYS_BETWEEN * DAY_MS
            cloud.machine.is_up = True
            cloud.machine.say_status()
            cloud.settle_down(days=0)
            cloud.machine.is_up = len(self.order_ids) % 10 != 9
            self.order_ids.append(self.buy())
            if cloud.now_ms >= self._next_prune_ms:
                self.store.prune(cloud.now_ms)
                cloud.services.receipts.run_once()
                self._next_prune_ms = cloud.now_ms + PRUNE_EVERY_S * 1000
            cloud.now_ms = next_ms

    def buy(self) -> str:
        """Buy, and let half a day pass; everything that came in is kept, to come again some day."""
        order_id = self.cloud.buy()
        assert order_id is not None
        waiting = self.cloud.payments.stripe.take_events()
        self.events += waiting
        for event in waiting:
            self.cloud.deliver_webhook(event)
        self.heard += self.cloud.to_cloud
        self.cloud.settle_down(days=0.5)
        return order_id


def rows(path: Path) -> dict[str, int]:
    with sqlite3.connect(path) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def test_years_of_trade_leave_the_orders_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "cloud.sqlite"
    trade = YearsOfTrade(SqliteStore(path))
    trade.days(SETTLED_DAYS)
    early, early_sold, early_bytes = rows(path), len(trade.order_ids), path.stat().st_size
    trade.days(YEARS * 365 - SETTLED_DAYS)
    late, sold = rows(path), len(trade.order_ids)
    trade.store.close()
    assert late["orders"] == sold
    for table, count in late.items():
        if table in FOR_EVER:
            assert count <= FOR_EVER[table] * sold, table
        else:
            assert count <= early[table] * 1.1 + 5, table
    assert late["seen"] > 0
    assert late["alerts"] > 0
    assert path.stat().st_size - early_bytes <= BYTES_AN_ORDER * (sold - early_sold)


def said(cloud: MortalCloud, kind: Any, cls: Any, **fields: Any) -> None:
    """What somebody says who has the machine's key."""
    topic = machine_topic(MACHINE, kind)
    sent = {"machine_id": MACHINE, "timestamp": format_ms(cloud.now_ms), **fields}
    cloud.messages.take_in(topic, seal(machine_key(SECRET, MACHINE), topic, cls, **sent))


def ack_of(credit_id: str, installation: str = "f" * 32) -> dict[str, Any]:
    claim = {"credit_id": credit_id, "installation": installation, "state": "done", "final": True, "reason": ""}
    return {**claim, "credits": 1, "delivered": 1, "uncertain": 0}


def test_a_stolen_key_fills_the_store_no_faster_than_so_much_a_minute() -> None:
    cloud, refused = MortalCloud(), 0
    for number in range(10 * UNMATCHED_ACKS_PER_MINUTE):
        try:
            said(cloud, "ack", Ack, **ack_of(uuid7(number)))
        except BadMessage:
            refused += 1
        cloud.now_ms += 100
    assert refused >= 8 * UNMATCHED_ACKS_PER_MINUTE
    assert len(cloud.store.unmatched_acks(1000)) <= 2 * UNMATCHED_ACKS_PER_MINUTE
    assert len(cloud.store.recent_alerts(1000)) <= 2 * UNMATCHED_ACKS_PER_MINUTE


@pytest.mark.parametrize("key", ["the machine's", None])
def test_a_machine_that_floods_with_game_overs_fills_no_store_and_the_rest_is_counted(key: str | None) -> None:
    cloud, minutes, every_ms = MortalCloud(), 10, 100
    fields = {"machineId": MACHINE, "status": "game_over", "timestamp": "now"}
    for number in range(minutes * 60_000 // every_ms):
        if key is None:
            bare = {**fields, "eventId": uuid7(number)}
            cloud.messages.take_in(machine_topic(MACHINE, "gameover"), msgspec.json.encode(bare))
        else:
            said(cloud, "gameover", Gameover, status="game_over", event_id=uuid7(number))
        cloud.now_ms += every_ms
    kept = cloud.store.game_overs(MACHINE, 0, cloud.now_ms, 10_000)
    assert len(kept) <= GAME_OVERS_AT_ONCE + minutes * GAME_OVERS_PER_MINUTE
    assert minutes * GAME_OVERS_PER_MINUTE <= len(kept)
    cloud.now_ms += 60_000
    said(cloud, "gameover", Gameover, status="game_over", event_id=uuid7(0))
    kept = cloud.store.game_overs(MACHINE, 0, cloud.now_ms + 1, 10_000)
    assert sum(1 + one.left_out for one in kept) == minutes * 60_000 // every_ms + 1


def test_game_overs_of_a_machine_that_nobody_registered_are_not_kept() -> None:
    cloud = MortalCloud()
    bare = {"machineId": "cab-66", "status": "game_over", "timestamp": "now"}
    cloud.messages.take_in(machine_topic("cab-66", "gameover"), msgspec.json.encode(bare))
    assert cloud.store.game_overs("cab-66", 0, cloud.now_ms + 1, 10) == []


def test_a_stolen_key_raises_one_alert_for_an_order_however_many_devices_it_claims_to_be() -> None:
    cloud = MortalCloud()
    order_id = cloud.buy()
    cloud.settle_down()
    credit_id = only_command(cloud.order(order_id or "")).credit_id
    for number in range(100):
        said(cloud, "ack", Ack, **ack_of(credit_id, f"{number:032x}"))
    assert [alert.kind for alert in cloud.store.recent_alerts(1000)] == ["wrong_installation"]


def test_a_stolen_key_that_contradicts_itself_for_ever_adds_no_lines_to_an_order() -> None:
    cloud = MortalCloud()
    order_id = cloud.buy() or ""
    cloud.settle_down()
    order = cloud.order(order_id)
    for number in range(100):
        claim = {"credits": 3, "delivered": number % 3}
        said(
            cloud,
            "ack",
            Ack,
            **{**ack_of(only_command(order).credit_id, only_command(order).installation), **claim},
        )
    assert cloud.order(order_id).version <= order.version + 1
    assert {alert.kind for alert in cloud.store.recent_alerts(1000)} == {"discrepancy"}
    assert len(cloud.store.recent_alerts(1000)) <= 3


def test_who_fills_its_own_measure_leaves_others_theirs() -> None:
    """And what belongs to an order is never counted."""
    cloud = MortalCloud()
    for number in range(2 * UNMATCHED_ACKS_PER_MINUTE):
        with contextlib.suppress(BadMessage):
            said(cloud, "ack", Ack, **ack_of(uuid7(number)))
    order_id = cloud.buy()
    cloud.settle_down()
    assert cloud.order(order_id or "").state == "settled"
    assert cloud.messages.limiter.wait_ms(cloud.now_ms, Share(("ack", "cab-02"), Rate(1, 1))) == 0


@pytest.fixture
def long_ago() -> YearsOfTrade:
    """A history whose first order is older than the events that the store remembers."""
    trade = YearsOfTrade(MemoryStore())
    trade.days(FORGET_AFTER_MS // DAY_MS + 10)
    return trade


def test_an_event_that_was_forgotten_and_comes_again_changes_nothing(long_ago: YearsOfTrade) -> None:
    """Stripe repeats an event for three days. For an older one the payment is read back first, whoever sent it."""
    cloud, event = long_ago.cloud, long_ago.events[0]
    report = webhook.interpret(event)
    assert not long_ago.store.is_seen(report.event_id)
    order_id = long_ago.order_ids[0]
    before, money = cloud.order(order_id), cloud.payments.stripe.money()
    sent, orders = len(cloud.broker.sent), len(long_ago.store.recent_orders(10_000))
    for event in long_ago.events[:8]:
        cloud.intake.take_in(webhook.interpret(event))
    cloud.settle_down(days=1)
    after = cloud.order(order_id)
    assert (after.state, after.delivered, after.books) == ("settled", before.delivered, before.books)
    assert cloud.payments.stripe.money() == money
    assert len(cloud.broker.sent) == sent
    assert len(long_ago.store.recent_orders(10_000)) == orders


def test_an_ack_for_a_credit_of_long_ago_changes_nothing_and_is_no_orphan(long_ago: YearsOfTrade) -> None:
    """A claim of a payment or of a credit is never forgotten."""
    cloud = long_ago.cloud
    first = cloud.order(long_ago.order_ids[0])
    assert long_ago.store.order_of_credit(only_command(first).credit_id) == first.order_id
    assert long_ago.store.order_of_payment(first.payment_intent or "") == first.order_id
    acks = [heard for heard in long_ago.heard if heard[0].endswith("/ack")][:5]
    assert acks
    for topic, payload in acks:
        assert cloud.messages.take_in(topic, payload) == "ack"
    assert cloud.order(first.order_id) == first
    assert long_ago.store.unmatched_acks(10) == []
