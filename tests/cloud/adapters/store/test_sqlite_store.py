"""What only the SQLite store promises: cost by index, clear faults, schema versions, broken records found out."""

import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.adapters.store import open_store
from arcade_cloud.adapters.store.forms import FORMS
from arcade_cloud.adapters.store.sqlite import file as sqlite_file
from arcade_cloud.adapters.store.sqlite import store as sqlite
from arcade_cloud.adapters.store.sqlite import takings as sqlite_takings
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.books import EVERY, Line, Only
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.order import Settlement, UnmatchedAck
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.tallies import Name, added
from arcade_cloud.errors import InvariantBroken, StoreUnavailable
from support.order_records import an_alert, funded, new_order, next_version, step
from support.orders import NOW_MS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "arcade.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(path, busy_s=0.2)
    yield opened
    opened.close()


def _raw(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


@given(st.dates(date(2023, 12, 1), date(2024, 4, 1)), st.integers(0, 120), st.integers(0, 365))
def test_spans_add_up_to_the_days_that_are_meant(first: date, more: int, booked: int) -> None:
    meant = {(first + timedelta(days=number)).isoformat() for number in range(more + 1)}
    counted: Counter[str] = Counter()
    every = [(date(2023, 12, 1) + timedelta(days=number)).isoformat() for number in range(366)][: booked + 1]

    def third(day: str) -> str:
        return f"{day[:7]}.{'1' if day[8:] <= '10' else '2' if day[8:] <= '20' else '3'}"

    spans = list(sqlite_takings._spans(min(meant), max(meant), third(every[-1])))
    for span, sign in spans:
        for day in every:
            counted[day] += sign * (span in {day, third(day), day[:7]})
    assert {day: number for day, number in counted.items() if number} == dict.fromkeys(meant & set(every), 1)
    # Half a month at each end, in days and thirds, and the months between.
    assert len(spans) <= 2 * 8 + 4


def test_a_file_whose_tallies_lack_a_span_gets_them_when_it_is_opened(path: Path) -> None:
    lines = [_line(f"o-{day}", f"2026-11-{day:02}") for day in (1, 10, 11, 21, 30)]
    with closing(SqliteStore(path)) as store:
        for line in lines:
            store.book((line,), added((), (line,)))
        right = store.taken("2026-11-01", "2026-11-19", "machine")
    with closing(_raw(path)) as connection:
        connection.execute("DELETE FROM tallies WHERE span LIKE '%.%'")
    with closing(SqliteStore(path)) as store:
        assert store.taken("2026-11-01", "2026-11-19", "machine") == right
        assert right[0].counts.lines == 3
        # Beside a build that books without that span, putting a day right puts it right.
        with closing(_raw(path)) as connection:
            connection.execute("UPDATE tallies SET lines = 7 WHERE span IN ('2026-11.2', '2026-11')")
        assert not store.put_tallies_right("2026-11-15")
        assert store.taken("2026-11-11", "2026-11-20", "machine")[0].counts.lines == 1
        assert store.taken("2026-11-01", "2026-11-30", "machine")[0].counts.lines == 5


def test_an_index_that_a_file_lacks_is_made_when_it_is_opened(path: Path) -> None:
    SqliteStore(path).close()
    with closing(_raw(path)) as connection:
        connection.execute("DROP INDEX tallies_hours")
    SqliteStore(path).close()
    with closing(_raw(path)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sqlite_takings.OLDEST_HOUR}")]
    assert any(
        "USING COVERING INDEX tallies_hours" in text or "USING INDEX tallies_hours" in text for text in plan
    )


def test_what_an_older_program_has_settled_is_not_under_way(store: SqliteStore, path: Path) -> None:
    """It leaves the columns that it does not know as they are."""
    for number in range(3):
        order = new_order(f"o-{number}")
        store.move(step(order))
        store.move(step(funded(order, f"pi_{number}")))
    assert len(store.orders_under_way(NOW_MS + 1, 9)) == 3
    done = next_version(funded(new_order("o-0"), "pi_0"))
    done = msgspec.structs.replace(done, settlement=Settlement(done=True))
    with closing(_raw(path)) as connection:
        changed = "UPDATE orders SET version = 3, due_at_ms = ?, record = ? WHERE order_id = ?"
        for order_id, due_at_ms in (("o-0", None), ("o-1", NOW_MS)):  # one that is due, as far as its row goes
            record = FORMS.write(msgspec.structs.replace(done, order_id=order_id), 1)
            connection.execute(changed, (due_at_ms, record, order_id))
    assert [order.order_id for order in store.orders_under_way(NOW_MS + 1, 9)] == ["o-2"]


def _line(order_id: str, day: str, gross_minor: int = 100) -> Line:
    return Line(
        order_id=order_id,
        number=0,
        serial=1,
        day=day,
        at_ms=NOW_MS,
        machine_id="cab-01",
        currency="myr",
        delivered=1,
        gross_minor=gross_minor,
    )


# cost


@pytest.mark.parametrize(
    ("by", "only"),
    [
        ("day", EVERY),
        ("machine", Only(location="Main Hall")),
        ("day", Only(machine_id="cab-01")),
        ("method", Only(machines=frozenset({"cab-01", "cab-02"}), currency="myr")),
    ],
)
def test_a_report_looks_up_its_spans(store: SqliteStore, path: Path, by: Name, only: Only) -> None:
    asked = ("2026-08-30", "2026-10-02", "2026-10.1")
    for sql, values in (
        sqlite_takings.taken_query(asked, by, only),
        sqlite_takings.taken_query(asked, by, only, ["cab-01"]),
        sqlite_takings.taken_query(asked, None, only),
        sqlite_takings.names_query(asked, by, only),
    ):
        with closing(_raw(path)) as connection:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert (
            sum(text.startswith("SEARCH tallies USING PRIMARY KEY (span=? AND machine_id") for text in plan) == 1
        )


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        (sqlite_takings.NEWEST_LINES, ("2026-11-26", 10)),
        (sqlite_takings.NEWEST_LINES_OF_MACHINES, ("2026-11-26", '["cab-01"]', 10)),
        (sqlite_takings.LINES_BETWEEN, ("2026-11-26", 0, 1)),
    ],
)
def test_lines_are_looked_up_by_day_machine_and_time(
    store: SqliteStore, path: Path, sql: str, values: tuple[str | int, ...]
) -> None:
    with closing(_raw(path)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert any("SEARCH lines_at USING" in text for text in plan), plan
    assert not any("SCAN takings" in text or "SCAN lines_at" in text for text in plan), plan


@pytest.mark.parametrize(
    "sql",
    [
        sqlite.DUE_ORDERS,
        sqlite.NEXT_DUE,
        sqlite.DUE_PRESENCES,
        sqlite.RECENT_ORDERS,
        sqlite.WAITING_ORDERS,
        sqlite.UNDER_WAY,
        sqlite.WAITING_PRESENCES,
        sqlite.RECENT_ORDERS_OF_MACHINE,
        sqlite.ORDERS_WITH_CODE,
        sqlite.UNSENT_ALERTS,
        sqlite.RECENT_ALERTS,
        sqlite.UNMATCHED_ACKS,
        sqlite.UNCLAIMED,
        sqlite_takings.LINES_OF_DAY,
        sqlite.OLD_SEEN,
        sqlite.OLD_GAME_OVERS,
        sqlite.OLD_ALERTS,
        sqlite.OLD_STANDING_ALERTS,
        sqlite.STANDING_ALERTS,
        sqlite.LASTING_ALERT,
    ],
)
def test_every_list_is_read_from_an_index_in_its_order(store: SqliteStore, path: Path, sql: str) -> None:
    with closing(_raw(path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", (0,) * sql.count("?")).fetchall()
    steps = [row[3] for row in plan]
    assert steps
    assert all(" INDEX " in text for text in steps), steps
    assert not any("TEMP B-TREE" in text for text in steps), steps


def test_the_further_orders_of_a_machine_are_found_by_keys_in_their_order(store: SqliteStore, path: Path) -> None:
    with closing(_raw(path)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sqlite.RECENT_ORDERS_ALSO_AT}", (0, 0, 0)).fetchall()
    steps = [row[3] for row in plan]
    assert len(steps) == 2
    assert all(text.startswith("SEARCH ") for text in steps), steps


def test_what_is_due_costs_what_is_due_and_not_what_exists(store: SqliteStore, path: Path) -> None:
    """Counted in steps of SQLite's own machine, which no other load on the computer changes."""
    store.move(step(new_order("due", due_at_ms=5)))

    def cost() -> list[int]:
        with closing(_raw(path)) as connection:
            counts = []
            for sql, values in ((sqlite.DUE_ORDERS, (10, 50)), (sqlite.NEXT_DUE, ())):
                ticks: list[None] = []
                connection.set_progress_handler(lambda ticks=ticks: ticks.append(None), 1)  # type: ignore[misc]
                assert len(connection.execute(sql, values).fetchall()) == 1
                counts.append(len(ticks))
            return counts

    few = cost()
    with closing(_raw(path)) as connection:
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO orders (order_id, version, machine_id, created_at_ms, due_at_ms, record) "
            "VALUES (?, 1, 'cab-01', ?, ?, '{}')",
            [(f"o-{number}", number, 1_000 + number if number % 2 else None) for number in range(5_000)],
        )
        connection.execute("COMMIT")
    many = cost()
    # One step more: the look at the next row, which is not due yet.
    assert [after - before <= 1 for before, after in zip(few, many, strict=True)] == [True, True]


def test_a_commit_waits_for_the_disk(store: SqliteStore) -> None:
    """WAL and FULL: nothing that was reported as stored is lost by a power cut."""
    with store._file.writing() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)


def test_readers_are_kept_and_reused(store: SqliteStore) -> None:
    for _ in range(50):
        assert store.order("nobody") is None
    assert len(store._file._readers) == 1


def test_a_transaction_is_alone_from_its_beginning(path: Path) -> None:
    """Before its first write too: what it reads decides what it writes."""
    with (
        closing(sqlite_file.SqliteFile(path)) as first,
        closing(sqlite_file.SqliteFile(path, busy_s=0.05)) as other,
    ):
        with first.writing(), pytest.raises(StoreUnavailable, match="another process"), other.writing():
            pytest.fail("two processes are in a transaction that writes")
        with other.writing():
            pass


# faults


def test_a_store_locked_by_another_process_is_unavailable_for_writing_only(store: SqliteStore, path: Path) -> None:
    store.move(step(new_order("o-1")))
    with closing(_raw(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match=r"locked for 0\.2 s"):
            store.move(step(next_version(new_order("o-1"))))
        assert store.order("o-1") == new_order("o-1")
        other.execute("ROLLBACK")
    store.move(step(next_version(new_order("o-1"))))


def test_a_thread_that_keeps_the_lock_makes_the_others_give_up(store: SqliteStore) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store._file.writing():
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(10)
    with pytest.raises(StoreUnavailable, match="busy"):
        store.note_echo(1)
    done.set()
    thread.join(10)
    store.note_echo(1)


def test_a_full_disk_stores_nothing_and_the_store_recovers(store: SqliteStore) -> None:
    store.move(step(new_order("o-1")))
    with store._file.writing() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    long = "a text that needs pages of its own " * 2_000
    alerts = tuple(msgspec.structs.replace(an_alert(f"a-{number}"), text=long) for number in range(10))
    with pytest.raises(StoreUnavailable, match="disk is full"):
        store.move(step(next_version(new_order("o-1")), seen="evt_1", alerts=alerts))
    assert store.order("o-1") == new_order("o-1")
    assert not store.is_seen("evt_1")
    assert store.unsent_alerts(10) == []
    store.move(step(next_version(new_order("o-1")), seen="evt_1", alerts=alerts))


def test_a_store_that_can_not_be_written_says_what_to_check(store: SqliteStore) -> None:
    with store._file.writing() as connection:
        connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StoreUnavailable, match="owner and mode"):
        store.note_echo(1)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="folder"):
        SqliteStore(tmp_path / "missing" / "arcade.db")


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"this is a shopping list, not a database" * 200)
    with pytest.raises(StoreUnavailable, match="no SQLite database"):
        SqliteStore(path)


def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    with closing(_raw(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(StoreUnavailable, match="another program"):
        SqliteStore(path)
    with closing(_raw(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


# schema versions


def test_a_newer_database_is_refused_with_what_to_do(store: SqliteStore, path: Path) -> None:
    store.close()
    with closing(_raw(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreUnavailable, match=r"schema version 99.*newer version"):
        SqliteStore(path)


def test_an_older_database_is_brought_up_step_by_step(path: Path) -> None:
    with closing(_raw(path)) as connection:
        sqlite_file.migrate(connection, [("CREATE TABLE one (a)",)], path, 1)
        connection.execute("INSERT INTO one VALUES (7)")
        steps = [
            ("CREATE TABLE one (a)",),
            ("ALTER TABLE one ADD b", "UPDATE one SET b = a"),
            ("CREATE TABLE two (c)",),
        ]
        sqlite_file.migrate(connection, steps, path, len(steps))
        sqlite_file.migrate(connection, steps, path, len(steps))
        assert connection.execute("SELECT a, b FROM one").fetchall() == [(7, 7)]
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)


def test_a_migration_that_fails_leaves_nothing_behind(path: Path) -> None:
    with closing(_raw(path)) as connection:
        first = ("CREATE TABLE one (a)",)
        broken = ("ALTER TABLE one ADD b", "CREATE TABLE one (c)")
        with pytest.raises(sqlite3.OperationalError):
            sqlite_file.migrate(connection, [first, broken], path, 2)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert [row[1] for row in connection.execute("PRAGMA table_info(one)")] == ["a"]


# broken records


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"order_id": "o-1"}',
        b'{"order_id": 7}',
        b'\xff\xfe{"order_id": "o-1"}',
        b"[" * 100_000,
        b'{"order_id":"o-2","version":1,"machine_id":"m","credits":1,"amount_minor":1,"currency":"myr","created_at_ms":1}',
        b'{"order_id":"o-1","version":1,"machine_id":"m","credits":0,"amount_minor":1,"currency":"myr","created_at_ms":1}',
        b'{"order_id":"o-1","state":"lost","machine_id":"m","credits":1,"amount_minor":1,"currency":"myr","created_at_ms":1}',
    ],
)
def test_a_broken_order_is_found_out_on_reading(store: SqliteStore, path: Path, record: bytes) -> None:
    store.move(step(new_order("o-1")))
    with closing(_raw(path)) as connection:
        connection.execute("UPDATE orders SET record = ?", (record,))
    with pytest.raises(InvariantBroken, match="o-1"):
        store.order("o-1")
    with pytest.raises(InvariantBroken, match="o-1"):
        store.recent_orders(5)
    assert store.due_orders(NOW_MS * 2, 5) == ["o-1"]


def test_every_other_broken_record_is_found_out_too(store: SqliteStore, path: Path) -> None:
    store.move(step(new_order("o-1"), alerts=(an_alert("a-1"),)))
    store.put_machine(Machine(machine_id="cab-01", version=1), 0)
    store.put_presence(Presence(machine_id="cab-01", version=1), 0)
    orphan = UnmatchedAck(
        machine_id="cab-01", credit_id="c", installation="i", state="done", delivered=1, uncertain=0, at_ms=1
    )
    store.note_unmatched_ack(orphan)
    store.note_unclaimed(Unclaimed(payment_intent="pi", amount_minor=1, currency="myr", why="", at_ms=1))
    with closing(_raw(path)) as connection:
        for table in ("history", "machines", "presences", "alerts", "orphans", "unclaimed"):
            connection.execute(f"UPDATE {table} SET record = ?", (b'{"version": "one"}',))
    for read in (
        lambda: store.history("o-1"),
        lambda: store.machine("cab-01"),
        store.machines,
        lambda: store.presence("cab-01"),
        lambda: store.recent_alerts(5),
        lambda: store.unsent_alerts(5),
        lambda: store.standing_alerts(5),
        lambda: store.alert("a-1"),
        lambda: store.unmatched_acks(5),
        lambda: store.unclaimed(5),
        lambda: store.unclaimed_payment("pi"),
    ):
        with pytest.raises(InvariantBroken, match="cannot be read"):
            read()


# addresses


def test_a_relative_address_is_a_file_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    open_store("sqlite:///here.db").close()
    assert (tmp_path / "here.db").exists()


def test_an_absolute_address_has_four_slashes(tmp_path: Path) -> None:
    open_store(f"sqlite:///{tmp_path}/there.db").close()
    assert (tmp_path / "there.db").exists()


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("sqlite:///x.db?mode=ro", "names no file"),
        ("sqlite://x.db", "write sqlite:///"),
        ("dynamodb://table?region=eu-central-1&x=1", "must be dynamodb://table"),
        ("postgres://somewhere", "postgres"),
        ("", "write sqlite:///"),
    ],
)
def test_an_address_that_names_no_store_says_how_to_write_it(url: str, what: str) -> None:
    with pytest.raises(StoreUnavailable, match=what):
        open_store(url)


def test_a_file_with_lines_from_before_there_were_tallies_gets_them_when_it_is_opened(path: Path) -> None:
    lines = [_line(f"o-{number}", f"2026-11-{20 + number}", number) for number in range(5)]
    with closing(SqliteStore(path)) as store:
        for line in lines:
            store.book((line,))
    with closing(_raw(path)) as connection:
        connection.execute("DROP TABLE tallies")
        connection.execute("DROP TABLE lines_at")
    with closing(SqliteStore(path)) as store:
        (month,) = store.taken("2026-11-01", "2026-11-30", "machine")
        assert (month.counts.sums.gross_minor, month.counts.lines, month.counts.fees_open) == (10, 5, 4)
        assert [one.counts.sums.gross_minor for one in store.taken("2026-11-01", "2026-11-30", "day")] == [
            0,
            1,
            2,
            3,
            4,
        ]
        assert store.newest_lines("2026-11-24", 5, ["cab-01"]) == lines[4:]
        assert [one.counts.lines for one in store.taken_until("2026-11-24", NOW_MS)] == [1]
        assert not any(store.put_tallies_right(line.day) for line in lines)
    with closing(SqliteStore(path)) as store:
        assert store.taken("2026-11-01", "2026-11-30", "machine") == [month]
