"""The end of an order's life: what is kept is fixed, and Stripe is brought to show it (pure).

`resolve` fixes k, for good. `step` compares what Stripe shows with the target and says what to do next; it is
the only place that decides about captures, cancellations and refunds. Read, act, read again: an answer to an
act never counts as the new state.
"""

from typing import Any, Literal

import msgspec

from arcade_cloud.decisions import Context, Decision, alert, later
from arcade_cloud.effects import ReadPayment, Settle
from arcade_cloud.events import Settling
from arcade_cloud.money import Payment, format_amount
from arcade_cloud.orders import Alert, Order

SETTLE_BACKOFF_S = (5, 15, 60, 300, 900, 3600)
# Waiting for a dispute or for Stripe: nothing is lost by looking rarely, a webhook brings the news earlier.
PATIENT_BACKOFF_S = (6 * 3600,)
# An effect dies after an hour (effects.EFFECT_LIFE_MS), so after two no attempt with the old key is alive.
KEY_LIFE_MS = 2 * 3_600_000
# After so many attempts in vain a person is told.
ALERT_ATTEMPTS = 5
# Stripe has failed to pay a refund out so many times: the player's bank does not take it.
REFUND_FAILURES = 3


def _with(order: Order, **changes: Any) -> Order:
    return msgspec.structs.replace(order, **changes)


def resolve(order: Order, delivered: int, by: str, text: str, context: Context, *alerts: Alert) -> Decision:
    """Close the order with `delivered` credits: k, which never changes again. Then begin to settle."""
    closed = _with(order, state="resolved", delivered=delivered, resolved_by=by, resolved_at_ms=context.now_ms)
    earned = closed.earned_minor
    at_most = order.keep_at_most_minor
    target = earned if at_most is None else min(earned, at_most)
    closed = _with(closed, target_minor=target, goodwill_minor=earned - target, note=text)
    decision = begin(closed, context)
    return Decision(decision.order, decision.effects, (*alerts, *decision.alerts), text)


def give_back(order: Order, why: str, context: Context, *alerts: Alert) -> Decision:
    """Money that belongs to no deliverable order: all of it goes back."""
    decision = begin(_with(order, state="returning", target_minor=0, note=why), context)
    return Decision(decision.order, decision.effects, (*alerts, *decision.alerts), why)


def begin(order: Order, context: Context) -> Decision:
    """Read Stripe, to see what is to be done. A grant has nothing to settle."""
    if order.kind == "grant":
        return Decision(_settled(order, context))
    attempts = order.settle_attempts + 1
    due = later(context, SETTLE_BACKOFF_S, attempts)
    trying = _with(order, settle_attempts=attempts, due_at_ms=due)
    if attempts != ALERT_ATTEMPTS:
        return Decision(trying, (ReadPayment(),))
    text = f"Stripe has not been brought to show {_target(order)} in {attempts - 1} attempts; still trying."
    return Decision(trying, (ReadPayment(),), (alert(order, "settle_slow", text, context),))


def step(order: Order, payment: Payment, context: Context) -> Decision:
    """What Stripe shows against the target: done, act, wait, or a loss. For closed orders only."""
    read = _with(order, payment=payment, reads=0)
    alerts: tuple[Alert, ...] = ()
    if payment.dispute == "open":
        word = alert(order, "dispute", "The player disputes the payment; answer it at Stripe.", context)
        if order.state == "settled":
            return Decision(_with(read, due_at_ms=None), alerts=(word,))
        # Stripe refuses refunds while a dispute is open.
        return Decision(_with(read, due_at_ms=later(context, PATIENT_BACKOFF_S, 1)), alerts=(word,))
    if payment.refunds_failed > order.refunds_seen_failed:
        text = f"Stripe could not pay out a refund ({payment.refunds_failed} so far)."
        alerts = (alert(order, "refund_failed", text, context, str(payment.refunds_failed)),)
        # Stripe has finished with that refund, so a new one needs a new key.
        read = _with(
            read,
            refunds_seen_failed=payment.refunds_failed,
            serial=order.serial + 1,
            serial_at_ms=context.now_ms,
        )
    if payment.status == "processing":
        return Decision(_with(_reopened(read), due_at_ms=later(context, PATIENT_BACKOFF_S, 1)), alerts=alerts)
    if payment.status == "requires_capture":
        if read.target_minor == 0:
            return _act(read, "cancel", 0, context, alerts)
        amount = payment.amount_minor if read.whole_capture else read.target_minor
        return _act(read, "capture", amount, context, alerts)
    kept = payment.kept_minor
    if kept > read.target_minor:
        if payment.refunds_failed >= REFUND_FAILURES:
            return _owed(read, kept - read.target_minor, context, alerts)
        return _act(read, "refund", kept - read.target_minor, context, alerts)
    if kept < read.target_minor:
        return _lost(read, read.target_minor - kept, context, alerts)
    text = "" if order.state == "settled" else f"Stripe shows {_target(read)}"
    return Decision(_settled(read, context), alerts=alerts, text=text)


def _act(
    order: Order,
    operation: Literal["capture", "cancel", "refund"],
    amount_minor: int,
    context: Context,
    alerts: tuple[Alert, ...],
) -> Decision:
    serial, since = order.serial, order.serial_at_ms
    if since is None or context.now_ms - since >= KEY_LIFE_MS:
        serial, since = serial + 1, context.now_ms
    name = f"{operation}-all" if operation == "capture" and order.whole_capture else operation
    key = f"{name}:{order.order_id}:{order.target_minor}:{serial}"
    acting = _with(
        _reopened(order),
        serial=serial,
        serial_at_ms=since,
        settle_key=key,
        due_at_ms=later(context, SETTLE_BACKOFF_S, order.settle_attempts),
    )
    effect = Settle(operation, amount_minor, key, context.now_ms)
    return Decision(acting, (effect,), alerts, f"{operation} {format_amount(amount_minor, order.currency)}")


def _reopened(order: Order) -> Order:
    """A settled order whose money moved after all goes through settling again."""
    if order.state != "settled":
        return order
    return _with(order, state="returning" if order.delivered is None else "resolved", settle_attempts=1)


def result(order: Order, event: Settling, context: Context) -> Decision:
    """What came of an act. It counts only for the attempt that is still wanted."""
    if order.state not in {"resolved", "returning"} or event.key != order.settle_key:
        return Decision(order)
    match event.result:
        case "unknown":
            return Decision(order)  # read back at the time that is set already
        case "done":
            return Decision(order, (ReadPayment(),), text=f"{event.operation}: done")
        case "refused":
            partial = event.operation == "capture" and not order.whole_capture
            if partial and order.payment is not None and order.target_minor < order.payment.amount_minor:
                whole = _with(order, whole_capture=True)
                return Decision(whole, (ReadPayment(),), text=f"capture refused ({event.code}): capture all")
            text = f"Stripe refused to {event.operation} ({event.code}); trying again, with what it shows then."
            word = alert(order, "settle_refused", text, context, event.operation)
            return Decision(order, alerts=(word,), text=text)


def _settled(order: Order, context: Context) -> Order:
    if order.state == "settled":
        return _with(order, due_at_ms=None)
    return _with(order, state="settled", settled_at_ms=context.now_ms, due_at_ms=None, settle_attempts=0)


def _lost(order: Order, lost_minor: int, context: Context, alerts: tuple[Alert, ...]) -> Decision:
    """What was earned is not to be had: the hold ended, or money went back outside, or a dispute was lost."""
    amount = format_amount(lost_minor, order.currency)
    text = f"{amount} of what was delivered is gone: the hold ended, or the money went back outside."
    gone = _with(
        order, lost_minor=order.lost_minor + lost_minor, target_minor=order.target_minor - lost_minor, note=text
    )
    word = alert(order, "loss", text, context, str(gone.lost_minor))
    return Decision(_settled(gone, context), alerts=(*alerts, word), text=text)


def _owed(order: Order, owed_minor: int, context: Context, alerts: tuple[Alert, ...]) -> Decision:
    """Stripe can't give the money back: closed, shown, and to be paid by hand."""
    amount = format_amount(owed_minor, order.currency)
    text = f"{amount} is owed to the player: Stripe failed to pay it out {REFUND_FAILURES} times."
    word = alert(order, "owed", text, context)
    owed = _with(order, owed_minor=owed_minor, note=text)
    return Decision(_settled(owed, context), alerts=(*alerts, word), text=text)


def _target(order: Order) -> str:
    return f"{format_amount(order.target_minor, order.currency)} kept"
