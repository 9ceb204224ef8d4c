"""The rate limit: a burst passes, what comes faster waits, and memory has a bound."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.services.rate_limit import Bucket, Rate, RateLimiter, Share, client_of, take

MINUTE_MS = 60_000


@given(
    per_minute=st.integers(1, 600),
    burst=st.integers(1, 100),
    gaps_ms=st.lists(st.integers(0, 5_000), max_size=200),
)
def test_no_window_lets_more_pass_than_the_burst_and_the_rate_together(
    per_minute: int, burst: int, gaps_ms: list[int]
) -> None:
    rate, bucket, now_ms, passed_ms = Rate(per_minute, burst), None, 0, []
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        bucket, wait_ms = take(bucket, rate, now_ms)
        if wait_ms == 0:
            passed_ms.append(now_ms)
    for first, start_ms in enumerate(passed_ms):
        for last in range(first, len(passed_ms)):
            allowed = burst + (passed_ms[last] - start_ms) * per_minute / MINUTE_MS
            assert last - first + 1 <= allowed + 1e-6


@given(per_minute=st.integers(1, 600), burst=st.integers(1, 20), start_ms=st.integers(0, 2**45))
def test_whoever_waits_as_long_as_was_said_passes(per_minute: int, burst: int, start_ms: int) -> None:
    rate, bucket = Rate(per_minute, burst), None
    for _ in range(burst):
        bucket, wait_ms = take(bucket, rate, start_ms)
        assert wait_ms == 0
    bucket, wait_ms = take(bucket, rate, start_ms)
    assert 0 < wait_ms <= MINUTE_MS // per_minute + 1
    assert take(bucket, rate, start_ms + wait_ms)[1] == 0
    assert take(bucket, rate, start_ms + wait_ms - 2)[1] > 0


def test_a_clock_that_goes_back_gives_nothing_away() -> None:
    bucket, wait_ms = take(Bucket(0.0, 100_000), Rate(60, 5), 50_000)
    assert (bucket.tokens, wait_ms > 0) == (0.0, True)


@given(every_ms=st.integers(1, 700), per_minute=st.sampled_from([1, 6, 60, 100, 120]))
def test_whoever_knocks_steadily_gets_the_whole_of_the_rate(every_ms: int, per_minute: int) -> None:
    """However fast: a bucket that refills by whole units would give next to nothing to whoever knocks often."""
    limiter, share, passed, until_ms = (
        RateLimiter(),
        Share(("visitor", "a"), Rate(per_minute, 1)),
        0,
        10 * MINUTE_MS,
    )
    for now_ms in range(0, until_ms, max(every_ms, 20)):
        passed += limiter.wait_ms(now_ms, share) == 0
    # A knock may come up to one interval after its turn, each time.
    turn_ms = MINUTE_MS / per_minute
    assert until_ms / (turn_ms + max(every_ms, 20)) <= passed <= 1 + until_ms / turn_ms


def share(name: str, per_minute: int, what: str = "checkout") -> Share:
    return Share((what, name), Rate(per_minute=per_minute, burst=per_minute))


def test_buckets_are_counted_apart() -> None:
    limiter = RateLimiter()
    assert [limiter.wait_ms(0, share("10.0.0.1", 2)) for _ in range(2)] == [0, 0]
    assert limiter.wait_ms(0, share("10.0.0.1", 2)) > 0
    assert limiter.wait_ms(0, share("10.0.0.2", 2)) == 0
    assert limiter.wait_ms(0, share("10.0.0.1", 2, "gameover")) == 0


def test_a_request_passes_only_if_all_its_buckets_have_room_and_else_takes_from_none() -> None:
    limiter, small, large = RateLimiter(), share("visitor", 2), share("address", 5)
    assert [limiter.wait_ms(0, small, large) for _ in range(2)] == [0, 0]
    assert {limiter.wait_ms(0, small, large) for _ in range(100)} == {30_001}
    assert [limiter.wait_ms(0, large) > 0 for _ in range(4)] == [False, False, False, True]


def test_a_limit_of_zero_means_none() -> None:
    limiter = RateLimiter()
    assert {limiter.wait_ms(0, share("10.0.0.1", 0)) for _ in range(1000)} == {0}
    assert len(limiter) == 0


def test_the_table_is_bounded_and_forgets_the_one_quiet_for_longest() -> None:
    limiter = RateLimiter(max_buckets=3)
    for name in "abc":
        assert limiter.wait_ms(0, share(name, 1)) == 0
    assert limiter.wait_ms(1, share("a", 1)) > 0
    assert limiter.wait_ms(2, share("d", 1)) == 0
    assert len(limiter) == 3
    assert limiter.wait_ms(3, share("a", 1)) > 0
    assert limiter.wait_ms(4, share("b", 1)) == 0


def test_threads_together_pass_no_more_than_the_burst() -> None:
    limiter = RateLimiter()
    with ThreadPoolExecutor(8) as threads:
        waits_ms = list(threads.map(lambda _: limiter.wait_ms(0, share("10.0.0.1", 50)), range(400)))
    assert waits_ms.count(0) == 50


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("", ""),
        ("x" * 5000, "x" * 64),
    ],
)
def test_a_household_of_ipv6_addresses_is_one_client(address: str, client: str) -> None:
    assert client_of(address) == client
