"""`make pictures`: the pictures of the pages that README shows, as the tests of the pages see them.

With a folder as argument: every page of the console, into that folder, and nothing else.
"""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from PIL import Image

from browser import arcade_pictures
from support.chromium import find_chromium

HERE = Path(__file__).parent
IMAGES = HERE.parents[1] / "docs" / "images"
SEEN_BY = [
    "test_player_pages.py::test_every_page_fits_the_phone_and_the_finger_and_breaks_no_rule[360x640-light]",
    "test_tab_pages.py::test_a_visit_of_three_machines_on_one_tab[scripts]",
    "test_kiosk_pages.py::test_the_screen_shows_all_of_it_at_every_size[1280x720]",
]
KEPT = {
    "ready-360-light": "player-page",
    "tab-05-added": "tab-page",
    "kiosk-cab-01-1280x720-ready": "kiosk",
    "console": "console",
}


def main() -> int:
    """Run the tests, and keep what README shows; the exit code."""
    program = find_chromium()
    if program is None:
        sys.exit("there is no Chromium here: install it, or name one in CHROMIUM")
    if len(sys.argv) > 1:
        arcade_pictures.take(program, Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ARCADE_PICTURES"] = folder
        failed = pytest.main(["-q", "-n", "0", *(str(HERE / test) for test in SEEN_BY)])
        if failed:
            return int(failed)
        arcade_pictures.take_today(program, Path(folder))
        IMAGES.mkdir(exist_ok=True)
        for seen, kept in KEPT.items():
            path = IMAGES / f"{kept}.png"
            with Image.open(Path(folder, f"{seen}.png")) as picture:
                # 256 colours are enough for these pages, and the files are a quarter as long.
                picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
            print(f"docs/images/{path.name}: {path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
