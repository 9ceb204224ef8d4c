"""Each way in which Stripe, the books and the machines may disagree is found, named, and says what to do.

Everything comes from purchases through the whole chain, and Stripe is the sandbox over HTTP with the real library.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from arcade_cloud.adapters.stripe import gateway as stripe_gateway
from arcade_cloud.domain.reconciling import MEANINGS, DayReport, Difference
from arcade_cloud.errors import BadRequest, Conflict, PaymentsRefused, PaymentsUnavailable, StoreUnavailable
from arcade_cloud.services import daily_reconciliation
from arcade_cloud.services.daily_reconciliation import AGAIN_MS, IDLE_MS, RETRY_MS, DailyReconciliation
from arcade_sandbox.stripe.sandbox import StripeSandbox
from arcade_sandbox.stripe.state import StripeRules
from support.memory_store import MemoryStore
from support.orders import only_payment
from support.sandbox_payments import SandboxPayments
from support.site import START_MS, Site

pytestmark = pytest.mark.heavy

DAY = date(2026, 9, 21)  # of START_MS, in UTC
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MIDNIGHT_MS = START_MS - START_MS % DAY_MS + DAY_MS


class HttpSite(Site):
    """The site on a sandbox behind its web server."""

    def __init__(self, sandbox: StripeSandbox) -> None:
        self._sandbox = sandbox
        super().__init__()

    def _stripe(self) -> SandboxPayments:
        return SandboxPayments.over_http(self._sandbox, lambda: self.now_ms)

    def sold(self, quantity: int = 3, method: str = "card", delivered: int | None = None, **ack: Any) -> str:
        """An order that was paid, pulsed and settled."""
        self.say_status("cab-01")
        order_id = self.begin(quantity)
        self.pay(order_id, method)
        self.say_ack(order_id, delivered=quantity if delivered is None else delivered, **ack)
        self.later(10_000)
        return order_id

    def later(self, ms: int) -> None:
        """Let time pass, and the timer look."""
        self.now_ms += ms
        self.cloud.fulfilment.run_once()
        self.deliver_events()

    def intent(self, order_id: str) -> str:
        """The payment of an order."""
        return only_payment(self.order(order_id)).payment_intent or ""

    def lasting(self, kind: str = "books_differ", subject: str = "2026-09-21") -> str:
        """What the condition says; empty if it does not last."""
        found = self.store.lasting_alert(kind, subject)
        return "" if found is None else found.text


@pytest.fixture
def site() -> Iterator[HttpSite]:
    times: list[HttpSite] = []

    def now_s() -> float:
        return (times[0].now_ms if times else START_MS) / 1000

    with StripeSandbox(now_s=now_s, rules=StripeRules(enforce_smallest_charge=False)) as sandbox:
        made = HttpSite(sandbox)
        times.append(made)
        yield made


@pytest.fixture
def daily(site: HttpSite) -> DailyReconciliation:
    return worker(site)


def worker(site: HttpSite) -> DailyReconciliation:
    """The reconciliation of one process."""
    cloud = site.cloud
    return DailyReconciliation(
        fulfilment=cloud.fulfilment, balance=site.payments, alerts=cloud.alerts, keyring=cloud.intake.keyring
    )


def found(site: HttpSite, daily: DailyReconciliation) -> list[Difference]:
    """What the next morning finds."""
    site.now_ms = max(site.now_ms, MIDNIGHT_MS + 4 * HOUR_MS)
    return list(daily.run(DAY).found)


def only(site: HttpSite, daily: DailyReconciliation, cause: str) -> Difference:
    """The one difference that the next morning finds."""
    (one,) = found(site, daily)
    assert one.cause == cause
    assert MEANINGS[one.cause].todo
    return one


def notes(report: DayReport) -> dict[str, int]:
    """The notes by their cause, and what they are about."""
    return {one.cause: one.amount_minor for one in report.differences if one.is_note}


def restored(store: MemoryStore) -> dict[str, Any]:
    """A copy of all records."""
    return {name: copy.deepcopy(held) for name, held in vars(store).items() if isinstance(held, dict | list)}


# --- the normal day --------------------------------------------------------------------------------------


def test_a_normal_day_has_no_differences(site: HttpSite, daily: DailyReconciliation) -> None:
    site.sold(3)
    site.sold(3, delivered=2)
    site.sold(3, delivered=0)
    site.sold(3, "fpx", delivered=1)
    site.cloud.operations.refund(site.sold(3, "link"), by="tester", reason="sorry", keep_minor=100)
    site.cloud.operations.refund(site.sold(3, "fpx"), by="tester", reason="sorry")
    site.later(10_000)
    site.cloud.operations.grant("cab-01", 2, by="tester", reason="sorry", token="a" * 32)
    assert found(site, daily) == []
    report = daily.stored(DAY)
    assert report is not None
    assert notes(report) == {}
    (sums,) = report.sums
    # 300 + 200 by card, 300 by link; 300 twice by fpx, of which 200 and 300 went back; 200 of 300 by link too.
    assert (sums.charged_minor, sums.refunded_minor, sums.disputed_minor) == (1400, 700, 0)
    assert sums.fees_minor == 4 * 109 + 106
    *_, takings = site.cloud.takings.report(DAY, DAY, "day").totals()
    assert sums.charged_minor - sums.refunded_minor == takings.sums.kept_minor
    assert (takings.sums.fee_minor, takings.fees_open) == (sums.fees_minor, 0)
    assert site.store.standing_alerts(10) == []


def test_a_day_without_anything_is_done_too(site: HttpSite, daily: DailyReconciliation) -> None:
    assert found(site, daily) == []
    report = daily.stored(DAY)
    assert report is not None
    assert (report.phase, report.sums, report.more) == ("done", (), 0)


def test_orders_around_midnight_are_no_difference(site: HttpSite, daily: DailyReconciliation) -> None:
    site.payments.stripe.world.set_rules(balance_delay_s=60)
    site.now_ms = MIDNIGHT_MS - 15_000
    site.sold(3)
    assert found(site, daily) == []
    assert daily.run(DAY + timedelta(days=1)).found == ()


def test_entries_of_the_night_after_are_booked_and_told_the_next_day(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    site.now_ms = MIDNIGHT_MS + 60_000
    order_id = site.sold(3)
    assert found(site, daily) == []
    report = daily.stored(DAY)
    assert report is not None
    assert report.sums == ()
    assert len(site.store.booked(order_id)) == 2
    assert daily.run(DAY + timedelta(days=1)).sums[0].charged_minor == 300


def test_today_may_be_asked_for_and_tells_what_is_still_on_its_way(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    order_id = site.sold(3)
    report = daily.run(DAY)  # some seconds after the order was settled: the fee is not known
    site.now_ms += 1000
    assert report.found == ()
    site.payments.stripe.world.set_rules(balance_delay_s=100)
    site.sold(3)
    report = daily.run(DAY)
    assert [one.cause for one in report.differences] == ["not_told_yet"]
    assert report.differences[0].order_id != order_id
    with pytest.raises(BadRequest, match="has not begun yet"):
        daily.run(DAY + timedelta(days=1))


def test_a_refund_of_this_very_moment_is_no_difference(site: HttpSite, daily: DailyReconciliation) -> None:
    order_id = site.sold(3, "fpx")
    assert found(site, daily) == []
    site.cloud.operations.refund(order_id, by="tester", reason="sorry", keep_minor=100)
    site.later(1000)
    report = daily.run(DAY)  # nobody has read the refund's entry: it is of today, hours after midnight
    assert ([one.cause for one in report.differences], report.found) == (["not_told_yet"], ())
    assert site.lasting() == ""
    daily.run(DAY + timedelta(days=1))
    assert daily.run(DAY).differences == ()


# --- each difference -------------------------------------------------------------------------------------


def test_a_refund_by_hand_is_found_once_the_books_have_it(site: HttpSite, daily: DailyReconciliation) -> None:
    order_id = site.sold(3)
    site.payments.stripe.refund_by_hand(site.intent(order_id), 100)
    site.deliver_events()
    site.later(10_000)
    one = only(site, daily, "refund_by_hand")
    assert (one.order_id, one.amount_minor, one.alerts) == (order_id, -100, False)
    assert "-RM 1.00" in one.text
    assert site.lasting() == ""


def test_a_refund_by_hand_that_the_books_lack_is_told(site: HttpSite, daily: DailyReconciliation) -> None:
    order_id = site.sold(3)
    site.payments.stripe.refund_by_hand(site.intent(order_id), 300)
    site.payments.stripe.take_events()  # the webhook is lost
    one = only(site, daily, "refund_by_hand")
    assert (one.amount_minor, one.alerts) == (-300, True)
    assert "arcade-cloud reconcile --day 2026-09-21" in site.lasting()
    site.cloud.reconciliation.run_once()
    site.now_ms += 15 * 60_000
    site.cloud.fulfilment.store.note_reconciled(START_MS)
    site.cloud.reconciliation.run_once()  # Stripe's list of events has it
    site.later(10_000)
    assert only(site, daily, "refund_by_hand").alerts is False
    assert site.lasting() == ""


def test_payments_of_another_shop_are_told_as_such_and_no_difference(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    stripe = site.payments.stripe
    # Another site of the same system: all of our metadata, with its own mark.
    theirs_too = {
        "order_id": "order-7",
        "machine_id": "cab-01",
        "site": "https://y.example",
        "arcade_mark": "0" * 64,
    }
    for metadata in (None, {"order_id": "order-7", "machine_id": "cab-99"}, theirs_too):
        theirs = stripe.pay(stripe.visit_shop(metadata=metadata), "fpx")
    stripe.refund_by_hand(theirs, 900)
    stripe.open_dispute(theirs, 500)
    site.deliver_events()
    assert found(site, daily) == []
    report = daily.stored(DAY)
    assert report is not None
    fees = 3 * (147 + 100) + 1500
    assert notes(report) == {"foreign": 3 * 4_900 - 900 - 500 - fees}
    assert report.sums[0].others == 5
    assert "others on the same Stripe account" in report.differences[0].text


def test_a_lost_webhook_is_found_and_gone_once_the_order_is_looked_after(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    order_id = site.begin(3)
    page = only_payment(site.order(order_id)).checkout
    assert page is not None
    intent = site.payments.stripe.pay(page.session_id, "fpx")
    site.payments.stripe.take_events()
    one = only(site, daily, "lost_webhook")
    assert (one.order_id, one.subject, one.machine_id) == (order_id, intent, "cab-01")
    assert (one.amount_minor, one.alerts) == (300, True)
    assert "lost webhook" in site.lasting()
    for _ in range(5):
        site.later(60_000)  # the timer asks Stripe: too late to deliver, so it goes back
    assert site.order(order_id).state == "settled"
    assert found(site, daily) == []
    site.now_ms += 3 * HOUR_MS  # the refund of this morning
    assert daily.run(DAY + timedelta(days=1)).found == ()
    assert found(site, daily) == []
    report = daily.stored(DAY)
    assert report is not None
    assert report.differences == ()
    assert site.lasting() == ""


def test_a_meter_that_counted_less_than_was_pulsed(site: HttpSite, daily: DailyReconciliation) -> None:
    order_id = site.sold(3, registered=1)
    site.sold(3, registered=3)
    one = only(site, daily, "meter_short")
    assert (one.order_id, one.machine_id, one.amount_minor, one.alerts) == (order_id, "cab-01", 0, False)
    assert "1 registered" in one.text


def test_a_restored_database_does_not_know_an_order(site: HttpSite, daily: DailyReconciliation) -> None:
    before = restored(site.store)
    order_id = site.sold(3)
    vars(site.store).update(before)
    one = only(site, daily, "unknown_order")
    assert (one.order_id, one.machine_id, one.amount_minor, one.alerts) == (order_id, "cab-01", 300, True)
    assert "older database" in one.text
    assert "`arcade-cloud tab close --all`" in site.lasting()
    assert "RECEIPT_PREFIX" in site.lasting()


def test_a_restored_database_has_an_older_record_of_a_settled_order(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    order_id = site.sold(3)
    before = restored(site.store)
    site.cloud.operations.refund(order_id, by="tester", reason="sorry", keep_minor=100)
    site.later(10_000)
    vars(site.store).update(before)
    one = only(site, daily, "older_record")
    assert (one.order_id, one.amount_minor, one.alerts) == (order_id, -200, True)


def test_a_restored_database_has_an_older_record_of_an_open_order(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    order_id = site.begin(3)
    before = restored(site.store)
    site.pay(order_id)
    site.say_ack(order_id, delivered=3)
    site.later(10_000)
    vars(site.store).update(before)
    one = only(site, daily, "older_record")
    assert (one.order_id, one.amount_minor, one.alerts) == (order_id, 300, True)


def test_a_restored_database_whose_order_was_under_way(site: HttpSite, daily: DailyReconciliation) -> None:
    order_id = site.begin(3)
    site.pay(order_id)
    before = restored(site.store)
    site.say_ack(order_id, delivered=3)
    site.later(10_000)
    vars(site.store).update(before)
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    report = daily.run(DAY)
    assert [one.cause for one in report.differences] == ["not_told_yet"]
    assert report.wants_another_look
    site.now_ms += DAY_MS
    assert only(site, daily, "older_record").alerts


@pytest.mark.parametrize("outcome", ["open", "lost", "won"])
def test_a_dispute_is_told_with_its_fee(site: HttpSite, daily: DailyReconciliation, outcome: Any) -> None:
    order_id = site.sold(3)
    site.payments.stripe.open_dispute(site.intent(order_id), 200)
    site.deliver_events()
    if outcome != "open":
        site.payments.stripe.close_dispute(site.intent(order_id), outcome)
        site.deliver_events()
    site.later(10_000)
    one = only(site, daily, "dispute")
    assert (one.order_id, one.alerts) == (order_id, False)  # the alert `dispute` has told of it
    assert one.amount_minor == (0 if outcome == "won" else -200)
    assert daily.run(DAY).sums[0].fees_minor == 109 + 1500


def test_a_dispute_that_nobody_was_told_of_is_told(site: HttpSite, daily: DailyReconciliation) -> None:
    order_id = site.sold(3)
    site.payments.stripe.open_dispute(site.intent(order_id))
    site.payments.stripe.take_events()
    assert only(site, daily, "dispute").alerts
    assert "dispute" in site.lasting()


def test_money_that_stripe_does_not_have_is_found(site: HttpSite, daily: DailyReconciliation) -> None:
    order_id = site.sold(3)
    site.now_ms += 10_000
    with site.payments.stripe.world.world() as (state, _):
        state.tables["balance_transaction"].clear()  # as for a key of another account
    one = only(site, daily, "not_at_stripe")
    assert (one.order_id, one.amount_minor, one.alerts) == (order_id, -300, True)


def test_a_payment_that_waits_for_a_decision_is_found(site: HttpSite, daily: DailyReconciliation) -> None:
    stripe = site.payments.stripe
    stripe.add_price("price_link", 100)
    intent = stripe.pay(stripe.visit_link(site.settings.stripe_price_id or "", 1, "cap-01"), "fpx")
    site.deliver_events()
    assert site.store.unclaimed_payment(intent) is not None
    one = only(site, daily, "unclaimed")
    assert (one.subject, one.alerts) == (intent, False)  # the alert `unclaimed` has told of it


def test_a_payout_is_on_its_way_then_there_or_has_failed(site: HttpSite, daily: DailyReconciliation) -> None:
    site.payments.stripe.world.set_rules(available_after_days=0)
    site.sold(3)
    (payout,) = site.payments.stripe.world.pay_out()
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    report = daily.run(DAY)
    assert notes(report) == {"payout_in_transit": payout["amount"]}
    assert (report.found, report.sums[0].paid_out_minor) == ((), payout["amount"])
    site.now_ms += DAY_MS
    assert daily.run(DAY).differences == ()
    site.payments.stripe.world.fail_payout(payout["id"])
    one = only(site, daily, "payout_failed")
    assert (one.subject, one.alerts) == (payout["id"], True)
    assert "closed" in one.text
    # On the day on which it failed, the money that came back tells of it.
    assert daily.run(DAY + timedelta(days=1)).found == ()
    (again,) = daily.run(DAY + timedelta(days=2)).found
    assert (again.cause, again.subject) == ("payout_failed", payout["id"])


def test_a_payout_is_taken_apart_by_the_days_of_its_entries(site: HttpSite, daily: DailyReconciliation) -> None:
    stripe = site.payments.stripe
    stripe.world.set_rules(available_after_days=1)
    site.cloud.operations.refund(site.sold(3, "fpx"), by="tester", reason="sorry", keep_minor=100)
    stripe.pay(stripe.visit_shop(), "fpx")
    site.later(10_000)
    stripe.world.charge_account(50)
    site.now_ms += DAY_MS
    site.sold(3)
    site.now_ms += DAY_MS
    (payout,) = stripe.world.pay_out()
    assert daily.parts_of(payout["id"]).by_day == {}  # Stripe is still at it
    site.now_ms += DAY_MS
    parts = daily.parts_of(payout["id"])
    first, second = parts.by_day["2026-09-21"], parts.by_day["2026-09-22"]
    assert (first.charged_minor, first.refunded_minor, first.fees_minor) == (300, 200, 109 + 50)
    assert (first.others, first.others_minor) == (1, 4_900 - 247)
    assert (second.charged_minor, second.fees_minor) == (300, 109)
    assert (parts.payout.amount_minor, parts.rest_minor) == (first.net_minor + second.net_minor, 0)
    with pytest.raises(BadRequest, match="no payout 'po_none'"):
        daily.parts_of("po_none")


@pytest.mark.parametrize("has_right", [True, False])
def test_the_check_tries_the_right_to_read_the_balance(site: HttpSite, has_right: bool) -> None:
    def refused(**_: Any) -> Any:
        raise PaymentsRefused("permission", "reading payouts: the key may not do this")

    if not has_right:
        site.payments.read_payouts = refused  # type: ignore[method-assign]
    verdict = next(one.wrong for one in site.self_check.verdicts() if one.name == "Stripe, balance")
    assert has_right if verdict is None else "“Payouts”" in verdict


def test_a_fee_of_the_account_is_a_note(site: HttpSite, daily: DailyReconciliation) -> None:
    site.payments.stripe.world.charge_account(250)
    assert found(site, daily) == []
    report = daily.stored(DAY)
    assert report is not None
    assert notes(report) == {"account_fee": -250}
    assert (report.sums[0].fees_minor, report.sums[0].others) == (250, 0)
    assert "Radar" in report.differences[0].text


def test_a_record_that_cannot_be_read_is_told_and_stops_nothing(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    broken, other = site.sold(3), site.sold(3)
    site.payments.stripe.refund_by_hand(site.intent(other), 100)
    site.later(10_000)
    order = site.order(broken)
    site.store._orders[broken] = msgspec.structs.replace(order, credits=())
    causes = {one.cause: one.order_id for one in found(site, daily)}
    assert causes == {"unreadable": broken, "refund_by_hand": other}
    assert "unreadable" in site.lasting()


def test_there_is_a_bound_to_what_is_stored(
    site: HttpSite, daily: DailyReconciliation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arcade_cloud.domain.reconciling.DIFFERENCES_AT_MOST", 2)
    for _ in range(4):
        site.payments.stripe.refund_by_hand(site.intent(site.sold(1)), 100)
        site.payments.stripe.take_events()
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    report = daily.run(DAY)
    assert (len(report.differences), report.more) == (2, 2)
    assert "4 differences" in site.lasting()


# --- steps and processes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("killed_after", range(9))
def test_a_day_that_was_begun_is_finished_by_whoever_comes_next(
    site: HttpSite, monkeypatch: pytest.MonkeyPatch, killed_after: int
) -> None:
    monkeypatch.setattr(stripe_gateway, "_PAGE", 2)
    monkeypatch.setattr(daily_reconciliation, "ORDERS_AT_ONCE", 1)
    orders = [site.sold(3, "fpx", delivered=2) for _ in range(3)]
    site.payments.stripe.refund_by_hand(site.intent(orders[1]), 100)
    site.payments.stripe.take_events()
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    first = worker(site)
    for _ in range(killed_after):
        first.run_once()
    second = worker(site)
    for _ in range(20):
        second.run_once()
    report = second.stored(DAY)
    assert report is not None
    assert [(one.cause, one.order_id) for one in report.found] == [("refund_by_hand", orders[1])]
    (sums,) = report.sums
    assert (sums.charged_minor, sums.refunded_minor, sums.fees_minor) == (900, 400, 3 * 109)
    assert [len(site.store.booked(order_id)) for order_id in orders] == [3, 4, 3]
    assert site.lasting()


def test_two_processes_that_work_on_one_day_find_the_same(site: HttpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daily_reconciliation, "ORDERS_AT_ONCE", 1)
    orders = [site.sold(3) for _ in range(3)]
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    one, two = worker(site), worker(site)
    begun = one.step(one.begin(DAY))
    with pytest.raises(Conflict):
        two.step(two.begin(DAY).__class__(day=DAY.isoformat()))
    for _ in range(10):
        one.run_once()
        two.run_once()
    report = one.stored(DAY)
    assert report is not None
    assert (report.found, report.sums) == ((), begun.sums)
    assert [len(site.store.booked(order_id)) for order_id in orders] == [2, 2, 2]


def test_the_timer_reconciles_yesterday_once_and_not_before_three_hours_are_over(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    site.sold(3)
    site.now_ms = MIDNIGHT_MS + 3 * HOUR_MS - 60_000
    for _ in range(10):
        daily.run_once()
        site.now_ms += 1000
    assert daily.stored(DAY) is None  # the day before was the last that was over
    assert daily.stored(DAY - timedelta(days=1)) is not None
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    for _ in range(10):
        daily.run_once()
    report = daily.stored(DAY)
    assert report is not None
    for _ in range(10):
        site.now_ms += IDLE_MS
        daily.run_once()
    assert daily.stored(DAY) == report


def test_missed_days_are_made_up_for_and_differences_looked_at_again_for_a_week(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    order_id = site.sold(3)
    site.payments.stripe.refund_by_hand(site.intent(order_id), 100)
    site.payments.stripe.take_events()
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    for _ in range(6):
        daily.run_once()
    first = daily.stored(DAY)
    assert first is not None
    site.now_ms += 3 * DAY_MS  # the cloud was down
    for _ in range(30):
        daily.run_once()
    done = [daily.stored(DAY + timedelta(days=later)) for later in range(-2, 4)]
    assert [report is not None for report in done] == [False, False, True, True, True, True]
    again = daily.stored(DAY)
    assert again is not None
    assert again.done_ms != first.done_ms
    site.now_ms += 8 * DAY_MS
    for _ in range(60):
        daily.run_once()
    last = daily.stored(DAY)
    assert last is not None
    assert last.done_ms == again.done_ms  # older than a week: a person's
    assert site.lasting()


def test_what_somebody_has_accepted_is_told_no_more_but_what_is_new_is(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    with pytest.raises(BadRequest, match="was not reconciled"):
        daily.accept(DAY, "Mei", reason="known")
    order_id, other = site.sold(3), site.sold(3)
    site.payments.stripe.refund_by_hand(site.intent(order_id), 100)
    site.payments.stripe.take_events()
    assert len(found(site, daily)) == 1
    assert site.lasting()
    report = daily.accept(DAY, "Mei", reason="known")
    assert (report.accepted_by, report.found) == ("Mei", ())
    assert site.lasting() == ""
    site.now_ms += AGAIN_MS
    assert found(site, daily) == []
    assert site.lasting() == ""
    before_ms, site.now_ms = site.now_ms, START_MS + 60_000
    site.payments.stripe.refund_by_hand(site.intent(other), 200)  # late that day
    site.payments.stripe.take_events()
    site.now_ms = before_ms
    (new,) = found(site, daily)
    assert new.order_id == other
    assert site.lasting()


def test_the_time_zone_says_which_day_it_is(site: HttpSite) -> None:
    cloud = site.cloud
    abroad = replace(cloud.fulfilment, zone=ZoneInfo("Pacific/Auckland"))  # 13 hours ahead, or 12
    daily = DailyReconciliation(
        fulfilment=abroad, balance=site.payments, alerts=cloud.alerts, keyring=cloud.intake.keyring
    )
    site.sold(3)
    site.now_ms += DAY_MS
    assert daily.run(DAY).sums == ()
    (sums,) = daily.run(DAY + timedelta(days=1)).sums
    assert sums.charged_minor == 300


# --- failures --------------------------------------------------------------------------------------------


def test_a_key_without_the_right_to_read_is_told_at_once_and_the_end_too(
    site: HttpSite, daily: DailyReconciliation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: Any) -> Any:
        raise PaymentsRefused("permission", "reading the balance: the key may not do this")

    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    with monkeypatch.context() as without:
        without.setattr(site.payments, "read_entries", refused)
        daily.run_once()
    told = site.lasting("books_unread", "Stripe")
    assert "Balance transaction sources" in told
    daily.run_once()
    assert site.lasting("books_unread", "Stripe")  # not before it is tried again
    site.now_ms += RETRY_MS
    daily.run_once()
    assert site.lasting("books_unread", "Stripe") == ""


def test_a_balance_that_cannot_be_read_for_half_a_day_is_told(
    site: HttpSite, daily: DailyReconciliation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(**_: Any) -> Any:
        raise PaymentsUnavailable("no verdict")

    monkeypatch.setattr(site.payments, "read_entries", unavailable)
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    daily.run_once()
    assert site.lasting("books_unread", "Stripe") == ""
    site.now_ms += 12 * HOUR_MS
    daily.run_once()
    assert "2026-09-21 cannot be reconciled" in site.lasting("books_unread", "Stripe")
    with pytest.raises(PaymentsUnavailable):
        daily.run(DAY)


def test_a_cloud_that_begins_late_in_the_day_tells_of_no_first_failure(
    site: HttpSite, daily: DailyReconciliation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(**_: Any) -> Any:
        raise PaymentsUnavailable("no verdict")

    monkeypatch.setattr(site.payments, "read_entries", unavailable)
    site.now_ms = MIDNIGHT_MS + 23 * HOUR_MS
    daily.run_once()
    assert site.lasting("books_unread", "Stripe") == ""


def test_a_defect_is_told_once_it_has_lasted_for_half_a_day(
    site: HttpSite, daily: DailyReconciliation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as with_defect:
        with_defect.setattr("arcade_cloud.domain.reconciling.of_others", broken)
        site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
        daily.run_once()
        assert site.lasting("books_unread", "Stripe") == ""
        site.now_ms += 12 * HOUR_MS
        daily.run_once()
        assert "a defect" in site.lasting("books_unread", "Stripe")
    site.now_ms += RETRY_MS
    daily.run_once()
    assert site.lasting("books_unread", "Stripe") == ""


def test_a_store_that_is_down_is_the_timers_business(site: HttpSite, daily: DailyReconciliation) -> None:
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    site.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        daily.run_once()
    site.store.unavailable = False
    site.now_ms += RETRY_MS
    for _ in range(5):
        daily.run_once()
    assert daily.stored(DAY) is not None


def test_a_key_of_another_account_begins_the_day_anew(
    site: HttpSite, daily: DailyReconciliation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_gateway, "_PAGE", 2)
    for _ in range(3):
        site.sold(3)
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    daily.run_once()
    begun = site.store.day_report("2026-09-21")
    assert begun is not None
    assert begun.after
    with site.payments.stripe.world.world() as (state, _):
        state.tables["balance_transaction"].clear()
    daily.run_once()
    assert "No such object" in site.lasting("books_unread", "Stripe")
    site.now_ms += RETRY_MS
    for _ in range(5):
        daily.run_once()
    report = daily.stored(DAY)
    assert report is not None
    assert {one.cause for one in report.found} == {"not_at_stripe"}  # of the entry that was not read
    assert site.lasting("books_unread", "Stripe") == ""


def test_what_could_not_be_read_is_over_once_another_process_has_read_it(
    site: HttpSite, daily: DailyReconciliation
) -> None:
    site.cloud.alerts.begin("books_unread", "Stripe", "for some reason")
    for _ in range(6):
        worker(site).run_once()
    daily.run_once()
    assert site.lasting("books_unread", "Stripe") == ""


def test_a_process_with_a_wrong_clock_takes_no_day_for_over(
    site: HttpSite, daily: DailyReconciliation, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.now_ms = MIDNIGHT_MS + 4 * HOUR_MS
    with monkeypatch.context() as ahead:
        ahead.setattr(site.payments, "clock_off_ms", lambda: 10 * HOUR_MS)
        daily.run_once()
    assert site.store.day_report("2026-09-21") is None
    daily.run_once()
    assert site.store.day_report("2026-09-21") is not None
