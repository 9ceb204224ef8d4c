"""Effects: what a decision wants done in the outside world.

Fulfilment performs them after it has stored the order. Every effect is safe to repeat. Effects that move money
carry the time of the decision: Stripe forgets an idempotency key after 24 hours, so an effect older than
EFFECT_LIFE_MS is never performed.
"""

from dataclasses import dataclass
from typing import Literal

EFFECT_LIFE_MS = 3_600_000
# Why a capture failed: Stripe does not capture just this part of the hold, whatever its own code for that is.
PARTIAL_CAPTURE = "partial_capture"

Operation = Literal["capture", "cancel", "refund"]


@dataclass(frozen=True, slots=True)
class ReadPayment:
    """Read the order from Stripe: its Checkout Session while nobody has paid, then its payment intent."""


@dataclass(frozen=True, slots=True)
class SendCoinpulse:
    """Publish a coinpulse for one credit of the order."""

    credit_id: str


@dataclass(frozen=True, slots=True)
class SendRevoke:
    """Publish a revoke for one credit of the order."""

    credit_id: str


@dataclass(frozen=True, slots=True)
class SendEcho:
    """Publish an echo, to prove that messages from the broker reach the cloud."""


@dataclass(frozen=True, slots=True)
class AskTime:
    """Have Stripe answer, because each answer has its time: a limit for this credit may be over."""

    credit_id: str


@dataclass(frozen=True, slots=True)
class Settle:
    """Capture, cancel or refund. `amount_minor` is the sum to capture or refund; 0 for a cancellation.

    A capture carries `mark` (`ownership.capture_mark`).
    """

    operation: Operation
    amount_minor: int
    key: str
    decided_at_ms: int
    mark: str = ""


Effect = ReadPayment | SendCoinpulse | SendRevoke | SendEcho | AskTime | Settle
