"""Backups: whole, of one moment, private, and never in the place of a file that exists."""

import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import pytest

from arcade_cloud.adapters.store.sqlite.backup import back_up, forget_old
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.errors import BackupFailed


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "arcade.sqlite"
    with closing(SqliteStore(path)) as store:
        store.note_seen("evt_1", 5)
    return path


def is_seen(path: Path, event_id: str) -> bool:
    with closing(SqliteStore(path)) as store:
        return store.is_seen(event_id)


def test_a_copy_opens_as_the_database_and_only_its_owner_may_read_it(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    assert back_up(database, copy) == copy.stat().st_size
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.glob("*copy*")] == ["copy.sqlite"]
    assert is_seen(copy, "evt_1")


def test_what_is_only_in_the_wal_is_in_the_copy_too(database: Path, tmp_path: Path) -> None:
    with closing(SqliteStore(database)) as store:
        store.note_seen("evt_2", 6)
        assert (tmp_path / "arcade.sqlite-wal").stat().st_size > 0
        back_up(database, tmp_path / "copy.sqlite")
    assert is_seen(tmp_path / "copy.sqlite", "evt_2")


def test_a_copy_made_while_others_write_is_of_one_moment(database: Path, tmp_path: Path) -> None:
    """The writer stores pairs in one transaction each: no copy has half of one."""
    with closing(sqlite3.connect(database, timeout=30)) as making:
        making.execute("CREATE TABLE pairs (number INTEGER)")
        making.commit()
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(database, timeout=30)) as writing:
            number = 0
            while not stop.is_set():
                number += 1
                with writing:
                    writing.execute("INSERT INTO pairs VALUES (?)", (number,))
                    writing.execute("INSERT INTO pairs VALUES (?)", (-number,))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(20):
            copy = tmp_path / f"copy-{number}.sqlite"
            back_up(database, copy)
            with closing(sqlite3.connect(copy)) as reading:
                (total, rows) = reading.execute("SELECT coalesce(sum(number), 0), count(*) FROM pairs").fetchone()
            assert (total, rows % 2) == (0, 0)
    finally:
        stop.set()
        writer.join()


def test_a_file_that_exists_is_never_replaced(database: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    copy.write_text("precious")
    with pytest.raises(BackupFailed, match="exists already"):
        back_up(database, copy)
    assert copy.read_text() == "precious"


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="there is no database"):
        back_up(tmp_path / "arcade.sqlite", tmp_path / "copy.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_database_gives_an_error_and_no_copy(tmp_path: Path) -> None:
    damaged = tmp_path / "arcade.sqlite"
    damaged.write_bytes(b"SQLite format 3\0" + b"\xff" * 8_000)
    with pytest.raises(BackupFailed, match="could not be backed up"):
        back_up(damaged, tmp_path / "copy.sqlite")
    assert list(tmp_path.glob("*copy*")) == []


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    copies = [tmp_path / f"arcade-2026010{day}T000000Z.sqlite" for day in range(1, 6)]
    for copy in copies:
        copy.touch()
    assert forget_old([copies[3], *copies[:3], copies[4]], 2) == copies[:3]
    assert sorted(tmp_path.iterdir()) == copies[3:]
    assert forget_old(copies[3:], 9) == []


def test_the_command_copies_into_a_folder_and_forgets_the_oldest(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.env"
    settings.write_text(
        f"DATABASE_URL=sqlite:///{database}\nSTRIPE_API_KEY=sk_test_sandbox\nSTRIPE_WEBHOOK_SECRET=whsec_sandbox\n"
        f"EMQX_BROKER_URL=localhost\nMQTT_TLS=0\nSIGNING_SECRET={'k' * 32}\nPUBLIC_BASE_URL=http://localhost\n"
        "OPERATOR_CONTACT=x\n"
    )
    settings.chmod(0o600)
    folder = tmp_path / "copies"
    assert main(["--env-file", str(settings), "backup", str(folder)]) == 1
    assert "there is no folder" in capsys.readouterr().err
    folder.mkdir()
    (folder / "arcade-20200101T000000Z.sqlite").touch()
    (folder / "letter.txt").touch()
    assert main(["--env-file", str(settings), "backup", str(folder), "--keep", "1"]) == 0
    assert "arcade-20200101T000000Z.sqlite was deleted" in capsys.readouterr().out
    (copy,) = folder.glob("*.sqlite")
    assert is_seen(copy, "evt_1")
    assert (folder / "letter.txt").exists()
