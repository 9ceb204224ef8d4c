"""What the coin meter says about a train."""

from __future__ import annotations

import pytest

from arcade_edge.domain.meter import (
    MOST_REGISTERED,
    SETTLES_MOST_MS,
    SHORT_TRAINS_MOST,
    Meter,
    Reading,
    short_trains,
)
from arcade_shared.messages import MAX_CREDITS


def test_a_meter_counts_as_still_some_time_after_its_last_move() -> None:
    reading = Reading(Meter(settle_ms=300)).moved(900)
    assert reading.settled_at_ms is None
    over = reading.train_over(1_000)
    assert over.settled_at_ms == 1_300
    assert over.moved(1_250).settled_at_ms == 1_550


def test_a_meter_that_never_rests_is_waited_for_so_long_and_no_longer() -> None:
    reading = Reading(Meter()).train_over(1_000)
    for at_ms in range(1_100, 20_000, 100):
        reading = reading.moved(at_ms)
    assert reading.settled_at_ms == 1_000 + SETTLES_MOST_MS


@pytest.mark.parametrize(("moves", "registered"), [(0, 0), (1, 0), (2, 1), (5, 2)])
def test_a_meter_may_move_several_times_for_one_credit(moves: int, registered: int) -> None:
    assert Reading(Meter(per_credit=2), moves).registered == registered


def test_no_more_is_told_than_an_ack_can_hold() -> None:
    assert Reading(Meter(), 10**6).registered == MOST_REGISTERED == 2 * MAX_CREDITS


def test_trains_in_a_row_are_counted_until_one_is_whole() -> None:
    assert [short_trains(before, 3, 2) for before in range(4)] == [1, 2, 3, SHORT_TRAINS_MOST]
    assert short_trains(2, 3, 3) == 0
    assert short_trains(2, 3, 5) == 0
    assert short_trains(2, 0, 0) == 2, "a train that pulsed nothing says nothing"
