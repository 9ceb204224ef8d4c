"""The loop and what it tells: status, will, clock, outbox, game over."""

from __future__ import annotations

import pytest

from arcade_edge.agent.reports import (
    GAME_OVER_LIFE_MS,
    GAME_OVERS_KEPT,
    LAST_RETRY_MS,
    STATUS_EVERY_MS,
    UNANSWERED_MS,
    WINDOW,
)
from arcade_edge.agent.signals import GameOver, ReadyChanged
from arcade_edge.domain.cloud_clock import MAX_AGE_MS, REFRESH_MS
from arcade_edge.domain.credits import Credit
from arcade_edge.errors import JournalCorrupt
from arcade_edge.ports import Confirmed
from arcade_shared.messages import WILL_SEQ, Status
from arcade_shared.topics import machine_topic
from support.agent_rig import KEY, MACHINE, Rig
from support.mqtt_cloud import clock
from support.sealed import unseal

STATUS = machine_topic(MACHINE, "status")


def test_a_connection_begins_with_a_retained_status_that_asks_for_the_time() -> None:
    rig = Rig().connected(tell_time=False)
    topic, _, retained = rig.link.published[0]
    assert (topic, retained) == (STATUS, True)
    status = rig.statuses()[0]
    assert (status.state, status.ready, status.reason) == ("online", False, "no clock")
    assert status.nonce
    assert status.installation == rig.journal.installation


def test_a_machine_is_ready_only_once_the_cloud_has_answered_in_this_boot() -> None:
    rig = Rig().connected(tell_time=False)
    rig.pass_time(60_000)
    assert not any(status.ready for status in rig.statuses())
    rig.tell_time()
    rig.pass_time(1_000)
    assert rig.statuses()[-1].ready


def test_an_answer_to_another_nonce_or_a_second_time_does_not_count() -> None:
    rig = Rig().connected(tell_time=False)
    nonce = rig.statuses()[0].nonce
    rig.arrives("clock", clock(KEY, MACHINE, "00" * 16, rig.cloud_ms))
    assert not rig.stands()[0]
    rig.tell_time(nonce)
    assert rig.stands() == (True, "")
    rig.arrives("clock", clock(KEY, MACHINE, nonce, rig.cloud_ms + 10**9))
    assert rig.counted() == {"clock answer to no nonce of ours": 2}
    credit_id = rig.command()
    rig.pulse_all()
    assert rig.final(credit_id).delivered == 1, "the second answer has moved the clock"


def test_a_forged_clock_answer_does_not_count() -> None:
    rig = Rig().connected(tell_time=False)
    rig.arrives("clock", clock(bytes(32), MACHINE, rig.statuses()[0].nonce, rig.cloud_ms))
    assert not rig.stands()[0]


def test_the_time_is_asked_for_again_before_it_is_too_old_and_at_every_connect() -> None:
    rig = Rig().connected()
    rig.pass_time(REFRESH_MS)
    nonces = [status.nonce for status in rig.statuses() if status.nonce]
    assert len(set(nonces)) == 2
    rig.tell_time()
    rig.disconnected()
    rig.connected(tell_time=False)
    assert rig.statuses()[-1].nonce not in ("", *nonces)


def test_a_cloud_that_is_silent_takes_the_machine_off_the_market() -> None:
    rig = Rig().connected()
    rig.pass_time(MAX_AGE_MS + STATUS_EVERY_MS)
    assert (rig.statuses()[-1].ready, rig.statuses()[-1].reason) == (False, "no clock")


def test_the_status_comes_every_30_seconds_and_at_once_on_a_change() -> None:
    rig = Rig(has_ready=True).connected()
    rig.agent.handle(ReadyChanged(True, 0))
    rig.pass_time(1_000)
    said = len(rig.statuses())
    rig.pass_time(3 * STATUS_EVERY_MS)
    assert len(rig.statuses()) == said + 3
    rig.pass_time(1_000)
    rig.agent.handle(ReadyChanged(False, 0))
    assert (rig.statuses()[-1].ready, rig.statuses()[-1].reason) == (False, "machine not ready")


def test_a_ready_line_that_flickers_does_not_flood_the_broker() -> None:
    """The last status says how things are."""
    rig = Rig(has_ready=True).connected()
    rig.pass_time(1_000)
    said = len(rig.statuses())
    for n in range(200):
        rig.agent.handle(ReadyChanged(n % 2 == 0, 0))
        rig.pass_time(10)
    assert len(rig.statuses()) - said <= 10
    rig.pass_time(1_000)
    assert rig.statuses()[-1].ready is rig.agent.standing.ready


def test_a_contested_client_id_is_said_for_ten_minutes_after_the_last_time() -> None:
    rig = Rig().connected()
    assert not rig.statuses()[-1].contested
    rig.agent.handle(rig.link.go_down("thrown off"))
    rig.connected()
    assert not rig.statuses()[-1].contested, "thrown off once"
    for _ in range(2):
        rig.pass_time(5 * 60_000)
        rig.agent.handle(rig.link.go_down("session taken over", contested=True))
        rig.connected()
        assert rig.statuses()[-1].contested
    rig.pass_time(10 * 60_000 - STATUS_EVERY_MS)
    assert rig.statuses()[-1].contested
    assert rig.statuses()[-1].ready, "it is sold on"
    rig.pass_time(2 * STATUS_EVERY_MS)
    assert not rig.statuses()[-1].contested


def test_statuses_are_ordered_by_boot_connection_and_sequence() -> None:
    rig = Rig().connected()
    rig.pass_time(2 * STATUS_EVERY_MS)
    rig.disconnected()
    rig.connected()
    order = [(status.connection, status.seq) for status in rig.statuses()]
    assert order == sorted(order)
    assert len(set(order)) == len(order)
    assert len({status.boot_id for status in rig.statuses()}) == 1


def test_the_will_is_the_last_word_of_its_connection() -> None:
    rig = Rig().connected()
    will = rig.agent.will(7)
    status = unseal([KEY], STATUS, will.payload, Status)
    assert will.topic == STATUS
    assert (status.state, status.ready, status.connection, status.seq) == ("offline", False, 7, WILL_SEQ)
    assert status.boot_id == rig.statuses()[0].boot_id


def test_moments_are_the_clouds_where_they_are_known() -> None:
    """The machine's own clock may be decades wrong, so it is not used where there is a better one."""
    rig = Rig().connected(tell_time=False)
    assert rig.statuses()[0].timestamp_ms == rig.cloud_ms + rig.wall_offset_ms
    rig.tell_time()
    rig.pass_time(STATUS_EVERY_MS)
    assert abs(rig.statuses()[-1].timestamp_ms - rig.cloud_ms) <= STATUS_EVERY_MS


class TestOutbox:
    def test_a_final_ack_is_repeated_until_the_broker_has_confirmed_it(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command()
        rig.pulse_all()
        rig.disconnected()
        rig.connected()
        assert len([ack for ack in rig.acks(credit_id) if ack.final]) == 2
        rig.confirm_all()
        rig.pass_time(10_000)
        assert rig.journal.outbox == set()
        rig.disconnected()
        rig.connected()
        assert len([ack for ack in rig.acks(credit_id) if ack.final]) == 2

    def test_a_refusal_of_the_broker_is_no_confirmation(self) -> None:
        """For example because its access list forbids it: tried again, more and more slowly, and counted."""
        rig = Rig().connected()
        rig.confirm_all()
        credit_id = rig.command()
        rig.pulse_all()
        rig.confirm_all(ok=False)
        assert rig.journal.outbox == {credit_id}
        sent = len(rig.acks(credit_id))
        for _ in range(10):
            rig.pass_time(LAST_RETRY_MS)
            rig.confirm_all(ok=False)
            assert rig.journal.outbox == {credit_id}, "a restart must find it there"
        assert sent + 5 <= len(rig.acks(credit_id)) <= sent + 25
        rig.pass_time(LAST_RETRY_MS)
        rig.confirm_all()
        rig.pass_time(5_000)
        assert rig.journal.outbox == set()
        assert rig.journal.counters["publish refused by the broker: Not authorized"] > 0

    def test_a_machine_whose_acks_are_refused_is_not_sold_until_one_is_taken(self) -> None:
        """Otherwise every play would be given back for silence although the player had it."""
        rig = Rig().connected()
        rig.confirm_all()
        rig.command()
        rig.pulse_all()
        rig.confirm_all(ok=False)
        assert rig.stands() == (False, "acks refused")
        rig.pass_time(LAST_RETRY_MS)
        assert not rig.statuses()[-1].ready
        rig.confirm_all()
        rig.pass_time(1_000)
        assert rig.statuses()[-1].ready

    def test_a_game_over_that_is_refused_takes_no_machine_off_the_market(self) -> None:
        rig = Rig().connected()
        rig.confirm_all()
        rig.agent.handle(GameOver("gpio", 0))
        rig.confirm_all(ok=False)
        assert rig.stands() == (True, "")

    def test_the_brokers_word_about_something_else_confirms_nothing(self) -> None:
        rig = Rig().connected()
        rig.confirm_all()
        credit_id = rig.command()
        rig.pulse_all()
        for _ in range(WINDOW):
            rig.agent.handle(Confirmed("no token of this connection", True))
        rig.pass_time(5_000)
        assert rig.journal.outbox == {credit_id}

    def test_an_ack_that_the_broker_never_answers_is_sent_again(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command()
        rig.pulse_all()
        rig.pass_time(UNANSWERED_MS + 1_000)
        assert len([ack for ack in rig.acks(credit_id) if ack.final]) == 2

    def test_many_are_told_a_few_at_a_time_and_all_in_the_end(self) -> None:
        rig = Rig()
        first = Rig(journal=rig.journal).connected()
        credit_ids = set()
        for _ in range(40):
            credit_ids.add(first.command(life_ms=-1))
        again = Rig(journal=rig.journal).connected()
        assert len(again.acks()) == WINDOW
        again.confirm_all()
        assert {ack.credit_id for ack in again.acks()} == credit_ids
        again.pass_time(5_000)
        assert rig.journal.outbox == set()

    def test_a_journal_that_cannot_be_written_leaves_the_ack_in_the_outbox(self) -> None:
        rig = Rig().connected()
        credit_id = rig.command()
        rig.pulse_all()
        rig.journal.faulty = True
        rig.confirm_all()
        rig.pass_time(5_000)
        rig.journal.faulty = False
        assert rig.journal.outbox == {credit_id}
        rig.pass_time(10_000)
        assert rig.journal.outbox == set()

    def test_an_outbox_that_is_damaged_ends_the_agent_and_is_not_read_again_and_again(self) -> None:
        """Nobody can say what it holds, and only a restart begins a journal that can be trusted."""
        rig = Rig()

        def damaged(limit: int) -> list[Credit]:
            raise JournalCorrupt("database disk image is malformed")

        rig.journal.untold = damaged  # type: ignore[method-assign]
        with pytest.raises(JournalCorrupt):
            rig.connected()


class TestGameOver:
    def test_it_is_published_at_once_signed_and_with_an_id_of_its_own(self) -> None:
        rig = Rig().connected()
        rig.agent.handle(GameOver("gpio", 0))
        rig.agent.handle(GameOver("serial", 0, "GAME OVER"))
        first, second = rig.game_overs()
        assert (first.machine_id, first.status, first.source) == (MACHINE, "game_over", "gpio")
        assert second.source == "serial"
        assert first.event_id != second.event_id

    def test_it_is_kept_while_there_is_no_connection_and_told_once(self) -> None:
        rig = Rig().connected()
        rig.disconnected()
        rig.agent.handle(GameOver("gpio", 0))
        rig.pass_time(5_000)
        rig.connected()
        assert len(rig.game_overs()) == 1
        rig.confirm_all()
        rig.disconnected()
        rig.connected()
        assert len(rig.game_overs()) == 1

    def test_the_newest_few_are_kept_and_none_for_long(self) -> None:
        rig = Rig()
        for _ in range(3 * GAME_OVERS_KEPT):
            rig.agent.handle(GameOver("gpio", 0))
        rig.connected()
        for _ in range(10):
            rig.confirm_all()
        assert len(rig.game_overs()) == GAME_OVERS_KEPT
        late = Rig()
        late.agent.handle(GameOver("gpio", 0))
        late.boot_ms += GAME_OVER_LIFE_MS + 1
        late.connected()
        assert late.game_overs() == []


def test_progress_is_told_but_not_more_often_than_somebody_can_see() -> None:
    rig = Rig().connected()
    credit_id = rig.command(10)
    for _ in range(9):
        rig.boot_ms += 20
        rig.pulsed()
    progress = [ack.delivered for ack in rig.acks(credit_id) if ack.state == "pulsing"]
    assert 1 <= len(progress) <= 2
    rig.boot_ms += 200
    rig.pulsed()
    assert rig.final(credit_id).delivered == 10


def test_an_agent_with_nothing_to_do_asks_for_nothing() -> None:
    """When idle it wakes for its status, the clock and its housekeeping, and never spins."""
    rig = Rig().connected()
    rig.confirm_all()
    ticks = 0
    tick = rig.agent.tick

    def counted() -> None:
        nonlocal ticks
        ticks += 1
        tick()

    rig.agent.tick = counted  # type: ignore[method-assign]
    for _ in range(60):
        rig.pass_time(60_000)
        rig.confirm_all()
    assert ticks < 60 * 12
