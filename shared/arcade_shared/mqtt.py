"""One connection to the broker, for cloud, agent and technician: MQTT 5 with paho, whose traps are handled here.

paho would reconnect by itself and send again whatever it still holds, minutes later, when nobody waits for it any
more. Here every connection has a paho client of its own, opened once and served by one thread. When it ends, so
does all that was in it: no old message can follow, and no acknowledgement can reach a newer session, where its
number means another message. When to connect again is for those who use it to decide.

Only this module knows paho. Nothing else in this package imports it, so that messages can be read without it.
"""

import contextlib
import enum
import functools
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from arcade_shared.broker_address import BrokerAddress
from arcade_shared.messages import MAX_PAYLOAD_BYTES

logger = logging.getLogger(__name__)

# For the TCP connection. TLS gets as much for each of its steps.
CONNECT_WITHIN_S = 5.0
# An orderly end gets this long to have its last packets sent.
FLUSH_WITHIN_S = 1.0
# The loop looks up this often, whatever happens.
TICK_S = 1.0
# A payload of ours in the largest envelope. The broker drops what is larger: paho would take up to 256 MB of it.
MAX_PACKET_BYTES = 4 * MAX_PAYLOAD_BYTES
# What a client may have under way where the broker names no number (MQTT 5, 3.2.2.3.3).
RECEIVE_MAXIMUM = 65_535
# What Mosquitto accepts of a client at once, and less than EMQX does, where nobody has set it otherwise.
IN_FLIGHT = 20

# MQTT 5's reason codes.
_NO_SUBSCRIBERS = 0x10
_FIRST_FAILURE = 0x80
_BAD_LOGIN = frozenset({0x86, 0x87, 0x8C})
_NOT_THIS_CLIENT = frozenset({0x84, 0x85})
_TAKEN_OVER = 0x8E

# struct linger: on or off, seconds. On with 0 seconds, closing discards what the kernel has not sent.
_DISCARD_UNSENT = struct.pack("ii", 1, 0)
_SEND_UNSENT = struct.pack("ii", 0, 0)


class Cause(enum.Enum):
    """Why a connection is over."""

    CLOSED = "we have closed it"
    NETWORK = "unreachable, silent, lost, or ended by the broker"
    CERTIFICATE = "the broker's certificate is not trusted"
    LOGIN = "the broker does not accept the user"
    REFUSED = "the broker does not accept this client"
    SUBSCRIPTION = "the broker does not accept the subscriptions"
    TAKEN_OVER = "another client has connected with the same client id"
    DEFECT = "an exception in the loop or in a callback"


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the broker. `number` is what it is acknowledged by, on its own connection.

    `retained`: somebody had left it at the broker. `repeated`: the broker does not know whether it has arrived
    before (MQTT's DUP flag). A topic that is no UTF-8 is given as an empty one.
    """

    number: int
    qos: int
    topic: str
    payload: bytes
    retained: bool
    repeated: bool


@dataclass(frozen=True, slots=True)
class Puback:
    """What the broker has answered to a publish: MQTT 5's reason code, and its name."""

    code: int
    text: str

    @property
    def is_refusal(self) -> bool:
        """Whether the broker has not taken the message: it acknowledges what an access list forbids, too."""
        return self.code >= _FIRST_FAILURE

    @property
    def reached_nobody(self) -> bool:
        """Whether the broker has taken it, and nobody has subscribed to its topic."""
        return self.code == _NO_SUBSCRIBERS


def _nothing(*_arguments: object) -> None:
    """What is to be done where nothing is."""


@functools.lru_cache(256)  # making them takes a tenth of the time of a publish; paho only reads them
def _expiring(expiry_s: int) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho has no types there
    properties.MessageExpiryInterval = expiry_s
    return properties


class Connection:
    """A connection that `run` opens and serves until it ends. All else may be called from any thread.

    `on_open` is called when it can be used, `on_end` once when it is over: both by the thread in `run`, as are
    `on_message` and `on_puback`. None of them may block; if one raises, the connection ends.
    What is received must be acknowledged, or the broker delivers it again at the next connection.

    Args:
        address: Where the broker is, and as whom to enter it.
        client_id: The name of the session; "" lets the broker choose one.
        topics: What to subscribe to, at QoS 1. The connection can be used once the broker has answered. What it
            refuses is in `refused_topics`; if that is all of them, the connection ends.
        needs_every_topic: It ends as well if only some are refused.
        session_expiry_s: How long the broker keeps the session while nobody is connected; 0 begins a new one.
        greet_within_s: From TCP and TLS standing to the broker's consent, subscriptions included.
        receive_maximum: The most messages towards us that may be unacknowledged at once.
        queue: How many messages may wait in here where the broker accepts no more of them at once. 0: none, for
            the caller counts what is under way.
        will: Topic and payload of the last will: retained, at QoS 1.
        hints: What to look at, by cause; it ends the sentence in `end`.
        clocks: A thread that has not run for too long, by any of them, takes its connection for dead. The first
            is monotonic; a process that may be suspended adds one that goes on meanwhile.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        topics: Sequence[str] = (),
        needs_every_topic: bool = False,
        session_expiry_s: int = 0,
        keepalive_s: int,
        greet_within_s: float,
        receive_maximum: int = RECEIVE_MAXIMUM,
        queue: int = 0,
        will: tuple[str, bytes] | None = None,
        hints: Mapping[Cause, str] = MappingProxyType({}),
        clocks: Sequence[Callable[[], float]] = (time.monotonic,),
        on_open: Callable[[], None] = _nothing,
        on_end: Callable[[], None] = _nothing,
        on_message: Callable[[Received], None] = _nothing,
        on_puback: Callable[[int, Puback], None] = _nothing,
    ) -> None:
        self.client_id = client_id
        self.is_open = False
        self.was_open = False
        self.was_accepted = False  # by the broker; subscriptions not included
        self.session_present = False
        self.receive_maximum = RECEIVE_MAXIMUM  # the broker's, once it is open
        self.refused_topics: dict[str, str] = {}
        self.end = ""  # why it is over, in a sentence; empty until then
        self.cause = Cause.NETWORK  # the same for programs; means nothing until then
        self.thrown_off = False  # the broker had accepted it, and ended it for another client, or without a reason
        self._address = address
        self._topics = tuple(topics)
        self._needs_every_topic = needs_every_topic
        self._session_expiry_s = session_expiry_s
        self._keepalive_s = keepalive_s
        self._greet_within_s = greet_within_s
        self._own_receive_maximum = receive_maximum
        self._hints = hints
        self._clocks = tuple(clocks)
        self._on_open, self._on_end, self._on_message, self._on_puback = on_open, on_end, on_message, on_puback
        self._settled = threading.Event()
        self._why: tuple[Cause, str] | None = None
        self._stop_at: float | None = None
        self._beat = self._now()
        self._client = self._new_client(queue, will)

    # --- for everybody -----------------------------------------------------------------------------------

    def wait_until_settled(self, timeout_s: float) -> bool:
        """Wait until it is open, or over; whether it is open then."""
        self._settled.wait(max(0.0, timeout_s))
        return self.is_open

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or has never come about."""
        return bool(self.end)

    @property
    def last_beat_s(self) -> float:
        """When its thread last came round (the first of `clocks`)."""
        return self._beat[0]

    @property
    def is_stale(self) -> bool:
        """Whether it may look alive, but is not: its thread has not run for too long.

        So it is after a process was suspended, as AWS Lambda does between two requests: after 1.5 × the keepalive
        the broker has given us up (MQTT 5, 3.1.2.10).
        """
        gap_s = max(now_s - beat_s for now_s, beat_s in zip(self._now(), self._beat, strict=True))
        # While it opens, host name, TCP, TLS and consent may each take their time.
        opens_within_s = 3 * CONNECT_WITHIN_S + self._greet_within_s
        return gap_s > (max(1.5 * self._keepalive_s, 3 * TICK_S) if self.was_open else opens_within_s)

    @property
    def refusal(self) -> str:
        """Which subscriptions the broker has refused, in a sentence; empty if none."""
        if not self.refused_topics:
            return ""
        topics = ", ".join(f"{topic} ({reason})" for topic, reason in self.refused_topics.items())
        return f"the broker refuses the subscription to {topics}"

    def publish(
        self, topic: str, payload: bytes, *, expiry_s: int | None = None, retain: bool = False
    ) -> int | None:
        """Hand over a message (QoS 1): its number, for `on_puback`. None: it will never be sent."""
        properties = None if expiry_s is None else _expiring(max(1, expiry_s))
        info = self._client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def acknowledge(self, number: int, qos: int = 1) -> None:
        """Tell the broker that a message of this connection is dealt with."""
        self._client.ack(number, qos)

    def close(self, why: str = "closed") -> None:
        """Take leave in order, as far as that is possible within FLUSH_WITHIN_S. Returns at once.

        The broker does not publish the last will then.
        """
        self._note(Cause.CLOSED, why)
        self._stop_at = time.monotonic() + FLUSH_WITHIN_S
        self._linger(discard=False)
        self._client.disconnect()

    def abort(self, why: str) -> None:
        """End it now. What has not left this process yet will not."""
        self._note(Cause.CLOSED, why)
        self._stop_at = 0.0
        link = self._client.socket()
        if isinstance(link, socket.socket):
            with contextlib.suppress(OSError):
                # Wakes the thread. TLS is not asked to say farewell.
                socket.socket.shutdown(link, socket.SHUT_RDWR)

    # --- the thread --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Open it and serve it until it is over; never raises."""
        try:
            if self._stop_at is None:
                self._serve()
        except (OSError, UnicodeError) as error:
            self._note(*self._explain(error))
        except Exception:  # whatever it is, those who wait must learn that this thread is gone
            logger.exception("the connection to the broker failed")
            self._note(Cause.DEFECT, "a defect ended it; see the log")
        finally:
            self._finish()

    def _serve(self) -> None:
        client = self._client
        if self._address.tls:
            try:
                client.tls_set_context(ssl.create_default_context(cafile=self._address.ca_file))
            except OSError as error:
                text = f"{self._address.ca_file} cannot be used ({error.strerror or error})"
                self._note(Cause.CERTIFICATE, text)
                return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types there
        properties.SessionExpiryInterval = self._session_expiry_s
        properties.ReceiveMaximum = self._own_receive_maximum
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect(
            self._address.host,
            self._address.port,
            keepalive=self._keepalive_s,
            clean_start=self._session_expiry_s == 0,
            properties=properties,
        )
        self._beat = self._now()  # a name may take minutes to resolve where the network is half up
        greet_until = time.monotonic() + self._greet_within_s
        while client.loop(TICK_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if self.is_stale:
                self._note(Cause.NETWORK, "this process was suspended for too long")
                return
            self._beat = self._now()
            now = time.monotonic()
            if self._stop_at is not None and now >= self._stop_at:
                return
            if not self.was_open and now >= greet_until:
                self._note(Cause.NETWORK, f"{self._address} does not answer")
                return

    def _finish(self) -> None:
        self.is_open = False
        self.cause, text = self._why or (Cause.NETWORK, f"the connection to {self._address} is lost")
        # Mosquitto 2.0.11 gives no reason where others say that another client has connected.
        self.thrown_off = self.was_accepted and (self._why is None or self.cause is Cause.TAKEN_OVER)
        hint = self._hints.get(self.cause)
        self.end = f"{text}: {hint}" if hint else text
        client, link = self._client, self._client.socket()
        if link is not None:
            with contextlib.suppress(OSError):
                link.close()
        # Nothing in here holds this object any more, so its sockets go together with whoever holds it last.
        client.on_socket_open = None
        client.on_connect = client.on_subscribe = client.on_disconnect = None
        client.on_message = client.on_publish = None
        on_end, self._on_end = self._on_end, _nothing
        self._on_open = self._on_message = self._on_puback = _nothing
        try:
            on_end()
        finally:
            self._settled.set()

    def _now(self) -> tuple[float, ...]:
        return tuple(clock() for clock in self._clocks)

    def _note(self, cause: Cause, text: str) -> None:
        """This is why it ends, unless a reason is known already."""
        self._why = self._why or (cause, text)

    def _explain(self, error: OSError | UnicodeError) -> tuple[Cause, str]:
        match error:
            case socket.gaierror() | UnicodeError():
                return Cause.NETWORK, f"there is no host named {self._address.host}"
            case ssl.SSLCertVerificationError():
                text = f"the certificate of {self._address} is not trusted ({error.verify_message})"
                return Cause.CERTIFICATE, text
            case ssl.SSLError():
                text = f"{self._address} does not speak TLS as expected ({error.reason}): is it the port for TLS?"
                return Cause.NETWORK, text
            case ConnectionRefusedError():
                return Cause.NETWORK, f"nobody listens on {self._address}"
            case TimeoutError():
                return Cause.NETWORK, f"{self._address} does not answer"
        return Cause.NETWORK, f"{self._address}: {error.strerror or type(error).__name__}"

    # --- paho's callbacks: they note, and leave ----------------------------------------------------------

    def _new_client(self, queue: int, will: tuple[str, bytes] | None) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_WITHIN_S
        client.max_inflight_messages = IN_FLIGHT if queue else 0  # 0: nothing waits inside paho
        client.max_queued_messages = queue
        if self._address.username is not None:
            client.username_pw_set(self._address.username, self._address.password)
        if will is not None:
            client.will_set(*will, qos=1, retain=True)
        client.on_socket_open = self._socket_opened
        # Once it is set, only the thread in `run` writes: a TLS socket must not be used by two at once.
        client.on_socket_register_write = _nothing
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = self._received
        client.on_publish = self._answered
        return client

    def _socket_opened(self, _client: paho.Client, _data: object, link: object) -> None:
        if isinstance(link, socket.socket):
            # Else a packet that follows another waits 40 ms for the kernel to see the first one acknowledged.
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._linger(discard=True)

    def _linger(self, *, discard: bool) -> None:
        """Whether the kernel forgets what it has not sent when the socket is closed, or goes on sending it."""
        link = self._client.socket()
        if isinstance(link, socket.socket):
            with contextlib.suppress(OSError):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD_UNSENT if discard else _SEND_UNSENT)

    def _connected(
        self,
        client: paho.Client,
        _data: object,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            cause = Cause.LOGIN if reason.value in _BAD_LOGIN else Cause.NETWORK
            cause = Cause.REFUSED if reason.value in _NOT_THIS_CLIENT else cause
            self._note(cause, f"the broker refuses the connection ({reason})")
            return
        self.was_accepted = True
        self.session_present = flags.session_present
        self.receive_maximum = getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM)
        self._keepalive_s = getattr(properties, "ServerKeepAlive", self._keepalive_s)
        if self._topics:
            # The retained flag as published: what somebody has left there must never be taken for a fresh message.
            options = SubscribeOptions(qos=1, retainAsPublished=True)
            client.subscribe([(topic, options) for topic in self._topics])
        else:
            self._opened()

    def _subscribed(
        self,
        _client: paho.Client,
        _data: object,
        _number: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        answers = zip(self._topics, reasons, strict=True)
        self.refused_topics = {topic: str(reason) for topic, reason in answers if reason.value != 1}
        needed = 1 if self._needs_every_topic else len(self._topics)
        if len(self.refused_topics) >= needed:
            self._note(Cause.SUBSCRIPTION, self.refusal)
            self.close()
        else:
            self._opened()

    def _opened(self) -> None:
        self.is_open = self.was_open = True
        self._on_open()
        self._settled.set()

    def _disconnected(
        self,
        _client: paho.Client,
        _data: object,
        flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self.is_open = False
        if not flags.is_disconnect_packet_from_server:
            return
        if reason.value == _TAKEN_OVER:
            text = f"another client has connected with the client id {self.client_id}"
            self._note(Cause.TAKEN_OVER, text)
        else:
            self._note(Cause.NETWORK, f"the broker ended the connection ({reason})")

    def _received(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._on_message(
            Received(message.mid, message.qos, topic, bytes(message.payload), message.retain, message.dup)
        )

    def _answered(
        self,
        _client: paho.Client,
        _data: object,
        number: int,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._on_puback(number, Puback(reason.value, str(reason)))
