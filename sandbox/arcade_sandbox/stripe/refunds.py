"""Refunds, disputes and the final count of the stand-in for Stripe: what the operator keeps of each payment."""

from typing import Any, Literal

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe import balance
from arcade_sandbox.stripe import payment_objects as shapes
from arcade_sandbox.stripe.currencies import check_step, money_text
from arcade_sandbox.stripe.errors import StripeRefusal
from arcade_sandbox.stripe.state import StripeState

Json = dict[str, Any]

# Card refunds are done when they are made; those through a bank take days and may fail.
_REFUNDED_AT_ONCE = frozenset({"card", "link"})
_COUNTED = frozenset({"succeeded", "pending", "requires_action"})
_DISPUTE_UNDECIDED = frozenset({"needs_response", "under_review"})


def money_returned(state: StripeState, charge: Json) -> int:
    """What has been given back, or is on its way, of money that had been taken."""
    return sum(refund["amount"] for refund in state.refunds_on(charge) if refund["status"] in _COUNTED)


def money_lost(state: StripeState, charge: Json) -> int:
    """What the bank took back for good. A dispute may be about a part of the charge, and there may be several."""
    return sum(dispute["amount"] for dispute in state.disputes_on(charge) if dispute["status"] == "lost")


def _is_disputed(state: StripeState, charge: Json) -> bool:
    return any(dispute["status"] in _DISPUTE_UNDECIDED for dispute in state.disputes_on(charge))


def create_refund(state: StripeState, params: Json, now_s: int) -> Json:
    """Give back all or a part of a captured charge (`REFUND_CREATE`).

    Raises:
        StripeRefusal: The payment is not on record, not captured or disputed, or less than the amount is left.
    """
    charge = _charge_to_refund(state, params)
    lost = money_lost(state, charge)
    left = charge["amount_captured"] - money_returned(state, charge) - lost
    if _is_disputed(state, charge) or (lost and left <= 0):
        raise StripeRefusal(
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
            stored=True,
        )
    if left <= 0:
        raise StripeRefusal(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded", stored=True
        )
    amount = params.get("amount", left)
    check_step(amount, charge["currency"], "amount")
    if amount > left:
        # Stripe gives this refusal no code.
        raise StripeRefusal(
            f"Refund amount ({money_text(amount, charge['currency'])}) is greater than unrefunded amount "
            f"on charge ({money_text(left, charge['currency'])})",
            param="amount",
            stored=True,
        )
    at_once = charge["payment_method_details"]["type"] in _REFUNDED_AT_ONCE
    refund = shapes.refund(state.new_id("refund"), now_s, charge, amount, "succeeded" if at_once else "pending")
    if not at_once:
        refund["pending_reason"] = "processing"
    refund["reason"] = params.get("reason")
    refund["metadata"] = params.get("metadata", {})
    state.put("refund", refund)
    balance.refunded(state, refund, at_once, now_s)
    state.refunds_of_charge.setdefault(charge["id"], []).append(refund["id"])
    charge["amount_refunded"] += amount
    charge["refunded"] = amount == left
    state.emit("refund.created", refund, now_s)
    state.emit("charge.refunded", charge, now_s)
    return refund


def _charge_to_refund(state: StripeState, params: Json) -> Json:
    if "payment_intent" in params:
        intent = state.find("payment_intent", params["payment_intent"], "payment_intent")
    elif "charge" in params:
        intent = state.tables["payment_intent"][state.find("charge", params["charge"], "charge")["payment_intent"]]
    else:
        raise StripeRefusal(
            "One of the following params should be provided for this request: payment_intent or charge."
        )
    charge = state.charge_of(intent)
    if charge is None or charge["status"] != "succeeded" or intent["status"] == "canceled":
        raise StripeRefusal(
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.", stored=True
        )
    if params.get("charge", charge["id"]) != charge["id"]:
        raise StripeRefusal(
            f"Charge {params['charge'][:80]} does not belong to PaymentIntent {intent['id']}.", param="charge"
        )
    if not charge["captured"]:
        raise StripeRefusal(
            f"This uncaptured Charge was created by a PaymentIntent ({charge['payment_intent']}). You must cancel "
            "the PaymentIntent to reverse the authorization instead of refunding the Charge directly. For more "
            "information, see https://stripe.com/docs/payments/place-a-hold-on-a-payment-method",
            stored=True,
        )
    return charge


def finish_refund(
    state: StripeState, refund_id: str, outcome: Literal["succeeded", "failed"], failure_reason: str, now_s: int
) -> Json:
    """The bank's word on a refund: a pending one succeeds or fails; one that had succeeded may still fail."""
    refund = state.known("refund", refund_id)
    possible = {"pending": ("succeeded", "failed"), "succeeded": ("failed",)}.get(refund["status"], ())
    if outcome not in possible:
        raise SandboxMisuse(f"the refund is {refund['status']} and cannot become {outcome}")
    refund["status"] = outcome
    refund.pop("pending_reason", None)
    charge = state.tables["charge"][refund["charge"]]
    if outcome == "failed":
        refund["failure_reason"] = failure_reason
        charge["amount_refunded"] -= refund["amount"]
        charge["refunded"] = False
        balance.refund_failed(state, refund, now_s)
        state.emit("refund.failed", refund, now_s)
    state.emit("refund.updated", refund, now_s)
    state.emit("charge.refund.updated", refund, now_s)
    return refund


def open_dispute(state: StripeState, intent_id: str, amount: int | None, reason: str, now_s: int) -> Json:
    """The cardholder disputes a captured charge.

    Raises:
        SandboxMisuse: The payment intent is not on record, nothing was captured, the charge is disputed
            already, or the amount is out of range.
    """
    intent = state.known("payment_intent", intent_id)
    charge = state.charge_of(intent)
    if charge is None or not charge["captured"]:
        raise SandboxMisuse(f"the payment intent is {intent['status']}: nothing has been captured to dispute")
    if _is_disputed(state, charge):
        raise SandboxMisuse("the charge is disputed already")
    most = charge["amount_captured"] - money_lost(state, charge)
    disputed = most if amount is None else amount
    if not 0 < disputed <= most:
        raise SandboxMisuse(f"the disputed amount must be 1 to {most}")
    dispute = shapes.dispute(state.new_id("dispute"), now_s, charge, disputed, reason)
    state.put("dispute", dispute)
    balance.disputed(state, dispute, now_s)
    state.disputes_of_charge.setdefault(charge["id"], []).append(dispute["id"])
    charge["disputed"] = True
    state.emit("charge.dispute.created", dispute, now_s)
    state.emit("charge.dispute.funds_withdrawn", dispute, now_s)
    return dispute


def close_dispute(state: StripeState, dispute_id: str, outcome: Literal["won", "lost"], now_s: int) -> Json:
    """The bank decides a dispute. The charge stays marked as disputed, as with Stripe."""
    dispute = state.known("dispute", dispute_id)
    if dispute["status"] not in ("needs_response", "under_review"):
        raise SandboxMisuse(f"the dispute is {dispute['status']} already")
    dispute["status"] = outcome
    dispute["is_charge_refundable"] = outcome == "won"
    if outcome == "won":
        balance.dispute_won(state, dispute, now_s)
        state.emit("charge.dispute.funds_reinstated", dispute, now_s)
    state.emit("charge.dispute.closed", dispute, now_s)
    return dispute


def money(state: StripeState) -> list[Json]:
    """What became of each payment, oldest first, counted from the books and not from any total.

    `captured` is what was taken, `refunded` what was given back of it (with what is on its way: `refund_pending`),
    `kept` the difference; `held` is what could still be captured. Disputes are told apart and not subtracted;
    `lost` is the sum of those that were lost.
    """
    return [_money_of(state, intent) for intent in state.tables["payment_intent"].values()]


def _money_of(state: StripeState, intent: Json) -> Json:
    charge = state.charge_of(intent)
    session = state.session_for(intent["id"])
    captured = 0 if charge is None else charge["amount_captured"]
    refunded = 0 if charge is None else money_returned(state, charge)
    pending = 0
    disputes: list[str] = []
    if charge is not None:
        pending = sum(refund["amount"] for refund in state.refunds_on(charge) if refund["status"] == "pending")
        disputes = [dispute["status"] for dispute in state.disputes_on(charge)]
    return {
        "id": intent["id"],
        "session": None if session is None else session["id"],
        "metadata": {**({} if session is None else session["metadata"]), **intent["metadata"]},
        "client_reference_id": None if session is None else session["client_reference_id"],
        "currency": intent["currency"],
        "amount": intent["amount"],
        "status": intent["status"],
        "method": None if charge is None else charge["payment_method_details"]["type"],
        "held": intent["amount_capturable"],
        "captured": captured,
        "refunded": refunded,
        "refund_pending": pending,
        "kept": captured - refunded,
        "disputes": disputes,
        "lost": 0 if charge is None else money_lost(state, charge),
    }
