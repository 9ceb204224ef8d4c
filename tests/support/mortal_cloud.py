"""The cloud's domain over memory, killed at any possible point and started again on what was stored.

`MortalCloud` is the world around it: Stripe and its webhooks, the broker, machines that keep the rules, the clock.
What was sent to the cloud is sent again until it was taken in, as Stripe and brokers do.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec

from arcade_cloud.adapters.stripe import events as webhook
from arcade_cloud.bootstrap import connect
from arcade_cloud.domain import books
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.tab import TabLimit
from arcade_shared.ids import uuid7
from arcade_shared.messages import FINAL_ACK_STATES, Ack, Clock, Status
from arcade_shared.signing import machine_key, seal
from arcade_shared.times import format_ms, parse_ms
from arcade_shared.topics import ECHO, Kind, machine_topic
from simulation.account_payments import AccountPayments
from support.fake_broker import FakeBroker
from support.memory_store import MemoryStore
from support.orders import only_payment
from support.sandbox_payments import SandboxPayments

START_MS = 1_790_000_000_000
SECRET = "0123456789abcdef" * 4
BASE_URL = "https://play.example"
MACHINE = "cab-01"
INSTALLATION = "a" * 32
SILENT = {"silence", "last resort", "unconfirmed"}
# Makes the way to Stripe, and the account behind it, from a clock.
Stripe = Callable[[Callable[[], int]], SandboxPayments | AccountPayments]
PLAY = Offer(offer_id="play", credits=3, amount_minor=300, currency="myr", price_id="price_play")


class Killed(BaseException):
    """The process is dead."""


class Killer:
    """Counts the points at which the process could die, and kills it at one of them."""

    def __init__(self) -> None:
        self.points = 0
        self.kill_at: set[int] = set()

    def point(self) -> None:
        self.points += 1
        if self.points in self.kill_at:
            raise Killed(self.points)


class Remembering:
    """A store that passes calls on, and keeps what it is told to forget."""

    def __init__(self, inner: Any, forgotten: dict[str, Order]) -> None:
        self._inner, self._forgotten = inner, forgotten

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def forget(self, order: Order) -> None:
        self._inner.forget(order)
        self._forgotten[order.order_id] = order


class Mortal:
    """Passes calls on; before and after each of the named ones the process may die."""

    def __init__(self, inner: Any, killer: Killer, names: str) -> None:
        self._inner, self._killer, self._names = inner, killer, frozenset(names.split())

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._names:
            return found

        def call(*args: Any, **fields: Any) -> Any:
            self._killer.point()
            answer = found(*args, **fields)
            self._killer.point()
            return answer

        return call


class Inbox:
    """Takes every alert."""

    name = "inbox"
    setting = "ALERT_URLS"
    at_once = 2
    is_quiet_at_night = False

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def post(self, alerts: Sequence[Alert]) -> bool:
        self.kinds.extend(alert.kind for alert in alerts)
        return True


@dataclass
class CreditThere:
    """What the machine's journal holds of one credit."""

    state: str
    credits: int
    delivered: int = 0
    uncertain: int = 0


@dataclass
class ObedientMachine:
    """An agent by the rules of its protocol; it delivers at most `deliver` credits of each command."""

    world: "MortalCloud"
    machine_id: str = MACHINE
    deliver: int = 1000
    uncertain: bool = False
    refuse: bool = False
    is_up: bool = True
    pulsed: int = 0
    journal: dict[str, CreditThere] = field(default_factory=dict)
    clock_answers: list[str] = field(default_factory=list)

    def receive(self, topic: str, payload: bytes) -> None:
        fields: dict[str, Any] = msgspec.json.decode(payload)
        if not self.is_up or "signature" not in fields:
            return
        if topic.endswith("/clock"):
            self.clock_answers.append(msgspec.convert(fields, Clock).nonce)
            return
        if fields["installation"] != INSTALLATION:
            return
        credit_id = fields["creditId"]
        known = self.journal.get(credit_id)
        if known is None:
            self.journal[credit_id] = self._first_word(topic, fields)
        self._ack(credit_id)

    def _first_word(self, topic: str, fields: dict[str, Any]) -> CreditThere:
        if topic.endswith("/revoke"):
            return CreditThere("revoked", 0)
        credits = fields["credits"]
        if self.refuse or self.world.now_ms >= parse_ms(fields["expiresAt"]):
            return CreditThere("refused", credits)
        delivered = min(self.deliver, credits)
        self.pulsed += delivered
        return CreditThere("done", credits, delivered, int(self.uncertain and delivered < credits))

    def _ack(self, credit_id: str) -> None:
        there = self.journal[credit_id]
        self.say(
            "ack",
            Ack,
            credit_id=credit_id,
            installation=INSTALLATION,
            state=there.state,
            final=there.state in FINAL_ACK_STATES,
            credits=there.credits,
            delivered=there.delivered,
            uncertain=there.uncertain,
            reason="",
        )

    def say(self, kind: Kind, cls: Any, **fields: Any) -> None:
        topic = machine_topic(self.machine_id, kind)
        key = machine_key(SECRET, self.machine_id)
        stamped = {"machine_id": self.machine_id, "timestamp": format_ms(self.world.now_ms), **fields}
        self.world.to_cloud.append((topic, seal(key, topic, cls, **stamped)))

    def say_status(self, **fields: Any) -> None:
        values: dict[str, Any] = {
            "installation": INSTALLATION,
            "state": "online",
            "ready": True,
            "reason": "",
            "max_credits": 50,
            "nonce": "",
            "boot_id": "b" * 32,
            "agent": "test",
            "connection": 1,
            "seq": self.world.now_ms - START_MS,
        }
        self.say("status", Status, **{**values, **fields})


class MortalCloud:
    """One cloud, one Stripe account, one machine (`cab-01`, ready, sells 3 credits for RM 3.00).

    `payments` makes the way to Stripe: the real gateway on the sandbox, or the simulation's model, a hundred times
    faster, for tests that ask Stripe a thousand times and more.
    """

    def __init__(
        self,
        *,
        subscriber: bool = False,
        limits: Limits | None = None,
        payments: Stripe = SandboxPayments,
        tab_limits: tuple[TabLimit, ...] = (),
    ) -> None:
        self.now_ms = START_MS
        self.tab_limits = tab_limits
        self.limits = limits or Limits()
        self.killer = Killer()
        self.store, self.broker, self.alerts = MemoryStore(), FakeBroker(), Inbox()
        self.payments = payments(lambda: self.now_ms)
        self.payments.stripe.add_price("price_play", 300)
        self.to_cloud: deque[tuple[str, bytes]] = deque()
        self.webhooks = True
        self.webhooks_twice = False
        self.deaf = False
        self.forgotten: dict[str, Order] = {}
        self._ids = 0
        kind: Any = "subscriber" if subscriber else "agent"
        self.store.put_machine(Machine(machine_id=MACHINE, version=1, kind=kind, offers=(PLAY,)), 0)
        self.machine = ObedientMachine(self)
        for topic in ("coinpulse", "revoke", "clock"):
            self.broker.listen(f"arcade/machine/+/{topic}", self.machine.receive)
        self.broker.listen(ECHO, lambda topic, payload: self.to_cloud.append((topic, payload)))
        self.start()
        if not subscriber:
            self.machine.say_status()
            self.settle_down()

    def start(self, **parts: Any) -> None:
        """A new process on the same store, with other `parts` than usual if need be."""
        killer = self.killer
        usual: dict[str, Any] = {
            "store": Mortal(
                Remembering(self.store, self.forgotten),
                killer,
                "move forget note_seen raise_alert put_presence note_unmatched_ack mark_alert_sent change_alert",
            ),
            "payments": Mortal(
                self.payments, killer, "create_checkout read_checkout read_payment capture cancel refund"
            ),
            "broker": Mortal(self.broker, killer, "publish"),
            "receivers": [Mortal(self.alerts, killer, "post")],
            "keyring": Keyring([SECRET]),
            "limits": self.limits,
            "base_url": BASE_URL,
            "tab_limits": self.tab_limits,
            "now_ms": lambda: self.now_ms,
            "random_bytes": self._random_bytes,
        }
        self.services = connect(**{**usual, **parts})
        self.fulfilment, self.messages = self.services.fulfilment, self.services.messages
        self.sales, self.intake, self.operations = (
            self.services.sales,
            self.services.intake,
            self.services.operations,
        )

    def _random_bytes(self, size: int) -> bytes:
        self._ids += 1
        return self._ids.to_bytes(size, "big")

    def survive(self, work: Callable[[], Any]) -> Any:
        """Do `work`. If the process is killed in it, a new one is started and None returned."""
        try:
            return work()
        except Killed:
            self.start()
            return None

    # --- the world goes on

    def settle_down(self, until: Callable[[], bool] = lambda: False, *, days: float = 40) -> None:
        """Deliver all that is to be delivered and let time pass, until nothing is due any more."""
        end_ms = self.now_ms + round(days * 86_400_000)
        while not until() and self._next(end_ms):
            pass

    def _next(self, end_ms: int) -> bool:
        """Let the next thing happen. False if there is nothing more."""
        if events := self.payments.stripe.take_events():
            for event in events if self.webhooks else ():
                for _ in range(2 if self.webhooks_twice else 1):
                    self.deliver_webhook(event)
            return True
        if self.to_cloud:
            self.deliver_message()
            return True
        if self.survive(self.fulfilment.run_once) != 0:
            return True
        next_due_ms = self.store.next_due_ms()
        if next_due_ms is None or next_due_ms > end_ms:
            return False
        self.now_ms = max(self.now_ms + 1, next_due_ms)
        return True

    def deliver_webhook(self, event: dict[str, Any]) -> None:
        """Stripe sends an event until it was answered with 200."""
        for _ in range(20):
            if self.survive(lambda: self.intake.take_in(webhook.interpret(event))) is not None:
                return
        raise AssertionError(f"never taken in: {event}")

    def deliver_message(self) -> None:
        """The oldest message from broker to cloud; it stays there until it was taken in."""
        topic, payload = self.to_cloud[0]
        if self.deaf or self.survive(partial(self.messages.take_in, topic, payload)) is not None:
            self.to_cloud.popleft()

    # --- the player

    def buy(self, method: Any = "card") -> str | None:
        """Order and pay three credits; the order's id, or None if the player never got to the checkout."""
        order = self.survive(lambda: self.sales.begin_checkout(MACHINE))
        page = None if order is None else only_payment(order).checkout
        if order is None or page is None:
            return None
        self.payments.stripe.pay(page.session_id, method)
        order_id: str = order.order_id
        return order_id

    def intent(self) -> str:
        """The payment intent of the only purchase so far."""
        (money,) = self.payments.stripe.money()
        return str(money["id"])

    def order(self, order_id: str) -> Order:
        """The order as it is on record, or was when it was forgotten."""
        found = self.store.order(order_id) or self.forgotten.get(order_id)
        assert found is not None
        return found

    # --- the promises

    def check_promises(self) -> None:
        """Paid = pulsed + given back, for all orders together, recomputed from Stripe and the machine alone."""
        for money in self.payments.stripe.money():
            assert money["held"] == 0, "money is held for ever"
        kept = sum(money["kept"] for money in self.payments.stripe.money())
        orders = self.store.recent_orders(1000)
        for order in orders:
            assert order.state in {"settled", "abandoned"}, order.state
            assert order.due_at_ms is None
            shares = sum(books.shares(order), books.Sums()) if order.state == "settled" else books.Sums()
            assert books.total(self.store.booked(order.order_id)) == shares
        goodwill = sum(order.books.goodwill_minor for order in orders)
        resolutions = [credit.resolution for order in orders for credit in order.credits]
        silent = [done for done in resolutions if done is not None and done.by in SILENT]
        granted = sum(order.delivered or 0 for order in orders if order.kind == "grant")
        if not silent:
            assert kept == 100 * (self.machine.pulsed - granted) - goodwill
        else:
            assert kept <= 100 * self.machine.pulsed
        assert self.machine.pulsed <= sum(order.ordered for order in orders if _was_paid(order))
        assert len(self.machine.journal) <= sum(len(order.credits) for order in orders)


def _was_paid(order: Order) -> bool:
    return order.kind == "grant" or only_payment(order).arrival is not None


def new_credit_id(now_ms: int = START_MS) -> str:
    """The id of a credit that no order knows."""
    return uuid7(now_ms, lambda size: b"\xee" * size)
