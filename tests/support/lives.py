"""One order's life in tests of its rules: events go in by hand, and each step is checked from outside."""

from collections.abc import Sequence
from typing import Any

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.decisions import Clock, Context, Decision
from arcade_cloud.domain.effects import Effect, SendCoinpulse, Settle
from arcade_cloud.domain.events import Acked, Due, Event, Outcome, PaymentRead, Sent, SettlementAttempted
from arcade_cloud.domain.life import decide
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import (
    Arrival,
    CheckoutPage,
    Command,
    Credit,
    Delivery,
    Order,
    OrderPayment,
    Resolution,
    Revoking,
    check,
)
from arcade_shared.ids import uuid7
from arcade_shared.messages import FINAL_ACK_STATES, Ack
from arcade_shared.times import format_ms
from support.orders import NOW_MS, PAGE, an_order, only_credit, only_payment

HERE = "a" * 32
ELSEWHERE = "b" * 32
LIMITS = Limits()
FINAL = frozenset({"settled", "abandoned"})
# Once they are set, they never change.
SET_FOR_GOOD = ("delivered", "payment_intent")
CREDIT_SET_FOR_GOOD = ("command", "resolution")
FIXED = ("order_id", "kind", "machine_ids", "ordered", "amount_minor", "currency", "created_at_ms")
CREDIT_FIXED = ("machine_id", "subscriber", "count", "price_minor", "ready_installation", "draw")


def new_order(order_id: str = "ord_1", **fields: Any) -> Order:
    """Three credits for 3.00, just ordered, with its checkout made."""
    page = {} if fields.get("kind") == "grant" else {"checkout": PAGE}
    return an_order(order_id, **{"due_at_ms": NOW_MS + 90_000, **page, **fields})


def paid(**fields: Any) -> Payment:
    """The order's payment, taken a moment ago."""
    amount = fields.get("amount_minor", 300)
    received = amount if fields.get("status", "succeeded") == "succeeded" else 0
    values: dict[str, Any] = {
        "payment_intent": "pi_1",
        "status": "succeeded",
        "amount_minor": amount,
        "currency": "myr",
        "received_minor": received,
        "paid_at_ms": NOW_MS,
    }
    return Payment(**{**values, **fields})


def held(**fields: Any) -> Payment:
    """The order's payment, held on the card for a week."""
    values = {"status": "requires_capture", "capturable_minor": fields.get("amount_minor", 300)}
    return paid(**{**values, "capture_before_ms": NOW_MS + 7 * 86_400_000, **fields})


def gone(**fields: Any) -> Payment:
    """The payment of a hold that ended."""
    return paid(status="canceled", **fields)


class Life:
    """An order, the time, and what surrounds its decisions. Every step is checked, by `check_step`."""

    def __init__(
        self,
        order: Order | None = None,
        *,
        limits: Limits = LIMITS,
        installation: str | None = HERE,
        keys: tuple[bytes, ...] = (),
    ) -> None:
        self.order = new_order() if order is None else order
        self.limits = limits
        self.installation = installation
        self.keys = keys
        self.now_ms = NOW_MS
        self.last_echo_ms: int | None = None
        self.clock: Clock = "right"
        self.off_ms = 0
        self.alerts: dict[str, Alert] = {}
        self.effects: tuple[Effect, ...] = ()
        self.texts: list[str] = []
        self.forgotten = False

    # --- the steps

    def context(self) -> Context:
        return Context(
            now_ms=self.now_ms,
            limits=self.limits,
            installations={} if self.installation is None else {self.order.machine_id: self.installation},
            last_echo_ms=self.last_echo_ms,
            capture_keys=self.keys,
            clock=self.clock,
            off_ms=self.off_ms,
        )

    def on(self, event: Event) -> Decision:
        """Decide, check the step, and take it."""
        before, decision = self.order, decide(self.order, event, self.context())
        check_step(before, decision, self.now_ms)
        self.order, self.effects = decision.order, decision.effects
        self.forgotten = decision.forget
        self.texts.append(decision.text)
        for alert in decision.alerts:
            self.alerts.setdefault(alert.alert_id, alert)
        return decision

    def wait_s(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)

    def due(self) -> Decision:
        """Jump to the moment that the order asked for, and let the timer come."""
        assert self.order.due_at_ms is not None
        self.now_ms = max(self.now_ms, self.order.due_at_ms)
        return self.on(Due())

    # --- what arrives

    def read(self, payment: Payment | None, session: Any = None) -> Decision:
        """Stripe is read now, and shows this."""
        return self.on(PaymentRead(payment, session, self.now_ms, self.order.settlement.acts))

    def ack(self, state: str = "done", delivered: int = 3, **fields: Any) -> Decision:
        return self.on(Acked(an_ack(self.order, state, delivered, now_ms=self.now_ms, **fields)))

    def coinpulse(self, outcome: Outcome = Outcome.CONFIRMED) -> Decision:
        return self.on(Sent("coinpulse", self.command.credit_id, outcome))

    def revoke(self, outcome: Outcome = Outcome.CONFIRMED) -> Decision:
        return self.on(Sent("revoke", self.command.credit_id, outcome))

    def settled_with(self, result: Any, code: str = "") -> Decision:
        """What came of the settle effect that was just asked for."""
        (effect,) = self.asked(Settle)
        return self.on(SettlementAttempted(effect.operation, effect.key, result, code))

    def hear_echo(self) -> None:
        """An echo sent now comes back."""
        self.last_echo_ms = self.now_ms

    # --- what was asked for

    def asked(self, kind: type[Any]) -> list[Any]:
        """The effects of this kind that the last step asked for."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def settle(self) -> tuple[str, int]:
        """The one settle effect that the last step asked for: operation and amount."""
        (effect,) = self.asked(Settle)
        return effect.operation, effect.amount_minor

    @property
    def kinds(self) -> set[str]:
        """The kinds of all alerts raised so far."""
        return {alert.kind for alert in self.alerts.values()}

    # --- the parts of the order

    @property
    def payment(self) -> OrderPayment:
        return only_payment(self.order)

    @property
    def page(self) -> CheckoutPage:
        assert self.payment.checkout is not None
        return self.payment.checkout

    @property
    def arrival(self) -> Arrival:
        assert self.payment.arrival is not None
        return self.payment.arrival

    @property
    def credit(self) -> Credit:
        return only_credit(self.order)

    @property
    def delivery(self) -> Delivery:
        assert self.credit.delivery is not None
        return self.credit.delivery

    @property
    def command(self) -> Command:
        assert self.delivery.command is not None
        return self.delivery.command

    @property
    def revoking_now(self) -> Revoking:
        assert self.delivery.revoking is not None
        return self.delivery.revoking

    @property
    def resolution(self) -> Resolution:
        assert self.delivery.resolution is not None
        return self.delivery.resolution

    # --- shortcuts into the middle of a life

    def funded(self, payment: Payment | None = None) -> "Life":
        """The money has arrived, and the credit is on its way."""
        self.read(payment or paid())
        assert self.order.state == "funded"
        return self

    def revoking(self, payment: Payment | None = None) -> "Life":
        """The machine did not take the credit in time."""
        self.funded(payment)
        self.now_ms = self.delivery.drawn_at_ms + self.limits.deliver_within_s * 1000
        self.due()
        assert self.order.state == "revoking"
        return self

    def resolved(self, delivered: int = 3, payment: Payment | None = None) -> "Life":
        """The machine has said how many it delivered."""
        self.funded(payment).ack(delivered=delivered)
        assert self.order.state == "resolved"
        return self

    def settled(self, delivered: int = 3, payment: Payment | None = None) -> "Life":
        """Stripe shows what is to be kept."""
        payment = payment or paid()
        self.resolved(delivered, payment)
        kept = payment.amount_minor * delivered // self.order.ordered
        self.read(paid(amount_minor=payment.amount_minor, refunded_minor=payment.amount_minor - kept))
        assert self.order.state == "settled"
        return self


def an_ack(order: Order, state: str = "done", delivered: int = 3, *, now_ms: int = NOW_MS, **fields: Any) -> Ack:
    """What the addressed installation reports."""
    credit = only_credit(order)
    values: dict[str, Any] = {
        "machine_id": credit.machine_id,
        "credit_id": uuid7(now_ms) if credit.command is None else credit.command.credit_id,
        "installation": HERE if credit.command is None else credit.command.installation or HERE,
        "state": state,
        "final": state in FINAL_ACK_STATES,
        "credits": credit.count,
        "delivered": delivered,
        "uncertain": 0,
        "reason": "",
        "timestamp": format_ms(now_ms),
        "signature": "0" * 64,
    }
    return Ack(**{**values, **fields})


def check_step(before: Order, decision: Decision, now_ms: int) -> None:
    """What must hold for every step of every order, whatever the event."""
    after = decision.order
    check(after)
    assert after.version == before.version + (after != before)
    for name in FIXED:
        assert getattr(after, name) == getattr(before, name), name
    for credit, moved in zip(before.credits, after.credits, strict=True):
        for name in CREDIT_FIXED:
            assert getattr(moved, name) == getattr(credit, name), name
        for name in CREDIT_SET_FOR_GOOD:
            assert getattr(credit, name) in (None, getattr(moved, name)), name
    if before.payment is not None and after.payment is not None and before.payment.arrival is not None:
        was, now = before.payment.arrival, after.payment.arrival
        assert now is not None
        assert (now.paid_at_ms, now.held) == (was.paid_at_ms, was.held)
    for name in SET_FOR_GOOD:
        assert getattr(before, name) in (None, getattr(after, name)), name
    if after.state not in FINAL:
        assert after.due_at_ms is not None, f"nothing would ever move a {after.state} order"
    if decision.effects and after.state not in FINAL:
        assert after.due_at_ms is not None, "effects that nobody would repeat"
    if any(isinstance(effect, SendCoinpulse) for effect in decision.effects):
        assert after.state == "funded"
        (command,) = (credit.command for credit in after.credits)
        assert command is not None
        assert now_ms < command.expires_at_ms, "published after its own end"
        shown = None if after.payment is None else after.payment.shown
        assert after.kind == "grant" or (shown is not None and shown.has_money)
    for effect in decision.effects:
        if isinstance(effect, Settle):
            assert after.state in {"resolved", "returning"}, "money moves while the machine may still pulse"
            assert effect.decided_at_ms == now_ms
    if after.delivered is not None:
        books = after.books
        step = {"kwd": 10, "isk": 100}.get(after.currency, 1)
        earned = after.amount_minor * after.delivered // after.ordered // step * step
        assert books.target_minor == earned - books.goodwill_minor - books.lost_minor
        assert min(books.target_minor, books.goodwill_minor, books.lost_minor, books.owed_minor) >= 0


def plain(effects: Sequence[Effect]) -> list[str]:
    """The effects by name, for comparing."""
    return [type(effect).__name__ for effect in effects]
