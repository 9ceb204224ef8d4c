"""Those who have the broker, or a key that is not theirs: replays, redirects, forgeries, others' answers."""

import random
from collections import deque
from typing import Any

import msgspec

from arcade_shared.ids import uuid7
from arcade_shared.messages import Ack
from arcade_shared.signing import machine_key, seal
from arcade_shared.times import format_ms
from arcade_shared.topics import machine_topic
from simulation.evidence import Cause, Evidence
from simulation.faults import SECOND, Faults
from simulation.scheduler import Scheduler
from simulation.sim_broker import SimBroker

REMEMBERS = 300
LEFTOVERS = 12


class Intruders:
    """Watches the broker, and speaks while a window is open."""

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        faults: Faults,
        evidence: Evidence,
        broker: SimBroker,
        secrets: list[str],
        machines: list[str],
    ) -> None:
        self._scheduler, self._rng, self._faults, self._evidence = scheduler, rng, faults, evidence
        self._broker, self._secrets, self._machines = broker, secrets, machines
        self._seen: deque[tuple[str, bytes]] = deque(maxlen=REMEMBERS)
        self.attacking = self.careless = self.thieving = False

    def begin(self) -> None:
        """From now on everything is watched."""
        self._broker.watchers.append(self._watch)

    def _watch(self, topic: str, payload: bytes) -> None:
        self._seen.append((topic, payload))
        if not (self.careless or self.thieving) or topic.rpartition("/")[2] not in ("coinpulse", "revoke"):
            return
        try:
            fields = msgspec.json.decode(payload)
            credit_id, machine_id = fields["creditId"], fields["machineId"]
        except (msgspec.DecodeError, KeyError, TypeError, UnicodeDecodeError):
            return
        delay_ms = self._rng.randint(1, 100)
        if self.careless:
            self._scheduler.after(delay_ms, lambda: self._answer(machine_id, machine_id, credit_id, fields, True))
        others = [name for name in self._machines if name != machine_id]
        if self.thieving and others:
            thief = self._rng.choice(others)
            self._scheduler.after(delay_ms, lambda: self._answer(thief, thief, credit_id, fields, False))
            self._scheduler.after(delay_ms, lambda: self._answer(thief, machine_id, credit_id, fields, False))

    def _answer(
        self, key_of: str, machine_id: str, credit_id: str, fields: dict[str, Any], careless: bool
    ) -> None:
        """A final ack for another's credit, with the key of `key_of` on the topic of `machine_id`."""
        credits = fields.get("credits", 1)
        delivered = self._rng.choice((0, credits))
        topic = machine_topic(machine_id, "ack")
        payload = seal(
            machine_key(self._secrets[0], key_of),
            topic,
            Ack,
            machine_id=machine_id,
            credit_id=credit_id,
            installation="c" * 32 if careless else fields.get("installation") or "c" * 32,
            state="done",
            final=True,
            credits=credits,
            delivered=delivered,
            uncertain=0,
            reason="",
            timestamp=format_ms(self._scheduler.now_ms),
        )
        what = "answered for another installation" if careless else "answered for another machine"
        self._evidence.causes.append(Cause(self._scheduler.now_ms, what, credit_id))
        self._broker.inject(topic, payload)

    def _forge(self) -> None:
        """A command of today's time and a new id, after the pattern of a true one."""
        true = [
            payload for topic, payload in self._seen if topic.endswith("/coinpulse") and b'"creditId"' in payload
        ]
        if not true:
            return
        fields = msgspec.json.decode(self._rng.choice(true))
        now_ms = self._scheduler.now_ms
        fields |= {"creditId": uuid7(now_ms, self._rng.randbytes), "expiresAt": format_ms(now_ms + 60_000)}
        self._broker.inject(machine_topic(fields["machineId"], "coinpulse"), msgspec.json.encode(fields))

    def leave(self, rng: random.Random) -> None:
        """Have the broker keep, for whoever subscribes, some genuine messages that were seen."""
        if not self._seen:
            return
        for topic, payload in [self._seen[0], *rng.choices(self._seen, k=LEFTOVERS)]:
            if topic.startswith("arcade/machine/"):
                self._broker.inject(topic, payload, retain=True)
        self._scheduler.note("leftovers", len(self._seen))

    def replay_all(self) -> None:
        """Weeks later: all that was ever said to machines, once more."""
        for topic, payload in list(self._seen):
            if topic.endswith(("/coinpulse", "/revoke")):
                self._broker.inject(topic, payload)

    def attack(self, until_ms: int) -> None:
        """Do harm every few seconds."""
        if not self._faults.on or self._scheduler.now_ms >= until_ms:
            return
        self._scheduler.after(self._rng.choice((200, SECOND, 10 * SECOND)), lambda: self.attack(until_ms))
        if not self._seen:
            return
        topic, payload = self._rng.choice(self._seen)
        match self._rng.randint(0, 7):
            case 0 | 1:
                self._broker.inject(topic, payload, retain=self._rng.random() < 0.3)
            case 2:
                kind = topic.rpartition("/")[2]
                other = self._rng.choice(self._machines)
                self._broker.inject(f"arcade/machine/{other}/{kind}", payload)
            case 3:
                changed = payload.replace(b'"credits":1', b'"credits":9').replace(
                    b'"delivered":0', b'"delivered":1'
                )
                self._broker.inject(topic, changed.replace(b'"final":false', b'"final":true'))
            case 4:
                machine_id = self._rng.choice(self._machines)
                bare = msgspec.json.encode({"machineId": machine_id, "credits": 5, "timestamp": "now"})
                self._broker.inject(machine_topic(machine_id, "coinpulse"), bare, retain=self._rng.random() < 0.5)
            case 5:
                self._forge()
            case 6:
                self._broker.inject(topic, self._rng.randbytes(40), retain=self._rng.random() < 0.3)
            case _:
                for earlier in list(self._seen)[-20:]:
                    self._broker.inject(*earlier)
        self._scheduler.note("attack", topic)
