"""When an offer is sold."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from arcade_cloud.domain.hours import Hours, parse_hours
from arcade_cloud.errors import BadRequest

HOME = ZoneInfo("Asia/Kuala_Lumpur")
WEEK = (0, 1, 2, 3, 4, 5, 6)


def at(text: str, zone: ZoneInfo = HOME) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mon-fri/14:00-17:00", Hours((0, 1, 2, 3, 4), 840, 1020)),
        ("sat+sun", Hours((5, 6))),
        ("MON+Wed+fri/09:30-10:00", Hours((0, 2, 4), 570, 600)),
        ("22:00-02:00", Hours(WEEK, 1320, 120)),
        ("fri-mon", Hours((0, 4, 5, 6))),
        ("18:00-24:00", Hours(WEEK, 1080, 1440)),
        ("00:00-24:00", None),
        ("mon-sun", None),
        ("", None),
    ],
)
def test_hours_as_people_write_them(text: str, expected: Hours | None) -> None:
    assert parse_hours(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "monday",
        "mon-",
        "14-17",
        "14:00",
        "14:00-14:00",
        "25:00-26:00",
        "14:60-15:00",
        "14:00-14:10",
        "24:00-06:00",
        "mon/14:00-17:00/sat",
        "14:00-17:00/mon",
        "mon..fri",
        "١٤:00-17:00",
        "00:00-24:01",
    ],
)
def test_hours_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_hours(text)


@pytest.mark.parametrize(
    "text", ["mon-fri/14:00-17:00", "sat+sun", "22:00-02:00", "mon+wed/09:30-10:00", "mon+fri-sun/18:00-24:00"]
)
def test_hours_are_shown_as_they_are_written(text: str) -> None:
    hours = parse_hours(text)
    assert hours is not None
    assert hours.text == text


@pytest.mark.parametrize(
    ("text", "moment", "holds"),
    [
        ("mon-fri/14:00-17:00", "2026-11-27T14:00", True),  # a Friday
        ("mon-fri/14:00-17:00", "2026-11-27T13:59:59", False),
        ("mon-fri/14:00-17:00", "2026-11-27T16:59:59", True),
        ("mon-fri/14:00-17:00", "2026-11-27T17:00", False),
        ("mon-fri/14:00-17:00", "2026-11-28T15:00", False),
        ("fri/22:00-02:00", "2026-11-28T01:59", True),  # what began on Friday lasts into Saturday
        ("fri/22:00-02:00", "2026-11-27T01:59", False),
        ("fri/22:00-02:00", "2026-11-28T22:00", False),
        ("sun", "2026-11-29T00:00", True),
        ("sun", "2026-11-30T00:00", False),
        ("18:00-24:00", "2026-11-29T23:59", True),
        ("18:00-24:00", "2026-11-30T00:00", False),
    ],
)
def test_the_days_and_times_are_those_of_the_arcade(text: str, moment: str, holds: bool) -> None:
    hours = parse_hours(text)
    assert hours is not None
    assert hours.holds(at(moment), HOME) is holds


def test_what_a_page_still_shows_is_still_sold() -> None:
    hours = Hours(WEEK, 840, 1020)
    assert hours.held(at("2026-11-27T17:09"), HOME)
    assert not hours.held(at("2026-11-27T17:10"), HOME)
    assert not hours.held(at("2026-11-27T13:59"), HOME)


@pytest.mark.parametrize(
    ("text", "now", "begins"),
    [
        ("mon-fri/14:00-17:00", "2026-11-27T13:00", "2026-11-27T14:00"),
        ("mon-fri/14:00-17:00", "2026-11-27T14:00", "2026-11-30T14:00"),
        ("fri/22:00-02:00", "2026-11-27T23:00", "2026-12-04T22:00"),
        ("sun", "2026-11-29T12:00", "2026-12-06T00:00"),
    ],
)
def test_when_it_begins_next(text: str, now: str, begins: str) -> None:
    hours = parse_hours(text)
    assert hours is not None
    assert hours.next_ms(at(now), HOME) == at(begins)


def test_the_clock_on_the_wall_counts_when_it_is_put_back_or_forward() -> None:
    berlin, hours = ZoneInfo("Europe/Berlin"), Hours(WEEK, 14 * 60, 17 * 60)
    for day in ("2026-10-24", "2026-10-25", "2026-03-28", "2026-03-29"):
        assert hours.holds(at(f"{day}T14:00", berlin), berlin)
        assert not hours.holds(at(f"{day}T13:59", berlin), berlin)
        assert hours.next_ms(at(f"{day}T08:00", berlin), berlin) == at(f"{day}T14:00", berlin)
