"""Child processes and free ports, for the demo and the tests."""

import ctypes
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from arcade_sandbox.errors import SystemFailed

START_WITHIN_S = 20.0
STOP_WITHIN_S = 20.0
LOG_TAIL_CHARS = 3000
_LOOPBACK = "127.0.0.1"
_PORTS = range(20_000, 30_000)  # below every system's range for outgoing connections: see free_port
_PORT_ATTEMPTS = 50
_PR_SET_PDEATHSIG = 1  # from linux/prctl.h

T = TypeVar("T")


def wait_for(what: str, look: Callable[[], T | None], within_s: float = START_WITHIN_S) -> T:
    """Call `look` until it returns something other than None or False, and return that.

    Raises:
        SystemFailed: It returned nothing else within `within_s`.
    """
    end = time.monotonic() + within_s
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        if time.monotonic() >= end:
            raise SystemFailed(f"waited {within_s:g} s in vain for this: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on, outside the range for outgoing connections.

    Inside that range, a client that keeps trying while its server is down can be given the very port that it
    calls, and so be connected to itself.

    Raises:
        SystemFailed: No free port was found.
    """
    for _ in range(_PORT_ATTEMPTS):
        port = random.choice(_PORTS)  # noqa: S311 - not a secret  # nosec B311
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_LOOPBACK, port))
            except OSError:
                continue
            return port
    raise SystemFailed(f"no free port in {_PORT_ATTEMPTS} attempts between {_PORTS.start} and {_PORTS.stop}")


def dies_with_parent() -> Callable[[], None] | None:
    """A function that a child runs first, so that a killed test leaves no child behind (Linux only).

    The child ends with the thread that started it, so that thread must live as long as the child.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up here: a forked child must not load anything
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child


def launch(
    command: Sequence[str | Path],
    log: Path,
    *,
    folder: Path,
    environment: Mapping[str, str],
    own_session: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a program in `folder`, without input. It ends with this thread.

    Args:
        log: Its output is appended to this file.
        own_session: Ctrl-C does not reach it.

    Raises:
        OSError: The log cannot be written, or the program cannot be started.
    """
    with log.open("ab") as written:
        return subprocess.Popen(  # noqa: S603 - programs that this package has found, never input  # nosec B603
            command,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            preexec_fn=dies_with_parent(),
            start_new_session=own_session,
        )


@dataclass
class Process:
    """One of our commands as a child process, with its log in a file."""

    name: str
    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    child: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The file with its standard output and error."""
        return self.folder / f"{self.name}.log"

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.child is not None and self.child.poll() is None

    def start(self) -> None:
        """Start it, or start it again. Its output is appended to the log."""
        command = [sys.executable, *self.arguments]
        self.child = launch(command, self.log, folder=self.folder, environment=self.environment)

    def send(self, number: signal.Signals) -> None:
        """Send a signal if it is running."""
        if self.child is not None and self.child.poll() is None:
            self.child.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a power cut would, and wait until it is gone."""
        self.send(signal.SIGKILL)
        if self.child is not None:
            self.child.wait(STOP_WITHIN_S)

    def stop(self) -> int | None:
        """Stop it in order.

        Returns:
            Its exit code, or None if it was never started.

        Raises:
            SystemFailed: It did not stop in time, and was killed.
        """
        self.send(signal.SIGTERM)
        return self.wait_stopped()

    def wait_stopped(self) -> int | None:
        """Wait until it has stopped, as it was told to: see `stop`."""
        if self.child is None:
            return None
        try:
            return self.child.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise SystemFailed(f"{self.name} did not stop\n{self.tail()}") from None

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARS:] if self.log.exists() else ""
