"""Who runs a command, for the audit log."""

import getpass
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arcade_cloud.domain.people import Actor


def user() -> str:
    """The user of this computer, as the system knows them: not as the environment says."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # not a Unix; a user without a name, as in a container
        pass
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"number {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def actor() -> "Actor":
    """Whoever runs this command."""
    from arcade_cloud.domain.people import command_line

    return command_line(user())
