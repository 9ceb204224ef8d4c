"""A store in memory, for fast tests and the simulation: the same promises as the adapters, but for durability.

Everything happens under one lock, and a call changes nothing until all its checks have passed.
"""

import bisect
import threading
from collections.abc import Collection, Sequence

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.forms import FORMS
from arcade_cloud.domain import webhooks
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.books import EVERY, Line, Only
from arcade_cloud.domain.game_overs import KEPT_MS, GameOver
from arcade_cloud.domain.machines import Hearing, Machine, Presence, hearing_after
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.order import HistoryEntry, Order, UnmatchedAck, check
from arcade_cloud.domain.outbox import Posting
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.reconciling import DayReport
from arcade_cloud.domain.screens import Screen
from arcade_cloud.domain.tallies import (
    Counts,
    Name,
    Place,
    Taken,
    TakenPart,
    Tallies,
    differences,
    grouped,
    of_day,
    part,
    until,
)
from arcade_cloud.domain.uptime import StateChange
from arcade_cloud.domain.webhooks import Webhooks
from arcade_cloud.errors import AlreadySeen, Conflict, InvariantBroken, PaymentTaken, StoreUnavailable
from arcade_cloud.ports.store import Move, Waiting
from support.memory_people import MemoryPeople
from support.memory_receipts import MemoryReceipts
from support.memory_software import MemorySoftware


class MemoryStore:
    """`store.port.Store` in memory. `unavailable = True` makes every call raise StoreUnavailable."""

    def __init__(self) -> None:
        self.unavailable = False
        self._lock = threading.RLock()
        self._orders: dict[str, Order] = {}
        self._due: list[tuple[int, str]] = []  # sorted
        self._due_at: dict[str, int] = {}
        self._history: dict[str, list[HistoryEntry]] = {}
        self._payments: dict[str, str] = {}
        self._credits: dict[str, str] = {}
        self._tabs: dict[str, str] = {}
        self._lines: dict[str, list[Line]] = {}
        self._tallies: dict[Place, Counts] = {}
        self._screens: dict[str, Screen] = {}
        self._day_reports: dict[str, DayReport] = {}
        self._seen: dict[str, int] = {}
        self._machines: dict[str, Machine] = {}
        self._presences: dict[str, Presence] = {}
        self._changes: dict[str, dict[int, StateChange]] = {}
        self._game_overs: dict[str, dict[tuple[int, str], GameOver]] = {}
        self._counts: dict[str, dict[tuple[int, str], Count]] = {}
        self._alerts: dict[str, Alert] = {}
        self._unsent: dict[str, Alert] = {}
        self._lasting: dict[str, str] = {}
        self._unmatched: dict[tuple[str, str, str, str, int, int], UnmatchedAck] = {}
        self._unclaimed: dict[str, Unclaimed] = {}
        self._hearing: Hearing | None = None
        self._reconciled: int | None = None
        self._rechecked: Waiting | None = None
        self._webhooks = Webhooks()
        self._form = FORMS.newest
        self.software = MemorySoftware(self._lock, self._check_up)
        self.people = MemoryPeople()
        self.receipts = MemoryReceipts(self._lock, self._check_up)

    def _check_up(self) -> None:
        if self.unavailable:
            raise StoreUnavailable("the store was switched off")

    # orders

    def move(self, move: Move) -> None:
        records.check_move(move)
        order = move.order
        with self._lock:
            self._check_up()
            if move.seen is not None and move.seen in self._seen:
                raise AlreadySeen(move.seen)
            before = self._orders.get(order.order_id)
            if (0 if before is None else before.version) != move.expected_version:
                raise Conflict(order.order_id)
            if before is not None and (before.machine_id, before.created_at_ms) != (
                order.machine_id,
                order.created_at_ms,
            ):
                raise InvariantBroken(f"order {order.order_id}: an order keeps its machine and its time of birth")
            if _is_taken(self._payments, order.payment_intent, order):
                raise PaymentTaken(str(order.payment_intent))
            for credit_id in order.credit_ids:
                if _is_taken(self._credits, credit_id, order):
                    raise InvariantBroken(f"order {order.order_id}: credit {credit_id} is another's")
            if order.tab is not None and _is_taken(self._tabs, order.tab.secret_hash, order):
                raise InvariantBroken(f"order {order.order_id}: another has the secret of its tab")
            self._check_new(move.lines)
            self._store(move, before)

    def _store(self, move: Move, before: Order | None) -> None:
        order = move.order
        if move.seen is not None:
            self._seen[move.seen] = move.history.at_ms
        self._set_due(order.order_id, order.due_at_ms)
        self._orders[order.order_id] = order
        if order.payment_intent is not None:
            self._payments[order.payment_intent] = order.order_id
        for credit_id in order.credit_ids:
            self._credits[credit_id] = order.order_id
        if order.tab is not None:
            self._tabs[order.tab.secret_hash] = order.order_id
        if move.is_told:
            self._history.setdefault(order.order_id, []).append(move.history)
        if move.lines:
            self._lines.setdefault(order.order_id, []).extend(move.lines)
        self._tally(move.tallies)
        if move.receipt is not None:
            self.receipts.put_due((move.receipt,))
        for alert in move.alerts:
            self._put_alert(alert)
        self.software.put_postings(move.postings)
        for count in move.counts:
            self._counts.setdefault(count.machine_id, {})[count.at_ms, count.credit_id] = count

    def _set_due(self, order_id: str, due_at_ms: int | None) -> None:
        known_ms = self._due_at.pop(order_id, None)
        if known_ms is not None:
            del self._due[bisect.bisect_left(self._due, (known_ms, order_id))]
        if due_at_ms is not None:
            self._due_at[order_id] = due_at_ms
            bisect.insort(self._due, (due_at_ms, order_id))

    def forget(self, order: Order) -> None:
        records.check_forgettable(order)
        with self._lock:
            self._check_up()
            before = self._orders.get(order.order_id)
            if before is None or before.version != order.version:
                raise Conflict(order.order_id)
            self._forget(order)

    def _forget(self, order: Order) -> None:
        self._set_due(order.order_id, None)
        del self._orders[order.order_id]
        del self._history[order.order_id]
        if order.payment_intent is not None and self._payments.get(order.payment_intent) == order.order_id:
            del self._payments[order.payment_intent]
        if order.tab is not None:
            del self._tabs[order.tab.secret_hash]

    def order(self, order_id: str) -> Order | None:
        with self._lock:
            self._check_up()
            found = self._orders.get(order_id)
        if found is not None:
            check(found)
        return found

    def order_of_payment(self, payment_intent: str) -> str | None:
        with self._lock:
            self._check_up()
            return self._payments.get(payment_intent)

    def order_of_credit(self, credit_id: str) -> str | None:
        with self._lock:
            self._check_up()
            return self._credits.get(credit_id)

    def order_of_tab(self, secret_hash: str) -> str | None:
        with self._lock:
            self._check_up()
            return self._tabs.get(secret_hash)

    def due_orders(self, now_ms: int, limit: int) -> list[str]:
        with self._lock:
            self._check_up()
            come = bisect.bisect_right(self._due, now_ms, key=lambda due: due[0])
            return [order_id for _, order_id in self._due[: min(come, max(0, limit))]]

    def postpone(self, order_id: str, until_ms: int) -> None:
        with self._lock:
            self._check_up()
            if self._due_at.get(order_id, until_ms) < until_ms:
                self._set_due(order_id, until_ms)

    def waiting_orders(self, after: Waiting, limit: int) -> list[Waiting]:
        with self._lock:
            self._check_up()
            first = bisect.bisect_right(self._due, after)
            return [Waiting(*due) for due in self._due[first : first + max(0, limit)]]

    def note_rechecked(self, until: Waiting | None) -> None:
        with self._lock:
            self._check_up()
            self._rechecked = until

    def rechecked_until(self) -> Waiting | None:
        with self._lock:
            self._check_up()
            return self._rechecked

    def next_due_ms(self) -> int | None:
        with self._lock:
            self._check_up()
            return self._due[0][0] if self._due else None

    def history(self, order_id: str) -> list[HistoryEntry]:
        with self._lock:
            self._check_up()
            return list(self._history.get(order_id, ()))

    def recent_orders(
        self, limit: int, *, machine_id: str | None = None, before_ms: int | None = None
    ) -> list[Order]:
        with self._lock:
            self._check_up()
            chosen = [
                order
                for order in self._orders.values()
                if machine_id in (None, *order.machine_ids)
                and (before_ms is None or order.created_at_ms < before_ms)
            ]
        chosen.sort(key=lambda order: (order.created_at_ms, order.order_id), reverse=True)
        return chosen[: max(0, limit)]

    def orders_under_way(self, before_ms: int, limit: int) -> list[Order]:
        with self._lock:
            self._check_up()
            since = [(order.under_way_since_ms, order) for order in self._orders.values()]
        found = [
            (at_ms, order.order_id, order) for at_ms, order in since if at_ms is not None and at_ms < before_ms
        ]
        return [order for *_, order in sorted(found, key=lambda one: one[:2])][: max(0, limit)]

    def orders_with_code(self, code: str, limit: int) -> list[Order]:
        return [order for order in self.recent_orders(len(self._orders)) if order.code == code][: max(0, limit)]

    def orders_with_last4(self, last4: str, limit: int) -> list[Order]:
        return [order for order in self.recent_orders(len(self._orders)) if order.last4 == last4][: max(0, limit)]

    # the books

    def book(self, lines: tuple[Line, ...], tallies: Tallies | None = None) -> None:
        order_id = lines[0].order_id
        records.check_lines(lines, order_id)
        with self._lock:
            self._check_up()
            self._check_new(lines)
            self._lines.setdefault(order_id, []).extend(lines)
            self._tally(tallies or {})

    def _check_new(self, lines: tuple[Line, ...]) -> None:
        if lines and any(line.serial == lines[0].serial for line in self._lines.get(lines[0].order_id, ())):
            raise Conflict(f"{lines[0].order_id}: lines {lines[0].serial}")

    def booked(self, order_id: str) -> list[Line]:
        with self._lock:
            self._check_up()
            return sorted(self._lines.get(order_id, ()), key=lambda line: (line.serial, line.number))

    def lines_of_day(self, day: str) -> list[Line]:
        with self._lock:
            self._check_up()
            return [line for lines in self._lines.values() for line in lines if line.day == day]

    def _tally(self, tallies: Tallies) -> None:
        for place, counts in tallies.items():
            self._tallies[place] = self._tallies.get(place, Counts()) + counts

    def newest_lines(self, day: str, limit: int, machine_ids: Collection[str] | None = None) -> list[Line]:
        lines = sorted(self.lines_of_day(day), key=lambda line: line.at_ms, reverse=True)
        return [line for line in lines if machine_ids is None or line.machine_id in machine_ids][: max(0, limit)]

    def taken(self, first: str, last: str, by: Name, only: Only = EVERY) -> list[Taken]:
        with self._lock:
            self._check_up()
            return grouped(((p, c) for p, c in self._tallies.items() if first <= p.day <= last), by, only)

    def taken_part(self, first: str, last: str, by: Name, only: Only, offset: int, limit: int) -> TakenPart:
        return part(self.taken(first, last, by, only), offset, limit)

    def taken_until(self, day: str, until_ms: int) -> list[Taken]:
        return until(day, self.lines_of_day(day), until_ms)

    def tallies_of_day(self, day: str) -> Tallies:
        with self._lock:
            self._check_up()
            return {place: counts for place, counts in self._tallies.items() if place.day == day}

    def put_tallies_right(self, day: str) -> bool:
        with self._lock:
            wrong = differences(self.tallies_of_day(day), of_day(day, self.lines_of_day(day), self.booked))
            self._tally(wrong)
            return bool(wrong)

    def day_report(self, day: str) -> DayReport | None:
        with self._lock:
            self._check_up()
            return self._day_reports.get(day)

    def put_day_report(self, report: DayReport, expected_version: int) -> None:
        records.check_next(f"the report of {report.day}", report.version, expected_version)
        with self._lock:
            self._check_up()
            before = self._day_reports.get(report.day)
            if (0 if before is None else before.version) != expected_version:
                raise Conflict(report.day)
            self._day_reports[report.day] = report

    # events that move no order

    def note_seen(self, event_id: str, at_ms: int) -> bool:
        with self._lock:
            self._check_up()
            is_new = event_id not in self._seen
            self._seen.setdefault(event_id, at_ms)
            return is_new

    def is_seen(self, event_id: str) -> bool:
        with self._lock:
            self._check_up()
            return event_id in self._seen

    # machines

    def machine(self, machine_id: str) -> Machine | None:
        with self._lock:
            self._check_up()
            return self._machines.get(machine_id)

    def machines(self) -> list[Machine]:
        with self._lock:
            self._check_up()
            return [self._machines[machine_id] for machine_id in sorted(self._machines)]

    def put_machine(self, machine: Machine, expected_version: int) -> None:
        records.check_next(f"machine {machine.machine_id}", machine.version, expected_version)
        with self._lock:
            self._check_up()
            before = self._machines.get(machine.machine_id)
            if (0 if before is None else before.version) != expected_version:
                raise Conflict(machine.machine_id)
            self._machines[machine.machine_id] = machine

    def presence(self, machine_id: str) -> Presence | None:
        with self._lock:
            self._check_up()
            return self._presences.get(machine_id)

    def presences(self, machine_ids: Sequence[str]) -> list[Presence]:
        with self._lock:
            self._check_up()
            return [self._presences[name] for name in dict.fromkeys(machine_ids) if name in self._presences]

    def screen(self, machine_id: str) -> Screen | None:
        with self._lock:
            self._check_up()
            return self._screens.get(machine_id)

    def put_screen(self, screen: Screen, expected_version: int) -> None:
        records.check_next(f"the screen of {screen.machine_id}", screen.version, expected_version)
        with self._lock:
            self._check_up()
            before = self._screens.get(screen.machine_id)
            if (0 if before is None else before.version) != expected_version:
                raise Conflict(screen.machine_id)
            self._screens[screen.machine_id] = screen

    def state_changes(self, machine_id: str, since_ms: int, limit: int) -> list[StateChange]:
        with self._lock:
            self._check_up()
            every = sorted(self._changes.get(machine_id, {}).items(), reverse=True)
            found = [change for at_ms, change in every if at_ms >= since_ms]
            return [*found, *(change for at_ms, change in every if at_ms < since_ms)][: min(limit, len(found) + 1)]

    def counts(self, machine_id: str, since_ms: int, limit: int) -> list[Count]:
        with self._lock:
            self._check_up()
            every = sorted(self._counts.get(machine_id, {}).items(), reverse=True)
            return [count for (at_ms, _), count in every if at_ms >= since_ms][: max(0, limit)]

    def note_game_over(self, game_over: GameOver) -> bool:
        key = (game_over.at_ms, game_over.event_id)
        with self._lock:
            self._check_up()
            known = self._game_overs.setdefault(game_over.machine_id, {})
            is_new = key not in known
            known.setdefault(key, game_over)
            return is_new

    def game_overs(self, machine_id: str, since_ms: int, until_ms: int, limit: int) -> list[GameOver]:
        with self._lock:
            self._check_up()
            every = sorted(self._game_overs.get(machine_id, {}).items(), reverse=True)
            return [found for (at_ms, _), found in every if since_ms <= at_ms < until_ms][: max(0, limit)]

    def put_presence(
        self, presence: Presence, expected_version: int, changes: tuple[StateChange, ...] = ()
    ) -> None:
        records.check_next(f"the presence of {presence.machine_id}", presence.version, expected_version)
        records.check_changes(presence, changes)
        with self._lock:
            self._check_up()
            before = self._presences.get(presence.machine_id)
            if (0 if before is None else before.version) != expected_version:
                raise Conflict(presence.machine_id)
            self._presences[presence.machine_id] = presence
            self._changes.setdefault(presence.machine_id, {}).update({change.at_ms: change for change in changes})

    def waiting_presences(self, later_than_ms: int, limit: int) -> list[str]:
        with self._lock:
            self._check_up()
            waiting = sorted(
                (presence.due_at_ms, machine_id)
                for machine_id, presence in self._presences.items()
                if presence.due_at_ms is not None and presence.due_at_ms > later_than_ms
            )
            return [machine_id for _, machine_id in waiting[: max(0, limit)]]

    def due_presences(self, now_ms: int, limit: int) -> list[str]:
        with self._lock:
            self._check_up()
            due = sorted(
                (presence.due_at_ms, machine_id)
                for machine_id, presence in self._presences.items()
                if presence.due_at_ms is not None and presence.due_at_ms <= now_ms
            )
            return [machine_id for _, machine_id in due[: max(0, limit)]]

    # alerts, and acks that no order knows

    def raise_alert(self, alert: Alert, postings: tuple[Posting, ...] = ()) -> bool:
        with self._lock:
            self._check_up()
            is_new = self._put_alert(alert)
            if is_new:
                self.software.put_postings(postings)
            return is_new

    def _put_alert(self, alert: Alert) -> bool:
        name = records.lasts_as(alert)
        if alert.alert_id in self._alerts or name in self._lasting:
            return False
        self._alerts[alert.alert_id] = alert
        self._unsent[alert.alert_id] = alert
        if name is not None:
            self._lasting[name] = alert.alert_id
        return True

    def alert(self, alert_id: str) -> Alert | None:
        with self._lock:
            self._check_up()
            return self._alerts.get(alert_id)

    def lasting_alert(self, kind: str, subject: str) -> Alert | None:
        with self._lock:
            self._check_up()
            alert_id = self._lasting.get(records.lasting_name(kind, subject))
            return None if alert_id is None else self._alerts[alert_id]

    def change_alert(self, before: Alert, after: Alert, recovery: Alert | None = None) -> None:
        records.check_change(before, after, recovery)
        with self._lock:
            self._check_up()
            if self._alerts.get(before.alert_id) != before:
                raise Conflict(before.alert_id)
            self._alerts[after.alert_id] = after
            if after.alert_id in self._unsent:
                self._unsent[after.alert_id] = after
            if before.lasts and not after.lasts:
                del self._lasting[records.lasting_name(before.kind, before.subject)]
            if recovery is not None:
                self._put_alert(recovery)

    def standing_alerts(self, limit: int) -> list[Alert]:
        with self._lock:
            self._check_up()
            standing = (alert for alert in self._alerts.values() if alert.is_standing)
            return sorted(standing, key=_alert_order, reverse=True)[: max(0, limit)]

    def unsent_alerts(self, limit: int) -> list[Alert]:
        with self._lock:
            self._check_up()
            return sorted(self._unsent.values(), key=_alert_order)[: max(0, limit)]

    def mark_alert_sent(self, alert_id: str) -> None:
        with self._lock:
            self._check_up()
            self._unsent.pop(alert_id, None)

    def recent_alerts(self, limit: int) -> list[Alert]:
        with self._lock:
            self._check_up()
            return sorted(self._alerts.values(), key=_alert_order, reverse=True)[: max(0, limit)]

    def note_unmatched_ack(self, ack: UnmatchedAck) -> bool:
        key = (
            ack.machine_id,
            ack.credit_id,
            ack.installation,
            ack.state,
            ack.delivered,
            ack.uncertain,
        )
        with self._lock:
            self._check_up()
            is_new = key not in self._unmatched
            self._unmatched.setdefault(key, ack)
            return is_new

    def unmatched_acks(self, limit: int) -> list[UnmatchedAck]:
        with self._lock:
            self._check_up()
            return sorted(self._unmatched.values(), key=lambda ack: ack.at_ms, reverse=True)[: max(0, limit)]

    # payments that nobody can prove to be ours

    def note_unclaimed(self, payment: Unclaimed) -> bool:
        with self._lock:
            self._check_up()
            is_new = payment.payment_intent not in self._unclaimed
            self._unclaimed.setdefault(payment.payment_intent, payment)
            return is_new

    def unclaimed_payment(self, payment_intent: str) -> Unclaimed | None:
        with self._lock:
            self._check_up()
            return self._unclaimed.get(payment_intent)

    def unclaimed(self, limit: int) -> list[Unclaimed]:
        with self._lock:
            self._check_up()
            newest = sorted(self._unclaimed.values(), key=lambda p: (p.at_ms, p.payment_intent), reverse=True)
        return newest[: max(0, limit)]

    def forget_unclaimed(self, payment_intent: str) -> None:
        with self._lock:
            self._check_up()
            self._unclaimed.pop(payment_intent, None)

    # what the cloud hears

    def note_echo(self, sent_at_ms: int) -> None:
        with self._lock:
            self._check_up()
            self._hearing = hearing_after(self._hearing, sent_at_ms)

    def forget_echoes(self, later_than_ms: int) -> None:
        with self._lock:
            self._check_up()
            if self._hearing is not None and self._hearing.until_ms > later_than_ms:
                self._hearing = None

    def heard_echo_ms(self) -> int | None:
        with self._lock:
            self._check_up()
            return None if self._hearing is None else self._hearing.until_ms

    def hearing(self) -> Hearing | None:
        with self._lock:
            self._check_up()
            return self._hearing

    def note_reconciled(self, at_ms: int) -> None:
        with self._lock:
            self._check_up()
            self._reconciled = at_ms

    def reconciled_ms(self) -> int | None:
        with self._lock:
            self._check_up()
            return self._reconciled

    def note_webhook_accepted(self, at_ms: int) -> None:
        with self._lock:
            self._check_up()
            self._webhooks = webhooks.accepted(self._webhooks, at_ms)

    def note_webhooks_refused(self, count: int, at_ms: int, why: str) -> None:
        with self._lock:
            self._check_up()
            self._webhooks = webhooks.refused(self._webhooks, count, at_ms, why)

    def webhooks(self) -> Webhooks:
        with self._lock:
            self._check_up()
            return self._webhooks

    # housekeeping

    def form(self) -> int:
        return self._form

    def upgrade(self) -> int:
        self._form = FORMS.newest
        return self._form

    def prune(self, now_ms: int) -> int:
        before_ms, long_before_ms = now_ms - records.FORGET_AFTER_MS, now_ms - records.FORGET_STANDING_AFTER_MS
        with self._lock:
            self._check_up()
            old_events = [event_id for event_id, at_ms in self._seen.items() if at_ms < before_ms]
            old_alerts = [
                alert_id
                for alert_id, alert in self._alerts.items()
                if alert.at_ms < (long_before_ms if alert.is_standing else before_ms)
                and not alert.lasts
                and alert_id not in self._unsent
            ]
            for event_id in old_events:
                del self._seen[event_id]
            for alert_id in old_alerts:
                del self._alerts[alert_id]
            old_changes = [(c, at_ms) for c in self._changes.values() for at_ms in c if at_ms < before_ms]
            for of_machine, at_ms in old_changes:
                del of_machine[at_ms]
            old_overs = [
                (overs, key) for overs in self._game_overs.values() for key in overs if key[0] < now_ms - KEPT_MS
            ]
            for overs, key in old_overs:
                del overs[key]
            gone = len(old_events) + len(old_alerts) + len(old_changes) + len(old_overs)
            return gone + self.software.prune(now_ms)

    def close(self) -> None:
        with self._lock:
            self.unavailable = True


def _is_taken(claims: dict[str, str], claim: str | None, order: Order) -> bool:
    return claim is not None and claims.get(claim, order.order_id) != order.order_id


def _alert_order(alert: Alert) -> tuple[int, str]:
    return alert.at_ms, alert.alert_id
