"""Publishes to the machines over one long-lived connection, and says what is known about each message."""

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from arcade_cloud.adapters.mqtt.connection import KEEPALIVE_S, OPEN_WITHIN_S, cloud_connection
from arcade_cloud.domain.events import Outcome
from arcade_cloud.services.rate_limit import Bucket, Rate, take
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.mqtt import IN_FLIGHT, Connection, Puback

logger = logging.getLogger(__name__)

# After a failed attempt to connect, publishing fails at once for a while: so long at first, then doubled each
# time. A request must not wait for a broker that is known to be down.
RETRY_S = 0.1
MAX_RETRY_S = 5.0

# So much of a message's time is kept for the broker's answer. A message that could be sent only later is not sent:
# it would be unknown whether it was delivered, and a good connection would be given up for it.
ANSWER_SHARE = 0.25

NOT_CONFIRMED = "it took a message and did not confirm it in time"
# A message that never left this process was certainly not delivered, as if the broker had refused it.
NOT_SENT = Outcome.REFUSED


@dataclass(frozen=True, slots=True)
class _Limits:
    """Until when a message may be sent, and until when its answer is awaited (of the monotonic clock)."""

    send_by: float
    answer_by: float

    @classmethod
    def from_now(cls, timeout_s: float) -> "_Limits":
        now = time.monotonic()
        return cls(now + timeout_s * (1 - ANSWER_SHARE), now + timeout_s)


class _Receipt:
    """The broker's answer to one message; None if the connection ended first."""

    __slots__ = ("answered", "puback")

    def __init__(self) -> None:
        self.answered = threading.Event()
        self.puback: Puback | None = None


class _Wire:
    """A connection with the messages that are under way on it."""

    def __init__(
        self, address: BrokerAddress, client_id: str, keepalive_s: int, on_end: Callable[[Connection], None]
    ) -> None:
        self.receipts: dict[int, _Receipt] = {}
        self.room = threading.Semaphore(IN_FLIGHT)
        self.users = 0  # guarded by the publisher's lock, as is `is_retired`
        self.is_retired = False
        self._on_end = on_end
        self.connection = cloud_connection(
            address,
            client_id,
            keepalive_s=keepalive_s,
            on_open=self._opened,
            on_end=self._ended,
            on_puback=self._answered,
        )

    def send(self, topic: str, payload: bytes, expiry_s: int, limits: _Limits) -> Outcome | None:
        """Publish and wait for the answer. None: it was not sent: no room, no time or no connection."""
        if not self.room.acquire(timeout=max(0.0, limits.send_by - time.monotonic())):
            return None
        try:
            may_be_sent = self.connection.is_open and time.monotonic() < limits.send_by
            number = self.connection.publish(topic, payload, expiry_s=expiry_s) if may_be_sent else None
            if number is None:
                return None
            # The answer may come before `publish` returns, so whichever comes first makes the receipt.
            receipt = self.receipts.setdefault(number, _Receipt())
            if self.connection.is_over:
                receipt.answered.set()
            receipt.answered.wait(max(0.0, limits.answer_by - time.monotonic()))
            self.receipts.pop(number, None)
            return _outcome(receipt.puback)
        finally:
            self.room.release()

    def _opened(self) -> None:
        if self.connection.receive_maximum < IN_FLIGHT:
            self.room = threading.Semaphore(self.connection.receive_maximum)

    def _answered(self, number: int, puback: Puback) -> None:
        receipt = self.receipts.setdefault(number, _Receipt())
        receipt.puback = puback
        receipt.answered.set()

    def _ended(self) -> None:
        for receipt in list(self.receipts.values()):
            receipt.answered.set()
        self._on_end(self.connection)


def _outcome(puback: Puback | None) -> Outcome:
    if puback is None:
        return Outcome.UNKNOWN
    if puback.is_refusal:
        return Outcome.REFUSED
    return Outcome.NOBODY if puback.reached_nobody else Outcome.CONFIRMED


class Publisher:
    """The port `ports.messaging.Broker`. Safe to use from many threads at once.

    It connects with the first message. REFUSED means that the message was certainly not delivered: the broker
    refused it, or it never left this process (no connection or room in time, too many in a second). UNKNOWN means
    that it left, but the broker did not answer in time. The messages that still wait keep that connection; the
    next one gets a new connection.
    """

    def __init__(
        self,
        address: BrokerAddress,
        *,
        timeout_ms: int,
        publishes_per_s: int = 0,
        keepalive_s: int = KEEPALIVE_S,
    ) -> None:
        """Store the parameters; nothing is connected yet.

        Args:
            timeout_ms: For one publish, connecting included.
            publishes_per_s: The most messages per second; 0 means no limit.
        """
        self._address = address
        self._timeout_s = timeout_ms / 1000
        self._rate = Rate(per_minute=60 * publishes_per_s, burst=publishes_per_s)
        self._keepalive_s = keepalive_s
        self._bucket: Bucket | None = None
        self._lock = threading.Lock()
        self._wire: _Wire | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._name = f"arcade-cloud-{secrets.token_hex(6)}"  # no two processes may share a client id
        self._wires = 0
        self._is_answered = False
        self._trouble: str | None = None
        self._refused: set[str] = set()

    @property
    def is_answered(self) -> bool:
        """Whether the broker has answered the last message. Before the first one it has not."""
        return self._is_answered

    @property
    def problem(self) -> str | None:
        """What is wrong, in a sentence; None if nothing is, or if nothing was published yet."""
        with self._lock:
            if self._trouble is not None:
                return self._trouble
            if self._refused:
                topics = ", ".join(f"arcade/…/{kind}" for kind in sorted(self._refused))
                return f"it refuses messages to {topics}: let MQTT_USERNAME publish to them"
            return None

    def publish(self, topic: str, payload: bytes, *, expiry_s: int) -> Outcome:
        """Publish with QoS 1, not retained, and wait for the broker's answer, under the deadline. Never raises."""
        try:
            return self._publish(topic, payload, expiry_s, _Limits.from_now(self._timeout_s))
        except Exception:  # the port promises not to raise; the log shows the defect
            logger.exception("publishing to %s failed", topic)
            return Outcome.UNKNOWN

    def check(self) -> str | None:
        """Connect if necessary. Returns what is wrong, in a sentence, or None."""
        with self._lock:
            self._retry_at = 0.0
        wire = self._enter(time.monotonic() + 2 * OPEN_WITHIN_S)
        if wire is None:
            return "no connection in time"
        try:
            return None if wire.connection.is_open else wire.connection.end or "no connection in time"
        finally:
            self._leave(wire)

    def close(self) -> None:
        """Close the connection in order. A later message opens a new one."""
        with self._lock:
            wire, self._wire = self._wire, None
        if wire is not None:
            wire.connection.close()

    def _publish(self, topic: str, payload: bytes, expiry_s: int, limits: _Limits) -> Outcome:
        if not self._wait_for_turn(limits.send_by):
            return NOT_SENT
        # The connection may end before it accepts the message. Then it is tried once more.
        for _ in range(2):
            wire = self._enter(limits.send_by)
            if wire is None:
                return NOT_SENT
            outcome: Outcome | None = None
            try:
                if wire.connection.is_open:
                    outcome = wire.send(topic, payload, expiry_s, limits)
            finally:
                self._leave(wire, retire=outcome is Outcome.UNKNOWN)
            if outcome is not None:
                self._note(topic, outcome)
                return outcome
        return NOT_SENT

    def _note(self, topic: str, outcome: Outcome) -> None:
        """Note what the broker has answered. A refusal holds until a message of that kind is taken."""
        kind = topic.rpartition("/")[2]
        with self._lock:
            self._is_answered = outcome is not Outcome.UNKNOWN
            self._trouble = None if self._is_answered else NOT_CONFIRMED
            if outcome is Outcome.REFUSED:
                self._refused.add(kind)
            elif outcome is not Outcome.UNKNOWN:
                self._refused.discard(kind)

    def _wait_for_turn(self, deadline: float) -> bool:
        """Wait until the rate allows a message. False if that is after the deadline."""
        while self._rate.per_minute:
            with self._lock:
                self._bucket, wait_ms = take(self._bucket, self._rate, int(time.monotonic() * 1000))
            if wait_ms == 0:
                return True
            if time.monotonic() + wait_ms / 1000 >= deadline:
                return False
            time.sleep(wait_ms / 1000)
        return True

    def _enter(self, deadline: float) -> _Wire | None:
        """The wire to use, open if it opened before the deadline. None: no new one may be opened yet."""
        with self._lock:
            wire = self._wire
            if wire is not None and (wire.connection.is_over or wire.connection.is_stale):
                self._retire(wire)
                if wire.users == 0:
                    wire.connection.abort("this process was suspended for too long")
                wire = None
            if wire is None:
                if time.monotonic() < self._retry_at:
                    return None
                wire = self._wire = self._new_wire()
            wire.users += 1
        wire.connection.wait_until_settled(deadline - time.monotonic())
        return wire

    def _leave(self, wire: _Wire, *, retire: bool = False) -> None:
        with self._lock:
            wire.users -= 1
            if retire:
                self._retire(wire)
            is_last = wire.is_retired and wire.users == 0
        if is_last:
            wire.connection.abort("given up: the broker did not answer in time")

    def _retire(self, wire: _Wire) -> None:
        """Use a wire for nothing new. Messages may still wait on it. Called with the lock held."""
        wire.is_retired = True
        if self._wire is wire:
            self._wire = None

    def _new_wire(self) -> _Wire:
        self._wires += 1
        wire = _Wire(self._address, f"{self._name}-{self._wires}", self._keepalive_s, self._ended)
        threading.Thread(target=wire.connection.run, name=f"publisher-{self._wires}", daemon=True).start()
        return wire

    def _ended(self, connection: Connection) -> None:
        """Note a connection's end. Its thread calls this before anyone who waits for it learns that it is over."""
        with self._lock:
            if connection.was_open:
                self._failures = 0
                return
            self._failures += 1
            self._is_answered, self._trouble = False, connection.end
            wait_s = min(MAX_RETRY_S, RETRY_S * 2 ** min(self._failures - 1, 10))
            self._retry_at = time.monotonic() + wait_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter  # nosec B311
        logger.warning("no connection to the broker: %s", connection.end)
