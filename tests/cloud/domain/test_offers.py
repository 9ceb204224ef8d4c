"""Offers as operators type them: what is meant is understood, what makes no sense is refused."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from arcade_cloud.domain.offers import (
    doubts,
    next_sold_ms,
    offer_text,
    parse_offer,
    parse_offers,
    sold_now,
    still_sold,
    week,
)
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
        "6+=12.00MYR",
        "+1=12.00MYR",
        "0+1=12.00MYR",
        "3=4.00MYR/monday",
        "3=4.00MYR/",
        "3=4.00MYR/14:00-14:05",
    ],
)
def test_an_offer_that_makes_no_sense_is_refused(text):
    with pytest.raises(BadRequest):
        parse_offer(text)


@pytest.mark.parametrize(
    "text",
    [
        "1=2.00MYR",
        "3=500JPY",
        "3=5.50EUR@price_1A",
        "3=1.250KWD",
        "3=2.000BHD",
        "6+1=12.00MYR",
        "3=4.00MYR/mon-fri/14:00-17:00",
        "6+1=12.00MYR@price_1A/22:00-02:00",
        "2=3.00MYR/sat+sun",
    ],
)
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


def test_a_bonus_is_among_the_credits_and_part_of_what_the_price_buys():
    offer = parse_offer("6+1=12.00MYR")
    assert (offer.credits, offer.bonus, offer.amount_minor, offer.offer_id) == (7, 1, 1200, "c6b1-1200myr")


def test_the_same_credits_may_cost_less_at_times():
    usual, happy = parse_offers(["3=5.00MYR", "3=4.00MYR/mon-fri/14:00-17:00"])
    assert (usual.offer_id, happy.offer_id) == ("c3-500myr", "c3-400myr-mon-fri-1400-1700")
    assert list(doubts((usual, happy))) == []
    assert len(list(doubts(parse_offers(["3=5.00MYR/sat", "3=4.00MYR/sat"])))) == 2  # both have hours; one is dear


def test_a_machine_that_sells_only_at_times_is_a_doubt():
    (doubt,) = doubts(parse_offers(["3=4.00MYR/14:00-17:00"]))
    assert "sells nothing" in doubt


HOME = ZoneInfo("Asia/Kuala_Lumpur")


def at(text):
    return int(datetime.fromisoformat(text).replace(tzinfo=HOME).timestamp() * 1000)


def test_what_is_sold_now_and_next():
    offers = parse_offers(["3=5.00MYR", "3=4.00MYR/mon-fri/14:00-17:00", "3=3.00MYR/sun"])
    friday = at("2026-11-27T15:00")
    assert sold_now(offers, friday, HOME) == offers[:2]
    assert sold_now(offers, at("2026-11-27T17:00"), HOME) == offers[:1]
    assert still_sold(offers[1], at("2026-11-27T17:05"), HOME)
    assert not still_sold(offers[2], friday, HOME)
    assert next_sold_ms(offers[1:], at("2026-11-27T18:00"), HOME) == at("2026-11-29T00:00")
    assert next_sold_ms(offers[:1], friday, HOME) is None


def test_a_week_of_prices():
    offers = parse_offers(["3=5.00MYR", "3=4.00MYR/mon-fri/14:00-17:00", "3=3.00MYR/sun"])
    shown = {day: [(when, offer.amount_minor) for when, offer in sold] for day, sold in week(offers)}
    assert shown["wed"] == [("", 500), ("14:00-17:00", 400)]
    assert shown["sat"] == [("", 500)]
    assert shown["sun"] == [("", 500), ("", 300)]
    assert week(offers[:1]) == []
