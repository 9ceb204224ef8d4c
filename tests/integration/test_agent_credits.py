"""The real agent on a simulated cabinet, over a real broker: credits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from arcade_edge.agent.journal import read_contents
from arcade_edge.domain.credits import MEMORY_MS
from arcade_shared.ids import uuid7
from support.agent_process import KEY, MACHINE
from support.agent_world import World, a_world
from support.mqtt_cloud import coinpulse, now_ms

UNSIGNED = b'{"machineId":"cab-01","credits":2,"timestamp":"by hand"}'


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as made:
        yield made


def counters(world: World) -> dict[str, int]:
    return read_contents(world.folder / "journal.db", 0).counters


def test_a_purchase_is_accepted_pulsed_told_and_played(world: World) -> None:
    """The whole of it: accepted, progress, done; each pulse counted by the board; game over when it has played."""
    with world.agent() as agent:
        status = world.cloud.ready()
        assert (status.max_credits, status.machine_id) == (50, MACHINE)
        credit_id = world.cloud.command(status.installation, 3)
        final = world.cloud.final(credit_id)
        assert (final.state, final.delivered, final.uncertain, final.credits) == ("done", 3, 0, 3)
        states = [ack.state for ack in world.cloud.heard.acks if ack.credit_id == credit_id]
        assert states[0] == "accepted"
        assert set(states[1:-1]) <= {"pulsing"}
        world.cloud.wait(lambda h: len(h.game_overs) == 3, "three game overs")
        assert len({over.event_id for over in world.cloud.heard.game_overs}) == 3
        assert (agent.pulses(), agent.coins()) == (3, 3)
        assert agent.stop() == 0
    assert (world.cloud.heard.statuses[-1].state, world.cloud.heard.statuses[-1].reason) == ("offline", "stopping")


def test_ten_copies_of_a_command_pulse_once(world: World) -> None:
    """Before, while and after the train; every copy is answered."""
    with world.agent() as agent:
        installation = world.cloud.ready().installation
        credit_id = world.cloud.new_credit_id()
        for _ in range(5):
            world.cloud.command(installation, 2, credit_id=credit_id)
        world.cloud.final(credit_id)
        for _ in range(5):
            world.cloud.command(installation, 2, credit_id=credit_id)
        world.cloud.wait(
            lambda h: sum(ack.credit_id == credit_id and ack.final for ack in h.acks) >= 6, "ten answers"
        )
        assert agent.pulses() == 2


def test_what_is_not_the_clouds_or_not_for_us_is_refused_and_counted(world: World) -> None:
    """Forged, expired, too old, retained, unsigned, for another installation: no pulse, and each is shown."""
    with world.agent() as agent:
        installation = world.cloud.ready().installation
        cloud = world.cloud
        cloud.command(installation, key=bytes(32))
        cloud.command("cd" * 16)
        cloud.publish("coinpulse", UNSIGNED)
        cloud.publish("coinpulse", b"rubbish")
        payload = coinpulse(KEY, MACHINE, cloud.new_credit_id(), 1, installation, now_ms() + 60_000)
        cloud.publish("coinpulse", payload, retain=True)
        cloud.publish("coinpulse", b"", retain=True)
        expired = cloud.final(cloud.command(installation, life_ms=-1))
        assert (expired.state, expired.reason) == ("refused", "expired")
        too_many = cloud.final(cloud.command(installation, 51))
        assert (too_many.state, too_many.reason) == ("refused", "too many credits")
        old = cloud.command(installation, credit_id=uuid7(now_ms() - MEMORY_MS - 1000))
        unknown = cloud.wait(lambda h: [a for a in h.acks if a.credit_id == old], "an answer to the old one")
        assert (unknown[0].state, unknown[0].final) == ("unknown", False)
        # What comes after all of them is done, so none of them stands in the way or is still to come.
        last = cloud.final(cloud.command(installation))
        assert last.delivered == 1
        assert agent.pulses() == 1
        assert agent.stop() == 0
    assert counters(world) == {
        "bad signature": 1,
        "for another installation": 1,
        "malformed": 1,
        "refused: expired": 1,
        "refused: too many credits": 1,
        "retained": 2,
        "unsigned": 1,
    }


def test_a_command_that_somebody_has_retained_is_not_pulsed_at_the_next_start(world: World) -> None:
    with world.agent() as agent:
        installation = world.cloud.ready().installation
        agent.stop()
        payload = coinpulse(KEY, MACHINE, world.cloud.new_credit_id(), 1, installation, now_ms() + 60_000)
        world.cloud.publish("coinpulse", payload, retain=True)
        agent.start()
        world.cloud.wait(lambda h: h.statuses[-1].ready, "ready again")
        world.cloud.final(world.cloud.command(installation))
        assert agent.pulses() == 1


def test_on_a_bench_an_unsigned_pulse_is_pulsed_once_and_not_reported(world: World) -> None:
    with world.agent(security="allow_unsigned = true") as agent:
        installation = world.cloud.ready().installation
        world.cloud.publish("coinpulse", UNSIGNED)
        agent.wait_for_pulses(2)
        world.cloud.final(world.cloud.command(installation))
        assert agent.pulses() == 3
        assert len({ack.credit_id for ack in world.cloud.heard.acks}) == 1


class TestRevoke:
    def test_before_its_command(self, world: World) -> None:
        with world.agent() as agent:
            installation = world.cloud.ready().installation
            credit_id = world.cloud.new_credit_id()
            world.cloud.revoke(installation, credit_id)
            assert world.cloud.final(credit_id).state == "revoked"
            world.cloud.command(installation, credit_id=credit_id)
            world.cloud.final(world.cloud.command(installation))
            assert agent.pulses() == 1
            assert world.cloud.final(credit_id).state == "revoked"

    def test_while_it_waits_and_while_it_pulses(self, world: World) -> None:
        with world.agent() as agent:
            installation = world.cloud.ready().installation
            running, waiting = world.cloud.command(installation, 4), world.cloud.command(installation, 4)
            agent.wait_for_pulses(1)
            world.cloud.revoke(installation, running)
            world.cloud.revoke(installation, waiting)
            revoked, done = world.cloud.final(waiting), world.cloud.final(running)
            assert (revoked.state, revoked.delivered, revoked.reason) == ("done", 0, "revoked")
            assert (done.state, done.delivered) == ("done", 4)
            assert agent.pulses() == 4

    def test_after_its_end(self, world: World) -> None:
        with world.agent() as agent:
            installation = world.cloud.ready().installation
            credit_id = world.cloud.command(installation, 2)
            world.cloud.final(credit_id)
            world.cloud.revoke(installation, credit_id)
            world.cloud.wait(lambda h: sum(ack.final for ack in h.acks) == 2, "an answer to the revoke")
            assert {(ack.state, ack.delivered) for ack in world.cloud.heard.acks if ack.final} == {("done", 2)}
            assert agent.pulses() == 2


def test_without_the_clouds_time_the_machine_is_not_ready_and_nothing_is_pulsed(tmp_path: Path) -> None:
    """The command waits; once the time is known it is pulsed if it still lives."""
    with a_world(tmp_path, answers=False) as world, world.agent() as agent:
        status = world.cloud.wait(lambda h: h.statuses, "a status")[0]
        assert (status.ready, status.reason) == (False, "no clock")
        early = world.cloud.command(status.installation)
        late = world.cloud.command(status.installation, life_ms=1)
        world.cloud.wait(lambda h: len([a for a in h.acks if a.state == "accepted"]) == 2, "accepted")
        assert agent.pulses() == 0
        world.cloud.answers = True
        assert world.cloud.final(early).delivered == 1
        assert (world.cloud.final(late).delivered, world.cloud.final(late).reason) == (0, "expired")
        world.cloud.ready()
        assert agent.pulses() == 1


def test_what_is_wired_is_used(world: World) -> None:
    """A ready line that allows coins, a meter whose count the ack tells, game over from a serial line."""
    more = '[ready]\npin = 5\n[meter]\npin = 6\n[game_over.serial]\nport = "/dev/none"\npattern = "GAME OVER"\n'
    with world.agent(more=more) as agent:
        installation = world.cloud.ready().installation
        final = world.cloud.final(world.cloud.command(installation, 2))
        assert (final.delivered, final.registered) == (2, 2)
        over = world.cloud.wait(lambda h: h.game_overs, "game over")[0]
        assert over.source == "serial"
        assert agent.coins() == 2
