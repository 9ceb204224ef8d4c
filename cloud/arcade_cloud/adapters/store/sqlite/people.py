"""People, sessions and the audit log in the SQLite file. SQLite itself refuses to change what is logged."""

import sqlite3
from typing import Any

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.sqlite.file import SqliteFile
from arcade_cloud.domain.audit import Audited, AuditEntry, AuditOutcome, Mark
from arcade_cloud.domain.people import FORGET_TRIES_MS, Person, Session, Tries
from arcade_cloud.errors import Conflict, InvariantBroken

# An index finds the rows of each query, so the cost is that of the rows returned (a test asks SQLite).
_PAGE = "{where} ORDER BY audit.at_ms DESC, audit.entry_id DESC LIMIT ?"
_AUDIT = """SELECT audit.record, audit_outcomes.record, audit.entry_id
    FROM audit LEFT JOIN audit_outcomes USING (entry_id) WHERE """
AUDIT = _AUDIT + _PAGE.format(where="(audit.at_ms, audit.entry_id) < (?, ?)")
AUDIT_BY = _AUDIT + _PAGE.format(where="audit.who = ? AND (audit.at_ms, audit.entry_id) < (?, ?)")
AUDIT_ON = _AUDIT + _PAGE.format(where="audit.subject = ? AND (audit.at_ms, audit.entry_id) < (?, ?)")
_LATEST = Mark(2**63 - 1, "")
_PRUNE_BATCH = 500


class SqlitePeople:
    """`ports.people.PeopleStore` on SQLite."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def person(self, name: str) -> Person | None:
        """See `PeopleStore.person`."""
        row = self._one("SELECT record FROM people WHERE name = ?", name)
        return None if row is None else records.person(row[0], name)

    def people(self) -> list[Person]:
        """See `PeopleStore.people`."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT record, name FROM people ORDER BY name").fetchall()
        return [records.person(record, name) for record, name in rows]

    def put_person(self, person: Person, expected_version: int, *, beside: Person | None = None) -> None:
        """See `PeopleStore.put_person`."""
        records.check_next(f"person {person.name}", person.version, expected_version)
        with self._file.writing() as connection:
            if beside is not None:
                stored = connection.execute(
                    "SELECT 1 FROM people WHERE name = ? AND version = ?", (beside.name, beside.version)
                )
                if stored.fetchone() is None:
                    raise Conflict(f"{beside.name!r} has another version than {beside.version}")
            _put(
                connection,
                "INSERT INTO people (version, record, name) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                "UPDATE people SET version = ?, record = ? WHERE name = ? AND version = ?",
                (person.version, records.encode(person), person.name),
                expected_version,
            )

    def session(self, session_id: str) -> Session | None:
        """See `PeopleStore.session`."""
        row = self._one("SELECT record FROM sessions WHERE session_id = ?", session_id)
        return None if row is None else records.session(row[0])

    def put_session(self, session: Session) -> None:
        """See `PeopleStore.put_session`."""
        with self._file.writing() as connection:
            connection.execute(
                "INSERT INTO sessions (session_id, ends_at_ms, record) VALUES (?, ?, ?)",
                (session.session_id, session.ends_at_ms, records.encode(session)),
            )

    def change_session(self, session: Session) -> bool:
        """See `PeopleStore.change_session`."""
        with self._file.writing() as connection:
            changed = connection.execute(
                "UPDATE sessions SET ends_at_ms = ?, record = ? WHERE session_id = ?",
                (session.ends_at_ms, records.encode(session), session.session_id),
            ).rowcount
        return changed == 1

    def end_session(self, session_id: str) -> None:
        """See `PeopleStore.end_session`."""
        with self._file.writing() as connection:
            connection.execute("DELETE FROM sessions WHERE session_id = ?", (session_id,))

    def tries(self, key: str) -> Tries:
        """See `PeopleStore.tries`."""
        row = self._one("SELECT record FROM tries WHERE key = ?", key)
        return Tries(key=key) if row is None else records.tries(row[0])

    def put_tries(self, tries: Tries, expected_version: int) -> None:
        """See `PeopleStore.put_tries`."""
        records.check_next(f"the tries of {tries.key}", tries.version, expected_version)
        with self._file.writing() as connection:
            _put(
                connection,
                "INSERT INTO tries (version, last_ms, record, key) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                "UPDATE tries SET version = ?, last_ms = ?, record = ? WHERE key = ? AND version = ?",
                (tries.version, tries.last_ms, records.encode(tries), tries.key),
                expected_version,
            )

    def append_audit(self, entry: AuditEntry) -> None:
        """See `PeopleStore.append_audit`."""
        with self._file.writing() as connection:
            added = connection.execute(
                "INSERT INTO audit (entry_id, at_ms, who, subject, record) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                (entry.entry_id, entry.at_ms, entry.who, entry.on, records.encode(entry)),
            ).rowcount
            if added != 1:
                raise InvariantBroken(f"audit entry {entry.entry_id} is written already")

    def append_outcome(self, outcome: AuditOutcome) -> bool:
        """See `PeopleStore.append_outcome`."""
        with self._file.writing() as connection:
            added = connection.execute(
                "INSERT INTO audit_outcomes (entry_id, record) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (outcome.entry_id, records.encode(outcome)),
            ).rowcount
        return added == 1

    def audit(
        self, limit: int, *, before: Mark | None = None, who: str | None = None, on: str | None = None
    ) -> list[Audited]:
        """See `PeopleStore.audit`."""
        place = (*(before or _LATEST), max(0, limit))
        with self._file.reading() as connection:
            if who is not None:
                rows = connection.execute(AUDIT_BY, (who, *place)).fetchall()
            elif on is not None:
                rows = connection.execute(AUDIT_ON, (on, *place)).fetchall()
            else:
                rows = connection.execute(AUDIT, place).fetchall()
        return [
            Audited(
                records.audit_entry(entry, entry_id),
                None if outcome is None else records.audit_outcome(outcome, entry_id),
            )
            for entry, outcome, entry_id in rows
        ]

    def prune(self, now_ms: int) -> int:
        """Forget sessions that are over, and tries that count no more. Returns how many records went."""
        return self._forget(
            "DELETE FROM sessions WHERE session_id IN "
            "(SELECT session_id FROM sessions WHERE ends_at_ms < ? LIMIT ?)",
            now_ms,
        ) + self._forget(
            "DELETE FROM tries WHERE key IN (SELECT key FROM tries WHERE last_ms < ? LIMIT ?)",
            now_ms - FORGET_TRIES_MS,
        )

    def _forget(self, sql: str, before_ms: int) -> int:
        gone = 0
        while True:
            with self._file.writing() as connection:
                batch = connection.execute(sql, (before_ms, _PRUNE_BATCH)).rowcount
            gone += batch
            if batch < _PRUNE_BATCH:
                return gone

    def _one(self, sql: str, value: str) -> tuple[Any, ...] | None:
        with self._file.reading() as connection:
            row: tuple[Any, ...] | None = connection.execute(sql, (value,)).fetchone()
            return row


def _put(
    connection: sqlite3.Connection,
    new: str,
    change: str,
    row: tuple[int | bytes | str, ...],
    expected_version: int,
) -> None:
    """Store a record, whose key is the last of its row, if the expected version is there."""
    values = row if expected_version == 0 else (*row, expected_version)
    if connection.execute(change if expected_version else new, values).rowcount != 1:
        raise Conflict(f"{row[-1]!r} has another version than {expected_version}")
