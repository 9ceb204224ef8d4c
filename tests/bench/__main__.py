"""`make bench`: the figures that are promised, each as a ratio to a floor measured in the same run.

Prints a Markdown table, which docs/PERFORMANCE.md shows. A figure is a fact about the machine it ran on, so most
are only printed. A few targets are bounds, and it fails beyond them. Choose with `ARGS="latency store"`.
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
    """Run the parts that are named, or all; the exit code: 1 if something is beyond its bound."""
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    print("| what | measured | floor, same run | ratio | target | reached |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    beyond = list[str]()
    for name in chosen or PARTS:
        began = time.monotonic()
        print(f"… {name}", file=sys.stderr, flush=True)
        for row in PARTS[name]():
            print(row.line(), flush=True)
            if row.is_bound and not row.reached:
                beyond.append(f"{row.what}: {row.measured}, not {row.target}")
        print(f"  {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    for text in beyond:
        print(f"beyond its bound: {text}", file=sys.stderr)
    return 1 if beyond else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
