"""The balance: an entry for all that moves money, late for charges; fees; payouts. By the real library."""

from typing import Any

import pytest
import stripe

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import checkout_params

DAY_S = 86_400
DELAY_S = 5


def paid(sandbox: StripeSandbox, client: stripe.StripeClient, method: str = "fpx") -> str:
    """The payment intent of RM 5.00 paid with `method`."""
    return sandbox.pay(client.v1.checkout.sessions.create(checkout_params()).id, method).payment_intent


def charge_of(client: stripe.StripeClient, intent_id: str, *expand: str) -> Any:
    """The charge of a payment."""
    path = ["latest_charge", *(f"latest_charge.{name}" for name in expand)]
    return client.v1.payment_intents.retrieve(intent_id, {"expand": path}).latest_charge


def entries(client: stripe.StripeClient, **more: Any) -> list[stripe.BalanceTransaction]:
    """The entries, oldest first."""
    params: Any = {"limit": 100, **more}
    return client.v1.balance_transactions.list(params).data[::-1]


def outline(client: stripe.StripeClient, **params: Any) -> list[tuple[str, str, int, int]]:
    """Type, category, amount and fee of each entry, oldest first."""
    return [(one.type, one.reporting_category, one.amount, one.fee) for one in entries(client, **params)]


def test_a_charge_has_its_entry_only_some_seconds_later(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    intent_id = paid(sandbox, client)
    assert charge_of(client, intent_id, "balance_transaction").balance_transaction is None
    assert entries(client) == []
    sandbox.advance(DELAY_S)
    charge = charge_of(client, intent_id, "balance_transaction")
    (entry,) = entries(client)
    assert charge.balance_transaction.id == entry.id
    assert client.v1.balance_transactions.retrieve(entry.id).source == charge.id
    (updated,) = sandbox.events("charge.updated")
    assert updated["data"]["object"]["balance_transaction"] == entry.id
    assert outline(client) == [("payment", "charge", 500, 115)]  # 3 % and RM 1.00
    (detail,) = entry.fee_details
    assert (detail.type, detail.amount, entry.net) == ("stripe_fee", 115, 385)


def test_a_hold_has_none_and_a_part_of_it_has_one_of_what_was_captured(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    intent_id = paid(sandbox, client, "card")
    sandbox.advance(DELAY_S)
    assert entries(client) == []
    client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 250})
    assert entries(client) == []
    sandbox.advance(DELAY_S)
    assert outline(client) == [("charge", "charge", 250, 108)]  # 7.5 sen are rounded up
    released = paid(sandbox, client, "card")
    client.v1.payment_intents.cancel(released)
    sandbox.advance(DELAY_S)
    assert len(entries(client)) == 1


def test_fees_are_as_the_account_has_them(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.set_rules(fee_basis_points=290, fee_fixed=30, balance_delay_s=0)
    paid(sandbox, client)
    assert outline(client) == [("payment", "charge", 500, 45)]
    wrong: Any
    for wrong in ({"fee_fixed": -1}, {"fee_fixed": "RM 1"}, {"balance_delay_s": True}):
        with pytest.raises(SandboxMisuse):
            sandbox.set_rules(**wrong)


def test_refunds_and_disputes_have_entries_and_the_charges_fee_stays(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    sandbox.set_rules(balance_delay_s=0)
    intent_id = paid(sandbox, client, "card")
    client.v1.payment_intents.capture(intent_id)
    refund = client.v1.refunds.create({"payment_intent": intent_id, "amount": 100})
    assert refund.balance_transaction is not None
    dispute = sandbox.open_dispute(intent_id, 300)
    sandbox.close_dispute(dispute["id"], "won")
    assert outline(client) == [
        ("charge", "charge", 500, 115),
        ("refund", "refund", -100, 0),
        ("adjustment", "dispute", -300, 1500),
        ("adjustment", "dispute_reversal", 300, 0),
    ]
    shown = client.v1.disputes.retrieve(dispute["id"])
    assert [one.amount for one in shown.balance_transactions] == [-300, 300]
    assert [one.source for one in entries(client, source=refund.id)] == [refund.id]


def test_the_money_of_a_failed_refund_comes_back(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.set_rules(balance_delay_s=0)
    intent_id = paid(sandbox, client)
    refund = client.v1.refunds.create({"payment_intent": intent_id})
    sandbox.finish_refund(refund.id, "failed")
    assert outline(client)[1:] == [
        ("payment_refund", "refund", -500, 0),
        ("refund_failure", "refund_failure", 500, 0),
    ]
    shown = client.v1.refunds.retrieve(refund.id, {"expand": ["failure_balance_transaction"]})
    assert isinstance(shown.failure_balance_transaction, stripe.BalanceTransaction)


def test_money_is_pending_first_and_then_paid_out_and_arrives(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    sandbox.set_rules(balance_delay_s=0)
    paid(sandbox, client)
    client.v1.refunds.create({"payment_intent": paid(sandbox, client), "amount": 200})
    sandbox.charge_account(10)
    assert sandbox.pay_out() == []
    assert {entry.status for entry in entries(client)} == {"pending"}
    balance = client.v1.balance.retrieve()
    assert (balance.pending[0].amount, balance.available[0].amount) == (560, 0)
    sandbox.advance(7 * DAY_S)
    assert {entry.status for entry in entries(client)} == {"available"}
    (payout,) = sandbox.pay_out()
    assert sandbox.pay_out() == []
    paid(sandbox, client)  # after it, so not in it
    shown = client.v1.payouts.retrieve(payout["id"])
    assert (shown.amount, shown.status, shown.automatic) == (560, "in_transit", True)
    assert shown.reconciliation_status == "in_progress"
    inside = entries(client, payout=payout["id"])
    assert {entry.type for entry in inside} == {"payment", "payment_refund", "stripe_fee", "payout"}
    assert sum(entry.net for entry in inside) == 0
    assert client.v1.balance.retrieve().available[0].amount == 0
    sandbox.advance(DAY_S)
    assert client.v1.payouts.list({"status": "paid"}).data[0].reconciliation_status == "completed"
    assert client.v1.payouts.list({"status": "in_transit"}).data == []


def test_a_payout_that_fails_brings_its_money_back(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.set_rules(balance_delay_s=0, available_after_days=0)
    paid(sandbox, client)
    (payout,) = sandbox.pay_out()
    sandbox.fail_payout(payout["id"])
    shown = client.v1.payouts.retrieve(payout["id"])
    assert (shown.status, shown.failure_code) == ("failed", "account_closed")
    with pytest.raises(SandboxMisuse):
        sandbox.fail_payout(payout["id"])
    (again,) = sandbox.pay_out()
    assert again["amount"] == payout["amount"]


def test_the_list_is_filtered_paged_and_expanded(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.set_rules(balance_delay_s=0)
    for _ in range(3):
        paid(sandbox, client)
        sandbox.advance(100)
    client.v1.refunds.create({"payment_intent": paid(sandbox, client)})
    every = entries(client)
    assert [len(entries(client, type=kind)) for kind in ("payment", "payment_refund", "charge")] == [4, 1, 0]
    assert len(entries(client, currency="myr")) == 5
    assert entries(client, currency="usd") == []
    since = every[1].created
    assert [one.id for one in entries(client, created={"gte": since})] == [one.id for one in every[1:]]
    first = client.v1.balance_transactions.list({"limit": 2})
    assert first.has_more
    rest = client.v1.balance_transactions.list({"limit": 100, "starting_after": first.data[-1].id})
    assert [*first.data, *rest.data] == every[::-1]
    sources = [one.source for one in entries(client, expand=["data.source"])]
    assert [type(source) for source in sources] == [stripe.Charge] * 4 + [stripe.Refund]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"type": "gift"}, None),
        ({"payment_intent": "pi_1"}, "parameter_unknown"),
        ({"payout": "po_none"}, "resource_missing"),
        ({"limit": 101}, "parameter_invalid_integer"),
        ({"expand": ["data.fee"]}, None),
    ],
)
def test_what_stripe_does_not_know_is_refused(
    sandbox: StripeSandbox, client: stripe.StripeClient, params: Any, code: str | None
) -> None:
    sandbox.set_rules(balance_delay_s=0)
    paid(sandbox, client)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.balance_transactions.list(params)
    assert refused.value.code == code
