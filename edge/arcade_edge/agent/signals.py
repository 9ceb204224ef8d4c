"""What the hardware side tells the loop: frozen values, so that the loop needs no hardware to be tested.

Times named `at_ms` are milliseconds of the monotonic clock, `…_ns` nanoseconds of the same clock:
they order things and measure between them, and say nothing about the time of day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

InputKind = Literal["game_over", "ready", "meter"]
GameOverSource = Literal["gpio", "serial"]


@dataclass(frozen=True, slots=True)
class CreditPulsed:
    """Every pulse of one credit was made; posted right after the last trailing edge."""

    token: object


@dataclass(frozen=True, slots=True)
class PulseHeld:
    """A credit was not pulsed to its end, for no pulse may begin just now.

    `begun`: some of its pulses were made. The same token handed over again goes on with the rest of them.
    """

    token: object
    begun: bool


@dataclass(frozen=True, slots=True)
class PulseFailed:
    """A credit was not pulsed to its end.

    `started` is False only where the line surely never became active for this credit: the board has
    counted nothing. True means that nobody can know what the board counted.
    """

    token: object
    started: bool
    error: str


@dataclass(frozen=True, slots=True)
class GameOver:
    """The machine said that a game has ended; `text` is the serial line that said so."""

    source: GameOverSource
    at_ms: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReadyChanged:
    """The machine's ready line: once at the start, then at each debounced change."""

    ready: bool
    at_ms: int


@dataclass(frozen=True, slots=True)
class MeterPulse:
    """The machine's coin meter moved by one: the board registered a coin, ours or one thrown in by hand."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class DetectorFault:
    """An input can no longer be read. Said once, until a `DetectorBack`; `detector` names it for people."""

    kind: InputKind
    detector: str
    error: str
    at_ms: int


@dataclass(frozen=True, slots=True)
class DetectorBack:
    """An input that was lost can be read again."""

    kind: InputKind
    detector: str
    at_ms: int


PulseSignal: TypeAlias = CreditPulsed | PulseHeld | PulseFailed
DetectorSignal: TypeAlias = GameOver | ReadyChanged | MeterPulse | DetectorFault | DetectorBack
Signal: TypeAlias = PulseSignal | DetectorSignal
