"""Uptime: every change of a machine is booked once, and the days that are told from it have no gaps."""

import itertools
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.machines import FRESH_MS, Presence
from arcade_cloud.domain.uptime import Span, StateChange, ready_share, spans, state_changes, state_of

DAY_MS = 86_400_000
NOON_MS = 20_000 * DAY_MS + DAY_MS // 2
NEW = Presence(machine_id="cab-01")


def heard(at_ms: int, **fields: Any) -> Presence:
    values = {"online": True, "ready": True, "stated_at_ms": at_ms, **fields}
    return msgspec.structs.replace(NEW, heard_at_ms=at_ms, **values)


def told(*changes: StateChange) -> list[tuple[int, str, str]]:
    return [(change.at_ms - NOON_MS, change.state, change.reason) for change in changes]


def test_the_first_status_is_booked_and_the_next_like_it_is_not() -> None:
    first = heard(NOON_MS)
    assert told(*state_changes(NEW, first)) == [(0, "ready", "")]
    assert state_changes(first, heard(NOON_MS + 30_000)) == ()
    assert state_changes(first, first) == ()


def test_what_changes_is_booked_with_the_agents_words() -> None:
    full = heard(NOON_MS + 30_000, ready=False, reason="the door is open")
    assert told(*state_changes(heard(NOON_MS), full)) == [(30_000, "not ready", "the door is open")]
    gone = heard(NOON_MS + 40_000, online=False, ready=False, reason="offline")
    assert told(*state_changes(full, gone)) == [(40_000, "offline", "")]


def test_what_was_never_said_is_silence_from_when_a_status_was_missing() -> None:
    back = heard(NOON_MS + 3_600_000)
    assert told(*state_changes(heard(NOON_MS), back)) == [(FRESH_MS, "silent", ""), (3_600_000, "ready", "")]
    said_so = heard(NOON_MS, online=False)
    assert told(*state_changes(said_so, back)) == [(3_600_000, "ready", "")]


def test_a_status_of_long_ago_does_not_make_a_machine_ready() -> None:
    assert state_of(heard(NOON_MS, stated_at_ms=NOON_MS - FRESH_MS - 1)) == "offline"


def test_each_day_has_a_change_of_its_own() -> None:
    before = 20_001 * DAY_MS - 10_000
    (change,) = state_changes(heard(before), heard(before + 30_000))
    assert change == StateChange(machine_id="cab-01", at_ms=before + 30_000, state="ready")


def test_nothing_is_known_before_the_first_change_and_silence_needs_no_later_one() -> None:
    first, until = heard(NOON_MS), NOON_MS + 1_000_000
    found = spans(state_changes(NEW, first), first, NOON_MS - 500_000, until)
    assert found == [
        Span(NOON_MS - 500_000, NOON_MS, ""),
        Span(NOON_MS, NOON_MS + FRESH_MS, "ready"),
        Span(NOON_MS + FRESH_MS, until, "silent"),
    ]
    assert ready_share(found) == FRESH_MS / 1_000_000
    assert spans((), None, 0, 10) == [Span(0, 10, "")]
    assert ready_share(spans((), None, 0, 10)) is None


@given(
    st.lists(st.tuples(st.integers(1, 3 * 3_600_000), st.booleans(), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 20 * 3_600_000),
)
def test_the_days_are_told_as_the_machine_lived_them(lives: list[tuple[int, bool, bool]], from_ms: int) -> None:
    """What the changes tell of every minute is what the statuses said last, if that was not too long ago."""
    presence, booked, said = NEW, list[StateChange](), list[tuple[int, str]]()
    at_ms = NOON_MS
    for gap_ms, online, ready in lives:
        at_ms += gap_ms
        after = heard(at_ms, online=online, ready=ready)
        booked += state_changes(presence, after)
        presence = after
        said.append((at_ms, ("ready" if ready else "not ready") if online else "offline"))
    until = at_ms + 200_000
    found = spans(booked, presence, NOON_MS + from_ms, max(until, NOON_MS + from_ms + 1))
    assert all(a.until_ms == b.from_ms for a, b in itertools.pairwise(found))
    assert all(span.length_ms > 0 for span in found)
    for span in found:
        for moment in (span.from_ms, span.until_ms - 1):
            before = [one for one in said if one[0] <= moment]
            if not before:
                expected = ""
            else:
                last_ms, expected = before[-1]
                if expected != "offline" and moment >= last_ms + FRESH_MS:
                    expected = "silent"
            assert span.state == expected
