"""A cloud whose clock is off Stripe's: a person is told, and nobody is made to pay for what goes back."""

import pytest

from arcade_cloud.domain.clocks import CLOSED, CLOSED_OFF_MS, TOLD_OFF_MS
from arcade_cloud.entrypoints.cli.check import _clock
from arcade_cloud.errors import NotReady
from arcade_cloud.services.clock_watch import MEASURE_AGAIN_MS, MEASURE_EVERY_MS, ClockWatch
from support.mortal_cloud import MACHINE, MortalCloud
from support.orders import only_payment


class Off:
    """The way to Stripe of a process whose clock is off: it shows with the first answer."""

    def __init__(self, cloud: MortalCloud, off_ms: int) -> None:
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
        with pytest.raises(NotReady, match=CLOSED):
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
    assert list(_clock(cloud)) == []  # type: ignore[arg-type]  # Stripe has not answered yet
    off.answered = True
    ((_, wrong),) = _clock(cloud)  # type: ignore[arg-type]
    assert ("timedatectl" in (wrong or "")) is is_wrong
