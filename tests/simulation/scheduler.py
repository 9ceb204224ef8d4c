"""Simulated time: a heap of what is to happen, one thread, and a trace of what has happened."""

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

START_MS = 1_790_000_000_000
Work = Callable[[], object]


@dataclass
class Scheduler:
    """Runs what is due, in the order of (time, number). Work may run others' work before it goes on itself."""

    now_ms: int = START_MS
    trace: list[tuple[object, ...]] = field(default_factory=list)
    _heap: list[tuple[int, int, Work]] = field(default_factory=list)
    _number: int = 0

    def at(self, when_ms: int, work: Work) -> None:
        """Have `work` done at `when_ms`, or at once if that has gone by."""
        self._number += 1
        heapq.heappush(self._heap, (max(when_ms, self.now_ms), self._number, work))

    def after(self, delay_ms: int, work: Work) -> None:
        """Have `work` done in `delay_ms`."""
        self.at(self.now_ms + delay_ms, work)

    def run_until(self, end_ms: int) -> None:
        """Do all that is due until `end_ms`; then it is `end_ms`."""
        heap = self._heap
        while heap and heap[0][0] <= end_ms:
            when_ms, _, work = heapq.heappop(heap)
            if when_ms > self.now_ms:
                self.now_ms = when_ms
            work()
        self.now_ms = max(self.now_ms, end_ms)

    def note(self, *what: object) -> None:
        """Write a line of the trace."""
        self.trace.append((self.now_ms - START_MS, *what))

    def fingerprint(self) -> str:
        """What two equal runs have in common, and no two different ones."""
        digest = hashlib.blake2b(digest_size=8)
        for line in self.trace:
            digest.update(repr(line).encode())
        return digest.hexdigest()
