"""What the doctor says of one thing that it has tried: a level, the thing, and a sentence with what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "FAIL"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`FAIL`: the machine cannot be paid, or not safely. `warn`: it can, and somebody should look at this."""

    level: Level
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.level:4}  {self.what:13} {self.text}"


def good(what: str, text: str) -> Verdict:
    """It is as it should be."""
    return Verdict("ok", what, text)


def doubtful(what: str, text: str) -> Verdict:
    """It works, and somebody should look at it."""
    return Verdict("warn", what, text)


def bad(what: str, text: str) -> Verdict:
    """It does not work; `text` says what to do."""
    return Verdict("FAIL", what, text)
