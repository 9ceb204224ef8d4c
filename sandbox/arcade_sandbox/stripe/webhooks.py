"""Signed delivery of the stand-in's events to webhook endpoints: retries, and on demand all that can go wrong.

Threads: `concurrency` workers take what is due from one bounded queue, ordered by time. They are the only ones
that talk to the endpoints, and they lend their heartbeat to what else depends on time.
"""

import heapq
import json
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe.sender import ANSWER_TIMEOUT_S, Receiver, Sender

Json = dict[str, Any]

# docs.stripe.com/webhooks#retries: up to three days in live mode.
RETRY_FOR_S = 3 * 86_400
# An hour's outage of a busy bench; what comes beyond is recorded as overflown, never waited for.
MAX_QUEUED = 100_000
MAX_LOGGED = 20_000
MAX_COPIES = 20
_HEARTBEAT_S = 0.5


class SandboxClock:
    """The wall clock or another one, plus what the sandbox was told to skip. Seconds since the epoch.

    Attributes:
        date_off_s: How far the `Date` of the API's answers is ahead: as seen by callers whose clocks are behind.
    """

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self._now_s = now_s
        self._skipped_s = 0.0
        self.date_off_s = 0.0

    def now_s(self) -> float:
        """The sandbox's time."""
        return self._now_s() + self._skipped_s

    def date_s(self) -> float:
        """The time that the `Date` of an answer says. It knows nothing of what was skipped: no time has passed."""
        return self._now_s() + self.date_off_s

    def skip(self, seconds: float) -> None:
        """Let time jump ahead.

        Raises:
            SandboxMisuse: The time is negative, or more than ten years.
        """
        if not 0 <= seconds <= 10 * 366 * 86_400:
            raise SandboxMisuse("the clock can be moved ahead by 0 s to ten years")
        self._skipped_s += seconds


@dataclass(frozen=True)
class DeliverySettings:
    """What goes wrong with deliveries.

    Attributes:
        reorder_seed: Spreads them over `reorder_window_s` at random.
    """

    copies: int = 1
    delay_s: float = 0.0
    reorder_seed: int | None = None
    reorder_window_s: float = 0.3
    drop: frozenset[str] = frozenset()
    paused: bool = False


@dataclass(frozen=True, order=True)
class _Attempt:
    due_s: float
    turn: int
    event: Json = field(compare=False)
    receiver: Receiver = field(compare=False)
    number: int = field(compare=False)


class WebhookDelivery:
    """The queue, its workers, and the record of what was sent. Thread-safe."""

    def __init__(
        self,
        clock: SandboxClock,
        *,
        concurrency: int,
        retry_base_s: float,
        retry_cap_s: float,
        heartbeat: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._retry_base_s = retry_base_s
        self._retry_cap_s = retry_cap_s
        self._heartbeat = heartbeat
        self._changed = threading.Condition()
        self._queue: list[_Attempt] = []
        self._turn = 0
        self._in_hand = 0
        self._overflown = 0
        self._unanswered: dict[str, int] = {}
        self._log: deque[Json] = deque(maxlen=MAX_LOGGED)
        self._dropped: deque[str] = deque(maxlen=MAX_QUEUED)
        self._receivers: tuple[Receiver, ...] = ()
        self._settings = DeliverySettings()
        self._random = random.Random(0)  # noqa: S311 - it shuffles, and must be repeatable  # nosec B311
        self._stopping = False
        self._sender = Sender()
        self._workers = [
            threading.Thread(target=self._work, name=f"sandbox-webhooks-{number}", daemon=True)
            for number in range(concurrency)
        ]

    def start(self) -> None:
        """Start the workers."""
        for worker in self._workers:
            worker.start()

    def stop(self) -> None:
        """Break off what is being sent and end the workers."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._sender.stop()
        for worker in self._workers:
            if worker.ident is not None:
                worker.join(ANSWER_TIMEOUT_S + 2)

    def set_receivers(self, receivers: Iterable[Receiver]) -> None:
        """Deliver to these from now on, also what is being retried.

        Raises:
            SandboxMisuse: An address is not an http or https address, or a secret is empty.
        """
        chosen = tuple(receivers)
        for receiver in chosen:
            parts = urlsplit(receiver.url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise SandboxMisuse(f"a webhook address must start with http:// or https://: {receiver.url!r}")
            if not receiver.secret:
                raise SandboxMisuse("a webhook secret must not be empty")
        with self._changed:
            self._receivers = chosen

    @property
    def settings(self) -> DeliverySettings:
        """The settings in force."""
        with self._changed:
            return self._settings

    def configure(self, **changes: Any) -> DeliverySettings:
        """Change some settings.

        Returns:
            All settings.

        Raises:
            SandboxMisuse: A setting is unknown or out of range.
        """
        with self._changed:
            try:
                settings = replace(self._settings, **changes)
            except TypeError as error:
                raise SandboxMisuse(f"unknown delivery setting: {error}") from error
            if not 1 <= settings.copies <= MAX_COPIES:
                raise SandboxMisuse(f"copies must be 1 to {MAX_COPIES}")
            if not 0 <= settings.delay_s <= RETRY_FOR_S or not 0 <= settings.reorder_window_s <= 3600:
                raise SandboxMisuse("delay_s must be 0 to three days, reorder_window_s 0 to 3600")
            if "reorder_seed" in changes:
                self._random = random.Random(changes["reorder_seed"])  # noqa: S311 - likewise  # nosec B311
            self._settings = settings
            self._changed.notify_all()
            return settings

    def offer(self, event: Json) -> None:
        """Queue a fresh event for every endpoint, as the settings say."""
        with self._changed:
            if event["type"] in self._settings.drop:
                self._dropped.append(event["id"])
                self._record(event, "", 0, error="dropped on demand")
                return
            event["pending_webhooks"] = len(self._receivers)
            if self._receivers:
                self._unanswered[event["id"]] = len(self._receivers)
            for receiver in self._receivers:
                for copy_number in range(self._settings.copies):
                    self._push(event, receiver, 1 if copy_number == 0 else 2, self._settings.delay_s)

    def redeliver(self, event: Json) -> None:
        """Send an event once more to every endpoint, whatever became of it before, and whatever is dropped."""
        with self._changed:
            for receiver in self._receivers:
                self._push(event, receiver, 2, 0.0)

    def _push(self, event: Json, receiver: Receiver, number: int, delay_s: float) -> None:
        if len(self._queue) >= MAX_QUEUED:
            self._overflown += 1
            self._record(event, receiver.url, number, error="the queue is full")
            if number == 1:
                self._first_answer(event["id"])
            return
        jitter_s = 0.0
        if self._settings.reorder_seed is not None:
            jitter_s = self._random.uniform(0, self._settings.reorder_window_s)
        self._turn += 1
        heapq.heappush(
            self._queue, _Attempt(self._clock.now_s() + delay_s + jitter_s, self._turn, event, receiver, number)
        )
        self._changed.notify_all()

    def wake(self) -> None:
        """Look at the clock again: it has jumped."""
        with self._changed:
            self._changed.notify_all()

    def wait_answered(self, event_id: str, timeout_s: float) -> bool:
        """Wait for the first answer of every endpoint to this event; at once true where nobody is asked.

        While deliveries are paused nobody waits: it returns False.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: event_id not in self._unanswered or self._settings.paused or self._stopping, timeout_s
            ) and (event_id not in self._unanswered)

    def wait_idle(self, timeout_s: float) -> bool:
        """Wait until nothing is queued or being sent; whether it came to that."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._queue and not self._in_hand, timeout_s)

    def report(self) -> Json:
        """What is queued, what was sent with which result, and which events were dropped; oldest first."""
        with self._changed:
            return {
                "receivers": [receiver.url for receiver in self._receivers],
                "queued": len(self._queue),
                "overflown": self._overflown,
                "settings": {
                    "copies": self._settings.copies,
                    "delay_s": self._settings.delay_s,
                    "reorder_seed": self._settings.reorder_seed,
                    "reorder_window_s": self._settings.reorder_window_s,
                    "drop": sorted(self._settings.drop),
                    "paused": self._settings.paused,
                },
                "sent": list(self._log),
                "dropped": list(self._dropped),
            }

    def _work(self) -> None:
        while True:
            self._heartbeat()
            with self._changed:
                if self._stopping:
                    return
                attempt = self._take()
                if attempt is None:
                    continue
            try:
                self._send(attempt)
            finally:
                with self._changed:
                    self._in_hand -= 1
                    self._changed.notify_all()

    def _take(self) -> _Attempt | None:
        """The next attempt if one is due; otherwise wait a little and return None."""
        now_s = self._clock.now_s()
        wait_s = _HEARTBEAT_S
        if self._queue and not self._settings.paused:
            wait_s = self._queue[0].due_s - now_s
        if wait_s > 0:
            self._changed.wait(min(wait_s, _HEARTBEAT_S))
            return None
        self._in_hand += 1
        return heapq.heappop(self._queue)

    def _send(self, attempt: _Attempt) -> None:
        event, receiver = attempt.event, attempt.receiver
        with self._changed:
            known = receiver in self._receivers
        if known:
            status, error = self._sender.post(receiver, json.dumps(event, indent=2, ensure_ascii=False).encode())
        else:
            status, error = None, "endpoint removed"
        with self._changed:
            self._record(event, receiver.url, attempt.number, status=status, error=error)
            if attempt.number == 1:
                self._first_answer(event["id"])
            if status is not None and 200 <= status < 300:
                event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
            elif known and self._clock.now_s() - event["created"] < RETRY_FOR_S:
                pause_s = min(self._retry_cap_s, self._retry_base_s * 2 ** min(attempt.number - 1, 30))
                self._push(event, receiver, attempt.number + 1, pause_s)

    def _first_answer(self, event_id: str) -> None:
        left = self._unanswered.pop(event_id, 1) - 1
        if left > 0:
            self._unanswered[event_id] = left

    def _record(
        self, event: Json, url: str, number: int, *, status: int | None = None, error: str | None = None
    ) -> None:
        self._log.append(
            {
                "event": event["id"],
                "type": event["type"],
                "to": url,
                "attempt": number,
                "status": status,
                "error": error,
                "at": int(self._clock.now_s()),
            }
        )
