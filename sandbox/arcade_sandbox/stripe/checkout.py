"""Checkout Sessions of the stand-in for Stripe: made by the API or by a visit to a payment link; expired."""

import re
from typing import Any

from arcade_sandbox.stripe import objects as shapes
from arcade_sandbox.stripe.catalogue import purchase_lines
from arcade_sandbox.stripe.currencies import money_text, smallest_charge
from arcade_sandbox.stripe.errors import StripeRefusal, missing_parameter
from arcade_sandbox.stripe.state import SessionPlan, StripeState, random_letters

Json = dict[str, Any]

# docs.stripe.com/api/checkout/sessions/create: expires_at is 30 minutes to 24 hours after creation.
SHORTEST_LIFE_S = 30 * 60
LONGEST_LIFE_S = 24 * 3600

# The methods that the hosted page offers, and the currencies in which Stripe takes them (None: all).
PAGE_METHODS: dict[str, frozenset[str] | None] = {
    "card": None,
    "link": None,
    "fpx": frozenset({"myr"}),
    "grabpay": frozenset({"myr", "sgd"}),
}
# Those that Stripe can hold before it captures.
HOLDABLE = frozenset({"card", "link"})

# Prefix, `* ` and suffix together.
MOST_ON_STATEMENTS = 22

_SESSION_IN_URL = "{CHECKOUT_SESSION_ID}"


def create_session(state: StripeState, params: Json, now_s: int) -> Json:
    """A session of mode `payment` for the hosted page (`SESSION_CREATE`).

    Raises:
        StripeRefusal: A parameter is missing, wrong or not supported here, or the total is too small or too large.
    """
    if params["mode"] != "payment":
        raise StripeRefusal("This sandbox serves Checkout Sessions of mode `payment` only.", param="mode")
    if params.get("ui_mode", "hosted_page") != "hosted_page":
        raise StripeRefusal(
            "This sandbox serves hosted Checkout pages only: `ui_mode=hosted_page`.", param="ui_mode"
        )
    if "success_url" not in params:
        raise missing_parameter("success_url")
    if "return_url" in params:
        raise StripeRefusal("`return_url` cannot be used when `ui_mode` is `hosted_page`.", param="return_url")
    expires_at = _life(params.get("expires_at"), now_s)
    lines = purchase_lines(state, params.get("line_items"), now_s)
    return _make(state, params, lines, expires_at, now_s)


def session_from_link(state: StripeState, link: Json, client_reference_id: str | None, now_s: int) -> Json:
    """The session of one visit to an active payment link: the link's metadata are copied to it.

    A `client_reference_id` that Stripe would not take from an address is dropped without a word, as Stripe does.
    """
    params: Json = {"mode": "payment", "metadata": dict(link["metadata"])}
    for name in ("payment_intent_data", "payment_method_types", "payment_method_options"):
        if link[name] is not None:
            params[name] = link[name]
    lines = [{**line, "id": state.new_id("item")} for line in state.line_items[link["id"]]]
    if client_reference_id is not None and re.fullmatch(r"[A-Za-z0-9_-]{1,200}", client_reference_id):
        params["client_reference_id"] = client_reference_id
    redirect = link["after_completion"].get("redirect")
    if redirect is not None:
        params["success_url"] = redirect["url"]
    session = _make(state, params, lines, now_s + LONGEST_LIFE_S, now_s)
    session["payment_link"] = link["id"]
    return session


def _make(state: StripeState, params: Json, lines: list[Json], expires_at: int, now_s: int) -> Json:
    currency = lines[0]["currency"]
    total = sum(line["amount_total"] for line in lines)
    _check_total(state, total, currency)
    plan = _plan(state, params, currency)
    session_id = state.new_id("checkout.session")
    # What follows the hash sign means nothing; Stripe's addresses have about 470 characters, and so have these.
    url = f"{state.base_url}/c/pay/{session_id}#fidkdWxOYHwn{random_letters(340)}"
    session = shapes.checkout_session(
        session_id, now_s, total=total, currency=currency, expires_at=expires_at, url=url
    )
    session["metadata"] = params.get("metadata", {})
    session["payment_method_types"] = list(plan.methods)
    session["payment_method_options"] = plan.method_options
    if "adaptive_pricing" in params:
        session["adaptive_pricing"] = {"enabled": params["adaptive_pricing"].get("enabled", False)}
    for name in ("success_url", "cancel_url", "client_reference_id", "locale", "submit_type", "customer_email"):
        session[name] = params.get(name)
    for name, text in params.get("custom_text", {}).items():
        session["custom_text"][name] = text
    state.line_items[session_id] = lines
    state.plans[session_id] = plan
    state.put("checkout.session", session)
    state.wake_at(expires_at, "session", session_id)
    return session


def _life(expires_at: int | None, now_s: int) -> int:
    if expires_at is None:
        return now_s + LONGEST_LIFE_S
    if expires_at < now_s + SHORTEST_LIFE_S:
        raise StripeRefusal(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."
        )
    if expires_at > now_s + LONGEST_LIFE_S:
        raise StripeRefusal(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation."
        )
    return expires_at


def _check_total(state: StripeState, total: int, currency: str) -> None:
    if total > 99_999_999:
        raise StripeRefusal(
            "The Checkout Session's total amount due must be no more than "
            f"{money_text(99_999_999, currency)} {currency}",
            code="amount_too_large",
        )
    smallest = smallest_charge(currency) if state.rules.enforce_smallest_charge else 1
    if total < smallest:
        raise StripeRefusal(
            "The Checkout Session's total amount due must add up to at least "
            f"{money_text(smallest, currency)} {currency}",
            code="amount_too_small",
        )


def _plan(state: StripeState, params: Json, currency: str) -> SessionPlan:
    intent_data = params.get("payment_intent_data", {})
    capture_method = intent_data.get("capture_method", "automatic_async")
    options = params.get("payment_method_options", {})
    methods = _methods(params, currency, hold_all=capture_method == "manual")
    _check_statement(state, intent_data, methods)
    held = {name for name in HOLDABLE if capture_method == "manual" or "capture_method" in options.get(name, {})}
    shown: Json = {"card": {"request_three_d_secure": "automatic"}} if "card" in methods else {}
    for name, chosen in options.items():
        if isinstance(chosen, dict):
            shown[name] = {**shown.get(name, {}), **chosen}
    return SessionPlan(
        methods=methods,
        held=frozenset(held),
        capture_method=capture_method,
        intent_metadata=intent_data.get("metadata", {}),
        description=intent_data.get("description"),
        method_options=shown,
        statement_suffix=intent_data.get("statement_descriptor_suffix"),
    )


def _check_statement(state: StripeState, intent_data: Json, methods: tuple[str, ...]) -> None:
    """Refuse what cannot stand on a statement (docs.stripe.com/get-started/account/statement-descriptors).

    Stripe says what it wants, and not in which words it refuses.
    """
    if "statement_descriptor" in intent_data and "card" in methods:
        raise StripeRefusal(
            "The `statement_descriptor` parameter cannot be used with card payments: use "
            "`statement_descriptor_suffix`.",
            param="payment_intent_data[statement_descriptor]",
        )
    suffix = intent_data.get("statement_descriptor_suffix")
    if suffix is None:
        return
    whole = f"{state.rules.statement_prefix}* {suffix}"
    fits = suffix.isascii() and suffix.isprintable() and len(whole) <= MOST_ON_STATEMENTS
    if not fits or re.search(r"[A-Za-z]", suffix) is None or re.search(r"[<>\\'\"*]", suffix):
        raise StripeRefusal(
            "The statement descriptor suffix must have a letter, no special characters, and with the account's "
            f"prefix at most {MOST_ON_STATEMENTS} characters.",
            param="payment_intent_data[statement_descriptor_suffix]",
        )


def _methods(params: Json, currency: str, *, hold_all: bool) -> tuple[str, ...]:
    """What the page offers: the methods that fit, less what the session leaves out.

    Stripe's own rule: a list that a payment link gives is taken as it is, and refused where it does not fit, while
    a session's list of allowed ones only filters.
    """
    if "allowed_payment_method_types" in params and "excluded_payment_method_types" in params:
        raise StripeRefusal(
            "You may only specify one of these parameters: allowed_payment_method_types, "
            "excluded_payment_method_types.",
            param="allowed_payment_method_types",
        )
    fitting = [
        name
        for name, currencies in PAGE_METHODS.items()
        if (currencies is None or currency in currencies) and not (hold_all and name not in HOLDABLE)
    ]
    for index, name in enumerate(params.get("payment_method_types", [])):
        if name in PAGE_METHODS and name not in fitting:
            raise StripeRefusal(
                f"The payment method type `{name}` cannot be used here: it does not support the currency "
                f"{currency} or manual capture.",
                param=f"payment_method_types[{index}]",
            )
    wanted: list[str] = params.get("payment_method_types") or params.get("allowed_payment_method_types") or fitting
    excluded = params.get("excluded_payment_method_types", [])
    return tuple(name for name in fitting if name in wanted and name not in excluded)


def expire_session(state: StripeState, session_id: str, now_s: int) -> Json:
    """Expire an open session at once.

    Raises:
        StripeRefusal: The session is not on record, or not open.
    """
    session = state.find("checkout.session", session_id, "session")
    if session["status"] != "open":
        raise StripeRefusal(
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status '
            f"of `{session['status']}`.",
            stored=True,
        )
    close_session(state, session, now_s)
    return session


def close_session(state: StripeState, session: Json, now_s: int) -> None:
    """An open session becomes expired; nobody can pay it any more."""
    session["status"] = "expired"
    session["url"] = None
    state.emit("checkout.session.expired", session, now_s)


def landing_url(session: Json) -> str | None:
    """Where the customer goes after paying; None where the session (of a link) has no such place."""
    url = session["success_url"]
    return None if url is None else str(url).replace(_SESSION_IN_URL, session["id"])
