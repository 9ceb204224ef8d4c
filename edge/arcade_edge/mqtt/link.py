"""The connection to the broker: MQTT 5 with paho, as a state machine in a thread named "link".

Each attempt to connect is a paho client of its own, so nothing of an older connection lingers in a queue: what
must not be lost is in the journal's outbox, and what the broker had not been told is acknowledged comes again.
Callbacks only enqueue. An error in one of them ends the connection, never the thread.
"""

from __future__ import annotations

import enum
import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from arcade_edge.agent.reports import Will
from arcade_edge.config import Broker
from arcade_edge.ports import Arrived, Confirmed, LinkDown, LinkUp, Receipt
from arcade_shared.messages import MAX_PAYLOAD_BYTES

logger = logging.getLogger(__name__)

KEEPALIVE_S = 15
CONNECT_WITHIN_S = 5.0
# CONNACK and SUBACK: a broker that is up answers within a second, over a bad mobile link within a few.
GREET_WITHIN_S = 10.0
# What the broker keeps for us while we are away. Commands live for two minutes and are repeated; an hour leaves
# room for settings that are longer, and no session behind for ever.
SESSION_EXPIRY_S = 3600
# Unacknowledged messages towards us at once: more than one cabinet's players, and it bounds the loop's queue.
RECEIVE_MAXIMUM = 16
# A payload of ours in the largest envelope. The broker drops what is larger: paho would take up to 256 MB of it.
MAX_PACKET_BYTES = 4 * MAX_PAYLOAD_BYTES
MAX_QUEUED = 256
STEP_S = 1.0
# A connection that lasted so long was sound: the next back-off begins at the bottom.
STEADY_S = 10.0
FLAPPING_AFTER = 5
# Resolving a name may block for that long where the network is half up.
MAX_SILENCE_S = 180.0

Event: TypeAlias = Arrived | LinkUp | LinkDown | Confirmed
Post: TypeAlias = Callable[[Event], bool]


class LinkState(enum.Enum):
    """Where the link stands; `BACKOFF` waits before the next attempt."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    SUBSCRIBING = "subscribing"
    ONLINE = "online"
    BACKOFF = "backoff"
    STOPPED = "stopped"


class Trouble(enum.Enum):
    """Why a connection has ended, with the first and the longest back-off in seconds."""

    NETWORK = (0.5, 30.0)
    DENIED = (5.0, 120.0)
    TAKEN_OVER = (15.0, 300.0)
    ASKED = (0.1, 5.0)
    OVERLOADED = (1.0, 30.0)
    DEFECT = (1.0, 60.0)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of one connection, in words for the log."""

    trouble: Trouble
    text: str


_DENIALS = {
    0x84: "it does not speak MQTT 5",
    0x85: "it refuses the client id",
    0x86: "it refuses the login: check username and password in [broker]",
    0x87: "it refuses the login or this client: check username and password in [broker], and its access list",
    0x8C: "it refuses the login method",
}
_TAKEN_OVER = 0x8E


def backoff_s(trouble: Trouble, failures: int, jitter: float) -> float:
    """How long to wait after `failures` short-lived attempts in a row; `jitter` from 0 to 1 spreads a fleet."""
    first_s, last_s = trouble.value
    return min(first_s * 2.0 ** min(max(failures - 1, 0), 16), last_s) * (0.5 + jitter / 2)


class MqttLink:
    """The link of one agent.

    :param will: gives the last will of the connection with that number; called in the link's thread.
    :param post: takes each event, in the link's thread, and returns at once: False where there is no room. Only
        an `Arrived` may be turned away; it then comes again, for the connection is dropped unacknowledged.
    """

    def __init__(
        self,
        broker: Broker,
        client_id: str,
        topics: Sequence[str],
        will: Callable[[int], Will],
        post: Post,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._broker = broker
        self._client_id = client_id
        self._topics = tuple(topics)
        self._will = will
        self._post = post
        self._jitter = jitter
        self._state = LinkState.OFFLINE
        self._connection = 0
        self._client: Client | None = None
        self._ended: Ended | None = None
        self._reconnect_why: str | None = None
        self._said = ""
        self._last_beat = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    @property
    def state(self) -> LinkState:
        """Where the link stands now."""
        return self._state

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def last_beat(self) -> float:
        """When the thread last showed that it lives, in s of the monotonic clock; out of reach, too."""
        return self._last_beat

    @property
    def max_silence_s(self) -> float:
        """The longest time between two beats of a sound thread."""
        return MAX_SILENCE_S

    def start(self) -> None:
        """Begin to connect, and go on until `stop`."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Disconnect in order, so without the will, and end the thread."""
        self._stopping.set()
        if self.alive:
            self._thread.join(timeout_s)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Hashable | None:
        """Send at QoS 1. The token comes back in a `Confirmed`; None means that there is no connection."""
        client, connection = self._client, self._connection
        if client is None or self._state is not LinkState.ONLINE:
            return None
        sent = client.publish(topic, payload, qos=1, retain=retain)
        return (connection, sent.mid) if sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def acknowledge(self, receipt: Receipt) -> None:
        """The message need not be delivered again. Does nothing if its connection is gone."""
        client = self._client
        if client is not None and receipt.connection == self._connection:
            client.ack(receipt.mid, receipt.qos)

    def reconnect(self, why: str) -> None:
        """Drop the connection and make a new one, so that what is not acknowledged is delivered again."""
        self._reconnect_why = why

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._connection += 1
            self._reconnect_why = self._ended = None
            ended, lasted_s = self._one_connection()
            self._client = None
            if self._stopping.is_set():
                break
            failures = 1 if lasted_s >= STEADY_S else failures + 1
            self._enter(LinkState.BACKOFF)
            self._say(ended, failures)
            self._post(LinkDown(self._connection, ended.text))
            self._rest(backoff_s(ended.trouble, failures, self._jitter()))
        self._enter(LinkState.STOPPED)

    def _one_connection(self) -> tuple[Ended, float]:
        """Connect, and stay until it ends; why it has, and for how many seconds it was online."""
        online_since = None
        try:
            self._enter(LinkState.CONNECTING)
            self._client = client = self._new_client()
            self._connect(client)
            greet_until = time.monotonic() + GREET_WITHIN_S
            while self._ended is None and not self._stopping.is_set():
                result = client.loop(STEP_S)
                self._last_beat = time.monotonic()
                if self._state is LinkState.ONLINE:
                    online_since = online_since or self._last_beat
                elif self._last_beat > greet_until:
                    self._ended = Ended(Trouble.NETWORK, "it does not answer as an MQTT broker does")
                if self._ended is None and result != MQTTErrorCode.MQTT_ERR_SUCCESS:
                    self._ended = Ended(Trouble.NETWORK, f"the connection is lost ({result.name})")
                if self._ended is None and self._reconnect_why is not None:
                    self._ended = Ended(Trouble.ASKED, self._reconnect_why)
            self._hang_up(client)
        except ssl.SSLCertVerificationError as error:
            self._ended = Ended(
                Trouble.DENIED, f"its certificate is not accepted ({error.verify_message}): check ca_file"
            )
        except (OSError, ValueError) as error:
            self._ended = Ended(Trouble.NETWORK, f"{type(error).__name__}: {error}")
        except Exception as error:
            logger.exception("a defect in the link")
            self._ended = Ended(Trouble.DEFECT, repr(error))
        lasted_s = 0.0 if online_since is None else time.monotonic() - online_since
        return self._ended or Ended(Trouble.ASKED, "stopped"), lasted_s

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_WITHIN_S
        client.max_queued_messages_set(MAX_QUEUED)
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls:
            client.tls_set_context(ssl.create_default_context(cafile=self._broker.ca_file))
        will = self._will(self._connection)
        client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_socket_open = _without_delay
        # Once set, only the thread that calls `loop` writes: a TLS socket must not be used by two at once.
        client.on_socket_register_write = _leave_it_to_the_loop
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        return client

    def _connect(self, client: Client) -> None:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho's own gap
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect(self._broker.host, self._broker.port, KEEPALIVE_S, clean_start=False, properties=properties)

    def _hang_up(self, client: Client) -> None:
        """Say goodbye where that is possible, so that the broker does not publish the will."""
        if client.is_connected():
            client.disconnect()
            until = time.monotonic() + STEP_S
            while client.loop(0.1) == MQTTErrorCode.MQTT_ERR_SUCCESS and time.monotonic() < until:
                self._last_beat = time.monotonic()

    def _on_connect(
        self, client: Client, _: Any, flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.is_failure:
            text = _DENIALS.get(reason.value)
            trouble = Trouble.NETWORK if text is None else Trouble.DENIED
            self._ended = Ended(trouble, text or f"it refuses the connection: {reason}")
            return
        self._enter(LinkState.SUBSCRIBING)
        # The retained flag as published: what somebody retains must never be taken for a fresh command.
        client.subscribe([(topic, SubscribeOptions(qos=1, retainAsPublished=True)) for topic in self._topics])

    def _on_subscribe(
        self, client: Client, _: Any, mid: int, reasons: list[ReasonCode], properties: Properties | None
    ) -> None:
        denied = [topic for topic, reason in zip(self._topics, reasons, strict=False) if reason.is_failure]
        if denied or len(reasons) != len(self._topics):
            self._ended = Ended(
                Trouble.DENIED,
                f"it forbids to subscribe to {', '.join(denied) or 'our topics'}: check its access list for "
                "this user",
            )
            return
        self._enter(LinkState.ONLINE)
        self._post(LinkUp(self._connection))

    def _on_disconnect(
        self,
        client: Client,
        _: Any,
        flags: DisconnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if self._ended is None and not self._stopping.is_set():
            if reason.value == _TAKEN_OVER:
                self._ended = Ended(Trouble.TAKEN_OVER, "another client with this client id has connected")
            else:
                self._ended = Ended(Trouble.NETWORK, f"the connection is lost: {reason}")

    def _on_message(self, client: Client, _: Any, message: MQTTMessage) -> None:
        receipt = Receipt(self._connection, message.mid, message.qos)
        if not self._post(Arrived(message.topic, bytes(message.payload), message.retain, receipt, message.dup)):
            self._ended = Ended(Trouble.OVERLOADED, "more messages than can be looked at")

    def _on_publish(
        self, client: Client, _: Any, mid: int, reason: ReasonCode, properties: Properties | None
    ) -> None:
        self._post(Confirmed((self._connection, mid), not reason.is_failure, str(reason)))

    def _enter(self, state: LinkState) -> None:
        if state is LinkState.ONLINE:
            logger.info("connected to the broker %s:%d", self._broker.host, self._broker.port)
            self._said = ""
        self._state = state
        self._last_beat = time.monotonic()

    def _say(self, ended: Ended, failures: int) -> None:
        """Log what is new about the trouble: an hour without a network is one line."""
        text = ended.text
        if failures >= FLAPPING_AFTER and ended.trouble is Trouble.NETWORK and self._said == "":
            text += "; every connection ends at once: does another agent run with this journal's client id?"
        if text != self._said:
            logger.warning("the broker %s:%d: %s; it is tried again", self._broker.host, self._broker.port, text)
        self._said = text

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0 and not self._stopping.wait(min(left_s, STEP_S)):
            self._last_beat = time.monotonic()


def _without_delay(client: Client, _: Any, sock: Any) -> None:
    """Without it a PUBACK followed by an ack of ours waits 40 ms for the other side's TCP."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _leave_it_to_the_loop(client: Client, _: Any, sock: Any) -> None:
    """The loop is woken by paho itself."""
