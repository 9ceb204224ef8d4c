"""What fulfilment needs from outside, as protocols. Adapters: `stripe_gateway`, `mqtt`, `alerts`, `store/`."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from arcade_cloud.events import Outcome
from arcade_cloud.money import Offer, Payment


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """One Checkout Session to make. `quantity` offers; the order's id goes into the metadata of both objects."""

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
    """A Checkout Session as Stripe shows it. `payment` is None while there is no payment intent yet.

    `price_ids` maps the price of each line item to its quantity (only read where it was asked for).
    """

    session_id: str
    url: str | None
    status: Literal["open", "complete", "expired"]
    expires_at_ms: int
    payment: Payment | None = None
    order_id: str | None = None
    machine_id: str | None = None
    site: str | None = None
    price_ids: dict[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price as configured at Stripe."""

    price_id: str
    amount_minor: int
    currency: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Some of Stripe's events in the shape of webhooks, newest first, each with its `id`.

    `more`: there are older ones, after the last of these.
    """

    events: tuple[dict[str, Any], ...]
    more: bool = False


class Payments(Protocol):
    """Stripe. Every call may raise PaymentsUnavailable (no verdict) or PaymentsRefused (a definite no).

    Calls that change something take the idempotency key under which Stripe does them at most once.
    """

    def create_checkout(self, request: CheckoutRequest, *, key: str) -> Checkout: ...

    def expire_checkout(self, session_id: str) -> None: ...

    def read_checkout(self, session_id: str) -> Checkout:
        """With its payment (latest charge, refunds, disputes) and its line items' prices."""
        ...

    def read_payment(self, payment_intent: str) -> Payment: ...

    def capture(self, payment_intent: str, amount_minor: int, *, key: str) -> None: ...

    def cancel(self, payment_intent: str, *, key: str) -> None: ...

    def refund(self, payment_intent: str, amount_minor: int, *, key: str) -> None: ...

    def read_price(self, price_id: str) -> Price: ...

    def read_events(self, types: tuple[str, ...], *, since_ms: int, after: str | None = None) -> EventPage:
        """At most a hundred events of these types made since then, or those that come after the one with that id.

        Delivered or not: `pending_webhooks` of each says to how many endpoints it has not been.
        """
        ...

    def check(self) -> None:
        """Ask for something that every valid key may see."""
        ...


class Broker(Protocol):
    """The way to the machines."""

    def publish(self, topic: str, payload: bytes, *, expiry_s: int) -> Outcome:
        """Publish with QoS 1, not retained, and wait for the broker's word, under a deadline. Never raises."""
        ...


class AlertSink(Protocol):
    """Where alerts go."""

    def post(self, alert_id: str, kind: str, text: str, subject: str, at_ms: int) -> bool:
        """Whether the alert has arrived. Never raises."""
        ...
