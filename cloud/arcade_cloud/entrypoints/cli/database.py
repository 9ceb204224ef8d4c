"""Which database a command works on. A command in the wrong folder would make another, and find it empty."""

import sys
from typing import TYPE_CHECKING

from arcade_cloud.errors import StoreUnavailable

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings


def place_of(settings: "Settings") -> str:
    """Where the orders are: the whole path of the file, or the table as DATABASE_URL names it."""
    from arcade_cloud.adapters.store import sqlite_path

    path = sqlite_path(settings.database_url)
    return settings.database_url if path is None else str(path.absolute())


def is_missing(settings: "Settings") -> bool:
    """Whether the database is a file that is not there yet. A table says so itself."""
    from arcade_cloud.adapters.store import sqlite_path

    path = sqlite_path(settings.database_url)
    return path is not None and not path.exists() and path.parent.is_dir()  # of a folder the store says more


def see_to(settings: "Settings", *, may_make_it: bool) -> None:
    """Say which new database the command is going to make.

    Raises:
        StoreUnavailable: There is none, and this is no command that makes one.
    """
    if not is_missing(settings):
        return
    place = place_of(settings)
    if not may_make_it:
        raise StoreUnavailable(
            f"there is no database {place}: run this in the folder where the cloud runs, or give DATABASE_URL a "
            "whole path (sqlite:////folder/file). The first `arcade-cloud machine add` or `serve` makes it"
        )
    print(f"arcade-cloud: making a new database: {place}", file=sys.stderr)
