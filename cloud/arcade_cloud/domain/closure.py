"""A machine's closure: out of service or retired, why, and until when (pure).

Whether a machine is closed is a function of its closure and the time. So one that is closed until 18:00 is in
service again at 18:00, whatever runs or does not run then.
"""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from msgspec import Struct

from arcade_cloud.domain.texts import checked_line
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.errors import BadRequest

# A sentence on a small screen.
REASON_AT_MOST = 120
# A longer closure is a typing error in the year; a machine that does not come back is retired.
LONGEST_DAYS = 3660

_ENDS = (".", "!", "?", "…", "。", "！", "？")
_TIME = re.compile(r"(\d{1,2}):(\d{2})", re.ASCII)
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{1,2}):(\d{2})(?::00)?(Z?))?", re.ASCII)


class Closure(Struct, frozen=True, kw_only=True):
    """A machine that an operator has taken out of service, or retired.

    Attributes:
        since_ms: When that was.
        reason: What players read, as the operator wrote it.
        until_ms: When it is in service again by itself; None: when somebody says so.
        for_good: It is retired.
    """

    since_ms: int
    reason: str = ""
    until_ms: int | None = None
    for_good: bool = False


def standing(closure: Closure | None, now_ms: int) -> Closure | None:
    """The closure, if it stands at that time."""
    if closure is None or (closure.until_ms is not None and now_ms >= closure.until_ms):
        return None
    return closure


def ended_since(closure: Closure | None, then_ms: int, now_ms: int) -> bool:
    """Whether the closure has ended by itself between then and now."""
    return closure is not None and closure.until_ms is not None and then_ms < closure.until_ms <= now_ms


def closed_text(closure: Closure, now_ms: int, zone: tzinfo, words: Words = ENGLISH) -> str:
    """What players read: "Closed for maintenance. Back at 18:00.". The reason is in the operator's own words."""
    if closure.for_good:
        return closure.reason or words.text("This machine is no longer in use.")
    reason = closure.reason or words.text("This machine is out of service.")
    if closure.until_ms is None:
        return reason
    sentence = reason if reason.endswith(_ENDS) else words.text("%(reason)s.", reason=reason)
    return words.sentences(sentence, back_text(closure.until_ms, now_ms, zone, words))


def back_text(at_ms: int, now_ms: int, zone: tzinfo, words: Words = ENGLISH) -> str:
    """When it is back, in a sentence: "Back tomorrow at 18:00."."""
    at, now = _local(at_ms, zone), _local(now_ms, zone)
    days = (at.date() - now.date()).days
    if days <= 0:
        return words.text("Back at %(time)s.", time=words.time(at))
    if days == 1:
        return words.text("Back tomorrow at %(time)s.", time=words.time(at))
    day = words.day(at, year=at.year != now.year)
    return words.text("Back on %(day)s at %(time)s.", day=day, time=words.time(at))


def _local(at_ms: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)


def local_text(at_ms: int, zone: tzinfo) -> str:
    """A moment as operators write it."""
    return f"{_local(at_ms, zone):%Y-%m-%d %H:%M}"


def service_text(closure: Closure | None, now_ms: int, zone: tzinfo) -> str:
    """Whether a machine is in service, for operators."""
    closed = standing(closure, now_ms)
    if closed is None:
        return "in service"
    state = "retired" if closed.for_good else "out of service"
    until = "" if closed.until_ms is None else f" until {local_text(closed.until_ms, zone)}"
    return f"{state}{until}: {closed.reason}" if closed.reason else f"{state}{until}"


def checked_reason(text: str) -> str:
    """A reason as players read it, in one line.

    Raises:
        BadRequest: It is too long for a small screen, or has characters that cannot be shown.
    """
    return checked_line(" ".join(text.split()), "the reason", REASON_AT_MOST)


def parse_until(text: str, now_ms: int, zone: tzinfo) -> int:
    """Read `18:00` (the next time that it is so late), `2026-11-28` (that day's begin) or `2026-11-28 18:00`.

    A time with a `Z` at its end is UTC; all others are in `zone`.

    Raises:
        BadRequest: It is not such a time, it is past, or it is years away.
    """
    shown = repr(text[:40])
    try:
        at = _parsed(text.strip(), _local(now_ms, zone), zone)
        at_ms = None if at is None else round(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise BadRequest(f"--until {shown}: there is no such day or time") from None
    if at_ms is None:
        raise BadRequest(f"--until is written 18:00, 2026-11-28 or '2026-11-28 18:00', not {shown}")
    if at_ms <= now_ms:
        raise BadRequest(f"--until {shown} is past: the arcade's time is {local_text(now_ms, zone)}")
    if at_ms - now_ms > LONGEST_DAYS * 86_400_000:
        raise BadRequest(f"--until {shown} is too far away; without --until the machine stays closed")
    return at_ms


def _parsed(text: str, now: datetime, zone: tzinfo) -> datetime | None:
    found = _TIME.fullmatch(text)
    if found is not None:
        at_time = time(int(found[1]), int(found[2]))
        for day in (now.date(), now.date() + timedelta(days=1)):
            at = datetime.combine(day, at_time, zone)
            if at > now:
                return at
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day_of_month, hour, minute, utc = found.groups()
    at_time = time(int(hour or 0), int(minute or 0))
    return datetime.combine(date(int(year), int(month), int(day_of_month)), at_time, UTC if utc else zone)
