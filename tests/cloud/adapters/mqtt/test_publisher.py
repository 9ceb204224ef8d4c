"""The publisher on a real Mosquitto: what is known of a message, whatever befalls broker, link and process."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from arcade_cloud.adapters.mqtt import Publisher
from arcade_cloud.adapters.mqtt.connection import cloud_connection
from arcade_cloud.domain.events import Outcome
from arcade_sandbox.broker.launcher import Broker, User
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.mqtt import IN_FLIGHT, Connection
from support.mqtt_probe import WAIT_S, Probe
from support.tcp_link import Link

COINPULSE = "arcade/machine/cab-01/coinpulse"
USERS = [
    User("cloud", "cloud password", role="cloud"),
    User("bench", "bench password", role="bench"),
]
DELIVERED = {Outcome.CONFIRMED, Outcome.NOBODY}

# Each message has a second or so to be answered: on a busy machine that is not enough.
pytestmark = pytest.mark.serial


@pytest.fixture(scope="module")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """For tests that do nothing to the broker itself."""
    with Broker(tmp_path_factory.mktemp("broker"), users=USERS) as broker:
        yield broker


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path, users=USERS) as broker:
        yield broker


def address(port: int) -> BrokerAddress:
    return BrokerAddress(host="127.0.0.1", port=port, tls=False, username="cloud", password="cloud password")


@pytest.fixture
def publisher_on() -> Iterator[Callable[..., Publisher]]:
    """Makes publishers and closes them at the end."""
    made: list[Publisher] = []

    def make(port: int, *, timeout_ms: int = 1000, publishes_per_s: int = 0, keepalive_s: int = 20) -> Publisher:
        publisher = Publisher(
            address(port), timeout_ms=timeout_ms, publishes_per_s=publishes_per_s, keepalive_s=keepalive_s
        )
        made.append(publisher)
        return publisher

    yield make
    for publisher in made:
        publisher.close()


def send(publisher: Publisher, payload: bytes = b"{}", topic: str = COINPULSE) -> Outcome:
    return publisher.publish(topic, payload, expiry_s=30)


def eventually(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def publisher_threads() -> int:
    return sum(thread.name.startswith("publisher-") for thread in threading.enumerate())


# --- connecting ------------------------------------------------------------------------------------------


def test_nothing_is_connected_before_the_first_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        Publisher(address(server.getsockname()[1]), timeout_ms=1000).close()
        with pytest.raises(BlockingIOError):
            server.accept()


def test_many_messages_share_one_connection(shared_broker: Broker, publisher_on: Callable[..., Publisher]) -> None:
    with Link(shared_broker.port) as link:
        publisher = publisher_on(link.port)
        with ThreadPoolExecutor(16) as threads:
            outcomes = list(threads.map(lambda _: send(publisher), range(200)))
        assert set(outcomes) == {Outcome.NOBODY}
        assert link.accepted == 1


def test_small_packets_do_not_wait_for_each_other(shared_broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    """With Nagle's algorithm a packet behind another one waits 40 ms."""
    opened: list[int] = []
    original = Connection._socket_opened

    def note(self: Connection, client: paho.Client, data: object, link: socket.socket) -> None:
        original(self, client, data, link)
        opened.append(link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(Connection, "_socket_opened", note)
    publisher = Publisher(address(shared_broker.port), timeout_ms=1000)
    assert send(publisher) is Outcome.NOBODY
    publisher.close()
    assert opened == [1]


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, None),
        ({"password": "wrong"}, "check MQTT_USERNAME and MQTT_PASSWORD"),
        ({"username": None, "password": None}, "check MQTT_USERNAME and MQTT_PASSWORD"),
        ({"host": "no-such-host.invalid"}, "there is no host named no-such-host.invalid"),
        ({"port": 1}, "nobody listens on localhost:1"),
        ({"ca_file": None}, "is not trusted"),
        ({"ca_file": "/nowhere.pem"}, "No such file"),
    ],
)
def test_what_keeps_it_from_connecting_is_said_in_words_that_help(
    shared_broker: Broker, changes: dict[str, object], word: str | None
) -> None:
    good = BrokerAddress(
        host="localhost",
        port=shared_broker.tls_port,
        ca_file=str(shared_broker.ca_file),
        username="cloud",
        password="cloud password",
    )
    publisher = Publisher(replace(good, **changes), timeout_ms=3000)  # type: ignore[arg-type]
    try:
        assert (send(publisher) in DELIVERED) == (word is None)
        verdict = publisher.check()
        assert verdict is None if word is None else word in (verdict or "")
    finally:
        publisher.close()


def test_a_server_that_accepts_and_says_nothing_is_given_up(
    publisher_on: Callable[..., Publisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = partial(cloud_connection, greet_within_s=0.5)
    monkeypatch.setattr("arcade_cloud.adapters.mqtt.publisher.cloud_connection", hasty)
    with socket.create_server(("127.0.0.1", 0)) as server:
        publisher = publisher_on(server.getsockname()[1], timeout_ms=200)
        assert send(publisher) is Outcome.REFUSED  # nothing was handed over
        assert "does not answer" in (publisher.check() or "")


def test_while_the_broker_is_known_to_be_down_nobody_waits_for_it(publisher_on: Callable[..., Publisher]) -> None:
    """After a failed attempt the others fail at once, and only now and then one tries again."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    publisher = publisher_on(port, timeout_ms=30_000)
    before = threading.active_count()
    assert {send(publisher) for _ in range(200)} == {Outcome.REFUSED}
    assert threading.active_count() <= before + 1


# --- what is known of a message --------------------------------------------------------------------------


def test_the_message_carries_its_expiry_and_is_not_retained(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    with Probe(shared_broker.port, "bench", "bench password") as probe:
        probe.subscribe(COINPULSE)
        assert publisher_on(shared_broker.port).publish(COINPULSE, b"x", expiry_s=77) is Outcome.CONFIRMED
        message = probe.next_message()
        assert message.properties is not None
        assert message.properties.json()["MessageExpiryInterval"] == 77
        assert (message.qos, message.retain) == (1, False)


def test_what_the_access_list_forbids_is_refused_although_the_broker_acknowledges_it(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    publisher = publisher_on(shared_broker.port)
    assert send(publisher, topic="arcade/machine/cab-01/status") is Outcome.REFUSED
    assert send(publisher) is Outcome.NOBODY


def test_a_topic_that_no_broker_may_take_raises_nothing(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    assert send(publisher_on(shared_broker.port), topic="arcade/machine/+/coinpulse") not in DELIVERED


def test_a_killed_broker_ends_the_wait_at_once_and_is_found_again_when_it_is_back(
    broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    publisher = publisher_on(broker.port, timeout_ms=60_000)
    assert send(publisher) is Outcome.NOBODY
    os.kill(broker.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(send, publisher) for _ in range(4)]
        eventually(lambda: publisher._wire is not None and len(publisher._wire.receipts) == 4)
        broker.kill()
        assert [future.result(timeout=WAIT_S) for future in waiting] == [Outcome.UNKNOWN] * 4
    assert send(publisher) is Outcome.REFUSED
    broker.start()
    eventually(lambda: send(publisher) is Outcome.NOBODY)


def test_a_frozen_broker_is_unknown_and_the_next_message_after_the_thaw_goes_through(
    broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    publisher = publisher_on(broker.port, timeout_ms=1000)
    assert send(publisher) is Outcome.NOBODY
    os.kill(broker.pid, signal.SIGSTOP)
    assert send(publisher) is Outcome.UNKNOWN
    os.kill(broker.pid, signal.SIGCONT)
    assert send(publisher) is Outcome.NOBODY


def test_a_link_that_looks_alive_and_carries_nothing_costs_one_message(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    """Networks that forget an idle connection do the same. The next message gets a new connection."""
    with Link(shared_broker.port) as link:
        publisher = publisher_on(link.port, timeout_ms=1000)
        assert send(publisher) is Outcome.NOBODY
        link.go_silent()
        assert send(publisher) is Outcome.UNKNOWN
        assert send(publisher) is Outcome.NOBODY
        assert link.accepted == 2


def test_a_message_that_was_given_up_does_not_come_later(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    """The bytes were lost on the way, and nothing sends them again: neither the new connection nor the old."""
    with Probe(shared_broker.port, "bench", "bench password") as probe, Link(shared_broker.port) as link:
        probe.subscribe("#")
        publisher = publisher_on(link.port, timeout_ms=1000)
        send(publisher, b"first")
        link.go_silent()
        assert send(publisher, b"given up") is Outcome.UNKNOWN
        eventually(lambda: send(publisher, b"next") is Outcome.CONFIRMED)
        eventually(lambda: publisher_threads() == 1)
        assert send(publisher, b"last") is Outcome.CONFIRMED
        assert [bytes(probe.next_message().payload) for _ in range(3)] == [b"first", b"next", b"last"]


def test_those_who_still_wait_on_a_connection_given_up_by_another_get_their_answer(
    broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    hasty = publisher_on(broker.port, timeout_ms=20_000)
    assert send(hasty) is Outcome.NOBODY
    os.kill(broker.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(send, hasty)
        eventually(lambda: hasty._wire is not None and len(hasty._wire.receipts) == 1)
        hasty._timeout_s = 0.2
        assert send(hasty) is Outcome.UNKNOWN
        os.kill(broker.pid, signal.SIGCONT)
        assert waiting.result(timeout=WAIT_S) is Outcome.NOBODY


def test_a_connection_that_was_given_up_is_closed(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    with Link(shared_broker.port) as link:
        publisher = publisher_on(link.port, timeout_ms=700)
        eventually(lambda: publisher_threads() == 0)
        for _ in range(3):
            assert send(publisher) is Outcome.NOBODY
            link.go_silent()
            assert send(publisher) is Outcome.UNKNOWN
        eventually(lambda: publisher_threads() <= 1)


# --- threads, processes ----------------------------------------------------------------------------------


def test_sixteen_threads_each_get_the_word_about_their_own_message(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    publisher = publisher_on(shared_broker.port, timeout_ms=10_000)
    with Probe(shared_broker.port, "bench", "bench password") as probe:
        probe.subscribe("arcade/machine/heard/coinpulse")
        wanted = [
            ("arcade/machine/heard/coinpulse", Outcome.CONFIRMED),
            ("arcade/machine/alone/coinpulse", Outcome.NOBODY),
            ("arcade/machine/heard/ack", Outcome.REFUSED),
        ] * 200
        with ThreadPoolExecutor(16) as threads:
            outcomes = list(threads.map(lambda pair: send(publisher, topic=pair[0]), wanted))
        assert outcomes == [outcome for _, outcome in wanted]
        for _ in range(200):
            probe.next_message()


def test_an_exception_in_the_network_thread_is_seen_and_the_next_message_goes_through(
    shared_broker: Broker, publisher_on: Callable[..., Publisher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On its own, paho would silently lose its thread, and every later message with it."""
    publisher = publisher_on(shared_broker.port, timeout_ms=60_000)
    assert send(publisher) is Outcome.NOBODY
    broken = publisher._wire
    assert broken is not None
    monkeypatch.setattr(broken.connection, "_on_puback", lambda *_: 1 / 0)
    assert send(publisher) is Outcome.UNKNOWN
    assert "a defect ended it" in broken.connection.end
    assert send(publisher) is Outcome.NOBODY


def test_what_comes_faster_than_allowed_waits_and_is_refused_where_it_would_wait_too_long(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    """EMQX Serverless leaves what exceeds its rate unread, to deliver it later: so it is never sent."""
    publisher = publisher_on(shared_broker.port, timeout_ms=1500, publishes_per_s=10)
    with Probe(shared_broker.port, "bench", "bench password") as probe:
        probe.subscribe(COINPULSE)
        with ThreadPoolExecutor(60) as threads:
            outcomes = list(threads.map(lambda number: send(publisher, str(number).encode()), range(60)))
        confirmed = outcomes.count(Outcome.CONFIRMED)
        assert 10 <= confirmed < 60
        assert outcomes.count(Outcome.REFUSED) == 60 - confirmed
        arrived = {int(probe.next_message().payload) for _ in range(confirmed)}
        assert arrived == {number for number, outcome in enumerate(outcomes) if outcome is Outcome.CONFIRMED}


def test_a_message_whose_turn_leaves_too_little_time_for_an_answer_is_not_sent(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    """Else nobody would know whether it was delivered, and a good connection would be given up for it."""
    with Probe(shared_broker.port, "bench", "bench password") as probe, Link(shared_broker.port) as link:
        probe.subscribe(COINPULSE)
        publisher = publisher_on(link.port, timeout_ms=1100, publishes_per_s=1)
        assert publisher.check() is None
        assert send(publisher, b"first") is Outcome.CONFIRMED
        link.stall("to client")
        assert send(publisher, b"its turn comes after a second") is Outcome.REFUSED
        link.resume()
        time.sleep(1.0)
        assert send(publisher, b"next") is Outcome.CONFIRMED
        assert [bytes(probe.next_message().payload) for _ in range(2)] == [b"first", b"next"]
        assert link.accepted == 1


def test_a_message_that_gets_its_connection_or_its_place_too_late_is_not_sent(
    shared_broker: Broker, publisher_on: Callable[..., Publisher]
) -> None:
    with Link(shared_broker.port) as link, ThreadPoolExecutor(1) as threads:
        link.stall()
        publisher = publisher_on(link.port, timeout_ms=2000)
        waiting = threads.submit(send, publisher)
        time.sleep(1.7)
        link.resume()
        assert waiting.result(WAIT_S) is Outcome.REFUSED
        eventually(lambda: send(publisher) is Outcome.NOBODY)
        wire = publisher._wire
        assert wire is not None
        taken = sum(wire.room.acquire(blocking=False) for _ in range(IN_FLIGHT))
        waiting = threads.submit(send, publisher)
        time.sleep(1.7)
        wire.room.release(taken)
        assert waiting.result(WAIT_S) is Outcome.REFUSED
        assert send(publisher) is Outcome.NOBODY


@pytest.mark.skipif(sys.platform != "linux", reason="suspends a process by its signals")
def test_a_process_frozen_beyond_the_keepalive_publishes_at_once_when_it_is_thawed(shared_broker: Broker) -> None:
    """On AWS Lambda: the network has forgotten the connection meanwhile, and no one has told either end."""
    script = (
        "import sys\n"
        "from arcade_shared.broker_address import BrokerAddress\n"
        "from arcade_cloud.adapters.mqtt import Publisher\n"
        "publisher = Publisher(BrokerAddress(host='127.0.0.1', port=int(sys.argv[1]), tls=False,\n"
        "    username='cloud', password='cloud password'), timeout_ms=5000, keepalive_s=2)\n"
        "for line in sys.stdin:\n"
        f"    print(publisher.publish('{COINPULSE}', b'', expiry_s=30).value, flush=True)\n"
    )
    with Link(shared_broker.port) as link:
        child = subprocess.Popen(
            [sys.executable, "-c", script, str(link.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write("\n")
            assert child.stdout.readline() == "nobody\n"
            os.kill(child.pid, signal.SIGSTOP)
            link.go_silent()
            time.sleep(3.5)  # 1.5 × the keepalive, and a bit
            child.stdin.write("\n")
            os.kill(child.pid, signal.SIGCONT)
            assert child.stdout.readline() == "nobody\n"
            assert link.accepted == 2
        finally:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()


def test_after_an_orderly_close_the_thread_is_gone(shared_broker: Broker) -> None:
    before = publisher_threads()
    publisher = Publisher(address(shared_broker.port), timeout_ms=1000)
    assert send(publisher) is Outcome.NOBODY
    publisher.close()
    eventually(lambda: publisher_threads() == before)


def test_who_only_publishes_imports_nothing_that_listens_and_no_socket_is_opened() -> None:
    """On AWS Lambda every import is a part of the cold start."""
    code = (
        "import sys\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, arguments: event.startswith('socket.') and seen.append(event))\n"
        "from arcade_cloud.adapters.mqtt import Publisher\n"
        "from arcade_shared.broker_address import BrokerAddress\n"
        "Publisher(BrokerAddress(host='localhost', port=1), timeout_ms=1000)\n"
        "sys.exit('arcade_cloud.adapters.mqtt.listener' in sys.modules or bool(seen))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
