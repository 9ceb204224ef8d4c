"""A cloud that is told to stop is gone soon, whatever hangs; what it leaves behind is still due."""

import threading
import time
from collections.abc import Callable

import pytest

from arcade_cloud.entrypoints.server import STRIPE_QUEUE, STRIPE_THREADS, StripeWorkers


@pytest.fixture
def workers() -> StripeWorkers:
    found = StripeWorkers()
    found.start()
    return found


def hang(workers: StripeWorkers) -> Callable[[], None]:
    """All threads wait for Stripe; what lets them go."""
    gate, waiting = threading.Event(), threading.Semaphore(0)

    def work() -> None:
        waiting.release()
        gate.wait(30)

    for _ in range(STRIPE_THREADS):
        workers.later(work)
    for _ in range(STRIPE_THREADS):
        assert waiting.acquire(timeout=10)
    return gate.set


def test_calls_that_hang_are_left_behind_and_said(
    workers: StripeWorkers, caplog: pytest.LogCaptureFixture
) -> None:
    let_go = hang(workers)
    workers.close(time.monotonic())
    assert f"{STRIPE_THREADS} calls to Stripe are left behind" in caplog.text
    let_go()


def test_a_call_that_is_answered_in_time_is_finished_and_what_waits_is_forgotten(workers: StripeWorkers) -> None:
    done: list[str] = []
    let_go = hang(workers)
    for number in range(STRIPE_QUEUE + 5):
        workers.later(lambda number=number: done.append(f"waiting {number}"))  # type: ignore[misc]
    threading.Timer(0.05, let_go).start()
    workers.close(time.monotonic() + 10)
    workers.later(lambda: done.append("too late"))
    assert done == []
    assert not any(thread.is_alive() for thread in workers._threads)


def test_work_that_fails_is_recorded_and_the_thread_goes_on(
    workers: StripeWorkers, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("defect")

    for _ in range(STRIPE_THREADS * 2):
        workers.later(fail)
    done = threading.Event()
    workers.later(done.set)
    assert done.wait(10)
    workers.close(time.monotonic() + 10)
    assert caplog.text.count("work for Stripe failed") == STRIPE_THREADS * 2
