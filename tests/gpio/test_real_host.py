"""docs/HOSTING.md on a host of its own: Debian's Mosquitto, the cloud's installer and units, under a real systemd.

Without HTTPS in front, which needs a public name, and with the sandbox in Stripe's place.
"""

import json
import os
import pwd
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from arcade_sandbox.processes import wait_for
from support import real_lines
from support.player_by_hand import press

pytestmark = [
    real_lines.only_on_the_virtual_pi,
    pytest.mark.skipif("ARCADE_PACKAGES" not in os.environ, reason="on the virtual Pi only: make gpio-test"),
    pytest.mark.timeout(900),
]

COMMANDS = Path(sys.executable).parent
DEPLOY = Path(__file__).parents[2] / "cloud" / "deploy"
SERVICE = "arcade-cloud"
SETTINGS = Path("/etc/arcade-cloud/settings.env")
DATABASE = Path("/var/lib/arcade-cloud/arcade.sqlite")
COPIES = Path("/var/backups/arcade-cloud")
URL, STRIPE = "http://localhost:5000", "http://localhost:12111"
ASKED_FOR = {
    "STRIPE_API_KEY": "sk_test_sandbox",
    "STRIPE_WEBHOOK_SECRET": "whsec_sandbox",
    "STRIPE_API_BASE": STRIPE,
    "SIGNING_SECRET": "5e" * 32,
    "PUBLIC_BASE_URL": URL,
    "OPERATOR_CONTACT": "+60 3 1234 5678",
}
WITHIN_S = 90.0


def run(*command: str | Path, folder: Path | None = None) -> str:
    """What the command prints. Fails the test, with all that the cloud has logged, if it fails."""
    done = subprocess.run([*command], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}\n{log()}"
    return done.stdout


def log() -> str:
    """What broker and cloud have said."""
    command = ["journalctl", "--no-pager", "-o", "cat", "-u", SERVICE, "-u", "mosquitto"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def main_pid() -> int:
    """The cloud's process; 0 where there is none."""
    return int(run("systemctl", "show", "--property", "MainPID", "--value", SERVICE))


def is_up() -> bool:
    try:
        return requests.get(f"{URL}/status", timeout=5).ok
    except requests.ConnectionError:
        return False


def install(*options: str) -> str:
    return run(DEPLOY / "install.sh", "--python", os.environ["ARCADE_PYTHON"], *options)


def fill_in(settings: dict[str, str]) -> None:
    """Each into the line that the file has for it."""
    text = SETTINGS.read_text()
    for name, value in settings.items():
        text, found = re.subn(rf"^(# )?{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert found == 1, f"{name} has {found} lines"
    SETTINGS.write_text(text)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The host after steps 3 to 5 of the guide; the folder with the machine's config."""
    folder = tmp_path_factory.mktemp("operator")
    printed = run(DEPLOY / "broker.sh", "init", "localhost")
    first = install()
    assert "fill in /etc/arcade-cloud/settings.env" in first
    fill_in(dict(line.split("=", 1) for line in printed.splitlines()) | ASKED_FOR)
    stripe = ("--port", "12111", "--webhook", f"{URL}/webhook", "--secret", ASKED_FOR["STRIPE_WEBHOOK_SECRET"])
    with subprocess.Popen([COMMANDS / "arcade-sandbox", "serve", *stripe]) as sandbox:
        try:
            run("systemctl", "start", SERVICE)
            wait_for("the cloud", is_up, WITHIN_S)
            config = folder / "edge.toml"
            command = ("machine", "add", "cab-01", "--name", "Space Duel", "--offer", "1=2.00MYR")
            config.touch(mode=0o600)
            config.write_text(run("/usr/local/bin/arcade-cloud", *command))
            run(DEPLOY / "broker.sh", "machine", "cab-01", config)
            yield folder
        finally:
            sandbox.terminate()


@pytest.fixture(scope="module")
def cabinet(host: Path) -> Iterator[None]:
    """The machine, as the simulator plays it, ready to be paid."""
    arguments = ("simulate", "--config", "edge.toml", "--journal", "journal.sqlite")
    with subprocess.Popen([COMMANDS / "arcade-edge", *arguments], cwd=host) as agent:
        try:
            wait_for("the machine", is_ready, WITHIN_S)
            yield
        finally:
            agent.terminate()


def is_ready() -> bool:
    seen = json.loads(run("/usr/local/bin/arcade-cloud", "machine", "list", "--json"))
    return bool(seen["ready"])


def orders() -> str:
    return run("/usr/local/bin/arcade-cloud", "order", "list")


def buy() -> str:
    """Buy one credit as a player; the address of the order's page."""
    player = requests.Session()
    paid = press(player, press(player, player.get(f"{URL}/m/cab-01", timeout=20)))

    def is_delivered() -> bool:
        return "1 credit added" in player.get(paid.url, timeout=10).text

    wait_for("the credit", is_delivered, WITHIN_S)
    return paid.url


def test_every_setting_and_connection_has_a_good_verdict(host: Path) -> None:
    said = run("/usr/local/bin/arcade-cloud", "check")
    assert "FAIL" not in said


def test_the_confined_service_sells_a_credit(cabinet: None) -> None:
    buy()
    wait_for("the money", lambda: "settled" in orders(), WITHIN_S)
    fields = {
        key: value.split()
        for key, _, value in (
            line.partition(":") for line in Path(f"/proc/{main_pid()}/status").read_text().splitlines()
        )
    }
    assert fields["NoNewPrivs"] == ["1"]
    assert fields["Seccomp"] == ["2"]
    assert fields["CapEff"] == fields["CapBnd"] == ["0000000000000000"]
    owner = pwd.getpwnam(SERVICE)
    assert set(fields["Uid"]) == {str(owner.pw_uid)}
    for path in (SETTINGS, DATABASE):
        assert (path.stat().st_uid, stat.S_IMODE(path.stat().st_mode)) == (owner.pw_uid, 0o600)


def test_a_cloud_that_is_killed_comes_back_by_itself(cabinet: None) -> None:
    before = main_pid()
    os.kill(before, signal.SIGKILL)
    wait_for("another process", lambda: main_pid() not in (0, before), WITHIN_S)
    wait_for("the cloud", is_up, WITHIN_S)
    wait_for("the machine", is_ready, WITHIN_S)
    buy()


def test_a_stop_is_in_order(cabinet: None) -> None:
    run("systemctl", "stop", SERVICE)
    assert run("systemctl", "show", "--property", "Result", "--value", SERVICE).strip() == "success"
    run("systemctl", "start", SERVICE)
    wait_for("the cloud", is_up, WITHIN_S)


def test_last_nights_copy_can_be_put_back(cabinet: None) -> None:
    """By the lines of the guide, as they stand there."""
    assert run("systemctl", "is-enabled", "arcade-cloud-backup.timer").strip() == "enabled"
    run("systemctl", "start", "arcade-cloud-backup")
    (copy,) = COPIES.iterdir()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with sqlite3.connect(f"file:{copy}?mode=ro", uri=True) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    known = orders()
    guide = (DEPLOY.parents[1] / "docs" / "HOSTING.md").read_text()
    (lines,) = re.findall(r"```shell\n(sudo systemctl stop arcade-cloud\n.*?)```", guide, re.DOTALL)
    as_root = re.sub(r"^sudo ", "", lines, flags=re.MULTILINE)
    run("bash", "-ec", re.sub(r"arcade-2026\w+\.sqlite", copy.name, as_root))
    wait_for("the cloud", is_up, WITHIN_S)
    assert orders() == known
    wait_for("the machine", is_ready, WITHIN_S)
    buy()


def test_installing_again_changes_nothing_and_restarts_nothing(cabinet: None) -> None:
    before, settings = main_pid(), SETTINGS.read_text()
    assert "there already" in install()
    assert main_pid() == before
    assert SETTINGS.read_text() == settings


def test_a_changed_unit_restarts_the_service(cabinet: None) -> None:
    before = main_pid()
    unit = Path("/etc/systemd/system/arcade-cloud.service")
    unit.write_text(unit.read_text() + "\n# an older release's\n")
    assert "restarting the cloud" in install()
    wait_for("another process", lambda: main_pid() not in (0, before), WITHIN_S)
    wait_for("the cloud", is_up, WITHIN_S)


def test_taken_away_it_leaves_what_is_the_operators(cabinet: None) -> None:
    run(DEPLOY / "install.sh", "--uninstall")
    assert not is_up()
    assert not Path("/opt/arcade-cloud").exists()
    assert not Path("/usr/local/bin/arcade-cloud").exists()
    assert SETTINGS.exists()
    assert DATABASE.exists()
    assert list(COPIES.iterdir())
