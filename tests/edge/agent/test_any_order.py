"""The whole loop under arbitrary events: messages lost, repeated and late, power cuts, a failing journal and line.

What the coin line has truly done is kept beside it, and compared with what the cloud is told.
"""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from arcade_edge.agent.signals import MeterPulse, ReadyChanged
from arcade_edge.domain.meter import Meter
from arcade_edge.ports import StopAsked
from support.agent_rig import Rig
from support.memory_journal import MemoryJournal

DELIVER_WITHIN_MS = 2_000


class OneMachine(RuleBasedStateMachine):
    """One cabinet through its days. `pulsed` and `doubtful` are the truth about the line, by credit."""

    credits = Bundle("credits")

    def __init__(self) -> None:
        super().__init__()
        self.begun: object = None
        self.rig = Rig(journal=MemoryJournal(), has_ready=True)
        self.rig.says(ReadyChanged(True, 0))
        self.rig.connected()
        self.asked: dict[str, int] = {}
        self.expires: dict[str, int] = {}
        self.revoked: set[str] = set()
        self.pulsed: Counter[str] = Counter()
        self.doubtful: Counter[str] = Counter()
        self.told: dict[str, tuple[object, ...]] = {}
        self.starts = 1
        self.seen_acks = 0
        self.watched_tokens = 0

    def started(self) -> None:
        """Look at every pulse that has begun since the last look."""
        handed_over = list(zip(self.rig.line.tokens, self.rig.line.at_ms, strict=True))
        for token, boot_ms in handed_over[self.watched_tokens :]:
            credit_id, delivered = token
            if token == self.begun:  # the rest of its pulses
                self.doubtful[credit_id] -= 1
                self.begun = None
            assert delivered == self.pulsed[credit_id], "a credit pulsed twice, or left out"
            assert credit_id not in self.revoked, "pulsed after a final answer to its revoke"
            if delivered == 0:
                cloud_ms = boot_ms + self.rig.cloud_offset_ms
                assert cloud_ms < self.expires[credit_id], "a first edge after the deadline"
        self.watched_tokens = len(self.rig.line.tokens)
        assert self.rig.line.without_intent == []

    @rule(target=credits, n=st.integers(1, 4))
    def bought(self, n: int) -> str:
        credit_id = self.rig.new_id()
        self.asked[credit_id] = n
        self.expires[credit_id] = self.rig.cloud_ms + DELIVER_WITHIN_MS
        return credit_id

    @rule(credit_id=credits)
    def command(self, credit_id: str) -> None:
        life_ms = self.expires[credit_id] - self.rig.cloud_ms
        self.rig.command(self.asked[credit_id], credit_id=credit_id, life_ms=life_ms)

    @rule(credit_id=credits)
    def revoke(self, credit_id: str) -> None:
        self.rig.revoke(credit_id)

    @precondition(lambda self: self.rig.line.under_way is not None)
    @rule()
    def pulse(self) -> None:
        self.started()
        self.pulsed[self.rig.line.under_way[0]] += 1
        self.rig.pulsed()
        self.started()

    @precondition(lambda self: self.rig.line.under_way is not None)
    @rule(started=st.booleans())
    def line_fails(self, started: bool) -> None:
        self.doubtful[self.rig.line.under_way[0]] += int(started)
        self.rig.failed(started=started)

    @precondition(lambda self: self.rig.line.under_way is not None)
    @rule(begun=st.booleans())
    def line_holds(self, begun: bool) -> None:
        """It may not begin the next pulse, of this credit or in its middle."""
        token = self.rig.line.under_way
        if begun:
            self.doubtful[token[0]] += 1
            self.begun = token
        self.rig.held(begun=begun)

    @rule(moves=st.integers(1, 3))
    def board_registers(self, moves: int) -> None:
        for _ in range(moves):
            self.rig.says(MeterPulse(0))

    @rule(ms=st.sampled_from([1, 50, 500, 3_000, 40_000]))
    def time_passes(self, ms: int) -> None:
        self.rig.pass_time(ms)

    @rule(faulty=st.sampled_from(["", "before", "after"]))
    def card(self, faulty: str) -> None:
        self.rig.journal.faulty, self.rig.journal.faulty_after = faulty == "before", faulty == "after"

    @rule(ready=st.booleans())
    def machine(self, ready: bool) -> None:
        self.rig.says(ReadyChanged(ready, 0))

    @rule(ok=st.booleans())
    def broker_answers(self, ok: bool) -> None:
        self.rig.confirm_all(ok=ok)

    @rule(tell_time=st.booleans())
    def reconnect(self, tell_time: bool) -> None:
        self.rig.disconnected()
        self.rig.connected(tell_time=tell_time)

    @rule(orderly=st.booleans(), metered=st.booleans())
    def restart(self, orderly: bool, metered: bool) -> None:
        """In order, or by a power cut at whatever instant this is; a meter is wired then, or not."""
        line = self.rig.line
        if orderly:
            self.rig.agent.handle(StopAsked())
            if line.under_way is not None:
                self.pulse()
            self.rig.pass_time(5_000)
            assert self.rig.finished()
        elif line.under_way is not None:
            self.doubtful[line.under_way[0]] += 1
        self.look_at_the_acks()
        self.starts += 1
        self.card("")
        self.begun = None
        self.rig = Rig(
            journal=self.rig.journal,
            has_ready=True,
            meter=Meter() if metered else None,
            boot_ms=self.rig.boot_ms,
            seed=self.starts,
        )
        self.seen_acks = self.watched_tokens = 0
        self.rig.says(ReadyChanged(True, 0))
        self.rig.connected()

    def look_at_the_acks(self) -> None:
        for ack in self.rig.acks()[self.seen_acks :]:
            if not ack.final:
                continue
            said = (ack.state, ack.delivered, ack.uncertain, ack.reason)
            assert self.told.setdefault(ack.credit_id, said) == said, "a final word was changed"
            pulsed, doubtful = self.pulsed[ack.credit_id], self.doubtful[ack.credit_id]
            assert ack.delivered <= pulsed + doubtful
            assert pulsed + doubtful <= ack.delivered + ack.uncertain, "a pulse that nobody is told of"
            self.revoked.add(ack.credit_id)
        self.seen_acks = len(self.rig.acks())

    @invariant()
    def the_line_and_the_words_agree(self) -> None:
        self.started()
        self.look_at_the_acks()
        for credit_id, asked in self.asked.items():
            assert self.pulsed[credit_id] + self.doubtful[credit_id] <= asked

    def teardown(self) -> None:
        """Once everything works again, everything that was ever accepted becomes final by itself, and is told."""
        self.card("")
        self.machine(True)
        for _ in range(100):
            self.rig.confirm_all()
            if self.rig.line.under_way is None:
                break
            self.pulse()
        self.rig.pass_time(70_000)
        self.rig.disconnected()
        self.rig.connected()
        self.rig.confirm_all()
        while self.rig.line.under_way is not None:
            self.pulse()
            self.rig.confirm_all()
        self.rig.pass_time(70_000)
        for _ in range(3):
            self.rig.confirm_all()
            self.rig.pass_time(70_000)
        self.the_line_and_the_words_agree()
        assert self.rig.journal.unfinished() == []
        assert self.rig.journal.outbox == set()
        assert set(self.rig.journal.credits) <= set(self.told)


OneMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestOneMachine = OneMachine.TestCase
