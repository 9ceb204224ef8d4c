"""A sticker's SVG, as Chromium draws it."""

from pathlib import Path

from arcade_cloud.adapters.stickers import svg
from arcade_cloud.domain.stickers import Sticker
from support.chromium import Chromium
from support.pictures import codes_in


def test_the_code_of_an_svg_is_read_off_the_screen(browser: Chromium, tmp_path: Path) -> None:
    sticker = Sticker("https://play.example/m/cab-01", "Space Duel 街机", "cab-01", "play.example")
    path = tmp_path / "one.svg"
    path.write_bytes(svg(sticker))
    browser.go(path.as_uri())
    assert codes_in(browser.png()) == [sticker.url]
