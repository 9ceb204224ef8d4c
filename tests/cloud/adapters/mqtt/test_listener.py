"""The listener on a real Mosquitto: what it acknowledges, what comes again, and what it says about itself."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue

import pytest

from arcade_cloud.adapters.mqtt import Listener, feed, listening_check, try_listening
from arcade_cloud.errors import StoreUnavailable
from arcade_sandbox.broker.launcher import Broker, User
from arcade_shared.broker_address import BrokerAddress
from arcade_shared.errors import BadMessage
from arcade_shared.topics import ECHO
from support.mosquitto_acl_file import mosquitto_with_acl_file
from support.mqtt_probe import WAIT_S, Probe

ACK = "arcade/machine/cab-01/ack"
STATUS = "arcade/machine/cab-01/status"
KEY = b"the cloud's key for its client ids"
USERS = [
    User("cloud", "cloud password", role="cloud"),
    User("cab-01", "machine password", role="machine"),
    User("bench", "bench password", role="bench"),
]

Handle = Callable[[str, bytes], object]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path, users=USERS) as broker:
        yield broker


@pytest.fixture
def machines(broker: Broker) -> Iterator[Probe]:
    """A client that may publish as any machine."""
    with Probe(broker.port, "bench", "bench password") as probe:
        yield probe


def address(broker: Broker, name: str = "cloud", password: str = "cloud password") -> BrokerAddress:
    return BrokerAddress(host="127.0.0.1", port=broker.port, tls=False, username=name, password=password)


def eventually(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def is_listening(listener: Listener) -> bool:
    return all(state.is_listening for state in listener.state)


@contextmanager
def listening(broker: Broker, handle: Handle, listener_id: str = "test") -> Iterator[Listener]:
    listener = Listener(address(broker), handle, session_key=KEY, listener_id=listener_id)
    listener.start()
    try:
        eventually(lambda: is_listening(listener))
        yield listener
    finally:
        listener.stop()


class Handler:
    """Notes what it is called with, and raises what it is told to, message by message."""

    def __init__(self, *errors: Exception) -> None:
        self.calls: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self.errors = list(errors)

    def __call__(self, topic: str, payload: bytes) -> None:
        self.calls.put((topic, payload))
        if self.errors:
            raise self.errors.pop(0)

    def next(self) -> bytes:
        return self.calls.get(timeout=WAIT_S)[1]


def acks(listener: Listener) -> feed.FeedState:
    return listener.state[0]


# --- what arrives ----------------------------------------------------------------------------------------


def test_everything_that_machines_say_to_the_cloud_arrives(broker: Broker, machines: Probe) -> None:
    handler = Handler()
    topics = [ACK, STATUS, "arcade/machine/cab-01/gameover", "arcade/machine/cab-02/ack", ECHO]
    with listening(broker, handler):
        for topic in (*topics, "arcade/machine/cab-01/coinpulse", "arcade/machine/cab-01/clock"):
            machines.publish(topic, topic.encode())
        got = {handler.calls.get(timeout=WAIT_S) for _ in topics}
        machines.publish(ACK, b"last")
        assert handler.next() == b"last"
    assert got == {(topic, topic.encode()) for topic in topics}


def test_messages_of_one_machine_are_handled_in_their_order(broker: Broker, machines: Probe) -> None:
    got: dict[str, list[int]] = defaultdict(list)
    done = threading.Semaphore(0)

    def handle(topic: str, payload: bytes) -> None:
        time.sleep(0.001 * (hash(topic) % 3))
        got[topic].append(int(payload))
        done.release()

    with listening(broker, handle):
        for number in range(30):
            for machine in range(10):
                machines.publish(f"arcade/machine/cab-{machine}/ack", str(number).encode())
        for _ in range(300):
            assert done.acquire(timeout=WAIT_S)
    assert set(map(tuple, got.values())) == {tuple(range(30))}
    assert len(got) == 10


# --- what is acknowledged, and what comes again ----------------------------------------------------------


def test_what_is_said_while_the_process_is_away_arrives_when_it_is_back(broker: Broker, machines: Probe) -> None:
    with listening(broker, Handler()):
        pass
    machines.publish(ACK, b"while it was away")
    handler = Handler()
    with listening(broker, handler):
        assert handler.next() == b"while it was away"


def test_a_message_is_not_acknowledged_before_it_has_been_handled(broker: Broker, machines: Probe) -> None:
    """The process ends while a handler runs: the next process gets that message, and not the one before it."""
    entered, leave = threading.Event(), threading.Event()

    def handle(_topic: str, payload: bytes) -> None:
        if payload == b"second":
            entered.set()
            leave.wait(WAIT_S)
            raise StoreUnavailable("cut off")

    with listening(broker, handle) as listener:
        machines.publish(ACK, b"first")
        machines.publish(ACK, b"second")
        machines.publish(ACK, b"third")
        assert entered.wait(WAIT_S)
        stopping = threading.Thread(target=listener.stop)
        stopping.start()
        leave.set()
        stopping.join()
    handler = Handler()
    with listening(broker, handler):
        assert [handler.next(), handler.next()] == [b"second", b"third"]
        machines.publish(ACK, b"last")
        assert handler.next() == b"last"


def test_what_the_store_could_not_take_is_handled_again_before_anything_else_of_that_machine(
    broker: Broker, machines: Probe
) -> None:
    handler = Handler(StoreUnavailable("locked"), StoreUnavailable("locked"))
    with listening(broker, handler) as listener:
        machines.publish(ACK, b"first")
        machines.publish(ACK, b"second")
        assert [handler.next() for _ in range(4)] == [b"first", b"first", b"first", b"second"]
        eventually(lambda: acks(listener).counts == {"handled": 2, "retried": 2})
        assert acks(listener).problem is None


def test_a_store_that_stays_away_is_said_and_leaves_the_messages_with_the_broker(
    broker: Broker, machines: Probe
) -> None:
    def handle(_topic: str, _payload: bytes) -> None:
        raise StoreUnavailable("disk full")

    with listening(broker, handle) as listener:
        machines.publish(ACK, b"first")
        eventually(lambda: "the store cannot be reached" in (acks(listener).problem or ""))
    handler = Handler()
    with listening(broker, handler):
        assert handler.next() == b"first"


def test_what_is_no_message_of_ours_is_refused_once_counted_and_acknowledged(
    broker: Broker, machines: Probe
) -> None:
    handler = Handler(BadMessage("not JSON"))
    with listening(broker, handler) as listener:
        machines.publish(ACK, b"nonsense")
        machines.publish(ACK, b"sense")
        assert [handler.next(), handler.next()] == [b"nonsense", b"sense"]
        eventually(lambda: acks(listener).counts == {"refused": 1, "handled": 1})
    after = Handler()
    with listening(broker, after):
        machines.publish(ACK, b"last")
        assert after.next() == b"last"


def test_a_defect_costs_neither_the_thread_nor_the_message(
    broker: Broker, machines: Probe, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried a few times, logged with its traceback once, set aside, and comes again to the next program."""
    monkeypatch.setattr(feed, "ATTEMPT_PAUSE_S", 0.01)
    handler = Handler(*(KeyError("a defect") for _ in range(feed.ATTEMPTS)))
    with listening(broker, handler) as listener:
        machines.publish(ACK, b"first")
        machines.publish(ACK, b"second")
        assert [handler.next() for _ in range(4)] == [b"first", b"first", b"first", b"second"]
        eventually(lambda: acks(listener).counts == {"failed": 1, "handled": 1})
        assert "could not be handled" in (acks(listener).problem or "")
        assert caplog.text.count("Traceback") == 1
        assert is_listening(listener)
    mended = Handler()
    with listening(broker, mended):
        assert mended.next() == b"first"
        machines.publish(ACK, b"last")
        assert mended.next() == b"last"


def test_defects_never_take_all_the_room(broker: Broker, machines: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """More messages that cannot be handled than the broker may leave unacknowledged, and others still arrive."""
    monkeypatch.setattr(feed, "ATTEMPT_PAUSE_S", 0.0)
    got: SimpleQueue[bytes] = SimpleQueue()

    def handle(_topic: str, payload: bytes) -> None:
        if payload == b"poison":
            raise KeyError("a defect")
        got.put(payload)

    with listening(broker, handle) as listener:
        for _ in range(feed.RECEIVE_MAXIMUM + 20):
            machines.publish(ACK, b"poison")
        machines.publish(ACK, b"good")
        assert got.get(timeout=WAIT_S) == b"good"
        assert acks(listener).set_aside == feed.MAX_SET_ASIDE


def test_while_nothing_is_dealt_with_the_broker_holds_the_rest_back(broker: Broker, machines: Probe) -> None:
    """Memory is bounded; nothing is lost, and the order holds."""
    many = 3 * feed.RECEIVE_MAXIMUM
    leave, got, highest = threading.Event(), [], 0

    def handle(_topic: str, payload: bytes) -> None:
        assert leave.wait(WAIT_S)
        got.append(int(payload))

    with listening(broker, handle) as listener:
        for number in range(many):
            machines.publish(ACK, str(number).encode())
            highest = max(highest, acks(listener).in_hand)
        eventually(lambda: acks(listener).in_hand == feed.RECEIVE_MAXIMUM)
        assert highest <= feed.RECEIVE_MAXIMUM
        leave.set()
        eventually(lambda: len(got) == many)
    assert got == list(range(many))


def test_what_promises_nothing_is_dropped_where_there_is_no_room(broker: Broker, machines: Probe) -> None:
    leave, got = threading.Event(), []

    def handle(_topic: str, payload: bytes) -> None:
        assert leave.wait(WAIT_S)
        got.append(payload)

    with listening(broker, handle) as listener:
        for _ in range(feed.RECEIVE_MAXIMUM + 50):
            machines.publish(ACK, b"qos 0", qos=0)
        eventually(lambda: acks(listener).counts.get("dropped") == 50)
        machines.publish(ACK, b"qos 1")
        eventually(lambda: acks(listener).in_hand == feed.RECEIVE_MAXIMUM + 1)
        leave.set()
        eventually(lambda: got[-1:] == [b"qos 1"])


def test_a_flood_of_statuses_does_not_delay_acks(broker: Broker, machines: Probe) -> None:
    leave, got = threading.Event(), Handler()

    def handle(topic: str, payload: bytes) -> None:
        if topic == STATUS:
            leave.wait(WAIT_S)
        else:
            got(topic, payload)

    with listening(broker, handle):
        for _ in range(2 * feed.RECEIVE_MAXIMUM):
            machines.publish(STATUS, b"{}")
        machines.publish(ACK, b"an ack")
        assert got.next() == b"an ack"
        leave.set()


def test_statuses_are_not_kept_for_a_process_that_is_away(broker: Broker, machines: Probe) -> None:
    """They would fill the queue that keeps acks; the latest of each machine is retained anyway."""
    with listening(broker, Handler()):
        pass
    for number in range(3):
        machines.publish(STATUS, str(number).encode())
    machines.publish(ACK, b"an ack")
    handler = Handler()
    with listening(broker, handler) as listener:
        assert handler.next() == b"an ack"
        machines.publish(STATUS, b"last")
        assert handler.next() == b"last"
        assert listener.state[1].counts == {"handled": 1}


# --- connections -----------------------------------------------------------------------------------------


def test_a_broker_that_is_killed_is_found_again_when_it_is_back(broker: Broker) -> None:
    handler = Handler()
    with listening(broker, handler) as listener:
        broker.kill()
        eventually(lambda: all(state.problem and not state.is_listening for state in listener.state))
        broker.start()
        eventually(lambda: is_listening(listener))
        assert [state.problem for state in listener.state] == [None, None]
        with Probe(broker.port, "bench", "bench password") as machines:
            machines.publish(ACK, b"after")
            machines.publish(STATUS, b"after too")
        assert {handler.next(), handler.next()} == {b"after", b"after too"}


def test_it_starts_without_a_broker_and_listens_once_there_is_one(tmp_path: Path) -> None:
    handler, broker = Handler(), Broker(tmp_path, users=USERS)
    broker.start()
    broker.stop()
    listener = Listener(address(broker), handler, session_key=KEY, listener_id="test")
    listener.start()
    try:
        eventually(lambda: "nobody listens on" in (acks(listener).problem or ""))
        broker.start()
        eventually(lambda: is_listening(listener))
    finally:
        listener.stop()
        broker.stop()


def test_it_reconnects_only_when_all_that_it_has_received_is_dealt_with(
    broker: Broker, machines: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a store that is away would collect the same messages again at every connection."""
    monkeypatch.setattr(feed, "RECONNECT_S", (0.001, 0.002))
    leave = threading.Event()
    got: SimpleQueue[bytes] = SimpleQueue()

    def handle(_topic: str, payload: bytes) -> None:
        if not leave.is_set():
            raise StoreUnavailable("locked")
        got.put(payload)

    with listening(broker, handle) as listener:
        for number in range(5):
            machines.publish(ACK, str(number).encode())
        eventually(lambda: acks(listener).in_hand == 5)
        for _ in range(3):  # the other feed is back each time; this one has had its chances
            broker.restart()
            eventually(lambda: listener.state[1].is_listening)
            assert not acks(listener).is_listening
        assert acks(listener).in_hand == 5
        leave.set()
        eventually(lambda: is_listening(listener))
        first = [got.get(timeout=WAIT_S) for _ in range(5)]
        again = [got.get(timeout=WAIT_S) for _ in range(5)]
        assert first == again == [str(number).encode() for number in range(5)]


def test_a_subscription_that_the_broker_refuses_is_an_error_that_is_seen(broker: Broker) -> None:
    listener = Listener(
        address(broker, "cab-01", "machine password"), Handler(), session_key=KEY, listener_id="test"
    )
    listener.start()
    try:
        for state in listener.state:
            eventually(lambda name=state.name: refused(listener, name))  # type: ignore[misc]
    finally:
        listener.stop()


def refused(listener: Listener, name: str) -> bool:
    (state,) = (state for state in listener.state if state.name == name)
    return not state.is_listening and "refuses the subscription to arcade/machine/+/" in (state.problem or "")


def test_a_part_of_the_subscriptions_is_better_than_none_and_the_rest_is_said(tmp_path: Path) -> None:
    """A user that may hear `gameover` of all machines, and not their acks."""
    with Broker(tmp_path, users=[User("screen", "screen password", role="listener")]) as broker:
        listener = Listener(
            address(broker, "screen", "screen password"), Handler(), session_key=KEY, listener_id="test"
        )
        listener.start()
        try:
            eventually(lambda: acks(listener).is_listening)
            problem = acks(listener).problem or ""
            assert "arcade/machine/+/ack (Not authorized)" in problem
            assert "gameover" not in problem
            assert "arcade/machine/+/ack" in (try_listening(address(broker, "screen", "screen password")) or "")
        finally:
            listener.stop()


def test_two_processes_with_one_name_are_told_so(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RETURN_S", (0.01, 0.05))
    first, second = (
        Listener(address(broker), Handler(), session_key=KEY, listener_id="the same") for _ in range(2)
    )
    first.start()
    second.start()
    try:
        eventually(lambda: "Does another process use the client id" in str([*first.state, *second.state]))
        eventually(lambda: is_listening(first) and is_listening(second))
        assert any(state.contested for state in (*first.state, *second.state))
        monkeypatch.setattr(feed, "CALM_S", 0.0)
        assert not any(state.contested for state in (*first.state, *second.state)), "that was long ago"
    finally:
        first.stop()
        second.stop()


def test_two_processes_with_two_names_both_hear_everything(broker: Broker, machines: Probe) -> None:
    one, other = Handler(), Handler()
    with listening(broker, one, "one"), listening(broker, other, "other"):
        machines.publish(ACK, b"to all")
        assert one.next() == other.next() == b"to all"


def test_stopping_is_bounded_by_nothing_that_a_handler_does(
    broker: Broker, machines: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arcade_cloud.adapters.mqtt.listener.STOP_WITHIN_S", 1.5)
    entered, leave = threading.Event(), threading.Event()

    def handle(_topic: str, _payload: bytes) -> None:
        entered.set()
        leave.wait(60)

    listener = Listener(address(broker), handle, session_key=KEY, listener_id="test")
    listener.start()
    machines.subscribe("arcade/#")
    eventually(lambda: is_listening(listener))
    machines.publish(ACK, b"hangs")
    assert entered.wait(WAIT_S)
    stopping = threading.Thread(target=listener.stop, daemon=True)
    stopping.start()
    stopping.join(WAIT_S)
    try:
        assert not stopping.is_alive()
    finally:
        leave.set()


def test_a_stopped_listener_leaves_no_thread_and_no_connection(broker: Broker) -> None:
    with listening(broker, Handler()) as listener:
        assert any(thread.name.startswith("listener-") for thread in threading.enumerate())
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("listener-")]
    assert [(state.is_listening, state.problem) for state in listener.state] == [(False, "stopped")] * 2


def test_stopping_before_any_start_does_nothing_bad(broker: Broker) -> None:
    Listener(address(broker), Handler(), session_key=KEY, listener_id="test").stop()


def test_a_check_subscribes_once_and_says_what_is_wrong(broker: Broker) -> None:
    assert try_listening(address(broker)) is None
    assert "check MQTT_USERNAME" in (try_listening(address(broker, "cloud", "wrong")) or "")
    broker.stop()
    assert "nobody listens on" in (try_listening(address(broker)) or "")


@pytest.mark.heavy  # a broker that grants what it does not give is waited for
@pytest.mark.parametrize(
    ("list_", "words"),
    [
        ("topic readwrite #", None),
        ("topic write #", "arcade/cloud/echo, arcade/machine/+/ack, arcade/machine/+/status"),
        (
            "topic write #\ntopic read arcade/machine/+/ack\ntopic read arcade/cloud/echo",
            "arcade/machine/+/status",
        ),
        ("topic write #\ntopic read arcade/machine/#", "read arcade/cloud/echo"),
        ("topic readwrite arcade/cloud/echo\ntopic read arcade/machine/#", None),
    ],
)
def test_a_check_believes_no_broker_that_grants_every_subscription(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, list_: str, words: str | None
) -> None:
    """Mosquitto does so, where its access list is a file."""
    if words is not None:
        monkeypatch.setattr(listening_check, "COME_WITHIN_S", 1.0)  # nothing will come
    with mosquitto_with_acl_file(tmp_path / "broker", f"user cloud\n{list_}\n") as port:
        said = try_listening(BrokerAddress(host="127.0.0.1", port=port, tls=False, username="cloud", password="-"))
    assert said is None if words is None else said is not None and said.endswith(words), said
