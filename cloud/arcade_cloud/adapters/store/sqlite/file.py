"""One SQLite file: how it is opened, brought to the present schema, locked, and what its errors mean.

Durability: WAL with `synchronous=FULL`, so that a commit is one fsync and survives a power cut.
Concurrency: in one process a single connection writes, under a lock that hands over at once, while SQLite's own
busy handler would sleep. Readers have connections of their own and never wait. `BEGIN IMMEDIATE` and the busy
timeout keep other processes apart, such as the command line beside a running server.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from arcade_cloud.config.private_files import make_private
from arcade_cloud.errors import FormTooNew, InvariantBroken, StoreUnavailable

# How long a writer waits for another one, in this process or another.
BUSY_S = 5.0
# Readers kept open between reads. More are open while more threads read at once.
_IDLE_READERS = 16
_WAL_LIMIT_BYTES = 64 * 1024 * 1024
_CACHE_KIB = 8 * 1024

Migration = tuple[str, ...]

# Each leads from the schema version that is its index to the next. Never change a released one: append.
MIGRATIONS: tuple[Migration, ...] = (
    (
        """CREATE TABLE orders (
            order_id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, machine_id TEXT NOT NULL,
            created_at_ms INTEGER NOT NULL, due_at_ms INTEGER, record BLOB NOT NULL)""",
        "CREATE INDEX orders_due ON orders (due_at_ms, order_id) WHERE due_at_ms IS NOT NULL",
        "CREATE INDEX orders_recent ON orders (created_at_ms, order_id)",
        "CREATE INDEX orders_of_machine ON orders (machine_id, created_at_ms, order_id)",
        """CREATE TABLE history (
            order_id TEXT NOT NULL, version INTEGER NOT NULL, record BLOB NOT NULL,
            PRIMARY KEY (order_id, version)) WITHOUT ROWID""",
        "CREATE TABLE payments (payment_intent TEXT NOT NULL PRIMARY KEY, order_id TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE credits (credit_id TEXT NOT NULL PRIMARY KEY, order_id TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE seen (event_id TEXT NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL) WITHOUT ROWID",
        "CREATE INDEX seen_at ON seen (at_ms)",
        """CREATE TABLE machines (
            machine_id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE presences (
            machine_id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
        """CREATE TABLE alerts (
            alert_id TEXT NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL, sent INTEGER NOT NULL DEFAULT 0,
            record BLOB NOT NULL)""",
        "CREATE INDEX alerts_at ON alerts (at_ms, alert_id)",
        "CREATE INDEX alerts_unsent ON alerts (at_ms, alert_id) WHERE sent = 0",
        "CREATE INDEX alerts_sent ON alerts (at_ms) WHERE sent = 1",
        """CREATE TABLE orphans (
            machine_id TEXT NOT NULL, credit_id TEXT NOT NULL, installation TEXT NOT NULL, state TEXT NOT NULL,
            delivered INTEGER NOT NULL, uncertain INTEGER NOT NULL, at_ms INTEGER NOT NULL, record BLOB NOT NULL,
            PRIMARY KEY (machine_id, credit_id, installation, state, delivered, uncertain)) WITHOUT ROWID""",
        "CREATE INDEX orphans_at ON orphans (at_ms)",
        """CREATE TABLE echo (
            only_one INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1), sent_at_ms INTEGER NOT NULL)""",
    ),
    (
        """CREATE TABLE swept (
            only_one INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1), at_ms INTEGER NOT NULL)""",
    ),
    (
        # The further machines of orders with credits at several. The first machine is in `orders`.
        """CREATE TABLE also_at (
            machine_id TEXT NOT NULL, created_at_ms INTEGER NOT NULL, order_id TEXT NOT NULL,
            PRIMARY KEY (machine_id, created_at_ms, order_id)) WITHOUT ROWID""",
    ),
)
# What no older program notices: it is added when a file is opened, whatever its schema.
ADDED_COLUMNS = (
    # Orders that older programs have made have none: they are not found by their code.
    ("orders", "code", "TEXT"),
    # The last four digits of the card. Older programs leave what is there.
    ("orders", "last4", "TEXT"),
    # Since when something of the order is under way. Older programs leave it, but what they settle is not due.
    ("orders", "under_way_ms", "INTEGER"),
    # Alerts of older programs have the defaults: they wait for nobody.
    ("alerts", "standing", "INTEGER NOT NULL DEFAULT 0"),
    # The kind and subject of a condition, while it lasts.
    ("alerts", "lasts", "TEXT"),
    # Presences that older programs have stored are due at once: only a look says what they are.
    ("presences", "due_at_ms", "INTEGER DEFAULT 0"),
    ("echo", "since_ms", "INTEGER"),
)
ADDED_TABLES = {
    "tabs": """CREATE TABLE IF NOT EXISTS tabs (
        secret_hash TEXT NOT NULL PRIMARY KEY, order_id TEXT NOT NULL) WITHOUT ROWID""",
    "unclaimed": """CREATE TABLE IF NOT EXISTS unclaimed (
        payment_intent TEXT NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
    "webhooks": """CREATE TABLE IF NOT EXISTS webhooks (
        only_one INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1), record BLOB NOT NULL)""",
    "rechecked": """CREATE TABLE IF NOT EXISTS rechecked (
        only_one INTEGER NOT NULL PRIMARY KEY CHECK (only_one = 1), due_at_ms INTEGER NOT NULL,
        order_id TEXT NOT NULL)""",
    "day_reports": """CREATE TABLE IF NOT EXISTS day_reports (
        day TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
    # One row for all lines that one settlement of an order has booked.
    "takings": """CREATE TABLE IF NOT EXISTS takings (
        order_id TEXT NOT NULL, serial INTEGER NOT NULL, day TEXT NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (order_id, serial)) WITHOUT ROWID""",
    # What lines add up to: see `sqlite/takings.py`.
    "tallies": """CREATE TABLE IF NOT EXISTS tallies (
        span TEXT NOT NULL, machine_id TEXT NOT NULL, location TEXT NOT NULL, method TEXT NOT NULL,
        currency TEXT NOT NULL, ordered INTEGER NOT NULL, delivered INTEGER NOT NULL, gross_minor INTEGER NOT NULL,
        goodwill_minor INTEGER NOT NULL, lost_minor INTEGER NOT NULL, fee_minor INTEGER NOT NULL,
        lines INTEGER NOT NULL, charged INTEGER NOT NULL, fees_open INTEGER NOT NULL, played_ms INTEGER NOT NULL,
        PRIMARY KEY (span, machine_id, location, method, currency)) WITHOUT ROWID""",
    # Where lines are found by machine and time.
    "lines_at": """CREATE TABLE IF NOT EXISTS lines_at (
        day TEXT NOT NULL, machine_id TEXT NOT NULL, at_ms INTEGER NOT NULL, order_id TEXT NOT NULL,
        serial INTEGER NOT NULL, PRIMARY KEY (day, machine_id, at_ms, order_id, serial)) WITHOUT ROWID""",
    # Orders that wait for the number of their receipt, and those that have one: see `sqlite/receipts.py`.
    "receipts_due": """CREATE TABLE IF NOT EXISTS receipts_due (
        at_ms INTEGER NOT NULL, order_id TEXT NOT NULL, serial INTEGER NOT NULL,
        PRIMARY KEY (at_ms, order_id, serial)) WITHOUT ROWID""",
    "receipts": """CREATE TABLE IF NOT EXISTS receipts (
        prefix TEXT NOT NULL, number INTEGER NOT NULL, order_id TEXT NOT NULL UNIQUE, record BLOB NOT NULL,
        PRIMARY KEY (prefix, number)) WITHOUT ROWID""",
    "receipt_series": """CREATE TABLE IF NOT EXISTS receipt_series (
        prefix TEXT NOT NULL PRIMARY KEY, last INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
    "endpoints": """CREATE TABLE IF NOT EXISTS endpoints (
        endpoint_id TEXT NOT NULL PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID""",
    "postings": """CREATE TABLE IF NOT EXISTS postings (
        endpoint_id TEXT NOT NULL, event_id TEXT NOT NULL, at_ms INTEGER NOT NULL, due_at_ms INTEGER,
        record BLOB NOT NULL, PRIMARY KEY (endpoint_id, event_id)) WITHOUT ROWID""",
    "api_keys": """CREATE TABLE IF NOT EXISTS api_keys (
        key_id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
    "screens": """CREATE TABLE IF NOT EXISTS screens (
        machine_id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
    "state_changes": """CREATE TABLE IF NOT EXISTS state_changes (
        machine_id TEXT NOT NULL, at_ms INTEGER NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (machine_id, at_ms)) WITHOUT ROWID""",
    "meter_counts": """CREATE TABLE IF NOT EXISTS meter_counts (
        machine_id TEXT NOT NULL, at_ms INTEGER NOT NULL, credit_id TEXT NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (machine_id, at_ms, credit_id)) WITHOUT ROWID""",
    "game_overs": """CREATE TABLE IF NOT EXISTS game_overs (
        machine_id TEXT NOT NULL, at_ms INTEGER NOT NULL, event_id TEXT NOT NULL, record BLOB NOT NULL,
        PRIMARY KEY (machine_id, at_ms, event_id)) WITHOUT ROWID""",
    "people": """CREATE TABLE IF NOT EXISTS people (
        name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
    "sessions": """CREATE TABLE IF NOT EXISTS sessions (
        session_id TEXT NOT NULL PRIMARY KEY, ends_at_ms INTEGER NOT NULL, record BLOB NOT NULL) WITHOUT ROWID""",
    "tries": """CREATE TABLE IF NOT EXISTS tries (
        key TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, last_ms INTEGER NOT NULL,
        record BLOB NOT NULL) WITHOUT ROWID""",
    "audit": """CREATE TABLE IF NOT EXISTS audit (
        entry_id TEXT NOT NULL PRIMARY KEY, at_ms INTEGER NOT NULL, who TEXT NOT NULL, subject TEXT NOT NULL,
        record BLOB NOT NULL) WITHOUT ROWID""",
    "audit_outcomes": """CREATE TABLE IF NOT EXISTS audit_outcomes (
        entry_id TEXT NOT NULL PRIMARY KEY, record BLOB NOT NULL) WITHOUT ROWID""",
}
# Which rows of `tallies` are of an hour: spans of days and months are shorter.
OF_AN_HOUR = "length(span) > 10"
ADDED_INDEXES = (
    "CREATE INDEX IF NOT EXISTS orders_with_code ON orders (code, created_at_ms, order_id) WHERE code IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS orders_with_last4 ON orders (last4, created_at_ms, order_id) "
    "WHERE last4 IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS orders_under_way ON orders (under_way_ms, order_id) "
    "WHERE under_way_ms IS NOT NULL AND due_at_ms IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS alerts_standing ON alerts (at_ms, alert_id) WHERE standing = 1",
    "CREATE INDEX IF NOT EXISTS alerts_over ON alerts (at_ms) WHERE sent = 1 AND standing = 0",
    "CREATE INDEX IF NOT EXISTS presences_due ON presences (due_at_ms, machine_id) WHERE due_at_ms IS NOT NULL",
    "CREATE UNIQUE INDEX IF NOT EXISTS alerts_lasting ON alerts (lasts) WHERE lasts IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS unclaimed_at ON unclaimed (at_ms, payment_intent)",
    "CREATE INDEX IF NOT EXISTS takings_of_day ON takings (day)",
    f"CREATE INDEX IF NOT EXISTS tallies_hours ON tallies (span) WHERE {OF_AN_HOUR}",
    "CREATE INDEX IF NOT EXISTS lines_at_time ON lines_at (day, at_ms, order_id, serial)",
    "CREATE INDEX IF NOT EXISTS postings_due ON postings (endpoint_id, due_at_ms) WHERE due_at_ms IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS postings_of_endpoint ON postings (endpoint_id, at_ms, event_id)",
    "CREATE INDEX IF NOT EXISTS postings_at ON postings (at_ms)",
    "CREATE INDEX IF NOT EXISTS state_changes_at ON state_changes (at_ms)",
    "CREATE INDEX IF NOT EXISTS meter_counts_at ON meter_counts (at_ms)",
    "CREATE INDEX IF NOT EXISTS game_overs_at ON game_overs (at_ms)",
    "CREATE INDEX IF NOT EXISTS sessions_end ON sessions (ends_at_ms)",
    "CREATE INDEX IF NOT EXISTS tries_last ON tries (last_ms)",
    "CREATE INDEX IF NOT EXISTS audit_at ON audit (at_ms, entry_id)",
    "CREATE INDEX IF NOT EXISTS audit_who ON audit (who, at_ms, entry_id)",
    "CREATE INDEX IF NOT EXISTS audit_subject ON audit (subject, at_ms, entry_id)",
    # The audit log is only appended to, and so are receipts.
    *(
        f"CREATE TRIGGER IF NOT EXISTS {table}_keeps_{act.lower()} BEFORE {act} ON {table} "
        f"BEGIN SELECT RAISE(ABORT, '{what} only appended to'); END"
        for table, what in (
            ("audit", "the audit log is"),
            ("audit_outcomes", "the audit log is"),
            ("receipts", "receipts are"),
        )
        for act in ("UPDATE", "DELETE")
    ),
)
_ADDED_NAMES = {*ADDED_TABLES, *(statement.split("IF NOT EXISTS ")[1].split()[0] for statement in ADDED_INDEXES)}
# The last schema that goes with orders of form 1. Each later one goes with the next form. Opening a file brings it
# up to this schema, and `arcade-cloud store upgrade` further. Until then, older programs can use it.
SCHEMA_OF_FORM_1 = 2


class SqliteFile:
    """The connections to one database file. Thread-safe."""

    def __init__(
        self,
        path: str | Path,
        *,
        busy_s: float = BUSY_S,
        migrations: Sequence[Migration] = MIGRATIONS,
        is_filled: Callable[[sqlite3.Connection], bool] = lambda _: True,
        fill: Callable[[sqlite3.Connection], None] = lambda _: None,
    ) -> None:
        """Open the file, and create it if it does not exist.

        An older file is brought to `SCHEMA_OF_FORM_1` at most, which every program beside this one knows.

        Args:
            is_filled: Whether the lines that are there have tallies.
            fill: Makes them.

        Raises:
            StoreUnavailable: The file cannot be opened or used, or it belongs to another program.
            FormTooNew: The file is newer than this program.
        """
        self.path = Path(path)
        self._migrations = migrations
        self._busy_s = busy_s
        self._write_lock = threading.Lock()
        self._readers_lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._writer: sqlite3.Connection | None = None
        self._closed = False
        with suppress(OSError, ValueError):  # SQLite says better what is wrong with the path
            make_private(self.path)  # its -wal and -shm get the same mode
        with self._meaning():
            self._writer = self._connect()
            try:
                _use_wal(self._writer, busy_s)
                version = _schema_version(self._writer)
                migrate(self._writer, migrations, self.path, SCHEMA_OF_FORM_1 if version else len(migrations))
                _add(self._writer, is_filled, fill)
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, alone among all writers: committed at the end, rolled back on any exception.

        Raises:
            StoreUnavailable: The file cannot be written, is locked for too long, or is closed.
            FormTooNew: The file is newer than this program.
            InvariantBroken: A statement breaks a constraint of the schema.
        """
        if not self._write_lock.acquire(timeout=self._busy_s):
            raise StoreUnavailable(
                f"{self.path}: other threads have kept the database busy for {self._busy_s:g} s"
            )
        try:
            with self._meaning():
                connection = self._open_writer()
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    _refuse_newer(_schema_version(connection), self._migrations, self.path)
                    yield connection
                    connection.execute("COMMIT")
                except BaseException as error:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                    # A connection that met a full or failing disk cannot be trusted: open another one next time.
                    if connection.in_transaction or isinstance(error, sqlite3.Error):
                        self._writer = None
                        connection.close()
                    raise
        finally:
            self._write_lock.release()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees everything committed, and cannot write.

        Raises:
            StoreUnavailable: The file cannot be read, or is closed.
        """
        with self._meaning():
            connection = self._borrow()
            try:
                yield connection
            except sqlite3.Error:
                connection.close()
                raise
            except BaseException:
                self._give_back(connection)
                raise
            self._give_back(connection)

    def form(self, connection: sqlite3.Connection) -> int:
        """The form of the orders that go with the file's schema.

        Raises:
            FormTooNew: The file is newer than this program.
        """
        version = _schema_version(connection)
        _refuse_newer(version, self._migrations, self.path)
        return max(1, version - SCHEMA_OF_FORM_1 + 1)

    def upgrade(self) -> None:
        """Bring the file to this program's own schema.

        Raises:
            StoreUnavailable: The file cannot be written, is locked for too long, or is closed.
            FormTooNew: The file is newer than this program.
        """
        with self._write_lock, self._meaning():
            migrate(self._open_writer(), self._migrations, self.path, len(self._migrations))

    def close(self) -> None:
        """Close the file. Every later call raises StoreUnavailable, but closing again does nothing."""
        with self._write_lock:
            self._closed = True
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        with self._readers_lock:
            while self._readers:
                self._readers.pop().close()

    def _open_writer(self) -> sqlite3.Connection:
        self._refuse_when_closed()
        if self._writer is None:
            self._writer = self._connect()
        return self._writer

    def _borrow(self) -> sqlite3.Connection:
        with self._readers_lock:
            self._refuse_when_closed()
            if self._readers:
                return self._readers.pop()
        connection = self._connect()
        connection.execute("PRAGMA query_only = ON")
        return connection

    def _give_back(self, connection: sqlite3.Connection) -> None:
        with self._readers_lock:
            if not self._closed and len(self._readers) < _IDLE_READERS:
                self._readers.append(connection)
                return
        connection.close()

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise StoreUnavailable(f"{self.path}: the store has been closed")

    def _connect(self) -> sqlite3.Connection:
        # Several threads use a connection, one at a time: the locks ensure that.
        connection = sqlite3.connect(
            self.path, timeout=self._busy_s, isolation_level=None, check_same_thread=False
        )
        try:
            for pragma in (
                "synchronous = FULL",
                f"journal_size_limit = {_WAL_LIMIT_BYTES}",
                f"cache_size = -{_CACHE_KIB}",
            ):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _meaning(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise InvariantBroken(f"{self.path}: {error}") from error
        except sqlite3.Error as error:
            raise StoreUnavailable(f"{self.path}: {_what_to_do(error, self._busy_s)}") from error


def _what_to_do(error: sqlite3.Error, busy_s: float) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"another process has kept the database locked for {busy_s:g} s"
        case sqlite3.SQLITE_FULL:
            return "the disk is full: make room, nothing was stored"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return "the database cannot be written: check the owner and mode of the file and of its folder"
        case sqlite3.SQLITE_CANTOPEN:
            return "the database cannot be opened: does its folder exist, and may this user write there?"
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            return f"the file is damaged or is no SQLite database ({error}): restore a backup"
        case sqlite3.SQLITE_IOERR:
            return f"the disk failed ({error}): check it and the system's log"
        case _:
            return str(error)


def _use_wal(connection: sqlite3.Connection, busy_s: float) -> None:
    """Switch the file to WAL, for good. SQLite does not always wait when two processes switch at once: repeat."""
    deadline = time.monotonic() + busy_s
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StoreUnavailable(
            f"the database cannot use a write-ahead log here (it uses {mode}): choose a local disk"
        )


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration], path: Path, goal: int) -> None:
    """Bring the schema to version `goal` at least, each step whole or not at all.

    Raises:
        FormTooNew: The file is newer than this program.
        StoreUnavailable: The file belongs to another program.
    """
    while True:
        version = _schema_version(connection)
        _refuse_newer(version, migrations, path)
        if version >= goal:
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have done this step while we waited for the lock.
            if _schema_version(connection) == version:
                if version == 0:
                    _refuse_foreign(connection, path)
                for statement in migrations[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def _add(
    connection: sqlite3.Connection,
    is_filled: Callable[[sqlite3.Connection], bool],
    fill: Callable[[sqlite3.Connection], None],
) -> None:
    """Add what a file of an older program lacks, all of it or nothing."""
    if not _lacking(connection) and _names(connection) >= _ADDED_NAMES and is_filled(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for table, name, kind in _lacking(connection):  # another process may have added it meanwhile
            connection.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
        for statement in (*ADDED_TABLES.values(), *ADDED_INDEXES):
            connection.execute(statement)
        if not is_filled(connection):
            fill(connection)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _names(connection: sqlite3.Connection) -> set[str]:
    """The tables, indexes and triggers of the file."""
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}


def _lacking(connection: sqlite3.Connection) -> list[tuple[str, str, str]]:
    """The added columns that the file does not have: table, name, type."""
    return [
        (table, name, kind)
        for table, name, kind in ADDED_COLUMNS
        if not connection.execute("SELECT 1 FROM pragma_table_info(?) WHERE name = ?", (table, name)).fetchone()
    ]


def _refuse_newer(version: int, migrations: Sequence[Migration], path: Path) -> None:
    if version > len(migrations):
        raise FormTooNew(
            f"{path}: the database has schema version {version}, this program knows {len(migrations)}: "
            "install the newer version of Arcade STEM again"
        )


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise StoreUnavailable(f"{path}: this is the database of another program: choose another file")


def _schema_version(connection: sqlite3.Connection) -> int:
    with closing(connection.execute("PRAGMA user_version")) as cursor:
        return int(cursor.fetchone()[0])
