"""Machines: what is registered, what was last heard of them, and whether somebody may pay (pure)."""

from typing import Literal

import msgspec
from msgspec import Struct

from arcade_cloud.domain.money import Offer
from arcade_shared.messages import Status

# A status comes every 30 s; two may be lost or late before the machine counts as gone.
FRESH_MS = 75_000
# A status from the future proves a wrong clock somewhere; this much is forgiven (the agent's estimate of the
# cloud's time can be ahead by one round trip).
SKEW_MS = 10_000
# Two installations heard within this time are two Pis at work, not one Pi after a repair.
RIVAL_MS = 5 * 60_000


class Machine(Struct, frozen=True, kw_only=True):
    """A registered machine. `kind` subscriber: software that only listens, and sends no acks."""

    machine_id: str
    version: int = 0
    kind: Literal["agent", "subscriber"] = "agent"
    name: str = ""
    contact: str = ""
    picture_url: str = ""
    offers: tuple[Offer, ...] = ()
    created_at_ms: int = 0


class Presence(Struct, frozen=True, kw_only=True):
    """What was last heard of a machine's agent, all of it from messages with a valid signature."""

    machine_id: str
    version: int = 0
    installation: str | None = None
    boot_id: str = ""
    connection: int = 0
    seq: int = 0
    online: bool = False
    ready: bool = False
    reason: str = ""
    max_credits: int = 0
    agent: str = ""
    key_fingerprint: str = ""
    stated_at_ms: int = 0  # the status's own timestamp (the cloud's time, as the agent knows it)
    heard_at_ms: int = 0
    answered_nonce: str = ""
    rival_installation: str | None = None
    rival_heard_at_ms: int = 0
    game_over_at_ms: int = 0


class Heard(Struct, frozen=True, kw_only=True):
    """What a status changes: the new presence, the nonce to answer, and whether two Pis share the id."""

    presence: Presence
    answer_nonce: str = ""
    rival: str | None = None


def is_fresh(stated_at_ms: int, now_ms: int) -> bool:
    """Whether a status stated then proves that the machine is there now."""
    return now_ms - FRESH_MS <= stated_at_ms <= now_ms + SKEW_MS


def hear(presence: Presence, status: Status, key_fingerprint: str, now_ms: int) -> Heard:
    """Take in a status whose signature has been verified.

    A status that is ready and fresh proves a live round trip, and only such a one makes an installation the
    one that is addressed from now on (the first that is heard at all excepted). Older statuses of the same
    boot change nothing. Every new nonce is answered, whoever asks: the answer is signed and harmless.
    """
    answer = status.nonce if status.nonce and status.nonce != presence.answered_nonce else ""
    if answer:
        presence = msgspec.structs.replace(presence, answered_nonce=answer)
    proven = status.ready and status.state == "online" and is_fresh(status.timestamp_ms, now_ms)
    if presence.installation not in (None, status.installation):
        if not proven:
            return Heard(presence=presence, answer_nonce=answer)
        still_there = presence.ready and now_ms - presence.heard_at_ms <= RIVAL_MS
        taken_over = msgspec.structs.replace(
            _updated(presence, status, key_fingerprint, now_ms),
            rival_installation=presence.installation if still_there else None,
            rival_heard_at_ms=presence.heard_at_ms if still_there else 0,
        )
        return Heard(
            presence=taken_over,
            answer_nonce=answer,
            rival=presence.installation if still_there else None,
        )
    if status.boot_id == presence.boot_id:
        if (status.connection, status.seq) <= (presence.connection, presence.seq):
            return Heard(presence=presence, answer_nonce=answer)
    elif status.state == "offline" and presence.boot_id:
        return Heard(presence=presence, answer_nonce=answer)  # the will of an earlier boot, late
    return Heard(presence=_updated(presence, status, key_fingerprint, now_ms), answer_nonce=answer)


def _updated(presence: Presence, status: Status, key_fingerprint: str, now_ms: int) -> Presence:
    return msgspec.structs.replace(
        presence,
        installation=status.installation,
        boot_id=status.boot_id,
        connection=status.connection,
        seq=status.seq,
        online=status.state == "online",
        ready=status.state == "online" and status.ready,
        reason=status.reason,
        max_credits=status.max_credits,
        agent=status.agent,
        key_fingerprint=key_fingerprint,
        stated_at_ms=status.timestamp_ms,
        heard_at_ms=now_ms,
    )


Readiness = Literal["ready", "never connected", "two devices", "offline", "not ready", "too many credits"]


def readiness(machine: Machine, presence: Presence | None, now_ms: int, credits: int = 1) -> Readiness:
    """Whether somebody may pay for `credits` now: only where it is `ready`."""
    if machine.kind == "subscriber":
        return "ready"
    if presence is None or presence.installation is None:
        return "never connected"
    if presence.rival_installation is not None and now_ms - presence.rival_heard_at_ms <= RIVAL_MS:
        return "two devices"
    if not presence.online or not is_fresh(presence.stated_at_ms, now_ms):
        return "offline"
    if not presence.ready:
        return "not ready"
    return "ready" if credits <= presence.max_credits else "too many credits"


def why_not_ready(machine: Machine, presence: Presence | None, now_ms: int, credits: int = 1) -> str | None:
    """Why nobody may pay for `credits` now, in a few words for people; None when all is well."""
    match readiness(machine, presence, now_ms, credits):
        case "ready":
            return None
        case "never connected":
            return "This machine has not been connected yet."
        case "two devices":
            return "Two devices use this machine's id; the operator has been told."
        case "offline":
            return "This machine is offline."
        case "not ready":
            return "This machine is not ready."
        case "too many credits":
            most = 0 if presence is None else presence.max_credits
            return f"This machine takes at most {most} credits at once."
