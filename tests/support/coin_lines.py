"""Lines and clocks for the pulse thread: a line that remembers every edge, a clock that jumps."""

from __future__ import annotations

import queue
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from arcade_edge.agent.signals import PulseSignal
from arcade_edge.domain.pulses import Profile
from arcade_edge.hardware.coin_line import DrivenLine, PulseThread

WAIT_S = 20
MS = 1_000_000


class JumpingClock:
    """A monotonic clock that only moves when it is read or slept on, and oversleeps by a random time."""

    def __init__(self, seed: int = 0, latest_ms: float = 0.0) -> None:
        self.now_ns = 1_000 * MS
        self._random = random.Random(seed)
        self._latest_ns = int(latest_ms * MS)

    def __call__(self) -> int:
        self.now_ns += 100_000
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)
        self.lag()

    def lag(self) -> None:
        """The machine does something else for a while."""
        self.now_ns += self._random.randint(0, self._latest_ns)


class RecordingLine:
    """A coin line that notes each change with its time; driving it may take long before and after the change."""

    def __init__(self, clock: JumpingClock) -> None:
        self.clock = clock
        self.active = False
        self.edges: list[tuple[bool, int]] = []

    def set_active(self) -> None:
        self._drive(True)

    def set_inactive(self) -> None:
        self._drive(False)

    def is_active(self) -> bool:
        return self.active

    def _drive(self, active: bool) -> None:
        self.clock.lag()
        if active != self.active:
            self.edges.append((active, self.clock.now_ns))
        self.active = active
        self.clock.lag()

    def pulses(self) -> list[tuple[int, int]]:
        """Begin and end of each whole pulse in ns."""
        times = [at_ns for _active, at_ns in self.edges]
        return list(zip(times[::2], times[1::2], strict=True))


@contextmanager
def running(
    line: DrivenLine,
    profile: Profile,
    clock: JumpingClock | None = None,
    may_begin: Callable[[], bool] = lambda: True,
) -> Iterator[tuple[PulseThread, queue.Queue[PulseSignal]]]:
    """A pulse thread and the outcomes that it posts; stopped at the end."""
    posted: queue.Queue[PulseSignal] = queue.Queue()
    if clock is None:
        thread = PulseThread(line, profile, posted.put, may_begin=may_begin)
    else:
        thread = PulseThread(line, profile, posted.put, may_begin=may_begin, clock_ns=clock, sleep=clock.sleep)
    thread.start()
    try:
        yield thread, posted
    finally:
        thread.stop(finish=False, timeout_s=WAIT_S)
