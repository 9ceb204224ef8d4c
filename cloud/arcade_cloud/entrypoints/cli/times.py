"""Times as people give them to a command."""

import argparse


def moment_ms(text: str) -> int:
    """A time in UTC, `2026-11-22T10:00:00Z` or `2026-11-22 10:00:00.123Z`, in epoch milliseconds.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    from arcade_shared.times import parse_ms

    try:
        return parse_ms(text.strip().replace(" ", "T"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r}: write a time in UTC, such as 2026-11-22T10:00:00Z"
        ) from None
