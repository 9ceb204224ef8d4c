"""What the machine tells us: game over, ready and meter from GPIO inputs, game over from a serial line.

Two threads, "inputs" and "serial". Both give what they find to `post`, which may block but must not raise.
"""

from __future__ import annotations

import queue
import random
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from arcade_edge.agent.signals import (
    DetectorBack,
    DetectorFault,
    DetectorSignal,
    GameOver,
    InputKind,
    MeterPulse,
    ReadyChanged,
)
from arcade_edge.domain.game_over import Change, Debounce, LineSplitter, compile_pattern
from arcade_edge.domain.pulses import Active
from arcade_edge.hardware.pin_factory import claim_input, open_pin_factory
from arcade_edge.hardware.serial_port import SerialPort

Post: TypeAlias = Callable[[DetectorSignal], None]

MAX_EDGES_WAITING = 1024
"""A relay bounces with some ten edges; what comes beyond this bound is lost, and the level read again."""
READ_AGAIN_MS = 1_000
"""How often a steady input is read again, in case an edge was lost or the back end's thread has died."""

SERIAL_READ_S = 0.5
SILENCE_MS = 1_000
"""No machine pauses for so long within a line: at 300 baud, the slowest in use, a character takes 33 ms."""
SERIAL_CHUNK_BYTES = 4096
FIRST_RETRY_S = 0.2
LAST_RETRY_S = 10.0
STEADY_S = 10.0
"""A connection that lasted this long was sound: the next retry is quick again."""
HOLD_OFF_MS = 1_000
"""One game over a second from a serial line: a machine that repeats its line has still ended one game."""


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class GpioInput:
    """One input: what it means, on which GPIO (BCM number), at which level, and how long a level must hold.

    `debounce_ms`: without a break, or it is a bounce. `hold_ms`: debounced, or it does not count: a lamp that
    flashes is neither on nor out.
    """

    kind: InputKind
    pin: int
    active: Active
    debounce_ms: int = 20
    hold_ms: int = 0

    @property
    def name(self) -> str:
        """How it is called in faults."""
        return f"{self.kind} (GPIO{self.pin})"


class _Watched:
    """One claimed input with its debounced level."""

    def __init__(self, spec: GpioInput, inputs: GpioInputs, pin_factory: Any) -> None:
        self.spec = spec
        self.lost = False
        self._inputs = inputs
        self._active_level = spec.active == "high"
        self._device = claim_input(spec.pin, self._active_level, pin_factory, self.on_edge)
        self.debounce = Debounce(spec.debounce_ms, self.read())
        self.hold = Debounce(spec.hold_ms, self.debounce.active)

    def feed(self, active: bool, at_ms: int) -> Change | None:
        """The raw level is `active` at `at_ms`; the change that counts by then, if any."""
        self.debounce, change = self.debounce.feed(active, at_ms)
        if change is not None:
            self.hold, held = self.hold.feed(change.active, change.since_ms)
            if held is not None:
                return held
        self.hold, held = self.hold.due(at_ms)
        return held

    def next_due(self) -> int | None:
        """When a change may count without another edge."""
        dues = [due for due in (self.debounce.next_due(), self.hold.next_due()) if due is not None]
        return min(dues, default=None)

    def begin_anew(self) -> bool:
        """Forget what was before the input was lost; the level that it has now."""
        active = self.read()
        self.debounce = Debounce(self.spec.debounce_ms, active)
        self.hold = Debounce(self.spec.hold_ms, active)
        return active

    def read(self) -> bool:
        return bool(self._device.pin.state) == self._active_level

    def on_edge(self, _ticks: Any, level: Any) -> None:
        """In the back end's only callback thread: nothing but an enqueue."""
        self._inputs.enqueue(self, bool(level) == self._active_level)

    def close(self) -> None:
        if not self._device.closed:
            self._device.pin.when_changed = None
            self._device.close()


class GpioInputs:
    """Watches the inputs in a thread named "inputs", debounces them and posts what they mean.

    `game_over`: `GameOver` when the line becomes active; active at the start is no game over.
    `ready`: `ReadyChanged` at the start and at each change. `meter`: `MeterPulse` per pulse.

    Raises:
        GpioUnavailable: A pin cannot be had; those claimed before are given back.
    """

    def __init__(
        self,
        inputs: Sequence[GpioInput],
        post: Post,
        *,
        pin_factory: Any = None,
        clock_ms: Callable[[], int] = _monotonic_ms,
    ) -> None:
        self._post = post
        self._clock_ms = clock_ms
        self._edges: queue.Queue[tuple[_Watched, bool, int] | None] = queue.Queue(MAX_EDGES_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="inputs", daemon=True)
        self._watched: list[_Watched] = []
        factory = open_pin_factory(pin_factory) if inputs else None
        try:
            for spec in inputs:
                self._watched.append(_Watched(spec, self, factory))
        except BaseException:
            self._close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Post the level of the ready line, and watch."""
        for watched in self._watched:
            if watched.spec.kind == "ready":
                self._post(ReadyChanged(watched.debounce.active, self._clock_ms()))
        self._thread.start()

    def stop(self) -> None:
        """End the thread and give the pins back."""
        self._stopping.set()
        self._wake()
        if self.alive:
            self._thread.join(5)
        self._close()

    def enqueue(self, watched: _Watched, active: bool) -> None:
        """For the callbacks of the pins."""
        try:
            self._edges.put_nowait((watched, active, self._clock_ms()))
        except queue.Full:
            return  # the level is read again once the queue is empty

    def _wake(self) -> None:
        try:
            self._edges.put_nowait(None)
        except queue.Full:
            return  # then it is awake

    def _close(self) -> None:
        for watched in self._watched:
            watched.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                edge = self._edges.get(timeout=self._patience_ms() / 1000)
            except queue.Empty:
                edge = None
            if edge is not None:
                watched, active, at_ms = edge
                self._settle(watched, watched.feed(active, at_ms))
            # While older edges wait, the level of this instant would overtake them.
            if self._edges.empty():
                for watched in self._watched:
                    self._read_again(watched)

    def _patience_ms(self) -> int:
        now_ms = self._clock_ms()
        dues = [due for watched in self._watched if (due := watched.next_due()) is not None]
        return max(0, min([due - now_ms for due in dues] + [READ_AGAIN_MS]))

    def _read_again(self, watched: _Watched) -> None:
        try:
            active = watched.read()
        except Exception as error:  # noqa: BLE001  # whatever the back end raises is said, once, and tried again
            if not watched.lost:
                watched.lost = True
                self._post(
                    DetectorFault(
                        watched.spec.kind, watched.spec.name, str(error) or repr(error), self._clock_ms()
                    )
                )
            return
        if watched.lost:
            self._found_again(watched)
        else:
            self._settle(watched, watched.feed(active, self._clock_ms()))

    def _found_again(self, watched: _Watched) -> None:
        """What it said before it was lost is old: first the level of now, then that it is back."""
        try:
            active = watched.begin_anew()
        except Exception:  # noqa: BLE001  # it was said to be lost, and still is
            return
        watched.lost = False
        if watched.spec.kind == "ready":
            self._post(ReadyChanged(active, self._clock_ms()))
        self._post(DetectorBack(watched.spec.kind, watched.spec.name, self._clock_ms()))

    def _settle(self, watched: _Watched, change: Change | None) -> None:
        if change is None:
            return
        if watched.spec.kind == "ready":
            self._post(ReadyChanged(change.active, change.since_ms))
        elif change.active and watched.spec.kind == "game_over":
            self._post(GameOver("gpio", change.since_ms))
        elif change.active:
            self._post(MeterPulse(change.since_ms))


class SerialInput:
    """Reads lines from a serial port in a thread named "serial"; each that the pattern is found in is a game over.

    The port may vanish, or not be there yet: it is tried again after 0.2 s, then ever more slowly up to 10 s.
    `DetectorFault` is posted once when it is lost, `DetectorBack` when it is found again.

    Args:
        port: What to open, and how.
        pattern: A regular expression (`compile_pattern`).
        terminator: What ends a line; "" for a carriage return or a line feed. A second of silence always does.

    Raises:
        ValueError: For a pattern that cannot be used.
    """

    def __init__(
        self,
        port: SerialPort,
        pattern: str,
        post: Post,
        *,
        terminator: str = "",
        clock_ms: Callable[[], int] = _monotonic_ms,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = f"game_over ({port.path})"
        self._port = port
        self._terminator = terminator.encode()
        self._pattern: re.Pattern[str] = compile_pattern(pattern)
        self._post = post
        self._clock_ms = clock_ms
        self._jitter = jitter
        self._lost = False
        self._quiet_until_ms = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serial", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; the port need not be there."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the port."""
        self._stopping.set()
        if self.alive:
            self._thread.join(5)

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._stopping.is_set():
            opened_ms = self._clock_ms()
            try:
                self._listen()
            except Exception as error:  # noqa: BLE001  # pyserial raises many kinds; each means: try again
                if not self._lost:
                    self._lost = True
                    self._post(DetectorFault("game_over", self.name, str(error) or repr(error), self._clock_ms()))
            if self._clock_ms() - opened_ms > STEADY_S * 1000:
                retry_s = FIRST_RETRY_S
            self._stopping.wait(retry_s * (0.5 + self._jitter() / 2))
            retry_s = min(2 * retry_s, LAST_RETRY_S)

    def _listen(self) -> None:
        """Open the port and read it until told to stop; raises what pyserial raises when it is lost."""
        with self._port.open(SERIAL_READ_S) as link:
            if self._lost:
                self._lost = False
                self._post(DetectorBack("game_over", self.name, self._clock_ms()))
            lines = LineSplitter(terminator=self._terminator)
            heard_ms = self._clock_ms()
            while not self._stopping.is_set():
                chunk = link.read(min(max(link.in_waiting, 1), SERIAL_CHUNK_BYTES))
                if chunk:
                    heard_ms = self._clock_ms()
                    for line in lines.feed(chunk):
                        self._match(line)
                elif self._clock_ms() - heard_ms >= SILENCE_MS:
                    for line in lines.silence():
                        self._match(line)

    def _match(self, line: str) -> None:
        now_ms = self._clock_ms()
        if self._pattern.search(line) and now_ms >= self._quiet_until_ms:
            self._quiet_until_ms = now_ms + HOLD_OFF_MS
            self._post(GameOver("serial", now_ms, line))
