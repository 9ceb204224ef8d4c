"""How far this process's clock is off Stripe's, measured by the `Date` that every answer of Stripe's carries.

Stripe says when a payment was made, and this process's clock says whether that is too long ago to deliver. So they
must agree.
"""

import email.utils
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC

# A `Date` has whole seconds.
DATE_STEP_MS = 1000
# A measurement before a longer pause says nothing.
SUSPENDED_MS = 10_000


def monotonic_clock_ms() -> int:
    """A clock that nobody sets, in milliseconds."""
    return time.monotonic_ns() // 1_000_000


class StripeClock:
    """The latest measurement. All gateways of a process share one. Safe to use from many threads."""

    def __init__(self, now_ms: Callable[[], int], monotonic_ms: Callable[[], int] = monotonic_clock_ms) -> None:
        """Store the clock that is measured, epoch milliseconds, and one that nobody sets."""
        self.now_ms, self._monotonic_ms = now_ms, monotonic_ms
        self._lock = threading.Lock()
        self._off_ms: int | None = None
        self._ahead_ms = 0  # of the monotonic clock, at the measurement

    @property
    def off_ms(self) -> int | None:
        """By how much it is ahead of Stripe's at least; negative: behind. None before the first answer.

        A clock that was set back since then is off by so much more, or less. One that runs ahead of the clock that
        nobody sets was set ahead, or this process was suspended: nobody knows before Stripe's next answer.
        """
        with self._lock:
            if self._off_ms is None:
                return None
            set_by_ms = self.now_ms() - self._monotonic_ms() - self._ahead_ms
            if set_by_ms >= SUSPENDED_MS:
                return None
            return self._off_ms + (set_by_ms if set_by_ms <= -DATE_STEP_MS else 0)

    def answered(self, headers: Mapping[str, str] | None, asked_ms: int) -> None:
        """Measure with the headers of an answer to what was asked at that time, by the same clock."""
        date_ms = _date_ms(headers)
        if date_ms is None:
            return
        # Stripe made the answer at a moment from asked_ms until now, at date_ms or within the second after it.
        at_least_ms, at_most_ms = asked_ms - date_ms - DATE_STEP_MS, self.now_ms() - date_ms
        with self._lock:
            self._off_ms = max(0, at_least_ms) + min(0, at_most_ms)
            self._ahead_ms = self.now_ms() - self._monotonic_ms()


def _date_ms(headers: Mapping[str, str] | None) -> int | None:
    text = next((value for name, value in (headers or {}).items() if name.lower() == "date"), None)
    if text is None:
        return None
    try:
        parsed = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
