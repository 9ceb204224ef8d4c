"""Receipts through the whole chain: bought, pulsed, settled, numbered, given back; a month's are its takings."""

import dataclasses
from datetime import date

import msgspec
import pytest

from arcade_cloud.domain.books import Sums
from arcade_cloud.domain.receipts import Document, Issuing, Summary
from arcade_cloud.errors import StoreUnavailable
from arcade_cloud.ports.receipts import NUMBERED_AT_MOST
from arcade_cloud.ports.store import Move
from arcade_cloud.services.receipts import BATCHES, ISSUE_EVERY_S, Receipts
from support.orders import only_payment
from support.site import Site

SEPTEMBER = date(2026, 9, 1), date(2026, 9, 30)  # of START_MS
DAY_MS = 86_400_000


@pytest.fixture
def site() -> Site:
    return Site(issuing=Issuing(prefix="A-", tax_bp=800))


def sold(site: Site, quantity: int = 3, method: str = "card", delivered: int | None = None) -> str:
    """An order that was paid, pulsed and settled."""
    site.say_status("cab-01")
    order_id = site.begin(quantity)
    site.pay(order_id, method)
    site.say_ack(order_id, delivered=quantity if delivered is None else delivered)
    site.now_ms += 10_000
    site.cloud.fulfilment.run_once()
    assert site.order(order_id).state == "settled"
    return order_id


def look(site: Site, receipts: Receipts | None = None) -> None:
    """Let the timer look again."""
    site.now_ms += ISSUE_EVERY_S * 1000
    (receipts or site.cloud.receipts).run_once()


def names(site: Site, *order_ids: str) -> list[str | None]:
    found = site.store.receipts.receipts_of(order_ids)
    return [found[one].name if one in found else None for one in order_ids]


def dispute(site: Site, order_id: str) -> None:
    """The player disputes the payment."""
    site.payments.stripe.open_dispute(only_payment(site.order(order_id)).payment_intent or "")
    site.deliver_events()


def month(site: Site, first: date, last: date) -> tuple[list[Document], Summary]:
    """What was sold and given back from one day to another."""
    found = list(site.cloud.receipts.documents(first, last))
    return found, site.cloud.receipts.summary(found)


def as_an_older_version(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on orders are settled by a program that knows of no receipts."""
    move = site.store.move

    def older(step: Move) -> None:
        move(dataclasses.replace(step, receipt=None))

    monkeypatch.setattr(site.store, "move", older)


def test_what_has_settled_gets_the_next_number_when_the_timer_looks(site: Site) -> None:
    first, second = sold(site), sold(site)
    assert names(site, first, second) == [None, None]
    look(site)
    assert names(site, first, second) == ["A-1", "A-2"]
    third = sold(site)
    look(site)
    assert names(site, first, second, third) == ["A-1", "A-2", "A-3"]
    (receipt,) = site.store.receipts.numbered("A-", 3, 3)
    assert (receipt.order_id, receipt.serial, receipt.tax_bp, receipt.issued_at_ms) == (third, 1, 800, site.now_ms)


def test_orders_of_which_nothing_is_kept_and_grants_get_none(site: Site) -> None:
    nothing = sold(site, delivered=0)
    free = site.cloud.operations.grant("cab-01", 2, by="ann", reason="sorry", token="form-1").order_id
    site.say_ack(free, delivered=2)
    unpaid = site.begin(1)
    part = sold(site, delivered=1)
    look(site)
    assert site.order(free).state == "settled"
    assert names(site, nothing, free, unpaid, part) == [None, None, None, "A-1"]
    assert [one.last for one in site.store.receipts.series()] == [1]


def test_a_refund_changes_no_number_and_a_second_settlement_asks_for_none(site: Site) -> None:
    order_id = sold(site)
    look(site)
    site.cloud.operations.refund(order_id, by="ann", reason="The button sticks", keep_minor=0)
    site.deliver_events()
    look(site)
    slip = site.cloud.receipts.of_order(order_id)
    assert slip.receipt is not None
    assert slip.receipt.name == "A-1"
    assert [(line.serial, line.gross_minor) for line in slip.lines] == [(1, 300)]
    assert [(one.name, one.kind, one.amount_minor) for one in slip.documents] == [
        ("A-1", "receipt", 300),
        ("A-1/2", "credit note", -300),
    ]
    assert site.store.receipts.due(5) == []


def test_what_was_given_back_before_the_timer_looked_is_numbered_too(site: Site) -> None:
    order_id = sold(site)
    site.cloud.operations.refund(order_id, by="ann", reason="The button sticks", keep_minor=0)
    site.deliver_events()
    look(site)
    assert names(site, order_id) == ["A-1"]


def test_an_order_that_waits_again_gets_no_second_number(site: Site) -> None:
    order_id = sold(site)
    (due,) = site.store.receipts.due(5)
    look(site)
    site.store.receipts.queue([due, msgspec.structs.replace(due, serial=4)])
    other = sold(site)
    look(site)
    assert names(site, order_id, other) == ["A-1", "A-2"]
    assert site.store.receipts.due(5) == []


def test_the_timer_looks_every_few_seconds_and_numbers_all_that_has_piled_up_batch_by_batch(site: Site) -> None:
    order_id = sold(site)
    (due,) = site.store.receipts.due(1)
    many = NUMBERED_AT_MOST * BATCHES + 5
    site.store.receipts.queue(
        [type(due)(order_id=f"o-{number}", serial=1, at_ms=due.at_ms + number) for number in range(1, many)]
    )
    look(site)
    assert names(site, order_id) == ["A-1"]
    assert len(site.store.receipts.numbered("A-", 1, 10_000)) == NUMBERED_AT_MOST * BATCHES
    site.cloud.receipts.run_once()
    assert len(site.store.receipts.numbered("A-", 1, 10_000)) == many
    late = sold(site)
    site.cloud.receipts.run_once()
    site.now_ms -= 5_000
    again = sold(site)
    site.cloud.receipts.run_once()
    assert names(site, late, again) == [f"A-{many + 1}", None]


def test_a_clock_that_is_wrong_dates_no_receipt(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    order_id = sold(site)
    monkeypatch.setattr(site.payments, "clock_off_ms", lambda: 3_600_000)
    look(site)
    assert names(site, order_id) == [None]
    monkeypatch.undo()
    look(site)
    assert names(site, order_id) == ["A-1"]


def test_while_the_store_is_down_nothing_is_lost(site: Site) -> None:
    order_id = sold(site)
    site.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        look(site)
    site.store.unavailable = False
    look(site)
    assert names(site, order_id) == ["A-1"]


# what an older version has settled


def test_a_rebuild_finds_what_an_older_version_has_settled_since_there_are_receipts(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        as_an_older_version(site, patch)
        long_ago = sold(site)
    first = sold(site)
    look(site)
    with monkeypatch.context() as patch:
        as_an_older_version(site, patch)
        older, nothing = sold(site), sold(site, delivered=0)
    *_, done = site.cloud.takings.rebuild()
    assert done.receipts == 1
    look(site)
    assert names(site, long_ago, first, older, nothing) == [None, "A-1", "A-2", None]
    *_, again = site.cloud.takings.rebuild()
    assert again.receipts == 0


def test_a_month_s_list_finds_it_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        as_an_older_version(site, patch)
        long_ago = sold(site)
    first = sold(site)
    look(site)
    with monkeypatch.context() as patch:
        as_an_older_version(site, patch)
        older = sold(site)
    _, found = month(site, *SEPTEMBER)
    assert (found.waiting, found.before, found.numbers) == (1, 1, ("A-1",))
    look(site)
    _, then = month(site, *SEPTEMBER)
    assert (then.waiting, then.before, then.numbers) == (0, 1, ("A-1 – A-2",))
    assert names(site, long_ago, first, older) == [None, "A-1", "A-2"]


# a month


def test_a_month_s_receipts_and_notes_come_to_its_takings(site: Site) -> None:
    """Whole, part, nothing, free, refunds of two kinds, a lost dispute, and one refund a month later."""
    stripe = site.payments.stripe
    every = [sold(site, quantity, method) for quantity in (1, 2, 5) for method in ("card", "fpx", "grabpay")]
    every += [sold(site, 5, delivered=2), sold(site, 5, "fpx", delivered=3)]
    sold(site, delivered=0)
    free = site.cloud.operations.grant("cab-01", 2, by="ann", reason="sorry", token="form-1").order_id
    site.say_ack(free, delivered=2)
    look(site)
    site.cloud.operations.refund(every[0], by="ann", reason="The button sticks", keep_minor=0)
    site.cloud.operations.refund(every[5], by="ann", reason="The button sticks", keep_minor=100)
    dispute(site, every[6])
    stripe.close_dispute(only_payment(site.order(every[6])).payment_intent or "", "lost")
    site.deliver_events()
    october = date(2026, 10, 1), date(2026, 10, 31)
    site.now_ms += 30 * DAY_MS
    site.say_status("cab-01")
    site.cloud.operations.refund(every[7], by="ann", reason="Late", keep_minor=200)
    site.deliver_events()
    late = sold(site)
    look(site)
    for first, last in (SEPTEMBER, october):
        documents, found = month(site, first, last)
        report = site.cloud.takings.report(first, last, "month").totals()
        taken = {row.currency: row.sums.kept_minor for row in report if row.currency}
        assert {one.currency: one.amount_minor for one in found.totals} == taken
        assert (found.waiting, found.before) == (0, 0)
        assert all(one.tax_minor for one in documents)
    september, found = month(site, *SEPTEMBER)
    assert found.numbers == ("A-1 – A-11",)
    assert sorted((one.amount_minor, one.lost_minor) for one in september if one.kind != "receipt") == [
        (-500, 500),
        (-100, 0),
        (-100, 0),
    ]
    then, found = month(site, *october)
    assert found.numbers == ("A-12",)
    assert [(one.kind, one.order_id, one.amount_minor) for one in then] == [
        ("credit note", every[7], -300),
        ("receipt", late, 300),
    ]
    kept = sum(line["kept"] - line["lost"] for line in stripe.money())
    assert sum(one.amount_minor for one in (*september, *then)) == kept


def test_a_receipt_is_of_the_day_of_its_sale_even_if_its_number_came_after_midnight(site: Site) -> None:
    order_id = sold(site)
    site.now_ms += 30 * DAY_MS
    look(site)
    documents, found = month(site, *SEPTEMBER)
    assert [(one.order_id, one.name) for one in documents] == [(order_id, "A-1")]
    assert month(site, date(2026, 10, 1), date(2026, 10, 31))[0] == []
    (row,) = site.cloud.takings.report(*SEPTEMBER, "month").totals()
    assert row.sums - Sums(ordered=3, delivered=3) == Sums(gross_minor=found.totals[0].amount_minor)
