"""Which parameters each of Stripe's endpoints takes: the names are Stripe's (API version 2026-10-28.endive).

What stands as `Anything` is a parameter of Stripe's that has no effect here.
"""

from arcade_sandbox.stripe.params import (
    Anything,
    Array,
    Currency,
    Flag,
    Hash,
    Metadata,
    OneOf,
    Rule,
    Text,
    WebAddress,
    Whole,
)

# Stripe's ceiling for an amount: eight digits.
MAX_AMOUNT = 99_999_999

_EXPAND = Array(Text(500), max_items=20)
_EXPANDABLE: dict[str, Rule] = {"expand": _EXPAND}
_CREATED = Anything()
_PAGE: dict[str, Rule] = {
    **_EXPANDABLE,
    "limit": Whole(1, 100),
    "starting_after": Text(255),
    "ending_before": Text(255),
    "created": _CREATED,
}

RETRIEVE = Hash(_EXPANDABLE)

_METHOD_NAMES = (
    *("acss_debit", "affirm", "afterpay_clearpay", "alipay", "alma", "amazon_pay", "au_becs_debit"),
    *("bacs_debit", "bancontact", "billie", "bizum", "blik", "boleto", "card", "cashapp", "crypto"),
    *("customer_balance", "eps", "fpx", "giropay", "grabpay", "ideal", "kakao_pay", "klarna", "konbini"),
    *("kr_card", "link", "mb_way", "mobilepay", "multibanco", "naver_pay", "nz_bank_account", "oxxo", "p24"),
    *("pay_by_bank", "payco", "paynow", "paypal", "paypay", "payto", "pix", "promptpay", "revolut_pay"),
    *("samsung_pay", "satispay", "scalapay", "sepa_debit", "sequra", "sofort", "sunbit", "swish", "twint"),
    *("upi", "us_bank_account", "wechat_pay", "zip"),
)
_LOCALES = (
    *("auto", "bg", "cs", "da", "de", "el", "en", "en-GB", "es", "es-419", "et", "fi", "fil", "fr", "fr-CA"),
    *("hi-IN", "hr", "hu", "id", "it", "ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "pt-BR"),
    *("ro", "ru", "sk", "sl", "sv", "ta-IN", "te-IN", "th", "tr", "vi", "zh", "zh-HK", "zh-TW"),
)
_METHOD_TYPES = Array(OneOf(_METHOD_NAMES))
_CAPTURE_METHODS = OneOf(("automatic", "automatic_async", "manual"))
_BALANCE_TYPES = (
    *("adjustment", "advance", "advance_funding", "anticipation_repayment", "application_fee"),
    *("application_fee_refund", "charge", "climate_order_purchase", "climate_order_refund"),
    *("connect_collection_transfer", "contribution", "fee_credit_funding", "inbound_transfer"),
    *("inbound_transfer_reversal", "issuing_authorization_hold", "issuing_authorization_release"),
    *("issuing_dispute", "issuing_dispute_provisional_credit", "issuing_dispute_provisional_credit_reversal"),
    *("issuing_transaction", "obligation_outbound", "obligation_reversal_inbound", "payment"),
    *("payment_failure_refund", "payment_network_reserve_hold", "payment_network_reserve_release"),
    *("payment_refund", "payment_reversal", "payment_unreconciled", "payout", "payout_cancel", "payout_failure"),
    *("payout_minimum_balance_hold", "payout_minimum_balance_release", "refund", "refund_failure"),
    *("reserve_hold", "reserve_release", "reserve_transaction", "reserved_funds"),
    *("stripe_balance_payment_debit", "stripe_balance_payment_debit_reversal", "stripe_fee", "stripe_fx_fee"),
    *("tax_fee", "tax_fund", "topup", "topup_reversal", "transfer", "transfer_cancel", "transfer_failure"),
    "transfer_refund",
)
_SUBMIT_TYPES = OneOf(("auto", "book", "donate", "pay", "subscribe"))


def _without_effect(*names: str) -> dict[str, Rule]:
    return dict.fromkeys(names, Anything())


_PRODUCT_DATA = Hash(
    {
        "name": Text(250),
        "description": Text(),
        "images": Array(WebAddress(), max_items=8),
        "metadata": Metadata(),
        **_without_effect("active", "id", "statement_descriptor", "tax_code", "tax_details", "unit_label"),
    },
    required=("name",),
)
_PRICE_DATA = Hash(
    {
        "currency": Currency(),
        "unit_amount": Whole(0, MAX_AMOUNT),
        "product": Text(255),
        "product_data": _PRODUCT_DATA,
        **_without_effect("recurring", "tax_behavior"),
    },
    required=("currency", "unit_amount"),
)
_LINE_ITEM = Hash(
    {
        "price": Text(255),
        "price_data": _PRICE_DATA,
        "quantity": Whole(1, 999_999),
        **_without_effect("adjustable_quantity", "metadata", "tax_rates"),
    }
)
_CARD_OPTIONS = Hash(
    {
        "capture_method": OneOf(("manual",)),
        **_without_effect(
            "installments",
            "request_extended_authorization",
            "request_incremental_authorization",
            "request_multicapture",
            "request_overcapture",
            "request_three_d_secure",
            "restrictions",
            "setup_future_usage",
            "statement_descriptor_suffix_kana",
            "statement_descriptor_suffix_kanji",
        ),
    }
)
_LINK_OPTIONS = Hash({"capture_method": OneOf(("manual",)), **_without_effect("setup_future_usage")})
_METHOD_OPTIONS = Hash(
    {**_without_effect(*_METHOD_NAMES, "demo_pay"), "card": _CARD_OPTIONS, "link": _LINK_OPTIONS}
)
_PAYMENT_INTENT_DATA = Hash(
    {
        "capture_method": _CAPTURE_METHODS,
        "description": Text(1000),
        "metadata": Metadata(),
        "statement_descriptor": Text(22),
        "statement_descriptor_suffix": Text(22),
        **_without_effect(
            "application_fee_amount",
            "on_behalf_of",
            "receipt_email",
            "setup_future_usage",
            "shipping",
            "transfer_data",
            "transfer_group",
        ),
    }
)
_CUSTOM_TEXT = Hash(
    {
        "submit": Hash({"message": Text(1200)}),
        "after_submit": Hash({"message": Text(1200)}),
        **_without_effect("shipping_address", "terms_of_service_acceptance"),
    }
)

SESSION_CREATE = Hash(
    {
        **_EXPANDABLE,
        "mode": OneOf(("payment", "setup", "subscription")),
        "line_items": Array(_LINE_ITEM),
        "success_url": WebAddress(),
        "cancel_url": WebAddress(),
        "metadata": Metadata(),
        "client_reference_id": Text(200),
        "payment_intent_data": _PAYMENT_INTENT_DATA,
        "payment_method_options": _METHOD_OPTIONS,
        "allowed_payment_method_types": _METHOD_TYPES,
        "excluded_payment_method_types": _METHOD_TYPES,
        "adaptive_pricing": Hash({"enabled": Flag()}),
        "expires_at": Whole(0),
        "ui_mode": OneOf(("elements", "embedded_page", "form", "hosted_page")),
        "locale": OneOf(_LOCALES),
        "submit_type": _SUBMIT_TYPES,
        "custom_text": _CUSTOM_TEXT,
        "customer_email": Text(800),
        "return_url": WebAddress(),
        **_without_effect(
            "after_expiration",
            "allow_promotion_codes",
            "automatic_tax",
            "billing_address_collection",
            "branding_settings",
            "consent_collection",
            "currency",
            "custom_fields",
            "customer",
            "customer_account",
            "customer_creation",
            "customer_update",
            "discounts",
            "integration_identifier",
            "invoice_creation",
            "managed_payments",
            "name_collection",
            "optional_items",
            "origin_context",
            "payment_method_collection",
            "payment_method_configuration",
            "payment_method_data",
            "permissions",
            "phone_number_collection",
            "redirect_on_completion",
            "saved_payment_method_options",
            "setup_intent_data",
            "shipping_address_collection",
            "shipping_options",
            "subscription_data",
            "tax_id_collection",
            "wallet_options",
        ),
    },
    required=("mode",),
)
SESSION_LIST = Hash(
    {
        **_PAGE,
        "payment_intent": Text(255),
        "payment_link": Text(255),
        "status": OneOf(("complete", "expired", "open")),
    }
)

PRODUCT_CREATE = Hash(
    {
        **_EXPANDABLE,
        "name": Text(250),
        "description": Text(),
        "images": Array(WebAddress(), max_items=8),
        "metadata": Metadata(),
        "active": Flag(),
        **_without_effect("statement_descriptor", "tax_code", "unit_label", "url", "shippable"),
    },
    required=("name",),
)
PRICE_CREATE = Hash(
    {
        **_EXPANDABLE,
        "currency": Currency(),
        "unit_amount": Whole(0, MAX_AMOUNT),
        "product": Text(255),
        "product_data": _PRODUCT_DATA,
        "nickname": Text(),
        "metadata": Metadata(),
        "lookup_key": Text(200),
        "active": Flag(),
        "recurring": Hash(
            {
                "interval": OneOf(("day", "week", "month", "year")),
                "interval_count": Whole(1),
                **_without_effect("meter", "trial_period_days", "usage_type"),
            },
            required=("interval",),
        ),
        **_without_effect("billing_scheme", "tax_behavior", "transfer_lookup_key"),
    },
    required=("currency", "unit_amount"),
)
PRICE_UPDATE = Hash({**_EXPANDABLE, "active": Flag(), "nickname": Text(), "metadata": Metadata()})
PRICE_LIST = Hash(
    {**_PAGE, "active": Flag(), "currency": Currency(), "product": Text(255), "lookup_keys": Array(Text(200), 10)}
)

LINK_CREATE = Hash(
    {
        **_EXPANDABLE,
        "line_items": Array(_LINE_ITEM),
        "metadata": Metadata(),
        "payment_intent_data": _PAYMENT_INTENT_DATA,
        "payment_method_types": _METHOD_TYPES,
        "payment_method_options": _METHOD_OPTIONS,
        "after_completion": Hash(
            {
                "type": OneOf(("hosted_confirmation", "redirect")),
                "redirect": Hash({"url": WebAddress()}, required=("url",)),
                "hosted_confirmation": Hash({"custom_message": Text(500)}),
            },
            required=("type",),
        ),
        "submit_type": _SUBMIT_TYPES,
        "custom_text": _CUSTOM_TEXT,
        "inactive_message": Text(500),
        **_without_effect(
            "allow_promotion_codes",
            "automatic_tax",
            "billing_address_collection",
            "consent_collection",
            "currency",
            "custom_fields",
            "customer_creation",
            "invoice_creation",
            "managed_payments",
            "name_collection",
            "on_behalf_of",
            "optional_items",
            "payment_method_collection",
            "phone_number_collection",
            "restrictions",
            "shipping_address_collection",
            "shipping_options",
            "tax_id_collection",
        ),
    },
    required=("line_items",),
)
LINK_UPDATE = Hash({**_EXPANDABLE, "active": Flag(), "metadata": Metadata(), "inactive_message": Text(500)})
LINK_LIST = Hash({**_PAGE, "active": Flag()})

INTENT_LIST = Hash({**_PAGE, "customer": Text(255)})
CAPTURE = Hash(
    {
        **_EXPANDABLE,
        "amount_to_capture": Whole(1, MAX_AMOUNT),
        "final_capture": Flag(),
        "metadata": Metadata(),
        "statement_descriptor": Text(22),
        "statement_descriptor_suffix": Text(22),
        **_without_effect("amount_details", "application_fee_amount", "hooks", "payment_details", "transfer_data"),
    }
)
CANCEL = Hash(
    {
        **_EXPANDABLE,
        "cancellation_reason": OneOf(("duplicate", "fraudulent", "requested_by_customer", "abandoned")),
    }
)

CHARGE_LIST = Hash({**_PAGE, "payment_intent": Text(255)})
REFUND_CREATE = Hash(
    {
        **_EXPANDABLE,
        "payment_intent": Text(255),
        "charge": Text(255),
        "amount": Whole(1, MAX_AMOUNT),
        "reason": OneOf(("duplicate", "fraudulent", "requested_by_customer")),
        "metadata": Metadata(),
        **_without_effect(
            "currency", "customer", "instructions_email", "origin", "refund_application_fee", "reverse_transfer"
        ),
    }
)
REFUND_LIST = Hash({**_PAGE, "payment_intent": Text(255), "charge": Text(255)})
DISPUTE_LIST = Hash({**_PAGE, "payment_intent": Text(255), "charge": Text(255)})
EVENT_LIST = Hash(
    {**_PAGE, "type": Text(255), "types": Array(Text(255), max_items=20), "delivery_success": Flag()}
)
BALANCE_LIST = Hash(
    {
        **_PAGE,
        "currency": Currency(),
        "payout": Text(255),
        "source": Text(255),
        "type": OneOf(_BALANCE_TYPES),
    }
)
PAYOUT_LIST = Hash({**_PAGE, "status": OneOf(("canceled", "failed", "in_transit", "paid", "pending"))})
PAGE_ONLY = Hash(_PAGE)
