"""Lines of the books: their sums are the order's, whatever it is settled with, and reports add up one currency."""

from datetime import UTC
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain import books
from arcade_cloud.domain.balance import Entry
from arcade_cloud.domain.books import EVERY, Line, Row, Sums, total
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Books, Credit, Delivery, Draw, Order, Resolution
from arcade_cloud.domain.tallies import Report, added, grouped, name_for
from support.orders import NOW_MS, an_order, changed, only_payment

HALF_PAST_4_PM = 1_790_008_200_000  # 2026-09-21T16:30Z: half past midnight in Kuala Lumpur
KUALA_LUMPUR = ZoneInfo("Asia/Kuala_Lumpur")


def delivered(count: int, at_ms: int = NOW_MS) -> Delivery:
    done = Resolution(delivered=count, by="ack", at_ms=at_ms)
    return Delivery(drawn_at_ms=NOW_MS, due_at_ms=None, resolution=done)


def settled(*counts: int, price: int = 300, method: str | None = "card", **of_books: int) -> Order:
    """A settled order with a credit of three at cab-01, cab-02, … of which so many were delivered."""
    credits = tuple(
        Credit(
            machine_id=f"cab-{number + 1:02}",
            count=3,
            price_minor=price,
            draw=Draw(token=f"token-{number}", at_ms=NOW_MS) if number else None,
            delivery=delivered(count),
        )
        for number, count in enumerate(counts)
    )
    shown = Payment(
        payment_intent="pi_1",
        status="succeeded",
        amount_minor=price * len(counts),
        currency="myr",
        method=method,
    )
    order = an_order(amount_minor=price * len(counts), done=True)
    payment = msgspec.structs.replace(only_payment(order), stage="funded", shown=shown)
    return msgspec.structs.replace(order, payment=payment, credits=credits, books=Books(**of_books))


def book(order: Order, *booked: Line, at_ms: int = HALF_PAST_4_PM, **fields: Any) -> tuple[Line, ...]:
    arguments: dict[str, Any] = {"zone": UTC, "locations": {"cab-01": "Main Hall"}, **fields}
    return books.lines(booked, order, at_ms=at_ms, **arguments)


def test_a_settled_order_books_a_line_for_each_credit() -> None:
    first, second = book(settled(3, 1, target_minor=400))
    assert first == Line(
        order_id="ord_1",
        number=0,
        serial=1,
        day="2026-09-21",
        at_ms=HALF_PAST_4_PM,
        machine_id="cab-01",
        location="Main Hall",
        method="card",
        currency="myr",
        ordered=3,
        delivered=3,
        gross_minor=300,
    )
    assert (second.machine_id, second.location, second.delivered, second.gross_minor) == ("cab-02", "", 1, 100)


def test_a_day_begins_when_it_does_where_the_arcade_is() -> None:
    (line,) = book(settled(3, target_minor=300), zone=KUALA_LUMPUR)
    assert line.day == "2026-09-22"
    new_york = ZoneInfo("America/New_York")  # clocks go back on 2026-11-01 at 06:00Z
    assert books.day_of(1_793_505_540_000, new_york) == "2026-10-31"  # 03:59Z, before, at -4 hours
    assert books.day_of(1_793_595_540_000, new_york) == "2026-11-01"  # 04:59Z, after, at -5 hours


def test_a_second_settlement_books_the_difference_only() -> None:
    first = book(settled(3, target_minor=300))
    lowered = settled(3, method=None, target_minor=200, goodwill_minor=100)
    (line,) = book(lowered, *first)
    assert (line.serial, line.ordered, line.delivered, line.gross_minor) == (2, 0, 0, 0)
    assert (line.goodwill_minor, line.kept_minor, line.method) == (100, -100, "card")
    assert book(lowered, *first, line) == ()


@pytest.mark.parametrize("changes", [{"done": False, "due_at_ms": NOW_MS}])
def test_what_is_not_settled_books_nothing(changes: dict[str, Any]) -> None:
    order = changed(settled(3, target_minor=300), **changes)
    assert book(order) == ()
    assert not books.settles(None, order)


def test_money_that_belonged_to_no_order_books_nothing() -> None:
    returned = an_order(stage="returning", payment_intent="pi_1", done=True, due_at_ms=None)
    assert book(returned) == ()


def test_free_credits_book_their_number_and_no_money() -> None:
    grant = an_order(kind="grant", amount_minor=0, drawn_at_ms=NOW_MS, done=True, due_at_ms=None)
    grant = changed(grant, resolution=Resolution(delivered=2, by="ack", at_ms=NOW_MS))
    (line,) = book(grant)
    assert (line.method, line.currency, line.ordered, line.delivered, line.gross_minor) == ("free", "", 3, 2, 0)


def test_books_that_change_while_an_order_stays_settled_are_booked() -> None:
    before, lost = settled(3, target_minor=300), settled(3, lost_minor=300)
    assert books.settles(before, lost)
    assert not books.settles(before, changed(before, note="read again"))
    assert books.settles(changed(before, done=False), before)


amounts = st.lists(st.integers(0, 3), min_size=1, max_size=4)


@given(amounts, st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=4))
def test_however_often_an_order_is_settled_its_lines_say_what_its_books_say(
    counts: list[int], ends: list[tuple[int, int]]
) -> None:
    booked: tuple[Line, ...] = ()
    earned = sum(settled(*counts, price=500).credits[n].earned_minor("myr") for n in range(len(counts)))
    for goodwill, lost in ends:  # hundredths of what is left
        back = earned * goodwill // 100
        gone = (earned - back) * lost // 100
        order = settled(
            *counts, price=500, target_minor=earned - back - gone, goodwill_minor=back, lost_minor=gone
        )
        booked += book(order, *booked)
        assert total(booked) == Sums(3 * len(counts), sum(counts), earned, back, gone)
        assert total(booked).kept_minor == order.books.target_minor
        for share in books.shares(order):
            assert min(share.gross_minor, share.goodwill_minor, share.lost_minor, share.kept_minor) >= 0


def test_a_report_never_adds_two_currencies() -> None:
    line = book(settled(3, target_minor=300))[0]
    lines = [
        msgspec.structs.replace(line, order_id=f"ord_{number}", **fields)
        for number, fields in enumerate(({}, {"currency": "usd", "day": "2026-09-27"}, {}, {"day": "2026-09-28"}))
    ]
    tallies = [tally for one in lines for tally in added((), (one,)).items()]
    report = Report("week", grouped(tallies, "day", EVERY))
    three, six = Sums(3, 3, 300), Sums(6, 6, 600)
    assert report.rows() == [
        Row("2026-W39", "myr", six, 2, 2),
        Row("2026-W39", "usd", three, 1, 1),
        Row("2026-W40", "myr", three, 1, 1),
    ]
    assert report.totals() == [Row("total", "myr", Sums(9, 9, 900), 3, 3), Row("total", "usd", three, 1, 1)]
    assert report.lines == 4


# fees


def entry(**fields: Any) -> Entry:
    values: dict[str, Any] = {
        "entry_id": "txn_1",
        "what": "charge",
        "amount_minor": 300,
        "fee_minor": 109,
        "currency": "myr",
        "created_ms": HALF_PAST_4_PM,
        "payment_intent": "pi_1",
    }
    return Entry(**{**values, **fields})


def fee(order: Order, found: Entry, *booked: Line) -> Line | None:
    return books.fee_line(booked, order, found, at_ms=NOW_MS, zone=KUALA_LUMPUR, location="Moved Since")


def test_an_entry_of_stripes_balance_is_a_line_with_the_fee() -> None:
    order = settled(3, target_minor=300)
    booked = book(order)
    assert fee(order, entry(), *booked) == Line(
        order_id="ord_1",
        number=0,
        serial=2,
        day="2026-09-22",  # of the entry, in Kuala Lumpur
        at_ms=NOW_MS,
        machine_id="cab-01",
        location="Main Hall",  # where it was sold
        method="card",
        currency="myr",
        kind="fee",
        fee_minor=109,
        moved_minor=300,
        entry_id="txn_1",
        what="charge",
    )


def test_an_entry_is_booked_once_and_only_if_it_is_about_a_payment() -> None:
    order = settled(3, target_minor=300)
    line = fee(order, entry())
    assert line is not None
    assert (line.serial, line.location) == (1, "Moved Since")  # before the order has booked anything
    assert books.has_booked([line], entry())
    assert not books.has_booked([line], entry(entry_id="txn_2"))
    for what in ("payout", "other"):
        assert fee(order, entry(what=what)) is None


def test_fees_change_nothing_of_what_the_order_books() -> None:
    order = settled(3, target_minor=300)
    booked = book(order)
    line = fee(order, entry(), *booked)
    assert line is not None
    assert book(order, *booked, line) == ()
    (less,) = book(settled(3, target_minor=200, goodwill_minor=100), *booked, line)
    assert (less.serial, less.goodwill_minor, less.fee_minor) == (3, 100, 0)
    sums = total((*booked, line))
    assert (sums.kept_minor, sums.fee_minor, sums.net_minor) == (300, 109, 191)
    assert total(books.plays((*booked, line))) == total(booked)


def test_a_refund_that_this_cloud_did_not_make_is_one_by_hand() -> None:
    order = settled(3, target_minor=300)
    for key, what in (
        ("refund:ord_1:200:0", "refund"),
        ("", "refund by hand"),
        ("refund:ord_2:0:0", "refund by hand"),
    ):
        line = fee(order, entry(what="refund", amount_minor=-100, fee_minor=0, key=key))
        assert line is not None
        assert line.what == what


def reported(by: Any, *lines: Line) -> Report:
    """A report of what an order has booked."""
    return Report(by, grouped(added((), lines).items(), name_for(by), EVERY))


def test_a_report_says_which_fees_are_not_known() -> None:
    order = settled(3, target_minor=300)
    booked = book(order)
    known = fee(order, entry(), *booked)
    assert known is not None
    report = reported("machine", *booked)
    assert [(row.charged, row.fees_open) for row in (*report.rows(), *report.totals())] == [(1, 1), (1, 1)]
    report = reported("machine", *booked, known)
    assert [(row.charged, row.fees_open) for row in (*report.rows(), *report.totals())] == [(1, 0), (1, 0)]


def test_a_dispute_tells_nothing_of_the_charges_fee() -> None:
    order = settled(3, target_minor=300)
    line = fee(order, entry(what="dispute", amount_minor=-300, fee_minor=1500), *book(order))
    assert line is not None
    assert [row.fees_open for row in reported("method", *book(order), line).totals()] == [1]


def test_free_credits_and_lost_holds_owe_no_fee() -> None:
    gone = settled(3, target_minor=0, lost_minor=300)
    assert not any(books.owes_fee(line) for line in book(gone))
    assert [books.owes_fee(line) for line in book(settled(3, target_minor=100, goodwill_minor=200))] == [True]
    free = msgspec.structs.replace(book(settled(3, target_minor=300))[0], currency="")
    assert not books.owes_fee(free)


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("day", "2026-09-21"),
        ("month", "2026-09"),
        ("location", "Main Hall"),
        ("machine", "cab-01"),
        ("method", "card"),
    ],
)
def test_a_report_is_by_any_of_these(by: Any, name: str) -> None:
    assert [row.name for row in reported(by, *book(settled(3, target_minor=300))).rows()] == [name]
