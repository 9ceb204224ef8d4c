"""The console's audit log: who did what, when, and how it ended."""

from flask import Blueprint, Response, request, url_for

from arcade_cloud.domain.audit import Mark
from arcade_cloud.domain.people import Act
from arcade_cloud.web.console.room import Room, text_of, whole

LINES_A_PAGE = 50


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/audit`."""

    @blueprint.get("/audit")
    @room.guard.needs(Act.SEE_AUDIT)
    def audit() -> Response:
        """A page of the log, newest first."""
        asked = {name: text_of(request.args, name, 128) for name in ("who", "on")}
        at_ms = whole(text_of(request.args, "before"), 0, 0, 10**15)
        before = Mark(at_ms, text_of(request.args, "entry", 64)) if at_ms else None
        lines = room.desk.log.read(LINES_A_PAGE, before=before, who=asked["who"] or None, on=asked["on"] or None)
        older = None
        if len(lines) == LINES_A_PAGE:
            mark = lines[-1].mark
            named = {name: text or None for name, text in asked.items()}
            older = url_for("console.audit", **named, before=mark.at_ms, entry=mark.entry_id)  # type: ignore[arg-type]
        return room.render("audit.html", "Audit", asked=asked, lines=lines, older=older)
