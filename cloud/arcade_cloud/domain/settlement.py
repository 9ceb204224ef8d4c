"""Settlement, the end of an order's life: make Stripe show what the operator is to keep (pure).

`step` compares what Stripe shows with the target and says what to do next. It is the only place that decides about
captures, cancellations and refunds. The order is read, act, read again: the answer to an act never counts as the
new state, and a reading from before the act no longer counts. The target is given; nothing here knows about
credits.

An attempt is an act under one idempotency key. Stripe captures or cancels a payment once, whatever the key, but
every refund with a new key takes more money. So a refund's key changes only when no attempt can be under way.
"""

from typing import Any

import msgspec

from arcade_cloud.domain import ownership
from arcade_cloud.domain.alerts import Alert, AlertKind, alert
from arcade_cloud.domain.decisions import Context, Decision, later
from arcade_cloud.domain.effects import EFFECT_LIFE_MS, PARTIAL_CAPTURE, Operation, ReadPayment, Settle
from arcade_cloud.domain.events import SettlementAttempted
from arcade_cloud.domain.money import Payment, currency_of, format_amount
from arcade_cloud.domain.order import Acts, Order, OrderPayment
from arcade_cloud.domain.payment import DISPUTED
from arcade_cloud.domain.tab import is_too_small
from arcade_cloud.errors import InvariantBroken

SETTLE_BACKOFF_S = (5, 15, 60, 300, 900, 3600)
# While a dispute is open, and while the player's bank decides. Rare looks lose nothing: a webhook brings the news
# earlier.
PATIENT_BACKOFF_S = (6 * 3600,)
PROCESSING_BACKOFF_S = (3600,) * 72 + PATIENT_BACKOFF_S
# The same act is not repeated sooner, whatever is read in between: it may still be under way.
AGAIN_MS = 1000 * SETTLE_BACKOFF_S[0]
# For at least 24 hours Stripe repeats its first answer to a key, its own errors included. So a failed attempt
# needs a new key, and no key may be used for much longer than an hour.
REFUND_KEY_USE_MS = 3_600_000
OTHER_KEY_USE_MS = 600_000
# After this time the last attempt with a key is over: it waits at most an hour (effects.EFFECT_LIFE_MS), and a
# call takes less than ten minutes.
ATTEMPT_LIFE_MS = EFFECT_LIFE_MS + 600_000
# Some in the first minutes, then hourly for two weeks. By then a hold has ended, and only a person can find out
# more.
SETTLE_ATTEMPTS = 340
# After so many attempts in vain, an alert is raised.
ALERT_ATTEMPTS = 5
# After so many failed refunds it is clear that the player's bank does not accept them.
REFUND_FAILURES = 3
# A bank may send a refund back up to 30 days later, and the webhook about it may be lost. So a refunded payment is
# read again after these times.
REFUND_LOOKS_S = (3 * 86_400, 10 * 86_400, 35 * 86_400)
# A reading takes half a minute at most. An older one has waited, and a person may have acted at Stripe meanwhile.
READING_LIFE_MS = 60_000


def _settling(order: Order, **changes: Any) -> Order:
    """The order with its settlement changed."""
    return msgspec.structs.replace(order, settlement=msgspec.structs.replace(order.settlement, **changes))


def _booked(order: Order, note: str, **changes: Any) -> Order:
    """The order with its books changed. `note` says why, for people."""
    return msgspec.structs.replace(order, books=msgspec.structs.replace(order.books, **changes), note=note)


def _paid_by(order: Order) -> OrderPayment:
    if order.payment is None:
        raise InvariantBroken(f"order {order.order_id}: a grant has no money to settle")
    return order.payment


def _paying(order: Order, **changes: Any) -> Order:
    """The order with its payment changed."""
    return msgspec.structs.replace(order, payment=msgspec.structs.replace(_paid_by(order), **changes))


def _due(order: Order, at_ms: int | None) -> Order:
    """The order with its next due time: to read a settled order again, or to go on settling another."""
    settled = order.settlement.done
    return _settling(_paying(order, due_at_ms=at_ms if settled else None), due_at_ms=None if settled else at_ms)


def _alert(order: Order, kind: AlertKind, text: str, context: Context, which: str = "") -> Alert:
    return alert(kind, order.order_id, text, context.now_ms, which)


def begin(order: Order, context: Context) -> Decision:
    """Begin an attempt: read Stripe to see what is to be done. A grant has nothing to settle."""
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
    text = (
        f"After {attempts - 1} attempts Stripe does not show {_target(order)}. The cloud keeps trying. "
        "Look at Stripe's status page and at the API key."
    )
    return Decision(trying, (ReadPayment(),), (_alert(order, "settle_slow", text, context),))


def longest_wait_s(order: Order) -> int:
    """How long the order waits for its next attempt at most, in seconds."""
    shown, settlement = None if order.payment is None else order.payment.shown, order.settlement
    if shown is not None and (shown.status == "processing" or shown.dispute == "open"):
        return PATIENT_BACKOFF_S[-1]
    if settlement.key.startswith("refund:"):  # another one may have to wait for it
        return max(SETTLE_BACKOFF_S[-1], ATTEMPT_LIFE_MS // 1000)
    return SETTLE_BACKOFF_S[min(settlement.attempts, len(SETTLE_BACKOFF_S) - 1)]


def _next_try(order: Order, attempts: int, context: Context) -> int:
    """When to try again, epoch milliseconds. The end of a hold that must be captured shortens the wait."""
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


def is_outdated(order: Order, read_at_ms: int, acts: Acts, context: Context) -> bool:
    """Whether a reading may miss what another worker did since it began.

    The record proves that: the reading began when `acts` was all that had been attempted. Clocks would not, for
    another worker's may be ahead. An act whose result was on record before the reading began is seen by it.
    """
    return acts != order.settlement.acts or context.now_ms - read_at_ms > READING_LIFE_MS


def step(order: Order, shown: Payment, context: Context) -> Decision:
    """Compare what Stripe shows with the target: done, act, wait, or a loss. For closed orders only."""
    read = _in_steps(_paying(_found_again(order, shown), shown=shown, reads=0))
    stands = unknown_capture(read, shown, context)
    if stands is not None and stands > read.books.target_minor:
        return _stands(read, shown, context)
    if stands is not None and stands < read.books.target_minor:
        read = _given_earlier(read, stands)
    kept, target = shown.kept_minor, read.books.target_minor
    alerts: tuple[Alert, ...] = ()
    if shown.refunds_failed > order.settlement.refunds_seen_failed:
        text = (
            f"Stripe could not pay out a refund ({shown.refunds_failed} so far). "
            f"It is made again until {REFUND_FAILURES} have failed."
        )
        alerts = (_alert(order, "refund_failed", text, context, str(shown.refunds_failed)),)
        read = _settling(read, refunds_seen_failed=shown.refunds_failed)
        if order.settlement.key_over:  # Stripe has finished that refund, so the next one needs its own key
            read = _settling(read, key="")
    if shown.dispute == "open":
        alerts = (*alerts, _alert(order, DISPUTED.kind, DISPUTED.text, context))
        # Meanwhile Stripe refuses refunds. In the end it takes the money or leaves it; look again until then.
        waiting = _settled(read, context) if kept == target else read
        return Decision(_due(waiting, later(context, PATIENT_BACKOFF_S, 1)), alerts=alerts)
    if shown.status == "processing":
        look_ms = later(context, PROCESSING_BACKOFF_S, order.settlement.attempts)
        return Decision(_due(_reopened(read), look_ms), alerts=alerts)
    if shown.status == "requires_capture":
        if is_too_small(read, target):
            read, target = _let_go(read), 0
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


def unknown_capture(order: Order, shown: Payment, context: Context) -> int | None:
    """What was to be kept of a payment that this cloud has captured, though the record has never tried to.

    That happens if an older database was put back. None: there is no such capture.
    """
    if shown.status != "succeeded" or order.settlement.serial:
        return None
    return ownership.captured_for(context.capture_keys, shown.payment_intent, shown.capture_mark)


def knowing(order: Order) -> Order:
    """The order after somebody has decided about what is captured: nothing of it stands by itself any more."""
    return _settling(order, serial=max(1, order.settlement.serial))


def captured_alert(order: Order, target_minor: int, context: Context) -> Alert:
    """Tell a person of such a capture."""
    amount = format_amount(target_minor, order.currency)
    text = (
        f"Stripe shows that this cloud has captured the payment in order to keep {amount}, which the record of "
        "the order does not know. That sum is not given back by itself. Compare it with what the machine reports; "
        f"if that is less, refund the difference at Stripe. {ownership.IF_RESTORED}."
    )
    return _alert(order, "unknown_capture", text, context)


def _stands(order: Order, shown: Payment, context: Context) -> Decision:
    """Leave what was captured where it is, though the record says that less was delivered."""
    stands = unknown_capture(order, shown, context) or 0
    text = f"{format_amount(stands, order.currency)} stay captured: the record is older than the payment"
    settled = _settled(_booked(order, text), context)
    return Decision(settled, alerts=(captured_alert(order, stands, context),), text=text)


def _given_earlier(order: Order, target_minor: int) -> Order:
    """The order with a target that had been lowered before an older record was put back."""
    books = order.books
    goodwill = books.goodwill_minor + books.target_minor - target_minor
    return knowing(_booked(order, order.note, target_minor=target_minor, goodwill_minor=goodwill))


def _let_go(order: Order) -> Order:
    """The order of a tab of which Stripe captures no sum as small as what is to be kept: it is given away."""
    books, amount = order.books, format_amount(order.books.target_minor, order.currency)
    note = f"{amount} are let go: Stripe captures no sum as small"
    return _booked(order, note, target_minor=0, goodwill_minor=books.goodwill_minor + books.target_minor)


def _in_steps(order: Order) -> Order:
    """The order with a target that Stripe can show. Version 0.1 did not round to a currency's steps."""
    target = currency_of(order.currency).rounded_down(order.books.target_minor)
    return order if target == order.books.target_minor else _booked(order, order.note, target_minor=target)


def _found_again(order: Order, shown: Payment) -> Order:
    """If a lost dispute is won after all, or took less than was thought, what was earned is kept."""
    before, books = _paid_by(order).shown, order.books
    if before is None or shown.gone_minor >= before.gone_minor or shown.dispute == "open":
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
        # It was just done and does not show yet.
        return Decision(_due(order, _next_try(order, trying.settlement.attempts, context)), alerts=alerts)
    repeat = same and used_ms < (REFUND_KEY_USE_MS if operation == "refund" else OTHER_KEY_USE_MS)
    alive = before.key.startswith("refund:") and not before.key_over and since_ms < ATTEMPT_LIFE_MS
    if operation == "refund" and alive and not repeat:
        waiting = _due(trying, now - since_ms + ATTEMPT_LIFE_MS)
        return Decision(waiting, alerts=alerts, text="waiting until an earlier refund can no longer happen")
    if not repeat:
        trying = _settling(trying, serial=before.serial + 1, serial_at_ms=now)
    key = _key(name, trying)
    acting = _settling(trying, key=key, key_at_ms=now, key_over=False)
    acting = _due(acting, _next_try(trying, trying.settlement.attempts, context))
    text = f"{operation} {format_amount(amount_minor, order.currency)}"
    mark = ""
    if operation == "capture" and context.capture_keys:
        intent = _paid_by(order).payment_intent or ""
        mark = ownership.capture_mark(context.capture_keys[0], intent, order.books.target_minor)
    return Decision(acting, (Settle(operation, amount_minor, key, now, mark),), alerts, text)


def _name(operation: Operation, order: Order) -> str:
    """The beginning of the operation's key."""
    return "capture-all" if operation == "capture" and order.settlement.whole_capture else operation


def _key(name: str, order: Order) -> str:
    return f"{name}:{order.order_id}:{order.books.target_minor}:{order.settlement.serial}"


def _reopened(order: Order) -> Order:
    """Reopen a settled order whose money has moved again."""
    return _settling(order, done=False, attempts=1) if order.settlement.done else order


def attempted(order: Order, event: SettlementAttempted, context: Context) -> Decision:
    """Handle the result of an act, if it is that of the latest attempt. Only a reading shows the new state."""
    if event.key != order.settlement.key:
        return Decision(order)
    if order.state not in {"resolved", "returning"}:  # a reading was faster than the answer
        is_over = event.result == "done" and order.state == "settled"
        return Decision(_settling(order, key_over=True) if is_over else order)
    match event.result:
        case "unknown":
            return Decision(order)  # the order is due already, and is read then
        case "done":
            done = _settling(order, key_over=True, key_at_ms=context.now_ms)
            return Decision(done, (ReadPayment(),), text=f"{event.operation}: done")
        case "refused":
            return _refused(order, event, context)


def _refused(order: Order, event: SettlementAttempted, context: Context) -> Decision:
    # After a refused refund, another attempt with its key may still be under way. Captures and cancellations
    # happen only once.
    over = order if event.operation == "refund" else _settling(order, key="")
    shown = _paid_by(order).shown
    whole_minor = 0 if shown is None else shown.amount_minor
    is_partial = event.code == PARTIAL_CAPTURE and order.books.target_minor < whole_minor
    if is_partial and order.tab is None and event.key == _key("capture", order):
        whole = _settling(over, whole_capture=True, key_at_ms=None)
        text = "Stripe does not capture just this part: everything is captured, the rest refunded"
        return Decision(whole, (ReadPayment(),), text=text)
    text = (
        f"Stripe refused to {event.operation} the payment ({event.code}). The cloud tries again. "
        "Look up the payment at Stripe; often the balance is too low."
    )
    if is_partial and order.tab is not None:  # a tab is never captured whole: the player would pay for nothing
        text = (
            f"Stripe refuses to capture just {format_amount(order.books.target_minor, order.currency)} of a tab's "
            "hold. The cloud tries again until the hold ends, then books a loss. Refund the tab to let the hold "
            "go at once."
        )
    return Decision(over, alerts=(_alert(order, "settle_refused", text, context, event.operation),), text=text)


def _settled(order: Order, context: Context) -> Order:
    before = order.settlement
    since_ms = before.settled_at_ms if before.done else None
    since_ms = context.now_ms if since_ms is None else since_ms
    # An attempt without a known result may be under way all the same: what Stripe shows may have another cause.
    closed = _settling(order, done=True, attempts=0, settled_at_ms=since_ms)
    return _due(closed, _next_look(closed, since_ms, context))


def _next_look(order: Order, since_ms: int, context: Context) -> int | None:
    """When to read the payment again because a refund may fail, epoch ms; None if there is no reason any more."""
    shown = _paid_by(order).shown
    if shown is None or not shown.refunded_minor:
        return None
    looks = (since_ms + 1000 * after_s for after_s in REFUND_LOOKS_S)
    return next((look_ms for look_ms in looks if look_ms > context.now_ms), None)


def _lost(order: Order, lost_minor: int, context: Context, alerts: tuple[Alert, ...]) -> Decision:
    """Book what was earned and is gone: the hold ended, money went back at Stripe, or a dispute was lost."""
    amount, books = format_amount(lost_minor, order.currency), order.books
    text = (
        f"{amount} of what was delivered is lost: the hold ended, the money went back at Stripe, or a dispute was "
        "lost. Find out why."
    )
    all_lost, target = books.lost_minor + lost_minor, books.target_minor - lost_minor
    gone = _booked(order, text, lost_minor=all_lost, target_minor=target)
    loss = _alert(order, "loss", text, context, str(all_lost))
    return Decision(_settled(gone, context), alerts=(*alerts, loss), text=text)


def _owed(order: Order, owed_minor: int, context: Context, alerts: tuple[Alert, ...]) -> Decision:
    """Close an order that owes the player money that Stripe cannot pay out. A person pays it."""
    amount = format_amount(owed_minor, order.currency)
    text = (
        f"{amount} is owed to the player, but Stripe failed to pay it out {REFUND_FAILURES} times. "
        "Pay the player by other means."
    )
    booked = _booked(order, text, owed_minor=owed_minor)
    owed = _alert(order, "owed", text, context)
    return Decision(_settled(booked, context), alerts=(*alerts, owed), text=text)


def _given_up(order: Order, context: Context) -> Decision:
    """Close an order for which Stripe did not show the target for weeks. A person finds out why."""
    shown = _paid_by(order).shown
    kept = 0 if shown is None else shown.kept_minor
    owed = max(0, kept - order.books.target_minor)
    text = (
        f"After {SETTLE_ATTEMPTS} attempts Stripe does not show {_target(order)}. At the last reading "
        f"{format_amount(owed, order.currency)} had still to go back. Put the payment right at Stripe."
    )
    given_up = _alert(order, "given_up", text, context)
    return Decision(_settled(_booked(order, text, owed_minor=owed), context), alerts=(given_up,), text=text)


def _target(order: Order) -> str:
    return f"{format_amount(order.books.target_minor, order.currency)} kept"
