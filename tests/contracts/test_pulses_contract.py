"""What the agent is promised of its coin line, on the real thread and line, and on the simulated Pi's.

The simulated Pi has no pin that moves by itself: it plans a credit's edges and lets them happen later. Both
meet in the port `Pulses` and in what the board sees.
"""

from __future__ import annotations

import itertools
import queue
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import pytest

from arcade_edge.agent.signals import CreditPulsed, PulseFailed, PulseHeld, PulseSignal
from arcade_edge.bootstrap import Line
from arcade_edge.domain.pulses import Profile
from arcade_edge.errors import CoinLineError
from arcade_edge.hardware.coin_line import CoinLine
from arcade_shared.ids import uuid7
from simulation.quiet import quiet_pi, quiet_world
from support.coin_back_ends import PIN, MockBackEnd
from support.coin_lines import MS, WAIT_S, running

CREDIT = uuid7(1_790_000_000_000)


class Setting(Protocol):
    """A coin line with its thread, and an onlooker at the wire."""

    def pulse_credit(self, token: object) -> None: ...

    def outcome(self) -> PulseSignal:
        """The next one."""
        ...

    def hold(self) -> None:
        """Keep the next pulse from ending before it is released, as far as time goes by itself here."""
        ...

    def release(self) -> None: ...

    def wait_until_active(self) -> None: ...

    def is_active(self) -> bool: ...

    def pulses(self) -> list[tuple[int, int]]:
        """Begin and end of every pulse so far, in ns."""
        ...

    def break_once(self, *, after_the_edge: bool) -> None:
        """The next credit's first pulse fails, before the line is active or just after."""
        ...

    def allow(self, pulses: int | None) -> None:
        """So many pulses may begin from now on, and no more; None: as many as may be."""
        ...


class SeenLine:
    """The real line, with what was surely active between two calls."""

    def __init__(self, line: CoinLine) -> None:
        self.line = line
        self.edges_ns: list[int] = []
        self.fails: bool | None = None
        self.may_end = threading.Event()
        self.may_end.set()

    def set_active(self) -> None:
        fails, self.fails = self.fails, None
        if fails is False:
            raise CoinLineError("the line does not obey")
        self.line.set_active()
        self.edges_ns.append(time.monotonic_ns())
        self.may_end.wait(WAIT_S)
        if fails:
            raise CoinLineError("the line does not answer")

    def set_inactive(self) -> None:
        if self.line.is_active():
            self.edges_ns.append(time.monotonic_ns())
        self.line.set_inactive()

    def is_active(self) -> bool:
        return self.line.is_active()


class Real:
    """Thread and line of the agent, in real time, on gpiozero's mock pins."""

    def __init__(self, profile: Profile, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        back_end = MockBackEnd(monkeypatch)
        stack.callback(back_end.close)
        line = CoinLine(PIN, "high", pin_factory=back_end.factory())
        stack.callback(line.close)
        self._back_end, self._line = back_end, SeenLine(line)
        self._allowed: int | None = None
        thread, self._posted = stack.enter_context(running(self._line, profile, may_begin=self._may_begin))
        self.pulse_credit = Line(thread, self._posted.put).pulse_credit

    def _may_begin(self) -> bool:
        if self._allowed is None:
            return True
        self._allowed -= 1
        return self._allowed >= 0

    def allow(self, pulses: int | None) -> None:
        self._allowed = pulses

    def outcome(self) -> PulseSignal:
        return self._posted.get(timeout=WAIT_S)

    def hold(self) -> None:
        self._line.may_end.clear()

    def release(self) -> None:
        self._line.may_end.set()

    def wait_until_active(self) -> None:
        until = time.monotonic() + WAIT_S
        while not self.is_active():
            if time.monotonic() > until:
                raise TimeoutError("the line never becomes active")
            time.sleep(0.001)

    def is_active(self) -> bool:
        return self._back_end.level()

    def pulses(self) -> list[tuple[int, int]]:
        edges_ns = self._line.edges_ns
        return list(zip(edges_ns[::2], edges_ns[1::2], strict=False))

    def break_once(self, *, after_the_edge: bool) -> None:
        self._line.fails = after_the_edge


class Simulated:
    """The simulated Pi, whose outcomes come here in the agent's place."""

    def __init__(self, profile: Profile) -> None:
        self._world = quiet_world()
        self._pi = quiet_pi(self._world, profile)
        self._posted: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._pi.post = self._posted.put  # type: ignore[method-assign,assignment]  # in its agent's place

    def pulse_credit(self, token: object) -> None:
        self._pi.pulse_credit(token)

    def _until(self, met: Callable[[], bool]) -> None:
        scheduler = self._world.scheduler
        for _ in range(WAIT_S * 1_000):
            if met():
                return
            scheduler.run_until(scheduler.now_ms + 1)
        raise TimeoutError("it never comes")

    def outcome(self) -> PulseSignal:
        while True:
            self._until(lambda: not self._posted.empty())
            event: PulseSignal = self._posted.get()
            if isinstance(event, CreditPulsed | PulseHeld | PulseFailed):
                self._world.faults.rates.clear()
                return event

    def hold(self) -> None:
        pass

    def release(self) -> None:
        pass

    def wait_until_active(self) -> None:
        self._until(self.is_active)

    def is_active(self) -> bool:
        return self._pi._pulse is not None

    def pulses(self) -> list[tuple[int, int]]:
        seen = [pulse for pulse in self._world.evidence.pulses if pulse.line == self._pi.line]
        return [(pulse.on_ms * MS, pulse.off_ms * MS) for pulse in seen if pulse.off_ms is not None]

    def break_once(self, *, after_the_edge: bool) -> None:
        self._world.faults.rates["coin line fails"] = 1.0
        wanted = 2 if after_the_edge else 1
        seed = next(seed for seed in itertools.count() if random.Random(seed).randint(1, 2) == wanted)
        self._pi.rng = random.Random(seed)  # the failure that is drawn next

    def allow(self, pulses: int | None) -> None:
        shut = len(self._world.evidence.pulses) + pulses if pulses is not None else None

        def is_open() -> bool:
            return shut is None or len(self._world.evidence.pulses) < shut

        self._pi.gate.is_open = is_open  # type: ignore[method-assign]


@dataclass
class Settings:
    """Makes a setting of the kind under test."""

    kind: str
    monkeypatch: pytest.MonkeyPatch
    stack: ExitStack

    def __call__(self, profile: Profile) -> Setting:
        if self.kind == "simulated":
            return Simulated(profile)
        return Real(profile, self.monkeypatch, self.stack)


@pytest.fixture(params=["real", "simulated"])
def setting_with(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with ExitStack() as stack:
        yield Settings(request.param, monkeypatch, stack)


def test_each_credit_is_exactly_its_pulses_none_short_and_none_near_the_next(setting_with: Settings) -> None:
    """Across credits too, and though each is handed over as soon as the one before is told."""
    profile = Profile(pulse_ms=7, gap_ms=11, pulses_per_credit=3)
    setting = setting_with(profile)
    for index in range(3):
        setting.pulse_credit((CREDIT, index))
        assert isinstance(setting.outcome(), CreditPulsed)
    pulses = setting.pulses()
    assert len(pulses) == 9
    assert all(end_ns - begin_ns >= 7 * MS for begin_ns, end_ns in pulses)
    assert all(begin_ns - end_ns >= 11 * MS for (_, end_ns), (begin_ns, _) in itertools.pairwise(pulses))


def test_a_credit_is_told_with_its_token_once_its_last_pulse_has_ended(setting_with: Settings) -> None:
    setting = setting_with(Profile(pulse_ms=7, gap_ms=5, pulses_per_credit=2))
    setting.pulse_credit((CREDIT, 4))
    outcome = setting.outcome()
    assert isinstance(outcome, CreditPulsed)
    assert outcome.token == (CREDIT, 4)
    assert not setting.is_active()
    assert len(setting.pulses()) == 2


def test_handing_over_waits_for_no_pulse(setting_with: Settings) -> None:
    """The loop continues while the line is busy."""
    setting = setting_with(Profile(pulse_ms=7, gap_ms=5))
    setting.hold()
    setting.pulse_credit((CREDIT, 0))
    assert setting.pulses() == []
    setting.wait_until_active()
    setting.release()
    assert isinstance(setting.outcome(), CreditPulsed)
    assert len(setting.pulses()) == 1


def test_a_second_credit_waits_its_turn_and_a_third_is_refused(setting_with: Settings) -> None:
    """One at a time. A refused credit may be handed over again, and nothing was pulsed for it."""
    setting = setting_with(Profile(pulse_ms=7, gap_ms=5))
    setting.hold()
    setting.pulse_credit((CREDIT, 0))
    setting.wait_until_active()
    setting.pulse_credit((CREDIT, 1))
    setting.pulse_credit((CREDIT, 2))
    assert setting.outcome() == PulseFailed((CREDIT, 2), started=False, error="a credit waits already")
    assert len(setting.pulses()) == 0
    setting.release()
    tokens = [setting.outcome().token for _ in range(2)]
    assert tokens == [(CREDIT, 0), (CREDIT, 1)]
    assert len(setting.pulses()) == 2
    setting.pulse_credit((CREDIT, 2))
    assert isinstance(setting.outcome(), CreditPulsed)
    pulses = setting.pulses()
    assert len(pulses) == 3
    assert all(begin_ns - end_ns >= 5 * MS for (_, end_ns), (begin_ns, _) in itertools.pairwise(pulses))


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_credit_is_handed_back_where_no_pulse_may_begin_and_goes_on_with_the_rest(
    setting_with: Settings, allowed: int
) -> None:
    """Asked right before each pulse; what has begun ends as it should, and no gap is short for it."""
    setting = setting_with(Profile(pulse_ms=7, gap_ms=5, pulses_per_credit=3))
    setting.allow(allowed)
    setting.pulse_credit((CREDIT, 0))
    assert setting.outcome() == PulseHeld((CREDIT, 0), begun=allowed > 0)
    assert not setting.is_active()
    assert len(setting.pulses()) == allowed
    setting.pulse_credit((CREDIT, 0))
    assert setting.outcome() == PulseHeld((CREDIT, 0), begun=allowed > 0)
    setting.allow(None)
    setting.pulse_credit((CREDIT, 0))
    assert setting.outcome() == CreditPulsed((CREDIT, 0))
    pulses = setting.pulses()
    assert len(pulses) == 3
    assert all(end_ns - begin_ns >= 7 * MS for begin_ns, end_ns in pulses)
    assert all(begin_ns - end_ns >= 5 * MS for (_, end_ns), (begin_ns, _) in itertools.pairwise(pulses))


def test_another_credit_than_the_one_that_was_handed_back_has_all_its_pulses(setting_with: Settings) -> None:
    setting = setting_with(Profile(pulse_ms=7, gap_ms=5, pulses_per_credit=3))
    setting.allow(2)
    setting.pulse_credit((CREDIT, 0))
    assert isinstance(setting.outcome(), PulseHeld)
    setting.allow(None)
    setting.pulse_credit((CREDIT, 1))
    assert isinstance(setting.outcome(), CreditPulsed)
    assert len(setting.pulses()) == 5


@pytest.mark.parametrize("after_the_edge", [False, True])
def test_a_line_that_fails_rests_and_tells_whether_it_was_active(
    setting_with: Settings, after_the_edge: bool
) -> None:
    """The next credit is pulsed as usual."""
    setting = setting_with(Profile(pulse_ms=7, gap_ms=5, pulses_per_credit=2))
    setting.break_once(after_the_edge=after_the_edge)
    setting.pulse_credit((CREDIT, 0))
    outcome = setting.outcome()
    assert isinstance(outcome, PulseFailed)
    assert (outcome.token, outcome.started) == ((CREDIT, 0), after_the_edge)
    assert not setting.is_active()
    assert len(setting.pulses()) == int(after_the_edge)
    setting.pulse_credit((CREDIT, 1))
    assert isinstance(setting.outcome(), CreditPulsed)
    assert len(setting.pulses()) == int(after_the_edge) + 2
