"""Receipts: who gets a number, what a document says, and what a month of them comes to."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.books import FEE, Line
from arcade_cloud.domain.receipts import (
    Issuing,
    Receipt,
    ReceiptDue,
    Series,
    checked_prefix,
    documents,
    due,
    due_of,
    fields,
    numbered,
    parse_rate,
    rate_text,
    summary,
    tax_minor,
    total_fields,
)
from arcade_cloud.errors import BadRequest

NOW_MS = 1_790_000_000_000


def a_line(order_id: str = "o-1", serial: int = 1, **amounts: Any) -> Line:
    values = {"number": 0, "day": "2026-11-26", "machine_id": "cab-01", "currency": "myr", **amounts}
    return Line(**{"order_id": order_id, "serial": serial, "at_ms": NOW_MS + serial, **values})


def a_receipt(number: int, order_id: str = "o-1", **values: Any) -> Receipt:
    return Receipt(number=number, order_id=order_id, **{"serial": 1, "issued_at_ms": NOW_MS + 9, **values})


SOLD = a_line(gross_minor=800, ordered=5, delivered=4)
REFUNDED = a_line(serial=3, goodwill_minor=300)


# who gets a number


def test_an_order_waits_when_it_first_books_what_is_kept() -> None:
    waits = ReceiptDue(order_id="o-1", serial=1, at_ms=SOLD.at_ms)
    assert due((), (SOLD,)) == waits
    assert due((), ()) is None
    assert due((SOLD,), (REFUNDED,)) is None
    assert due((SOLD,), (a_line(serial=2, gross_minor=100),)) is None
    fee = a_line(serial=2, kind=FEE, fee_minor=106, moved_minor=800)
    assert due((), (fee,)) is None
    late = a_line(serial=3, gross_minor=100)
    assert due((fee,), (late,)) == ReceiptDue(order_id="o-1", serial=3, at_ms=NOW_MS + 3)


@pytest.mark.parametrize(
    "line",
    [
        a_line(currency="", ordered=3, delivered=3),
        a_line(ordered=3),
        a_line(gross_minor=200, goodwill_minor=200),
        a_line(gross_minor=200, lost_minor=200),
    ],
    ids=["a grant", "nothing delivered", "all given back at once", "all lost at once"],
)
def test_an_order_of_which_nothing_is_kept_gets_none(line: Line) -> None:
    assert due((), (line,)) is None
    assert due_of([line]) is None
    assert documents([line], {}) == []


def test_of_all_that_an_order_has_booked_the_first_that_is_kept_counts() -> None:
    lost, back = a_line(gross_minor=200, lost_minor=200), a_line(serial=4, lost_minor=-200)
    assert due_of([back, lost]) == ReceiptDue(order_id="o-1", serial=4, at_ms=NOW_MS + 4)
    assert due_of([REFUNDED, SOLD]) == ReceiptDue(order_id="o-1", serial=1, at_ms=NOW_MS + 1)


def test_the_credits_of_an_order_are_one_sale() -> None:
    back = a_line(gross_minor=100, goodwill_minor=100)
    kept = a_line(number=1, gross_minor=200, machine_id="cab-02")
    assert due((), (back, kept)) == ReceiptDue(order_id="o-1", serial=1, at_ms=NOW_MS + 1)
    (one,) = documents([back, kept], {})
    assert (one.amount_minor, one.machine_ids) == (200, ("cab-01", "cab-02"))


def test_numbers_go_on_from_the_series_and_an_order_gets_one() -> None:
    waiting = [ReceiptDue(order_id=name, serial=1, at_ms=NOW_MS + at) for at, name in enumerate("abacd")]
    found, after = numbered(
        Series(prefix="A-", last=40, begun_ms=5), waiting, ["c"], Issuing(prefix="A-", tax_bp=800), NOW_MS + 99
    )
    assert [(one.name, one.order_id, one.tax_bp, one.issued_at_ms) for one in found] == [
        ("A-41", "a", 800, NOW_MS + 99),
        ("A-42", "b", 800, NOW_MS + 99),
        ("A-43", "d", 800, NOW_MS + 99),
    ]
    assert after == Series(prefix="A-", last=43, begun_ms=5)


def test_a_series_begins_with_its_first_order() -> None:
    late, early = (ReceiptDue(order_id=name, serial=1, at_ms=at) for name, at in (("a", 900), ("b", 800)))
    _, after = numbered(Series(), [late, early], [], Issuing(), NOW_MS)
    assert after == Series(last=2, begun_ms=800)


# what is entered


@pytest.mark.parametrize("text", ["", "A-", "2026/", "Kuala_Lumpur"])
def test_a_prefix_may_be(text: str) -> None:
    assert checked_prefix(text) == text


@pytest.mark.parametrize("text", ["A1", "7", "A" * 13, "A B-", "Ä-", "A-\n", "#"])
def test_a_prefix_may_not_be(text: str) -> None:
    with pytest.raises(BadRequest, match="is no prefix"):
        checked_prefix(text)


@pytest.mark.parametrize(("text", "tax_bp"), [("8", 800), ("7.25", 725), ("0", 0), ("0.5", 50), ("99.99", 9_999)])
def test_a_rate_is_per_cent(text: str, tax_bp: int) -> None:
    assert parse_rate(text) == tax_bp
    assert parse_rate(rate_text(tax_bp)) == tax_bp


@pytest.mark.parametrize("text", ["", "8%", "-1", "100", "1.234", "1e1", "٨", "8\n"])
def test_a_rate_is_nothing_else(text: str) -> None:
    with pytest.raises(BadRequest, match="is no tax rate"):
        parse_rate(text)


def test_tax_is_what_the_price_includes() -> None:
    assert (tax_minor(800, 800), tax_minor(1_080, 800), tax_minor(200, 600)) == (59, 80, 11)
    assert tax_minor(500, 0) == 0


@given(st.integers(0, 10**12), st.integers(0, 9_999))
def test_tax_is_rounded_to_the_nearest_and_a_refund_of_all_has_all_of_it(amount: int, tax_bp: int) -> None:
    exact = Fraction(amount * tax_bp, 10_000 + tax_bp)
    assert abs(tax_minor(amount, tax_bp) - exact) <= Fraction(1, 2)
    assert tax_minor(-amount, tax_bp) == -tax_minor(amount, tax_bp)


# documents


def test_a_sale_is_a_receipt_and_what_follows_are_notes_to_it() -> None:
    again = a_line(serial=4, goodwill_minor=-100)
    lost = a_line(serial=6, lost_minor=500)
    fee = a_line(serial=2, kind=FEE, fee_minor=106, moved_minor=800)
    receipt = a_receipt(17, prefix="A-", tax_bp=800)
    found = documents([lost, SOLD, fee, again, REFUNDED], {"o-1": receipt})
    assert [(one.name, one.kind, one.amount_minor, one.tax_minor, one.lost_minor) for one in found] == [
        ("A-17", "receipt", 800, 59, 0),
        ("A-17/3", "credit note", -300, -22, 0),
        ("A-17/4", "debit note", 100, 7, 0),
        ("A-17/6", "credit note", -500, -37, 500),
    ]
    assert fields(found[1]) == {
        "document": "A-17/3",
        "kind": "credit note",
        "receipt": "A-17",
        "day": "2026-11-26",
        "at": "2026-09-21T14:13:20.003Z",
        "issued": "2026-09-21T14:13:20.009Z",
        "order": "o-1",
        "code": "LS64W5",
        "machines": "cab-01",
        "currency": "MYR",
        "amount": "-3.00",
        "taxRate": "8",
        "tax": "-0.22",
        "net": "-2.78",
        "lost": "0.00",
    }


def test_without_a_number_a_sale_is_a_receipt_all_the_same() -> None:
    one, note = documents([SOLD, REFUNDED], {})
    assert (one.kind, one.name, note.kind, note.name) == ("receipt", None, "credit note", None)
    assert fields(one)["document"] is fields(one)["receipt"] is fields(one)["issued"] is None


def test_a_month_says_which_numbers_it_has_and_what_has_none() -> None:
    lines = [a_line(f"o-{number}", gross_minor=100) for number in range(1, 9)]
    numbers = {1: "A-", 2: "A-", 3: "A-", 5: "A-", 6: "B-", 7: ""}
    receipts = {f"o-{at}": a_receipt(at, f"o-{at}", prefix=prefix) for at, prefix in numbers.items()}
    found = documents(lines, receipts)
    late = summary(found, NOW_MS)
    assert late.numbers == ("7", "A-1 – A-3", "A-5", "B-6")
    assert (late.waiting, late.before) == (2, 0)
    assert (summary(found, NOW_MS + 2).waiting, summary(found, NOW_MS + 2).before) == (0, 2)
    assert (summary(found, None).waiting, summary(found, None).before) == (0, 2)


def test_the_totals_of_a_month_are_by_currency_and_rate() -> None:
    lines = [
        SOLD,
        REFUNDED,
        a_line("o-2", gross_minor=100),
        a_line("o-3", gross_minor=300, currency="jpy"),
        a_line("o-4", gross_minor=106),
    ]
    rates = {"o-1": 800, "o-2": 800, "o-3": 800, "o-4": 600}
    receipts = {name: a_receipt(number, name, tax_bp=rate) for number, (name, rate) in enumerate(rates.items(), 1)}
    found = summary(documents(lines, receipts), NOW_MS)
    assert [total_fields("2026-11", one, found) for one in found.totals] == [
        _row("JPY", "8", 1, 0, "300", "0", "300", "22", "278"),
        _row("MYR", "6", 1, 0, "1.06", "0.00", "1.06", "0.06", "1.00"),
        _row("MYR", "8", 2, 1, "9.00", "-3.00", "6.00", "0.44", "5.56"),
    ]


def _row(currency: str, rate: str, receipts: int, notes: int, *amounts: str) -> dict[str, object]:
    received, noted, amount, tax, net = amounts
    counts = {"receipts": receipts, "notes": notes}
    sums = {"received": received, "noted": noted, "amount": amount, "tax": tax, "net": net}
    return {
        "month": "2026-11",
        "numbers": "1 – 4",
        "waiting": 0,
        "currency": currency,
        "taxRate": rate,
        **counts,
        **sums,
    }


_amounts = st.integers(0, 10_000)
_lines = st.builds(
    a_line,
    order_id=st.sampled_from(["o-1", "o-2", "o-3"]),
    serial=st.integers(1, 6),
    number=st.integers(0, 2),
    gross_minor=_amounts,
    goodwill_minor=_amounts,
    lost_minor=st.integers(-500, 500),
    currency=st.just("myr"),
)


@given(st.lists(_lines, max_size=30), st.sets(st.sampled_from(["o-1", "o-2", "o-3"])))
def test_documents_come_to_what_their_lines_say_is_kept(lines: list[Line], with_number: set[str]) -> None:
    receipts = {name: a_receipt(number, name, tax_bp=800) for number, name in enumerate(sorted(with_number), 1)}
    found = summary(documents(lines, receipts), NOW_MS)
    kept = sum(line.gross_minor - line.goodwill_minor - line.lost_minor for line in lines)
    assert sum(one.amount_minor for one in found.totals) == kept
