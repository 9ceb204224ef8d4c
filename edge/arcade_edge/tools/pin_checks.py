"""The doctor's look at wires: the pin factory, the coin line, the inputs, the serial port. No agent may run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arcade_edge.config import Coin, Input, SerialLine, Settings
from arcade_edge.errors import CoinLineError, GpioUnavailable
from arcade_edge.hardware.coin_line import CoinLine
from arcade_edge.hardware.pin_factory import claim_input, open_pin_factory, read_undriven
from arcade_edge.hardware.serial_port import SerialPort
from arcade_edge.tools.verdicts import Verdict, bad, doubtful, good

BY_ID = Path("/dev/serial/by-id")


def examine_wires(settings: Settings, pin_factory: Any = None) -> Iterator[Verdict]:
    """A verdict on every wire that the settings name. The coin line is inactive afterwards."""
    try:
        factory = open_pin_factory(pin_factory)
    except GpioUnavailable as error:
        yield bad("pins", str(error))
    else:
        yield from _pins(settings, factory)
    if settings.game_over_serial is not None:
        yield _serial(settings.game_over_serial)
    if settings.game_over_gpio is None and settings.game_over_serial is None:
        yield good("game over", "no input is wired for it, so nobody is told when a game ends")


def _pins(settings: Settings, factory: Any) -> Iterator[Verdict]:
    name = type(factory).__name__
    mock = name.startswith("Mock")
    if mock:
        yield doubtful("pins", f"{name}: these pins exist in memory only; unset GPIOZERO_PIN_FACTORY on a Pi")
    else:
        yield good("pins", f"{name} on a {factory.board_info.description}")
    yield _coin_line(settings.coin, factory, real=not mock)
    for what, wired, if_active, if_not in (
        ("game over", settings.game_over_gpio, doubtful, good),
        ("ready", settings.ready, good, doubtful),
        ("meter", settings.meter, doubtful, good),
    ):
        if wired is None:
            continue
        try:
            active = _is_active(wired, factory)
        except GpioUnavailable as error:
            yield bad(what, str(error))
            continue
        yield (if_active if active else if_not)(what, f"GPIO{wired.pin} is {_MEANING[what][active]}")


_MEANING = {
    "game over": ("inactive, as between two games", "active now; if no game has just ended, invert `active`"),
    "ready": ("inactive: the machine takes no coins now, so nobody can pay", "active: the machine takes coins"),
    "meter": ("inactive, as between two coins", "active now; if no coin is being counted, invert `active`"),
}


def _coin_line(coin: Coin, factory: Any, *, real: bool) -> Verdict:
    """Claim the line, as the agent does; before that see where it rests when nobody drives it."""
    active_level = coin.active == "high"
    try:
        held_outside = not real or read_undriven(coin.pin, factory) != active_level
        line = CoinLine(coin.pin, coin.active, pin_factory=factory)
    except GpioUnavailable as error:
        return bad("coin line", str(error))
    try:
        driven_outside = line.is_active()
    except CoinLineError as error:
        return bad("coin line", str(error))
    finally:
        line.close()
    where = f"GPIO{coin.pin}, active {coin.active}"
    if driven_outside:
        return bad(
            "coin line",
            f"{where}: driven inactive, yet it reads active: a short circuit, or another output on this wire",
        )
    if not held_outside:
        return bad(
            "coin line",
            f"{where}: active while nobody drives it, so the board sees a coin whenever the Pi starts: fit a pull "
            f"resistor to {'ground' if active_level else '3.3 V'} (docs/WIRING.md), or invert `active`",
        )
    profile = coin.profile
    return good(
        "coin line",
        f"{where}, at rest; {profile.pulses_per_credit} x {profile.pulse_ms}/{profile.gap_ms} ms for a credit",
    )


def _is_active(wired: Input, factory: Any) -> bool:
    device = claim_input(wired.pin, wired.active == "high", factory, _nobody_listens)
    try:
        return bool(device.pin.state) == (wired.active == "high")
    finally:
        device.pin.when_changed = None
        device.close()


def _nobody_listens(_ticks: Any, _level: Any) -> None:
    """For an input whose level alone is wanted."""


def _serial(line: SerialLine) -> Verdict:
    if not os.path.exists(line.port):
        return bad("serial", f"{line.port} is not there; {_other_ports()}")
    if not os.access(line.port, os.R_OK | os.W_OK):
        text = "let the agent's user read and write it (on Raspberry Pi OS: the group dialout)"
        return bad("serial", f"{line.port} may not be opened: {text}")
    try:
        SerialPort(line.port, line.baud, line.parity, line.bytesize).open().close()
    except (OSError, ValueError) as error:
        return bad("serial", f"{line.port} cannot be opened at {line.baud} baud: {error}")
    frame = f"{line.bytesize} bits, {line.parity} parity"
    return good("serial", f"{line.port} can be opened at {line.baud} baud, {frame}")


def _other_ports() -> str:
    found = sorted(map(str, BY_ID.glob("*"))) if BY_ID.is_dir() else []
    return (
        f"ports that are there: {', '.join(found)}"
        if found
        else f"there is no port in {BY_ID}: plug the adapter in"
    )
