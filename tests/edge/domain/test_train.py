"""What a train waits for, for how long, and what ends it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_edge.domain.pulses import MAX_TRAIN_MS, Profile
from arcade_edge.domain.train import MOST_UNCONFIRMED, Contact, Train, TrainRules, sellable_credits

RULES = TrainRules(credit_ms=200, ready_wait_ms=5_000)
HEARD = Contact()


@given(
    pulse_ms=st.integers(5, 5_000),
    gap_ms=st.integers(5, 5_000),
    ready_wait_ms=st.integers(0, 20_000),
    settles_ms=st.sampled_from([0, 5_000]),
    max_credits=st.integers(1, 1_000),
)
def test_what_is_sold_fits_into_the_longest_train_with_its_waits(
    pulse_ms: int, gap_ms: int, ready_wait_ms: int, settles_ms: int, max_credits: int
) -> None:
    """10 s for the broker, and what the cabinet's own inputs may take; never more than configured, never none."""
    profile = Profile(pulse_ms, gap_ms, 1, max_credits)
    sold = sellable_credits(profile, TrainRules(profile.credit_ms, ready_wait_ms, settles_ms))
    room_ms = MAX_TRAIN_MS - 10_000 - ready_wait_ms - settles_ms
    assert 1 <= sold <= max_credits
    assert sold == 1 or sold * profile.credit_ms <= room_ms
    assert sold == max_credits or (sold + 1) * profile.credit_ms > room_ms


def test_a_slow_board_that_fills_the_minute_still_sells_one_credit() -> None:
    profile = Profile(pulse_ms=1_500, gap_ms=1_500, pulses_per_credit=20)
    assert sellable_credits(profile, TrainRules(profile.credit_ms, 5_000)) == 1


def test_a_machine_that_is_not_ready_is_waited_for_and_each_time_anew() -> None:
    train = Train(RULES, 0).machine(False, 1_000).machine(False, 4_000)
    assert (train.pause(HEARD, 5_999), train.end(HEARD, 5_999)) == ("machine not ready", "")
    assert train.end(HEARD, 6_000) == "machine not ready"
    again = train.machine(True, 5_000)
    assert (again.pause(HEARD, 5_000), again.end(HEARD, 9_000)) == ("", "")
    assert again.machine(False, 9_000).end(HEARD, 13_999) == ""


def test_all_waits_together_end_with_the_longest_train() -> None:
    """A board that toggles between coins, each time for less than the wait."""
    train = Train(RULES, 0)
    for at_ms in range(0, 59_000, 4_000):
        train = train.machine(False, at_ms).machine(True, at_ms + 3_900)
    assert train.end(HEARD, MAX_TRAIN_MS - RULES.credit_ms) == ""
    assert train.end(HEARD, MAX_TRAIN_MS - RULES.credit_ms + 1) == "train too long"


@pytest.mark.parametrize(("now_ms", "pause", "end"), [(2_999, "", ""), (3_000, "connection lost", "")])
def test_two_seconds_after_a_report_that_is_not_confirmed_no_pulse_begins(
    now_ms: int, pause: str, end: str
) -> None:
    contact = Contact().reported("first", 1_000).reported("second", 2_500)
    train = Train(RULES, 0)
    assert (train.pause(contact, now_ms), train.end(contact, now_ms)) == (pause, end)
    assert train.end(contact, 10_999) == ""
    assert train.end(contact, 11_000) == "connection lost"
    assert train.ends_ms(contact) == 11_000


def test_a_confirmation_speaks_for_the_older_reports_too() -> None:
    contact = Contact().reported(None, 1_000).reported("first", 1_200).reported("second", 2_500)
    assert contact.confirmed("first").unconfirmed == (("second", 2_500),)
    assert contact.confirmed("second") == Contact()
    assert contact.confirmed("a status") == contact


def test_a_broker_that_confirms_after_a_second_never_stops_a_train() -> None:
    contact, train = Contact(), Train(RULES, 0)
    for at_ms in range(0, 20_000, 200):
        contact = contact.reported(at_ms, at_ms)
        if at_ms >= 1_000:
            contact = contact.confirmed(at_ms - 1_000)
        assert train.pause(contact, at_ms) == ""


def test_however_many_reports_are_lost_the_oldest_one_counts_and_memory_is_bounded() -> None:
    contact = Contact()
    for number in range(1_000):
        contact = contact.reported(number, number)
    assert len(contact.unconfirmed) <= MOST_UNCONFIRMED + 2
    assert contact.until_ms == 2_000
    assert contact.confirmed(999) == Contact()
