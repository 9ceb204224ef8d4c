"""The broker launcher: who may log in, who may read and write what, and what survives a restart."""

import os
import queue
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from arcade_sandbox.broker.launcher import Broker, User, find_mosquitto
from arcade_sandbox.errors import BrokerNotInstalled, BrokerNotStarted

NOT_AUTHORIZED = 0x87
WAIT_S = 10

USERS = [
    User("cloud", "cloud password", role="cloud"),
    User("cab-01", "first password", role="machine"),
    User("cab-02", "second password", role="machine"),
    User("screen", "screen password", role="listener"),
    User("bench", "bench password", role="bench"),
]
PASSWORDS = {user.name: user.password for user in USERS}


class Talker:
    """A bare MQTT 5 client whose callbacks only enqueue: every answer is read with a bounded wait."""

    def __init__(self, name: str, password: str | None, *, client_id: str = "", clean: bool = True) -> None:
        self.answers: queue.Queue[tuple[str, Any]] = queue.Queue(maxsize=1000)
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue(maxsize=1000)
        self.clean = clean
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
        self.client.username_pw_set(name, password)
        self.client.on_connect = lambda c, u, flags, reason, p: self.answers.put_nowait(("connect", reason))
        self.client.on_publish = lambda c, u, mid, reason, p: self.answers.put_nowait(("publish", reason))
        self.client.on_subscribe = lambda c, u, mid, reasons, p: self.answers.put_nowait(("subscribe", reasons[0]))
        self.client.on_disconnect = lambda c, u, flags, reason, p: self.answers.put_nowait(("disconnect", reason))
        self.client.on_message = lambda c, u, message: self.messages.put_nowait(
            (message.topic, bytes(message.payload))
        )

    def connect(self, port: int) -> int:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 0 if self.clean else 3600
        self.client.connect("localhost", port, keepalive=20, clean_start=self.clean, properties=properties)
        self.client.loop_start()
        return self.answer("connect")

    def answer(self, kind: str) -> int:
        """The reason code of the next answer, which must be of this kind."""
        got, reason = self.answers.get(timeout=WAIT_S)
        assert got == kind
        assert isinstance(reason, ReasonCode)
        return int(reason.value)

    def publish(self, topic: str, payload: bytes = b"{}") -> int:
        self.client.publish(topic, payload, qos=1)
        return self.answer("publish")

    def subscribe(self, topic: str) -> int:
        self.client.subscribe(topic, qos=1)
        return self.answer("subscribe")

    def next_message(self) -> tuple[str, bytes]:
        return self.messages.get(timeout=WAIT_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def logged_in(broker: Broker, name: str) -> Iterator[Talker]:
    talker = Talker(name, PASSWORDS[name])
    try:
        assert talker.connect(broker.port) == 0
        yield talker
    finally:
        talker.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    # The blank in the name is on purpose: Mosquitto's settings file has no quotes.
    with Broker(tmp_path_factory.mktemp("the broker"), users=USERS) as running:
        yield running


def test_a_user_logs_in_with_its_own_password_only(broker: Broker) -> None:
    for name, password, expected in [
        ("cab-01", "first password", 0),
        ("cab-01", "second password", NOT_AUTHORIZED),
        ("cab-01", "", NOT_AUTHORIZED),
        ("nobody", "first password", NOT_AUTHORIZED),
        ("", None, NOT_AUTHORIZED),
    ]:
        talker = Talker(name, password)
        try:
            assert talker.connect(broker.port) == expected, (name, password)
        finally:
            talker.close()


@pytest.mark.parametrize(
    "topic",
    [
        "#",
        "arcade/#",
        "arcade/machine/+/coinpulse",
        "arcade/machine/cab-02/coinpulse",
        "arcade/machine/cab-02/revoke",
        "arcade/machine/cab-02/clock",
        "arcade/machine/cab-02/ack",
        "arcade/machine/cab-02/status",
        "arcade/cloud/echo",
    ],
)
def test_a_machine_cannot_read_what_is_not_for_it(broker: Broker, topic: str) -> None:
    with logged_in(broker, "cab-01") as machine:
        assert machine.subscribe(topic) == NOT_AUTHORIZED


@pytest.mark.parametrize(
    "topic",
    [
        "arcade/machine/cab-02/ack",
        "arcade/machine/cab-02/status",
        "arcade/machine/cab-02/gameover",
        "arcade/machine/cab-02/coinpulse",
        "arcade/machine/cab-01/coinpulse",
        "arcade/machine/cab-01/revoke",
        "arcade/machine/cab-01/clock",
        "arcade/cloud/echo",
    ],
)
def test_a_machine_cannot_write_for_others_nor_commands_to_itself(broker: Broker, topic: str) -> None:
    with logged_in(broker, "cab-01") as machine:
        assert machine.publish(topic) == NOT_AUTHORIZED


def test_cloud_and_machine_reach_each_other_on_every_topic_of_theirs(broker: Broker) -> None:
    with logged_in(broker, "cloud") as cloud, logged_in(broker, "cab-01") as machine:
        for leaf in ("coinpulse", "revoke", "clock"):
            assert machine.subscribe(f"arcade/machine/cab-01/{leaf}") == 1
            assert cloud.publish(f"arcade/machine/cab-01/{leaf}", leaf.encode()) == 0
            assert machine.next_message() == (f"arcade/machine/cab-01/{leaf}", leaf.encode())
        for leaf in ("ack", "status", "gameover"):
            assert cloud.subscribe(f"arcade/machine/+/{leaf}") == 1
            assert machine.publish(f"arcade/machine/cab-01/{leaf}", leaf.encode()) == 0
            assert cloud.next_message() == (f"arcade/machine/cab-01/{leaf}", leaf.encode())
        assert cloud.subscribe("arcade/cloud/echo") == 1
        assert cloud.publish("arcade/cloud/echo", b"hear me") == 0
        assert cloud.next_message() == ("arcade/cloud/echo", b"hear me")


def test_the_cloud_cannot_write_what_only_machines_say(broker: Broker) -> None:
    with logged_in(broker, "cloud") as cloud:
        assert cloud.publish("arcade/machine/cab-01/ack") == NOT_AUTHORIZED
        assert cloud.publish("arcade/machine/cab-01/status") == NOT_AUTHORIZED
        assert cloud.subscribe("arcade/machine/+/coinpulse") == NOT_AUTHORIZED


def test_a_listener_reads_the_public_topics_and_writes_nothing(broker: Broker) -> None:
    with logged_in(broker, "screen") as screen, logged_in(broker, "cloud") as cloud:
        for leaf in ("coinpulse", "gameover"):
            assert screen.subscribe(f"arcade/machine/+/{leaf}") == 1
            assert cloud.publish(f"arcade/machine/cab-02/{leaf}", leaf.encode()) == 0
            assert screen.next_message() == (f"arcade/machine/cab-02/{leaf}", leaf.encode())
            assert screen.publish(f"arcade/machine/cab-02/{leaf}") == NOT_AUTHORIZED
        for leaf in ("ack", "revoke", "status", "clock"):
            assert screen.subscribe(f"arcade/machine/+/{leaf}") == NOT_AUTHORIZED


def test_the_bench_may_do_everything(broker: Broker) -> None:
    with logged_in(broker, "bench") as bench:
        assert bench.subscribe("#") == 1
        for leaf in ("coinpulse", "gameover", "ack", "revoke", "status", "clock"):
            assert bench.publish(f"arcade/machine/cab-01/{leaf}", leaf.encode()) == 0
            assert bench.next_message() == (f"arcade/machine/cab-01/{leaf}", leaf.encode())


def test_tls_is_verified_with_the_broker_s_own_authority_and_no_other(broker: Broker) -> None:
    trusting = Talker("cab-01", PASSWORDS["cab-01"])
    trusting.client.tls_set(ca_certs=str(broker.ca_file))
    wary = Talker("cab-01", PASSWORDS["cab-01"])
    wary.client.tls_set_context(ssl.create_default_context())
    try:
        assert trusting.connect(broker.tls_port) == 0
        with pytest.raises(ssl.SSLCertVerificationError):
            wary.connect(broker.tls_port)
    finally:
        trusting.close()
        wary.close()


def test_a_restart_keeps_ports_certificates_and_the_queue_of_a_persistent_session(tmp_path: Path) -> None:
    with Broker(tmp_path, users=USERS) as broker:
        before = (broker.port, broker.tls_port, broker.ca_file.read_bytes())
        asleep = Talker("cab-01", PASSWORDS["cab-01"], client_id="cab-01", clean=False)
        assert asleep.connect(broker.port) == 0
        assert asleep.subscribe("arcade/machine/cab-01/coinpulse") == 1
        asleep.close()
        with logged_in(broker, "cloud") as cloud:
            for text in (b"first", b"second"):
                assert cloud.publish("arcade/machine/cab-01/coinpulse", text) == 0
        broker.restart()
        assert (broker.port, broker.tls_port, broker.ca_file.read_bytes()) == before
        awake = Talker("cab-01", PASSWORDS["cab-01"], client_id="cab-01", clean=False)
        try:
            assert awake.connect(broker.port) == 0
            assert [awake.next_message()[1] for _ in range(2)] == [b"first", b"second"]
        finally:
            awake.close()


def test_users_added_between_two_starts_may_log_in_after_the_second(tmp_path: Path) -> None:
    with Broker(tmp_path, users=[]) as broker:
        broker.users.append(User("cloud", PASSWORDS["cloud"], role="cloud"))
        broker.restart()
        with logged_in(broker, "cloud"):
            pass


def test_a_killed_broker_starts_again_and_a_stopped_one_is_gone(tmp_path: Path) -> None:
    broker = Broker(tmp_path, users=USERS)
    broker.start()
    try:
        first_pid, port = broker.pid, broker.port
        broker.kill()
        broker.start()
        assert broker.pid != first_pid
        assert broker.port == port
        with logged_in(broker, "cab-01"):
            pass
        last_pid = broker.pid
        os.kill(last_pid, signal.SIGSTOP)
    finally:
        broker.stop()
    for pid in (first_pid, last_pid):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    broker.stop()
    with pytest.raises(BrokerNotStarted, match="not running"):
        _ = broker.pid


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_the_broker_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from arcade_sandbox.broker.launcher import Broker\n"
        "broker = Broker(pathlib.Path(sys.argv[1]), users=[])\n"
        "broker.start()\n"
        "print(broker.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        broker_pid = int(parent.stdout.readline())
        os.kill(broker_pid, 0)
        parent.kill()
    give_up = time.monotonic() + WAIT_S
    # Where nobody reaps orphans (a container without an init), the dead child stays as a zombie.
    while "State:\tZ" not in (status := _process_status(broker_pid)) and status and time.monotonic() < give_up:
        time.sleep(0.01)
    assert not status or "State:\tZ" in status


def _process_status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_port_that_is_taken_is_said_with_the_broker_s_own_words(broker: Broker, tmp_path: Path) -> None:
    second = Broker(tmp_path, users=[], port=broker.port, tls_port=broker.tls_port)
    with pytest.raises(BrokerNotStarted, match="Address already in use"):
        second.start()
    second.stop()


def test_a_missing_broker_is_said_with_the_way_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(BrokerNotInstalled, match=r"No Mosquitto found.*apt-get install mosquitto.*brew install"):
        find_mosquitto([tmp_path / "mosquitto"])


def test_a_broker_without_its_plugin_is_said_by_name(tmp_path: Path) -> None:
    binary = tmp_path / "sbin" / "mosquitto"
    binary.parent.mkdir()
    binary.touch(mode=0o755)
    with pytest.raises(BrokerNotInstalled, match=r"lacks mosquitto_dynamic_security\.so"):
        find_mosquitto([binary])


def test_passwords_are_neither_shown_nor_stored_in_the_clear(broker: Broker) -> None:
    files = list(broker.folder.iterdir())
    assert any(USERS[0].name.encode() in file.read_bytes() for file in files), "users are stored here"
    for user in USERS:
        assert user.password not in repr(user)
        for file in files:
            assert user.password.encode() not in file.read_bytes(), file
