"""The broker and its networks: sessions, retained messages, wills, and what gets lost, late or repeated."""

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import msgspec

from arcade_cloud.domain.events import Outcome
from arcade_shared.errors import BadTopic
from arcade_shared.times import parse_ms
from arcade_shared.topics import ECHO, parse_machine_topic
from simulation.evidence import Asked, Command, Evidence, Said
from simulation.faults import DAY, HOUR, MINUTE, SECOND, Faults
from simulation.scheduler import Scheduler

SESSION_EXPIRY_MS = HOUR
RECEIVE_MAXIMUM = 16
# A cloud that never takes a message in is given up by its rule engine, or by its session's end.
REPEATS = 60
TO_CLOUD = ("ack", "status", "gameover", "echo")
RETAINED_TO_CLOUD = ("ack", "status", "gameover")
# All that the broker's access list lets the cloud publish, but for its echo.
FROM_CLOUD = ("coinpulse", "revoke", "clock", "gameover")


class Client(Protocol):
    """A Pi as the broker sees it."""

    machine_id: str

    def arrives(self, connection: int, mid: int, packet: "Packet", repeated: bool) -> None: ...
    def confirmed(self, connection: int, token: object, ok: bool) -> None: ...
    def dropped(self, connection: int, why: str) -> None: ...


@dataclass(frozen=True)
class Packet:
    """A message in the broker. Not `awaited`: nobody listened when it came, so whoever comes later gets none."""

    topic: str
    payload: bytes
    until_ms: int
    retained: bool = False
    awaited: bool = True


@dataclass
class Session:
    """What the broker keeps for one client id."""

    client: Client
    connection: int | None = None
    will: tuple[str, bytes] | None = None
    gone_ms: int = 0
    queue: deque[Packet] = field(default_factory=deque)
    inflight: dict[int, Packet] = field(default_factory=dict)
    mid: int = 0


class SimBroker:
    """One broker. The cloud publishes by `publish`; `hear` takes what is for the cloud."""

    def __init__(self, scheduler: Scheduler, rng: random.Random, faults: Faults, evidence: Evidence) -> None:
        self._scheduler, self._rng, self._faults, self._evidence = scheduler, rng, faults, evidence
        self.is_up = True
        self.acks_lost = False
        self.acks_lost_for_good = False
        self.acks_held = False
        self.hear: Callable[[str, bytes], str | None] = lambda topic, payload: None
        self.watchers: list[Callable[[str, bytes], None]] = []
        self.subscribers: dict[str, Callable[[bytes], None]] = {}
        self._sessions: dict[str, Session] = {}
        self._retained: dict[str, bytes] = {}
        self._held: list[tuple[str, bytes]] = []

    def _latency_ms(self) -> int:
        return self._rng.randint(2, 60)

    # --- the cloud publishes

    def publish(self, topic: str, payload: bytes, *, expiry_s: int) -> Outcome:
        outcome = self._publish(topic, payload, expiry_s)
        kind = topic.rpartition("/")[2]
        if kind in ("coinpulse", "revoke"):
            try:
                self._note_asked(kind, _fields(payload), outcome)
            except (KeyError, ValueError):
                self._evidence.defects.append(f"the cloud publishes no {kind}: {payload!r}")
        return outcome

    def _note_asked(self, kind: str, fields: dict[str, Any], outcome: Outcome) -> None:
        now_ms = self._scheduler.now_ms
        if kind == "revoke":
            self._evidence.revokes.append(Asked(now_ms, fields["creditId"], outcome.value))
        else:
            self._evidence.commands.append(
                Command(
                    now_ms,
                    fields["machineId"],
                    fields["creditId"],
                    fields["credits"],
                    fields["installation"],
                    parse_ms(str(fields["expiresAt"])),
                    outcome.value,
                )
            )
        self._scheduler.note("cloud publishes", kind, str(fields["creditId"])[-4:], outcome.value)

    def _publish(self, topic: str, payload: bytes, expiry_s: int) -> Outcome:
        if not self.is_up or not _is_the_clouds(topic):
            return Outcome.REFUSED
        faults, packet = self._faults, Packet(topic, payload, self._scheduler.now_ms + expiry_s * 1000)
        if faults.on:
            if faults.hit("message lost before the broker"):
                return Outcome.UNKNOWN
            if faults.hit("broker's word lost"):
                self._route_soon(packet)
                return Outcome.UNKNOWN
        matched = self._matches(topic)
        self._route_soon(replace(packet, awaited=matched))
        return Outcome.CONFIRMED if matched else Outcome.NOBODY

    def _matches(self, topic: str) -> bool:
        if topic == ECHO:
            return True
        machine_id, _, kind = topic.split("/", 2)[2].partition("/")
        if kind == "gameover":
            return True
        listens = any(
            session.client.machine_id == machine_id and self._lives(session) for session in self._sessions.values()
        )
        return listens or (kind == "coinpulse" and machine_id in self.subscribers)

    def _lives(self, session: Session) -> bool:
        return session.connection is not None or self._scheduler.now_ms - session.gone_ms < SESSION_EXPIRY_MS

    # --- on the way

    def inject(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Somebody who has the broker publishes."""
        if retain:
            self._retained[topic] = payload
        self._route(Packet(topic, payload, self._scheduler.now_ms + DAY))

    def _route_soon(self, packet: Packet) -> None:
        """What the broker has is handed on, unless it is lost, late or repeated."""
        faults, scheduler = self._faults, self._scheduler
        if faults.on:
            if faults.hit("message lost after the broker"):
                return
            if faults.hit("message repeated"):
                again_ms = self._rng.choice((10, 500, 3 * SECOND, MINUTE, HOUR))
                late = replace(packet, until_ms=packet.until_ms + DAY)
                scheduler.after(again_ms, lambda: self._route(late))
            if faults.hit("message late"):
                scheduler.after(self._rng.choice((200, 2 * SECOND, 20 * SECOND)), lambda: self._route(packet))
                return
            if faults.hit("message very late"):
                frozen = replace(packet, until_ms=packet.until_ms + 9 * DAY)
                delay_ms = self._rng.choice((100 * SECOND, 140 * SECOND, 20 * MINUTE, 5 * HOUR, 2 * DAY))
                scheduler.after(delay_ms, lambda: self._route(frozen))
                return
        scheduler.after(self._latency_ms(), lambda: self._route(packet))

    def _route(self, packet: Packet) -> None:
        if not self.is_up or self._scheduler.now_ms >= packet.until_ms:
            return
        for watch in self.watchers:
            watch(packet.topic, packet.payload)
        if not packet.awaited:
            return
        machine_id, _, kind = packet.topic.rpartition("/")
        if kind in TO_CLOUD:
            self._to_cloud(packet.topic, packet.payload)
            return
        machine_id = machine_id.rpartition("/")[2]
        if kind == "coinpulse" and machine_id in self.subscribers:
            self.subscribers[machine_id](packet.payload)
        for session in self._sessions.values():
            if session.client.machine_id == machine_id and self._lives(session):
                session.queue.append(packet)
                self._pump(session)

    # --- to the cloud, by listener or rule engine

    def _to_cloud(self, topic: str, payload: bytes) -> None:
        if self.acks_lost or self.acks_lost_for_good:
            return
        if self.acks_held:
            self._held.append((topic, payload))
            return
        self._hand_over(topic, payload, 0)

    def _hand_over(self, topic: str, payload: bytes, tries: int) -> None:
        word = self.hear(topic, payload)
        if topic == ECHO and word in ("echo", "unfinished"):
            sent_ms = parse_ms(msgspec.json.decode(payload)["timestamp"])
            self._evidence.echoes.append((self._scheduler.now_ms, sent_ms))
        if word in (None, "unfinished"):
            if tries < REPEATS:
                delay_ms = min(MINUTE, SECOND << min(tries, 6))
                self._scheduler.after(delay_ms, lambda: self._hand_over(topic, payload, tries + 1))
            return
        if topic.endswith("/ack"):
            fields = _fields(payload)
            self._scheduler.note("heard", word, str(fields.get("creditId"))[-4:], fields.get("state"))
            if word != "refused":
                self._evidence.heard.append(Said(self._scheduler.now_ms, topic, fields))

    def release_acks(self) -> None:
        """The way to the cloud is open again."""
        self.acks_held = False
        held, self._held = self._held, []
        for topic, payload in held:
            self._hand_over(topic, payload, 0)
        self.cloud_listens()

    def cloud_listens(self) -> None:
        """The cloud subscribes: what is retained comes at once, whoever left it there."""
        if not self.is_up or self.acks_held or self.acks_lost or self.acks_lost_for_good:
            return
        for topic, payload in list(self._retained.items()):
            if topic.rpartition("/")[2] in RETAINED_TO_CLOUD:
                self._hand_over(topic, payload, 0)

    # --- Pis

    def connect(self, client_id: str, client: Client, connection: int, will: tuple[str, bytes]) -> bool:
        """A client connects with its will, `clean_start` off; False where the broker is away."""
        if not self.is_up:
            return False
        session = self._sessions.get(client_id)
        if session is None or not self._lives(session):
            session = self._sessions[client_id] = Session(client)
        session.client, session.connection, session.will = client, connection, will
        return True

    def subscribed(self, client_id: str) -> None:
        """The client is ready: now comes what was not acknowledged, what waits, what is retained."""
        session = self._sessions[client_id]
        inflight, session.inflight = session.inflight, {}
        for packet in inflight.values():
            self._send(session, packet, True)
        for topic, payload in list(self._retained.items()):
            if f"/{session.client.machine_id}/" in topic and topic.rpartition("/")[2] in (
                "coinpulse",
                "revoke",
                "clock",
            ):
                self._send(session, Packet(topic, payload, self._scheduler.now_ms + DAY, True), False)
        self._pump(session)

    def disconnect(self, client_id: str, *, says_goodbye: bool = False) -> None:
        """The connection is gone; its will is published unless the client took its leave."""
        session = self._sessions.get(client_id)
        if session is None or session.connection is None:
            return
        session.connection, session.gone_ms = None, self._scheduler.now_ms
        if session.will is not None and not says_goodbye:
            topic, payload = session.will
            delay_ms = 22 * SECOND
            if self._faults.hit("will late"):
                delay_ms = self._rng.choice((MINUTE, 10 * MINUTE, 2 * HOUR))
            self._scheduler.after(delay_ms, lambda: self._accept(topic, payload, True))
        session.will = None

    def receive(
        self, client_id: str, connection: int, topic: str, payload: bytes, retain: bool, token: Any
    ) -> None:
        """A Pi publishes; the broker's word goes back."""
        if topic.endswith("/ack"):
            self._evidence.told.append(Said(self._scheduler.now_ms, topic, _fields(payload)))
        faults = self._faults
        if faults.hit("message lost before the broker"):
            return
        refused = topic.endswith("/ack") and faults.hit("ack refused by the broker")
        word_lost = faults.hit("broker's word lost")
        unheard = topic.endswith("/ack") and faults.hit("ack confirmed, and nobody subscribed")

        def take() -> None:
            session = self._sessions.get(client_id)
            if not self.is_up or session is None or session.connection != connection:
                return
            if topic.endswith("/gameover"):
                fields = _fields(payload)
                self._evidence.game_overs.setdefault(
                    fields["eventId"], (self._scheduler.now_ms, fields["machineId"])
                )
            if not refused and not unheard:
                self._accept(topic, payload, retain)
            if not word_lost:
                client = session.client
                self._scheduler.after(self._latency_ms(), lambda: client.confirmed(connection, token, not refused))

        self._scheduler.after(self._latency_ms(), take)

    def _accept(self, topic: str, payload: bytes, retain: bool) -> None:
        if not self.is_up:
            return
        if retain:
            self._retained[topic] = payload
        self._route_soon(Packet(topic, payload, self._scheduler.now_ms + 40 * DAY))

    def _pump(self, session: Session) -> None:
        while session.connection is not None and session.queue and len(session.inflight) < RECEIVE_MAXIMUM:
            packet = session.queue.popleft()
            if self._scheduler.now_ms < packet.until_ms:
                self._send(session, packet, False)

    def _send(self, session: Session, packet: Packet, repeated: bool) -> None:
        session.mid += 1
        session.inflight[session.mid] = packet
        mid, connection = session.mid, session.connection
        if connection is not None:
            session.client.arrives(connection, mid, packet, repeated)

    def acknowledge(self, client_id: str, connection: int, mid: int) -> None:
        """A Pi has taken a message in."""
        session = self._sessions.get(client_id)
        if session is not None and session.connection == connection:
            session.inflight.pop(mid, None)
            if session.queue:
                self._pump(session)

    # --- the broker itself

    def stop(self, *, forget: bool = False) -> None:
        """The broker ends; `forget`: with all it knew."""
        self.is_up = False
        for session in list(self._sessions.values()):
            connection, session.connection, session.will = session.connection, None, None
            session.gone_ms = self._scheduler.now_ms
            if connection is not None:
                session.client.dropped(connection, "the broker went away")
        if forget:
            self._sessions.clear()
            self._retained.clear()
            self._held.clear()

    def start(self) -> None:
        """The broker is there again."""
        self.is_up = True
        self.release_acks()


def _is_the_clouds(topic: str) -> bool:
    try:
        return topic == ECHO or parse_machine_topic(topic).kind in FROM_CLOUD
    except BadTopic:
        return False


def _fields(payload: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return fields if isinstance(fields, dict) else {}
