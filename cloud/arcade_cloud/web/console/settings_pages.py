"""The console's settings: what this process runs with, no secret among it, and what trying it all has shown."""

import time

from flask import Blueprint, Response

from arcade_cloud.config.settings import Settings, warnings
from arcade_cloud.config.variables import SECTIONS, Variable
from arcade_cloud.domain.people import Act
from arcade_cloud.errors import NotReady
from arcade_cloud.services.self_check import Verdict
from arcade_cloud.web.console.room import Room
from arcade_cloud.web.error_responses import status_of

# So long a page waits before it leaves the rest untried; one part may be under way then.
WAIT_S = 15.0
# Of machines whose offers are right there may be thousands.
FINE_SHOWN = 20


def add_to(blueprint: Blueprint, room: Room, settings: Settings) -> None:
    """Add `/console/settings` and its button."""
    needs = room.guard.needs

    @blueprint.get("/settings", endpoint="settings")
    @needs(Act.SEE_SETTINGS)
    def settings_page() -> Response:
        """Every setting. Nothing is tried, so it costs nothing."""
        return _page(room, settings)

    @blueprint.post("/settings/check")
    @needs(Act.SEE_SETTINGS)
    def settings_check() -> Response:
        """Try everything, as `arcade-cloud check` does."""
        until_s = time.monotonic() + WAIT_S
        try:
            verdicts = room.desk.self_check.run(lambda: time.monotonic() >= until_s)
        except NotReady as error:
            return _page(room, settings, str(error), status_of(error))
        return _page(room, settings, verdicts=verdicts)


def _page(
    room: Room, settings: Settings, problem: str = "", status: int = 200, verdicts: list[Verdict] | None = None
) -> Response:
    tried = verdicts or []
    fine = [verdict for verdict in tried if verdict.wrong is None]
    return room.render(
        "settings.html",
        "Settings",
        problem=problem,
        status=status,
        sections={title: [_row(one, settings) for one in variables] for title, variables in SECTIONS.items()},
        warnings=warnings(settings),
        has_tried=verdicts is not None,
        wrong=[verdict for verdict in tried if verdict.wrong is not None],
        fine=fine[:FINE_SHOWN],
        more_fine=max(0, len(fine) - FINE_SHOWN),
    )


def _row(variable: Variable, settings: Settings) -> dict[str, object]:
    is_given = variable.name in settings.given
    if variable.secret:
        value = "set" if is_given else "not set"
    elif is_given:
        value = settings.given[variable.name]
    else:
        value = variable.default_text or "not set"
    is_default = not is_given and bool(variable.default_text)
    return {"name": variable.name, "meaning": variable.meaning, "value": value, "is_default": is_default}
