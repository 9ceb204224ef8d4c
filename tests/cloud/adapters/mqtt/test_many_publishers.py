"""Many publish at once, in threads and processes, on a real Mosquitto: what was confirmed arrived exactly once."""

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

import pytest

from arcade_cloud.adapters.mqtt import Publisher
from arcade_cloud.domain.events import Outcome
from arcade_sandbox.broker.launcher import Broker, User
from arcade_shared.broker_address import BrokerAddress
from support.mqtt_probe import Probe

TOPIC = "arcade/machine/cab-01/coinpulse"
THE_LAST = "arcade/machine/cab-01/revoke"
PATIENCE_MS = 30_000  # far more than a busy host takes, so that every message is confirmed
Outcomes = dict[str, str]

_OTHER_PROCESS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from arcade_shared.broker_address import BrokerAddress
from arcade_cloud.adapters.mqtt import Publisher

name, topic, port, count, patience_ms = *sys.argv[1:3], *map(int, sys.argv[3:])
address = BrokerAddress(host="127.0.0.1", port=port, tls=False, username="cloud", password="cloud password")
publisher = Publisher(address, timeout_ms=patience_ms)
print(publisher.check() or "ready", flush=True)
sys.stdin.readline()
payloads = [f"{name} {number}" for number in range(count)]
with ThreadPoolExecutor(4) as threads:
    told = list(threads.map(lambda payload: publisher.publish(topic, payload.encode(), expiry_s=60), payloads))
publisher.close()
print(json.dumps({payload: outcome.value for payload, outcome in zip(payloads, told)}), flush=True)
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    users = [User("cloud", "cloud password", role="cloud"), User("bench", "bench password", role="bench")]
    with Broker(tmp_path_factory.mktemp("broker"), users=users) as broker:
        yield broker


@pytest.fixture
def probe(broker: Broker) -> Iterator[Probe]:
    with Probe(broker.port, "bench", "bench password") as probe:
        probe.subscribe("#")
        yield probe


def _arrived(probe: Probe) -> Counter[str]:
    """All that has come. What is published when everything else was confirmed comes after it."""
    probe.publish(THE_LAST, b"the last")
    arrived: Counter[str] = Counter()
    while (message := probe.next_message()).topic != THE_LAST:
        arrived[bytes(message.payload).decode()] += 1
    return arrived


def _check(told: Outcomes, sent: int, arrived: Counter[str]) -> None:
    assert Counter(told.values()) == {Outcome.CONFIRMED.value: sent}
    assert arrived == Counter(dict.fromkeys(told, 1))


def test_what_threads_publish_at_once_arrives_exactly_once_each(broker: Broker, probe: Probe) -> None:
    """Each has a publisher of its own, which connects while the others publish."""
    gate = threading.Barrier(8)
    address = BrokerAddress(
        host="127.0.0.1", port=broker.port, tls=False, username="cloud", password="cloud password"
    )

    def publish(name: int) -> Outcomes:
        payloads = [f"{name} {number}" for number in range(40)]
        with closing(Publisher(address, timeout_ms=PATIENCE_MS)) as publisher:
            gate.wait(10)
            return {payload: publisher.publish(TOPIC, payload.encode(), expiry_s=60).value for payload in payloads}

    with ThreadPoolExecutor(8) as threads:
        told = {payload: word for one in threads.map(publish, range(8)) for payload, word in one.items()}
    _check(told, 320, _arrived(probe))


def test_what_processes_publish_at_once_arrives_exactly_once_each(broker: Broker, probe: Probe) -> None:
    """Each has one publisher for four threads, as the cloud has."""
    told: Outcomes = {}
    with ExitStack() as stack:
        running = []
        for name in ("a", "b", "c", "d"):
            arguments = [name, TOPIC, str(broker.port), "80", str(PATIENCE_MS)]
            process = subprocess.Popen(
                [sys.executable, "-c", _OTHER_PROCESS, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            running.append(process)
        assert [process.stdout.readline() for process in running if process.stdout] == ["ready\n"] * 4
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in running:
            told.update(json.loads(process.communicate(timeout=60)[0]))
    _check(told, 320, _arrived(probe))
