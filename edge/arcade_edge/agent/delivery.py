"""The one way to move a credit: decide, commit, and only then the line and the talk.

It owns the queue of accepted credits, the one that is under way, and what happens when the journal cannot be
written: nothing is pulsed, and what had ended is kept until it can be saved.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from arcade_edge.agent.reports import Reports
from arcade_edge.domain.credits import (
    COIN_LINE,
    JOURNAL,
    STOPPED,
    Answer,
    Command,
    Context,
    Credit,
    FirstEdge,
    Halt,
    NotPulsed,
    Pulsed,
    Restarted,
    Revocation,
    Settled,
    Turn,
    Waited,
    answer_of,
    decide,
)
from arcade_edge.errors import InvariantBroken, JournalCorrupt, JournalFault
from arcade_edge.ports import BootClock, Journal, Pulses
from arcade_shared.messages import MAX_CREDITS

logger = logging.getLogger(__name__)

# A board echoes a coin within some tens of milliseconds; a mechanical meter needs up to 200.
METER_SETTLES_MS = 300
# The player's page polls once a second, and the broker allows 10 publishes a second.
PROGRESS_EVERY_MS = 150
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
    metered: bool
    machine_ready: bool
    stopping: bool = False
    gap_ms: int = 0


class Delivery:
    """The credits of one machine, from the command to the last edge. Used by the loop's thread only.

    At its making it closes what the journal holds open from before: nothing is resumed.
    """

    def __init__(
        self,
        journal: Journal,
        pulses: Pulses,
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
        self._progress_boot_ms = 0
        self._settles_boot_ms: int | None = None
        self._metered = 0
        self._bench_left = 0
        self._bench_pulsing = False
        self._gap_until_ms = boottime_ms() + conditions.gap_ms
        self._line_rests_until_ms: int | None = None
        self._journal_fault: str | None = None
        self._journal_retry_ms = 0
        self._unsaved: list[Credit] = []
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
        credit = self._under_way(token)
        context = self._context()
        after = decide(credit, Pulsed(), context).credit or credit
        if after.final:
            self._end(after)
            return
        try:
            self._journal.commit([after])
        except JournalFault as fault:
            self._running = None
            halted = replace(context, halt=JOURNAL, metered=False)
            self._unsaved.append(decide(credit, Pulsed(), halted).credit or credit)
            self.lose_journal(fault)
            return
        self._running = after
        if after.intent:
            self._pulses.pulse_credit((after.credit_id, after.delivered))
        else:
            self._settles_boot_ms = self._boottime_ms() + METER_SETTLES_MS
        self._tell_progress(after)

    def failed(self, token: object, started: bool, error: str) -> None:
        """The line has not made all pulses of the credit under way."""
        logger.error("the coin line: %s", error)
        self._line_rests_until_ms = self._boottime_ms() + LINE_RESTS_MS
        if token == _BENCH:
            self._bench_pulsing, self._bench_left = False, 0
            return
        credit = self._under_way(token)
        self._end(decide(credit, NotPulsed(started), self._context()).credit or credit)

    def metered(self) -> None:
        """The machine's coin meter has moved by one."""
        self._metered += 1

    def lose_journal(self, fault: JournalFault) -> None:
        """The journal could not be written: begin no pulse until it can. Raises a JournalCorrupt again."""
        if isinstance(fault, JournalCorrupt):
            raise fault
        if self._journal_fault is None:
            logger.error("nothing is pulsed while the journal cannot be written: %s", fault)
        self._journal_fault = str(fault)
        self._journal_retry_ms = self._boottime_ms() + JOURNAL_RETRY_MS

    def tick(self, boot_ms: int) -> bool:
        """Do what is due; whether the journal has just come back.

        Raises:
            JournalCorrupt: Only a restart helps.
        """
        if self._line_rests_until_ms is not None and boot_ms >= self._line_rests_until_ms:
            self._line_rests_until_ms = None
        back = False
        if self._journal_fault is not None:
            back = boot_ms >= self._journal_retry_ms and self._try_journal(boot_ms)
            if not back:
                return False
        try:
            self._close_waiting()
            self._settle(boot_ms)
            self._advance()
        except JournalFault as fault:
            self.lose_journal(fault)
        return back

    def next_due_ms(self) -> int | None:
        """When (boot clock) `tick` has something to do without a new event."""
        if self._journal_fault is not None:
            return self._journal_retry_ms
        dues = [self._settles_boot_ms, self._line_rests_until_ms]
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
            self._running = credit
            self._metered = 0
            self._progress_boot_ms = self._boottime_ms()
            last_look = decide(credit, FirstEdge(), self._context()).credit or credit
            if last_look.final:
                self._end(last_look)
            else:
                self._pulses.pulse_credit((credit.credit_id, credit.delivered))

    def _under_way(self, token: object) -> Credit:
        credit = self._running
        if credit is None or token != (credit.credit_id, credit.delivered):
            raise InvariantBroken(f"the line reports {token}, but {credit} is under way")
        return credit

    def _end(self, credit: Credit) -> None:
        """The running credit is over; where that cannot be written now, it is kept until it can."""
        self._running = None
        try:
            self._journal.commit([credit])
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

    def _settle(self, boot_ms: int) -> None:
        if self._running is not None and self._settles_boot_ms is not None and boot_ms >= self._settles_boot_ms:
            self._settles_boot_ms = None
            registered = min(self._metered, 2 * MAX_CREDITS)
            self._end(decide(self._running, Settled(registered), self._context()).credit or self._running)

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
            self._journal.commit(ended)
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

    def _tell_progress(self, credit: Credit) -> None:
        boot_ms = self._boottime_ms()
        if boot_ms - self._progress_boot_ms >= PROGRESS_EVERY_MS:
            self._progress_boot_ms = boot_ms
            self._reports.answer(answer_of(credit))

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
        return COIN_LINE if self.line_rests else ""

    def _context(self) -> Context:
        return Context(
            cloud_ms=self._reports.cloud_ms(),
            max_credits=self._conditions.max_credits,
            forgotten_before_ms=self._journal.forgotten_before_ms,
            waiting=len(self._waiting),
            machine_ready=self._conditions.machine_ready,
            halt=self._halt,
            metered=self._conditions.metered,
            started_ms=self._reports.started_ms(),
        )
