"""The command `arcade-edge`. Each command imports what it needs when it runs, so `--help` answers at once.

Exit codes: 0 done, 1 it could not be done (one line says why), 2 wrong arguments or settings.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from arcade_edge import config as edge_settings
from arcade_edge.errors import BadSettings, EdgeError, InvariantBroken
from arcade_shared.command_line import Version, any_number, whole_number

logger = logging.getLogger(__name__)

OK, FAILED, MISUSED = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.DEBUG if parsed.verbose else parsed.log_level,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    run: Callable[[argparse.Namespace], int] = parsed.run
    try:
        return run(parsed)
    except BadSettings as error:
        print(error, file=sys.stderr)
        return MISUSED
    except KeyboardInterrupt:
        return FAILED
    except BrokenPipeError:  # as `| head` does; Python would meet it again when it flushes at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except InvariantBroken:
        raise  # of a defect the trace is wanted
    except EdgeError as error:
        print(f"arcade-edge: {error}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="arcade-edge", description="The agent in the arcade cabinet.")
    parser.add_argument("--version", action=Version, help="print the version and exit")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    _take_config(parser, edge_settings.DEFAULT_PATH)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
        _take_config(added, argparse.SUPPRESS)
        added.set_defaults(run=run, log_level=logging.INFO)
        return added

    command("run", _run, "run the agent until it is told to stop")
    doctor = command(
        "doctor", _doctor, "try settings, pins, journal, broker and signing key, and give a verdict on each"
    )
    doctor.set_defaults(log_level=logging.CRITICAL)  # what the link would log, the verdicts say
    doctor.add_argument(
        "--wait",
        type=whole_number(1),
        default=20,
        metavar="S",
        help="how long to wait for the cloud's answer (20)",
    )
    pulse = command("pulse", _pulse, "pulse the coin line by hand, while no agent runs")
    pulse.add_argument("credits", type=whole_number(1), metavar="N", nargs="?", default=1, help="credits (1)")
    release = command("release", _release, "force the coin line inactive, whatever a process left on it")
    release.add_argument(
        "--pin", type=_pin, metavar="N", help="the GPIO number, instead of the pin in the settings; needs --active"
    )
    release.add_argument("--active", choices=("low", "high"), help="instead of the level in the settings")
    watch = command("watch", _watch, "print what happens on the machine's topics, until Ctrl-C")
    watch.add_argument(
        "--inputs", action="store_true", help="print what the wired inputs say instead, while no agent runs"
    )
    journal = command("journal", _journal, "list credits, acks not yet confirmed, and what was refused")
    journal.add_argument("--limit", type=whole_number(1), default=20, metavar="N", help="credits to list (20)")
    simulate = command("simulate", _simulate, "run the agent on a simulated cabinet")
    simulate.add_argument("--journal", type=Path, metavar="FILE", help="instead of the one in the settings")
    simulate.add_argument("--edge-log", type=Path, metavar="FILE", help="write every edge of the coin line to it")
    simulate.add_argument(
        "--start-after-ms", type=whole_number(1), default=1_000, metavar="MS", help="from the coin to START"
    )
    simulate.add_argument("--play-s", type=any_number(0), default=10.0, metavar="S", help="length of a game")
    simulate.add_argument(
        "--min-pulse-ms",
        type=any_number(0),
        default=50.0,
        metavar="MS",
        help="to the board, a shorter pulse is noise",
    )
    simulate.add_argument(
        "--min-gap-ms",
        type=any_number(0),
        default=50.0,
        metavar="MS",
        help="to the board, pulses that are closer than this are one",
    )
    simulate.add_argument(
        "--full-at",
        type=whole_number(1),
        default=0,
        metavar="N",
        help="with so many credits the board is not ready, and swallows coins (never)",
    )
    simulate.add_argument(
        "--meter-cut-after", type=whole_number(0), metavar="N", help="the meter says nothing after so many coins"
    )
    simulate.add_argument("--serial-text", metavar="TEXT", help="the board's line at game over")
    simulate.add_argument(
        "--serial-number", default="simulated", metavar="TEXT", help="of the simulated computer (%(default)s)"
    )
    return parser


def _take_config(parser: argparse.ArgumentParser, default: object) -> None:
    """Take --config, before the command or after it."""
    text = f"the settings (default: {edge_settings.DEFAULT_PATH})"
    parser.add_argument("--config", type=Path, default=default, metavar="FILE", help=text)


def _pin(text: str) -> int:
    digits = re.fullmatch(r"(?:GPIO|BCM)?([0-9]{1,2})", text)
    if digits is None or int(digits[1]) > edge_settings.MAX_PIN:
        raise argparse.ArgumentTypeError(f"a GPIO number from 0 to {edge_settings.MAX_PIN} is needed, such as 17")
    return int(digits[1])


def _settings(arguments: argparse.Namespace, journal: Path | None = None) -> edge_settings.Settings:
    """The settings; from then on, under sudo, this is the agent's own user (see `account`)."""
    settings = edge_settings.load(arguments.config)
    if journal is not None:
        settings = replace(settings, journal_path=journal)
    from arcade_edge.tools.account import become_owner_of

    become_owner_of(settings.journal_path.parent)
    return settings


def _run(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    for remark in edge_settings.remarks(settings):
        logger.warning("%s", remark)
    from arcade_edge.bootstrap import run_agent

    run_agent(settings)
    return OK


def _doctor(arguments: argparse.Namespace) -> int:
    from arcade_edge.tools.doctor import run_doctor

    return OK if run_doctor(arguments.config, say=print, answer_within_s=arguments.wait) else FAILED


def _simulate(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments, arguments.journal)
    from arcade_edge.tools.technician import simulate

    simulate(
        settings,
        edge_log=arguments.edge_log,
        start_after_ms=arguments.start_after_ms,
        play_ms=int(arguments.play_s * 1000),
        min_pulse_ms=arguments.min_pulse_ms,
        min_gap_ms=arguments.min_gap_ms,
        full_at=arguments.full_at,
        meter_cut_after=arguments.meter_cut_after,
        serial_text=arguments.serial_text,
        serial=arguments.serial_number,
    )
    return OK


def _pulse(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    from arcade_edge.tools.technician import pulse_by_hand

    # A terminal that is closed, or a kill, ends the train as Ctrl-C does: the line is not left active.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    pulse_by_hand(settings, arguments.credits, say=print)
    return OK


def _release(arguments: argparse.Namespace) -> int:
    pin, active = arguments.pin, arguments.active
    if pin is not None and active is None:
        print("arcade-edge: --pin needs --active: a wrong guess would drive the line active", file=sys.stderr)
        return MISUSED
    if pin is None:
        pin, found = edge_settings.load_coin_line(arguments.config)
        active = active or found
    from arcade_edge.hardware.coin_line import force_inactive

    force_inactive(pin, active)
    print(f"the coin line GPIO{pin} is inactive")
    return OK


def _watch(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    from arcade_edge.tools.technician import watch_inputs, watch_topics

    with suppress(KeyboardInterrupt):  # the way to end it
        (watch_inputs if arguments.inputs else watch_topics)(settings, say=print)
    return OK


def _journal(arguments: argparse.Namespace) -> int:
    settings = _settings(arguments)
    from arcade_edge.tools.technician import list_journal

    list_journal(settings.journal_path, arguments.limit, say=print)
    return OK


if __name__ == "__main__":
    sys.exit(main())
