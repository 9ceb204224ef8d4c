"""Money: never more than the price of what was delivered is kept, and amounts read as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.money import Payment, format_amount, kept_for
from arcade_cloud.errors import InvariantBroken


@given(amount=st.integers(0, 10**9), credits=st.integers(1, 1000))
def test_all_delivered_keeps_all_and_nothing_delivered_keeps_nothing(amount: int, credits: int) -> None:
    assert kept_for(amount, credits, credits) == amount
    assert kept_for(amount, 0, credits) == 0


@given(amount=st.integers(0, 10**9), credits=st.integers(1, 1000), data=st.data())
def test_the_player_never_pays_more_than_the_share_that_was_delivered(
    amount: int, credits: int, data: st.DataObject
) -> None:
    delivered = data.draw(st.integers(0, credits))
    kept = kept_for(amount, delivered, credits)
    assert 0 <= amount * delivered - kept * credits < credits, "rounded down, by less than one minor unit"


@pytest.mark.parametrize(("amount", "delivered", "credits"), [(300, 4, 3), (300, -1, 3), (300, 0, 0), (-1, 1, 3)])
def test_impossible_figures_are_a_broken_invariant(amount: int, delivered: int, credits: int) -> None:
    with pytest.raises(InvariantBroken):
        kept_for(amount, delivered, credits)


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (300, "myr", "RM 3.00"),
        (5, "usd", "$ 0.05"),
        (100_050, "eur", "€ 1000.50"),
        (300, "jpy", "¥ 300"),
        (300, "vnd", "VND 300"),
        (300, "chf", "CHF 3.00"),
        (3000, "kwd", "KWD 3.000"),
        (300, "ugx", "UGX 3.00"),
    ],
)
def test_an_amount_reads_as_people_write_it(minor: int, currency: str, text: str) -> None:
    assert format_amount(minor, currency) == text


def _payment(**fields: object) -> Payment:
    values: dict[str, object] = {"payment_intent": "pi", "amount_minor": 300, "currency": "myr"}
    return Payment(**{**values, **fields})  # type: ignore[arg-type]  # the tests pass what fits


@pytest.mark.parametrize(
    ("status", "has_money"),
    [
        ("requires_payment_method", False),
        ("requires_confirmation", False),
        ("requires_action", False),
        ("processing", False),
        ("requires_capture", True),
        ("succeeded", True),
        ("canceled", False),
    ],
)
def test_only_money_held_or_taken_is_money(status: str, has_money: bool) -> None:
    assert _payment(status=status).has_money is has_money


def test_kept_is_what_was_captured_less_what_went_back() -> None:
    assert _payment(status="succeeded", received_minor=300, refunded_minor=100).kept_minor == 200
    assert _payment(status="requires_capture", capturable_minor=300).kept_minor == 0


def test_a_lost_dispute_keeps_nothing() -> None:
    assert _payment(status="succeeded", received_minor=300, dispute="lost").kept_minor == 0
    assert _payment(status="succeeded", received_minor=300, dispute="open").kept_minor == 300
