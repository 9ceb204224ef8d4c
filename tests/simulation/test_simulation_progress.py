"""A long run says how far it is, and which seeds have failed."""

import io
import sys
from typing import Any

import pytest

from simulation import __main__ as command
from simulation.checkers import Broken
from simulation.coverage import Coverage
from simulation.progress import MOST_NAMED, WIPE, Progress, failed_text
from simulation.running import Result


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


@pytest.mark.parametrize("how", [["--n", "20"], ["--n", "20", "--digest"], ["--seconds", "60"]])
def test_every_seed_that_failed_is_named_in_the_last_line(
    how: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of most of them nothing else is shown."""
    failing = range(2, 20, 2)

    def several(_seeds: Any, *_: Any) -> list[Result]:
        broken = [Broken("1", "money", "a sum is missing")]
        return [
            Result(seed, 1, 0, 0, 1.0, "", broken if seed in failing else [], Coverage(), [])
            for seed in range(1, 21)
        ]

    monkeypatch.setattr(command, "several", several)
    monkeypatch.setattr(sys, "argv", ["simulation", "--jobs", "1", *how])
    assert command.main() == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "failed: 2 4 6 8 10 12 14 16 18; one of them again: make sim SEED=2"


def test_of_very_many_failed_seeds_the_first_are_named() -> None:
    text = failed_text(range(1, 2 * MOST_NAMED + 1))
    assert f" {MOST_NAMED} and {MOST_NAMED} more;" in text
    assert f" {MOST_NAMED + 1} " not in text


@pytest.mark.parametrize(
    "options", [["--n", "0"], ["--n", "-3"], ["--jobs", "0"], ["--seconds", "nan"], ["--seed", "x"]]
)
def test_a_number_that_makes_no_sense_is_refused(
    options: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulation", *options])
    with pytest.raises(SystemExit, match="2"):
        command.main()
    assert "is needed" in capsys.readouterr().err
