"""What a technician does by hand, beside the running agent or in its place: pulse, watch, list, simulate."""

from __future__ import annotations

import logging
import queue
import re
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from arcade_edge.agent.journal import read_contents
from arcade_edge.agent.signals import (
    DetectorBack,
    DetectorFault,
    DetectorSignal,
    GameOver,
    MeterPulse,
    PulseSignal,
    ReadyChanged,
)
from arcade_edge.config import MAX_PIN, Input, SerialLine, Settings
from arcade_edge.errors import NotPossible
from arcade_shared.topics import Kind, machine_topic

logger = logging.getLogger(__name__)

Say = Callable[[str], object]

MAX_WAITING = 256
WATCH_KEEPALIVE_S = 30
WATCH_OPENS_WITHIN_S = 20.0
WATCH_RETRY_S = 1.0
_KINDS: tuple[Kind, ...] = ("coinpulse", "revoke", "clock", "ack", "status", "gameover")


def pulse_by_hand(settings: Settings, credits_: int, *, say: Say, pin_factory: Any = None) -> None:
    """Pulse the coin line; the journal is taken meanwhile, so never beside a running agent.

    Where a coin meter is wired, it must register every credit. Then a machine that had gone out of sale because
    it did not is sold again.

    Raises:
        JournalInUse: An agent runs.
        JournalFault: The journal cannot be written.
        GpioUnavailable: The pin cannot be had.
        NotPossible: So many credits are not pulsed at once, or the line does not obey, or the meter misses some.
    """
    import os

    from arcade_edge.agent.journal import clear_short_trains, lock_journal
    from arcade_edge.agent.signals import PulseFailed
    from arcade_edge.hardware.coin_line import CoinLine, PulseThread

    most = settings.max_credits
    if credits_ > most:
        raise NotPossible(f"{credits_} credits: at most {most} at once with these settings")
    outcomes: queue.SimpleQueue[PulseSignal] = queue.SimpleQueue()
    with ExitStack() as ending:
        ending.callback(os.close, lock_journal(settings.journal_path))
        line = CoinLine(settings.coin.pin, settings.coin.active, pin_factory=pin_factory)
        ending.callback(line.close)
        pulses = PulseThread(line, settings.coin.profile, outcomes.put)
        ending.callback(pulses.stop, finish=False)
        meter = _MeterByHand(settings, pin_factory, ending) if settings.meter is not None else None
        pulses.start()
        for number in range(1, credits_ + 1):
            pulses.pulse_credit(number)
            outcome = outcomes.get()
            if isinstance(outcome, PulseFailed):
                raise NotPossible(f"credit {number} of {credits_}: {outcome.error}")
            say(f"credit {number} of {credits_} pulsed on GPIO{settings.coin.pin}")
        if meter is None:
            return
        registered = meter.settled()
        if registered < credits_:
            raise NotPossible(
                f"the coin meter registered {registered} of {credits_}: look at the coin line, the meter's wire "
                "and pulse_ms (docs/WIRING.md)"
            )
        say(f"the coin meter registered {registered}")
        if clear_short_trains(settings.journal_path):
            say("the machine had gone out of sale because of its meter; it is sold again once the agent runs")


class _MeterByHand:
    """What the coin meter says while somebody pulses by hand."""

    def __init__(self, settings: Settings, pin_factory: Any, ending: ExitStack) -> None:
        from arcade_edge.bootstrap import boottime_ms, start_inputs
        from arcade_edge.domain.meter import Reading

        self._boottime_ms = boottime_ms
        self._reading = Reading(settings.metering)
        self._signals: queue.SimpleQueue[DetectorSignal] = queue.SimpleQueue()
        alone = replace(settings, game_over_gpio=None, game_over_serial=None, ready=None)
        start_inputs(alone, self._signals.put, pin_factory, ending)

    def settled(self) -> int:
        """How many credits it has registered, once it is still."""
        from arcade_edge.agent.signals import MeterPulse

        reading = self._reading.train_over(self._boottime_ms())
        while True:
            left_ms = (reading.settled_at_ms or 0) - self._boottime_ms()
            try:
                signal = self._signals.get(timeout=max(0, left_ms) / 1000)
            except queue.Empty:
                return reading.registered
            if isinstance(signal, MeterPulse):
                reading = reading.moved(self._boottime_ms())


def watch_inputs(settings: Settings, *, say: Say, pin_factory: Any = None) -> None:
    """Print what the wired inputs say, until Ctrl-C.

    Raises:
        JournalInUse: An agent runs.
        GpioUnavailable: A pin cannot be had.
        NotPossible: No input is wired.
    """
    import os

    from arcade_edge.agent.journal import lock_journal
    from arcade_edge.bootstrap import start_inputs

    wired = [
        f"{name} (GPIO{one.pin}, active {one.active})"
        for name, one in (
            ("game over", settings.game_over_gpio),
            ("ready", settings.ready),
            ("meter", settings.meter),
        )
        if one is not None
    ]
    if settings.game_over_serial is not None:
        wired.append(f"game over ({settings.game_over_serial.port})")
    if not wired:
        raise NotPossible("no input is wired: see [game_over.gpio], [game_over.serial], [ready] and [meter]")
    found: queue.Queue[DetectorSignal] = queue.Queue(MAX_WAITING)
    with ExitStack() as ending:
        ending.callback(os.close, lock_journal(settings.journal_path))
        start_inputs(settings, found.put, pin_factory, ending)
        say(f"watching {', '.join(wired)}; Ctrl-C ends it")
        while True:
            say(f"{time.strftime('%H:%M:%S')} {describe_input(found.get())}")


def describe_input(signal: DetectorSignal) -> str:
    """One line about what an input has said, for people."""
    match signal:
        case GameOver(source, _, text):
            return f"game over ({source}{f': {text}' if text else ''})"
        case ReadyChanged(ready):
            return (
                "ready: active, the machine takes coins"
                if ready
                else "ready: inactive, the machine takes no coins"
            )
        case MeterPulse():
            return "meter: one coin"
        case DetectorFault(_, detector, error):
            return f"{detector} cannot be read: {error}"
        case DetectorBack(_, detector):
            return f"{detector} can be read again"


def watch_topics(settings: Settings, *, say: Say) -> None:
    """Print what happens on the machine's topics, until Ctrl-C; the running agent is not disturbed.

    A client of its own, without a session. What the broker's access list hides is named, and the rest shown. A
    connection that is lost is made again.

    Raises:
        NotPossible: The broker cannot be reached, or hides everything.
    """
    from arcade_shared.mqtt import Connection, Received

    lines: queue.Queue[str] = queue.Queue(MAX_WAITING)

    def put(line: str) -> None:
        if not lines.full():
            lines.put_nowait(line)

    def opened() -> None:
        put(f"watching {settings.machine_id}; Ctrl-C ends it")
        if connection.refused_topics:
            hidden = ", ".join(topic.rpartition("/")[2] for topic in connection.refused_topics)
            put(f"the broker's access list hides from this user: {hidden}")

    def received(message: Received) -> None:
        put(describe(settings.keys, message.topic, message.payload, message.retained))
        connection.acknowledge(message.number, message.qos)

    was_open, said = False, ""
    while True:
        connection = Connection(
            settings.broker,
            "",
            topics=[machine_topic(settings.machine_id, kind) for kind in _KINDS],
            keepalive_s=WATCH_KEEPALIVE_S,
            greet_within_s=WATCH_OPENS_WITHIN_S,
            on_open=opened,
            on_message=received,
        )
        threading.Thread(target=connection.run, name="watch", daemon=True).start()
        try:
            was_open = connection.wait_until_settled(WATCH_OPENS_WITHIN_S) or was_open
            if not was_open:
                raise NotPossible(f"no connection to the broker: {connection.end or 'it does not answer'}")
            while not connection.is_over:
                with suppress(queue.Empty):
                    say(f"{time.strftime('%H:%M:%S')} {lines.get(timeout=WATCH_RETRY_S)}")
        finally:
            connection.close()
        if connection.end != said:
            said = connection.end
            say(f"{time.strftime('%H:%M:%S')} {said}; trying again")
        time.sleep(WATCH_RETRY_S)


def describe(keys: tuple[bytes, ...], topic: str, payload: bytes, retained: bool) -> str:
    """One line about a message, for people; never raises."""
    from arcade_shared.errors import BadMessage, BadSignature
    from arcade_shared.messages import parse_object
    from arcade_shared.signing import verify

    kind = topic.rpartition("/")[2]
    try:
        fields = parse_object(payload)
    except BadMessage as error:
        return f"{kind}: {error}"
    try:
        verify(keys, topic, fields)
        signed = "signed"
    except BadSignature:
        signed = "BAD SIGNATURE" if fields.get("signature") else "unsigned"
    left_out = ("signature", "machineId", "nonce", "bootId")
    told = ", ".join(f"{name} {value}" for name, value in fields.items() if name not in left_out)
    return f"{kind} ({signed}{', retained' if retained else ''}): {told}"


def list_journal(path: Path, limit: int, *, say: Say) -> None:
    """Print what the journal holds; the running agent is not disturbed.

    Raises:
        JournalFault: There is none, or it cannot be read.
    """
    contents = read_contents(path, limit)
    say(f"installation  {contents.installation}  (computer {contents.serial})")
    say(f"not confirmed {len(contents.untold)} of the final acks")
    for name, number in contents.counters.items():
        say(f"counted       {name}: {number}")
    for credit in contents.credits_:
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(credit.made_ms / 1000))
        told = " (ack not confirmed)" if credit.credit_id in contents.untold else ""
        more = f", {credit.uncertain} uncertain" if credit.uncertain else ""
        more += f", registered {credit.registered}" if credit.registered is not None else ""
        more += f", {credit.reason}" if credit.reason else ""
        say(f"{made}Z {credit.credit_id} {credit.state:8} {credit.delivered}/{credit.credits}{more}{told}")


def simulate(
    settings: Settings,
    *,
    edge_log: Path | None,
    start_after_ms: int,
    play_ms: int,
    min_pulse_ms: float,
    min_gap_ms: float,
    full_at: int = 0,
    meter_cut_after: int | None = None,
    serial_text: str | None = None,
    serial: str | None = None,
) -> None:
    """Run the real agent on mock pins that lead to a virtual board, until SIGTERM or SIGINT.

    If no game over is wired, a free pin is wired for it, so that the cabinet can be seen to play.

    Raises:
        NotPossible: The serial line's pattern is not found in `serial_text`, nor in itself as plain text; or
            `edge_log` cannot be written.
        GpioUnavailable: As in `run_agent`.
        JournalFault: As in `run_agent`.
        PartDied: As in `run_agent`.
    """
    from arcade_edge.bootstrap import run_agent
    from arcade_edge.simulator.board import Decision, Ruling
    from arcade_edge.simulator.cabinet import SimulatedCabinet, Wiring

    settings = _with_game_over(settings)
    line = settings.game_over_serial
    gpio, ready, meter = settings.game_over_gpio, settings.ready, settings.meter
    wiring = Wiring(
        settings.coin.pin,
        settings.coin.active,
        gpio.pin if gpio else None,
        gpio.active if gpio else "low",
        ready.pin if ready else None,
        ready.active if ready else "low",
        meter.pin if meter else None,
        meter.active if meter else "low",
        _matching_text(line, serial_text),
    )
    ruling = Ruling(
        min_pulse_ms, min_gap_ms, settings.coin.profile.pulses_per_credit, start_after_ms, play_ms, full_at
    )

    def listen(decision: Decision) -> None:
        logger.info("the board: %s", decision)

    try:
        cabinet = SimulatedCabinet(
            wiring, ruling, edge_log=edge_log, meter_cut_after=meter_cut_after, listen=listen
        )
    except OSError as error:
        raise NotPossible(f"--edge-log: {edge_log} cannot be written: {error.strerror}") from error
    if line is not None and cabinet.serial_port is not None:
        settings = replace(settings, game_over_serial=replace(line, port=cabinet.serial_port))
    cabinet.start()
    try:
        run_agent(settings, pin_factory=cabinet.factory(), serial=serial)
    finally:
        cabinet.stop()


def _with_game_over(settings: Settings) -> Settings:
    if settings.game_over_gpio is not None or settings.game_over_serial is not None:
        return settings
    taken = {settings.coin.pin, *(one.pin for one in (settings.ready, settings.meter) if one is not None)}
    # From GPIO4 up: GPIO2 and 3 have resistors of their own on every Pi, and 0 and 1 belong to add-on boards.
    free = next(pin for pin in range(4, MAX_PIN) if pin not in taken)
    return replace(settings, game_over_gpio=Input(free))


def _matching_text(line: SerialLine | None, given: str | None) -> str | None:
    """A line that the pattern is found in: the one given, or the pattern itself where it is plain text."""
    if line is None:
        return None
    for text in (given, line.pattern, re.sub(r"\\(.)", r"\1", line.pattern).strip("^$")):
        if text is not None and re.search(line.pattern, text):
            return text
    raise NotPossible(f"give --serial-text a line in which the pattern {line.pattern!r} is found")
