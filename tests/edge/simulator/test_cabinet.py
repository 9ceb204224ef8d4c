"""The simulated cabinet: real agent parts on one side, a board that counts, plays and signals on the other."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arcade_edge.agent.signals import CreditPulsed, DetectorSignal, GameOver, MeterPulse, ReadyChanged
from arcade_edge.domain.pulses import Profile
from arcade_edge.hardware.coin_line import CoinLine
from arcade_edge.hardware.inputs import GpioInput, GpioInputs, SerialInput
from arcade_edge.hardware.serial_port import SerialPort
from arcade_edge.simulator.board import CoinCounted, GameEnded, GameStarted, PulseSeen, Ruling
from arcade_edge.simulator.cabinet import SimulatedCabinet, Wiring, read_edge_log
from support.coin_lines import WAIT_S, running
from support.coins import count_coins

QUICK = Ruling(min_pulse_ms=5, min_gap_ms=5, start_after_ms=20, play_ms=50)
pytestmark = pytest.mark.serial  # real pulses of some milliseconds

WIRING = Wiring(
    coin_pin=17,
    game_over_pin=27,
    ready_pin=22,
    ready_active="high",
    meter_pin=23,
    serial_text="*** GAME OVER ***",
)


@pytest.fixture
def cabinet(tmp_path: Path) -> Iterator[SimulatedCabinet]:
    made = SimulatedCabinet(WIRING, QUICK, edge_log=tmp_path / "edges.jsonl")
    made.start()
    yield made
    made.stop()


def pulse(cabinet: SimulatedCabinet, profile: Profile, credits_: int) -> None:
    line = CoinLine(17, cabinet.wiring.coin_active, pin_factory=cabinet.factory())
    with running(line, profile) as (thread, posted):
        for token in range(credits_):
            thread.pulse_credit(token)
            assert isinstance(posted.get(timeout=WAIT_S), CreditPulsed)
    line.close()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_under_load_every_pulse_is_wide_enough_far_enough_apart_and_counted(
    cabinet: SimulatedCabinet, tmp_path: Path
) -> None:
    """Recomputed from the edge log, while another thread wants the interpreter all the time."""
    stop = threading.Event()

    def compute() -> None:
        while not stop.is_set():
            sum(range(1_000))

    busy = threading.Thread(target=compute)
    busy.start()
    try:
        pulse(cabinet, Profile(pulse_ms=8, gap_ms=7, pulses_per_credit=2), 15)
    finally:
        stop.set()
        busy.join()
    wait_for(lambda: cabinet.counts().coins == 30)
    edges = read_edge_log(tmp_path / "edges.jsonl")
    assert [edge.active for edge in edges] == [False, *([True, False] * 30)]
    spans_ns = [after.at_ns - before.at_ns for before, after in itertools.pairwise(edges)]
    assert min(spans_ns[1::2]) >= 8_000_000
    assert min(spans_ns[2::2]) >= 7_000_000
    assert count_coins(edges, QUICK) == 30
    assert cabinet.counts().refused == 0


def test_a_board_that_wants_longer_pulses_refuses_those_too_short(tmp_path: Path) -> None:
    """A wrong profile shows at the bench, not at the first player."""
    cabinet = SimulatedCabinet(Wiring(17, "high"), Ruling(min_pulse_ms=500), edge_log=tmp_path / "log")
    cabinet.start()
    pulse(cabinet, Profile(pulse_ms=5, gap_ms=5), 3)
    wait_for(lambda: cabinet.counts().refused == 3)
    assert cabinet.counts().coins == 0
    cabinet.stop()


def test_a_game_is_played_and_its_end_is_signalled_on_every_line(cabinet: SimulatedCabinet) -> None:
    posted: queue.Queue[DetectorSignal] = queue.Queue()
    inputs = GpioInputs(
        [GpioInput("game_over", 27, "low"), GpioInput("ready", 22, "high"), GpioInput("meter", 23, "low", 5)],
        posted.put,
        pin_factory=cabinet.factory(),
    )
    assert cabinet.serial_port is not None
    serial_input = SerialInput(SerialPort(cabinet.serial_port), "GAME OVER", posted.put)
    inputs.start()
    serial_input.start()
    wait_for(lambda: serial_input.alive)
    time.sleep(0.2)
    pulse(cabinet, Profile(pulse_ms=10, gap_ms=10), 1)
    signals = [posted.get(timeout=WAIT_S) for _ in range(4)]
    assert isinstance(signals[0], ReadyChanged)
    assert signals[0].ready
    assert isinstance(signals[1], MeterPulse)
    assert {signal.source for signal in signals[2:] if isinstance(signal, GameOver)} == {"gpio", "serial"}
    cabinet.factory().pin(22).drive_low()
    changed = posted.get(timeout=WAIT_S)
    assert isinstance(changed, ReadyChanged)
    assert not changed.ready
    serial_input.stop()
    inputs.stop()
    assert cabinet.counts().games == 1


def test_every_coin_moves_the_meter_however_fast_they_come(cabinet: SimulatedCabinet) -> None:
    posted: queue.Queue[DetectorSignal] = queue.Queue()
    inputs = GpioInputs([GpioInput("meter", 23, "low", 5)], posted.put, pin_factory=cabinet.factory())
    inputs.start()
    pulse(cabinet, Profile(pulse_ms=6, gap_ms=6), 6)
    for _ in range(6):
        assert isinstance(posted.get(timeout=WAIT_S), MeterPulse)
    inputs.stop()
    assert posted.empty()


def test_the_meter_is_moved_for_long_enough_by_a_board_that_comes_late() -> None:
    """As on a busy computer: else coins would go uncounted that no machine has lost."""
    late = SimulatedCabinet(WIRING, QUICK, listen=lambda _decision: time.sleep(0.08))
    late.start()
    posted: queue.Queue[DetectorSignal] = queue.Queue()
    inputs = GpioInputs([GpioInput("meter", 23, "low", 20)], posted.put, pin_factory=late.factory())
    inputs.start()
    pulse(late, Profile(pulse_ms=6, gap_ms=6), 4)
    for _ in range(4):
        assert isinstance(posted.get(timeout=WAIT_S), MeterPulse)
    inputs.stop()
    late.stop()


def test_the_listener_hears_each_decision_in_order(tmp_path: Path) -> None:
    heard: list[Any] = []
    cabinet = SimulatedCabinet(Wiring(17), QUICK, listen=heard.append)
    cabinet.start()
    pulse(cabinet, Profile(pulse_ms=6, gap_ms=6), 1)
    wait_for(lambda: cabinet.counts().games == 1)
    cabinet.stop()
    assert [type(decision) for decision in heard] == [PulseSeen, CoinCounted, GameStarted, GameEnded]


def test_the_edge_log_survives_a_kill_in_a_pulse_and_the_next_start_ends_that_pulse(tmp_path: Path) -> None:
    """What an independent checker reads is complete to the last edge."""
    log = tmp_path / "edges.jsonl"
    code = f"""
import time
from pathlib import Path
from arcade_edge.simulator.cabinet import SimulatedCabinet, Wiring
from arcade_edge.hardware.coin_line import CoinLine
cabinet = SimulatedCabinet(Wiring(17), edge_log=Path({str(log)!r}))
cabinet.start()
line = CoinLine(17, "low", pin_factory=cabinet.factory())
line.set_active()
print(flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"\n"
        os.kill(child.pid, signal.SIGKILL)
    assert [edge.active for edge in read_edge_log(log)] == [False, True]
    again = SimulatedCabinet(Wiring(17), edge_log=log)
    again.start()
    again.stop()
    edges = read_edge_log(log)
    assert [edge.active for edge in edges] == [False, True, False]
    assert count_coins(edges, Ruling(min_pulse_ms=0)) == 1


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"t_ns": "x", "active": true}', "\u00e9{"])
def test_a_damaged_edge_log_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    """A checker must not pass on half a log."""
    log = tmp_path / "log"
    log.write_text(f'{{"t_ns": 1, "wall_ms": 1, "active": true}}\n{line}\n')
    with pytest.raises(ValueError, match="line 2: not an entry of an edge log"):
        read_edge_log(log)
