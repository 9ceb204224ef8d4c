"""What the agent is promised of its link (`ports.Link`): on the real one and Mosquitto, and on both doubles.

The double of the agent's own tests delivers nothing by itself, so it is held to the publisher's half.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Protocol, TypeVar

import pytest

from arcade_edge.agent.reports import Will
from arcade_edge.mqtt.link import Event, MqttLink
from arcade_edge.ports import Arrived, Confirmed, Link, LinkDown, LinkUp
from arcade_sandbox.broker.launcher import Broker
from contracts.simulated import Simulated
from simulation.faults import MINUTE, SECOND
from simulation.sim_link import SimLink
from support.agent_process import MACHINE
from support.agent_rig import FakeLink
from support.agent_world import USERS
from support.link_ends import COINPULSE, STATUS, Ends
from support.memory_journal import MemoryJournal
from support.mqtt_probe import Probe

ACK = f"arcade/machine/{MACHINE}/ack"
WHY = "the test wants it"

E = TypeVar("E", bound=Event)


class Publishing(Protocol):
    """A link, its broker, and what came of it."""

    @property
    def link(self) -> Link: ...

    def start(self) -> None:
        """The agent begins; it goes on in the session of an earlier one."""
        ...

    def next(self, kind: type[E]) -> E:
        """The next event of this kind; others are passed over. Raises queue.Empty when none comes."""
        ...

    def next_heard(self) -> bytes:
        """The next payload that whoever listens to the machine receives."""
        ...

    def go_down(self) -> None:
        """The broker ends, with all that it knew."""
        ...

    def come_back(self) -> None: ...

    def publish_forbidden(self) -> Hashable | None:
        """Publish what the broker turns down."""
        ...


class Delivering(Publishing, Protocol):
    """And somebody who publishes to the machine."""

    def stop(self) -> None:
        """The agent ends in order."""
        ...

    def say(self, payload: bytes, *, expiry_s: int = 600) -> None: ...

    def leave_retained(self, payload: bytes) -> None: ...

    def wait_s(self, seconds: int) -> None:
        """The broker's time passes."""
        ...

    def wait_for_a_will(self) -> None:
        """By then it would have been published."""
        ...


class RealSetting:
    """The agent's own link, and Mosquitto."""

    link: MqttLink

    def __init__(self, broker: Broker, ending: ExitStack) -> None:
        self._ends = Ends(broker, ending)
        self._broker, self._ending = broker, ending
        self._listen()
        self._new_link()

    def _listen(self) -> None:
        self._probe = self._ending.enter_context(Probe(self._broker.port, "bench", "bench password"))
        self._probe.subscribe(f"arcade/machine/{MACHINE}/+")

    def _new_link(self) -> None:
        self.link = self._ends.link(started=False)

    def start(self) -> None:
        self.link.start()

    def stop(self) -> None:
        self.link.stop()
        self._new_link()

    def next(self, kind: type[E]) -> E:
        return self._ends.next(kind)

    def next_heard(self) -> bytes:
        while True:
            message = self._probe.next_message()
            if message.topic != COINPULSE:
                return bytes(message.payload)

    def go_down(self) -> None:
        self._broker.kill()

    def come_back(self) -> None:
        self._broker.start()
        self._listen()

    def publish_forbidden(self) -> Hashable | None:
        return self.link.publish(COINPULSE, b"a credit of my own")

    def say(self, payload: bytes, *, expiry_s: int = 600) -> None:
        self._probe.publish(COINPULSE, payload, expiry_s=expiry_s)

    def leave_retained(self, payload: bytes) -> None:
        self._probe.publish(COINPULSE, payload, retain=True)

    def wait_s(self, seconds: int) -> None:
        time.sleep(seconds)

    def wait_for_a_will(self) -> None:
        """Mosquitto publishes it as the connection ends."""


class SimulatedSetting(Simulated):
    """The simulated Pi's link, and the simulated broker."""

    def __init__(self) -> None:
        super().__init__()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.link = SimLink(self.scheduler, Random(5), self.sim_broker, MACHINE, self._events.put)

        def hear(topic: str, payload: bytes) -> str:
            self._heard.put(payload)
            return "heard"

        self.sim_broker.hear = hear

    def start(self) -> None:
        self.link.start("an agent", lambda _: Will(STATUS, b"will"))

    def stop(self) -> None:
        self.link.end(says_goodbye=True)

    def _await(self, empty: Callable[[], bool]) -> None:
        for _ in range(60):
            if not empty():
                return
            self.pass_time(SECOND)

    def next(self, kind: type[E]) -> E:
        while True:
            self._await(self._events.empty)
            event = self._events.get(block=False)
            if isinstance(event, kind):
                return event

    def next_heard(self) -> bytes:
        self._await(self._heard.empty)
        return self._heard.get(block=False)

    def go_down(self) -> None:
        self.sim_broker.stop(forget=True)

    def come_back(self) -> None:
        self.sim_broker.start()

    def publish_forbidden(self) -> Hashable | None:
        self.faults.once.append("ack refused by the broker")
        return self.link.publish(ACK, b"{}")

    def say(self, payload: bytes, *, expiry_s: int = 600) -> None:
        self.sim_broker.publish(COINPULSE, payload, expiry_s=expiry_s)
        self.pass_time(SECOND)

    def leave_retained(self, payload: bytes) -> None:
        self.sim_broker.inject(COINPULSE, payload, retain=True)

    def wait_s(self, seconds: int) -> None:
        self.pass_time(seconds * SECOND)

    def wait_for_a_will(self) -> None:
        self.pass_time(MINUTE)


class FakeSetting:
    """The double of the agent's tests, which is told by hand what happens."""

    def __init__(self) -> None:
        self.link = FakeLink(MemoryJournal())
        self._events: list[Event] = []
        self._heard = 0

    def start(self) -> None:
        self._events.append(self.link.come_up())

    def next(self, kind: type[E]) -> E:
        self._events += self.link.confirm_all(ok=True)
        while self._events:
            event = self._events.pop(0)
            if isinstance(event, kind):
                return event
        raise queue.Empty

    def next_heard(self) -> bytes:
        self._heard += 1
        return self.link.published[self._heard - 1][1]

    def go_down(self) -> None:
        self._events.append(self.link.go_down("the broker is away"))

    def come_back(self) -> None:
        self.start()

    def publish_forbidden(self) -> Hashable | None:
        token = self.link.publish(COINPULSE, b"a credit of my own")
        self._events += self.link.confirm_all(ok=False)
        return token


@pytest.fixture
def real(tmp_path: Path) -> Iterator[RealSetting]:
    with Broker(tmp_path / "broker", users=USERS) as broker, ExitStack() as ending:
        yield RealSetting(broker, ending)


@pytest.fixture(params=["real", "simulated", "fake"])
def publishing(request: pytest.FixtureRequest) -> Publishing:
    settings: dict[str, Callable[[], Publishing]] = {
        "real": lambda: request.getfixturevalue("real"),
        "simulated": SimulatedSetting,
        "fake": FakeSetting,
    }
    return settings[request.param]()


@pytest.fixture(params=["real", "simulated"])
def delivering(request: pytest.FixtureRequest) -> Delivering:
    setting: Delivering = request.getfixturevalue("real") if request.param == "real" else SimulatedSetting()
    return setting


# --- what the agent publishes -------------------------------------------------------------------------------


def test_nothing_is_sent_without_a_connection_nor_later(publishing: Publishing) -> None:
    """What must not be lost is in the outbox, so a second, older copy in a queue would only confuse."""
    assert publishing.link.publish(STATUS, b"too early", retain=True) is None
    publishing.start()
    publishing.next(LinkUp)
    publishing.go_down()
    publishing.next(LinkDown)
    assert publishing.link.publish(STATUS, b"while away", retain=True) is None
    publishing.come_back()
    publishing.next(LinkUp)
    token = publishing.link.publish(STATUS, b"after", retain=True)
    assert publishing.next(Confirmed).token == token
    assert publishing.next_heard() == b"after"


def test_each_publish_has_a_token_of_its_own_that_comes_back_once(publishing: Publishing) -> None:
    publishing.start()
    publishing.next(LinkUp)
    tokens = [publishing.link.publish(ACK, b'{"number": %d}' % number) for number in range(5)]
    told = [publishing.next(Confirmed) for _ in tokens]
    assert None not in tokens
    assert {each.token for each in told} == set(tokens)
    assert all(each.ok for each in told)
    assert len(set(tokens)) == 5
    last = publishing.link.publish(STATUS, b"{}")
    assert publishing.next(Confirmed).token == last, "no token comes twice"


def test_what_the_broker_turns_down_is_told_with_a_reason(publishing: Publishing) -> None:
    publishing.start()
    publishing.next(LinkUp)
    token = publishing.publish_forbidden()
    told = publishing.next(Confirmed)
    assert token is not None
    assert (told.token, told.ok) == (token, False)
    assert told.reason


def test_tokens_of_one_connection_mean_nothing_on_the_next(publishing: Publishing) -> None:
    publishing.start()
    up = publishing.next(LinkUp)
    before = [publishing.link.publish(STATUS, b"{}") for _ in range(3)]
    publishing.go_down()
    publishing.next(LinkDown)
    publishing.come_back()
    assert publishing.next(LinkUp).connection > up.connection
    after = [publishing.link.publish(STATUS, b"{}") for _ in range(3)]
    assert {publishing.next(Confirmed).token for _ in after} == set(after)
    assert not set(before) & set(after)


# --- what is delivered to it --------------------------------------------------------------------------------


def test_what_was_not_acknowledged_comes_again_and_says_that_it_is_a_repetition(delivering: Delivering) -> None:
    delivering.start()
    delivering.next(LinkUp)
    delivering.say(b"one")
    delivering.say(b"two")
    first, second = sorted((delivering.next(Arrived) for _ in range(2)), key=lambda arrived: arrived.payload)
    assert (first.payload, first.topic, first.retained, first.repeated) == (b"one", COINPULSE, False, False)
    delivering.link.acknowledge(second.receipt)
    delivering.link.reconnect(WHY)
    again = delivering.next(Arrived)
    assert (again.payload, again.repeated) == (b"one", True)
    delivering.link.acknowledge(first.receipt)  # of the connection before: it stands for no message of this one
    delivering.link.reconnect(WHY)
    again = delivering.next(Arrived)
    assert again.payload == b"one"
    delivering.link.acknowledge(again.receipt)
    delivering.link.reconnect(WHY)
    delivering.next(LinkUp)
    delivering.say(b"three")
    assert delivering.next(Arrived).payload == b"three"


def test_a_new_connection_that_is_asked_for_costs_no_will_and_has_a_higher_number(delivering: Delivering) -> None:
    delivering.start()
    up = delivering.next(LinkUp)
    delivering.link.reconnect(WHY)
    down = delivering.next(LinkDown)
    assert (down.connection, down.reason) == (up.connection, WHY)
    assert delivering.next(LinkUp).connection > up.connection
    delivering.wait_for_a_will()
    delivering.link.publish(STATUS, b"after")
    assert delivering.next_heard() == b"after"


def test_what_is_sent_while_no_agent_runs_waits_for_it_until_it_expires(delivering: Delivering) -> None:
    delivering.start()
    delivering.next(LinkUp)
    delivering.stop()
    delivering.say(b"too late", expiry_s=1)
    delivering.say(b"in time")
    delivering.wait_s(2)
    delivering.start()
    assert delivering.next(Arrived).payload == b"in time"


def test_what_somebody_has_retained_says_that_it_was(delivering: Delivering) -> None:
    delivering.leave_retained(b"an old credit")
    delivering.start()
    arrived = delivering.next(Arrived)
    assert (arrived.payload, arrived.retained) == (b"an old credit", True)


def test_calls_without_a_connection_do_no_harm(delivering: Delivering) -> None:
    delivering.link.reconnect(WHY)
    delivering.start()
    delivering.next(LinkUp)
    delivering.say(b"one")
    receipt = delivering.next(Arrived).receipt
    link = delivering.link
    delivering.stop()
    link.acknowledge(receipt)
    link.reconnect(WHY)
    assert link.publish(STATUS, b"{}") is None
    delivering.start()
    again = delivering.next(Arrived)
    assert again.payload == b"one", "an acknowledgement after the end is none"
