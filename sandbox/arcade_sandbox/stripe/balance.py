"""The balance of the stand-in for Stripe: an entry for all that moves money, its fee, and payouts to the bank.

Sources: docs.stripe.com/api/balance_transactions, docs.stripe.com/reports/reporting-categories (types and
categories), docs.stripe.com/payments/payment-intents/asynchronous-capture (a charge has no entry at first),
docs.stripe.com/payouts/reconciliation. Since API version 2025-03-31 a partial capture has one entry, of what was
captured (docs.stripe.com/changelog: “Partially capturing or canceling payments no longer creates a Refund”).

What differs between accounts is in `StripeRules`. Every amount is in the currency of its payment: the account
settles in each.
"""

from typing import Any

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe import balance_objects as shapes
from arcade_sandbox.stripe.state import StripeState

Json = dict[str, Any]

DAY_S = 86_400
# What `StripeState.take_due` is to name.
CHARGED, AVAILABLE, ARRIVED = "charged", "available", "arrived"


def charge_fee(state: StripeState, amount: int) -> int:
    """What Stripe takes for a charge: a part of it, rounded half up, and a fixed sum."""
    return (amount * state.rules.fee_basis_points + 5_000) // 10_000 + state.rules.fee_fixed


def taken(state: StripeState, charge: Json, now_s: int) -> None:
    """A charge was captured. Its entry comes some seconds later."""
    if state.rules.balance_delay_s == 0:
        charged(state, charge["id"], now_s)
    else:
        state.wake_at(now_s + state.rules.balance_delay_s, CHARGED, charge["id"])


def charged(state: StripeState, charge_id: str, now_s: int) -> None:
    """The entry of a captured charge."""
    charge = state.tables["charge"][charge_id]
    is_card = charge["payment_method_details"]["type"] in ("card", "link")
    amount, currency = charge["amount_captured"], charge["currency"]
    entry = _enter(
        state,
        now_s,
        kind="charge" if is_card else "payment",
        category="charge",
        amount=amount,
        currency=currency,
        source=charge_id,
        fee=charge_fee(state, amount),
        fee_text="Stripe processing fees",
        description=charge["description"],
    )
    charge["balance_transaction"] = entry["id"]
    state.emit("charge.updated", charge, now_s)


def refunded(state: StripeState, refund: Json, is_card: bool, now_s: int) -> None:
    """The entry of a refund. Stripe keeps the fee of the charge."""
    entry = _enter(
        state,
        now_s,
        kind="refund" if is_card else "payment_refund",
        category="refund",
        amount=-refund["amount"],
        currency=refund["currency"],
        source=refund["id"],
        description="REFUND FOR CHARGE",
    )
    refund["balance_transaction"] = entry["id"]


def refund_failed(state: StripeState, refund: Json, now_s: int) -> None:
    """The entry that puts the money of a failed refund back."""
    entry = _enter(
        state,
        now_s,
        kind="refund_failure",
        category="refund_failure",
        amount=refund["amount"],
        currency=refund["currency"],
        source=refund["id"],
        description="REFUND FAILURE",
    )
    refund["failure_balance_transaction"] = entry["id"]


def disputed(state: StripeState, dispute: Json, now_s: int) -> None:
    """The entry by which the bank withdraws what is disputed, with the fee of a dispute."""
    entry = _enter(
        state,
        now_s,
        kind="adjustment",
        category="dispute",
        amount=-dispute["amount"],
        currency=dispute["currency"],
        source=dispute["id"],
        fee=state.rules.dispute_fee,
        fee_text="Dispute fee",
        description=f"Chargeback withdrawal for {dispute['charge']}",
    )
    dispute["balance_transactions"].append(entry)


def dispute_won(state: StripeState, dispute: Json, now_s: int) -> None:
    """The entry that puts a won dispute's money back. Its fee stays with Stripe."""
    entry = _enter(
        state,
        now_s,
        kind="adjustment",
        category="dispute_reversal",
        amount=dispute["amount"],
        currency=dispute["currency"],
        source=dispute["id"],
        description=f"Chargeback reversal for {dispute['charge']}",
    )
    dispute["balance_transactions"].append(entry)


def account_fee(state: StripeState, amount: int, currency: str, text: str, now_s: int) -> Json:
    """A fee that belongs to no payment, such as for Radar.

    Raises:
        SandboxMisuse: It is no fee.
    """
    if amount <= 0:
        raise SandboxMisuse("a fee is more than 0")
    return _enter(
        state,
        now_s,
        kind="stripe_fee",
        category="fee",
        amount=-amount,
        currency=currency,
        source=None,
        description=text,
    )


def pay_out(state: StripeState, now_s: int) -> list[Json]:
    """The day's automatic payout of what is available, one for each currency; it arrives a day later."""
    made = []
    waiting = [
        entry
        for entry in state.tables["balance_transaction"].values()
        if entry["status"] == "available" and entry["id"] not in state.payout_of_entry
    ]
    for currency in sorted({entry["currency"] for entry in waiting}):
        entries = [entry for entry in waiting if entry["currency"] == currency]
        amount = sum(entry["net"] for entry in entries)
        if amount <= 0:  # it waits until more has come
            continue
        payout = shapes.payout(state.new_id("payout"), now_s, amount, currency, now_s + DAY_S)
        state.put("payout", payout)
        own = _enter(
            state,
            now_s,
            kind="payout",
            category="payout",
            amount=-amount,
            currency=currency,
            source=payout["id"],
            description="STRIPE PAYOUT",
            days=0,
        )
        payout["balance_transaction"] = own["id"]
        state.payout_of_entry.update({entry["id"]: payout["id"] for entry in [*entries, own]})
        state.wake_at(payout["arrival_date"], ARRIVED, payout["id"])
        state.emit("payout.created", payout, now_s)
        made.append(payout)
    return made


def arrived(state: StripeState, payout_id: str, now_s: int) -> None:
    """The bank has taken a payout."""
    payout = state.tables["payout"][payout_id]
    if payout["status"] != "in_transit":
        return
    payout["status"], payout["reconciliation_status"] = "paid", "completed"
    state.emit("payout.paid", payout, now_s)
    state.emit("payout.reconciliation_completed", payout, now_s)


def fail_payout(state: StripeState, payout_id: str, now_s: int) -> Json:
    """The bank refuses a payout, even one that it seemed to have taken: its money is back in the balance.

    Raises:
        SandboxMisuse: The payout is not on record, or has failed already.
    """
    payout = state.known("payout", payout_id)
    if payout["status"] not in ("in_transit", "paid"):
        raise SandboxMisuse(f"the payout is {payout['status']}: it cannot fail")
    entry = _enter(
        state,
        now_s,
        kind="payout_failure",
        category="payout_reversal",
        amount=payout["amount"],
        currency=payout["currency"],
        source=payout_id,
        description="STRIPE PAYOUT FAILURE",
        days=0,
    )
    payout |= {"status": "failed", "failure_balance_transaction": entry["id"]}
    payout |= {"failure_code": "account_closed", "failure_message": "The bank account has been closed."}
    state.emit("payout.failed", payout, now_s)
    return payout


def available(state: StripeState, entry_id: str) -> None:
    """An entry's money can be paid out."""
    state.tables["balance_transaction"][entry_id]["status"] = "available"


def totals(state: StripeState) -> dict[str, dict[str, int]]:
    """What is pending and what is available, by currency."""
    found: dict[str, dict[str, int]] = {"pending": {}, "available": {}}
    for entry in state.tables["balance_transaction"].values():
        for status in found:
            found[status].setdefault(entry["currency"], 0)
        found[entry["status"]][entry["currency"]] += entry["net"]
    return found


def _enter(
    state: StripeState,
    now_s: int,
    *,
    kind: str,
    category: str,
    amount: int,
    currency: str,
    source: str | None,
    description: str | None,
    fee: int = 0,
    fee_text: str = "",
    days: int | None = None,
) -> Json:
    """Put an entry. `days`: until its money is available; None: as the account's rules say."""
    later = state.rules.available_after_days if days is None else days
    available_on = now_s if later == 0 else (now_s // DAY_S + later) * DAY_S
    entry = shapes.balance_transaction(
        state.new_id("balance_transaction"),
        now_s,
        kind=kind,
        category=category,
        amount=amount,
        currency=currency,
        source=source,
        fee=fee,
        fee_text=fee_text,
        description=description,
        available_on=available_on,
    )
    if available_on > now_s:
        state.wake_at(available_on, AVAILABLE, entry["id"])
    return state.put("balance_transaction", entry)
