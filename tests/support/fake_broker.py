"""The broker in memory, for fast tests of what publishes: it answers as it is told, and keeps what was sent."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from arcade_cloud.domain.events import Outcome

Delivery = Literal["now", "later", "never"]

_USUAL: dict[Outcome, Delivery] = {
    Outcome.CONFIRMED: "now",
    Outcome.NOBODY: "never",
    Outcome.REFUSED: "never",
    Outcome.UNKNOWN: "never",
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One call of `publish`, what it answered, and when it was delivered."""

    topic: str
    payload: bytes
    expiry_s: int
    outcome: Outcome
    delivery: Delivery


@dataclass(frozen=True, slots=True)
class _Rule:
    topic_filter: str
    outcome: Outcome
    delivery: Delivery


def matches(topic_filter: str, topic: str) -> bool:
    """Whether an MQTT filter matches a topic."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted, levels = wanted[:-1], levels[: len(wanted) - 1]
    return len(wanted) == len(levels) and all(a in {"+", b} for a, b in zip(wanted, levels, strict=True))


class FakeBroker:
    """`ports.messaging.Broker` in memory. Safe to use from many threads.

    Without a rule a message is delivered to all who listen: CONFIRMED, or NOBODY if there is none. While `is_down`
    nothing can be sent: REFUSED. An UNKNOWN message may be delivered now, later (at `release`) or never.
    """

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.is_down = False
        self._rules: list[_Rule] = []
        self._listeners: list[tuple[str, Callable[[str, bytes], object]]] = []
        self._held: list[tuple[str, bytes]] = []
        self._lock = threading.RLock()

    def listen(self, topic_filter: str, receive: Callable[[str, bytes], object]) -> None:
        """Have `receive(topic, payload)` called for every message delivered, by the thread that publishes."""
        with self._lock:
            self._listeners.append((topic_filter, receive))

    def answer(self, topic_filter: str, outcome: Outcome, delivery: Delivery | None = None) -> None:
        """From now on answer with `outcome` to what matches. The latest rule wins. Raises ValueError for a lie."""
        chosen = _USUAL[outcome] if delivery is None else delivery
        if outcome is not Outcome.UNKNOWN and chosen != _USUAL[outcome]:
            raise ValueError(f"no broker says {outcome} of what is delivered {chosen}")
        with self._lock:
            self._rules.insert(0, _Rule(topic_filter, outcome, chosen))

    def answer_truthfully(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def release(self) -> int:
        """Deliver what was to be delivered later; how many messages it was."""
        with self._lock:
            held, self._held = self._held, []
        for topic, payload in held:
            self._deliver(topic, payload)
        return len(held)

    def on(self, topic_filter: str) -> list[Sent]:
        """What was sent to topics that match, in order."""
        with self._lock:
            return [sent for sent in self.sent if matches(topic_filter, sent.topic)]

    def publish(self, topic: str, payload: bytes, *, expiry_s: int) -> Outcome:
        with self._lock:
            rule = next((rule for rule in self._rules if matches(rule.topic_filter, topic)), None)
            heard = any(matches(topic_filter, topic) for topic_filter, _ in self._listeners)
            outcome = Outcome.CONFIRMED if heard else Outcome.NOBODY
            if self.is_down:
                rule = _Rule(topic, Outcome.REFUSED, "never")
            delivery = _USUAL[outcome] if rule is None else rule.delivery
            outcome = outcome if rule is None else rule.outcome
            self.sent.append(Sent(topic, payload, expiry_s, outcome, delivery))
            if delivery == "later":
                self._held.append((topic, payload))
        if delivery == "now":
            self._deliver(topic, payload)
        return outcome

    def _deliver(self, topic: str, payload: bytes) -> None:
        for topic_filter, receive in list(self._listeners):
            if matches(topic_filter, topic):
                receive(topic, payload)
