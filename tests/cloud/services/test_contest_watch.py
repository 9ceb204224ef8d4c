"""When it is told that somebody else takes this process's client ids, and when that is over."""

from dataclasses import dataclass, field

from arcade_cloud.services.alerts import NOTICED_EVERY_MS, Alerts
from arcade_cloud.services.contest_watch import ContestWatch
from support.memory_store import MemoryStore
from support.orders import NOW_MS

CALM_MS = 600_000


@dataclass
class Desk:
    """A process, the client ids that it has left of late, and what is told about it."""

    now_ms: int = NOW_MS
    contested: list[str] = field(default_factory=list)
    store: MemoryStore = field(default_factory=MemoryStore)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A new process."""
        self.watch = ContestWatch(
            alerts=Alerts(self.store, lambda: self.now_ms),
            name="host",
            contested=lambda: self.contested,
            calm_ms=CALM_MS,
            monotonic_ms=lambda: self.now_ms,
        )

    def tick(self, for_ms: int) -> list[str]:
        """Let time pass. What was told so far, oldest first."""
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            self.watch.run_once()
            self.now_ms += 500
        return ["end" if alert.recovers else "begin" for alert in reversed(self.store.recent_alerts(100))]


def test_it_is_told_at_once_and_once_with_the_id_and_what_to_do_and_so_is_the_end() -> None:
    desk = Desk()
    assert desk.tick(3_600_000) == []
    desk.contested = ["arcade-cloud-acks-host-0123"]
    assert desk.tick(500) == ["begin"]
    (begun,) = desk.store.recent_alerts(9)
    assert (begun.kind, begun.subject, begun.lasts) == ("taken_over", "cloud on host", True)
    assert "arcade-cloud-acks-host-0123" in begun.text
    assert "MQTT_LISTENER_ID" in begun.text
    assert desk.tick(3_600_000) == ["begin"]
    desk.contested = []
    assert desk.tick(500) == ["begin", "end"]
    assert desk.tick(3_600_000) == ["begin", "end"]
    desk.contested = ["arcade-cloud-acks-host-4567"]
    assert desk.tick(500) == ["begin", "end", "begin"]


def test_while_it_lasts_it_is_noticed_now_and_then_and_not_at_every_pass() -> None:
    desk = Desk(contested=["one"])
    desk.tick(500)
    desk.store.unavailable = True
    for _ in range(NOTICED_EVERY_MS // 500 - 1):
        desk.watch.run_once()  # it asks the store for nothing
        desk.now_ms += 500
    desk.store.unavailable = False
    desk.tick(1_000)
    (begun,) = desk.store.recent_alerts(9)
    assert begun.noticed_at_ms is not None
    assert begun.noticed_at_ms - begun.at_ms >= NOTICED_EVERY_MS


def test_what_an_earlier_process_told_ends_once_this_one_was_left_alone_for_as_long() -> None:
    desk = Desk(contested=["one"])
    assert desk.tick(500) == ["begin"]
    desk.contested = []
    desk.start()
    assert desk.tick(CALM_MS) == ["begin"]
    assert desk.tick(1_000) == ["begin", "end"]
