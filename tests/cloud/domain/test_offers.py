"""Offers as operators type them: what is meant is understood, what makes no sense is refused."""

import pytest

from arcade_cloud.domain.offers import doubts, offer_text, parse_offer, parse_offers
from arcade_cloud.errors import BadRequest


@pytest.mark.parametrize(
    ("text", "credits", "amount", "currency", "price_id"),
    [
        ("1=2.00MYR", 1, 200, "myr", None),
        ("6=10myr", 6, 1000, "myr", None),
        ("3=500JPY", 3, 500, "jpy", None),
        ("3=5.50EUR@price_1A", 3, 550, "eur", "price_1A"),
        ("3=1.250KWD", 3, 1250, "kwd", None),
        ("3=2BHD", 3, 2000, "bhd", None),
        ("3=500ISK", 3, 50_000, "isk", None),
        ("3=5000UGX", 3, 500_000, "ugx", None),
    ],
)
def test_offers_are_written_as_people_write_them(text, credits, amount, currency, price_id):
    offer = parse_offer(text)
    assert (offer.credits, offer.amount_minor, offer.currency, offer.price_id) == (
        credits,
        amount,
        currency,
        price_id,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "0=1.00MYR",
        "3=0MYR",
        "-3=1MYR",
        "3=1.0MYR",
        "3=1.005MYR",
        "3=5.00JPY",
        "3=1.00RINGGIT",
        "3=1",
        "3=1.25KWD",
        "3=1.255KWD",
        "3=5.00ISK",
        "3=1.00XYZ",
        "3=٥MYR",
    ],
)
def test_an_offer_that_makes_no_sense_is_refused(text):
    with pytest.raises(BadRequest):
        parse_offer(text)


@pytest.mark.parametrize("text", ["1=2.00MYR", "3=500JPY", "3=5.50EUR@price_1A", "3=1.250KWD", "3=2.000BHD"])
def test_an_offer_is_shown_as_it_is_written(text):
    assert offer_text(parse_offer(text)) == text


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["1=2.00MYR", "6=10.00MYR"], []),
        (["1=2.00MYR", "1=3.00MYR"], ["1=3.00MYR beside 1=2.00MYR"]),
        (["1=2.00MYR", "2=2.00MYR"], ["1=2.00MYR beside 2=2.00MYR"]),
        (["1=2.00MYR", "6=1.00MYR"], ["1=2.00MYR beside 6=1.00MYR"]),
        (["1=2.00MYR", "6=9999999.00MYR"], ["is RM 9999999.00 meant?"]),
        (["1=999999.99MYR"], []),
    ],
)
def test_what_is_probably_mistyped_is_told(texts: list[str], said: list[str]) -> None:
    told = list(doubts(parse_offers(texts)))
    assert len(told) == len(said), told
    assert all(part in text for part, text in zip(said, told, strict=True))
