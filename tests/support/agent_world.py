"""A real broker, a test cloud on it and the settings of a simulated cabinet: what the agent's whole tests need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcade_sandbox.broker.access import User
from arcade_sandbox.broker.launcher import Broker
from support.agent_process import KEY, MACHINE, AgentProcess, write_config
from support.mqtt_cloud import MqttCloud

USERS = (
    User("bench", "bench password", "bench"),
    User(MACHINE, "machine password", "machine"),
)


@dataclass
class World:
    """Everything but the agent, which `agent` makes."""

    folder: Path
    broker: Broker
    cloud: MqttCloud

    def agent(self, *arguments: str, **config: Any) -> AgentProcess:
        """A simulated cabinet that is not started yet."""
        path = write_config(self.folder, self.broker.port, **config)
        return AgentProcess(path, *(arguments or ("--start-after-ms", "100", "--play-s", "0.2")))


@contextmanager
def a_world(folder: Path, *, answers: bool = True) -> Iterator[World]:
    """A broker, and a cloud that may do everything; `answers`: it tells the time when asked."""
    with (
        Broker(folder / "broker", users=USERS) as broker,
        MqttCloud(
            broker.port, KEY, MACHINE, username="bench", password="bench password", answers=answers
        ) as cloud,
    ):
        yield World(folder, broker, cloud)
        assert cloud.faults == [], "something unsigned or outside the contract was published"
