"""Calls to Stripe that players wait for are few at once, and a price that is known outlives Stripe's silence."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from arcade_cloud.adapters.stripe.gateway import PRICE_AGAIN_S, PRICE_KEPT_S, PRICE_TTL_S, Places
from arcade_cloud.errors import PaymentsUnavailable
from support.sandbox_payments import SandboxPayments

PRICE = "price_play"


class Clock:
    """Set by hand."""

    now_ms = 1_790_000_000_000


@pytest.fixture
def payments() -> SandboxPayments:
    made = SandboxPayments(lambda: Clock.now_ms)
    made.stripe.add_price(PRICE, 100)
    return made


def test_whoever_gets_no_place_is_told_so_at_once_or_after_a_short_wait() -> None:
    places, gate, inside = Places(2, 1, 0.05), threading.Event(), threading.Semaphore(0)

    def call() -> None:
        with places.one("calling"):
            inside.release()
            assert gate.wait(10)

    def count_refused(number: int) -> int:
        refused = 0
        for _ in range(number):
            try:
                with places.one("calling"):
                    pass
            except PaymentsUnavailable:
                refused += 1
        return refused

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(call) for _ in range(2)]
        for _ in calls:
            assert inside.acquire(timeout=10)
        refused = [threads.submit(count_refused, 5) for _ in range(4)]
        assert [number.result(10) for number in refused] == [5] * 4
        gate.set()
        for done in calls:
            done.result(10)
    assert count_refused(10) == 0


def test_whoever_waits_gets_the_place_of_one_who_is_done_and_nobody_waits_behind_them() -> None:
    places, gate, inside = Places(1, 1, 10.0), threading.Event(), threading.Semaphore(0)

    def call() -> None:
        with places.one("calling"):
            inside.release()
            assert gate.wait(10)

    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(call)]
        assert inside.acquire(timeout=10)
        calls.append(threads.submit(call))
        until_s = time.monotonic() + 5
        while places._here.acquire(blocking=False):  # until that one waits
            places._here.release()
            assert not calls[1].done(), calls[1].exception()
            assert time.monotonic() < until_s
        with pytest.raises(PaymentsUnavailable, match="too many calls wait"), places.one("calling"):
            pass
        gate.set()
        for done in calls:
            done.result(10)


def test_a_call_that_fails_gives_its_place_back() -> None:
    places = Places(1, 0, 0.0)
    for _ in range(3):
        with pytest.raises(RuntimeError), places.one("calling"):
            raise RuntimeError
    with places.one("calling"):
        pass


def test_a_known_price_is_shown_while_stripe_gives_no_verdict(payments: SandboxPayments) -> None:
    price = payments.read_price(PRICE)
    payments.fault = lambda _: "before"
    began_ms = Clock.now_ms
    try:
        for after_s in (PRICE_TTL_S, PRICE_TTL_S + PRICE_AGAIN_S, PRICE_KEPT_S - 1):
            Clock.now_ms = began_ms + int(after_s * 1000)
            asked = len(payments.calls)
            assert {payments.read_price(PRICE) for _ in range(10)} == {price}
            assert len(payments.calls) == asked + 1  # one of them asks, the others do not wait for it
        Clock.now_ms = began_ms + int((PRICE_KEPT_S + PRICE_AGAIN_S) * 1000)
        with pytest.raises(PaymentsUnavailable):
            payments.read_price(PRICE)
        payments.fault = None
        Clock.now_ms += int(PRICE_AGAIN_S * 1000)
        assert payments.read_price(PRICE) == price
    finally:
        Clock.now_ms = began_ms


def test_a_price_that_nobody_knows_yet_is_unavailable_with_stripe(payments: SandboxPayments) -> None:
    payments.fault = lambda _: "after"
    with pytest.raises(PaymentsUnavailable):
        payments.read_price(PRICE)
