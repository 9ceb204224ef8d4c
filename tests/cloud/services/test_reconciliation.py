"""A payment by a static link of which no webhook ever told: delivered or given back, whatever dies meanwhile."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from arcade_cloud.adapters.stripe import gateway as stripe_gateway
from arcade_cloud.errors import PaymentsRefused, StoreUnavailable
from arcade_cloud.ports.payments import EventPage
from arcade_cloud.services.reconciliation import (
    FAILURES_OF_A_PAGE,
    LISTED_S,
    OVERLAP_S,
    RECONCILE_AGAIN_S,
    RECONCILE_EVERY_S,
    Reconciliation,
)
from support.orders import session_of
from support.site import Site

COINPULSES = "arcade/machine/cab-01/coinpulse"
CAB = {"machine_id": "cab-01"}


class Bench:
    """The site with a sweep that has been running for a while; webhooks are lost unless somebody posts them."""

    def __init__(self) -> None:
        self.site = Site()
        self.stripe, self.store = self.site.payments.stripe, self.site.store
        self.reconciliation = self.site.reconciliation
        assert not self.reconciliation.run_once()
        self.wait_s(RECONCILE_EVERY_S)

    def wait_s(self, seconds: float) -> None:
        self.site.now_ms += int(seconds * 1000)

    def paid(self, method: Any = "fpx", **link: Any) -> str:
        """Pay by a static link and lose all of Stripe's webhooks about it. Returns the payment intent."""
        intent = self.stripe.pay(self.stripe.visit_link("price_play", **({"metadata": CAB} | link)), method)
        self.stripe.take_events()
        return intent

    def kept(self, intent: str) -> int:
        return int(self.stripe.money_of(intent)["kept"])

    def asked(self, call: str) -> int:
        return self.site.payments.calls.count(call)

    def restart(self) -> None:
        """Another process, on what is on record."""
        services = self.site.dependencies
        self.reconciliation = Reconciliation(
            fulfilment=services.fulfilment, intake=services.intake, webhooks=services.webhooks
        )

    def fail(self, call: str, times: int = 1) -> None:
        """Let so many calls fail."""
        left = [None] * times
        self.site.payments.fault = lambda name: "before" if name == call and left and not left.pop() else None


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_fresh_payment_is_delivered(bench: Bench) -> None:
    intent = bench.paid()
    assert not bench.reconciliation.run_once()
    order = bench.site.order(f"link_{intent}")
    assert (order.state, len(bench.site.broker.on(COINPULSES))) == ("funded", 1)
    bench.site.say_ack(order.order_id, delivered=1)
    assert bench.site.order(order.order_id).state == "settled"
    assert bench.kept(intent) == 100


def test_a_payment_that_is_too_old_to_be_delivered_is_given_back(bench: Bench) -> None:
    bench.reconciliation.run_once()
    intent = bench.paid()
    bench.wait_s(RECONCILE_EVERY_S - 1)
    bench.reconciliation.run_once()
    assert bench.kept(intent) == 100
    bench.wait_s(1)
    bench.reconciliation.run_once()
    assert bench.site.order(f"link_{intent}").state == "settled"
    assert (bench.kept(intent), bench.site.broker.on(COINPULSES)) == (0, [])


def test_money_that_moves_after_all_was_settled_is_found(bench: Bench) -> None:
    """A refund by hand at Stripe: an order that is settled does not ask by itself any more."""
    site = bench.site
    site.say_status("cab-01")
    order_id = site.begin()
    site.pay(order_id)
    site.say_ack(order_id, delivered=1)
    intent = site.order(order_id).payment_intent or ""
    assert (site.order(order_id).state, bench.kept(intent)) == ("settled", 100)
    bench.stripe.take_events()
    bench.stripe.refund_by_hand(intent, 40)
    bench.stripe.take_events()
    bench.reconciliation.run_once()
    assert (site.order(order_id).books.lost_minor, site.order(order_id).books.target_minor) == (40, 60)
    assert "loss" in {alert.kind for alert in bench.store.recent_alerts(10)}
    asked = bench.asked("read_payment")
    bench.wait_s(RECONCILE_EVERY_S)
    bench.reconciliation.run_once()
    assert bench.asked("read_payment") == asked, "it was taken in once"


def test_another_business_on_the_account_may_refund_as_it_likes(bench: Bench) -> None:
    intent = bench.paid(metadata={})
    bench.stripe.refund_by_hand(intent, 40)
    bench.stripe.take_events()
    bench.reconciliation.run_once()
    assert bench.store.recent_orders(10) == []
    assert bench.kept(intent) == 60


def test_a_bank_that_takes_its_time_is_waited_for_and_what_comes_too_late_is_given_back(bench: Bench) -> None:
    """The player asked to pay a quarter of an hour ago, and is gone."""
    intent = bench.paid("fpx_later")
    bench.reconciliation.run_once()
    assert bench.store.order(f"link_{intent}") is None, "it may never be paid"
    bench.wait_s(RECONCILE_EVERY_S)
    bench.stripe.settle_async(intent)
    assert bench.kept(intent) == 100
    bench.reconciliation.run_once()
    assert bench.site.order(f"link_{intent}").state == "settled"
    assert (bench.kept(intent), bench.site.broker.on(COINPULSES)) == (0, [])


def test_what_a_webhook_told_of_costs_one_look_into_the_store(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.stripe.pay(bench.stripe.visit_link("price_play", metadata=CAB), "fpx")
    bench.site.deliver_events()
    bench.stripe.all_delivered()
    looks: list[str] = []
    for name in ("is_seen", "order", "machine", "order_of_payment", "move", "presence"):
        inner: Callable[..., Any] = getattr(bench.store, name)

        def counted(*given: Any, name: str = name, inner: Callable[..., Any] = inner, **more: Any) -> Any:
            looks.append(name)
            return inner(*given, **more)

        monkeypatch.setattr(bench.store, name, counted)
    bench.reconciliation.run_once()
    assert looks == ["is_seen"]
    assert len(bench.site.broker.on(COINPULSES)) == 1


def test_the_webhook_after_the_sweep_changes_nothing(bench: Bench) -> None:
    bench.stripe.pay(bench.stripe.visit_link("price_play", metadata=CAB), "fpx")
    bench.reconciliation.run_once()
    bench.site.deliver_events()
    assert len(bench.site.broker.on(COINPULSES)) == 1


def test_orders_of_ours_are_left_to_ask_by_themselves(bench: Bench) -> None:
    bench.site.say_status("cab-01")
    order_id = bench.site.begin()
    session_id = session_of(bench.site.order(order_id))
    assert session_id is not None
    bench.stripe.pay(session_id, "card")
    bench.reconciliation.run_once()
    assert bench.site.order(order_id).state == "open"


def test_what_was_paid_before_the_very_first_pass_is_left_alone() -> None:
    """The program before this one delivered it, and this one would refund it afterwards."""
    site = Site()
    site.payments.stripe.pay(site.payments.stripe.visit_link("price_play", metadata=CAB), "fpx")
    site.now_ms += 1_000
    for _ in range(3):
        site.reconciliation.run_once()
        site.now_ms += RECONCILE_EVERY_S * 1000
    assert site.payments.calls.count("read_events") == 2
    assert site.store.recent_orders(10) == []


@pytest.mark.parametrize("is_wanting", [False, True])
def test_a_payment_for_a_machine_unknown_here_is_shown_only_if_its_webhook_is_wanting(
    bench: Bench, is_wanting: bool
) -> None:
    """Where it was taken, another installation on the same account delivered it."""
    intent = bench.paid(metadata={"machine_id": "elsewhere"})
    if not is_wanting:
        bench.stripe.all_delivered()
    bench.reconciliation.run_once()
    assert bench.kept(intent) == 100
    assert [alert.kind for alert in bench.store.recent_alerts(10)] == ["unclaimed"] * is_wanting


def test_a_payment_for_a_machine_here_is_found_though_no_endpoint_was_asked_to_take_it(bench: Bench) -> None:
    intent = bench.paid(metadata={}, client_reference_id="cab-01")
    bench.stripe.all_delivered()
    bench.reconciliation.run_once()
    assert bench.site.order(f"link_{intent}").state == "funded"


def test_an_event_that_shows_late_in_the_list_is_found(bench: Bench) -> None:
    bench.wait_s(OVERLAP_S)
    intent = bench.paid()
    with bench.stripe.events_unlisted():
        bench.wait_s(RECONCILE_AGAIN_S)
        bench.reconciliation.run_once()
    bench.wait_s(RECONCILE_EVERY_S)
    bench.reconciliation.run_once()
    assert bench.kept(intent) == 0


def test_stripe_is_asked_no_more_often_than_said(bench: Bench) -> None:
    for _ in range(10):
        bench.reconciliation.run_once()
        bench.wait_s(0.5)
    assert bench.asked("read_events") == 1
    bench.wait_s(RECONCILE_EVERY_S)
    bench.reconciliation.run_once()
    assert bench.asked("read_events") == 2


# what if it dies, or fails, here


def test_a_backlog_is_worked_off_page_by_page(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_gateway, "_PAGE", 2)
    intents = [bench.paid() for _ in range(5)]
    passes = 1
    while bench.reconciliation.run_once():
        passes += 1
    assert passes == 3
    assert {bench.site.order(f"link_{intent}").state for intent in intents} == {"funded"}
    bench.wait_s(RECONCILE_EVERY_S)
    later = bench.paid()
    bench.reconciliation.run_once()
    assert bench.site.order(f"link_{later}").state == "funded"


def test_who_dies_in_the_middle_of_a_backlog_has_forgotten_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_gateway, "_PAGE", 2)
    oldest, *_ = [bench.paid() for _ in range(5)]
    assert bench.reconciliation.run_once()
    assert bench.store.order(f"link_{oldest}") is None
    bench.restart()
    bench.wait_s(20 * 86_400)
    while bench.reconciliation.run_once():
        pass
    assert bench.kept(oldest) == 0


def test_a_cloud_that_was_away_for_weeks_begins_where_it_left_off(bench: Bench) -> None:
    bench.reconciliation.run_once()
    intent = bench.paid()
    bench.wait_s(LISTED_S - OVERLAP_S)
    bench.restart()
    bench.reconciliation.run_once()
    assert bench.kept(intent) == 0


@pytest.mark.parametrize("call", ["read_events", "read_checkout"])
def test_no_verdict_from_stripe_is_logged_once_and_tried_again(
    bench: Bench, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    intent = bench.paid()
    bench.fail(call, times=2)
    for _ in range(2):
        assert not bench.reconciliation.run_once()
        assert bench.store.order(f"link_{intent}") is None
        bench.wait_s(RECONCILE_EVERY_S)
    bench.reconciliation.run_once()
    assert bench.kept(intent) == 0
    assert [record.levelno for record in caplog.records if "is incomplete" in record.message] == [logging.WARNING]


def test_a_page_that_failed_is_asked_for_again_within_a_minute(bench: Bench) -> None:
    bench.fail("read_events")
    bench.reconciliation.run_once()
    bench.wait_s(RECONCILE_AGAIN_S)
    bench.reconciliation.run_once()
    assert bench.asked("read_events") == 2


def test_a_page_is_left_when_stripe_no_longer_answers(bench: Bench) -> None:
    intents = [bench.paid() for _ in range(FAILURES_OF_A_PAGE + 4)]
    bench.fail("read_checkout", times=100)
    bench.reconciliation.run_once()
    assert bench.asked("read_checkout") == FAILURES_OF_A_PAGE
    bench.site.payments.fault = None
    bench.wait_s(RECONCILE_AGAIN_S)
    bench.reconciliation.run_once()
    assert all(bench.store.order(f"link_{intent}") for intent in intents)


def test_a_payment_that_can_not_be_taken_in_holds_up_no_other_and_is_not_forgotten(bench: Bench) -> None:
    broken, good = bench.paid(), bench.paid()
    session_id = bench.stripe.money_of(broken)["session"]
    whole = bench.site.payments.read_checkout
    bench.site.payments.read_checkout = (  # type: ignore[method-assign]
        lambda name: whole("cs_gone" if name == session_id else name)  # type: ignore[assignment]
    )
    for _ in range(8):
        bench.reconciliation.run_once()
        bench.wait_s(RECONCILE_EVERY_S)
    assert bench.site.order(f"link_{good}").state == "funded"
    (alert,) = bench.store.recent_alerts(10)
    assert (alert.kind, bench.store.order(f"link_{broken}")) == ("unreconciled", None)
    bench.site.payments.read_checkout = whole  # type: ignore[method-assign]
    bench.reconciliation.run_once()
    assert bench.kept(broken) == 0


@pytest.mark.parametrize("dies_at", ["is_seen", "move", "note_reconciled"])
def test_a_store_out_of_reach_is_told_and_the_same_page_comes_again(
    bench: Bench, dies_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent = bench.paid()

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("by the test")

    with monkeypatch.context() as patch:
        patch.setattr(bench.store, dies_at, away)
        with pytest.raises(StoreUnavailable):
            bench.reconciliation.run_once()
    bench.wait_s(RECONCILE_AGAIN_S)
    bench.reconciliation.run_once()
    assert bench.site.order(f"link_{intent}").state == "funded"
    assert len(bench.site.broker.on(COINPULSES)) == 1


def test_a_key_without_the_right_is_told_in_a_sentence_and_asked_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    intent = bench.paid()

    def refuse(*_: Any, **__: Any) -> EventPage:
        raise PaymentsRefused("permission", "reading events: the key may not do this")

    granted, bench.site.payments.read_events = bench.site.payments.read_events, refuse  # type: ignore[method-assign]
    for _ in range(2):
        bench.reconciliation.run_once()
        bench.wait_s(RECONCILE_EVERY_S)
    told = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert "“Events: read”" in told[0]
    (alert,) = bench.store.recent_alerts(10)
    assert (alert.kind, alert.text) == ("unreconciled", told[0])
    bench.site.payments.read_events = granted  # type: ignore[method-assign]
    bench.reconciliation.run_once()
    assert bench.kept(intent) == 0


@pytest.mark.parametrize("has_right", [True, False])
def test_the_check_tries_the_right_to_read_events(has_right: bool) -> None:
    site = Site()

    def fault(name: str) -> None:
        if name == "read_events" and not has_right:
            raise PaymentsRefused("permission", "reading events: the key may not do this")

    site.payments.fault = fault
    verdict = next(one.wrong for one in site.self_check.verdicts() if one.name == "Stripe, events")
    assert has_right if verdict is None else "“Events: read”" in verdict


def test_work_that_was_dropped_is_asked_for_again_and_a_page_under_way_is_not_joined(bench: Bench) -> None:
    """`later` may forget; and it may run two pages at once, of which one is enough."""
    waiting: list[Callable[[], None]] = []
    fulfilment = replace(bench.site.dependencies.fulfilment, later=waiting.append)
    reconciliation = Reconciliation(
        fulfilment=fulfilment,
        intake=bench.site.dependencies.intake,
        webhooks=bench.site.cloud.webhooks,
    )
    bench.paid()
    assert not reconciliation.run_once()
    waiting.clear()
    assert not reconciliation.run_once()
    assert waiting == []
    bench.wait_s(RECONCILE_AGAIN_S)
    reconciliation.run_once()
    (page,) = waiting
    listed = bench.site.payments.read_events

    def meanwhile(*given: Any, **more: Any) -> EventPage:
        page()
        return listed(*given, **more)

    bench.site.payments.read_events = meanwhile  # type: ignore[method-assign]
    page()
    assert bench.asked("read_events") == 1


def test_a_clock_that_was_ahead_loses_nothing_of_the_last_hour(bench: Bench) -> None:
    bench.store.note_reconciled(bench.site.now_ms + 86_400_000)
    intent = bench.paid()
    bench.reconciliation.run_once()
    assert bench.site.order(f"link_{intent}").state == "funded"
