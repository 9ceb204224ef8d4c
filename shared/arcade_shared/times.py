"""Moments as they travel: RFC 3339 in UTC with milliseconds; inside the program, integer milliseconds."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def format_ms(moment_ms: int) -> str:
    """`moment_ms` (Unix epoch, milliseconds) as `2026-11-22T10:00:00.123Z`."""
    moment = _EPOCH + timedelta(milliseconds=moment_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def parse_ms(text: str) -> int:
    """The moment in `text` (RFC 3339, UTC written as `Z`) in epoch milliseconds, rounded down.

    Raises:
        ValueError: It is anything else. A moment without a zone has no meaning between two machines.
    """
    if not text.endswith("Z") or "T" not in text or not text.isascii():
        raise ValueError(f"not an RFC 3339 moment in UTC, such as 2026-11-22T10:00:00.123Z: {text[:40]!r}")
    moment = datetime.fromisoformat(text[:-1])
    if moment.tzinfo is not None:
        raise ValueError(f"two time zones in {text[:40]!r}")
    return (moment.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
