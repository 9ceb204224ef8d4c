"""A real agent process on a simulated cabinet, for tests that kill it, freeze it and start it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from arcade_edge.simulator.board import Edge
from arcade_edge.simulator.cabinet import read_edge_log
from support.coins import count_coins

KEY = bytes(range(32))
MACHINE = "cab-01"
_ENDS_WITHIN_S = 60.0


def write_config(
    folder: Path,
    port: int,
    *,
    password: str = "machine password",
    pulse_ms: int = 60,
    gap_ms: int = 60,
    max_credits: int = 50,
    more: str = "",
    security: str = "",
) -> Path:
    """An agent's settings in `folder`, for the broker on loopback `port`."""
    path = folder / "edge.toml"
    path.write_text(
        f'''machine_id = "{MACHINE}"
[broker]
host = "127.0.0.1"
port = {port}
tls = false
username = "{MACHINE}"
password = "{password}"
[coin]
pin = 17
pulse_ms = {pulse_ms}
gap_ms = {gap_ms}
max_credits = {max_credits}
[journal]
path = "journal.db"
[security]
signing_key = "{KEY.hex()}"
{security}
{more}
'''
    )
    return path


def hear_signals() -> None:
    """For a child to run first: whoever runs the tests in the background may have it ignore some signals."""
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class AgentProcess:
    """`arcade-edge simulate` as a child. Use it as a context manager; it ends with SIGKILL at the latest there."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.edge_log = config.parent / "edges.jsonl"
        self.output = config.parent / "agent.log"
        self._command = [
            *(sys.executable, "-m", "arcade_edge.cli", "-v", "simulate", "--config", str(config)),
            *("--edge-log", str(self.edge_log), *arguments),
        ]
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> AgentProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it (again), on the same journal."""
        with self.output.open("ab") as output:
            self._child = subprocess.Popen(
                self._command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, preexec_fn=hear_signals
            )

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._child is not None
        return self._child.pid

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._child is not None
        self._child.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """The exit code of one that ends by itself."""
        assert self._child is not None
        return self._child.wait(_ENDS_WITHIN_S)

    def kill(self) -> None:
        """SIGKILL, as a power cut; does nothing if it does not run."""
        if self._child is not None and self._child.poll() is None:
            os.kill(self._child.pid, signal.SIGKILL)
            self._child.wait(_ENDS_WITHIN_S)

    def edges(self) -> list[Edge]:
        """What the coin line has done."""
        return read_edge_log(self.edge_log) if self.edge_log.exists() else []

    def pulses(self) -> int:
        """How often the line became active."""
        return sum(edge.active for edge in self.edges())

    def coins(self) -> int:
        """What a board counts from the edges."""
        return count_coins(self.edges())

    def wait_for_pulses(self, number: int) -> None:
        """Wait until the line has become active so often."""
        until = time.monotonic() + _ENDS_WITHIN_S
        while self.pulses() < number:
            assert time.monotonic() < until, f"{self.pulses()} of {number} pulses\n{self.log()}"
            time.sleep(0.005)

    def wait_for_log(self, text: str) -> None:
        """Wait until the agent has logged `text`."""
        until = time.monotonic() + _ENDS_WITHIN_S
        while text not in self.log():
            assert time.monotonic() < until, f"{text!r} is not in the log:\n{self.log()}"
            time.sleep(0.02)

    def log(self) -> str:
        """What it has printed so far."""
        return self.output.read_text() if self.output.exists() else ""
