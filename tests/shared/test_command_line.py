"""Arguments of the commands: a number that makes no sense is refused, never taken for another."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from arcade_shared.command_line import any_number, identifier, whole_number


def test_what_is_meant_is_read_with_the_spaces_around_it_left_out() -> None:
    assert whole_number(1)(" 20 ") == 20
    assert any_number(0)(" 0.5 ") == 0.5
    assert identifier(" \tord_1\N{NO-BREAK SPACE}\n") == "ord_1"


@pytest.mark.parametrize("text", ["0", "-4", "11", "1.5", "1_0", "٣", "x", "", "9" * 5000])
def test_a_whole_number_outside_its_bounds_is_refused_with_them(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a whole number from 1 to 10 is needed"):
        whole_number(1, 10)(text)


@pytest.mark.parametrize("text", ["-0.5", "nan", "inf", "1e7", "x", ""])
def test_a_number_outside_its_bounds_is_refused_with_them(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a number from 0 to 1000000 is needed"):
        any_number(0)(text)


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_an_id_that_was_left_empty_is_refused(text: str) -> None:
    """As a variable of a script that is not set."""
    read: Callable[[str], str] = identifier
    with pytest.raises(argparse.ArgumentTypeError, match="an id is needed"):
        read(text)
