"""A row of the table, and the statistics that all measurements share."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

# As edge/deploy/arcade-edge.service has it (CPUSchedulingPriority).
UNIT_PRIORITY = 20


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        reached: Whether the target is; None where there is none.
        is_bound: The target is a bound: `make bench` fails beyond it.
    """

    what: str
    measured: str
    floor: str = "–"
    ratio: str = "–"
    target: str = "–"
    reached: bool | None = None
    is_bound: bool = False

    def line(self) -> str:
        """The row in Markdown."""
        verdict = {True: "yes", False: "**no**", None: "–"}[self.reached]
        return f"| {self.what} | {self.measured} | {self.floor} | {self.ratio} | {self.target} | {verdict} |"


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@contextmanager
def as_the_unit_runs_it() -> Iterator[str]:
    """Threads and processes started within have the scheduling of the agent's systemd unit.

    Gives a word about it for the table: "" where it is so, else that this user may not.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(UNIT_PRIORITY))
    except PermissionError:
        yield " (at normal priority: this user may set no other)"
        return
    try:
        yield ""
    finally:
        os.sched_setscheduler(0, *before)
