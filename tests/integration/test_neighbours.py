"""A neighbour on the broker: somebody with a login of their own, who knows everything that is public.

The broker binds no client id to a user, so whoever connects with somebody's id ends that connection.
"""

import itertools
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from arcade_cloud.adapters.mqtt import FeedState, Listener
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.keyring import Keyring
from arcade_edge.agent.reports import Will
from arcade_edge.bootstrap import new_link
from arcade_edge.config import load
from arcade_edge.mqtt.link import Event, LinkState, MqttLink
from arcade_edge.ports import Arrived, LinkDown
from arcade_sandbox.broker.launcher import Broker, User
from arcade_sandbox.processes import wait_for
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.client_ids import MAX_LENGTH, ClientId
from arcade_shared.signing import machine_key
from integration.conftest import Whole
from support.mqtt_probe import Probe
from support.orders import resolved_by

WAIT_S = 20.0
SECRET = "0123456789abcdef" * 4
INSTALLATION = "a1b2c3d4e5f60718" * 2
ACK = "arcade/machine/cab-01/ack"
COINPULSE = "arcade/machine/cab-01/coinpulse"
STATUS = "arcade/machine/cab-01/status"
USERS = [
    User("cloud", "cloud password", role="cloud"),
    User("cab-01", "machine password", role="machine"),
    User("cab-02", "neighbour password", role="machine"),
    User("bench", "bench password", role="bench"),
]
AGENT_CONFIG = f"""
machine_id = "cab-01"
[broker]
host = "127.0.0.1"
port = %d
tls = false
username = "cab-01"
password = "machine password"
[coin]
pin = 17
active = "low"
[journal]
path = "journal.sqlite"
[security]
signing_key = "{machine_key(SECRET, "cab-01").hex()}"
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker", users=USERS) as broker:
        yield broker


@pytest.fixture
def cloud(broker: Broker) -> Iterator[Listener]:
    address = BrokerAddress(
        host="127.0.0.1", port=broker.port, tls=False, username="cloud", password="cloud password"
    )
    listener = Listener(address, lambda _, payload: heard.put(payload), session_key=Keyring([SECRET]).of_sessions)
    heard: SimpleQueue[bytes] = SimpleQueue()
    listener.heard = heard  # type: ignore[attr-defined]
    listener.start()
    try:
        eventually(lambda: all(state.is_listening for state in listener.state))
        yield listener
    finally:
        listener.stop()


class Agent:
    """An agent's own link, and what it told."""

    def __init__(self, broker: Broker, folder: Path) -> None:
        path = folder / "edge.toml"
        path.write_text(AGENT_CONFIG % broker.port)
        path.chmod(0o600)
        self.events: SimpleQueue[Event] = SimpleQueue()
        self.seen: list[Event] = []

        def post(event: Event) -> bool:
            self.seen.append(event)
            self.events.put(event)
            return True

        self.link: MqttLink = new_link(load(path), INSTALLATION, lambda _: Will(STATUS, b"will"), post)

    def heard(self, payload: bytes, within_s: float = WAIT_S) -> bool:
        """Whether a command arrives in time."""
        until = time.monotonic() + within_s
        while (left_s := until - time.monotonic()) > 0:
            try:
                event = self.events.get(timeout=left_s)
            except Empty:
                return False
            if isinstance(event, Arrived):
                self.link.acknowledge(event.receipt)
                if event.payload == payload:
                    return True
        return False


@pytest.fixture
def agent(broker: Broker, tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(broker, tmp_path)
    agent.link.start()
    try:
        eventually(lambda: agent.link.state is LinkState.ONLINE)
        yield agent
    finally:
        agent.link.stop()


def eventually(condition: Callable[[], bool], within_s: float = WAIT_S) -> None:
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


NEIGHBOUR = ("cab-02", "neighbour password")


def take(broker: Broker, client_id: str, *, clean_start: bool, login: tuple[str, str] = NEIGHBOUR) -> None:
    """Connect as the neighbour with this client id, and leave again."""
    done = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=mqtt.MQTTv5)
    client.username_pw_set(*login)
    client.on_connect = lambda *_: done.set()
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 600
    client.connect("127.0.0.1", broker.port, clean_start=clean_start, properties=properties)
    client.loop_start()
    try:
        assert done.wait(WAIT_S)
    finally:
        client.disconnect()
        client.loop_stop()


def guesses() -> Iterator[str]:
    """What somebody can try who knows the host, all machine ids, all installations, and how ids are made."""
    host, own_key = platform.node(), machine_key("another secret of the same length", "cab-02")
    for feed in ("acks", "statuses"):
        for label in (f"arcade-cloud-{host}-{feed}", f"arcade-cloud-{feed}-{host}"):
            yield label
            yield label + "-"
            for identity in (f"{host}\n{feed}", host, ""):
                for key in (own_key, b"", b"cloud", host.encode()):
                    yield ClientId(key, label, identity).text
    for label in (f"arcade-cab-01-{INSTALLATION[:12]}", f"arcade-{INSTALLATION[:12]}-cab-01"):
        yield label
        for key in (own_key, b"", INSTALLATION.encode(), bytes.fromhex(INSTALLATION)):
            yield ClientId(key, label, f"cab-01\n{INSTALLATION}").text
    yield from (f"arcade-cloud-{secrets.token_hex(6)}-1", "cloud", "cab-01", "")


def ids_at(broker: Broker) -> set[str]:
    """All client ids with which the cloud and the agent have connected, as the broker's log has them."""
    lines = broker.log_file.read_text().splitlines()
    ours = [line for line in lines if " as arcade-" in line and "u'cab-02'" not in line and "u'bench'" not in line]
    return {line.split(" as ")[1].split(" ")[0] for line in ours}


def test_whoever_knows_all_that_is_public_throws_neither_cloud_nor_agent_off(
    broker: Broker, cloud: Listener, agent: Agent
) -> None:
    connected = ids_at(broker)
    assert len(connected) == 3  # acks, statuses, the agent
    for guess in guesses():
        for clean_start in (True, False):
            take(broker, guess, clean_start=clean_start)
    log = broker.log_file.read_text()
    for client_id in connected:
        assert log.count(f" as {client_id} ") == 1
    with Probe(broker.port, "bench", "bench password") as machines:
        machines.publish(ACK, b"an ack")
        machines.publish(COINPULSE, b"a command")
    assert cloud.heard.get(timeout=WAIT_S) == b"an ack"  # type: ignore[attr-defined]
    assert agent.heard(b"a command")
    assert all(state.is_listening and not state.contested for state in cloud.state)


def test_client_ids_are_no_longer_than_brokers_of_every_kind_take_and_name_no_key(
    broker: Broker, cloud: Listener, agent: Agent
) -> None:
    for client_id in ids_at(broker):
        assert len(client_id) <= MAX_LENGTH
        assert SECRET[:8] not in client_id
    assert len(ClientId(b"k", "arcade-cloud-acks-" + "h" * 200, "").text) == MAX_LENGTH


@contextmanager
def attack(broker: Broker, client_id: str, login: tuple[str, str] = NEIGHBOUR) -> Iterator[None]:
    """Somebody has come to know this client id, and takes it over and over again."""
    stop = threading.Event()

    def run() -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            take(broker, client_id, clean_start=bool(number % 2), login=login)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(WAIT_S)


def acks(listener: Listener) -> FeedState:
    return listener.state[0]


def test_a_cloud_whose_client_id_leaked_goes_on_with_another_within_seconds(
    broker: Broker, cloud: Listener
) -> None:
    (leaked,) = (client_id for client_id in ids_at(broker) if "-acks-" in client_id)
    with attack(broker, leaked), Probe(broker.port, "bench", "bench password") as machines:
        eventually(lambda: acks(cloud).contested == (leaked,))
        eventually(lambda: acks(cloud).is_listening)
        for number in range(50):
            machines.publish(ACK, str(number).encode())
            time.sleep(0.02)
        machines.publish(ACK, b"last")
        got: list[bytes] = []
        while b"last" not in got:
            got.append(cloud.heard.get(timeout=WAIT_S))  # type: ignore[attr-defined]
        assert set(got) >= {str(number).encode() for number in range(50)}
        assert acks(cloud).contested == (leaked,)


def test_an_agent_whose_client_id_leaked_goes_on_with_another_within_seconds(broker: Broker, agent: Agent) -> None:
    (leaked,) = ids_at(broker)
    with attack(broker, leaked), Probe(broker.port, "bench", "bench password") as machines:
        eventually(lambda: len(ids_at(broker)) == 2)
        eventually(lambda: agent.link.state is LinkState.ONLINE)
        for number in range(20):
            machines.publish(COINPULSE, str(number).encode())
            assert agent.heard(str(number).encode())
    ends = [event for event in agent.seen if isinstance(event, LinkDown)]
    assert [end.contested for end in ends].count(True) == 1
    assert ends[-1].contested, "only what makes it take another id"


# --- the whole system ------------------------------------------------------------------------------------


def listening_ids(whole: Whole) -> set[str]:
    return {client_id for client_id in ids_at(whole.system.broker) if "-acks-" in client_id}


def test_a_taken_client_id_is_an_alert_and_sells_on(whole: Whole) -> None:
    (leaked,) = listening_ids(whole)
    with attack(whole.system.broker, leaked, ("bench", whole.system.bench_password)):
        with closing(SqliteStore(whole.system.folder / "cloud.sqlite")) as store:
            (raised,) = wait_for(
                "the alert", lambda: [a for a in store.recent_alerts(10) if a.kind == "taken_over"] or None
            )
        assert raised.subject == f"cloud on {platform.node()}"
        assert leaked in raised.text
        assert raised.lasts
        assert whole.final(whole.system.buy("cab-01", 2)).delivered == 2


def test_an_agent_s_taken_client_id_is_an_alert_until_nobody_takes_it_and_it_sells_on(whole: Whole) -> None:
    system = whole.system
    (leaked,) = (client_id for client_id in ids_at(system.broker) if "-cab-01-" in client_id)

    def told() -> list[Alert]:
        with closing(SqliteStore(system.folder / "cloud.sqlite")) as store:
            return [a for a in store.recent_alerts(50) if (a.kind, a.subject) == ("taken_over", "cab-01")]

    with attack(system.broker, leaked, ("bench", system.bench_password)):
        (raised,) = wait_for("the alert", lambda: told() or None)
        assert raised.lasts
        assert "second agent" in raised.text
        assert leaked not in raised.text
        system.wait_ready("cab-01")
        assert whole.final(system.buy("cab-01", 2)).delivered == 2
    system.cabinets["cab-01"].agent.kill()
    system.cabinets["cab-01"].agent.start()  # with the usual id again, which nobody takes any more
    ended, begun = wait_for("its end", lambda: told() if len(told()) == 2 else None)
    assert (ended.recovers, begun.alert_id, begun.lasts) == (raised.alert_id, raised.alert_id, False)


def test_an_ack_that_waits_in_a_session_of_an_older_secret_or_version_is_asked_for_again(whole: Whole) -> None:
    """A new signing secret gives the cloud new client ids, as an upgrade does. Nothing said meanwhile is lost."""
    system, before = whole.system, listening_ids(whole)
    system.wait_ready("cab-01")  # whatever became of its agent in the test before
    pulsed = len(whole.pulses())
    link = system.create_link("cab-01", 8)
    system.stripe.pay(link["url"], "card", wait=False)
    wait_for("the first pulse", lambda: len(whole.pulses()) > pulsed)
    system.cloud.kill()
    wait_for("the last pulse", lambda: len(whole.pulses()) == pulsed + 8)
    time.sleep(1.0)  # the agent's word is with the broker now, in the session of the older id
    system.cloud.environment = {
        **system.cloud.environment,
        "SIGNING_SECRET": f"{secrets.token_hex(32)},{system.signing_secret}",
    }
    system.start_cloud()
    order = whole.final(link["orderId"])
    assert (order.delivered, resolved_by(order)) == (8, "ack")
    assert len(listening_ids(whole) - before) == 1
    whole.check_money(order)
