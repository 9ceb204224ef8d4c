"""What a play costs."""

import pytest

from arcade_cloud.domain.offers import parse_offers
from arcade_cloud.domain.pricing import STANDARD_FEES, Fee, costs, parse_fee, sentences
from arcade_cloud.errors import BadRequest


def test_a_fee_is_a_percentage_and_a_fixed_part() -> None:
    fee = STANDARD_FEES["myr"]
    assert fee.of(200) == 106
    assert fee.of(1600) == 148


@pytest.mark.parametrize(("amount", "expected"), [(17, 101), (16, 100), (50, 102), (49, 101)])
def test_a_fee_is_rounded_to_the_nearest_minor_unit(amount: int, expected: int) -> None:
    # 3 % of 17 is 0.51, of 16 0.48, of 50 1.5, of 49 1.47
    assert Fee(300, 100).of(amount) == expected


def test_fees_that_stripe_has_shown_in_its_own_example() -> None:
    # support.stripe.com, international cards in Singapore: 3.4 % + 0.50 of 100 is 3.90.
    assert STANDARD_FEES["sgd"].of(10_000) == 390


@pytest.mark.parametrize(
    ("text", "currency", "fee"),
    [
        ("3%+1.00MYR", "myr", Fee(300, 100)),
        (" 3.4 % + 0.50SGD ", "sgd", Fee(340, 50)),
        ("2.95%+0.30usd", "usd", Fee(295, 30)),
        ("3.6%+0JPY", "jpy", Fee(360, 0)),
    ],
)
def test_fees_as_people_write_them(text: str, currency: str, fee: Fee) -> None:
    assert parse_fee(text) == (currency, fee)


@pytest.mark.parametrize(
    "text", ["", "3%", "3+1.00MYR", "3%+1.00", "3%+1.00XXX", "3%+1.0MYR", "300%+1.00MYR", "-3%+1MYR"]
)
def test_what_is_no_fee_is_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_fee(text)


def test_eight_plays_singly_and_on_a_tab() -> None:
    once, singly, tab = costs(parse_offers(["1=2.00MYR"]), 8, STANDARD_FEES)
    assert (once.fee_minor, once.left_minor, once.fee_percent) == (106, 94, 53)
    assert (singly.price_minor, singly.fee_minor, singly.left_minor) == (1600, 848, 752)
    assert (tab.price_minor, tab.fee_minor, tab.left_minor, tab.credits) == (1600, 148, 1452, 8)


def test_a_price_below_the_smallest_payment_is_sold_on_a_tab_only() -> None:
    once, singly, tab = costs(parse_offers(["1=1.00MYR"]), 4, STANDARD_FEES)
    assert (once.is_sold, singly.is_sold, tab.is_sold) == (False, False, True)


def test_a_fee_may_be_more_than_the_price() -> None:
    (once,) = costs(parse_offers(["1=0.50SGD"]), 1, STANDARD_FEES)
    assert (once.fee_minor, once.left_minor, once.fee_percent) == (52, -2, 104)


def test_currencies_whose_fee_is_not_known_are_left_out() -> None:
    assert list(costs(parse_offers(["1=100JPY"]), 3, STANDARD_FEES)) == []
    (known,) = costs(parse_offers(["1=100JPY"]), 1, {"jpy": Fee(360, 0)})
    assert known.fee_minor == 4


def test_what_somebody_reads_who_sets_prices() -> None:
    assert list(sentences(parse_offers(["1=2.00MYR"]), STANDARD_FEES)) == [
        "RM 2.00 by card: RM 1.06 goes to Stripe (53 %)"
    ]
