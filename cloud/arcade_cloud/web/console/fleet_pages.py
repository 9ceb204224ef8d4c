"""The console's page for several machines at once: all of a location, or all there are."""

from collections.abc import Callable, Iterable, Iterator

from flask import Blueprint, Response, request

from arcade_cloud.domain.closure import service_text
from arcade_cloud.domain.machines import Machine, MachineChange, differences
from arcade_cloud.domain.offers import read_offers
from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest
from arcade_cloud.web.console.room import Room, text_of
from arcade_cloud.web.error_responses import status_of

Changed = tuple[Machine, Machine]


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/fleet` and the forms on it."""
    needs, acts = room.guard.needs, room.desk.acts

    @blueprint.get("/fleet")
    @needs(Act.MACHINE_SERVICE)
    def fleet() -> Response:
        """Choose a location, and see which machines it has."""
        return _fleet(room)

    @blueprint.post("/fleet/close")
    @needs(Act.MACHINE_SERVICE)
    def fleet_close() -> Response:
        """Take them out of service."""
        reason, until = text_of(request.form, "reason"), text_of(request.form, "until", 40)

        def close(machines: list[Machine]) -> Iterator[Changed]:
            names = [machine.machine_id for machine in machines]
            return acts.machines_close(room.guard.actor(), names, reason=reason, until=until or None)

        return _do(room, close)

    @blueprint.post("/fleet/open")
    @needs(Act.MACHINE_SERVICE)
    def fleet_open() -> Response:
        """Put them into service."""
        return _do(
            room,
            lambda machines: acts.machines_open(room.guard.actor(), [machine.machine_id for machine in machines]),
        )

    @blueprint.post("/fleet/offers")
    @needs(Act.OFFERS)
    def fleet_offers() -> Response:
        """Give all of them the same offers."""

        def change(machines: list[Machine]) -> Iterator[Changed]:
            wanted = MachineChange(offers=read_offers(text_of(request.form, "offers")))
            for machine in machines:
                yield acts.machine_set(room.guard.actor(), machine.machine_id, wanted)

        return _do(room, change)


def _chosen(room: Room, location: str) -> list[Machine]:
    """The machines of a location, or all; retired ones are never meant."""
    if location == "all":
        return room.desk.acts.fleet.chosen([], every=True)
    return room.desk.acts.fleet.chosen([], location=location.removeprefix("at:")) if location else []


def _shown(room: Room) -> list[Machine]:
    """The machines that the page before has shown.

    Raises:
        BadRequest: There are more or fewer now.
    """
    machines = _chosen(room, text_of(request.form, "location", 100))
    if text_of(request.form, "number") != str(len(machines)) or not machines:
        raise BadRequest(f"these are {len(machines)} machines now: look again, then send it again")
    return machines


def _do(room: Room, change: Callable[[list[Machine]], Iterable[Changed]]) -> Response:
    """Change the machines that the page before has shown. What was done before a refusal is shown, too."""
    done: list[Changed] = []
    try:
        for changed in change(_shown(room)):
            done.append(changed)
    except BadRequest as error:
        return _fleet(room, done, str(error).replace("--until", "“Until”"), status_of(error))
    return _fleet(room, done)


def _fleet(room: Room, done: Iterable[Changed] = (), problem: str = "", status: int = 200) -> Response:
    location = text_of(request.values, "location", 100)
    every = room.fulfilment.store.machines()
    try:
        machines = _chosen(room, location)
    except BadRequest as error:
        machines, problem, status = [], problem or str(error), status_of(error)
    now_ms, zone = room.now_ms, room.zone
    return room.render(
        "fleet.html",
        "Machines",
        problem=problem,
        status=status,
        location=location,
        locations=sorted({machine.location for machine in every if machine.location}),
        machines=[(machine, service_text(machine.closure, now_ms, zone)) for machine in machines],
        changed=[(after, _what(room, before, after)) for before, after in done],
        form=request.form if problem else {},
    )


def _what(room: Room, before: Machine, after: Machine) -> str:
    found = [f"{name}: {old} → {new}" for name, old, new in differences(before, after)]
    if before.closure != after.closure:
        found.append(service_text(after.closure, room.now_ms, room.zone))
    return "; ".join(found) or "as before"
