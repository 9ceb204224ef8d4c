"""A short visit at the broker under a name of its own: neither the agent's connection nor its queue is touched."""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from arcade_edge.config import Settings
from arcade_edge.mqtt.link import GREET_WITHIN_S, HINTS, RECEIVE_MAXIMUM
from arcade_shared.client_ids import ClientId
from arcade_shared.mqtt import CONNECT_WITHIN_S, Connection, Puback, Received
from arcade_shared.trial import EXPIRY_S

KEEPALIVE_S = 15


@dataclass(frozen=True, slots=True)
class Came:
    """A message has come."""

    visit: Visit
    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """The broker has answered to what was published under that number."""

    visit: Visit
    number: int
    puback: Puback


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over, or has never come about."""

    visit: Visit


Happened = Came | Answered | Ended


class Visit:
    """One connection from a clean start to its end, without a will. A context manager; what happens is queued.

    Args:
        happened: Shared by the visits of one examination.
        topics: What to subscribe to. Those that the broker refuses are in `connection.refused_topics`.
    """

    def __init__(self, settings: Settings, happened: queue.SimpleQueue[Happened], topics: Sequence[str]) -> None:
        self.topics = tuple(topics)
        self.connection = Connection(
            settings.broker,
            ClientId(settings.keys[0], f"arcade-doctor-{settings.machine_id}", secrets.token_hex(8)).text,
            topics=topics,
            keepalive_s=KEEPALIVE_S,
            greet_within_s=GREET_WITHIN_S,
            receive_maximum=RECEIVE_MAXIMUM,  # as the agent: each broker has a limit of its own besides
            hints=HINTS,
            on_end=lambda: happened.put(Ended(self)),
            on_message=lambda message: self._received(happened, message),
            on_puback=lambda number, puback: happened.put(Answered(self, number, puback)),
        )
        self._thread = threading.Thread(target=self.connection.run, name="visit", daemon=True)

    def __enter__(self) -> Self:
        """Open it; returns once the broker has answered to it and to its subscriptions, or will not."""
        self._thread.start()
        self.connection.wait_until_settled(CONNECT_WITHIN_S + GREET_WITHIN_S + 1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.connection.close()
        self._thread.join(5.0)

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self.connection.is_open

    def publish(self, topic: str, payload: bytes) -> int | None:
        """Publish at QoS 1, for those who listen now; the number that the answer will have."""
        return self.connection.publish(topic, payload, expiry_s=EXPIRY_S) if self.is_open else None

    def _received(self, happened: queue.SimpleQueue[Happened], message: Received) -> None:
        self.connection.acknowledge(message.number, message.qos)
        happened.put(Came(self, message.topic, message.payload, message.retained))
