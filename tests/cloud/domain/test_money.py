"""Money: never more than the price of what was delivered is kept, and amounts read as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.money import Payment, currency_of, format_amount, kept_for, parse_amount
from arcade_cloud.errors import BadRequest, InvariantBroken


@given(amount=st.integers(0, 10**9), credits=st.integers(1, 1000))
def test_all_delivered_keeps_all_and_nothing_delivered_keeps_nothing(amount: int, credits: int) -> None:
    assert kept_for(amount, credits, credits, "myr") == amount
    assert kept_for(amount, 0, credits, "myr") == 0


@given(amount=st.integers(0, 10**9), credits=st.integers(1, 1000), data=st.data())
def test_the_player_never_pays_more_than_the_share_that_was_delivered(
    amount: int, credits: int, data: st.DataObject
) -> None:
    delivered = data.draw(st.integers(0, credits))
    kept = kept_for(amount, delivered, credits, "myr")
    assert 0 <= amount * delivered - kept * credits < credits, "rounded down, by less than one minor unit"


@pytest.mark.parametrize(("currency", "step"), [("kwd", 10), ("omr", 10), ("isk", 100), ("ugx", 100), ("jpy", 1)])
@given(steps=st.integers(0, 10**6), credits=st.integers(1, 1000), data=st.data())
def test_a_share_can_be_captured_and_the_rest_refunded_in_the_steps_of_the_currency(
    currency: str, step: int, steps: int, credits: int, data: st.DataObject
) -> None:
    amount, delivered = steps * step, data.draw(st.integers(0, credits))
    kept = kept_for(amount, delivered, credits, currency)
    assert kept % step == (amount - kept) % step == 0
    assert 0 <= amount * delivered - kept * credits < credits * step, "rounded down, by less than one step"


# docs.stripe.com/currencies: the examples of its text.
@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("10", "usd", 1000),
        ("10.99", "usd", 1099),
        ("500", "jpy", 500),
        ("5", "isk", 500),
        ("5", "ugx", 500),
        ("5.120", "kwd", 5120),
    ],
)
def test_an_amount_is_what_stripe_says_that_it_is(text: str, currency: str, minor: int) -> None:
    assert parse_amount(f"{text}{currency}", currency) == minor
    assert parse_amount(text, currency, bare_whole=True) == minor


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("5.00", "myr", 500),
        ("RM 5", "myr", 500),
        ("rm5.00", "myr", 500),
        ("5.00MYR", "myr", 500),
        (" MYR 5.00 ", "myr", 500),
        ("0.05", "myr", 5),
        ("€5", "eur", 500),
        ("300", "jpy", 300),
        ("¥300", "jpy", 300),
        ("ISK 5", "isk", 500),
        ("0", "jpy", 0),
        ("0", "myr", 0),
    ],
)
def test_amounts_are_read_as_people_write_them(text: str, currency: str, minor: int) -> None:
    assert parse_amount(text, currency) == minor


@pytest.mark.parametrize(
    ("text", "currency", "why"),
    [
        ("5", "myr", "can mean RM 5.00 or RM 0.05"),
        ("500", "kwd", "can mean KWD 500.000 or KWD 0.500"),
        ("5", "isk", "can mean ISK 5 or ISK 0.05"),
        ("5.0", "myr", "2 decimals: write 5.00"),
        ("5.005", "myr", "2 decimals"),
        ("5.00", "jpy", "no decimals: write 5"),
        ("5.00", "isk", "no decimals: write 5"),
        ("1.005", "kwd", "steps of KWD 0.010"),
        ("-3", "myr", "not an amount"),
        ("-3.00", "myr", "not an amount"),
        ("5,00", "myr", "not an amount"),
        ("1,000.00", "myr", "not an amount"),
        ("USD 5.00", "myr", "not an amount in MYR"),
        ("$5.00", "myr", "not an amount in MYR"),
        ("RM 5.00 MYR", "myr", "not an amount in MYR"),
        ("five", "myr", "not an amount"),
        ("", "myr", "not an amount"),
        ("٥.٠٠", "myr", "not an amount"),
        ("5.00e3", "myr", "not an amount"),
    ],
)
def test_what_is_ambiguous_or_no_amount_is_refused_with_what_to_write(text: str, currency: str, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        parse_amount(text, currency)


@pytest.mark.parametrize(
    ("currency", "least"), [("myr", 200), ("usd", 50), ("bgn", 100), ("kwd", None), ("zzz", None)]
)
def test_the_smallest_charge_is_known_where_stripe_publishes_it(currency: str, least: int | None) -> None:
    assert currency_of(currency).least_minor == least
    assert currency_of(currency).is_known == (currency != "zzz")


@pytest.mark.parametrize(("amount", "delivered", "credits"), [(300, 4, 3), (300, -1, 3), (300, 0, 0), (-1, 1, 3)])
def test_impossible_figures_are_a_broken_invariant(amount: int, delivered: int, credits: int) -> None:
    with pytest.raises(InvariantBroken):
        kept_for(amount, delivered, credits, "myr")


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
        (300, "ugx", "UGX 3"),
        (50_000, "isk", "ISK 500"),
        (50_050, "isk", "ISK 500.50"),
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


def test_a_lost_dispute_takes_what_it_names() -> None:
    assert _payment(status="succeeded", received_minor=300, dispute="lost", lost_minor=50).kept_minor == 250
    assert _payment(status="succeeded", received_minor=300, dispute="open", lost_minor=50).kept_minor == 250
    assert _payment(status="succeeded", received_minor=300, dispute="open").kept_minor == 300
    assert _payment(status="succeeded", received_minor=300, dispute="lost", lost_minor=400).kept_minor == 0


def test_a_lost_dispute_of_a_record_that_names_no_amount_took_all() -> None:
    assert _payment(status="succeeded", received_minor=300, dispute="lost").kept_minor == 0


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({"status": "requires_capture", "capturable_minor": 300}, {"received_minor": 300}),
        ({"status": "requires_capture", "capturable_minor": 300}, {"status": "canceled"}),
        ({"received_minor": 300}, {"received_minor": 300, "refunded_minor": 50}),
        ({"received_minor": 300, "refunded_minor": 50}, {"received_minor": 300, "refunds_failed": 1}),
        ({"received_minor": 300}, {"received_minor": 300, "dispute": "lost", "lost_minor": 50}),
        (
            {"received_minor": 300, "dispute": "open", "lost_minor": 20},
            {"received_minor": 300, "dispute": "lost", "lost_minor": 50},
        ),
    ],
)
def test_what_was_shown_earlier_is_told_by_what_never_goes_back(
    then: dict[str, object], now: dict[str, object]
) -> None:
    earlier, later = (_payment(**{"status": "succeeded", **fields}) for fields in (then, now))
    assert earlier.is_older_than(later)
    assert not later.is_older_than(earlier)
    assert not later.is_older_than(later)


def test_a_dispute_that_is_won_after_all_is_no_older_reading() -> None:
    lost = _payment(status="succeeded", received_minor=300, dispute="lost", lost_minor=50)
    assert not _payment(status="succeeded", received_minor=300, dispute="won").is_older_than(lost)
