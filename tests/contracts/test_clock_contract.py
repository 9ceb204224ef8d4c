"""What cloud and cabinet are promised of their clocks, on this computer's and on the simulation's.

The cabinet has two: one of its boot (`BootClock`), one of the world (`WallClock`). The cloud has one of the world,
`now_ms`. Nothing here changes the time of the computer that it runs on.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Protocol

import pytest

from arcade_cloud.bootstrap import wall_clock_ms
from arcade_edge.bootstrap import boottime_ms, wall_ms
from arcade_edge.ports import BootClock, WallClock
from simulation.quiet import quiet_pi, quiet_world
from simulation.sim_cloud import Worker

A_YEAR_MS = 365 * 86_400_000
WAIT_S = 20
UNTIL_TOLD = (
    "import sys\n"
    "from arcade_edge.bootstrap import boottime_ms\n"
    "for _ in sys.stdin: print(boottime_ms(), flush=True)\n"
)


class Clocks(Protocol):
    """A computer's clocks, and what may befall it."""

    @property
    def boot(self) -> BootClock: ...
    @property
    def wall(self) -> WallClock: ...
    @property
    def cloud(self) -> Callable[[], int]: ...

    def witness_ms(self) -> int:
        """Unix time, from another source."""
        ...

    def pass_ms(self, ms: int) -> None:
        """Let at least so much time go by."""
        ...

    def set_wall(self, by_ms: int) -> None:
        """Somebody sets the computer's clock."""
        ...


class Real:
    """This computer's clocks; its wall clock is set for this process only."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.boot, self.wall, self.cloud = boottime_ms, wall_ms, wall_clock_ms
        self._monkeypatch = monkeypatch

    def witness_ms(self) -> int:
        told = subprocess.run(["date", "+%s%3N"], capture_output=True, text=True, check=True, timeout=WAIT_S)
        return int(told.stdout)

    def pass_ms(self, ms: int) -> None:
        time.sleep(ms / 1000)

    def set_wall(self, by_ms: int) -> None:
        seconds, nanoseconds, of = time.time, time.time_ns, time.clock_gettime_ns
        self._monkeypatch.setattr(time, "time", lambda: seconds() + by_ms / 1000)
        self._monkeypatch.setattr(time, "time_ns", lambda: nanoseconds() + by_ms * 1_000_000)
        self._monkeypatch.setattr(
            time,
            "clock_gettime_ns",
            lambda clock: of(clock) + (by_ms * 1_000_000 if clock == time.CLOCK_REALTIME else 0),
        )


class Simulated:
    """The simulated Pi's clocks, and those of the simulated cloud's first process."""

    def __init__(self) -> None:
        self.world = quiet_world()
        self.pi = quiet_pi(self.world)
        self.pi.wall_off_ms = 0  # else a Pi that has never heard of the time
        self.worker = self.world.cloud.workers[0]
        self.boot, self.wall = self.pi.boot_ms, self.pi.wall_ms

    def cloud(self) -> int:
        return self.worker.fulfilment.now_ms()

    def witness_ms(self) -> int:
        return self.world.scheduler.now_ms

    def pass_ms(self, ms: int) -> None:
        self.world.scheduler.run_until(self.world.scheduler.now_ms + ms)

    def set_wall(self, by_ms: int) -> None:
        self.pi.wall_off_ms += by_ms
        self.worker.skew_ms += by_ms


@pytest.fixture(params=["real", "simulated"])
def clocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Real(monkeypatch) if request.param == "real" else Simulated()


def test_every_clock_tells_whole_milliseconds(clocks: Clocks) -> None:
    assert [type(read()) for read in (clocks.boot, clocks.wall, clocks.cloud)] == [int] * 3
    # One less: a crystal may be off by half a thousandth.
    begin = (clocks.boot(), clocks.wall(), clocks.cloud())
    clocks.pass_ms(20)
    end = (clocks.boot(), clocks.wall(), clocks.cloud())
    assert all(19 <= after - before < WAIT_S * 1_000 for before, after in zip(begin, end, strict=True))


def test_the_boot_clock_never_goes_back(clocks: Clocks) -> None:
    read = [clocks.boot()]
    for _ in range(50):
        read += [clocks.boot() for _ in range(200)]
        clocks.pass_ms(1)
    assert read == sorted(read)
    assert read[0] >= 0
    assert read[-1] >= read[0] + 49


def test_the_world_clocks_tell_unix_time(clocks: Clocks) -> None:
    """Cloud and cabinet mean the same by a moment."""
    for read in (clocks.wall, clocks.cloud):
        before_ms, told_ms, after_ms = clocks.witness_ms(), read(), clocks.witness_ms()
        assert before_ms <= told_ms <= after_ms


@pytest.mark.parametrize("by_ms", [A_YEAR_MS, -A_YEAR_MS])
def test_the_world_clock_may_jump_and_the_boot_clock_does_not_follow(clocks: Clocks, by_ms: int) -> None:
    wall_ms, cloud_ms, boot_ms = clocks.wall(), clocks.cloud(), clocks.boot()
    clocks.set_wall(by_ms)
    assert 0 <= clocks.wall() - wall_ms - by_ms < WAIT_S * 1_000
    assert 0 <= clocks.cloud() - cloud_ms - by_ms < WAIT_S * 1_000
    assert 0 <= clocks.boot() - boot_ms < WAIT_S * 1_000


def test_the_boot_clock_is_one_for_all_processes_and_goes_on_while_one_is_stopped() -> None:
    """What another process tells lies between two of ours, before and after it was stopped for a while."""
    with subprocess.Popen(
        [sys.executable, "-c", UNTIL_TOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as other:
        if other.stdin is None or other.stdout is None:
            raise RuntimeError("no pipes")
        try:
            for _ in range(2):
                before_ms = boottime_ms()
                other.stdin.write("now\n")
                assert before_ms <= int(other.stdout.readline()) <= boottime_ms()
                other.send_signal(signal.SIGSTOP)
                time.sleep(0.02)
                other.send_signal(signal.SIGCONT)
        finally:
            other.stdin.close()
            other.terminate()


def test_the_simulated_boot_clock_goes_on_while_the_agent_is_dead_and_begins_anew_with_the_power() -> None:
    clocks = Simulated()
    boot_ms, began_ms = clocks.boot(), clocks.witness_ms()
    clocks.pi.restart_agent()
    while clocks.pi.agent is None:
        clocks.pass_ms(1)
    went_by_ms = clocks.witness_ms() - began_ms
    assert went_by_ms > 0
    assert abs(clocks.boot() - boot_ms - went_by_ms) <= went_by_ms // 1000 + 1
    clocks.pi.power_cut(5_000)
    clocks.pass_ms(5_000)
    assert clocks.boot() < boot_ms


def test_time_without_power_counts_for_the_simulated_world_clock_alone() -> None:
    """A Pi whose clock was set has it again after a power cut, as the network tells it."""
    clocks = Simulated()
    clocks.pi.power_cut(5_000)
    clocks.pass_ms(60_000)
    assert clocks.wall() == clocks.witness_ms()
    assert clocks.boot() < 60_000


def test_time_in_which_the_computer_was_suspended_counts_for_the_boot_clock() -> None:
    """Shown where only the clock of the boot is a thousand seconds ahead, as after so long a sleep."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("unshare is not installed")
    command = [unshare, "--user", "--map-root-user", "--time", "--boottime", "1000", "--fork"]
    if subprocess.run([*command, "true"], capture_output=True, check=False, timeout=WAIT_S).returncode:
        pytest.skip("this computer lets nobody have a time of his own")
    told = subprocess.run(
        [*command, sys.executable, "-c", UNTIL_TOLD],
        input="now\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
    )
    assert int(told.stdout) - boottime_ms() > 990_000 - WAIT_S * 1_000


def test_each_process_of_the_simulated_cloud_has_a_clock_of_its_own() -> None:
    clocks = Simulated()
    other = Worker(clocks.world.cloud, 9)
    clocks.worker.skew_ms = 1_500
    assert clocks.cloud() == clocks.witness_ms() + 1_500
    clocks.worker.start()
    assert clocks.cloud() == clocks.witness_ms() + 1_500
    assert clocks.wall() == clocks.witness_ms()
    assert other.fulfilment.now_ms() == clocks.witness_ms()
