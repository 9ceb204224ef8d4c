"""A cloud whose clock is off Stripe's: a person is told, and nobody is made to pay for what goes back."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from arcade_cloud.domain.clocks import CLOSED_OFF_MS, TOLD_OFF_MS
from arcade_cloud.domain.events import RefundAsked
from arcade_cloud.errors import NotReady, PaymentsRefused
from arcade_cloud.services.clock_recheck import ASK_AGAIN_MS
from arcade_cloud.services.clock_watch import MEASURE_AGAIN_MS, MEASURE_EVERY_MS, ClockWatch
from arcade_cloud.services.self_check import SelfCheck
from support.mortal_cloud import MACHINE, MortalCloud
from support.orders import only_credit, only_payment
from support.sandbox_payments import SandboxPayments


class Off:
    """The way to Stripe of a process whose clock is off: it shows with the first answer."""

    def __init__(self, cloud: MortalCloud, off_ms: int | None) -> None:
        self.inner, self.off_ms, self.answered = cloud.payments, off_ms, False

    def __getattr__(self, name: str) -> object:
        self.answered = True
        return getattr(self.inner, name)

    def clock_off_ms(self) -> int | None:
        return self.off_ms if self.answered else None


@pytest.mark.parametrize("off_ms", [CLOSED_OFF_MS, 130_000, -CLOSED_OFF_MS])
def test_nobody_is_sent_to_pay_not_even_before_it_is_known(off_ms: int) -> None:
    cloud = MortalCloud()
    off = Off(cloud, off_ms)
    cloud.start(payments=off)
    for _ in range(2):  # the first one shows it
        with pytest.raises(NotReady, match="a clock is wrong"):
            cloud.sales.begin_checkout(MACHINE)
    (order,) = cloud.store.recent_orders(10)
    assert order.state == "abandoned"
    assert only_payment(order).checkout is None
    off.off_ms = 0
    assert cloud.sales.begin_checkout(MACHINE).state == "open"


def test_a_clock_that_is_off_by_seconds_sells() -> None:
    cloud = MortalCloud()
    cloud.start(payments=Off(cloud, CLOSED_OFF_MS - 1))
    assert cloud.sales.begin_checkout(MACHINE).state == "open"
    assert cloud.sales.begin_checkout(MACHINE).state == "open"


def test_it_is_told_when_it_begins_and_when_it_ends_and_is_measured_again_until_then() -> None:
    cloud = MortalCloud()
    asked: list[object] = []
    off, time_ms = Off(cloud, TOLD_OFF_MS), [0]
    off.answered = True

    watch = ClockWatch(
        alerts=cloud.services.alerts,
        payments=off,  # type: ignore[arg-type]  # passes everything on
        name="host-1",
        later=asked.append,
        monotonic_ms=lambda: time_ms[0],
    )
    watch.run_once()
    cloud.store.unavailable = True
    watch.run_once()  # what is told already needs no store
    cloud.store.unavailable = False
    (lasting,) = [alert for alert in cloud.store.recent_alerts(9) if alert.lasts]
    assert (lasting.kind, lasting.subject) == ("clock_off", "host-1")
    assert "10 s ahead of Stripe's" in lasting.text
    assert all(
        what in lasting.text for what in ("nobody can pay", "no refunds", "no machine the time", "closes an order")
    )
    assert not asked
    time_ms[0] += MEASURE_AGAIN_MS
    watch.run_once()
    assert len(asked) == 1
    off.answered = False
    asked[0]()  # type: ignore[operator]
    assert off.answered, "Stripe was asked for its time"
    cloud.payments.fault = lambda _: "before"
    asked[0]()  # type: ignore[operator]  # trouble with Stripe is told elsewhere
    cloud.payments.fault = None
    off.off_ms = TOLD_OFF_MS - 1
    time_ms[0] += MEASURE_AGAIN_MS
    watch.run_once()
    assert not [alert for alert in cloud.store.recent_alerts(9) if alert.lasts]
    assert len(asked) == 2
    time_ms[0] += MEASURE_EVERY_MS - 1
    watch.run_once()
    assert len(asked) == 2
    time_ms[0] += 1
    watch.run_once()
    assert len(asked) == 3
    off.off_ms = -TOLD_OFF_MS  # found by another call: it is measured again soon
    watch.run_once()
    (lasting,) = [alert for alert in cloud.store.recent_alerts(9) if alert.lasts]
    assert "10 s behind Stripe's" in lasting.text
    time_ms[0] += MEASURE_AGAIN_MS
    watch.run_once()
    assert len(asked) == 4


@pytest.mark.parametrize(
    ("off_ms", "is_wrong"), [(TOLD_OFF_MS - 1, False), (TOLD_OFF_MS, True), (-TOLD_OFF_MS, True)]
)
def test_check_has_a_verdict_on_it(off_ms: int, is_wrong: bool) -> None:
    cloud = MortalCloud()
    off = Off(cloud, off_ms)
    cloud.start(payments=off)
    check = SelfCheck(
        sales=cloud.sales,
        tabs=cloud.services.tabs,
        payments=cloud.sales.payments,
        balance=SandboxPayments(lambda: cloud.now_ms),
        sending=lambda: None,
        listening=lambda: None,
    )
    assert list(check.clock()) == []  # Stripe has not answered yet
    off.answered = True
    (verdict,) = check.clock()
    assert ("timedatectl" in (verdict.wrong or "")) is is_wrong


def test_an_offer_that_stripe_refuses_because_of_the_clock_is_not_called_unsellable() -> None:
    """What the payment page is to live until lies in the past, or too far ahead."""
    cloud = MortalCloud()
    off = Off(cloud, -8 * 3_600_000)

    def refuse(*_: object, **__: object) -> None:
        raise PaymentsRefused("parameter_invalid", "expires_at must be in the future")

    cloud.payments.create_checkout = refuse  # type: ignore[assignment]
    cloud.start(payments=off)
    with pytest.raises(NotReady, match="a clock is wrong"):
        cloud.sales.begin_checkout(MACHINE)
    assert not cloud.store.recent_alerts(9)


@pytest.mark.parametrize(("off_ms", "told"), [(CLOSED_OFF_MS, False), (CLOSED_OFF_MS - 1, True)])
def test_a_wrong_clock_is_told_to_no_pi(off_ms: int, told: bool) -> None:
    cloud = MortalCloud()
    off = Off(cloud, off_ms)
    off.answered = True
    cloud.start(payments=off)
    before = len(cloud.machine.clock_answers)
    cloud.now_ms += 1
    cloud.machine.say_status(nonce="c" * 32)
    cloud.deliver_message()
    assert (len(cloud.machine.clock_answers) > before) is told
    cloud.start()
    cloud.now_ms += 1
    cloud.machine.say_status(nonce="c" * 32)  # the same one, which nobody has answered
    cloud.deliver_message()
    assert len(cloud.machine.clock_answers) > before


def test_nothing_is_given_while_the_clock_is_known_to_be_wrong() -> None:
    """Credits of a clock that is hours ahead would end hours later than the machine's time to pulse them."""
    cloud = MortalCloud()
    off = Off(cloud, CLOSED_OFF_MS)
    off.answered = True
    cloud.start(payments=off)
    give = partial(cloud.services.operations.grant, MACHINE, 1, by="someone", reason="jammed")
    with pytest.raises(NotReady, match="a clock is wrong"):
        give(token="t-1")
    off.off_ms = CLOSED_OFF_MS - 1
    assert give(token="t-1").kind == "grant"


def test_a_process_with_a_wrong_clock_refunds_nothing_and_another_one_does() -> None:
    cloud = MortalCloud()
    cloud.machine.deliver = 1
    order_id = cloud.buy("fpx")
    assert order_id is not None
    off = Off(cloud, 8 * 3_600_000)
    off.answered = True
    cloud.start(payments=off)
    cloud.settle_down(days=0.01)
    assert cloud.order(order_id).state == "resolved"
    assert "refund" not in cloud.payments.calls
    cloud.start()
    cloud.settle_down()
    assert cloud.order(order_id).state == "settled"
    cloud.check_promises()


def ended_by(cloud: MortalCloud, order_id: str) -> str | None:
    """What has ended the order's delivery."""
    resolution = only_credit(cloud.order(order_id)).resolution
    return None if resolution is None else resolution.by


def silent(cloud: MortalCloud) -> str:
    """An order, charged, whose machine does not answer; the cloud hears."""
    cloud.machine.is_up = False
    order_id = cloud.buy("fpx")
    assert order_id is not None
    cloud.settle_down(lambda: cloud.order(order_id).state == "revoking" and not cloud.to_cloud)
    return order_id


@pytest.mark.parametrize("is_measured", [True, False])
def test_a_process_that_is_hours_ahead_ends_no_silence_and_no_last_resort(is_measured: bool) -> None:
    """The machine has pulsed, and says so once it has its network back. An early end would give the money back."""
    cloud = MortalCloud()
    order_id = silent(cloud)
    ahead_ms = 30 * 3_600_000
    off = Off(cloud, ahead_ms)
    off.answered = is_measured
    cloud.start(payments=off, now_ms=lambda: cloud.now_ms + ahead_ms)
    for _ in range(20):
        cloud.services.recheck.look()
        cloud.fulfilment.run_once()
        while cloud.to_cloud:
            cloud.deliver_message()
        cloud.now_ms += 10_000
    assert off.answered, "Stripe was asked for its time"
    assert cloud.order(order_id).state == "revoking"
    cloud.machine.is_up = True
    cloud.start()
    cloud.services.recheck.look()
    cloud.settle_down()
    assert ended_by(cloud, order_id) == "ack"
    assert not [alert for alert in cloud.store.recent_alerts(9) if alert.kind == "unconfirmed"]
    cloud.check_promises()


def test_a_process_that_never_had_an_answer_of_stripes_ends_a_silence_once_it_has_one() -> None:
    """As `arcade-cloud tick`, which is a new process each minute."""
    cloud = MortalCloud()
    order_id = silent(cloud)
    off = Off(cloud, None)  # Stripe does not answer
    cloud.payments.fault = lambda _: "before"
    for _ in range(40):
        off.answered = False
        cloud.start(payments=off)
        cloud.fulfilment.run_once()
        while cloud.to_cloud:
            cloud.deliver_message()
        cloud.now_ms += 60_000
    assert cloud.order(order_id).state == "revoking"
    cloud.payments.fault = None
    off.off_ms = 0
    for _ in range(5):
        off.answered = False
        cloud.start(payments=off)
        cloud.fulfilment.run_once()
        while cloud.to_cloud:
            cloud.deliver_message()
        cloud.now_ms += 60_000
    assert ended_by(cloud, order_id) == "silence"
    cloud.settle_down()
    cloud.check_promises()


@pytest.mark.parametrize("is_measured", [True, False])
def test_a_process_that_is_hours_behind_takes_no_time_on_record_for_the_future(is_measured: bool) -> None:
    """What others have written looks to it as if their clocks were ahead. It must not put that "right"."""
    cloud = MortalCloud()
    order_id = silent(cloud)
    while cloud.to_cloud:
        cloud.deliver_message()
    before, presence, echo_ms = cloud.order(order_id), cloud.store.presence(MACHINE), cloud.store.heard_echo_ms()
    off = Off(cloud, -8 * 3_600_000)
    off.answered = is_measured
    cloud.start(payments=off, now_ms=lambda: cloud.now_ms - 8 * 3_600_000, machine_silent_s=600)
    assert cloud.services.recheck.look() == 0
    cloud.services.watch.run_once()
    cloud.fulfilment.move(order_id, RefundAsked("boss", "stuck"))
    assert off.answered, "Stripe was asked for its time"
    after = cloud.order(order_id)
    assert only_credit(after).delivery == only_credit(before).delivery
    assert cloud.store.presence(MACHINE) == presence
    assert cloud.store.heard_echo_ms() == echo_ms
    cloud.start()
    began_ms = cloud.now_ms
    cloud.settle_down(lambda: cloud.order(order_id).state != "revoking")
    assert ended_by(cloud, order_id) == "silence"
    assert cloud.now_ms - began_ms >= 1000 * (cloud.limits.silence_limit_s - 10)


@pytest.mark.parametrize("ahead_ms", [-8 * 3_600_000, 8 * 3_600_000])
def test_a_wrong_clock_is_not_what_a_machine_s_silence_counts_from(
    ahead_ms: int,
) -> None:
    cloud = MortalCloud()
    cloud.machine.is_up = False
    order_id = cloud.buy("fpx")
    assert order_id is not None
    cloud.settle_down(lambda: cloud.order(order_id).state == "funded")
    cloud.now_ms += 30_000
    off = Off(cloud, ahead_ms)
    off.answered = True
    cloud.start(payments=off, now_ms=lambda: cloud.now_ms + ahead_ms)
    cloud.fulfilment.move(order_id, RefundAsked("boss", "stuck"))
    delivery = only_credit(cloud.order(order_id)).delivery
    assert delivery is not None
    assert delivery.revoking is not None
    assert delivery.revoking.since_ms == delivery.revoking.first_confirmed_at_ms == cloud.now_ms


def test_only_a_thread_that_may_wait_for_stripe_asks_it_for_the_time() -> None:
    cloud = MortalCloud()
    order_id = silent(cloud)
    cloud.now_ms += 1000 * cloud.limits.last_resort_s
    waiting: list[Callable[[], None]] = []
    off = Off(cloud, 0)
    cloud.start(payments=off, later=waiting.append)
    cloud.services.recheck.look()
    cloud.fulfilment.move_due(order_id)
    assert "check" not in cloud.payments.calls
    assert len(waiting) == 2
    waiting.pop()()
    assert "check" in cloud.payments.calls
    assert ended_by(cloud, order_id) == "last resort"


def test_stripe_is_asked_for_the_time_now_and_then_until_it_answers() -> None:
    cloud = MortalCloud()
    cloud.start(payments=Off(cloud, None))
    monotonic_ms = 0
    recheck = replace(cloud.services.recheck, monotonic_ms=lambda: monotonic_ms)
    for _ in range(2 * ASK_AGAIN_MS // 500):  # as the timer passes
        recheck.run_once()
        monotonic_ms += 500
    assert cloud.payments.calls.count("check") == 2
