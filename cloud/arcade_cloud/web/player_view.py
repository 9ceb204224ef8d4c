"""What a player reads about an order or a machine (pure).

The pages and the JSON that keeps them live are made from the same values, so they never differ. Only the order
counts here: that the player has come back from the checkout proves nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

from arcade_cloud.domain.machines import Machine, Presence, why_not_ready
from arcade_cloud.domain.money import Offer, Payment, format_amount
from arcade_cloud.domain.order import Delivery, Order
from arcade_cloud.domain.payment import is_kept_for_a_while
from arcade_cloud.domain.settlement import ALERT_ATTEMPTS
from arcade_cloud.domain.texts import is_picture_address
from arcade_cloud.errors import InvariantBroken
from arcade_shared.messages import MAX_CREDITS

Phase = Literal[
    "unpaid",  # the player may still pay
    "checking",  # Stripe is asked whether there is a payment
    "sending",
    "adding",
    "stopping",
    "added",
    "part",
    "given_back",
    "not_paid",
    "help",  # the operator must pay the player back
]

# A machine with a single offer sells it in these quantities.
QUANTITIES = (1, 2, 3, 5, 10)

REFUNDED = "Credits that cannot be added are refunded automatically."
NOTHING_SOLD = "You cannot pay by phone here yet."
SLOW = " This is taking longer than usual. It continues automatically, and the operator has been notified."

_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{4,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An order as its player sees it.

    Attributes:
        detail: A whole sentence about the credits.
        money: Whole sentences about the money.
        delivered: The credits that the machine has reported so far.
        final: Whether nothing more happens without a person.
        ask: Whether the player may want to contact the operator.
    """

    phase: Phase
    title: str
    detail: str
    money: str
    delivered: int
    credits: int
    final: bool = False
    ask: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One button of a machine's page.

    Attributes:
        why_not: Why it is off; empty when the button works.
        unsold: Whether it stays off until the page is loaded again, because Stripe has refused to sell this.
    """

    offer_id: str
    quantity: int
    credits: int
    price: str
    label: str
    why_not: str
    unsold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineView:
    """A machine as a player sees it. `word` says in a few words whether it can be paid now."""

    ready: bool
    word: str
    max_credits: int
    choices: tuple[Choice, ...]

    @property
    def unsold(self) -> str:
        """Why some of the choices are not sold now; empty if all are."""
        return next((choice.why_not for choice in self.choices if choice.unsold), "")


# --- a machine -------------------------------------------------------------------------------------------


def machine_view(
    machine: Machine,
    offers: Sequence[Offer],
    presence: Presence | None,
    now_ms: int,
    *,
    zone: tzinfo = UTC,
    why_not_sold: Callable[[Offer, int], str | None] = lambda _offer, _quantity: None,
) -> MachineView:
    """What the machine sells, and whether it can be bought now.

    Args:
        zone: In which players read times.
        why_not_sold: Why so many of an offer are not sold now, in a sentence; None if they are.
    """
    why_not = why_not_ready(machine, presence, now_ms, zone=zone)
    quantities = QUANTITIES if len(offers) == 1 else (1,)
    reported = 0 if machine.kind == "subscriber" or presence is None else presence.max_credits
    max_credits = reported or MAX_CREDITS  # an agent that has reported no limit is not ready
    return MachineView(
        ready=why_not is None,
        word=why_not or "Ready to play",
        max_credits=max_credits,
        choices=tuple(
            Choice(
                offer_id=offer.offer_id,
                quantity=quantity,
                credits=offer.credits * quantity,
                price=_amount(offer.amount_minor * quantity, offer.currency),
                label=offer.label if quantity == 1 and offer.label != credits_text(offer.credits) else "",
                why_not=why_not_sold(offer, quantity)
                or why_not_ready(machine, presence, now_ms, offer.credits * quantity, zone)
                or "",
                unsold=why_not_sold(offer, quantity) is not None,
            )
            for offer in offers
            for quantity in quantities
            if quantity == 1 or offer.credits * quantity <= max_credits
        ),
    )


def picture(machine: Machine) -> str | None:
    """The address of the machine's picture, or None if a page may not load it."""
    url = machine.picture_url
    return url if is_picture_address(url) else None


def contact_link(contact: str) -> str | None:
    """The link behind the operator's contact: a web page, a mail or a call. None if it is plain text."""
    if contact.startswith(("https://", "http://")):
        return contact
    if _MAIL.fullmatch(contact):
        return f"mailto:{contact}"
    if _PHONE.fullmatch(contact):
        return "tel:" + "".join(c for c in contact if c in "+0123456789")
    return None


# --- an order --------------------------------------------------------------------------------------------


def order_view(order: Order, now_ms: int) -> View:
    """The order's page. A hold is never called a charge, and only the machine's report counts as success."""
    match order.state:
        case "open":
            return _open(order, now_ms)
        case "abandoned":
            return _abandoned(order)
        case "funded":
            return _funded(order)
        case "revoking":
            return _revoking(order)
        case "resolved" | "settled" if order.delivered is not None:
            return _closed(order, order.delivered)
        case "returning" | "settled":
            return _returned(order)
        case "resolved":
            raise InvariantBroken(f"order {order.order_id}: resolved without a number delivered")


def credits_text(credits: int) -> str:
    """1 credit, 2 credits."""
    return "1 credit" if credits == 1 else f"{credits} credits"


def _amount(amount_minor: int, currency: str) -> str:
    """An amount that never wraps onto two lines."""
    return format_amount(amount_minor, currency).replace(" ", "\u00a0")


def _price(order: Order) -> str:
    return _amount(order.amount_minor, order.currency)


def _shown(order: Order) -> Payment | None:
    """What Stripe showed of the payment when it was last read."""
    return None if order.payment is None else order.payment.shown


def _was_held(order: Order) -> bool:
    """Whether the money was held when it arrived, not taken."""
    arrival = None if order.payment is None else order.payment.arrival
    return arrival is not None and arrival.held


def _was_stopped(order: Order) -> bool:
    """Whether the operator asked for money back before it was known what was delivered."""
    return order.books.keep_at_most_minor is not None


def _was_all_given_back(order: Order) -> bool:
    """Whether the operator keeps nothing of what was delivered, out of goodwill."""
    return order.books.goodwill_minor > 0 and order.books.target_minor == order.books.lost_minor == 0


def _deliveries(order: Order) -> tuple[Delivery, ...]:
    """The credits that are on their way, or were."""
    return tuple(credit.delivery for credit in order.credits if credit.delivery is not None)


def _resolved_by(order: Order) -> set[str]:
    """How its credits came to be resolved."""
    return {credit.resolution.by for credit in order.credits if credit.resolution is not None}


def _open(order: Order, now_ms: int) -> View:
    money = f"{_price(order)} for {credits_text(order.ordered)}. Nothing has been charged yet."
    phase: Phase = "unpaid"
    title, detail = "Waiting for your payment", "If you have just paid, this can take a moment."
    shown, page = _shown(order), None if order.payment is None else order.payment.checkout
    if shown is not None and shown.status == "processing":
        phase = "checking"
        title, detail = "Your bank is confirming the payment", "This can take a while. You can wait here."
        money = f"{_price(order)} for {credits_text(order.ordered)}. {REFUNDED}"
    elif page is not None and page.expires_at_ms is not None and now_ms >= page.expires_at_ms:
        phase = "checking"
        title, detail = "The time to pay is over", "Checking once more for a payment."
    return View(phase=phase, title=title, detail=detail, money=money, delivered=0, credits=order.ordered)


def _abandoned(order: Order) -> View:
    is_over = order.payment is None or is_kept_for_a_while(order.payment)
    if order.due_at_ms is not None and not is_over:  # Stripe has reported something, and is being asked
        return View(
            phase="checking",
            title="Checking your payment",
            detail="Your bank has reported a change. This can take a moment.",
            money="A payment that came too late is returned automatically.",
            delivered=0,
            credits=order.ordered,
        )
    return View(
        phase="not_paid",
        title="You were not charged",
        detail="The payment was not completed, so no credits were sent.",
        money=f"{_price(order)} was not taken.",
        delivered=0,
        credits=order.ordered,
        final=True,
    )


def _while_delivering(order: Order) -> str:
    if order.kind == "grant":
        return "These credits are free."
    if _was_held(order):
        return f"{_price(order)} is held, not charged. You pay only for credits that are added."
    return f"{_price(order)} is paid. {REFUNDED}"


def _funded(order: Order) -> View:
    free = order.kind == "grant"
    phase: Phase = "sending"
    title = "Sending your credits" if free else "Paid: sending your credits"
    detail = f"{credits_text(order.ordered)} on the way to the machine."
    if order.reported > 0:
        phase = "adding"
        title = f"{order.reported} of {order.ordered} credits added"
        detail = "The machine is adding the rest."
    elif any(delivery.accepted for delivery in _deliveries(order)):
        phase = "adding"
        title = "Adding your credits"
        detail = f"The machine has {credits_text(order.ordered)} to add."
    elif any(delivery.publishes > 1 or delivery.command is None for delivery in _deliveries(order)):
        detail = "Waiting for the machine to respond."
    return View(
        phase=phase,
        title=title,
        detail=detail,
        money=_while_delivering(order),
        delivered=order.reported,
        credits=order.ordered,
    )


def _revoking(order: Order) -> View:
    title = "Stopping your order"
    if order.reported > 0:
        title = f"{order.reported} of {order.ordered} credits added so far"
    stopped = _was_stopped(order)
    reason = "The operator stopped it." if stopped else "The machine did not finish in time."
    return View(
        phase="stopping",
        title=title,
        detail=f"{reason} We are checking what was added. This finishes automatically.",
        money=_while_delivering(order),
        delivered=order.reported,
        credits=order.ordered,
        ask=True,
    )


def _closed(order: Order, delivered: int) -> View:
    money, back_done = _money_of_closed(order)
    slow = order.state != "settled" and order.settlement.attempts >= ALERT_ATTEMPTS
    if slow:
        money += SLOW
    phase: Phase = "added" if delivered == order.ordered else "part" if delivered else "given_back"
    if _was_all_given_back(order):
        phase = "given_back"
    return View(
        phase="help" if order.books.owed_minor > 0 else phase,
        title=_closed_title(order, delivered, done=back_done),
        detail=_closed_detail(order, delivered),
        money=money,
        delivered=delivered,
        credits=order.ordered,
        final=order.state == "settled",
        ask=slow or order.books.owed_minor > 0,
    )


def _closed_title(order: Order, delivered: int, *, done: bool) -> str:
    if order.kind != "grant" and (delivered == 0 or _was_all_given_back(order)):
        return _title_of_return(order, done=done)
    if delivered < order.ordered:
        return f"{delivered} of {order.ordered} credits added" if delivered else "No credits were added"
    if "broker" in _resolved_by(order):
        return f"{credits_text(delivered)} sent"  # no machine has confirmed more than that
    return f"{credits_text(delivered)} added"


def _closed_detail(order: Order, delivered: int) -> str:
    uncertain = " After a power cut, one credit is uncertain. You do not pay for it." if order.uncertain else ""
    if _was_all_given_back(order):
        added = "1 credit was added" if delivered == 1 else f"{delivered} credits were added"
        return f"The operator gave all your money back, although {added}."
    if delivered == order.ordered:
        return "Press START on the machine."
    if _resolved_by(order) & {"silence", "last resort", "unconfirmed"}:
        why = "The machine did not respond."
    elif _was_stopped(order):
        why = "The operator stopped the rest."
    elif _resolved_by(order) & {"unsent", "broker"}:
        why = "The machine could not be reached."
    else:
        why = "The machine did not accept the rest." if delivered else "The machine did not accept the credits."
    press = "Press START on the machine. " if delivered else ""
    return f"{press}{why}{uncertain}"


def _returned(order: Order) -> View:
    money, done = _money_of_closed(order)
    slow = order.state != "settled" and order.settlement.attempts >= ALERT_ATTEMPTS
    if slow:
        money += SLOW
    return View(
        phase="help" if order.books.owed_minor > 0 else "given_back",
        title=_title_of_return(order, done=done),
        detail="The payment came too late or did not match the order, so no credits were sent.",
        money=money,
        delivered=0,
        credits=order.ordered,
        final=order.state == "settled",
        ask=slow or order.books.owed_minor > 0,
    )


# --- money that goes back --------------------------------------------------------------------------------


def _paid_minor(order: Order) -> int:
    """What the player paid or authorised. It differs from the order's price if the amount was wrong."""
    shown = _shown(order)
    return order.amount_minor if shown is None else shown.amount_minor


def _only_held(order: Order) -> bool:
    """Whether the money that goes back was never charged: the hold, or the rest of it, is released."""
    shown = _shown(order)
    if order.settlement.whole_capture:
        return False  # the bank allows no partial capture: all was captured, and the rest is refunded
    if shown is None:
        return _was_held(order)
    if shown.status in {"requires_capture", "canceled"}:
        return True
    return _was_held(order) and shown.refunded_minor == 0 and shown.received_minor <= order.books.target_minor


def _title_of_return(order: Order, *, done: bool) -> str:
    if order.books.owed_minor > 0:
        return "Please contact the operator"
    if _only_held(order):
        return "You were not charged" if done else "You will not be charged"
    back = _amount(_paid_minor(order) - order.books.target_minor, order.currency)
    return f"Refund started: {back}" if done else "Your money is on its way back"


def _money_of_closed(order: Order) -> tuple[str, bool]:
    """What the player pays and gets back, and whether Stripe already shows it."""
    done = order.state == "settled"
    if order.kind == "grant":
        return "These credits were free.", done
    shown = _shown(order)
    if shown is not None and shown.dispute in {"open", "lost"}:
        return "You have disputed this payment with your bank. Your bank decides about it.", done
    if order.books.owed_minor > 0:
        owed = _amount(order.books.owed_minor, order.currency)
        return f"{owed} is owed to you: the refund failed. The operator will pay it back.", done
    pays = _amount(order.books.target_minor, order.currency)
    back_minor = _paid_minor(order) - order.books.target_minor
    back = _amount(back_minor, order.currency)
    if back_minor <= 0:
        return f"You {'paid' if done else 'pay'} {pays}.", done
    earned_only = order.delivered and order.books.target_minor == order.earned_minor
    only = f"You pay only for {order.delivered}: {pays}." if earned_only else f"You pay {pays}."
    if _only_held(order):
        verb = "has been released" if done else "is being released"
        if order.books.target_minor == 0:
            return f"The hold of {back} {verb}. Your bank may show it for a few more days.", done
        return f"{only} The rest of the hold, {back}, {verb}.", done
    if not done:
        return f"{only if order.books.target_minor else ''} {back} is being refunded.".strip(), done
    if not order.delivered or _was_all_given_back(order):  # the title says that a refund has started
        return "You pay nothing. Banks take a few days to show a refund.", done
    started = f"Refund started: {back}. Banks take a few days to show it."
    return f"{only} {started}" if order.books.target_minor else started, done
