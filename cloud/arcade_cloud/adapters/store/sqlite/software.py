"""What is stored for other software in the SQLite file."""

import sqlite3
from collections.abc import Iterable
from typing import Any

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.sqlite.file import SqliteFile
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.domain.outbox import KEPT_MS, Endpoint, Posting
from arcade_cloud.errors import Conflict

# An index finds the rows of each query, so the cost is that of the rows returned (a test asks SQLite).
DUE_POSTINGS = """SELECT record, event_id FROM postings WHERE endpoint_id = ? AND due_at_ms <= ?
    ORDER BY due_at_ms LIMIT ?"""
POSTINGS = """SELECT record, event_id FROM postings WHERE endpoint_id = ? AND (at_ms, event_id) < (?, ?)
    ORDER BY at_ms DESC, event_id DESC LIMIT ?"""
CHANGE_POSTING = """UPDATE postings SET due_at_ms = ?, record = ?
    WHERE endpoint_id = ? AND event_id = ? AND record = ?"""
OLD_POSTINGS = "SELECT endpoint_id, event_id FROM postings WHERE at_ms < ? LIMIT ?"
_LATEST = (2**63 - 1, "")
# Records in one transaction of `prune`: few enough not to delay a webhook beside it.
_PRUNE_BATCH = 500


def put_postings(connection: sqlite3.Connection, postings: Iterable[Posting]) -> None:
    """Store new postings. Those that are there stay as they are."""
    for posting in postings:
        connection.execute(
            "INSERT INTO postings (endpoint_id, event_id, at_ms, due_at_ms, record) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (posting.endpoint_id, posting.event_id, posting.at_ms, posting.due_at_ms, records.encode(posting)),
        )


class SqliteSoftware:
    """`ports.software.SoftwareStore` on SQLite."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    # API keys

    def api_key(self, key_id: str) -> ApiKey | None:
        """See `SoftwareStore.api_key`."""
        rows = self._all("SELECT record FROM api_keys WHERE key_id = ?", key_id)
        return records.api_key(rows[0][0], key_id) if rows else None

    def api_keys(self) -> list[ApiKey]:
        """See `SoftwareStore.api_keys`."""
        found = [records.api_key(*row) for row in self._all("SELECT record, key_id FROM api_keys")]
        return sorted(found, key=lambda key: (key.created_at_ms, key.key_id))

    def put_api_key(self, key: ApiKey, expected_version: int) -> None:
        """See `SoftwareStore.put_api_key`."""
        records.check_next(f"API key {key.key_id}", key.version, expected_version)
        row = (key.version, records.encode(key), key.key_id)
        with self._file.writing() as connection:
            if expected_version == 0:
                sql = "INSERT INTO api_keys (version, record, key_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
                stored = connection.execute(sql, row).rowcount
            else:
                sql = "UPDATE api_keys SET version = ?, record = ? WHERE key_id = ? AND version = ?"
                stored = connection.execute(sql, (*row, expected_version)).rowcount
            if stored != 1:
                raise Conflict(f"API key {key.key_id} has another version than {expected_version}")

    # endpoints, and what they are told

    def endpoint(self, endpoint_id: str) -> Endpoint | None:
        """See `SoftwareStore.endpoint`."""
        rows = self._all("SELECT record FROM endpoints WHERE endpoint_id = ?", endpoint_id)
        return records.endpoint(rows[0][0], endpoint_id) if rows else None

    def endpoints(self) -> list[Endpoint]:
        """See `SoftwareStore.endpoints`."""
        found = [records.endpoint(*row) for row in self._all("SELECT record, endpoint_id FROM endpoints")]
        return sorted(found, key=lambda endpoint: (endpoint.created_at_ms, endpoint.endpoint_id))

    def add_endpoint(self, endpoint: Endpoint) -> None:
        """See `SoftwareStore.add_endpoint`."""
        with self._file.writing() as connection:
            stored = connection.execute(
                "INSERT INTO endpoints (endpoint_id, record) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (endpoint.endpoint_id, records.encode(endpoint)),
            ).rowcount
            if stored != 1:
                raise Conflict(f"there is an endpoint {endpoint.endpoint_id}")

    def remove_endpoint(self, endpoint_id: str) -> None:
        """See `SoftwareStore.remove_endpoint`."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM endpoints WHERE endpoint_id = ?", (endpoint_id,))

    def posting(self, endpoint_id: str, event_id: str) -> Posting | None:
        """See `SoftwareStore.posting`."""
        rows = self._all(
            "SELECT record FROM postings WHERE endpoint_id = ? AND event_id = ?", endpoint_id, event_id
        )
        return records.posting(rows[0][0], event_id) if rows else None

    def due_postings(self, endpoint_id: str, now_ms: int, limit: int) -> list[Posting]:
        """See `SoftwareStore.due_postings`."""
        return [records.posting(*row) for row in self._all(DUE_POSTINGS, endpoint_id, now_ms, max(0, limit))]

    def change_posting(self, before: Posting, after: Posting) -> None:
        """See `SoftwareStore.change_posting`."""
        records.check_posting(before, after)
        with self._file.writing() as connection:
            stored = connection.execute(
                CHANGE_POSTING,
                (
                    after.due_at_ms,
                    records.encode(after),
                    before.endpoint_id,
                    before.event_id,
                    records.encode(before),
                ),
            ).rowcount
            if stored != 1:
                raise Conflict(f"the posting of event {before.event_id} has changed meanwhile")

    def postings(self, endpoint_id: str, limit: int, *, before: tuple[int, str] | None = None) -> list[Posting]:
        """See `SoftwareStore.postings`."""
        rows = self._all(POSTINGS, endpoint_id, *(before or _LATEST), max(0, limit))
        return [records.posting(*row) for row in rows]

    def prune(self, now_ms: int) -> int:
        """Forget old postings. Returns how many went."""
        gone = 0
        while True:
            with self._file.writing() as connection:
                batch = connection.execute(
                    f"DELETE FROM postings WHERE (endpoint_id, event_id) IN ({OLD_POSTINGS})",  # noqa: S608 - our own text  # nosec B608
                    (now_ms - KEPT_MS, _PRUNE_BATCH),
                ).rowcount
            gone += batch
            if batch < _PRUNE_BATCH:
                return gone

    def _all(self, sql: str, *values: str | int) -> list[tuple[Any, ...]]:
        with self._file.reading() as connection:
            return connection.execute(sql, values).fetchall()
