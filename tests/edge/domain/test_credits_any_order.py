"""A credit under arbitrary events, with a power cut between any two steps."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from arcade_edge.domain.credits import (
    Command,
    Context,
    Credit,
    Decision,
    Event,
    FirstEdge,
    Halt,
    NotPulsed,
    Pulsed,
    Restarted,
    Revocation,
    Settled,
    Turn,
    Waited,
    decide,
)
from arcade_shared.ids import uuid7

NOW = 1_790_000_000_000
ID = uuid7(NOW)
EXPIRES = NOW + 100
HALTS: list[Halt] = ["", "", "stopped"]


class OneCredit(RuleBasedStateMachine):
    """The journal holds `credit`; the line has truly pulsed `pulsed` times (`doubtful`: cut in the middle)."""

    def __init__(self) -> None:
        super().__init__()
        self.journal: Credit | None = None
        self.final: Credit | None = None
        self.pulsed = 0
        self.doubtful = 0
        self.pulsing = False
        self.running = False
        self.revoked_before_begun = False
        self.now = NOW
        self.known = True
        self.ready = True
        self.halt: Halt = ""
        self.metered = False
        self.asked = 0
        self.late_first_edge = False

    def context(self) -> Context:
        return Context(
            self.now if self.known else None, 10, machine_ready=self.ready, halt=self.halt, metered=self.metered
        )

    def move(self, event: Event) -> Decision:
        decision = decide(self.journal, event, self.context())
        self.journal = decision.credit
        if self.journal is not None and self.journal.final and self.final is None:
            self.final = self.journal
        return decision

    @rule(credits_=st.integers(1, 12))
    def command(self, credits_: int) -> None:
        if self.journal is None:
            self.asked = credits_
        self.move(Command(ID, credits_, EXPIRES))

    @rule()
    def revoke(self) -> None:
        if self.journal is None or self.journal.state == "accepted":
            self.revoked_before_begun = True
        self.move(Revocation(ID))

    @precondition(lambda self: self.journal is not None and not self.running)
    @rule()
    def turn(self) -> None:
        if self.journal is not None and self.journal.state == "accepted":
            turned = self.move(Turn()).credit
            self.running = turned is not None and turned.state == "pulsing"

    @precondition(lambda self: self.running and not self.pulsing and self.pulsed == 0)
    @rule(later=st.booleans())
    def first_edge(self, later: bool) -> None:
        if self.journal is None or not self.journal.intent or self.journal.delivered:
            return
        self.now += 200 if later else 0
        self.move(FirstEdge())
        self.running = not self.journal.final
        if self.running:
            self.begin()

    def begin(self) -> None:
        """The line becomes active."""
        assert self.journal is not None
        assert self.journal.intent, "a pulse without a committed intent"
        assert self.journal.delivered == self.pulsed, "a credit pulsed twice, or left out"
        assert not self.revoked_before_begun, "pulsed after its revoke"
        if self.pulsed == 0:
            assert self.known, "pulsed without the cloud's time"
            assert self.now < EXPIRES, "a first edge after the deadline"
        self.pulsing = True

    @precondition(lambda self: self.pulsing)
    @rule()
    def ends(self) -> None:
        self.pulsing = False
        self.pulsed += 1
        self.move(Pulsed())
        assert self.journal is not None
        if self.journal.intent:
            self.begin()
        elif self.journal.final:
            self.running = False

    @precondition(lambda self: self.pulsing)
    @rule(started=st.booleans())
    def fails(self, started: bool) -> None:
        self.pulsing = self.running = False
        self.doubtful += int(started)
        self.move(NotPulsed(started))

    @precondition(lambda self: self.running and not self.pulsing and self.pulsed > 0)
    @rule(registered=st.integers(0, 20))
    def settles(self, registered: int) -> None:
        if self.journal is not None and self.journal.state == "pulsing" and not self.journal.intent:
            self.move(Settled(registered))
            self.running = False

    @rule()
    def power_cut(self) -> None:
        """At any instant; whatever was between two edges then is in doubt."""
        self.doubtful += int(self.pulsing)
        self.pulsing = self.running = False
        if self.journal is not None:
            self.move(Restarted())

    @precondition(lambda self: self.pulsing)
    @rule()
    def power_cut_before_the_completion_is_committed(self) -> None:
        """The pulse was whole, and nobody wrote it down."""
        self.doubtful += 1
        self.pulsing = self.running = False
        self.move(Restarted())

    @precondition(lambda self: self.journal is not None)
    @rule(
        ms=st.integers(0, 60),
        known=st.booleans(),
        ready=st.booleans(),
        halt=st.sampled_from(HALTS),
        metered=st.booleans(),
    )
    def time_passes(self, ms: int, known: bool, ready: bool, halt: Halt, metered: bool) -> None:
        self.now += ms
        self.known, self.ready, self.halt, self.metered = known, ready, halt, metered
        self.move(Waited())

    @invariant()
    def a_final_state_never_changes(self) -> None:
        assert self.final is None or self.journal == self.final

    @invariant()
    def what_is_said_is_what_was_pulsed(self) -> None:
        if self.journal is None:
            assert self.pulsed == 0
            return
        credit = self.journal
        assert credit.delivered == self.pulsed
        assert self.pulsed + self.doubtful <= max(self.asked, 0)
        if credit.final:
            assert credit.delivered + credit.uncertain <= credit.credits
            assert self.doubtful <= credit.uncertain, "a doubtful credit that nobody is told of"


OneCredit.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestOneCredit = OneCredit.TestCase
