"""One session at the broker with its workers: what it receives is acknowledged only when it is dealt with.

What has been received stays unacknowledged, at most RECEIVE_MAXIMUM messages of it: then the broker waits. A feed
reconnects only when all of that is dealt with, so nothing comes a second time while the first is still waiting.
A message that comes again all the same is handled again: whoever handles it must not mind.
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

from arcade_cloud.errors import StoreUnavailable
from arcade_shared.errors import BadMessage
from arcade_shared.mqtt import FLUSH_WITHIN_S, Connection, Received

logger = logging.getLogger(__name__)

# What one feed may have received and not acknowledged: enough to keep its workers busy at 30 ms to the broker.
RECEIVE_MAXIMUM = 100
# The store is away: first wait, longest wait.
STORE_RETRY_S = (0.1, 5.0)
# A defect in what handles the message: tried this often, this far apart, then set aside.
ATTEMPTS = 3
ATTEMPT_PAUSE_S = 0.2
# What no attempt could handle stays unacknowledged, so that it comes again at the next connection: to a program
# that is mended. More than this would leave too little room for others; from then on it is given up.
MAX_SET_ASIDE = RECEIVE_MAXIMUM // 4
# Reconnecting: first wait, longest wait. A connection that lasted for STEADY_S begins with the first again.
RECONNECT_S = (0.25, 30.0)
STEADY_S = 60.0

OpenConnection = Callable[[Callable[[], None], Callable[[Received], None]], Connection]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """What a feed is doing. `problem` says in a sentence what is wrong; None if all is well.

    `in_hand`: received, and not yet dealt with. `set_aside`: could not be handled, comes again. `counts`: handled,
    refused (no message of ours), failed (defects), retried (the store was away), dropped (QoS 0 without room).
    """

    name: str
    is_listening: bool
    problem: str | None
    in_hand: int
    set_aside: int
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class _Item:
    connection: Connection
    message: Received


def backoff_s(bounds_s: tuple[float, float], failures: int) -> float:
    """How long to wait after so many failures in a row (from 1): doubled each time, and spread."""
    first_s, longest_s = bounds_s
    whole_s: float = min(longest_s, first_s * 2 ** min(failures - 1, 16))
    return whole_s * random.uniform(0.5, 1.0)  # noqa: S311 - only to spread  # nosec B311


def _place(topic: str, places: int) -> int:
    """All topics of a machine have the same place, so that its messages are handled in their order."""
    return zlib.crc32(topic.rpartition("/")[0].encode()) % places


class Feed:
    """A thread that keeps a session open, and workers that call `handle(topic, payload)`.

    `open_connection` makes the connection (not yet run) with the given `on_open` and `on_message`. `handle` may
    raise BadMessage (refused: acknowledged and counted), StoreUnavailable (tried again until it succeeds, and not
    acknowledged before), or anything else, which is a defect: tried ATTEMPTS times and set aside.
    """

    def __init__(
        self, name: str, open_connection: OpenConnection, handle: Callable[[str, bytes], object], workers: int
    ) -> None:
        self.name = name
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
        self._text = "not started"
        self._in_hand = 0
        self._set_aside = 0
        self._without_store = 0
        self._counts: Counter[str] = Counter()

    def start(self) -> None:
        """Start the threads; a feed is started once."""
        for thread in (*self._workers, self._keeper):
            thread.start()

    def stop(self, deadline: float) -> None:
        """Finish what is under way and acknowledge it; the rest stays with the broker. Back by `deadline`."""
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
        with self._changed:
            connection = self._connection
            is_listening = connection is not None and connection.is_open
            problem: str | None = None
            if self._without_store:
                problem = f"the store can't be reached, and {self._in_hand} messages wait for it"
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
                counts=dict(self._counts),
            )

    # --- the thread that keeps the connection ------------------------------------------------------------

    def _keep_connected(self) -> None:
        failures = 0
        while self._is_ready_for_more():
            connection = self._open_connection(self._opened, self._take_in)
            with self._changed:
                self._connection, self._text, self._set_aside = connection, "connecting", 0
            began = time.monotonic()
            connection.run()
            is_steady = connection.was_open and time.monotonic() - began > STEADY_S
            failures = 1 if is_steady else failures + 1
            self._lost(connection, failures)

    def _is_ready_for_more(self) -> bool:
        """Wait until everything received is dealt with; False if it is time to stop."""
        with self._changed:
            while self._in_hand and not self._stop.is_set():
                self._changed.wait()
        return not self._stop.is_set()

    def _opened(self) -> None:
        connection = self._connection
        if connection is not None and connection.refusal:
            logger.error("%s: %s", self.name, connection.refusal)
        kept = connection is not None and connection.session_present
        logger.info("%s: listening, in %s", self.name, "the session of before" if kept else "a new session")

    def _lost(self, connection: Connection, failures: int) -> None:
        """Say why, and wait for a while."""
        text = connection.end
        if connection.was_open and failures > 2:
            text += f", again. Does another process use the client id {connection.client_id}?"
        if self._stop.is_set():
            return
        with self._changed:
            self._text = text
        wait_s = backoff_s(RECONNECT_S, failures)
        logger.warning("%s: %s; next attempt in %.1f s", self.name, text, wait_s)
        self._stop.wait(wait_s)

    def _take_in(self, message: Received) -> None:
        """Called by the connection's thread for every message: it is put where a worker finds it."""
        with self._changed:
            connection = self._connection
            if connection is None:
                return
            # Of QoS 1 the broker keeps count, so there is always room; QoS 0 gets what is left.
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
            if self._deal_with(item.message) and item.message.qos > 0:
                item.connection.acknowledge(item.message.number)
            with self._changed:
                self._in_hand -= 1
                self._changed.notify_all()

    def _deal_with(self, message: Received) -> bool:
        """Have the message handled. Whether it may be acknowledged."""
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

    def _count(self, word: str) -> int:
        with self._changed:
            self._counts[word] += 1
            return self._counts[word]

    def _refused(self, message: Received, error: BadMessage) -> None:
        count = self._count("refused")
        if count <= 10 or count % 1000 == 0:  # else whoever may publish could fill the disk
            logger.warning("%s: refused a message on %s: %s (%d so far)", self.name, message.topic, error, count)

    def _waits(self, message: Received, error: StoreUnavailable, waits: int) -> None:
        self._count("retried")
        if waits == 1:
            with self._changed:
                self._without_store += 1
            logger.warning("%s: a message on %s waits for the store: %s", self.name, message.topic, error)

    def _failed(self, message: Received) -> bool:
        """No attempt succeeded: the broker keeps the message while there is room for such; else it is lost."""
        with self._changed:
            self._counts["failed"] += 1
            is_kept = message.qos > 0 and self._set_aside < MAX_SET_ASIDE
            self._set_aside += is_kept
        fate = "it comes again at the next connection" if is_kept else "it is given up"
        logger.exception("%s: nothing could handle %r on %s; %s", self.name, message.payload, message.topic, fate)
        return not is_kept
