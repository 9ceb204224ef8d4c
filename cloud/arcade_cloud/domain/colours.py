"""The arcade's colour on its pages: whatever it is, what stands on it or is written in it can be read (pure).

Source: WCAG 2.2, relative luminance and contrast ratio; level AA asks for 4.5 : 1 of text.
"""

import re
from dataclasses import dataclass

AA = 4.5
_HEX = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})", re.ASCII)
# What the pages write on, where contrast is least: of the light page, of the dark one, of a cabinet's screen. The
# style sheets have these colours.
LIGHT_GROUND, DARK_GROUND, SCREEN_GROUND = "#f3f2f9", "#1b182c", "#241d4a"
_WHITE, _INK = "#ffffff", "#000000"


@dataclass(frozen=True, slots=True)
class Shades:
    """One colour as pages use it.

    Attributes:
        fill: The colour itself, for what is filled with it.
        on_fill: What is written on that.
        on_light, on_dark, on_screen: The colour for text on a page, darker or lighter where it has to be.
    """

    fill: str
    on_fill: str
    on_light: str
    on_dark: str
    on_screen: str


def parse_colour(text: str) -> str | None:
    """A colour as `#rrggbb`, from `#rrggbb` or `#rgb`; None if it is none."""
    found = text.strip().lower()
    if _HEX.fullmatch(found) is None:
        return None
    return found if len(found) == 7 else "#" + "".join(digit * 2 for digit in found[1:])


def shades(colour: str) -> Shades:
    """The shades of a colour, `#rrggbb`."""
    return Shades(
        fill=colour,
        on_fill=max((_WHITE, _INK), key=lambda text: contrast(text, colour)),
        on_light=_readable(colour, LIGHT_GROUND, _INK),
        on_dark=_readable(colour, DARK_GROUND, _WHITE),
        on_screen=_readable(colour, SCREEN_GROUND, _WHITE),
    )


def contrast(one: str, other: str) -> float:
    """The contrast of two colours: 1 is none, 21 is black on white."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _readable(colour: str, ground: str, towards: str) -> str:
    """The shade of a colour that is nearest to it and can be read on that ground."""
    mixed = (_mixed(colour, towards, percent) for percent in range(101))
    return next(shade for shade in mixed if contrast(shade, ground) >= AA)


def _mixed(colour: str, other: str, percent: int) -> str:
    channels = zip(_channels(colour), _channels(other), strict=True)
    return "#" + "".join(f"{(one * (100 - percent) + two * percent) // 100:02x}" for one, two in channels)


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (
        share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
        for share in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
