"""What the machine tells us arrives once, debounced, and a lost input is said and found again."""

from __future__ import annotations

import os
import pty
import queue
import threading
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import serial
from gpiozero.pins.mock import MockFactory

from arcade_edge.agent.signals import (
    DetectorBack,
    DetectorFault,
    DetectorSignal,
    GameOver,
    MeterPulse,
    ReadyChanged,
)
from arcade_edge.errors import GpioUnavailable
from arcade_edge.hardware import inputs as detectors
from arcade_edge.hardware.inputs import GpioInput, GpioInputs, SerialInput
from arcade_edge.hardware.serial_port import SerialPort
from support.coin_lines import WAIT_S

GAME_OVER, READY, METER = 5, 6, 13


@pytest.fixture
def factory() -> MockFactory:
    return MockFactory()


@pytest.fixture
def posted() -> queue.Queue[DetectorSignal]:
    return queue.Queue()


@pytest.fixture
def watch(factory: Any, posted: queue.Queue[DetectorSignal]) -> Iterator[Callable[..., GpioInputs]]:
    """Start inputs that are stopped at the end."""
    running = []

    def start(*inputs: GpioInput, **more: Any) -> GpioInputs:
        watching = GpioInputs(inputs, posted.put, pin_factory=factory, **more)
        watching.start()
        running.append(watching)
        return watching

    yield start
    for watching in running:
        watching.stop()


def next_of(posted: queue.Queue[DetectorSignal]) -> DetectorSignal:
    return posted.get(timeout=WAIT_S)


class Clock:
    """A clock that stands still unless moved, so the speed of the test decides nothing."""

    def __init__(self) -> None:
        self.now_ms = 1_000

    def __call__(self) -> int:
        return self.now_ms


def test_a_game_over_is_a_line_that_becomes_active_and_stays(
    factory: Any, posted: queue.Queue[DetectorSignal], watch: Callable[..., GpioInputs]
) -> None:
    """Once for each time, however the contact bounces."""
    clock = Clock()
    watch(GpioInput("game_over", GAME_OVER, "low", 20), clock_ms=clock)
    pin = factory.pin(GAME_OVER)
    for _ in range(3):
        for _ in range(5):
            pin.drive_low()
            pin.drive_high()
            clock.now_ms += 3
        pin.drive_low()
        became_active_ms = clock.now_ms
        clock.now_ms += 20
        assert next_of(posted) == GameOver("gpio", became_active_ms)
        pin.drive_high()
        clock.now_ms += 20
    time.sleep(0.1)
    assert posted.empty()


def test_a_glitch_is_no_game_over(
    factory: Any, posted: queue.Queue[DetectorSignal], watch: Callable[..., GpioInputs]
) -> None:
    clock = Clock()
    watch(GpioInput("game_over", GAME_OVER, "high", 20), clock_ms=clock)
    factory.pin(GAME_OVER).drive_high()
    clock.now_ms += 19
    factory.pin(GAME_OVER).drive_low()
    clock.now_ms += 1_000
    time.sleep(0.1)
    assert posted.empty()


def test_a_lamp_that_flashes_is_one_game_over_once_it_stays_out(
    factory: Any, posted: queue.Queue[DetectorSignal], watch: Callable[..., GpioInputs]
) -> None:
    """At 2 Hz, between games, with noise on its wire; the game is over when it has been out for a second."""
    now_ms = 1_000
    watching = GpioInputs(
        [GpioInput("game_over", GAME_OVER, "low", 20, hold_ms=1_000)],
        posted.put,
        pin_factory=factory,
        clock_ms=lambda: now_ms,
    )
    pin = factory.pin(GAME_OVER)
    for _ in range(8):
        pin.drive_low()
        now_ms += 250
        pin.drive_high()
        now_ms += 250
    pin.drive_low()
    out_since_ms = now_ms
    now_ms += 500
    pin.drive_high()
    now_ms += 5
    pin.drive_low()
    now_ms += 500
    watching.start()
    assert next_of(posted) == GameOver("gpio", out_since_ms)
    for _ in range(8):  # it flashes again: it was not on for a second meanwhile
        pin.drive_high()
        now_ms += 250
        pin.drive_low()
        now_ms += 250
    pin.drive_high()
    now_ms += 1_100
    time.sleep(0.1)
    assert posted.empty()
    pin.drive_low()
    now_ms += 1_100
    assert isinstance(next_of(posted), GameOver)
    watching.stop()


def test_a_line_already_active_at_the_start_is_no_game_over(
    factory: Any, posted: queue.Queue[DetectorSignal], watch: Callable[..., GpioInputs]
) -> None:
    """The next time it becomes active is one."""
    pin = factory.pin(GAME_OVER)
    pin.drive_high()
    pin._set_pull = lambda value: setattr(pin, "_pull", value)  # the machine drives harder than a pull resistor
    clock = Clock()
    watch(GpioInput("game_over", GAME_OVER, "high", 10), clock_ms=clock)
    clock.now_ms += 1_000
    time.sleep(0.1)
    assert posted.empty()
    pin.drive_low()
    clock.now_ms += 10
    pin.drive_high()
    clock.now_ms += 10
    assert next_of(posted) == GameOver("gpio", clock.now_ms - 10)


def test_the_ready_line_is_told_at_the_start_and_at_each_change(
    factory: Any, posted: queue.Queue[DetectorSignal], watch: Callable[..., GpioInputs]
) -> None:
    watch(GpioInput("ready", READY, "high", 10))
    for expected in (False, True, False):
        signal = next_of(posted)
        assert isinstance(signal, ReadyChanged)
        assert signal.ready is expected
        if expected is False:
            factory.pin(READY).drive_high()
        else:
            factory.pin(READY).drive_low()


def test_the_meter_counts_each_pulse_even_those_that_came_while_the_thread_was_late(
    factory: Any, posted: queue.Queue[DetectorSignal], watch: Callable[..., GpioInputs]
) -> None:
    """Edges are judged by when they happened, not by when they are looked at."""
    now_ms = 1_000
    watching = GpioInputs(
        [GpioInput("meter", METER, "low", 10)], posted.put, pin_factory=factory, clock_ms=lambda: now_ms
    )
    for _ in range(7):
        factory.pin(METER).drive_low()
        now_ms += 30
        factory.pin(METER).drive_high()
        now_ms += 30
    watching.start()
    times = []
    for _ in range(7):
        signal = next_of(posted)
        assert isinstance(signal, MeterPulse)
        times.append(signal.at_ms)
    assert times == [1_000 + 60 * number for number in range(7)]
    watching.stop()
    assert posted.empty()


def test_a_flood_of_edges_neither_raises_in_the_callback_nor_loses_the_last_level(
    factory: Any, posted: queue.Queue[DetectorSignal]
) -> None:
    """An exception there would kill the only callback thread of the back end."""
    watching = GpioInputs([GpioInput("ready", READY, "high", 5)], posted.put, pin_factory=factory)
    pin = factory.pin(READY)
    for _ in range(detectors.MAX_EDGES_WAITING):
        pin.drive_high()
        pin.drive_low()
    pin.drive_high()
    watching.start()
    seen = next_of(posted)
    while seen != ReadyChanged(True, seen.at_ms):
        seen = next_of(posted)
    watching.stop()


def test_an_edge_that_was_lost_is_found_by_reading_again(
    factory: Any,
    posted: queue.Queue[DetectorSignal],
    watch: Callable[..., GpioInputs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Should the back end's callback thread die, a change is late, not lost."""
    monkeypatch.setattr(detectors, "READ_AGAIN_MS", 20)
    watch(GpioInput("ready", READY, "high", 5))
    assert isinstance(next_of(posted), ReadyChanged)
    factory.pin(READY)._state = True
    changed = next_of(posted)
    assert isinstance(changed, ReadyChanged)
    assert changed.ready


def test_an_input_that_cannot_be_read_is_said_once_and_when_it_is_back(
    factory: Any,
    posted: queue.Queue[DetectorSignal],
    watch: Callable[..., GpioInputs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detectors, "READ_AGAIN_MS", 20)
    pin = factory.pin(GAME_OVER)
    working = pin._get_state
    watch(GpioInput("game_over", GAME_OVER, "low"))

    reads = threading.Semaphore(0)

    def broken() -> bool:
        reads.release()
        raise OSError(19, "No such device")

    pin._get_state = broken
    fault = next_of(posted)
    assert fault == DetectorFault("game_over", "game_over (GPIO5)", "[Errno 19] No such device", fault.at_ms)
    for _ in range(3):
        assert reads.acquire(timeout=WAIT_S)
    assert posted.empty()
    pin._get_state = working
    back = next_of(posted)
    assert back == DetectorBack("game_over", "game_over (GPIO5)", back.at_ms)


def test_a_ready_line_that_is_back_says_first_how_it_stands_now(
    factory: Any,
    posted: queue.Queue[DetectorSignal],
    watch: Callable[..., GpioInputs],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it said before it was lost is old: the machine may not be ready any more."""
    monkeypatch.setattr(detectors, "READ_AGAIN_MS", 20)
    pin = factory.pin(READY)
    working = pin._get_state
    watch(GpioInput("ready", READY, "low", 500))
    assert isinstance(next_of(posted), ReadyChanged)
    pin.drive_low()
    ready = next_of(posted)
    assert isinstance(ready, ReadyChanged)
    assert ready.ready

    def broken() -> bool:
        raise OSError(19, "No such device")

    pin._get_state = broken
    assert isinstance(next_of(posted), DetectorFault)
    pin._state = True
    pin._get_state = working
    level, back = next_of(posted), next_of(posted)
    assert isinstance(level, ReadyChanged)
    assert not level.ready
    assert isinstance(back, DetectorBack)


def test_inputs_that_cannot_all_be_had_are_given_back(factory: Any, posted: queue.Queue[DetectorSignal]) -> None:
    with pytest.raises(GpioUnavailable):
        GpioInputs(
            [GpioInput("ready", READY, "low"), GpioInput("meter", READY, "low")], posted.put, pin_factory=factory
        )
    GpioInputs([GpioInput("ready", READY, "low")], posted.put, pin_factory=factory).stop()


def test_no_input_needs_no_pins(posted: queue.Queue[DetectorSignal]) -> None:
    """A cabinet may have nothing wired but its coin line."""
    watching = GpioInputs([], posted.put)
    watching.start()
    assert watching.alive
    watching.stop()
    assert not watching.alive


class Machine:
    """The far end of a serial line, behind a path that can be unplugged and plugged in again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._master = self._slave = -1

    def plug_in(self) -> None:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.path.symlink_to(os.ttyname(self._slave))

    def unplug(self) -> None:
        if self._master >= 0:
            self.path.unlink()
            os.close(self._slave)
            os.close(self._master)
            self._master = -1

    def say(self, text: bytes) -> None:
        os.write(self._master, text)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "usb-Arcade_Board_0001-if00")
    yield made
    made.unplug()


@pytest.fixture
def listening(machine: Machine, posted: queue.Queue[DetectorSignal]) -> Iterator[SerialInput]:
    """A serial input that has found out that the port is not there yet. Its clock stands still."""
    listener = SerialInput(
        SerialPort(str(machine.path)), "GAME OVER", posted.put, jitter=lambda: 0.0, clock_ms=Clock()
    )
    listener.start()
    assert isinstance(next_of(posted), DetectorFault)
    yield listener
    listener.stop()
    assert not listener.alive


def test_a_line_on_the_serial_port_is_a_game_over(
    machine: Machine, listening: SerialInput, posted: queue.Queue[DetectorSignal]
) -> None:
    """The port was not there at first; other lines and noise are nothing."""
    machine.plug_in()
    back = next_of(posted)
    assert back == DetectorBack("game_over", listening.name, back.at_ms)
    machine.say(b"boot\r\n\xff\xfescore 7\r\n" + b"x" * 10_000 + b"\r\n*** GAME")
    machine.say(b" OVER ***\r\n")
    over = next_of(posted)
    assert over == GameOver("serial", over.at_ms, "*** GAME OVER ***")


def heard_by(
    machine: Machine, posted: queue.Queue[DetectorSignal], pattern: str, terminator: str = ""
) -> SerialInput:
    """A serial input that has the port open."""
    port = SerialPort(str(machine.path))
    listener = SerialInput(port, pattern, posted.put, terminator=terminator, jitter=lambda: 0.0)
    listener.start()
    assert isinstance(next_of(posted), DetectorFault)
    machine.plug_in()
    assert isinstance(next_of(posted), DetectorBack)
    return listener


def test_half_a_line_from_before_the_adapter_was_unplugged_is_no_part_of_the_next(
    machine: Machine, posted: queue.Queue[DetectorSignal]
) -> None:
    """Else a pattern that wants the line's beginning would not be found."""
    listener = heard_by(machine, posted, "^GAME OVER$")
    machine.say(b"GAME OV")
    time.sleep(0.1)
    machine.unplug()
    assert isinstance(next_of(posted), DetectorFault)
    machine.plug_in()
    assert isinstance(next_of(posted), DetectorBack)
    machine.say(b"GAME OVER\r\n")
    assert isinstance(next_of(posted), GameOver)
    listener.stop()


@pytest.mark.parametrize("terminator", ["", "\x03"])
def test_a_line_that_no_end_follows_is_heard_after_some_silence(
    machine: Machine, posted: queue.Queue[DetectorSignal], terminator: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And half a line from before the machine's own cable came off is no part of the next."""
    monkeypatch.setattr(detectors, "SERIAL_READ_S", 0.05)
    monkeypatch.setattr(detectors, "SILENCE_MS", 200)
    listener = heard_by(machine, posted, "^GAME OVER$", terminator)
    machine.say(b"GAME O")
    time.sleep(0.5)
    machine.say(b"GAME OVER")
    over = next_of(posted)
    assert over == GameOver("serial", over.at_ms, "GAME OVER")
    listener.stop()


def test_a_line_may_end_otherwise_than_lines_do(machine: Machine, posted: queue.Queue[DetectorSignal]) -> None:
    listener = heard_by(machine, posted, "^2OVER$", "\x03\x02")
    machine.say(b"1SCORE\x03\x022OVER\x03")
    machine.say(b"\x021SCORE")
    over = next_of(posted)
    assert over == GameOver("serial", over.at_ms, "2OVER")
    listener.stop()


def test_the_port_is_the_listeners_alone(
    machine: Machine, listening: SerialInput, posted: queue.Queue[DetectorSignal]
) -> None:
    """A second reader would get a part of every line; it is told, and the first hears on."""
    machine.plug_in()
    assert isinstance(next_of(posted), DetectorBack)
    with pytest.raises(serial.SerialException, match="lock"):
        SerialPort(str(machine.path)).open()
    machine.say(b"GAME OVER\n")
    assert isinstance(next_of(posted), GameOver)


@pytest.mark.parametrize(("parity", "bits"), [("none", 8), ("even", 7), ("odd", 8)])
def test_the_port_is_opened_with_its_frame(monkeypatch: pytest.MonkeyPatch, parity: Any, bits: int) -> None:
    """A pseudo-terminal has no frame of its own: what the library is asked for."""
    asked: dict[str, Any] = {}
    monkeypatch.setattr(serial, "Serial", lambda path, baud, **more: asked.update(more, path=path, baud=baud))
    SerialPort("/dev/ttyUSB0", 4800, parity, bits).open(0.5)
    assert asked == {
        "path": "/dev/ttyUSB0",
        "baud": 4800,
        "parity": {"none": "N", "even": "E", "odd": "O"}[parity],
        "bytesize": bits,
        "timeout": 0.5,
        "exclusive": True,
    }


def test_an_adapter_that_is_unplugged_is_said_once_and_found_again(
    machine: Machine, listening: SerialInput, posted: queue.Queue[DetectorSignal]
) -> None:
    machine.plug_in()
    assert isinstance(next_of(posted), DetectorBack)
    machine.unplug()
    assert isinstance(next_of(posted), DetectorFault)
    time.sleep(0.7)
    assert posted.empty()
    machine.plug_in()
    assert isinstance(next_of(posted), DetectorBack)
    machine.say(b"GAME OVER\n")
    assert isinstance(next_of(posted), GameOver)


def test_a_machine_that_repeats_its_line_has_ended_one_game(
    machine: Machine, listening: SerialInput, posted: queue.Queue[DetectorSignal]
) -> None:
    machine.plug_in()
    assert isinstance(next_of(posted), DetectorBack)
    machine.say(b"GAME OVER\n" * 50)
    assert isinstance(next_of(posted), GameOver)
    time.sleep(0.1)
    assert posted.empty()


def test_a_pattern_that_cannot_be_used_is_refused_before_anything_starts() -> None:
    with pytest.raises(ValueError, match=r"^pattern: "):
        SerialInput(SerialPort("/dev/null"), "(", lambda _signal: None)
