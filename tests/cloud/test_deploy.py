"""What an operator puts on a host: the broker's set-up, the installer, and the units."""

import shutil
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from arcade_sandbox.processes import free_port, wait_for

DEPLOY = Path(__file__).parents[2] / "cloud" / "deploy"
UNITS = ("arcade-cloud.service", "arcade-cloud-backup.service", "arcade-cloud-backup.timer")
MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
WITHIN_S = 10.0

pytestmark = pytest.mark.heavy  # real brokers, and whole installations

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here"
)


def script(*arguments: str | Path, port: int = 8883) -> subprocess.CompletedProcess[str]:
    """Run broker.sh."""
    return subprocess.run(
        [DEPLOY / "broker.sh", *arguments],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/usr/local/bin", "ARCADE_BROKER_PORT": str(port)},
        capture_output=True,
        text=True,
        check=False,
    )


class Someone:
    """A client with a user of the broker, and what it has heard."""

    def __init__(self, port: int, ca_file: Path, user: str, password: str) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.refused: list[str] = []
        connected, subscribed = threading.Event(), threading.Event()
        self._subscribed = subscribed
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.tls_set_context(ssl.create_default_context(cafile=ca_file))
        self.client.username_pw_set(user, password)

        def on_connect(client: mqtt.Client, data: object, flags: object, code: object, properties: object) -> None:
            self.refused.append(str(code))
            connected.set()

        self.client.on_connect = on_connect
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = lambda client, data, message: self.heard.append(
            (message.topic, bytes(message.payload))
        )
        self.client.connect("localhost", port)
        self.client.loop_start()
        assert connected.wait(WITHIN_S)

    @property
    def may_log_in(self) -> bool:
        """What the broker said."""
        return self.refused[0] == "Success"

    def listen(self, topic: str) -> None:
        """Subscribe."""
        self._subscribed.clear()
        self.client.subscribe(topic, qos=1)
        assert self._subscribed.wait(WITHIN_S)

    def say(self, topic: str, text: str) -> None:
        """Publish, whether it is allowed or not."""
        self.client.publish(topic, text, qos=1).wait_for_publish(WITHIN_S)

    def leave(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()


class Arcade:
    """A broker set up and started as docs/HOSTING.md says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.settings = dict(line.split("=", 1) for line in self.does("init", "localhost").splitlines())
        self.passwords = {"cloud": self.settings["MQTT_PASSWORD"]}
        self.passwords |= {name: self.does("machine", name).strip() for name in ("cab-01", "cab-02")}
        self.passwords["kiosk"] = self.does("listener", "kiosk").strip()

    def does(self, *arguments: str) -> str:
        """Run broker.sh; what it prints."""
        done = script("--dir", self.folder, *arguments, port=self.port)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def login(self, user: str, password: str | None = None) -> Someone:
        """Log in."""
        ca_file = Path(self.settings["MQTT_CA_FILE"])
        return Someone(self.port, ca_file, user, self.passwords[user] if password is None else password)


@pytest.fixture(scope="module")
def arcade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arcade]:
    assert MOSQUITTO is not None
    folder = tmp_path_factory.mktemp("broker")
    made = Arcade(folder)
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen([MOSQUITTO, "-c", folder / "mosquitto.conf"], stdout=log, stderr=log)
    try:
        wait_for("mosquitto", lambda: b"running" in (folder / "log").read_bytes(), WITHIN_S)
        yield made
    finally:
        running.terminate()
        running.wait(WITHIN_S)


def test_the_broker_lets_each_user_do_what_it_is_for_and_nothing_else(arcade: Arcade) -> None:
    cloud, first, second, kiosk = (arcade.login(name) for name in ("cloud", "cab-01", "cab-02", "kiosk"))
    try:
        for somebody in (first, second, kiosk):
            for topic in ("arcade/#", "arcade/machine/+/ack", "arcade/machine/cab-01/coinpulse"):
                somebody.listen(topic)
        kiosk.listen("arcade/machine/+/gameover")
        for topic in ("arcade/machine/+/ack", "arcade/machine/+/gameover", "arcade/cloud/echo"):
            cloud.listen(topic)
        cloud.say("arcade/machine/cab-01/coinpulse", "coin")
        cloud.say("arcade/machine/cab-01/revoke", "revoke")
        cloud.say("arcade/cloud/echo", "echo")
        for somebody in (second, kiosk):  # none of these is allowed
            somebody.say("arcade/machine/cab-01/coinpulse", "forged")
            somebody.say("arcade/machine/cab-01/ack", "forged")
            somebody.say("arcade/cloud/echo", "forged")
        first.say("arcade/machine/cab-01/ack", "true")
        first.say("arcade/machine/cab-01/gameover", "over")

        def all_arrived() -> bool:
            # Mosquitto delivers once for each filter that fits.
            return len(cloud.heard) >= 3 and len(set(kiosk.heard)) >= 2 and len(set(first.heard)) >= 2

        wait_for("the messages", all_arrived, WITHIN_S)
        assert sorted(cloud.heard) == [
            ("arcade/cloud/echo", b"echo"),
            ("arcade/machine/cab-01/ack", b"true"),
            ("arcade/machine/cab-01/gameover", b"over"),
        ]
        assert set(first.heard) == {
            ("arcade/machine/cab-01/coinpulse", b"coin"),
            ("arcade/machine/cab-01/revoke", b"revoke"),
        }
        assert second.heard == []
        assert set(kiosk.heard) == {
            ("arcade/machine/cab-01/coinpulse", b"coin"),
            ("arcade/machine/cab-01/gameover", b"over"),
        }
    finally:
        for somebody in (cloud, first, second, kiosk):
            somebody.leave()


@pytest.mark.parametrize(("user", "password"), [("cab-01", "guessed"), ("nobody", ""), ("cab-02", "")])
def test_the_broker_lets_nobody_in_without_the_password(arcade: Arcade, user: str, password: str) -> None:
    somebody = arcade.login(user, password)
    assert not somebody.may_log_in
    somebody.leave()


def test_setting_the_broker_up_again_keeps_users_and_authority(tmp_path: Path) -> None:
    first = script("--dir", tmp_path, "init", "localhost")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    again = script("--dir", tmp_path, "init", "localhost")
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert "MQTT_PASSWORD=" in first.stdout
    assert "MQTT_PASSWORD=" not in again.stdout
    assert "keeps its password" in again.stderr
    script("--dir", tmp_path, "init", "localhost", "10.0.0.7")
    changed = {
        path.name for path in tmp_path.iterdir() if path.is_file() and path.read_bytes() != before.get(path)
    }
    assert changed == {"names", "server.key", "server.pem"}


def test_nobody_else_may_read_what_the_broker_keeps(tmp_path: Path) -> None:
    script("--dir", tmp_path / "broker", "init", "localhost")
    for path in (tmp_path / "broker").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert "cloud:$7$" in (tmp_path / "broker" / "passwords").read_text()


def test_a_machine_s_config_gets_its_password_and_the_authority_beside_it(tmp_path: Path) -> None:
    script("--dir", tmp_path / "broker", "init", "localhost")
    config = tmp_path / "edge.toml"
    config.write_text('[broker]\nusername = "cab-01"\npassword = ""  # the one that the broker has\n')
    wrong = script("--dir", tmp_path / "broker", "machine", "cab-02", config)
    assert (wrong.returncode, "is not the config of cab-02" in wrong.stderr) == (1, True)
    done = script("--dir", tmp_path / "broker", "machine", "cab-01", config)
    assert done.returncode == 0, done.stderr
    assert '\npassword = "' in config.read_text()
    assert 'password = ""' not in config.read_text()
    assert (tmp_path / "ca.pem").read_bytes() == (tmp_path / "broker" / "ca.pem").read_bytes()
    again = script("--dir", tmp_path / "broker", "machine", "cab-01", config)
    assert (again.returncode, "already" in again.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("machine", "cab-01"), "no broker in"),
        (("init",), "by which name"),
        (("init", "host name"), "neither a host name"),
        (("init", "localhost;id"), "neither a host name"),
        (("invent",), "broker.sh [--dir FOLDER] init HOST"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = script("--dir", tmp_path, *arguments)
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("machine_id", ["cloud", "#", "a/b", "", "-x", "x" * 65])
def test_a_machine_s_user_is_a_machine_id_and_never_the_cloud(tmp_path: Path, machine_id: str) -> None:
    script("--dir", tmp_path, "init", "localhost")
    before = (tmp_path / "passwords").read_bytes()
    assert script("--dir", tmp_path, "machine", machine_id).returncode == 1
    assert (tmp_path / "passwords").read_bytes() == before


def test_a_user_that_was_removed_has_no_rights_left(tmp_path: Path) -> None:
    script("--dir", tmp_path, "init", "localhost")
    before = (tmp_path / "acl").read_text().strip()
    script("--dir", tmp_path, "listener", "kiosk")
    assert script("--dir", tmp_path, "remove", "kiosk").returncode == 0
    assert "kiosk" not in (tmp_path / "passwords").read_text()
    assert (tmp_path / "acl").read_text().strip() == before
    assert script("--dir", tmp_path, "remove", "kiosk").returncode == 1


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_the_whole_unit(tmp_path: Path, name: str) -> None:
    for unit in UNITS:
        text = (DEPLOY / unit).read_text()
        text = text.replace("/opt/arcade-cloud/current/bin/arcade-cloud", shutil.which("true") or "true")
        (tmp_path / unit).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / name], capture_output=True, text=True, check=False
    )
    assert [line for line in done.stderr.splitlines() if any(unit in line for unit in UNITS)] == []


@needs_systemd
@pytest.mark.parametrize("name", [unit for unit in UNITS if unit.endswith(".service")])
def test_the_units_are_confined_well(name: str) -> None:
    """systemd's own measure of exposure, of 100: 20 at most for what stays up."""
    most = "20" if name == "arcade-cloud.service" else "50"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={most}", "--no-pager", DEPLOY / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def install(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installer below a folder."""
    return subprocess.run(
        [DEPLOY / "install.sh", "--root", root, *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("package_index")
def test_the_installer_puts_everything_in_place_and_keeps_settings(tmp_path: Path) -> None:
    first = install(tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    settings = tmp_path / "etc/arcade-cloud/settings.env"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert "\nDATABASE_URL=sqlite:////var/lib/arcade-cloud/arcade.sqlite\n" in settings.read_text()
    program = tmp_path / "opt/arcade-cloud/current/bin/arcade-cloud"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert said.startswith("arcade-cloud ")
    assert {path.name for path in (tmp_path / "etc/systemd/system").iterdir()} == set(UNITS)
    for folder in ("var/lib/arcade-cloud", "var/backups/arcade-cloud"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700
    settings.write_text("KEPT=1\n")
    again = install(tmp_path)
    assert "is there already" in again.stdout
    assert settings.read_text() == "KEPT=1\n"
    gone = install(tmp_path, "--uninstall")
    assert gone.returncode == 0, gone.stderr
    assert not program.exists()
    assert settings.read_text() == "KEPT=1\n"


def test_the_installer_says_beforehand_what_it_would_do(tmp_path: Path) -> None:
    done = install(tmp_path / "root", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would: make the virtual environment" in done.stdout
    assert [path for path in (tmp_path / "root").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("arguments", "says"), [(("--python", "no-such-python"), "no such Python"), (("--x",), "unknown: --x")]
)
def test_a_mistake_at_the_installer_changes_nothing(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = install(tmp_path / "root", *arguments)
    assert (done.returncode, says in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "root").exists()
