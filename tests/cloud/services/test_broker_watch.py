"""When trouble with the broker is told, and when that is over."""

from dataclasses import dataclass, field

from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.broker_watch import GRACE_MS, TRY_EVERY_MS, BrokerWatch
from arcade_cloud.services.sender import Sender
from support.fake_broker import FakeBroker
from support.memory_store import MemoryStore
from support.orders import NOW_MS


@dataclass
class Desk:
    """A process with a broker that works or does not, and what is told about it."""

    now_ms: int = NOW_MS
    problems: list[str] = field(default_factory=list)
    is_answered: bool = True
    store: MemoryStore = field(default_factory=MemoryStore)
    broker: FakeBroker = field(default_factory=FakeBroker)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A new process."""
        keyring = Keyring(["0123456789abcdef" * 4])
        sender = Sender(store=self.store, broker=self.broker, keyring=keyring, now_ms=lambda: self.now_ms)
        self.watch = BrokerWatch(
            alerts=Alerts(self.store, lambda: self.now_ms),
            sender=sender,
            monotonic_ms=lambda: self.now_ms,
            name="host",
            problems=lambda: self.problems,
            is_answered=lambda: self.is_answered,
        )

    def tick(self, for_ms: int) -> list[str]:
        """Let time pass. What was told so far, oldest first."""
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            self.watch.run_once()
            self.now_ms += 500
        return ["end" if alert.recovers else "begin" for alert in reversed(self.store.recent_alerts(100))]


def test_trouble_is_told_after_the_grace_and_its_end_at_once() -> None:
    desk = Desk()
    assert desk.tick(10_000) == []
    desk.problems = ["nobody listens"]
    assert desk.tick(GRACE_MS - 1_000) == []
    assert desk.tick(2_000) == ["begin"]
    assert desk.tick(3_600_000) == ["begin"]
    desk.problems = []
    assert desk.tick(1_000) == ["begin", "end"]
    assert desk.tick(GRACE_MS) == ["begin", "end"]


def test_short_troubles_are_told_to_nobody() -> None:
    desk = Desk()
    for _ in range(5):
        desk.problems = ["lost"]
        desk.tick(GRACE_MS - 1_000)
        desk.problems = []
        assert desk.tick(1_000) == []


def test_a_new_process_ends_what_the_last_one_began_only_when_the_broker_has_answered() -> None:
    desk = Desk(problems=["login"], is_answered=False)
    assert desk.tick(GRACE_MS + 1_000) == ["begin"]
    desk.start()
    desk.problems = []
    assert desk.tick(60_000) == ["begin"]
    desk.is_answered = True
    assert desk.tick(1_000) == ["begin", "end"]


def test_until_the_broker_answers_a_message_is_sent_now_and_then() -> None:
    desk = Desk(is_answered=False)
    desk.tick(3 * TRY_EVERY_MS)
    assert len(desk.broker.sent) == 3
    desk.is_answered = True
    desk.tick(3 * TRY_EVERY_MS)
    assert len(desk.broker.sent) == 3
