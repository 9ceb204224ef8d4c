"""A real kernel's GPIO chip without hardware: its far side, and the kernel's own record of what was driven.

Only on the virtual Pi (`sandbox/virtual-pi/run.sh`), where everything runs as root and nothing outlives the run.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from arcade_edge.simulator.board import Edge
from support.agent_process import AgentProcess

CHIP = Path("/sys/devices/platform/gpio-sim.0/gpiochip0")
TRACING = Path("/sys/kernel/tracing")
PERSIST = Path("/sys/module/gpio_sim/parameters/persist")
COIN, GAME_OVER, READY, METER = 17, 27, 22, 23

only_on_the_virtual_pi = pytest.mark.skipif(not CHIP.exists(), reason="on the virtual Pi only: make gpio-test")


def level(line: int) -> bool:
    """What the line is at: driven by this computer, else pulled by the world outside."""
    return (CHIP / f"sim_gpio{line}" / "value").read_text().strip() == "1"


def pull(line: int, high: bool) -> None:
    """What the world outside does to the line: a resistor, a switch, an output of the machine.

    The simulation has but one pull: that of a line which is then claimed with one of its own replaces this.
    """
    (CHIP / f"sim_gpio{line}" / "pull").write_text("pull-up" if high else "pull-down")


def keep_released_outputs(keep: bool) -> None:
    """Whether a line that was let go goes on being driven, as on Raspberry Pi OS."""
    PERSIST.write_text("Y" if keep else "N")


def record() -> None:
    """Start a new record of what is driven."""
    (TRACING / "trace_clock").write_text("mono")
    (TRACING / "events/gpio/gpio_value/enable").write_text("1")
    (TRACING / "trace").write_text("")


def driven(line: int) -> list[tuple[bool, int]]:
    """Every level that the line was driven to since `record`, and when (ns of the monotonic clock)."""
    number = _first_number() + line
    found = re.findall(rf" (\d+)\.(\d{{6}}): gpio_value: {number} set ([01])", (TRACING / "trace").read_text())
    return [(value == "1", int(seconds) * 10**9 + int(micros) * 1000) for seconds, micros, value in found]


def _first_number() -> int:
    """The number that the kernel has given to the chip's first line."""
    (first,) = re.findall(r"^gpiochip0: GPIOs (\d+)-", Path("/sys/kernel/debug/gpio").read_text(), re.MULTILINE)
    return int(first)


def edges(line: int, active: str) -> list[Edge]:
    """The changes of a line that was driven since `record`; the first one is to the first level driven."""
    changes: list[Edge] = []
    for high, at_ns in driven(line):
        if not changes or changes[-1].active != (high == (active == "high")):
            changes.append(Edge(high == (active == "high"), at_ns))
    return changes


def pulses(line: int, active: str) -> list[tuple[int, int]]:
    """Begin and end of each whole pulse since `record`, in ns."""
    changes = edges(line, active)
    return [(begin.at_ns, end.at_ns) for begin, end in itertools.pairwise(changes) if begin.active]


class RealAgent(AgentProcess):
    """`arcade-edge run` as a child, with gpiozero's lgpio back end. Use it as AgentProcess."""

    def __init__(self, config: Path, active: str) -> None:
        super().__init__(config)
        self._active = active
        self._command = [sys.executable, "-m", "arcade_edge.cli", "-v", "run", "--config", str(config)]

    def edges(self) -> list[Edge]:
        """What the coin line has done since `record`."""
        return edges(COIN, self._active)


def by_hand(config: Path, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of the technician's commands."""
    return subprocess.run(
        [sys.executable, "-m", "arcade_edge.cli", command, "--config", str(config), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
