"""What the loop needs from outside, as protocols, and what the link and the operating system tell it.

The hardware's own events are in `signals`. Everything here is frozen values and interfaces, so the loop can be
run without hardware, network or disk, and with a clock that jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from arcade_edge.domain.credits import Credit


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a QoS 1 message is acknowledged with: it belongs to one connection."""

    connection: int
    mid: int
    qos: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message of the broker. It must be acknowledged, once, unless it is to be delivered again.

    `repeated`: the broker has sent it before, and does not know whether it arrived (MQTT's DUP flag).
    """

    topic: str
    payload: bytes
    retained: bool
    receipt: Receipt
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Connected and subscribed; `connection` counts the attempts to connect since the start."""

    connection: int


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The connection is lost, with all that the broker had not confirmed.

    `contested`: somebody else keeps taking the client id; the next connection has another one.
    """

    connection: int
    reason: str
    contested: bool = False


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The broker's answer to a publish. `ok` is False where it was refused, `reason` says why.

    `reached_nobody`: the broker has taken it, and nobody has subscribed to its topic.
    """

    token: Hashable
    ok: bool
    reason: str = ""
    reached_nobody: bool = False


@dataclass(frozen=True, slots=True)
class StopAsked:
    """End in order: finish the running credit, begin no other."""


class Link(Protocol):
    """The connection to the broker, as the loop sees it. No method blocks or raises."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> Hashable | None:
        """Send at QoS 1. The token comes back in a `Confirmed`; None means that there is no connection."""

    def acknowledge(self, receipt: Receipt) -> None:
        """The message need not be delivered again. Does nothing if its connection is gone."""

    def reconnect(self, why: str) -> None:
        """Drop the connection and make a new one, so that what is not acknowledged is delivered again."""


class Pulses(Protocol):
    """The coin line. One credit at a time: the next only after `CreditPulsed`, `PulseHeld` or `PulseFailed`."""

    def pulse_credit(self, token: object) -> None:
        """Begin to pulse one credit."""


class Journal(Protocol):
    """The agent's memory, which outlives the process.

    Every method may raise JournalFault: then nothing of the call has happened, or all of it (the card may have it
    and say no all the same). The same call again does no harm.
    """

    @property
    def installation(self) -> str:
        """32 hexadecimal digits, born with this journal on this computer."""

    @property
    def forgotten_before_ms(self) -> int:
        """Ids made before this moment (epoch ms) may have been pruned; 0 if none was."""

    @property
    def short_trains(self) -> int:
        """Of how many trains in a row the coin meter has missed coins."""

    def find(self, credit_id: str) -> Credit | None:
        """The credit with this id."""

    def commit(
        self, credits_: Sequence[Credit] = (), told: Collection[str] = (), *, short_trains: int | None = None
    ) -> None:
        """Write all of it, durably, or nothing.

        A credit that is final enters the outbox in the same transaction. `told` are ids that leave it.
        `short_trains`: what it is from now on; None leaves it as it is.

        Raises:
            InvariantBroken: A credit would change that is final already.
        """

    def unfinished(self) -> list[Credit]:
        """Every credit that is not final, oldest first."""

    def untold(self, limit: int) -> list[Credit]:
        """The oldest `limit` final credits that the broker has not confirmed."""

    def count(self, increments: Mapping[str, int]) -> None:
        """Add to the counters of what was refused or ignored."""

    def prune(self, before_ms: int, limit: int) -> int:
        """Forget up to `limit` final credits made before `before_ms`; how many there were."""

    def rest(self) -> None:
        """Nobody waits just now: do what would hold up a commit later."""

    def probe(self) -> None:
        """Write something, to see whether writing works."""


BootClock = Callable[[], int]
"""Milliseconds since the computer started, suspended time included (CLOCK_BOOTTIME)."""

WallClock = Callable[[], int]
"""Epoch milliseconds as the computer believes; a Pi without a network may be years off."""
