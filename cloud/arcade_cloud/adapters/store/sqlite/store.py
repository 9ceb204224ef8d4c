"""The store on one SQLite file: the embedded default, right for one host and any number of its processes."""

import json
import sqlite3
from collections.abc import Callable, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.forms import FORMS, Forms
from arcade_cloud.adapters.store.sqlite.file import BUSY_S, MIGRATIONS, Migration, SqliteFile
from arcade_cloud.adapters.store.sqlite.people import SqlitePeople
from arcade_cloud.adapters.store.sqlite.receipts import SqliteReceipts, put_due
from arcade_cloud.adapters.store.sqlite.software import SqliteSoftware, put_postings
from arcade_cloud.adapters.store.sqlite.takings import SqliteTakings, book, fill, is_filled
from arcade_cloud.domain import webhooks
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.books import day_of
from arcade_cloud.domain.game_overs import KEPT_MS, GameOver
from arcade_cloud.domain.machines import Hearing, Machine, Presence, hearing_after
from arcade_cloud.domain.metering import Count
from arcade_cloud.domain.order import HistoryEntry, Order, UnmatchedAck
from arcade_cloud.domain.outbox import Posting
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.reconciling import DayReport
from arcade_cloud.domain.screens import Screen
from arcade_cloud.domain.uptime import StateChange
from arcade_cloud.domain.webhooks import Webhooks
from arcade_cloud.errors import AlreadySeen, Conflict, InvariantBroken, PaymentTaken
from arcade_cloud.ports.store import Move, Waiting

# Records in one transaction of `prune`: few enough not to delay a webhook beside it.
_PRUNE_BATCH = 500

# An index finds the rows of each query, so the cost is that of the rows returned (a test asks SQLite).
DUE_ORDERS = "SELECT order_id FROM orders WHERE due_at_ms <= ? ORDER BY due_at_ms, order_id LIMIT ?"
WAITING_ORDERS = """SELECT due_at_ms, order_id FROM orders
    WHERE due_at_ms IS NOT NULL AND (due_at_ms, order_id) > (?, ?)
    ORDER BY due_at_ms, order_id LIMIT ?"""
POSTPONE = "UPDATE orders SET due_at_ms = ? WHERE order_id = ? AND due_at_ms < ?"
PRESENCE = "SELECT record FROM presences WHERE machine_id = ?"
PRESENCES = "SELECT record, machine_id FROM presences WHERE machine_id IN (SELECT value FROM json_each(?))"
DUE_PRESENCES = "SELECT machine_id FROM presences WHERE due_at_ms <= ? ORDER BY due_at_ms, machine_id LIMIT ?"
WAITING_PRESENCES = "SELECT machine_id FROM presences WHERE due_at_ms > ? ORDER BY due_at_ms, machine_id LIMIT ?"
NEXT_DUE = "SELECT due_at_ms FROM orders WHERE due_at_ms IS NOT NULL ORDER BY due_at_ms LIMIT 1"
RECENT_ORDERS = """SELECT record, order_id FROM orders WHERE created_at_ms < ?
    ORDER BY created_at_ms DESC, order_id DESC LIMIT ?"""
RECENT_ORDERS_OF_MACHINE = """SELECT record, order_id FROM orders WHERE machine_id = ? AND created_at_ms < ?
    ORDER BY created_at_ms DESC, order_id DESC LIMIT ?"""
ORDERS_WITH_CODE = """SELECT record, order_id FROM orders WHERE code = ?
    ORDER BY created_at_ms DESC, order_id DESC LIMIT ?"""
ORDERS_WITH_LAST4 = """SELECT record, order_id FROM orders WHERE last4 = ?
    ORDER BY created_at_ms DESC, order_id DESC LIMIT ?"""
UNDER_WAY = """SELECT record, order_id FROM orders WHERE under_way_ms < ? AND due_at_ms IS NOT NULL
    ORDER BY under_way_ms, order_id LIMIT ?"""
UNSENT_ALERTS = "SELECT record, alert_id FROM alerts WHERE sent = 0 ORDER BY at_ms, alert_id LIMIT ?"
RECENT_ALERTS = "SELECT record, alert_id FROM alerts ORDER BY at_ms DESC, alert_id DESC LIMIT ?"
RECENT_ORDERS_ALSO_AT = """SELECT orders.record, orders.order_id FROM also_at JOIN orders USING (order_id)
    WHERE also_at.machine_id = ? AND also_at.created_at_ms < ?
    ORDER BY also_at.created_at_ms DESC, also_at.order_id DESC LIMIT ?"""
STATE_CHANGES = """SELECT record FROM state_changes WHERE machine_id = ? AND at_ms >= ?
    ORDER BY at_ms DESC LIMIT ?"""
STATE_CHANGE_BEFORE = """SELECT record FROM state_changes WHERE machine_id = ? AND at_ms < ?
    ORDER BY at_ms DESC LIMIT 1"""
COUNTS = """SELECT record FROM meter_counts WHERE machine_id = ? AND at_ms >= ?
    ORDER BY at_ms DESC, credit_id DESC LIMIT ?"""
PUT_COUNT = "INSERT OR REPLACE INTO meter_counts (machine_id, at_ms, credit_id, record) VALUES (?, ?, ?, ?)"
GAME_OVERS = """SELECT record FROM game_overs WHERE machine_id = ? AND at_ms >= ? AND at_ms < ?
    ORDER BY at_ms DESC, event_id DESC LIMIT ?"""
OLD_GAME_OVERS = "SELECT at_ms FROM game_overs WHERE at_ms < ? LIMIT ?"
OLD_COUNTS = "SELECT at_ms FROM meter_counts WHERE at_ms < ? LIMIT ?"
OLD_STATE_CHANGES = "SELECT at_ms FROM state_changes WHERE at_ms < ? LIMIT ?"
UNMATCHED_ACKS = "SELECT record, credit_id FROM orphans ORDER BY at_ms DESC LIMIT ?"
WEBHOOKS = "SELECT record FROM webhooks"
UNCLAIMED = "SELECT record, payment_intent FROM unclaimed ORDER BY at_ms DESC, payment_intent DESC LIMIT ?"
OLD_SEEN = "SELECT event_id FROM seen WHERE at_ms < ? LIMIT ?"
STANDING_ALERTS = """SELECT record, alert_id FROM alerts WHERE standing = 1
    ORDER BY at_ms DESC, alert_id DESC LIMIT ?"""
LASTING_ALERT = "SELECT record, alert_id FROM alerts WHERE lasts = ?"
OLD_ALERTS = "SELECT alert_id FROM alerts WHERE sent = 1 AND standing = 0 AND at_ms < ? LIMIT ?"
OLD_STANDING_ALERTS = """SELECT alert_id FROM alerts
    WHERE sent = 1 AND standing = 1 AND lasts IS NULL AND at_ms < ? LIMIT ?"""

# After every moment that fits into the column.
_FOR_EVER_MS = 2**63 - 1


class SqliteStore(SqliteTakings):
    """`store.port.Store` on SQLite. Thread-safe, and safe beside other processes on the same file."""

    def __init__(
        self,
        path: str | Path,
        *,
        busy_s: float = BUSY_S,
        forms: Forms = FORMS,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> None:
        """Open the file, and create it if it does not exist.

        Args:
            busy_s: How long a write waits for others, in seconds.
            forms: The forms of orders that this program knows, one for each schema from the second on.
            migrations: The steps to each schema of the file that this program knows.

        Raises:
            StoreUnavailable: The file cannot be opened or used, or it belongs to another program.
            FormTooNew: The file is newer than this program.
        """
        self._forms = forms
        self._machines: dict[str, tuple[bytes, Machine]] = {}
        super().__init__(SqliteFile(path, busy_s=busy_s, migrations=migrations, is_filled=is_filled, fill=fill))
        self.software = SqliteSoftware(self._file)
        self.people = SqlitePeople(self._file)
        self.receipts = SqliteReceipts(self._file)

    def close(self) -> None:
        """Close the file. Every later call raises StoreUnavailable."""
        self._file.close()

    # orders

    def move(self, move: Move) -> None:
        """See `Store.move`. It costs one fsync.

        Raises:
            InvariantBroken: The step contradicts itself or what is stored.
        """
        records.check_move(move)
        order = move.order
        entry = records.encode(move.history)
        with self._file.writing() as connection:
            record = self._forms.write(order, self._file.form(connection))
            if move.seen is not None and not _note_seen(connection, move.seen, move.history.at_ms):
                raise AlreadySeen(f"event {move.seen} is on record")
            if move.expected_version == 0:
                _insert(connection, order, record)
            else:
                _update(connection, order, record, move.expected_version)
            if order.payment_intent is not None:
                owner = _claim(connection, "payments", "payment_intent", order.payment_intent, order.order_id)
                if owner != order.order_id:
                    raise PaymentTaken(f"{order.payment_intent} funds order {owner}")
            for credit_id in order.credit_ids:
                owner = _claim(connection, "credits", "credit_id", credit_id, order.order_id)
                if owner != order.order_id:
                    raise InvariantBroken(f"order {order.order_id}: credit {credit_id} belongs to {owner}")
            if order.tab is not None and move.expected_version == 0:
                owner = _claim(connection, "tabs", "secret_hash", order.tab.secret_hash, order.order_id)
                if owner != order.order_id:
                    raise InvariantBroken(f"order {order.order_id}: order {owner} has the secret of its tab")
            for machine_id in order.machine_ids[1:]:
                _also_at(connection, machine_id, order)
            if move.is_told:
                connection.execute(
                    "INSERT INTO history (order_id, version, record) VALUES (?, ?, ?)",
                    (order.order_id, order.version, entry),
                )
            if move.lines:
                book(connection, move.lines, move.tallies)
            if move.receipt is not None:
                put_due(connection, (move.receipt,))
            for alert in move.alerts:
                _put_alert(connection, alert)
            put_postings(connection, move.postings)
            for count in move.counts:
                connection.execute(
                    PUT_COUNT,
                    (count.machine_id, count.at_ms, count.credit_id, records.encode(count)),
                )

    def forget(self, order: Order) -> None:
        """See `Store.forget`.

        Raises:
            InvariantBroken: The order was paid.
        """
        records.check_forgettable(order)
        with self._file.writing() as connection:
            form = self._file.form(connection)
            gone = connection.execute(
                "DELETE FROM orders WHERE order_id = ? AND version = ?", (order.order_id, order.version)
            ).rowcount
            if gone != 1:
                raise Conflict(f"order {order.order_id} has another version than {order.version}")
            connection.execute("DELETE FROM history WHERE order_id = ?", (order.order_id,))
            if order.payment_intent is not None:
                connection.execute(
                    "DELETE FROM payments WHERE payment_intent = ? AND order_id = ?",
                    (order.payment_intent, order.order_id),
                )
            if order.tab is not None:
                connection.execute("DELETE FROM tabs WHERE secret_hash = ?", (order.tab.secret_hash,))
            if form > 1:
                for machine_id in order.machine_ids[1:]:
                    connection.execute(
                        "DELETE FROM also_at WHERE machine_id = ? AND created_at_ms = ? AND order_id = ?",
                        (machine_id, order.created_at_ms, order.order_id),
                    )

    def order(self, order_id: str) -> Order | None:
        """See `Store.order`.

        Raises:
            InvariantBroken: The stored record is broken.
        """
        row = self._one("SELECT record FROM orders WHERE order_id = ?", order_id)
        return None if row is None else records.order(row[0], order_id, self._forms)

    def order_of_payment(self, payment_intent: str) -> str | None:
        """See `Store.order_of_payment`."""
        row = self._one("SELECT order_id FROM payments WHERE payment_intent = ?", payment_intent)
        return None if row is None else str(row[0])

    def order_of_credit(self, credit_id: str) -> str | None:
        """See `Store.order_of_credit`."""
        row = self._one("SELECT order_id FROM credits WHERE credit_id = ?", credit_id)
        return None if row is None else str(row[0])

    def order_of_tab(self, secret_hash: str) -> str | None:
        """See `Store.order_of_tab`."""
        row = self._one("SELECT order_id FROM tabs WHERE secret_hash = ?", secret_hash)
        return None if row is None else str(row[0])

    def due_orders(self, now_ms: int, limit: int) -> list[str]:
        """See `Store.due_orders`."""
        return [row[0] for row in self._all(DUE_ORDERS, now_ms, max(0, limit))]

    def postpone(self, order_id: str, until_ms: int) -> None:
        """See `Store.postpone`."""
        with self._file.writing() as connection:
            connection.execute(POSTPONE, (until_ms, order_id, until_ms))

    def waiting_orders(self, after: Waiting, limit: int) -> list[Waiting]:
        """See `Store.waiting_orders`."""
        return [Waiting(*row) for row in self._all(WAITING_ORDERS, *after, max(0, limit))]

    def note_rechecked(self, until: Waiting | None) -> None:
        """See `Store.note_rechecked`."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM rechecked")
            if until is not None:
                connection.execute("INSERT INTO rechecked (only_one, due_at_ms, order_id) VALUES (1, ?, ?)", until)

    def rechecked_until(self) -> Waiting | None:
        """See `Store.rechecked_until`."""
        row = self._one("SELECT due_at_ms, order_id FROM rechecked")
        return None if row is None else Waiting(*row)

    def next_due_ms(self) -> int | None:
        """See `Store.next_due_ms`."""
        row = self._one(NEXT_DUE)
        return None if row is None else int(row[0])

    def history(self, order_id: str) -> list[HistoryEntry]:
        """See `Store.history`."""
        rows = self._all("SELECT record FROM history WHERE order_id = ? ORDER BY version", order_id)
        return [records.history_entry(row[0], order_id) for row in rows]

    def orders_under_way(self, before_ms: int, limit: int) -> list[Order]:
        """See `Store.orders_under_way`. What an older program has moved last is left out by its record."""
        rows = self._all(UNDER_WAY, before_ms, max(0, limit))
        found = [records.order(record, order_id, self._forms) for record, order_id in rows]
        return [order for order in found if order.under_way_since_ms is not None]

    def recent_orders(
        self, limit: int, *, machine_id: str | None = None, before_ms: int | None = None
    ) -> list[Order]:
        """See `Store.recent_orders`."""
        before = _FOR_EVER_MS if before_ms is None else before_ms
        if machine_id is None:
            return self._orders(RECENT_ORDERS, before, max(0, limit))
        first = self._orders(RECENT_ORDERS_OF_MACHINE, machine_id, before, max(0, limit))
        if self.form() == 1:  # orders of form 1 have one machine each
            return first
        further = self._orders(RECENT_ORDERS_ALSO_AT, machine_id, before, max(0, limit))
        every = sorted((*first, *further), key=lambda order: (order.created_at_ms, order.order_id), reverse=True)
        return every[: max(0, limit)]

    def orders_with_code(self, code: str, limit: int) -> list[Order]:
        """See `Store.orders_with_code`."""
        return self._orders(ORDERS_WITH_CODE, code, max(0, limit))

    def orders_with_last4(self, last4: str, limit: int) -> list[Order]:
        """See `Store.orders_with_last4`."""
        return self._orders(ORDERS_WITH_LAST4, last4, max(0, limit))

    def _orders(self, sql: str, *values: str | int) -> list[Order]:
        return [records.order(row[0], row[1], self._forms) for row in self._all(sql, *values)]

    # the books

    def day_report(self, day: str) -> DayReport | None:
        """See `Store.day_report`."""
        row = self._one("SELECT record FROM day_reports WHERE day = ?", day)
        return None if row is None else records.day_report(row[0], day)

    def put_day_report(self, report: DayReport, expected_version: int) -> None:
        """See `Store.put_day_report`."""
        records.check_next(f"the report of {report.day}", report.version, expected_version)
        record = records.encode(report)
        self._put_versioned("day_reports", report.day, report.version, expected_version, record, named="day")

    # events that move no order

    def note_seen(self, event_id: str, at_ms: int) -> bool:
        """See `Store.note_seen`."""
        with self._file.writing() as connection:
            return _note_seen(connection, event_id, at_ms)

    def is_seen(self, event_id: str) -> bool:
        """See `Store.is_seen`."""
        return self._one("SELECT 1 FROM seen WHERE event_id = ?", event_id) is not None

    # machines

    def machine(self, machine_id: str) -> Machine | None:
        """See `Store.machine`."""
        row = self._one("SELECT record FROM machines WHERE machine_id = ?", machine_id)
        return None if row is None else records.machine(row[0], machine_id)

    def machines(self) -> list[Machine]:
        """See `Store.machines`."""
        rows = self._all("SELECT record, machine_id FROM machines ORDER BY machine_id")
        return [self._decoded(record, machine_id) for record, machine_id in rows]

    def _decoded(self, record: bytes, machine_id: str) -> Machine:
        """The machine in a record, which is rarely another one than the last time: lists of all are long."""
        known = self._machines.get(machine_id)
        if known is None or known[0] != record:
            known = self._machines[machine_id] = record, records.machine(record, machine_id)
        return known[1]

    def put_machine(self, machine: Machine, expected_version: int) -> None:
        """See `Store.put_machine`."""
        records.check_next(f"machine {machine.machine_id}", machine.version, expected_version)
        self._put_versioned(
            "machines", machine.machine_id, machine.version, expected_version, records.encode(machine)
        )

    def presence(self, machine_id: str) -> Presence | None:
        """See `Store.presence`."""
        row = self._one(PRESENCE, machine_id)
        return None if row is None else records.presence(row[0], machine_id)

    def presences(self, machine_ids: Sequence[str]) -> list[Presence]:
        """See `Store.presences`."""
        rows = self._all(PRESENCES, json.dumps(machine_ids))
        return [records.presence(record, machine_id) for record, machine_id in rows]

    def put_presence(
        self, presence: Presence, expected_version: int, changes: tuple[StateChange, ...] = ()
    ) -> None:
        """See `Store.put_presence`."""
        records.check_next(f"the presence of {presence.machine_id}", presence.version, expected_version)
        records.check_changes(presence, changes)
        record, due_at_ms = records.encode(presence), presence.due_at_ms
        self._put_versioned(
            "presences",
            presence.machine_id,
            presence.version,
            expected_version,
            record,
            changes,
            due_at_ms=due_at_ms,
        )

    def screen(self, machine_id: str) -> Screen | None:
        """See `Store.screen`."""
        row = self._one("SELECT record FROM screens WHERE machine_id = ?", machine_id)
        return None if row is None else records.screen(row[0], machine_id)

    def put_screen(self, screen: Screen, expected_version: int) -> None:
        """See `Store.put_screen`."""
        records.check_next(f"the screen of {screen.machine_id}", screen.version, expected_version)
        self._put_versioned("screens", screen.machine_id, screen.version, expected_version, records.encode(screen))

    def state_changes(self, machine_id: str, since_ms: int, limit: int) -> list[StateChange]:
        """See `Store.state_changes`."""
        rows = self._all(STATE_CHANGES, machine_id, since_ms, max(0, limit))
        if len(rows) < limit:
            rows += self._all(STATE_CHANGE_BEFORE, machine_id, since_ms)
        return [records.state_change(row[0], machine_id) for row in rows]

    def counts(self, machine_id: str, since_ms: int, limit: int) -> list[Count]:
        """See `Store.counts`."""
        return [
            records.count(row[0], machine_id) for row in self._all(COUNTS, machine_id, since_ms, max(0, limit))
        ]

    def note_game_over(self, game_over: GameOver) -> bool:
        """See `Store.note_game_over`."""
        with self._file.writing() as connection:
            return _is_new(
                connection,
                "INSERT INTO game_overs (machine_id, at_ms, event_id, record) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (game_over.machine_id, game_over.at_ms, game_over.event_id, records.encode(game_over)),
            )

    def game_overs(self, machine_id: str, since_ms: int, until_ms: int, limit: int) -> list[GameOver]:
        """See `Store.game_overs`."""
        rows = self._all(GAME_OVERS, machine_id, since_ms, until_ms, max(0, limit))
        return [records.game_over(row[0], machine_id) for row in rows]

    def due_presences(self, now_ms: int, limit: int) -> list[str]:
        """See `Store.due_presences`."""
        return [row[0] for row in self._all(DUE_PRESENCES, now_ms, max(0, limit))]

    def waiting_presences(self, later_than_ms: int, limit: int) -> list[str]:
        """See `Store.waiting_presences`."""
        return [row[0] for row in self._all(WAITING_PRESENCES, later_than_ms, max(0, limit))]

    # alerts, and acks that no order knows

    def raise_alert(self, alert: Alert, postings: tuple[Posting, ...] = ()) -> bool:
        """See `Store.raise_alert`."""
        with self._file.writing() as connection:
            is_new = _put_alert(connection, alert)
            if is_new:
                put_postings(connection, postings)
        return is_new

    def alert(self, alert_id: str) -> Alert | None:
        """See `Store.alert`."""
        row = self._one("SELECT record FROM alerts WHERE alert_id = ?", alert_id)
        return None if row is None else records.alert(row[0], alert_id)

    def lasting_alert(self, kind: str, subject: str) -> Alert | None:
        """See `Store.lasting_alert`."""
        row = self._one(LASTING_ALERT, records.lasting_name(kind, subject))
        return None if row is None else records.alert(row[0], row[1])

    def change_alert(self, before: Alert, after: Alert, recovery: Alert | None = None) -> None:
        """See `Store.change_alert`."""
        records.check_change(before, after, recovery)
        with self._file.writing() as connection:
            row = connection.execute("SELECT record FROM alerts WHERE alert_id = ?", (before.alert_id,)).fetchone()
            if row is None or records.alert(row[0], before.alert_id) != before:
                raise Conflict(f"alert {before.alert_id} has changed meanwhile")
            connection.execute(
                "UPDATE alerts SET record = ?, standing = ?, lasts = ? WHERE alert_id = ?",
                (records.encode(after), after.is_standing, records.lasts_as(after), after.alert_id),
            )
            if recovery is not None:
                _put_alert(connection, recovery)

    def standing_alerts(self, limit: int) -> list[Alert]:
        """See `Store.standing_alerts`."""
        return [records.alert(row[0], row[1]) for row in self._all(STANDING_ALERTS, max(0, limit))]

    def unsent_alerts(self, limit: int) -> list[Alert]:
        """See `Store.unsent_alerts`."""
        return [records.alert(row[0], row[1]) for row in self._all(UNSENT_ALERTS, max(0, limit))]

    def mark_alert_sent(self, alert_id: str) -> None:
        """See `Store.mark_alert_sent`."""
        with self._file.writing() as connection:
            connection.execute("UPDATE alerts SET sent = 1 WHERE alert_id = ? AND sent = 0", (alert_id,))

    def recent_alerts(self, limit: int) -> list[Alert]:
        """See `Store.recent_alerts`."""
        return [records.alert(row[0], row[1]) for row in self._all(RECENT_ALERTS, max(0, limit))]

    def note_unmatched_ack(self, ack: UnmatchedAck) -> bool:
        """See `Store.note_unmatched_ack`. Two acks are the same if they report the same, whenever they came."""
        row = (
            ack.machine_id,
            ack.credit_id,
            ack.installation,
            ack.state,
            ack.delivered,
            ack.uncertain,
            ack.at_ms,
            records.encode(ack),
        )
        with self._file.writing() as connection:
            return _is_new(
                connection,
                "INSERT INTO orphans "
                "(machine_id, credit_id, installation, state, delivered, uncertain, at_ms, record) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                row,
            )

    def unmatched_acks(self, limit: int) -> list[UnmatchedAck]:
        """The latest first."""
        return [records.unmatched_ack(row[0], row[1]) for row in self._all(UNMATCHED_ACKS, max(0, limit))]

    # payments that nobody can prove to be ours

    def note_unclaimed(self, payment: Unclaimed) -> bool:
        """See `Store.note_unclaimed`."""
        row = (payment.payment_intent, payment.at_ms, records.encode(payment))
        with self._file.writing() as connection:
            return _is_new(
                connection,
                "INSERT INTO unclaimed (payment_intent, at_ms, record) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                row,
            )

    def unclaimed_payment(self, payment_intent: str) -> Unclaimed | None:
        """See `Store.unclaimed_payment`."""
        row = self._one("SELECT record FROM unclaimed WHERE payment_intent = ?", payment_intent)
        return None if row is None else records.unclaimed(row[0], payment_intent)

    def unclaimed(self, limit: int) -> list[Unclaimed]:
        """See `Store.unclaimed`."""
        return [records.unclaimed(row[0], row[1]) for row in self._all(UNCLAIMED, max(0, limit))]

    def forget_unclaimed(self, payment_intent: str) -> None:
        """See `Store.forget_unclaimed`."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM unclaimed WHERE payment_intent = ?", (payment_intent,))

    # what the cloud hears

    def note_echo(self, sent_at_ms: int) -> None:
        """See `Store.note_echo`."""
        with self._file.writing() as connection:
            row = connection.execute("SELECT since_ms, sent_at_ms FROM echo").fetchone()
            now_hears = hearing_after(_hearing(row), sent_at_ms)
            connection.execute(
                "INSERT OR REPLACE INTO echo (only_one, since_ms, sent_at_ms) VALUES (1, ?, ?)",
                (now_hears.since_ms, now_hears.until_ms),
            )

    def forget_echoes(self, later_than_ms: int) -> None:
        """See `Store.forget_echoes`."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM echo WHERE sent_at_ms > ?", (later_than_ms,))

    def heard_echo_ms(self) -> int | None:
        """See `Store.heard_echo_ms`."""
        row = self._one("SELECT sent_at_ms FROM echo")
        return None if row is None else int(row[0])

    def hearing(self) -> Hearing | None:
        """See `Store.hearing`."""
        return _hearing(self._one("SELECT since_ms, sent_at_ms FROM echo"))

    def note_reconciled(self, at_ms: int) -> None:
        """See `Store.note_reconciled`."""
        with self._file.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO swept (only_one, at_ms) VALUES (1, ?)", (at_ms,))

    def reconciled_ms(self) -> int | None:
        """See `Store.reconciled_ms`."""
        row = self._one("SELECT at_ms FROM swept")
        return None if row is None else int(row[0])

    def note_webhook_accepted(self, at_ms: int) -> None:
        """See `Store.note_webhook_accepted`."""
        self._note_webhooks(lambda before: webhooks.accepted(before, at_ms))

    def note_webhooks_refused(self, count: int, at_ms: int, why: str) -> None:
        """See `Store.note_webhooks_refused`."""
        self._note_webhooks(lambda before: webhooks.refused(before, count, at_ms, why))

    def webhooks(self) -> Webhooks:
        """See `Store.webhooks`."""
        row = self._one(WEBHOOKS)
        return Webhooks() if row is None else records.webhooks(row[0])

    def _note_webhooks(self, change: Callable[[Webhooks], Webhooks]) -> None:
        with self._file.writing() as connection:
            row = connection.execute(WEBHOOKS).fetchone()
            after = change(Webhooks() if row is None else records.webhooks(row[0]))
            connection.execute(
                "INSERT OR REPLACE INTO webhooks (only_one, record) VALUES (1, ?)", (records.encode(after),)
            )

    # housekeeping

    def form(self) -> int:
        """See `Store.form`."""
        with self._file.reading() as connection:
            return self._file.form(connection)

    def upgrade(self) -> int:
        """See `Store.upgrade`."""
        self._file.upgrade()
        return self.form()

    def prune(self, now_ms: int) -> int:
        """See `Store.prune`. It uses small transactions, so that no other write waits long."""
        before_ms, long_before_ms = now_ms - records.FORGET_AFTER_MS, now_ms - records.FORGET_STANDING_AFTER_MS
        return (
            self._forget("seen", "event_id", OLD_SEEN, before_ms)
            + self._forget("alerts", "alert_id", OLD_ALERTS, before_ms)
            + self.software.prune(now_ms)
            + self._forget("alerts", "alert_id", OLD_STANDING_ALERTS, long_before_ms)
            + self._forget("state_changes", "at_ms", OLD_STATE_CHANGES, before_ms)
            + self._forget("meter_counts", "at_ms", OLD_COUNTS, before_ms)
            + self._forget("game_overs", "at_ms", OLD_GAME_OVERS, now_ms - KEPT_MS)
            + self.forget_hours(day_of(before_ms, UTC))
            + self.people.prune(now_ms)
        )

    def _forget(self, table: str, key: str, old: str, before_ms: int) -> int:
        gone = 0
        while True:
            with self._file.writing() as connection:
                batch = connection.execute(
                    f"DELETE FROM {table} WHERE {key} IN ({old})",  # noqa: S608 - names from this module only  # nosec B608
                    (before_ms, _PRUNE_BATCH),
                ).rowcount
            gone += batch
            if batch < _PRUNE_BATCH:
                return gone

    def _one(self, sql: str, *values: str | int) -> tuple[Any, ...] | None:
        with self._file.reading() as connection:
            row: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
            return row

    def _all(self, sql: str, *values: str | int) -> list[tuple[Any, ...]]:
        with self._file.reading() as connection:
            return connection.execute(sql, values).fetchall()

    def _put_versioned(
        self,
        table: str,
        key: str,
        version: int,
        expected_version: int,
        record: bytes,
        changes: tuple[StateChange, ...] = (),
        *,
        named: str = "machine_id",
        **columns: int | None,
    ) -> None:
        """Store a record if the expected version is there.

        Args:
            changes: What is booked with it.
            named: The column of the key.
            columns: What else the table indexes.
        """
        values = {"version": version, "record": record, **columns}
        with self._file.writing() as connection:
            if expected_version == 0:
                stored = _is_new(
                    connection,
                    f"INSERT INTO {table} ({named}, {', '.join(values)}) "  # noqa: S608 - as above  # nosec B608
                    f"VALUES (?{', ?' * len(values)}) ON CONFLICT DO NOTHING",
                    (key, *values.values()),
                )
            else:
                assignments = ", ".join(f"{name} = ?" for name in values)
                stored = _is_new(
                    connection,
                    f"UPDATE {table} SET {assignments} WHERE {named} = ? AND version = ?",  # noqa: S608 - our own names  # nosec B608
                    (*values.values(), key, expected_version),
                )
            if not stored:
                raise Conflict(f"{table}: {key} has another version than {expected_version}")
            for change in changes:
                connection.execute(
                    "INSERT OR REPLACE INTO state_changes (machine_id, at_ms, record) VALUES (?, ?, ?)",
                    (change.machine_id, change.at_ms, records.encode(change)),
                )


def _hearing(row: tuple[Any, ...] | None) -> Hearing | None:
    """What a row of `echo` proves. An older program has noted no `since_ms`."""
    return None if row is None else Hearing(row[1] if row[0] is None else row[0], row[1])


def _is_new(connection: sqlite3.Connection, sql: str, row: tuple[str | int | bytes | None, ...]) -> bool:
    return connection.execute(sql, row).rowcount == 1


def _insert(connection: sqlite3.Connection, order: Order, record: bytes) -> None:
    if not _is_new(
        connection,
        "INSERT INTO orders (order_id, code, last4, under_way_ms, version, machine_id, created_at_ms, due_at_ms, "
        "record) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (
            order.order_id,
            order.code,
            order.last4,
            order.under_way_since_ms,
            order.version,
            order.machine_id,
            order.created_at_ms,
            order.due_at_ms,
            record,
        ),
    ):
        raise Conflict(f"order {order.order_id} exists already")


def _update(connection: sqlite3.Connection, order: Order, record: bytes, expected_version: int) -> None:
    row = connection.execute(
        "SELECT version, machine_id, created_at_ms FROM orders WHERE order_id = ?", (order.order_id,)
    ).fetchone()
    if row is None or row[0] != expected_version:
        raise Conflict(f"order {order.order_id} has version {row and row[0]}, not {expected_version}")
    if row[1:] != (order.machine_id, order.created_at_ms):
        raise InvariantBroken(f"order {order.order_id}: an order keeps its machine and its time of birth")
    connection.execute(
        "UPDATE orders SET last4 = ?, under_way_ms = ?, version = ?, due_at_ms = ?, record = ? WHERE order_id = ?",
        (order.last4, order.under_way_since_ms, order.version, order.due_at_ms, record, order.order_id),
    )


def _claim(connection: sqlite3.Connection, table: str, key: str, value: str, order_id: str) -> str:
    """Give `value` to the order if no order has it. Returns the id of its owner."""
    row = connection.execute(
        f"SELECT order_id FROM {table} WHERE {key} = ?",  # noqa: S608 - names from this module only  # nosec B608
        (value,),
    ).fetchone()
    if row is not None:
        return str(row[0])
    connection.execute(
        f"INSERT INTO {table} ({key}, order_id) VALUES (?, ?)",  # noqa: S608 - names from this module only  # nosec B608
        (value, order_id),
    )
    return order_id


def _also_at(connection: sqlite3.Connection, machine_id: str, order: Order) -> None:
    connection.execute(
        "INSERT INTO also_at (machine_id, created_at_ms, order_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (machine_id, order.created_at_ms, order.order_id),
    )


def _note_seen(connection: sqlite3.Connection, event_id: str, at_ms: int) -> bool:
    return _is_new(
        connection, "INSERT INTO seen (event_id, at_ms) VALUES (?, ?) ON CONFLICT DO NOTHING", (event_id, at_ms)
    )


def _put_alert(connection: sqlite3.Connection, alert: Alert) -> bool:
    """Store an alert, unless its id is there or it is a condition that lasts already."""
    row = (alert.alert_id, alert.at_ms, records.encode(alert), alert.is_standing, records.lasts_as(alert))
    return _is_new(
        connection,
        "INSERT INTO alerts (alert_id, at_ms, record, standing, lasts) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        row,
    )
