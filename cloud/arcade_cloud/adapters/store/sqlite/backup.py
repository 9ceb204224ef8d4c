"""A copy of the database file, made while others write."""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from arcade_cloud.errors import BackupFailed


def back_up(source: Path, copy: Path) -> int:
    """Copy the database as it is at one moment to `copy`, which appears only once it is whole and on disk.

    Writers need not stop. The copy is one file, checked by SQLite, that only its owner may read.

    Returns:
        Its size in bytes.

    Raises:
        BackupFailed: There is no database, it cannot be read, or the copy cannot be written.
    """
    if not source.is_file():
        raise BackupFailed(f"there is no database {source}: look at DATABASE_URL")
    if copy.exists():
        raise BackupFailed(f"{copy} exists already: a backup never replaces a file")
    unfinished = copy.with_name(f".{copy.name}.{os.getpid()}")
    try:
        os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(source, unfinished)
        size = unfinished.stat().st_size
        os.link(unfinished, copy)  # unlike a rename, it fails if somebody has made that file meanwhile
        _sync(copy.parent)
    except (OSError, sqlite3.Error) as error:
        raise BackupFailed(f"{source} could not be backed up to {copy}: {error}") from error
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
    return size


def forget_old(copies: list[Path], keep: int) -> list[Path]:
    """Delete all but the newest `keep` of these copies, whose names sort by time. Returns those deleted."""
    old = sorted(copies)[: max(0, len(copies) - keep)]
    for copy in old:
        copy.unlink()
    return old


def _copy(source: Path, copy: Path) -> None:
    opened = sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)
    with closing(opened) as original, closing(sqlite3.connect(copy)) as copied:
        original.backup(copied)
        copied.execute("PRAGMA journal_mode = DELETE")  # the copy is whole without a file beside it
        (verdict,) = copied.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
    _sync(copy)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
