"""docs/UPGRADING.md names every table, column and field that version 0.1 does not know."""

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import HistoryEntry, UnmatchedAck
from support.version_0_1 import write_file

DOCUMENT = Path(__file__).parents[4] / "docs" / "UPGRADING.md"
# Where version 0.1 stores each record, as one JSON object with all its fields.
RECORDS = {
    Alert: "alerts",
    HistoryEntry: "history",
    Machine: "machines",
    Payment: "orders",
    Presence: "presences",
    UnmatchedAck: "orphans",
}


@pytest.fixture
def older(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """What version 0.1 left."""
    write_file(tmp_path / "older.sqlite")
    with closing(sqlite3.connect(tmp_path / "older.sqlite")) as connection:
        yield connection


def columns(connection: sqlite3.Connection) -> dict[str, set[str]]:
    """The tables, each with its columns."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: {row[1] for row in connection.execute(f"PRAGMA table_info({name})")} for name in tables}


def in_document() -> set[str]:
    return set(re.findall(r"`([^`]+)`", DOCUMENT.read_text()))


def test_every_new_table_and_column_is_named(older: sqlite3.Connection, tmp_path: Path) -> None:
    SqliteStore(tmp_path / "newer.sqlite").close()
    before = columns(older)
    with closing(sqlite3.connect(tmp_path / "newer.sqlite")) as newer:
        after = columns(newer)
    new = after.keys() - before.keys()
    new |= {f"{table}.{column}" for table in before for column in after[table] - before[table]}
    assert new - in_document() == set()


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_new_field_of_a_record_is_named(older: sqlite3.Connection, record: type[msgspec.Struct]) -> None:
    rows = [json.loads(row) for (row,) in older.execute(f"SELECT record FROM {RECORDS[record]}")]
    known = {name for row in rows for name in ((row.get("payment") or {}) if record is Payment else row)}
    new = {f"{record.__name__}.{name}" for name in record.__struct_fields__ if name not in known}
    assert known
    assert new - in_document() == set()
