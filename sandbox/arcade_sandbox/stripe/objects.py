"""The shapes of Stripe's objects about selling, and of events, as the API shows them (version 2026-10-28.endive).

Pure: values in, JSON out.

Times are Unix seconds, amounts minor units, as everywhere in Stripe's API.
"""

from collections.abc import Sequence
from typing import Any

Json = dict[str, Any]

API_VERSION = "2026-10-28.endive"


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
        "client_secret": None,  # nosec B105 # Stripe's field, always empty here
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
