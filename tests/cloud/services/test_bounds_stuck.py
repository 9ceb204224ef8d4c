"""However many orders are stuck, the others still get their turn."""

from typing import Any

from arcade_cloud.bootstrap import connect
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.order import HistoryEntry
from arcade_cloud.errors import InvariantBroken
from arcade_cloud.ports.store import Move
from arcade_cloud.services.fulfilment import STUCK_AGAIN_MS
from support.fake_broker import FakeBroker
from support.lives import new_order
from support.memory_store import MemoryStore
from support.orders import NOW_MS
from support.sandbox_payments import SandboxPayments
from support.site import SilentAlerts

STUCK = 250
BATCH = 100


class Spoiled(MemoryStore):
    """The records of all orders named `bad…` are broken."""

    def order(self, order_id: str) -> Any:
        if order_id.startswith("bad"):
            raise InvariantBroken("a record that nobody can read")
        return super().order(order_id)


class Cloud:
    """A cloud whose orders are all due: first STUCK orders that cannot be moved, then one that nobody has paid."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS + 100_000_000
        self.store = Spoiled()
        for number in range(STUCK):
            self.put(f"bad-{number:03}", number)
        self.put("good", STUCK)
        self.fulfilment = connect(
            store=self.store,
            payments=SandboxPayments(lambda: self.now_ms),
            broker=FakeBroker(),
            receivers=[SilentAlerts()],
            keyring=Keyring(["s" * 32]),
            limits=Limits(),
            base_url="https://play.example",
            now_ms=lambda: self.now_ms,
        ).fulfilment

    def put(self, order_id: str, due_at_ms: int) -> None:
        """Store an order without a checkout; its first turn abandons it."""
        order = new_order(order_id=order_id, checkout=None, due_at_ms=due_at_ms)
        entry = HistoryEntry(order_id=order_id, version=1, at_ms=0, event="Ordered", state="open")
        self.store.move(Move(order=order, expected_version=0, history=entry))

    def state(self) -> str:
        found = self.store.order("good")
        return str(found.state)


def test_orders_that_can_not_be_moved_let_the_others_pass() -> None:
    cloud = Cloud()
    passes = 0
    while cloud.state() == "open":
        cloud.now_ms += 500
        cloud.fulfilment.run_once(BATCH)
        passes += 1
        assert passes <= STUCK // BATCH + 1
    assert cloud.state() == "abandoned"


def test_one_pass_after_the_other_comes_to_an_end_even_if_nothing_can_be_moved() -> None:
    """A worker that continues while its batches are full, as on AWS Lambda, still comes to an end."""
    cloud = Cloud()
    passes = 0
    while cloud.fulfilment.run_once(BATCH) == BATCH:
        passes += 1
        assert passes <= STUCK // BATCH + 1
    assert passes


def test_stuck_orders_are_tried_again_and_each_is_told_once() -> None:
    cloud = Cloud()
    for _ in range(2):
        for _ in range(5):
            cloud.fulfilment.run_once(BATCH)
        cloud.now_ms += STUCK_AGAIN_MS
    assert len(cloud.store.due_orders(cloud.now_ms, 1000)) == STUCK
    stuck = [alert for alert in cloud.store.recent_alerts(1000) if alert.kind == "stuck"]
    assert len(stuck) == STUCK
