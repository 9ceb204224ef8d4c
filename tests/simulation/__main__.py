"""Run the simulation: `PYTHONPATH=tests python -m simulation [--seed S | --n N | --mutations | --digest]`.

Without options the seeds from 1 on, as many as must show every fault and every transition. A seed that fails
prints what is broken, the end of its trace, and how to replay it; then the exit code is 1.
"""

import argparse
import hashlib
import multiprocessing
import os
import sys
import time

from arcade_shared.command_line import any_number, whole_number
from simulation.coverage import Coverage
from simulation.mutations import MUTATIONS, hunt_number
from simulation.progress import Progress, failed_text
from simulation.running import Result, one, several

# So many seeds must have shown everything that is listed, whatever they begin with.
ENOUGH = 1_500
# And so many of their orders must have been tabs.
LEAST_TABS = 1 / 3
MOST_SHOWN = 5
SEED = whole_number(0, 10**9)
# What a shell gives to a program that Ctrl-C has ended.
INTERRUPTED = 130


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=SEED, help="this seed alone, with its whole trace if --verbose")
    parser.add_argument("--n", type=whole_number(1, 10**9), help=f"so many seeds (default {ENOUGH})")
    parser.add_argument("--first", type=SEED, default=1, help="the first seed")
    parser.add_argument("--seconds", type=any_number(1), help="as many seeds as fit into this time")
    parser.add_argument(
        "--jobs", type=whole_number(1, 256), default=os.cpu_count() or 1, help="processes (default: one per core)"
    )
    parser.add_argument("--mutations", action="store_true", help="plant each deliberate bug, and find it")
    parser.add_argument(
        "--digest",
        action="store_true",
        help="one text for all that the seeds did to the world (300 seeds unless --n); each seed's with --verbose",
    )
    parser.add_argument(
        "--verbose", action="store_true", help="the table of what was covered; a seed's whole trace"
    )
    options = parser.parse_args()
    if options.mutations:
        return _mutations(options.n or 400, options.first, options.jobs)
    if options.digest:
        return _digest(options.n or 300, options.first, options.jobs, options.verbose)
    if options.seed is not None:
        return _one(options.seed, options.verbose)
    return _many(options)


def _one(seed: int, verbose: bool) -> int:
    result = one(seed, whole_trace=verbose)
    if verbose and not result.broken:
        print("\n".join(result.tail))
    _show(result)
    print(f"seed {seed}: {result.orders} orders, {result.days:.0f} days, trace {result.fingerprint}")
    return 1 if result.broken else 0


def _digest(number: int, first: int, jobs: int, verbose: bool) -> int:
    whole, failed = hashlib.sha256(), list[int]()
    for result in several(range(first, first + number), jobs):
        whole.update(f"{result.seed} {result.digest}\n".encode())
        if result.broken:
            failed.append(result.seed)
        _show(result)
        if verbose:
            print(result.seed, result.digest)
    print(f"{number} seeds from {first} on: digest {whole.hexdigest()[:16]}, {len(failed)} failed")
    if failed:
        print(failed_text(failed))
    return 1 if failed else 0


def _many(options: argparse.Namespace) -> int:
    coverage, began = Coverage(), time.monotonic()
    number = ENOUGH if options.n is None else options.n
    last = 10**9 if options.seconds is not None and options.n is None else options.first + number
    seeds = orders = tabs = plays = 0
    failed: list[int] = []
    days = 0.0
    progress = Progress(sys.stderr, None if options.n is None and options.seconds else number, options.seconds)
    interrupted = False
    try:
        for result in several(range(options.first, last), options.jobs, options.seconds):
            seeds, orders, days = seeds + 1, orders + result.orders, days + result.days
            tabs, plays = tabs + result.tabs, plays + result.plays
            coverage.add(result.coverage)
            if result.broken:
                failed.append(result.seed)
                if len(failed) <= MOST_SHOWN:
                    progress.wipe()
                    _show(result)
            progress.show(seeds, orders, len(failed))
    except KeyboardInterrupt:
        interrupted = True
    progress.wipe()
    took_s = time.monotonic() - began
    missing = coverage.missing() if seeds >= ENOUGH else []
    if seeds >= ENOUGH and tabs < orders * LEAST_TABS:
        missing.append(f"{LEAST_TABS:.0%} of the orders are tabs ({tabs} of {orders})")
    if interrupted:
        print("interrupted; so far:")
    if options.verbose or missing:
        print(coverage.table())
    for what in missing:
        print(f"never happened in {seeds} seeds: {what}")
    print(
        f"{seeds} seeds, {orders} orders, {days / 365:.0f} years of machines in {took_s:.0f} s "
        f"({orders / took_s:.0f} orders a second): {len(failed)} seeds failed"
    )
    print(f"{tabs} of the orders are tabs, with {plays} plays")
    print("named exceptions met: " + ", ".join(f"{n} × {name}" for name, n in sorted(coverage.exceptions.items())))
    if failed:
        print(failed_text(failed))
    return INTERRUPTED if interrupted else 1 if failed or missing else 0


def _show(result: Result) -> None:
    if not result.broken:
        return
    print(f"--- seed {result.seed} breaks", ", ".join(sorted({f"promise {b.promise}" for b in result.broken})))
    for broken in result.broken[:10]:
        print(f"  {broken.promise} ({broken.checker}): {broken.text}")
    print("  the end of its trace:")
    print("\n".join(f"    {line}" for line in result.tail))
    print(f"  replay it: make sim SEED={result.seed}")


def _mutations(most: int, first: int, jobs: int) -> int:
    unfound = missed = 0
    elsewhere = {mutation.name: mutation.elsewhere for mutation in MUTATIONS}
    print(f"{'seeds':>5}  {'found by':10}  bug")
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for name, found, by in pool.imap(hunt_number, [(n, first, most) for n in range(len(MUTATIONS))]):
            unfound += found == 0
            told = f"; {elsewhere[name]}" if not found and elsewhere[name] else ""
            missed += found == 0 and not told
            print(f"{found or '–':>5}  {by:10}  {name}{told}", flush=True)
    print(
        f"{len(MUTATIONS) - unfound} of {len(MUTATIONS)} bugs found within {most} seeds each; {missed} by nothing"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
