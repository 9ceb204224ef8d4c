"""What is stored for other software in the SQLite file."""

from typing import Any

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.sqlite.file import SqliteFile
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.errors import Conflict


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

    def _all(self, sql: str, *values: str | int) -> list[tuple[Any, ...]]:
        with self._file.reading() as connection:
            return connection.execute(sql, values).fetchall()
