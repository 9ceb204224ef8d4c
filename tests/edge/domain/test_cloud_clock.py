"""The cloud's time on a machine whose own clock may be wrong."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arcade_edge.domain.cloud_clock import (
    FIRST_RETRY_MS,
    LAST_RETRY_MS,
    MAX_AGE_MS,
    REFRESH_MS,
    CloudClock,
)

CLOUD = 1_790_000_000_000


def answered(clock: CloudClock, nonce: str, cloud_ms: int) -> CloudClock:
    after = clock.answered(nonce, cloud_ms)
    assert after is not None
    return after


def test_without_an_answer_in_this_boot_the_time_is_unknown() -> None:
    clock = CloudClock().asked("n1", 1_000)
    assert clock.cloud_ms(9_000) is None
    assert clock.boot_ms_at(CLOUD) is None
    assert not clock.fresh(9_000)


@given(
    asked=st.integers(0, 10**9),
    there_ms=st.integers(0, 100_000),
    back_ms=st.integers(0, 100_000),
    later_ms=st.integers(0, 30 * 24 * 3600 * 1000),
    slow_ppm=st.integers(0, 600),
)
def test_the_estimate_is_never_behind_the_cloud(
    asked: int, there_ms: int, back_ms: int, later_ms: int, slow_ppm: int
) -> None:
    """However long the question and the answer take, and though the machine's clock runs slow."""
    clock = answered(CloudClock().asked("n", asked), "n", CLOUD)
    truly_since_answer_ms = back_ms + later_ms
    shown_ms = asked + (there_ms + truly_since_answer_ms) * (1_000_000 - slow_ppm) // 1_000_000
    estimate = clock.cloud_ms(shown_ms)
    assert estimate is not None
    assert estimate >= CLOUD + truly_since_answer_ms - 1 - there_ms * slow_ppm // 1_000_000


@given(
    up_ms=st.integers(0, 30 * 24 * 3600 * 1000),
    there_ms=st.integers(0, 100_000),
    off_ppm=st.integers(-600, 600),
)
def test_the_start_of_the_computer_is_never_put_before_it_was(up_ms: int, there_ms: int, off_ppm: int) -> None:
    """What the cloud made before the start is then always known as such."""
    asked = up_ms * (1_000_000 + off_ppm) // 1_000_000
    clock = answered(CloudClock().asked("n", asked), "n", CLOUD + up_ms + there_ms)
    assert (clock.started_ms() or 0) >= CLOUD
    assert (clock.started_ms() or 0) <= CLOUD + there_ms + up_ms // 500 + 2
    assert CloudClock().started_ms() is None


def test_the_anchor_is_when_the_nonce_was_sent_and_not_when_the_answer_came() -> None:
    """An answer that somebody held back makes deadlines come early, never late."""
    clock = answered(CloudClock().asked("n", 1_000), "n", CLOUD)
    assert clock.cloud_ms(1_000) == CLOUD
    assert (clock.cloud_ms(61_000) or 0) >= CLOUD + 60_000


def test_only_the_answer_to_the_outstanding_nonce_counts_and_only_once() -> None:
    clock = CloudClock().asked("old", 0).asked("new", 1_000)
    assert clock.answered("old", CLOUD) is None
    assert clock.answered("", CLOUD) is None
    after = answered(clock, "new", CLOUD)
    assert after.answered("new", CLOUD + 10**9) is None
    assert CloudClock().answered("", CLOUD) is None


def test_what_was_asked_before_a_connection_counts_no_more() -> None:
    clock = CloudClock().asked("n", 0).connected(500)
    assert clock.answered("n", CLOUD) is None
    assert clock.wants_answer(500)


def test_it_asks_at_once_then_ever_more_slowly_and_refreshes_while_it_is_answered() -> None:
    clock = CloudClock().connected(0)
    assert clock.wants_answer(0)
    clock = clock.asked("1", 0)
    assert not clock.wants_answer(FIRST_RETRY_MS - 1)
    assert clock.wants_answer(FIRST_RETRY_MS)
    moment = 0
    for n in range(12):
        moment = clock.due_boot_ms
        clock = clock.asked(str(n), moment)
    assert clock.due_boot_ms - moment == LAST_RETRY_MS
    clock = answered(clock, "11", CLOUD)
    assert not clock.wants_answer(moment + REFRESH_MS - 1)
    assert clock.wants_answer(moment + REFRESH_MS)


def test_a_machine_is_ready_only_on_a_young_answer() -> None:
    clock = answered(CloudClock().asked("n", 0), "n", CLOUD)
    assert clock.fresh(MAX_AGE_MS)
    assert not clock.fresh(MAX_AGE_MS + 1)
    assert clock.cloud_ms(MAX_AGE_MS + 1) is not None


@given(ahead_ms=st.integers(-(10**6), 10**10), asked=st.integers(0, 10**9))
def test_the_moment_given_for_a_deadline_is_the_first_at_which_it_is_reached(ahead_ms: int, asked: int) -> None:
    clock = answered(CloudClock().asked("n", asked), "n", CLOUD)
    boot_ms = clock.boot_ms_at(CLOUD + ahead_ms)
    assert boot_ms is not None
    reached, before = clock.cloud_ms(boot_ms), clock.cloud_ms(boot_ms - 1)
    assert reached is not None
    assert before is not None
    assert reached >= CLOUD + ahead_ms > before
