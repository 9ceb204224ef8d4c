"""The console's statement: a month of one location or all, to print or for a spreadsheet, with its share."""

from datetime import date
from typing import Any

from flask import Blueprint, Response, request, url_for

from arcade_cloud.domain import statement as rules
from arcade_cloud.domain.people import Act
from arcade_cloud.domain.statement import NO_SHARE, Share, checked_share, month_of
from arcade_cloud.errors import BadRequest
from arcade_cloud.services import statements
from arcade_cloud.web.console.room import Room, page_number, text_of
from arcade_cloud.web.console.takings_pages import csv_response, is_lessened
from arcade_cloud.web.error_responses import status_of

# It is printed, so one of a large place is to be in one piece.
ROWS_A_PAGE = 500


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/statement` and its CSV."""
    needs = room.guard.needs

    @blueprint.get("/statement")
    @needs(Act.SEE_TAKINGS)
    def statement() -> Response:
        """A month of one location or all, with the location's share."""
        first, _ = month_of(request.args.get("month"), room.day)
        location = _location()
        try:
            return _page(room, first, location, _share(location))
        except BadRequest as error:  # what was taken is shown all the same
            return _page(room, first, location, NO_SHARE, str(error), status_of(error))

    @blueprint.get("/statement.csv")
    @needs(Act.SEE_TAKINGS)
    def statement_csv() -> Response:
        """The same for a spreadsheet."""
        first, _ = month_of(request.args.get("month"), room.day)
        location = _location()
        found = statements.statement(room.desk.takings, first, location, _share(location))
        return csv_response(rules.records(found, _names(room)), f"statement-{found.first:%Y-%m}")


def _location() -> str | None:
    return text_of(request.args, "location", 80) or None


def _share(location: str | None) -> Share:
    return checked_share(text_of(request.args, "share", 40), text_of(request.args, "flat", 40), location)


def _names(room: Room) -> dict[str, str]:
    return {machine.machine_id: machine.name for machine in room.fulfilment.store.machines()}


def _page(
    room: Room, first: date, location: str | None, share: Share, problem: str = "", status: int = 200
) -> Response:
    number = page_number()
    found, part = statements.page(room.desk.takings, first, location, share, number=number, at_most=ROWS_A_PAGE)
    asked = {name: text_of(request.args, name, 40) for name in ("share", "flat")}
    values: dict[str, Any] = {"month": f"{found.first:%Y-%m}", "location": found.location}
    values |= {name: text or None for name, text in asked.items()}
    return room.render(
        "statement.html",
        "Takings",
        problem=problem,
        status=status,
        statement=found,
        month=f"{found.first:%Y-%m}",
        month_name=f"{found.first:%B %Y}",
        asked=asked,
        part=part,
        page_link=lambda number: url_for("console.statement", **values, page=number),
        csv=url_for("console.statement_csv", **values),
        names=_names(room),
        lessened=is_lessened(total.row for total in found.totals if total.row is not None),
    )
