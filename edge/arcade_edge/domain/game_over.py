"""What counts as a change of an input, and which serial line means game over (pure)."""

from __future__ import annotations

import importlib
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

MAX_LINE_BYTES = 256
"""A serial line is cut here: long enough for any status line, short enough to bound the matching."""

MAX_PATTERN_CHARS = 500
MAX_PATTERN_BITS = 17
"""The most that a pattern may leave open, as a power of two: just two repeats such as `.*` in a line.

A match holds the interpreter, and with it a coin line that may be active just then: two such repeats on 256
characters were measured at 8 ms, three at a second and more."""


@dataclass(frozen=True, slots=True)
class Change:
    """A debounced change: the line has been `active` (or not) since `since_ms`."""

    active: bool
    since_ms: int


@dataclass(frozen=True, slots=True)
class Debounce:
    """A line's debounced level. A new level counts once it has held for `debounce_ms` without a break.

    Fed with `feed` at each edge and with `due` once `next_due` has come; both return the
    next state and the change, or None. The level at the start is given, and is no change.
    """

    debounce_ms: int
    active: bool
    differs_since_ms: int | None = None

    def next_due(self) -> int | None:
        """When `due` has something to say, unless an edge comes first; None while steady."""
        return None if self.differs_since_ms is None else self.differs_since_ms + self.debounce_ms

    def due(self, now_ms: int) -> tuple[Debounce, Change | None]:
        """The time has moved to `now_ms` without an edge."""
        if self.differs_since_ms is None or now_ms - self.differs_since_ms < self.debounce_ms:
            return self, None
        change = Change(not self.active, self.differs_since_ms)
        return replace(self, active=change.active, differs_since_ms=None), change

    def feed(self, active: bool, at_ms: int) -> tuple[Debounce, Change | None]:
        """The raw level is `active` at `at_ms`; saying the same level again changes nothing."""
        state, change = self.due(at_ms)
        if active == state.active:
            return replace(state, differs_since_ms=None), change
        if state.differs_since_ms is None:
            state = replace(state, differs_since_ms=at_ms)
        if change is None:
            return state.due(at_ms)
        return state, change


class LineSplitter:
    """Cuts a stream of bytes into lines of text, whatever comes: memory is bounded by one line.

    `terminator` ends a line; without one `\\r` and `\\n` both do. So does silence (`silence`): some machines send
    no end at all, and half a line from before a cable came off is no part of the next. Empty lines are left out,
    bytes that are no UTF-8 become U+FFFD. Of a line longer than `max_bytes` only the beginning is given.
    """

    def __init__(self, max_bytes: int = MAX_LINE_BYTES, terminator: bytes = b"") -> None:
        self._max_bytes = max_bytes
        self._terminator = re.compile(re.escape(terminator) if terminator else rb"[\r\n]")
        # What may be the beginning of a terminator whose rest has not come.
        self._overlap = max(0, len(terminator) - 1)
        self._line = bytearray()
        self._tail = b""

    def feed(self, chunk: bytes) -> Iterator[str]:
        """Yield each line that `chunk` completes."""
        *complete, rest = self._terminator.split(self._tail + chunk)
        for piece in complete:
            self._add(piece)
            yield from self._taken()
        kept = min(self._overlap, len(rest))
        self._add(rest[: len(rest) - kept])
        self._tail = rest[len(rest) - kept :]

    def silence(self) -> Iterator[str]:
        """Nothing has come for so long that nothing more belongs to the line: yield it."""
        self._add(self._tail)
        self._tail = b""
        yield from self._taken()

    def _add(self, piece: bytes) -> None:
        self._line += piece[: self._max_bytes - len(self._line)]

    def _taken(self) -> Iterator[str]:
        line = self._line.decode(errors="replace")
        self._line.clear()
        if line:
            yield line


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """The regular expression that a serial line is searched with.

    Raises:
        ValueError: Saying what to change, for a pattern that is empty, no regular expression, or one that some
            line could keep busy for seconds.
    """
    if not pattern:
        raise ValueError("pattern: it is empty; give the text that the machine sends, for example GAME OVER")
    if len(pattern) > MAX_PATTERN_CHARS:
        raise ValueError(f"pattern: longer than {MAX_PATTERN_CHARS} characters")
    try:
        compiled = re.compile(pattern)
        # The standard library's own parse tree, which has no public name.
        bits = _open_bits(importlib.import_module("re._parser").parse(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"pattern: {pattern!r} is no regular expression: {error}") from error
    if bits > MAX_PATTERN_BITS:
        raise ValueError(
            f"pattern: {pattern!r} may take seconds on some lines; use at most two repeats such as .* or "
            "\\s+, none inside another (and none at either end: the text is found anywhere in the line)"
        )
    if compiled.search(""):
        raise ValueError(f"pattern: {pattern!r} matches an empty text, so every line would be a game over")
    return compiled


def _open_bits(parsed: Any) -> float:
    """How many ways through the pattern a line may make the matcher try, as a power of two."""
    bits = 0.0
    after_repeat = False
    for (opcode, argument), following in itertools.pairwise([*parsed, None]):
        name = str(opcode)
        is_repeat = name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT")
        if is_repeat:
            low, high, body = argument
            most = min(int(high), MAX_LINE_BYTES)
            # One that can end in one place only costs no more ways, but its length again for each way before it.
            free = not after_repeat and bits <= MAX_PATTERN_BITS / 2 and _ends_at(body, following)
            if not free:
                bits += math.log2(max(most - low, 0) + 1) + most * _open_bits(body)
        elif name == "BRANCH":
            bits += math.log2(len(argument[1])) + max(map(_open_bits, argument[1]))
        else:
            parts = argument if isinstance(argument, tuple | list) else [argument]
            bits += sum(_open_bits(part) for part in parts if hasattr(part, "getwidth"))
        after_repeat = is_repeat
    return bits


def _ends_at(body: Any, following: Any) -> bool:
    """Whether a repeat of `body`, one character, can only end where the literal `following` comes."""
    if len(body) != 1 or following is None or str(following[0]) != "LITERAL":
        return False
    if str(body[0][0]) not in ("LITERAL", "NOT_LITERAL", "IN", "ANY"):
        return False
    one: re.Pattern[str] = importlib.import_module("re._compiler").compile(body)
    return one.match(chr(following[1])) is None
