"""Tells a person when this process's clock is off Stripe's: payments would go back as too late."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from arcade_cloud.domain.clocks import CLOSED_OFF_MS, TOLD_OFF_MS, off_text
from arcade_cloud.errors import PaymentsError
from arcade_cloud.ports.payments import Payments
from arcade_cloud.services.alerts import Alerts

# So often Stripe is asked only for its time, and so often while the clock is off: it may have been put right.
MEASURE_EVERY_MS = 15 * 60_000
MEASURE_AGAIN_MS = 60_000


@dataclass(kw_only=True)
class ClockWatch:
    """Begins and ends the condition `clock_off` of one process.

    Attributes:
        name: The process. After a restart it has the same name.
        later: Runs work that waits for Stripe.
        monotonic_ms: A clock that nobody sets.
    """

    alerts: Alerts
    payments: Payments
    name: str
    later: Callable[[Callable[[], None]], None]
    monotonic_ms: Callable[[], int]
    _next_ms: int | None = None
    _is_off: bool | None = None

    def run_once(self) -> None:
        """Look at the latest measurement, and ask for a new one if it is time. The timer calls it at every pass.

        Raises:
            StoreUnavailable: It is told at a later pass.
        """
        off_ms = self.payments.clock_off_ms()
        is_off = off_ms is not None and abs(off_ms) >= TOLD_OFF_MS
        now_ms = self.monotonic_ms()
        if self._next_ms is None or (is_off and self._next_ms - now_ms > MEASURE_AGAIN_MS):
            self._next_ms = now_ms + MEASURE_AGAIN_MS
        elif now_ms >= self._next_ms:
            self._next_ms = now_ms + (MEASURE_AGAIN_MS if is_off else MEASURE_EVERY_MS)
            self.later(self._measure)
        if off_ms is None or is_off == self._is_off:
            return
        if is_off:
            text = (
                f"The clock of {self.name} is {off_text(off_ms)} Stripe's. Set it right: timedatectl shows "
                "whether it is synchronised. If it is ahead, payments go back as too late. From "
                f"{CLOSED_OFF_MS // 1000} s on nobody can pay, and until it is right this process makes no "
                "refunds, gives no free credits, tells no machine the time (one that starts anew is not ready), "
                "and neither closes an order whose machine is silent nor says that a machine is silent."
            )
            self.alerts.begin("clock_off", self.name, text)
        else:
            self.alerts.end("clock_off", self.name, f"The clock of {self.name} agrees with Stripe's again.")
        self._is_off = is_off

    def _measure(self) -> None:
        with suppress(PaymentsError):  # trouble with Stripe is told elsewhere; any answer has the time
            self.payments.check()
