"""Identifiers: time-ordered UUIDs for credits and events, and opaque random ones."""

import re
import secrets
from collections.abc import Callable
from uuid import UUID

MACHINE_ID_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}"
HEX_128_PATTERN = r"[0-9a-f]{32}"
UUID7_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

_MACHINE_ID = re.compile(MACHINE_ID_PATTERN)


def is_machine_id(text: object) -> bool:
    """Whether `text` may stand as a machine id: one topic level, one path segment, at most 64 characters."""
    return isinstance(text, str) and _MACHINE_ID.fullmatch(text) is not None


def uuid7(now_ms: int, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> str:
    """A UUIDv7 (RFC 9562, section 5.7) for the moment `now_ms`: 48 bits of time, 74 random bits."""
    if not 0 <= now_ms < 1 << 48:
        raise ValueError(f"{now_ms} ms is outside the 48 bits of a UUIDv7")
    random = int.from_bytes(random_bytes(10), "big")
    number = now_ms << 80 | 0x7 << 76 | (random >> 62 & 0xFFF) << 64 | 0b10 << 62 | random & ((1 << 62) - 1)
    return str(UUID(int=number))


def uuid7_ms(text: str) -> int:
    """The moment (epoch ms) at which the UUIDv7 `text` was made.

    Raises:
        ValueError: It is any other text.
    """
    if re.fullmatch(UUID7_PATTERN, text) is None:
        raise ValueError(f"not a UUIDv7 in lower case: {text[:40]!r}")
    return UUID(text).int >> 80


def random_hex_128() -> str:
    """32 hexadecimal digits that nobody can guess: nonces, installations, boots."""
    return secrets.token_hex(16)
