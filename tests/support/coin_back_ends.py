"""What a coin line may be driven through, each with eyes on the wire: for the coin line's contract.

- ``mock``: gpiozero's mock pins.
- ``simulator``: the simulated cabinet's pins.
- ``lgpio_double``: gpiozero's real lgpio back end and our pin class, on a double of the lgpio library that keeps
  lines as a kernel does.
- ``kernel``: the real thing, where there is a gpio-sim chip with this pin (set up by the caller, as root).
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from arcade_edge.hardware import pin_factory as pin_factory_module
from arcade_edge.simulator.cabinet import SimulatedCabinet, Wiring

PIN = 17
SIM_LINE = Path(f"/sys/devices/platform/gpio-sim.0/gpiochip0/sim_gpio{PIN}")
TRACING = Path("/sys/kernel/tracing")
PERSIST = Path("/sys/module/gpio_sim/parameters/persist")


class BackEnd(Protocol):
    """One way to drive a line, and what an onlooker sees of it."""

    keeps_level: bool
    """Whether a line that was let go keeps its level."""

    def factory(self) -> Any:
        """The gpiozero pin factory to use."""
        ...

    def driven(self) -> list[bool]:
        """Every level that the line was driven to as an output since the last call, in order."""
        ...

    def level(self) -> bool:
        """The level on the wire now."""
        ...

    def leave_driven(self, level: bool) -> None:
        """Leave the line as a process leaves it that was killed while it drove ``level``."""
        ...

    def close(self) -> None: ...


class MockBackEnd:
    """gpiozero's mock pins: an output is LOW before it gets its value, as on real back ends."""

    keeps_level = True

    def __init__(self, _monkeypatch: pytest.MonkeyPatch) -> None:
        from gpiozero.pins.mock import MockFactory, MockPin

        seen: list[bool] = []

        class SeenPin(MockPin):  # type: ignore[misc]  # gpiozero ships no types
            def _set_function(self, value: str) -> None:
                super()._set_function(value)
                if value == "output":
                    seen.append(self._state)

            def _change_state(self, value: bool) -> bool:
                changed: bool = super()._change_state(value)
                if changed and self._function == "output":
                    seen.append(value)
                return changed

        self._seen = seen
        self._factory = MockFactory(pin_class=SeenPin)
        self._pin = self._factory.pin(PIN)

    def factory(self) -> Any:
        return self._factory

    def driven(self) -> list[bool]:
        seen = self._seen[:]
        self._seen.clear()
        return seen

    def level(self) -> bool:
        return bool(self._pin.state)

    def leave_driven(self, level: bool) -> None:
        self._pin.function = "output"
        self._pin.state = level
        self.driven()

    def close(self) -> None:
        self._factory.close()


class SimulatorBackEnd:
    """The simulated cabinet, whose board holds an undriven line inactive."""

    keeps_level = False

    def __init__(self, _monkeypatch: pytest.MonkeyPatch, active: str) -> None:
        self._cabinet = SimulatedCabinet(Wiring(coin_pin=PIN, coin_active="high" if active == "high" else "low"))
        self._pin = self._cabinet.factory().pin(PIN)
        self._seen: list[bool] = []
        observe = self._pin._observe

        def see(level: bool, at_ns: int) -> None:
            self._seen.append(level)
            observe(level, at_ns)

        self._pin._observe = see

    def factory(self) -> Any:
        return self._cabinet.factory()

    def driven(self) -> list[bool]:
        seen = self._seen[:]
        self._seen.clear()
        return seen

    def level(self) -> bool:
        return bool(self._pin.state)

    def leave_driven(self, level: bool) -> None:
        self._pin.function = "output"
        self._pin.state = level
        self.driven()

    def close(self) -> None:
        self._cabinet.stop()


class LgpioDouble(types.ModuleType):
    """What gpiozero uses of the lgpio library, on one chip whose lines keep their level when they are let go."""

    class error(Exception):  # noqa: N801  # the library's name
        pass

    SET_PULL_NONE, SET_PULL_UP, SET_PULL_DOWN = 0, 32, 64
    RISING_EDGE, FALLING_EDGE, BOTH_EDGES = 1, 2, 3

    def __init__(self) -> None:
        super().__init__("lgpio")
        self.levels: dict[int, bool] = {}
        self.claimed: dict[int, str] = {}
        self.seen: list[bool] = []
        self.ever_inputs: set[int] = set()
        self.taken: set[int] = set()  # another process has them

    def gpiochip_open(self, _chip: int) -> int:
        return 0

    def gpiochip_close(self, _handle: int) -> int:
        self.claimed.clear()
        return 0

    def gpio_claim_input(self, _handle: int, gpio: int, _flags: int = 0) -> int:
        self._check_free(gpio)
        self.claimed[gpio] = "input"
        self.ever_inputs.add(gpio)
        return 0

    def gpio_claim_output(self, _handle: int, gpio: int, level: int = 0, _flags: int = 0) -> int:
        self._check_free(gpio)
        self.claimed[gpio] = "output"
        return self.gpio_write(0, gpio, level)

    def gpio_free(self, _handle: int, gpio: int) -> int:
        self._check(gpio)
        del self.claimed[gpio]
        return 0

    def gpio_write(self, _handle: int, gpio: int, level: int) -> int:
        self._check(gpio)
        self.levels[gpio] = bool(level)
        self.seen.append(bool(level))
        return 0

    def gpio_read(self, _handle: int, gpio: int) -> int:
        self._check(gpio)
        return int(self.levels.get(gpio, False))

    def gpio_get_mode(self, _handle: int, gpio: int) -> int:
        return 2 if self.claimed.get(gpio) == "output" else 0

    def _check_free(self, gpio: int) -> None:
        if gpio in self.taken:
            raise self.error("GPIO busy")

    def _check(self, gpio: int) -> None:
        if gpio not in self.claimed:
            raise self.error("GPIO not allocated")


class LgpioDoubleBackEnd:
    """gpiozero's lgpio back end and our pin class, as they are, on the double of the library."""

    keeps_level = True

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.library = LgpioDouble()
        monkeypatch.setitem(sys.modules, "lgpio", self.library)
        monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
        pin_factory_module._held_pin_class.cache_clear()
        from gpiozero.pins.lgpio import LGPIOFactory
        from gpiozero.pins.local import LocalPiFactory

        monkeypatch.setattr(LocalPiFactory, "pins", {})
        LocalPiFactory._reservations.clear()
        monkeypatch.setattr(LGPIOFactory, "_get_revision", lambda _self: 0xB03115)
        self._factory = LGPIOFactory()

    def factory(self) -> Any:
        return self._factory

    def driven(self) -> list[bool]:
        seen = self.library.seen[:]
        self.library.seen.clear()
        return seen

    def level(self) -> bool:
        return self.library.levels.get(PIN, False)

    def leave_driven(self, level: bool) -> None:
        self.library.levels[PIN] = level

    def close(self) -> None:
        self._factory.close()
        # The module was made on the double: the next one who needs it must get it on the real library.
        sys.modules.pop("gpiozero.pins.lgpio", None)
        pin_factory_module._held_pin_class.cache_clear()


class KernelBackEnd:
    """A real kernel's GPIO chip, watched from the other side of gpio-sim and by the kernel's own trace."""

    keeps_level = True

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "lgpio")
        if PERSIST.exists():
            PERSIST.write_text("Y")
        (TRACING / "events/gpio/enable").write_text("1")
        self.driven()

    def factory(self) -> Any:
        return pin_factory_module.open_pin_factory()

    def driven(self) -> list[bool]:
        trace = TRACING / "trace"
        levels = [level == "1" for level in re.findall(r" gpio_value: \d+ set ([01])", trace.read_text())]
        trace.write_text("")
        return levels

    def level(self) -> bool:
        return (SIM_LINE / "value").read_text().strip() == "1"

    def leave_driven(self, level: bool) -> None:
        code = (
            "import time, lgpio; handle = lgpio.gpiochip_open(0); "
            f"lgpio.gpio_claim_output(handle, {PIN}, {int(level)}); print(flush=True); time.sleep(60)"
        )
        # lgpio makes a FIFO in its working directory.
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=tempfile.gettempdir())
        with child:
            if child.stdout is None:
                raise RuntimeError("no pipe")
            child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        self.driven()

    def close(self) -> None:
        from gpiozero import Device

        if Device.pin_factory is not None:
            Device.pin_factory.close()
            Device.pin_factory = None


BACK_ENDS: dict[str, Callable[[pytest.MonkeyPatch, str], BackEnd]] = {
    "mock": lambda monkeypatch, _active: MockBackEnd(monkeypatch),
    "simulator": SimulatorBackEnd,
    "lgpio_double": lambda monkeypatch, _active: LgpioDoubleBackEnd(monkeypatch),
}
if SIM_LINE.exists():
    BACK_ENDS["kernel"] = lambda monkeypatch, _active: KernelBackEnd(monkeypatch)
