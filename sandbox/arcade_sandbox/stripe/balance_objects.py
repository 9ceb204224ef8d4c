"""The shapes of Stripe's objects about its balance, as the API shows them (version 2026-10-28.endive). Pure."""

from typing import Any

Json = dict[str, Any]


def balance_transaction(
    object_id: str,
    now_s: int,
    *,
    kind: str,
    category: str,
    amount: int,
    currency: str,
    source: str | None,
    fee: int,
    fee_text: str,
    description: str | None,
    available_on: int,
) -> Json:
    """An entry in the balance. `amount` is negative where money leaves; `fee` is what Stripe takes with it."""
    details = [
        {"amount": fee, "application": None, "currency": currency, "description": fee_text, "type": "stripe_fee"}
    ]
    return {
        "id": object_id,
        "object": "balance_transaction",
        "amount": amount,
        "available_on": available_on,
        "balance_type": "payments",
        "created": now_s,
        "currency": currency,
        "description": description,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": details if fee else [],
        "net": amount - fee,
        "reporting_category": category,
        "source": source,
        "status": "available" if available_on <= now_s else "pending",
        "type": kind,
    }


def payout(object_id: str, now_s: int, amount: int, currency: str, arrival_date: int) -> Json:
    """An automatic payout on its way to the bank."""
    return {
        "id": object_id,
        "object": "payout",
        "amount": amount,
        "application_fee": None,
        "application_fee_amount": None,
        "arrival_date": arrival_date,
        "automatic": True,
        "balance_transaction": None,
        "created": now_s,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": "ba_1SandboxBankAccount",
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "payout_method": None,
        "reconciliation_status": "in_progress",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "in_transit",
        "trace_id": None,
        "type": "bank_account",
    }
