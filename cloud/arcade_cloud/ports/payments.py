"""The port to Stripe, and its answers in our words."""

from dataclasses import dataclass
from typing import Literal, Protocol

from arcade_cloud.domain.money import Offer, Payment


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
    price_ids: dict[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price as configured at Stripe."""

    price_id: str
    amount_minor: int
    currency: str
    label: str = ""


# Events of ours take some 5 KB; a Checkout Session with a hundred line items a few hundred.
MAX_EVENT_BYTES = 512 * 1024

ReportKind = Literal["payment", "checkout_ended", "changed", "ignored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an event is about. `what` is Stripe's name for it, `created_ms` when Stripe made it.

    `payment`: money is held or taken, or was. `checkout_ended`: the session expired, or its payment failed.
    `changed`: something else happened to a payment, so read it back. `ignored`: nothing to us.

    `order_id`, `machine_id` and `site` come from metadata, which we set on sessions and payment intents; refunds
    and disputes have none, and there only `payment_intent` leads to the order. On a shared account others write
    there too: all four texts may be another business's.

    `payment` is given only where the event shows beyond doubt what was paid and when:
    - a hold (`payment_intent.amount_capturable_updated`, status `requires_capture`);
    - a payment that was never a hold (`payment_intent.succeeded`, and nothing in it says manual capture). With
      manual capture the same event may tell of a capture days after the player paid;
    - never from a session: it shows neither whether money is held or taken, nor when it was paid.
    It is the state at the moment of the event, and `paid_at_ms` is that moment.

    `is_delivered`: every webhook endpoint has taken it.
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
    """Some of Stripe's events, newest first. `after`: where the next page begins; None: these are the oldest."""

    reports: tuple[Report, ...]
    after: str | None = None


class Payments(Protocol):
    """Stripe. Every call may raise PaymentsUnavailable (no verdict) or PaymentsRefused (a definite no).

    Calls that change something take the idempotency key under which Stripe does them at most once.
    """

    def create_checkout(self, request: CheckoutRequest, *, key: str) -> Checkout: ...

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

        Delivered or not. What is not of the shape that Stripe documents is left out, with a warning in the log.
        """
        ...

    def check(self) -> None:
        """Ask for something that every valid key may see."""
        ...
