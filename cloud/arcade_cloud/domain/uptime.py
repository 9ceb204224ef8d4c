"""Uptime: what a machine was and since when, booked whenever that changes (pure).

The changes are stored with the presence that they follow from, in the same transaction. Each day on which a
machine is heard has a change of its own, so a few days can be read alone.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from msgspec import Struct

from arcade_cloud.domain.machines import FRESH_MS, Presence, is_fresh

# `offline`: it said so, or the broker did for it. `silent`: nothing was heard, whether the machine, its network or
# the cloud was down.
State = Literal["ready", "not ready", "offline", "silent"]


class StateChange(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a machine was from then on. `reason`: why it was not ready, in its agent's words."""

    machine_id: str
    at_ms: int
    state: State
    reason: str = ""


class Span(NamedTuple):
    """A time in which a machine was the same. An empty state: it is not known."""

    from_ms: int
    until_ms: int
    state: State | Literal[""]
    reason: str = ""

    @property
    def length_ms(self) -> int:
        """How long it was."""
        return self.until_ms - self.from_ms


def state_of(presence: Presence) -> State:
    """What a machine was when it was last heard."""
    if not presence.online or not is_fresh(presence.stated_at_ms, presence.heard_at_ms):
        return "offline"
    return "ready" if presence.ready else "not ready"


def state_changes(before: Presence, after: Presence) -> tuple[StateChange, ...]:
    """What is booked when a status has made `after` of `before`."""
    was: State = state_of(before)
    now, heard_ms = state_of(after), after.heard_at_ms
    if heard_ms == before.heard_at_ms and now == was:
        return ()
    found = []
    silent_ms = before.heard_at_ms + FRESH_MS
    if before.heard_at_ms and was != "offline" and silent_ms < heard_ms:
        found.append(StateChange(machine_id=after.machine_id, at_ms=silent_ms, state="silent"))
        was = "silent"
    if now != was or _day(before.heard_at_ms) != _day(heard_ms):
        found.append(_change(after))
    return tuple(found)


def _change(presence: Presence) -> StateChange:
    state = state_of(presence)
    reason = presence.reason if state == "not ready" else ""
    return StateChange(machine_id=presence.machine_id, at_ms=presence.heard_at_ms, state=state, reason=reason)


def _day(at_ms: int) -> int:
    return at_ms // 86_400_000


def spans(changes: Iterable[StateChange], presence: Presence | None, from_ms: int, until_ms: int) -> list[Span]:
    """What a machine was between two moments, without a gap, from changes in any order.

    Args:
        presence: As it is now: what it says is booked only with the next change.
    """
    known = sorted((change for change in changes if change.at_ms < until_ms), key=lambda change: change.at_ms)
    if presence is not None and 0 < presence.heard_at_ms < until_ms:
        known = [*(change for change in known if change.at_ms < presence.heard_at_ms), _change(presence)]
        silent_ms = presence.heard_at_ms + FRESH_MS
        if state_of(presence) != "offline" and silent_ms < until_ms:
            known.append(StateChange(machine_id=presence.machine_id, at_ms=silent_ms, state="silent"))
    found = [Span(from_ms, until_ms, "")]
    for change in known:
        last, at_ms = found[-1], max(change.at_ms, from_ms)
        if (last.state, last.reason) == (change.state, change.reason):
            continue
        if last.from_ms == at_ms:
            found.pop()
        else:
            found[-1] = last._replace(until_ms=at_ms)
        found.append(Span(at_ms, until_ms, change.state, change.reason))
    return found


def ready_share(found: Iterable[Span]) -> float | None:
    """Which part of the time that is known a machine was ready, from 0 to 1; None if nothing is known."""
    every = [span for span in found if span.state]
    known_ms = sum(span.length_ms for span in every)
    if not known_ms:
        return None
    return sum(span.length_ms for span in every if span.state == "ready") / known_ms
