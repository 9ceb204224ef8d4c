"""The life of a credit, rule by rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from arcade_edge.domain.credits import (
    BUSY,
    COIN_LINE,
    EXPIRED,
    FORGOTTEN,
    MADE_BEFORE_START,
    MAX_WAITING,
    MEMORY_MS,
    RESTARTED,
    REVOKED,
    STOPPED,
    TOO_MANY,
    Command,
    Context,
    Credit,
    Event,
    FirstEdge,
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
from arcade_edge.errors import InvariantBroken
from arcade_shared.ids import uuid7

NOW = 1_790_000_000_000
EXPIRES = NOW + 120_000
ID = uuid7(NOW)
SITUATION = Context(cloud_ms=NOW, max_credits=10)
COMMAND = Command(ID, 3, NOW + 120_000)
ACCEPTED = Credit(ID, 3, "accepted", NOW + 120_000)
PULSING = replace(ACCEPTED, state="pulsing", intent=True)
FINALS = (
    replace(ACCEPTED, state="done", delivered=2, uncertain=1),
    replace(ACCEPTED, state="done"),
    replace(ACCEPTED, state="refused", reason=EXPIRED),
    Credit(ID, 0, "revoked", 0, reason=REVOKED),
)


def after(credit: Credit | None, event: object, context: Context = SITUATION) -> Credit:
    decided = decide(credit, event, context).credit  # type: ignore[arg-type]
    assert decided is not None
    return decided


def test_a_valid_command_is_accepted_and_said_so() -> None:
    decision = decide(None, COMMAND, SITUATION)
    assert decision.credit == ACCEPTED
    assert decision.answer is not None
    assert (decision.answer.state, decision.answer.final) == ("accepted", False)


@pytest.mark.parametrize(
    ("command", "context", "reason"),
    [
        (replace(COMMAND, expires_at_ms=NOW), SITUATION, EXPIRED),
        (replace(COMMAND, credits=11), SITUATION, TOO_MANY),
        (COMMAND, replace(SITUATION, waiting=MAX_WAITING), BUSY),
        (COMMAND, replace(SITUATION, started_ms=NOW + 1), MADE_BEFORE_START),
        (COMMAND, replace(SITUATION, halt=COIN_LINE), COIN_LINE),
    ],
)
def test_a_command_that_can_never_be_pulsed_is_refused_for_good(
    command: Command, context: Context, reason: str
) -> None:
    """The refusal is a credit, so it is journaled, and told from the outbox and not before."""
    decision = decide(None, command, context)
    assert decision.credit == replace(
        ACCEPTED,
        credits=command.credits,
        expires_at_ms=command.expires_at_ms,
        state="refused",
        reason=reason,
    )
    assert decision.answer is None


@pytest.mark.parametrize("credit", [ACCEPTED, PULSING, *FINALS])
@pytest.mark.parametrize(
    "command", [COMMAND, replace(COMMAND, credits=99), replace(COMMAND, expires_at_ms=NOW - 1)]
)
def test_a_known_id_is_answered_with_its_state_whatever_the_message_says_now(
    credit: Credit, command: Command
) -> None:
    decision = decide(credit, command, SITUATION)
    assert decision.credit == credit
    assert decision.answer is not None
    told = decision.answer
    assert (told.state, told.final, told.credits, told.delivered, told.uncertain, told.reason) == (
        credit.state,
        credit.final,
        credit.credits,
        credit.delivered,
        credit.uncertain,
        credit.reason,
    )


def test_a_command_after_the_revoke_of_its_id_is_never_pulsed() -> None:
    """The tombstone answers it."""
    tombstone = after(None, Revocation(ID))
    assert (tombstone.state, tombstone.credits) == ("revoked", 0)
    decision = decide(tombstone, COMMAND, SITUATION)
    assert decision.credit == tombstone
    assert decision.answer is not None
    assert (decision.answer.state, decision.answer.final) == ("revoked", True)


def test_a_revoke_ends_what_has_not_begun() -> None:
    assert after(ACCEPTED, Revocation(ID)) == replace(ACCEPTED, state="done", reason=REVOKED)


def test_a_revoke_of_a_running_train_does_not_touch_it() -> None:
    decision = decide(PULSING, Revocation(ID), SITUATION)
    assert decision.credit == PULSING
    assert decision.answer is not None
    assert (decision.answer.state, decision.answer.final) == ("pulsing", False)


@pytest.mark.parametrize("event", [Revocation(ID), COMMAND])
@pytest.mark.parametrize(
    "context",
    [
        replace(SITUATION, cloud_ms=NOW + MEMORY_MS + 1),
        replace(SITUATION, cloud_ms=None, forgotten_before_ms=NOW + 1),
        replace(SITUATION, forgotten_before_ms=NOW + 1),
    ],
)
def test_of_an_id_older_than_the_journal_nothing_final_is_said_and_nothing_is_written(
    event: Command | Revocation, context: Context
) -> None:
    """It may have been pulsed and forgotten: so it is never pulsed, and `unknown` decides about no money."""
    decision = decide(None, event, context)
    assert decision.credit is None
    assert decision.answer is not None
    told = decision.answer
    assert (told.state, told.final, told.reason) == ("unknown", False, FORGOTTEN)


def test_an_id_that_the_journal_still_holds_is_answered_however_old_it_is() -> None:
    late = replace(SITUATION, cloud_ms=NOW + 2 * MEMORY_MS)
    assert decide(FINALS[0], COMMAND, late).answer is not None
    assert after(FINALS[0], COMMAND, late) == FINALS[0]


def test_its_turn_makes_an_intent_before_any_pulse() -> None:
    assert after(ACCEPTED, Turn()) == PULSING


def test_without_the_clouds_time_a_command_waits_and_is_not_pulsed() -> None:
    """Whether its time is over cannot be known, so it is neither pulsed nor refused."""
    blind = replace(SITUATION, cloud_ms=None)
    assert after(None, COMMAND, blind) == ACCEPTED
    assert after(ACCEPTED, Turn(), blind) == ACCEPTED
    assert after(ACCEPTED, Waited(), blind) == ACCEPTED
    assert after(ACCEPTED, Turn(), SITUATION) == PULSING


def test_a_machine_that_is_not_ready_holds_credits_back() -> None:
    inhibited = replace(SITUATION, machine_ready=False)
    assert after(None, COMMAND, inhibited) == ACCEPTED
    assert after(ACCEPTED, Turn(), inhibited) == ACCEPTED


def test_what_was_made_before_the_computer_started_is_not_begun_when_that_becomes_known() -> None:
    """The card may have forgotten that it was pulsed: what was written last is lost with the power on some."""
    started = replace(SITUATION, started_ms=NOW + 1)
    for event in (Turn(), Waited()):
        assert after(ACCEPTED, event, started) == replace(ACCEPTED, state="done", reason=MADE_BEFORE_START)
    assert after(None, Revocation(ID), started).state == "revoked"
    assert after(None, COMMAND, replace(SITUATION, started_ms=NOW)) == ACCEPTED


def test_the_deadline_ends_what_waits() -> None:
    late = replace(SITUATION, cloud_ms=ACCEPTED.expires_at_ms)
    for event in (Turn(), Waited()):
        assert after(ACCEPTED, event, late) == replace(ACCEPTED, state="done", reason=EXPIRED)


def test_the_deadline_is_read_once_more_before_the_first_edge() -> None:
    """A commit may take seconds on a dying card; surely nothing was pulsed, so nothing is uncertain."""
    for cloud_ms in (PULSING.expires_at_ms, None):
        late = replace(SITUATION, cloud_ms=cloud_ms)
        assert after(PULSING, FirstEdge(), late) == replace(ACCEPTED, state="done", reason=EXPIRED)
    assert after(PULSING, FirstEdge()) == PULSING


def test_the_deadline_does_not_cut_a_train_that_has_begun() -> None:
    late = replace(SITUATION, cloud_ms=PULSING.expires_at_ms + 1)
    assert after(PULSING, Pulsed(), late) == replace(PULSING, delivered=1)


def test_completion_and_the_next_intent_are_one_change() -> None:
    one = after(PULSING, Pulsed())
    two = after(one, Pulsed())
    assert (one.delivered, one.intent, two.delivered, two.intent) == (1, True, 2, True)
    assert after(two, Pulsed()) == replace(ACCEPTED, state="done", delivered=3)


def test_a_stop_lets_the_running_credit_end_and_begins_no_other() -> None:
    stopping = replace(SITUATION, halt=STOPPED)
    assert after(PULSING, Pulsed(), stopping) == replace(ACCEPTED, state="done", delivered=1, reason=STOPPED)
    assert after(ACCEPTED, Waited(), stopping) == replace(ACCEPTED, state="done", reason=STOPPED)
    last = replace(PULSING, delivered=2)
    assert after(last, Pulsed(), stopping) == replace(ACCEPTED, state="done", delivered=3)


def test_a_credit_that_surely_never_began_is_not_delivered() -> None:
    assert after(PULSING, NotPulsed(started=False)) == replace(ACCEPTED, state="done", reason=COIN_LINE)


def test_a_credit_that_broke_off_is_uncertain() -> None:
    begun = replace(PULSING, delivered=1)
    assert after(begun, NotPulsed(started=True)) == replace(
        ACCEPTED, state="done", delivered=1, uncertain=1, reason=COIN_LINE
    )


def test_a_start_resumes_nothing() -> None:
    """What was under way is uncertain, the rest is not delivered, and what is final stays."""
    assert after(ACCEPTED, Restarted()) == replace(ACCEPTED, state="done", reason=RESTARTED)
    assert after(replace(PULSING, delivered=1), Restarted()) == replace(
        ACCEPTED, state="done", delivered=1, uncertain=1, reason=RESTARTED
    )
    for final in FINALS:
        assert after(final, Restarted()) == final


def test_a_metered_train_waits_for_the_meter_before_it_is_final() -> None:
    ending = after(replace(PULSING, delivered=2), Pulsed())
    waiting = unsettled(ending, 1)
    assert (waiting.state, waiting.delivered, waiting.intent) == ("pulsing", 3, False)
    assert after(waiting, Settled(ending, 4)) == replace(ACCEPTED, state="done", delivered=3, registered=4)
    assert after(waiting, Restarted()) == replace(ACCEPTED, state="done", delivered=3)


@pytest.mark.parametrize(
    ("counts", "registered", "delivered", "reason"),
    [
        (False, 3, 3, ""),
        (False, 2, 3, "coins not registered: 2 of 3"),
        (True, 5, 3, ""),
        (True, 2, 2, "coins not registered: 2 of 3"),
        (True, 0, 0, "coins not registered: 0 of 3"),
    ],
)
def test_where_the_meter_counts_what_it_has_missed_was_not_delivered(
    counts: bool, registered: int, delivered: int, reason: str
) -> None:
    """Coins by hand can only add; fewer are named in any case."""
    situation = replace(SITUATION, counts=counts)
    ending = after(replace(PULSING, delivered=2), Pulsed(), situation)
    settled = after(unsettled(ending, 0), Settled(ending, registered), situation)
    assert settled == replace(ACCEPTED, state="done", delivered=delivered, registered=registered, reason=reason)


def test_a_train_that_was_broken_off_says_both_why_and_what_was_not_registered() -> None:
    ending = after(replace(PULSING, delivered=1), NotPulsed(True))
    waiting = unsettled(ending, 0)
    assert (waiting.delivered, waiting.intent) == (1, True)
    settled = after(waiting, Settled(ending, 0))
    assert (settled.delivered, settled.uncertain, settled.registered) == (1, 1, 0)
    assert settled.reason == f"coins not registered: 0 of 1; {COIN_LINE}"


def test_after_a_restart_only_what_was_known_to_be_registered_counts() -> None:
    """The journal has the meter's word as of the last commit. Without a word there was no meter."""
    cut = replace(PULSING, delivered=2, registered=1)
    counting = replace(SITUATION, counts=True)
    assert (after(cut, Restarted()).delivered, after(cut, Restarted()).registered) == (2, None)
    assert (after(cut, Restarted(), counting).delivered, after(cut, Restarted(), counting).uncertain) == (1, 1)
    assert after(replace(cut, registered=None), Restarted(), counting).delivered == 2


@pytest.mark.parametrize("counts", [False, True])
def test_a_final_answer_does_not_change_with_the_settings(counts: bool) -> None:
    done = replace(ACCEPTED, state="done", delivered=3, registered=1)
    assert answer_of(done, counts=counts).delivered == 3
    running = replace(PULSING, delivered=2, registered=1)
    assert answer_of(running, counts=counts).delivered == (1 if counts else 2)


class TestPause:
    """Between two pulses of a train: nothing is begun, and no intent stands in the journal."""

    NOT_READY = replace(SITUATION, pause="machine not ready")
    WAITS = replace(PULSING, delivered=1, intent=False)

    def test_a_credit_that_ends_while_the_machine_is_not_ready_is_the_last_for_now(self) -> None:
        assert after(PULSING, Pulsed(), self.NOT_READY) == self.WAITS

    def test_it_goes_on_once_the_reason_is_gone(self) -> None:
        assert after(self.WAITS, Paused(False), self.NOT_READY) == self.WAITS
        assert after(self.WAITS, Paused(False)) == replace(PULSING, delivered=1)

    def test_it_ends_with_the_reason(self) -> None:
        over = replace(self.NOT_READY, end="machine not ready")
        done = replace(ACCEPTED, state="done", delivered=1, reason="machine not ready")
        assert after(self.WAITS, Paused(False), over) == done
        assert after(PULSING, Pulsed(), over) == done

    def test_a_credit_that_was_held_before_its_pulse_is_not_begun(self) -> None:
        held = after(replace(PULSING, delivered=1), Held(False), self.NOT_READY)
        assert held == self.WAITS
        assert after(held, Restarted()) == replace(ACCEPTED, state="done", delivered=1, reason=RESTARTED)

    def test_a_credit_that_was_held_in_its_middle_is_uncertain_if_it_goes_no_further(self) -> None:
        held = after(PULSING, Held(True), self.NOT_READY)
        assert held == PULSING
        over = replace(self.NOT_READY, end="machine not ready")
        assert after(held, Paused(True), over) == replace(
            ACCEPTED, state="done", uncertain=1, reason="machine not ready"
        )
        assert after(held, Paused(True)) == PULSING
        assert after(PULSING, Held(True), over).uncertain == 1

    @pytest.mark.parametrize("event", [Held(False), Paused(False)])
    def test_a_first_pulse_that_was_held_still_has_its_deadline(self, event: Event) -> None:
        late = replace(SITUATION, cloud_ms=EXPIRES)
        begun = replace(PULSING, intent=isinstance(event, Held))
        assert after(begun, event, late) == replace(ACCEPTED, state="done", reason=EXPIRED)
        assert after(begun, event, replace(SITUATION, cloud_ms=None)).reason == EXPIRED

    def test_a_train_that_is_over_cannot_pause(self) -> None:
        for credit in (replace(PULSING, delivered=3, intent=False), *FINALS, ACCEPTED):
            with pytest.raises(InvariantBroken):
                after(credit, Paused(False))

    def test_no_train_begins_while_the_cloud_is_not_heard(self) -> None:
        assert after(ACCEPTED, Turn(), replace(SITUATION, pause="connection lost")) == ACCEPTED


@pytest.mark.parametrize("credit", [None, ACCEPTED, *FINALS, replace(PULSING, intent=False)])
@pytest.mark.parametrize("event", [Pulsed(), NotPulsed(True), FirstEdge()])
def test_a_pulse_without_a_journaled_intent_is_a_defect(credit: Credit | None, event: object) -> None:
    with pytest.raises(InvariantBroken):
        after(credit, event)


@pytest.mark.parametrize(
    "change",
    [
        {"delivered": 4},
        {"delivered": 3},  # with the intent for a fourth
        {"uncertain": 1},
        {"delivered": -1},
        {"state": "done"},
        {"state": "accepted"},
        {"state": "lost"},
    ],
)
def test_a_credit_that_cannot_be_is_not_made(change: dict[str, object]) -> None:
    with pytest.raises(InvariantBroken):
        replace(PULSING, **change)  # type: ignore[arg-type]
