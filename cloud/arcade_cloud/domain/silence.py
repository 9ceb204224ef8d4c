"""When a machine's silence counts, and how long anything may be waited for at all (pure)."""

from arcade_cloud.domain.decisions import Context
from arcade_cloud.domain.events import Outcome
from arcade_cloud.domain.order import Order

CONFIRMED = frozenset({Outcome.CONFIRMED, Outcome.NOBODY})


def is_proven(order: Order, context: Context) -> bool:
    """Whether the machine has been silent for as long as published, and the cloud can prove that it hears.

    The time runs from the first revoke that the broker confirmed. The proof: the latest revoke is confirmed
    too, the machine has had time to answer it, and an echo has come back the way acks come that was sent after
    that revoke and after the end of that time. So a cloud that was away listens first.
    """
    first, last = order.revoke_confirmed_at_ms, order.last_revoke_confirmed_at_ms
    if first is None or last is None or order.last_outcome not in CONFIRMED:
        return False
    limits = context.limits
    end = first + 1000 * (limits.hold_silence_limit_s if order.held else limits.silence_limit_s)
    end = _before_hold_ends(order, end, 2)
    heard = context.hears_ms is not None and context.hears_ms >= max(last, end)
    return heard and context.now_ms >= last + 1000 * limits.answer_s


def last_resort_ms(order: Order, context: Context) -> int:
    """When money goes back whatever is down, epoch milliseconds."""
    since = context.now_ms if order.revoking_since_ms is None else order.revoking_since_ms
    return _before_hold_ends(order, since + 1000 * context.limits.last_resort_s, 3)


def _before_hold_ends(order: Order, moment_ms: int, quarters: int) -> int:
    """`moment_ms`, or an earlier one if so many quarters of a hold's life have gone by then.

    Stripe must still be found well enough, in what is left, to capture what was delivered.
    """
    if order.capture_before_ms is None or order.paid_at_ms is None:
        return moment_ms
    return min(moment_ms, order.paid_at_ms + (order.capture_before_ms - order.paid_at_ms) * quarters // 4)
