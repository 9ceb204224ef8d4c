"""The real agent through what happens to it: power cuts, a broker that comes and goes, wrong settings."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from arcade_edge.agent.journal import read_contents
from arcade_sandbox.broker.access import User
from arcade_shared.messages import WILL_SEQ, Ack
from support.agent_process import MACHINE, AgentProcess
from support.agent_world import World, a_world

ROUNDS = int(os.environ.get("ARCADE_ROUNDS", "3"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def check_against_the_line(agent: AgentProcess, finals: list[Ack]) -> None:
    """What was said adds up to what the line has done: each uncertain credit may have been pulsed or not."""
    delivered, uncertain = sum(a.delivered for a in finals), sum(a.uncertain for a in finals)
    assert delivered <= agent.pulses() <= delivered + uncertain, (finals, agent.log())


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_power_cut_in_a_train_loses_and_repeats_nothing(world: World, round_: int) -> None:
    """After the restart: what was delivered, at most one uncertain, the rest not, and no pulse more."""
    with world.agent() as agent:
        installation = world.cloud.ready().installation
        running, waiting = world.cloud.command(installation, 5), world.cloud.command(installation, 2)
        world.cloud.wait(lambda h: any(ack.credit_id == waiting for ack in h.acks), "both accepted")
        agent.wait_for_pulses(1 + round_ % 4)
        time.sleep(0.017 * (round_ % 7))  # anywhere between two edges
        agent.kill()
        before = agent.pulses()
        agent.start()
        finals = [world.cloud.final(running), world.cloud.final(waiting)]
        assert (finals[1].delivered, finals[1].uncertain) == (0, 0)
        check_against_the_line(agent, finals)
        world.cloud.command(installation, 5, credit_id=running)
        world.cloud.wait(lambda h: h.statuses[-1].ready, "ready again")
        assert agent.pulses() == before


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_a_power_cut_at_any_instant_around_the_command_adds_up(world: World, round_: int) -> None:
    with world.agent() as agent:
        installation = world.cloud.ready().installation
        credit_id = world.cloud.command(installation, 2)
        time.sleep(0.003 * round_)
        agent.kill()
        agent.start()
        world.cloud.wait(lambda h: h.statuses[-1].ready, "ready again")
        world.cloud.command(installation, 2, credit_id=credit_id)
        check_against_the_line(agent, [world.cloud.final(credit_id)])


def test_an_orderly_stop_finishes_the_running_credit(world: World) -> None:
    with world.agent() as agent:
        installation = world.cloud.ready().installation
        credit_id = world.cloud.command(installation, 20)
        agent.wait_for_pulses(2)
        assert agent.stop() == 0
        final = world.cloud.final(credit_id)
        assert (final.uncertain, final.reason) == (0, "stopped")
        assert 2 <= final.delivered < 20
        assert final.delivered == agent.coins() == agent.pulses()
        assert not agent.edges()[-1].active
        world.cloud.wait(lambda h: h.statuses[-1].state == "offline", "offline")
        assert world.cloud.heard.statuses[-1].seq != WILL_SEQ


def test_after_a_power_cut_the_broker_publishes_the_will(world: World) -> None:
    with world.agent() as agent:
        ready = world.cloud.ready()
        agent.kill()
        will = world.cloud.wait(
            lambda h: h.statuses[-1] if h.statuses[-1].state == "offline" else None, "the will"
        )
        assert will is not None
        assert (will.ready, will.seq, will.boot_id) == (False, WILL_SEQ, ready.boot_id)
        assert will.connection == ready.connection


def test_a_broker_that_comes_back_finds_everything_as_it_was(world: World) -> None:
    """The train goes on without it, and its end can be heard when it is back; then business as usual."""
    with world.agent() as agent:
        installation = world.cloud.ready().installation
        credit_id = world.cloud.command(installation, 4)
        agent.wait_for_pulses(1)
        world.broker.kill()
        agent.wait_for_pulses(4)
        agent.wait_for_log("4 of 4 delivered")
        assert len(read_contents(world.folder / "journal.db", 9).untold) == 1
        world.broker.start()
        world.cloud.wait(lambda h: h.statuses[-1].ready and h.statuses[-1].connection > 1, "ready again")
        # If the agent was back before the cloud, nobody heard its final ack, and the broker confirmed it all the
        # same. The cloud asks again then, as it always does.
        world.cloud.command(installation, 4, credit_id=credit_id)
        assert world.cloud.final(credit_id).delivered == 4
        assert world.cloud.final(world.cloud.command(installation)).delivered == 1
        assert agent.pulses() == 5
        assert agent.stop() == 0
    assert read_contents(world.folder / "journal.db", 9).untold == []


def test_a_command_that_was_sent_while_the_agent_was_away_is_delivered_when_it_is_back(world: World) -> None:
    """The broker keeps the session; the command is pulsed if it still lives."""
    with world.agent() as agent:
        installation = world.cloud.ready().installation
        agent.stop()
        waits, expires = world.cloud.command(installation), world.cloud.command(installation, life_ms=1)
        agent.start()
        assert world.cloud.final(waits).delivered == 1
        assert world.cloud.final(expires).delivered == 0
        assert agent.pulses() == 1


def test_it_starts_without_a_broker_and_connects_when_there_is_one(world: World) -> None:
    world.broker.kill()
    with world.agent() as agent:
        agent.wait_for_log("trying again")
        world.broker.start()
        world.cloud.ready()
        agent.stop()


def test_a_wrong_password_is_said_with_what_to_do_and_tried_again(world: World) -> None:
    with world.agent(password="wrong") as agent:
        agent.wait_for_log("check username and password")
        assert agent.stop() == 0


def test_an_access_list_that_forbids_the_topics_is_named(tmp_path: Path) -> None:
    with a_world(tmp_path) as world:
        world.broker.users = [world.broker.users[0], User(MACHINE, "machine password", "none")]
        world.broker.restart()
        with world.agent() as agent:
            agent.wait_for_log("refuses the subscription")
            assert agent.stop() == 0


def test_a_second_agent_on_the_same_journal_refuses_to_start(world: World) -> None:
    with world.agent() as agent:
        world.cloud.ready()
        second = world.agent()
        second.output = world.folder / "second.log"
        with second:
            assert second.wait() == 1
        assert "another arcade-edge runs" in second.log()
        assert "Traceback" not in second.log()
        installation = world.cloud.heard.statuses[-1].installation
        assert world.cloud.final(world.cloud.command(installation)).delivered == 1
        assert agent.stop() == 0


def test_a_copied_card_is_another_installation_and_takes_nothing_of_the_first(world: World) -> None:
    """The same files on a computer with another serial number."""
    with world.agent() as agent:
        first = world.cloud.ready().installation
        agent.stop()
    with world.agent("--serial-number", "another Pi") as copy:
        status = world.cloud.wait(
            lambda h: h.statuses[-1] if h.statuses[-1].ready and h.statuses[-1].installation != first else None,
            "the copy",
        )
        assert status is not None
        ours = world.cloud.command(first)
        theirs = world.cloud.command(status.installation)
        assert world.cloud.final(theirs).delivered == 1
        assert copy.pulses() == 1
        assert not [ack for ack in world.cloud.heard.acks if ack.credit_id == ours]


def test_an_agent_that_was_frozen_says_so_by_its_will_and_recovers(world: World) -> None:
    """SIGSTOP: commands wait at the broker; what has expired meanwhile is not pulsed when it goes on."""
    with world.agent() as agent:
        installation = world.cloud.ready().installation
        os.kill(agent.pid, signal.SIGSTOP)
        expires = world.cloud.command(installation, life_ms=300)
        time.sleep(0.6)
        os.kill(agent.pid, signal.SIGCONT)
        assert world.cloud.final(expires).delivered == 0
        assert agent.pulses() == 0
        assert world.cloud.final(world.cloud.command(installation)).delivered == 1
