"""The tab: one hold for a visit, on which credits are drawn one after the other (pure).

    opened ── by a hold of the limit, read back ──▶ open ──┬─ the player finishes, or nobody draws for a while
                                                          ├─ its life ends, long before the hold does
                                                          └─ the hold is touched at Stripe, an operator says so
                                                          ▼
    closed, for good ── every credit is resolved ──▶ captured once, for exactly what was delivered

A draw is made of the tab and a token that the cloud has issued. It reads nothing: pages and the timer keep the
reading of the hold fresh. `life` joins these rules with the credits and the money.
"""

import hashlib
from typing import Any, Literal, NamedTuple

import msgspec

from arcade_cloud.domain.decisions import Context
from arcade_cloud.domain.limits import SKEW_MS, Limits
from arcade_cloud.domain.money import Payment, currency_of
from arcade_cloud.domain.order import Arrival, ClosedBy, Closing, Credit, Delivery, Order, OrderPayment, Tab
from arcade_cloud.domain.words import ENGLISH, Words

# A token is good for this long. After that the page shows another.
TOKEN_LIFE_MS = 600_000
# So many credits and their machines fit into one step in every store.
PLAYS_AT_MOST = 40


class TabLimit(NamedTuple):
    """The most that a tab holds, in minor units."""

    amount_minor: int
    currency: str


# Why nothing was drawn, for programs.
Reason = Literal[
    "closed", "not_open", "unread", "busy", "too_little", "not_enough", "outdated", "too_many", "clock"
]


def hash_of(secret: str) -> str:
    """What is stored of a tab's secret. It is long and random, so a plain hash does not give it away."""
    return hashlib.sha256(secret.encode()).hexdigest()


def of(order: Order) -> Tab | None:
    """The order's tab, if it is open; None if there is none, or nothing can be drawn on it any more."""
    return order.tab if order.is_open_tab else None


def left_minor(order: Order) -> int:
    """What may still be drawn. What is under way frees its price when it is resolved, never sooner."""
    return max(0, order.amount_minor - order.committed_minor)


def least_minor(order: Order) -> int:
    """The least price of the next draw: with it the tab comes to Stripe's smallest charge."""
    least = currency_of(order.currency).least_minor or 0
    return max(0, least - order.committed_minor)


# --- why not ---------------------------------------------------------------------------------------------


def closed_text(by: ClosedBy) -> str:
    """Why a tab is closed, in a sentence for its history."""
    match by:
        case "player":
            return "The player has finished this tab."
        case "idle":
            return "Nobody has played on this tab for a while, so it was finished."
        case "life":
            return "This tab has reached its end."
        case "hold":
            return "The money that was held for this tab is no longer held."
        case "operator" | "restored":
            return "The arcade has finished this tab."


def reason_text(reason: Reason, order: Order, words: Words = ENGLISH) -> str:
    """Why nothing can be drawn on a tab now, in a sentence for players."""
    match reason:
        case "closed":
            closing = None if order.tab is None else order.tab.closing
            return words.text("This tab is finished.") if closing is None else told_closed(closing.by, words)
        case "not_open":
            return words.text("Your tab is not open yet: nothing is held for it.")
        case "unread":
            return words.text("Checking the hold on your card. Try again in a moment.")
        case "busy":
            return words.text("The machine is still adding your credits. Then you can play again.")
        case "too_little":
            least = words.money(least_minor(order), order.currency)
            return words.text(
                "The first play on a tab costs at least %(least)s. Choose more credits.", least=least
            )
        case "not_enough":
            return words.text("There is not enough left on your tab for this.")
        case "too_many":
            return words.text("So many plays are enough for one tab. Finish it, then open another.")
        case "clock":
            return words.text("Nothing can be played on a tab right now, because a clock is wrong.")
        case "outdated":
            return words.text("This page has been open for too long. Look at it again, then tap.")


def told_closed(by: ClosedBy, words: Words = ENGLISH) -> str:
    """Why a tab is closed, in a sentence for the player whose tab it is."""
    match by:
        case "player":
            return words.text("You have finished this tab.")
        case "idle":
            return words.text("Nobody played on this tab for a while, so it was finished.")
        case "life":
            return words.text("This tab has reached its end.")
        case "hold":
            return words.text("The money for this tab is no longer held.")
        case "operator" | "restored":
            return words.text("The arcade has finished this tab.")


# --- opening ---------------------------------------------------------------------------------------------


def ends_at_ms(arrival: Arrival, limits: Limits) -> int | None:
    """When the life of a tab ends: epoch milliseconds. None: nobody knows when its hold ends.

    A credit that is drawn at the last moment must still be delivered, and the machine's silence proven, before
    half of the hold's life; and the last resort come before three quarters of it.
    """
    if arrival.capture_before_ms is None:
        return None
    hold_ms = arrival.capture_before_ms - arrival.paid_at_ms
    silent_ms = hold_ms // 2 - 1000 * (limits.deliver_within_s + limits.hold_silence_limit_s)
    resort_ms = hold_ms * 3 // 4 - 1000 * limits.last_resort_s
    return arrival.paid_at_ms + min(1000 * limits.tab_life_s, silent_ms, resort_ms)


def why_not_opened(order: Order, shown: Payment, arrival: Arrival, context: Context) -> tuple[str, bool]:
    """Why money that was read back opens no tab, so that it goes back at once; and whether a person should look.

    Empty: it opens.
    """
    limits, age_ms = context.limits, context.now_ms - arrival.paid_at_ms
    ends = ends_at_ms(arrival, limits)
    if (shown.amount_minor, shown.currency) != (order.amount_minor, order.currency):
        return "the amount held is not the limit of the tab", True
    if shown.status != "requires_capture":
        return "the money was taken instead of held", True
    if order.payment is None or not stands(order.payment, shown):
        return "part of the hold is gone already", True
    if order.tab is not None and order.tab.closing is not None:
        return "the tab was closed before it was open", False
    if ends is None:
        return "Stripe does not say when the hold ends", False
    if age_ms >= 1000 * limits.tab_idle_s:
        return "the hold became known too late to play on it", False
    if context.now_ms >= ends:
        return "the hold ends too soon for a tab", False
    return "", False


def opened(order: Order, read_at_ms: int, context: Context) -> Order:
    """The order with its tab open: its hold was read standing."""
    payment, tab = order.payment, order.tab
    if tab is None or payment is None or payment.arrival is None:
        return order
    ends = ends_at_ms(payment.arrival, context.limits)
    return with_next_look(_with(order, hold_read_at_ms=read_at_ms, ends_at_ms=ends), context)


# --- the hold --------------------------------------------------------------------------------------------


def stands(payment: OrderPayment, shown: Payment) -> bool:
    """Whether the hold stands, whole."""
    return (shown.status, shown.currency, shown.amount_minor) == (
        "requires_capture",
        payment.currency,
        payment.amount_minor,
    ) and shown.capturable_minor >= payment.amount_minor


def read(order: Order, read_at_ms: int, context: Context) -> Order:
    """The order after a reading that began then has shown the hold standing."""
    tab = of(order)
    if tab is None:
        return order
    latest_ms = read_at_ms if tab.hold_read_at_ms is None else max(tab.hold_read_at_ms, read_at_ms)
    return with_next_look(_with(order, hold_read_at_ms=latest_ms), context)


def is_fresh(order: Order, now_ms: int, limits: Limits) -> bool:
    """Whether the hold was read standing lately enough to draw on, counted from when that reading began."""
    tab, payment = order.tab, order.payment
    if tab is None or tab.hold_read_at_ms is None or payment is None or payment.recheck:
        return False
    return -SKEW_MS <= now_ms - tab.hold_read_at_ms < 1000 * limits.tab_fresh_s


def only_looked(before: Order, after: Order) -> bool:
    """Whether nothing else has changed than when the hold of an open tab was read, or is to be read again.

    A visit has hundreds of such readings, and its history is for people: it does not tell them.
    """
    tab, later = of(before), of(after)
    if tab is None or later is None:
        return False
    unread = msgspec.structs.replace(later, hold_read_at_ms=tab.hold_read_at_ms, due_at_ms=tab.due_at_ms)
    return msgspec.structs.replace(after, tab=unread, version=before.version) == before


# --- the timer -------------------------------------------------------------------------------------------


def idle_at_ms(order: Order, limits: Limits) -> int | None:
    """When the tab is closed because nobody draws on it: epoch milliseconds. None: it is not open."""
    payment = order.payment
    if of(order) is None or payment is None or payment.arrival is None:
        return None
    drawn = (credit.drawn_at_ms for credit in order.credits)
    last_ms = max((at_ms for at_ms in drawn if at_ms is not None), default=payment.arrival.paid_at_ms)
    return last_ms + 1000 * limits.tab_idle_s


def why_over(order: Order, now_ms: int, limits: Limits) -> ClosedBy | None:
    """Why the time of an open tab is over; None if it is not."""
    tab, idle_ms = of(order), idle_at_ms(order, limits)
    if tab is None:
        return None
    if tab.ends_at_ms is not None and now_ms >= tab.ends_at_ms:
        return "life"
    return "idle" if idle_ms is not None and now_ms >= idle_ms else None


def with_next_look(order: Order, context: Context, *, is_asked: bool = False) -> Order:
    """The order with the time of the tab's next step.

    Args:
        is_asked: Its hold is being read. Should that fail, it is read again soon.
    """
    tab, limits = order.tab, context.limits
    if tab is None:
        return order
    if context.clock != "wrong" and why_over(order, context.now_ms, limits) is not None:
        return _with(order, due_at_ms=context.now_ms)  # its time was over while Stripe was asked
    again_ms = context.now_ms + max(1000, 100 * limits.tab_fresh_s)
    look_ms = again_ms
    if not is_asked and tab.hold_read_at_ms is not None:
        look_ms = tab.hold_read_at_ms + 500 * limits.tab_fresh_s
    times = (again_ms if look_ms <= context.now_ms else look_ms, tab.ends_at_ms, idle_at_ms(order, limits))
    # An end that is over is not waited for: only a wrong clock leaves the tab open then.
    return _with(order, due_at_ms=min(at_ms for at_ms in times if at_ms is not None and at_ms > context.now_ms))


# --- drawing ---------------------------------------------------------------------------------------------


def why_not_drawn(order: Order, credit: Credit, currency: str, context: Context) -> Reason | None:
    """Why the credit cannot be drawn on the tab now; None if it can."""
    found = why_none_drawn(order, context)
    if found is not None:
        return found
    draw, price = credit.draw, credit.price_minor
    if draw is None or currency != order.currency:
        return "outdated"
    if not -SKEW_MS <= context.now_ms - draw.at_ms < TOKEN_LIFE_MS:
        return "outdated"
    if any(other.under_way and other.machine_id == credit.machine_id for other in order.credits):
        return "busy"
    if price > left_minor(order):
        return "not_enough"
    if price < least_minor(order):
        return "too_little"
    return None


def why_none_drawn(order: Order, context: Context) -> Reason | None:
    """Why nothing at all can be drawn on the tab now, whatever its price; None if something can."""
    tab = order.tab
    if tab is not None and tab.closing is not None:
        return "closed"
    if not order.is_open_tab:
        if order.state in {"open", "abandoned"}:
            return "not_open"
        return "closed"
    over = why_over(order, context.now_ms, context.limits)
    if over is not None:
        return "closed"
    if context.clock == "wrong":
        return "clock"
    if not is_fresh(order, context.now_ms, context.limits):
        return "unread"
    if len(order.credits) >= PLAYS_AT_MOST:
        return "too_many"
    return None


def drawn(order: Order, credit: Credit, context: Context) -> Order:
    """The order with the credit drawn on its tab. It is due at once."""
    delivery = Delivery(drawn_at_ms=context.now_ms, due_at_ms=context.now_ms)
    on_tab = msgspec.structs.replace(credit, delivery=delivery)
    return not_later(
        order, with_next_look(msgspec.structs.replace(order, credits=(*order.credits, on_tab)), context)
    )


def not_later(before: Order, after: Order) -> Order:
    """The order with its tab looked at no later than it was to be before."""
    due = [tab.due_at_ms for tab in (before.tab, after.tab) if tab is not None and tab.due_at_ms is not None]
    return _with(after, due_at_ms=min(due))


def credit_drawn_by(order: Order, token: str) -> Credit | None:
    """What the token has drawn; None if nothing yet."""
    return next((c for c in order.credits if c.draw is not None and c.draw.token == token), None)


# --- closing ---------------------------------------------------------------------------------------------


def closed(order: Order, by: ClosedBy, context: Context) -> Order:
    """The order with its tab closed, for good."""
    closing = Closing(at_ms=context.now_ms, by=by)
    shut = _with(order, closing=closing, due_at_ms=None)
    return msgspec.structs.replace(shut, note=closed_text(by))


def is_too_small(order: Order, target_minor: int) -> bool:
    """Whether Stripe captures no sum as small as this one of the hold of a tab."""
    least = currency_of(order.currency).least_minor or 0
    return order.tab is not None and 0 < target_minor < least


def _with(order: Order, **changes: Any) -> Order:
    """The order with its tab changed."""
    return (
        order
        if order.tab is None
        else msgspec.structs.replace(order, tab=msgspec.structs.replace(order.tab, **changes))
    )
