"""A bare MQTT 5 client for tests: it subscribes, publishes, and every answer is waited for with a bound."""

import queue
from types import TracebackType
from typing import Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

WAIT_S = 10.0


class Probe:
    """Connected from `with` on, in a session that ends with it."""

    def __init__(self, port: int, username: str, password: str) -> None:
        self.messages: queue.SimpleQueue[mqtt.MQTTMessage] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[ReasonCode] = queue.SimpleQueue()
        self._port = port
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.username_pw_set(username, password)
        self._client.on_connect = lambda _c, _d, _f, reason, _p: self._answers.put(reason)
        self._client.on_subscribe = lambda _c, _d, _n, reasons, _p: self._answers.put(reasons[0])
        self._client.on_publish = lambda _c, _d, _n, reason, _p: self._answers.put(reason)
        self._client.on_message = lambda _c, _d, message: self.messages.put(message)

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert not self._answers.get(timeout=WAIT_S).is_failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def subscribe(self, topic_filter: str) -> None:
        self._client.subscribe(topic_filter, qos=1)
        assert not self._answers.get(timeout=WAIT_S).is_failure

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, expiry_s: int | None = None, retain: bool = False
    ) -> None:
        """Publish; with QoS 1 back when the broker has confirmed."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        assert not self._answers.get(timeout=WAIT_S).is_failure

    def next_message(self) -> mqtt.MQTTMessage:
        return self.messages.get(timeout=WAIT_S)
