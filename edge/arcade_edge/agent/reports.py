"""What the agent tells: acks, status and game over, signed; and what it repeats until the broker confirms.

Final acks come from the journal's outbox and stay in it until confirmed; game overs are kept in memory for
a few minutes. Everything else is said once, as well as it can be: the next status, or the cloud's next
question, makes up for what is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Literal

from arcade_edge.agent.signals import GameOverSource
from arcade_edge.domain.cloud_clock import CloudClock
from arcade_edge.domain.credits import Answer, Credit, answer_of
from arcade_edge.domain.train import Contact
from arcade_edge.errors import JournalCorrupt, JournalFault
from arcade_edge.ports import BootClock, Confirmed, Journal, Link, LinkDown, LinkUp, WallClock
from arcade_shared.client_ids import CALM_S
from arcade_shared.ids import uuid7
from arcade_shared.messages import WILL_SEQ, Ack, Gameover, Status
from arcade_shared.signing import seal
from arcade_shared.times import format_ms
from arcade_shared.topics import machine_topic

STATUS_EVERY_MS = 30_000
# A ready line that flickers must not make the broker's limit (10 publishes a second) the agent's.
STATUS_AT_MOST_EVERY_MS = 250
# So many unconfirmed at once: a restart after a long time without a broker may find hundreds to tell.
WINDOW = 8
DUE_IN_MEMORY = 64
FIRST_RETRY_MS = 2_000
LAST_RETRY_MS = 60_000
# A broker that has not confirmed by then has lost it: a living connection confirms within a second.
UNANSWERED_MS = 20_000
# Games end minutes apart; what could not be told for so long would only confuse who hears it then.
GAME_OVERS_KEPT = 16
GAME_OVER_LIFE_MS = 10 * 60_000


@dataclass(frozen=True, slots=True)
class Identity:
    """Who is speaking, and with which key. `boot_id` is new at each start."""

    machine_id: str
    installation: str
    key: bytes
    boot_id: str
    agent: str
    max_credits: int


Hindrance = Literal[
    "",
    "stopping",
    "journal",
    "coin line",
    "no clock",
    "acks refused",
    "machine not ready",
    "coins not registered",
    "busy",
    "connection lost",
]


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a credit sold now would be pulsed at once, and what is in the way if not."""

    ready: bool
    reason: Hindrance


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker shall publish, retained, when the connection breaks."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class _Due:
    """Something to repeat until it is confirmed; `until_boot_ms` ends a game over's life."""

    topic: str
    payload: bytes
    until_boot_ms: int | None = None


class Reports:
    """The agent's outgoing side. Used by the loop's thread only, but for `will`."""

    def __init__(
        self,
        identity: Identity,
        link: Link,
        journal: Journal,
        boottime_ms: BootClock,
        wall_ms: WallClock,
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._clock = CloudClock()
        self._identity = identity
        self._link = link
        self._journal = journal
        self._boottime_ms = boottime_ms
        self._wall_ms = wall_ms
        self._random_bytes = random_bytes
        self._connection: int | None = None
        self._seq = 0
        self._said: Standing | None = None
        self._said_boot_ms = 0
        self._due: dict[str, _Due] = {}
        self._in_flight: dict[Hashable, tuple[str, int]] = {}
        self._confirmed: set[str] = set()
        self._acks_refused = False
        self._contact = Contact()
        self._contested_boot_ms: int | None = None
        self._more_in_journal = True
        self._retry_ms = FIRST_RETRY_MS
        self._retry_boot_ms = 0

    @property
    def connected(self) -> bool:
        """Whether the link is up."""
        return self._connection is not None

    @property
    def confirmed(self) -> Collection[str]:
        """Credits whose final ack was confirmed and whose outbox entry is not yet removed."""
        return self._confirmed

    @property
    def acks_refused(self) -> bool:
        """Whether the broker has refused the last final ack: what is sold now would be given back unheard."""
        return self._acks_refused

    @property
    def quiet(self) -> bool:
        """Whether nothing waits for the broker's confirmation."""
        return not self._due and not self._in_flight

    @property
    def contact(self) -> Contact:
        """Which reports of what was pulsed the broker has not confirmed."""
        return self._contact

    def cloud_ms(self) -> int | None:
        """The cloud's time now, None while it is unknown."""
        return self._clock.cloud_ms(self._boottime_ms())

    def started_ms(self) -> int | None:
        """When this computer started, in the cloud's time; None while that is unknown."""
        return self._clock.started_ms()

    @property
    def clock_fresh(self) -> bool:
        """Whether the cloud's time is known, from an answer young enough to prove that the cloud is reached."""
        return self._clock.fresh(self._boottime_ms())

    def boot_ms_at(self, cloud_ms: int) -> int | None:
        """When (boot clock) it is `cloud_ms` in the cloud; None while that is unknown."""
        return self._clock.boot_ms_at(cloud_ms)

    def clock_answered(self, nonce: str, cloud_ms: int) -> bool:
        """The cloud's verified answer; whether it was to the outstanding nonce."""
        clock = self._clock.answered(nonce, cloud_ms)
        self._clock = clock or self._clock
        return clock is not None

    def will(self, connection: int) -> Will:
        """The last will of the connection that is about to be made. May be called from another thread."""
        return Will(
            machine_topic(self._identity.machine_id, "status"),
            self._status("offline", Standing(False, "connection lost"), "", connection, WILL_SEQ),
        )

    def link_up(self, event: LinkUp) -> None:
        """A new connection: ask for the time, and tell again what was never confirmed."""
        boot_ms = self._boottime_ms()
        self._connection, self._seq, self._said = event.connection, 0, None
        self._in_flight.clear()
        self._more_in_journal = True
        self._retry_ms, self._retry_boot_ms = FIRST_RETRY_MS, boot_ms
        self._clock = self._clock.connected(boot_ms)

    def link_down(self, event: LinkDown) -> None:
        """What was in flight may be lost."""
        if event.contested:
            self._contested_boot_ms = self._boottime_ms()
        if event.connection == self._connection:
            self._connection = None
            self._in_flight.clear()

    def answer(self, answer: Answer) -> None:
        """Say once where a credit stands."""
        if self.connected:
            self._publish("", _Due(self._topic("ack"), self._ack(answer)))

    def progress(self, answer: Answer) -> None:
        """Say once how far a train is. Pulses go on for a while only, unless the broker confirms it."""
        token = None
        if self.connected:
            token = self._publish("", _Due(self._topic("ack"), self._ack(answer)))
        self._contact = self._contact.reported(token, self._boottime_ms())

    def finals(self, credits_: Collection[Credit]) -> None:
        """These have just become final, in a transaction that also put them into the outbox."""
        if any(credit.delivered + credit.uncertain for credit in credits_):
            self._contact = self._contact.reported(None, self._boottime_ms())
        for credit in credits_:
            if len(self._due) < DUE_IN_MEMORY:
                self._due[credit.credit_id] = _Due(self._topic("ack"), self._ack(answer_of(credit)))
            else:
                self._more_in_journal = True
        self.send_due()

    def game_over(self, source: GameOverSource) -> None:
        """The machine's game has ended."""
        now_ms = self._now_ms()
        kept = [key for key, due in self._due.items() if due.until_boot_ms is not None]
        for key in kept[: max(0, len(kept) + 1 - GAME_OVERS_KEPT)]:
            del self._due[key]
        event_id = uuid7(now_ms, self._random_bytes)
        payload = seal(
            self._identity.key,
            self._topic("gameover"),
            Gameover,
            machine_id=self._identity.machine_id,
            status="game_over",
            timestamp=format_ms(now_ms),
            event_id=event_id,
            source=source,
        )
        until = self._boottime_ms() + GAME_OVER_LIFE_MS
        self._due[f"game over {event_id}"] = _Due(self._topic("gameover"), payload, until)
        self.send_due()

    def broker_answered(self, event: Confirmed) -> None:
        """A publish was confirmed or refused."""
        if event.ok:
            self._contact = self._contact.confirmed(event.token)
        key, _ = self._in_flight.pop(event.token, ("", 0))
        if key not in self._due:
            return
        if self._due[key].until_boot_ms is None:
            self._acks_refused = not event.ok
        if event.ok:
            if self._due.pop(key).until_boot_ms is None:
                self._confirmed.add(key)
            self._retry_ms = FIRST_RETRY_MS
            self.send_due()
        else:
            self._retry_boot_ms = self._boottime_ms() + self._retry_ms
            self._retry_ms = min(2 * self._retry_ms, LAST_RETRY_MS)

    def outbox_emptied(self, credit_ids: Collection[str]) -> None:
        """The journal has let go of these."""
        self._confirmed.difference_update(credit_ids)

    def send_due(self) -> None:
        """Send what waits for confirmation, as far as window and back-off allow.

        Raises:
            JournalCorrupt: Only a restart helps.
        """
        boot_ms = self._boottime_ms()
        for key in [key for key, due in self._due.items() if (due.until_boot_ms or boot_ms) < boot_ms]:
            del self._due[key]
        for token in [t for t, (_, sent_ms) in self._in_flight.items() if boot_ms - sent_ms > UNANSWERED_MS]:
            del self._in_flight[token]
        if not self.connected or boot_ms < self._retry_boot_ms:
            return
        self._refill(boot_ms)
        flying = self._flying()
        for key in [key for key in self._due if key not in flying][: max(0, WINDOW - len(flying))]:
            token = self._publish(key, self._due[key])
            if token is None:
                self._retry_boot_ms = boot_ms + self._retry_ms
            elif self._contact.unconfirmed and self._due[key].until_boot_ms is None:
                self._contact = self._contact.reported(token, boot_ms)

    def say_status(self, standing: Standing, *, leaving: bool = False) -> None:
        """Publish the status if it is due, has changed, or should carry a nonce; `leaving`: say offline."""
        boot_ms = self._boottime_ms()
        if self._connection is None:
            return
        since_ms = boot_ms - self._said_boot_ms
        asks = self._clock.wants_answer(boot_ms)
        changed = standing != self._said and (self._said is None or since_ms >= STATUS_AT_MOST_EVERY_MS)
        if not (changed or asks or leaving or since_ms >= STATUS_EVERY_MS):
            return
        nonce = ""
        if asks and not leaving:
            nonce = self._random_bytes(16).hex()
            self._clock = self._clock.asked(nonce, boot_ms)
        state: Literal["online", "offline"] = "offline" if leaving else "online"
        payload = self._status(state, standing, nonce, self._connection, self._seq)
        self._seq += 1
        self._said, self._said_boot_ms = standing, boot_ms
        due = _Due(self._topic("status"), payload)
        self._publish("offline" if leaving else "", due, retain=True)

    def next_due_ms(self, standing: Standing) -> int | None:
        """When (boot clock) there is something to say without a new event; None while disconnected."""
        if self._connection is None:
            return None
        dues = [self._said_boot_ms + STATUS_EVERY_MS, self._clock.due_boot_ms]
        if standing != self._said:
            dues.append(self._said_boot_ms + STATUS_AT_MOST_EVERY_MS)
        flying = self._flying()
        if len(flying) < WINDOW and (self._more_in_journal or any(key not in flying for key in self._due)):
            dues.append(self._retry_boot_ms)
        dues += [sent_ms + UNANSWERED_MS + 1 for _, sent_ms in self._in_flight.values()]
        return min(dues)

    def _flying(self) -> set[str]:
        return {key for key, _ in self._in_flight.values() if key}

    def _refill(self, boot_ms: int) -> None:
        """Take up what the journal's outbox holds and memory does not: from before, or beyond its bound."""
        if not self._more_in_journal or len(self._due) >= WINDOW:
            return
        limit = WINDOW + len(self._due) + len(self._confirmed)
        try:
            found = self._journal.untold(limit)
        except JournalCorrupt:
            raise
        except JournalFault:
            self._retry_boot_ms = boot_ms + self._retry_ms
            return
        self._more_in_journal = len(found) == limit
        for credit in found:
            if credit.credit_id not in self._confirmed and credit.credit_id not in self._due:
                self._due[credit.credit_id] = _Due(self._topic("ack"), self._ack(answer_of(credit)))

    def _publish(self, key: str, due: _Due, *, retain: bool = False) -> Hashable | None:
        token = self._link.publish(due.topic, due.payload, retain=retain)
        if token is not None:
            self._in_flight[token] = (key, self._boottime_ms())
        return token

    def _topic(self, kind: Literal["ack", "status", "gameover"]) -> str:
        return machine_topic(self._identity.machine_id, kind)

    def _now_ms(self) -> int:
        """The cloud's time where it is known, else what this computer believes."""
        cloud_ms = self.cloud_ms()
        return self._wall_ms() if cloud_ms is None else cloud_ms

    def _is_contested(self) -> bool:
        """Whether somebody else has kept taking the client id of late."""
        since_ms = self._contested_boot_ms
        return since_ms is not None and self._boottime_ms() - since_ms < CALM_S * 1000

    def _ack(self, answer: Answer) -> bytes:
        return seal(
            self._identity.key,
            self._topic("ack"),
            Ack,
            machine_id=self._identity.machine_id,
            credit_id=answer.credit_id,
            installation=self._identity.installation,
            state=answer.state,
            final=answer.final,
            credits=answer.credits,
            delivered=answer.delivered,
            uncertain=answer.uncertain,
            reason=answer.reason,
            registered=answer.registered,
            timestamp=format_ms(self._now_ms()),
        )

    def _status(
        self, state: Literal["online", "offline"], standing: Standing, nonce: str, connection: int, seq: int
    ) -> bytes:
        return seal(
            self._identity.key,
            self._topic("status"),
            Status,
            machine_id=self._identity.machine_id,
            installation=self._identity.installation,
            state=state,
            ready=standing.ready,
            reason=standing.reason,
            max_credits=self._identity.max_credits,
            nonce=nonce,
            boot_id=self._identity.boot_id,
            agent=self._identity.agent,
            connection=connection,
            seq=seq,
            contested=self._is_contested(),
            timestamp=format_ms(self._now_ms()),
        )
