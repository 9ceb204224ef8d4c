"""The shapes of Stripe's objects about money: intents, charges, refunds, disputes. Pure, as `objects` is."""

from typing import Any

Json = dict[str, Any]

# A card's authorization online lasts seven days (docs.stripe.com/payments/place-a-hold-on-a-payment-method).
HOLD_LIFE_S = 7 * 86_400


def payment_intent(object_id: str, now_s: int, *, amount: int, currency: str, secret: str) -> Json:
    """An intent that nobody has paid yet."""
    return {
        "id": object_id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{object_id}_secret_{secret}",
        "confirmation_method": "automatic",
        "created": now_s,
        "currency": currency,
        "customer": None,
        "customer_account": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": [],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def charge(object_id: str, now_s: int, intent: Json, method_details: Json, payment_method: str) -> Json:
    """A pending charge of the whole intent; the caller turns it into captured, held or failed."""
    return {
        "id": object_id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None,
        "billing_details": {
            "address": {
                "city": None,
                "country": "MY",
                "line1": None,
                "line2": None,
                "postal_code": None,
                "state": None,
            },
            "email": "player@example.com",
            "name": "A Player",
            "phone": None,
            "tax_id": None,
        },
        "calculated_statement_descriptor": "ARCADE",
        "captured": False,
        "created": now_s,
        "currency": intent["currency"],
        "customer": None,
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": dict(intent["metadata"]),
        "on_behalf_of": None,
        "outcome": {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": 12,
            "seller_message": "Payment complete.",
            "type": "authorized",
        },
        "paid": False,
        "payment_intent": intent["id"],
        "payment_method": payment_method,
        "payment_method_details": method_details,
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "pending",
        "transfer_data": None,
        "transfer_group": None,
    }


def method_details(method_type: str, amount: int, hold_until: int | None, reference: str) -> Json:
    """`payment_method_details`. Of the methods that can be held, only a card's tells `capture_before`."""
    match method_type:
        case "card":
            return {"type": "card", "card": _card_details(amount, hold_until, reference)}
        case "link":
            return {"type": "link", "link": {"country": "MY"}}
        case "fpx":
            return {
                "type": "fpx",
                "fpx": {"account_holder_type": "individual", "bank": "maybank2u", "transaction_id": reference},
            }
        case _:
            return {"type": method_type, method_type: {"transaction_id": reference}}


def _card_details(amount: int, hold_until: int | None, reference: str) -> Json:
    card: Json = {
        "amount_authorized": amount,
        "authorization_code": None,
        "brand": "visa",
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
        "country": "MY",
        "exp_month": 12,
        "exp_year": 2034,
        "extended_authorization": {"status": "disabled"},
        "fingerprint": "sandboxfinger01",
        "funding": "credit",
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": "4242",
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": "visa",
        "network_token": {"used": False},
        "network_transaction_id": reference,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": "unregulated",
        "three_d_secure": None,
        "wallet": None,
    }
    if hold_until is not None:
        card["capture_before"] = hold_until
    return card


def refund(object_id: str, now_s: int, charge_object: Json, amount: int, status: str) -> Json:
    """A refund of `amount` of the charge."""
    method_type = charge_object["payment_method_details"]["type"]
    destination: Json = {"type": method_type}
    if method_type == "card":
        destination["card"] = {
            "reference_status": "pending",
            "reference_type": "acquirer_reference_number",
            "type": "refund",
        }
    return {
        "id": object_id,
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge_object["id"],
        "created": now_s,
        "currency": charge_object["currency"],
        "destination_details": destination,
        "metadata": {},
        "payment_intent": charge_object["payment_intent"],
        "reason": None,
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }


def dispute(object_id: str, now_s: int, charge_object: Json, amount: int, reason: str) -> Json:
    """A dispute that waits for the operator's answer."""
    return {
        "id": object_id,
        "object": "dispute",
        "amount": amount,
        "balance_transactions": [],
        "charge": charge_object["id"],
        "created": now_s,
        "currency": charge_object["currency"],
        "enhanced_eligibility_types": [],
        "evidence": {},
        "evidence_details": {
            "due_by": now_s + 7 * 86_400,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "payment_intent": charge_object["payment_intent"],
        "reason": reason,
        "status": "needs_response",
    }
