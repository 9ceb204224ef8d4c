"""Whether a pulse may begin at this very moment: the pulse thread asks right before each edge.

The loop decides about a credit when it hands it over, and a gap of the coin line later that may be old. So those
who know say it here at once: the thread that reads the ready line, and the loop about the cloud. Each has a value
of its own and nobody waits for another, so an edge is not delayed.
"""

from __future__ import annotations

from collections.abc import Callable

from arcade_edge.agent.signals import DetectorBack, DetectorFault, DetectorSignal, ReadyChanged
from arcade_edge.ports import BootClock


class ReadyLine:
    """The machine's ready line, as told by its detector. One that cannot be read is not ready."""

    def __init__(self, *, wired: bool) -> None:
        self._wired = wired
        self._level = False
        self._lost: set[str] = set()

    @property
    def ready(self) -> bool:
        """Whether the machine takes coins; always, where no such line is wired."""
        return not self._wired or (self._level and not self._lost)

    def take(self, signal: object) -> None:
        """Take in what a detector says. Only the detector that was lost can be back."""
        match signal:
            case ReadyChanged(ready):
                self._level = ready
            case DetectorFault("ready", detector):
                self._lost.add(detector)
            case DetectorBack("ready", detector):
                self._lost.discard(detector)


class Gate:
    """Open while the machine is ready and the loop's time is not over."""

    def __init__(self, boottime_ms: BootClock, *, has_ready: bool = False) -> None:
        self._boottime_ms = boottime_ms
        self._line = ReadyLine(wired=has_ready)
        self._until_ms: Callable[[], int | None] = lambda: None

    def take(self, signal: DetectorSignal) -> None:
        """Take in what a detector says; for the detectors' thread, before the loop hears of it."""
        self._line.take(signal)

    def keep_to(self, until_ms: Callable[[], int | None]) -> None:
        """From what it gives on (boot clock) no pulse may begin; None: time does not matter.

        The pulse thread calls it, so it may only read what the loop replaces as a whole.
        """
        self._until_ms = until_ms

    def is_open(self) -> bool:
        """Whether a pulse may begin now."""
        until_ms = self._until_ms()
        return self._line.ready and (until_ms is None or self._boottime_ms() < until_ms)
