"""When an offer is sold: on some days of the week, between two times of the day, by the arcade's clock (pure)."""

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from msgspec import Struct

from arcade_cloud.errors import BadRequest

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
# The price that was shown is the price that counts: a page that was opened so long before the end still sells.
SHOWN_MINUTES = 10
# A shorter time would be over before a player has paid.
LEAST_MINUTES = 15

_TIMES = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)", re.ASCII)


class Hours(Struct, frozen=True, gc=False):
    """A time of the day, on some days of the week.

    Attributes:
        days: The days on which it begins, in order; 0 is Monday.
        from_minute: After midnight.
        until_minute: After midnight, and never the same: up to 1440. Before `from_minute`, it is on the next day.
    """

    days: tuple[int, ...]
    from_minute: int = 0
    until_minute: int = DAY_MINUTES

    @property
    def length_minutes(self) -> int:
        """How long it lasts by the clock on the wall."""
        return (self.until_minute - self.from_minute) % DAY_MINUTES or DAY_MINUTES

    def holds(self, at_ms: int, zone: tzinfo) -> bool:
        """Whether it is that time."""
        at = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
        minute = at.hour * 60 + at.minute
        since = (minute - self.from_minute) % DAY_MINUTES
        began = at.weekday() if minute >= self.from_minute else (at.weekday() - 1) % 7
        return since < self.length_minutes and began in self.days

    def held(self, at_ms: int, zone: tzinfo) -> bool:
        """Whether it is that time, or was a moment ago, so that a page which is open may still show it."""
        return any(self.holds(at_ms - 60_000 * ago, zone) for ago in range(SHOWN_MINUTES + 1))

    def ends(self, now_ms: int, zone: tzinfo) -> datetime | None:
        """When it is over, by the arcade's clock; None where it lasts for whole days."""
        if self.length_minutes == DAY_MINUTES:
            return None
        day = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
        return datetime.combine(day, time(*divmod(self.until_minute % DAY_MINUTES, 60)), zone)

    def next_ms(self, now_ms: int, zone: tzinfo) -> int:
        """When it begins next, epoch milliseconds."""
        today = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(zone).date()
        begins = (self._begins_ms(today + timedelta(days=days), zone) for days in range(9))
        return next(begin_ms for begin_ms in begins if begin_ms is not None and begin_ms > now_ms)

    def _begins_ms(self, day: date, zone: tzinfo) -> int | None:
        if day.weekday() not in self.days:
            return None
        begin = datetime.combine(day, time(*divmod(self.from_minute, 60)), zone)
        return int(begin.timestamp() * 1000)

    @property
    def days_text(self) -> str:
        """Its days as they are written: `mon-fri`, `sat+sun`; empty for all."""
        if len(self.days) == len(DAYS):
            return ""
        runs: list[list[int]] = []
        for day in self.days:
            if runs and runs[-1][-1] == day - 1:
                runs[-1].append(day)
            else:
                runs.append([day])
        return "+".join(
            f"{DAYS[run[0]]}-{DAYS[run[-1]]}" if len(run) > 2 else "+".join(DAYS[day] for day in run)
            for run in runs
        )

    @property
    def times_text(self) -> str:
        """Its times as they are written: `14:00-17:00`; empty for the whole day."""
        if self.length_minutes == DAY_MINUTES:
            return ""
        return f"{clock_text(self.from_minute)}-{clock_text(self.until_minute)}"

    @property
    def text(self) -> str:
        """As `parse_hours` reads it."""
        return "/".join(part for part in (self.days_text, self.times_text) if part)


def clock_text(minute: int) -> str:
    """A time of the day: `14:00`."""
    return "{:02}:{:02}".format(*divmod(minute, 60))


def parse_hours(text: str) -> Hours | None:
    """Read `mon-fri/14:00-17:00`, `sat+sun` or `22:00-02:00`; always (empty, or a whole week) is None.

    Raises:
        BadRequest: It is not written so.
    """
    days: tuple[int, ...] = tuple(range(len(DAYS)))
    from_minute, until_minute = 0, DAY_MINUTES
    parts = [part for part in text.lower().split("/") if part]
    if parts and not parts[0][0].isdigit():
        days = _days(parts.pop(0))
    if parts:
        from_minute, until_minute = _times(parts.pop(0))
    if parts:
        raise BadRequest(f"hours are written DAYS/FROM-UNTIL, such as mon-fri/14:00-17:00, not {text[:60]!r}")
    found = Hours(days, from_minute, until_minute)
    if found.length_minutes < LEAST_MINUTES:
        raise BadRequest(f"hours last at least {LEAST_MINUTES} minutes, unlike {text[:60]!r}")
    return found if found.text else None


def _days(text: str) -> tuple[int, ...]:
    found: set[int] = set()
    for part in text.split("+"):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            raise BadRequest(f"days are written {', '.join(DAYS)}, mon-fri or sat+sun, not {text[:40]!r}")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        found |= {(begin + day) % len(DAYS) for day in range((end - begin) % len(DAYS) + 1)}
    return tuple(sorted(found))


def _times(text: str) -> tuple[int, int]:
    found = _TIMES.fullmatch(text)
    hours = [int(group) for group in found.groups()] if found is not None else []
    minutes = [hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]] if hours else []
    right = bool(hours) and hours[1] < 60 and hours[3] < 60 and minutes[0] < DAY_MINUTES >= minutes[1]
    if not right or minutes[0] == minutes[1]:
        raise BadRequest(f"times are written FROM-UNTIL, such as 14:00-17:00 or 22:00-02:00, not {text[:40]!r}")
    return minutes[0], minutes[1]
