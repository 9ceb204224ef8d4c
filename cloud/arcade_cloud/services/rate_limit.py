"""How often somebody may do something: token buckets, in memory and bounded.

A request may draw on several buckets: a small one of the visitor within a large one of the address that many
visitors share. It passes only if each of them has room, and one that does not pass takes from none: whoever knocks
too fast uses up nothing of the others.

A full bucket and a forgotten one are the same, so the table may forget whoever was quiet for longest. On
AWS Lambda every instance counts separately: there this slows down one client, but it is no limit for all together.

It is our own because it is some forty lines, while the usual library takes 120 ms to import: more than Flask and
Stripe together may cost at a cold start.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

# About 2 MB. Beyond it, whoever was quiet for longest gets a full bucket again.
MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` requests at once, then `per_minute`."""

    per_minute: int
    burst: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """`tokens` requests were left at `at_ms`."""

    tokens: float
    at_ms: int


def take(bucket: Bucket | None, rate: Rate, now_ms: int) -> tuple[Bucket, int]:
    """Take one token. A clock that goes back neither adds nor removes tokens.

    Args:
        bucket: None for a new client.

    Returns:
        The bucket afterwards, and 0; if there was no token, how long to wait in milliseconds.
    """
    if bucket is None:
        return Bucket(rate.burst - 1.0, now_ms), 0
    refilled = bucket.tokens + max(0, now_ms - bucket.at_ms) * rate.per_minute / 60_000
    tokens = min(float(rate.burst), refilled)
    if tokens >= 1:
        return Bucket(tokens - 1, now_ms), 0
    return Bucket(tokens, now_ms), int((1 - tokens) * 60_000 / rate.per_minute) + 1


def client_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 /64, which is what one household has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


@dataclass(frozen=True, slots=True)
class Share:
    """One bucket that a request draws on: whose it is, and how large."""

    owner: tuple[str, str]
    rate: Rate


class RateLimiter:
    """Keeps the buckets. Safe to call from many threads."""

    def __init__(self, max_buckets: int = MAX_BUCKETS) -> None:
        self._max_buckets = max_buckets
        self._lock = Lock()
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def wait_ms(self, now_ms: int, *shares: Share) -> int:
        """Take one from each share, or none at all. A share of 0 per minute has no limit.

        Returns:
            0 if the request may pass; otherwise how long to wait, in milliseconds.
        """
        limited = [share for share in shares if share.rate.per_minute > 0]
        with self._lock:
            taken = [(share.owner, take(self._buckets.get(share.owner), share.rate, now_ms)) for share in limited]
            longest_ms = max((wait_ms for _, (_, wait_ms) in taken), default=0)
            for owner, (bucket, _) in taken:
                if longest_ms == 0:
                    self._buckets[owner] = bucket
                if owner in self._buckets:
                    self._buckets.move_to_end(owner)
            while len(self._buckets) > self._max_buckets:
                self._buckets.popitem(last=False)
        return longest_ms

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._buckets)
