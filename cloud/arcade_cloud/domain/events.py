"""What can happen to an order: values that say it, made by the doors, the timer and the results of effects."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from arcade_cloud.domain.effects import Operation
from arcade_cloud.domain.money import Payment
from arcade_shared.messages import Ack


class Outcome(StrEnum):
    """What is known of a message after trying to publish it."""

    CONFIRMED = "confirmed"  # the broker has it, and somebody listens
    NOBODY = "nobody"  # the broker has confirmed it, and nobody listens
    REFUSED = "refused"  # for certain not delivered: the broker said no, or it was never sent
    UNKNOWN = "unknown"  # no word in time: it may be delivered, now or later


@dataclass(frozen=True, slots=True)
class CheckoutMade:
    """Stripe has made the Checkout Session of the order."""

    session_id: str
    url: str
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class CheckoutFailed:
    """Stripe would not make a Checkout Session."""

    reason: str


@dataclass(frozen=True, slots=True)
class PaymentReported:
    """Stripe says that something changed; it is read back before it counts.

    `good_news`: money arrived; that changes nothing for an order whose money is known to be there.
    """

    payment_intent: str | None
    what: str
    good_news: bool = False


@dataclass(frozen=True, slots=True)
class PlayerReturned:
    """The order's page was opened, as it is by who comes back from the checkout. It proves no payment."""


@dataclass(frozen=True, slots=True)
class PaymentRead:
    """The payment's state, as read back or as shown by a verified webhook that leaves no doubt.

    `session`: the state of the Checkout Session where that was read too. `payment` is None while the player
    has not begun to pay. `read_at_ms`: when the reading began; None for what a webhook showed.
    """

    payment: Payment | None
    session: Literal["open", "complete", "expired"] | None = None
    read_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Acked:
    """The agent reports; its signature has been verified against the machine of the topic."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of publishing a coinpulse or a revoke of a credit."""

    what: Literal["coinpulse", "revoke"]
    credit_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class SettlementAttempted:
    """The result of a capture, a cancellation or a refund.

    `done`: Stripe did it; `unknown`: no verdict; `refused`: a definite no, with Stripe's `code`. `key` is the
    idempotency key it was tried with: a result counts only for the attempt that is still wanted.
    """

    operation: Operation
    key: str
    result: Literal["done", "unknown", "refused"]
    code: str = ""


@dataclass(frozen=True, slots=True)
class RefundAsked:
    """The operator gives money back. `keep_minor`: what to keep at the most (0: everything goes back)."""

    by: str
    reason: str
    keep_minor: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """The timer: the moment that the order asked for has come."""


Event = (
    CheckoutMade
    | CheckoutFailed
    | PaymentReported
    | PlayerReturned
    | PaymentRead
    | Acked
    | Sent
    | SettlementAttempted
    | RefundAsked
    | Due
)


def credit_of(event: Event) -> str | None:
    """The id of the credit that the event is about; None for what is about the order as a whole."""
    match event:
        case Acked(ack=ack):
            return ack.credit_id
        case Sent(credit_id=credit_id):
            return credit_id
        case _:
            return None
