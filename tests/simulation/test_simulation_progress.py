"""A long run says how far it is."""

import io

import pytest

from simulation.progress import WIPE, Progress


class Stream(io.StringIO):
    """Text that is kept, on a terminal or not."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def test_elsewhere_than_on_a_terminal_a_line_a_minute() -> None:
    stream, now = Stream(False), [0.0]
    progress = Progress(stream, 64_000, clock=lambda: now[0])
    for seeds in range(1, 601):
        now[0] = seeds * 0.2
        progress.show(seeds, seeds * 17, 0)
    progress.wipe()
    assert stream.getvalue().splitlines() == [
        "300 of 64000 seeds, 5100 orders, 0 failed, 3 h 32 min left",
        "600 of 64000 seeds, 10200 orders, 0 failed, 3 h 31 min left",
    ]


def test_on_a_terminal_one_line_is_renewed_and_taken_away() -> None:
    stream, now = Stream(True), [0.0]
    progress = Progress(stream, 100, clock=lambda: now[0])
    for seeds in (10, 50):
        now[0] += 10
        progress.show(seeds, seeds, 1)
    progress.wipe()
    lines = stream.getvalue().split(WIPE)
    assert lines == [
        "",
        "10 of 100 seeds, 10 orders, 1 failed, 1 min 30 s left",
        "50 of 100 seeds, 50 orders, 1 failed, 20 s left",
        "",
    ]


@pytest.mark.parametrize(("number", "seconds", "left"), [(None, 300.0, "4 min 00 s"), (70, 300.0, "10 s")])
def test_a_run_for_some_time_ends_with_it(number: int | None, seconds: float, left: str) -> None:
    stream, now = Stream(False), [0.0]
    progress = Progress(stream, number, seconds, clock=lambda: now[0])
    now[0] = 60.0
    progress.show(60, 900, 0)
    assert stream.getvalue().endswith(f"0 failed, {left} left\n")
