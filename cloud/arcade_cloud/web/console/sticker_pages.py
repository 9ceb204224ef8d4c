"""The console's pages for stickers: of one machine, or sheets for many."""

from typing import Literal

from flask import Blueprint, Response, request

from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.people import Act
from arcade_cloud.domain.stickers import GRIDS, SHEETS, Sheet
from arcade_cloud.errors import BadRequest
from arcade_cloud.web.console.machine_pages import machine_page
from arcade_cloud.web.console.room import Room, file_of, text_of, whole
from arcade_cloud.web.error_responses import status_of
from arcade_cloud.web.guards import known_machine

# So many are drawn in some seconds; who needs more prints them by location, or by command.
STICKERS_AT_MOST = 480
PDF, SVG = "application/pdf", "image/svg+xml"


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/stickers`, its sheets, and a machine's own sticker."""
    needs, stickers = room.guard.needs, room.desk.stickers

    @blueprint.get("/machines/<machine_id>/sticker.svg")
    @needs(Act.MACHINE_SET)
    def sticker_svg(machine_id: str) -> Response:
        """Its sticker, for a print shop or a label printer."""
        return _own(room, machine_id, "svg")

    @blueprint.get("/machines/<machine_id>/sticker.pdf")
    @needs(Act.MACHINE_SET)
    def sticker_pdf(machine_id: str) -> Response:
        """Its sticker on a page of its own."""
        return _own(room, machine_id, "pdf")

    @blueprint.get("/stickers")
    @needs(Act.MACHINE_SET)
    def stickers_form() -> Response:
        """Choose what goes on the sheets."""
        return _stickers(room)

    @blueprint.get("/stickers.pdf")
    @needs(Act.MACHINE_SET)
    def stickers_pdf() -> Response:
        """Sheets for a location, or for all machines that are not retired."""
        per_page = whole(text_of(request.args, "per_page"), 24, 1, 24)
        try:
            machines = _chosen(room, text_of(request.args, "location", 100))
            made = stickers.pdf(
                stickers.of(machines, force=_is_trial()), _paper(), per_page if per_page in GRIDS else 24
            )
        except BadRequest as error:
            return _stickers(room, _by_form(error), status_of(error))
        return file_of(made, "stickers.pdf", PDF)


def _own(room: Room, machine_id: str, kind: Literal["svg", "pdf"]) -> Response:
    known, stickers = known_machine(room.desk.acts.operations.sales, machine_id), room.desk.stickers
    try:
        (sticker,) = stickers.of([known], force=_is_trial())
        made = stickers.svg(sticker) if kind == "svg" else stickers.pdf([sticker], _paper(), 1)
    except BadRequest as error:
        return machine_page(room, known, _by_form(error), status_of(error))
    return file_of(made, f"{known.machine_id}.{kind}", SVG if kind == "svg" else PDF)


def _by_form(error: BadRequest) -> str:
    """What is wrong, as the form calls it."""
    return str(error).replace("add --force for a trial", "tick “For a trial” at Stickers")


def _is_trial() -> bool:
    return text_of(request.args, "trial") == "yes"


def _paper() -> Sheet:
    asked = text_of(request.args, "sheet")
    return next((sheet for sheet in SHEETS if sheet == asked), "a4")


def _chosen(room: Room, location: str) -> list[Machine]:
    """The machines of a location, or all; retired ones are never meant.

    Raises:
        BadRequest: There is none, or there are too many for a page.
    """
    fleet = room.desk.acts.fleet
    found = fleet.chosen([], every=True) if location == "all" else []
    if location.startswith("at:"):
        found = fleet.chosen([], location=location.removeprefix("at:"))
    if not found:
        raise BadRequest("choose a location, or all machines")
    if len(found) > STICKERS_AT_MOST:
        raise BadRequest(
            f"these are {len(found)} machines: choose a location with {STICKERS_AT_MOST} at most, or take "
            "`arcade-cloud sticker --all`"
        )
    return found


def _stickers(room: Room, problem: str = "", status: int = 200) -> Response:
    machines = room.fulfilment.store.machines()
    return room.render(
        "stickers.html",
        "Machines",
        problem=problem,
        status=status,
        why_not=room.desk.stickers.why_not,
        locations=sorted({machine.location for machine in machines if machine.location}),
        location=text_of(request.args, "location", 100),
        sheets=SHEETS,
        sheet=_paper(),
        grids=sorted(GRIDS, reverse=True),
        per_page=whole(text_of(request.args, "per_page"), 24, 1, 24),
        trial=_is_trial(),
    )
