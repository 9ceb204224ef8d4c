"""How money moves in the stand-in for Stripe: paying a session, holds, captures, and what time does to them.

Every function changes the state and records the events that Stripe would send, in Stripe's order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe import balance
from arcade_sandbox.stripe import payment_objects as shapes
from arcade_sandbox.stripe.checkout import close_session
from arcade_sandbox.stripe.currencies import check_step, money_text, smallest_charge
from arcade_sandbox.stripe.errors import StripeRefusal, unexpected_state
from arcade_sandbox.stripe.state import StripeState, random_letters

Json = dict[str, Any]

# Button on the hosted page → the kind of payment method, as Stripe names it.
METHOD_TYPES: dict[str, str] = {
    "card": "card",
    "card_declined": "card",
    "link": "link",
    "fpx": "fpx",
    "fpx_later": "fpx",
    "grabpay": "grabpay",
}
_CANCELLABLE = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")


@dataclass(frozen=True)
class Paid:
    """What came of a press on one of the hosted page's buttons."""

    session_id: str
    payment_intent: str
    declined: bool
    # The event for whose answer the page waits before it sends the customer on; None after a decline.
    completed_event: str | None


def pay_session(state: StripeState, session_id: str, method: str, now_s: int) -> Paid:
    """Pay an open session with one of `METHOD_TYPES`.

    Raises:
        SandboxMisuse: The session is not on record or not open, or its page has no such button.
    """
    session = state.known("checkout.session", session_id)
    if session["status"] != "open":
        raise SandboxMisuse(f"the session is {session['status']}: nobody can pay it any more")
    if method not in METHOD_TYPES:
        raise SandboxMisuse(f"unknown method {method[:40]!r}: choose one of {', '.join(METHOD_TYPES)}")
    method_type = METHOD_TYPES[method]
    plan = state.plans[session_id]
    if method_type not in plan.methods:
        raise SandboxMisuse(f"this session does not take {method_type}: it takes {', '.join(plan.methods)}")
    intent = _intent_of(state, session, now_s)
    held = method_type in plan.held
    charge = _new_charge(state, intent, method_type, held, now_s)
    if method == "card_declined":
        _fail(state, intent, charge, "card_declined", "Your card was declined.", now_s)
        return Paid(session_id, intent["id"], declined=True, completed_event=None)
    if method == "fpx_later":
        intent["status"] = "processing"
        state.emit("payment_intent.processing", intent, now_s)
        state.emit("charge.pending", charge, now_s)
    elif held:
        _hold(state, intent, charge, now_s)
    else:
        _take(state, intent, charge, now_s)
        state.emit("payment_intent.succeeded", intent, now_s)
        state.emit("charge.succeeded", charge, now_s)
    session["status"] = "complete"
    session["url"] = None
    session["customer_details"] = {
        **dict.fromkeys(("address", "business_name", "individual_name", "phone")),
        "email": session["customer_email"] or "player@example.com",
        "name": "A Player",
        "tax_exempt": "none",
        "tax_ids": [],
    }
    if intent["status"] == "succeeded":
        session["payment_status"] = "paid"
    elif held:
        session["payment_status"] = state.rules.held_payment_status
    event_id = state.emit("checkout.session.completed", session, now_s)
    return Paid(session_id, intent["id"], declined=False, completed_event=event_id)


def _intent_of(state: StripeState, session: Json, now_s: int) -> Json:
    if session["payment_intent"] is not None:
        return state.tables["payment_intent"][session["payment_intent"]]
    plan = state.plans[session["id"]]
    intent = shapes.payment_intent(
        state.new_id("payment_intent"),
        now_s,
        amount=session["amount_total"],
        currency=session["currency"],
        secret=random_letters(25),
    )
    intent["metadata"] = dict(plan.intent_metadata)
    intent["description"] = plan.description
    intent["statement_descriptor_suffix"] = plan.statement_suffix
    intent["capture_method"] = plan.capture_method
    intent["payment_method_types"] = list(plan.methods)
    intent["payment_method_options"] = plan.method_options
    state.put("payment_intent", intent)
    session["payment_intent"] = intent["id"]
    state.session_of_intent[intent["id"]] = session["id"]
    state.emit("payment_intent.created", intent, now_s)
    return intent


def _new_charge(state: StripeState, intent: Json, method_type: str, held: bool, now_s: int) -> Json:
    hold_until = now_s + shapes.HOLD_LIFE_S if held else None
    details = shapes.method_details(method_type, intent["amount"], hold_until, random_letters(15).upper())
    if method_type == "card":
        details["card"]["last4"] = state.rules.card_last4
    charge = shapes.charge(state.new_id("charge"), now_s, intent, details, state.new_id("payment_method"))
    suffix, prefix = intent["statement_descriptor_suffix"], state.rules.statement_prefix
    charge["statement_descriptor_suffix"] = suffix
    charge["calculated_statement_descriptor"] = (
        f"{prefix}* {suffix}" if suffix and method_type == "card" else prefix
    )
    state.put("charge", charge)
    intent["latest_charge"] = charge["id"]
    intent["payment_method"] = charge["payment_method"]
    intent["last_payment_error"] = None
    return charge


def _hold(state: StripeState, intent: Json, charge: Json, now_s: int) -> None:
    intent["status"] = "requires_capture"
    intent["amount_capturable"] = intent["amount"]
    charge["status"] = "succeeded"
    charge["paid"] = True
    state.wake_at(now_s + shapes.HOLD_LIFE_S, "hold", intent["id"])
    state.emit("charge.succeeded", charge, now_s)
    state.emit("payment_intent.amount_capturable_updated", intent, now_s)


def _take(state: StripeState, intent: Json, charge: Json, now_s: int) -> None:
    intent["status"] = "succeeded"
    intent["amount_received"] = intent["amount"]
    charge["status"] = "succeeded"
    charge["paid"] = True
    charge["captured"] = True
    charge["amount_captured"] = charge["amount"]
    balance.taken(state, charge, now_s)


def _fail(state: StripeState, intent: Json, charge: Json, code: str, message: str, now_s: int) -> None:
    charge["status"] = "failed"
    charge["failure_code"] = code
    charge["failure_message"] = message
    charge["outcome"] |= {
        "network_status": "declined_by_network",
        "reason": "generic_decline",
        "type": "issuer_declined",
    }
    charge["outcome"]["seller_message"] = "The bank did not return any further details with this decline."
    intent["status"] = "requires_payment_method"
    intent["payment_method"] = None
    intent["last_payment_error"] = {
        "charge": charge["id"],
        "code": code,
        "decline_code": "generic_decline",
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        "message": message,
        "type": "card_error",
    }
    state.emit("charge.failed", charge, now_s)
    state.emit("payment_intent.payment_failed", intent, now_s)


def settle_async(state: StripeState, intent_id: str, succeeds: bool, now_s: int) -> Json:
    """The bank's late word on a payment that is `processing`.

    Raises:
        SandboxMisuse: The payment intent is not on record, or not `processing`.
    """
    intent = state.known("payment_intent", intent_id)
    charge = state.charge_of(intent)
    session = state.session_for(intent_id)
    if intent["status"] != "processing" or charge is None or session is None:
        raise SandboxMisuse(
            f"the payment intent is {intent['status']}, not processing: there is nothing to settle"
        )
    if succeeds:
        _take(state, intent, charge, now_s)
        session["payment_status"] = "paid"
        state.emit("charge.succeeded", charge, now_s)
        state.emit("payment_intent.succeeded", intent, now_s)
        state.emit("checkout.session.async_payment_succeeded", session, now_s)
    else:
        _fail(state, intent, charge, "payment_intent_payment_attempt_failed", "The payment failed.", now_s)
        state.emit("checkout.session.async_payment_failed", session, now_s)
    return intent


def capture_intent(
    state: StripeState, intent_id: str, amount: int | None, now_s: int, metadata: Mapping[str, str] | None = None
) -> Json:
    """Capture a hold, in full or in part; the rest is released and cannot be captured later.

    A part must not be less than the smallest charge: Stripe has said so of cards read by a terminal, and does not
    say that online ones differ.

    Since API version 2025-03-31 neither this nor a cancellation shows as a refund: the charge keeps its `amount`.
    """
    intent = state.find("payment_intent", intent_id, "intent")
    if intent["status"] == "succeeded":
        raise unexpected_state(
            "This PaymentIntent could not be captured because it has already been captured.", intent
        )
    charge = state.charge_of(intent)
    if intent["status"] != "requires_capture" or charge is None:
        raise unexpected_state(
            f"This PaymentIntent could not be captured because it has a status of {intent['status']}. Only a "
            "PaymentIntent with one of the following statuses may be captured: requires_capture.",
            intent,
        )
    capturable = intent["amount_capturable"]
    taken = capturable if amount is None else amount
    if taken > capturable:
        raise StripeRefusal(
            "The payment could not be captured because the requested capture amount is greater than the amount "
            "you can capture for this charge.",
            code="amount_too_large",
            param="amount_to_capture",
            stored=True,
        )
    currency = intent["currency"]
    check_step(taken, currency, "amount_to_capture")
    if taken < capturable and state.rules.refuse_partial_capture:
        # As with other refusals of one parameter's value, there is no code: the parameter is named.
        raise StripeRefusal(
            "This payment does not support partial capture: `amount_to_capture` must equal the amount capturable.",
            param="amount_to_capture",
            stored=True,
        )
    if taken < smallest_charge(currency) and state.rules.enforce_smallest_charge:
        raise StripeRefusal(
            f"Amount must be at least {money_text(smallest_charge(currency), currency)} {currency}",
            code="amount_too_small",
            param="amount_to_capture",
            stored=True,
        )
    intent["status"] = "succeeded"
    intent["amount_capturable"] = 0
    intent["amount_received"] = taken
    intent["metadata"] = {**intent["metadata"], **(metadata or {})}
    charge["captured"] = True
    charge["amount_captured"] = taken
    session = state.session_for(intent_id)
    if session is not None:
        session["payment_status"] = "paid"
    balance.taken(state, charge, now_s)
    state.emit("charge.captured", charge, now_s)
    state.emit("payment_intent.succeeded", intent, now_s)
    return intent


def cancel_intent(state: StripeState, intent_id: str, reason: str | None, now_s: int) -> Json:
    """Cancel an intent that has not succeeded; a hold is released at once."""
    intent = state.find("payment_intent", intent_id, "intent")
    if intent["status"] not in _CANCELLABLE:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a "
            f"PaymentIntent with one of the following statuses may be canceled: {', '.join(_CANCELLABLE)}.",
            intent,
        )
    session = state.session_for(intent_id)
    if session is not None and session["status"] == "open":
        raise unexpected_state(
            "You cannot cancel the PaymentIntent for a Checkout Session. Expire the Checkout Session instead.",
            intent,
        )
    _end(state, intent, reason, now_s)
    return intent


def expire_hold(state: StripeState, intent_id: str, now_s: int) -> Json:
    """The card's bank lets an uncaptured hold go.

    Raises:
        SandboxMisuse: The payment intent is not on record, or holds nothing.
    """
    intent = state.known("payment_intent", intent_id)
    charge = state.charge_of(intent)
    if intent["status"] != "requires_capture" or charge is None:
        raise SandboxMisuse(f"the payment intent is {intent['status']}: it holds nothing")
    state.emit("charge.expired", charge, now_s)
    _end(state, intent, "expired", now_s)
    return intent


def _end(state: StripeState, intent: Json, reason: str | None, now_s: int) -> None:
    intent["status"] = "canceled"
    intent["canceled_at"] = now_s
    intent["cancellation_reason"] = reason
    intent["amount_capturable"] = 0
    state.emit("payment_intent.canceled", intent, now_s)


def let_time_pass(state: StripeState, now_s: int) -> None:
    """Carry out what has become due: sessions expire, holds lapse, money shows in the balance and leaves it."""
    for due_s, what, object_id in state.take_due(now_s):
        match what:
            case "session":
                session = state.tables["checkout.session"][object_id]
                if session["status"] == "open":
                    close_session(state, session, now_s)
            case "hold":
                if state.tables["payment_intent"][object_id]["status"] == "requires_capture":
                    expire_hold(state, object_id, now_s)
            case balance.CHARGED:
                balance.charged(state, object_id, due_s)
            case balance.AVAILABLE:
                balance.available(state, object_id)
            case balance.ARRIVED:
                balance.arrived(state, object_id, now_s)
