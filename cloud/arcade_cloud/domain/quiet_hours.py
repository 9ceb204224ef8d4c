"""Quiet hours: at night people are told only what cannot wait for the morning (pure)."""

from dataclasses import dataclass
from datetime import datetime, tzinfo

from arcade_cloud.domain.alerts import AlertKind, ConditionKind

DAY_MINUTES = 24 * 60
# What is wrong for all machines, or grows worse by the hour. One order or one machine can wait.
URGENT: frozenset[AlertKind | ConditionKind] = frozenset(
    {
        "broker",
        "clock_off",
        "deaf",
        "signature_refused",
        "stuck",
        "taken_over",
        "unknown_capture",
        "unreadable",
        "webhook_refused",
        "wrong_endpoint",
    }
)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A part of each day, in minutes after midnight of the arcade's time zone. It may go over midnight."""

    from_minute: int
    until_minute: int
    zone: tzinfo

    def holds(self, kind: str, now_ms: int) -> bool:
        """Whether an alert of that kind waits now. The end of what lasted waits as its begin does."""
        return kind not in URGENT and self.lasts(now_ms)

    def lasts(self, now_ms: int) -> bool:
        """Whether it is quiet."""
        return self._since(now_ms) < self._length

    def ended_ms(self, now_ms: int) -> int:
        """When it was quiet last, at the latest."""
        if self.lasts(now_ms):
            return now_ms
        return now_ms - (self._since(now_ms) - self._length) * 60_000

    @property
    def _length(self) -> int:
        return (self.until_minute - self.from_minute) % DAY_MINUTES

    def _since(self, now_ms: int) -> int:
        """How many minutes ago by the clock on the wall it last began."""
        now = datetime.fromtimestamp(now_ms / 1000, self.zone)
        return (now.hour * 60 + now.minute - self.from_minute) % DAY_MINUTES


def parse_quiet_hours(text: str, zone: tzinfo) -> QuietHours:
    """Read hours such as `22:00-08:00`.

    Raises:
        ValueError: They are not written so, or no time lies between them.
    """
    begin, dash, end = text.strip().partition("-")
    if not dash:
        raise ValueError(text)
    minutes = [_minute(part.strip()) for part in (begin, end)]
    if minutes[0] == minutes[1]:
        raise ValueError(text)
    return QuietHours(minutes[0], minutes[1], zone)


def _minute(text: str) -> int:
    at = datetime.strptime(text, "%H:%M").time()  # noqa: DTZ007 - a time of day has no zone
    return at.hour * 60 + at.minute
