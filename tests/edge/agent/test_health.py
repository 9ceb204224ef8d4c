"""systemd hears that we live only while every part does."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_edge.agent.health import Beat, Notifier, Watchdog, silent_parts, watchdog_interval_s


class Systemd:
    """The far end of the notification socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@arcade-test-{os.getpid()}"
    made = Systemd(address)
    yield made
    made.close()


def test_systemd_is_told_what_it_knows(systemd: Systemd) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": systemd.address})
    assert notifier.ready()
    assert notifier.status("2 credits\nin the queue")
    assert notifier.feed()
    assert notifier.stopping()
    assert systemd.heard() == ["READY=1", "STATUS=2 credits in the queue", "WATCHDOG=1", "STOPPING=1"]


def test_a_status_cannot_smuggle_another_word_in(systemd: Systemd) -> None:
    """A line break would begin a new assignment."""
    Notifier(systemd.address).status("x\nSTOPPING=1" + "y" * 1_000)
    (heard,) = systemd.heard()
    assert "\n" not in heard
    assert len(heard) <= 210


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "@arcade-nobody-listens"])
def test_without_systemd_nothing_happens(address: str | None) -> None:
    assert not Notifier(address).ready()


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_as_often_as_asked(environ: dict[str, str], interval_s: float | None) -> None:
    """And only where systemd waits for this very process."""
    assert watchdog_interval_s(environ, pid=7) == interval_s


@given(st.dictionaries(st.text(min_size=1), st.tuples(st.integers(0, 100), st.integers(0, 50)), max_size=5))
def test_a_part_is_silent_that_was_not_heard_of_recently_enough(parts: dict[str, tuple[int, int]]) -> None:
    beats = {name: Beat(float(last_s), float(limit_s)) for name, (last_s, limit_s) in parts.items()}
    silent = {name for name, (last_s, limit_s) in parts.items() if 100 - last_s > limit_s}
    assert set(silent_parts(beats, 100.0)) == silent


def test_the_watchdog_is_fed_only_while_all_parts_live(systemd: Systemd) -> None:
    """A hanging pulse thread starves it, and `systemctl status` names it; fed again once all live."""
    now_s = 0.0
    beats = {"loop": Beat(0.0, 5.0), "coin-line": Beat(0.0, 5.0)}
    watchdog = Watchdog(Notifier(systemd.address), lambda: beats, 2.0, clock_s=lambda: now_s)
    assert watchdog.tick() == ()
    assert systemd.heard() == ["WATCHDOG=1"]
    now_s = 1.0
    watchdog.tick()
    assert systemd.heard() == []
    now_s = 2.0
    watchdog.tick()
    assert systemd.heard() == ["WATCHDOG=1"]
    now_s = 6.0
    beats["loop"] = Beat(6.0, 5.0)
    assert watchdog.tick() == ("coin-line",)
    assert systemd.heard() == ["STATUS=no sign of life from: coin-line"]
    now_s = 9.0
    beats["loop"] = Beat(9.0, 5.0)
    watchdog.tick()
    assert systemd.heard() == []
    beats["coin-line"] = Beat(9.0, 5.0)
    assert watchdog.tick() == ()
    assert systemd.heard() == ["STATUS=all parts live", "WATCHDOG=1"]


def test_without_a_watchdog_nothing_is_fed(systemd: Systemd) -> None:
    Watchdog(Notifier(systemd.address), dict, None).tick()
    assert systemd.heard() == []
