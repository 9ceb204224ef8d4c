"""Opening the pins: nothing at import, no traces left, and refusals that say what to do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpiozero.pins.mock import MockFactory

from arcade_edge.errors import GpioUnavailable
from arcade_edge.hardware import pin_factory
from arcade_edge.hardware.coin_line import CoinLine
from arcade_edge.hardware.pin_factory import claim_input, open_pin_factory
from support.coin_back_ends import PIN, LgpioDoubleBackEnd

HARDWARE_MODULES = (
    "agent.health",
    "agent.signals",
    "domain.game_over",
    "domain.pulses",
    "hardware.coin_line",
    "hardware.inputs",
    "hardware.pin_factory",
    "simulator.board",
    "simulator.cabinet",
)


def run_python(code: str, **environment: str) -> str:
    """Run `code` in a fresh interpreter with nothing of gpiozero's settings but those given."""
    env = {key: value for key, value in os.environ.items() if key not in ("GPIOZERO_PIN_FACTORY", "LG_WD")}
    env |= environment
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=env | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_importing_the_hardware_modules_loads_no_hardware_library() -> None:
    """The pure parts and the command line must work where there are no pins."""
    code = (
        f"import sys, {', '.join(f'arcade_edge.{module}' for module in HARDWARE_MODULES)}\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('gpiozero', 'lgpio', '_lgpio', 'serial')])"
    )
    assert run_python(code).strip() == "[]"


def test_the_factory_given_is_the_one_used() -> None:
    factory = MockFactory()
    assert open_pin_factory(factory) is factory


def test_gpiozero_decides_which_factory_is_used() -> None:
    code = (
        "from arcade_edge.hardware.pin_factory import open_pin_factory; print(type(open_pin_factory()).__name__)"
    )
    assert run_python(code, GPIOZERO_PIN_FACTORY="mock").strip() == "MockFactory"


@pytest.mark.parametrize("name", ["nonsense", None])
def test_a_machine_without_pins_is_told_what_to_do(name: str | None) -> None:
    """No silent fall back to another back end: lgpio is asked for where nothing is said."""
    code = (
        "from arcade_edge.hardware.pin_factory import *\n"
        "try: print('opened', open_pin_factory())\n"
        "except GpioUnavailable as refused: print(refused)"
    )
    said = run_python(code, **({} if name is None else {"GPIOZERO_PIN_FACTORY": name}))
    if said.startswith("opened"):
        pytest.skip("this machine has pins")
    assert repr(name or "lgpio") in said
    assert "GPIOZERO_PIN_FACTORY=mock" in said


def test_an_interpreter_without_lgpio_is_told_which_it_is_and_where_there_is_one() -> None:
    """Plain Debian 13 has no package of it, and its Python is too new for the wheel."""
    code = (
        "import sys; sys.modules['lgpio'] = None\n"
        "from arcade_edge.hardware.pin_factory import *\n"
        "try: print('opened', open_pin_factory())\n"
        "except GpioUnavailable as refused: print(refused)"
    )
    said = run_python(code)
    assert f"{sys.executable} has no lgpio" in said
    assert "apt-get install python3-lgpio, then install.sh again" in said
    assert "Plain Debian 13 has none: use a Python 3.11 or 3.12 there" in said
    assert "GPIOZERO_PIN_FACTORY" not in said, "that would hide what is missing"


@pytest.mark.parametrize(
    ("name", "error", "chips", "usable", "why"),
    [
        ("lgpio", OSError("no"), [], False, "this computer has no /dev/gpiochip"),
        ("lgpio", OSError("no"), ["gpiochip0", "gpiochip4"], False, "may not use /dev/gpiochip0, /dev/gpiochip4"),
        ("lgpio", OSError("in use"), ["gpiochip0"], True, "in use"),
        ("pigpio", ImportError("none"), ["gpiochip0"], True, "none. On a Raspberry Pi leave GPIOZERO_PIN_FACTORY"),
    ],
)
def test_what_is_missing_is_told_by_what_is_there(
    name: str, error: Exception, chips: list[str], usable: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Path("/dev") / chip for chip in chips]
    monkeypatch.setattr(Path, "glob", lambda *_: iter(found))
    monkeypatch.setattr(os, "access", lambda *_: usable)
    assert why in pin_factory._why_no_pins(name, error)


@pytest.mark.skipif(importlib.util.find_spec("lgpio") is None, reason="lgpio is not installed")
def test_lgpio_leaves_no_file_and_no_changed_directory_behind(tmp_path: Path) -> None:
    """Alone, importing it moves the process to another directory and makes a FIFO there."""
    code = (
        "import os, sys\n"
        "from arcade_edge.hardware.pin_factory import *\n"
        "try: open_pin_factory()\n"
        "except GpioUnavailable: pass\n"
        "print('lgpio' in sys.modules, os.getcwd(), os.listdir(), os.listdir(os.environ['LG_WD']))"
    )
    folder, here = tmp_path / "lg", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    code = f"import os; os.chdir({str(here)!r})\n{code}"
    assert run_python(code, LG_WD=str(folder)).strip() == f"True {here} [] []"


def test_with_lgpio_the_coin_line_is_never_an_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before it is claimed and not after: an input floats, and a floating line may look like a coin.

    When it is let go another process may claim it, such as the one that releases the line.
    """
    back_end = LgpioDoubleBackEnd(monkeypatch)
    line = CoinLine(PIN, "low", pin_factory=back_end.factory())
    line.set_active()
    line.close()
    assert PIN not in back_end.library.claimed
    back_end.close()
    assert back_end.library.ever_inputs == set()


def test_a_pin_that_was_an_input_is_no_coin_line_in_the_same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """gpiozero would hand out the old pin, which is claimed with a glitch."""
    back_end = LgpioDoubleBackEnd(monkeypatch)
    back_end.factory().pin(PIN)
    with pytest.raises(GpioUnavailable, match="used it as an input before"):
        CoinLine(PIN, "low", pin_factory=back_end.factory())
    back_end.close()


def test_an_input_is_pulled_to_its_inactive_level() -> None:
    """A wire that is off reads inactive: no game over, and a machine that is not ready."""
    factory = MockFactory()
    assert claim_input(5, False, factory, print).pin.pull == "up"
    assert claim_input(6, True, factory, print).pin.pull == "down"


def test_a_pin_with_a_resistor_that_pulls_the_wrong_way_is_refused() -> None:
    """GPIO2 and 3 are pulled up on the Pi itself."""
    factory = MockFactory()
    with pytest.raises(GpioUnavailable, match='use active = "low", or another pin'):
        claim_input(2, True, factory, print)
    claim_input(2, False, factory, print).close()


def test_an_input_has_one_owner() -> None:
    factory = MockFactory()
    first = claim_input(5, False, factory, print)
    with pytest.raises(GpioUnavailable, match="GPIO5 cannot be used"):
        claim_input(5, False, factory, print)
    assert not first.closed
