"""The rules of reconciling a day, one by one, and that docs/OPERATING.md tells every cause."""

import re
from datetime import UTC, date
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import msgspec
import pytest

from arcade_cloud.domain import reconciling
from arcade_cloud.domain.balance import Entry, Payout
from arcade_cloud.domain.books import Line
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Arrival, Books, Delivery, Order, Resolution
from arcade_cloud.domain.ownership import Ours
from arcade_cloud.domain.reconciling import (
    MEANINGS,
    SETTLED_WITHIN_MS,
    TAKEN_IN_WITHIN_MS,
    TOLD_WITHIN_MS,
    Cause,
    DayReport,
    DaySums,
    Difference,
)
from support.orders import NOW_MS, an_order, only_credit, only_payment

DAY = "2026-11-26"
LATER_MS = NOW_MS + 3 * 86_400_000
OURS = Ours(order_id="ord_1", amount_minor=300, currency="myr", machine_id="cab-01", site="https://x")


def an_entry(**fields: Any) -> Entry:
    values: dict[str, Any] = {
        "entry_id": "txn_1",
        "what": "charge",
        "amount_minor": 300,
        "fee_minor": 109,
        "currency": "myr",
        "created_ms": NOW_MS,
        "payment_intent": "pi_1",
    }
    return Entry(**{**values, **fields})


def a_line(**fields: Any) -> Line:
    values: dict[str, Any] = {
        "order_id": "ord_1",
        "number": 0,
        "serial": 1,
        "day": DAY,
        "at_ms": NOW_MS,
        "machine_id": "cab-01",
        "currency": "myr",
        "ordered": 3,
        "delivered": 3,
        "gross_minor": 300,
    }
    return Line(**{**values, **fields})


def moved(amount: int, what: str = "charge", **fields: Any) -> Line:
    """A line of what Stripe's balance moved."""
    values: dict[str, Any] = {"kind": "fee", "moved_minor": amount, "what": what, "entry_id": f"txn_{what}"}
    return a_line(**{"ordered": 0, "delivered": 0, "gross_minor": 0, **values, **fields})


def settled(by: Any = "ack", late: int | None = None, dispute: Any = "none", **of_books: int) -> Order:
    """An order of three credits for RM 3.00, all delivered and settled."""
    order = an_order(amount_minor=300, done=True)
    done = Resolution(delivered=3, by=by, at_ms=NOW_MS)
    delivery = Delivery(drawn_at_ms=NOW_MS, due_at_ms=None, resolution=done, late_report=late)
    credit = msgspec.structs.replace(only_credit(order), count=3, price_minor=300, delivery=delivery)
    shown = Payment(payment_intent="pi_1", status="succeeded", amount_minor=300, currency="myr", dispute=dispute)
    payment = msgspec.structs.replace(
        only_payment(order),
        stage="funded",
        payment_intent="pi_1",
        shown=shown,
        arrival=Arrival(paid_at_ms=NOW_MS),
    )
    books = Books(**{"target_minor": 300, **of_books})
    return msgspec.structs.replace(order, payment=payment, credits=(credit,), books=books)


def of(order: Order, *booked: Line, now_ms: int = LATER_MS, day: str = DAY, meter: str = "") -> list[Difference]:
    return reconciling.of_order(order, booked, day, meter_says=meter, now_ms=now_ms)


def causes(found: list[Difference]) -> list[tuple[str, int, bool]]:
    return [(one.cause, one.amount_minor, one.alerts) for one in found]


# --- an order --------------------------------------------------------------------------------------------


def test_books_that_stripe_agrees_with_are_no_difference() -> None:
    assert of(settled(), a_line(), moved(300)) == []
    given_back = a_line(serial=3, ordered=0, delivered=0, gross_minor=0, goodwill_minor=100)
    assert of(settled(), a_line(), moved(300), given_back, moved(-100, "refund")) == []
    # As Stripe's older API versions enter a partial capture.
    assert of(settled(), a_line(), moved(900), moved(-600, "capture reversed")) == []
    assert of(settled(owed_minor=100), a_line(goodwill_minor=100), moved(300)) == []


def test_what_stripe_has_not_told_yet_is_no_difference_for_some_hours() -> None:
    assert causes(of(settled(), a_line(), now_ms=NOW_MS + TOLD_WITHIN_MS - 1)) == [("not_told_yet", -300, False)]
    assert causes(of(settled(), a_line(), now_ms=NOW_MS + TOLD_WITHIN_MS)) == [("not_at_stripe", -300, True)]


def test_an_order_that_is_not_settled_has_a_day_and_some_hours() -> None:
    order = settled()
    unsettled = msgspec.structs.replace(
        order, settlement=msgspec.structs.replace(order.settlement, done=False, due_at_ms=1)
    )
    before, after = NOW_MS + SETTLED_WITHIN_MS - 1, NOW_MS + SETTLED_WITHIN_MS
    assert causes(of(unsettled, moved(300), now_ms=before)) == [("not_told_yet", 300, False)]
    assert causes(of(unsettled, moved(300), now_ms=after)) == [("older_record", 300, True)]


@pytest.mark.parametrize("lost", [0, 100])
def test_a_refund_by_hand_is_told_on_its_day_and_alerts_if_the_books_lack_it(lost: int) -> None:
    booked = [a_line(lost_minor=lost), moved(300), moved(-100, "refund by hand")]
    assert causes(of(settled(), *booked)) == [("refund_by_hand", -100, lost == 0)]
    assert of(settled(), *booked, day="2026-11-27") == []


def test_a_dispute_alerts_only_if_the_record_does_not_know_it() -> None:
    booked = [a_line(), moved(300), moved(-200, "dispute")]
    assert causes(of(settled(dispute="open"), *booked)) == [("dispute", -200, False)]
    assert causes(of(settled(), *booked)) == [("dispute", -200, True)]
    won = [*booked, moved(200, "dispute won")]
    assert causes(of(settled(dispute="won"), *won)) == [("dispute", 0, False)]


def test_both_at_once_explain_a_difference_and_a_third_does_not_hide_behind_them() -> None:
    both = [a_line(), moved(300), moved(-50, "refund by hand"), moved(-200, "dispute")]
    assert causes(of(settled(dispute="open"), *both)) == [("refund_by_hand", -50, True), ("dispute", -200, False)]
    third = [*both, moved(-7, "refund")]
    assert causes(of(settled(dispute="open"), *third)) == [
        ("refund_by_hand", -50, False),
        ("dispute", -200, False),
        ("older_record", -257, True),
    ]


def test_an_order_that_is_open_here_and_paid_at_stripe_has_lost_its_webhook() -> None:
    assert causes(of(an_order(amount_minor=300), moved(300))) == [("lost_webhook", 300, True)]


def test_sums_in_another_currency_are_not_compared() -> None:
    assert of(settled(), a_line(), moved(70, currency="usd")) == []


def test_what_machines_reported_is_told_on_the_day_of_the_play() -> None:
    booked = [a_line(), moved(300)]
    assert causes(of(settled(late=1), *booked)) == [("late_report", 0, False)]
    assert of(settled(late=3), *booked) == []
    for by in ("silence", "last resort", "unconfirmed"):
        assert causes(of(settled(by=by), *booked)) == [("unconfirmed", 0, False)]
    (meter,) = of(settled(), *booked, meter="1 registered, 3 of 3 count as delivered")
    assert (meter.cause, meter.text) == ("meter_short", "1 registered, 3 of 3 count as delivered")
    assert of(settled(late=1, by="silence"), *booked, meter="x", day="2026-11-27") == []


# --- entries and payouts ---------------------------------------------------------------------------------


def unknown(entry: Entry, **fields: Any) -> Difference | None:
    values: dict[str, Any] = {"is_marked": False, "is_on_record": False, "is_unclaimed": False, "now_ms": LATER_MS}
    return reconciling.of_unknown(entry, **{**values, **fields})


@pytest.mark.parametrize(
    ("entry", "fields", "cause"),
    [
        (an_entry(), {}, None),
        (an_entry(what="refund", amount_minor=-300), {}, None),
        (an_entry(what="dispute", amount_minor=-300), {}, None),
        (an_entry(), {"is_unclaimed": True}, "unclaimed"),
        (an_entry(claims=OURS), {"is_marked": True}, "unknown_order"),
        (an_entry(claims=OURS), {"is_marked": True, "is_on_record": True}, "lost_webhook"),
        (an_entry(claims=OURS, was_held=True), {"is_marked": True, "is_on_record": True}, "older_record"),
        (an_entry(claims=OURS), {}, None),
        (an_entry(what="refund", key="refund:ord_1:0:0"), {}, "unknown_order"),
        (an_entry(what="payout", amount_minor=-300, payment_intent=None), {}, None),
        (an_entry(what="payout", amount_minor=300, payment_intent=None), {}, "payout_failed"),
        (an_entry(what="fee", amount_minor=0, payment_intent=None), {}, "account_fee"),
        (an_entry(what="other", payment_intent=None), {}, "other_entry"),
    ],
)
def test_an_entry_without_an_order_has_one_cause(entry: Entry, fields: Any, cause: str | None) -> None:
    found = unknown(entry, **fields)
    assert (None if found is None else found.cause) == cause
    if found is not None:
        assert found.alerts == (found.cause in {"unknown_order", "lost_webhook", "older_record", "payout_failed"})


def test_a_payment_of_the_last_hour_may_still_be_taken_in() -> None:
    for age, cause in ((TAKEN_IN_WITHIN_MS - 1, "not_told_yet"), (TAKEN_IN_WITHIN_MS, "unknown_order")):
        found = unknown(an_entry(claims=OURS), is_marked=True, now_ms=NOW_MS + age)
        assert found is not None
        assert found.cause == cause


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ("paid", None),
        ("pending", "payout_in_transit"),
        ("in_transit", "payout_in_transit"),
        ("failed", "payout_failed"),
        ("canceled", "payout_failed"),
    ],
)
def test_a_payout_is_at_the_bank_on_its_way_or_failed(status: str, cause: str | None) -> None:
    payout = Payout(
        payout_id="po_1", amount_minor=500, currency="myr", status=status, created_ms=NOW_MS, arrives_ms=NOW_MS
    )
    found = reconciling.of_payout(payout)
    assert (None if found is None else found.cause) == cause


def test_sums_are_by_currency_and_by_what_moved() -> None:
    sums: tuple[DaySums, ...] = ()
    for entry, is_ours in (
        (an_entry(), True),
        (an_entry(what="refund", amount_minor=-100, fee_minor=0), True),
        (an_entry(what="dispute", amount_minor=-200, fee_minor=1500), True),
        (an_entry(amount_minor=4_900, fee_minor=247), False),
        (an_entry(what="fee", amount_minor=0, fee_minor=250), True),
        (an_entry(what="payout", amount_minor=-700, fee_minor=0), False),
        (an_entry(what="other", amount_minor=1, fee_minor=0), True),
        (an_entry(currency="usd"), True),
    ):
        sums = reconciling.added(sums, entry, is_ours=is_ours)
    assert sums == (
        DaySums(
            currency="myr",
            charged_minor=300,
            refunded_minor=100,
            disputed_minor=200,
            fees_minor=109 + 1500 + 250,
            paid_out_minor=700,
            others=1,
            others_minor=4_653,
            other_minor=1,
        ),
        DaySums(currency="usd", charged_minor=300, fees_minor=109),
    )


def test_a_day_begins_and_ends_at_midnight_where_the_arcade_is() -> None:
    hour_ms = 3_600_000
    begin_ms, end_ms = reconciling.bounds_ms(date(2026, 11, 26), UTC)
    assert (begin_ms % (24 * hour_ms), end_ms - begin_ms) == (0, 24 * hour_ms)
    kuala_lumpur = reconciling.bounds_ms(date(2026, 11, 26), ZoneInfo("Asia/Kuala_Lumpur"))
    assert kuala_lumpur == (begin_ms - 8 * hour_ms, end_ms - 8 * hour_ms)
    # The day on which the clocks go back has 25 hours.
    begin_ms, end_ms = reconciling.bounds_ms(date(2026, 10, 25), ZoneInfo("Europe/Berlin"))
    assert end_ms - begin_ms == 25 * hour_ms
    for last in (date.min, date.max):
        for zone in ("Asia/Kuala_Lumpur", "America/Lima"):
            begin_ms, end_ms = reconciling.bounds_ms(last, ZoneInfo(zone))
            assert end_ms - begin_ms == 24 * hour_ms


def test_what_was_accepted_is_told_no_more() -> None:
    one = Difference(cause="older_record", subject="pi_1", text="x", alerts=True)
    note = Difference(cause="not_told_yet", subject="pi_2", text="x")
    report = DayReport(day=DAY, differences=(one, note))
    assert (report.found, report.to_act_on, report.wants_another_look) == ((one,), (one,), True)
    accepted = msgspec.structs.replace(report, accepted=(one.key,))
    assert (accepted.found, accepted.to_act_on, accepted.wants_another_look) == ((), (), True)
    done = msgspec.structs.replace(accepted, differences=(one,))
    assert not done.wants_another_look


def test_what_alerts_is_dropped_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "DIFFERENCES_AT_MOST", 2)
    note = Difference(cause="not_told_yet", subject="1", text="x")
    told = Difference(cause="dispute", subject="2", text="x")
    untold = Difference(cause="older_record", subject="3", text="x", alerts=True)
    assert reconciling.with_more([note, told], [untold]) == ((untold, told), 1)
    assert reconciling.with_more([note], [told]) == ((note, told), 0)


# --- the words -------------------------------------------------------------------------------------------


def test_every_cause_has_a_meaning_and_says_what_to_do() -> None:
    assert set(MEANINGS) == set(get_args(Cause))
    assert all(meaning.text and meaning.todo for meaning in MEANINGS.values())
    assert not any(meaning.todo.endswith(".") for meaning in MEANINGS.values())


def test_the_operators_guide_tells_every_cause() -> None:
    text = (Path(__file__).parents[3] / "docs/OPERATING.md").read_text()
    section = text[text.index("## Reconciliation") :]
    differences, notes = section.split("| note, and no difference | is |")
    told = re.findall(r"^\| `(\w+)` \|", differences, flags=re.MULTILINE)
    assert told == [cause for cause, meaning in MEANINGS.items() if not meaning.is_note]
    assert re.findall(r"^\| `(\w+)` \|", notes, flags=re.MULTILINE) == [
        cause for cause, meaning in MEANINGS.items() if meaning.is_note
    ]
