"""Stripe's objects are read as documented, and nothing else gets through."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcade_cloud.adapters.stripe.objects import (
    Unreadable,
    checkout_from,
    dispute_from,
    metadata_of,
    optional_id,
    payment_from,
    price_from,
)
from arcade_cloud.domain.money import Payment
from arcade_cloud.ports.payments import Checkout, Price

Json = dict[str, Any]

INTENT: Json = {
    "id": "pi_1",
    "object": "payment_intent",
    "status": "requires_capture",
    "amount": 900,
    "amount_capturable": 900,
    "amount_received": 0,
    "currency": "myr",
    "latest_charge": "ch_1",
    "metadata": {"order_id": "o-1"},
}
CHARGE: Json = {
    "id": "ch_1",
    "object": "charge",
    "status": "succeeded",
    "created": 1_790_000_000,
    "payment_method_details": {"type": "card", "card": {"capture_before": 1_790_600_000}},
    "refunds": {"object": "list", "data": [], "has_more": False},
}


def _refund(amount: int, status: str | None) -> Json:
    return {"id": "re_1", "object": "refund", "amount": amount, "status": status}


def test_without_the_charge_the_moment_is_the_caller_s() -> None:
    payment = payment_from(INTENT, paid_at_ms=7)
    assert payment == Payment(
        payment_intent="pi_1",
        status="requires_capture",
        amount_minor=900,
        currency="myr",
        capturable_minor=900,
        paid_at_ms=7,
    )


def test_with_the_charge_the_moment_is_the_charge_s() -> None:
    payment = payment_from({**INTENT, "latest_charge": CHARGE}, paid_at_ms=7)
    assert payment.paid_at_ms == 1_790_000_000_000
    assert payment.capture_before_ms == 1_790_600_000_000


@pytest.mark.parametrize("status", ["failed", "pending"])
def test_a_charge_that_did_not_succeed_was_never_paid(status: str) -> None:
    payment = payment_from({**INTENT, "latest_charge": {**CHARGE, "status": status}}, paid_at_ms=7)
    assert payment.paid_at_ms is None


def test_refunds_count_unless_they_failed() -> None:
    refunds = [
        _refund(1, "succeeded"),
        _refund(20, "pending"),
        _refund(300, "requires_action"),
        _refund(600_000, None),  # "nullable", says Stripe's reference
        _refund(4_000, "failed"),
        _refund(50_000, "canceled"),
    ]
    payment = payment_from(INTENT, refunds)
    assert (payment.refunded_minor, payment.refunds_failed) == (600_321, 2)


def test_refunds_of_the_expanded_charge_are_used_unless_all_are_given() -> None:
    charge = {**CHARGE, "refunds": {"object": "list", "data": [_refund(5, "succeeded")], "has_more": True}}
    assert payment_from({**INTENT, "latest_charge": charge}).refunded_minor == 5
    both = payment_from({**INTENT, "latest_charge": charge}, [_refund(5, "succeeded"), _refund(6, "succeeded")])
    assert both.refunded_minor == 11


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        ([], "none"),
        (["needs_response"], "open"),
        (["under_review"], "open"),
        (["warning_needs_response"], "open"),
        (["warning_under_review"], "open"),
        (["appeal_needs_response"], "open"),
        (["appeal_under_review"], "open"),
        (["something_new"], "open"),
        (["won"], "won"),
        (["warning_closed"], "won"),
        (["lost"], "lost"),
        (["won", "lost"], "lost"),
        (["lost", "needs_response", "won"], "open"),
    ],
)
def test_disputes_come_to_one_word(statuses: list[str], verdict: str) -> None:
    assert dispute_from([{"status": status} for status in statuses]) == verdict


@pytest.mark.parametrize(
    ("entries", "verdict"),
    [([], "won"), (None, "won"), ([{"amount": -900}], "lost"), ([{"amount": -900}, {"amount": 900}], "won")],
)
def test_a_dispute_that_was_prevented_is_lost_where_money_left(entries: object, verdict: str) -> None:
    assert dispute_from([{"status": "prevented", "balance_transactions": entries}]) == verdict


@pytest.mark.parametrize(
    ("disputes", "lost_minor"),
    [
        ([], None),
        ([("won", 900)], None),
        ([("needs_response", 900)], None),
        ([("lost", 50)], 50),
        ([("lost", 50), ("won", 100), ("lost", 30), ("under_review", 200)], 80),
    ],
)
def test_a_dispute_takes_the_amount_that_it_names(disputes: list[tuple[str, int]], lost_minor: int | None) -> None:
    found = [{"status": status, "amount": amount} for status, amount in disputes]
    assert payment_from(INTENT, disputes=found).lost_minor == lost_minor


@pytest.mark.parametrize(
    "metadata", [None, [], {}, {"order_id": 7}, {"order_id": ""}, {"order_id": "o 1"}, {"order_id": "x" * 256}]
)
def test_what_others_wrote_into_the_metadata_is_no_order_of_ours(metadata: object) -> None:
    assert optional_id(metadata_of({**INTENT, "metadata": metadata}), "order_id") is None


# prices

PRICE: Json = {
    "id": "price_1",
    "object": "price",
    "active": True,
    "type": "one_time",
    "billing_scheme": "per_unit",
    "unit_amount": 300,
    "currency": "MYR",
    "nickname": None,
    "product": {"id": "prod_1", "name": "1 credit"},
    "transform_quantity": None,
}


def test_a_fixed_price_is_read_with_the_name_of_its_product() -> None:
    expected = Price(price_id="price_1", amount_minor=300, currency="myr", label="1 credit")
    assert price_from(PRICE) == expected
    assert price_from({**PRICE, "nickname": "A play"}).label == "A play"
    assert price_from({**PRICE, "product": "prod_1"}).label == ""


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"active": False}, "not active"),
        ({"type": "recurring"}, "subscription"),
        ({"unit_amount": None}, "no fixed amount"),
        ({"unit_amount": None, "custom_unit_amount": {"minimum": 100}}, "no fixed amount"),
        ({"billing_scheme": "tiered"}, "no fixed amount"),
        ({"transform_quantity": {"divide_by": 3, "round": "up"}}, "no fixed amount"),
        ({"unit_amount": True}, "not an amount"),
        ({"id": None}, "not an id"),
    ],
)
def test_a_price_that_can_not_be_an_offer_says_why(change: Json, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        price_from({**PRICE, **change})


# anything else

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)


def _changed(thing: Json, path: list[str], value: object) -> Json:
    if len(path) == 1:
        return {**thing, path[0]: value}
    inner = thing.get(path[0])
    return {**thing, path[0]: _changed(inner if isinstance(inner, dict) else {}, path[1:], value)}


_WHOLE: Json = {**INTENT, "latest_charge": {**CHARGE, "refunds": {"data": [_refund(5, "succeeded")]}}}
_PATHS = [
    *[[name] for name in _WHOLE],
    *[["latest_charge", name] for name in CHARGE],
    ["latest_charge", "refunds", "data"],
    ["latest_charge", "payment_method_details", "type"],
    ["latest_charge", "payment_method_details", "card"],
    ["latest_charge", "payment_method_details", "card", "capture_before"],
]


@settings(max_examples=150, derandomize=True)
@given(path=st.sampled_from(_PATHS), value=_json)
def test_whatever_stands_in_a_payment_it_is_read_or_refused(path: list[str], value: object) -> None:
    try:
        payment = payment_from(_changed(_WHOLE, path, value))
    except Unreadable:
        return
    assert isinstance(payment, Payment)
    assert payment.amount_minor >= 0
    assert payment.refunded_minor >= 0


@settings(max_examples=100, derandomize=True)
@given(thing=st.dictionaries(st.sampled_from([*PRICE, "status", "expires_at", "url", "metadata"]), _json))
def test_whatever_stands_in_other_objects_it_is_read_or_refused(thing: Json) -> None:
    for read, kind in ((price_from, Price), (lambda it: checkout_from(it, None, [it]), Checkout)):
        try:
            assert isinstance(read(thing), kind)
        except Unreadable:
            continue
    assert dispute_from([thing, {"status": "prevented", "balance_transactions": thing.get("metadata")}]) != "none"
