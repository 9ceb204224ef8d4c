"""Finds machines that have fallen silent. The store lists those that are due to be looked at, so none is scanned.

A machine is called silent only while the cloud proves that it hears, by echoes of its own that come back the way
the machines' messages come. So neither a broker that is down nor a cloud that was down accuses a machine. If the
broker takes the echoes and none comes back, the cloud is deaf, and that is told instead.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.decisions import Clock
from arcade_cloud.domain.events import Outcome
from arcade_cloud.domain.machines import (
    ECHO_EVERY_MS,
    HEARS_FOR_MS,
    NO_CLOCK,
    Hearing,
    Machine,
    Presence,
    look,
    put_off_after_ms,
)
from arcade_cloud.errors import Conflict, InvariantBroken
from arcade_cloud.ports.store import Store
from arcade_cloud.services.alerts import Alerts
from arcade_cloud.services.outbox import Outbox
from arcade_cloud.services.sender import Sender
from arcade_shared.cabinet import NOT_REGISTERED
from arcade_shared.times import format_ms

# The timer calls more often than anybody must know.
LOOK_EVERY_MS = 10_000
AT_ONCE = 100
DEAF = "cloud"
# A machine may speak at the very moment at which it is closed or opened.
CONFLICT_RETRIES = 10


@dataclass(kw_only=True)
class MachineWatch:
    """Begins and ends the conditions `machine_silent` and `deaf`. Several processes may do so at once.

    Attributes:
        silent_ms: After so long without a status a machine is silent; 0 switches the watch off.
        clock: What this process knows about its clock. One that is wrong cannot tell how long a machine has said
            nothing.
    """

    store: Store
    alerts: Alerts
    sender: Sender
    outbox: Outbox
    now_ms: Callable[[], int]
    silent_ms: int
    clock: Callable[[], Clock]
    _next_ms: int = 0
    _echoed_ms: int | None = None
    _unanswered_since_ms: int | None = None

    def run_once(self) -> None:
        """Look at the machines that are due, if it is time.

        Raises:
            StoreUnavailable: What was not looked at stays due.
        """
        now_ms = self.now_ms()
        if not self.silent_ms or self.clock() == "wrong":
            return
        if 0 < self._next_ms - now_ms <= LOOK_EVERY_MS:  # a longer wait: the clock was ahead
            return
        self._next_ms = now_ms + LOOK_EVERY_MS
        due = self.store.due_presences(now_ms, AT_ONCE)
        if not due:
            return
        hearing = self.store.hearing()
        found = {self._look_safely(machine_id, hearing) for machine_id in due}
        if "unproven" in found:
            self._prove_hearing(hearing)
        elif found != {"closed"}:
            self._hears()

    def look_at_put_off(self) -> None:
        """Look at machines that a clock that was ahead has put off. Nothing else makes them due so late.

        Whatever it looks at is due sooner then. So the next pass finds the rest, however many there are.

        Raises:
            StoreUnavailable: The rest is looked at next time.
        """
        if self.silent_ms:
            hearing, late_ms = self.store.hearing(), put_off_after_ms(self.now_ms(), self.silent_ms)
            for machine_id in self.store.waiting_presences(late_ms, AT_ONCE):
                self._look_safely(machine_id, hearing)

    def _look_safely(self, machine_id: str, hearing: Hearing | None) -> str:
        """As `_look`; a machine whose record is broken keeps no other from being looked at."""
        try:
            return self._look(machine_id, hearing)
        except InvariantBroken as error:
            text = f"A defect keeps machine {machine_id} from being watched: {error}. Tell the maintainers."
            self.store.raise_alert(alert("stuck", machine_id, text, self.now_ms()))
            return "alive"

    def _look(self, machine_id: str, hearing: Hearing | None) -> str:
        presence = self.store.presence(machine_id)
        if presence is None:
            return "alive"  # the index is late
        now_ms = self.now_ms()
        watched = look(presence, now_ms, self.silent_ms, hearing)
        machine = None if watched.found == "alive" else self.store.machine(machine_id)
        closed = None if machine is None else machine.closed(now_ms)
        if closed is not None:
            watched = look(presence, now_ms, self.silent_ms, hearing, closed)
        after = msgspec.structs.replace(watched.presence, version=presence.version + 1)
        # First the condition, then the record: if this process dies in between, the machine is looked at again.
        if watched.found == "silent":
            self.alerts.begin(
                "machine_silent",
                machine_id,
                _silent(machine, presence, now_ms),
                lambda begun: self.outbox.of_silence(
                    begun, machine_id, "" if machine is None else machine.name, presence.last_alive_ms
                ),
            )
        elif watched.found == "closed":
            self._excused(machine_id)
        elif watched.found == "alive":
            self.heard(machine_id)
        try:
            self.store.put_presence(after, presence.version)
        except Conflict:
            # It was heard at this very moment, and may not have been due any more: look once more.
            self._look_again(machine_id)
        return watched.found

    def _look_again(self, machine_id: str) -> None:
        presence = self.store.presence(machine_id)
        if presence is not None and look(presence, self.now_ms(), self.silent_ms, None).found == "alive":
            self.heard(machine_id)

    def heard(self, machine_id: str) -> None:
        """A machine was heard: if it was called silent, that is over."""
        self.alerts.end("machine_silent", machine_id, f"Machine {machine_id} is heard again.")

    def closed(self, machine_id: str) -> None:
        """A machine was taken out of service: it may be silent.

        Raises:
            Conflict: Others keep changing its presence.
        """
        self._look_at(machine_id, self.now_ms())  # whoever accuses it at this very moment looks again
        self._excused(machine_id)

    def opened(self, machine_id: str) -> None:
        """A machine is in service again: from now on it has as long to speak as ever.

        Raises:
            Conflict: Others keep changing its presence.
        """
        self._look_at(machine_id, self.now_ms() + self.silent_ms)
        presence = self.store.presence(machine_id)
        if presence is not None and presence.online and presence.reason == NOT_REGISTERED:
            self.out_of_sale(machine_id)

    def out_of_sale(self, machine_id: str) -> None:
        """A machine in service has taken itself out of sale: tell a person, once a day at most."""
        now_ms = self.now_ms()
        text = (
            f"Machine {machine_id} is out of sale: its coin meter missed coins of several trains in a row. Look "
            "at its coin line and its meter, then run `arcade-edge pulse` there."
        )
        self.store.raise_alert(alert("meter", machine_id, text, now_ms, str(now_ms // 86_400_000)))

    def _excused(self, machine_id: str) -> None:
        self.alerts.end("machine_silent", machine_id, f"Machine {machine_id} is out of service.")

    def _look_at(self, machine_id: str, at_ms: int) -> None:
        """Have the machine looked at then. The record has a new version in any case: a look under way is void."""
        for attempt in range(CONFLICT_RETRIES):
            presence = self.store.presence(machine_id)
            if not self.silent_ms or presence is None or presence.installation is None:
                return  # nobody watches it
            after = msgspec.structs.replace(presence, due_at_ms=at_ms, version=presence.version + 1)
            try:
                self.store.put_presence(after, presence.version)
            except Conflict:
                if attempt == CONFLICT_RETRIES - 1:
                    raise
            else:
                return

    def _prove_hearing(self, hearing: Hearing | None) -> None:
        """Send an echo, at most one a minute. If none comes back though the broker takes them, tell a person."""
        now_ms = self.now_ms()
        since_ms = self._unanswered_since_ms
        if since_ms is not None and hearing is not None and hearing.until_ms >= since_ms:
            self._hears()
        if self._echoed_ms is not None and 0 <= now_ms - self._echoed_ms < ECHO_EVERY_MS - LOOK_EVERY_MS:
            return
        if self.sender.echo() in {Outcome.REFUSED, Outcome.UNKNOWN}:
            self._unanswered_since_ms = None  # the broker is down, which is told elsewhere
            return
        self._echoed_ms = now_ms
        if self._unanswered_since_ms is None or self._unanswered_since_ms > now_ms:
            self._unanswered_since_ms = now_ms
        elif now_ms - self._unanswered_since_ms > HEARS_FOR_MS:
            self.alerts.begin("deaf", DEAF, _deaf(self._unanswered_since_ms))

    def _hears(self) -> None:
        self._unanswered_since_ms = None
        self.alerts.end("deaf", DEAF, "The cloud hears the machines again.")


def _silent(machine: Machine | None, presence: Presence, now_ms: int) -> str:
    called = f" ({machine.name})" if machine is not None and machine.name else ""
    long = _length(now_ms - presence.last_alive_ms)
    if presence.online and presence.reason == NO_CLOCK:
        return (
            f"Machine {presence.machine_id}{called} has not been told the time for {long}. Nobody can "
            "pay for it. Look whether the cloud's clock is right, and whether the broker lets the machine read "
            "its topic clock; on the Pi, run arcade-edge doctor."
        )
    last = "offline" if not presence.online else "ready" if presence.ready else f"not ready ({presence.reason})"
    return (
        f"Machine {presence.machine_id}{called} has said nothing for {long}. Its last word was that it "
        f"is {last}. Nobody can pay for it. Look at its power and its network; on the Pi, run arcade-edge doctor."
    )


def _length(length_ms: int) -> str:
    minutes = length_ms // 60_000
    return f"{length_ms // 1000} seconds" if minutes < 1 else "1 minute" if minutes == 1 else f"{minutes} minutes"


def _deaf(since_ms: int) -> str:
    return (
        f"Since {format_ms(since_ms)} the broker has taken this cloud's messages to itself, and none came back: "
        "what machines send does not arrive either. Look at what MQTT_USERNAME may read, or, where messages "
        "come by POST /ingest, at the broker's rules and INGEST_SECRET."
    )
