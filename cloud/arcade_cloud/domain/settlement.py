"""The end of an order's life: Stripe is brought to show what is to be kept (pure).

`step` compares what Stripe shows with the target and says what to do next; it is the only place that decides about
captures, cancellations and refunds. Read, act, read again: an answer to an act never counts as the new state, and
what was read before the act counts no more. The target is given; nothing here knows of credits.

An attempt is an act under one idempotency key. Stripe captures or cancels a payment once, whatever the key; but
each refund with a new key takes more money. So a refund's key changes only when no attempt can be under way.
"""

from typing import Any

import msgspec

from arcade_cloud.domain.alerts import Alert, AlertKind, alert
from arcade_cloud.domain.decisions import Context, Decision, later
from arcade_cloud.domain.effects import EFFECT_LIFE_MS, Operation, ReadPayment, Settle
from arcade_cloud.domain.events import SettlementAttempted
from arcade_cloud.domain.money import Payment, format_amount
from arcade_cloud.domain.order import Order, OrderPayment
from arcade_cloud.domain.payment import DISPUTED
from arcade_cloud.errors import InvariantBroken

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


# Reading takes half a minute at the most; an older answer has waited while others went on.
READING_LIFE_MS = 60_000


def _settling(order: Order, **changes: Any) -> Order:
    """The order, with its settlement changed."""
    return msgspec.structs.replace(order, settlement=msgspec.structs.replace(order.settlement, **changes))


def _booked(order: Order, note: str, **changes: Any) -> Order:
    """The order, with its books changed. `note` says why, for people."""
    return msgspec.structs.replace(order, books=msgspec.structs.replace(order.books, **changes), note=note)


def _paid_by(order: Order) -> OrderPayment:
    if order.payment is None:
        raise InvariantBroken(f"order {order.order_id}: what is free has no money to settle")
    return order.payment


def _paying(order: Order, **changes: Any) -> Order:
    """The order, with its payment changed."""
    return msgspec.structs.replace(order, payment=msgspec.structs.replace(_paid_by(order), **changes))


def _due(order: Order, at_ms: int | None) -> Order:
    """The order, to be looked at then: a settled one by asking Stripe, another by going on with its settlement."""
    settled = order.settlement.done
    return _settling(_paying(order, due_at_ms=at_ms if settled else None), due_at_ms=None if settled else at_ms)


def _alert(order: Order, kind: AlertKind, text: str, context: Context, which: str = "") -> Alert:
    return alert(kind, order.order_id, text, context.now_ms, which)


def begin(order: Order, context: Context) -> Decision:
    """Read Stripe, to see what is to be done. What is free has nothing to settle."""
    if order.payment is None:
        return Decision(_settling(order, done=True, key_over=True, settled_at_ms=context.now_ms))
    attempts = order.settlement.attempts + 1
    if attempts > SETTLE_ATTEMPTS:
        return _given_up(order, context)
    trying = _due(_settling(order, attempts=attempts), _next_try(order, attempts, context))
    shown = order.payment.shown
    bank_decides = shown is not None and (shown.status == "processing" or shown.dispute == "open")
    if attempts != ALERT_ATTEMPTS or bank_decides:
        return Decision(trying, (ReadPayment(),))
    text = f"Stripe has not been brought to show {_target(order)} in {attempts - 1} attempts; still trying."
    return Decision(trying, (ReadPayment(),), (_alert(order, "settle_slow", text, context),))


def _next_try(order: Order, attempts: int, context: Context) -> int:
    """When to try again, epoch milliseconds: more and more often as a hold ends that is to be captured."""
    due = later(context, SETTLE_BACKOFF_S, attempts)
    payment = _paid_by(order)
    shown, arrival = payment.shown, payment.arrival
    if shown is None or shown.status != "requires_capture" or order.books.target_minor == 0:
        return due
    ends_ms = shown.capture_before_ms or (0 if arrival is None else arrival.capture_before_ms) or 0
    left = ends_ms - context.now_ms
    if left <= 0:
        return due
    return min(due, context.now_ms + max(60_000, left // 2))


def is_outdated(order: Order, read_at_ms: int, context: Context) -> bool:
    """Whether a reading that began then may miss what another worker has done since."""
    if context.now_ms - read_at_ms > READING_LIFE_MS:
        return True
    settlement = order.settlement
    # What Stripe has done is seen by whoever begins to read in the very moment that we know it.
    since_ms = settlement.key_at_ms
    return since_ms is not None and read_at_ms < since_ms + (0 if settlement.key_over else 1)


def step(order: Order, shown: Payment, context: Context) -> Decision:
    """What Stripe shows against the target: done, act, wait, or a loss. For closed orders only."""
    read = _paying(_found_again(order, shown), shown=shown, reads=0)
    kept, target = shown.kept_minor, read.books.target_minor
    alerts: tuple[Alert, ...] = ()
    if shown.refunds_failed > order.settlement.refunds_seen_failed:
        text = f"Stripe could not pay out a refund ({shown.refunds_failed} so far)."
        alerts = (_alert(order, "refund_failed", text, context, str(shown.refunds_failed)),)
        read = _settling(read, refunds_seen_failed=shown.refunds_failed)
        if order.settlement.key_over:  # Stripe has finished with that refund, so the next one needs its own key
            read = _settling(read, key="")
    if shown.dispute == "open":
        alerts = (*alerts, _alert(order, DISPUTED.kind, DISPUTED.text, context))
        # Stripe refuses refunds meanwhile, and takes or leaves the money at the end: look again until then.
        waiting = _settled(read, context) if kept == target else read
        return Decision(_due(waiting, later(context, PATIENT_BACKOFF_S, 1)), alerts=alerts)
    if shown.status == "processing":
        return Decision(_due(_reopened(read), later(context, PATIENT_BACKOFF_S, 1)), alerts=alerts)
    if shown.status == "requires_capture":
        if target == 0:
            return _act(read, "cancel", 0, context, alerts)
        whole = read.settlement.whole_capture
        return _act(read, "capture", shown.amount_minor if whole else target, context, alerts)
    if kept > target:
        if shown.refunds_failed >= REFUND_FAILURES:
            return _owed(read, kept - target, context, alerts)
        return _act(read, "refund", kept - target, context, alerts)
    read = _booked(read, read.note, owed_minor=0)
    if kept < target:
        return _lost(read, target - kept, context, alerts)
    text = "" if order.settlement.done else f"Stripe shows {_target(read)}"
    return Decision(_settled(read, context), alerts=alerts, text=text)


def _found_again(order: Order, shown: Payment) -> Order:
    """A dispute that was lost can be won after all: what had been earned is then kept, not given back."""
    before, books = _paid_by(order).shown, order.books
    if before is None or before.dispute != "lost" or shown.dispute == "lost":
        return order
    found = min(books.lost_minor, max(0, shown.kept_minor - books.target_minor))
    lost, target = books.lost_minor - found, books.target_minor + found
    return _booked(order, order.note, lost_minor=lost, target_minor=target)


def _act(
    order: Order, operation: Operation, amount_minor: int, context: Context, alerts: tuple[Alert, ...]
) -> Decision:
    now, before = context.now_ms, order.settlement
    trying = _reopened(order)
    name = _name(operation, order)
    same = before.key == _key(name, order)
    used_ms = 0 if before.serial_at_ms is None else now - before.serial_at_ms
    since_ms = ATTEMPT_LIFE_MS if before.key_at_ms is None else now - before.key_at_ms
    if since_ms < AGAIN_MS and (same or not before.key):
        # Just done, and not to be seen yet.
        return Decision(_due(order, _next_try(order, trying.settlement.attempts, context)), alerts=alerts)
    repeat = same and used_ms < (REFUND_KEY_USE_MS if operation == "refund" else OTHER_KEY_USE_MS)
    alive = before.key.startswith("refund:") and not before.key_over and since_ms < ATTEMPT_LIFE_MS
    if operation == "refund" and alive and not repeat:
        waiting = _due(trying, now - since_ms + ATTEMPT_LIFE_MS)
        return Decision(waiting, alerts=alerts, text="waiting until an earlier refund cannot happen any more")
    if not repeat:
        trying = _settling(trying, serial=before.serial + 1, serial_at_ms=now)
    key = _key(name, trying)
    acting = _settling(trying, key=key, key_at_ms=now, key_over=False)
    acting = _due(acting, _next_try(trying, trying.settlement.attempts, context))
    text = f"{operation} {format_amount(amount_minor, order.currency)}"
    return Decision(acting, (Settle(operation, amount_minor, key, now),), alerts, text)


def _name(operation: Operation, order: Order) -> str:
    """What the operation's key begins with."""
    return "capture-all" if operation == "capture" and order.settlement.whole_capture else operation


def _key(name: str, order: Order) -> str:
    return f"{name}:{order.order_id}:{order.books.target_minor}:{order.settlement.serial}"


def _reopened(order: Order) -> Order:
    """A settled order whose money moved after all goes through settling again."""
    return _settling(order, done=False, attempts=1) if order.settlement.done else order


def attempted(order: Order, event: SettlementAttempted, context: Context) -> Decision:
    """What came of an act. It counts only for the attempt under way; whether it led to the target is read."""
    if order.state not in {"resolved", "returning"} or event.key != order.settlement.key:
        return Decision(order)
    match event.result:
        case "unknown":
            return Decision(order)  # read back at the time that is set already
        case "done":
            done = _settling(order, key_over=True, key_at_ms=context.now_ms)
            return Decision(done, (ReadPayment(),), text=f"{event.operation}: done")
        case "refused":
            return _refused(order, event, context)


def _refused(order: Order, event: SettlementAttempted, context: Context) -> Decision:
    # A refund that was refused may still be under way in another attempt with its key; the others happen once.
    over = order if event.operation == "refund" else _settling(order, key="")
    shown = _paid_by(order).shown
    whole_minor = 0 if shown is None else shown.amount_minor
    if event.key == _key("capture", order) and order.books.target_minor < whole_minor:
        whole = _settling(over, whole_capture=True, key_at_ms=None)
        return Decision(whole, (ReadPayment(),), text=f"capture refused ({event.code}): capture all")
    text = f"Stripe refused to {event.operation} ({event.code}); trying again, with what it shows then."
    word = _alert(order, "settle_refused", text, context, event.operation)
    return Decision(over, alerts=(word,), text=text)


def _settled(order: Order, context: Context) -> Order:
    before = order.settlement
    since_ms = before.settled_at_ms if before.done else None
    since_ms = context.now_ms if since_ms is None else since_ms
    closed = _settling(order, done=True, attempts=0, key_over=True, settled_at_ms=since_ms)
    return _due(closed, _next_look(closed, since_ms, context))


def _next_look(order: Order, since_ms: int, context: Context) -> int | None:
    """When to see whether a refund has lasted (epoch ms); None: there was none, or it was long enough ago."""
    shown = _paid_by(order).shown
    if shown is None or not shown.refunded_minor:
        return None
    looks = (since_ms + 1000 * after_s for after_s in REFUND_LOOKS_S)
    return next((look_ms for look_ms in looks if look_ms > context.now_ms), None)


def _lost(order: Order, lost_minor: int, context: Context, alerts: tuple[Alert, ...]) -> Decision:
    """What was earned is not to be had: the hold ended, or money went back outside, or a dispute was lost."""
    amount, books = format_amount(lost_minor, order.currency), order.books
    text = f"{amount} of what was delivered is gone: the hold ended, or the money went back outside."
    all_lost, target = books.lost_minor + lost_minor, books.target_minor - lost_minor
    gone = _booked(order, text, lost_minor=all_lost, target_minor=target)
    word = _alert(order, "loss", text, context, str(all_lost))
    return Decision(_settled(gone, context), alerts=(*alerts, word), text=text)


def _owed(order: Order, owed_minor: int, context: Context, alerts: tuple[Alert, ...]) -> Decision:
    """Stripe cannot give the money back: closed, shown, and to be paid by hand."""
    amount = format_amount(owed_minor, order.currency)
    text = f"{amount} is owed to the player: Stripe failed to pay it out {REFUND_FAILURES} times."
    word = _alert(order, "owed", text, context)
    owed = _booked(order, text, owed_minor=owed_minor)
    return Decision(_settled(owed, context), alerts=(*alerts, word), text=text)


def _given_up(order: Order, context: Context) -> Decision:
    """Stripe could not be brought to show the target for weeks: closed, shown, and a person's to find out."""
    shown = _paid_by(order).shown
    kept = 0 if shown is None else shown.kept_minor
    owed = max(0, kept - order.books.target_minor)
    text = (
        f"Stripe could not be brought to show {_target(order)} in {SETTLE_ATTEMPTS} attempts; when last seen, "
        f"{format_amount(owed, order.currency)} were still to be given back. Look the payment up at Stripe."
    )
    word = _alert(order, "given_up", text, context)
    return Decision(_settled(_booked(order, text, owed_minor=owed), context), alerts=(word,), text=text)


def _target(order: Order) -> str:
    return f"{format_amount(order.books.target_minor, order.currency)} kept"
