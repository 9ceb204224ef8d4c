"""The agent's link to the broker: one connection after another, as a state machine in a thread named "link".

Nothing of an older connection lingers in a queue: what must not be lost is in the journal's outbox, and what the
broker had not been told is acknowledged comes again. Callbacks only enqueue. An error in one of them ends the
connection, never the thread.

If somebody else keeps taking the client id, the link goes on with a fresh one. What the broker kept for the old
session is lost then; the cloud repeats commands and revokes until they are answered.
"""

from __future__ import annotations

import enum
import logging
import random
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from arcade_edge.agent.reports import Will
from arcade_edge.ports import Arrived, Confirmed, LinkDown, LinkUp, Receipt
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.client_ids import ClientId
from arcade_shared.mqtt import Cause, Connection, Puback, Received

logger = logging.getLogger(__name__)

KEEPALIVE_S = 15
# CONNACK and SUBACK: a broker that is up answers within a second, over a bad mobile link within a few.
GREET_WITHIN_S = 10.0
# What the broker keeps for us while we are away. Commands live for two minutes and are repeated; an hour leaves
# room for settings that are longer, and no session behind forever.
SESSION_EXPIRY_S = 3600
# Unacknowledged messages towards us at once: more than one cabinet's players, and it bounds the loop's queue.
RECEIVE_MAXIMUM = 16
MAX_QUEUED = 256
STEP_S = 1.0
# A connection that lasted so long was sound: the next back-off begins at the bottom.
STEADY_S = 10.0
# Resolving a name may block for that long where the network is half up.
MAX_SILENCE_S = 180.0

Event: TypeAlias = Arrived | LinkUp | LinkDown | Confirmed
Post: TypeAlias = Callable[[Event], bool]


class LinkState(enum.Enum):
    """Where the link stands; `BACKOFF` waits before the next attempt."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    ONLINE = "online"
    BACKOFF = "backoff"
    STOPPED = "stopped"


class Trouble(enum.Enum):
    """Why a connection has ended, with the first and the longest back-off in seconds.

    LOST is a connection that the broker had accepted and then ended without a reason. Its back-off stays short:
    our own patience must not help whoever ends our connections.
    """

    NETWORK = (0.5, 30.0)
    LOST = (0.5, 4.0)
    DENIED = (5.0, 120.0)
    ASKED = (0.1, 5.0)
    OVERLOADED = (1.0, 30.0)
    DEFECT = (1.0, 60.0)


_TROUBLES = {
    Cause.CLOSED: Trouble.ASKED,
    Cause.NETWORK: Trouble.NETWORK,
    Cause.CERTIFICATE: Trouble.DENIED,
    Cause.LOGIN: Trouble.DENIED,
    Cause.REFUSED: Trouble.DENIED,
    Cause.SUBSCRIPTION: Trouble.DENIED,
    Cause.TAKEN_OVER: Trouble.LOST,
    Cause.DEFECT: Trouble.DEFECT,
}
HINTS = {
    Cause.CERTIFICATE: "check host and ca_file in [broker], and this computer's date",
    Cause.LOGIN: "check username and password in [broker], and the broker's access list",
    Cause.SUBSCRIPTION: "check the broker's access list for this user",
}


@dataclass(slots=True)
class _Current:
    """The connection that is being made or used, with its number."""

    number: int
    connection: Connection
    online_since: float | None = None
    is_overloaded: bool = False


def backoff_s(trouble: Trouble, failures: int, jitter: float) -> float:
    """How long to wait after `failures` short-lived attempts in a row; `jitter` from 0 to 1 spreads a fleet."""
    first_s, last_s = trouble.value
    return min(first_s * 2.0 ** min(max(failures - 1, 0), 16), last_s) * (0.5 + jitter / 2)


class MqttLink:
    """The link of one agent.

    Args:
        will: Gives the last will of the connection with that number; called in the link's thread.
        post: Takes each event, in the link's thread, and returns at once: False where there is no room. Only an
            `Arrived` may be turned away; it then comes again, for the connection is dropped unacknowledged.
    """

    def __init__(
        self,
        address: BrokerAddress,
        client_id: ClientId,
        topics: Sequence[str],
        will: Callable[[int], Will],
        post: Post,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._address = address
        self._client_id = client_id
        self._topics = tuple(topics)
        self._will = will
        self._post = post
        self._jitter = jitter
        self._state = LinkState.OFFLINE
        self._current: _Current | None = None
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
        current = self._current
        return self._last_beat if current is None else max(self._last_beat, current.connection.last_beat_s)

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
        if (current := self._current) is not None:
            current.connection.close()
        if self.alive:
            self._thread.join(timeout_s)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Hashable | None:
        """Send at QoS 1. The token comes back in a `Confirmed`; None means that there is no connection."""
        current = self._current
        if current is None or not current.connection.is_open:
            return None
        number = current.connection.publish(topic, payload, retain=retain)
        return None if number is None else (current.number, number)

    def acknowledge(self, receipt: Receipt) -> None:
        """The message need not be delivered again. Does nothing if its connection is gone."""
        current = self._current
        if current is not None and receipt.connection == current.number:
            current.connection.acknowledge(receipt.mid, receipt.qos)

    def reconnect(self, why: str) -> None:
        """Drop the connection and make a new one, so that what is not acknowledged is delivered again."""
        if (current := self._current) is not None:
            current.connection.close(why)

    def _run(self) -> None:
        failures = number = 0
        while not self._stopping.is_set():
            number += 1
            self._enter(LinkState.CONNECTING)
            self._current = current = self._new_connection(number)
            if not self._stopping.is_set():  # `stop` closes what it finds, and may have come before this one
                current.connection.run()
            self._current = None
            if self._stopping.is_set():
                break
            self._enter(LinkState.BACKOFF)
            lasted_s = 0.0 if current.online_since is None else time.monotonic() - current.online_since
            failures = 1 if lasted_s >= STEADY_S else failures + 1
            trouble = Trouble.OVERLOADED if current.is_overloaded else _TROUBLES[current.connection.cause]
            text, contested = current.connection.end, False
            if current.connection.thrown_off:
                trouble = Trouble.LOST
                taken_over = current.connection.cause is Cause.TAKEN_OVER
                contested = self._client_id.lost(time.monotonic(), taken_over=taken_over)
                if contested:
                    failures = 1
                    text += f"; somebody else keeps taking the client id {current.connection.client_id}"
            self._say(text)
            self._post(LinkDown(number, current.connection.end, contested))
            self._rest(backoff_s(trouble, failures, self._jitter()))
        self._enter(LinkState.STOPPED)

    def _new_connection(self, number: int) -> _Current:
        will = self._will(number)
        connection = Connection(
            self._address,
            self._client_id.text,
            topics=self._topics,
            needs_every_topic=True,
            session_expiry_s=SESSION_EXPIRY_S,
            keepalive_s=KEEPALIVE_S,
            greet_within_s=GREET_WITHIN_S,
            receive_maximum=RECEIVE_MAXIMUM,
            queue=MAX_QUEUED,
            will=(will.topic, will.payload),
            hints=HINTS,
            on_open=lambda: self._opened(current),
            on_message=lambda message: self._arrived(current, message),
            on_puback=lambda mid, puback: self._answered(number, mid, puback),
        )
        current = _Current(number, connection)
        return current

    def _opened(self, current: _Current) -> None:
        current.online_since = time.monotonic()
        logger.info("connected to the broker %s", self._address)
        self._said = ""
        self._enter(LinkState.ONLINE)
        self._post(LinkUp(current.number))

    def _arrived(self, current: _Current, message: Received) -> None:
        if current.is_overloaded:
            return  # nor is this one acknowledged: it comes again as well
        receipt = Receipt(current.number, message.number, message.qos)
        if not self._post(Arrived(message.topic, message.payload, message.retained, receipt, message.repeated)):
            current.is_overloaded = True
            current.connection.close("more messages than can be looked at")

    def _answered(self, connection: int, mid: int, puback: Puback) -> None:
        self._post(Confirmed((connection, mid), not puback.is_refusal, puback.text, puback.reached_nobody))

    def _enter(self, state: LinkState) -> None:
        self._state = state
        self._last_beat = time.monotonic()

    def _say(self, text: str) -> None:
        """Log what is new about the trouble: an hour without a network is one line."""
        if text != self._said:
            logger.warning("no connection to the broker: %s; trying again", text)
        self._said = text

    def _rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0 and not self._stopping.wait(min(left_s, STEP_S)):
            self._last_beat = time.monotonic()
