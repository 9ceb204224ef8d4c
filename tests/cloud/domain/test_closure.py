"""A closure stands until its time has come, and says so in words; operators write times as they speak."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from arcade_cloud.domain.closure import (
    REASON_AT_MOST,
    Closure,
    checked_reason,
    closed_text,
    ended_since,
    parse_until,
    service_text,
    standing,
)
from arcade_cloud.errors import BadRequest

OUT_OF_SERVICE, RETIRED = "This machine is out of service.", "This machine is no longer in use."
HERE = ZoneInfo("Asia/Kuala_Lumpur")
NEW_YORK = ZoneInfo("America/New_York")


def ms(text: str, zone: ZoneInfo = HERE) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


NOW = ms("2026-11-26 14:30")


def test_a_closure_ends_by_itself_at_its_time() -> None:
    closure = Closure(since_ms=NOW, until_ms=NOW + 1000)
    assert standing(closure, NOW + 999) == closure
    assert standing(closure, NOW + 1000) is None
    assert ended_since(closure, NOW + 999, NOW + 1000)
    assert not ended_since(closure, NOW + 1000, NOW + 2000)
    assert standing(Closure(since_ms=NOW), NOW + 10**12) is not None
    assert standing(None, NOW) is None


@pytest.mark.parametrize(
    ("reason", "until", "text"),
    [
        ("", None, OUT_OF_SERVICE),
        ("Closed for maintenance.", "2026-11-26 18:00", "Closed for maintenance. Back at 18:00."),
        ("Closed for maintenance", "2026-11-26 18:00", "Closed for maintenance. Back at 18:00."),
        ("维修中。", "2026-11-26 18:00", "维修中。 Back at 18:00."),
        ("Out of prizes!", "2026-11-27 09:05", "Out of prizes! Back tomorrow at 09:05."),
        ("", "2026-11-28 18:00", f"{OUT_OF_SERVICE} Back on 28 November at 18:00."),
        ("", "2027-01-02 18:00", f"{OUT_OF_SERVICE} Back on 2 January 2027 at 18:00."),
    ],
)
def test_players_read_the_reason_and_when_it_is_back(reason: str, until: str | None, text: str) -> None:
    closure = Closure(since_ms=NOW, reason=reason, until_ms=None if until is None else ms(until))
    assert closed_text(closure, NOW, HERE) == text


def test_players_read_the_arcades_own_time() -> None:
    closure = Closure(since_ms=NOW, until_ms=ms("2026-11-27 00:30"))
    assert closed_text(closure, NOW, HERE) == f"{OUT_OF_SERVICE} Back tomorrow at 00:30."
    assert closed_text(closure, NOW, NEW_YORK) == f"{OUT_OF_SERVICE} Back at 11:30."
    assert closed_text(Closure(since_ms=NOW, for_good=True), NOW, HERE) == RETIRED


def test_operators_read_the_whole_of_it() -> None:
    assert service_text(None, NOW, HERE) == "in service"
    closed = Closure(since_ms=NOW, reason="Paint is wet", until_ms=ms("2026-11-26 18:00"))
    assert service_text(closed, NOW, HERE) == "out of service until 2026-11-26 18:00: Paint is wet"
    assert service_text(closed, ms("2026-11-26 18:00"), HERE) == "in service"
    assert service_text(Closure(since_ms=NOW, for_good=True), NOW, HERE) == "retired"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("18:00", "2026-11-26 18:00"),
        (" 9:05 ", "2026-11-27 09:05"),
        ("14:30", "2026-11-27 14:30"),
        ("2026-11-28", "2026-11-28 00:00"),
        ("2026-11-28 18:00", "2026-11-28 18:00"),
        ("2026-11-28T18:00:00", "2026-11-28 18:00"),
        ("2026-11-28 10:00Z", "2026-11-28 18:00"),
    ],
)
def test_a_time_is_read_as_operators_write_it(text: str, meant: str) -> None:
    assert parse_until(text, NOW, HERE) == ms(meant)


def test_a_time_of_day_is_the_next_one_also_where_clocks_change() -> None:
    before = ms("2026-10-31 23:00", NEW_YORK)  # in that night clocks go back an hour
    assert parse_until("12:00", before, NEW_YORK) == before + 14 * 3_600_000
    assert parse_until("12:00", 0, UTC) == 12 * 3_600_000


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is written 18:00"),
        ("tomorrow", "is written 18:00"),
        ("28.11.2026", "is written 18:00"),
        ("25:00", "no such day or time"),
        ("2026-02-30", "no such day or time"),
        ("2026-11-26 14:30", "is past: the arcade's time is 2026-11-26 14:30"),
        ("2025-11-28", "is past"),
        ("2062-11-28", "is too far away"),
        ("9999-12-31 23:59", "too far away"),
        ("0001-01-01", "no such day or time|is past"),
        ("１８:００", "is written 18:00"),
    ],
)
def test_what_is_no_time_to_come_is_refused(text: str, fault: str) -> None:
    with pytest.raises(BadRequest, match=fault):
        parse_until(text, NOW, HERE)


def test_a_reason_is_one_short_line() -> None:
    assert checked_reason("  Closed for\n maintenance ") == "Closed for maintenance"
    assert checked_reason("维修中") == "维修中"
    with pytest.raises(BadRequest, match="at most"):
        checked_reason("x" * (REASON_AT_MOST + 1))
    with pytest.raises(BadRequest, match="one line of text"):
        checked_reason("a\u202eb")
