"""What a player reads about a claim that credits did not arrive (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from arcade_cloud.domain.order import Order
from arcade_cloud.domain.player_claims import claimable
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.services.player_claims import AT_ONCE, Claim
from arcade_cloud.web.tab_view import Play


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimView:
    """What the order's page says of a claim.

    Attributes:
        most: How many credits can be claimed; 0: none, and there is no form.
        text: What became of the claim that was made; empty if none was.
        plays: Of a tab, the plays of which some can be claimed: number, words.
    """

    most: int
    text: str = ""
    plays: tuple[tuple[int, str], ...] = ()


def claimable_at_most(order: Order, now_ms: int) -> int:
    """The most credits that can be claimed: of the order, or of one play of a tab."""
    if order.tab is None:
        return claimable(order, now_ms)
    return max((claimable(order, now_ms, number) for number in range(1, len(order.credits) + 1)), default=0)


def claim_view(
    order: Order, claim: Claim | None, now_ms: int, words: Words = ENGLISH, plays: Sequence[Play] = ()
) -> ClaimView:
    """The claim about an order, or what can be claimed.

    Args:
        plays: Of a tab: its plays, the newest first.
    """
    if claim is None:
        numbered = zip(range(len(plays), 0, -1), plays, strict=True)
        return ClaimView(
            most=claimable_at_most(order, now_ms),
            plays=tuple(
                (number, f"{play.time} {play.machine}: {play.credits}")
                for number, play in numbered
                if claimable(order, now_ms, number)
            ),
        )
    said = words.count(
        "You reported that %(number)s credit did not arrive.",
        "You reported that %(number)s credits did not arrive.",
        claim.claimed.credits,
    )
    match claim.state:
        case "waits":
            text = words.text("The operator has been told, and the answer will be on this page.")
        case "granted":
            text = _granted(claim, order, words)
        case _:
            text = words.text("The operator’s answer: %(answer)s", answer=claim.answer)
    return ClaimView(most=0, text=words.sentences(said, text))


def _granted(claim: Claim, order: Order, words: Words) -> str:
    if claim.answer != AT_ONCE:
        return words.text("Money was given back to you.")
    back = words.money(claim.claimed.back_minor, order.currency)
    return words.text("%(back)s goes back to you.", back=back)
