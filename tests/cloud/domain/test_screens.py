"""The signs on screens: few, for a while, and never two that could be taken for each other."""

import secrets

from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.screens import (
    LEAST_MS,
    NOTED_EVERY_MS,
    SCREEN_LASTS_MS,
    SHOWN_MS,
    Screen,
    Shown,
    begun,
    is_on,
    lasting,
    seen,
    standing,
)

NOW_MS = 1_790_000_000_000
SCREEN = Screen(machine_id="cab-01", version=1, seen_ms=NOW_MS)


def test_an_emblem_stands_for_a_minute_and_is_named_in_words() -> None:
    screen = begun(SCREEN, NOW_MS, lambda _: 0)
    (one,) = screen.shown
    assert (one.emblem.words, one.until_ms, screen.version) == ("red star", NOW_MS + 60_000, 2)
    assert standing(screen, NOW_MS + SHOWN_MS - 1) == (one,)
    assert standing(screen, NOW_MS + SHOWN_MS) == ()
    assert lasting(screen, NOW_MS + LEAST_MS) == one
    assert lasting(screen, NOW_MS + LEAST_MS + 1) is None


@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=30))
def test_however_visitors_come_two_stand_at_most_and_differ_in_shape_and_in_colour(gaps: list[int]) -> None:
    screen, now_ms, writes = SCREEN, NOW_MS, 0
    promised: list[Shown] = []
    for gap in gaps:
        now_ms += gap
        shown = lasting(screen, now_ms)
        if shown is None:
            before = screen.shown[-1:]
            screen, writes = begun(screen, now_ms, secrets.randbelow), writes + 1
            shown = screen.shown[-1]
            assert all(shown.shape != one.shape and shown.colour != one.colour for one in before)
        assert shown.until_ms - now_ms >= LEAST_MS
        promised.append(shown)
        stand = standing(screen, now_ms)
        assert len(stand) <= 2
        assert set(stand) == {one for one in promised if one.until_ms > now_ms}, "each lasts to its end"
        assert len({one.shape for one in stand}) == len({one.colour for one in stand}) == len(stand)
    assert writes <= 1 + (now_ms - NOW_MS) // LEAST_MS


def test_a_screen_that_asks_all_the_time_is_noted_now_and_then_and_is_off_some_time_after_the_last() -> None:
    first = seen(None, "cab-01", NOW_MS)
    assert first == SCREEN
    assert seen(first, "cab-01", NOW_MS + NOTED_EVERY_MS - 1) is None
    second = seen(first, "cab-01", NOW_MS + NOTED_EVERY_MS)
    assert second == Screen(machine_id="cab-01", version=2, seen_ms=NOW_MS + NOTED_EVERY_MS)
    assert is_on(first, NOW_MS + SCREEN_LASTS_MS - 1)
    assert not is_on(first, NOW_MS + SCREEN_LASTS_MS)
    assert not is_on(None, NOW_MS)


def test_what_a_clock_that_was_ahead_has_written_neither_stands_nor_lasts() -> None:
    ahead_ms = NOW_MS + 86_400_000
    screen = begun(Screen(machine_id="cab-01", version=1, seen_ms=ahead_ms), ahead_ms, lambda _: 0)
    assert standing(screen, NOW_MS) == ()
    assert lasting(screen, NOW_MS) is None
    assert not is_on(screen, NOW_MS)
    again = seen(screen, "cab-01", NOW_MS)
    assert again is not None
    assert is_on(again, NOW_MS)
    assert [one.until_ms for one in begun(again, NOW_MS, lambda _: 0).shown] == [NOW_MS + SHOWN_MS]
