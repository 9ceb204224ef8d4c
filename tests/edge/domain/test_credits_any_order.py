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
    Held,
    NotPulsed,
    Paused,
    Pulsed,
    Restarted,
    Revocation,
    Settled,
    Turn,
    Waited,
    decide,
    unsettled,
)
from arcade_edge.domain.train import Pause, TrainEnd
from arcade_shared.ids import uuid7

NOW = 1_790_000_000_000
ID = uuid7(NOW)
EXPIRES = NOW + 100
HALTS: list[Halt] = ["", "", "stopped"]
PAUSES: list[Pause] = ["", "machine not ready", "connection lost"]
ENDS: list[TrainEnd] = ["", "", "train too long"]


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
        self.paused: bool | None = None
        self.ending: Credit | None = None
        self.revoked_before_begun = False
        self.now = NOW
        self.known = True
        self.ready = True
        self.halt: Halt = ""
        self.pause: Pause = ""
        self.end: TrainEnd = ""
        self.metered = False
        self.asked = 0
        self.late_first_edge = False

    def context(self) -> Context:
        return Context(
            self.now if self.known else None,
            10,
            machine_ready=self.ready,
            halt=self.halt,
            pause=self.pause,
            end=self.end,
        )

    def move(self, event: Event) -> Decision:
        decision = decide(self.journal, event, self.context())
        after = decision.credit
        is_of_train = isinstance(event, Pulsed | NotPulsed | Held | Paused)
        if is_of_train and self.metered and after is not None and after.final:
            self.ending, after = after, unsettled(after, None)
        self.journal = after
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

    @precondition(lambda self: self.running and not self.pulsing and self.pulsed == 0 and self.paused is None)
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
        self.go_on(begun=False)

    def go_on(self, *, begun: bool) -> None:
        """What the train does after it was decided about."""
        assert self.journal is not None
        self.running = not self.journal.final
        self.paused = None
        if self.ending is None and self.running:
            if self.journal.intent and not self.pause:
                self.begin()
            else:
                self.paused = begun

    @precondition(lambda self: self.pulsing)
    @rule(begun=st.booleans())
    def is_held(self, begun: bool) -> None:
        """The line hands the credit back: before its first pulse, or in its middle."""
        self.pulsing = False
        self.doubtful += int(begun)
        self.move(Held(begun))
        assert self.journal is not None
        self.running = not self.journal.final
        self.paused = begun if self.running and self.ending is None else None

    @precondition(lambda self: self.paused is not None)
    @rule()
    def looks_again(self) -> None:
        begun = bool(self.paused)
        self.move(Paused(begun))
        goes_on = self.ending is None and self.journal is not None and not self.journal.final and not self.pause
        self.doubtful -= int(begun and goes_on)  # its remaining pulses follow
        self.go_on(begun=begun)

    @precondition(lambda self: self.pulsing)
    @rule(started=st.booleans())
    def fails(self, started: bool) -> None:
        self.pulsing = False
        self.doubtful += int(started)
        self.move(NotPulsed(started))
        self.running = self.ending is not None

    @precondition(lambda self: self.ending is not None)
    @rule(registered=st.integers(0, 20))
    def settles(self, registered: int) -> None:
        assert self.ending is not None
        self.move(Settled(self.ending, registered))
        self.running, self.ending = False, None

    @rule()
    def power_cut(self) -> None:
        """At any instant; whatever was between two edges then is in doubt."""
        self.doubtful += int(self.pulsing)
        self.pulsing = self.running = False
        self.paused = self.ending = None
        if self.journal is not None:
            self.move(Restarted())

    @precondition(lambda self: self.pulsing)
    @rule()
    def power_cut_before_the_completion_is_committed(self) -> None:
        """The pulse was whole, and nobody wrote it down."""
        self.doubtful += 1
        self.pulsing = self.running = False
        self.paused = self.ending = None
        self.move(Restarted())

    @precondition(lambda self: self.journal is not None)
    @rule(
        ms=st.integers(0, 60),
        known=st.booleans(),
        ready=st.booleans(),
        halt=st.sampled_from(HALTS),
        pause=st.sampled_from(PAUSES),
        end=st.sampled_from(ENDS),
        metered=st.booleans(),
    )
    def time_passes(
        self, ms: int, known: bool, ready: bool, halt: Halt, pause: Pause, end: TrainEnd, metered: bool
    ) -> None:
        self.now += ms
        self.known, self.ready, self.halt, self.metered = known, ready, halt, metered
        self.pause, self.end = pause, end
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


OneCredit.TestCase.settings = settings(max_examples=150, stateful_step_count=30)
TestOneCredit = OneCredit.TestCase
