"""The sign on a cabinet's screen by which a player tells that a page is this machine's (pure).

Whoever opens a machine's page gets an emblem, such as a blue star, and the machine's own screen shows the same one
for a minute. A sticker that leads to another machine, or to another site, leads to no such sign on the screen in
front of the player. An emblem stays what it is, however many come: who comes late in its minute begins one more,
which stands beside it and looks different. So two stand at most, and a machine begins two a minute at most.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from msgspec import Struct
from msgspec.structs import replace

Colour = Literal["red", "blue", "green", "yellow"]
Shape = Literal["star", "heart", "circle", "square", "triangle", "moon"]

# How long a screen shows an emblem: a player has put the phone beside it by then.
SHOWN_MS = 60_000
# Whoever opens a page gets the emblem that stands if it does so for this long, and otherwise another one.
LEAST_MS = 30_000
# A screen is taken to be on for this long after its page was last noted to be open,
SCREEN_LASTS_MS = 15 * 60_000
# which is noted so often: what a screen that asks every few seconds costs is one write in five minutes.
NOTED_EVERY_MS = 5 * 60_000


class Emblem(NamedTuple):
    """A shape and a colour. No two that stand together share either, so it can be told without seeing colours."""

    colour: Colour
    shape: Shape

    @property
    def words(self) -> str:
        """Such as `blue star`."""
        return f"{self.colour} {self.shape}"


class Shown(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An emblem, and until when it stands."""

    colour: Colour
    shape: Shape
    until_ms: int

    @property
    def emblem(self) -> Emblem:
        """The emblem alone."""
        return Emblem(self.colour, self.shape)


class Screen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A machine's screen.

    Attributes:
        seen_ms: When its page was last noted to be open on some screen; 0: never.
        shown: The emblems of the last minutes, the newest last.
    """

    machine_id: str
    version: int
    seen_ms: int = 0
    shown: tuple[Shown, ...] = ()


def is_on(screen: Screen | None, now_ms: int) -> bool:
    """Whether the machine has a screen, as far as is known."""
    return screen is not None and abs(now_ms - screen.seen_ms) < SCREEN_LASTS_MS


def standing(screen: Screen | None, now_ms: int) -> tuple[Shown, ...]:
    """What the screen shows now. What a clock that was ahead has written for later does not stand."""
    shown = () if screen is None else screen.shown
    return tuple(one for one in shown if now_ms < one.until_ms <= now_ms + SHOWN_MS)


def lasting(screen: Screen | None, now_ms: int) -> Shown | None:
    """What somebody who comes now sees for long enough; None: another one is to begin."""
    return next((one for one in reversed(standing(screen, now_ms)) if one.until_ms - now_ms >= LEAST_MS), None)


def seen(screen: Screen | None, machine_id: str, now_ms: int) -> Screen | None:
    """The record after the machine's page was asked for by a screen; None: it is noted already."""
    if screen is None:
        return Screen(machine_id=machine_id, version=1, seen_ms=now_ms)
    if abs(now_ms - screen.seen_ms) < NOTED_EVERY_MS:
        return None
    return replace(screen, version=screen.version + 1, seen_ms=now_ms)


def begun(screen: Screen, now_ms: int, choose: Callable[[int], int]) -> Screen:
    """The record with one more emblem, which looks like none of the last ones.

    Args:
        choose: Any number from 0 to below the one that it is given, which nobody can guess.
    """
    last = screen.shown[-1:]
    colours = [colour for colour in get_args(Colour) if all(colour != one.colour for one in last)]
    shapes = [shape for shape in get_args(Shape) if all(shape != one.shape for one in last)]
    new = Shown(
        colour=colours[choose(len(colours))], shape=shapes[choose(len(shapes))], until_ms=now_ms + SHOWN_MS
    )
    return replace(screen, version=screen.version + 1, shown=(*standing(screen, now_ms)[-1:], new))
