"""The loop's mind: one event at a time in; commits, pulses and messages out. Nothing here waits or threads.

`handle(event)` takes what has happened, `tick()` what time has brought, `next_due_ms()` says when to tick next.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from arcade_edge.agent.delivery import Conditions, Delivery
from arcade_edge.agent.gate import Gate, ReadyLine
from arcade_edge.agent.inbox import Addressee, BenchPulse, ClockAnswer, Ignored, read_message
from arcade_edge.agent.reports import Hindrance, Identity, Reports, Standing, Will
from arcade_edge.agent.signals import (
    CreditPulsed,
    DetectorBack,
    DetectorFault,
    GameOver,
    MeterPulse,
    PulseFailed,
    PulseHeld,
    ReadyChanged,
    Signal,
)
from arcade_edge.domain.credits import MAX_WAITING, MEMORY_MS, Command, Revocation
from arcade_edge.domain.meter import Meter
from arcade_edge.domain.train import TrainRules
from arcade_edge.errors import JournalFault
from arcade_edge.ports import (
    Arrived,
    BootClock,
    Confirmed,
    Journal,
    Link,
    LinkDown,
    LinkUp,
    Pulses,
    StopAsked,
    WallClock,
)
from arcade_shared.cabinet import NOT_REGISTERED

logger = logging.getLogger(__name__)

# What can wait: counters, and letting go of confirmed acks. A crash before it only repeats an ack.
TIDY_AFTER_MS = 1_000
PRUNE_EVERY_MS = 10 * 60_000
PRUNE_LIMIT = 200
LOG_REFUSALS_EVERY_MS = 60_000
# The orderly stop waits for the broker's word on the last acks, and then no longer: the outbox has them.
LEAVING_TAKES_MS = 3_000

Input: TypeAlias = Arrived | LinkUp | LinkDown | Confirmed | StopAsked | Signal


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """What the loop needs to know of the settings. `has_ready`: such an input is wired; `meter`: if one is.

    `gap_ms`: what the coin line rests between two pulses.
    """

    machine_id: str
    keys: tuple[bytes, ...]
    max_credits: int
    train: TrainRules
    allow_unsigned: bool = False
    has_ready: bool = False
    meter: Meter | None = None
    version: str = "arcade-edge"
    gap_ms: int = 0


class Agent:
    """One machine's agent, driven by one thread.

    At its making what the journal holds open from before is closed; nothing is resumed. Every method may raise
    JournalCorrupt, after which only a restart helps.
    """

    def __init__(
        self,
        config: AgentConfig,
        journal: Journal,
        pulses: Pulses,
        link: Link,
        gate: Gate,
        *,
        boottime_ms: BootClock,
        wall_ms: WallClock,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._journal = journal
        self._link = link
        self._boottime_ms = boottime_ms
        self._ready_line = ReadyLine(wired=config.has_ready)
        self._finished = False
        self._leaving_until_ms: int | None = None
        self._uncounted: Counter[str] = Counter()
        self._unlogged: Counter[str] = Counter()
        self._log_boot_ms = self._prune_boot_ms = boottime_ms()
        self._tidy_boot_ms: int | None = None
        self._addressee = Addressee(config.machine_id, journal.installation, config.keys, config.allow_unsigned)
        identity = Identity(
            config.machine_id,
            journal.installation,
            config.keys[0],
            random_bytes(16).hex(),
            config.version,
            config.max_credits,
        )
        self._reports = Reports(identity, link, journal, boottime_ms, wall_ms, random_bytes)
        self._conditions = Conditions(
            config.max_credits,
            config.train,
            config.meter,
            machine_ready=self._ready_line.ready,
            gap_ms=config.gap_ms,
        )
        self._delivery = Delivery(journal, pulses, gate, self._reports, self._conditions, boottime_ms, self._count)

    @property
    def finished(self) -> bool:
        """Whether the orderly stop is complete: the line rests, and what could be told has been told."""
        return self._finished

    @property
    def standing(self) -> Standing:
        """Whether a credit sold now would be pulsed at once."""
        reason = self._in_the_way()
        return Standing(not reason, reason)

    def will(self, connection: int) -> Will:
        """The last will for a connection that is about to be made. The link's thread may call it."""
        return self._reports.will(connection)

    def handle(self, event: Input) -> None:
        """Take in what has happened, and do what it makes due."""
        match event:
            case Arrived():
                self._on_message(event)
            case CreditPulsed(token):
                self._delivery.pulsed(token)
            case PulseHeld(token, begun):
                self._delivery.held(token, begun)
            case PulseFailed(token, started, error):
                self._delivery.failed(token, started, error)
            case Confirmed(_, ok, reason):
                self._reports.broker_answered(event)
                if not ok:
                    self._count(f"publish refused by the broker: {reason}")
            case LinkUp():
                self._reports.link_up(event)
                self._delivery.link_up()
            case LinkDown():
                self._reports.link_down(event)
            case GameOver(source):
                logger.info("game over (%s)", source)
                self._reports.game_over(source)
            case ReadyChanged():
                self._ready_line.take(event)
            case MeterPulse():
                self._delivery.metered()
            case DetectorFault(_, detector, error):
                logger.warning("%s cannot be read: %s", detector, error)
                self._ready_line.take(event)
            case DetectorBack(_, detector):
                logger.info("%s can be read again", detector)
                self._ready_line.take(event)
            case StopAsked():
                self._conditions.stopping = True
        self._do_what_is_due(idle=False)

    def tick(self) -> None:
        """Do what is due; cheap where nothing is. No event waits to be handled."""
        self._do_what_is_due(idle=True)

    def _do_what_is_due(self, *, idle: bool) -> None:
        boot_ms = self._boottime_ms()
        self._conditions.machine_ready = self._ready_line.ready
        if self._delivery.tick(boot_ms, idle=idle):
            self._link.reconnect("the journal can be written again")
        if self._delivery.line_free and self._delivery.journal_fault is None:
            self._tidy(boot_ms)
        if self._conditions.stopping and self._delivery.line_free:
            self._leave(boot_ms)
        else:
            self._reports.say_status(self.standing)
        self._reports.send_due()
        if self._unlogged and boot_ms >= self._log_boot_ms:
            self._log_refusals(boot_ms)

    def next_due_ms(self) -> int:
        """The moment (boot clock) at which `tick` has something to do without a new event."""
        if self._leaving_until_ms is not None:
            return self._leaving_until_ms
        boot_ms = self._boottime_ms()
        dues = [
            self._reports.next_due_ms(self.standing),
            self._delivery.next_due_ms(),
            self._log_boot_ms if self._unlogged else None,
        ]
        if self._delivery.line_free and self._delivery.journal_fault is None:
            dues += [self._tidy_boot_ms, self._prune_boot_ms]
        return min((due for due in dues if due is not None), default=boot_ms + PRUNE_EVERY_MS)

    def _on_message(self, message: Arrived) -> None:
        request = read_message(message.topic, message.payload, message.retained, self._addressee)
        if isinstance(request, Command | Revocation):
            self._delivery.request(request, lambda: self._link.acknowledge(message.receipt))
            return
        # A bench's pulse has no id: at most once means to acknowledge it first, and to pulse no repetition, for
        # an acknowledgement may have been lost on its way.
        self._link.acknowledge(message.receipt)
        match request:
            case ClockAnswer(nonce, cloud_ms):
                if not self._reports.clock_answered(nonce, cloud_ms):
                    self._count("clock answer to no nonce of ours")
            case BenchPulse() if message.repeated:
                self._count("unsigned, and perhaps pulsed before")
            case BenchPulse(credits_):
                if not self._delivery.bench(credits_):
                    self._count("unsigned, while not ready or too many")
            case Ignored(why, detail):
                self._count(why)
                if detail:
                    logger.debug("%s: %s", message.topic, detail)

    def _in_the_way(self) -> Hindrance:
        if self._conditions.stopping:
            return "stopping"
        if self._delivery.journal_fault is not None:
            return "journal"
        if self._delivery.line_rests:
            return "coin line"
        if self._delivery.unregistered:
            return NOT_REGISTERED
        if not self._reports.clock_fresh:
            return "no clock"
        if self._reports.acks_refused:
            return "acks refused"
        if not self._conditions.machine_ready:
            return "machine not ready"
        return "busy" if self._delivery.waiting >= MAX_WAITING else ""

    def _tidy(self, boot_ms: int) -> None:
        """Write what could wait, at a moment when nobody waits for the journal."""
        if self._tidy_boot_ms is None and (self._uncounted or self._reports.confirmed):
            self._tidy_boot_ms = boot_ms + TIDY_AFTER_MS
        try:
            if self._tidy_boot_ms is not None and boot_ms >= self._tidy_boot_ms:
                self._write_what_waited()
            if boot_ms >= self._prune_boot_ms:
                self._prune_boot_ms = boot_ms + PRUNE_EVERY_MS
                cloud_ms = self._reports.cloud_ms()
                pruned = self._journal.prune(0 if cloud_ms is None else cloud_ms - MEMORY_MS, PRUNE_LIMIT)
                if pruned == PRUNE_LIMIT:
                    self._prune_boot_ms = boot_ms + TIDY_AFTER_MS
        except JournalFault as fault:
            self._delivery.lose_journal(fault)

    def _write_what_waited(self) -> None:
        self._tidy_boot_ms = None
        told = set(self._reports.confirmed)
        if told:
            self._journal.commit(told=told)
            self._reports.outbox_emptied(told)
        if self._uncounted:
            self._journal.count(self._uncounted)
            self._uncounted.clear()
        self._journal.rest()

    def _leave(self, boot_ms: int) -> None:
        """The line rests for good: say so, and end once the broker has the last acks, or after some seconds."""
        if self._leaving_until_ms is None:
            self._leaving_until_ms = boot_ms + LEAVING_TAKES_MS
            self._reports.say_status(self.standing, leaving=True)
        told = self._reports.quiet or not self._reports.connected
        if not self._finished and (told or boot_ms >= self._leaving_until_ms):
            self._finished = True
            try:
                self._write_what_waited()
            except JournalFault as fault:
                self._delivery.lose_journal(fault)

    def _count(self, what: str) -> None:
        self._uncounted[what] += 1
        self._unlogged[what] += 1

    def _log_refusals(self, boot_ms: int) -> None:
        counted = ", ".join(f"{what} ({n})" for what, n in self._unlogged.items())
        logger.warning("ignored or refused: %s", counted)
        self._unlogged.clear()
        self._log_boot_ms = boot_ms + LOG_REFUSALS_EVERY_MS
