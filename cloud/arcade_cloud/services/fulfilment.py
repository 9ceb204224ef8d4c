"""The one way to move an order: load, decide, store, then act and feed the results back.

Webhooks, acks, operators and the timer all call `Fulfilment.move`. A decision is stored before its effects are
performed. If they are interrupted, `run_once` finds the order again, because it is due. So an effect may be
dropped, but never performed without its cause on record.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from functools import partial
from typing import Literal

from arcade_cloud.domain import books, metering, receipts
from arcade_cloud.domain import tab as tabs
from arcade_cloud.domain.alerts import Alert, alert, of_order
from arcade_cloud.domain.clocks import clock_of
from arcade_cloud.domain.decisions import Clock, Context, Decision
from arcade_cloud.domain.effects import (
    EFFECT_LIFE_MS,
    AskTime,
    Effect,
    ReadPayment,
    SendCoinpulse,
    SendEcho,
    SendRevoke,
    Settle,
)
from arcade_cloud.domain.events import (
    Drawn,
    Due,
    Event,
    PaymentRead,
    PaymentReported,
    Sent,
    SettlementAttempted,
    TimeAsked,
    credit_of,
)
from arcade_cloud.domain.life import decide
from arcade_cloud.domain.limits import SKEW_MS, Limits
from arcade_cloud.domain.machines import speaks_unheard
from arcade_cloud.domain.order import Command, Credit, HistoryEntry, Order
from arcade_cloud.domain.payment import is_another
from arcade_cloud.domain.receipts import ReceiptDue
from arcade_cloud.domain.tallies import Tallies, added
from arcade_cloud.errors import (
    AlreadySeen,
    Conflict,
    FormTooNew,
    InvariantBroken,
    PaymentsError,
    PaymentsRefused,
    PaymentsUnavailable,
    PaymentTaken,
    StoreUnavailable,
)
from arcade_cloud.ports.payments import Payments
from arcade_cloud.ports.store import Move, Store
from arcade_cloud.services.alert_delivery import AlertDelivery
from arcade_cloud.services.outbox import Outbox
from arcade_cloud.services.sender import Sender

logger = logging.getLogger(__name__)

# The first event in an order's history.
Beginning = Literal["Ordered", "Granted", "PaidByLink", "Unmatched", "Claimed"]

# Two workers rarely meet on one order. So many conflicts in a row are a defect.
CONFLICT_RETRIES = 20
# The longest chain is money → funded → sent, or resolved → read → act → read → settled. So long for each credit.
MAX_CHAIN = 24
# An order that cannot be moved is due again after this time. Until then other orders get their turn.
STUCK_AGAIN_MS = 10_000


@dataclass(frozen=True, slots=True)
class Booking:
    """What an order books, what that adds to the tallies, and whether it now waits for a receipt's number."""

    lines: tuple[books.Line, ...] = ()
    tallies: Tallies = field(default_factory=dict)
    receipt: ReceiptDue | None = None


def at_once(work: Callable[[], None]) -> None:
    """Do `work` now. Processes without worker threads use this."""
    work()


@dataclass(frozen=True, kw_only=True)
class Fulfilment:
    """Moves orders.

    Attributes:
        later: Runs work that waits for Stripe. It may drop work, because the order stays due.
        capture_keys: Our captures carry a mark by the first, and are known by any of them.
        zone: The arcade's time zone, in which the days of its books begin.
    """

    store: Store
    payments: Payments
    sender: Sender
    delivery: AlertDelivery
    outbox: Outbox
    limits: Limits
    now_ms: Callable[[], int]
    later: Callable[[Callable[[], None]], None] = at_once
    capture_keys: tuple[bytes, ...] = ()
    zone: tzinfo = UTC

    # --- moving ------------------------------------------------------------------------------------------

    def begin(self, order: Order, event: Beginning, *, alerts: tuple[Alert, ...] = ()) -> None:
        """Store a new order.

        Raises:
            Conflict: An order with this id exists.
            PaymentTaken: Another order has its payment.
            StoreUnavailable: It may or may not have been stored.
        """
        entry = HistoryEntry(
            order_id=order.order_id,
            version=1,
            at_ms=self.now_ms(),
            event=event,
            state=order.state,
            text=order.note,
        )
        raised = of_order(alerts, order.order_id, order.machine_ids)
        self.store.move(Move(order=order, expected_version=0, history=entry, alerts=raised))

    def begin_once(self, order: Order, event: Beginning, *alerts: Alert) -> bool:
        """Store a new order. False if an older order has its id or its payment.

        Raises:
            StoreUnavailable: It may or may not have been stored.
        """
        try:
            self.begin(order, event, alerts=alerts)
        except (Conflict, PaymentTaken):
            return False
        return True

    def move(self, order_id: str, event: Event, *, seen: str | None = None) -> Order | None:
        """Move one order by one event, and perform the effects.

        Args:
            seen: The id under which the event is recorded. A recorded event changes nothing.

        Returns:
            The order after the move; None if there is no such order.

        Raises:
            StoreUnavailable: The event may be delivered again.
            PaymentTaken: The event's payment is not the order's, or another order has it.
        """
        order, effects = self._store_step(order_id, event, seen)
        if order is not None:
            self._act(order, effects)
        return order

    def _store_step(
        self, order_id: str, event: Event, seen: str | None
    ) -> tuple[Order | None, tuple[Effect, ...]]:
        for _ in range(CONFLICT_RETRIES):
            order = self.store.order(order_id)
            if order is None:
                return None, ()
            if seen is not None and is_another(order.payment, _payment_intent_of(event)):
                raise PaymentTaken(f"order {order_id} has another payment intent")
            decision = decide(order, event, self.context(order, event))
            try:
                if decision.forget:
                    self.store.forget(order)
                    return None, ()
                return self._save(order, event, decision, seen), decision.effects
            except Conflict:
                continue
            except AlreadySeen:
                return order, ()
        raise InvariantBroken(f"order {order_id}: {CONFLICT_RETRIES} conflicts in a row")

    def _save(self, order: Order, event: Event, decision: Decision, seen: str | None) -> Order:
        alerts = of_order(decision.alerts, order.order_id, decision.order.machine_ids)
        if decision.order.version == order.version:
            for raised in alerts:  # before the event counts as seen, for it does not come again then
                self.store.raise_alert(raised)
            if seen is not None and not self.store.note_seen(seen, self.now_ms()):
                raise AlreadySeen(seen)
            return order
        at_ms = self.now_ms()
        postings = self.outbox.of_step(order, decision.order, at_ms)
        booking = self.unbooked(decision.order, at_ms) if books.settles(order, decision.order) else Booking()
        entry = HistoryEntry(
            order_id=order.order_id,
            version=decision.order.version,
            at_ms=at_ms,
            event=type(event).__name__,
            state=decision.order.state,
            text=decision.text,
            credit_id=credit_of(event),
        )
        self.store.move(
            Move(
                order=decision.order,
                expected_version=order.version,
                history=entry,
                is_told=bool(alerts or postings) or not tabs.only_looked(order, decision.order),
                alerts=alerts,
                seen=seen,
                lines=booking.lines,
                postings=postings,
                tallies=booking.tallies,
                counts=metering.counts(order, decision.order, event, at_ms),
                receipt=booking.receipt,
            )
        )
        return decision.order

    def unbooked(self, order: Order, at_ms: int) -> Booking:
        """What an order books if it is stored like this.

        Whoever books at the same time gets a Conflict, because the lines have the same serial.
        """
        booked = self.store.booked(order.order_id)
        machines = [self.store.machine(machine_id) for machine_id in order.machine_ids]
        locations = {machine.machine_id: machine.location for machine in machines if machine is not None}
        lines = books.lines(booked, order, at_ms=at_ms, zone=self.zone, locations=locations)
        return Booking(lines, added(booked, lines), receipts.due(booked, lines))

    def context(self, order: Order, event: Event | None = None) -> Context:
        """What a decision about the order may depend on now. What is drawn belongs to the order already."""
        drawn = (event.credit,) if isinstance(event, Drawn) else ()
        every = (*order.credits, *drawn)
        waiting = [c for c in every if c.command is None and c.resolution is None and not c.subscriber]
        machine_ids = dict.fromkeys(credit.machine_id for credit in waiting)
        presences = [self.store.presence(machine_id) for machine_id in machine_ids]
        now_ms, off_ms = self.now_ms(), self.payments.clock_off_ms()
        clock = clock_of(off_ms)
        return Context(
            now_ms=now_ms,
            limits=self.limits,
            installations={
                found.machine_id: found.installation
                for found in presences
                if found is not None and found.installation is not None
            },
            last_echo_ms=self.heard_echo_ms() if _is_revoking(order) else None,
            capture_keys=self.capture_keys,
            unheard=self._unheard(order, now_ms),
            clock=clock,
            off_ms=off_ms if off_ms is not None and clock == "wrong" else 0,
        )

    def _unheard(self, order: Order, now_ms: int) -> frozenset[str]:
        """The machines of revoked credits whose messages cannot be verified."""
        asked = dict.fromkeys(credit.machine_id for credit in order.credits if credit.is_revoking)
        return frozenset(one for one in asked if speaks_unheard(self.store.presence(one), now_ms))

    def heard_echo_ms(self) -> int | None:
        """When the latest echo that came back was sent.

        One from the future, of a clock that was ahead, is forgotten: it would be believed as soon as that time has
        come.
        """
        believed_until_ms = self.now_ms() + SKEW_MS
        heard_ms = self.store.heard_echo_ms()
        if heard_ms is None or heard_ms <= believed_until_ms:
            return heard_ms
        if self.clock() == "right":
            self.store.forget_echoes(believed_until_ms)
        return None

    # --- the clock ---------------------------------------------------------------------------------------

    def clock(self) -> Clock:
        """What this process knows about its clock."""
        return clock_of(self.payments.clock_off_ms())

    def learn_time(self) -> None:
        """Have Stripe tell its time if this process does not know whether its clock is right."""
        if self.clock() == "unknown":
            self.later(self._ask_time)

    def _ask_time(self) -> None:
        with suppress(PaymentsError):  # trouble with Stripe is told elsewhere; any answer has the time
            self.payments.check()

    # --- acting ------------------------------------------------------------------------------------------

    def _act(self, order: Order, effects: tuple[Effect, ...], *, waits: bool = False) -> None:
        """Perform effects one after the other, and the effects that follow from their results.

        Args:
            waits: Whether this thread may wait for Stripe, which can take seconds. If not, the rest goes to
                `later`.
        """
        pending = list(effects)
        at_most = MAX_CHAIN * max(1, len(order.credits))
        for _ in range(at_most):
            if not pending:
                return
            if isinstance(pending[0], ReadPayment | AskTime | Settle) and not waits:
                self.later(partial(self._act, order, tuple(pending), waits=True))
                return
            event = self._perform(order, pending.pop(0))
            if event is not None:
                moved, more = self._store_step(order.order_id, event, None)
                order = order if moved is None else moved
                pending.extend(more)
        raise InvariantBroken(f"order {order.order_id}: more than {at_most} effects in a row")

    def _perform(self, order: Order, effect: Effect) -> Event | None:
        match effect:
            case SendCoinpulse(credit_id=credit_id):
                credit, command = _commanded(order, credit_id)
                outcome = self.sender.coinpulse(credit.machine_id, command, credit.count)
                return Sent("coinpulse", credit_id, outcome)
            case SendRevoke(credit_id=credit_id):
                credit, command = _commanded(order, credit_id)
                outcome = self.sender.revoke(credit.machine_id, command, self.limits.last_resort_s)
                return Sent("revoke", credit_id, outcome)
            case SendEcho():
                self.sender.echo()
                return None
            case ReadPayment():
                return self._read_payment(order)
            case AskTime(credit_id=credit_id):
                self._ask_time()
                return TimeAsked(credit_id)
            case Settle():
                return self._settle(order, effect)

    def _read_payment(self, order: Order) -> PaymentRead | None:
        read_at_ms, acts, payment = self.now_ms(), order.settlement.acts, order.payment
        if payment is None:
            return None
        try:
            if payment.checkout is not None and order.state in {"open", "abandoned"}:
                checkout = self.payments.read_checkout(payment.checkout.session_id)
                return PaymentRead(checkout.payment, checkout.status, read_at_ms, acts)
            if payment.payment_intent is not None:
                shown = self.payments.read_payment(payment.payment_intent)
                return PaymentRead(shown, None, read_at_ms, acts)
        except PaymentsUnavailable as error:
            logger.warning("order %s: Stripe cannot be read yet: %s", order.order_id, error)
        except PaymentsRefused as error:
            text = f"Stripe does not show the order's payment: {error}. Is STRIPE_API_KEY of another account?"
            self.store.raise_alert(alert("unreadable", order.order_id, text, self.now_ms()))
        return None

    def _settle(self, order: Order, effect: Settle) -> SettlementAttempted | None:
        if not -SKEW_MS <= self.now_ms() - effect.decided_at_ms <= EFFECT_LIFE_MS:
            return None  # too old to be safe, or nobody knows; the order is due, and its payment is read again
        if order.payment_intent is None:
            raise InvariantBroken(f"order {order.order_id}: nothing to {effect.operation}")
        if effect.operation == "refund" and self.clock() == "wrong":
            return None  # its clock cannot say whether an earlier refund may still happen
        payment_intent, key = order.payment_intent, effect.key
        try:
            match effect.operation:
                case "capture":
                    self.payments.capture(payment_intent, effect.amount_minor, key=key, mark=effect.mark)
                case "cancel":
                    self.payments.cancel(payment_intent, key=key)
                case "refund":
                    self.payments.refund(payment_intent, effect.amount_minor, key=key)
        except PaymentsUnavailable as error:
            logger.warning("order %s: no verdict from Stripe (%s): %s", order.order_id, effect.operation, error)
            return SettlementAttempted(effect.operation, key, "unknown")
        except PaymentsRefused as error:
            return SettlementAttempted(effect.operation, key, "refused", error.code)
        return SettlementAttempted(effect.operation, key, "done")

    # --- the timer ---------------------------------------------------------------------------------------

    def run_once(self, limit: int = 100, *, until_ms: int | None = None) -> int:
        """Move the orders that are due, at most `limit`, and post alerts.

        An order that cannot be moved raises an alert and stays due, behind the others. However many such orders
        there are, the others still move.

        Args:
            until_ms: After this time no further order is moved, and at most one alert is posted. The next pass
                does the rest.

        Returns:
            How many orders were due.

        Raises:
            StoreUnavailable: The store is down, or, as FormTooNew, a newer version has upgraded it.
        """
        due = self.store.due_orders(self.now_ms(), limit)
        for order_id in due:
            if until_ms is not None and self.now_ms() >= until_ms:
                break
            self.move_due(order_id)
        self.delivery.run_once(until_ms=until_ms)
        return len(due)

    def move_due(self, order_id: str) -> None:
        """Move an order as the timer does: one that cannot be moved raises an alert, and no exception.

        Raises:
            StoreUnavailable: The store is down, or, as FormTooNew, a newer version has upgraded it.
        """
        try:
            self.move(order_id, Due())
        except FormTooNew as error:
            self.store.form()  # raises it again where the whole store is newer, and not only this order
            logger.warning("order %s cannot be moved; it stays due: %s", order_id, error)
            self._leave_stuck(order_id, f"The order cannot be moved: {error}.")
        except StoreUnavailable:
            raise
        except Exception:  # a defect in one order must not stop the others
            logger.exception("order %s cannot be moved; it stays due", order_id)
            text = "A defect keeps the order from moving. Send the timer's log to the maintainers."
            self._leave_stuck(order_id, text)

    def _leave_stuck(self, order_id: str, text: str) -> None:
        """Let the other orders go first, and tell a person."""
        self.store.postpone(order_id, self.now_ms() + STUCK_AGAIN_MS)
        self.store.raise_alert(alert("stuck", order_id, text, self.now_ms()))


def _payment_intent_of(event: Event) -> str | None:
    match event:
        case PaymentRead(payment=shown):
            return None if shown is None else shown.payment_intent
        case PaymentReported(payment_intent=payment_intent):
            return payment_intent
        case _:
            return None


def _is_revoking(order: Order) -> bool:
    return any(credit.is_revoking for credit in order.credits)


def _commanded(order: Order, credit_id: str) -> tuple[Credit, Command]:
    """The order's credit with that id, and its command."""
    for credit in order.credits:
        if credit.command is not None and credit.command.credit_id == credit_id:
            return credit, credit.command
    raise InvariantBroken(f"order {order.order_id}: no credit {credit_id} has a command")
