"""What a simulated cloud works with, for the contract suites: its ports, all faults off, and their other side.

Each port is the one that the simulation's first process has, as its `Worker` wraps it. A fault happens where a
test asks for it, and is one of the simulation's own.
"""

import queue
import random
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import RLock
from typing import Any, Literal, cast

from arcade_cloud.adapters.stripe.events import verify
from arcade_cloud.domain.limits import Limits
from arcade_cloud.ports.messaging import Broker
from arcade_cloud.ports.payments import Payments
from arcade_cloud.ports.store import Store
from arcade_shared.topics import machine_topic
from simulation import evidence as seen
from simulation.faults import SECOND, Faults
from simulation.scheduler import Scheduler
from simulation.sim_broker import Packet, SimBroker
from simulation.sim_cloud import WEBHOOK_SECRET, Cloud, SimStore
from simulation.sim_stripe import SimPayments, StripeSide
from support.fake_broker import matches

WAIT_MS = 10 * SECOND
MACHINES = ("cab-01", "other", "heard")


@dataclass
class Planned(Faults):
    """Nothing is left to chance: a fault happens once for each time that it is planned, or all the time."""

    once: list[str] = field(default_factory=list)
    always: set[str] = field(default_factory=set)

    def hit(self, name: str) -> bool:
        if name in self.once:
            self.once.remove(name)
            return True
        return name in self.always


class Quiet(Cloud):
    """A cloud whose processes do nothing by themselves; what Stripe tells it is kept."""

    told: list[dict[str, Any]]

    def webhook(self, body: bytes, header: str) -> int:
        self.told.append(verify(body, header, (WEBHOOK_SECRET,), self.scheduler.now_ms // 1000))
        return 200


class Port:
    """A port as a worker has it; what no worker of the simulation calls is asked of the double behind.

    The simulation has one thread. Where a double's own lock is not enough, `lock` lets calls in one by one.
    """

    def __init__(self, guarded: object, behind: object, lock: AbstractContextManager[object]) -> None:
        self._guarded, self._behind, self._lock = guarded, behind, lock

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._guarded if hasattr(self._guarded, name) else self._behind, name)

        def locked(*args: Any, **fields: Any) -> Any:
            with self._lock:
                return call(*args, **fields)

        return locked


class Simulated:
    """One simulated cloud with its broker, its disk and its Stripe."""

    def __init__(self) -> None:
        self.scheduler = scheduler = Scheduler()
        self.faults = faults = Planned(0)
        evidence = seen.Evidence(0, seen.Limits(120, 900, 900, 2_000, 10, 60))
        self.sim_broker = SimBroker(scheduler, random.Random(1), faults, evidence)
        self.sim_payments = SimPayments(scheduler, random.Random(2), faults)
        self.cloud = cloud = Quiet(
            scheduler,
            random.Random(3),
            faults,
            evidence,
            Limits(),
            self.sim_payments,
            self.sim_broker,
            ["00" * 32],
            random.Random(5),
            random.Random(6),
        )
        cloud.told, cloud.is_down = [], True
        self.side = StripeSide(scheduler, random.Random(4), faults, evidence, self.sim_payments, cloud)
        wired, lock = cloud.workers[0].fulfilment, RLock()
        self.broker = cast(Broker, Port(wired.sender.broker, self.sim_broker, lock))
        self.payments = cast(Payments, Port(wired.payments, self.sim_payments, lock))
        self.store = cast(Store, Port(wired.store, cloud.store, nullcontext()))

    def pass_time(self, milliseconds: int) -> None:
        """What is due by then happens."""
        self.scheduler.run_until(self.scheduler.now_ms + milliseconds)


def simulated_store() -> Store:
    """The store of a simulated cloud, with a new disk: a cloud notes on its own when it begins."""
    simulated = Simulated()
    simulated.cloud.store.restore(SimStore(lambda move: None, lambda: None).backup())
    return simulated.store


@dataclass
class _Listener:
    """A Pi's session that takes everything in at once."""

    machine_id: str
    broker: SimBroker
    received: queue.SimpleQueue[tuple[str, bytes]]

    def arrives(self, connection: int, mid: int, packet: Packet, repeated: bool) -> None:
        self.received.put((packet.topic, packet.payload))
        self.broker.acknowledge(self.machine_id, connection, mid)

    def confirmed(self, connection: int, token: object, ok: bool) -> None:
        """It publishes nothing."""

    def dropped(self, connection: int, why: str) -> None:
        """It does not come back."""


class SimulatedBroker(Simulated):
    """The broker suite's setting. Who listens is a Pi, or some: nobody else can there."""

    def listen(self, topic_filter: str) -> Callable[[], tuple[str, bytes]]:
        received: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        for machine_id in MACHINES:
            if matches(topic_filter, machine_topic(machine_id, "coinpulse")):
                listener = _Listener(machine_id, self.sim_broker, received)
                self.sim_broker.connect(machine_id, listener, 1, ("", b""))
                self.sim_broker.subscribed(machine_id)

        def next_message() -> tuple[str, bytes]:
            if received.empty():
                self.pass_time(WAIT_MS)
            return received.get(block=False)

        return next_message

    def go_down(self) -> None:
        self.sim_broker.stop(forget=True)

    def come_back(self) -> None:
        self.sim_broker.start()

    def go_silent(self) -> None:
        self.pass_time(SECOND)
        self.faults.always.add("broker's word lost")

    def speak_again(self) -> None:
        self.faults.always.clear()
        self.pass_time(SECOND)


class SimulatedStripe(Simulated):
    """The payments suite's world."""

    def __init__(self) -> None:
        super().__init__()
        self._stripe = self.sim_payments.stripe
        self.settle_async = self._stripe.settle_async
        self.expire_hold = self._stripe.expire_hold
        self.finish_refund = self._stripe.finish_refund
        self.refund_by_hand = self._stripe.refund_by_hand
        self.open_dispute = self._stripe.open_dispute
        self.close_dispute = self._stripe.close_dispute

    def now_ms(self) -> int:
        return self.scheduler.now_ms

    def pay(self, session_id: str, method: Any = "card") -> str:
        """Raises ValueError, as the account does, where the simulation's player is just turned away."""
        if method == "fpx_later":  # the simulation's bank would decide by itself, this one does when it is told
            intent = self._stripe.pay(session_id, method)
            self.side.flush()
            return intent
        return self.side.pay(session_id, method) or self._stripe.pay(session_id, method)

    def advance(self, seconds: int) -> None:
        self.pass_time(seconds * 1000)

    def add_price(self, price_id: str, amount: int, label: str, *, active: bool = True) -> None:
        self._stripe.add_price(price_id, amount, label=label, active=active)

    def visit_link(self, price_id: str, quantity: int, client_reference_id: str) -> str:
        return self._stripe.visit_link(price_id, quantity, client_reference_id=client_reference_id)

    def refuse_partial_capture(self) -> None:
        self.sim_payments.refuse_partial_capture = True

    def ask_the_least(self) -> None:
        """It always does."""

    def fail_next(self, when: Literal["before", "after"]) -> None:
        self.faults.once.append("Stripe busy" if when == "before" else "Stripe's answer lost")

    def events(self) -> list[dict[str, Any]]:
        """The webhooks that have come, in the order of the account: on their way they overtake each other."""
        self.side.flush()
        self.pass_time(SECOND)
        told, self.cloud.told = self.cloud.told, []
        return sorted(told, key=lambda event: str(event["id"]))
