"""When people are told, and when they sleep."""

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

import pytest

from arcade_cloud.domain.quiet_hours import QuietHours, parse_quiet_hours

KUALA_LUMPUR = ZoneInfo("Asia/Kuala_Lumpur")


def at(hour: int, minute: int = 0, zone: tzinfo = UTC) -> int:
    return int(datetime(2026, 11, 26, hour, minute, tzinfo=zone).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "quiet", "loud"),
    [
        ("22:00-08:00", [(22, 0), (23, 59), (0, 0), (7, 59)], [(8, 0), (12, 0), (21, 59)]),
        (" 1:30 - 9:00 ", [(1, 30), (8, 59)], [(1, 29), (9, 0), (0, 0)]),
    ],
)
def test_it_is_quiet_from_the_first_minute_until_before_the_last(
    text: str, quiet: list[tuple[int, int]], loud: list[tuple[int, int]]
) -> None:
    hours = parse_quiet_hours(text, UTC)
    assert all(hours.lasts(at(*when)) for when in quiet)
    assert not any(hours.lasts(at(*when)) for when in loud)


def test_the_arcades_clock_counts() -> None:
    hours = parse_quiet_hours("22:00-08:00", KUALA_LUMPUR)
    assert hours.lasts(at(23, zone=KUALA_LUMPUR))
    assert hours.lasts(at(15))  # 23:00 there
    assert not hours.lasts(at(2))  # 10:00


def test_only_what_concerns_all_machines_cannot_wait() -> None:
    hours = parse_quiet_hours("22:00-08:00", UTC)
    assert hours.holds("machine_silent", at(23))
    assert hours.holds("loss", at(23))
    assert hours.holds("of an earlier version", at(23))
    assert not hours.holds("broker", at(23))
    assert not hours.holds("machine_silent", at(8))


def test_when_it_was_quiet_last() -> None:
    hours = QuietHours(22 * 60, 8 * 60, UTC)
    assert hours.ended_ms(at(8)) == at(8)
    assert hours.ended_ms(at(21, 59)) == at(8)
    assert hours.ended_ms(at(23)) == at(23)


@pytest.mark.parametrize(
    "text", ["", "22:00", "22-08", "24:00-08:00", "08:00-08:00", "22:00–08:00", "a-b", "9:99-10:00"]
)
def test_other_hours_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"(?s).*"):
        parse_quiet_hours(text, UTC)
