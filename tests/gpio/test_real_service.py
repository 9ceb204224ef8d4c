"""The bundle installed for real, and its unit run by a real systemd, on a real kernel's GPIO chip."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from arcade_sandbox.broker.launcher import Broker, User
from arcade_sandbox.processes import wait_for
from support import real_lines
from support.agent_process import KEY, MACHINE, write_config
from support.mqtt_cloud import MqttCloud
from support.real_lines import COIN, level, pull, pulses

pytestmark = [
    real_lines.only_on_the_virtual_pi,
    pytest.mark.skipif(
        not Path("/run/systemd/system").is_dir(), reason="on the virtual Pi with systemd only: make gpio-test"
    ),
    pytest.mark.timeout(600),
]

SERVICE = "arcade-edge"
UNIT = Path("/etc/systemd/system/arcade-edge.service")
STORE = Path("/etc/credstore")
STATE = Path("/var/lib/arcade")
PASSWORD = "machine password"
PULSE_MS, GAP_MS = 300, 100
WITHIN_S = 60.0


def systemctl(*arguments: str) -> str:
    """What systemctl says. Fails the test, with the service's log, if it cannot do it."""
    done = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}\n{log()}"
    return done.stdout.strip()


def log() -> str:
    """What the service has said."""
    return subprocess.run(
        ["journalctl", "--no-pager", "-o", "cat", "-u", SERVICE], capture_output=True, text=True, check=False
    ).stdout


def main_pid() -> int:
    """The agent's process; 0 where there is none."""
    return int(systemctl("show", "--property", "MainPID", "--value", SERVICE))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    users = [User(MACHINE, PASSWORD, "machine"), User("cloud", "cloud password", "cloud")]
    with Broker(tmp_path_factory.mktemp("broker"), users=users) as started:
        yield started


@pytest.fixture
def cloud(broker: Broker) -> Iterator[MqttCloud]:
    with MqttCloud(broker.port, KEY, MACHINE, username="cloud", password="cloud password") as started:
        yield started


@pytest.fixture(scope="module")
def installed(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Installed and set up as the guide says; what the second run of the installer printed."""
    pull(COIN, True)
    real_lines.keep_released_outputs(True)
    command = [f"{os.environ['ARCADE_BUNDLE']}/install.sh", "--python", os.environ["ARCADE_PYTHON"]]
    subprocess.run(command, check=True)
    config = write_config(tmp_path_factory.mktemp("config"), broker.port, pulse_ms=PULSE_MS, gap_ms=GAP_MS)
    text = config.read_text().replace(f'signing_key = "{KEY.hex()}"', "").replace(f'password = "{PASSWORD}"', "")
    Path("/etc/arcade/edge.toml").write_text(text.replace('"journal.db"', f'"{STATE}/journal.db"'))
    STORE.mkdir(mode=0o700, exist_ok=True)
    for name, secret in (("signing_key", KEY.hex()), ("mqtt_password", PASSWORD)):
        (STORE / f"arcade-edge.{name}").write_text(secret)
        (STORE / f"arcade-edge.{name}").chmod(0o600)
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def running(installed: str, cloud: MqttCloud) -> Iterator[str]:
    """The service, ready to be paid; its installation. Its line is recorded from the start on."""
    real_lines.record()
    before = len(cloud.heard.statuses)
    systemctl("start", SERVICE)
    status = cloud.wait(
        lambda heard: next((s for s in heard.statuses[before:] if s.ready), None), "a ready machine"
    )
    assert status is not None
    yield status.installation
    systemctl("stop", SERVICE)


def test_installing_again_changes_nothing(installed: str) -> None:
    assert "there already" in installed
    assert "settings stay as they are" in installed
    arcade = pwd.getpwnam("arcade")
    settings = Path("/etc/arcade/edge.toml").stat()
    assert (settings.st_uid, stat.S_IMODE(settings.st_mode)) == (arcade.pw_uid, 0o600)
    assert (STATE.stat().st_uid, stat.S_IMODE(STATE.stat().st_mode)) == (arcade.pw_uid, 0o700)
    assert systemctl("is-enabled", SERVICE) == "enabled"


def test_the_doctor_under_sudo_tries_it_all_as_the_agents_user(installed: str, cloud: MqttCloud) -> None:
    """With the secrets that systemd would give, and it leaves no file behind that the agent cannot open."""
    done = subprocess.run(["/usr/local/bin/arcade-edge", "doctor"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is tried as arcade" in done.stdout
    assert f"{STORE}/arcade-edge.signing_key" in done.stdout
    assert "ok    signing key" in done.stdout
    assert {path.stat().st_uid for path in STATE.iterdir()} == {pwd.getpwnam("arcade").pw_uid}


def test_the_confined_agent_does_its_work(running: str, cloud: MqttCloud) -> None:
    """systemd has heard from it, it pulses what was paid for, and it can do nothing else."""
    assert systemctl("is-active", SERVICE) == "active"
    assert cloud.final(cloud.command(running, 2)).delivered == 2
    train = pulses(COIN, "low")
    assert len(train) == 2
    assert min(end - begin for begin, end in train) >= PULSE_MS * 1_000_000
    status = Path(f"/proc/{main_pid()}/status").read_text()
    fields = {key: value.split() for key, _, value in (line.partition(":") for line in status.splitlines())}
    assert fields["NoNewPrivs"] == ["1"]
    assert fields["Seccomp"] == ["2"]
    assert fields["CapEff"] == fields["CapBnd"] == ["0000000000000000"]
    assert set(fields["Uid"]) == {str(pwd.getpwnam("arcade").pw_uid)}


ALLOWED = {
    "write its journal",
    "write a temporary file",
    "open the GPIO chip",
    "connect by IPv4",
    "talk to systemd",
    "read its settings",
}


def test_the_unit_forbids_the_rest(installed: str) -> None:
    """The same unit with a program in the agent's place that tries."""
    probe = Path("/opt/arcade/service_probe.py")
    shutil.copy(Path(__file__).with_name("service_probe.py"), probe)
    text = UNIT.read_text().replace("Type=notify", "Type=oneshot").replace("Restart=always", "Restart=no")
    lines = [
        line for line in text.splitlines() if not line.startswith(("ExecStart=", "ExecStopPost=", "Watchdog"))
    ]
    lines.insert(lines.index("[Service]") + 1, f"ExecStart=/opt/arcade/current/bin/python {probe}")
    UNIT.with_name("probe.service").write_text("\n".join([*lines, ""]))
    systemctl("daemon-reload")
    done = subprocess.run(["systemctl", "start", "probe"], capture_output=True, text=True, check=False)
    said = subprocess.run(
        ["journalctl", "--no-pager", "-o", "cat", "-u", "probe"], capture_output=True, text=True, check=True
    ).stdout
    assert done.returncode == 0, said
    (found,) = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert {name for name, outcome in found.items() if outcome == "allowed"} == ALLOWED, found


def test_a_kill_in_a_pulse_ends_the_pulse_and_brings_the_agent_back(running: str, cloud: MqttCloud) -> None:
    """By ExecStopPost alone, whatever the killed process left; the credit is uncertain and never repeated."""
    credit = cloud.command(running, 2)
    killed = main_pid()
    wait_for("a pulse", lambda: not level(COIN), WITHIN_S)
    os.kill(killed, signal.SIGKILL)
    wait_for("the line at rest", lambda: level(COIN), WITHIN_S)
    released_while_away = main_pid() in (0, killed)
    wait_for("the agent back", lambda: main_pid() not in (0, killed), WITHIN_S)
    ack = cloud.final(credit)
    assert (ack.delivered, ack.uncertain) == (0, 1)
    assert released_while_away
    assert "the coin line GPIO17 is inactive" in log()
    assert len(pulses(COIN, "low")) == 1


def test_an_agent_that_hangs_in_a_pulse_is_ended_by_the_watchdog(installed: str, cloud: MqttCloud) -> None:
    """And so is the pulse. With a watchdog that is quicker than the unit's own."""
    drop_in = UNIT.with_name("arcade-edge.service.d") / "quick.conf"
    drop_in.parent.mkdir(exist_ok=True)
    drop_in.write_text("[Service]\nWatchdogSec=4s\n")
    systemctl("daemon-reload")
    before = len(cloud.heard.statuses)
    systemctl("start", SERVICE)
    try:
        status = cloud.wait(lambda h: next((s for s in h.statuses[before:] if s.ready), None), "a ready machine")
        assert status is not None
        hanging = main_pid()
        credit = cloud.command(status.installation)
        wait_for("a pulse", lambda: not level(COIN), WITHIN_S)
        os.kill(hanging, signal.SIGSTOP)
        wait_for("the line at rest", lambda: level(COIN), WITHIN_S)
        wait_for("the agent back", lambda: main_pid() not in (0, hanging), WITHIN_S)
        assert cloud.final(credit).uncertain == 1
        assert "watchdog" in log().lower()
    finally:
        drop_in.unlink()
        systemctl("daemon-reload")
        systemctl("stop", SERVICE)


def test_an_upgrade_lets_the_agent_finish_and_starts_the_new_one(running: str, cloud: MqttCloud) -> None:
    newer = Path("/mnt/newer")
    shutil.copytree(os.environ["ARCADE_BUNDLE"], newer)
    with (newer / "requirements.txt").open("a") as requirements:
        requirements.write("# newer\n")
    old = main_pid()
    subprocess.run([str(newer / "install.sh"), "--python", os.environ["ARCADE_PYTHON"]], check=True)
    assert main_pid() not in (0, old)
    assert cloud.final(cloud.command(running)).delivered == 1


def test_it_can_be_taken_away(installed: str) -> None:
    """Program and service go; settings and journal stay. The line is at rest."""
    subprocess.run([f"{os.environ['ARCADE_BUNDLE']}/install.sh", "--uninstall"], check=True)
    assert not UNIT.exists()
    assert not Path("/opt/arcade").exists()
    assert (STATE / "journal.db").exists()
    assert Path("/etc/arcade/edge.toml").exists()
    assert level(COIN)
