"""What a player reads about a claim that credits did not arrive (pure)."""

from dataclasses import dataclass

from arcade_cloud.domain.order import Order
from arcade_cloud.domain.player_claims import claimable
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.services.player_claims import AT_ONCE, Claim


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimView:
    """What the order's page says of a claim.

    Attributes:
        most: How many credits can be claimed; 0: none, and there is no form.
        text: What became of the claim that was made; empty if none was.
    """

    most: int
    text: str = ""


def claim_view(order: Order, claim: Claim | None, now_ms: int, words: Words = ENGLISH) -> ClaimView:
    """The claim about an order, or what can be claimed."""
    if claim is None:
        return ClaimView(most=claimable(order, now_ms))
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
