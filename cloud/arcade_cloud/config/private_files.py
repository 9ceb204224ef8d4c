"""Files that hold secrets or orders: made for this user alone, and told where everybody can read them."""

import os
import stat
from pathlib import Path
from typing import TextIO

# Reading and writing for the owner, nothing for anybody else.
PRIVATE = 0o600


def make_private(path: Path) -> None:
    """Make an empty file that only this user can read, if there is no file yet. What exists stays as it is.

    Raises:
        OSError: The file cannot be made.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
    except FileExistsError:
        return


def close_to_others(output: TextIO) -> None:
    """If the output is a file that other users can read, take that right away from them.

    A shell makes the file that a command's output goes into, and makes it for everybody.
    """
    try:
        descriptor = output.fileno()
        mode = os.fstat(descriptor).st_mode
        if os.name == "posix" and stat.S_ISREG(mode) and mode & (stat.S_IRWXG | stat.S_IRWXO):
            os.fchmod(descriptor, PRIVATE)
    except OSError:  # no descriptor at all, or somebody else's file
        return


def why_not_private(path: Path) -> str | None:
    """What to do about a file that every user of this computer can read or write; None if there is nothing."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    if os.name != "posix" or not mode & stat.S_IRWXO:
        return None
    return f"Every user of this computer can read {path}: chmod 600 {path}"
