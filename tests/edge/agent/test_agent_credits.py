"""The loop and a credit: what is committed, pulsed, acknowledged and told, and in which order."""

from __future__ import annotations

import pytest

from arcade_edge.agent.delivery import JOURNAL_RETRY_MS, LINE_RESTS_MS
from arcade_edge.agent.loop import PRUNE_EVERY_MS
from arcade_edge.agent.signals import DetectorBack, DetectorFault, MeterPulse, PulseFailed, ReadyChanged
from arcade_edge.domain.credits import MAX_WAITING, MEMORY_MS
from arcade_edge.domain.meter import Meter
from arcade_edge.ports import Arrived, Receipt, StopAsked
from arcade_shared.ids import uuid7
from arcade_shared.topics import machine_topic
from support.agent_rig import KEY, MACHINE, T0, Rig
from support.memory_journal import MemoryJournal
from support.mqtt_cloud import clock, coinpulse

OTHER_KEY = bytes(32)


def test_a_command_is_pulsed_as_often_as_it_says_and_acknowledged_as_done() -> None:
    rig = Rig().connected()
    credit_id = rig.command(3)
    rig.pulse_all()
    assert rig.line.tokens == [(credit_id, 0), (credit_id, 1), (credit_id, 2)]
    states = [(ack.state, ack.final, ack.delivered) for ack in rig.acks(credit_id)]
    assert states[0] == ("accepted", False, 0)
    assert states[-1] == ("done", True, 3)


def test_every_pulse_has_an_intent_in_the_journal_before_it() -> None:
    rig = Rig().connected()
    rig.command(3)
    rig.command(2)
    rig.pulse_all()
    assert len(rig.line.tokens) == 5
    assert rig.line.without_intent == []


def test_on_a_free_line_one_commit_stands_before_the_first_edge() -> None:
    rig = Rig().connected()
    rig.command(2)
    assert [len(commit) for commit in rig.journal.commits] == [1]
    rig.pulsed()
    assert [len(commit) for commit in rig.journal.commits] == [1, 1]


def test_the_message_is_acknowledged_only_after_the_commit() -> None:
    rig = Rig().connected()
    commits = len(rig.journal.commits)
    rig.command()
    assert rig.link.journaled_at_ack[rig.mid] == commits + 1


def test_a_command_that_could_not_be_journaled_is_not_acknowledged_and_not_pulsed() -> None:
    """It is delivered again after the reconnect that follows the journal's return."""
    rig = Rig().connected()
    rig.journal.faulty = True
    credit_id = rig.command()
    assert rig.mid not in rig.link.acknowledged
    assert rig.line.tokens == []
    assert rig.stands() == (False, "journal")
    rig.journal.faulty = False
    rig.pass_time(2 * JOURNAL_RETRY_MS)
    assert rig.link.reconnects
    rig.command(credit_id=credit_id)
    rig.pulse_all()
    assert rig.final(credit_id).delivered == 1


@pytest.mark.parametrize("after_pulses", [0, 1, 3])
def test_duplicates_change_nothing(after_pulses: int) -> None:
    """Ten copies at any moment: one train, and each copy answered with where it stands."""
    rig = Rig().connected()
    credit_id = rig.command(3)
    for _ in range(after_pulses):
        rig.pulsed()
    answers = len(rig.acks(credit_id))
    for _ in range(10):
        rig.command(3, credit_id=credit_id)
    assert len(rig.acks(credit_id)) == answers + 10
    rig.pulse_all()
    assert len(rig.line.tokens) == 3
    assert rig.final(credit_id).delivered == 3


def test_credits_are_pulsed_one_command_after_the_other_in_the_order_of_arrival() -> None:
    rig = Rig().connected()
    first, second, third = rig.command(2), rig.command(1), rig.command(1)
    rig.pulse_all()
    assert [token[0] for token in rig.line.tokens] == [first, first, second, third]


def test_beyond_the_queues_bound_a_command_is_refused_and_the_machine_not_ready() -> None:
    rig = Rig().connected()
    rig.command()
    for _ in range(MAX_WAITING):
        rig.command()
    assert rig.stands() == (False, "busy")
    assert rig.final(rig.command()).reason == "busy"


def test_a_journal_that_was_rolled_back_pulses_nothing_twice() -> None:
    """Some cards lose with the power what they had confirmed; and somebody may put an older copy back."""
    rig = Rig().connected()
    credit_id = rig.command(2)
    rig.pulse_all()
    assert rig.final(credit_id).delivered == 2
    older = MemoryJournal(rig.journal.installation)
    rebooted = Rig(journal=older, boot_ms=20_000)
    rebooted.cloud_offset_ms = rig.cloud_ms + 30_000 - rebooted.boot_ms
    rebooted.connected()
    assert rebooted.stands() == (True, "")
    rebooted.command(2, credit_id=credit_id)
    assert rebooted.line.tokens == []
    assert (rebooted.final(credit_id).state, rebooted.final(credit_id).delivered) == ("refused", 0)
    rebooted.command(1)
    rebooted.pulse_all()
    assert len(rebooted.line.tokens) == 1


def test_a_train_without_a_connection_keeps_the_loop_asleep_even_if_pruning_is_overdue() -> None:
    """Nothing is pruned while the line is busy. A due time in the past would make the loop spin."""
    rig = Rig().connected()
    rig.command(2)
    rig.disconnected()
    rig.boot_ms += 3 * PRUNE_EVERY_MS
    rig.agent.tick()
    assert rig.line.under_way is not None
    assert rig.agent.next_due_ms() > rig.boot_ms


def test_the_deadline_is_read_again_after_the_commit() -> None:
    """A card that takes longer to write than the command lives: no edge, and nothing uncertain."""
    rig = Rig().connected()
    commit = rig.journal.commit

    def slowly(*args: object, **kwargs: object) -> None:
        commit(*args, **kwargs)  # type: ignore[arg-type]
        rig.boot_ms += 3_000

    rig.journal.commit = slowly  # type: ignore[method-assign]
    credit_id = rig.command(life_ms=2_000)
    assert rig.line.tokens == []
    final = rig.final(credit_id)
    assert (final.state, final.delivered, final.uncertain, final.reason) == ("done", 0, 0, "expired")


@pytest.mark.parametrize("life_ms", [2_990, 3_050])
def test_the_last_look_at_the_deadline_comes_after_the_lines_gap(life_ms: int) -> None:
    """The line begins no pulse until its gap is over, so a look before that would not be the last."""
    rig = Rig(gap_ms=3_000).connected()
    rig.pass_time(3_000)
    rig.command(2)
    rig.pulse_all()
    rig.confirm_all()
    late = rig.command(1, life_ms=life_ms)
    rig.pass_time(2_000)
    assert len(rig.line.tokens) == 2
    rig.pass_time(2_000)
    rig.pulse_all()
    # The agent believes the cloud to be a thousandth further: 3 ms after these 3 s.
    assert rig.final(late).delivered == (life_ms > 3_000)


def test_after_a_start_the_lines_gap_is_waited_for() -> None:
    """The process before may have ended a pulse a moment ago."""
    rig = Rig(gap_ms=500).connected()
    credit_id = rig.command()
    assert rig.line.tokens == []
    rig.pass_time(500)
    assert rig.line.tokens == [(credit_id, 0)]


def test_a_credit_that_waits_ends_at_its_deadline_by_itself() -> None:
    rig = Rig().connected()
    rig.command(1)
    waiting = rig.command(1, life_ms=5_000)
    rig.pass_time(6_000)
    assert (rig.final(waiting).state, rig.final(waiting).reason) == ("done", "expired")


def test_an_expired_command_is_refused_for_good() -> None:
    rig = Rig().connected()
    credit_id = rig.command(life_ms=-1)
    assert (rig.final(credit_id).state, rig.final(credit_id).reason) == ("refused", "expired")
    rig.command(credit_id=credit_id, life_ms=60_000)
    assert rig.line.tokens == []
    assert rig.counted() == {"refused: expired": 1}


def test_a_refusal_that_could_not_be_journaled_is_not_told() -> None:
    """The cloud would keep or return money on a word that a power cut may turn into another one."""
    rig = Rig().connected()
    rig.journal.faulty = True
    credit_id = rig.command(life_ms=-1)
    rig.revoke(rig.new_id())
    assert rig.acks() == []
    rig.journal.faulty = False
    rig.pass_time(2 * JOURNAL_RETRY_MS)
    rig.command(credit_id=credit_id, life_ms=-1)
    assert rig.final(credit_id).state == "refused"


def test_more_credits_than_the_profile_allows_are_refused() -> None:
    rig = Rig(max_credits=5).connected()
    assert rig.final(rig.command(6)).reason == "too many credits"


def test_without_the_clouds_time_nothing_is_pulsed_until_it_is_known() -> None:
    rig = Rig().connected(tell_time=False)
    early, late = rig.command(life_ms=30_000), rig.command(life_ms=1_000)
    assert rig.line.tokens == []
    assert rig.acks(early)[-1].state == "accepted"
    rig.boot_ms += 2_000
    rig.tell_time()
    rig.pulse_all()
    assert rig.final(early).delivered == 1
    assert (rig.final(late).delivered, rig.final(late).reason) == (0, "expired")


def test_a_machine_that_is_not_ready_keeps_the_credit_until_it_is() -> None:
    rig = Rig(has_ready=True).connected()
    assert rig.stands() == (False, "machine not ready")
    credit_id = rig.command()
    assert rig.line.tokens == []
    assert rig.acks(credit_id)[-1].state == "accepted"
    rig.agent.handle(ReadyChanged(True, 0))
    rig.pulse_all()
    assert rig.final(credit_id).delivered == 1


def test_a_ready_line_that_cannot_be_read_counts_as_not_ready() -> None:
    rig = Rig(has_ready=True).connected()
    rig.agent.handle(ReadyChanged(True, 0))
    assert rig.stands() == (True, "")
    rig.agent.handle(DetectorFault("ready", "ready (GPIO5)", "gone", 0))
    assert not rig.stands()[0]
    rig.agent.handle(DetectorBack("ready", "ready (GPIO5)", 0))
    assert rig.stands() == (True, "")


class TestRevoke:
    def test_before_the_command_it_leaves_a_tombstone_that_a_late_command_meets(self) -> None:
        rig = Rig().connected()
        credit_id = rig.new_id()
        rig.revoke(credit_id)
        assert rig.final(credit_id).state == "revoked"
        rig.command(credit_id=credit_id)
        assert rig.line.tokens == []
        assert rig.final(credit_id).state == "revoked"

    def test_before_its_turn_it_ends_the_credit(self) -> None:
        rig = Rig().connected()
        rig.command()
        waiting = rig.command()
        rig.revoke(waiting)
        rig.pulse_all()
        assert (rig.final(waiting).delivered, rig.final(waiting).reason) == (0, "revoked")

    def test_while_pulsing_it_is_answered_at_the_end(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command(2)
        rig.pulsed()
        rig.revoke(credit_id)
        assert (rig.acks(credit_id)[-1].state, rig.acks(credit_id)[-1].final) == ("pulsing", False)
        rig.pulse_all()
        assert rig.final(credit_id).delivered == 2

    def test_after_the_end_it_is_answered_with_what_was_delivered(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command(2)
        rig.pulse_all()
        answers = len(rig.acks(credit_id))
        rig.revoke(credit_id)
        assert len(rig.acks(credit_id)) == answers + 1
        assert rig.final(credit_id).delivered == 2

    def test_of_an_id_older_than_the_journal_it_is_answered_unknown_and_not_final(self) -> None:
        rig = Rig().connected()
        old = uuid7(T0 - MEMORY_MS - 1000)
        rig.revoke(old)
        rig.command(credit_id=old)
        assert [(ack.state, ack.final) for ack in rig.acks(old)] == [("unknown", False)] * 2
        assert rig.journal.credits == {}
        assert rig.line.tokens == []


def test_pruning_reopens_no_door() -> None:
    """A credit that was pulsed and forgotten is not pulsed again, though the command is signed and lives."""
    rig = Rig().connected()
    credit_id = rig.command(life_ms=2 * MEMORY_MS)
    rig.pulse_all()
    rig.confirm_all()
    rig.boot_ms += MEMORY_MS + 3_600_000
    rig.connected()
    rig.pass_time(60_000)
    assert rig.journal.find(credit_id) is None
    rig.command(credit_id=credit_id, life_ms=60_000)
    rig.revoke(credit_id)
    assert len(rig.line.tokens) == 1
    assert [ack.state for ack in rig.acks(credit_id)][-2:] == ["unknown", "unknown"]


class TestWhatIsNotForUs:
    def test_a_forged_command_is_counted_and_leaves_no_trace(self) -> None:
        rig = Rig().connected()
        rig.command(key=OTHER_KEY)
        rig.revoke(rig.new_id(), key=OTHER_KEY)
        assert (rig.journal.credits, rig.line.tokens, rig.acks()) == ({}, [], [])
        assert rig.mid in rig.link.acknowledged
        assert rig.counted() == {"bad signature": 2}

    def test_a_command_for_another_installation_is_ignored_though_it_is_signed(self) -> None:
        rig = Rig().connected()
        rig.command(installation="cd" * 16)
        rig.command(installation="")
        rig.revoke(rig.new_id(), installation="cd" * 16)
        assert (rig.journal.credits, rig.line.tokens, rig.acks()) == ({}, [], [])
        assert rig.mid in rig.link.acknowledged
        assert rig.counted() == {"for another installation": 3}

    def test_the_signature_and_the_installation_are_checked_before_the_id_is_looked_up(self) -> None:
        """Knowing an id is not enough to learn anything about its credit."""
        rig = Rig().connected()
        credit_id = rig.command()
        rig.pulse_all()
        answers = len(rig.acks())
        rig.command(credit_id=credit_id, key=OTHER_KEY)
        rig.command(credit_id=credit_id, installation="cd" * 16)
        assert len(rig.acks()) == answers

    def test_a_retained_command_is_always_ignored(self) -> None:
        rig = Rig(allow_unsigned=True).connected()
        rig.command(retained=True)
        rig.arrives("coinpulse", b'{"machineId":"cab-01","credits":1,"timestamp":"now"}', retained=True)
        assert rig.line.tokens == []
        assert rig.counted() == {"retained": 2}

    def test_a_signature_is_bound_to_its_topic(self) -> None:
        """A command cannot be turned into one for another machine, nor a clock answer into a command."""
        rig = Rig().connected()
        payload = coinpulse(KEY, "cab-02", rig.new_id(), 1, rig.journal.installation, T0 + 10**6)
        rig.arrives("coinpulse", payload)
        assert rig.line.tokens == []
        assert rig.counted() == {"bad signature": 1}

    def test_another_machines_topic_is_not_ours(self) -> None:
        rig = Rig().connected()
        payload = coinpulse(KEY, "cab-02", rig.new_id(), 1, rig.journal.installation, T0 + 10**6)
        rig.arrives("coinpulse", payload, topic=machine_topic("cab-02", "coinpulse"))
        assert rig.line.tokens == []
        assert rig.counted() == {"not on a topic of this machine": 1}

    @pytest.mark.parametrize(
        "payload",
        [b"", b"{}", b"null", b"[" * 3000, b"\xff", b'{"creditId":1}', b'{"credits":1e999}', b"x" * 5000],
    )
    def test_rubbish_is_counted_and_acknowledged(self, payload: bytes) -> None:
        rig = Rig(allow_unsigned=True).connected()
        for kind in ("coinpulse", "revoke", "clock"):
            rig.arrives(kind, payload)
            assert rig.mid in rig.link.acknowledged
        assert (rig.journal.credits, rig.line.tokens) == ({}, [])
        assert sum(rig.counted().values()) == 3

    def test_an_old_key_is_still_accepted_while_keys_are_rotated(self) -> None:
        rig = Rig(keys=(KEY, OTHER_KEY)).connected()
        credit_id = rig.command(key=OTHER_KEY)
        rig.pulse_all()
        assert rig.final(credit_id).delivered == 1


class TestUnsigned:
    PULSE = b'{"machineId":"cab-01","credits":2,"timestamp":"by hand"}'

    def test_without_the_setting_it_is_refused_and_counted(self) -> None:
        rig = Rig().connected()
        rig.arrives("coinpulse", self.PULSE)
        assert rig.line.tokens == []
        assert rig.counted() == {"unsigned": 1}

    def test_on_a_bench_it_is_acknowledged_before_it_is_pulsed_and_never_reported(self) -> None:
        rig = Rig(allow_unsigned=True).connected(tell_time=False)
        handed_over = rig.line.pulse_credit
        acknowledged: list[int] = []

        def pulse_credit(token: object) -> None:
            acknowledged.append(len(rig.link.acknowledged))
            handed_over(token)

        rig.line.pulse_credit = pulse_credit  # type: ignore[method-assign]
        rig.arrives("coinpulse", self.PULSE)
        rig.pulse_all()
        assert acknowledged[0] == 1
        assert len(rig.line.tokens) == 2
        assert (rig.acks(), rig.journal.credits) == ([], {})

    def test_it_is_pulsed_at_most_once_though_its_acknowledgement_was_lost(self) -> None:
        """The broker then sends it again, marked as a repetition; it has no id by which it could be known."""
        rig = Rig(allow_unsigned=True).connected()
        rig.arrives("coinpulse", self.PULSE)
        rig.disconnected()
        rig.pulse_all()
        rig.connected()
        topic = machine_topic(MACHINE, "coinpulse")
        rig.agent.handle(Arrived(topic, self.PULSE, False, Receipt(2, 1, 1), repeated=True))
        rig.pulse_all()
        assert len(rig.line.tokens) == 2
        assert rig.counted() == {"unsigned, and perhaps pulsed before": 1}

    def test_it_may_not_exceed_what_a_command_may(self) -> None:
        rig = Rig(allow_unsigned=True, max_credits=3).connected()
        rig.arrives("coinpulse", self.PULSE)
        rig.arrives("coinpulse", self.PULSE)
        rig.pulse_all()
        assert len(rig.line.tokens) <= 3

    def test_it_waits_for_nothing(self) -> None:
        """Not ready means not pulsed: nobody has paid, so nobody is owed it later."""
        rig = Rig(allow_unsigned=True, has_ready=True).connected()
        rig.arrives("coinpulse", self.PULSE)
        rig.agent.handle(ReadyChanged(True, 0))
        assert rig.line.tokens == []

    def test_with_half_of_a_signature_it_is_no_bench_pulse(self) -> None:
        rig = Rig(allow_unsigned=True).connected()
        rig.arrives("coinpulse", self.PULSE[:-1] + b',"signature":""}')
        rig.arrives("coinpulse", self.PULSE[:-1] + b',"creditId":"x"}')
        assert rig.line.tokens == []

    def test_signed_credits_go_first(self) -> None:
        rig = Rig(allow_unsigned=True).connected()
        rig.arrives("coinpulse", self.PULSE)
        signed = rig.command()
        rig.pulse_all()
        assert rig.line.tokens == ["bench", (signed, 0), "bench"]


class TestRestart:
    def test_nothing_is_resumed(self) -> None:
        """Under way: delivered so far and one uncertain; waiting: none. Told after the next connect."""
        rig = Rig().connected()
        running, waiting = rig.command(3), rig.command(2)
        rig.pulsed()
        again = Rig(journal=rig.journal, boot_ms=1_000)
        assert again.line.tokens == []
        again.connected()
        again.pass_time(1_000)
        assert again.line.tokens == []
        told = again.final(running)
        assert (told.state, told.delivered, told.uncertain) == ("done", 1, 1)
        assert (again.final(waiting).delivered, again.final(waiting).uncertain) == (0, 0)

    def test_a_command_redelivered_after_the_restart_is_not_pulsed(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command(3)
        again = Rig(journal=rig.journal).connected()
        again.command(3, credit_id=credit_id)
        assert again.line.tokens == []
        assert again.final(credit_id).uncertain == 1

    def test_a_final_ack_that_was_not_confirmed_is_told_again(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command()
        rig.pulse_all()
        again = Rig(journal=rig.journal).connected()
        assert again.final(credit_id).delivered == 1
        again.confirm_all()
        again.pass_time(5_000)
        assert rig.journal.outbox == set()
        third = Rig(journal=rig.journal).connected()
        assert third.acks() == []


class TestStop:
    def test_it_finishes_the_running_credit_and_begins_no_other(self) -> None:
        rig = Rig().connected()
        running, waiting = rig.command(3), rig.command(1)
        rig.agent.handle(StopAsked())
        assert not rig.finished()
        rig.pulsed()
        assert rig.line.under_way is None
        assert (rig.final(running).delivered, rig.final(running).uncertain) == (1, 0)
        assert (rig.final(waiting).delivered, rig.final(waiting).reason) == (0, "stopped")
        assert rig.statuses()[-1].state == "offline"
        rig.confirm_all()
        assert rig.finished()

    def test_it_says_offline_and_waits_for_the_last_acks_but_not_for_ever(self) -> None:
        rig = Rig().connected()
        rig.confirm_all()
        rig.command()
        rig.agent.handle(StopAsked())
        rig.pulsed()
        assert not rig.finished()
        rig.pass_time(10_000)
        assert rig.finished()
        assert rig.journal.outbox

    def test_without_a_connection_it_ends_at_once(self) -> None:
        rig = Rig()
        rig.agent.handle(StopAsked())
        assert rig.finished()

    def test_what_arrives_meanwhile_is_left_to_the_broker(self) -> None:
        rig = Rig().connected()
        rig.command(2)
        rig.agent.handle(StopAsked())
        credit_id = rig.command()
        rig.revoke(credit_id)
        assert rig.mid not in rig.link.acknowledged
        assert rig.journal.find(credit_id) is None


class TestCoinLine:
    def test_a_credit_that_never_began_is_not_delivered_and_the_rest_is_given_back(self) -> None:
        rig = Rig().connected()
        first, second = rig.command(3), rig.command(1)
        rig.pulsed()
        rig.failed(started=False)
        assert (rig.final(first).delivered, rig.final(first).uncertain) == (1, 0)
        assert (rig.final(second).delivered, rig.final(second).reason) == (0, "coin line fault")

    def test_a_credit_that_broke_off_is_uncertain(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command(3)
        rig.failed(started=True)
        assert (rig.final(credit_id).delivered, rig.final(credit_id).uncertain) == (0, 1)

    def test_a_broken_line_is_not_sold_until_it_has_rested(self) -> None:
        rig = Rig().connected()
        rig.command()
        rig.failed(started=False)
        assert rig.stands() == (False, "coin line")
        assert rig.final(rig.command()).reason == "coin line fault"
        rig.pass_time(LINE_RESTS_MS + 1)
        assert rig.stands() == (True, "")
        credit_id = rig.command()
        rig.pulse_all()
        assert rig.final(credit_id).delivered == 1


class TestMeter:
    def test_the_ack_says_what_the_board_registered(self) -> None:
        """Also what it registers shortly after the last pulse; the next train waits for that."""
        rig = Rig(meter=Meter()).connected()
        credit_id, second = rig.command(2), rig.command(1)
        rig.agent.handle(MeterPulse(0))
        rig.pulsed()
        rig.pulsed()
        rig.agent.handle(MeterPulse(0))
        assert not [ack for ack in rig.acks(credit_id) if ack.final]
        assert rig.line.under_way is None
        rig.pass_time(Meter().settle_ms + 1)
        assert (rig.final(credit_id).delivered, rig.final(credit_id).registered) == (2, 2)
        rig.pulse_all()
        rig.pass_time(Meter().settle_ms + 1)
        assert rig.final(second).registered == 0

    def test_without_a_meter_nothing_is_said_of_it(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command()
        rig.pulse_all()
        assert rig.final(credit_id).registered is None


class TestJournalFault:
    def test_in_the_middle_of_a_train_no_further_credit_is_pulsed(self) -> None:
        """The credit whose completion could not be written is not lost: it is saved as soon as that works."""
        rig = Rig().connected()
        credit_id = rig.command(3)
        rig.pulsed()
        rig.journal.faulty = True
        rig.pulsed()
        assert len(rig.line.tokens) == 2
        assert not [ack for ack in rig.acks(credit_id) if ack.final]
        rig.journal.faulty = False
        rig.pass_time(2 * JOURNAL_RETRY_MS)
        told = rig.final(credit_id)
        assert (told.delivered, told.uncertain, told.reason) == (2, 0, "journal fault")
        assert rig.stands() == (True, "")

    def test_at_the_end_of_a_train_the_whole_is_told_later(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command(1)
        rig.journal.faulty = True
        rig.pulsed()
        assert rig.stands() == (False, "journal")
        rig.journal.faulty = False
        rig.pass_time(2 * JOURNAL_RETRY_MS)
        assert (rig.final(credit_id).delivered, rig.final(credit_id).reason) == (1, "")

    @pytest.mark.parametrize("delivered", [0, 1])
    def test_it_passes_while_a_slow_credit_is_pulsed_and_that_one_goes_on(self, delivered: int) -> None:
        """Another command's commit fails; the train under way, slower than the retry, is not closed over it."""
        rig = Rig().connected()
        running = rig.command(3)
        for _ in range(delivered):
            rig.pulsed()
        rig.journal.faulty = True
        rig.command()
        rig.journal.faulty = False
        rig.pass_time(2 * JOURNAL_RETRY_MS)
        assert not [ack for ack in rig.acks(running) if ack.final]
        rig.pulse_all()
        assert (rig.final(running).delivered, rig.final(running).uncertain) == (3, 0)

    def test_a_power_cut_before_it_is_saved_makes_the_credit_uncertain(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command(1)
        rig.journal.faulty = True
        rig.pulsed()
        rig.journal.faulty = False
        again = Rig(journal=rig.journal).connected()
        assert (again.final(credit_id).delivered, again.final(credit_id).uncertain) == (0, 1)

    def test_a_commit_that_failed_and_is_in_the_file_all_the_same_is_not_pulsed_later(self) -> None:
        rig = Rig().connected()
        rig.journal.faulty_after = True
        credit_id = rig.command(2)
        assert rig.line.tokens == []
        rig.journal.faulty_after = False
        rig.pass_time(2 * JOURNAL_RETRY_MS)
        rig.command(2, credit_id=credit_id)
        assert rig.line.tokens == []
        told = rig.final(credit_id)
        assert (told.delivered, told.uncertain, told.reason) == (0, 0, "journal fault")

    @pytest.mark.parametrize("fault", ["faulty", "faulty_after"])
    @pytest.mark.parametrize("revoked", [False, True])
    def test_what_waited_and_was_over_as_the_journal_failed_is_not_decided_anew(
        self, fault: str, revoked: bool
    ) -> None:
        """The card may have it all the same, so another end would contradict what is told after a restart."""
        rig = Rig(has_ready=True).connected()
        credit_id = rig.command(life_ms=10_000)  # it waits: the machine is not ready
        setattr(rig.journal, fault, True)
        if revoked:
            rig.revoke(credit_id)
        else:
            rig.agent.handle(PulseFailed("bench", False, "the line cannot be driven"))
            rig.pass_time(1)
        setattr(rig.journal, fault, False)
        rig.pass_time(60_000)  # by now it would have expired
        told = rig.final(credit_id)
        assert (told.state, told.delivered, told.reason) == (
            "done",
            0,
            "revoked" if revoked else "coin line fault",
        )
        assert rig.stands()[1] != "journal"

    def test_what_arrives_meanwhile_is_left_to_the_broker_and_asked_for_again(self) -> None:
        """A paid credit is not refused over a card that stumbles for a second: it comes again, and is pulsed."""
        rig = Rig().connected()
        rig.journal.faulty = True
        first = rig.command()
        rig.journal.faulty = False
        second = rig.command()
        rig.revoke(rig.new_id())
        assert not {rig.mid, rig.mid - 1, rig.mid - 2} & set(rig.link.acknowledged)
        assert rig.journal.credits == {}
        rig.pass_time(2 * JOURNAL_RETRY_MS)
        assert len(rig.link.reconnects) == 1
        rig.command(credit_id=first)
        rig.command(credit_id=second)
        rig.pulse_all()
        assert (rig.final(first).delivered, rig.final(second).delivered) == (1, 1)

    def test_the_clock_is_still_answered(self) -> None:
        rig = Rig().connected(tell_time=False)
        rig.journal.faulty = True
        rig.command()
        rig.arrives("clock", clock(KEY, MACHINE, rig.statuses()[0].nonce, rig.cloud_ms))
        assert rig.mid in rig.link.acknowledged
        assert rig.stands() == (False, "journal")
        rig.journal.faulty = False
        rig.pass_time(2 * JOURNAL_RETRY_MS)
        assert rig.stands() == (True, "")


def test_a_new_journal_is_a_new_installation_so_old_commands_do_not_count() -> None:
    rig = Rig().connected()
    credit_id = rig.new_id()
    other = Rig(journal=MemoryJournal("ef" * 16)).connected()
    other.command(credit_id=credit_id, installation=rig.journal.installation)
    assert other.line.tokens == []
