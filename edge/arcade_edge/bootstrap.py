"""Puts the agent together and runs its loop: the one place that knows every part. Nothing is decided here.

Threads: the loop (the caller's, the main one), "coin-line", "link", and "inputs" and "serial" where such are
wired. The loop is the only one that touches the journal; the others only put events on the queue.
"""

from __future__ import annotations

import importlib.metadata
import logging
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from arcade_edge.agent.gate import Gate
from arcade_edge.agent.health import Beat, Notifier, Watchdog, watchdog_interval_s
from arcade_edge.agent.journal import SqliteJournal, open_journal
from arcade_edge.agent.loop import Agent, AgentConfig, Input
from arcade_edge.agent.reports import Will
from arcade_edge.agent.signals import DetectorSignal, PulseFailed
from arcade_edge.config import Settings
from arcade_edge.errors import CoinLineError, JournalFault, JournalInUse, PartDied
from arcade_edge.hardware.coin_line import CoinLine, PulseThread, force_inactive
from arcade_edge.hardware.inputs import GpioInput, GpioInputs, SerialInput
from arcade_edge.hardware.pin_factory import open_pin_factory
from arcade_edge.hardware.serial_port import SerialPort
from arcade_edge.mqtt.link import MqttLink, Post
from arcade_edge.ports import Arrived, StopAsked
from arcade_shared.client_ids import ClientId
from arcade_shared.topics import Kind, machine_topic

logger = logging.getLogger(__name__)

# The broker keeps back what we have not acknowledged (link.RECEIVE_MAXIMUM), so more can only be a flood of
# QoS 0; inputs are debounced to some ten changes a second each.
MESSAGES_WAITING = 256
SIGNALS_WAITING = 1024
ROOM_EVERY_S = 0.05
# The longest sleep of the loop: it notices within that time that a thread has died.
LONGEST_SLEEP_S = 5.0
# Python's own 5 ms let a computing thread hold up an edge of the coin line by as much.
SWITCH_INTERVAL_S = 0.0001
# The loop has more to say once a credit is handed over, and would keep the first edge waiting with it.
HAND_OVER_S = 0.0005

# What the cloud sends to a machine.
LISTENS_TO: tuple[Kind, ...] = ("coinpulse", "revoke", "clock")

_SERIAL_NUMBERS = (
    Path("/proc/device-tree/serial-number"),
    Path("/sys/firmware/devicetree/base/serial-number"),
    Path("/etc/machine-id"),
)


class EventQueue:
    """What has happened and is not yet looked at, in order. Bounded, and safe to fill from any callback.

    The outcome of the one running credit, a confirmation of one of few publishes, a signal: those are bounded
    where they come from, and never turned away.
    """

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[Input] = queue.SimpleQueue()

    def put(self, event: Input) -> None:
        """Add an event that is bounded where it comes from."""
        self._events.put(event)

    def offer(self, event: Input) -> bool:
        """Add what the link has to tell; False if it is a message and too many events wait already."""
        if isinstance(event, Arrived) and self._events.qsize() >= MESSAGES_WAITING:
            return False
        self._events.put(event)
        return True

    def put_signal(self, event: DetectorSignal) -> None:
        """Add what an input has said; for its own thread, which waits here for room.

        Edges that are lost meanwhile do no harm, for the levels are read again; the last word about the ready
        line must not be lost.
        """
        while self._events.qsize() >= SIGNALS_WAITING:
            time.sleep(ROOM_EVERY_S)
        self._events.put(event)

    def get(self, timeout_s: float) -> Input | None:
        """The oldest event; None if there was none in time."""
        try:
            return self._events.get(timeout=timeout_s)
        except queue.Empty:
            return None


class Part(Protocol):
    """A thread that the watchdog watches."""

    @property
    def alive(self) -> bool: ...
    @property
    def last_beat(self) -> float: ...
    @property
    def max_silence_s(self) -> float: ...


class Living(Protocol):
    """A thread that only has to run."""

    @property
    def alive(self) -> bool: ...


class Line:
    """The pulse thread as the loop sees it: a credit that cannot even be handed over has failed, no more."""

    def __init__(self, thread: PulseThread, put: Callable[[PulseFailed], object]) -> None:
        self._thread = thread
        self._put = put

    def pulse_credit(self, token: object) -> None:
        """Begin to pulse one credit, and leave the interpreter to its thread for a moment."""
        try:
            self._thread.pulse_credit(token)
            time.sleep(HAND_OVER_S)
        except CoinLineError as error:
            self._put(PulseFailed(token, started=False, error=str(error)))


def boottime_ms() -> int:
    """Milliseconds since the computer started, suspended time included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


def wall_ms() -> int:
    """Epoch milliseconds, as the computer believes."""
    return time.time_ns() // 1_000_000


def serial_number() -> str:
    """What tells this computer from every other: the Pi's serial number, else the system's id.

    Raises:
        JournalFault: There is neither. A journal that belongs to any computer protects from nothing.
    """
    for path in _SERIAL_NUMBERS:
        try:
            text = path.read_bytes().rstrip(b"\0\n").decode(errors="replace").strip()
        except OSError:
            continue
        if text:
            return text
    names = ", ".join(map(str, _SERIAL_NUMBERS))
    raise JournalFault(f"this computer has no serial number ({names}): run systemd-machine-id-setup")


def forgetful_file_system(path: Path, mounts: str | None = None) -> str | None:
    """The kind of file system that `path` is on, if it does not survive a power cut as it was; else None.

    An overlay, Raspberry Pi OS's read-only mode, goes back to what the card once held.

    Args:
        mounts: The text of /proc/self/mounts.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(errors="replace")
        except OSError:
            return None
    found, kind = Path("/"), ""
    for line in mounts.splitlines():
        _, folder, of_kind = (*line.split(" "), "", "", "")[:3]
        if folder and path.is_relative_to(folder) and len(folder) >= len(str(found)):
            found, kind = Path(folder), of_kind
    return kind if kind in ("overlay", "tmpfs", "ramfs") else None


def run_agent(settings: Settings, *, pin_factory: Any = None, serial: str | None = None) -> None:
    """Run the agent until SIGTERM or SIGINT, and end in order: the running credit finished, the line inactive.

    Raises:
        GpioUnavailable: A pin that is wired cannot be had.
        JournalFault: The journal cannot be opened.
        PartDied: A thread has ended that never should.
    """
    events = EventQueue()
    notifier = Notifier.from_environment()
    with _stop_signals(events), ExitStack() as ending:
        ending.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        journal = _journal(settings, serial or serial_number(), pin_factory)
        ending.callback(journal.close)
        gate = Gate(boottime_ms, has_ready=settings.ready is not None)
        pulses = _coin_line(settings, events, gate, pin_factory, ending)
        agent, link = _agent(settings, events, journal, Line(pulses, events.put), gate)
        ending.callback(link.stop)
        pulses.start()

        def post(signal: DetectorSignal) -> None:
            gate.take(signal)
            events.put_signal(signal)

        inputs = start_inputs(settings, post, pin_factory, ending)
        link.start()
        logger.info("machine %s, installation %s", settings.machine_id, journal.installation)
        if (kind := forgetful_file_system(settings.journal_path.absolute())) is not None:
            logger.warning(
                "the journal is on a file system that a power cut empties or sets back (%s): what was pulsed "
                "could be forgotten; put it on the card itself",
                kind,
            )
        notifier.ready()
        run_loop(agent, events, notifier, {"coin-line": pulses, "link": link}, inputs)
        notifier.stopping()


def run_loop(
    agent: Agent,
    events: EventQueue,
    notifier: Notifier,
    parts: Mapping[str, Part],
    inputs: Mapping[str, Living],
) -> None:
    """Feed the agent until it has finished.

    Raises:
        PartDied: One of `parts` or `inputs` does not run.
    """

    def beats() -> dict[str, Beat]:
        return {name: Beat(part.last_beat, part.max_silence_s) for name, part in parts.items()}

    watchdog = Watchdog(notifier, beats, watchdog_interval_s())
    longest_s = min(LONGEST_SLEEP_S, (watchdog.interval_s or LONGEST_SLEEP_S) / 2)
    silent: tuple[str, ...] = ()
    while not agent.finished:
        due_s = (agent.next_due_ms() - boottime_ms()) / 1000
        event = events.get(min(max(due_s, 0.0), longest_s))
        if event is None:
            agent.tick()
        else:
            agent.handle(event)
        if (now_silent := watchdog.tick()) != silent:
            silent = now_silent
            logger.error("no sign of life from: %s", ", ".join(silent) or "none (all are back)")
        for name, part in (*parts.items(), *inputs.items()):
            if not part.alive:
                raise PartDied(f"the thread {name!r} has died")


def _journal(settings: Settings, serial: str, pin_factory: Any) -> SqliteJournal:
    """The journal; without one the line is made safe before the fault goes on its way."""
    try:
        return open_journal(settings.journal_path, serial)
    except JournalInUse:
        raise
    except JournalFault:
        force_inactive(settings.coin.pin, settings.coin.active, pin_factory=pin_factory)
        raise


def _coin_line(
    settings: Settings, events: EventQueue, gate: Gate, pin_factory: Any, ending: ExitStack
) -> PulseThread:
    line = CoinLine(settings.coin.pin, settings.coin.active, pin_factory=open_pin_factory(pin_factory))
    ending.callback(line.close)
    pulses = PulseThread(line, settings.coin.profile, events.put, may_begin=gate.is_open)
    ending.callback(pulses.stop)
    return pulses


def _agent(
    settings: Settings, events: EventQueue, journal: SqliteJournal, line: Line, gate: Gate
) -> tuple[Agent, MqttLink]:
    config = AgentConfig(
        settings.machine_id,
        settings.keys,
        settings.max_credits,
        settings.train,
        allow_unsigned=settings.allow_unsigned,
        has_ready=settings.ready is not None,
        meter=None if settings.meter is None else settings.metering,
        version=f"arcade-edge {importlib.metadata.version('arcade-edge')}",
        gap_ms=settings.coin.profile.gap_ms,
    )
    link = new_link(settings, journal.installation, lambda connection: agent.will(connection), events.offer)
    agent = Agent(config, journal, line, link, gate, boottime_ms=boottime_ms, wall_ms=wall_ms)
    return agent, link


def new_link(settings: Settings, installation: str, will: Callable[[int], Will], post: Post) -> MqttLink:
    """The link of this installation, not yet started: who it is to the broker, and what it listens to.

    Machine id and installation are in its client id, cut, for people. They are public, so it ends in what only the
    owner of the machine's key can make.
    """
    label = f"arcade-{installation[:12]}-{settings.machine_id}"
    return MqttLink(
        settings.broker,
        ClientId(settings.keys[0], label, f"{settings.machine_id}\n{installation}"),
        [machine_topic(settings.machine_id, kind) for kind in LISTENS_TO],
        will,
        post,
    )


def start_inputs(
    settings: Settings, post: Callable[[DetectorSignal], None], pin_factory: Any, ending: ExitStack
) -> dict[str, Living]:
    """Watch every input that is wired; the threads that do, by name. `ending` stops them.

    Raises:
        GpioUnavailable: A pin cannot be had.
    """
    threads: dict[str, Living] = {}
    specs = []
    if (one := settings.game_over_gpio) is not None:
        specs.append(GpioInput("game_over", one.pin, one.active, one.debounce_ms, one.hold_ms))
    if (one := settings.ready) is not None:
        specs.append(GpioInput("ready", one.pin, one.active, one.debounce_ms))
    if (one := settings.meter) is not None:
        specs.append(GpioInput("meter", one.pin, one.active, one.debounce_ms))
    if specs:
        inputs = GpioInputs(specs, post, pin_factory=pin_factory)
        ending.callback(inputs.stop)
        inputs.start()
        threads["inputs"] = inputs
    if settings.game_over_serial is not None:
        line = settings.game_over_serial
        port = SerialPort(line.port, line.baud, line.parity, line.bytesize)
        serial = SerialInput(port, line.pattern, post, terminator=line.terminator)
        ending.callback(serial.stop)
        serial.start()
        threads["serial"] = serial
    return threads


@contextmanager
def _stop_signals(events: EventQueue) -> Iterator[None]:
    """SIGTERM, SIGINT and a terminal that is closed ask for an orderly stop; the handlers only enqueue."""

    def ask(_number: int, _frame: object) -> None:
        events.put(StopAsked())

    stops = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in stops}
    if before[signal.SIGHUP] is signal.SIG_IGN:  # as nohup wants it
        del before[signal.SIGHUP]
    for number in before:
        signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
