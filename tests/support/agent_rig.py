"""The real loop between fakes: a clock that jumps, a line and a link under the test's hand, a cloud that signs."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from arcade_edge.agent.gate import Gate
from arcade_edge.agent.loop import Agent, AgentConfig
from arcade_edge.agent.signals import CreditPulsed, DetectorSignal, PulseFailed, PulseHeld
from arcade_edge.domain.meter import Meter
from arcade_edge.domain.train import TrainRules
from arcade_edge.ports import Arrived, Confirmed, LinkDown, LinkUp, Receipt
from arcade_shared.ids import uuid7
from arcade_shared.messages import Ack, Gameover, Status, from_object, parse_object
from arcade_shared.signing import verify
from arcade_shared.topics import machine_topic
from support.memory_journal import MemoryJournal
from support.mqtt_cloud import clock, coinpulse, revoke

KEY = bytes(range(32))
MACHINE = "cab-01"
T0 = 1_790_000_000_000
TRAIN = TrainRules(credit_ms=200)


@dataclass
class FakeLine:
    """Remembers what it was told to pulse; the test says how each ends."""

    journal: MemoryJournal
    boot_ms: Callable[[], int]
    tokens: list[Any] = field(default_factory=list)
    at_ms: list[int] = field(default_factory=list)
    under_way: Any = None
    without_intent: list[Any] = field(default_factory=list)

    def pulse_credit(self, token: object) -> None:
        assert self.under_way is None, "one credit at a time"
        self.tokens.append(token)
        self.at_ms.append(self.boot_ms())
        self.under_way = token
        if isinstance(token, tuple):
            credit_id, delivered = token
            journaled = self.journal.find(credit_id)
            if journaled is None or not journaled.intent or journaled.delivered != delivered:
                self.without_intent.append(token)


@dataclass
class FakeLink:
    """Remembers what was published and acknowledged."""

    journal: MemoryJournal
    online: bool = False
    published: list[tuple[str, bytes, bool]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    journaled_at_ack: dict[int, int] = field(default_factory=dict)
    unconfirmed: list[int] = field(default_factory=list)
    reconnects: list[str] = field(default_factory=list)
    connection: int = 0
    token: int = 0

    def come_up(self) -> LinkUp:
        """Connect, or connect again."""
        self.connection += 1
        self.online = True
        return LinkUp(self.connection)

    def go_down(self, reason: str, *, contested: bool = False) -> LinkDown:
        """The connection is lost, with what was not confirmed."""
        self.online = False
        self.unconfirmed.clear()
        return LinkDown(self.connection, reason, contested)

    def confirm_all(self, *, ok: bool) -> list[Confirmed]:
        """The broker answers all that was published."""
        answered, self.unconfirmed = self.unconfirmed, []
        return [Confirmed(token, ok, "" if ok else "Not authorized") for token in answered]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Hashable | None:
        if not self.online:
            return None
        self.token += 1
        self.published.append((topic, payload, retain))
        self.unconfirmed.append(self.token)
        return self.token

    def acknowledge(self, receipt: Receipt) -> None:
        self.acknowledged.append(receipt.mid)
        self.journaled_at_ack[receipt.mid] = len(self.journal.commits)

    def reconnect(self, why: str) -> None:
        self.reconnects.append(why)


class Rig:
    """One machine with its agent. The cloud's clock is `cloud_ms`, the machine's is `boot_ms`."""

    def __init__(
        self,
        *,
        journal: MemoryJournal | None = None,
        max_credits: int = 50,
        allow_unsigned: bool = False,
        has_ready: bool = False,
        meter: Meter | None = None,
        train: TrainRules = TRAIN,
        keys: tuple[bytes, ...] = (KEY,),
        boot_ms: int = 5_000,
        gap_ms: int = 0,
        seed: int = 1,
    ) -> None:
        self.boot_ms = boot_ms
        self.cloud_offset_ms = T0 - boot_ms
        self.wall_offset_ms = -40 * 365 * 24 * 3600 * 1000  # a Pi that thinks it is decades ago
        self.journal = journal or MemoryJournal()
        self.line = FakeLine(self.journal, lambda: self.boot_ms)
        self.link = FakeLink(self.journal)
        self.gate = Gate(lambda: self.boot_ms, has_ready=has_ready)
        self.mid = 0
        self._random = random.Random(seed)
        self.agent = Agent(
            AgentConfig(
                MACHINE, keys, max_credits, train, allow_unsigned, has_ready, meter, "arcade-edge test", gap_ms
            ),
            self.journal,
            self.line,
            self.link,
            self.gate,
            boottime_ms=lambda: self.boot_ms,
            wall_ms=lambda: self.cloud_ms + self.wall_offset_ms,
            random_bytes=self._random.randbytes,
        )

    def stands(self) -> tuple[bool, str]:
        """Whether the agent calls the machine ready, and if not, why."""
        return self.agent.standing.ready, self.agent.standing.reason

    def finished(self) -> bool:
        """Whether the orderly stop is complete."""
        return self.agent.finished

    @property
    def cloud_ms(self) -> int:
        return self.boot_ms + self.cloud_offset_ms

    def connected(self, *, tell_time: bool = True) -> Rig:
        """Bring the link up and, unless told not to, answer the nonce."""
        self.agent.handle(self.link.come_up())
        if tell_time:
            self.tell_time()
        return self

    def disconnected(self) -> None:
        self.agent.handle(self.link.go_down("gone"))

    def tell_time(self, nonce: str | None = None) -> None:
        nonce = self.statuses()[-1].nonce if nonce is None else nonce
        assert nonce, "no nonce is outstanding"
        self.arrives("clock", clock(KEY, MACHINE, nonce, self.cloud_ms))

    def arrives(self, kind: Any, payload: bytes, *, retained: bool = False, topic: str | None = None) -> int:
        """Deliver a message; its mid."""
        self.mid += 1
        receipt = Receipt(self.link.connection, self.mid, 1)
        self.agent.handle(Arrived(topic or machine_topic(MACHINE, kind), payload, retained, receipt))
        return self.mid

    def new_id(self) -> str:
        return uuid7(self.cloud_ms, self._random.randbytes)

    def command(
        self,
        credits_: int = 1,
        *,
        credit_id: str | None = None,
        life_ms: int = 120_000,
        installation: str | None = None,
        key: bytes = KEY,
        retained: bool = False,
    ) -> str:
        """Deliver a signed coinpulse; its id."""
        credit_id = credit_id or self.new_id()
        expires_at_ms = self.cloud_ms + life_ms
        installation = self.journal.installation if installation is None else installation
        payload = coinpulse(key, MACHINE, credit_id, credits_, installation, expires_at_ms, self.cloud_ms)
        self.arrives("coinpulse", payload, retained=retained)
        return credit_id

    def revoke(self, credit_id: str, *, installation: str | None = None, key: bytes = KEY) -> None:
        installation = self.journal.installation if installation is None else installation
        self.arrives("revoke", revoke(key, MACHINE, credit_id, installation, self.cloud_ms))

    def pulsed(self) -> None:
        """The credit under way was pulsed."""
        token, self.line.under_way = self.line.under_way, None
        assert token is not None, "nothing is under way"
        self.agent.handle(CreditPulsed(token))

    def pulse_all(self) -> None:
        while self.line.under_way is not None:
            self.pulsed()

    def held(self, *, begun: bool = False) -> None:
        """The line hands the credit under way back: it has to wait."""
        token, self.line.under_way = self.line.under_way, None
        self.agent.handle(PulseHeld(token, begun))

    def says(self, signal: DetectorSignal) -> None:
        """An input says so: to the gate at once, then to the loop."""
        self.gate.take(signal)
        self.agent.handle(signal)

    def failed(self, *, started: bool) -> None:
        token, self.line.under_way = self.line.under_way, None
        self.agent.handle(PulseFailed(token, started, "the line cannot be driven"))

    def confirm_all(self, *, ok: bool = True) -> None:
        """The broker answers all that was published, also what that leads to."""
        for _ in range(100):
            if not self.link.unconfirmed:
                return
            for told in self.link.confirm_all(ok=ok):
                self.agent.handle(told)

    def pass_time(self, ms: int) -> None:
        """Let time pass, ticking whenever the agent asks for it, as the entry point does."""
        until = self.boot_ms + ms
        in_vain = 0
        while (due := self.agent.next_due_ms()) <= until and not self.agent.finished:
            in_vain = in_vain + 1 if due <= self.boot_ms else 0
            assert in_vain < 3, "the agent asks to be ticked again and again, and does nothing"
            self.boot_ms = max(self.boot_ms, due)
            self.agent.tick()
        self.boot_ms = max(self.boot_ms, until)
        self.agent.tick()

    def heard(self, kind: str, cls: Any) -> list[Any]:
        topic = machine_topic(MACHINE, kind)  # type: ignore[arg-type]
        found = []
        for published, payload, _ in self.link.published:
            if published == topic:
                fields = parse_object(payload)
                verify([KEY], topic, fields)
                found.append(from_object(cls, fields))
        return found

    def statuses(self) -> list[Status]:
        return self.heard("status", Status)

    def game_overs(self) -> list[Gameover]:
        return self.heard("gameover", Gameover)

    def acks(self, credit_id: str | None = None) -> list[Ack]:
        return [ack for ack in self.heard("ack", Ack) if credit_id in (None, ack.credit_id)]

    def final(self, credit_id: str) -> Ack:
        finals = [ack for ack in self.acks(credit_id) if ack.final]
        assert finals, f"no final ack for {credit_id}: {self.acks(credit_id)}"
        assert len({(a.state, a.delivered, a.uncertain, a.reason) for a in finals}) == 1, finals
        return finals[0]

    def counted(self) -> dict[str, int]:
        """The counters in the journal, once they were written."""
        self.pass_time(2_000)
        return dict(self.journal.counters)
