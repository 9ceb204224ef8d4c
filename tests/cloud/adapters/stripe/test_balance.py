"""Entries and payouts as Stripe documents them, and what does not have that shape."""

from typing import Any

import pytest

from arcade_cloud.adapters.stripe.balance import entries_from, entry_from, payouts_from
from arcade_cloud.adapters.stripe.objects import Unreadable

# The example in docs.stripe.com/api/balance_transactions/object.
DOCUMENTED = {
    "id": "txn_1MiN3gLkdIwHu7ixxapQrznl",
    "object": "balance_transaction",
    "amount": -400,
    "available_on": 1678043844,
    "created": 1678043844,
    "currency": "usd",
    "description": None,
    "exchange_rate": None,
    "fee": 0,
    "fee_details": [],
    "net": -400,
    "reporting_category": "transfer",
    "source": "tr_1MiN3gLkdIwHu7ixNCZvFdgA",
    "status": "available",
    "type": "transfer",
}


def test_the_documented_example_is_read() -> None:
    entry = entry_from(DOCUMENTED)
    assert (entry.what, entry.amount_minor, entry.fee_minor, entry.currency) == ("other", -400, 0, "usd")
    assert (entry.source, entry.payment_intent) == ("tr_1MiN3gLkdIwHu7ixNCZvFdgA", None)


@pytest.mark.parametrize(
    ("category", "what"),
    [
        ("partial_capture_reversal", "capture reversed"),
        ("charge_failure", "capture reversed"),
        ("refund_failure", "refund failed"),
        ("dispute_reversal", "dispute won"),
        ("payout_reversal", "payout"),
        ("platform_earning", "other"),
    ],
)
def test_categories_say_what_an_entry_is(category: str, what: str) -> None:
    assert entry_from(DOCUMENTED | {"reporting_category": category}).what == what


def test_a_fee_that_is_an_entry_of_its_own_is_all_fee() -> None:
    entry = entry_from(DOCUMENTED | {"reporting_category": "fee", "source": None})
    assert (entry.amount_minor, entry.fee_minor, entry.source) == (0, 400, "")


def test_a_fee_that_is_given_back_is_negative() -> None:
    assert entry_from(DOCUMENTED | {"reporting_category": "dispute_reversal", "fee": -1500}).fee_minor == -1500


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": None},
        {"amount": True},
        {"amount": 10**13},
        {"fee": "0"},
        {"currency": 1},
        {"created": None},
        {"id": ""},
        {"source": {"object": "charge"}},
    ],
)
def test_what_is_not_as_documented_cannot_be_read(wrong: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        entries_from({"data": [DOCUMENTED | wrong], "has_more": False})


def test_a_page_names_where_the_next_begins() -> None:
    assert entries_from({"data": [DOCUMENTED], "has_more": True})[1] == DOCUMENTED["id"]
    assert entries_from({"data": [], "has_more": False}) == ([], None)
    for broken in ({}, {"data": None}, {"data": [1]}):
        with pytest.raises(Unreadable):
            payouts_from(broken)
