"""What a player reads about an order or a machine (pure).

The pages and the JSON that keeps them live are made from the same values, so they never differ. Only the order
counts here: that the player has come back from the checkout proves nothing.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

from arcade_cloud.domain.closure import back_text
from arcade_cloud.domain.machines import Machine, Presence, why_not_ready
from arcade_cloud.domain.money import Offer, Payment
from arcade_cloud.domain.order import Delivery, Order
from arcade_cloud.domain.payment import is_kept_for_a_while
from arcade_cloud.domain.screens import Colour, Emblem, Shape
from arcade_cloud.domain.settlement import ALERT_ATTEMPTS
from arcade_cloud.domain.texts import is_picture_address
from arcade_cloud.domain.words import ENGLISH, Words, marked
from arcade_cloud.errors import InvariantBroken
from arcade_shared.messages import MAX_CREDITS

Phase = Literal[
    "unpaid",  # the player may still pay
    "checking",  # Stripe is asked whether there is a payment
    "tab",  # a tab is open
    "sending",
    "adding",
    "stopping",
    "added",
    "part",
    "given_back",
    "not_paid",
    "help",  # the operator must pay the player back
]

_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{4,}")


_COLOURS: dict[Colour, str] = {
    "red": marked("red"),
    "blue": marked("blue"),
    "green": marked("green"),
    "yellow": marked("yellow"),
}
_SHAPES: dict[Shape, str] = {
    "star": marked("star"),
    "heart": marked("heart"),
    "circle": marked("circle"),
    "square": marked("square"),
    "triangle": marked("triangle"),
    "moon": marked("moon"),
}


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
    """A machine as a player sees it. `word` says in a few words whether it can be paid now.

    Attributes:
        nothing: Why there are no choices; empty if there are some.
    """

    ready: bool
    word: str
    max_credits: int
    choices: tuple[Choice, ...]
    nothing: str = ""

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
    quantities: Sequence[int] = (1,),
    sold_next_ms: int | None = None,
    why_not_sold: Callable[[Offer, int], str | None] = lambda _offer, _quantity: None,
    words: Words = ENGLISH,
) -> MachineView:
    """What the machine sells, and whether it can be bought now.

    Args:
        quantities: How many of it a machine with a single offer sells at once; each is a button.
        zone: In which players read times.
        sold_next_ms: When something is sold, if nothing is at this hour.
        why_not_sold: Why so many of an offer are not sold now, in a sentence; None if they are.
    """
    why_not = why_not_ready(machine, presence, now_ms, zone=zone, words=words)
    max_credits = max_credits_of(machine, presence)

    def choice(offer: Offer, quantity: int) -> Choice:
        credits = offer.credits * quantity
        unsold = why_not_sold(offer, quantity)
        return Choice(
            offer_id=offer.offer_id,
            quantity=quantity,
            credits=credits,
            price=words.money(offer.amount_minor * quantity, offer.currency),
            label=offer_label(offer, now_ms, zone, words) if quantity == 1 else "",
            why_not=unsold or why_not_ready(machine, presence, now_ms, credits, zone, words) or "",
            unsold=unsold is not None,
        )

    nothing = words.text("You cannot pay by phone here yet.")
    if sold_next_ms is not None:
        back = back_text(sold_next_ms, now_ms, zone, words)
        nothing = words.sentences(words.text("Nothing is sold here at this hour."), back)
    return MachineView(
        ready=why_not is None,
        nothing="" if offers else nothing,
        word=why_not or words.text("Ready to play"),
        max_credits=max_credits,
        choices=tuple(
            choice(offer, quantity)
            for offer in offers
            for quantity in (quantities if len(offers) == 1 else (1,))
            if quantity == 1 or offer.credits * quantity <= max_credits
        ),
    )


def offer_label(offer: Offer, now_ms: int, zone: tzinfo, words: Words) -> str:
    """What stands below the credits of an offer: its name, its bonus, how long it is sold."""
    parts = [offer.label] if offer.label != credits_text(offer.credits) else []
    if offer.bonus:
        parts.append(words.text("%(paid)s + %(bonus)s free", paid=offer.credits - offer.bonus, bonus=offer.bonus))
    end = None if offer.hours is None else offer.hours.ends(now_ms, zone)
    if end is not None:
        parts.append(words.text("until %(time)s", time=words.time(end)))
    return " · ".join(filter(None, parts))


def max_credits_of(machine: Machine, presence: Presence | None) -> int:
    """The most credits that a machine takes at once."""
    reported = 0 if machine.kind == "subscriber" or presence is None else presence.max_credits
    return reported or MAX_CREDITS  # an agent that has reported no limit is not ready


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


def emblem_text(emblem: Emblem, words: Words = ENGLISH) -> str:
    """The sign on a machine's screen, such as `blue star`."""
    return words.text(
        "%(colour)s %(shape)s", colour=words.text(_COLOURS[emblem.colour]), shape=words.text(_SHAPES[emblem.shape])
    )


# --- an order --------------------------------------------------------------------------------------------


def order_view(order: Order, now_ms: int, words: Words = ENGLISH) -> View:
    """The order's page. A hold is never called a charge, and only the machine's report counts as success."""
    match order.state:
        case "open":
            return _open(order, now_ms, words)
        case "abandoned":
            return _abandoned(order, words)
        case "funded":
            return _funded(order, words)
        case "revoking":
            return _revoking(order, words)
        case "resolved" | "settled" if order.delivered is not None:
            return _closed(order, order.delivered, words)
        case "returning" | "settled":
            return _returned(order, words)
        case "resolved":
            raise InvariantBroken(f"order {order.order_id}: resolved without a number delivered")


def credits_text(credits: int, words: Words = ENGLISH) -> str:
    """1 credit, 2 credits."""
    return words.count("%(number)s credit", "%(number)s credits", credits)


def _shown(order: Order) -> Payment | None:
    """What Stripe showed of the payment when it was last read."""
    return None if order.payment is None else order.payment.shown


def _dispute(order: Order) -> str:
    shown = _shown(order)
    return "none" if shown is None else shown.dispute


def _was_held(order: Order) -> bool:
    """Whether the money was held when it arrived, not taken."""
    arrival = None if order.payment is None else order.payment.arrival
    return arrival is not None and arrival.held


def _was_stopped(order: Order) -> bool:
    """Whether the operator asked for money back before it was known what was delivered."""
    return order.books.keep_at_most_minor is not None


def _was_all_given_back(order: Order) -> bool:
    """Whether nothing is kept of what was delivered: out of goodwill, by hand at Stripe, or by the bank's word."""
    return order.earned_minor > 0 and order.books.target_minor == 0 and _dispute(order) != "open"


def _deliveries(order: Order) -> tuple[Delivery, ...]:
    """The credits that are on their way, or were."""
    return tuple(credit.delivery for credit in order.credits if credit.delivery is not None)


def _resolved_by(order: Order) -> set[str]:
    """How its credits came to be resolved."""
    return {credit.resolution.by for credit in order.credits if credit.resolution is not None}


def _price(order: Order, words: Words) -> str:
    return words.money(order.amount_minor, order.currency)


def _added_so_far(number: int, order: Order, words: Words) -> str:
    return words.text("%(number)s of %(ordered)s credits added", number=number, ordered=order.ordered)


def _open(order: Order, now_ms: int, words: Words) -> View:
    ordered, price = order.ordered, _price(order, words)
    phase: Phase = "unpaid"
    title = words.text("Waiting for your payment")
    detail = words.text("If you have just paid, this can take a moment.")
    money = words.count(
        "%(price)s for %(number)s credit. No payment has arrived yet.",
        "%(price)s for %(number)s credits. No payment has arrived yet.",
        ordered,
        price=price,
    )
    shown, page = _shown(order), None if order.payment is None else order.payment.checkout
    if shown is not None and shown.status == "processing":
        phase = "checking"
        title = words.text("Your bank is confirming the payment")
        detail = words.text("This can take a while. You do not need to pay again.")
        money = words.count(
            "%(price)s for %(number)s credit. Credits that cannot be added are refunded automatically.",
            "%(price)s for %(number)s credits. Credits that cannot be added are refunded automatically.",
            ordered,
            price=price,
        )
    elif page is not None and page.expires_at_ms is not None and now_ms >= page.expires_at_ms:
        phase = "checking"
        title = words.text("The time to pay is over")
        detail = words.text("Checking once more for a payment.")
    return View(phase=phase, title=title, detail=detail, money=money, delivered=0, credits=ordered)


def _abandoned(order: Order, words: Words) -> View:
    is_over = order.payment is None or is_kept_for_a_while(order.payment)
    if order.due_at_ms is not None and not is_over:  # Stripe has reported something, and is being asked
        return View(
            phase="checking",
            title=words.text("Checking your payment"),
            detail=words.text("Your bank has reported a change. This can take a moment."),
            money=words.text("A payment that came too late is returned automatically."),
            delivered=0,
            credits=order.ordered,
        )
    return View(
        phase="not_paid",
        title=words.text("You were not charged"),
        detail=words.text("The payment was not completed, so no credits were sent."),
        money=words.text("%(price)s was not taken.", price=_price(order, words)),
        delivered=0,
        credits=order.ordered,
        final=True,
    )


def _while_delivering(order: Order, words: Words) -> str:
    if order.kind == "grant":
        return words.text("These credits are free.")
    price = _price(order, words)
    if _was_held(order):
        return words.text("%(price)s is held, not charged. You pay only for credits that are added.", price=price)
    return words.text("%(price)s is paid. Credits that cannot be added are refunded automatically.", price=price)


def _funded(order: Order, words: Words) -> View:
    free = order.kind == "grant"
    phase: Phase = "sending"
    title = words.text("Sending your credits") if free else words.text("Paid: sending your credits")
    detail = words.count(
        "%(number)s credit on the way to the machine.",
        "%(number)s credits on the way to the machine.",
        order.ordered,
    )
    if order.reported > 0:
        phase = "adding"
        title = _added_so_far(order.reported, order, words)
        detail = words.text("The machine is adding the rest.")
    elif any(delivery.accepted for delivery in _deliveries(order)):
        phase = "adding"
        title = words.text("Adding your credits")
        detail = words.count(
            "The machine has %(number)s credit to add.",
            "The machine has %(number)s credits to add.",
            order.ordered,
        )
    elif any(delivery.publishes > 1 or delivery.command is None for delivery in _deliveries(order)):
        detail = words.text("Waiting for the machine to respond.")
    return View(
        phase=phase,
        title=title,
        detail=detail,
        money=_while_delivering(order, words),
        delivered=order.reported,
        credits=order.ordered,
    )


def _revoking(order: Order, words: Words) -> View:
    title = words.text("Stopping your order")
    if order.reported > 0:
        title = words.text(
            "%(number)s of %(ordered)s credits added so far", number=order.reported, ordered=order.ordered
        )
    stopped = _was_stopped(order)
    return View(
        phase="stopping",
        title=title,
        detail=words.sentences(
            words.text("The operator stopped it.")
            if stopped
            else words.text("The machine did not finish in time."),
            words.text("We are checking what was added. This finishes automatically."),
        ),
        money=_while_delivering(order, words),
        delivered=order.reported,
        credits=order.ordered,
        ask=True,
    )


def _closed(order: Order, delivered: int, words: Words) -> View:
    phase: Phase = "added" if delivered == order.ordered else "part" if delivered else "given_back"
    if _was_all_given_back(order):
        phase = "given_back"
    slow = is_slow(order)
    return View(
        phase="help" if order.books.owed_minor > 0 else phase,
        title=_closed_title(order, delivered, words),
        detail=_closed_detail(order, delivered, words),
        money=money_of_closed(order, words),
        delivered=delivered,
        credits=order.ordered,
        final=order.state == "settled",
        ask=slow or order.books.owed_minor > 0,
    )


def _closed_title(order: Order, delivered: int, words: Words) -> str:
    if order.kind != "grant" and (delivered == 0 or _was_all_given_back(order)):
        return title_of_return(order, words)
    if delivered < order.ordered:
        return _added_so_far(delivered, order, words) if delivered else words.text("No credits were added")
    if "broker" in _resolved_by(order):  # no machine has confirmed more than that
        return words.count("%(number)s credit sent", "%(number)s credits sent", delivered)
    return words.count("%(number)s credit added", "%(number)s credits added", delivered)


def _closed_detail(order: Order, delivered: int, words: Words) -> str:
    if order.kind != "grant" and _was_all_given_back(order):
        return _detail_of_given_back(order, delivered, words)
    if delivered == order.ordered:
        return words.text("Press START on the machine.")
    if _resolved_by(order) & {"silence", "last resort", "unconfirmed"}:
        why = words.text("The machine did not respond.")
    elif _was_stopped(order):
        why = words.text("The operator stopped the rest.")
    elif _resolved_by(order) & {"unsent", "broker"}:
        why = words.text("The machine could not be reached.")
    elif delivered:
        why = words.text("The machine did not accept the rest.")
    else:
        why = words.text("The machine did not accept the credits.")
    return words.sentences(
        words.text("Press START on the machine.") if delivered else "",
        why,
        words.text("After a power cut, one credit is uncertain. You do not pay for it.")
        if order.uncertain
        else "",
    )


def _detail_of_given_back(order: Order, delivered: int, words: Words) -> str:
    if _dispute(order) == "lost":
        return words.count(
            "Your bank took the payment back, although %(number)s credit was added.",
            "Your bank took the payment back, although %(number)s credits were added.",
            delivered,
        )
    if order.books.lost_minor == 0:
        return words.count(
            "The operator gave all your money back, although %(number)s credit was added.",
            "The operator gave all your money back, although %(number)s credits were added.",
            delivered,
        )
    return words.count(
        "You pay nothing, although %(number)s credit was added.",
        "You pay nothing, although %(number)s credits were added.",
        delivered,
    )


def _returned(order: Order, words: Words) -> View:
    slow = is_slow(order)
    return View(
        phase="help" if order.books.owed_minor > 0 else "given_back",
        title=title_of_return(order, words),
        detail=words.text("The payment came too late or did not match the order, so no credits were sent."),
        money=money_of_closed(order, words),
        delivered=0,
        credits=order.ordered,
        final=order.state == "settled",
        ask=slow or order.books.owed_minor > 0,
    )


# --- money that goes back --------------------------------------------------------------------------------


def is_slow(order: Order) -> bool:
    """Whether Stripe was asked so often for what goes back that a person was told."""
    return order.state != "settled" and order.settlement.attempts >= ALERT_ATTEMPTS


def _paid_minor(order: Order) -> int:
    """What the player paid or authorised. It differs from the order's price if the amount was wrong."""
    shown = _shown(order)
    return order.amount_minor if shown is None else shown.amount_minor


def _charged_minor(order: Order) -> int:
    """What was really charged: of a hold that was captured in part, this part."""
    shown = _shown(order)
    is_captured = shown is not None and shown.status == "succeeded" and shown.received_minor > 0
    return shown.received_minor if shown is not None and is_captured else _paid_minor(order)


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


def title_of_return(order: Order, words: Words) -> str:
    """What becomes of money of which nothing is kept, in a few words."""
    done = order.state == "settled"
    if order.books.owed_minor > 0:
        return words.text("Please contact the operator")
    if _dispute(order) == "lost":
        return words.text("Your bank has returned your money")
    if _only_held(order):
        return words.text("You were not charged") if done else words.text("You will not be charged")
    back = words.money(_charged_minor(order) - order.books.target_minor, order.currency)
    return (
        words.text("Refund started: %(back)s", back=back) if done else words.text("Your money is on its way back")
    )


def money_of_closed(order: Order, words: Words) -> str:
    """What the player pays and gets back."""
    text = _sums_of_closed(order, words)
    if not is_slow(order):
        return text
    slow = words.text(
        "This is taking longer than usual. It continues automatically, and the operator has been notified."
    )
    return words.sentences(text, slow)


def _sums_of_closed(order: Order, words: Words) -> str:
    done = order.state == "settled"
    if order.kind == "grant":
        return words.text("These credits were free.")
    if _dispute(order) == "open":
        return words.text("You have disputed this payment with your bank. Your bank decides about it.")
    if _dispute(order) == "lost":
        return words.text("You disputed this payment with your bank, and your bank has decided.")
    if order.books.owed_minor > 0:
        owed = words.money(order.books.owed_minor, order.currency)
        return words.text("%(owed)s is owed to you: the refund failed. The operator will pay it back.", owed=owed)
    back_minor = _paid_minor(order) - order.books.target_minor
    if back_minor <= 0:
        return _kept_text(order, words)
    if _only_held(order):
        return _released_text(order, words.money(back_minor, order.currency), words)
    charged_minor = _charged_minor(order)
    back = words.money(charged_minor - order.books.target_minor, order.currency)
    if not done:
        kept = _kept_text(order, words) if order.books.target_minor else ""
        return words.sentences(kept, words.text("%(back)s is being refunded.", back=back))
    if order.books.target_minor == 0:  # the title says that a refund has started
        return words.text("You pay nothing. Banks take a few days to show a refund.")
    if _pays_for_delivered(order):
        started = words.text("Refund started: %(back)s. Banks take a few days to show it.", back=back)
        return words.sentences(_kept_text(order, words), started)
    return words.text(
        "You paid %(paid)s, and %(back)s of it goes back to you. Banks take a few days to show a refund.",
        paid=words.money(charged_minor, order.currency),
        back=back,
    )


def _released_text(order: Order, back: str, words: Words) -> str:
    done = order.state == "settled"
    if order.books.target_minor == 0:
        if done:
            return words.text(
                "The hold of %(back)s has been released. Your bank may show it for a few more days.", back=back
            )
        return words.text(
            "The hold of %(back)s is being released. Your bank may show it for a few more days.", back=back
        )
    if done:
        rest = words.text("The rest of the hold, %(back)s, has been released.", back=back)
    else:
        rest = words.text("The rest of the hold, %(back)s, is being released.", back=back)
    return words.sentences(_kept_text(order, words), rest)


def _pays_for_delivered(order: Order) -> bool:
    """Whether the player pays the price of the part that was delivered, and that explains the sum."""
    is_part = order.delivered is not None and 0 < order.delivered < order.ordered
    return is_part and order.books.target_minor == order.earned_minor


def _kept_text(order: Order, words: Words) -> str:
    """What the player pays, or has paid."""
    price = words.money(order.books.target_minor, order.currency)
    done = order.state == "settled"
    if not _pays_for_delivered(order):
        return (
            words.text("You paid %(price)s.", price=price)
            if done
            else words.text("You pay %(price)s.", price=price)
        )
    if done:
        return words.count(
            "You paid only for %(number)s credit: %(price)s.",
            "You paid only for %(number)s credits: %(price)s.",
            order.delivered or 0,
            price=price,
        )
    return words.count(
        "You pay only for %(number)s credit: %(price)s.",
        "You pay only for %(number)s credits: %(price)s.",
        order.delivered or 0,
        price=price,
    )
