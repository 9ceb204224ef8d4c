"""A session at the broker with its workers. A message is acknowledged only after it was handled.

If somebody else keeps taking the session's client id, the feed goes on with a fresh one. What the broker kept for
the old session is lost then; the cloud asks machines again about every order that is not resolved.

At most RECEIVE_MAXIMUM received messages stay unacknowledged; then the broker waits. A feed reconnects only when
all of them are handled, so no message comes again while its first copy is waiting. If one comes again anyway, it
is handled again, so handling must be safe to repeat.
"""

import logging
import random
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Literal

from arcade_cloud.errors import StoreUnavailable
from arcade_shared.client_ids import CALM_S, ClientId
from arcade_shared.errors import BadMessage
from arcade_shared.mqtt import FLUSH_WITHIN_S, Cause, Connection, Received

logger = logging.getLogger(__name__)

# The unacknowledged messages of one feed: enough to keep its workers busy at 30 ms to the broker.
RECEIVE_MAXIMUM = 100
# Waits while the store cannot be reached: the first, the longest.
STORE_RETRY_S = (0.1, 5.0)
# A message that cannot be handled because of a defect is tried so often, so far apart, and then set aside.
ATTEMPTS = 3
ATTEMPT_PAUSE_S = 0.2
# A message that is set aside stays unacknowledged, so it comes again at the next connection, perhaps to a repaired
# program. More of them would leave too little room for others, so further ones are given up.
MAX_SET_ASIDE = RECEIVE_MAXIMUM // 4
# Waits before the next attempt while the broker cannot be reached or does not accept us: the first, the longest.
RECONNECT_S = (0.25, 30.0)
# The same after a connection that the broker had accepted and then ended without a reason. It is short: our own
# patience must not help whoever ends our connections. After a connection of STEADY_S, the first comes again.
RETURN_S = (0.25, 4.0)
STEADY_S = 60.0

# What became of a message. `refused`: it is not valid. `retried`: the store could not be reached. `failed`: a
# defect. `dropped`: it had QoS 0, and there was no room.
Count = Literal["handled", "refused", "retried", "failed", "dropped"]

OpenConnection = Callable[[str, Callable[[], None], Callable[[Received], None]], Connection]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """What a feed is doing.

    Attributes:
        problem: What is wrong, in a sentence; None if nothing is.
        in_hand: The number of messages that are received and not handled yet.
        set_aside: The number of messages that could not be handled and come again.
        contested: The client ids that this feed has left to somebody else within the last CALM_S.
        counts: Messages by what became of them.
    """

    name: str
    is_listening: bool
    problem: str | None
    in_hand: int
    set_aside: int
    contested: tuple[str, ...]
    counts: dict[Count, int]


@dataclass(frozen=True, slots=True)
class _Item:
    connection: Connection
    message: Received


def backoff_s(bounds_s: tuple[float, float], failures: int) -> float:
    """How long to wait after so many failures in a row (counted from 1): doubled each time, with jitter."""
    first_s, longest_s = bounds_s
    whole_s: float = min(longest_s, first_s * 2 ** min(failures - 1, 16))
    return whole_s * random.uniform(0.5, 1.0)  # noqa: S311 - jitter  # nosec B311


def _place(topic: str, places: int) -> int:
    """Which inbox takes a topic. All topics of a machine have the same one, so its messages stay in order."""
    return zlib.crc32(topic.rpartition("/")[0].encode()) % places


class Feed:
    """A thread that keeps a session open, and workers that call `handle(topic, payload)`.

    `handle` may raise BadMessage: the message is acknowledged and counted as refused. After StoreUnavailable it is
    tried until it succeeds, and acknowledged only then. Any other exception is a defect: the message is tried
    ATTEMPTS times and then set aside.

    Args:
        open_connection: Makes a connection, not yet run, with the given client id, `on_open` and `on_message`.
    """

    def __init__(
        self,
        name: str,
        client_id: ClientId,
        open_connection: OpenConnection,
        handle: Callable[[str, bytes], object],
        workers: int,
    ) -> None:
        self.name = name
        self._client_id = client_id
        self._open_connection = open_connection
        self._handle = handle
        self._stop = threading.Event()
        self._inboxes: list[SimpleQueue[_Item | None]] = [SimpleQueue() for _ in range(workers)]
        self._workers = [
            threading.Thread(target=self._work, args=(inbox,), name=f"listener-{name}-{number}", daemon=True)
            for number, inbox in enumerate(self._inboxes, 1)
        ]
        self._keeper = threading.Thread(target=self._keep_connected, name=f"listener-{name}", daemon=True)
        self._changed = threading.Condition()  # guards what follows
        self._connection: Connection | None = None
        self._text = "not connected yet"
        self._in_hand = 0
        self._set_aside = 0
        self._contested: dict[str, float] = {}  # since when, by `time.monotonic`
        self._without_store = 0
        self._counts: Counter[Count] = Counter()

    def start(self) -> None:
        """Start the threads. A feed is started only once."""
        for thread in (*self._workers, self._keeper):
            thread.start()

    def stop(self, deadline: float) -> None:
        """Finish and acknowledge what is under way, by `deadline`. The rest stays with the broker."""
        self._stop.set()
        if self._keeper.ident is None:
            return  # it was never started
        with self._changed:
            self._changed.notify_all()
        for inbox in self._inboxes:
            inbox.put(None)
        for worker in self._workers:
            worker.join(max(0.0, deadline - FLUSH_WITHIN_S - time.monotonic()))
        with self._changed:
            connection, self._text = self._connection, "stopped"
        if connection is not None:
            connection.close()
        self._keeper.join(max(0.0, deadline - time.monotonic()))

    @property
    def state(self) -> FeedState:
        """What it is doing now."""
        now_s = time.monotonic()
        with self._changed:
            connection = self._connection
            is_listening = connection is not None and connection.is_open
            problem: str | None = None
            if self._without_store:
                problem = f"the store cannot be reached, and {self._in_hand} messages wait for it"
            elif connection is None or not is_listening:
                problem = self._text
            elif connection.refusal:
                problem = connection.refusal
            elif self._set_aside:
                problem = f"{self._set_aside} messages could not be handled (see the log)"
            return FeedState(
                name=self.name,
                is_listening=is_listening,
                problem=problem,
                in_hand=self._in_hand,
                set_aside=self._set_aside,
                contested=tuple(text for text, at_s in self._contested.items() if now_s - at_s < CALM_S),
                counts=dict(self._counts),
            )

    # --- the thread that keeps the connection ------------------------------------------------------------

    def _keep_connected(self) -> None:
        failures = 0
        while self._is_ready_for_more():
            connection = self._open_connection(self._client_id.text, self._opened, self._take_in)
            with self._changed:
                self._connection, self._set_aside = connection, 0
            began = time.monotonic()
            connection.run()
            is_steady = connection.was_open and time.monotonic() - began > STEADY_S
            failures = 1 if is_steady else failures + 1
            if connection.thrown_off and self._is_contested(connection):
                failures = 1
            self._lost(connection, failures)

    def _is_ready_for_more(self) -> bool:
        """Wait until every received message is handled. False if it is time to stop."""
        with self._changed:
            while self._in_hand and not self._stop.is_set():
                self._changed.wait()
        return not self._stop.is_set()

    def _opened(self) -> None:
        connection = self._connection
        if connection is not None and connection.refusal:
            logger.error("%s: %s", self.name, connection.refusal)
        kept = connection is not None and connection.session_present
        logger.info("%s: listening, in %s", self.name, "the earlier session" if kept else "a new session")

    def _is_contested(self, connection: Connection) -> bool:
        """Whether somebody else keeps taking the client id. The next connection has a fresh one then."""
        now_s, taken_over = time.monotonic(), connection.cause is Cause.TAKEN_OVER
        if self._stop.is_set() or not self._client_id.lost(now_s, taken_over=taken_over):
            return False
        logger.error("%s: somebody else keeps taking the client id %s", self.name, connection.client_id)
        with self._changed:
            self._contested = {text: at_s for text, at_s in self._contested.items() if now_s - at_s < CALM_S}
            self._contested[connection.client_id] = now_s
        return True

    def _lost(self, connection: Connection, failures: int) -> None:
        """Log why, and wait for a while."""
        text = connection.end
        if connection.thrown_off and failures > 2:
            text += f", again. Does another process use the client id {connection.client_id}?"
        if self._stop.is_set():
            return
        with self._changed:
            self._text = text
        wait_s = backoff_s(RETURN_S if connection.thrown_off else RECONNECT_S, failures)
        logger.warning("%s: %s; next attempt in %.1f s", self.name, text, wait_s)
        self._stop.wait(wait_s)

    def _take_in(self, message: Received) -> None:
        """Put a message into its worker's inbox. The connection's thread calls this."""
        with self._changed:
            connection = self._connection
            if connection is None:
                return
            # The broker bounds messages of QoS 1, so there is always room for them. QoS 0 gets what is left.
            if message.qos == 0 and self._in_hand >= RECEIVE_MAXIMUM:
                self._counts["dropped"] += 1
                return
            if self._in_hand >= 2 * RECEIVE_MAXIMUM:
                connection.abort("the broker sends more at once than it may")
                return
            self._in_hand += 1
        self._inboxes[_place(message.topic, len(self._inboxes))].put(_Item(connection, message))

    # --- the workers -------------------------------------------------------------------------------------

    def _work(self, inbox: "SimpleQueue[_Item | None]") -> None:
        while (item := inbox.get()) is not None and not self._stop.is_set():
            if self._process(item.message) and item.message.qos > 0:
                item.connection.acknowledge(item.message.number)
            with self._changed:
                self._in_hand -= 1
                self._changed.notify_all()

    def _process(self, message: Received) -> bool:
        """Handle the message. Returns whether it may be acknowledged."""
        defects = waits = 0
        try:
            while not self._stop.is_set():
                try:
                    self._handle(message.topic, message.payload)
                except BadMessage as error:
                    self._refused(message, error)
                    return True
                except StoreUnavailable as error:
                    waits += 1
                    self._waits(message, error, waits)
                    self._stop.wait(backoff_s(STORE_RETRY_S, waits))
                except Exception:  # noqa: BLE001 - a defect must cost neither this thread nor the message
                    defects += 1
                    if defects == ATTEMPTS:
                        return self._failed(message)
                    self._stop.wait(ATTEMPT_PAUSE_S)
                else:
                    self._count("handled")
                    return True
            return False
        finally:
            if waits:
                with self._changed:
                    self._without_store -= 1

    def _count(self, what: Count) -> int:
        with self._changed:
            self._counts[what] += 1
            return self._counts[what]

    def _refused(self, message: Received, error: BadMessage) -> None:
        count = self._count("refused")
        if count <= 10 or count % 1000 == 0:  # otherwise anyone who may publish could fill the disk
            logger.warning("%s: refused a message on %s: %s (%d so far)", self.name, message.topic, error, count)

    def _waits(self, message: Received, error: StoreUnavailable, waits: int) -> None:
        self._count("retried")
        if waits == 1:
            with self._changed:
                self._without_store += 1
            logger.warning("%s: a message on %s waits for the store: %s", self.name, message.topic, error)

    def _failed(self, message: Received) -> bool:
        """Set a message aside after the last attempt, or give it up if there is no room."""
        with self._changed:
            self._counts["failed"] += 1
            is_kept = message.qos > 0 and self._set_aside < MAX_SET_ASIDE
            self._set_aside += is_kept
        fate = "it comes again at the next connection" if is_kept else "it is given up"
        logger.exception("%s: %r on %s cannot be handled; %s", self.name, message.payload, message.topic, fate)
        return not is_kept
