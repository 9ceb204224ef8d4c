"""The coin line's contract, the same on every back end: never active unless told to, and never left active."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from arcade_edge.agent.signals import CreditPulsed
from arcade_edge.domain.pulses import Active, Profile
from arcade_edge.errors import CoinLineError, GpioUnavailable
from arcade_edge.hardware.coin_line import CoinLine, force_inactive
from support.coin_back_ends import BACK_ENDS, PIN, BackEnd, LgpioDoubleBackEnd
from support.coin_lines import WAIT_S, running


@pytest.fixture(params=["low", "high"])
def active(request: pytest.FixtureRequest) -> Active:
    return "low" if request.param == "low" else "high"


@pytest.fixture(params=BACK_ENDS)
def back_end(request: pytest.FixtureRequest, active: Active, monkeypatch: pytest.MonkeyPatch) -> Iterator[BackEnd]:
    made = BACK_ENDS[request.param](monkeypatch, active)
    yield made
    made.close()


@pytest.fixture
def line(back_end: BackEnd, active: Active) -> Iterator[CoinLine]:
    claimed = CoinLine(PIN, active, pin_factory=back_end.factory())
    back_end.driven()
    yield claimed
    claimed.close()


def is_active(level: bool, active: Active) -> bool:
    return level == (active == "high")


def test_claiming_the_line_never_shows_an_active_level(back_end: BackEnd, active: Active) -> None:
    """Not for a microsecond: some boards count it."""
    line = CoinLine(PIN, active, pin_factory=back_end.factory())
    assert not any(is_active(level, active) for level in back_end.driven())
    assert not is_active(back_end.level(), active)
    assert not line.is_active()
    line.close()


def test_the_line_does_what_it_is_told(back_end: BackEnd, active: Active, line: CoinLine) -> None:
    """The level is on the wire when the call returns."""
    for _ in range(3):
        line.set_active()
        assert is_active(back_end.level(), active)
        assert line.is_active()
        line.set_inactive()
        assert not is_active(back_end.level(), active)
        assert not line.is_active()
    assert [is_active(level, active) for level in back_end.driven()] == [True, False] * 3


def test_closing_an_active_line_rests_it_first(back_end: BackEnd, active: Active, line: CoinLine) -> None:
    line.set_active()
    line.close()
    assert [is_active(level, active) for level in back_end.driven()][:2] == [True, False]
    assert not is_active(back_end.level(), active)


def test_closing_twice_does_no_harm(back_end: BackEnd, active: Active, line: CoinLine) -> None:
    line.close()
    line.close()
    assert not is_active(back_end.level(), active)


def test_a_closed_line_refuses_and_stays_as_it_is(back_end: BackEnd, active: Active, line: CoinLine) -> None:
    line.close()
    back_end.driven()
    for call in (line.set_active, line.set_inactive, line.is_active):
        with pytest.raises(CoinLineError, match="it is closed"):
            call()
    assert back_end.driven() == []
    assert not is_active(back_end.level(), active)


def test_a_line_given_back_can_be_claimed_again_without_a_glitch(
    back_end: BackEnd, active: Active, line: CoinLine
) -> None:
    line.set_active()
    line.close()
    back_end.driven()
    again = CoinLine(PIN, active, pin_factory=back_end.factory())
    assert not any(is_active(level, active) for level in back_end.driven())
    again.close()


def test_a_line_has_one_owner(back_end: BackEnd, active: Active, line: CoinLine) -> None:
    """A second claim is refused, and the first owner goes on undisturbed."""
    line.set_active()
    with pytest.raises(GpioUnavailable, match=f"GPIO{PIN} cannot be used"):
        CoinLine(PIN, active, pin_factory=back_end.factory())
    assert line.is_active()
    assert is_active(back_end.level(), active)


def test_a_line_that_another_process_has_is_refused_and_left_alone(
    active: Active, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel knows owners; on a real one `tests/gpio/test_real_agent.py` tries two processes."""
    back_end = LgpioDoubleBackEnd(monkeypatch)
    try:
        back_end.leave_driven(active == "high")
        back_end.library.taken.add(PIN)
        with pytest.raises(GpioUnavailable, match="another process holds it: stop arcade-edge"):
            CoinLine(PIN, active, pin_factory=back_end.factory())
        with pytest.raises(GpioUnavailable, match="another process holds it: stop arcade-edge"):
            force_inactive(PIN, active, pin_factory=back_end.factory())
        assert back_end.driven() == []
        assert is_active(back_end.level(), active)
        back_end.library.taken.clear()
        force_inactive(PIN, active, pin_factory=back_end.factory())
        assert not is_active(back_end.level(), active)
    finally:
        back_end.close()


def test_a_pin_that_is_none_is_refused(back_end: BackEnd, active: Active) -> None:
    with pytest.raises(GpioUnavailable, match="GPIO99 cannot be used"):
        CoinLine(99, active, pin_factory=back_end.factory())


def test_releasing_rests_a_line_that_a_killed_process_left_active(back_end: BackEnd, active: Active) -> None:
    """The kernel kept the level; doing it again changes nothing."""
    back_end.leave_driven(active == "high")
    assert is_active(back_end.level(), active)
    for _ in range(2):
        force_inactive(PIN, active, pin_factory=back_end.factory())
        assert not any(is_active(level, active) for level in back_end.driven())
        assert not is_active(back_end.level(), active)


def test_a_line_left_active_rests_as_soon_as_it_is_claimed(back_end: BackEnd, active: Active) -> None:
    """A restart after a SIGKILL in a pulse ends that pulse."""
    back_end.leave_driven(active == "high")
    line = CoinLine(PIN, active, pin_factory=back_end.factory())
    assert not is_active(back_end.level(), active)
    line.close()


def test_each_credit_is_exactly_its_pulses(back_end: BackEnd, active: Active, line: CoinLine) -> None:
    with running(line, Profile(pulse_ms=5, gap_ms=5, pulses_per_credit=3)) as (thread, posted):
        for token in range(2):
            thread.pulse_credit(token)
            outcome: Any = posted.get(timeout=WAIT_S)
            assert isinstance(outcome, CreditPulsed)
    levels = [is_active(level, active) for level in back_end.driven()]
    assert levels[:12] == [True, False] * 6
    assert not any(levels[12:])
