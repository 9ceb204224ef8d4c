"""The one way to move a credit: decide, commit, and only then the line and the talk.

It owns the queue of accepted credits, the one that is under way with its pauses and the meter's word on it, and
what happens when the journal cannot be written: nothing is pulsed, and what had ended is kept until it can be
saved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from arcade_edge.agent.gate import Gate
from arcade_edge.agent.reports import Reports
from arcade_edge.domain.credits import (
    COIN_LINE,
    JOURNAL,
    STOPPED,
    UNREGISTERED,
    Answer,
    Command,
    Context,
    Credit,
    FirstEdge,
    Halt,
    Held,
    NotPulsed,
    Paused,
    Pulsed,
    Restarted,
    Revocation,
    Settled,
    Turn,
    Waited,
    answer_of,
    decide,
    unsettled,
)
from arcade_edge.domain.meter import SHORT_TRAINS_MOST, Meter, Reading, short_trains
from arcade_edge.domain.train import CONNECTION_LOST, TOO_LONG, Pause, Train, TrainEnd, TrainRules
from arcade_edge.errors import InvariantBroken, JournalCorrupt, JournalFault
from arcade_edge.ports import BootClock, Journal, Pulses

logger = logging.getLogger(__name__)

# The player's page polls once a second, and the broker allows 10 publishes a second.
PROGRESS_EVERY_MS = 150
# The line may hold a credit back a moment before the loop is told why.
HELD_RETRY_MS = 20
# After a credit that the line did not take: long enough that a broken line is not sold minute by minute.
LINE_RESTS_MS = 30_000
JOURNAL_RETRY_MS = 2_000
_BENCH = "bench"


@dataclass(slots=True)
class Conditions:
    """What the loop knows that decides about pulses. `machine_ready`: the ready line, where one is wired.

    `gap_ms`: for so long the line rests between two pulses, so no credit has its turn before.
    """

    max_credits: int
    train: TrainRules
    meter: Meter | None
    machine_ready: bool
    stopping: bool = False
    gap_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Pause:
    """The train waits between two pulses; `begun`: in the middle of a credit. No sooner tried again than then."""

    begun: bool
    retry_boot_ms: int = 0


class Delivery:
    """The credits of one machine, from the command to the last edge. Used by the loop's thread only.

    At its making it closes what the journal holds open from before: nothing is resumed.
    """

    def __init__(
        self,
        journal: Journal,
        pulses: Pulses,
        gate: Gate,
        reports: Reports,
        conditions: Conditions,
        boottime_ms: BootClock,
        count: Callable[[str], None],
    ) -> None:
        self._journal = journal
        self._pulses = pulses
        self._reports = reports
        self._conditions = conditions
        self._boottime_ms = boottime_ms
        self._count = count
        self._waiting: dict[str, Credit] = {}
        self._running: Credit | None = None
        self._train: Train | None = None
        self._pause: _Pause | None = None
        self._reading: Reading | None = None
        self._ending: Credit | None = None
        self._short_trains = journal.short_trains
        self._progress_boot_ms = 0
        self._bench_left = 0
        self._bench_pulsing = False
        self._gap_until_ms = boottime_ms() + conditions.gap_ms
        self._line_rests_until_ms: int | None = None
        self._journal_fault: str | None = None
        self._journal_retry_ms = 0
        self._unsaved: list[Credit] = []
        self._idle = False
        gate.keep_to(lambda: reports.contact.until_ms)
        self._close_what_was_left()

    @property
    def waiting(self) -> int:
        """How many accepted credits wait for their turn."""
        return len(self._waiting)

    @property
    def line_free(self) -> bool:
        """Whether no credit is under way."""
        return self._running is None and not self._bench_pulsing

    @property
    def line_rests(self) -> bool:
        """Whether the coin line has failed a moment ago."""
        return self._line_rests_until_ms is not None

    @property
    def unregistered(self) -> bool:
        """Whether the meter has missed coins of so many trains that no more may be sold."""
        return self._conditions.meter is not None and self._short_trains >= SHORT_TRAINS_MOST

    @property
    def journal_fault(self) -> str | None:
        """Why the journal cannot be written; None while it can."""
        return self._journal_fault

    def request(self, request: Command | Revocation, acknowledge: Callable[[], None]) -> None:
        """A command or a revoke of the cloud: one look-up, one commit, the line, the acknowledgement, the talk.

        While the journal cannot be written, or the agent stops, nothing is done and nothing acknowledged, so
        the message is delivered again later.
        """
        if self._journal_fault is not None or self._conditions.stopping:
            return
        try:
            answer = self._request(request, acknowledge)
        except JournalFault as fault:
            self.lose_journal(fault)
            return
        if answer is not None:
            self._reports.answer(answer)

    def bench(self, credits_: int) -> bool:
        """Pulse without a journal or a report, when the line is free; whether it was taken."""
        wanted = self._bench_left + self._bench_pulsing + credits_
        if not self._conditions.machine_ready or self._halt or wanted > self._conditions.max_credits:
            return False
        self._bench_left += credits_
        return True

    def pulsed(self, token: object) -> None:
        """The credit under way was pulsed. Its completion and the next one's intent are one commit."""
        self._gap_until_ms = self._boottime_ms() + self._conditions.gap_ms
        if token == _BENCH:
            self._bench_pulsing = False
            return
        self._move(Pulsed())

    def held(self, token: object, begun: bool) -> None:
        """The line has not begun, or not ended, the credit under way: it must wait.

        Why may not be known here yet: then it is tried again in a moment.
        """
        if token == _BENCH:
            self._bench_pulsing, self._bench_left = False, 0
            return
        self._under_way(token)
        self._pause = _Pause(begun, self._boottime_ms() + HELD_RETRY_MS)
        self._move(Held(begun))

    def failed(self, token: object, started: bool, error: str) -> None:
        """The line has not made all pulses of the credit under way."""
        logger.error("the coin line: %s", error)
        self._line_rests_until_ms = self._boottime_ms() + LINE_RESTS_MS
        if token == _BENCH:
            self._bench_pulsing, self._bench_left = False, 0
            return
        self._under_way(token)
        self._move(NotPulsed(started))

    def metered(self) -> None:
        """The machine's coin meter has moved by one; between two trains nobody asks for it."""
        if self._reading is not None:
            self._reading = self._reading.moved(self._boottime_ms())

    def link_up(self) -> None:
        """A new connection: what the last one may have lost is told again, for a train may wait for it."""
        if self._running is not None and self._reports.contact.unconfirmed:
            self._tell_progress(self._running, at_once=True)

    def lose_journal(self, fault: JournalFault) -> None:
        """The journal could not be written: begin no pulse until it can. Raises a JournalCorrupt again."""
        if isinstance(fault, JournalCorrupt):
            raise fault
        if self._journal_fault is None:
            logger.error("nothing is pulsed while the journal cannot be written: %s", fault)
        self._journal_fault = str(fault)
        self._journal_retry_ms = self._boottime_ms() + JOURNAL_RETRY_MS

    def tick(self, boot_ms: int, *, idle: bool) -> bool:
        """Do what is due; whether the journal has just come back.

        Args:
            idle: No event waits. Only then has time run out for what the broker, the ready line or the meter may
                have said: a card that stalls holds up the loop, and they were not silent meanwhile.

        Raises:
            JournalCorrupt: Only a restart helps.
        """
        self._idle = idle
        try:
            return self._do_what_is_due(boot_ms)
        finally:
            self._idle = False

    def _do_what_is_due(self, boot_ms: int) -> bool:
        if self._line_rests_until_ms is not None and boot_ms >= self._line_rests_until_ms:
            self._line_rests_until_ms = None
        self._go_on(boot_ms)
        self._settle(boot_ms)
        back = False
        if self._journal_fault is not None:
            back = boot_ms >= self._journal_retry_ms and self._try_journal(boot_ms)
            if not back:
                return False
        try:
            self._close_waiting()
            self._advance()
        except JournalFault as fault:
            self.lose_journal(fault)
        return back

    def next_due_ms(self) -> int | None:
        """When (boot clock) `tick` has something to do without a new event."""
        dues = [self._reading.settled_at_ms if self._reading is not None else None]
        if self._pause is not None and self._train is not None:
            contact = self._reports.contact
            dues.append(self._train.ends_ms(contact))
            if not self._train.pause(contact, self._boottime_ms()):
                dues.append(self._pause.retry_boot_ms)
        if self._journal_fault is not None:
            dues.append(self._journal_retry_ms)
            return min(due for due in dues if due is not None)
        dues.append(self._line_rests_until_ms)
        dues += [self._reports.boot_ms_at(credit.expires_at_ms) for credit in self._waiting.values()]
        if self._waiting and self.line_free and not self._line_may_begin:
            dues.append(self._gap_until_ms)
        return min((due for due in dues if due is not None), default=None)

    def _request(self, request: Command | Revocation, acknowledge: Callable[[], None]) -> Answer | None:
        before = self._find(request.credit_id)
        context = self._context()
        decision = decide(before, request, context)
        credit = decision.credit
        if credit is None or credit == before:
            acknowledge()
            return decision.answer
        if credit.state == "accepted" and self._line_may_begin and not self._waiting:
            credit = decide(credit, Turn(), context).credit or credit
        self._save([credit])
        self._take(credit)
        acknowledge()
        return decision.answer

    def _find(self, credit_id: str) -> Credit | None:
        if self._running is not None and self._running.credit_id == credit_id:
            return self._running
        return self._waiting.get(credit_id) or self._journal.find(credit_id)

    def _take(self, credit: Credit) -> None:
        """`credit` was committed as it is: act on it."""
        self._waiting.pop(credit.credit_id, None)
        if credit.final:
            self._tell_final([credit])
        elif credit.state == "accepted":
            self._waiting[credit.credit_id] = credit
        else:
            self._begin(credit)

    def _begin(self, credit: Credit) -> None:
        """A train begins: its first intent is committed."""
        boot_ms = self._boottime_ms()
        self._running, self._pause, self._progress_boot_ms = credit, None, boot_ms
        meter = self._conditions.meter
        self._reading = None if meter is None else Reading(meter)
        self._train = Train(self._conditions.train, boot_ms)
        last_look = decide(credit, FirstEdge(), self._context()).credit or credit
        if last_look.final:
            self._end(last_look)
        else:
            self._pulses.pulse_credit((credit.credit_id, credit.delivered))

    def _move(self, event: Pulsed | Held | Paused | NotPulsed) -> None:
        """The train that is under way, one step on: commit it, then pulse what is next, wait, or end it."""
        credit = self._running
        if credit is None:
            raise InvariantBroken(f"{event}, and no train is under way")
        context = self._context()
        after = decide(credit, event, context).credit or credit
        if after.final:
            self._finish(after)
            return
        if self._reading is not None:
            after = replace(after, registered=self._reading.registered)
        try:
            if after != credit:
                self._journal.commit([after])
        except JournalFault as fault:
            self.lose_journal(fault)
            self._finish(decide(credit, event, self._context()).credit or credit)
            return
        self._running = after
        begun = self._pause is not None and self._pause.begun
        goes_on = isinstance(event, Pulsed | Paused) and after.intent and not context.pause
        if goes_on:
            self._pause = None
            self._pulses.pulse_credit((after.credit_id, after.delivered))
        elif self._pause is None:
            self._pause = _Pause(begun=begun)
        if after.delivered > credit.delivered:
            self._tell_progress(after)

    def _go_on(self, boot_ms: int) -> None:
        """What a train waits for may have come, or the wait is over."""
        if self._train is None or self._running is None or self._ending is not None:
            return
        self._train = self._train.machine(self._conditions.machine_ready, boot_ms)
        if self._pause is None:
            return
        contact = self._reports.contact
        waits = self._train.pause(contact, boot_ms) or boot_ms < self._pause.retry_boot_ms
        if self._halt or self._end_of(self._train, boot_ms) or not waits:
            self._move(Paused(self._pause.begun))

    def _end_of(self, train: Train, boot_ms: int) -> TrainEnd:
        if self._idle:
            return train.end(self._reports.contact, boot_ms)
        return TOO_LONG if train.is_too_long(boot_ms) else ""

    def _finish(self, ending: Credit) -> None:
        """The train is over. Where a meter is wired, it has its time before that is final."""
        reading = self._reading
        if reading is None or not ending.delivered + ending.uncertain:
            self._end(ending)
            return
        self._reading = reading = reading.train_over(self._boottime_ms())
        waits = unsettled(ending, reading.registered)
        before, self._running = self._running, waits
        self._ending, self._pause, self._train = ending, None, None
        try:
            if waits != before:
                self._journal.commit([waits])
        except JournalFault as fault:  # the meter has its time all the same
            self.lose_journal(fault)

    def _settle(self, boot_ms: int) -> None:
        """The meter has had its time, or the line is needed no more."""
        reading, ending, running = self._reading, self._ending, self._running
        if reading is None or ending is None or running is None:
            return
        if not self._idle or reading.settled_at_ms is None or boot_ms < reading.settled_at_ms:
            return
        short = short_trains(self._short_trains, ending.delivered, reading.registered)
        settled = decide(running, Settled(ending, reading.registered), self._context()).credit or running
        self._end(settled, short)

    def _over(self) -> None:
        """No train is under way any more."""
        self._running = self._train = self._pause = self._reading = self._ending = None

    def _under_way(self, token: object) -> Credit:
        credit = self._running
        if credit is None or token != (credit.credit_id, credit.delivered):
            raise InvariantBroken(f"the line reports {token}, but {credit} is under way")
        return credit

    def _end(self, credit: Credit, short: int | None = None) -> None:
        """The running credit is over; where that cannot be written now, it is kept until it can.

        Args:
            short: How many trains in a row have fallen short by now; None if this one says nothing of it.
        """
        self._over()
        changed = None if short == self._short_trains else short
        if changed is not None:
            self._short_trains = changed
            if self.unregistered:
                logger.error("out of sale: the meter has missed coins of %d trains in a row", changed)
        try:
            self._journal.commit([credit], short_trains=changed)
        except JournalFault as fault:
            self._unsaved.append(credit)
            self.lose_journal(fault)
        else:
            self._tell_final([credit])

    def _close_waiting(self) -> None:
        """End those that wait no longer: their time is over, or the agent stops, or the line is broken."""
        if not self._waiting:
            return
        context = self._context()
        decided = [decide(credit, Waited(), context).credit for credit in self._waiting.values()]
        closed = [credit for credit in decided if credit is not None and credit.final]
        if closed:
            self._save(closed)
            for credit in closed:
                del self._waiting[credit.credit_id]
            self._tell_final(closed)

    def _save(self, credits_: list[Credit]) -> None:
        """Commit. What waited and is over stays so though that fails: the card may have it all the same."""
        try:
            self._journal.commit(credits_)
        except JournalFault:
            over = [credit for credit in credits_ if credit.final and credit.credit_id in self._waiting]
            for credit in over:
                del self._waiting[credit.credit_id]
            self._unsaved += over
            raise

    def _advance(self) -> None:
        """The line is free: the credit that has waited longest has its turn, a bench comes last."""
        while self._line_may_begin and self._waiting:
            first = next(iter(self._waiting.values()))
            turned = decide(first, Turn(), self._context()).credit or first
            if turned == first:
                break
            self._journal.commit([turned])
            self._take(turned)
        if self._halt:
            self._bench_left = 0
        elif self._bench_left and self.line_free and self._conditions.machine_ready:
            self._bench_left -= 1
            self._bench_pulsing = True
            self._pulses.pulse_credit(_BENCH)

    def _close_what_was_left(self) -> None:
        """Close what an earlier run has left open; the acks go out with the next connection."""
        context = self._context()
        closed = [decide(credit, Restarted(), context).credit or credit for credit in self._journal.unfinished()]
        if closed:
            self._journal.commit(closed)
            self._tell_final(closed)

    def _try_journal(self, boot_ms: int) -> bool:
        """Whether it can be written again; then what had ended is saved.

        A commit that failed may be in the file all the same. What the journal then holds open and memory does
        not was never pulsed: it is closed as such. A credit whose pulses are still being made is left to them.
        """
        self._journal_retry_ms = boot_ms + JOURNAL_RETRY_MS
        halted = replace(self._context(), halt=JOURNAL)
        ended = list(self._unsaved)
        known = {*self._waiting, *(credit.credit_id for credit in [*ended, self._running] if credit is not None)}
        try:
            self._journal.probe()
            for unknown in self._journal.unfinished():
                if unknown.credit_id not in known:
                    event = Waited() if unknown.state == "accepted" else FirstEdge()
                    ended.append(decide(unknown, event, halted).credit or unknown)
            self._journal.commit(ended, short_trains=self._short_trains)
        except JournalFault as fault:
            if isinstance(fault, JournalCorrupt):
                raise
            self._journal_fault = str(fault)
            return False
        logger.warning("the journal can be written again")
        self._journal_fault = None
        self._unsaved.clear()
        self._tell_final(ended)
        return True

    def _tell_final(self, credits_: list[Credit]) -> None:
        for credit in credits_:
            if credit.state == "refused":
                self._count(f"refused: {credit.reason}")
            logger.info(
                "credit %s: %s, %d of %d delivered%s%s",
                credit.credit_id,
                credit.state,
                credit.delivered,
                credit.credits,
                ", one uncertain" if credit.uncertain else "",
                f" ({credit.reason})" if credit.reason else "",
            )
        self._reports.finals(credits_)

    def _tell_progress(self, credit: Credit, *, at_once: bool = False) -> None:
        boot_ms = self._boottime_ms()
        if at_once or boot_ms - self._progress_boot_ms >= PROGRESS_EVERY_MS:
            self._progress_boot_ms = boot_ms
            self._reports.progress(answer_of(credit, counts=self._counts))

    @property
    def _line_may_begin(self) -> bool:
        """Whether a pulse begun now would begin at once: the last look at the deadline comes right before it."""
        return self.line_free and self._boottime_ms() >= self._gap_until_ms

    @property
    def _halt(self) -> Halt:
        """Why no further pulse may begin, "" where nothing forbids it."""
        if self._conditions.stopping:
            return STOPPED
        if self._journal_fault is not None:
            return JOURNAL
        if self.line_rests:
            return COIN_LINE
        return UNREGISTERED if self.unregistered else ""

    @property
    def _counts(self) -> bool:
        return self._conditions.meter is not None and self._conditions.meter.counts

    def _context(self) -> Context:
        train, contact, boot_ms = self._train, self._reports.contact, self._boottime_ms()
        pause: Pause = CONNECTION_LOST if contact.lost(boot_ms) else ""
        return Context(
            cloud_ms=self._reports.cloud_ms(),
            max_credits=self._conditions.max_credits,
            forgotten_before_ms=self._journal.forgotten_before_ms,
            waiting=len(self._waiting),
            machine_ready=self._conditions.machine_ready,
            halt=self._halt,
            end="" if train is None else self._end_of(train, boot_ms),
            pause=pause if train is None else train.pause(contact, boot_ms),
            counts=self._counts,
            started_ms=self._reports.started_ms(),
        )
