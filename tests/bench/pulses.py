"""The pulse thread: how exact widths and gaps are, idle and beside a thread that never rests."""

import itertools
import queue
import statistics
import sys
import threading
import time

from arcade_edge.bootstrap import SWITCH_INTERVAL_S
from arcade_edge.domain.pulses import Profile
from arcade_edge.hardware.coin_line import PulseThread
from arcade_edge.simulator.board import Edge, Ruling
from bench.rows import Row, as_the_unit_runs_it, percentile
from support.coins import count_coins

PULSES = 2_000
SIMULATED = 100_000
PULSE_MS = 10


class Recorder:
    """A coin line that notes its edges."""

    def __init__(self) -> None:
        self.edges: list[Edge] = []
        self._active = False

    def set_active(self) -> None:
        """Note the leading edge."""
        self._drive(True)

    def set_inactive(self) -> None:
        """Note the trailing edge."""
        self._drive(False)

    def is_active(self) -> bool:
        """What it was driven to."""
        return self._active

    def _drive(self, active: bool) -> None:
        if active != self._active:
            self.edges.append(Edge(active, time.monotonic_ns()))
        self._active = active


class Leaping:
    """A clock that passes only where it is slept on: a hundred thousand pulses take seconds."""

    def __init__(self, line: "LeapingLine") -> None:
        self.line = line

    def __call__(self) -> int:
        self.line.now_ns += 100_000  # a look at the clock: each pulse waits by looking
        return self.line.now_ns

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        self.line.now_ns += max(1_000, int(seconds * 1e9))


class LeapingLine(Recorder):
    """A recorder by that clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = 1_000_000_000

    def _drive(self, active: bool) -> None:
        if active != self._active:
            self.edges.append(Edge(active, self.now_ns))
        self._active = active


def _train(line: Recorder, number: int, clock: Leaping | None = None) -> None:
    done: queue.SimpleQueue[object] = queue.SimpleQueue()
    profile = Profile(pulse_ms=PULSE_MS, gap_ms=PULSE_MS)
    more = {} if clock is None else {"clock_ns": clock, "sleep": clock.sleep}
    thread = PulseThread(line, profile, done.put, **more)  # type: ignore[arg-type]
    thread.start()
    for token in range(number):
        thread.pulse_credit(token)
        done.get()
    thread.stop()


def _errors_ms(edges: list[Edge]) -> list[float]:
    """How much each width and gap exceeds the profile (negative: too short)."""
    return [(after.at_ns - before.at_ns) / 1e6 - PULSE_MS for before, after in itertools.pairwise(edges)]


def _measured(busy: bool) -> tuple[list[float], int]:
    rests = threading.Event()

    def never_rests() -> None:
        while not rests.is_set():
            sum(range(1000))

    load = threading.Thread(target=never_rests)
    if busy:
        load.start()
    line = Recorder()
    try:
        _train(line, PULSES // 2)
    finally:
        rests.set()
        if busy:
            load.join()
    return _errors_ms(line.edges), len(line.edges) // 2


def pulses() -> list[Row]:
    """Widths and gaps in real time, idle and under load; and a long simulated train against the virtual board."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        with as_the_unit_runs_it() as note:
            idle, made_idle = _measured(busy=False)
            loaded, made_loaded = _measured(busy=True)
    finally:
        sys.setswitchinterval(before)
    line = LeapingLine()
    _train(line, SIMULATED, Leaping(line))
    counted = count_coins(line.edges, Ruling(min_pulse_ms=PULSE_MS, min_gap_ms=PULSE_MS))
    p99, short = percentile(loaded, 0.99), sum(error < 0 for error in (*idle, *loaded))
    lost = PULSES - made_idle - made_loaded + SIMULATED - counted
    return [
        Row(
            f"pulse width and gap, too long by, beside a busy thread, p50 (p99){note}",
            f"{statistics.median(loaded):.2f} ms ({p99:.2f} ms)",
            f"{statistics.median(idle):.2f} ms ({percentile(idle, 0.99):.2f} ms), idle",
            target="p99 ≤ 1 ms",
            reached=p99 <= 1,
        ),
        Row(
            f"pulses too short, merged or lost, of {PULSES:,} real and {SIMULATED:,} simulated",
            f"{short} short, {lost} lost",
            target="0",
            reached=short == lost == 0,
        ),
    ]
