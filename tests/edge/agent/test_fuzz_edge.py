"""Whatever stands in the agent's config, or comes along its serial line, is understood or refused."""

import os
import pty
import queue
import time
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcade_edge.agent.signals import DetectorSignal, GameOver
from arcade_edge.config import load, load_coin_line
from arcade_edge.errors import BadSettings
from arcade_edge.hardware.inputs import SerialInput
from arcade_edge.hardware.serial_port import SerialPort
from support.coin_lines import WAIT_S

FUZZ = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
EXAMPLE = (Path(__file__).parents[3] / "edge" / "deploy" / "edge.toml").read_text()
LINES = EXAMPLE.splitlines()
TOML = st.sampled_from(
    [
        "-1",
        "0",
        "99999999999999999999",
        "1.5",
        "nan",
        "true",
        '""',
        '"x"',
        '"low"',
        "[]",
        "{}",
        "[[1]]",
        "1979-05-27",
    ]
) | st.text(max_size=12).map(lambda text: '"' + text + '"')


def read(path: Path, text: bytes) -> None:
    """Both readers of the config: the agent's, and the one that only wants to force the line inactive."""
    path.write_bytes(text)
    for reader in (lambda: load(path, {}), lambda: load_coin_line(path)):
        with suppress(BadSettings):
            reader()


@FUZZ
@given(text=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
def test_any_bytes_are_a_config_or_a_list_of_faults(tmp_path: Path, text: bytes) -> None:
    read(tmp_path / "edge.toml", text)


@FUZZ
@given(data=st.data())
def test_the_example_with_anything_in_it_is_a_config_or_a_list_of_faults(
    tmp_path: Path, data: st.DataObject
) -> None:
    lines = [line.removeprefix("#") if data.draw(st.booleans()) else line for line in LINES]
    for _ in range(data.draw(st.integers(1, 4))):
        number = data.draw(st.integers(0, len(lines) - 1))
        key, equals, _ = lines[number].partition("=")
        lines[number] = f"{key}= {data.draw(TOML)}" if equals else data.draw(st.text(max_size=10))
    read(tmp_path / "edge.toml", "\n".join(lines).encode(errors="replace"))


class Cable:
    """A real pseudo-terminal with the detector at its other end."""

    def __init__(self) -> None:
        self.master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.posted: queue.Queue[DetectorSignal] = queue.Queue()
        self.now_ms = 0
        self.detector = SerialInput(
            SerialPort(os.ttyname(self._slave)), "GAME OVER", self.posted.put, clock_ms=lambda: self.now_ms
        )
        self.detector.start()
        while self.posted.empty():  # opening a port throws away what came before
            self.now_ms += 3_600_000
            self.say(b"\nGAME OVER\n")
            time.sleep(0.02)

    def say(self, chunk: bytes) -> None:
        """All of the bytes, however slowly they are taken."""
        while chunk:
            chunk = chunk[os.write(self.master, chunk) :]

    def close(self) -> None:
        self.detector.stop()
        for end in (self.master, self._slave):
            os.close(end)

    def still_hears(self) -> None:
        """A game over arrives. One in the noise may be told instead; then the next is ours."""
        ours: set[str] = set()
        for _ in range(20):
            self.now_ms += 3_600_000
            ours.add(f"GAME OVER ({self.now_ms})")
            self.say(f"\nGAME OVER ({self.now_ms})\n".encode())
            signal = self.posted.get(timeout=WAIT_S)
            if isinstance(signal, GameOver) and signal.text in ours:
                return
        raise AssertionError("it hears noise only")


@pytest.fixture(scope="module")
def cable() -> Iterator[Cable]:
    made = Cable()
    yield made
    made.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=700) | st.just(b"\x00" * 3000) | st.just(b"GAME OVER"), max_size=6))
def test_any_bytes_in_any_chunks_leave_a_serial_line_that_hears(cable: Cable, chunks: list[bytes]) -> None:
    for chunk in chunks:
        cable.say(chunk)
    cable.still_hears()
    assert cable.detector.alive
    assert cable.posted.qsize() < 100
