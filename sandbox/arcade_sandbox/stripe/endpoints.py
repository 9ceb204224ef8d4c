"""Which endpoints of Stripe's API are served, the parameters that each takes, and what each does.

A handler is pure: it reads and changes the state and returns the object to show. `api` does the HTTP.
"""

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from arcade_sandbox.stripe import balance, schemas
from arcade_sandbox.stripe.catalogue import create_link, create_price, create_product, update_link, update_price
from arcade_sandbox.stripe.checkout import create_session, expire_session
from arcade_sandbox.stripe.errors import StripeRefusal
from arcade_sandbox.stripe.listing import paged
from arcade_sandbox.stripe.params import Hash
from arcade_sandbox.stripe.payments import cancel_intent, capture_intent
from arcade_sandbox.stripe.refunds import create_refund
from arcade_sandbox.stripe.state import StripeState

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """One API call with checked parameters.

    Attributes:
        object_id: The id in the path, empty where there is none.
    """

    state: StripeState
    params: Json
    object_id: str
    now_s: int
    path: str


@dataclass(frozen=True)
class Endpoint:
    """One method and path (Flask's notation), its parameters, its work."""

    method: str
    path: str
    rule: Hash
    handler: Callable[[Call], Json]


def _table(call: Call, kind: str) -> Iterable[Json]:
    return reversed(call.state.tables[kind].values())


def _matching(things: Iterable[Json], params: Json, *names: str) -> Iterable[Json]:
    wanted = {name: params[name] for name in names if name in params}
    return (thing for thing in things if all(thing[name] == value for name, value in wanted.items()))


def _retrieve(kind: str, param: str) -> Callable[[Call], Json]:
    return lambda call: call.state.find(kind, call.object_id, param)


def _list(kind: str, *filters: str) -> Callable[[Call], Json]:
    return lambda call: paged(_matching(_table(call, kind), call.params, *filters), call.params, call.path)


def _create_session(call: Call) -> Json:
    return create_session(call.state, call.params, call.now_s)


def _list_sessions(call: Call) -> Json:
    things = _table(call, "checkout.session")
    intent_id = call.params.get("payment_intent")
    if intent_id is not None:
        call.state.find("payment_intent", intent_id, "payment_intent")
        session = call.state.session_for(intent_id)
        things = [] if session is None else [session]
    return paged(_matching(things, call.params, "payment_link", "status"), call.params, call.path)


def _list_line_items(call: Call) -> Json:
    call.state.find("checkout.session", call.object_id, "session")
    return paged(call.state.line_items[call.object_id], call.params, call.path)


def _expire_session(call: Call) -> Json:
    return expire_session(call.state, call.object_id, call.now_s)


def _list_prices(call: Call) -> Json:
    keys = call.params.get("lookup_keys")
    things = _matching(_table(call, "price"), call.params, "active", "currency", "product")
    return paged(
        (thing for thing in things if keys is None or thing["lookup_key"] in keys), call.params, call.path
    )


def _capture(call: Call) -> Json:
    if call.params.get("final_capture") is False:
        raise StripeRefusal("Multicapture is not available for this payment.", param="final_capture")
    amount, metadata = call.params.get("amount_to_capture"), call.params.get("metadata", {})
    return capture_intent(call.state, call.object_id, amount, call.now_s, metadata)


def _cancel(call: Call) -> Json:
    return cancel_intent(call.state, call.object_id, call.params.get("cancellation_reason"), call.now_s)


def _create_refund(call: Call) -> Json:
    return create_refund(call.state, call.params, call.now_s)


def _list_refunds(call: Call) -> Json:
    things = _table(call, "refund")
    charge_id = call.params.get("charge")
    if "payment_intent" in call.params:
        intent = call.state.find("payment_intent", call.params["payment_intent"], "payment_intent")
        charge_id = charge_id or intent["latest_charge"] or ""
    if charge_id is not None:
        refund_ids = reversed(call.state.refunds_of_charge.get(charge_id, []))
        things = [call.state.tables["refund"][refund_id] for refund_id in refund_ids]
    return paged(_matching(things, call.params, "payment_intent"), call.params, call.path)


def _list_events(call: Call) -> Json:
    patterns = [call.params["type"]] if "type" in call.params else call.params.get("types")
    things = _table(call, "event")
    if patterns is not None:
        chosen = patterns
        things = (
            event for event in things if any(fnmatch.fnmatchcase(event["type"], wanted) for wanted in chosen)
        )
    delivered = call.params.get("delivery_success")
    if delivered is not None:
        # An event that no endpoint was asked to take is not among the undelivered ones.
        things = (event for event in things if (event["pending_webhooks"] == 0) == delivered)
    return paged(things, call.params, call.path)


def _list_entries(call: Call) -> Json:
    things = _matching(_table(call, "balance_transaction"), call.params, "currency", "source", "type")
    payout_id = call.params.get("payout")
    if payout_id is not None:
        payout = call.state.find("payout", payout_id, "payout")
        paid_in = call.state.payout_of_entry
        things = (entry for entry in things if paid_in.get(entry["id"]) == payout["id"])
    return paged(things, call.params, call.path)


def _balance(call: Call) -> Json:
    shown = {
        status: [
            {"amount": amount, "currency": code, "source_types": {"card": amount}} for code, amount in sums.items()
        ]
        for status, sums in balance.totals(call.state).items()
    }
    return {"object": "balance", "livemode": False, **shown}


def _account(call: Call) -> Json:
    return {
        "id": "acct_1SandboxOfArcade",
        "object": "account",
        "business_profile": {"name": "Arcade sandbox", "support_email": None, "url": None},
        "capabilities": dict.fromkeys(
            ("card_payments", "fpx_payments", "grabpay_payments", "link_payments"), "active"
        ),
        "charges_enabled": True,
        "country": "MY",
        "default_currency": "myr",
        "details_submitted": True,
        "email": "operator@example.com",
        "payouts_enabled": True,
        "settings": {"dashboard": {"display_name": "Arcade sandbox", "timezone": "Asia/Kuala_Lumpur"}},
        "type": "standard",
    }


def _seeded(make: Callable[[StripeState, Json, int], Json]) -> Callable[[Call], Json]:
    return lambda call: make(call.state, call.params, call.now_s)


def _updated(change: Callable[[StripeState, str, Json, int], Json]) -> Callable[[Call], Json]:
    return lambda call: change(call.state, call.object_id, call.params, call.now_s)


_SESSIONS = "/v1/checkout/sessions"
_INTENTS = "/v1/payment_intents"
_ENTRIES = "/v1/balance_transactions"

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", _SESSIONS, schemas.SESSION_CREATE, _create_session),
    Endpoint("GET", _SESSIONS, schemas.SESSION_LIST, _list_sessions),
    Endpoint("GET", f"{_SESSIONS}/<object_id>", schemas.RETRIEVE, _retrieve("checkout.session", "session")),
    Endpoint("GET", f"{_SESSIONS}/<object_id>/line_items", schemas.PAGE_ONLY, _list_line_items),
    Endpoint("POST", f"{_SESSIONS}/<object_id>/expire", schemas.RETRIEVE, _expire_session),
    Endpoint("POST", "/v1/products", schemas.PRODUCT_CREATE, _seeded(create_product)),
    Endpoint("GET", "/v1/products", schemas.PAGE_ONLY, _list("product")),
    Endpoint("GET", "/v1/products/<object_id>", schemas.RETRIEVE, _retrieve("product", "id")),
    Endpoint("POST", "/v1/prices", schemas.PRICE_CREATE, _seeded(create_price)),
    Endpoint("GET", "/v1/prices", schemas.PRICE_LIST, _list_prices),
    Endpoint("GET", "/v1/prices/<object_id>", schemas.RETRIEVE, _retrieve("price", "price")),
    Endpoint("POST", "/v1/prices/<object_id>", schemas.PRICE_UPDATE, _updated(update_price)),
    Endpoint("POST", "/v1/payment_links", schemas.LINK_CREATE, _seeded(create_link)),
    Endpoint("GET", "/v1/payment_links", schemas.LINK_LIST, _list("payment_link", "active")),
    Endpoint("GET", "/v1/payment_links/<object_id>", schemas.RETRIEVE, _retrieve("payment_link", "payment_link")),
    Endpoint("POST", "/v1/payment_links/<object_id>", schemas.LINK_UPDATE, _updated(update_link)),
    Endpoint("GET", _INTENTS, schemas.INTENT_LIST, _list("payment_intent", "customer")),
    Endpoint("GET", f"{_INTENTS}/<object_id>", schemas.RETRIEVE, _retrieve("payment_intent", "intent")),
    Endpoint("POST", f"{_INTENTS}/<object_id>/capture", schemas.CAPTURE, _capture),
    Endpoint("POST", f"{_INTENTS}/<object_id>/cancel", schemas.CANCEL, _cancel),
    Endpoint("GET", "/v1/charges", schemas.CHARGE_LIST, _list("charge", "payment_intent")),
    Endpoint("GET", "/v1/charges/<object_id>", schemas.RETRIEVE, _retrieve("charge", "charge")),
    Endpoint("POST", "/v1/refunds", schemas.REFUND_CREATE, _create_refund),
    Endpoint("GET", "/v1/refunds", schemas.REFUND_LIST, _list_refunds),
    Endpoint("GET", "/v1/refunds/<object_id>", schemas.RETRIEVE, _retrieve("refund", "refund")),
    Endpoint("GET", "/v1/disputes", schemas.DISPUTE_LIST, _list("dispute", "payment_intent", "charge")),
    Endpoint("GET", "/v1/disputes/<object_id>", schemas.RETRIEVE, _retrieve("dispute", "dispute")),
    Endpoint("GET", "/v1/events", schemas.EVENT_LIST, _list_events),
    Endpoint("GET", "/v1/events/<object_id>", schemas.RETRIEVE, _retrieve("event", "id")),
    Endpoint("GET", "/v1/balance", schemas.RETRIEVE, _balance),
    Endpoint("GET", _ENTRIES, schemas.BALANCE_LIST, _list_entries),
    Endpoint("GET", f"{_ENTRIES}/<object_id>", schemas.RETRIEVE, _retrieve("balance_transaction", "id")),
    Endpoint("GET", "/v1/payouts", schemas.PAYOUT_LIST, _list("payout", "status")),
    Endpoint("GET", "/v1/payouts/<object_id>", schemas.RETRIEVE, _retrieve("payout", "payout")),
    Endpoint("GET", "/v1/account", schemas.RETRIEVE, _account),
)
