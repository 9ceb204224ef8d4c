"""`make chaos`: players buy without end while everything around them is killed, frozen, cut and slowed down.

The whole system runs as real processes. When the time is up the faults end, every order has to become final within
the published time, and the promises are recomputed from outside. Exit code: 0 they held, 1 one of them was broken
(the seed and the folder with the logs are printed), 2 the run itself could not be done.

The faults are drawn from the seed; what they hit at which moment is up to real processes, so the same seed gives
the same faults, not the same run.
"""

import argparse
import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from arcade_sandbox.errors import BrokerError, SystemFailed
from chaos.plant import DELIVER_WITHIN_S, SILENCE_LIMIT_S, running
from chaos.run import Options, Outcome, run
from chaos.table import Progress, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chaos and print what came of it; the exit code."""
    options = _options(arguments)
    logging.getLogger("waitress").setLevel(logging.ERROR)  # the stand-in for Stripe says how many calls wait
    folder = Path(tempfile.mkdtemp(prefix="arcade-chaos-")) if options.folder is None else options.folder
    print(
        f"seed {options.seed}, {options.seconds:g} s, {options.clouds} clouds, {options.agents} cabinets",
        flush=True,
    )
    began = time.monotonic()
    outcome: Outcome | None = None
    try:
        with running(folder / "system", options.clouds, options.agents) as plant, Progress(sys.stderr) as progress:
            outcome = run(plant, options, progress)
    except (SystemFailed, BrokerError) as error:
        print(f"chaos: {error}\nseed {options.seed}, logs in {folder}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"seed {options.seed}, logs in {folder}", file=sys.stderr)
        return 130
    print(table(outcome, time.monotonic() - began))
    if not outcome.held:
        print(f"\nThe promises did not hold. Again: make chaos SECONDS={options.seconds:g} SEED={options.seed}")
        print(f"logs, journals and databases: {folder}")
        return 1
    if options.keep or options.folder is not None:
        print(f"logs, journals and databases: {folder}")
    else:
        shutil.rmtree(folder)
    return 0


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Chaos on real processes.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long faults go on (%(default)g)")
    parser.add_argument("--seed", type=int, help="of the faults; drawn and printed where none is given")
    parser.add_argument("--clouds", type=int, default=2, help="cloud processes (%(default)s)")
    parser.add_argument("--agents", type=int, default=3, help="cabinets (%(default)s)")
    parser.add_argument("--folder", type=Path, help="for logs, journals and databases; it is kept then")
    parser.add_argument("--keep", action="store_true", help="keep the folder where the promises held too")
    given = parser.parse_args(arguments)
    if given.seconds < 1 or given.clouds < 1 or not 1 <= given.agents <= 20:
        parser.error("at least 1 second, 1 cloud and 1 to 20 cabinets")
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    long_s = DELIVER_WITHIN_S + SILENCE_LIMIT_S + 8.0
    return Options(given.seconds, seed, given.clouds, given.agents, given.folder, given.keep, long_s)


if __name__ == "__main__":
    sys.exit(main())
