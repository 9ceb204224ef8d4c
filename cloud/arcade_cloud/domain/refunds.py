"""What an operator's refund means for an order, before it is asked for (pure).

A refund names what is to be kept, what is to go back, or credits. All of them come to one figure, what is kept at
most: asking for that again gives nothing more back.
"""

from dataclasses import dataclass

from arcade_cloud.domain.money import currency_of, format_amount, kept_for, parse_amount
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.errors import BadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundWish:
    """What the operator wrote: at most one of these. None of them: all goes back.

    Attributes:
        keep: What is kept, as people write it: `5.00`, `RM 5`.
        amount: What goes back, likewise. Asked for twice, it goes back twice.
        credits: For how many credits the price goes back. Asked for twice, it goes back twice.
        play: Of a tab, the play whose price goes back, counted from 1. Asked for twice, it goes back once.
    """

    keep: str | None = None
    amount: str | None = None
    credits: int | None = None
    play: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPlan:
    """What a refund does.

    Attributes:
        keep_minor: What is kept at most after it.
        kept_minor: What would be kept at most without it.
        is_delivering: A machine may still pulse; it is told to stop first.
        play: Of a tab, the one play that this is about, counted from 1.
    """

    order: Order
    keep_minor: int
    kept_minor: int
    is_delivering: bool
    play: int | None = None

    @property
    def back_minor(self) -> int:
        """What goes back, at least."""
        return self.kept_minor - self.keep_minor


def can_refund(order: Order, keep_minor: int) -> bool:
    """Whether an operator can give back all but `keep_minor`: there is money, and more would be kept."""
    return order.state in {"funded", "revoking"} or (
        order.state in {"resolved", "settled"} and max(0, keep_minor) < order.books.target_minor
    )


def back_of_play_minor(order: Order, play: int) -> int:
    """What goes back of one play on a tab, counted from 1, if it is given back now: 0 if nothing is to go."""
    if order.tab is None or not 1 <= play <= len(order.credits):
        return 0
    credit = order.credits[play - 1]
    left = max(0, _most_minor(credit, order.currency) - credit.goodwill_minor)
    return left if order.state in {"funded", "revoking"} else min(left, order.books.target_minor)


def plan(order: Order, wish: RefundWish) -> RefundPlan:
    """Work out what a refund does.

    Raises:
        BadRequest: There is nothing to give back, or the wish makes no sense for this order.
    """
    if wish.play is not None:
        return _plan_of_play(order, wish, wish.play)
    is_delivering = order.state in {"funded", "revoking"}
    kept = _kept_minor(order)
    keep = kept - _back_minor(order, wish, kept)
    if keep < 0:
        most = format_amount(kept, order.currency)
        raise BadRequest(
            f"no more than {most} of order {order.order_id} can go back: that is all that is kept of it"
        )
    keep = currency_of(order.currency).rounded_down(keep)
    if not can_refund(order, keep) or (order.payment is not None and keep >= kept):
        raise BadRequest(f"there is nothing to give back of order {order.order_id}: {_why_not(order)}")
    return RefundPlan(order=order, keep_minor=keep, kept_minor=kept, is_delivering=is_delivering)


def _plan_of_play(order: Order, wish: RefundWish, play: int) -> RefundPlan:
    if order.tab is None:
        raise BadRequest(f"order {order.order_id} is no tab: name an amount, or credits")
    if (wish.keep, wish.amount, wish.credits) != (None, None, None):
        raise BadRequest("name a play, what is kept, what goes back, or credits: only one of them")
    number = len(order.credits)
    if not 1 <= play <= number:
        raise BadRequest(f"the plays of tab {order.order_id} are 1 to {number}; not {play}")
    back = back_of_play_minor(order, play)
    if not back:
        raise BadRequest(f"there is nothing to give back of play {play} of tab {order.order_id}")
    kept, is_under_way = _kept_minor(order), order.credits[play - 1].under_way
    keep = max(0, kept - back)
    return RefundPlan(order=order, keep_minor=keep, kept_minor=kept, is_delivering=is_under_way, play=play)


def _kept_minor(order: Order) -> int:
    """What is kept at most, as things stand."""
    if order.state not in {"funded", "revoking"}:
        return order.books.target_minor
    most, at_most = order.amount_minor, order.books.keep_at_most_minor
    if order.tab is not None:  # the rest of the hold is let go in any case
        most = sum(max(0, _most_minor(credit, order.currency) - credit.goodwill_minor) for credit in order.credits)
    return most if at_most is None else min(at_most, most)


def _most_minor(credit: Credit, currency: str) -> int:
    """What is kept of a credit at most."""
    return credit.price_minor if credit.under_way else credit.earned_minor(currency)


def _back_minor(order: Order, wish: RefundWish, kept: int) -> int:
    named = [value for value in (wish.keep, wish.amount, wish.credits) if value is not None]
    if len(named) > 1:
        raise BadRequest("name what is kept, what goes back, or credits: only one of them")
    if not named:
        return kept
    if order.payment is None:
        raise BadRequest(
            f"nobody paid for order {order.order_id}: its credits can be stopped, but no money goes back"
        )
    if wish.keep is not None:
        return kept - min(kept, parse_amount(wish.keep, order.currency))
    if wish.amount is not None:
        back = parse_amount(wish.amount, order.currency)
        if back < 1:
            raise BadRequest("an amount that goes back must be more than nothing")
        return back
    return _price_of(order, wish.credits or 0)


def _price_of(order: Order, credits: int) -> int:
    """The price of that many of the credits that were delivered, or may yet be."""
    if len(order.credits) != 1:
        raise BadRequest(f"order {order.order_id} has credits of several prices: name an amount")
    (credit,) = order.credits
    most = credit.count if order.delivered is None else order.delivered
    if not 1 <= credits <= most:
        word = "were ordered" if order.delivered is None else "were delivered"
        raise BadRequest(f"the credits of a refund are 1 to {most}, for {most} {word}; not {credits}")
    price, currency = credit.price_minor, order.currency
    return kept_for(price, most, credit.count, currency) - kept_for(price, most - credits, credit.count, currency)


def _why_not(order: Order) -> str:
    match order.state:
        case "open":
            return "nobody has paid yet"
        case "abandoned":
            return "nobody paid"
        case "returning":
            return "all of it is going back already"
        case _ if order.payment is None:
            return "its credits were free"
        case _:
            return f"{format_amount(order.books.target_minor, order.currency)} are kept of it"
