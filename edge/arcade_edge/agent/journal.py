"""The agent's journal: SQLite, durable at every commit, one process and one thread.

It is bound to the computer by its serial number. A journal that was copied to another computer, or that is
damaged, is put aside (renamed, and kept) and a new one with a new installation begins: what the cloud has
addressed to the old installation is then never pulsed by the new one.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arcade_edge.domain.credits import Credit
from arcade_edge.errors import (
    InvariantBroken,
    JournalCorrupt,
    JournalFault,
    JournalForeign,
    JournalInUse,
    JournalTooNew,
)
from arcade_shared.ids import random_hex_128

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 1
# One credit a minute, day and night, for 35 days: 7 MB. Beyond, the oldest final ones are forgotten earlier.
MAX_CREDITS_KEPT = 50_000
# Each is at most a few megabytes; a card that dies slowly must not be filled with its own history.
MAX_PUT_ASIDE = 20
# The write-ahead log has this size from the start and is written from its beginning again after each checkpoint:
# a commit into a file that need not grow is one write to the card, else three.
_WAL_BYTES = 1 << 20
# In a quiet moment after so many commits (each takes up to four pages of 4 KiB) the log is copied back.
_COMMITS_PER_CHECKPOINT = 32

_SCHEMA = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE credits (credit_id TEXT PRIMARY KEY, credits INTEGER NOT NULL, state TEXT NOT NULL, "
    "expires_at_ms INTEGER NOT NULL, delivered INTEGER NOT NULL, uncertain INTEGER NOT NULL, "
    "intent INTEGER NOT NULL, reason TEXT NOT NULL, registered INTEGER) WITHOUT ROWID",
    "CREATE TABLE outbox (credit_id TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL) WITHOUT ROWID",
)
_COLUMNS = "credit_id, credits, state, expires_at_ms, delivered, uncertain, intent, reason, registered"
_UNFINISHED = "state NOT IN ('done', 'refused', 'revoked')"
_WRITE = (
    f"INSERT INTO credits ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - our own column names  # nosec B608
    "ON CONFLICT (credit_id) DO UPDATE SET credits = excluded.credits, state = excluded.state, "
    "expires_at_ms = excluded.expires_at_ms, delivered = excluded.delivered, uncertain = excluded.uncertain, "
    f"intent = excluded.intent, reason = excluded.reason, registered = excluded.registered WHERE {_UNFINISHED}"
)
# SQLITE_ERROR: a table or a column of ours is missing.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
# What SQLite says of the rest is true, and tells nobody what to do.
_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full: make room on it (df -h)",
    sqlite3.SQLITE_IOERR: "the card cannot be read or written: it may be dying (dmesg)",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: this user must be able to read and write it and its folder",
    sqlite3.SQLITE_READONLY: "it cannot be written: this user must be able to write it and its folder",
    sqlite3.SQLITE_PERM: "this user may not open it",
}
# What a journal and its folder let others do: nothing.
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600


@dataclass(frozen=True)
class Contents:
    """A journal as it is shown to people, newest credits first."""

    installation: str
    serial: str
    credits_: list[Credit]
    untold: list[str]
    counters: dict[str, int]


class SqliteJournal:
    """An open journal. Made by `open_journal`; used from one thread; ended with `close`."""

    def __init__(self, connection: sqlite3.Connection, lock_fd: int) -> None:
        self._connection = connection
        self._lock_fd = lock_fd
        self._installation = _meta(connection, "installation") or ""
        self._forgotten_before_ms = int(_meta(connection, "forgotten_before_ms") or "0")
        self._short_trains = int(_meta(connection, "short_trains") or "0")
        self._newest_id = _newest_id(connection)
        self._commits = 0

    @property
    def installation(self) -> str:
        """32 hexadecimal digits, born with this journal on this computer."""
        return self._installation

    @property
    def forgotten_before_ms(self) -> int:
        """Ids made before this moment (epoch ms) may have been pruned; 0 if none was."""
        return self._forgotten_before_ms

    @property
    def short_trains(self) -> int:
        """Of how many trains in a row the coin meter has missed coins."""
        return self._short_trains

    def find(self, credit_id: str) -> Credit | None:
        """The credit with this id."""
        if credit_id > self._newest_id:  # ids sort by their time: most commands are found to be new without SQL
            return None
        rows = self._read(f"SELECT {_COLUMNS} FROM credits WHERE credit_id = ?", (credit_id,))  # noqa: S608 - our own names  # nosec B608
        return rows[0] if rows else None

    def unfinished(self) -> list[Credit]:
        """Every credit that is not final, oldest first."""
        return self._read(f"SELECT {_COLUMNS} FROM credits WHERE {_UNFINISHED} ORDER BY credit_id")  # noqa: S608 - our own names  # nosec B608

    def untold(self, limit: int) -> list[Credit]:
        """The oldest `limit` final credits that the broker has not confirmed."""
        return self._read(
            f"SELECT {_COLUMNS} FROM credits JOIN outbox USING (credit_id) ORDER BY credit_id LIMIT ?",  # noqa: S608 - our own names  # nosec B608
            (limit,),
        )

    def commit(
        self, credits_: Sequence[Credit] = (), told: Collection[str] = (), *, short_trains: int | None = None
    ) -> None:
        """Write all of it, durably, or nothing; a final credit enters the outbox in the same transaction.

        Raises:
            InvariantBroken: A credit would change that is final already.
        """
        # Before the attempt: a commit that fails may be in the file all the same.
        self._newest_id = max([self._newest_id, *(credit.credit_id for credit in credits_)])
        self._commits += 1
        if len(credits_) == 1 and not told and not credits_[0].final and short_trains is None:
            with _faults_named():  # one statement is a transaction by itself, and a first edge waits for it
                self._write(credits_[0])
            return
        with self._transaction() as connection:
            for credit in credits_:
                self._write(credit)
                if credit.final:
                    connection.execute("INSERT OR IGNORE INTO outbox VALUES (?)", (credit.credit_id,))
            for credit_id in told:
                connection.execute("DELETE FROM outbox WHERE credit_id = ?", (credit_id,))
            if short_trains is not None:
                _set_meta(connection, "short_trains", str(short_trains))
        self._short_trains = self._short_trains if short_trains is None else short_trains

    def _write(self, credit: Credit) -> None:
        written = self._connection.execute(_WRITE, _row(credit)).rowcount
        if written != 1 and self.find(credit.credit_id) != credit:
            raise InvariantBroken(f"{credit.credit_id} is final in the journal and would change")

    def count(self, increments: Mapping[str, int]) -> None:
        """Add to the counters of what was refused or ignored."""
        with self._transaction() as connection:
            connection.executemany(
                "INSERT INTO counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
                list(increments.items()),
            )

    def prune(self, before_ms: int, limit: int, keep: int = MAX_CREDITS_KEPT) -> int:
        """Forget up to `limit` final credits made before `before_ms`, or beyond `keep`; how many there were.

        What is forgotten raises `forgotten_before_ms` in the same transaction, so no forgotten id is ever
        taken for a new one.
        """
        with self._transaction() as connection:
            (kept,) = connection.execute("SELECT count(*) FROM credits").fetchone()
            surplus = max(0, kept - keep)
            ids = [
                row[0]
                for row in connection.execute(
                    f"SELECT credit_id FROM credits WHERE NOT {_UNFINISHED} ORDER BY credit_id LIMIT ?",  # noqa: S608 - our own names  # nosec B608
                    (limit,),
                )
            ]
            old = [credit_id for n, credit_id in enumerate(ids) if n < surplus or credit_id < _first_id(before_ms)]
            for credit_id in old:
                connection.execute("DELETE FROM credits WHERE credit_id = ?", (credit_id,))
                connection.execute("DELETE FROM outbox WHERE credit_id = ?", (credit_id,))
            forgotten_ms = self._forgotten_before_ms
            if old:
                forgotten_ms = max(forgotten_ms, _made_ms(old[-1]) + 1)
                _set_meta(connection, "forgotten_before_ms", str(forgotten_ms))
        self._forgotten_before_ms = forgotten_ms
        return len(old)

    def rest(self) -> None:
        """Nobody waits just now: copy the write-ahead log back, so that no commit has to."""
        if self._commits >= _COMMITS_PER_CHECKPOINT:
            self._commits = 0
            with _faults_named():
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def probe(self) -> None:
        """Write something, to see whether writing works."""
        with self._transaction() as connection:
            _set_meta(connection, "probed", random_hex_128())

    def close(self) -> None:
        """Give the journal back."""
        self._connection.close()
        os.close(self._lock_fd)

    def _read(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Credit]:
        with _faults_named():
            return [_credit(row) for row in self._connection.execute(sql, parameters)]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _faults_named():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def lock_journal(path: Path) -> int:
    """Take the journal at `path` for this process; the descriptor that holds it, to be closed at the end.

    Whoever drives the coin line takes it first, so that two never do.

    Raises:
        JournalInUse: Another process has it.
        JournalFault: Its folder cannot be written to, or it is a folder itself.
    """
    if os.path.isdir(path):
        raise JournalFault(
            f"{path} is a folder: [journal] path must name a file in it, such as {path / 'journal.sqlite'}"
        )
    try:
        path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        lock_fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    except OSError as error:
        raise JournalFault(f"{path}: {_why_no_folder(path.parent, error)}") from error
    try:
        fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock_fd)
        raise JournalInUse(f"{path} is in use: another arcade-edge runs on this machine") from None
    return lock_fd


def _why_no_folder(folder: Path, error: OSError) -> str:
    match error:
        case FileExistsError() | NotADirectoryError():
            return f"{folder} is a file, and the journal needs a folder there"
        case PermissionError():
            return f"this user may not write to {folder}: try with sudo, or give the folder to the agent's user"
        case OSError(errno=errno.ENOSPC):
            return _REMEDIES[sqlite3.SQLITE_FULL]
    return f"{error.strerror}; the journal needs a folder that may be written to"


def open_journal(path: Path, serial: str, *, replaces: bool = True) -> SqliteJournal:
    """The journal at `path`, made anew if there is none, or none that belongs to the computer `serial`.

    Args:
        replaces: Whether a journal that is damaged, or another computer's, is put aside for a new one.

    Raises:
        JournalInUse: Another process has it.
        JournalTooNew: A newer version of this program has written it.
        JournalCorrupt: It is damaged, and was left as it is.
        JournalForeign: It belongs to another computer, and was left as it is.
        JournalFault: It cannot be opened; the text says what to do about it.
    """
    lock_fd = lock_journal(path)
    try:
        _close_to_others(path)
        return SqliteJournal(_connection(path, serial, replaces), lock_fd)
    except BaseException:
        os.close(lock_fd)
        raise


def clear_short_trains(path: Path) -> bool:
    """Note that the coin meter registers again; for a process that holds the journal's lock.

    Returns:
        Whether the journal had noted that it does not.

    Raises:
        JournalFault: It cannot be written.
    """
    if not path.is_file():
        return False
    with _faults_named(path), closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        had = int(_meta(connection, "short_trains") or "0")
        if had:
            _set_meta(connection, "short_trains", "0")
        return had > 0


def read_contents(path: Path, limit: int) -> Contents:
    """The journal at `path` as it is at one moment, without disturbing an agent that runs.

    Raises:
        JournalFault: There is none, or it cannot be read.
    """
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise JournalFault(f"{path}: there is no journal; the agent makes it when it first starts") from None
    except IsADirectoryError:
        raise JournalFault(f"{path} is a folder: [journal] path must name a file in it") from None
    except OSError as error:
        hint = "this user may not read it: try with sudo" if isinstance(error, PermissionError) else error.strerror
        raise JournalFault(f"{path}: {hint}") from None
    with _faults_named(path):
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("BEGIN")  # one transaction sees one state, whatever the agent commits meanwhile
            if _schema_version(connection, path) == 0:
                raise JournalFault(f"{path}: there is nothing in it yet; the agent writes it when it first starts")
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM credits ORDER BY credit_id DESC LIMIT ?",  # noqa: S608 - own names  # nosec B608
                (limit,),
            )
            return Contents(
                _meta(connection, "installation") or "",
                _meta(connection, "serial") or "",
                [_credit(row) for row in rows],
                [row[0] for row in connection.execute("SELECT credit_id FROM outbox ORDER BY credit_id")],
                dict(connection.execute("SELECT name, n FROM counters ORDER BY name")),
            )
        finally:
            connection.close()


def _close_to_others(path: Path) -> None:
    """Make the file, if there is none, for this user alone, and take it away from others if there is one.

    SQLite gives its companions the same mode.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    except OSError:
        return  # what is wrong with it shows in a moment
    with suppress(OSError):  # somebody else's file, which this user may write
        if os.fstat(descriptor).st_mode & 0o077:
            os.fchmod(descriptor, _FILE_MODE)
    os.close(descriptor)


def _connection(path: Path, serial: str, replaces: bool) -> sqlite3.Connection:
    try:
        connection = _opened(path)
        found = _meta(connection, "serial")
        if found == serial:
            return _with_room(connection, path)
        if found is not None:
            connection.close()
            if not replaces:
                raise JournalForeign(f"{path} belongs to another computer ({found}; a copied card?)")
            kept = _put_aside(path)
            logger.warning(
                "the journal belongs to another computer (a copied card?); it is kept as %s and a new "
                "installation begins",
                kept,
            )
            connection = _opened(path)
    except JournalCorrupt as error:
        if not replaces:
            raise
        logger.error("the journal is damaged (%s)", error)  # noqa: TRY400 - a trace says no more
        logger.warning("it is kept as %s and a new installation begins", _put_aside(path))
        connection = _opened(path)
    with _faults_named(path):
        connection.execute("BEGIN IMMEDIATE")
        _set_meta(connection, "installation", random_hex_128())
        _set_meta(connection, "serial", serial)
        connection.execute("COMMIT")
    return _with_room(connection, path)


def _opened(path: Path) -> sqlite3.Connection:
    """A connection to a sound journal with its tables.

    Raises:
        JournalCorrupt: It is damaged.
    """
    with _faults_named(path):
        connection = sqlite3.connect(path, isolation_level=None, cached_statements=64)
        try:
            _check(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Set the connection up, make the tables where there are none, and read every row once."""
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalFault(f"{path}: this file system cannot hold the journal (mode {mode})")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // 4096}")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise JournalCorrupt(f"{path}: {verdict}")
    version = _schema_version(connection, path)
    if version == 0:
        connection.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    for row in connection.execute(f"SELECT {_COLUMNS} FROM credits"):  # noqa: S608 - our own column names  # nosec B608
        _credit(row)


def _schema_version(connection: sqlite3.Connection, path: Path) -> int:
    """0 where there are no tables yet.

    Raises:
        JournalTooNew: A newer version of this program has written it.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise JournalTooNew(
            f"{path} was written by a newer version (schema {version}, this one knows {SCHEMA_VERSION}): "
            "install that version again, or move the journal away"
        )
    return version


def _with_room(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Give the write-ahead log its size."""
    with _faults_named(path):
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE room (bytes BLOB)")
        connection.execute("INSERT INTO room VALUES (zeroblob(?))", (_WAL_BYTES,))
        connection.execute("DROP TABLE room")
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    return connection


def _put_aside(path: Path) -> Path:
    """Rename the journal and its companions; keep the newest MAX_PUT_ASIDE of those put aside."""
    numbered = sorted(
        int(found.name.rpartition("-")[2])
        for found in path.parent.glob(f"{path.name}.aside-*")
        if found.name.rpartition("-")[2].isdecimal()
    )
    target = path.with_name(f"{path.name}.aside-{numbered[-1] + 1 if numbered else 1}")
    try:
        for suffix in ("-wal", "-shm", ""):
            companion = Path(f"{path}{suffix}")
            if companion.exists():
                companion.rename(f"{target}{suffix}")
        for number in numbered[: 1 - MAX_PUT_ASIDE]:
            for suffix in ("-wal", "-shm", ""):
                Path(f"{path}.aside-{number}{suffix}").unlink(missing_ok=True)
    except OSError as error:
        raise JournalFault(f"{path}: cannot put the journal aside: {error.strerror}") from error
    return target


@contextmanager
def _faults_named(path: Path | None = None) -> Iterator[None]:
    """SQLite's errors as ours."""
    where = f"{path}: " if path else ""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise (JournalCorrupt if code in _DAMAGED else JournalFault)(
            f"{where}{_REMEDIES.get(code, error)}"
        ) from error


def _meta(connection: sqlite3.Connection, key: str) -> str | None:
    with _faults_named():
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def _newest_id(connection: sqlite3.Connection) -> str:
    with _faults_named():
        (newest,) = connection.execute("SELECT max(credit_id) FROM credits").fetchone()
    return newest or ""


def _set_meta(connection: sqlite3.Connection, key: str, value: str) -> None:
    connection.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, value)
    )


def _row(credit: Credit) -> tuple[Any, ...]:
    return (
        credit.credit_id,
        credit.credits,
        credit.state,
        credit.expires_at_ms,
        credit.delivered,
        credit.uncertain,
        credit.intent,
        credit.reason,
        credit.registered,
    )


def _credit(row: tuple[Any, ...]) -> Credit:
    """The credit in `row`.

    Raises:
        JournalCorrupt: No rule leads to such a credit.
    """
    credit_id, credits_, state, expires_at_ms, delivered, uncertain, intent, reason, registered = row
    try:
        return Credit(
            credit_id, credits_, state, expires_at_ms, delivered, uncertain, bool(intent), reason, registered
        )
    except (InvariantBroken, TypeError) as error:
        raise JournalCorrupt(f"a credit that cannot be: {error}") from error


def _first_id(made_ms: int) -> str:
    """What sorts before every UUIDv7 made at `made_ms` or later (as text; ids sort by their time)."""
    digits = f"{max(made_ms, 0):012x}"
    return f"{digits[:8]}-{digits[8:]}"


def _made_ms(credit_id: str) -> int:
    return int(credit_id[:8] + credit_id[9:13], 16)
