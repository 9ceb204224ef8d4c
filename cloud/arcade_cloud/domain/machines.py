"""Machines: their registration, their latest status, and whether somebody may pay for them now (pure)."""

import difflib
from collections.abc import Collection, Iterable
from datetime import UTC, tzinfo
from typing import Any, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from arcade_cloud.domain.closure import Closure, closed_text, standing
from arcade_cloud.domain.limits import AHEAD_MS, SKEW_MS
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.offers import offer_text
from arcade_cloud.domain.texts import (
    ADDRESS_LENGTH,
    CONTACT_LENGTH,
    LOCATION_LENGTH,
    NAME_LENGTH,
    checked_line,
    is_picture_address,
)
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.errors import BadRequest
from arcade_shared.cabinet import NOT_REGISTERED
from arcade_shared.messages import Status
from arcade_shared.times import format_ms
from arcade_shared.trial import NOBODY

# A status comes every 30 s. Two may be lost or late before the machine counts as offline.
FRESH_MS = 75_000
# The reason of an agent that does not know the time yet. Its statuses have a time of its own making.
NO_CLOCK = "no clock"
# Two installations within this time are two running Pis, not one Pi after a repair.
RIVAL_MS = 5 * 60_000


class Machine(Struct, frozen=True, kw_only=True, gc=False):  # of thousands, no part of a cycle
    """A registered machine. A `subscriber` is software that only listens and sends no acks.

    Attributes:
        location: Where it stands, as the operator calls it; machines with the same text stand together.
        closure: That it is out of service or retired; None, or one that is over: it is in service.
    """

    machine_id: str
    version: int = 0
    kind: Literal["agent", "subscriber"] = "agent"
    name: str = ""
    contact: str = ""
    picture_url: str = ""
    offers: tuple[Offer, ...] = ()
    created_at_ms: int = 0
    location: str = ""
    closure: Closure | None = None

    def closed(self, now_ms: int) -> Closure | None:
        """That it is out of service or retired at that time; None if it is not."""
        return standing(self.closure, now_ms)


class MachineChange(Struct, frozen=True, kw_only=True):
    """What an operator changes about a machine. What is not named stays as it is."""

    kind: Literal["agent", "subscriber"] | UnsetType = UNSET
    name: str | UnsetType = UNSET
    contact: str | UnsetType = UNSET
    picture_url: str | UnsetType = UNSET
    offers: tuple[Offer, ...] | UnsetType = UNSET
    location: str | UnsetType = UNSET
    closure: Closure | UnsetType | None = UNSET

    @property
    def named(self) -> dict[str, Any]:
        """What is named."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not UNSET}


def checked(change: MachineChange) -> MachineChange:
    """The change, with its texts as they are stored.

    Raises:
        BadRequest: A text cannot be shown to players, or the picture cannot be loaded by their browsers.
    """
    lengths = {
        "name": NAME_LENGTH,
        "location": LOCATION_LENGTH,
        "contact": CONTACT_LENGTH,
        "picture_url": ADDRESS_LENGTH,
    }
    texts = {
        field: checked_line(change.named[field], f"the {field.removesuffix('_url')}", lengths[field])
        for field in lengths.keys() & change.named.keys()
    }
    if "location" in texts:  # machines with the same one belong together
        texts["location"] = " ".join(texts["location"].split())
    picture = texts.get("picture_url")
    if picture and not is_picture_address(picture):
        raise BadRequest(f"a picture has an address that begins with https://, unlike {picture[:80]!r}")
    return msgspec.structs.replace(change, **texts)


def changed(machine: Machine, change: MachineChange) -> Machine:
    """The machine with what is named changed, in the next version; the given one if that changes nothing."""
    after = msgspec.structs.replace(machine, **change.named)
    return machine if after == machine else msgspec.structs.replace(after, version=machine.version + 1)


def differences(before: Machine, after: Machine) -> list[tuple[str, str, str]]:
    """What differs, for people: its name, before, after."""
    names = {
        "kind": "kind",
        "name": "name",
        "location": "location",
        "contact": "contact",
        "picture_url": "picture",
        "offers": "offers",
    }
    values = [(shown, _shown(before, name), _shown(after, name)) for name, shown in names.items()]
    return [(name, old, new) for name, old, new in values if old != new]


def _shown(machine: Machine, name: str) -> str:
    value = getattr(machine, name)
    if name == "offers":
        value = ", ".join(offer_text(offer) for offer in value)
    return value or "-"


def near_matches(machine_id: str, known: Iterable[str]) -> list[str]:
    """Which of the known ids somebody may have meant, at most three."""
    by_fold = {other.casefold(): other for other in known}
    return [by_fold[fold] for fold in difflib.get_close_matches(machine_id.casefold(), by_fold, n=3, cutoff=0.6)]


def why_not_new(machine_id: str, known: Collection[str], broker_user: str | None) -> str | None:
    """Why no new machine can have this id; None if one can.

    Args:
        known: The ids of the machines that are registered, which stay as they are.
        broker_user: The cloud's own user at the broker. A machine's user has the machine's id for a name.
    """
    if machine_id in known:
        return None
    fold = machine_id.casefold()
    twin = next((other for other in known if other.casefold() == fold), None)
    if twin is not None:
        return f"machine {twin} is registered, and {machine_id} differs in case alone"
    if fold == NOBODY.casefold():
        return f"{NOBODY} is what `arcade-edge doctor` writes in place of a machine's id"
    if broker_user is not None and fold == broker_user.casefold():
        return f"the cloud's own user at the broker is called {broker_user} (MQTT_USERNAME)"
    return None


class Presence(Struct, frozen=True, kw_only=True, gc=False):  # as above
    """The latest state of a machine's agent, from messages with a valid signature only.

    Attributes:
        refused_at_ms: When a message with a wrong signature came last, on one of the machine's topics. Not every
            one is recorded at once.
        refused_since_ms: When the first of them came, since it last was well.
        refused_messages: How many there were, at least: a process that ends may have some not recorded yet.
        contested: Its agent says that somebody else has kept taking its client id at the broker, and that is told.
    """

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
    stated_at_ms: int = 0  # the status's own timestamp: the cloud's time, as the agent knows it
    heard_at_ms: int = 0
    answered_nonce: str = ""
    rival_installation: str | None = None
    rival_heard_at_ms: int = 0
    # When to look whether it is silent, or somewhat earlier. None: it was never heard, or is known to be silent.
    due_at_ms: int | None = None
    # The latest sign of life, and not only of a message that was long on its way. 0: none since this is recorded.
    alive_at_ms: int = 0
    refused_at_ms: int = 0
    refused_since_ms: int = 0
    refused_messages: int = 0
    contested: bool = False

    @property
    def last_alive_ms(self) -> int:
        """The latest sign of life."""
        return self.alive_at_ms or self.heard_at_ms


def beyond_train(offers: Iterable[Offer], presence: Presence | None) -> list[str]:
    """Which offers the machine could never sell, as far as its agent has told: a sentence each."""
    if presence is None or presence.installation is None or not presence.max_credits:
        return []
    most = presence.max_credits
    return [
        f"offers: {offer_text(offer)} is more than the {most} credits that {presence.machine_id} takes at once"
        for offer in offers
        if offer.credits > most
    ]


class PresenceUpdate(Struct, frozen=True, kw_only=True):
    """What a status changes.

    Attributes:
        answer_nonce: The nonce to answer with the cloud's time; empty if there is none.
        rival: The installation of another Pi with the same machine id that was running until now.
        watched_anew: It was never heard before, or was called silent.
        unregistered: The machine has gone out of sale, because its coin meter missed coins.
        heard_before_ms: When it was heard the time before; 0: never.
        contested: Its agent's client id is contested, or is no longer, and nobody has been told; None if that is
            no news. The presence does not have it yet.
    """

    presence: Presence
    answer_nonce: str = ""
    rival: str | None = None
    watched_anew: bool = False
    unregistered: bool = False
    heard_before_ms: int = 0
    contested: bool | None = None


# While messages with a wrong signature come, they are recorded this often.
REFUSED_EVERY_MS = 10_000
# So long after the last one, a machine that speaks with a valid signature is well again.
WELL_AFTER_MS = 5 * 60_000


def is_refusal_recorded(presence: Presence | None, now_ms: int) -> bool:
    """Whether it is on record that messages with a wrong signature come now, so that one more may wait."""
    return presence is not None and now_ms - REFUSED_EVERY_MS < presence.refused_at_ms <= now_ms + SKEW_MS


def refused(presence: Presence, now_ms: int, messages: int = 1) -> Presence:
    """The presence after so many messages with a wrong signature. Nothing that they say counts."""
    return msgspec.structs.replace(
        presence,
        refused_at_ms=now_ms,
        refused_since_ms=min(presence.refused_since_ms or now_ms, now_ms),
        refused_messages=presence.refused_messages + messages,
    )


def is_well_again(presence: Presence, now_ms: int) -> bool:
    """Whether a machine that speaks with a valid signature was refused before, and that is over."""
    return presence.refused_at_ms > 0 and not now_ms - WELL_AFTER_MS < presence.refused_at_ms <= now_ms + SKEW_MS


def well_again(presence: Presence) -> Presence:
    """The presence of such a machine."""
    return msgspec.structs.replace(presence, refused_at_ms=0, refused_since_ms=0, refused_messages=0)


def refused_text(presence: Presence, unrecorded: int = 0) -> str:
    """How many messages were refused, and since when, for people; empty if that is not on record."""
    number = presence.refused_messages + unrecorded
    if not presence.refused_messages:
        return ""
    were = "message was" if number == 1 else "messages were"
    since, until = format_ms(presence.refused_since_ms), format_ms(presence.refused_at_ms)
    return f"at least {number} {were} refused, from {since} to {until}"


def speaks_unheard(presence: Presence | None, now_ms: int) -> bool:
    """Whether messages with a wrong signature come now: perhaps the machine's own, so it is not silent.

    Someone who may publish on the machine's topics can make it look so, but not for ever: the last resort needs no
    silence.
    """
    return presence is not None and is_fresh(presence.refused_at_ms, now_ms)


def is_fresh(stated_at_ms: int, now_ms: int) -> bool:
    """Whether a status of that moment proves that the machine is online now."""
    return now_ms - FRESH_MS <= stated_at_ms <= now_ms + SKEW_MS


def _is_recent(heard_at_ms: int, now_ms: int) -> bool:
    """Whether what was heard then is heard at the same time. What was heard in the future was not."""
    return now_ms - RIVAL_MS <= heard_at_ms <= now_ms + SKEW_MS


def apply_status(
    presence: Presence, status: Status, key_fingerprint: str, now_ms: int, silent_ms: int = 0
) -> PresenceUpdate:
    """Apply a status with a valid signature.

    A fresh status proves a live round trip. Only such a status makes another installation the one that credits are
    addressed to, and only if it says ready, or nothing is heard of the present one; the very first installation
    needs no proof. Older statuses change nothing, whether of this boot or of another. Every new nonce is answered,
    whoever asks: the answer is signed and harmless.

    Args:
        silent_ms: After so long without a status the machine is silent; 0 if nobody watches that.
    """
    answer = status.nonce if status.nonce and status.nonce != presence.answered_nonce else ""
    unwatched = presence.due_at_ms is None
    if answer:
        presence = msgspec.structs.replace(presence, answered_nonce=answer)
    if presence.installation not in (None, status.installation):
        if not _takes_over(presence, status, now_ms):
            return PresenceUpdate(presence=presence, answer_nonce=answer)
        still_there = presence.ready and _is_recent(presence.heard_at_ms, now_ms)
        taken_over = msgspec.structs.replace(
            _updated(presence, status, key_fingerprint, now_ms, silent_ms),
            rival_installation=presence.installation if still_there else None,
            rival_heard_at_ms=presence.heard_at_ms if still_there else 0,
        )
        return PresenceUpdate(
            presence=taken_over,
            answer_nonce=answer,
            rival=presence.installation if still_there else None,
            watched_anew=unwatched and taken_over.due_at_ms is not None,
            contested=_news_of_contest(presence, status),
        )
    if status.boot_id == presence.boot_id:
        if (status.connection, status.seq) <= (presence.connection, presence.seq):
            return PresenceUpdate(presence=presence, answer_nonce=answer)
    elif presence.boot_id and _may_be_of_earlier_boot(status, now_ms):
        return PresenceUpdate(presence=presence, answer_nonce=answer)
    updated = _updated(presence, status, key_fingerprint, now_ms, silent_ms)
    return PresenceUpdate(
        presence=updated,
        answer_nonce=answer,
        watched_anew=unwatched and updated.due_at_ms is not None,
        unregistered=status.reason == NOT_REGISTERED != presence.reason,
        heard_before_ms=presence.heard_at_ms,
        contested=_news_of_contest(presence, status),
    )


def _takes_over(presence: Presence, status: Status, now_ms: int) -> bool:
    """Whether another installation than the present one is the machine's from now on."""
    if status.state != "online" or status.reason == NO_CLOCK or not is_fresh(status.timestamp_ms, now_ms):
        return False
    return status.ready or not (presence.online and _is_recent(presence.heard_at_ms, now_ms))


def _may_be_of_earlier_boot(status: Status, now_ms: int) -> bool:
    """Whether a status of another boot than the present one may be a late will, or have been long on its way."""
    if status.state == "offline":
        return True
    return status.reason != NO_CLOCK and not _is_sign_of_life(status, now_ms)


def _news_of_contest(presence: Presence, status: Status) -> bool | None:
    """What is new about whether the client id is contested. A will was made before its connection ended."""
    return status.contested if status.state == "online" and status.contested != presence.contested else None


def _updated(presence: Presence, status: Status, key_fingerprint: str, now_ms: int, silent_ms: int) -> Presence:
    due_at_ms = presence.due_at_ms
    is_alive = status.state == "online" and _is_sign_of_life(status, now_ms)
    if due_at_ms is None and silent_ms and is_alive:
        due_at_ms = now_ms + silent_ms
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
        due_at_ms=due_at_ms,
        alive_at_ms=now_ms if is_alive else presence.alive_at_ms,
    )


def _is_sign_of_life(status: Status, now_ms: int) -> bool:
    """Whether a status was not long on its way.

    An agent that does not know the time cannot show when it spoke: it says so, or names a time that lies far off.
    It is told within seconds, or it needs a person as much as one that is silent.
    """
    return status.reason != NO_CLOCK and abs(status.timestamp_ms - now_ms) <= FRESH_MS


# A machine is called silent only while the cloud's own echoes have come back for so long, until now. By then a
# machine that is alive has said several statuses, also where broker and cloud have just come back.
HEARS_FOR_MS = 5 * 60_000
# So often an echo is sent while that is to be proven.
ECHO_EVERY_MS = 60_000


class Hearing(Struct, frozen=True):
    """That the cloud hears: its echoes from `since_ms` to `until_ms` came back, never HEARS_FOR_MS apart."""

    since_ms: int
    until_ms: int


def hearing_after(before: Hearing | None, sent_at_ms: int) -> Hearing:
    """What an echo that was sent at that time, and has come back, proves together with the earlier ones."""
    if before is None or sent_at_ms - before.until_ms > HEARS_FOR_MS:
        return Hearing(sent_at_ms, sent_at_ms)
    return Hearing(before.since_ms, max(before.until_ms, sent_at_ms))


def put_off_after_ms(now_ms: int, silent_ms: int) -> int:
    """Only a clock that was ahead has made a machine due later than this."""
    return now_ms + max(2 * silent_ms, HEARS_FOR_MS) + AHEAD_MS


class Watched(Struct, frozen=True):
    """What a look at a machine has shown: its presence with the time of the next look.

    Attributes:
        found: `unproven`: it may be silent, or the cloud may be deaf. `closed`: it may be silent, and it may be.
    """

    presence: Presence
    found: Literal["alive", "silent", "unproven", "closed"]


def look(
    presence: Presence, now_ms: int, silent_ms: int, hearing: Hearing | None, closed: Closure | None = None
) -> Watched:
    """Whether a machine that has been heard once is silent now.

    A machine that is closed may be switched off. Once it is in service again it has as long to speak as ever. One
    that is closed until some day is looked at as often as others meanwhile, so that none waits longer than
    `put_off_after_ms`: whatever does, a wrong clock has put off.
    """

    def due(at_ms: int | None) -> Presence:
        return msgspec.structs.replace(presence, due_at_ms=at_ms)

    if presence.last_alive_ms > now_ms + AHEAD_MS:  # a clock that was ahead has heard it: it is silent from now on
        presence = msgspec.structs.replace(presence, alive_at_ms=now_ms)
    if now_ms - presence.last_alive_ms < silent_ms:
        return Watched(due(presence.last_alive_ms + silent_ms), "alive")
    if closed is not None:
        again_ms = now_ms + silent_ms
        if closed.until_ms is None:
            return Watched(due(None), "closed")
        return Watched(due(again_ms if again_ms < closed.until_ms else closed.until_ms + silent_ms), "closed")
    if hearing is None or now_ms - hearing.until_ms > HEARS_FOR_MS:
        return Watched(due(now_ms + HEARS_FOR_MS - ECHO_EVERY_MS), "unproven")
    if now_ms - hearing.since_ms < HEARS_FOR_MS:
        return Watched(due(now_ms + ECHO_EVERY_MS), "unproven")
    return Watched(due(None), "silent")


# A machine's life. One that was never heard is being set up: it goes into service when it is heard and ready.
Stage = Literal["being set up", "in service", "out of service", "retired"]


def stage(machine: Machine, presence: Presence | None, now_ms: int) -> Stage:
    """Where a machine is in its life."""
    closed = machine.closed(now_ms)
    if closed is not None:
        return "retired" if closed.for_good else "out of service"
    heard = machine.kind == "subscriber" or (presence is not None and presence.installation is not None)
    return "in service" if heard else "being set up"


# Why a machine cannot take credits, whatever its operator says; `ready` if it can.
Condition = Literal[
    "ready", "never connected", "two devices", "wrong key", "offline", "not ready", "too many credits"
]
Readiness = Literal[Condition, "closed"]


def readiness(machine: Machine, presence: Presence | None, now_ms: int, credits: int = 1) -> Readiness:
    """Whether somebody may pay for `credits` now: only if `ready`."""
    if machine.closed(now_ms) is not None:
        return "closed"
    return condition(machine, presence, now_ms, credits)


def condition(machine: Machine, presence: Presence | None, now_ms: int, credits: int = 1) -> Condition:
    """Whether the machine could take `credits` now, in service or not."""
    if machine.kind == "subscriber":
        return "ready"
    if presence is None or presence.installation is None:
        return "never connected"
    if presence.rival_installation is not None and _is_recent(presence.rival_heard_at_ms, now_ms):
        return "two devices"
    if presence.refused_at_ms > presence.heard_at_ms and speaks_unheard(presence, now_ms):
        return "wrong key"
    if not presence.online or not is_fresh(presence.stated_at_ms, now_ms):
        return "offline"
    if not presence.ready:
        return "not ready"
    return "ready" if credits <= presence.max_credits else "too many credits"


def why_not_ready(
    machine: Machine,
    presence: Presence | None,
    now_ms: int,
    credits: int = 1,
    zone: tzinfo = UTC,
    words: Words = ENGLISH,
) -> str | None:
    """Why nobody may pay for `credits` now, in a sentence for players; None if somebody may.

    Args:
        zone: In which players read times.
    """
    closed = machine.closed(now_ms)
    if closed is not None:
        return closed_text(closed, now_ms, zone, words)
    match condition(machine, presence, now_ms, credits):
        case "ready":
            return None
        case "never connected":
            return words.text("You cannot pay by phone here yet.")
        case "two devices" | "wrong key":
            return words.text("This machine is out of order. The operator has been told.")
        case "offline":
            return words.text("This machine is offline.")
        case "not ready":
            return words.text("This machine is not ready.")
        case "too many credits":
            most = 0 if presence is None else presence.max_credits
            return words.count(
                "This machine takes at most %(number)s credit at once.",
                "This machine takes at most %(number)s credits at once.",
                most,
            )


def why_unfit(machine: Machine, presence: Presence | None, now_ms: int, credits: int = 1) -> str | None:
    """Why the machine could not take `credits` now, in service or not, in a sentence for operators."""
    match condition(machine, presence, now_ms, credits):
        case "ready":
            return None
        case "never connected":
            return "This machine has not been connected yet."
        case "two devices":
            return "Two devices use this machine's id; the operator has been told."
        case "wrong key":
            return "This machine is not ready; the operator has been told."
        case "offline":
            return "This machine is offline."
        case "not ready":
            return "This machine is not ready."
        case "too many credits":
            most = 0 if presence is None else presence.max_credits
            return f"This machine takes at most {most} credits at once."
