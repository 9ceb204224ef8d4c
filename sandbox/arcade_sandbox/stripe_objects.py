"""The shapes of Stripe's objects, as the API shows them (version 2026-10-28.endive). Pure: values in, JSON out.

Times are Unix seconds, amounts minor units, as everywhere in Stripe's API.
"""

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

API_VERSION = "2026-10-28.endive"
# A card's authorization online lasts seven days (docs.stripe.com/payments/place-a-hold-on-a-payment-method).
HOLD_LIFE_S = 7 * 86_400

_SYMBOLS = {"myr": "RM", "usd": "$", "eur": "€", "gbp": "£", "sgd": "S$", "jpy": "¥", "thb": "฿", "inr": "₹"}
_WITHOUT_DECIMALS = frozenset({"clp", "jpy", "krw", "vnd"})
# docs.stripe.com/currencies#minimum-and-maximum-charge-amounts; of those not named, 50 minor units are asked.
_SMALLEST = {"myr": 200, "gbp": 30, "hkd": 400, "mxn": 1000, "thb": 1000, "czk": 1500, "dkk": 250, "aed": 200}
_SMALLEST |= {"huf": 17_500, "nok": 300, "pln": 200, "ron": 200, "sek": 300}
_SMALLEST_ELSE = 50


def money_text(amount: int, currency: str) -> str:
    """`RM5.00`: as Stripe writes an amount in its messages."""
    symbol = _SYMBOLS.get(currency, currency.upper() + " ")
    if currency in _WITHOUT_DECIMALS:
        return f"{symbol}{amount}"
    return f"{symbol}{amount // 100}.{amount % 100:02d}"


def smallest_charge(currency: str) -> int:
    """The smallest total that Stripe charges in `currency`, in minor units."""
    return _SMALLEST.get(currency, _SMALLEST_ELSE)


def page(data: Sequence[Json], has_more: bool, url: str) -> Json:
    """A list object."""
    return {"object": "list", "data": list(data), "has_more": has_more, "url": url}


def product(object_id: str, now_s: int, name: str, description: str | None, metadata: Json) -> Json:
    """A product."""
    return {
        "id": object_id,
        "object": "product",
        "active": True,
        "attributes": [],
        "created": now_s,
        "default_price": None,
        "description": description,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": metadata,
        "name": name,
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": None,
        "tax_code": None,
        "type": "service",
        "unit_label": None,
        "updated": now_s,
        "url": None,
    }


def price(object_id: str, now_s: int, product_id: str, unit_amount: int, currency: str) -> Json:
    """An active one-time price."""
    return {
        "id": object_id,
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": now_s,
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": product_id,
        "recurring": None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": unit_amount,
        "unit_amount_decimal": str(unit_amount),
    }


def line_item(object_id: str, price_object: Json, name: str, quantity: int) -> Json:
    """One line of a session or a payment link. The price is embedded, as Stripe does."""
    total = price_object["unit_amount"] * quantity
    return {
        "id": object_id,
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": price_object["currency"],
        "description": name,
        "metadata": {},
        "price": price_object,
        "quantity": quantity,
    }


def checkout_session(object_id: str, now_s: int, *, total: int, currency: str, expires_at: int, url: str) -> Json:
    """An open, unpaid session of mode `payment`; the caller fills in what its parameters set."""
    return {
        "id": object_id,
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": total,
        "amount_total": total,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "branding_settings": None,
        "cancel_url": None,
        "client_reference_id": None,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": now_s,
        "currency": currency,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": None,
        "customer_account": None,
        "customer_creation": "if_required",
        "customer_details": None,
        "customer_email": None,
        "discounts": [],
        "expires_at": expires_at,
        "invoice": None,
        "invoice_creation": {"enabled": False, "invoice_data": None},
        "livemode": False,
        "locale": None,
        "metadata": {},
        "mode": "payment",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": [],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": url,
        "wallet_options": None,
    }


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


def payment_link(object_id: str, url: str, currency: str) -> Json:
    """An active payment link; the caller fills in what its parameters set."""
    return {
        "id": object_id,
        "object": "payment_link",
        "active": True,
        "after_completion": {"hosted_confirmation": {"custom_message": None}, "type": "hosted_confirmation"},
        "allow_promotion_codes": False,
        "application": None,
        "application_fee_amount": None,
        "application_fee_percent": None,
        "automatic_tax": {"enabled": False, "liability": None},
        "billing_address_collection": "auto",
        "consent_collection": None,
        "currency": currency,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer_creation": "if_required",
        "inactive_message": None,
        "invoice_creation": {"enabled": False, "invoice_data": None},
        "livemode": False,
        "metadata": {},
        "on_behalf_of": None,
        "payment_intent_data": None,
        "payment_method_collection": "always",
        "payment_method_options": None,
        "payment_method_types": None,
        "phone_number_collection": {"enabled": False},
        "restrictions": None,
        "shipping_address_collection": None,
        "shipping_options": [],
        "submit_type": "auto",
        "subscription_data": None,
        "tax_id_collection": {"enabled": False, "required": "never"},
        "transfer_data": None,
        "url": url,
    }


def event(object_id: str, now_s: int, kind: str, subject: Json, request_id: str | None, key: str | None) -> Json:
    """An event about `subject`, a snapshot that the caller has made. `pending_webhooks` is set at delivery."""
    return {
        "id": object_id,
        "object": "event",
        "api_version": API_VERSION,
        "created": now_s,
        "data": {"object": subject},
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": request_id, "idempotency_key": key},
        "type": kind,
    }
