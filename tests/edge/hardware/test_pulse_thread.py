"""The pulse train: never short, never merged, never left active."""

from __future__ import annotations

import queue
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcade_edge.agent.signals import CreditPulsed, PulseFailed, PulseSignal
from arcade_edge.domain.pulses import Profile
from arcade_edge.errors import CoinLineBusy, CoinLineError
from arcade_edge.hardware.coin_line import PulseThread
from support.coin_lines import MS, WAIT_S, JumpingClock, RecordingLine, running

SHORT = Profile(pulse_ms=5, gap_ms=5)


@settings(max_examples=60)
@given(
    pulse_ms=st.integers(5, 200),
    gap_ms=st.integers(5, 200),
    pulses_per_credit=st.integers(1, 4),
    credits_=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    latest_ms=st.sampled_from([0.0, 3.0, 400.0]),
)
def test_no_pulse_is_short_and_no_gap_is_short_however_late_everything_is(
    pulse_ms: int, gap_ms: int, pulses_per_credit: int, credits_: int, seed: int, latest_ms: float
) -> None:
    """Recomputed from the line's own edges: from the claim to the first pulse, and across pulses and credits."""
    clock = JumpingClock(seed, latest_ms)
    line = RecordingLine(clock)
    claimed_ns = clock.now_ns
    profile = Profile(pulse_ms, gap_ms, pulses_per_credit)
    with running(line, profile, clock) as (thread, posted):
        for token in range(credits_):
            thread.pulse_credit(token)
            outcome = posted.get(timeout=WAIT_S)
            assert isinstance(outcome, CreditPulsed)
            assert outcome.token == token
            assert not line.active
    pulses = line.pulses()
    assert len(pulses) == credits_ * pulses_per_credit
    assert all(end_ns - begin_ns >= pulse_ms * MS for begin_ns, end_ns in pulses)
    ends_ns = [claimed_ns, *(end_ns for _begin_ns, end_ns in pulses)]
    assert all(begin_ns - end_ns >= gap_ms * MS for end_ns, (begin_ns, _) in zip(ends_ns, pulses, strict=False))


def test_where_nothing_is_late_pulses_are_no_longer_than_asked() -> None:
    """The pulse ends with its deadline, and the completion does not wait for the gap that follows."""
    clock = JumpingClock()
    line = RecordingLine(clock)
    with running(line, Profile(pulse_ms=50, gap_ms=70), clock) as (thread, posted):
        thread.pulse_credit("a")
        outcome = posted.get(timeout=WAIT_S)
    assert isinstance(outcome, CreditPulsed)
    ((begin_ns, end_ns),) = line.pulses()
    assert end_ns - begin_ns < 51 * MS


class BreakingLine(RecordingLine):
    """Fails as told: `fail` maps a call ("active", "inactive", "read") to how often it shall fail."""

    def __init__(self, clock: JumpingClock, fail: dict[str, int], *, after_the_edge: bool = False) -> None:
        super().__init__(clock)
        self.fail = fail
        self.after_the_edge = after_the_edge

    def set_active(self) -> None:
        if self.after_the_edge:
            super().set_active()
        self._break("active")
        super().set_active()

    def set_inactive(self) -> None:
        self._break("inactive")
        super().set_inactive()

    def is_active(self) -> bool:
        self._break("read")
        return super().is_active()

    def _break(self, call: str) -> None:
        if self.fail.get(call, 0) > 0:
            self.fail[call] -= 1
            raise OSError(5, "Input/output error")


@pytest.mark.parametrize(
    ("fail", "after_the_edge", "started"),
    [
        ({"active": 1}, False, False),
        ({"active": 1}, True, True),
        ({"active": 1, "read": 1}, False, True),
    ],
)
def test_a_pin_that_fails_to_become_active_fails_the_credit_and_rests(
    fail: dict[str, int], after_the_edge: bool, started: bool
) -> None:
    """Started is said unless the line was surely never active; the next credit works again."""
    line = BreakingLine(JumpingClock(), fail, after_the_edge=after_the_edge)
    with running(line, SHORT, line.clock) as (thread, posted):
        thread.pulse_credit("a")
        assert posted.get(timeout=WAIT_S) == PulseFailed("a", started, "[Errno 5] Input/output error")
        assert not line.active
        thread.pulse_credit("b")
        assert isinstance(posted.get(timeout=WAIT_S), CreditPulsed)


def test_a_credit_that_breaks_in_a_later_pulse_had_started() -> None:
    line = BreakingLine(JumpingClock(), {})
    pulses = 0

    def break_the_second(active: bool) -> None:
        nonlocal pulses
        pulses += active
        if pulses == 2:
            line.fail = {"active": 1}

    original = line._drive

    def drive(active: bool) -> None:
        original(active)
        break_the_second(not active)

    line._drive = drive  # type: ignore[method-assign]
    with running(line, Profile(5, 5, pulses_per_credit=3), line.clock) as (thread, posted):
        thread.pulse_credit("a")
        outcome = posted.get(timeout=WAIT_S)
    assert isinstance(outcome, PulseFailed)
    assert outcome.started
    assert len(line.pulses()) == 2


def test_an_error_inside_a_pulse_leaves_the_line_inactive() -> None:
    """Whatever is raised while the line is active: the line rests and the credit is told as failed."""
    clock = JumpingClock()
    line = RecordingLine(clock)

    def broken_sleep(seconds: float) -> None:
        if line.active:
            raise MemoryError
        clock.sleep(seconds)

    posted: queue.Queue[PulseSignal] = queue.Queue()
    thread = PulseThread(line, Profile(), posted.put, clock_ns=clock, sleep=broken_sleep)
    thread.start()
    thread.pulse_credit("a")
    assert posted.get(timeout=WAIT_S) == PulseFailed("a", True, "MemoryError()")
    assert [active for active, _at_ns in line.edges] == [True, False]
    assert thread.stop()


def test_a_line_that_hesitates_to_rest_is_told_again_at_once() -> None:
    line = BreakingLine(JumpingClock(), {"inactive": 2})
    with running(line, SHORT, line.clock) as (thread, posted):
        thread.pulse_credit("a")
        assert isinstance(posted.get(timeout=WAIT_S), CreditPulsed)
        assert not line.active


def test_a_stuck_line_fails_its_credits_gets_no_pulse_and_gives_no_sign_of_life() -> None:
    """It is told to rest until it obeys; meanwhile the watchdog is not fed, so that a fresh process may help."""
    line = BreakingLine(JumpingClock(), {"inactive": 10**9})
    with running(line, SHORT, line.clock) as (thread, posted):
        thread.pulse_credit("a")
        outcome = posted.get(timeout=WAIT_S)
        assert isinstance(outcome, PulseFailed)
        assert outcome.started
        assert "cannot be driven inactive" in outcome.error
        beat = thread.last_beat
        thread.pulse_credit("b")
        outcome = posted.get(timeout=WAIT_S)
        assert isinstance(outcome, PulseFailed)
        assert not outcome.started
        assert [active for active, _at_ns in line.edges] == [True]
        assert thread.last_beat == beat
        line.fail = {}
        wait_for(lambda: not line.active)
        wait_for(lambda: thread.last_beat > beat)
        thread.pulse_credit("c")
        assert isinstance(posted.get(timeout=WAIT_S), CreditPulsed)


def test_the_end_of_the_thread_is_one_more_chance_for_a_stuck_line() -> None:
    line = BreakingLine(JumpingClock(), {"inactive": 10**9})
    with running(line, SHORT, line.clock) as (thread, posted):
        thread.pulse_credit("a")
        assert isinstance(posted.get(timeout=WAIT_S), PulseFailed)
        line.fail = {}
        assert thread.stop()
        assert not line.active


def wait_for(condition: object) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_an_orderly_stop_finishes_the_running_credit() -> None:
    """All pulses of a credit that has begun are made, then the thread ends with the line inactive."""
    line = RecordingLine(JumpingClock())
    begun = threading.Event()
    real = Profile(pulse_ms=20, gap_ms=20, pulses_per_credit=4)
    original = line.set_active

    def set_active() -> None:
        original()
        begun.set()

    line.set_active = set_active  # type: ignore[method-assign]
    with running(line, real) as (thread, posted):
        thread.pulse_credit("a")
        assert begun.wait(WAIT_S)
        assert thread.stop(finish=True)
        assert isinstance(posted.get_nowait(), CreditPulsed)
    assert len(line.pulses()) == 4
    assert not thread.alive
    assert not line.active


def test_a_hasty_stop_finishes_the_running_pulse_and_says_what_was_not_done() -> None:
    line = RecordingLine(JumpingClock())
    begun = threading.Event()
    original = line.set_active

    def set_active() -> None:
        original()
        begun.set()

    line.set_active = set_active  # type: ignore[method-assign]
    with running(line, Profile(pulse_ms=30, gap_ms=30, pulses_per_credit=20)) as (thread, posted):
        thread.pulse_credit("a")
        assert begun.wait(WAIT_S)
        thread.pulse_credit("b")
        assert thread.stop(finish=False)
        assert posted.get_nowait() == PulseFailed("a", True, "stopped before the credit's end")
        assert posted.get_nowait() == PulseFailed("b", False, "stopped before the credit's end")
    assert 1 <= len(line.pulses()) < 20
    assert not line.active


def test_one_credit_at_a_time() -> None:
    """A second one may wait its turn, a third is refused; after a stop none is taken."""
    line = RecordingLine(JumpingClock())
    with running(line, Profile(pulse_ms=100, gap_ms=5)) as (thread, posted):
        thread.pulse_credit("a")
        wait_for(lambda: line.active)
        thread.pulse_credit("b")
        with pytest.raises(CoinLineBusy):
            thread.pulse_credit("c")
        outcomes = [posted.get(timeout=WAIT_S) for _ in "ab"]
        assert [outcome.token for outcome in outcomes if isinstance(outcome, CreditPulsed)] == ["a", "b"]
        thread.stop()
        with pytest.raises(CoinLineError):
            thread.pulse_credit("d")
    assert len(line.pulses()) == 2


def test_a_thread_that_was_not_started_takes_no_credit() -> None:
    line = RecordingLine(JumpingClock())
    thread = PulseThread(line, SHORT, lambda _outcome: None)
    assert not thread.alive
    with pytest.raises(CoinLineError):
        thread.pulse_credit("a")
    assert thread.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_post_that_raises_ends_the_thread_with_the_line_inactive() -> None:
    """Nobody would learn of the outcome: the watchdog sees a dead thread instead."""
    line = RecordingLine(JumpingClock())

    def post(_outcome: PulseSignal) -> None:
        raise queue.Full

    thread = PulseThread(line, SHORT, post)
    thread.start()
    thread.pulse_credit("a")
    wait_for(lambda: not thread.alive)
    assert not line.active
    assert thread.stop()


def test_a_thread_that_hangs_in_a_pulse_stops_beating() -> None:
    """The watchdog notices it by a beat older than `max_silence_s`; an idle thread goes on beating."""
    line = RecordingLine(JumpingClock())
    release = threading.Event()
    posted: queue.Queue[PulseSignal] = queue.Queue()
    clock = line.clock

    def hanging_sleep(seconds: float) -> None:
        release.wait(WAIT_S)
        clock.sleep(seconds)

    thread = PulseThread(line, Profile(), posted.put, clock_ns=clock, sleep=hanging_sleep)
    thread.start()
    first = thread.last_beat
    wait_for(lambda: thread.last_beat > first)
    thread.pulse_credit("a")
    wait_for(lambda: thread._handed_over.empty())
    beat = thread.last_beat
    time.sleep(1.2)
    assert thread.last_beat == beat
    assert thread.max_silence_s > 0.2
    release.set()
    assert isinstance(posted.get(timeout=WAIT_S), CreditPulsed)
    assert thread.last_beat > beat
    assert thread.stop()


def test_the_thread_has_its_name() -> None:
    with running(RecordingLine(JumpingClock()), SHORT):
        assert "coin-line" in [thread.name for thread in threading.enumerate()]
