"""How far a clock is off Stripe's, by the `Date` of its answers: through the real library, over HTTP."""

import time
from collections.abc import Iterator

import pytest

from arcade_cloud.adapters.stripe.clock import StripeClock
from arcade_cloud.adapters.stripe.gateway import StripeGateway
from arcade_cloud.errors import PaymentsRefused
from arcade_sandbox.stripe.sandbox import StripeSandbox

NOON = "Thu, 26 Nov 2026 12:00:00 GMT"
NOON_MS = 1_795_694_400_000


@pytest.mark.parametrize(
    ("asked_ms", "now_ms", "off_ms"),
    [
        (0, 0, 0),
        (0, 999, 0),
        (-200, 1100, 0),
        (1000, 1200, 0),
        (131_000, 131_500, 130_000),
        (-8000, -7500, -7500),
        (-3000, 60_000, 0),  # it took a minute, so nobody knows
    ],
)
def test_it_says_no_more_than_an_answer_proves(asked_ms: int, now_ms: int, off_ms: int) -> None:
    clock = StripeClock(lambda: NOON_MS + now_ms, lambda: 0)
    clock.answered({"date": NOON}, NOON_MS + asked_ms)
    assert clock.off_ms == off_ms


def test_a_clock_that_is_set_back_after_the_measurement_is_known_at_once() -> None:
    wall_ms, monotonic_ms = NOON_MS, 5_000
    clock = StripeClock(lambda: wall_ms, lambda: monotonic_ms)
    clock.answered({"date": NOON}, NOON_MS)
    wall_ms, monotonic_ms = wall_ms + 60_900, monotonic_ms + 60_000  # slewed by less than an answer can show
    assert clock.off_ms == 0
    wall_ms -= 3_600_000
    assert clock.off_ms == -3_599_100


def test_a_process_that_was_suspended_or_set_ahead_knows_nothing_before_the_next_answer() -> None:
    """Where a function is frozen between two requests, the clock that nobody sets may stand still."""
    wall_ms, monotonic_ms = NOON_MS, 5_000
    clock = StripeClock(lambda: wall_ms, lambda: monotonic_ms)
    clock.answered({"date": NOON}, NOON_MS)
    wall_ms += 3_600_000
    assert clock.off_ms is None
    clock.answered({"date": "Thu, 26 Nov 2026 13:00:00 GMT"}, wall_ms)
    assert clock.off_ms == 0


@pytest.mark.parametrize("headers", [None, {}, {"Date": ""}, {"Date": "yesterday"}])
def test_an_answer_without_a_date_changes_nothing(headers: dict[str, str] | None) -> None:
    clock = StripeClock(lambda: NOON_MS, lambda: 0)
    clock.answered(headers, NOON_MS)
    assert clock.off_ms is None


@pytest.fixture
def sandbox() -> Iterator[StripeSandbox]:
    with StripeSandbox() as sandbox:
        yield sandbox


def gateway(sandbox: StripeSandbox, off_s: int, key: str = "sk_test_any") -> StripeGateway:
    clock = StripeClock(lambda: time.time_ns() // 1_000_000 + 1000 * off_s)
    return StripeGateway(key, api_base=sandbox.base_url, retries=0, clock=clock)


@pytest.mark.parametrize("off_s", [0, 130, -130, 8 * 3600])
def test_every_answer_tells_how_far_the_clock_is_off(sandbox: StripeSandbox, off_s: int) -> None:
    payments = gateway(sandbox, off_s)
    assert payments.clock_off_ms() is None
    payments.check()
    measured = payments.clock_off_ms()
    assert measured is not None
    assert abs(measured - 1000 * off_s) <= 1500


def test_a_refusal_tells_it_too(sandbox: StripeSandbox) -> None:
    payments = gateway(sandbox, 130)
    with pytest.raises(PaymentsRefused):
        payments.read_payment("pi_nobody")
    measured = payments.clock_off_ms()
    assert measured is not None
    assert abs(measured - 130_000) <= 1500
