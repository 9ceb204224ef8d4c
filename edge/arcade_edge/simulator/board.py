"""A virtual game board: judges pulses on its coin input as a board does, and plays the games paid for (pure).

Fed with edges and with the time; what it decides comes back as values.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal, TypeAlias

REMEMBERED = 100_000
"""How many edges and pulses a board keeps; the counts go on without a bound."""


@dataclass(frozen=True, slots=True)
class Edge:
    """The coin line's level from `at_ns` (monotonic clock) on."""

    active: bool
    at_ns: int


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the board makes of a coin input, and how long its games are."""

    min_pulse_ms: float = 50
    """A shorter pulse is noise (JAMMA: 50 ms)."""
    min_gap_ms: float = 50
    """A pulse that begins earlier after the one before is taken for a part of it."""
    pulses_per_coin: int = 1
    start_after_ms: int = 1_000
    """How long the player takes to press START once there are credits."""
    play_ms: int = 10_000
    full_at: int = 0
    """With so many credits it is full: not ready, and it swallows coins until a game has begun. 0: it never is."""


Verdict: TypeAlias = Literal["counted", "too_short", "too_close", "swallowed"]


@dataclass(frozen=True, slots=True)
class PulseSeen:
    """One pulse and the board's verdict on it."""

    began_ns: int
    ended_ns: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class CoinCounted:
    """A coin was registered; `coins` is the board's count since it was switched on."""

    coins: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class ReadyTurned:
    """The board takes coins from now on, or takes none."""

    ready: bool
    at_ns: int


@dataclass(frozen=True, slots=True)
class GameStarted:
    """START was pressed and a credit used."""

    at_ns: int


@dataclass(frozen=True, slots=True)
class GameEnded:
    """Game over."""

    at_ns: int


Decision: TypeAlias = PulseSeen | CoinCounted | ReadyTurned | GameStarted | GameEnded
State: TypeAlias = Literal["attract", "playing"]


class Board:
    """The board's memory. Times are ns of the monotonic clock and never go back."""

    def __init__(self, ruling: Ruling = Ruling()) -> None:  # frozen
        self.ruling = ruling
        self.state: State = "attract"
        self.coins = 0
        self.credits = 0
        self.games = 0
        self.refused = 0
        self.edges: deque[Edge] = deque(maxlen=REMEMBERED)
        self.pulses: deque[PulseSeen] = deque(maxlen=REMEMBERED)
        self._pulses_towards_coin = 0
        self._began_ns: int | None = None
        self._swallows = False
        self._inactive_since_ns: int | None = None
        self._due_ns: int | None = None

    def edge(self, active: bool, at_ns: int) -> list[Decision]:
        """The coin line's level is `active` from `at_ns` on. Pulses are judged at their end."""
        decisions = self.tick(at_ns)
        self.edges.append(Edge(active, at_ns))
        if active and self._began_ns is None:
            self._began_ns, self._swallows = at_ns, not self.ready
        elif not active and self._began_ns is not None:
            decisions += self._judge(self._began_ns, at_ns)
            self._began_ns, self._inactive_since_ns = None, at_ns
        return decisions

    def tick(self, now_ns: int) -> list[Decision]:
        """It is `now_ns`: games that are due start and end, in their order."""
        decisions: list[Decision] = []
        while self._due_ns is not None and self._due_ns <= now_ns:
            at_ns, self._due_ns = self._due_ns, None
            if self.state == "attract":
                was_ready = self.ready
                self.state = "playing"
                self.credits -= 1
                if self.ready and not was_ready:
                    decisions.append(ReadyTurned(True, at_ns))
                self._due_ns = at_ns + self.ruling.play_ms * 1_000_000
                decisions.append(GameStarted(at_ns))
            else:
                self.state = "attract"
                self.games += 1
                self._await_start(at_ns)
                decisions.append(GameEnded(at_ns))
        return decisions

    @property
    def ready(self) -> bool:
        """Whether a coin would be taken."""
        return not self.ruling.full_at or self.credits < self.ruling.full_at

    def next_due_ns(self) -> int | None:
        """When `tick` has something to do next."""
        return self._due_ns

    def _judge(self, began_ns: int, ended_ns: int) -> list[Decision]:
        verdict: Verdict = "counted"
        gap_from_ns = self._inactive_since_ns
        if gap_from_ns is not None and began_ns - gap_from_ns < self.ruling.min_gap_ms * 1_000_000:
            verdict = "too_close"
        elif ended_ns - began_ns < self.ruling.min_pulse_ms * 1_000_000:
            verdict = "too_short"
        elif self._swallows:
            verdict = "swallowed"
        pulse = PulseSeen(began_ns, ended_ns, verdict)
        self.pulses.append(pulse)
        if verdict != "counted":
            self.refused += 1
            return [pulse]
        self._pulses_towards_coin += 1
        if self._pulses_towards_coin < self.ruling.pulses_per_coin:
            return [pulse]
        self._pulses_towards_coin = 0
        self.coins += 1
        self.credits += 1
        if self.state == "attract" and self._due_ns is None:
            self._await_start(ended_ns)
        counted: list[Decision] = [pulse, CoinCounted(self.coins, ended_ns)]
        return counted if self.ready else [*counted, ReadyTurned(False, ended_ns)]

    def _await_start(self, from_ns: int) -> None:
        if self.credits > 0:
            self._due_ns = from_ns + self.ruling.start_after_ms * 1_000_000
