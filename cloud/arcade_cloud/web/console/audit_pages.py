"""The console's audit log: who did what, when, and how it ended."""

from datetime import datetime, time
from typing import Any

from flask import Blueprint, Response, request, url_for

from arcade_cloud.domain.audit import Mark
from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest
from arcade_cloud.web.console.room import Room, a_day, text_of, whole

LINES_A_PAGE = 50


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/audit`."""

    @blueprint.get("/audit")
    @room.guard.needs(Act.SEE_AUDIT)
    def audit() -> Response:
        """A page of the log, newest first."""
        asked = {name: text_of(request.args, name, 128) for name in ("who", "on", "act", "since")}
        at_ms = whole(text_of(request.args, "before"), 0, 0, 10**15)
        before = Mark(at_ms, text_of(request.args, "entry", 64)) if at_ms else None
        problem, since_ms = "", None
        try:
            since_ms = _begins_ms(asked["since"], room)
        except BadRequest as error:
            problem = str(error)
        found = room.desk.log.page(
            LINES_A_PAGE,
            before=before,
            who=asked["who"] or None,
            on=asked["on"] or None,
            act=asked["act"] or None,
            since_ms=since_ms,
        )
        older = None
        if found.older is not None:
            named: dict[str, Any] = {name: text or None for name, text in asked.items()}
            older = url_for("console.audit", **named, before=found.older.at_ms, entry=found.older.entry_id)
        return room.render(
            "audit.html",
            "Audit",
            problem=problem,
            status=400 if problem else 200,
            asked=asked,
            acts=sorted(Act),
            lines=found.lines,
            older=older,
        )


def _begins_ms(text: str, room: Room) -> int | None:
    """When a day began at the arcade, epoch milliseconds; None where none is asked for.

    Raises:
        BadRequest: It is no day.
    """
    if not text:
        return None
    begins = datetime.combine(a_day(text, room.day), time(), room.zone)
    return int(begins.timestamp() * 1000)
