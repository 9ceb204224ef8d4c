"""The end of an order's life: what is kept is fixed, and Stripe is brought to show it (pure).

`resolve` fixes k, for good. `step` compares what Stripe shows with the target and says what to do next; it is
the only place that decides about captures, cancellations and refunds. Read, act, read again: an answer to an
act never counts as the new state, and what was read before the act counts no more.

An attempt is an act under one idempotency key. Stripe captures or cancels a payment once, whatever the key; but
each refund with a new key takes more money. So a refund's key changes only when no attempt can be under way.
"""

from typing import Any, Literal

import msgspec

from arcade_cloud.domain.decisions import Context, Decision, alert, later
from arcade_cloud.domain.effects import EFFECT_LIFE_MS, ReadPayment, Settle
from arcade_cloud.domain.events import Settling
from arcade_cloud.domain.money import Payment, format_amount
from arcade_cloud.domain.order import Alert, Order

SETTLE_BACKOFF_S = (5, 15, 60, 300, 900, 3600)
# Waiting for a dispute or for Stripe: nothing is lost by looking rarely, a webhook brings the news earlier.
PATIENT_BACKOFF_S = (6 * 3600,)
# The same act is not repeated sooner, whatever is read in between: it may be under way.
AGAIN_MS = 1000 * SETTLE_BACKOFF_S[0]
# Stripe answers a key for at least 24 hours as it did the first time, its own errors included. So an attempt that
# came to nothing needs a new key, and no key may be used for much longer than an hour.
REFUND_KEY_USE_MS = 3_600_000
OTHER_KEY_USE_MS = 600_000
# When the last attempt with a key is over: it waits for an hour at the most (effects.EFFECT_LIFE_MS), and a call
# takes less than ten minutes.
ATTEMPT_LIFE_MS = EFFECT_LIFE_MS + 600_000
# The first minutes, and then hourly for two weeks: a hold has ended by then, and only a person can find out more.
SETTLE_ATTEMPTS = 340
# After so many attempts in vain a person is told.
ALERT_ATTEMPTS = 5
# Stripe has failed to pay a refund out so many times: the player's bank does not take it.
REFUND_FAILURES = 3
# A bank may send a refund back up to 30 days after it was made, and the webhook that tells of it may be lost. So
# Stripe is looked at again, so long after a refund; and no more after the last time.
REFUND_LOOKS_S = (3 * 86_400, 10 * 86_400, 35 * 86_400)


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
    if attempts > SETTLE_ATTEMPTS:
        return _given_up(order, context)
    trying = _with(order, settle_attempts=attempts, due_at_ms=_next_try(order, attempts, context))
    bank_decides = order.payment is not None and (
        order.payment.status == "processing" or order.payment.dispute == "open"
    )
    if attempts != ALERT_ATTEMPTS or bank_decides:
        return Decision(trying, (ReadPayment(),))
    text = f"Stripe has not been brought to show {_target(order)} in {attempts - 1} attempts; still trying."
    return Decision(trying, (ReadPayment(),), (alert(order, "settle_slow", text, context),))


def _next_try(order: Order, attempts: int, context: Context) -> int:
    """When to try again, epoch milliseconds: more and more often as a hold ends that is to be captured."""
    due = later(context, SETTLE_BACKOFF_S, attempts)
    payment = order.payment
    if payment is None or payment.status != "requires_capture" or order.target_minor == 0:
        return due
    ends_ms = payment.capture_before_ms or order.capture_before_ms or 0
    left = ends_ms - context.now_ms
    if left <= 0:
        return due
    return min(due, context.now_ms + max(60_000, left // 2))


def step(order: Order, payment: Payment, context: Context) -> Decision:
    """What Stripe shows against the target: done, act, wait, or a loss. For closed orders only."""
    read = _with(_found_again(order, payment), payment=payment, reads=0)
    kept, target = payment.kept_minor, read.target_minor
    alerts: tuple[Alert, ...] = ()
    if payment.refunds_failed > order.refunds_seen_failed:
        text = f"Stripe could not pay out a refund ({payment.refunds_failed} so far)."
        alerts = (alert(order, "refund_failed", text, context, str(payment.refunds_failed)),)
        read = _with(read, refunds_seen_failed=payment.refunds_failed)
        if order.settle_over:  # Stripe has finished with that refund, so the next one needs a key of its own
            read = _with(read, settle_key="")
    if payment.dispute == "open":
        text = "The player disputes the payment; answer it at Stripe."
        alerts = (*alerts, alert(order, "dispute", text, context))
        # Stripe refuses refunds meanwhile, and takes or leaves the money at the end: look again until then.
        waiting = _settled(read, context) if kept == target else read
        return Decision(_with(waiting, due_at_ms=later(context, PATIENT_BACKOFF_S, 1)), alerts=alerts)
    if payment.status == "processing":
        return Decision(_with(_reopened(read), due_at_ms=later(context, PATIENT_BACKOFF_S, 1)), alerts=alerts)
    if payment.status == "requires_capture":
        if target == 0:
            return _act(read, "cancel", 0, context, alerts)
        return _act(read, "capture", payment.amount_minor if read.whole_capture else target, context, alerts)
    if kept > target:
        if payment.refunds_failed >= REFUND_FAILURES:
            return _owed(read, kept - target, context, alerts)
        return _act(read, "refund", kept - target, context, alerts)
    read = _with(read, owed_minor=0)
    if kept < target:
        return _lost(read, target - kept, context, alerts)
    text = "" if order.state == "settled" else f"Stripe shows {_target(read)}"
    return Decision(_settled(read, context), alerts=alerts, text=text)


def _found_again(order: Order, payment: Payment) -> Order:
    """A dispute that was lost can be won after all: what had been earned is then kept, not given back."""
    if order.payment is None or order.payment.dispute != "lost" or payment.dispute == "lost":
        return order
    found = min(order.lost_minor, max(0, payment.kept_minor - order.target_minor))
    return _with(order, lost_minor=order.lost_minor - found, target_minor=order.target_minor + found)


def _act(
    order: Order,
    operation: Literal["capture", "cancel", "refund"],
    amount_minor: int,
    context: Context,
    alerts: tuple[Alert, ...],
) -> Decision:
    now = context.now_ms
    trying = _reopened(order)
    name = f"{operation}-all" if operation == "capture" and order.whole_capture else operation
    same = order.settle_key == _key(name, order)
    used_ms = 0 if order.serial_at_ms is None else now - order.serial_at_ms
    since_ms = ATTEMPT_LIFE_MS if order.settle_at_ms is None else now - order.settle_at_ms
    if since_ms < AGAIN_MS and (same or not order.settle_key):
        # Just done, and not to be seen yet.
        return Decision(_with(order, due_at_ms=_next_try(order, trying.settle_attempts, context)), alerts=alerts)
    repeat = same and used_ms < (REFUND_KEY_USE_MS if operation == "refund" else OTHER_KEY_USE_MS)
    alive = order.settle_key.startswith("refund:") and not order.settle_over and since_ms < ATTEMPT_LIFE_MS
    if operation == "refund" and alive and not repeat:
        waiting = _with(trying, due_at_ms=now - since_ms + ATTEMPT_LIFE_MS)
        return Decision(waiting, alerts=alerts, text="waiting until an earlier refund can't happen any more")
    if not repeat:
        trying = _with(trying, serial=order.serial + 1, serial_at_ms=now)
    key = _key(name, trying)
    due = _next_try(trying, trying.settle_attempts, context)
    acting = _with(trying, settle_key=key, settle_at_ms=now, settle_over=False, due_at_ms=due)
    text = f"{operation} {format_amount(amount_minor, order.currency)}"
    return Decision(acting, (Settle(operation, amount_minor, key, now),), alerts, text)


def _key(name: str, order: Order) -> str:
    return f"{name}:{order.order_id}:{order.target_minor}:{order.serial}"


def _reopened(order: Order) -> Order:
    """A settled order whose money moved after all goes through settling again."""
    if order.state != "settled":
        return order
    return _with(order, state="returning" if order.delivered is None else "resolved", settle_attempts=1)


def result(order: Order, event: Settling, context: Context) -> Decision:
    """What came of an act. It counts only for the attempt under way; whether it led to the target is read."""
    if order.state not in {"resolved", "returning"} or event.key != order.settle_key:
        return Decision(order)
    match event.result:
        case "unknown":
            return Decision(order)  # read back at the time that is set already
        case "done":
            done = _with(order, settle_over=True, settle_at_ms=context.now_ms)
            return Decision(done, (ReadPayment(),), text=f"{event.operation}: done")
        case "refused":
            return _refused(order, event, context)


def _refused(order: Order, event: Settling, context: Context) -> Decision:
    # A refund that was refused may still be under way in another attempt with its key; the others happen once.
    over = order if event.operation == "refund" else _with(order, settle_key="")
    whole_minor = 0 if order.payment is None else order.payment.amount_minor
    if event.key == _key("capture", order) and order.target_minor < whole_minor:
        whole = _with(over, whole_capture=True, settle_at_ms=None)
        return Decision(whole, (ReadPayment(),), text=f"capture refused ({event.code}): capture all")
    text = f"Stripe refused to {event.operation} ({event.code}); trying again, with what it shows then."
    word = alert(order, "settle_refused", text, context, event.operation)
    return Decision(over, alerts=(word,), text=text)


def _settled(order: Order, context: Context) -> Order:
    since = order.settled_at_ms if order.state == "settled" else None
    closed = _with(
        order,
        state="settled",
        due_at_ms=None,
        settle_attempts=0,
        settle_over=True,
        settled_at_ms=context.now_ms if since is None else since,
    )
    return _with(closed, due_at_ms=_next_look(closed, context))


def _next_look(order: Order, context: Context) -> int | None:
    """When to see whether a refund has lasted (epoch ms); None: there was none, or it was long enough ago."""
    if order.payment is None or not order.payment.refunded_minor or order.settled_at_ms is None:
        return None
    looks = (order.settled_at_ms + 1000 * after_s for after_s in REFUND_LOOKS_S)
    return next((look_ms for look_ms in looks if look_ms > context.now_ms), None)


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


def _given_up(order: Order, context: Context) -> Decision:
    """Stripe could not be brought to show the target for weeks: closed, shown, and a person's to find out."""
    kept = 0 if order.payment is None else order.payment.kept_minor
    owed = max(0, kept - order.target_minor)
    text = (
        f"Stripe could not be brought to show {_target(order)} in {SETTLE_ATTEMPTS} attempts; when last seen, "
        f"{format_amount(owed, order.currency)} were still to be given back. Look the payment up at Stripe."
    )
    word = alert(order, "given_up", text, context)
    return Decision(_settled(_with(order, owed_minor=owed, note=text), context), alerts=(word,), text=text)


def _target(order: Order) -> str:
    return f"{format_amount(order.target_minor, order.currency)} kept"
