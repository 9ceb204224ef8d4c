"""A real Mosquitto with an access list in a file: it grants every subscription, and hands on what the list allows.

The sandbox's broker has the dynamic-security plugin instead, which says what it refuses.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from arcade_sandbox.broker.launcher import find_mosquitto
from arcade_sandbox.processes import free_port, launch

_UP_WITHIN_S = 10.0


@contextmanager
def mosquitto_with_acl_file(folder: Path, acl: str, *more: str) -> Iterator[int]:
    """Run one in `folder` that believes every user name, with `more` lines of settings; its port on 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    mosquitto = find_mosquitto()
    port = free_port()
    (folder / "acl").write_text(acl)
    (folder / "acl").chmod(0o600)
    user = "user root\n" if os.geteuid() == 0 else ""
    (folder / "mosquitto.conf").write_text(
        f"{user}listener {port} 127.0.0.1\nallow_anonymous true\nacl_file {folder / 'acl'}\nset_tcp_nodelay true\n"
        + "".join(f"{line}\n" for line in more)
    )
    environment = dict(os.environ)
    if mosquitto.libraries:
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, mosquitto.libraries))
    child = launch(
        [str(mosquitto.binary), "-c", str(folder / "mosquitto.conf")],
        folder / "mosquitto.log",
        folder=folder,
        environment=environment,
        own_session=True,
    )
    try:
        _wait_until_up(port, child)
        yield port
    finally:
        child.kill()
        child.wait()


def _wait_until_up(port: int, child: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _UP_WITHIN_S
    while time.monotonic() < until and child.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise AssertionError(f"Mosquitto on port {port} does not answer")
