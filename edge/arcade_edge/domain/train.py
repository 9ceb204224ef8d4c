"""The pauses of a pulse train: what its next pulse waits for, for how long, and what ends it (pure).

Two things make a train wait between two pulses. The machine is not ready: many games hold the coin lockout while
they are full or in test mode, and a coin is lost on them. The cloud is not heard: what was pulsed since the last
report that arrived would be given back, should the machine stay silent. Either may pass, and the train goes on.
Whatever happens, it ends within `MAX_TRAIN_S`: the longest train that is sold leaves room for a wait of each kind.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Final, Literal

from arcade_edge.domain.pulses import MAX_TRAIN_MS, Profile

# How long pulses go on after a report of what was pulsed, and when a train ends, unless the broker confirms that
# report. A sound connection confirms within a second, so a train of 2 s never waits.
UNCONFIRMED_PAUSES_MS = 2_000
UNCONFIRMED_ENDS_MS = 10_000
# One report every 150 ms, and none after those 2 s but repetitions.
MOST_UNCONFIRMED = 32

NOT_READY: Final = "machine not ready"
CONNECTION_LOST: Final = "connection lost"
TOO_LONG: Final = "train too long"

Pause = Literal["", "machine not ready", "connection lost"]
"""Why the next pulse has to wait; empty where it need not."""
TrainEnd = Literal["", "machine not ready", "connection lost", "train too long"]
"""Why the train ends although credits are left; empty while it goes on."""


@dataclass(frozen=True, slots=True)
class TrainRules:
    """What one cabinet's trains may take, in ms. `ready_wait_ms`: for each interruption; 0 without a ready line.

    `settles_ms`: what the meter may take after the last pulse.
    """

    credit_ms: int
    ready_wait_ms: int = 0
    settles_ms: int = 0

    @property
    def fitting(self) -> int:
        """How many credits fit into the longest train, with one wait of each kind; one is always allowed."""
        waits_ms = UNCONFIRMED_ENDS_MS + self.ready_wait_ms + self.settles_ms
        return max(1, (MAX_TRAIN_MS - waits_ms) // self.credit_ms)


def sellable_credits(profile: Profile, rules: TrainRules) -> int:
    """The most credits that one command may carry: what the config allows and the longest train holds."""
    return min(profile.max_credits, rules.fitting)


@dataclass(frozen=True, slots=True)
class Contact:
    """Which reports of what was pulsed the broker has not confirmed, oldest first.

    Each with its token (None: it could not even be sent) and the moment when it was due, in ms of the boot clock.
    """

    unconfirmed: tuple[tuple[Hashable | None, int], ...] = ()

    def reported(self, token: Hashable | None, now_ms: int) -> Contact:
        """A report was due now, and sent as `token`."""
        kept = self.unconfirmed[:1] + self.unconfirmed[1:][-MOST_UNCONFIRMED:]
        return Contact((*kept, (token, now_ms)))

    def confirmed(self, token: Hashable) -> Contact:
        """The broker has confirmed what was sent as `token`. If it is a report, older ones matter no more."""
        for number, (sent, _) in enumerate(self.unconfirmed):
            if sent == token:
                return Contact(self.unconfirmed[number + 1 :])
        return self

    @property
    def until_ms(self) -> int | None:
        """From then on no pulse may begin, unless a confirmation comes; None if everything is confirmed."""
        return self.unconfirmed[0][1] + UNCONFIRMED_PAUSES_MS if self.unconfirmed else None

    def lost(self, now_ms: int) -> bool:
        """Whether a pulse has to wait for the broker."""
        return self.until_ms is not None and now_ms >= self.until_ms


@dataclass(frozen=True, slots=True)
class Train:
    """One train under way. Times are ms of the boot clock."""

    rules: TrainRules
    began_ms: int
    unready_since_ms: int | None = None

    def machine(self, ready: bool, now_ms: int) -> Train:
        """The machine is ready, or not. Each interruption has a wait of its own."""
        if ready == (self.unready_since_ms is None):
            return self
        return replace(self, unready_since_ms=None if ready else now_ms)

    def pause(self, contact: Contact, now_ms: int) -> Pause:
        """Why a pulse may not begin now, although it may later."""
        if self.unready_since_ms is not None:
            return NOT_READY
        return CONNECTION_LOST if contact.lost(now_ms) else ""

    def end(self, contact: Contact, now_ms: int) -> TrainEnd:
        """Why no further pulse may begin at all."""
        return next((reason for reason, due_ms in self._ends(contact) if now_ms >= due_ms), "")

    def is_too_long(self, now_ms: int) -> bool:
        """Whether a pulse that is begun now would end after the longest train."""
        return now_ms >= self._longest_until_ms

    @property
    def _longest_until_ms(self) -> int:
        return self.began_ms + MAX_TRAIN_MS - self.rules.settles_ms - self.rules.credit_ms + 1

    def ends_ms(self, contact: Contact) -> int:
        """When it ends at the latest, if nothing changes and it waits until then."""
        return min(due_ms for _, due_ms in self._ends(contact))

    def _ends(self, contact: Contact) -> list[tuple[TrainEnd, int]]:
        ends: list[tuple[TrainEnd, int]] = []
        if self.unready_since_ms is not None:
            ends.append((NOT_READY, self.unready_since_ms + self.rules.ready_wait_ms))
        if contact.unconfirmed:
            ends.append((CONNECTION_LOST, contact.unconfirmed[0][1] + UNCONFIRMED_ENDS_MS))
        return [*ends, (TOO_LONG, self._longest_until_ms)]
