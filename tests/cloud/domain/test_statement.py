"""The share of a location: rounded once, to what can be paid; flat sums are for whole months."""

from datetime import date
from decimal import Decimal

import pytest

from arcade_cloud.domain.books import Row, Sums
from arcade_cloud.domain.statement import Share, Total, checked_share, month_of, totals
from arcade_cloud.errors import BadRequest


def of(currency: str, kept_minor: int, share: Share) -> Total:
    (total,) = totals([Row("total", currency, Sums(gross_minor=kept_minor))], share)
    return total


@pytest.mark.parametrize(
    ("currency", "kept_minor", "percent", "part"),
    [
        ("myr", 1_120, "12.5", 140),
        ("myr", 25, "50", 12),  # 12.5: to the even one
        ("myr", 27, "50", 14),  # 13.5
        ("kwd", 1_999, "50", 1_000),  # Stripe's steps of three decimals end in 0
        ("kwd", 1_990, "50", 990),
        ("isk", 1_500, "50", 700),  # whole krónur
        ("jpy", 333, "33.33", 111),
        ("myr", 0, "30", 0),
        ("myr", -100, "30", -30),  # more was given back than taken
        ("myr", 1_120, "0", 0),
        ("myr", 1_120, "100", 1_120),
    ],
)
def test_a_percentage_is_rounded_to_what_can_be_paid(
    currency: str, kept_minor: int, percent: str, part: int
) -> None:
    total = of(currency, kept_minor, Share(percent=Decimal(percent)))
    assert (total.percent_minor, total.flat_minor, total.due_minor) == (part, None, part)


def test_free_credits_have_no_share() -> None:
    found = totals([Row("total", "", Sums(ordered=3, delivered=3))], Share(percent=Decimal(30), flat="5.00MYR"))
    assert [(one.currency, one.due_minor) for one in found] == [("", None), ("myr", 500)]


@pytest.mark.parametrize(
    ("currency", "flat", "minor"),
    [("myr", "250.00MYR", 25_000), ("myr", "250", 25_000), ("jpy", "¥ 300", 300), ("kwd", "5.500 KWD", 5_500)],
)
def test_a_flat_sum_is_read_as_people_write_it(currency: str, flat: str, minor: int) -> None:
    total = of(currency, 1_000, Share(flat=flat))
    assert (total.percent_minor, total.flat_minor, total.due_minor) == (None, minor, minor)


@pytest.mark.parametrize("flat", ["5.005KWD", "5.50JPY", "1.50ISK", "-1.00MYR", "1e3MYR", "MYR", "5.00ABC"])
def test_what_is_no_sum_is_refused(flat: str) -> None:
    with pytest.raises(BadRequest):
        of("myr", 1_000, Share(flat=flat))


def test_a_month_is_a_whole_one_and_none_that_is_to_come() -> None:
    today = date(2026, 11, 27)
    assert month_of("2026-02", today) == (date(2026, 2, 1), date(2026, 2, 28))
    assert month_of(None, today) == (date(2026, 11, 1), date(2026, 11, 30))
    assert month_of("2027-03", today) == (date(2026, 11, 1), date(2026, 11, 30))
    assert month_of("2025-12", today) == (date(2025, 12, 1), date(2025, 12, 31))
    for text in ("x", "2026-13", "2026-1", "0000-01", "2026-11-01"):
        with pytest.raises(BadRequest):
            month_of(text, today)


def test_a_flat_sum_needs_its_location() -> None:
    assert checked_share("", "5.00MYR", "Mid Valley") == Share(flat="5.00MYR")
    assert checked_share(" 12.5 ", "", None) == Share(percent=Decimal("12.5"))
    with pytest.raises(BadRequest, match="name the location"):
        checked_share("", "5.00MYR", None)
