"""By hand as root: go on as the user whom the journal belongs to, as the agent's unit does.

Otherwise the first `sudo arcade-edge pulse` would leave files behind that the agent may not open, and whether the
agent's user may use pins and ports would never be tried.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def become_owner_of(folder: Path) -> str | None:
    """Become the owner of `folder`, with all groups of that user, for good; the user's name.

    None, and nothing is changed, where this process is not root's, the folder is root's, or there is none.
    """
    try:
        owner = pwd.getpwuid(folder.stat().st_uid)
    except (OSError, KeyError):
        return None
    if os.geteuid() != 0 or owner.pw_uid == 0:
        return None
    os.initgroups(owner.pw_name, owner.pw_gid)
    os.setgid(owner.pw_gid)
    os.setuid(owner.pw_uid)
    return owner.pw_name
