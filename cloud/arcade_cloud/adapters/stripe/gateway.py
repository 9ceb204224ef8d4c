"""Stripe, through its own library: the port `Payments`. Every answer and every error is translated here.

Threads: all may use one gateway; the library keeps a connection per thread. Time: one request takes 2 s to
connect and 8 s to answer at the most, and is tried three times where that is safe, so a call ends within about
32 s. Who has less time than that says how much, and no call is begun that might outlast it.
"""

import itertools
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from arcade_cloud.adapters.stripe.events import reports_of
from arcade_cloud.adapters.stripe.objects import (
    Unreadable,
    checkout_from,
    events_from,
    has_more,
    listed,
    payment_from,
    price_from,
    required_id,
)
from arcade_cloud.domain.money import Payment
from arcade_cloud.errors import PaymentsError, PaymentsRefused, PaymentsUnavailable
from arcade_cloud.ports.payments import Checkout, CheckoutRequest, EventPage, Price

if TYPE_CHECKING:
    import stripe
    from stripe.params import EventListParams
    from stripe.params.checkout import SessionCreateParams, SessionCreateParamsLineItem

Json = dict[str, Any]
JsonObject = Mapping[str, Any]
_Answer = TypeVar("_Answer")

CONNECT_S, ANSWER_S = 2.0, 8.0
RETRIES = 2
# Between two tries the library waits half a second, then longer.
PAUSE_S = 1.0
# For who has half a minute in all. One repetition, because a connection may have died while a process was frozen.
ANSWER_IN_A_HURRY_S, RETRIES_IN_A_HURRY = 5.0, 1
LONGEST_IN_A_HURRY_S = (RETRIES_IN_A_HURRY + 1) * (CONNECT_S + ANSWER_IN_A_HURRY_S) + PAUSE_S
# A price is changed by hand at Stripe, rarely; the pages show it for every visitor.
PRICE_TTL_S = 60.0
MAX_PRICES = 256
# Stripe's largest page, and more pages than any payment of ours has refunds or line items.
_PAGE = 100
_MAX_LISTED = 1000
_MAX_PRODUCT_NAME = 200
_MAX_TEXT = 300
_WITH_CHARGE = "latest_charge.refunds"

# Stripe was busy with the same object or key; the effect of the other request is not known yet.
_NO_VERDICT = frozenset({408, 409, 425, 429})
_NO_VERDICT_CODES = frozenset({"lock_timeout", "idempotency_key_in_use", "rate_limit"})

# What the library trips over where the answer is not Stripe's at all: a proxy's page, other JSON, broken UTF-8.
_LIBRARY_TRIPS = (AttributeError, LookupError, RecursionError, TypeError, ValueError)


class _HasDict(Protocol):
    def to_dict(self) -> Json: ...


class StripeGateway:
    """`ports.payments.Payments` on the real Stripe, or on whatever speaks its API at `api_base`."""

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
    ) -> None:
        """Nothing is opened or imported here: the first call does it.

        `time_left_s`: how long this process may still wait. A call that could take longer is not begun, and
        raises PaymentsUnavailable. `http_client`: how the library reaches `api_base`, if not by connections of
        its own.
        """
        self._api_key = api_key
        self._api_base = api_base
        self._retries = retries
        self._answer_s = answer_s
        self._monotonic_s = monotonic_s
        self._time_left_s = time_left_s
        self._http_client = http_client
        self._longest_s = (retries + 1) * (CONNECT_S + answer_s) + retries * PAUSE_S
        self._lock = threading.Lock()
        self._client: stripe.StripeClient | None = None
        self._prices: OrderedDict[str, tuple[float, Price]] = OrderedDict()

    # --- checkouts ---------------------------------------------------------------------------------------

    def create_checkout(self, request: CheckoutRequest, *, key: str) -> Checkout:
        """A hosted Checkout Session for one purchase; cards and Link are held, everything else is charged."""
        params = _session_params(request)
        session = self._ask(
            "making a checkout",
            lambda client: client.v1.checkout.sessions.create(params, {"idempotency_key": key}),
        )
        return self._read("a new checkout", lambda: checkout_from(session, None))

    def read_checkout(self, session_id: str) -> Checkout:
        """The session, its payment and its line items in one request; more only as in `read_payment`."""
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
        """The payment intent with its charge and refunds in one request, so that they fit together.

        A second request only for more than ten refunds, or for a disputed charge.
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

    def capture(self, payment_intent: str, amount_minor: int, *, key: str) -> None:
        """Take so much of a hold, for good; Stripe lets go of the rest."""
        self._ask(
            "capturing",
            lambda client: client.v1.payment_intents.capture(
                _id(payment_intent), {"amount_to_capture": amount_minor}, {"idempotency_key": key}
            ),
        )

    def cancel(self, payment_intent: str, *, key: str) -> None:
        """Let a hold go."""
        self._ask(
            "cancelling",
            lambda client: client.v1.payment_intents.cancel(_id(payment_intent), {}, {"idempotency_key": key}),
        )

    def refund(self, payment_intent: str, amount_minor: int, *, key: str) -> None:
        """Give so much back of what was taken. The key goes into the metadata, for whoever looks at Stripe."""
        self._ask(
            "refunding",
            lambda client: client.v1.refunds.create(
                {
                    "payment_intent": _id(payment_intent),
                    "amount": amount_minor,
                    "metadata": {"arcade_key": key},
                },
                {"idempotency_key": key},
            ),
        )

    # --- prices and the key ------------------------------------------------------------------------------

    def read_price(self, price_id: str) -> Price:
        """A price, at most `PRICE_TTL_S` old. Raises PaymentsRefused("unusable_price") if it can't be an offer."""
        now_s = self._monotonic_s()
        with self._lock:
            known = self._prices.get(price_id)
        if known is not None and now_s - known[0] < PRICE_TTL_S:
            return known[1]
        found = self._ask(
            "reading a price",
            lambda client: client.v1.prices.retrieve(_id(price_id), {"expand": ["product"]}),
        )
        try:
            price = price_from(found)
        except Unreadable as error:
            raise PaymentsRefused("unusable_price", str(error)) from error
        with self._lock:
            self._prices[price_id] = (now_s, price)
            self._prices.move_to_end(price_id)
            if len(self._prices) > MAX_PRICES:
                self._prices.popitem(last=False)
        return price

    def read_events(self, types: tuple[str, ...], *, since_ms: int, after: str | None = None) -> EventPage:
        """One page of the list. PaymentsRefused("permission"): a restricted key may not read events."""
        params: EventListParams = {"types": list(types), "created": {"gte": since_ms // 1000}, "limit": _PAGE}
        if after is not None:
            params["starting_after"] = _id(after)
        page = self._ask("reading events", lambda client: client.v1.events.list(params))
        events, next_page = self._read("events", lambda: events_from(page))
        return EventPage(tuple(reports_of(events)), next_page)

    def check(self) -> None:
        """Ask for one payment: every key that can do this work may see it."""
        self._ask("checking the key", lambda client: client.v1.payment_intents.list({"limit": 1}))

    # --- how Stripe is asked -----------------------------------------------------------------------------

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
        return self._verdict(what, lambda client: call(client).to_dict())

    def _ask_all(self, what: str, call: Callable[["stripe.StripeClient"], "stripe.ListObject[Any]"]) -> list[Json]:
        """All members of a list, page by page; no more than `_MAX_LISTED`."""

        def members(client: "stripe.StripeClient") -> list[Json]:
            pages = call(client).auto_paging_iter()
            return [member.to_dict() for member in itertools.islice(pages, _MAX_LISTED + 1)]

        found = self._verdict(what, members)
        if len(found) > _MAX_LISTED:
            raise PaymentsUnavailable(f"{what}: more than {_MAX_LISTED} at one payment")
        return found

    def _verdict(self, what: str, call: Callable[["stripe.StripeClient"], _Answer]) -> _Answer:
        if self._time_left_s() < self._longest_s:
            raise PaymentsUnavailable(f"{what}: too little time is left to wait for Stripe")
        client = self._stripe()
        from stripe import StripeError

        try:
            return call(client)
        except StripeError as error:
            raise _translated(what, error) from None  # the library's error holds the whole answer and its headers
        except _LIBRARY_TRIPS as error:
            raise PaymentsUnavailable(f"{what}: the answer is not Stripe's ({type(error).__name__})") from error

    def _read(self, what: str, read: Callable[[], _Answer]) -> _Answer:
        try:
            return read()
        except Unreadable as error:
            raise PaymentsUnavailable(f"Stripe's answer about {what} is not understood: {error}") from error


def _session_params(request: CheckoutRequest) -> "SessionCreateParams":
    offer = request.offer
    word = "credit" if offer.credits == 1 else "credits"
    name = f"{offer.credits} {word} · {request.machine_name or request.machine_id}"[:_MAX_PRODUCT_NAME]
    metadata = {"order_id": request.order_id, "machine_id": request.machine_id, "site": request.site}
    item: SessionCreateParamsLineItem = {"quantity": request.quantity}
    if offer.price_id is not None:
        item["price"] = offer.price_id
    else:
        item["price_data"] = {
            "currency": offer.currency,
            "unit_amount": offer.amount_minor,
            "product_data": {"name": name},
        }
    return {
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
        # The player pays the price that stands on the machine, in its currency.
        "adaptive_pricing": {"enabled": False},
    }


def _id(text: str) -> str:
    """An id that can't be mistaken for another path: an empty one would ask for the list of all."""
    try:
        return required_id({"id": text}, "id")
    except Unreadable as error:
        raise PaymentsRefused("resource_missing", f"{text[:40]!r} is no id of Stripe's") from error


def _translated(what: str, error: "stripe.StripeError") -> PaymentsError:
    """A definite 4xx in Stripe's own form is a verdict; everything else leaves it open what Stripe did.

    A 404 or 403 without that form comes from a proxy, and says nothing about a payment or the key.
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
            "authentication", f"{what}: Stripe does not accept the key in STRIPE_API_KEY: is it of this account?"
        )
    if status == 403:
        return PaymentsRefused(
            "permission", f"{what}: the key in STRIPE_API_KEY may not do this: give it the right at Stripe"
        )
    text = (error.user_message or "no reason given")[:_MAX_TEXT]
    return PaymentsRefused(str(code or kind), f"{what}: {text}")
