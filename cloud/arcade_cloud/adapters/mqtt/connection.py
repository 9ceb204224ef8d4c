"""One connection to the broker: opened once, served by one thread, and never opened again.

paho would reconnect by itself, and send again whatever it still holds: minutes later, when nobody waits for it
any more. Here every connection has a paho client of its own. When it ends, so does all that was in it: no old
message can follow, and no acknowledgement can reach a newer session, where its number means another message.
An exception anywhere in paho's loop, or in a callback, ends the connection visibly as well.
"""

import contextlib
import functools
import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from arcade_cloud.config.broker_address import BrokerAddress

logger = logging.getLogger(__name__)

# A link that has gone dead while nobody publishes is noticed within twice this time.
KEEPALIVE_S = 20
# From the first packet to the broker's consent, subscriptions included.
OPEN_WITHIN_S = 5.0
# An orderly end gets this long to have its last packets sent.
FLUSH_WITHIN_S = 1.0
# The loop looks up this often, whatever happens.
TICK_S = 1.0
# The largest message that we accept is 4 KiB (arcade_shared.messages), and a topic of ours 128 bytes.
MAX_PACKET_BYTES = 16_384
# What a client may have under way where the broker names no number (MQTT 5, 3.2.2.3.3).
RECEIVE_MAXIMUM = 65_535

_BAD_USER = frozenset({0x86, 0x87, 0x8C})
_TAKEN_OVER = 0x8E
# struct linger: on or off, seconds. On with 0 seconds, closing discards what the kernel has not sent.
_DISCARD_UNSENT = struct.pack("ii", 1, 0)
_SEND_UNSENT = struct.pack("ii", 0, 0)


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
    With `topics` it can be used once the broker has answered the subscriptions; those that it refused are in
    `refused_topics`, and if they are all of them, the connection ends.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: str,
        *,
        topics: Sequence[str] = (),
        session_expiry_s: int = 0,
        receive_maximum: int = RECEIVE_MAXIMUM,
        keepalive_s: int = KEEPALIVE_S,
        on_open: Callable[[], None] = _nothing,
        on_end: Callable[[], None] = _nothing,
        on_message: Callable[[paho.MQTTMessage], None] = _nothing,
        on_puback: Callable[[int, int], None] = _nothing,
    ) -> None:
        self.client_id = client_id
        self.is_open = False
        self.was_open = False
        self.session_present = False
        self.receive_maximum = RECEIVE_MAXIMUM  # the broker's, once it is open
        self.refused_topics: dict[str, str] = {}
        self.end = ""  # why it is over, in a sentence
        self._address = address
        self._topics = tuple(topics)
        self._session_expiry_s = session_expiry_s
        self._own_receive_maximum = receive_maximum
        self._keepalive_s = keepalive_s
        self._on_open, self._on_end, self._on_message, self._on_puback = on_open, on_end, on_message, on_puback
        self._settled = threading.Event()
        self._why = ""
        self._stop_at: float | None = None
        self._beat = (time.monotonic(), time.time())
        self._client = self._new_client()

    # --- for everybody -----------------------------------------------------------------------------------

    def wait_until_settled(self, timeout_s: float) -> bool:
        """Wait until it is open, or over; whether it is open then."""
        self._settled.wait(max(0.0, timeout_s))
        return self.is_open

    @property
    def is_over(self) -> bool:
        return bool(self.end)

    @property
    def is_stale(self) -> bool:
        """Whether it may look alive, but is not: its thread has not run for too long.

        So it is after a process was suspended, as AWS Lambda does between two requests: after 1.5 × the keepalive
        the broker has given us up (MQTT 5, 3.1.2.10). Both clocks are asked: one of them may have stood still too.
        """
        monotonic_s, wall_s = self._beat
        gap_s = max(time.monotonic() - monotonic_s, time.time() - wall_s)
        # While it opens, host name, TCP, TLS and consent may each take their time.
        return gap_s > (max(1.5 * self._keepalive_s, 3 * TICK_S) if self.was_open else 4 * OPEN_WITHIN_S)

    def publish(self, topic: str, payload: bytes, expiry_s: int) -> int | None:
        """Hand over a message (QoS 1, not retained): its number, for `on_puback`. None: it will never be sent."""
        info = self._client.publish(topic, payload, qos=1, properties=_expiring(max(1, expiry_s)))
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def acknowledge(self, message_number: int) -> None:
        """Tell the broker that a message of this connection is dealt with."""
        self._client.ack(message_number, 1)

    def close(self) -> None:
        """Take leave in order, as far as that is possible within FLUSH_WITHIN_S. Returns at once."""
        self._stop_at = time.monotonic() + FLUSH_WITHIN_S
        self._linger(discard=False)
        self._client.disconnect()

    def abort(self, why: str) -> None:
        """End it now. What has not left this process yet will not."""
        self._why = self._why or why
        self._stop_at = 0.0
        link = self._client.socket()
        if isinstance(link, socket.socket):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(
                    link, socket.SHUT_RDWR
                )  # wakes the thread; TLS is not asked to say farewell

    # --- the thread --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Open it and serve it until it is over; never raises."""
        try:
            self._serve()
        except OSError as error:
            self._why = self._why or self._explain(error)
        except Exception:  # whatever it is, those who wait must learn that this thread is gone
            logger.exception("the connection to the broker failed")
            self._why = self._why or "a defect ended it; see the log"
        finally:
            self._finish()

    def _serve(self) -> None:
        client = self._client
        if self._address.tls:
            client.tls_set_context(ssl.create_default_context(cafile=self._address.ca_file))
        give_up = time.monotonic() + OPEN_WITHIN_S
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
        while client.loop(TICK_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if self.is_stale:
                self._why = "this process was suspended for too long"
                return
            now = time.monotonic()
            self._beat = (now, time.time())
            if self._stop_at is not None and now >= self._stop_at:
                return
            if not self.was_open and now >= give_up:
                self._why = self._why or f"{self._place} does not answer"
                return

    def _finish(self) -> None:
        self.is_open = False
        self.end = self._why or ("closed" if self._stop_at is not None else f"{self._place} ended the connection")
        client, link = self._client, self._client.socket()
        if link is not None:
            with contextlib.suppress(OSError):
                link.close()
        # paho's client no longer holds this object, so its sockets go together with whoever holds this last.
        client.on_socket_open = None
        client.on_connect = client.on_subscribe = client.on_disconnect = None
        client.on_message = client.on_publish = None
        try:
            self._on_end()
        finally:
            self._settled.set()

    @property
    def _place(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    def _explain(self, error: OSError) -> str:
        match error:
            case socket.gaierror():
                return f"there is no host named {self._address.host}"
            case ssl.SSLCertVerificationError():
                return (
                    f"the certificate of {self._place} is not trusted ({error.verify_message}): see MQTT_CA_FILE"
                )
            case ssl.SSLError():
                return f"{self._place} does not speak TLS as expected ({error.reason}): is it the port for TLS?"
            case ConnectionRefusedError():
                return f"nobody listens on {self._place}"
            case TimeoutError():
                return f"{self._place} does not answer"
        return f"{self._place}: {error.strerror or type(error).__name__}"

    # --- paho's callbacks: they note, and leave ----------------------------------------------------------

    def _new_client(self) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = OPEN_WITHIN_S
        client.max_inflight_messages = 0  # no limit: who publishes counts, so that nothing waits inside paho
        if self._address.username is not None:
            client.username_pw_set(self._address.username, self._address.password)
        client.on_socket_open = self._socket_opened
        # Where it is set, paho writes to the socket from the thread in `run` only.
        client.on_socket_register_write = _nothing
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_disconnect = self._disconnected
        client.on_message = lambda _client, _data, message: self._on_message(message)
        client.on_publish = lambda _client, _data, number, reason, _properties: self._on_puback(
            number, reason.value
        )
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
            hint = ": check MQTT_USERNAME and MQTT_PASSWORD" if reason.value in _BAD_USER else ""
            self._why = f"the broker refuses the connection ({reason}){hint}"
            return
        self.session_present = flags.session_present
        self.receive_maximum = getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM)
        self._keepalive_s = getattr(properties, "ServerKeepAlive", self._keepalive_s)
        if self._topics:
            client.subscribe([(topic, SubscribeOptions(qos=1)) for topic in self._topics])
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
        if len(self.refused_topics) == len(self._topics):
            topic, reason = next(iter(self.refused_topics.items()))
            self.abort(f"the broker refuses the subscription to {topic} ({reason})")
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
        if flags.is_disconnect_packet_from_server:
            hint = f": somebody else uses the client id {self.client_id}" if reason.value == _TAKEN_OVER else ""
            self._why = self._why or f"the broker ended the connection ({reason}){hint}"
