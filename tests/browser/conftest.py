"""The browser, and a site that has traded: one for each file of tests."""

from collections.abc import Iterator

import pytest

from support.chromium import Chromium, find_chromium
from support.traded import Served, traded


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        pytest.skip("there is no Chromium here: install it, or name one in CHROMIUM")
    with Chromium(program) as started:
        yield started


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with traded() as served:
        yield served
