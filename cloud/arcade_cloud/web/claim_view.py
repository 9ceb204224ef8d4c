"""What a player reads about a claim that credits did not arrive (pure)."""

from dataclasses import dataclass

from arcade_cloud.domain.money import format_amount
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.player_claims import claimable
from arcade_cloud.services.player_claims import AT_ONCE, Claim
from arcade_cloud.web.player_view import credits_text


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimView:
    """What the order's page says of a claim.

    Attributes:
        most: How many credits can be claimed; 0: none, and there is no form.
        text: What became of the claim that was made; empty if none was.
    """

    most: int
    text: str = ""


def claim_view(order: Order, claim: Claim | None, now_ms: int) -> ClaimView:
    """The claim about an order, or what can be claimed."""
    if claim is None:
        return ClaimView(most=claimable(order, now_ms))
    said = f"You reported that {credits_text(claim.claimed.credits)} did not arrive."
    match claim.state:
        case "waits":
            return ClaimView(
                most=0, text=f"{said} The operator has been told, and the answer will be on this page."
            )
        case "granted":
            return ClaimView(most=0, text=f"{said} {_granted(claim, order)}")
        case _:
            return ClaimView(most=0, text=f"{said} The operator’s answer: {claim.answer}")


def _granted(claim: Claim, order: Order) -> str:
    if claim.answer != AT_ONCE:
        return "Money was given back to you."
    back = format_amount(claim.claimed.back_minor, order.currency).replace(" ", "\u00a0")
    return f"{back} goes back to you."
