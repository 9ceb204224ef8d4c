"""Watching a machine's topics on a real broker: it shows what happens, what it cannot see, and goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from arcade_edge.config import load
from arcade_edge.tools.technician import watch_topics
from arcade_sandbox.broker.launcher import Broker, User
from support.agent_process import KEY, MACHINE, write_config
from support.mqtt_cloud import MqttCloud

WAIT_S = 20.0
USERS = [User(MACHINE, "machine password", "machine"), User("cloud", "cloud password", "cloud")]


class Enough(Exception):
    """The technician presses Ctrl-C."""


class Watching:
    """`arcade-edge watch` in a thread; `lines` is what it prints."""

    def __init__(self, config: Path) -> None:
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._enough = threading.Event()
        self._config = config
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _say(self, line: str) -> None:
        if self._enough.is_set():
            raise Enough
        self.lines.put(line)

    def _watch(self) -> None:
        try:
            watch_topics(load(self._config, {}), say=self._say)
        except Enough:
            return

    def wait_for(self, word: str) -> str:
        """The next line with this word in it."""
        while word not in (line := self.lines.get(timeout=WAIT_S)):
            pass
        return line

    def end(self) -> None:
        self._enough.set()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker", users=USERS) as started:
        yield started


@pytest.fixture
def watching(broker: Broker, tmp_path: Path) -> Iterator[Watching]:
    watching = Watching(write_config(tmp_path, broker.port))
    yield watching
    watching.end()


def test_it_names_what_the_access_list_hides_and_shows_the_rest(broker: Broker, watching: Watching) -> None:
    watching.wait_for(f"watching {MACHINE}")
    assert watching.wait_for("access list hides").endswith("ack, status, gameover")
    with MqttCloud(broker.port, KEY, MACHINE, username="cloud", password="cloud password") as cloud:
        for number in range(30):  # more than the broker gives out without being told that they have arrived
            cloud.command("0" * 32, number + 1)
        assert "(signed): " in watching.wait_for("credits 30")


def test_a_broker_that_was_away_is_found_again(broker: Broker, watching: Watching) -> None:
    watching.wait_for("watching")
    broker.stop()
    watching.wait_for("trying again")
    broker.start()
    watching.wait_for("watching")
