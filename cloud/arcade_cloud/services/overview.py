"""What an operator looks at: today, the machines, one machine. Nothing here changes anything.

Every read is bounded: orders are listed by what waits or by machine, takings by day; nothing is walked through.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from arcade_cloud.domain import books
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.books import Only, Sums
from arcade_cloud.domain.game_overs import GameOver
from arcade_cloud.domain.health import Sign, signs
from arcade_cloud.domain.machines import Machine, Presence, condition, stage, why_unfit
from arcade_cloud.domain.metering import Count, CountedDay, by_day
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.tallies import Taken, sums_of
from arcade_cloud.domain.uptime import Span, ready_share, spans
from arcade_cloud.ports.store import Store
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.game_overs import last_one

# Alerts beyond that number are counted as "more".
ALERTS_SHOWN = 100
# So many of the orders that take too long, the longest under way first. Beyond that it is this number "or more".
SLOW_SHOWN = 100
# A purchase takes seconds. One that takes longer is worth a look.
SLOW_MS = 30_000
ORDERS_SHOWN = 20
UPTIME_DAYS = 7
# A machine that is ready and away by turns has a change at each status: enough for the last of them.
CHANGES_AT_MOST = 2_000
# Far more trains than a coin line takes in a week of busy days.
COUNTS_AT_MOST = 5_000

# Worst first. `dead`: nobody can pay, and somebody should. `not ready`: it says so itself, as while it is full.
Rank = Literal["dead", "not ready", "ready", "being set up", "out of service", "retired"]
RANKS: tuple[Rank, ...] = ("dead", "not ready", "ready", "being set up", "out of service", "retired")


class MachineNow(Struct, frozen=True, kw_only=True, gc=False):  # of thousands, no part of a cycle
    """A machine as it is now.

    Attributes:
        why_not: Why nobody may pay for it, in a sentence, with its agent's own words; empty if somebody may.
        since_ms: Since when it is closed, or not heard; None where that is not known without reading more.
        taken: What it has booked today, by currency; only `with_takings` reads it.
    """

    machine: Machine
    presence: Presence | None
    rank: Rank
    why_not: str
    since_ms: int | None
    taken: tuple[Taken, ...] = ()

    @property
    def plays(self) -> int:
        """How many credits it has delivered today."""
        return sum(one.counts.sums.delivered for one in self.taken)

    @property
    def takings(self) -> dict[str, int]:
        """What is kept of today's plays, in minor units, by currency, before Stripe's fees, which come late."""
        return {one.currency: one.counts.sums.kept_minor for one in self.taken if one.currency}

    @property
    def last_play_ms(self) -> int | None:
        """When credits of it were booked last, if that was today."""
        return max((one.counts.played_ms for one in self.taken), default=0) or None


@dataclass(frozen=True, slots=True)
class Compared:
    """The takings so far in one currency, and at this hour of the same weekday a week ago."""

    currency: str
    now: Sums
    then: Sums


@dataclass(frozen=True, slots=True, kw_only=True)
class Today:
    """What needs a person, what was taken so far, and the machines, the worst first.

    Attributes:
        alerts: Those that stand, newest first, ALERTS_SHOWN at most.
        slow: Orders whose credits or money are under way for longer than that takes, SLOW_SHOWN at most.
        counts: How many machines are of each rank.
    """

    day: date
    now_ms: int
    alerts: tuple[Alert, ...]
    slow: tuple[Order, ...]
    takings: tuple[Compared, ...]
    machines: tuple[MachineNow, ...]

    @property
    def counts(self) -> dict[Rank, int]:
        """How many machines are of each rank, the worst first; none that are of no machine."""
        found = Counter(seen.rank for seen in self.machines)
        return {rank: found[rank] for rank in RANKS if rank in found}


@dataclass(frozen=True, slots=True)
class DayUp:
    """A day of a machine: what it was, and which part of the known time it was ready (None: nothing is known)."""

    day: date
    spans: tuple[Span, ...]
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineLife:
    """One machine with what it did lately.

    Attributes:
        since_ms: Since when it is what it is; None if that is not known.
        alerts: Of those that stand, the ones about it.
        days: The last UPTIME_DAYS days, oldest first; none of a machine that only listens.
        share: Which part of the known time of these days it was ready.
        signs: What its agent says of itself, with what to do.
        counts: What its coin meter has counted, newest train first.
        counted: The same beside what was pulsed, newest day first; none without a meter.
        last_game_over: None if none is kept: many machines send none.
        counts_cut: There is more of that than COUNTS_AT_MOST trains: the oldest of these days are not whole.
    """

    now: MachineNow
    since_ms: int | None
    orders: tuple[Order, ...]
    alerts: tuple[Alert, ...]
    days: tuple[DayUp, ...]
    share: float | None
    signs: tuple[Sign, ...]
    counts: tuple[Count, ...]
    counted: tuple[CountedDay, ...]
    counts_cut: bool
    last_game_over: GameOver | None = None


@dataclass(frozen=True, kw_only=True)
class Overview:
    """Reads what the console shows.

    Attributes:
        zone: The arcade's time zone.
        has_older_key: Whether a machine's key of that fingerprint is one of a secret that is being replaced.
    """

    fulfilment: Fulfilment
    zone: tzinfo = UTC
    has_older_key: Callable[[str, str], bool] = lambda machine_id, fingerprint: False

    @property
    def _store(self) -> Store:
        return self.fulfilment.store

    def today(self) -> Today:
        """How the arcade stands now.

        Raises:
            StoreUnavailable: The store is down.
        """
        now_ms = self.fulfilment.now_ms()
        day = date.fromisoformat(books.day_of(now_ms, self.zone))
        alerts = self._store.standing_alerts(ALERTS_SHOWN)
        return Today(
            day=day,
            now_ms=now_ms,
            alerts=tuple(alerts),
            slow=tuple(self._store.orders_under_way(now_ms - SLOW_MS, SLOW_SHOWN)),
            takings=tuple(self._compared(day, now_ms)),
            machines=self._ranked(self._store.machines(), alerts, now_ms),
        )

    def machines(self) -> tuple[MachineNow, ...]:
        """All machines, the worst first.

        Raises:
            StoreUnavailable: The store is down.
        """
        now_ms = self.fulfilment.now_ms()
        alerts = self._store.standing_alerts(ALERTS_SHOWN)
        return self._ranked(self._store.machines(), alerts, now_ms)

    def with_takings(self, machines: Sequence[MachineNow]) -> tuple[MachineNow, ...]:
        """The same machines with what they have booked today: the few that are shown.

        Raises:
            StoreUnavailable: The store is down.
        """
        if not machines:
            return ()
        today = books.day_of(self.fulfilment.now_ms(), self.zone)
        only = Only(machines=frozenset(seen.machine.machine_id for seen in machines))
        found: dict[str, list[Taken]] = {}
        for one in self._store.taken(today, today, "machine", only):
            found.setdefault(one.name, []).append(one)
        return tuple(replace(seen, taken=tuple(found.get(seen.machine.machine_id, ()))) for seen in machines)

    def machine(self, machine: Machine) -> MachineLife:
        """One machine.

        Raises:
            StoreUnavailable: The store is down.
        """
        now_ms = self.fulfilment.now_ms()
        alerts = self._store.standing_alerts(ALERTS_SHOWN)
        (seen,) = self.with_takings(self._ranked([machine], alerts, now_ms))
        days, since_ms = self._days(seen, now_ms)
        every = [span for day in days for span in day.spans]
        counts = self._store.counts(machine.machine_id, self._first_ms(now_ms), COUNTS_AT_MOST)
        return MachineLife(
            now=seen,
            since_ms=since_ms,
            orders=tuple(self._store.recent_orders(ORDERS_SHOWN, machine_id=machine.machine_id)),
            alerts=tuple(alert for alert in alerts if alert.about == machine.machine_id),
            days=days,
            share=ready_share(every),
            counts=tuple(counts),
            counted=by_day(counts, self.zone),
            last_game_over=last_one(self._store, machine.machine_id, now_ms),
            counts_cut=len(counts) == COUNTS_AT_MOST,
            signs=signs(
                machine,
                seen.presence,
                now_ms,
                has_older_key=seen.presence is not None
                and self.has_older_key(machine.machine_id, seen.presence.key_fingerprint),
            ),
        )

    # --- parts -------------------------------------------------------------------------------------------

    def _compared(self, day: date, now_ms: int) -> list[Compared]:
        """Compare with the same moment by the arcade's clock a week ago."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(self.zone)
        then_ms = int((now - timedelta(days=7)).timestamp() * 1000)
        today = sums_of(self._store.taken(day.isoformat(), day.isoformat(), "day"))
        before = sums_of(self._store.taken_until((day - timedelta(days=7)).isoformat(), then_ms))
        return [
            Compared(currency, today.get(currency, Sums()), before.get(currency, Sums()))
            for currency in sorted({*today, *before})
            if currency
        ]

    def _ranked(self, machines: Sequence[Machine], alerts: Iterable[Alert], now_ms: int) -> tuple[MachineNow, ...]:
        """Machines, which are given by id, with the worst first."""
        presences = {
            presence.machine_id: presence
            for presence in self._store.presences([machine.machine_id for machine in machines])
        }
        unsellable = {alert.subject for alert in alerts if alert.kind == "unsellable" and alert.lasts}
        by_rank: dict[Rank, list[MachineNow]] = {rank: [] for rank in RANKS}
        for machine in machines:
            presence = presences.get(machine.machine_id)
            why_not, rank = self._why_not(machine, presence, now_ms, machine.machine_id in unsellable)
            by_rank[rank].append(
                MachineNow(
                    machine=machine,
                    presence=presence,
                    rank=rank,
                    why_not=why_not,
                    since_ms=_since_ms(machine, presence, rank, now_ms),
                )
            )
        return tuple(seen for several in by_rank.values() for seen in several)

    def _why_not(
        self, machine: Machine, presence: Presence | None, now_ms: int, is_unsellable: bool
    ) -> tuple[str, Rank]:
        closed = machine.closed(now_ms)
        if closed is not None:
            return closed.reason, "retired" if closed.for_good else "out of service"
        why = why_unfit(machine, presence, now_ms)
        if why is None and is_unsellable:
            return "Stripe refuses to sell an offer of it: see its alert.", "dead"
        if why is None:
            return "", "ready"
        if presence is not None and presence.reason:
            why = f"{why} ({presence.reason})"
        if stage(machine, presence, now_ms) == "being set up":
            return why, "being set up"
        return why, "not ready" if condition(machine, presence, now_ms) == "not ready" else "dead"

    def _days(self, seen: MachineNow, now_ms: int) -> tuple[tuple[DayUp, ...], int | None]:
        """The last days, oldest first, and since when the machine is what it is."""
        if seen.machine.kind == "subscriber":
            return (), seen.since_ms
        today = date.fromisoformat(books.day_of(now_ms, self.zone))
        first = today - timedelta(days=UPTIME_DAYS - 1)
        begins = [self._midnight_ms(first + timedelta(days=number)) for number in range(UPTIME_DAYS)]
        changes = self._store.state_changes(seen.machine.machine_id, begins[0], CHANGES_AT_MOST)
        found = []
        for number, from_ms in enumerate(begins):
            until_ms = begins[number + 1] if number + 1 < UPTIME_DAYS else max(now_ms, from_ms + 1)
            day = spans(changes, seen.presence, from_ms, until_ms)
            found.append(DayUp(first + timedelta(days=number), tuple(day), ready_share(day)))
        whole = spans(changes, seen.presence, begins[0], max(now_ms, begins[-1] + 1))
        since_ms = seen.since_ms
        if since_ms is None and whole[-1].state and whole[-1].from_ms > begins[0]:
            since_ms = whole[-1].from_ms
        return tuple(found), since_ms

    def _first_ms(self, now_ms: int) -> int:
        """When the first of the last UPTIME_DAYS days began."""
        return self._midnight_ms(
            date.fromisoformat(books.day_of(now_ms, self.zone)) - timedelta(days=UPTIME_DAYS - 1)
        )

    def _midnight_ms(self, day: date) -> int:
        return int(datetime.combine(day, time(), self.zone).timestamp() * 1000)


def _since_ms(machine: Machine, presence: Presence | None, rank: Rank, now_ms: int) -> int | None:
    closed = machine.closed(now_ms)
    if closed is not None:
        return closed.since_ms
    if rank == "dead" and presence is not None and presence.heard_at_ms and machine.kind == "agent":
        return presence.heard_at_ms if presence.online else presence.last_alive_ms
    return None
