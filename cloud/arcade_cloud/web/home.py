"""The start page: which arcade this is, and how to play. Software gets the answer that it always got."""

from flask import Blueprint, Response, make_response, render_template

from arcade_cloud.domain.machines import Machine
from arcade_cloud.errors import NotFound
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.error_responses import NOTHING_HERE, WHAT_THERE_IS, asks_for_page

# Nobody looks for a machine in a longer list.
MACHINES_AT_MOST = 200


def routes(dependencies: Dependencies) -> Blueprint:
    """`/`."""
    blueprint = Blueprint("home", __name__)
    store, settings = dependencies.fulfilment.store, dependencies.settings

    @blueprint.get("/")
    def home() -> Response:
        """The arcade's name, how to play, and its machines if the operator wants to show them."""
        if not asks_for_page():
            raise NotFound(f"{NOTHING_HERE} {WHAT_THERE_IS}")
        machines = store.machines() if settings.site_machines else []
        return make_response(render_template("home.html", machines=_shown(machines, dependencies)))

    return blueprint


def _shown(machines: list[Machine], dependencies: Dependencies) -> list[Machine]:
    now_ms = dependencies.fulfilment.now_ms()
    standing = [machine for machine in machines if machine.closed(now_ms) is None]
    standing.sort(key=lambda machine: (machine.location, machine.name or machine.machine_id))
    return standing[:MACHINES_AT_MOST]
