"""Whatever the arcade's colour, what stands on it and what is written in it can be read."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.colours import (
    AA,
    DARK_GROUND,
    LIGHT_GROUND,
    SCREEN_GROUND,
    contrast,
    parse_colour,
    shades,
)
from arcade_cloud.web.assets import STATIC

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


def test_contrast_is_what_wcag_says() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)  # the example of WebAIM's checker
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert contrast("#c2185b", "#c2185b") == 1


@given(COLOURS)
def test_every_colour_can_be_read(colour: str) -> None:
    shade = shades(colour)
    assert shade.fill == colour
    assert contrast(shade.on_fill, shade.fill) >= AA
    assert contrast(shade.on_light, LIGHT_GROUND) >= AA
    assert contrast(shade.on_light, "#ffffff") >= AA
    assert contrast(shade.on_dark, DARK_GROUND) >= AA
    assert contrast(shade.on_screen, SCREEN_GROUND) >= AA


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert shades("#4a2bd0").on_light == "#4a2bd0"
    assert shades("#a594ff").on_dark == "#a594ff"


def test_the_grounds_are_those_of_the_pages() -> None:
    """Of light grounds the darkest counts, of dark ones the lightest."""
    pages, screen = (STATIC / "arcade.css").read_text(), (STATIC / "kiosk.css").read_text()
    light, dark = re.findall(r"--ground: (#\w+); --card: (#\w+)", pages)
    assert LIGHT_GROUND in light
    assert DARK_GROUND in dark
    assert SCREEN_GROUND in screen
    assert contrast(LIGHT_GROUND, "#000000") <= min(contrast(ground.ljust(7, "f"), "#000000") for ground in light)
    assert contrast(DARK_GROUND, "#ffffff") <= min(contrast(ground, "#ffffff") for ground in dark)


@pytest.mark.parametrize(
    ("text", "colour"),
    [("#C2185B", "#c2185b"), (" #fa0 ", "#ffaa00"), ("c2185b", None), ("#12345", None), ("red", None), ("", None)],
)
def test_a_colour_is_written_as_web_pages_write_it(text: str, colour: str | None) -> None:
    assert parse_colour(text) == colour
