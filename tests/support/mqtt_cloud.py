"""A cloud for tests of the agent: speaks the contract over a real broker with `arcade_shared` alone.

It answers clock nonces unless told not to, publishes signed commands and revokes, and keeps what it hears.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from arcade_shared.ids import uuid7
from arcade_shared.messages import Ack, Clock, Coinpulse, Gameover, Revoke, Status, from_object, parse_object
from arcade_shared.signing import seal, verify
from arcade_shared.times import format_ms
from arcade_shared.topics import every_machine, machine_topic
from arcade_shared.trial import DOCTOR, trial

WAIT_S = 60.0

T = TypeVar("T")


def now_ms() -> int:
    """The test cloud's time."""
    return time.time_ns() // 1_000_000


def coinpulse(
    key: bytes,
    machine_id: str,
    credit_id: str,
    credits_: int,
    installation: str,
    expires_at_ms: int,
    timestamp_ms: int | None = None,
) -> bytes:
    """A signed command."""
    return seal(
        key,
        machine_topic(machine_id, "coinpulse"),
        Coinpulse,
        machine_id=machine_id,
        credits=credits_,
        credit_id=credit_id,
        installation=installation,
        expires_at=format_ms(expires_at_ms),
        timestamp=format_ms(now_ms() if timestamp_ms is None else timestamp_ms),
    )


def revoke(key: bytes, machine_id: str, credit_id: str, installation: str, timestamp_ms: int = 0) -> bytes:
    """A signed revoke."""
    return seal(
        key,
        machine_topic(machine_id, "revoke"),
        Revoke,
        machine_id=machine_id,
        credit_id=credit_id,
        installation=installation,
        timestamp=format_ms(timestamp_ms),
    )


def clock(key: bytes, machine_id: str, nonce: str, timestamp_ms: int) -> bytes:
    """A signed answer to a nonce."""
    return seal(
        key,
        machine_topic(machine_id, "clock"),
        Clock,
        machine_id=machine_id,
        nonce=nonce,
        timestamp=format_ms(timestamp_ms),
    )


def _without_delay(client: Client, _: Any, sock: Any) -> None:
    """Else a publish that follows a PUBACK waits 40 ms for the broker's TCP."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@dataclass
class Heard:
    """All that was published by one machine, in order; every signature was checked."""

    statuses: list[Status] = field(default_factory=list)
    acks: list[Ack] = field(default_factory=list)
    game_overs: list[Gameover] = field(default_factory=list)


class MqttCloud:
    """One machine's cloud. Use it as a context manager."""

    def __init__(
        self,
        port: int,
        key: bytes,
        machine_id: str,
        *,
        username: str,
        password: str,
        answers: bool = True,
        tries: bool = True,
    ) -> None:
        self.key = key
        self.machine_id = machine_id
        self.answers = answers
        self.tries = tries
        self.heard = Heard()
        self.seen: list[tuple[str, bytes]] = []
        self.faults: list[str] = []
        self._changed = threading.Condition()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.username_pw_set(username, password)
        self._client.on_socket_open = _without_delay
        self._client.on_connect = self._on_connect
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._port = port

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port, 30)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: Client, _: Any, flags: Any, reason: Any, properties: Any) -> None:
        client.subscribe([(every_machine(kind), 1) for kind in ("status", "ack", "gameover")])

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        self.seen.append((message.topic, bytes(message.payload)))
        try:
            fields = parse_object(bytes(message.payload))
            verify([self.key], message.topic, fields)
            with self._changed:
                if message.topic.endswith("/status"):
                    status = from_object(Status, fields)
                    self.heard.statuses.append(status)
                    if status.nonce and self.answers:
                        self.answer(status.nonce)
                        if status.agent == DOCTOR and self.tries:
                            self._publish_trials(status.nonce)
                elif message.topic.endswith("/ack"):
                    self.heard.acks.append(from_object(Ack, fields))
                elif message.topic.endswith("/gameover"):
                    self.heard.game_overs.append(from_object(Gameover, fields))
                self._changed.notify_all()
        except Exception as error:  # noqa: BLE001 - told to the test, which then fails
            self.faults.append(f"{message.topic}: {error!r}")

    def answer(self, nonce: str, timestamp_ms: int | None = None) -> None:
        """Tell the machine the time."""
        moment_ms = now_ms() if timestamp_ms is None else timestamp_ms
        self.publish("clock", clock(self.key, self.machine_id, nonce, moment_ms))

    def _publish_trials(self, mark: str) -> None:
        for kind in ("coinpulse", "revoke"):
            self.publish(kind, trial(kind, mark, format_ms(now_ms())))

    def publish(self, kind: Any, payload: bytes, *, retain: bool = False) -> None:
        """Publish at QoS 1 on one of the machine's topics."""
        self._client.publish(machine_topic(self.machine_id, kind), payload, qos=1, retain=retain)

    def leave_status_of(self, machine_id: str) -> None:
        """Leave a status of another machine at the broker, as its agent would."""
        self._client.publish(machine_topic(machine_id, "status"), b"{}", qos=1, retain=True).wait_for_publish(10)

    def listen_to_everything(self) -> None:
        """Keep in `seen` the topic and payload of whatever anybody publishes from now on."""
        self._client.subscribe("#", 1)

    def wait(self, found: Callable[[Heard], T], what: str, wait_s: float = WAIT_S) -> T:
        """What `found` finds in what was heard, once it is true. Raises AssertionError after `wait_s`."""
        with self._changed:
            self._changed.wait_for(lambda: found(self.heard), wait_s)
            result = found(self.heard)
        assert result, f"not heard in time: {what}; heard {self.heard}; faults {self.faults}"
        return result

    def ready(self) -> Status:
        """The newest status once it says ready."""
        found = self.wait(
            lambda h: h.statuses[-1] if h.statuses and h.statuses[-1].ready else None, "a ready machine"
        )
        assert found is not None
        return found

    def new_credit_id(self) -> str:
        """An id made now."""
        return uuid7(now_ms())

    def command(
        self,
        installation: str,
        credits_: int = 1,
        *,
        credit_id: str | None = None,
        life_ms: int = 60_000,
        key: bytes | None = None,
    ) -> str:
        """Publish a command; its id."""
        credit_id = credit_id or self.new_credit_id()
        payload = coinpulse(
            key or self.key, self.machine_id, credit_id, credits_, installation, now_ms() + life_ms
        )
        self.publish("coinpulse", payload)
        return credit_id

    def revoke(self, installation: str, credit_id: str) -> None:
        """Publish a revoke."""
        self.publish("revoke", revoke(self.key, self.machine_id, credit_id, installation, now_ms()))

    def final(self, credit_id: str) -> Ack:
        """The first final ack for the credit."""
        found = self.wait(
            lambda h: next((ack for ack in h.acks if ack.credit_id == credit_id and ack.final), None),
            f"a final ack for {credit_id}",
        )
        assert found is not None
        return found
