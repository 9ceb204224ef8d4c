"""What every `ports.senders.Broker` promises: run on the publisher with a real Mosquitto, and on both doubles."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

import pytest

from arcade_cloud.adapters.mqtt import Publisher
from arcade_cloud.domain.events import Outcome
from arcade_cloud.ports import senders
from arcade_sandbox.broker.launcher import Broker, User
from arcade_shared.broker_address import BrokerAddress
from contracts.simulated import SimulatedBroker
from support.fake_broker import FakeBroker
from support.mqtt_probe import WAIT_S, Probe

COINPULSE = "arcade/machine/cab-01/coinpulse"
FORBIDDEN = "arcade/machine/cab-01/ack"  # only the machine may say that
NOT_A_TOPIC = "arcade/machine/+/coinpulse"

# Waits for the next message, with a bound.
Next = Callable[[], tuple[str, bytes]]


class Setting(Protocol):
    """A broker, and what a test can do to it."""

    @property
    def broker(self) -> senders.Broker: ...

    def listen(self, topic_filter: str) -> Next: ...

    def go_down(self) -> None: ...

    def come_back(self) -> None: ...

    def go_silent(self) -> None: ...

    def speak_again(self) -> None: ...


class RealSetting:
    """The publisher, and Mosquitto behind it."""

    def __init__(self, mosquitto: Broker) -> None:
        self._mosquitto = mosquitto
        self._probes: list[Probe] = []
        address = BrokerAddress(
            host="localhost",
            port=mosquitto.tls_port,
            ca_file=str(mosquitto.ca_file),
            username="cloud",
            password="cloud password",
        )
        self.broker = Publisher(address, timeout_ms=1000)

    def listen(self, topic_filter: str) -> Next:
        probe = Probe(self._mosquitto.port, "bench", "bench password").__enter__()
        self._probes.append(probe)
        probe.subscribe(topic_filter)

        def next_message() -> tuple[str, bytes]:
            message = probe.next_message()
            return message.topic, bytes(message.payload)

        return next_message

    def go_down(self) -> None:
        self._mosquitto.kill()

    def come_back(self) -> None:
        self._mosquitto.start()

    def go_silent(self) -> None:
        os.kill(self._mosquitto.pid, signal.SIGSTOP)

    def speak_again(self) -> None:
        os.kill(self._mosquitto.pid, signal.SIGCONT)

    def close(self) -> None:
        self.broker.close()
        for probe in self._probes:
            probe.__exit__(None, None, None)


class FakeSetting:
    """The fake, told to behave as Mosquitto does by itself."""

    def __init__(self) -> None:
        self.fake = FakeBroker()
        self.broker = self.fake
        self._behave()

    def _behave(self) -> None:
        self.fake.answer_truthfully()
        self.fake.answer(FORBIDDEN, Outcome.REFUSED)

    def listen(self, topic_filter: str) -> Next:
        received: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self.fake.listen(topic_filter, lambda topic, payload: received.put((topic, payload)))
        return lambda: received.get(timeout=WAIT_S)

    def go_down(self) -> None:
        self.fake.is_down = True

    def come_back(self) -> None:
        self.fake.is_down = False

    def go_silent(self) -> None:
        self.fake.answer("#", Outcome.UNKNOWN, "later")

    def speak_again(self) -> None:
        self._behave()
        self.fake.release()


# The real one has a second to answer each message: on a busy machine that is not enough.
@pytest.fixture(params=[pytest.param("mosquitto", marks=pytest.mark.serial), "fake", "simulated"])
def setting(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setting]:
    if request.param != "mosquitto":
        yield FakeSetting() if request.param == "fake" else SimulatedBroker()
        return
    users = [
        User("cloud", "cloud password", role="cloud"),
        User("bench", "bench password", role="bench"),
    ]
    with Broker(tmp_path, users=users) as mosquitto:
        real = RealSetting(mosquitto)
        try:
            yield real
        finally:
            real.close()


def publish_until(setting: Setting, payload: bytes, wanted: Callable[[Outcome], bool]) -> None:
    """Publish again and again, as fulfilment does, until the outcome is the wanted one."""
    for _ in range(500):
        if wanted(setting.broker.publish(COINPULSE, payload, expiry_s=30)):
            return
        time.sleep(0.02)
    pytest.fail("the outcome never came")


def test_what_somebody_listens_to_is_confirmed_and_arrives_as_it_was_sent(setting: Setting) -> None:
    next_message = setting.listen("arcade/machine/+/coinpulse")
    payload = '{"machineId":"cab-01","note":"√"}'.encode()
    assert setting.broker.publish(COINPULSE, payload, expiry_s=30) is Outcome.CONFIRMED
    assert next_message() == (COINPULSE, payload)


def test_what_nobody_listens_to_is_said_so(setting: Setting) -> None:
    next_message = setting.listen("arcade/machine/other/coinpulse")
    assert setting.broker.publish(COINPULSE, b"{}", expiry_s=30) is Outcome.NOBODY
    other = "arcade/machine/other/coinpulse"
    assert setting.broker.publish(other, b"{}", expiry_s=30) is Outcome.CONFIRMED
    assert next_message()[0] == other


def test_a_message_is_not_kept_for_those_who_come_later(setting: Setting) -> None:
    setting.broker.publish(COINPULSE, b"early", expiry_s=30)
    next_message = setting.listen("#")
    assert setting.broker.publish(COINPULSE, b"late", expiry_s=30) is Outcome.CONFIRMED
    assert next_message() == (COINPULSE, b"late")


def test_what_the_broker_forbids_is_refused_and_reaches_nobody(setting: Setting) -> None:
    next_message = setting.listen("#")
    assert setting.broker.publish(FORBIDDEN, b"forged", expiry_s=30) is Outcome.REFUSED
    assert setting.broker.publish(COINPULSE, b"allowed", expiry_s=30) is Outcome.CONFIRMED
    assert next_message() == (COINPULSE, b"allowed")


def test_a_broker_that_is_down_is_refusal_and_the_message_never_arrives(setting: Setting) -> None:
    setting.go_down()
    publish_until(setting, b"lost", lambda outcome: outcome is Outcome.REFUSED)
    setting.come_back()
    next_message = setting.listen("#")
    publish_until(setting, b"after", lambda outcome: outcome is Outcome.CONFIRMED)
    assert next_message() == (COINPULSE, b"after")


def test_a_broker_killed_between_two_messages_is_found_again_when_it_is_back(setting: Setting) -> None:
    assert setting.broker.publish(COINPULSE, b"1", expiry_s=30) is Outcome.NOBODY
    setting.go_down()
    setting.come_back()
    publish_until(setting, b"2", lambda outcome: outcome is Outcome.NOBODY)


def test_no_answer_is_unknown_and_the_next_message_after_the_silence_goes_through(setting: Setting) -> None:
    next_message = setting.listen("#")
    assert setting.broker.publish(COINPULSE, b"before", expiry_s=30) is Outcome.CONFIRMED
    setting.go_silent()
    assert setting.broker.publish(COINPULSE, b"into the silence", expiry_s=30) is Outcome.UNKNOWN
    setting.speak_again()
    assert setting.broker.publish(COINPULSE, b"after", expiry_s=30) is Outcome.CONFIRMED
    arrived = {next_message()[1], next_message()[1]}
    assert b"before" in arrived
    assert arrived <= {b"before", b"into the silence", b"after"}


def test_many_threads_each_get_the_word_about_their_own_message(setting: Setting) -> None:
    next_message = setting.listen("arcade/machine/heard/coinpulse")
    topics = [f"arcade/machine/{'heard' if n % 2 else 'alone'}/coinpulse" for n in range(160)]
    with ThreadPoolExecutor(16) as threads:
        outcomes = list(
            threads.map(
                lambda pair: setting.broker.publish(pair[1], str(pair[0]).encode(), expiry_s=30), enumerate(topics)
            )
        )
    assert outcomes == [Outcome.CONFIRMED if n % 2 else Outcome.NOBODY for n in range(160)]
    assert {next_message()[1] for _ in range(80)} == {str(n).encode() for n in range(1, 160, 2)}


def test_publishing_raises_nothing_whatever_happens(setting: Setting) -> None:
    calls = [(COINPULSE, 0), (COINPULSE, -5), ("", 30), (NOT_A_TOPIC, 30), (FORBIDDEN, 30)]
    for topic, expiry_s in calls:
        assert setting.broker.publish(topic, b"", expiry_s=expiry_s) in set(Outcome)
    setting.go_down()
    for topic, expiry_s in calls:
        assert setting.broker.publish(topic, b"", expiry_s=expiry_s) in set(Outcome)
