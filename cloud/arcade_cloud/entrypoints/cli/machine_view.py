"""How a machine is shown: in a table, and as named fields for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.domain.machines import Machine, Presence, Stage
    from arcade_cloud.domain.metering import CountedDay

OLDER_KEY = "signs with an older secret's key"


@dataclass(frozen=True, slots=True)
class Seen:
    """A machine as it is now.

    Attributes:
        state: Whether players can pay for it, in words.
        stage: Where it is in its life.
        service: The same for people, with the reason and the time.
        has_older_key: Its agent signs with the key of a secret that is being replaced.
    """

    machine: "Machine"
    presence: "Presence | None"
    state: str
    stage: "Stage"
    service: str
    has_older_key: bool


def seen(cloud: "Cloud", machine: "Machine") -> Seen:
    """The machine with its presence."""
    from arcade_cloud.domain.closure import service_text
    from arcade_cloud.domain.machines import stage

    presence, now_ms = cloud.store.presence(machine.machine_id), cloud.services.fulfilment.now_ms()
    found = stage(machine, presence, now_ms)
    service = service_text(machine.closure, now_ms, cloud.settings.timezone)
    return Seen(
        machine=machine,
        presence=presence,
        state=_state(cloud, machine, presence, now_ms),
        stage=found,
        service=found if found == "being set up" else service,
        has_older_key=_has_older_key(cloud, presence),
    )


def _state(cloud: "Cloud", machine: "Machine", presence: "Presence | None", now_ms: int) -> str:
    from arcade_cloud.domain.closure import closed_text
    from arcade_cloud.domain.machines import why_unfit

    closed = machine.closed(now_ms)
    if closed is not None:
        return closed_text(closed, now_ms, cloud.settings.timezone)
    why_not = why_unfit(machine, presence, now_ms)
    if why_not is not None and presence is not None and presence.reason:
        why_not = f"{why_not} ({presence.reason})"  # in the agent's own words
    return "only listens" if machine.kind == "subscriber" else why_not or "ready"


def _has_older_key(cloud: "Cloud", presence: "Presence | None") -> bool:
    keyring = cloud.services.messages.keyring
    return presence is not None and keyring.is_of_an_older_secret(presence.machine_id, presence.key_fingerprint)


def columns() -> Sequence[Column[Seen]]:
    """A table of machines."""
    return (
        Column("MACHINE", lambda seen: seen.machine.machine_id),
        Column("STATE", lambda seen: seen.state, folds=True),
        Column("NAME", lambda seen: seen.machine.name, folds=True),
        Column("LOCATION", lambda seen: seen.machine.location, folds=True),
        Column("KEY", lambda seen: OLDER_KEY if seen.has_older_key else "", folds=True),
    )


def facts(seen: Seen) -> dict[str, str]:
    """What is known about one machine, for people."""
    from arcade_cloud.domain.machines import refused_text

    machine, presence = seen.machine, seen.presence
    found = {
        "state": seen.state,
        "service": seen.service,
        "kind": machine.kind,
        "name": machine.name,
        "location": machine.location,
        "contact": machine.contact,
        "picture": machine.picture_url,
        "offers": ", ".join(_offers(machine)),
        "registered": _moment(machine.created_at_ms),
    }
    if presence is not None and presence.installation is not None:
        found |= {
            "installation": presence.installation,
            "agent": presence.agent,
            "at most": f"{presence.max_credits} credits at once",
            "last heard": _moment(presence.heard_at_ms),
            "key": OLDER_KEY if seen.has_older_key else "signs with the newest secret's key",
        }
    if presence is not None and presence.refused_messages:
        found["wrong key"] = refused_text(presence)
    return found


def fields(seen: Seen) -> Fields:
    """What is known about a machine, for programs."""
    machine, presence = seen.machine, seen.presence
    heard = presence if presence is not None and presence.installation is not None else None
    closed = None if seen.stage in {"in service", "being set up"} else machine.closure
    return {
        "id": machine.machine_id,
        "name": machine.name,
        "kind": machine.kind,
        "state": seen.state,
        "ready": seen.state == "ready",
        "stage": seen.stage,
        "closedUntil": None if closed is None or closed.until_ms is None else format_ms(closed.until_ms),
        "location": machine.location,
        "contact": machine.contact,
        "picture": machine.picture_url,
        "offers": _offers(machine),
        "registeredAt": format_ms(machine.created_at_ms) if machine.created_at_ms else None,
        "installation": None if heard is None else heard.installation,
        "agent": None if heard is None else heard.agent,
        "maxCredits": None if heard is None else heard.max_credits,
        "lastHeardAt": None if heard is None else format_ms(heard.heard_at_ms),
        "olderKey": seen.has_older_key,
        "refusedMessages": 0 if presence is None else presence.refused_messages,
    }


def metered(days: "Sequence[CountedDay]") -> Fields:
    """What the coin meter has counted beside the pulses of the last days, for programs; nulls without a meter."""
    return {
        name: sum(getattr(day, of) for day in days) if days else None
        for name, of in (
            ("meterTrains", "trains"),
            ("meterPulsed", "pulsed"),
            ("meterRegistered", "registered"),
            ("meterDifference", "difference"),
        )
    }


def _offers(machine: "Machine") -> list[str]:
    from arcade_cloud.domain.offers import offer_text

    return [offer_text(offer) for offer in machine.offers]


def _moment(at_ms: int) -> str:
    return format_ms(at_ms)[:19].replace("T", " ") + "Z" if at_ms else ""
