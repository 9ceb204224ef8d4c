"""The port to Stripe, with its answers as our own values."""

from dataclasses import dataclass
from typing import Literal, Protocol

from arcade_cloud.domain.money import Offer, Payment, SessionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """A Checkout Session to create, for `quantity` offers. Our ids go into its metadata and its payment's."""

    order_id: str
    machine_id: str
    machine_name: str
    offer: Offer
    quantity: int
    success_url: str
    cancel_url: str
    expires_at_ms: int
    site: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """A Checkout Session as Stripe shows it.

    Attributes:
        payment: None while there is no payment intent.
        price_ids: The quantity of each line item's price; None unless the line items were read too.
    """

    session_id: str
    url: str | None
    status: SessionStatus
    expires_at_ms: int
    payment: Payment | None = None
    price_ids: dict[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price as configured at Stripe."""

    price_id: str
    amount_minor: int
    currency: str
    label: str = ""


# Our events have about 5 KB. A Checkout Session with a hundred line items has a few hundred.
MAX_EVENT_BYTES = 512 * 1024

ReportKind = Literal["payment", "checkout_ended", "changed", "ignored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one of Stripe's events is about.

    `order_id`, `machine_id` and `site` come from the metadata that we set on sessions and payment intents. Refunds
    and disputes have none; only `payment_intent` leads from them to the order. On a shared account these texts,
    and `client_reference_id`, may come from another business.

    Attributes:
        kind: `payment`: money is or was held or taken. `checkout_ended`: the session expired, or its payment
            failed. `changed`: something else happened to a payment, so it must be read back. `ignored`: nothing to
            us.
        what: Stripe's name for the event.
        created_ms: When Stripe created the event.
        payment: The payment as of this event, with the event's time as `paid_at_ms`. It is given only if the event
            shows beyond doubt what was paid and when: for a hold (`payment_intent.amount_capturable_updated` with
            status `requires_capture`), and for a payment that was never a hold (`payment_intent.succeeded` without
            manual capture; with it, the event may be a capture days after the player paid). A session never shows
            enough: neither whether money is held or taken, nor when it was paid.
        is_delivered: Every webhook endpoint has accepted the event.
    """

    event_id: str
    kind: ReportKind
    what: str
    created_ms: int = 0
    order_id: str | None = None
    machine_id: str | None = None
    site: str | None = None
    payment_intent: str | None = None
    session_id: str | None = None
    client_reference_id: str | None = None
    payment: Payment | None = None
    is_delivered: bool = False


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page of Stripe's events, newest first. `after`: where the next page begins; None on the last page."""

    reports: tuple[Report, ...]
    after: str | None = None


class Payments(Protocol):
    """Stripe. Every call may raise PaymentsUnavailable (no verdict) or PaymentsRefused (a definite no).

    Calls that change something take an idempotency key: Stripe performs them at most once under it.
    """

    def create_checkout(self, request: CheckoutRequest, *, key: str) -> Checkout: ...

    def read_checkout(self, session_id: str) -> Checkout:
        """Read a session with its payment (latest charge, refunds, disputes) and its line items' prices."""
        ...

    def read_payment(self, payment_intent: str) -> Payment: ...

    def capture(self, payment_intent: str, amount_minor: int, *, key: str) -> None:
        """Capture a part of a hold, or all.

        Raises:
            PaymentsRefused: With the code `effects.PARTIAL_CAPTURE` if it is this amount that Stripe refuses: it
                captures no part, or none so small. Another amount may succeed.
        """
        ...

    def cancel(self, payment_intent: str, *, key: str) -> None: ...

    def refund(self, payment_intent: str, amount_minor: int, *, key: str) -> None: ...

    def read_price(self, price_id: str) -> Price: ...

    def read_events(self, types: tuple[str, ...], *, since_ms: int, after: str | None = None) -> EventPage:
        """Read at most a hundred events of these types, delivered or not, newest first.

        An event without the shape that Stripe documents is left out, with a warning in the log.

        Args:
            since_ms: Only events created at this time or later.
            after: The `after` of the page before.
        """
        ...

    def check(self) -> None:
        """Check the key by reading something that every valid key may read."""
        ...
