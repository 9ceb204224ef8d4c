"""Somebody with full access to the broker: can delay and drop, but mints, replays and forges nothing."""

import json
import time
from pathlib import Path
from random import Random

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from arcade_edge.simulator.cabinet import read_edge_log
from arcade_sandbox.demo import pulses
from arcade_sandbox.errors import SystemFailed
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import PRICE_MINOR, Profile, System
from arcade_shared.ids import uuid7
from arcade_shared.messages import Ack, Coinpulse
from arcade_shared.signing import machine_key, seal
from arcade_shared.times import format_ms

PROFILE = Profile(pulse_ms=15, gap_ms=15, min_pulse_ms=10, min_gap_ms=10, start_after_ms=200, play_s=0.3)
LIMITS = {"DELIVER_WITHIN_S": "4", "SILENCE_LIMIT_S": "8", "HOLD_SILENCE_LIMIT_S": "8"}
OTHER_TOPICS = ("arcade/machine/cab-01/status", "arcade/machine/cab-01/gameover", "arcade/cloud/echo")


class Attacker:
    """Logged in as the broker's user who may do everything; remembers all that it has seen."""

    def __init__(self, system):
        self.seen: list[tuple[str, bytes]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.username_pw_set("bench", system.bench_password)
        self.client.on_message = self._see
        self.client.connect("127.0.0.1", system.broker.port)
        self.client.subscribe("#", qos=1)
        self.client.loop_start()

    def _see(self, _client, _data, message):
        self.seen.append((message.topic, bytes(message.payload)))

    def publish(self, topic, payload, retain=False):
        self.client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)

    def saw(self, kind):
        return [(topic, payload) for topic, payload in self.seen if topic.endswith("/" + kind)]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with System(
        tmp_path_factory.mktemp("system"),
        machine_ids=["cab-01", "cab-02"],
        profile=PROFILE,
        settings={
            "DELIVER_WITHIN_S": "4",
            "SILENCE_LIMIT_S": "8",
            "HOLD_SILENCE_LIMIT_S": "8",
        },
    ) as running:
        yield running


@pytest.fixture
def attacker(system):
    attacker = Attacker(system)
    yield attacker
    attacker.close()


def count(system, machine_id="cab-01"):
    return len(pulses(system.cabinets[machine_id].edge_log))


def final_page(system, order_id, machine_id="cab-01"):
    def look():
        page = system.order_page(machine_id, order_id)
        return page if page["final"] else None

    return wait_for("the order is final", look, 40)


def bought(system, machine_id, credits):
    """Buy as soon as that can be done: whoever seems to have a wrong key is not ready until the next status."""

    def attempt():
        try:
            return system.buy(machine_id, credits)
        except SystemFailed:
            return None

    return wait_for("a purchase", attempt, 70)


def test_replayed_redirected_retained_and_forged_coinpulses_pulse_nothing(system, attacker):
    order_id = system.buy("cab-01", 2)
    final_page(system, order_id)
    (topic, genuine), *_ = wait_for("the coinpulse", lambda: attacker.saw("coinpulse"))
    before = count(system), count(system, "cab-02")
    fields = json.loads(genuine)
    now_ms = time.time_ns() // 1_000_000
    fresh = {"creditId": uuid7(now_ms), "expiresAt": format_ms(now_ms + 60_000)}
    for _ in range(10):
        attacker.publish(topic, genuine)  # replayed
    attacker.publish(topic, genuine, retain=True)
    attacker.publish("arcade/machine/cab-02/coinpulse", genuine)  # redirected
    attacker.publish("arcade/machine/cab-02/coinpulse", json.dumps({**fields, "machineId": "cab-02"}))
    attacker.publish(topic, json.dumps({**fields, **fresh}))  # refreshed
    attacker.publish(topic, json.dumps({**fields, **fresh, "credits": 50}))
    attacker.publish(topic, b'{"machineId": "cab-01", "credits": 5, "timestamp": "now"}')  # by hand
    minted = {
        "machine_id": "cab-01",
        "credits": 5,
        "timestamp": format_ms(now_ms),
        "credit_id": uuid7(now_ms),
        "installation": fields["installation"],
        "expires_at": format_ms(now_ms + 60_000),
    }
    stolen = machine_key("a guess that is thirty-two long!!", "cab-01")
    attacker.publish(topic, seal(stolen, topic, Coinpulse, **minted))
    for payload in (b"", b"[" * 3000, b"\xff\xfe", b"{}", b"null", b"x" * 100_000):
        attacker.publish(topic, payload)
        attacker.publish("arcade/machine/cab-01/revoke", payload)
        attacker.publish("arcade/machine/cab-01/clock", payload)
    system.buy("cab-01", 1)  # the agent goes on working
    wait_for("the next purchase", lambda: count(system) >= before[0] + 1)
    time.sleep(1)
    assert (count(system), count(system, "cab-02")) == (before[0] + 1, before[1])
    attacker.publish(topic, b"", retain=True)


def test_forged_and_replayed_acks_take_no_money(system, attacker):
    order_id = system.buy("cab-01", 1)
    final_page(system, order_id)
    (ack_topic, genuine), *_ = wait_for("an ack", lambda: attacker.saw("ack"))
    agent = system.cabinets["cab-01"].agent
    link = system.create_link("cab-01", 2)
    agent.kill()
    attacker.seen.clear()
    system.stripe.pay(link["url"], "card")
    (_, pulse), *_ = wait_for("the coinpulse", lambda: attacker.saw("coinpulse"))
    command = json.loads(pulse)
    claim = {
        "machine_id": "cab-01",
        "credit_id": command["creditId"],
        "installation": command["installation"],
        "state": "done",
        "final": True,
        "credits": 2,
        "delivered": 2,
        "uncertain": 0,
        "reason": "",
        "timestamp": format_ms(time.time_ns() // 1_000_000),
    }
    stolen_pi = machine_key(system.signing_secret, "cab-02")  # a thief with another cabinet's Pi has its key
    attacker.publish(ack_topic, seal(stolen_pi, ack_topic, Ack, **claim))
    attacker.publish(ack_topic, json.dumps({**json.loads(genuine), "creditId": command["creditId"]}))
    attacker.publish(
        ack_topic, json.dumps({key: value for key, value in json.loads(genuine).items() if key != "signature"})
    )
    attacker.publish(ack_topic, genuine)
    for payload in (b"", b"[" * 3000, b"\xff\xfe", b"{}", b"x" * 100_000):
        for topic in (
            ack_topic,
            "arcade/machine/cab-01/status",
            "arcade/machine/cab-01/gameover",
            "arcade/cloud/echo",
        ):
            attacker.publish(topic, payload)
    # Nobody can say whether the forged acks are the machine's, so it is asked until it answers.
    time.sleep(float(LIMITS["DELIVER_WITHIN_S"]) + 1)
    agent.start()
    page = final_page(system, link["orderId"])
    assert "not charged" in page["title"].lower()
    (entry,) = [entry for entry in system.stripe.money() if entry["status"] == "canceled"]
    assert (entry["amount"], entry["kept"]) == (2 * PRICE_MINOR, 0)
    system.wait_ready("cab-01")


def test_a_forged_status_makes_no_machine_ready(system, attacker):
    """Neither a status from an earlier time nor one signed by another machine brings anybody to pay."""
    topic = "arcade/machine/cab-02/status"

    def heard():
        return [payload for seen, payload in attacker.saw("status") if seen == topic]

    old = wait_for("a status", heard)
    agent = system.cabinets["cab-02"].agent
    agent.kill()
    system.wait_ready("cab-02", ready=False)
    for payload in old:
        attacker.publish(topic, payload)
    time.sleep(0.5)
    assert system.machine_state("cab-02")["ready"] is False
    agent.start()
    system.wait_ready("cab-02")


def mutated(random, payload):
    """A genuine message with some of its bytes changed, cut off or doubled."""
    changed = bytearray(payload)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(changed) + 1)
        match random.randrange(3):
            case 0:
                changed[at : at + 1] = random.randbytes(1)
            case 1:
                del changed[at : at + random.randint(1, 40)]
            case _:
                changed[at:at] = changed[at : at + random.randint(1, 40)]
    return bytes(changed)


def test_noise_on_every_topic_kills_nothing_and_a_good_credit_still_arrives(system, attacker):
    """A failure prints the seed, which makes the same noise again out of other messages."""
    seed = time.time_ns()
    random = Random(seed)
    print("seed", seed)
    order_id = system.buy("cab-01", 1)
    final_page(system, order_id)
    wait_for("an ack", lambda: attacker.saw("ack"))
    genuine = [payload for _, payload in attacker.seen]
    before = count(system), count(system, "cab-02")
    kinds = ["coinpulse", "gameover", "ack", "revoke", "status", "clock", "nothing", "", "ack/more"]
    topics = [
        f"arcade/machine/{name}/{kind}" for name in ("cab-01", "cab-02", "cab-99", "\u00e9") for kind in kinds
    ]
    for number in range(1500):
        noise = random.randbytes(random.choice((0, 1, 20, 400, 5000)))
        payload = noise if number % 3 == 0 else mutated(random, random.choice(genuine))
        topic = random.choice([*topics, "arcade/cloud/echo", "arcade", "x" * 500])
        attacker.client.publish(topic, payload, qos=random.choice((0, 1)), retain=number % 50 == 0)
    attacker.publish("arcade/cloud/echo", b"the last of it")
    agents = {name: cabinet.agent for name, cabinet in system.cabinets.items()}
    for machine_id in agents:
        final_page(system, bought(system, machine_id, 2), machine_id)
    wait_for("all pulses", lambda: (count(system), count(system, "cab-02")) == (before[0] + 2, before[1] + 2))
    assert system.cloud.running
    assert all(agent.running for agent in agents.values())
    for log in (system.cloud.log, *(agent.log for agent in agents.values())):
        assert "Traceback" not in log.read_text(errors="replace"), log
    for cabinet in system.cabinets.values():
        assert not read_edge_log(cabinet.edge_log)[-1].active, "the coin line rests"
    for topic in topics:
        attacker.publish(topic, b"", retain=True)


def test_no_secret_is_in_any_log(system, attacker):
    logs = [path.read_text(errors="replace") for path in Path(system.folder).rglob("*.log")]
    assert sum(map(len, logs)) > 1_000, "else nothing is shown"
    keys = [machine_key(system.signing_secret, machine_id).hex() for machine_id in ("cab-01", "cab-02")]
    for secret in (
        system.signing_secret,
        system.stripe.webhook_secret,
        system.ingest_secret,
        "sk_test_sandbox",
        *keys,
    ):
        assert not any(secret in log for log in logs)
