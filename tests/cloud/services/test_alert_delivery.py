"""Each alert reaches each receiver, and none waits for a receiver, or an alert, that is no use."""

from collections.abc import Sequence
from datetime import UTC

import pytest

from arcade_cloud.domain import alerts
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.quiet_hours import QuietHours, parse_quiet_hours
from arcade_cloud.errors import Conflict
from arcade_cloud.services.alert_delivery import GIVEN_UP_MS, LATE_MS, MESSAGES_PER_PASS, AlertDelivery
from arcade_cloud.services.alerts import Alerts
from support.memory_store import MemoryStore
from support.orders import NOW_MS

HOUR_MS = 3_600_000


class Person:
    """Takes alerts, but for those and for the time that a test says."""

    setting = "ALERT_URLS"
    is_quiet_at_night = False

    def __init__(self, name: str = "ana", at_once: int = 3) -> None:
        self.name, self.at_once = name, at_once
        self.away = False
        self.refuses: set[str] = set()
        self.messages: list[list[str]] = []
        self.tried = 0

    def post(self, message: Sequence[Alert]) -> bool:
        self.tried += 1
        assert 0 < len(message) <= self.at_once
        ids = [alert.alert_id for alert in message]
        if self.away or self.refuses & set(ids):
            return False
        self.messages.append(ids)
        return True

    @property
    def got(self) -> list[str]:
        return [alert_id for message in self.messages for alert_id in message]


class World:
    def __init__(self, *receivers: Person) -> None:
        self.store, self.now_ms, self.receivers = MemoryStore(), NOW_MS, receivers
        self.alerts = Alerts(self.store, lambda: self.now_ms)
        self.quiet_hours: QuietHours | None = None
        self.restart()

    def restart(self) -> None:
        """Another process, which remembers nothing."""
        self.delivery = AlertDelivery(
            self.store, self.alerts, self.receivers, lambda: self.now_ms, self.quiet_hours
        )

    def happens(self, *subjects: str) -> list[str]:
        found = [alerts.alert("loss", subject, "text", self.now_ms) for subject in subjects]
        for alert in found:
            self.store.raise_alert(alert)
        return [alert.alert_id for alert in found]

    def pass_by(self, ms: int, every_ms: int = 60_000) -> None:
        """Let the timer look again and again, for so long."""
        until_ms = self.now_ms + ms
        while self.now_ms < until_ms:
            self.now_ms += every_ms
            self.delivery.run_once()

    @property
    def unsent(self) -> list[str]:
        return [alert.alert_id for alert in self.store.unsent_alerts(1000)]


def test_several_that_wait_go_in_one_message_and_none_goes_twice() -> None:
    ana = Person()
    world = World(ana)
    ids = world.happens("o-1", "o-2", "o-3", "o-4")
    world.delivery.run_once()
    assert ana.messages == [ids[:3], ids[3:]]
    world.pass_by(HOUR_MS)
    assert ana.got == ids
    assert world.unsent == []


def test_one_who_is_away_holds_up_nobody_and_gets_all_later() -> None:
    ana, ben = Person("ana"), Person("ben", at_once=1)
    world = World(ana, ben)
    ana.away = True
    first = world.happens("o-1", "o-2")
    world.pass_by(10 * 60_000)
    later = world.happens("o-3")
    world.pass_by(10 * 60_000)
    assert [alert for alert in ben.got if alert.startswith("loss")] == first + later
    assert ana.got == []
    world.restart()
    ana.away = False
    world.pass_by(2 * HOUR_MS)
    assert set(ana.got) >= {*first, *later}
    assert len(ana.got) == len(set(ana.got))
    assert [alert for alert in ben.got if alert.startswith("loss")] == first + later
    assert world.unsent == []


def test_an_alert_that_is_refused_for_good_holds_up_no_other() -> None:
    """It goes alone after its first failure; another in the same message is told with the next one."""
    ana = Person()
    world = World(ana)
    bad, good = world.happens("o-1", "o-2")
    ana.refuses = {bad}
    world.pass_by(5 * 60_000)
    assert ana.got == [good]
    assert world.unsent == [bad]
    later = world.happens(*(f"o-{number}" for number in range(10, 40)))
    world.pass_by(10 * 60_000)
    assert set(ana.got) == {good, *later}


def test_what_nobody_takes_is_given_up_after_days_of_trying() -> None:
    ana = Person()
    world = World(ana)
    (bad,) = world.happens("o-1")
    ana.refuses = {bad}
    world.pass_by(GIVEN_UP_MS - HOUR_MS, HOUR_MS)
    assert world.unsent[:1] == [bad]
    world.pass_by(3 * HOUR_MS, HOUR_MS)
    assert bad not in world.unsent
    standing = [alert.alert_id for alert in world.store.standing_alerts(10)]
    assert bad in standing
    assert len(standing) <= 4  # and it was told once a day that one is not taken
    assert bad in (world.store.alert(standing[-2]) or pytest.fail("gone")).text


def test_an_old_alert_is_tried_before_it_is_given_up() -> None:
    """After a cloud that was down for a week."""
    ana = Person()
    world = World(ana)
    ids = world.happens("o-1")
    world.now_ms += 2 * GIVEN_UP_MS
    world.delivery.run_once()
    assert ana.got == ids


def test_a_receiver_that_takes_nothing_is_an_alert_to_the_others_until_it_does() -> None:
    ana, ben = Person("ana"), Person("ben")
    world = World(ana, ben)
    ana.away = True
    world.happens("o-1")
    world.pass_by(LATE_MS - 120_000)
    assert not [alert for alert in ben.got if alert.startswith("alert_receiver")]
    world.pass_by(LATE_MS)
    (lasting,) = [alert for alert in world.store.standing_alerts(10) if alert.condition]
    assert (lasting.kind, lasting.subject) == ("alert_receiver", "ana")
    assert "ALERT_URLS" in lasting.text
    assert lasting.alert_id in ben.got
    world.restart()  # the process that began it is gone
    ana.away = False
    world.pass_by(HOUR_MS)
    assert world.store.lasting_alert("alert_receiver", "ana") is None
    assert f"{lasting.alert_id}:ended" in ben.got


def test_one_that_is_away_is_asked_less_and_less_often() -> None:
    ana = Person(at_once=1)
    world = World(ana)
    ana.away = True
    world.happens(*(f"o-{number}" for number in range(100)))
    world.pass_by(HOUR_MS, 1_000)
    assert ana.tried < 25


def test_one_message_goes_even_when_the_time_is_over_and_no_second() -> None:
    ana, ben = Person("ana", at_once=1), Person("ben", at_once=1)
    world = World(ana, ben)
    world.happens("o-1", "o-2")
    world.delivery.run_once(until_ms=world.now_ms)
    assert ana.tried + ben.tried == 1
    for _ in range(3):
        world.delivery.run_once(until_ms=world.now_ms)
    assert (len(ana.got), len(ben.got), world.unsent) == (2, 2, [])


def test_a_pass_has_its_bound() -> None:
    ana = Person(at_once=1)
    world = World(ana)
    world.happens(*(f"o-{number}" for number in range(50)))
    world.delivery.run_once()
    assert ana.tried == MESSAGES_PER_PASS


def test_who_has_it_is_remembered_whoever_changes_the_alert_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    ana, ben = Person("ana"), Person("ben")
    world = World(ana, ben)
    ben.away = True
    (alert_id,) = world.happens("o-1")
    change, conflicts = world.store.change_alert, [True]

    def somebody_was_first(before: Alert, after: Alert, recovery: Alert | None = None) -> None:
        if conflicts and "ana" in after.told:
            conflicts.pop()
            world.alerts.acknowledge(alert_id, "cleo")
            raise Conflict("changed meanwhile")
        change(before, after, recovery)

    monkeypatch.setattr(world.store, "change_alert", somebody_was_first)
    world.delivery.run_once()
    found = world.store.alert(alert_id)
    assert found is not None
    assert (found.told, found.acknowledged_by) == (("ana",), "cleo")


def test_at_night_people_are_told_what_cannot_wait_and_the_rest_in_the_morning() -> None:
    """It is 14:13 when it begins."""
    ana, software = Person("ana"), Person("software", at_once=1)
    ana.is_quiet_at_night = True
    world = World(ana, software)
    world.quiet_hours = parse_quiet_hours("14:00-20:00", UTC)
    world.restart()
    (loss,) = world.happens("o-1")
    world.alerts.begin("machine_silent", "cab-01", "text")
    world.alerts.end("machine_silent", "cab-01", "text")
    world.alerts.begin("broker", "cloud", "text")
    world.pass_by(HOUR_MS)
    assert [alert.partition(":")[0] for alert in ana.got] == ["broker"]
    assert len(software.got) == 4
    world.restart()
    world.pass_by(8 * HOUR_MS)
    assert [alert.partition(":")[0] for alert in ana.got] == ["broker", "loss", "machine_silent", "machine_silent"]
    assert len(ana.messages) == 2
    assert (software.got.count(loss), world.unsent) == (1, [])


def test_what_people_are_told_in_the_morning_is_not_late() -> None:
    ana = Person()
    ana.is_quiet_at_night = True
    world = World(ana)
    world.quiet_hours = parse_quiet_hours("14:00-20:00", UTC)
    world.restart()
    world.happens("o-1")
    ana.away = True
    while world.quiet_hours.lasts(world.now_ms):
        world.pass_by(60_000)
    world.pass_by(LATE_MS - 120_000)
    assert world.store.lasting_alert("alert_receiver", "ana") is None
    world.pass_by(HOUR_MS)
    assert world.store.lasting_alert("alert_receiver", "ana") is not None
