"""A machine that falls silent is told once, and again when it is heard; a deaf cloud accuses nobody."""

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest

from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.machines import ECHO_EVERY_MS, HEARS_FOR_MS, Machine, Presence, put_off_after_ms
from arcade_cloud.domain.outbox import Endpoint
from arcade_cloud.errors import InvariantBroken
from arcade_cloud.ports.store import Store
from arcade_cloud.services import watches
from arcade_shared.errors import BadMessage
from arcade_shared.times import format_ms
from arcade_shared.topics import ECHO
from simulation.account_payments import AccountPayments
from support.mortal_cloud import MACHINE, Killed, MortalCloud

SILENT_S = 600
SILENT_MS = SILENT_S * 1000
# Until then an alert is there: the limit, and the proof that the cloud hears.
TOLD_MS = SILENT_MS + HEARS_FOR_MS + 2 * ECHO_EVERY_MS


class Watching:
    """A cloud that watches its one machine, in simulated time; `deaf` is the way back from the broker."""

    def __init__(self) -> None:
        self.world = MortalCloud(payments=AccountPayments)
        self.restart()
        self.world.now_ms += 1
        self.world.machine.say_status()
        self.tick(0)

    def restart(self) -> None:
        self.world.start(machine_silent_s=SILENT_S)

    def hear(self) -> None:
        while self.world.to_cloud:
            message = self.world.to_cloud.popleft()
            if not self.world.deaf:
                with suppress(BadMessage):  # an echo from the future is left
                    self.world.messages.take_in(*message)

    def tick(self, for_ms: int, *, says: bool = False) -> None:
        """Let time pass, in steps of ten seconds, with the timer at each."""
        end_ms = self.world.now_ms + for_ms
        while True:
            if says and self.world.now_ms % 30_000 < 10_000:
                self.world.machine.say_status()
            self.hear()
            self.world.services.watch.run_once()
            self.hear()
            if self.world.now_ms >= end_ms:
                return
            self.world.now_ms += 10_000

    @property
    def told(self) -> list[tuple[str, str]]:
        """What was told, oldest first: the kind, and whether it began or ended."""
        found = reversed(self.world.store.recent_alerts(100))
        return [(alert.kind, "ended" if alert.recovers else "began") for alert in found]

    @property
    def accused(self) -> bool:
        return self.world.store.lasting_alert("machine_silent", MACHINE) is not None


@pytest.fixture
def watching() -> Watching:
    return Watching()


def test_silence_tells_other_software_with_the_alert(watching: Watching) -> None:
    store = watching.world.store
    endpoint = Endpoint(
        endpoint_id="we_1", url="https://shop.example/", events=("machine.offline",), created_at_ms=0
    )
    store.software.add_endpoint(endpoint)
    watching.world.start(machine_silent_s=SILENT_S, software=store.software)
    watching.tick(2 * TOLD_MS)
    (posting,) = store.software.postings("we_1", 10)
    data = json.loads(posting.body)["data"]
    assert data["machineId"] == MACHINE
    assert data["lastHeardAt"] < format_ms(posting.at_ms - SILENT_MS)
    assert posting.at_ms == store.standing_alerts(1)[0].at_ms


def test_a_machine_that_speaks_is_never_accused(watching: Watching) -> None:
    watching.tick(3 * TOLD_MS, says=True)
    assert watching.told == []


def test_a_silent_machine_is_told_once_and_again_when_it_is_heard(watching: Watching) -> None:
    watching.tick(SILENT_MS - 20_000)
    assert watching.told == []
    watching.tick(TOLD_MS - SILENT_MS + 20_000)
    assert watching.told == [("machine_silent", "began")]
    (alert,) = watching.world.store.standing_alerts(10)
    assert alert.subject == MACHINE
    assert "has said nothing for 1" in alert.text
    assert "arcade-edge doctor" in alert.text
    watching.tick(3 * TOLD_MS)
    assert watching.told == [("machine_silent", "began")]
    watching.tick(20_000, says=True)
    assert watching.told == [("machine_silent", "began"), ("machine_silent", "ended")]
    watching.tick(TOLD_MS)
    assert watching.told == [("machine_silent", "began"), ("machine_silent", "ended"), ("machine_silent", "began")]


def test_where_nobody_is_silent_no_echo_is_sent_and_each_status_costs_one_write(watching: Watching) -> None:
    sent = len(watching.world.broker.sent)
    watching.tick(SILENT_MS - 60_000, says=True)
    due_ms = watching.world.store.presence(MACHINE).due_at_ms  # type: ignore[union-attr]
    watching.tick(30_000, says=True)
    assert watching.world.store.presence(MACHINE).due_at_ms == due_ms  # type: ignore[union-attr]
    assert ECHO not in {sent.topic for sent in watching.world.broker.sent[sent:]}


def test_a_cloud_that_was_down_gives_the_machines_time_to_speak(watching: Watching) -> None:
    watching.world.now_ms += 20 * SILENT_MS
    watching.restart()
    watching.tick(HEARS_FOR_MS - ECHO_EVERY_MS)
    assert watching.told == []
    watching.tick(20_000, says=True)
    watching.tick(SILENT_MS - 30_000)
    assert watching.told == []


def test_a_cloud_that_was_down_accuses_the_machine_that_died_meanwhile(watching: Watching) -> None:
    watching.world.now_ms += 20 * SILENT_MS
    watching.restart()
    watching.tick(HEARS_FOR_MS + 2 * ECHO_EVERY_MS)
    assert watching.told == [("machine_silent", "began")]


def test_while_the_broker_is_down_nobody_is_accused(watching: Watching) -> None:
    watching.world.broker.is_down = True
    watching.tick(3 * TOLD_MS)
    assert watching.told == []
    watching.world.broker.is_down = False
    watching.tick(60_000, says=True)
    watching.tick(SILENT_MS - 120_000)
    assert watching.told == []


def test_a_deaf_cloud_accuses_nobody_and_says_that_it_is_deaf(watching: Watching) -> None:
    """As where the broker's rule engine has stopped calling `/ingest`."""
    watching.world.deaf = True
    watching.tick(3 * TOLD_MS, says=True)
    assert watching.told == [("deaf", "began")]
    watching.world.deaf = False
    watching.tick(HEARS_FOR_MS, says=True)
    assert watching.told == [("deaf", "began"), ("deaf", "ended")]


def test_a_machine_that_was_never_heard_is_not_accused() -> None:
    watching = Watching()
    store = watching.world.store
    known = store.machine(MACHINE)
    assert known is not None
    store.put_machine(msgspec.structs.replace(known, machine_id="cab-new", version=1), 0)
    watching.tick(3 * TOLD_MS, says=True)
    assert watching.told == []


def test_without_a_limit_nobody_is_watched() -> None:
    world = MortalCloud(payments=AccountPayments)
    world.now_ms += 100 * SILENT_MS
    world.services.watch.run_once()
    assert world.store.recent_alerts(10) == []
    assert world.store.presence(MACHINE).due_at_ms is None  # type: ignore[union-attr]


def test_a_will_that_comes_late_does_not_make_the_machine_heard(watching: Watching) -> None:
    watching.tick(TOLD_MS)
    assert watching.accused
    watching.world.machine.say_status(state="offline")
    watching.tick(0)
    assert watching.accused
    assert watching.told == [("machine_silent", "began")]


def test_a_status_that_was_long_on_its_way_is_no_sign_of_life(watching: Watching) -> None:
    """Somebody who has the broker could hold statuses back, and hide a dead machine with them."""
    said_ms = watching.world.now_ms
    watching.tick(SILENT_MS - 60_000)
    watching.world.machine.say_status(timestamp=format_ms(said_ms))
    watching.tick(TOLD_MS - SILENT_MS)
    assert watching.accused
    watching.world.machine.say_status(timestamp=format_ms(said_ms))
    watching.tick(0)
    assert watching.accused


def test_a_broken_record_keeps_no_other_machine_from_being_watched(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = watching.world.store.presence
    watching.world.store.put_presence(Presence(machine_id="cab-00", version=1, due_at_ms=0), 0)

    def presence(machine_id: str) -> Presence | None:
        if machine_id == "cab-00":
            raise InvariantBroken("the presence of machine cab-00: the stored record cannot be read")
        return real(machine_id)

    monkeypatch.setattr(watching.world.store, "presence", presence)
    watching.restart()
    watching.tick(TOLD_MS)
    assert watching.accused
    assert watching.told.count(("stuck", "began")) == 1


def test_a_defect_in_one_watch_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    class Broken:
        def run_once(self) -> None:
            raise ZeroDivisionError

    class Sound:
        def run_once(self) -> None:
            done.append("looked")

    watches.look([Broken(), Sound()])
    assert done == ["looked"]
    assert "Broken failed" in caplog.text


def test_a_machine_that_is_not_told_the_time_needs_a_person(watching: Watching) -> None:
    """Its statuses do not show when they were said: they could be old ones, repeated."""
    for _ in range(4):
        watching.tick(SILENT_MS // 2)
        watching.world.machine.say_status(timestamp=format_ms(0), ready=False, reason="no clock")
        watching.tick(0)
    assert watching.told == [("machine_silent", "began")]
    (told,) = watching.world.store.recent_alerts(1)
    assert "has not been told the time" in told.text
    watching.tick(30_000, says=True)
    assert watching.told[1:] == [("machine_silent", "ended")]


def test_a_time_far_ahead_is_no_sign_of_life_whatever_else_is_wrong(watching: Watching) -> None:
    """A Pi without the time may have a better reason not to be ready."""
    for _ in range(4):
        watching.tick(SILENT_MS // 2)
        ahead = format_ms(watching.world.now_ms + 10**11)
        watching.world.machine.say_status(timestamp=ahead, ready=False, reason="the door is open")
        watching.tick(0)
    assert watching.told == [("machine_silent", "began")]


def test_a_machine_that_speaks_at_the_very_moment_is_not_left_accused(watching: Watching) -> None:
    """Another process takes its status in between this one's decision and its write."""
    world = watching.world
    real = world.store.put_presence
    spoken: list[bool] = []

    def put_presence(presence: Presence, version: int, *changes: Any) -> None:
        if not spoken and world.store.lasting_alert("machine_silent", MACHINE) is not None:
            spoken.append(True)
            world.machine.say_status()
            watching.hear()
        real(presence, version, *changes)

    world.store.put_presence = put_presence  # type: ignore[assignment,method-assign]
    watching.tick(TOLD_MS)
    assert spoken
    assert not watching.accused
    assert watching.told[:2] == [("machine_silent", "began"), ("machine_silent", "ended")]


@pytest.mark.parametrize("point", range(1, 13))
def test_wherever_the_cloud_dies_the_alert_is_right_in_the_end(point: int) -> None:
    watching = Watching()
    world = watching.world
    watching.tick(TOLD_MS - 2 * ECHO_EVERY_MS)
    for says in (False, True):
        world.killer.kill_at = {world.killer.points + point}
        try:
            watching.tick(3 * ECHO_EVERY_MS, says=says)
        except Killed:
            watching.restart()
        world.killer.kill_at = set()
        watching.tick(TOLD_MS, says=says)
        assert watching.accused is not says
    assert [what for kind, what in watching.told if kind == "machine_silent"] == ["began", "ended"]


# --- out of service --------------------------------------------------------------------------------------


def close(watching: Watching, *, for_ms: int | None = None) -> None:
    until = None if for_ms is None else format_ms(watching.world.now_ms + for_ms)[:16] + "Z"
    assert list(watching.world.services.fleet.close([MACHINE], until=until))


def put_back(watching: Watching) -> None:
    assert list(watching.world.services.fleet.open([MACHINE]))


def test_a_machine_that_is_out_of_service_may_be_silent_for_as_long(watching: Watching) -> None:
    close(watching)
    watching.tick(5 * TOLD_MS)
    assert watching.told == []
    echoes = [sent for sent in watching.world.broker.sent if sent.topic == ECHO]
    assert echoes == [], "nothing is to be proven about it"


def test_closing_a_silent_machine_ends_what_was_told_of_it(watching: Watching) -> None:
    watching.tick(TOLD_MS)
    assert watching.accused
    close(watching)
    watching.tick(3 * TOLD_MS)
    assert watching.told == [("machine_silent", "began"), ("machine_silent", "ended")]


def test_a_machine_put_back_has_as_long_to_speak_as_ever(watching: Watching) -> None:
    close(watching)
    watching.tick(3 * TOLD_MS)
    put_back(watching)
    watching.tick(SILENT_MS - 20_000)
    assert watching.told == []
    watching.tick(20_000, says=True)
    watching.tick(SILENT_MS - 60_000)
    assert watching.told == []


def test_a_machine_put_back_that_stays_silent_is_told(watching: Watching) -> None:
    watching.tick(TOLD_MS)
    close(watching)
    watching.tick(TOLD_MS)
    put_back(watching)
    watching.tick(TOLD_MS)
    assert [what for _, what in watching.told] == ["began", "ended", "began"]


@pytest.mark.parametrize("silent_before", [False, True])
def test_a_machine_that_comes_back_by_itself_and_stays_silent_is_told(
    watching: Watching, silent_before: bool
) -> None:
    """As one that is closed for the night: no alert in the night, and one if nobody switches it on."""
    watching.tick(TOLD_MS if silent_before else 10_000, says=not silent_before)
    close(watching, for_ms=4 * TOLD_MS)
    watching.tick(4 * TOLD_MS + SILENT_MS - 90_000)
    assert not watching.accused
    watching.tick(TOLD_MS)
    assert watching.accused


def test_each_night_passes_without_an_alert(watching: Watching) -> None:
    for _ in range(3):
        close(watching, for_ms=4 * TOLD_MS)
        watching.tick(4 * TOLD_MS - 60_000)
        watching.tick(TOLD_MS, says=True)
    assert watching.told == []


def test_whoever_accuses_it_at_the_moment_at_which_it_is_closed_looks_again(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process closes the machine between the look's reading of it and what the look stores."""
    real = watching.world.services.alerts.store.raise_alert
    closed: list[bool] = []

    def raise_alert(*alert: Any) -> bool:
        if not closed:
            closed.append(True)
            close(watching)
        return real(*alert)

    monkeypatch.setattr(watching.world.store, "raise_alert", raise_alert)
    watching.tick(2 * TOLD_MS)
    assert closed
    assert not watching.accused


def test_a_deaf_cloud_is_not_taken_for_well_because_a_machine_is_closed(watching: Watching) -> None:
    store = watching.world.store
    other = Presence(machine_id="cab-02", version=1, installation="c" * 32, heard_at_ms=1, due_at_ms=1)
    store.put_machine(Machine(machine_id="cab-02", version=1, closure=Closure(since_ms=0)), 0)
    watching.world.deaf = True
    watching.tick(2 * TOLD_MS)
    assert watching.told == [("deaf", "began")]
    store.put_presence(other, 0)
    watching.tick(10_000)
    assert watching.told == [("deaf", "began")]


HOURS_8_MS = 8 * 3_600_000


def test_the_watch_goes_on_at_once_when_its_process_s_clock_is_set_back(watching: Watching) -> None:
    watching.world.now_ms += HOURS_8_MS
    watching.tick(HEARS_FOR_MS - ECHO_EVERY_MS)  # it sends its echoes
    watching.world.now_ms -= HOURS_8_MS
    watching.world.services.recheck.look()
    watching.tick(TOLD_MS)
    assert watching.told == [("machine_silent", "began")]


@pytest.mark.parametrize("says", [False, True])
def test_a_machine_that_another_process_s_clock_has_put_off_is_looked_at_in_time(
    watching: Watching, says: bool
) -> None:
    world = watching.world
    watching.tick(20_000, says=True)
    world.start(machine_silent_s=SILENT_S, now_ms=lambda: world.now_ms + HOURS_8_MS)
    if says:
        world.machine.say_status()
        watching.hear()
    world.services.watch.run_once()
    watching.restart()
    world.services.recheck.look()
    watching.tick(TOLD_MS)
    assert watching.told == [("machine_silent", "began")]


def put_off_among(store: Store, now_ms: int, closed: int) -> str:
    """So many machines that are closed until tomorrow, as they are on record, and one that a clock has put off."""
    tomorrow_ms = now_ms + 24 * 3_600_000
    for number in range(closed):
        name = f"cab-closed-{number:03}"
        closure = Closure(since_ms=now_ms, until_ms=tomorrow_ms)
        store.put_machine(Machine(machine_id=name, version=1, closure=closure), 0)
        store.put_presence(_heard(name, now_ms, due_at_ms=tomorrow_ms + SILENT_MS), 0)
    store.put_machine(Machine(machine_id="cab-off", version=1), 0)
    store.put_presence(_heard("cab-off", now_ms, due_at_ms=now_ms + 5 * 24 * 3_600_000), 0)
    return "cab-off"


def _heard(name: str, at_ms: int, due_at_ms: int) -> Presence:
    heard = Presence(machine_id=name, version=1, installation="c" * 32, heard_at_ms=at_ms, alive_at_ms=at_ms)
    return msgspec.structs.replace(heard, due_at_ms=due_at_ms)


def test_machines_that_are_closed_for_the_night_do_not_hide_one_that_a_clock_has_put_off(
    watching: Watching,
) -> None:
    """However many there are: they are looked at as often as others, so they do not wait for as long."""
    world = watching.world
    name = put_off_among(world.store, world.now_ms, 150)
    world.services.recheck.look()
    world.services.recheck.look()
    for _ in range(3):
        due_at_ms = world.store.presence(name).due_at_ms  # type: ignore[union-attr]
        assert due_at_ms is not None
        assert due_at_ms <= world.now_ms + SILENT_MS
        assert world.store.waiting_presences(put_off_after_ms(world.now_ms, SILENT_MS), 1) == []
        watching.tick(SILENT_MS // 2, says=True)


def test_a_machine_that_is_closed_until_later_is_looked_at_as_often_as_others(watching: Watching) -> None:
    """And only once it is in service again, and has had as long to speak as ever, it is called silent."""
    close(watching, for_ms=2 * SILENT_MS + 90_000)
    until_ms = watching.world.store.machine(MACHINE).closure.until_ms  # type: ignore[union-attr]
    assert until_ms is not None
    looked = set()
    while watching.world.now_ms < until_ms:
        watching.tick(10_000)
        looked.add(watching.world.store.presence(MACHINE).due_at_ms)  # type: ignore[union-attr]
    assert max(looked) == until_ms + SILENT_MS  # type: ignore[type-var]
    assert len(looked) >= 3
    watching.tick(SILENT_MS - 20_000)
    assert not watching.accused
    watching.tick(TOLD_MS - SILENT_MS)
    assert watching.accused


def test_a_deaf_cloud_says_so_in_time_though_its_clock_was_set_back(watching: Watching) -> None:
    watching.world.deaf = True
    watching.world.now_ms += HOURS_8_MS
    watching.tick(2 * ECHO_EVERY_MS)  # echoes that nobody answers, sent hours ahead
    watching.world.now_ms -= HOURS_8_MS
    watching.world.services.recheck.look()
    watching.tick(TOLD_MS)
    assert watching.told == [("deaf", "began")]


def test_a_machine_that_was_heard_in_the_future_is_silent_from_now_on(watching: Watching) -> None:
    """Its agent had its time from a process that was hours ahead, and that process has heard it."""
    world = watching.world
    world.now_ms += HOURS_8_MS
    world.machine.say_status()
    watching.tick(0)
    world.now_ms -= HOURS_8_MS
    world.services.recheck.look()
    watching.tick(TOLD_MS)
    assert watching.told == [("machine_silent", "began")]


def test_a_process_that_is_hours_ahead_calls_no_machine_silent(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own echoes it seems to hear, and by its clock nothing was said for hours."""
    world = watching.world
    monkeypatch.setattr(world.payments, "clock_off_ms", lambda: HOURS_8_MS)
    world.start(machine_silent_s=SILENT_S, now_ms=lambda: world.now_ms + HOURS_8_MS)
    watching.tick(HEARS_FOR_MS + 3 * ECHO_EVERY_MS)
    assert watching.told == []
