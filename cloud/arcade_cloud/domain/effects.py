"""What an order wants done in the world: values, performed by fulfilment after the order has been stored.

Every effect is safe to repeat. Those that move money carry the moment they were decided: Stripe forgets an
idempotency key after 24 hours, so an effect that has waited for more than EFFECT_LIFE_MS is never carried out.
"""

from dataclasses import dataclass
from typing import Literal

EFFECT_LIFE_MS = 3_600_000

Operation = Literal["capture", "cancel", "refund"]


@dataclass(frozen=True, slots=True)
class ReadPayment:
    """Read the order's Checkout Session (while it is open) or its payment intent back from Stripe."""


@dataclass(frozen=True, slots=True)
class SendCoinpulse:
    """Publish a credit of the order."""

    credit_id: str


@dataclass(frozen=True, slots=True)
class SendRevoke:
    """Publish a revoke of a credit of the order."""

    credit_id: str


@dataclass(frozen=True, slots=True)
class SendEcho:
    """Publish an echo, to prove that what the broker has reaches the cloud."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Capture, cancel or refund. `amount_minor` is what to capture or to refund (0 for a cancellation)."""

    operation: Operation
    amount_minor: int
    key: str
    decided_at_ms: int


Effect = ReadPayment | SendCoinpulse | SendRevoke | SendEcho | Settle
