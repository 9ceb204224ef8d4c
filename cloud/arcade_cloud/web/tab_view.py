"""What a player reads about a tab (pure): on a machine's page, and on the tab's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from arcade_cloud.domain import tab as rules
from arcade_cloud.domain.limits import MAX_QUANTITY
from arcade_cloud.domain.machines import Machine, Presence, why_not_ready
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.domain.payment import is_kept_for_a_while
from arcade_cloud.domain.tab import Reason, TabLimit
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.web.player_view import (
    View,
    credits_text,
    is_slow,
    max_credits_of,
    money_of_closed,
    offer_label,
    title_of_return,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """One play on a tab.

    Attributes:
        result: What became of it, in a sentence.
        under_way: Whether the machine has not reported its end yet.
    """

    time: str
    machine: str
    machine_id: str
    credits: str
    price: str
    result: str
    under_way: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One tap, one play. Its ticket is made when the page is.

    Attributes:
        why_not: Why it is off; empty when the button works.
    """

    offer: Offer
    quantity: int
    credits: int
    price_minor: int
    price: str
    label: str
    why_not: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A tab as a machine's page shows it.

    Attributes:
        why_not: Why nothing can be played on it here now, in a sentence; empty: the buttons work.
        plays: What is under way anywhere, and the latest play on this machine; the newest first.
        finish: What the button says that ends the tab.
        unconfirmed: What is not confirmed yet, in a sentence; empty: nothing.
    """

    title: str
    why_not: str
    plays: tuple[Play, ...]
    finish: str
    unconfirmed: str
    left_minor: int
    least_minor: int


# --- on a machine's page ---------------------------------------------------------------------------------


def panel(
    order: Order,
    machine: Machine,
    why_not: Reason | None,
    names: Callable[[str], str],
    *,
    zone: tzinfo = UTC,
    words: Words = ENGLISH,
) -> Panel:
    """The tab on the page of a machine.

    Args:
        why_not: Why nothing at all can be drawn on it now.
        names: A machine's name, by its id.
    """
    here = [credit for credit in order.credits if credit.machine_id == machine.machine_id]
    shown = [credit for credit in reversed(order.credits) if credit.under_way or (here and credit is here[-1])]
    why = "" if why_not is None else rules.reason_text(why_not, order, words)
    if not why and any(credit.under_way for credit in here):
        why = rules.reason_text("busy", order, words)
    return Panel(
        title=_left_text(order, words),
        why_not=why,
        plays=tuple(play(credit, order.currency, names, zone=zone, words=words) for credit in shown),
        finish=finish_text(order, words),
        unconfirmed=unconfirmed_text(order, words),
        left_minor=rules.left_minor(order),
        least_minor=rules.least_minor(order),
    )


def buttons(
    order: Order,
    machine: Machine,
    offers: Sequence[Offer],
    presence: Presence | None,
    now_ms: int,
    *,
    quantities: Sequence[int] = (1,),
    why_not: str = "",
    zone: tzinfo = UTC,
    words: Words = ENGLISH,
) -> tuple[Button, ...]:
    """What can be played here on the tab. Of what costs too little for a first play, enough of it is one button.

    Args:
        quantities: How many of it a machine with a single offer sells at once.
        why_not: Why nothing can be played now.
    """
    least, left = rules.least_minor(order), rules.left_minor(order)
    most = max_credits_of(machine, presence)

    def button(offer: Offer, quantity: int) -> Button:
        price, credits = offer.amount_minor * quantity, offer.credits * quantity
        too_dear = rules.reason_text("not_enough", order, words) if price > left else ""
        return Button(
            offer=offer,
            quantity=quantity,
            credits=credits,
            price_minor=price,
            price=words.money(price, offer.currency),
            label=offer_label(offer, now_ms, zone, words) if quantity == 1 else "",
            why_not=why_not or why_not_ready(machine, presence, now_ms, credits, zone, words) or too_dear,
        )

    found: list[Button] = []
    for offer in offers:
        if offer.currency != order.currency:
            continue
        smallest = max(1, -(-least // offer.amount_minor))
        wanted = sorted({smallest, *(q for q in quantities if q > smallest)}) if len(offers) == 1 else [smallest]
        found.extend(
            button(offer, quantity)
            for quantity in wanted
            if quantity <= MAX_QUANTITY and (quantity == 1 or offer.credits * quantity <= most)
        )
    return tuple(found)


def opening(limits: Sequence[TabLimit], words: Words = ENGLISH) -> tuple[tuple[int, str], ...]:
    """The limits that a tab may have here: in minor units, and what its button says."""
    return tuple(
        (amount, words.text("Open a tab: up to %(limit)s is held", limit=words.money(amount, currency)))
        for amount, currency in limits
    )


def finish_text(order: Order, words: Words = ENGLISH) -> str:
    """What the button says that ends the tab. A sum that Stripe would not take is not taken."""
    earned = order.earned_minor
    if earned == 0 and order.committed_minor > 0:
        return words.text("Finish your tab")
    if earned == 0 or rules.is_too_small(order, earned):
        return words.text("Finish: pay nothing")
    return words.text("Finish: pay %(sum)s", sum=words.money(earned, order.currency))


def unconfirmed_text(order: Order, words: Words = ENGLISH) -> str:
    """What no machine has confirmed yet, in a sentence; empty: there is nothing."""
    under_way = order.committed_minor - order.earned_minor
    if under_way == 0:
        return ""
    return words.text(
        "Not confirmed yet: %(sum)s. You pay it only if the credits are added.",
        sum=words.money(under_way, order.currency),
    )


def _left_text(order: Order, words: Words) -> str:
    return words.text("Your tab: %(left)s left", left=words.money(rules.left_minor(order), order.currency))


# --- the plays -------------------------------------------------------------------------------------------


def play(
    credit: Credit, currency: str, names: Callable[[str], str], *, zone: tzinfo = UTC, words: Words = ENGLISH
) -> Play:
    """One play."""
    drawn_ms = credit.drawn_at_ms or 0
    return Play(
        time=words.time(datetime.fromtimestamp(drawn_ms / 1000, zone)),
        machine=names(credit.machine_id),
        machine_id=credit.machine_id,
        credits=credits_text(credit.count, words),
        price=words.money(credit.price_minor, currency),
        result=_result(credit, currency, words),
        under_way=credit.under_way,
    )


def plays(
    order: Order, names: Callable[[str], str], *, zone: tzinfo = UTC, words: Words = ENGLISH
) -> tuple[Play, ...]:
    """All plays of a tab, the newest first."""
    return tuple(play(credit, order.currency, names, zone=zone, words=words) for credit in reversed(order.credits))


def _result(credit: Credit, currency: str, words: Words) -> str:
    delivery, done = credit.delivery, credit.resolution
    if delivery is None:
        return ""
    if done is None:
        if delivery.revoking is not None:
            return words.text("Checking what was added. This finishes automatically.")
        if delivery.reported:
            return words.text("%(number)s of %(ordered)s added", number=delivery.reported, ordered=credit.count)
        if delivery.accepted:
            return words.count("Adding %(number)s credit", "Adding %(number)s credits", credit.count)
        return words.count("%(number)s credit on its way", "%(number)s credits on their way", credit.count)
    if credit.goodwill_minor and done.delivered:
        back = min(credit.goodwill_minor, credit.earned_minor(currency))
        return words.text("Added, and %(back)s given back", back=words.money(back, currency))
    if done.delivered == 0:
        return words.text("Not added: you do not pay for it")
    if done.delivered < credit.count:
        return words.text(
            "%(number)s of %(ordered)s added: you pay %(sum)s",
            number=done.delivered,
            ordered=credit.count,
            sum=words.money(credit.earned_minor(currency), currency),
        )
    if done.by == "broker":  # no machine has confirmed more than that
        return words.count("%(number)s credit sent", "%(number)s credits sent", done.delivered)
    return words.count(
        "%(number)s credit added: press START", "%(number)s credits added: press START", done.delivered
    )


# --- the tab's own page ----------------------------------------------------------------------------------


def tab_view(order: Order, why_not: Reason | None, now_ms: int, words: Words = ENGLISH) -> View:
    """A tab's own page. A hold is never called a charge, and only what Stripe shows is called paid."""
    if order.state in {"open", "abandoned"}:
        return _not_open_yet(order, now_ms, words)
    payment = order.payment
    if payment is not None and payment.stage == "returning":
        return View(
            phase="help" if order.books.owed_minor > 0 else "given_back",
            title=title_of_return(order, words),
            detail=_told_closed(order, words)
            or words.text("The tab could not be opened, so nothing can be played on it."),
            money=money_of_closed(order, words),
            delivered=0,
            credits=0,
            final=order.state == "settled",
            ask=is_slow(order) or order.books.owed_minor > 0,
        )
    if order.is_open_tab:
        return _open(order, why_not, words)
    return _closed(order, words)


def _told_closed(order: Order, words: Words) -> str:
    closing = None if order.tab is None else order.tab.closing
    return "" if closing is None else rules.told_closed(closing.by, words)


def _held(order: Order, words: Words) -> str:
    return words.text(
        "Up to %(limit)s is held. You pay only for what you play.",
        limit=words.money(order.amount_minor, order.currency),
    )


def _not_open_yet(order: Order, now_ms: int, words: Words) -> View:
    payment = order.payment
    page = None if payment is None else payment.checkout
    shown = None if payment is None else payment.shown
    is_heard_of = shown is not None and shown.status in {"processing", "requires_capture"}
    if order.state == "abandoned" and (order.due_at_ms is None or payment is None or is_kept_for_a_while(payment)):
        return View(
            phase="not_paid",
            title=words.text("You were not charged"),
            detail=words.text("The payment page was left, so the tab was not opened."),
            money=words.text("Nothing is held."),
            delivered=0,
            credits=0,
            final=True,
        )
    if why := _told_closed(order, words):
        return View(
            phase="stopping",
            title=words.text("You will not be charged"),
            detail=why,
            money=words.text("If your bank holds money for this tab, it is let go."),
            delivered=0,
            credits=0,
        )
    is_over = page is not None and page.expires_at_ms is not None and now_ms >= page.expires_at_ms
    if is_heard_of or is_over or order.state == "abandoned":
        title = words.text("Checking the hold on your card")
        detail = words.text("This can take a moment. Then your tab is open.")
        return View(
            phase="checking",
            title=title,
            detail=detail,
            money=_held(order, words),
            delivered=0,
            credits=0,
        )
    return View(
        phase="unpaid",
        title=words.text("Your tab is not open yet"),
        detail=words.text("If you have just been at the payment page, this can take a moment."),
        money=_held(order, words),
        delivered=0,
        credits=0,
    )


def _open(order: Order, why_not: Reason | None, words: Words) -> View:
    return View(
        phase="tab",
        title=_left_text(order, words),
        detail=words.text("Scan the code on a machine here, then tap to play.")
        if why_not is None
        else rules.reason_text(why_not, order, words),
        money=_held(order, words),
        delivered=0,
        credits=0,
    )


def _closed(order: Order, words: Words) -> View:
    why = _told_closed(order, words)
    is_done = order.state == "settled"
    owed = order.books.owed_minor > 0
    target = order.books.target_minor
    paid = words.money(target, order.currency)
    if order.delivered is None:  # something is under way
        return View(
            phase="stopping",
            title=words.text("Finishing your tab"),
            detail=why,
            money=unconfirmed_text(order, words),
            delivered=0,
            credits=0,
        )
    if is_done and target > 0 and not owed:
        title = words.text(
            "You paid %(paid)s of %(limit)s held",
            paid=paid,
            limit=words.money(order.amount_minor, order.currency),
        )
    elif target > 0 and not owed:
        title = words.text("Your tab: you pay %(sum)s", sum=paid)
    else:
        title = title_of_return(order, words)
    return View(
        phase="help" if owed else "stopping" if not is_done else "added" if target > 0 else "given_back",
        title=title,
        detail=why,
        money=money_of_closed(order, words),
        delivered=0,
        credits=0,
        final=is_done,
        ask=is_slow(order) or owed,
    )
