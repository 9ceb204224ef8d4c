"""The journal as files: bound to its computer, one process, power cuts, damage, full cards."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arcade_edge.agent import journal as journal_module
from arcade_edge.agent.journal import MAX_PUT_ASIDE, SqliteJournal, lock_journal, open_journal, read_contents
from arcade_edge.domain.credits import Credit
from arcade_edge.errors import JournalCorrupt, JournalFault, JournalInUse, JournalTooNew
from arcade_shared.ids import uuid7
from support.agent_process import write_config

NOW = 1_790_000_000_000
SERIAL = "10000000abcdef"
DONE = Credit(uuid7(NOW), 3, "done", NOW, delivered=3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def journal(path: Path) -> Iterator[SqliteJournal]:
    opened = open_journal(path, SERIAL)
    yield opened
    opened.close()


def reopened(path: Path, serial: str = SERIAL) -> tuple[str, Credit | None]:
    """Installation, and what is known of DONE, after another start."""
    opened = open_journal(path, serial)
    try:
        return opened.installation, opened.find(DONE.credit_id)
    finally:
        opened.close()


def as_nobody(command: list[str]) -> str:
    """What a command prints for a user without rights."""
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    done = subprocess.run([*nobody, *command], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def aside(path: Path) -> list[str]:
    return sorted(p.name for p in path.parent.glob("*.aside-*") if not p.name.endswith(("-wal", "-shm")))


def test_it_keeps_its_installation_and_its_credits(path: Path) -> None:
    first = open_journal(path, SERIAL)
    first.commit([DONE])
    first.close()
    assert reopened(path) == (first.installation, DONE)
    assert aside(path) == []


def test_on_another_computer_a_new_installation_begins_and_the_old_journal_is_kept(path: Path) -> None:
    """A copied card must never pulse what was addressed to the original."""
    first = open_journal(path, SERIAL)
    first.commit([DONE])
    first.close()
    installation, known = reopened(path, "another serial")
    assert installation != first.installation
    assert known is None
    assert aside(path) == ["journal.db.aside-1"]
    kept = read_contents(path.with_name("journal.db.aside-1"), 10)
    assert (kept.installation, kept.credits_) == (first.installation, [DONE])


DAMAGES = ("garbage", "truncated", "flipped", "no table", "a credit that cannot be")


def damage_it(path: Path, damage: str) -> str:
    """Make a journal and damage it; its installation."""
    first = open_journal(path, SERIAL)
    first.commit([replace(DONE, credit_id=uuid7(NOW + n)) for n in range(500)])
    first.close()
    content = path.read_bytes()
    match damage:
        case "garbage":
            path.write_bytes(os.urandom(20_000))
        case "truncated":
            path.write_bytes(content[: len(content) // 3])
        case "flipped":
            path.write_bytes(content[:8192] + bytes(255 - b for b in content[8192:]))
        case "no table":
            with sqlite3.connect(path) as raw:
                raw.execute("DROP TABLE credits")
            raw.close()
        case _:
            with sqlite3.connect(path) as raw:
                raw.execute("UPDATE credits SET delivered = 99")
            raw.close()
    return first.installation


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_put_aside_and_a_new_installation_begins(path: Path, damage: str) -> None:
    before = damage_it(path, damage)
    installation, known = reopened(path)
    assert installation != before
    assert known is None
    assert aside(path) == ["journal.db.aside-1"]
    assert reopened(path)[0] == installation


class Killed(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_damaged_journal_is_kept_with_its_log_wherever_the_agent_is_killed(
    path: Path, renamed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new journal beside an old log, or an old one without it: SQLite would throw the log away."""
    killed = open_journal(path, SERIAL)
    killed.commit([DONE])
    log = Path(f"{path}-wal").read_bytes()
    killed.close()
    damaged = os.urandom(20_000)
    path.write_bytes(damaged)
    Path(f"{path}-wal").write_bytes(log)
    Path(f"{path}-shm").write_bytes(b"")
    rename, left = Path.rename, [None] * renamed

    def rename_or_die(self: Path, target: Any) -> Path:
        if not left:
            raise Killed
        left.pop()
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", rename_or_die)
        with pytest.raises(Killed):
            open_journal(path, SERIAL)
    installation, known = reopened(path)
    assert installation != killed.installation
    assert known is None
    assert aside(path) == ["journal.db.aside-1"]
    assert path.with_name("journal.db.aside-1").read_bytes() == damaged
    assert path.with_name("journal.db.aside-1-wal").read_bytes() == log


def test_an_id_is_looked_up_once_its_commit_was_tried(journal: SqliteJournal) -> None:
    """A commit that fails may be in the file all the same: the card took it, and its answer was lost."""
    accepted = Credit(uuid7(NOW), 3, "accepted", NOW + 60_000)
    connection = journal._connection

    class NoAnswer:
        """Does what it is told, and reports a failure of the card."""

        def __getattr__(self, name: str) -> Any:
            return getattr(connection, name)

        def execute(self, sql: str, *parameters: Any) -> Any:
            done = connection.execute(sql, *parameters)
            if sql.startswith(("INSERT", "COMMIT")) and not connection.in_transaction:
                raise sqlite3.OperationalError("disk I/O error")
            return done

    for credit in (accepted, replace(DONE, credit_id=uuid7(NOW + 1))):
        journal._connection = NoAnswer()  # type: ignore[assignment]
        with pytest.raises(JournalFault):
            journal.commit([credit])
        journal._connection = connection
        assert journal.find(credit.credit_id) == credit


@pytest.mark.parametrize("damage", DAMAGES)
def test_whoever_only_looks_leaves_a_damaged_journal_where_it_is(path: Path, damage: str) -> None:
    damage_it(path, damage)
    with pytest.raises(JournalCorrupt):
        open_journal(path, SERIAL, replaces=False)
    assert aside(path) == []


def test_nobody_else_may_read_or_write_it(path: Path) -> None:
    """Nor what is beside it; a file that could be read by all is closed at the next start."""
    before = os.umask(0)
    try:
        for _ in range(2):
            opened = open_journal(path, SERIAL)
            opened.commit([DONE])
            files = list(path.parent.iterdir())
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
            assert {file.suffix for file in files} >= {".db", ".db-wal", ".db-shm"}
            opened.close()
            path.chmod(0o644)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_only_so_many_journals_are_kept(path: Path) -> None:
    for n in range(MAX_PUT_ASIDE + 5):
        open_journal(path, f"serial {n}").close()
    names = aside(path)
    assert len(names) == MAX_PUT_ASIDE
    assert f"journal.db.aside-{MAX_PUT_ASIDE + 4}" in names


def test_a_second_process_is_turned_away(journal: SqliteJournal, path: Path) -> None:
    """Two agents must never drive one line; the second says so, and the first is not disturbed."""
    script = (
        "import sys, pathlib\n"
        "from arcade_edge.agent.journal import open_journal\n"
        "from arcade_edge.errors import JournalInUse\n"
        "try: open_journal(pathlib.Path(sys.argv[1]), 'x')\n"
        "except JournalInUse as error: print(error)\n"
    )
    tried = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert "another arcade-edge runs" in tried.stdout
    journal.commit([DONE])
    with pytest.raises(JournalInUse):
        open_journal(path, SERIAL)


def test_a_process_that_is_killed_leaves_what_it_had_committed(path: Path) -> None:
    """Committed is durable: SIGKILL between two commits loses nothing of the first."""
    script = (
        "import os, sys, pathlib, signal\n"
        "from arcade_edge.agent.journal import open_journal\n"
        "from arcade_edge.domain.credits import Credit\n"
        "journal = open_journal(pathlib.Path(sys.argv[1]), sys.argv[2])\n"
        "journal.commit([Credit(sys.argv[3], 3, 'done', 1, delivered=3)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path), SERIAL, DONE.credit_id], timeout=60, check=False)
    found = reopened(path)[1]
    assert found is not None
    assert (found.state, found.delivered) == ("done", 3)


def test_every_commit_is_asked_to_reach_the_disk(journal: SqliteJournal) -> None:
    """FULL in WAL mode: a power cut loses no committed row."""
    assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("others", [(), (replace(DONE, credit_id=uuid7(NOW + 1)),)])
def test_no_credit_is_final_without_its_entry_in_the_outbox(
    journal: SqliteJournal, others: tuple[Credit, ...]
) -> None:
    """One transaction: if the entry cannot be made, the state has not changed, so nothing final goes untold."""
    under_way = replace(DONE, state="pulsing", delivered=2, intent=True)
    journal.commit([under_way])
    journal._connection.execute(
        "CREATE TRIGGER cut BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'power'); END"
    )
    with pytest.raises(JournalFault):
        journal.commit([DONE, *others])
    assert journal.find(DONE.credit_id) == under_way
    assert journal.untold(10) == []


def test_a_journal_of_a_newer_version_is_not_touched(path: Path) -> None:
    open_journal(path, SERIAL).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    for use in (lambda: open_journal(path, SERIAL), lambda: read_contents(path, 10)):
        with pytest.raises(JournalTooNew, match="newer version"):
            use()
    assert aside(path) == []


def test_a_card_that_is_full_is_a_fault_that_passes(journal: SqliteJournal) -> None:
    """The transaction has not happened, nothing is damaged, and it works again when there is room."""
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [replace(DONE, credit_id=uuid7(NOW + n)) for n in range(50_000)]
    with pytest.raises(JournalFault) as fault:
        journal.commit(many)
    assert not isinstance(fault.value, JournalCorrupt)
    assert journal.find(many[0].credit_id) is None
    journal._connection.execute("PRAGMA max_page_count = 1000000")
    journal.commit([DONE])
    assert journal.find(DONE.credit_id) == DONE


def test_damage_that_is_found_while_running_says_that_it_is_damage(path: Path) -> None:
    opened = open_journal(path, SERIAL)
    opened.commit([DONE])
    opened._connection.execute("UPDATE credits SET delivered = 99")
    with pytest.raises(JournalCorrupt):
        opened.find(DONE.credit_id)
    opened.close()


@pytest.mark.skipif(os.geteuid() == 0 and not shutil.which("chattr"), reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    with pytest.raises(JournalFault, match="a file is a file, and the journal needs a folder there"):
        open_journal(blocked / "journal.db", SERIAL)


@pytest.mark.parametrize(
    "use", [lock_journal, lambda path: open_journal(path, SERIAL), lambda p: read_contents(p, 1)]
)
def test_a_path_that_is_a_folder_is_said_to_be_one(tmp_path: Path, use: Callable[[Path], object]) -> None:
    with pytest.raises(JournalFault, match=r"is a folder: .* must name a file in it"):
        use(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become another user")
def test_who_may_not_use_it_is_told_so(path: Path) -> None:
    """For a technician without sudo: a sentence, never a trace."""
    open_journal(path, SERIAL).close()
    path.parent.parent.chmod(0o755)
    for mode in (0o700, 0o755):
        path.parent.chmod(mode)
        for use in ("read_contents(path, 1)", "open_journal(path, 'x')", "lock_journal(path)"):
            code = (
                "import sys; from pathlib import Path\n"
                "from arcade_edge.agent.journal import lock_journal, open_journal, read_contents\n"
                "from arcade_edge.errors import JournalFault\n"
                "path = Path(sys.argv[1])\n"
                f"try: {use}\n"
                "except JournalFault as fault: print(fault)\n"
            )
            done = as_nobody([sys.executable, "-c", code, str(path)])
            assert "this user may not" in done, done


def test_no_more_are_kept_than_the_bound(journal: SqliteJournal) -> None:
    """The oldest go first, and none of them is taken for a new one later."""
    made = [replace(DONE, credit_id=uuid7(NOW + n)) for n in range(10)]
    journal.commit(made)
    assert journal.prune(0, 100, keep=4) == 6
    assert [journal.find(c.credit_id) is None for c in made] == [True] * 6 + [False] * 4
    assert journal.forgotten_before_ms == NOW + 6
    assert journal_module.MAX_CREDITS_KEPT > 35 * 24 * 50


def test_what_was_forgotten_is_remembered_over_a_restart(path: Path) -> None:
    """Otherwise the next process would take a command that was pulsed and pruned for a new one."""
    opened = open_journal(path, SERIAL)
    opened.commit([DONE])
    assert opened.prune(NOW + 1, 10) == 1
    opened.close()
    again = open_journal(path, SERIAL)
    assert again.find(DONE.credit_id) is None
    assert again.forgotten_before_ms > NOW
    again.close()


def test_it_can_be_listed_while_the_agent_runs(journal: SqliteJournal, path: Path) -> None:
    journal.commit([DONE])
    journal.count({"unsigned": 3})
    contents = read_contents(path, 10)
    assert (contents.installation, contents.serial) == (journal.installation, SERIAL)
    assert (contents.credits_, contents.untold, contents.counters) == ([DONE], [DONE.credit_id], {"unsigned": 3})


def test_what_another_process_lists_beside_a_writing_agent_is_committed(
    journal: SqliteJournal, path: Path
) -> None:
    """`arcade-edge journal` waits for no writer, keeps none waiting, and shows nothing of what is under way."""
    accepted = Credit(uuid7(NOW), 3, "accepted", NOW)
    journal.commit([accepted])
    config = write_config(path.parent, 1)
    command = [sys.executable, "-m", "arcade_edge.cli", "journal", "--config", str(config)]

    def listed() -> str:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return run.stdout

    done = replace(accepted, state="done", delivered=3)
    with journal._transaction():
        journal._write(done)
        told = listed()
        assert accepted.credit_id in told
        assert "accepted" in told
        assert "done" not in told
    told = listed()
    assert "accepted" not in told
    assert "done     3/3" in told


def test_a_list_is_of_one_moment_though_the_agent_writes_meanwhile(
    journal: SqliteJournal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No ack is said to wait whose credit is listed as unfinished, nor any credit counted that is not listed."""
    accepted = Credit(uuid7(NOW), 3, "accepted", NOW)
    journal.commit([accepted])

    class Overtaken(sqlite3.Connection):
        """The agent commits before each of the reader's further questions."""

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if "outbox" in sql:
                journal.commit([replace(accepted, state="done", delivered=3)])
                journal.count({"unsigned": 1})
            return super().execute(sql, *parameters)

    connect = sqlite3.connect
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *at, **how: connect(*at, **how, factory=Overtaken))
        contents = read_contents(path, 10)
    assert (contents.credits_, contents.untold, contents.counters) == ([accepted], [], {})
    contents = read_contents(path, 10)
    assert (contents.untold, contents.counters) == ([accepted.credit_id], {"unsigned": 1})


def test_a_journal_that_is_not_there_cannot_be_listed(path: Path) -> None:
    with pytest.raises(JournalFault, match="no journal"):
        read_contents(path, 10)


def test_a_journal_that_nobody_has_written_yet_is_no_damaged_one(tmp_path: Path) -> None:
    empty = tmp_path / "journal.db"
    empty.touch()
    with pytest.raises(JournalFault, match="nothing in it yet") as fault:
        read_contents(empty, 10)
    assert not isinstance(fault.value, JournalCorrupt)
    opened = open_journal(empty, SERIAL)
    opened.close()
    assert aside(empty) == []


def test_the_write_ahead_log_does_not_grow_with_every_credit(journal: SqliteJournal, path: Path) -> None:
    """It has its size from the start, and what it holds is copied back in quiet moments."""
    wal = path.with_name("journal.db-wal")
    before = wal.stat().st_size
    for n in range(600):
        journal.commit([replace(DONE, credit_id=uuid7(NOW + n))])
        journal.rest()
    assert wal.stat().st_size == before
