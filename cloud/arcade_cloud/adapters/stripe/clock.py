"""How far this process's clock is off Stripe's, measured by the `Date` that every answer of Stripe's carries.

Stripe says when a payment was made, and this process's clock says whether that is too long ago to deliver. So they
must agree.
"""

import email.utils
import threading
from collections.abc import Callable, Mapping
from datetime import UTC

# A `Date` has whole seconds.
DATE_STEP_MS = 1000


class StripeClock:
    """The latest measurement. All gateways of a process share one. Safe to use from many threads."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        """Store the clock that is measured: epoch milliseconds."""
        self.now_ms = now_ms
        self._lock = threading.Lock()
        self._off_ms: int | None = None

    @property
    def off_ms(self) -> int | None:
        """By how much it is ahead of Stripe's at least; negative: behind. None before the first answer."""
        with self._lock:
            return self._off_ms

    def answered(self, headers: Mapping[str, str] | None, asked_ms: int) -> None:
        """Measure with the headers of an answer to what was asked at that time, by the same clock."""
        date_ms = _date_ms(headers)
        if date_ms is None:
            return
        # Stripe made the answer at a moment from asked_ms until now, at date_ms or within the second after it.
        at_least_ms, at_most_ms = asked_ms - date_ms - DATE_STEP_MS, self.now_ms() - date_ms
        with self._lock:
            self._off_ms = max(0, at_least_ms) + min(0, at_most_ms)


def _date_ms(headers: Mapping[str, str] | None) -> int | None:
    text = next((value for name, value in (headers or {}).items() if name.lower() == "date"), None)
    if text is None:
        return None
    try:
        parsed = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return int((parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).timestamp() * 1000)
