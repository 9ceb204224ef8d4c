"""Fees are booked when Stripe's balance tells them: late, once, with the order whose payment they are about."""

import threading
from collections.abc import Callable
from datetime import date

import pytest

from arcade_cloud.domain.books import FEE, PLAY, Line, Row
from arcade_cloud.domain.tallies import Tallies
from arcade_cloud.errors import StoreUnavailable
from arcade_cloud.services import fees as fee_book
from arcade_cloud.services.fees import OVERLAP_S, READ_AGAIN_S, READ_EVERY_S, Fees
from support.orders import only_payment
from support.site import START_MS, Site

pytestmark = pytest.mark.heavy

DAY = date(2026, 9, 21)  # of START_MS


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def fees(site: Site) -> Fees:
    return Fees(fulfilment=site.cloud.fulfilment, balance=site.payments)


def sold(site: Site, quantity: int = 3, method: str = "card", delivered: int | None = None) -> str:
    """An order that was paid, pulsed and settled."""
    order_id = site.begin(quantity)
    site.pay(order_id, method)
    site.say_ack(order_id, delivered=quantity if delivered is None else delivered)
    site.now_ms += 10_000
    site.cloud.fulfilment.run_once()
    assert site.order(order_id).state == "settled"
    return order_id


def read(site: Site, fees: Fees) -> None:
    """Let the timer look again."""
    site.now_ms += READ_EVERY_S * 1000
    fees.run_once()


def fee_lines(site: Site, order_id: str) -> list[tuple[str, int, int]]:
    return [(one.what, one.moved_minor, one.fee_minor) for one in site.store.booked(order_id) if one.kind == FEE]


def row(site: Site) -> Row:
    (found,) = site.cloud.takings.report(DAY, DAY, "day").rows()
    return found


def intent(site: Site, order_id: str) -> str:
    return only_payment(site.order(order_id)).payment_intent or ""


def test_a_fee_is_not_known_at_first_and_is_a_line_of_its_own_then(site: Site, fees: Fees) -> None:
    order_id = sold(site)
    assert (row(site).fees_open, row(site).sums.net_minor) == (1, 300)
    read(site, fees)
    (play, fee) = site.store.booked(order_id)
    assert (play.kind, fee.kind, fee.serial, fee.machine_id, fee.method) == (PLAY, FEE, 2, "cab-01", "card")
    assert fee_lines(site, order_id) == [("charge", 300, 109)]
    found = row(site)
    assert (found.fees_open, found.sums.gross_minor, found.sums.fee_minor) == (0, 300, 109)
    assert (found.sums.kept_minor, found.sums.net_minor, found.sums.delivered) == (300, 191, 3)


def test_a_charge_that_has_no_entry_yet_is_found_by_a_later_look(site: Site, fees: Fees) -> None:
    site.payments.stripe.world.set_rules(balance_delay_s=1000)
    order_id = sold(site)
    read(site, fees)
    assert fee_lines(site, order_id) == []
    read(site, fees)
    assert fee_lines(site, order_id) == [("charge", 300, 109)]


def test_the_same_entry_is_booked_once_however_often_it_is_read(site: Site, fees: Fees) -> None:
    order_id = sold(site)
    for _ in range(3):
        read(site, fees)
    read(site, Fees(fulfilment=site.cloud.fulfilment, balance=site.payments))
    assert fee_lines(site, order_id) == [("charge", 300, 109)]


def test_two_that_book_it_at_once_book_it_once(site: Site) -> None:
    order_id = sold(site)
    site.now_ms += 60_000
    (entry,) = site.payments.read_entries(since_ms=0).entries
    gate = threading.Barrier(4)
    store = site.cloud.fulfilment.store
    plain: Callable[[str], list[Line]] = store.booked

    def booked(order_id: str) -> list[Line]:
        found = plain(order_id)
        if gate.n_waiting >= 0 and not gate.broken:
            gate.wait(5)  # all have read before any books
            gate.abort()
        return found

    def work() -> None:
        try:
            fee_book.book(site.cloud.fulfilment, entry)
        except threading.BrokenBarrierError:
            fee_book.book(site.cloud.fulfilment, entry)

    store.booked = booked  # type: ignore[method-assign]
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fee_lines(site, order_id)) == 1


def test_a_settlement_between_reading_and_booking_loses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    order_id = sold(site)
    site.now_ms += 60_000
    (entry,) = site.payments.read_entries(since_ms=0).entries
    plain, meanwhile = site.store.book, [True]

    def book(lines: tuple[Line, ...], tallies: Tallies) -> None:
        if meanwhile and meanwhile.pop():
            site.cloud.operations.refund(order_id, by="tester", reason="sorry", keep_minor=200)
            site.now_ms += 10_000
            site.cloud.fulfilment.run_once()
        plain(lines, tallies)

    monkeypatch.setattr(site.store, "book", book)
    fee_book.book(site.cloud.fulfilment, entry)
    assert fee_lines(site, order_id) == [("charge", 300, 109)]
    assert [(line.kind, line.serial) for line in site.store.booked(order_id)] == [(PLAY, 1), (PLAY, 2), (FEE, 3)]


def test_a_refund_gives_no_fee_back_and_a_dispute_costs_one(site: Site, fees: Fees) -> None:
    order_id = sold(site, method="fpx", delivered=2)
    site.payments.stripe.open_dispute(intent(site, order_id), 200)
    site.deliver_events()
    read(site, fees)
    assert sorted(fee_lines(site, order_id)) == [
        ("charge", 300, 109),
        ("dispute", -200, 1500),
        ("refund", -100, 0),
    ]
    assert row(site).sums.fee_minor == 1609


def test_a_refund_made_at_stripe_is_marked_as_such(site: Site, fees: Fees) -> None:
    order_id = sold(site)
    site.payments.stripe.refund_by_hand(intent(site, order_id), 100)
    site.deliver_events()
    read(site, fees)
    assert ("refund by hand", -100, 0) in fee_lines(site, order_id)


def test_what_others_earn_on_the_account_is_not_booked(site: Site, fees: Fees) -> None:
    order_id = sold(site)
    site.payments.stripe.pay(site.payments.stripe.visit_shop(), "fpx")
    site.payments.stripe.world.charge_account(77)
    read(site, fees)
    lines = site.store.lines_of_day(DAY.isoformat())
    assert {line.order_id for line in lines} == {order_id}
    assert row(site).sums.fee_minor == 109


def test_a_fee_is_booked_on_the_day_of_its_entry(site: Site, fees: Fees) -> None:
    midnight_ms = START_MS - START_MS % 86_400_000 + 86_400_000
    site.payments.stripe.world.set_rules(balance_delay_s=60)
    site.now_ms = midnight_ms - 15_000
    site.say_status("cab-01")
    order_id = sold(site)
    assert row(site).fees_open == 1
    read(site, fees)
    (fee,) = [line for line in site.store.booked(order_id) if line.kind == FEE]
    assert fee.day == "2026-09-22"
    assert (row(site).fees_open, row(site).sums.fee_minor) == (0, 0)  # it is known, and the next day's


def test_a_report_looks_up_no_fee_that_can_only_be_on_its_own_days(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        sold(site)  # in the afternoon

    def booked(order_id: str) -> list[Line]:
        raise AssertionError(order_id)

    monkeypatch.setattr(site.store, "booked", booked)
    assert row(site).fees_open == 3


def test_a_hold_that_was_let_go_owes_no_fee(site: Site, fees: Fees) -> None:
    order_id = site.begin(3)
    site.pay(order_id)
    site.say_ack(order_id, delivered=0)
    site.now_ms += 10_000
    site.cloud.fulfilment.run_once()
    read(site, fees)
    assert fee_lines(site, order_id) == []
    assert (row(site).fees_open, row(site).charged) == (0, 0)


def test_a_rebuild_keeps_fees_and_counts_them(site: Site, fees: Fees) -> None:
    order_id = sold(site)
    read(site, fees)
    before = site.store.booked(order_id)
    *_, done = site.cloud.takings.rebuild()
    assert (done.booked, done.broken, done.differences) == (0, [], [])
    assert (done.by_days["myr"].fee_minor, done.by_orders["myr"].fee_minor) == (109, 109)
    assert site.store.booked(order_id) == before


def test_a_second_settlement_after_the_fee_books_the_difference(site: Site, fees: Fees) -> None:
    order_id = sold(site)
    read(site, fees)
    site.cloud.operations.refund(order_id, by="tester", reason="sorry", keep_minor=200)
    site.now_ms += 10_000
    site.cloud.fulfilment.run_once()
    *_, last = site.store.booked(order_id)
    assert (last.serial, last.goodwill_minor, last.fee_minor) == (3, 100, 0)
    *_, done = site.cloud.takings.rebuild()
    assert not done.broken


def test_a_reading_that_fails_is_tried_again_soon(site: Site, fees: Fees) -> None:
    order_id = sold(site)
    site.payments.fault = lambda _: "before"
    read(site, fees)
    site.payments.fault = None
    fees.run_once()
    assert fee_lines(site, order_id) == []  # not at once
    site.now_ms += READ_AGAIN_S * 1000
    fees.run_once()
    assert fee_lines(site, order_id) == [("charge", 300, 109)]


def test_a_store_that_is_down_is_told_and_nothing_is_lost(site: Site, fees: Fees) -> None:
    order_id = sold(site)
    site.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        read(site, fees)
    site.store.unavailable = False
    site.now_ms += READ_AGAIN_S * 1000
    fees.run_once()
    assert fee_lines(site, order_id) == [("charge", 300, 109)]


def test_it_asks_once_in_a_quarter_of_an_hour_and_only_for_what_is_new(site: Site, fees: Fees) -> None:
    calls: list[int] = []
    plain = site.payments.read_entries

    def read_entries(*, since_ms: int, until_ms: int | None = None, after: str | None = None) -> object:
        calls.append(since_ms)
        return plain(since_ms=since_ms, until_ms=until_ms, after=after)

    site.payments.read_entries = read_entries  # type: ignore[method-assign, assignment]
    fees.run_once()
    fees.run_once()
    assert calls == [site.now_ms - OVERLAP_S * 1000]
    read(site, fees)
    assert len(calls) == 2
