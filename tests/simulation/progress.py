"""How far a long run is: on a terminal one line that is renewed, elsewhere a line a minute; and what failed."""

import time
from collections.abc import Callable, Sequence
from typing import TextIO

ON_TERMINAL_S = 0.5
ELSEWHERE_S = 60.0
WIPE = "\r\033[K"
MOST_NAMED = 100


class Progress:
    """Writes to `stream` now and then. `number` of seeds wanted, or None where `seconds` end the run."""

    def __init__(
        self,
        stream: TextIO,
        number: int | None,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream, self._number, self._seconds, self._clock = stream, number, seconds, clock
        self._terminal = stream.isatty()
        self._every_s = ON_TERMINAL_S if self._terminal else ELSEWHERE_S
        self._began = self._said = clock()

    def show(self, seeds: int, orders: int, failed: int) -> None:
        """So many seeds are done. `seeds` is 1 or more."""
        now = self._clock()
        if now - self._said < self._every_s:
            return
        self._said = now
        of = "" if self._number is None else f" of {self._number}"
        line = f"{seeds}{of} seeds, {orders} orders, {failed} failed, {_duration(self._left_s(seeds, now))} left"
        print(
            WIPE + line if self._terminal else line,
            end="" if self._terminal else "\n",
            file=self._stream,
            flush=True,
        )

    def wipe(self) -> None:
        """Take the line away, for others to write."""
        if self._terminal:
            print(WIPE, end="", file=self._stream, flush=True)

    def _left_s(self, seeds: int, now: float) -> float:
        took_s = now - self._began
        left = [] if self._number is None else [took_s / seeds * (self._number - seeds)]
        left += [] if self._seconds is None else [self._seconds - took_s]
        return max(0.0, min(left, default=0.0))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def failed_text(seeds: Sequence[int]) -> str:
    """All seeds that failed, in one line, so that none has to be looked for again."""
    more = f" and {len(seeds) - MOST_NAMED} more" if len(seeds) > MOST_NAMED else ""
    return f"failed: {' '.join(map(str, seeds[:MOST_NAMED]))}{more}; one of them again: make sim SEED={seeds[0]}"
