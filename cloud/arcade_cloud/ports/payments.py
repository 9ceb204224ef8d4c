"""The port to Stripe, with its answers as our own values."""

from dataclasses import dataclass
from typing import Literal, Protocol

from arcade_cloud.domain.balance import Entry, Payout
from arcade_cloud.domain.money import Offer, Payment, SessionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckoutRequest:
    """A Checkout Session to create, for `quantity` offers. Our ids go into its metadata and its payment's.

    `mark` goes there too: it proves later that the payment is ours (`domain.ownership`).

    Attributes:
        is_tab: The amount is only held, for a visit. It can be paid by card alone (and by what rides on one, such
            as Apple Pay): nothing else can be held, and says when the hold ends. The offer's label says what for.
        statement_suffix: What a card's statement shows after the account's name; empty: nothing. A checkout never
            fails because of it: if Stripe refuses it, it is left out.
    """

    order_id: str
    machine_id: str
    machine_name: str
    offer: Offer
    quantity: int
    success_url: str
    cancel_url: str
    expires_at_ms: int
    site: str
    mark: str
    is_tab: bool = False
    statement_suffix: str = ""


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


# How the ids begin of what `belongs_to` looks up: sessions, charges, refunds and disputes. Charges and refunds of
# other methods than cards begin with `py_` and `pyr_`.
LOOKED_UP = ("cs_", "ch_", "py_", "re_", "pyr_", "dp_", "du_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongs:
    """To what an object at Stripe belongs. `order_id` is what the object says; anybody may have written it."""

    payment_intent: str | None
    order_id: str | None = None


# Our events have about 5 KB. A Checkout Session with a hundred line items has a few hundred.
MAX_EVENT_BYTES = 512 * 1024

ReportKind = Literal["payment", "checkout_ended", "changed", "ignored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one of Stripe's events is about.

    `order_id`, `machine_id`, `site` and `mark` come from the metadata of sessions and payment intents. We set them
    there, and so may others who use the same Stripe account: without a `mark` that is verified they prove nothing.
    Refunds and disputes have none; only `payment_intent` leads from them to the order.

    Attributes:
        kind: `payment`: money is or was held or taken. `checkout_ended`: the session expired, or its payment
            failed. `changed`: something else happened to a payment, so it must be read back. `ignored`: nothing to
            us.
        what: Stripe's name for the event.
        created_ms: When Stripe created the event.
        machine_id: As it is written there, which may not be a machine id at all; so is `client_reference_id`.
        amount_minor: What the session or the payment intent asks for; None for any other object.
        payment: The payment as of this event, with the event's time as `paid_at_ms`. It is given only if the event
            shows beyond doubt what was paid and when: for a hold (`payment_intent.amount_capturable_updated` with
            status `requires_capture`). Of a payment that was taken, the event may come days after the player paid:
            it was captured then, or a slow bank took so long. A session never shows enough: neither whether money
            is held or taken, nor when it was paid.
        by_link: A session that a static Payment Link made.
        is_delivered: Every webhook endpoint has accepted the event.
        is_live: Of Stripe's live mode, not of a test mode. None: the event does not say.
        account: The connected account that the event comes from; None for the account of the endpoint itself.
    """

    event_id: str
    kind: ReportKind
    what: str
    created_ms: int = 0
    order_id: str | None = None
    machine_id: str | None = None
    site: str | None = None
    mark: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    payment_intent: str | None = None
    session_id: str | None = None
    client_reference_id: str | None = None
    payment: Payment | None = None
    by_link: bool = False
    is_delivered: bool = False
    is_live: bool | None = None
    account: str | None = None


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

    def belongs_to(self, stripe_id: str) -> Belongs:
        """To what a Checkout Session, charge, refund or dispute belongs.

        Raises:
            PaymentsRefused: With the code "resource_missing" if there is none with that id.
        """
        ...

    def capture(self, payment_intent: str, amount_minor: int, *, key: str, mark: str = "") -> None:
        """Capture a part of a hold, or all. The payment shows `mark` from then on, as its `capture_mark`.

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

    def clock_off_ms(self) -> int | None:
        """How far this process's clock is ahead of Stripe's at least, by the latest answer; negative: behind.

        None before the first answer. It asks nobody, and never raises.
        """
        ...

    def check(self) -> None:
        """Check the key by reading something that every valid key may read."""
        ...


@dataclass(frozen=True, slots=True)
class EntryPage:
    """One page of the balance's entries, newest first. `after`: where the next page begins; None on the last."""

    entries: tuple[Entry, ...]
    after: str | None = None


@dataclass(frozen=True, slots=True)
class PayoutPage:
    """One page of payouts, newest first. `after`: where the next page begins; None on the last."""

    payouts: tuple[Payout, ...]
    after: str | None = None


class Balance(Protocol):
    """The balance of the account at Stripe. The errors are those of `Payments`.

    A charge has its entry seconds after its capture. If one entry cannot be read, no entry of its page is told:
    that is PaymentsUnavailable.
    """

    def read_entries(self, *, since_ms: int, until_ms: int | None = None, after: str | None = None) -> EntryPage:
        """Read at most a hundred entries that were made from `since_ms` until before `until_ms`.

        Args:
            after: The `after` of the page before.
        """
        ...

    def read_payouts(self, *, since_ms: int, until_ms: int, after: str | None = None) -> PayoutPage:
        """Read at most a hundred payouts that were made from `since_ms` until before `until_ms`."""
        ...

    def read_payout(self, payout_id: str) -> Payout:
        """Read one payout.

        Raises:
            PaymentsRefused: With the code "resource_missing" if there is none with that id.
        """
        ...

    def read_entries_of(self, payout_id: str, *, after: str | None = None) -> EntryPage:
        """Read at most a hundred entries that a payout is of, and its own. Empty for one that is not listed."""
        ...
