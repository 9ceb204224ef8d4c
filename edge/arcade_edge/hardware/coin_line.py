"""The coin line: the one output pin, and the one thread that may make pulses on it."""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from arcade_edge.agent.signals import CreditPulsed, PulseFailed, PulseHeld, PulseSignal
from arcade_edge.domain.pulses import Active, Profile
from arcade_edge.errors import CoinLineBusy, CoinLineError
from arcade_edge.hardware.pin_factory import claim_output, open_pin_factory

logger = logging.getLogger(__name__)

IDLE_BEAT_S = 1.0
"""How often the idle thread shows that it lives."""
REST_ATTEMPTS = 3
"""How often a line is told to be inactive before it counts as stuck; after that, once each idle beat."""
BEAT_SLACK_S = 2.0
"""What a loaded machine may add to the longest wait before the thread counts as dead."""


class CoinLine:
    """The coin line's pin, claimed inactive and without a glitch.

    Args:
        pin: GPIO number (BCM).
        active: The level at which the board sees a coin.
        pin_factory: A gpiozero pin factory; None for the one that gpiozero is told to use.

    Raises:
        GpioUnavailable: The pin cannot be had.
    """

    def __init__(self, pin: int, active: Active, *, pin_factory: Any = None) -> None:
        self.pin = pin
        self._active_level = active == "high"
        self._device = claim_output(pin, not self._active_level, open_pin_factory(pin_factory))

    def set_active(self) -> None:
        """Drive the line active; returns once the pin is driven.

        Raises:
            CoinLineError: The pin does not obey.
        """
        self._drive(self._active_level)

    def set_inactive(self) -> None:
        """Drive the line inactive; returns once the pin is driven.

        Raises:
            CoinLineError: The pin does not obey.
        """
        self._drive(not self._active_level)

    def is_active(self) -> bool:
        """Whether the pin is at the active level now.

        Raises:
            CoinLineError: The pin cannot be read.
        """
        try:
            return bool(self._device.pin.state) == self._active_level
        except Exception as error:
            raise self._disobeyed("cannot be read", error) from error

    def close(self) -> None:
        """Drive the line inactive and give it back; a second call does nothing.

        What holds the line from then on is outside: the kernel, where it keeps a released output's level (as
        on Raspberry Pi OS), and the pull resistor of the wiring guide.
        """
        if not self._device.closed:
            try:
                self.set_inactive()
            finally:
                self._device.close()

    def _drive(self, level: bool) -> None:
        try:
            self._device.pin.state = level
        except Exception as error:
            raise self._disobeyed("does not obey", error) from error

    def _disobeyed(self, how: str, error: Exception) -> CoinLineError:
        reason = "it is closed" if self._device.closed else str(error)
        return CoinLineError(f"the coin line GPIO{self.pin} {how}: {reason}")


def force_inactive(pin: int, active: Active, *, pin_factory: Any = None) -> None:
    """Drive the coin line inactive, whatever a process that died left on it, and give it back.

    Doing it again does no harm.

    Raises:
        GpioUnavailable: The line cannot be claimed, for example because the agent is running.
    """
    CoinLine(pin, active, pin_factory=pin_factory).close()


class DrivenLine(Protocol):
    """What the pulse thread needs of a line."""

    def set_active(self) -> None: ...
    def set_inactive(self) -> None: ...
    def is_active(self) -> bool: ...


class PulseThread:
    """Makes the pulses of one credit at a time, in a thread of its own named "coin-line".

    Each pulse is active for at least `pulse_ms`, and begins at least `gap_ms` after the one before has
    ended, or after this object was made, across credits too. Under load a pulse comes late, never short:
    widths and gaps count from the moment when the pin had really been driven.

    Args:
        line: Already claimed and inactive; nothing else may drive it.
        post: Takes each credit's outcome, in this thread. It may block; if it raises, the thread ends with the
            line inactive, and `alive` tells the watchdog.
        may_begin: Asked right before each pulse. If it says no, the credit is handed back (`PulseHeld`).
        clock_ns: A monotonic clock in ns.
        switch_interval_s: How long another thread may keep the interpreter; None for what holds in this process.
    """

    def __init__(
        self,
        line: DrivenLine,
        profile: Profile,
        post: Callable[[PulseSignal], None],
        *,
        may_begin: Callable[[], bool] = lambda: True,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
        switch_interval_s: float | None = None,
    ) -> None:
        self._line = line
        self._profile = profile
        self._post = post
        self._may_begin = may_begin
        self._clock_ns = clock_ns
        self._sleep = sleep
        self._handed_over: queue.SimpleQueue[tuple[object] | None] = queue.SimpleQueue()
        self._stopping = False
        self._cut_short = False
        self._held: tuple[object, int] = (None, 0)  # the credit that was handed back, and the pulses made of it
        self._stuck: str | None = None
        self._inactive_since_ns = clock_ns()
        self._last_beat_ns = clock_ns()
        # Woken this much early, then spinning: getting the interpreter back from another thread that computes
        # takes up to one switch interval (this process's, unless another is named).
        if switch_interval_s is None:
            switch_interval_s = sys.getswitchinterval()
        self._wake_early_ns = int((switch_interval_s + 0.001) * 1e9)
        self._thread = threading.Thread(target=self._run, name="coin-line", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def last_beat(self) -> float:
        """When the thread last showed that it lives, in s of the monotonic clock.

        It beats after each pulse and while idle, but not while the line cannot be driven inactive: then only
        a fresh process, and what the unit does after this one, can help.
        """
        return self._last_beat_ns / 1e9

    @property
    def max_silence_s(self) -> float:
        """The longest time between two beats of a sound thread."""
        return IDLE_BEAT_S + (self._profile.pulse_ms + self._profile.gap_ms) / 1000 + BEAT_SLACK_S

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def pulse_credit(self, token: object) -> None:
        """Hand over one credit; its outcome is posted with `token`.

        Raises:
            CoinLineBusy: The credit handed over before still waits.
            CoinLineError: The thread does not run, or has been told to stop.
        """
        if self._stopping or not self.alive:
            raise CoinLineError("the coin line's thread does not run")
        if not self._handed_over.empty():
            raise CoinLineBusy("a credit waits already")
        self._handed_over.put((token,))

    def stop(self, *, finish: bool = True, timeout_s: float | None = None) -> bool:
        """End the thread after the credits handed over, or, without `finish`, after the running pulse.

        Returns:
            Whether it has ended within `timeout_s` (default: what two credits take, and some more).
        """
        if timeout_s is None:
            timeout_s = 2 * self._profile.credit_ms / 1000 + BEAT_SLACK_S
        self._stopping = True
        self._cut_short = self._cut_short or not finish
        self._handed_over.put(None)
        if self.alive:
            self._thread.join(timeout_s)
        return not self.alive

    def _run(self) -> None:
        try:
            while True:
                if self._stuck is None:
                    self._last_beat_ns = self._clock_ns()
                else:
                    self._rest()
                try:
                    order = self._handed_over.get(timeout=IDLE_BEAT_S)
                except queue.Empty:
                    continue
                if order is None:
                    return
                self._post(self._pulse_credit(order[0]))
        finally:
            self._rest()

    def _pulse_credit(self, token: object) -> PulseSignal:
        """Make one credit's pulses. The line is inactive afterwards, whatever happens, unless it is stuck."""
        edges_ns: list[int] = []
        failure = None
        (held, before), self._held = self._held, (None, 0)
        before = before if held == token else 0
        try:
            for made in range(before, self._profile.pulses_per_credit):
                failure = self._stuck or ("stopped before the credit's end" if self._cut_short else None)
                if failure is not None:
                    break
                self._wait_until(self._inactive_since_ns + self._profile.gap_ms * 1_000_000)
                if not self._may_begin():
                    self._held = (token, made)
                    return PulseHeld(token, begun=made > 0)
                self._make_pulse(edges_ns)
        except Exception as error:  # noqa: BLE001  # whatever it is, it becomes the credit's outcome
            failure = str(error) or repr(error)
        failure = failure or self._stuck
        if failure is not None:
            return PulseFailed(token, started=before > 0 or bool(edges_ns), error=failure)
        return CreditPulsed(token)

    def _make_pulse(self, edges_ns: list[int]) -> None:
        """Make one pulse, and append to `edges_ns` when the line became active, even if it then fails."""
        try:
            self._line.set_active()
            edges_ns.append(self._clock_ns())
            self._wait_until(edges_ns[-1] + self._profile.pulse_ms * 1_000_000)
        except Exception:
            if self._may_be_active():
                edges_ns.append(self._clock_ns())
            raise
        finally:
            self._rest()

    def _wait_until(self, deadline_ns: int) -> None:
        while (left_ns := deadline_ns - self._clock_ns()) > self._wake_early_ns:
            self._sleep((left_ns - self._wake_early_ns) / 1e9)
        while self._clock_ns() < deadline_ns:
            pass

    def _rest(self) -> None:
        """Drive the line inactive; if it does not obey, it counts as stuck until it does."""
        for _ in range(REST_ATTEMPTS):
            try:
                self._line.set_inactive()
            except Exception as failure:  # noqa: BLE001  # recorded: it fails this credit and every later one
                if self._stuck is None:
                    logger.critical("the coin line cannot be driven inactive: %s", failure)
                self._stuck = f"the line cannot be driven inactive: {failure}"
            else:
                self._stuck = None
                self._inactive_since_ns = self._last_beat_ns = self._clock_ns()
                return

    def _may_be_active(self) -> bool:
        try:
            return self._line.is_active()
        except Exception:  # noqa: BLE001  # a line that cannot be read may be active: that is the answer
            return True
