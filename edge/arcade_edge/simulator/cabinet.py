"""A simulated cabinet: gpiozero's mock pins, wired to a virtual game board.

The agent that runs on `SimulatedCabinet.factory` is the real one; only what is behind the pins is not.
"""

from __future__ import annotations

import functools
import heapq
import json
import os
import pty
import queue
import threading
import time
import tty
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcade_edge.domain.pulses import Active
from arcade_edge.simulator.board import (
    Board,
    CoinCounted,
    Decision,
    Edge,
    GameEnded,
    GameStarted,
    PulseSeen,
    ReadyTurned,
    Ruling,
    State,
)

GAME_OVER_MS = 500
METER_MS = 50
"""How long the outputs of the board stay active; a mechanical meter needs as long."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """Which GPIO (BCM number) leads to what, and at which level it is active; None: not wired."""

    coin_pin: int
    coin_active: Active = "low"
    game_over_pin: int | None = None
    game_over_active: Active = "low"
    ready_pin: int | None = None
    ready_active: Active = "low"
    meter_pin: int | None = None
    meter_active: Active = "low"
    serial_text: str | None = None
    """The line that is written to the serial port at game over; None: no serial port."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the board shows at one moment."""

    coins: int
    refused: int
    credits: int
    games: int
    state: State


@dataclass(slots=True, order=True)
class _Output:
    """An output of the board: how many pulses it still owes, and from when on it may begin another."""

    pin: int
    active_level: bool
    width_ns: int
    owed: int = 0
    free_ns: int = 0


class SimulatedCabinet:
    """A board behind mock pins, judging in a thread named "board".

    Args:
        edge_log: A file that each edge of the coin line is appended to at once, so that it survives a SIGKILL: one
            JSON object a line, `{"t_ns": monotonic, "wall_ms": …, "active": …}`; what the board decides stands
            between them as `{"t_ns": …, "wall_ms": …, "event": …}`. `read_edge_log` reads it.
        meter_cut_after: After so many coins nothing comes from the meter any more; None: it goes on.
        listen: Is told each decision of the board, in its thread.
    """

    def __init__(
        self,
        wiring: Wiring,
        ruling: Ruling | None = None,
        *,
        edge_log: Path | None = None,
        meter_cut_after: int | None = None,
        listen: Callable[[Decision], None] | None = None,
    ) -> None:
        from gpiozero.pins.mock import MockFactory

        self.wiring = wiring
        self._board = Board(ruling or Ruling())
        self._meter_cut_after = meter_cut_after
        self._listen = listen
        self._edges: queue.SimpleQueue[Edge | None] = queue.SimpleQueue()
        self._to_drive: list[tuple[int, _Output, bool]] = []
        self._outputs: dict[int, _Output] = {}
        self._thread = threading.Thread(target=self._run, name="board", daemon=True)
        self._factory = MockFactory()
        coin, wired = _pin_classes()
        self._factory.pin(
            wiring.coin_pin, pin_class=coin, inactive_level=wiring.coin_active == "low", observe=self._on_edge
        )
        for pin, active, initially in (
            (wiring.game_over_pin, wiring.game_over_active, False),
            (wiring.ready_pin, wiring.ready_active, True),
            (wiring.meter_pin, wiring.meter_active, False),
        ):
            if pin is not None:
                self._factory.pin(pin, pin_class=wired, level=initially == (active == "high"))
        self._log = -1
        if edge_log is not None:
            self._log = os.open(edge_log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._master, self._slave = pty.openpty() if wiring.serial_text is not None else (-1, -1)
        if self._slave >= 0:
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)

    @property
    def serial_port(self) -> str | None:
        """The path to give as `[game_over.serial] port`."""
        return os.ttyname(self._slave) if self._slave >= 0 else None

    def factory(self) -> Any:
        """The gpiozero pin factory for the agent."""
        return self._factory

    def start(self) -> None:
        """Switch the board on."""
        self._write_log(Edge(False, time.monotonic_ns()))
        self._thread.start()

    def stop(self) -> None:
        """Switch the board off. The agent must have given its pins back."""
        self._edges.put(None)
        if self._thread.is_alive():
            self._thread.join(5)
        for fd in (self._log, self._master, self._slave):
            if fd >= 0:
                os.close(fd)
        self._log = self._master = self._slave = -1

    def counts(self) -> Counts:
        """What the board shows now."""
        board = self._board
        return Counts(board.coins, board.refused, board.credits, board.games, board.state)

    def _on_edge(self, level: bool, at_ns: int) -> None:
        """In the pulse thread: append and enqueue, nothing else."""
        edge = Edge(level == (self.wiring.coin_active == "high"), at_ns)
        self._write_log(edge)
        self._edges.put(edge)

    def _run(self) -> None:
        while True:
            try:
                edge = self._edges.get(timeout=self._patience_s())
                if edge is None:
                    return
                self._act(self._board.edge(edge.active, edge.at_ns))
            except queue.Empty:
                self._act(self._board.tick(time.monotonic_ns()))
            while self._to_drive and self._to_drive[0][0] <= time.monotonic_ns():
                _due_ns, output, active = heapq.heappop(self._to_drive)
                self._drive(output, active)

    def _patience_s(self) -> float | None:
        dues = [self._board.next_due_ns(), self._to_drive[0][0] if self._to_drive else None]
        waiting = [due for due in dues if due is not None]
        return max(0.0, (min(waiting) - time.monotonic_ns()) / 1e9) if waiting else None

    def _act(self, decisions: list[Decision]) -> None:
        for decision in decisions:
            match decision:
                case PulseSeen(verdict=verdict, ended_ns=at_ns):
                    self._log_event(at_ns, "pulse", verdict=verdict)
                case CoinCounted(coins=coins, at_ns=at_ns):
                    self._log_event(at_ns, "coin", coins=coins)
                    if self._meter_cut_after is None or coins <= self._meter_cut_after:
                        self._pulse(self.wiring.meter_pin, self.wiring.meter_active, METER_MS)
                case ReadyTurned(ready=ready, at_ns=at_ns):
                    self._log_event(at_ns, "ready", ready=ready)
                    self._turn(self.wiring.ready_pin, ready == (self.wiring.ready_active == "high"))
                case GameStarted(at_ns=at_ns):
                    self._log_event(at_ns, "game_started")
                case GameEnded(at_ns=at_ns):
                    self._log_event(at_ns, "game_over")
                    self._pulse(self.wiring.game_over_pin, self.wiring.game_over_active, GAME_OVER_MS)
                    self._say_game_over()
            if self._listen is not None:
                self._listen(decision)

    def _say_game_over(self) -> None:
        if self.wiring.serial_text is None:
            return
        try:
            os.write(self._master, self.wiring.serial_text.encode() + b"\r\n")
        except BlockingIOError:
            return  # nobody reads: a real port loses the line as well

    def _turn(self, pin: int | None, level: bool) -> None:
        """Have an output of the board at this level from now on."""
        if pin is not None:
            driven = self._factory.pin(pin)
            driven.drive_high() if level else driven.drive_low()

    def _pulse(self, pin: int | None, active: Active, width_ms: int) -> None:
        """Have an output of the board pulsed, after the pulses that it still owes."""
        if pin is None:
            return
        output = self._outputs.setdefault(pin, _Output(pin, active == "high", width_ms * 1_000_000))
        output.owed += 1
        if output.owed == 1:
            heapq.heappush(self._to_drive, (max(time.monotonic_ns(), output.free_ns), output, True))

    def _drive(self, output: _Output, active: bool) -> None:
        """Make one edge and plan the next from now on: what comes late is no shorter for it."""
        pin = self._factory.pin(output.pin)
        pin.drive_high() if active == output.active_level else pin.drive_low()
        next_ns = time.monotonic_ns() + output.width_ns
        if active:
            heapq.heappush(self._to_drive, (next_ns, output, False))
            return
        output.owed -= 1
        output.free_ns = next_ns
        if output.owed:
            heapq.heappush(self._to_drive, (next_ns, output, True))

    def _write_log(self, edge: Edge) -> None:
        if self._log >= 0:
            active = "true" if edge.active else "false"
            os.write(
                self._log,
                b'{"t_ns": %d, "wall_ms": %d, "active": %s}\n'
                % (edge.at_ns, time.time_ns() // 1_000_000, active.encode()),
            )

    def _log_event(self, at_ns: int, event: str, **more: object) -> None:
        if self._log >= 0:
            line = {"t_ns": at_ns, "wall_ms": time.time_ns() // 1_000_000, "event": event, **more}
            os.write(self._log, json.dumps(line).encode() + b"\n")


def read_edge_log(path: Path) -> list[Edge]:
    """The coin line's edges in an edge log, in order.

    Raises:
        ValueError: A line is not an edge log's; the text names it.
    """
    edges = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            entry = json.loads(line)
            if "event" not in entry:
                edges.append(Edge(active=bool(entry["active"]), at_ns=int(entry["t_ns"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number}: not an entry of an edge log: {line[:80]!r}") from error
    return sorted(edges, key=lambda edge: edge.at_ns)


@functools.cache
def _pin_classes() -> tuple[Any, Any]:
    """The coin line's pin, which reports each change, and an input's, which the board drives."""
    from gpiozero.pins.mock import MockPin

    class CoinPin(MockPin):  # type: ignore[misc]  # gpiozero ships no types
        """The board's own resistor holds the line inactive while nobody drives it."""

        def __init__(
            self, factory: Any, info: Any, *, inactive_level: bool, observe: Callable[[bool, int], None]
        ) -> None:
            self._inactive_level = inactive_level
            self._observe: Callable[[bool, int], None] | None = None
            super().__init__(factory, info)
            self._state = inactive_level
            self._observe = observe

        def _set_pull(self, value: str) -> None:
            self._pull = value

        def _set_function(self, value: str) -> None:
            super()._set_function(value)
            if value == "input":
                self._change_state(self._inactive_level)

        def _change_state(self, value: bool) -> bool:
            if self._state == value:
                return False
            at_ns = time.monotonic_ns()
            self._state = value
            if self._observe is not None:
                self._observe(value, at_ns)
            return True

    class WiredPin(MockPin):  # type: ignore[misc]  # gpiozero ships no types
        """An input that the board drives: a pull resistor is weaker than that."""

        def __init__(self, factory: Any, info: Any, *, level: bool) -> None:
            super().__init__(factory, info)
            self._state = level

        def _set_pull(self, value: str) -> None:
            self._pull = value

        def _change_state(self, value: bool) -> bool:
            if self._state == value:
                return False
            self._state = value
            self._last_change = time.monotonic()
            return True

    return CoinPin, WiredPin
