"""The demo's arcade for tests: quick, and with everything that can be seen there."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from arcade_sandbox.arcade import Arcade
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import Profile

# A machine that is away is called silent so soon. The others speak every 30 seconds.
SILENT_S = 45
PURCHASES = 20
QUICK_PULSES = Profile(pulse_ms=15, gap_ms=15, min_pulse_ms=10, min_gap_ms=10, start_after_ms=200, play_s=0.3)


@contextmanager
def quick_arcade(folder: Path) -> Iterator[Arcade]:
    """Everybody has played, and everything has gone wrong that goes wrong there. Nobody plays any more."""
    arcade = Arcade(folder, QUICK_PULSES, {"MACHINE_SILENT_S": str(SILENT_S)}, every_s=0.05)
    with arcade.system:
        arcade.first_players()
        arcade.troubles()
        with arcade.crowd as crowd:
            wait_for("the crowd plays", lambda: len(crowd.paid) >= PURCHASES, 60)
        arcade.wait_settled(crowd.paid)
        yield arcade


def hears_long_enough(arcade: Arcade) -> None:
    """Have the cloud's echoes come back for ten minutes: before five, no machine is called silent."""
    with closing(sqlite3.connect(arcade.system.folder / "cloud.sqlite", timeout=30)) as database, database:
        database.execute("UPDATE echo SET since_ms = min(since_ms, sent_at_ms - 600000)")
