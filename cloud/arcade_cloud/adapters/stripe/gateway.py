"""The ports `Payments` and `Balance` on Stripe, through its library. Every answer and error is translated here.

Threads: all threads may share one gateway; the library keeps a connection for each. Time: a request takes at most
2 s to connect and 8 s to answer, and is tried three times if that is safe, so a call ends within about 32 s. A
process with less time passes `time_left_s`, and no call begins that might take longer.
"""

import itertools
import logging
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from arcade_cloud.adapters.stripe.balance import REFUND_KEY, entries_from, payout_from, payouts_from
from arcade_cloud.adapters.stripe.clock import StripeClock
from arcade_cloud.adapters.stripe.events import reports_of
from arcade_cloud.adapters.stripe.objects import (
    CAPTURE_MARK,
    MARK,
    Unreadable,
    belongs_from,
    checkout_from,
    has_more,
    listed,
    page_from,
    payment_from,
    price_from,
    required_id,
)
from arcade_cloud.domain.balance import Payout
from arcade_cloud.domain.effects import PARTIAL_CAPTURE
from arcade_cloud.domain.money import Payment
from arcade_cloud.errors import PaymentsError, PaymentsRefused, PaymentsUnavailable
from arcade_cloud.ports.payments import (
    LOOKED_UP,
    Belongs,
    Checkout,
    CheckoutRequest,
    EntryPage,
    EventPage,
    PayoutPage,
    Price,
)

if TYPE_CHECKING:
    import stripe
    from stripe.params import (
        BalanceTransactionListParams,
        EventListParams,
        PaymentIntentCaptureParams,
        PayoutListParams,
    )
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItem

logger = logging.getLogger(__name__)

Json = dict[str, Any]
JsonObject = Mapping[str, Any]
_Answer = TypeVar("_Answer")

CONNECT_S, ANSWER_S = 2.0, 8.0
RETRIES = 2
# Between two attempts the library waits half a second, then longer.
PAUSE_S = 1.0
# For a process with half a minute in all. It retries once: a connection may have died while it was suspended.
ANSWER_IN_A_HURRY_S, RETRIES_IN_A_HURRY = 5.0, 1
# For players, who wait for the page on the other side of the call.
ANSWER_TO_A_PLAYER_S = 4.0
LONGEST_IN_A_HURRY_S = (RETRIES_IN_A_HURRY + 1) * (CONNECT_S + ANSWER_IN_A_HURRY_S) + PAUSE_S
# Prices change rarely, by hand at Stripe, and the pages show them to every visitor.
PRICE_TTL_S = 60.0
# Stripe never changes a price's amount. So while Stripe is down, pages go on with the price that is known, and one
# of them asks again after a while.
PRICE_KEPT_S, PRICE_AGAIN_S = 3600.0, 5.0
MAX_PRICES = 256
# After Stripe has refused a suffix for statements, checkouts go without it for so long.
NO_SUFFIX_S = 3600.0
# Stripe's largest page, and more entries than any payment of ours has refunds or line items.
_PAGE = 100
_MAX_LISTED = 1000
_MAX_PRODUCT_NAME = 200
_MAX_TEXT = 300
_WITH_CHARGE = "latest_charge.refunds"

# Stripe was busy with the same object or key. The effect of the other request is not known yet.
_NO_VERDICT = frozenset({408, 409, 425, 429})
_NO_VERDICT_CODES = frozenset({"lock_timeout", "idempotency_key_in_use", "rate_limit"})

# What the library raises if the answer is not Stripe's at all: a proxy's page, other JSON, broken UTF-8.
_LIBRARY_TRIPS = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


class _HasDict(Protocol):
    def to_dict(self) -> Json: ...


@dataclass(frozen=True, slots=True)
class _KnownPrice:
    price: Price
    read_at_s: float
    ask_again_s: float


class Places:
    """How many calls to Stripe may be under way at once, and how many more may wait for one of them, and how long.

    Whoever gets no place gets PaymentsUnavailable. So calls that hang occupy only so many threads.
    """

    def __init__(self, at_once: int, waiting: int, wait_s: float) -> None:
        self._calling = threading.Semaphore(at_once)
        self._here = threading.Semaphore(at_once + waiting)
        self._wait_s = wait_s

    @contextmanager
    def one(self, what: str) -> Iterator[None]:
        """Hold a place."""
        if not self._here.acquire(blocking=False):
            raise PaymentsUnavailable(f"{what}: too many calls wait for Stripe")
        try:
            if not self._calling.acquire(timeout=self._wait_s):
                raise PaymentsUnavailable(f"{what}: earlier calls still wait for Stripe")
            try:
                yield
            finally:
                self._calling.release()
        finally:
            self._here.release()


class StripeGateway:
    """`ports.payments.Payments` and `Balance` on Stripe, or on a stand-in at `api_base`."""

    def __init__(
        self,
        api_key: str,
        *,
        api_base: str | None = None,
        retries: int = RETRIES,
        answer_s: float = ANSWER_S,
        monotonic_s: Callable[[], float] = time.monotonic,
        time_left_s: Callable[[], float] = lambda: math.inf,
        http_client: "stripe.HTTPClient | None" = None,
        places: Places | None = None,
        clock: StripeClock | None = None,
    ) -> None:
        """Store the parameters. The first call imports the library and opens a connection.

        Args:
            time_left_s: How long this process may still wait. A call that could take longer does not begin, and
                raises PaymentsUnavailable.
            http_client: How the library reaches `api_base`; None for its own connections.
            places: Where each call needs a place; None: there are enough for all.
            clock: Where each answer's time is noted; None: in one of its own.
        """
        self._api_key = api_key
        self._api_base = api_base
        self._retries = retries
        self._answer_s = answer_s
        self._monotonic_s = monotonic_s
        self._time_left_s = time_left_s
        self._http_client = http_client
        self._places = places
        self._clock = StripeClock(lambda: time.time_ns() // 1_000_000) if clock is None else clock
        self._longest_s = (retries + 1) * (CONNECT_S + answer_s) + retries * PAUSE_S
        self._lock = threading.Lock()
        self._client: stripe.StripeClient | None = None
        self._no_suffix_until_s = -math.inf
        self._prices: OrderedDict[str, _KnownPrice] = OrderedDict()

    # --- checkouts ---------------------------------------------------------------------------------------

    def create_checkout(self, request: CheckoutRequest, *, key: str) -> Checkout:
        """Create a hosted Checkout Session. Cards and Link are held; every other method is charged at once."""
        if self._monotonic_s() < self._no_suffix_until_s:
            request = replace(request, statement_suffix="")
        try:
            session = self._create(_session_params(request), key)
        except PaymentsRefused as refusal:
            if not request.statement_suffix or not _is_about_statement(refusal):
                raise
            logger.warning("Stripe takes no suffix for statements, so orders go without it: %s", refusal)
            self._no_suffix_until_s = self._monotonic_s() + NO_SUFFIX_S
            # Another key: Stripe answers the same key with the same refusal.
            session = self._create(_session_params(replace(request, statement_suffix="")), f"{key}:plain")
        return self._read("a new checkout", lambda: checkout_from(session, None))

    def _create(self, params: "SessionCreateParams", key: str) -> Json:
        return self._ask(
            "creating a checkout",
            lambda client: client.v1.checkout.sessions.create(params, {"idempotency_key": key}),
        )

    def read_checkout(self, session_id: str) -> Checkout:
        """Read the session, its payment and its line items in one request, or in more as `read_payment` does."""
        session = self._ask(
            "reading a checkout",
            lambda client: client.v1.checkout.sessions.retrieve(
                _id(session_id), {"expand": ["line_items", f"payment_intent.{_WITH_CHARGE}"]}
            ),
        )
        items: Sequence[JsonObject] = self._read("a checkout", lambda: listed(session, "line_items"))
        if has_more(session, "line_items"):
            items = self._ask_all(
                "reading line items",
                lambda client: client.v1.checkout.sessions.line_items.list(session_id, {"limit": _PAGE}),
            )
        intent = session.get("payment_intent")
        payment = self._payment_of(intent) if isinstance(intent, dict) else None
        return self._read("a checkout", lambda: checkout_from(session, payment, items))

    # --- payments ----------------------------------------------------------------------------------------

    def read_payment(self, payment_intent: str) -> Payment:
        """Read the payment intent with its charge and refunds in one request, so that they are consistent.

        Further requests are made only for more than ten refunds or a disputed charge.
        """
        intent = self._ask(
            "reading a payment",
            lambda client: client.v1.payment_intents.retrieve(_id(payment_intent), {"expand": [_WITH_CHARGE]}),
        )
        return self._payment_of(intent)

    def _payment_of(self, intent: Json) -> Payment:
        payment_intent = self._read("a payment", lambda: required_id(intent, "id"))
        charge = intent.get("latest_charge")
        refunds: list[Json] | None = None
        disputes: list[Json] = []
        if isinstance(charge, dict) and has_more(charge, "refunds"):
            refunds = self._ask_all(
                "reading refunds",
                lambda client: client.v1.refunds.list({"payment_intent": payment_intent, "limit": _PAGE}),
            )
        if isinstance(charge, dict) and charge.get("disputed"):
            disputes = self._ask_all(
                "reading disputes",
                lambda client: client.v1.disputes.list({"payment_intent": payment_intent, "limit": _PAGE}),
            )
        return self._read("a payment", lambda: payment_from(intent, refunds, disputes))

    def belongs_to(self, stripe_id: str) -> Belongs:
        """Read whatever the id's prefix says that it is."""
        kind = next((kind for kind in LOOKED_UP if stripe_id.startswith(kind)), None)
        if kind is None:
            raise PaymentsRefused("resource_missing", f"{stripe_id[:40]!r} is no id of a payment at Stripe")
        found = self._ask("looking up a payment", lambda client: _LOOK_UP[kind](client, _id(stripe_id)))
        return self._read("a payment", lambda: belongs_from(found))

    def capture(self, payment_intent: str, amount_minor: int, *, key: str, mark: str = "") -> None:
        """Capture `amount_minor` of a hold, for good. Stripe releases the rest."""
        params: PaymentIntentCaptureParams = {"amount_to_capture": amount_minor}
        if mark:
            params["metadata"] = {CAPTURE_MARK: mark}
        try:
            self._ask(
                "capturing",
                lambda client: client.v1.payment_intents.capture(
                    _id(payment_intent), params, {"idempotency_key": key}
                ),
            )
        except PaymentsRefused as refusal:
            is_about_amount = refusal.code == "amount_too_small" or refusal.param == "amount_to_capture"
            if not is_about_amount or refusal.code == "amount_too_large":
                raise
            raise PaymentsRefused(PARTIAL_CAPTURE, str(refusal)) from None

    def cancel(self, payment_intent: str, *, key: str) -> None:
        """Release a hold."""
        self._ask(
            "cancelling",
            lambda client: client.v1.payment_intents.cancel(_id(payment_intent), {}, {"idempotency_key": key}),
        )

    def refund(self, payment_intent: str, amount_minor: int, *, key: str) -> None:
        """Give back `amount_minor` of what was captured. The metadata shows the key to people at Stripe."""
        self._ask(
            "refunding",
            lambda client: client.v1.refunds.create(
                {
                    "payment_intent": _id(payment_intent),
                    "amount": amount_minor,
                    "metadata": {REFUND_KEY: key},
                },
                {"idempotency_key": key},
            ),
        )

    # --- prices and the key ------------------------------------------------------------------------------

    def read_price(self, price_id: str) -> Price:
        """Read a price, cached for `PRICE_TTL_S`. PaymentsRefused("unusable_price"): it cannot be an offer.

        Of many callers one asks Stripe. The others, and all while Stripe gives no verdict, get the price that is
        known, for `PRICE_KEPT_S`.
        """
        now_s = self._monotonic_s()
        with self._lock:
            known = self._prices.get(price_id)
            if known is not None and now_s < known.ask_again_s:
                return known.price
            if known is not None:  # the others need not wait for this caller
                self._prices[price_id] = replace(known, ask_again_s=now_s + PRICE_AGAIN_S)
        try:
            found = self._ask(
                "reading a price",
                lambda client: client.v1.prices.retrieve(_id(price_id), {"expand": ["product"]}),
            )
        except PaymentsUnavailable:
            if known is not None and now_s - known.read_at_s < PRICE_KEPT_S:
                return known.price
            raise
        try:
            price = price_from(found)
        except Unreadable as error:
            raise PaymentsRefused("unusable_price", str(error)) from error
        with self._lock:
            self._prices[price_id] = _KnownPrice(price, read_at_s=now_s, ask_again_s=now_s + PRICE_TTL_S)
            self._prices.move_to_end(price_id)
            if len(self._prices) > MAX_PRICES:
                self._prices.popitem(last=False)
        return price

    def read_events(self, types: tuple[str, ...], *, since_ms: int, after: str | None = None) -> EventPage:
        """Read one page of the list. PaymentsRefused("permission"): a restricted key may not read events."""
        params: EventListParams = {"types": list(types), "created": {"gte": since_ms // 1000}, "limit": _PAGE}
        if after is not None:
            params["starting_after"] = _id(after)
        page = self._ask("reading events", lambda client: client.v1.events.list(params))
        events, next_page = self._read("events", lambda: page_from(page))
        return EventPage(tuple(reports_of(events)), next_page)

    # --- the balance -------------------------------------------------------------------------------------

    def read_entries(self, *, since_ms: int, until_ms: int | None = None, after: str | None = None) -> EntryPage:
        """Read one page of the list. PaymentsRefused("permission"): a restricted key may not read the balance."""
        params: BalanceTransactionListParams = {
            "created": {"gte": -(-since_ms // 1000)},
            "limit": _PAGE,
            "expand": ["data.source"],
        }
        if until_ms is not None:
            params["created"] = {"gte": -(-since_ms // 1000), "lt": -(-until_ms // 1000)}
        return self._entries(params, after)

    def read_entries_of(self, payout_id: str, *, after: str | None = None) -> EntryPage:
        """Read one page of the list of a payout's entries."""
        return self._entries({"payout": _id(payout_id), "limit": _PAGE, "expand": ["data.source"]}, after)

    def _entries(self, params: "BalanceTransactionListParams", after: str | None) -> EntryPage:
        if after is not None:
            params["starting_after"] = _id(after)
        page = self._ask("reading the balance", lambda client: client.v1.balance_transactions.list(params))
        found, next_page = self._read("the balance", lambda: entries_from(page))
        return EntryPage(tuple(found), next_page)

    def read_payout(self, payout_id: str) -> Payout:
        """Read one payout. PaymentsRefused("permission"): a restricted key may not read payouts."""
        found = self._ask("reading a payout", lambda client: client.v1.payouts.retrieve(_id(payout_id)))
        return self._read("a payout", lambda: payout_from(found))

    def read_payouts(self, *, since_ms: int, until_ms: int, after: str | None = None) -> PayoutPage:
        """Read one page of the list. PaymentsRefused("permission"): a restricted key may not read payouts."""
        params: PayoutListParams = {
            "created": {"gte": -(-since_ms // 1000), "lt": -(-until_ms // 1000)},
            "limit": _PAGE,
        }
        if after is not None:
            params["starting_after"] = _id(after)
        page = self._ask("reading payouts", lambda client: client.v1.payouts.list(params))
        found, next_page = self._read("payouts", lambda: payouts_from(page))
        return PayoutPage(tuple(found), next_page)

    def clock_off_ms(self) -> int | None:
        """Compare this process's clock with the `Date` of Stripe's latest answer."""
        return self._clock.off_ms

    def check(self) -> None:
        """List one payment: every key that is sufficient for this program may do that."""
        self._ask("checking the key", lambda client: client.v1.payment_intents.list({"limit": 1}))

    # --- calling Stripe ----------------------------------------------------------------------------------

    def _stripe(self) -> "stripe.StripeClient":
        with self._lock:
            if self._client is None:
                import stripe  # 70 ms that a status page need not pay

                self._client = stripe.StripeClient(
                    self._api_key,
                    base_addresses=None if self._api_base is None else {"api": self._api_base},
                    max_network_retries=self._retries,
                    http_client=self._http_client or stripe.RequestsClient(timeout=(CONNECT_S, self._answer_s)),
                )
            return self._client

    def _ask(self, what: str, call: Callable[["stripe.StripeClient"], _HasDict]) -> Json:
        def ask(client: "stripe.StripeClient") -> Json:
            asked_ms = self._clock.now_ms()
            found = call(client)
            self._clock.answered(getattr(getattr(found, "last_response", None), "headers", None), asked_ms)
            return found.to_dict()

        return self._verdict(what, ask)

    def _ask_all(self, what: str, call: Callable[["stripe.StripeClient"], "stripe.ListObject[Any]"]) -> list[Json]:
        """All members of a list, page by page.

        Raises:
            PaymentsUnavailable: Stripe gave no verdict, or the list has more than `_MAX_LISTED` members.
            PaymentsRefused: Stripe's verdict is no.
        """

        def members(client: "stripe.StripeClient") -> list[Json]:
            pages = call(client).auto_paging_iter()
            return [member.to_dict() for member in itertools.islice(pages, _MAX_LISTED + 1)]

        found = self._verdict(what, members)
        if len(found) > _MAX_LISTED:
            raise PaymentsUnavailable(f"{what}: the payment has more than {_MAX_LISTED}")
        return found

    def _verdict(self, what: str, call: Callable[["stripe.StripeClient"], _Answer]) -> _Answer:
        if self._time_left_s() < self._longest_s:
            raise PaymentsUnavailable(f"{what}: too little time is left to wait for Stripe")
        client = self._stripe()
        from stripe import StripeError

        asked_ms = self._clock.now_ms()
        try:
            with nullcontext() if self._places is None else self._places.one(what):
                return call(client)
        except StripeError as error:
            self._clock.answered(error.headers, asked_ms)
            raise _translated(what, error) from None  # the library's error contains the whole answer
        except _LIBRARY_TRIPS as error:
            raise PaymentsUnavailable(f"{what}: the answer is not Stripe's ({type(error).__name__})") from error

    def _read(self, what: str, read: Callable[[], _Answer]) -> _Answer:
        try:
            return read()
        except Unreadable as error:
            raise PaymentsUnavailable(f"Stripe's answer about {what} cannot be read: {error}") from error


def _session(client: "stripe.StripeClient", session_id: str) -> "_HasDict":
    return client.v1.checkout.sessions.retrieve(session_id)


def _charge(client: "stripe.StripeClient", charge_id: str) -> "_HasDict":
    return client.v1.charges.retrieve(charge_id)


def _refund(client: "stripe.StripeClient", refund_id: str) -> "_HasDict":
    return client.v1.refunds.retrieve(refund_id)


def _dispute(client: "stripe.StripeClient", dispute_id: str) -> "_HasDict":
    return client.v1.disputes.retrieve(dispute_id)


_LOOK_UP: "dict[str, Callable[[stripe.StripeClient, str], _HasDict]]" = dict(
    zip(LOOKED_UP, (_session, _charge, _charge, _refund, _refund, _dispute, _dispute), strict=True)
)


def _is_about_statement(refusal: PaymentsRefused) -> bool:
    return "statement_descriptor" in (refusal.param or "") or "statement descriptor" in str(refusal).lower()


def _session_params(request: CheckoutRequest) -> "SessionCreateParams":
    offer = request.offer
    word = "credit" if offer.credits == 1 else "credits"
    name = f"{offer.credits} {word} · {request.machine_name or request.machine_id}"[:_MAX_PRODUCT_NAME]
    if request.is_tab:
        name = offer.label[:_MAX_PRODUCT_NAME]
    metadata = {
        "order_id": request.order_id,
        "machine_id": request.machine_id,
        "site": request.site,
        MARK: request.mark,
    }
    item: SessionCreateParamsLineItem = {"quantity": request.quantity}
    if offer.price_id is not None:
        item["price"] = offer.price_id
    else:
        item["price_data"] = {
            "currency": offer.currency,
            "unit_amount": offer.amount_minor,
            "product_data": {"name": name},
        }
    params: SessionCreateParams = {
        "mode": "payment",
        "ui_mode": "hosted_page",
        "line_items": [item],
        "success_url": request.success_url,
        "cancel_url": request.cancel_url,
        "expires_at": request.expires_at_ms // 1000,
        "client_reference_id": request.order_id,
        "metadata": metadata,
        "payment_intent_data": {"metadata": metadata, "description": name},
        "payment_method_options": {
            "card": {"capture_method": "manual"},
            "link": {"capture_method": "manual"},
        },
        # The player pays the price that the machine's page shows, in its currency.
        "adaptive_pricing": {"enabled": False},
    }
    if request.is_tab:  # nothing else can be held, and says when the hold ends
        params["payment_intent_data"] = {"metadata": metadata, "description": name, "capture_method": "manual"}
        params["allowed_payment_method_types"] = ["card"]
        del params["payment_method_options"]
    if request.statement_suffix:
        params["payment_intent_data"]["statement_descriptor_suffix"] = request.statement_suffix
    return params


def _id(text: str) -> str:
    """Check an id, so that the request cannot reach another path. An empty one, or a dot, would list all."""
    with suppress(Unreadable):
        if "/" not in text and text.strip("."):
            return required_id({"id": text}, "id")
    raise PaymentsRefused("resource_missing", f"{text[:40]!r} is not an id from Stripe")


def _translated(what: str, error: "stripe.StripeError") -> PaymentsError:
    """Translate an error. A definite 4xx in Stripe's own form is a verdict; any other leaves the effect unknown.

    A 404 or 403 without that form comes from a proxy and says nothing about a payment or the key.
    """
    status = error.http_status
    kind = getattr(error.error, "type", None)
    code = error.code or getattr(error.error, "code", None)
    is_verdict = kind is not None and status is not None and 400 <= status < 500 and status not in _NO_VERDICT
    if not is_verdict or code in _NO_VERDICT_CODES:
        shown = "no answer" if status is None else f"HTTP {status}"
        return PaymentsUnavailable(f"{what}: no verdict from Stripe ({shown}, {code or type(error).__name__})")
    if status == 401:
        return PaymentsRefused(
            "authentication",
            f"{what}: Stripe does not accept the key in STRIPE_API_KEY: does it belong to this account?",
        )
    if status == 403:
        return PaymentsRefused(
            "permission", f"{what}: the key in STRIPE_API_KEY may not do this: give it the permission at Stripe"
        )
    text = (error.user_message or "no reason given")[:_MAX_TEXT]
    return PaymentsRefused(str(code or kind), f"{what}: {text}", getattr(error.error, "param", None))
