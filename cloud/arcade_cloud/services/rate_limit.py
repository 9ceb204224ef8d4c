"""How often one address may call one route: token buckets, in memory and bounded.

A full bucket and a forgotten one are the same thing, so the table may forget whom it has not met for longest.
On AWS Lambda every instance counts for itself: there this is a brake on one client, not a ceiling for all.

Written here because it is thirty lines: the usual library for it takes 120 ms to import, which is more than
flask and stripe together may cost at a cold start.
"""

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

# About 2 MB. Beyond it the address that was quiet for longest starts afresh.
MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` requests at once, and from then on `per_minute`."""

    per_minute: int
    burst: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """`tokens` requests were still free at the moment `at_ms`."""

    tokens: float
    at_ms: int


def take(bucket: Bucket | None, rate: Rate, now_ms: int) -> tuple[Bucket, int]:
    """Take one token. Gives the bucket as it is then, and 0; or, if there was none, how long to wait (ms).

    `bucket` is None for somebody never met. A clock that goes back refills nothing and takes nothing away.
    """
    if bucket is None:
        return Bucket(rate.burst - 1.0, now_ms), 0
    refilled = bucket.tokens + max(0, now_ms - bucket.at_ms) * rate.per_minute / 60_000
    tokens = min(float(rate.burst), refilled)
    if tokens >= 1:
        return Bucket(tokens - 1, now_ms), 0
    return Bucket(tokens, now_ms), int((1 - tokens) * 60_000 / rate.per_minute) + 1


def client_of(address: str) -> str:
    """Who counts as one client: an IPv4 address, or the /64 that a household has of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


class RateLimiter:
    """`per_minute` requests for each client on each route, as many of them at once; 0 means no limit.

    Safe to call from many threads.
    """

    def __init__(self, per_minute: int, max_buckets: int = MAX_BUCKETS) -> None:
        self._rate = Rate(per_minute=per_minute, burst=per_minute)
        self._max_buckets = max_buckets
        self._lock = Lock()
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    def wait_ms(self, route: str, address: str, now_ms: int) -> int:
        """0 if the request from `address` may pass, and is counted; else how long to wait, and nothing is."""
        if self._rate.per_minute <= 0:
            return 0
        key = (route, client_of(address))
        with self._lock:
            bucket, wait_ms = take(self._buckets.get(key), self._rate, now_ms)
            self._buckets[key] = bucket
            self._buckets.move_to_end(key)
            while len(self._buckets) > self._max_buckets:
                self._buckets.popitem(last=False)
        return wait_ms

    def __len__(self) -> int:
        """How many buckets are remembered."""
        return len(self._buckets)
