"""Times as people give them to a command."""

import argparse
import re
from datetime import UTC, date, datetime, timedelta, tzinfo

_UNIT_MS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SPAN = re.compile(r"(\d{1,4})([mhd])", re.ASCII)
_HOURS = re.compile(r"\d{1,2}:\d{2}(:\d{2})?", re.ASCII)
_DAY = timedelta(days=1)
_YEARS = range(2000, 2200)


def moment_ms(text: str) -> int:
    """A time in UTC, `2026-11-22T10:00:00Z` or `2026-11-22 10:00:00.123Z`, in epoch milliseconds.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    from arcade_shared.times import parse_ms

    try:
        found = parse_ms(text.strip().replace(" ", "T"))
        _check_year(int(text.strip()[:4]))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r}: write a time in UTC, such as 2026-11-22T10:00:00Z"
        ) from None
    return found


def a_day(text: str) -> date:
    """A day, `2026-11-22`.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        found = date.fromisoformat(text.strip())
        _check_year(found.year)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: write a day such as 2026-11-22") from None
    return found


def span_ms(text: str) -> int:
    """A length of time, `30m`, `2h` or `7d`, in milliseconds.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: write a length of time such as 30m, 2h or 7d")
    return int(found[1]) * _UNIT_MS[found[2]]


def clock_time(text: str) -> str:
    """Check a time as `at_ms` takes it.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        at_ms(text, UTC, 0)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r}: write a time such as '2026-11-26 21:00' or, for the last one, 21:00"
        ) from None
    return text


def at_ms(text: str, timezone: tzinfo, now_ms: int) -> int:
    """A time as an operator writes it, in epoch milliseconds.

    Args:
        text: `2026-11-26 21:00`, in the arcade's time zone unless it names another (`Z`, `+08:00`); or `21:00`,
            the last one.

    Raises:
        ValueError: It is no time.
    """
    text = text.strip()
    if not _HOURS.fullmatch(text):
        moment = datetime.fromisoformat(text)
        if "T" not in text and " " not in text:
            raise ValueError(text)  # a day alone
        _check_year(moment.year)
        return _ms(moment if moment.tzinfo else moment.replace(tzinfo=timezone))
    now = datetime.fromtimestamp(now_ms / 1000, timezone)
    hours = datetime.strptime(text, "%H:%M:%S" if text.count(":") == 2 else "%H:%M").time()  # noqa: DTZ007
    today = datetime.combine(now.date(), hours, timezone)
    return _ms(today if today <= now else datetime.combine(now.date() - _DAY, hours, timezone))


def _check_year(year: int) -> None:
    """Raise ValueError for a year that can only be mistyped, and with which no calendar reckons to the end."""
    if year not in _YEARS:
        raise ValueError(f"the year {year}")


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000
