"""The real agent within a train: a board that is full, a network cable that is pulled, a meter that is cut off."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arcade_edge.agent.journal import clear_short_trains
from support.agent_process import AgentProcess, write_config
from support.agent_world import World, a_world
from support.tcp_link import Link

# Of `write_config`: 60 ms and 60 ms.
CREDIT_MS = 120
# docs/ORDER_LIFE.md: after the last report that the broker has.
UNREPORTED_MOST = 2_150 // CREDIT_MS + 2
# A game that does not begin while the test lasts.
NO_GAME = ("--start-after-ms", "600000")
READY = "[ready]\npin = 5\ndebounce_ms = 10\nwait_s = "
METER = "[meter]\npin = 6\ndebounce_ms = 10\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def wait_until(met: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
    until = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < until, what
        time.sleep(0.01)


def heard(world: World, credit_id: str) -> int:
    """How many credits of the train the cloud knows of."""
    return max((ack.delivered for ack in world.cloud.heard.acks if ack.credit_id == credit_id), default=0)


def test_a_board_that_is_full_in_a_train_gets_no_coin_more_and_the_rest_goes_back(world: World) -> None:
    with world.agent("--full-at", "3", *NO_GAME, more=f"{READY}1\n") as agent:
        final = world.cloud.final(world.cloud.command(world.cloud.ready().installation, 10))
        assert (final.delivered, final.uncertain, final.reason) == (3, 0, "machine not ready")
        assert (agent.pulses(), agent.coins()) == (3, 3)
        world.cloud.wait(lambda h: h.statuses[-1].reason == "machine not ready", "not ready any more")
        assert "swallowed" not in agent.log()


def test_a_board_that_takes_one_coin_after_the_other_is_waited_for_each_time(world: World) -> None:
    """Its lockout falls after each coin, until a game has begun."""
    arguments = ("--full-at", "1", "--start-after-ms", "250", "--play-s", "0.1")
    with world.agent(*arguments, more=f"{READY}3\n") as agent:
        final = world.cloud.final(world.cloud.command(world.cloud.ready().installation, 6))
        assert (final.delivered, final.reason) == (6, "")
        assert (agent.pulses(), agent.coins()) == (6, 6)
        assert "swallowed" not in agent.log()


@pytest.fixture
def link(world: World) -> Iterator[Link]:
    """The agent's network."""
    with Link(world.broker.port) as made:
        yield made


def test_a_cable_that_is_pulled_in_a_train_costs_a_few_credits_and_no_train(world: World, link: Link) -> None:
    """40 were paid for. Nobody notices that the connection is dead before the train has ended."""
    with AgentProcess(write_config(world.folder, link.port), *NO_GAME) as agent:
        credit_id = world.cloud.command(world.cloud.ready().installation, 40)
        agent.wait_for_pulses(8)
        link.stall()
        time.sleep(4)
        pulsed, known = agent.pulses(), heard(world, credit_id)
        assert 0 < known <= pulsed <= known + UNREPORTED_MOST
        time.sleep(8)
        assert agent.pulses() == pulsed
        link.resume()
        final = world.cloud.final(credit_id)
        assert (final.delivered, final.uncertain, final.reason) == (pulsed, 0, "connection lost")
        assert agent.pulses() == pulsed


def test_a_cable_that_is_back_in_time_costs_nothing(world: World, link: Link) -> None:
    with AgentProcess(write_config(world.folder, link.port), *NO_GAME) as agent:
        credit_id = world.cloud.command(world.cloud.ready().installation, 30)
        agent.wait_for_pulses(5)
        link.stall()
        time.sleep(5)
        assert agent.pulses() < 30
        link.resume()
        final = world.cloud.final(credit_id)
        assert (final.delivered, final.reason) == (30, "")
        assert agent.coins() == 30


def test_a_broker_that_is_away_for_a_moment_only_makes_the_train_wait(world: World, link: Link) -> None:
    """A connection that was reset is made again, and the progress told anew."""
    with AgentProcess(write_config(world.folder, link.port), *NO_GAME) as agent:
        credit_id = world.cloud.command(world.cloud.ready().installation, 40)
        agent.wait_for_pulses(5)
        link.cut(refuse=True)
        time.sleep(3)
        link.mend()
        final = world.cloud.final(credit_id)
        assert (final.delivered, final.reason) == (40, "")
        assert agent.coins() == 40


def test_a_meter_whose_wire_is_cut_is_told_and_ends_the_sale_over_restarts(world: World) -> None:
    arguments = ("--meter-cut-after", "2", *NO_GAME)
    with world.agent(*arguments, more=f"{METER}counts = true\n") as agent:
        installation = world.cloud.ready().installation
        first = world.cloud.final(world.cloud.command(installation, 5))
        assert (first.delivered, first.registered) == (2, 2)
        assert first.reason == "coins not registered: 2 of 5"
        for _ in range(2):
            missed = world.cloud.final(world.cloud.command(installation, 1))
            assert (missed.delivered, missed.registered) == (0, 0)
        world.cloud.wait(lambda h: h.statuses[-1].reason == "coins not registered", "out of sale")
        refused = world.cloud.final(world.cloud.command(installation, 1))
        assert (refused.state, refused.reason) == ("refused", "coins not registered")
        assert agent.pulses() == 7
        assert agent.stop() == 0
        seen = len(world.cloud.heard.statuses)
        agent.start()
        world.cloud.wait(
            lambda h: any(status.reason == "coins not registered" for status in h.statuses[seen:]), "still"
        )
        assert agent.stop() == 0
        assert clear_short_trains(world.folder / "journal.db")
        seen = len(world.cloud.heard.statuses)
        agent.start()
        world.cloud.wait(lambda h: any(status.ready for status in h.statuses[seen:]), "for sale again")
