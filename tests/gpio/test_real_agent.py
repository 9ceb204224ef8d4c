"""The real agent on a real kernel's GPIO chip, over a real broker: what a board would see on its wires."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from arcade_sandbox.broker.launcher import Broker, User
from support import real_lines
from support.agent_process import KEY, MACHINE, AgentProcess, write_config
from support.mqtt_cloud import Heard, MqttCloud
from support.real_lines import COIN, GAME_OVER, METER, READY, RealAgent, by_hand, level, pull, pulses

pytestmark = real_lines.only_on_the_virtual_pi

LEVELS = {"low": False, "high": True}
# Long enough to be met in its middle.
LONG_MS = 400


@dataclass
class Cabinet:
    """One machine's wires, broker and cloud."""

    folder: Path
    port: int
    cloud: MqttCloud
    active: str

    def config(self, pulse_ms: int = 40, gap_ms: int = 30, *, per_credit: int = 1, more: str = "") -> Path:
        """Settings for the coin line's polarity, and what else is wired."""
        path = write_config(self.folder, self.port, pulse_ms=pulse_ms, gap_ms=gap_ms, more=more)
        coin = f'[coin]\nactive = "{self.active}"\npulses_per_credit = {per_credit}\n'
        path.write_text(path.read_text().replace("[coin]\n", coin))
        return path

    def is_active(self) -> bool:
        """Whether the board sees a coin now."""
        return level(COIN) == LEVELS[self.active]

    def ever_active(self) -> bool:
        """Whether it was shown one, however short, since the recording began."""
        return any(high == LEVELS[self.active] for high, _ in real_lines.driven(COIN))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    users = [User(MACHINE, "machine password", "machine"), User("cloud", "cloud password", "cloud")]
    with Broker(tmp_path_factory.mktemp("broker"), users=users) as started:
        yield started


@pytest.fixture
def cloud(broker: Broker) -> Iterator[MqttCloud]:
    with MqttCloud(broker.port, KEY, MACHINE, username="cloud", password="cloud password") as started:
        yield started


@pytest.fixture(params=["low", "high"])
def cabinet(request: pytest.FixtureRequest, tmp_path: Path, broker: Broker, cloud: MqttCloud) -> Cabinet:
    """Wired as the guide says: a resistor holds the coin line inactive, inputs rest high."""
    real_lines.keep_released_outputs(True)
    pull(COIN, not LEVELS[request.param])
    for line in (GAME_OVER, READY, METER):
        pull(line, True)
    real_lines.record()
    return Cabinet(tmp_path, broker.port, cloud, request.param)


low_only = pytest.mark.parametrize("cabinet", ["low"], indirect=True)


@contextmanager
def ready_agent(cabinet: Cabinet, config: Path) -> Iterator[tuple[AgentProcess, str]]:
    """A running agent that can be paid, and its installation."""
    before = len(cabinet.cloud.heard.statuses)
    with RealAgent(config, cabinet.active) as agent:
        status = cabinet.cloud.wait(
            lambda heard: next((s for s in heard.statuses[before:] if s.ready), None),
            f"a ready agent; {agent.log()}",
        )
        assert status is not None
        yield agent, status.installation


def test_a_train_is_what_the_profile_says(cabinet: Cabinet) -> None:
    """As many pulses as were paid for, each as long, and as far from the next, as the board needs at least."""
    with ready_agent(cabinet, cabinet.config(40, 30, per_credit=2)) as (agent, installation):
        ack = cabinet.cloud.final(cabinet.cloud.command(installation, 5))
        agent.stop()
    train = pulses(COIN, cabinet.active)
    assert (ack.delivered, ack.uncertain, len(train)) == (5, 0, 10)
    assert min(end - begin for begin, end in train) >= 40_000_000
    assert min(later - end for (_, end), (later, _) in itertools.pairwise(train)) >= 30_000_000


@pytest.mark.parametrize("keep", [True, False], ids=["pi-kernel", "other-kernel"])
def test_a_start_and_a_stop_show_no_coin(cabinet: Cabinet, keep: bool) -> None:
    """Not for a microsecond, in either polarity; nor does the release that follows each stop."""
    real_lines.keep_released_outputs(keep)
    config = cabinet.config()
    for _ in range(2 if keep else 1):
        with ready_agent(cabinet, config) as (agent, _):
            assert agent.stop() == 0
        assert not cabinet.is_active()
        assert by_hand(config, "release").returncode == 0
        assert not cabinet.is_active()
    assert real_lines.driven(COIN)
    assert not cabinet.ever_active()


def test_a_kill_in_a_pulse_leaves_no_line_active_once_it_is_released(cabinet: Cabinet) -> None:
    """The kernel of a Raspberry Pi keeps the level; the unit's ExecStopPost is what ends the pulse."""
    config = cabinet.config(LONG_MS, LONG_MS)
    with ready_agent(cabinet, config) as (agent, installation):
        credit = cabinet.cloud.command(installation, 2)
        agent.wait_for_pulses(1)
        agent.kill()
    assert cabinet.is_active(), "this kernel does not keep the level: the test shows nothing"
    for _ in range(2):
        assert by_hand(config, "release").returncode == 0
        assert not cabinet.is_active()
    before = len(pulses(COIN, cabinet.active))
    with ready_agent(cabinet, config) as (agent, _):
        ack = cabinet.cloud.final(credit)
        assert (ack.delivered, ack.uncertain) == (0, 1)
        agent.stop()
    assert len(pulses(COIN, cabinet.active)) == before == 1


def test_a_start_after_a_kill_ends_the_pulse_by_itself(cabinet: Cabinet) -> None:
    """Where nothing has released the line: a power supply that only the board noticed."""
    config = cabinet.config(LONG_MS, LONG_MS)
    with ready_agent(cabinet, config) as (agent, installation):
        cabinet.cloud.command(installation)
        agent.wait_for_pulses(1)
        agent.kill()
    with ready_agent(cabinet, config) as (agent, _):
        assert not cabinet.is_active()
        assert len(pulses(COIN, cabinet.active)) == 1


def test_release_and_doctor_leave_a_running_agent_its_line(cabinet: Cabinet) -> None:
    config = cabinet.config(LONG_MS, LONG_MS)
    with ready_agent(cabinet, config) as (agent, installation):
        credit = cabinet.cloud.command(installation)
        agent.wait_for_pulses(1)
        refused = by_hand(config, "release")
        assert refused.returncode == 1
        assert "systemctl stop arcade-edge" in refused.stderr
        assert "warn  agent" in by_hand(config, "doctor").stdout
        assert cabinet.cloud.final(credit).delivered == 1
        agent.stop()
    ((begin, end),) = pulses(COIN, cabinet.active)
    assert end - begin >= LONG_MS * 1_000_000


def test_pulses_by_hand_are_real_ones(cabinet: Cabinet) -> None:
    config = cabinet.config(30, 30)
    assert by_hand(config, "pulse", "3").returncode == 0
    train = pulses(COIN, cabinet.active)
    assert len(train) == 3
    assert min(end - begin for begin, end in train) >= 30_000_000
    assert not cabinet.is_active()


def test_the_doctor_finds_good_wires_good_and_shows_the_board_no_coin(cabinet: Cabinet) -> None:
    more = f"[game_over.gpio]\npin = {GAME_OVER}\n[meter]\npin = {METER}"
    done = by_hand(cabinet.config(more=more), "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("pins", "coin line", "game over", "meter", "signing key"):
        assert f"ok    {what}" in done.stdout
    assert real_lines.driven(COIN)
    assert not cabinet.ever_active()


def test_the_doctor_finds_a_line_that_nothing_holds(cabinet: Cabinet) -> None:
    pull(COIN, LEVELS[cabinet.active])
    done = by_hand(cabinet.config(), "doctor")
    assert done.returncode == 1
    assert "pull resistor" in done.stdout


def bounce(line: int, to_high: bool, times: int = 6) -> None:
    """A contact that bounces, and then stays."""
    for high in (to_high, not to_high) * times:
        pull(line, high)
        time.sleep(0.002)
    pull(line, to_high)


def heard_game_overs(wanted: int, heard: Heard) -> bool:
    """Whether there were as many."""
    return len(heard.game_overs) >= wanted


def heard_reasons(reason: str, begin: int, heard: Heard) -> list[int]:
    """Which statuses from number `begin` on gave that reason for not being ready."""
    return [n for n, status in enumerate(heard.statuses) if n >= begin and status.reason == reason]


@low_only
def test_a_bouncing_game_over_is_one_game_over(cabinet: Cabinet) -> None:
    """When the contact closes and when it opens; and what is shorter than the debounce time is none."""
    config = cabinet.config(more=f"[game_over.gpio]\npin = {GAME_OVER}\ndebounce_ms = 30")
    before = len(cabinet.cloud.heard.game_overs)
    with ready_agent(cabinet, config) as (agent, _):
        for game in (1, 2):
            pull(GAME_OVER, False)
            time.sleep(0.005)
            pull(GAME_OVER, True)
            time.sleep(0.1)
            bounce(GAME_OVER, False)
            wanted = before + game
            cabinet.cloud.wait(partial(heard_game_overs, wanted), f"game over number {wanted}")
            time.sleep(0.1)
            bounce(GAME_OVER, True)
            time.sleep(0.1)
        agent.stop()
    assert len(cabinet.cloud.heard.game_overs) == before + 2


@low_only
def test_the_ready_line_decides_whether_anybody_may_pay(cabinet: Cabinet) -> None:
    """And a wire that came off means that nobody may."""
    seen = 0
    with RealAgent(cabinet.config(more=f"[ready]\npin = {READY}"), cabinet.active) as agent:
        for reason in ("machine not ready", "", "machine not ready"):
            bounce(READY, reason != "")
            found = cabinet.cloud.wait(partial(heard_reasons, reason, seen), f"the reason {reason!r}")
            assert cabinet.cloud.heard.statuses[found[-1]].ready is (reason == "")
            seen = found[-1] + 1
        agent.stop()


@low_only
def test_no_pulse_begins_once_the_ready_line_is_lost_in_a_train(cabinet: Cabinet) -> None:
    """The pulse that is under way just then ends as it should, and is the last."""
    config = cabinet.config(60, 100, more=f"[ready]\npin = {READY}\ndebounce_ms = 10\nwait_s = 1")
    begin = len(cabinet.cloud.heard.statuses)
    with RealAgent(config, cabinet.active) as agent:
        cabinet.cloud.wait(partial(heard_reasons, "machine not ready", begin), "a machine that is not ready yet")
        pull(READY, False)
        (ready, *_) = cabinet.cloud.wait(partial(heard_reasons, "", begin), "a ready machine")
        credit = cabinet.cloud.command(cabinet.cloud.heard.statuses[ready].installation, 10)
        agent.wait_for_pulses(3)
        pull(READY, True)
        ack = cabinet.cloud.final(credit)
        agent.stop()
    assert (ack.delivered, ack.uncertain, ack.reason) == (3, 0, "machine not ready")
    train = pulses(COIN, cabinet.active)
    assert len(train) == 3
    assert min(end - begin for begin, end in train) >= 60_000_000


@low_only
@pytest.mark.parametrize(("counts", "delivered"), [("false", 3), ("true", 2)])
def test_the_meter_says_what_the_board_has_registered(cabinet: Cabinet, counts: str, delivered: int) -> None:
    """A board that swallows the second of three coins."""
    config = cabinet.config(60, 100, more=f"[meter]\npin = {METER}\ndebounce_ms = 5\ncounts = {counts}")
    with ready_agent(cabinet, config) as (agent, installation):
        credit = cabinet.cloud.command(installation, 3)
        for number in (1, 2, 3):
            agent.wait_for_pulses(number)
            if number != 2:
                pull(METER, False)
                time.sleep(0.03)
                pull(METER, True)
        ack = cabinet.cloud.final(credit)
        agent.stop()
    assert (ack.delivered, ack.registered) == (delivered, 2)
    assert ack.reason == "coins not registered: 2 of 3"
