"""Seeds in a row: run, check, count; one process, or several."""

import gc
import logging
import multiprocessing
import signal
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from simulation.bound_checker import ends_of
from simulation.checkers import Broken, Case, check
from simulation.coverage import Coverage, recording
from simulation.digest import digest
from simulation.world import run

TRACE_LINES = 40


@dataclass
class Result:
    """One seed. `orders`: tabs among them; `plays`: what was drawn on those."""

    seed: int
    orders: int
    tabs: int
    plays: int
    days: float
    fingerprint: str
    broken: list[Broken]
    coverage: Coverage
    tail: list[str] = field(default_factory=list)
    digest: str = ""


def one(seed: int, weather: Sequence[str] = (), *, whole_trace: bool = False, tabs: bool | None = None) -> Result:
    """Run and check one seed. The code under test logs nothing meanwhile.

    `tabs`: whether some play on tabs; None: as the seed has it.
    """
    coverage = Coverage()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with recording(coverage):
            lived = run(seed, weather, tabs=tabs)
        evidence = lived.evidence
        broken, exceptions = check(evidence)
    except Exception:  # noqa: BLE001  # the run's own fault, told with its seed: the other seeds go on
        return Result(seed, 0, 0, 0, 0.0, "", [Broken("defect", "run", traceback.format_exc())], Coverage(), [])
    finally:
        logging.disable(before)
    broken += [Broken("3", "coverage", f"an unlisted transition: {what}") for what in coverage.unlisted()]
    coverage.ends.update(ends_of(Case(evidence)))
    coverage.faults.update(evidence.faults)
    coverage.exceptions.update(exceptions)
    coverage.alerts.update(kind for kind, _ in evidence.alerts)
    lines = lived.trace if whole_trace else lived.trace[-TRACE_LINES:] if broken else []
    tail = [" ".join(str(word) for word in line) for line in lines]
    days = (evidence.ended_ms - lived.started_ms) / 86_400_000
    return Result(
        seed,
        len(evidence.orders) + len(evidence.tabs),
        len(evidence.tabs),
        sum(len(tab["plays"]) for tab in evidence.tabs),
        days,
        lived.fingerprint,
        broken,
        coverage,
        tail,
        digest(evidence),
    )


def _begin_process() -> None:
    """Ctrl-C is the parent's. And what is loaded stays: looking through it again took a tenth of the time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def several(seeds: Iterable[int], jobs: int, seconds: float | None = None) -> Iterator[Result]:
    """Results as they come, until the seeds or the seconds are over."""
    until = None if seconds is None else time.monotonic() + seconds
    if jobs <= 1:
        for seed in seeds:
            yield one(seed)
            if until is not None and time.monotonic() > until:
                return
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _begin_process) as pool:
        for result in pool.imap(one, seeds, chunksize=1):
            yield result
            if until is not None and time.monotonic() > until:
                pool.terminate()
                return
