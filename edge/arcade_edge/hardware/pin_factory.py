"""Opens gpiozero's pins, and claims the one output among them without a false coin.

Nothing of gpiozero is imported before a function here is called.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from arcade_edge.errors import GpioUnavailable


def open_pin_factory(pin_factory: Any = None) -> Any:
    """Return `pin_factory`, or the one that gpiozero is told to use (`GPIOZERO_PIN_FACTORY`, else lgpio).

    gpiozero's own default would fall back in silence from lgpio to a back end that pulses less well.

    Raises:
        GpioUnavailable: It cannot be opened on this machine.
    """
    if pin_factory is not None:
        return pin_factory
    os.environ.setdefault("GPIOZERO_PIN_FACTORY", "lgpio")
    from gpiozero import Device

    with _private_lgpio_folder():
        try:
            Device.ensure_pin_factory()
        except Exception as error:
            name = os.environ["GPIOZERO_PIN_FACTORY"]
            raise GpioUnavailable(
                f"the pin factory {name!r} cannot be opened: {_why_no_pins(name, error)}"
            ) from error
    return Device.pin_factory


def _why_no_pins(name: str, error: Exception) -> str:
    """What is missing, and what to do."""
    if name != "lgpio":
        return f"{error}. On a Raspberry Pi leave GPIOZERO_PIN_FACTORY unset; elsewhere GPIOZERO_PIN_FACTORY=mock"
    if isinstance(error, ImportError):
        return (
            f"{sys.executable} has no lgpio. On Raspberry Pi OS: apt-get install python3-lgpio, then install.sh "
            "again. Plain Debian 13 has none: use a Python 3.11 or 3.12 there"
        )
    chips = sorted(Path("/dev").glob("gpiochip*"))
    if not chips:
        return "this computer has no /dev/gpiochip*, so no pins; to try without: GPIOZERO_PIN_FACTORY=mock"
    if not any(os.access(chip, os.R_OK | os.W_OK) for chip in chips):
        return f"this user may not use {', '.join(map(str, chips))}: try with sudo, or add it to the group gpio"
    return f"{error}"


def claim_output(pin: int, level: bool, pin_factory: Any) -> Any:
    """Reserve `pin` and make it an output that is `level` from its first instant.

    gpiozero makes every output LOW before it gets its value: on a line that is active low that is a short
    pulse, and some boards count it. With lgpio a pin class of our own claims the line with its level; on
    other back ends the line is pulled to the level as an input first.

    Returns:
        The gpiozero device; its `pin` takes levels, and its `close()` gives the line back.

    Raises:
        GpioUnavailable: The line is in use or is no line at all.
    """
    from gpiozero import GPIODevice
    from gpiozero.exc import PinFixedPull

    try:
        with_lgpio = _seed_lgpio_pin(pin, pin_factory)
        device = GPIODevice(pin, pin_factory=pin_factory)
    except Exception as error:
        raise GpioUnavailable(_why_not(pin, error)) from error
    try:
        if not with_lgpio:
            with suppress(PinFixedPull):  # a pull resistor on the Pi itself (GPIO2 and 3) stays as it is
                device.pin.input_with_pull("up" if level else "down")
        device.pin.output_with_state(level)
    except Exception as error:
        device.close()
        raise GpioUnavailable(_why_not(pin, error)) from error
    return device


def read_undriven(pin: int, pin_factory: Any) -> bool:
    """The level of `pin` while this computer neither drives nor pulls it. For a line that nobody has claimed.

    Raises:
        GpioUnavailable: The line is in use or is no line at all.
    """
    from gpiozero import GPIODevice
    from gpiozero.exc import PinFixedPull

    try:
        device = GPIODevice(pin, pin_factory=pin_factory)
    except Exception as error:
        raise GpioUnavailable(_why_not(pin, error)) from error
    try:
        with suppress(PinFixedPull):
            device.pin.input_with_pull("floating")
        return bool(device.pin.state)
    except Exception as error:
        raise GpioUnavailable(_why_not(pin, error)) from error
    finally:
        device.close()
        if _is_lgpio(pin_factory):
            # Else this process could not claim it as an output without a glitch any more.
            for _header, info in pin_factory.board_info.find_pin(pin):
                pin_factory.pins.pop(info, None)


def claim_input(pin: int, active_level: bool, pin_factory: Any, on_edge: Callable[[Any, Any], None]) -> Any:
    """Reserve `pin` as an input, pulled to the inactive level, so that a wire that is off reads inactive.

    Args:
        on_edge: Called with the back end's time and the new level at each edge, in the thread of the back end; one
            for all pins, so it must be quick and must not raise. Only a weak reference is kept.

    Returns:
        The gpiozero device; its `pin.state` is the raw level.

    Raises:
        GpioUnavailable: The line is in use, is no line, or has a resistor that pulls it to active.
    """
    from gpiozero import GPIODevice
    from gpiozero.exc import PinFixedPull

    device = None
    try:
        device = GPIODevice(pin, pin_factory=pin_factory)
        device.pin.input_with_pull("down" if active_level else "up")
        device.pin.edges = "both"
        device.pin.when_changed = on_edge
    except Exception as error:
        if device is not None:
            device.close()
        hint = '; use active = "low", or another pin' if isinstance(error, PinFixedPull) else ""
        raise GpioUnavailable(_why_not(pin, error) + hint) from error
    return device


def _why_not(pin: int, error: Exception) -> str:
    hint = ""
    if "busy" in str(error).lower():
        hint = "; another process holds it: stop arcade-edge (systemctl stop arcade-edge) and try again"
    return f"GPIO{pin} cannot be used: {error}{hint}"


def _is_lgpio(pin_factory: Any) -> bool:
    back_end = sys.modules.get("gpiozero.pins.lgpio")
    return back_end is not None and isinstance(pin_factory, back_end.LGPIOFactory)


def _seed_lgpio_pin(pin: int, pin_factory: Any) -> bool:
    """With lgpio, put our pin class in the place of gpiozero's for this one pin; False on other back ends."""
    if not _is_lgpio(pin_factory):
        return False
    held_pin = _held_pin_class()
    for _header, info in pin_factory.board_info.find_pin(pin):
        if not isinstance(pin_factory.pins.setdefault(info, held_pin(pin_factory, info)), held_pin):
            raise GpioUnavailable("this process has used it as an input before")
    return True


@functools.cache
def _held_pin_class() -> Any:
    """The lgpio pin of a line that must never be anything but a driven output."""
    import lgpio
    from gpiozero.exc import PinSetInput
    from gpiozero.pins.lgpio import LGPIOPin
    from gpiozero.pins.local import LocalPiPin

    class HeldPin(LGPIOPin):  # type: ignore[misc]  # gpiozero ships no types
        """Claimed as an output with its level at once; let go at that level, never turned into an input.

        What the kernel does with a line that was let go is its own affair: Raspberry Pi's keep the level.
        """

        def __init__(self, factory: Any, info: Any) -> None:
            # Past LGPIOPin's own, which claims the line as an input. Its attributes, for what is inherited:
            LocalPiPin.__init__(self, factory, info)
            self._pwm = self._bounce = self._callback = None
            self._edges = lgpio.BOTH_EDGES
            self._resting_level: bool | None = None

        def output_with_state(self, state: bool) -> None:
            lgpio.gpio_claim_output(self.factory._handle, self._number, int(state))
            self._resting_level = bool(state)

        def _get_state(self) -> bool:
            return bool(lgpio.gpio_read(self.factory._handle, self._number))

        def _set_state(self, value: bool) -> None:
            if self._resting_level is None:
                raise PinSetInput(f"{self!r} is not claimed")
            lgpio.gpio_write(self.factory._handle, self._number, int(value))

        def close(self) -> None:
            if self._resting_level is None or self.factory._handle is None:
                return
            level, self._resting_level = self._resting_level, None
            try:
                lgpio.gpio_write(self.factory._handle, self._number, int(level))
            finally:
                lgpio.gpio_free(self.factory._handle, self._number)

    return HeldPin


@contextmanager
def _private_lgpio_folder() -> Iterator[None]:
    """Contain what `import lgpio` does: it changes the current directory to `LG_WD` and makes a FIFO.

    The FIFO's name counts from 0 in each process, so two processes in one folder take each other's edges.
    """
    before = os.environ.get("LG_WD")
    parent = before if before and os.access(before, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="arcade-lgpio-", dir=parent)
    current = os.open(".", os.O_RDONLY)
    os.environ["LG_WD"] = folder
    try:
        yield
    finally:
        os.fchdir(current)
        os.close(current)
        os.environ.pop("LG_WD")
        if before is not None:
            os.environ["LG_WD"] = before
        # Once opened, the FIFO needs no name.
        shutil.rmtree(folder, ignore_errors=True)
