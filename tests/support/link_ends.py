"""The two ends of an agent's link on a real broker: its events, and a client that publishes to the machine."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from arcade_edge.agent.reports import Will
from arcade_edge.mqtt.link import Event, MqttLink
from arcade_edge.ports import Arrived
from arcade_sandbox.broker.launcher import Broker
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.client_ids import ClientId
from support.agent_process import MACHINE

WAIT_S = 20.0
COINPULSE = f"arcade/machine/{MACHINE}/coinpulse"
STATUS = f"arcade/machine/{MACHINE}/status"

E = TypeVar("E", bound=Event)


class Ends:
    """A broker, one agent's link on it, and a client that publishes to the machine."""

    def __init__(self, broker: Broker, ending: ExitStack) -> None:
        self.broker = broker
        self.events: queue.Queue[Event] = queue.Queue()
        self.room = threading.Event()
        self.room.set()
        self._ending = ending
        self.publisher = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.publisher.username_pw_set("bench", "bench password")
        self.publisher.connect("127.0.0.1", broker.port, 30)
        self.publisher.loop_start()
        ending.callback(self.publisher.loop_stop)
        ending.callback(self.publisher.disconnect)

    def _post(self, event: Event) -> bool:
        if isinstance(event, Arrived) and not self.room.is_set():
            return False
        self.events.put(event)
        return True

    def link(self, client_id: str = "arcade-cab-01-abc", *, started: bool = True) -> MqttLink:
        settings = BrokerAddress(
            host="127.0.0.1", port=self.broker.port, tls=False, username=MACHINE, password="machine password"
        )
        made = MqttLink(
            settings,
            ClientId(b"the machine's key", client_id, client_id),
            [COINPULSE],
            lambda _: Will(STATUS, b"will"),
            self._post,
            jitter=lambda: 0,
        )
        self._ending.callback(made.stop)
        if started:
            made.start()
        return made

    def next(self, kind: type[E], found: Callable[[E], bool] = lambda _: True) -> E:
        """The next event of this kind; others are passed over."""
        until = time.monotonic() + WAIT_S
        while True:
            event = self.events.get(timeout=max(0.01, until - time.monotonic()))
            if isinstance(event, kind) and found(event):
                return event

    def publish(self, payload: bytes) -> None:
        self.publisher.publish(COINPULSE, payload, qos=1).wait_for_publish(WAIT_S)
