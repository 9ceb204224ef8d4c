"""A subscriber of the tests' own, beside the links that fail: what is sent to machines, and what they say."""

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from arcade_sandbox.system import System
from chaos.verdict import Word
from support.mqtt_probe import WAIT_S

TOPICS = tuple((f"arcade/machine/+/{kind}", 1) for kind in ("coinpulse", "ack", "revoke"))
# So many credits, and a fault has time to strike in the middle.
LONG_TRAIN = 5
_SESSION_EXPIRY_S = 3600
_KEEPALIVE_S = 60  # a frozen broker is not to be left


@dataclass(frozen=True)
class Heard:
    """One message, and when it came (wall clock)."""

    at_ms: float
    kind: str
    message: dict[str, Any]


class Witness:
    """Hears from entering to leaving. The broker keeps what comes meanwhile, unless its memory is lost."""

    def __init__(self, system: System) -> None:
        self._heard: list[Heard] = []
        self._trains: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._subscribed = threading.Event()
        self._port = system.broker.port
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "witness", protocol=mqtt.MQTTv5)
        self._client.username_pw_set("bench", system.bench_password)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message

    def __enter__(self) -> Self:
        lasting = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types there
        lasting.SessionExpiryInterval = _SESSION_EXPIRY_S
        self._client.connect("127.0.0.1", self._port, _KEEPALIVE_S, clean_start=False, properties=lasting)
        self._client.loop_start()
        if not self._subscribed.wait(WAIT_S):
            self.__exit__(None, None, None)
            raise TimeoutError("the broker does not answer the witness")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def heard(self) -> list[Heard]:
        """Everything so far."""
        with self._lock:
            return list(self._heard)

    def trains(self, machine_id: str) -> int:
        """How many coinpulses for a long train have gone to a machine, repetitions included."""
        with self._lock:
            return self._trains[machine_id]

    def commands(self) -> dict[str, int]:
        """Credits by credit id, as they were published; the largest number where it differs."""
        found: dict[str, int] = {}
        for heard in self.heard():
            if heard.kind == "coinpulse" and heard.message.get("creditId"):
                credit_id = heard.message["creditId"]
                found[credit_id] = max(found.get(credit_id, 0), heard.message["credits"])
        return found

    def words(self) -> list[Word]:
        """What the machines said about their credits."""
        return [
            Word(
                credit_id=heard.message["creditId"],
                machine_id=heard.message["machineId"],
                final=heard.message["final"],
                delivered=heard.message["delivered"],
                uncertain=heard.message["uncertain"],
                told_ms=heard.at_ms,
            )
            for heard in self.heard()
            if heard.kind == "ack"
        ]

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(list(TOPICS))

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.retain:
            return
        heard = Heard(time.time() * 1000, message.topic.rpartition("/")[2], json.loads(message.payload))
        with self._lock:
            self._heard.append(heard)
            is_long = heard.kind == "coinpulse" and heard.message["credits"] >= LONG_TRAIN
            self._trains[heard.message.get("machineId", "")] += is_long
