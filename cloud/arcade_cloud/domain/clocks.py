"""What a clock that was ahead has written: a time in the future proves nothing (pure).

The clocks of the cloud's processes agree within some seconds. If one was hours ahead and was then corrected, the
record of an order may say that it is due in hours, or that a machine was asked in some hours. Such times are put
right with the next event, so that they neither hold an order up nor count as proof.
"""

from typing import Any, TypeVar

import msgspec

from arcade_cloud.domain.credit import LONGEST_WAIT_S as LONGEST_CREDIT_WAIT_S
from arcade_cloud.domain.decisions import Clock
from arcade_cloud.domain.limits import AHEAD_MS, TAB_FRESH_AT_MOST_S
from arcade_cloud.domain.order import Credit, Order, Tab
from arcade_cloud.domain.payment import LONGEST_WAIT_S as LONGEST_READ_WAIT_S
from arcade_cloud.domain.payment import UNPAID_KEPT_S, is_kept_for_a_while
from arcade_cloud.domain.settlement import REFUND_KEY_USE_MS, longest_wait_s
from arcade_cloud.domain.words import ENGLISH, Words

# Off Stripe's clock by so much, a person is told; by so much more, nobody may pay: a payment would go back as too
# late soon after, or Stripe's webhooks would be taken for forged.
TOLD_OFF_MS = 10_000
CLOSED_OFF_MS = 60_000


def why_closed(off_ms: int | None, words: Words = ENGLISH) -> str | None:
    """Why nobody may pay with a clock that is so far off Stripe's, in a sentence for players; None if they may."""
    if off_ms is None or abs(off_ms) < CLOSED_OFF_MS:
        return None
    return words.text("Nobody can pay right now, because a clock is wrong. The operator has been told.")


def clock_of(off_ms: int | None) -> Clock:
    """What a process that is so far off Stripe's clock knows about its own."""
    if off_ms is None:
        return "unknown"
    return "right" if why_closed(off_ms) is None else "wrong"


def off_text(off_ms: int) -> str:
    """How far a clock is off, for people."""
    return f"{abs(off_ms) / 1000:.0f} s {'ahead of' if off_ms >= 0 else 'behind'}"


_Part = TypeVar("_Part", bound=msgspec.Struct)


def without_future(order: Order, now_ms: int, *, tab_fresh_s: int = TAB_FRESH_AT_MOST_S) -> Order:
    """The order without times that lie further ahead than any rule puts them; the given one if there are none.

    Args:
        tab_fresh_s: The hold of an open tab is read again after half of this time.
    """
    payment, settlement, tab = order.payment, order.settlement, order.tab
    if tab is not None:
        tab = _tab(tab, tab_fresh_s, now_ms)
    if payment is not None and payment.stage in {"open", "abandoned"}:
        longest_s = UNPAID_KEPT_S if is_kept_for_a_while(payment) else LONGEST_READ_WAIT_S
        payment = _changed(payment, due_at_ms=_due(payment.due_at_ms, longest_s, now_ms))
    if not settlement.done:
        serial_at_ms = settlement.serial_at_ms
        if serial_at_ms is not None and serial_at_ms > now_ms + AHEAD_MS:
            serial_at_ms = now_ms - REFUND_KEY_USE_MS  # nobody knows its age, so the key is not used again
        settlement = _changed(
            settlement,
            due_at_ms=_due(settlement.due_at_ms, longest_wait_s(order), now_ms),
            key_at_ms=_past(settlement.key_at_ms, now_ms),
            serial_at_ms=serial_at_ms,
        )
    credits = tuple(_credit(credit, now_ms) for credit in order.credits)
    return _changed(order, payment=payment, settlement=settlement, credits=credits, tab=tab)


def _tab(tab: Tab, tab_fresh_s: int, now_ms: int) -> Tab:
    read_at_ms = tab.hold_read_at_ms
    if read_at_ms is not None and read_at_ms > now_ms + AHEAD_MS:
        read_at_ms = None  # nobody knows its age, so nothing is drawn before the hold is read again
    due_at_ms = _due(tab.due_at_ms, tab_fresh_s // 2, now_ms)
    if read_at_ms != tab.hold_read_at_ms and due_at_ms is not None:
        due_at_ms = min(due_at_ms, now_ms)
    return _changed(tab, hold_read_at_ms=read_at_ms, due_at_ms=due_at_ms)


def _credit(credit: Credit, now_ms: int) -> Credit:
    delivery = credit.delivery
    if delivery is None or delivery.resolution is not None:
        return credit
    revoking = delivery.revoking
    if revoking is not None:
        revoking = _changed(
            revoking,
            since_ms=_past(revoking.since_ms, now_ms),
            first_confirmed_at_ms=_past(revoking.first_confirmed_at_ms, now_ms),
            last_confirmed_at_ms=_past(revoking.last_confirmed_at_ms, now_ms),
        )
    due_at_ms = _due(delivery.due_at_ms, LONGEST_CREDIT_WAIT_S, now_ms)
    return _changed(credit, delivery=_changed(delivery, revoking=revoking, due_at_ms=due_at_ms))


def _due(at_ms: int | None, longest_s: int, now_ms: int) -> int | None:
    return now_ms if at_ms is not None and at_ms > now_ms + 1000 * longest_s + AHEAD_MS else at_ms


def _past(at_ms: int | None, now_ms: int) -> int | None:
    return now_ms if at_ms is not None and at_ms > now_ms + AHEAD_MS else at_ms


def _changed(part: _Part, **values: Any) -> _Part:
    """The part with these values; the part itself if it has them already."""
    if all(getattr(part, name) == value for name, value in values.items()):
        return part
    return msgspec.structs.replace(part, **values)
