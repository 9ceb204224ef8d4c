"""`make bench`: the figures that are promised, each as a ratio to a floor measured in the same run.

Prints a Markdown table, which docs/PERFORMANCE.md shows. Nothing is asserted: a figure is a fact about the
machine it ran on. Choose with `ARGS="latency store"`.
"""

import sys
import time
from collections.abc import Callable

from bench import agent, busy, cloud, console, pages, pulses, store
from bench.rows import Row

PARTS: dict[str, Callable[[], list[Row]]] = {
    "latency": agent.latency,
    "webhook": cloud.webhook_to_edge,
    "throughput": cloud.throughput,
    "cold-start": cloud.cold_start,
    "pulses": pulses.pulses,
    "idle": agent.idle,
    "store": store.store,
    "page": pages.page_weight,
    "busy": busy.busy,
    "console": console.console,
}


def main(chosen: list[str]) -> int:
    """Run the parts that are named, or all; the exit code."""
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print("| what | measured | floor, same run | ratio | target | reached |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for name in chosen or PARTS:
        began = time.monotonic()
        print(f"… {name}", file=sys.stderr, flush=True)
        for row in PARTS[name]():
            print(row.line(), flush=True)
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
