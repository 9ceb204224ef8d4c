"""`arcade-cloud backup`: a copy of the database, made while the cloud runs."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from arcade_shared.command_line import whole_number

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings

_NAME = "arcade-%Y%m%dT%H%M%SZ.sqlite"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `backup`."""
    backup = commands.add_parser(
        "backup",
        help="copy the database while the cloud runs",
        description=(
            "Copy the SQLite database, as it is at one moment, into a folder; the cloud may run meanwhile. To put "
            "a copy back, stop the cloud, replace the database with it, and start the cloud again."
        ),
    )
    backup.add_argument(
        "folder", type=_folder, metavar="FOLDER", help="where the copies are: best on another disk"
    )
    backup.add_argument(
        "--keep", type=whole_number(1), metavar="N", help="delete all but the newest N copies there"
    )
    backup.set_defaults(run=_backup)


def _folder(text: str) -> Path:
    if not text:  # as of a variable that is not set; it would be this folder
        raise argparse.ArgumentTypeError("name a folder; the one that you are in is .")
    return Path(text)


def _backup(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.adapters.store import sqlite_path
    from arcade_cloud.adapters.store.sqlite.backup import back_up, forget_old
    from arcade_cloud.errors import BackupFailed

    folder: Path = options.folder
    if not folder.is_dir():
        raise BackupFailed(f"there is no folder {folder}")
    source = sqlite_path(settings.database_url)
    if source is None:
        raise BackupFailed(
            "DATABASE_URL is a DynamoDB table, which keeps backups of its own: restore one with "
            "aws dynamodb restore-table-to-point-in-time"
        )
    copy = folder / time.strftime(_NAME, time.gmtime())
    print(f"{copy} ({back_up(source, copy):,} bytes)")
    if options.keep is not None:
        for old in forget_old(list(folder.glob("arcade-????????T??????Z.sqlite")), options.keep):
            print(f"{old} was deleted")
    return 0
