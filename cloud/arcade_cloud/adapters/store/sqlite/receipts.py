"""The numbers of receipts in the SQLite file."""

import json
import sqlite3
from collections.abc import Collection, Sequence

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.sqlite.file import SqliteFile
from arcade_cloud.domain.receipts import Receipt, ReceiptDue, Series
from arcade_cloud.errors import Conflict

# An index finds the rows of each query, so the cost is that of the rows returned (a test asks SQLite).
RECEIPTS_DUE = "SELECT at_ms, order_id, serial FROM receipts_due ORDER BY at_ms, order_id, serial LIMIT ?"
RECEIPTS_OF = "SELECT record, order_id FROM receipts WHERE order_id IN (SELECT value FROM json_each(?))"
NUMBERED = "SELECT record, number FROM receipts WHERE prefix = ? AND number BETWEEN ? AND ? ORDER BY number"


def put_due(connection: sqlite3.Connection, due: Sequence[ReceiptDue]) -> None:
    """Have these wait for their numbers."""
    connection.executemany(
        "INSERT INTO receipts_due (at_ms, order_id, serial) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(one.at_ms, one.order_id, one.serial) for one in due],
    )


class SqliteReceipts:
    """`ports.receipts.ReceiptStore` on SQLite."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def due(self, limit: int) -> list[ReceiptDue]:
        """See `ReceiptStore.due`."""
        with self._file.reading() as connection:
            rows = connection.execute(RECEIPTS_DUE, (max(0, limit),)).fetchall()
        return [ReceiptDue(at_ms=at_ms, order_id=order_id, serial=serial) for at_ms, order_id, serial in rows]

    def queue(self, due: Sequence[ReceiptDue]) -> None:
        """See `ReceiptStore.queue`."""
        with self._file.writing() as connection:
            put_due(connection, due)

    def series(self) -> list[Series]:
        """See `ReceiptStore.series`."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT record, prefix FROM receipt_series ORDER BY prefix").fetchall()
        return [records.series(record, prefix) for record, prefix in rows]

    def issue(
        self, receipts: Sequence[Receipt], after: Series, before: Series, done: Sequence[ReceiptDue]
    ) -> None:
        """See `ReceiptStore.issue`."""
        records.check_issue(receipts, after, before, done)
        with self._file.writing() as connection:
            if receipts:
                _count_on(connection, after, before)
            for receipt in receipts:
                stored = connection.execute(
                    "INSERT INTO receipts (prefix, number, order_id, record) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT DO NOTHING",
                    (receipt.prefix, receipt.number, receipt.order_id, records.encode(receipt)),
                ).rowcount
                if stored != 1:
                    raise Conflict(f"receipt {receipt.name} is given, or order {receipt.order_id} has one")
            connection.executemany(
                "DELETE FROM receipts_due WHERE at_ms = ? AND order_id = ? AND serial = ?",
                [(one.at_ms, one.order_id, one.serial) for one in done],
            )

    def receipts_of(self, order_ids: Collection[str]) -> dict[str, Receipt]:
        """See `ReceiptStore.receipts_of`."""
        with self._file.reading() as connection:
            rows = connection.execute(RECEIPTS_OF, (json.dumps(list(order_ids)),)).fetchall()
        return {order_id: records.receipt(record, f"order {order_id}") for record, order_id in rows}

    def numbered(self, prefix: str, first: int, last: int) -> list[Receipt]:
        """See `ReceiptStore.numbered`."""
        with self._file.reading() as connection:
            rows = connection.execute(NUMBERED, (prefix, first, last)).fetchall()
        return [records.receipt(record, f"number {prefix}{number}") for record, number in rows]


def _count_on(connection: sqlite3.Connection, after: Series, before: Series) -> None:
    if before.last == 0:
        sql = "INSERT INTO receipt_series (last, record, prefix) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        stored = connection.execute(sql, (after.last, records.encode(after), after.prefix)).rowcount
    else:
        sql = "UPDATE receipt_series SET last = ?, record = ? WHERE prefix = ? AND last = ?"
        stored = connection.execute(sql, (after.last, records.encode(after), after.prefix, before.last)).rowcount
    if stored != 1:
        raise Conflict(f"receipts {after.prefix!r}: the last number is another than {before.last}")
