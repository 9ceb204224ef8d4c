"""A player's claim that credits did not arrive: what it is worth, and who decides about it (pure).

The machine has reported the credits as delivered: the rest goes back by itself, and cannot be claimed. So a claim
is a player's word against a machine's. What speaks for one of them is the coin meter, if there is one, and a game
over after the credits: somebody has played then. That there is none says nothing: many machines send none. An
operator may let small claims be granted at once (`CLAIM_LIMIT`); all others wait for a person.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from arcade_cloud.domain.game_overs import GameOver
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.money import kept_for
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.domain.words import ENGLISH, Words

# Who claims, as the audit log and an order's history have it. No person can have this name.
PLAYER = "player's claim"
# A player notices at once, or when the game is over.
WITHIN_MS = 3 * 3_600_000
# Of one phone, for one machine, and of all, in a day. Whoever has more to say is asked to contact the operator.
PHONE_A_DAY, MACHINE_A_DAY, ALL_A_DAY = 5, 20, 100
# Granted at once: to a phone one a day; for a machine while there are not more than so many claims; in all so many
# times the limit of one.
AT_ONCE_MACHINE, AT_ONCE_A_DAY = 3, 10


class Claimed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a player claims.

    Attributes:
        credits: How many did not arrive.
        machine_id: The order's machine.
        back_minor: What they cost, in the order's currency.
        keep_minor: What is kept of the order if the claim is granted. So granting it twice gives nothing more.
        phone: Tells one phone's claims from others'. It is a hash that leads to nobody.
    """

    credits: int
    machine_id: str
    back_minor: int
    keep_minor: int
    phone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """How many other claims there are within a day."""

    of_phone: int
    of_machine: int
    all: int


def claimable(order: Order, now_ms: int, play: int = 0) -> int:
    """How many credits can be claimed: those that were delivered, and are paid for; 0 if none can be now.

    Args:
        play: Which play of a tab, from 1 on; 0: all of an order that is no tab.
    """
    done = [credit.resolution for credit in _played(order, play) if credit.resolution is not None]
    if not done or not _is_paid_and_kept(order) or now_ms - max(one.at_ms for one in done) > WITHIN_MS:
        return 0
    return sum(one.delivered for one in done)


def machine_of(order: Order, play: int) -> str:
    """The machine that the claim is about."""
    return order.credits[play - 1].machine_id if play else order.machine_id


def _played(order: Order, play: int) -> tuple[Credit, ...]:
    if order.tab is not None:
        return order.credits[play - 1 : play] if play > 0 else ()
    return () if play else order.credits


def _is_paid_and_kept(order: Order) -> bool:
    """Whether the price of all that was delivered is kept, and nothing moves any more."""
    books, payment = order.books, order.payment
    if order.state != "settled" or payment is None or not order.delivered or books.target_minor <= 0:
        return False
    is_disputed = payment.shown is not None and payment.shown.dispute != "none"
    return not (is_disputed or books.goodwill_minor or books.lost_minor or books.owed_minor)


def worth_minor(order: Order, credits: int, play: int = 0) -> int:
    """What so many of the delivered credits cost. Where they have several prices, the lowest ones count."""
    prices = []
    for credit in _played(order, play):
        delivered = 0 if credit.resolution is None else credit.resolution.delivered
        kept = [
            kept_for(credit.price_minor, number, credit.count, order.currency) for number in range(delivered + 1)
        ]
        prices += [kept[number] - kept[number - 1] for number in range(1, delivered + 1)]
    return sum(sorted(prices)[:credits])


def is_granted(order: Order, claimed: Claimed) -> bool:
    """Whether no more is kept of the order than the claim leaves."""
    return order.books.target_minor <= claimed.keep_minor


def why_refused(others: Others, words: Words = ENGLISH) -> str | None:
    """Why no further claim is taken, for the player; None if one is."""
    if others.of_phone >= PHONE_A_DAY or others.of_machine >= MACHINE_A_DAY or others.all >= ALL_A_DAY:
        return words.text("Too many credits were reported today. Please contact the operator.")
    return None


def why_a_person(
    order: Order,
    claimed: Claimed,
    limit_minor: int | None,
    found: Iterable[Count],
    others: Others,
    game_overs: Sequence[GameOver] = (),
) -> str | None:
    """Why a person decides about a claim; None if it is granted at once.

    Args:
        limit_minor: What a claim may be worth at most to be granted at once; None: none is.
        found: What the machine's meter has counted, of this order perhaps.
        others: The other claims within a day. This one is written down already, so two at once see each other.
        game_overs: Those at its machines between the credits and the claim, whoever has played.
    """
    if limit_minor is None:
        return "no claim is granted at once"
    if claimed.back_minor > limit_minor:
        return "it is worth more than CLAIM_LIMIT"
    if not _is_paid_and_kept(order):
        return "money of this order has moved meanwhile"
    ours = [count for count in found if count.order_id == order.order_id]
    counts = [count for count in ours if count.machine_id == claimed.machine_id]
    if counts and claimed.credits > sum(max(0, -count.difference) for count in counts):
        return "the coin meter registered them"
    if game_overs:
        return "the machine has signalled game over since"
    if others.of_phone:
        return "this phone has claimed before within a day"
    if others.of_machine >= AT_ONCE_MACHINE:
        return "there are many claims for this machine: look at it"
    return None


def meter_text(order: Order, found: Iterable[Count]) -> str:
    """What the coin meter says about an order, in words."""
    counts = [count for count in found if count.order_id == order.order_id]
    if not counts:
        return "no coin meter has counted them"
    registered, pulsed = (sum(getattr(count, name) for count in counts) for name in ("registered", "pulsed"))
    return f"the coin meter registered {registered} of {pulsed}"
