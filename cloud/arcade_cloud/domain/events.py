"""Events: what can happen to an order. Routes, the timer and the results of effects make them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from arcade_cloud.domain.effects import Operation
from arcade_cloud.domain.money import Payment, SessionStatus
from arcade_cloud.domain.order import Acts, ClosedBy, Credit, Settlement
from arcade_shared.messages import Ack


class Outcome(StrEnum):
    """What is known about a message after an attempt to publish it."""

    CONFIRMED = "confirmed"  # the broker has it, and somebody is subscribed
    NOBODY = "nobody"  # the broker has it, and nobody is subscribed
    REFUSED = "refused"  # certainly not delivered: the broker refused it, or it was never sent
    UNKNOWN = "unknown"  # no answer in time: it may be delivered, now or later


@dataclass(frozen=True, slots=True)
class CheckoutMade:
    """Stripe has created the order's Checkout Session."""

    session_id: str
    url: str
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class CheckoutFailed:
    """Stripe did not create a Checkout Session."""

    reason: str


@dataclass(frozen=True, slots=True)
class PaymentReported:
    """Stripe says that something has changed. It is read back before it counts.

    Attributes:
        what: Stripe's name for the event.
        good_news: Money has arrived. That is no news if the order has its money already.
    """

    payment_intent: str | None
    what: str
    good_news: bool = False


@dataclass(frozen=True, slots=True)
class PlayerReturned:
    """Somebody opened the order's page, as a player does after the checkout. It does not prove a payment."""


@dataclass(frozen=True, slots=True)
class PaymentRead:
    """The payment's state, as read back or as shown by a verified webhook that leaves no doubt.

    Attributes:
        payment: None while the player has not begun to pay.
        session: The status of the Checkout Session, if that was read too.
        read_at_ms: When the reading began, by the clock of the process that takes it in; None if a webhook showed
            the payment.
        acts: What had been attempted when the reading began. If there is more by now, it may miss that.
    """

    payment: Payment | None
    session: SessionStatus | None = None
    read_at_ms: int | None = None
    acts: Acts = Settlement().acts


@dataclass(frozen=True, slots=True)
class Acked:
    """A machine's ack. Its signature fits the machine in the topic."""

    ack: Ack


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of publishing a coinpulse or a revoke."""

    what: Literal["coinpulse", "revoke"]
    credit_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class TimeAsked:
    """Stripe was asked for its time because of this credit. The context tells what is known now."""

    credit_id: str


@dataclass(frozen=True, slots=True)
class SettlementAttempted:
    """The result of a capture, a cancellation or a refund.

    Attributes:
        key: The idempotency key of the attempt. A result counts only for the latest attempt.
        result: `done`: Stripe did it. `unknown`: Stripe gave no verdict. `refused`: a definite no.
        code: Stripe's code for a refusal.
    """

    operation: Operation
    key: str
    result: Literal["done", "unknown", "refused"]
    code: str = ""


@dataclass(frozen=True, slots=True)
class RefundAsked:
    """The operator gives money back, all but `keep_minor` at most (0: everything goes back).

    Attributes:
        play: Of a tab, only the price of this play goes back, counted from 1, whatever `keep_minor` says.
    """

    by: str
    reason: str
    keep_minor: int = 0
    play: int | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A player has a credit drawn on a tab. All of the tab's conditions must hold in this very step.

    Attributes:
        credit: With what draws it, and without a delivery. A token that has drawn draws nothing more.
        currency: Of its price.
    """

    credit: Credit
    currency: str


@dataclass(frozen=True, slots=True)
class FreshenAsked:
    """Somebody looks at a machine with a tab: its hold is to be read if that was not done lately."""


@dataclass(frozen=True, slots=True)
class CloseAsked:
    """A tab is to be closed."""

    by: ClosedBy


@dataclass(frozen=True, slots=True)
class Due:
    """The timer: the order is due."""


Event = (
    CheckoutMade
    | CheckoutFailed
    | PaymentReported
    | PlayerReturned
    | PaymentRead
    | Acked
    | Sent
    | TimeAsked
    | SettlementAttempted
    | RefundAsked
    | Drawn
    | FreshenAsked
    | CloseAsked
    | Due
)


def credit_of(event: Event) -> str | None:
    """The id of the credit that the event is about; None if it is about the whole order."""
    match event:
        case Acked(ack=ack):
            return ack.credit_id
        case Sent(credit_id=credit_id) | TimeAsked(credit_id=credit_id):
            return credit_id
        case _:
            return None
