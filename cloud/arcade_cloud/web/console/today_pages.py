"""The console's first page, and the alerts."""

from datetime import timedelta

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.alerts import grouped
from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest
from arcade_cloud.services.overview import ALERTS_SHOWN, SLOW_SHOWN
from arcade_cloud.web.console.claim_pages import CLAIMS_SHOWN
from arcade_cloud.web.console.payment_pages import PAYMENTS_SHOWN
from arcade_cloud.web.console.room import Room, text_of
from arcade_cloud.web.error_responses import status_of

# On the first page; each list has a page of its own.
ALERTS_ON_TOP = 5
MACHINES_ON_TOP = 20


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console` and `/console/alerts`."""
    needs = room.guard.needs

    @blueprint.get("/")
    @needs(Act.SEE)
    def today() -> Response:
        """What needs a person, the takings so far, and the machines, the worst first."""
        view = room.desk.overview.today()
        payments = len(room.desk.acts.claims.waiting(PAYMENTS_SHOWN))
        claims = len(room.desk.acts.player_claims.listed(CLAIMS_SHOWN))
        return room.render(
            "today.html",
            "Today",
            view=view,
            payments=payments,
            claims=claims,
            needs=view.alerts or view.slow or payments or claims or view.counts.get("dead"),
            groups=grouped(view.alerts),
            shown=ALERTS_ON_TOP,
            more_alerts=len(view.alerts) == ALERTS_SHOWN,
            more_slow=len(view.slow) == SLOW_SHOWN,
            machines=room.desk.overview.with_takings(view.machines[:MACHINES_ON_TOP]),
            machine_ids=frozenset(seen.machine.machine_id for seen in view.machines),
            week_ago=view.day - timedelta(days=7),
        )

    @blueprint.get("/alerts")
    @needs(Act.SEE)
    def alerts() -> Response:
        """The alerts that stand."""
        return _alerts(room)

    @blueprint.post("/alerts")
    @needs(Act.ACKNOWLEDGE)
    def acknowledge() -> AnyResponse:
        """Acknowledge one."""
        try:
            room.desk.acts.acknowledge(room.guard.actor(), text_of(request.form, "alert"))
        except BadRequest as error:
            return _alerts(room, str(error), status_of(error))
        where, _, machine_id = text_of(request.form, "back").partition("/")
        if where == "machine" and machine_id in room.machine_ids():
            return redirect(url_for("console.machine", machine_id=machine_id, done="acknowledged"), 303)
        endpoint = "console.today" if where == "today" else "console.alerts"
        return redirect(url_for(endpoint, done="acknowledged"), 303)


def _alerts(room: Room, problem: str = "", status: int = 200) -> Response:
    found = room.fulfilment.store.standing_alerts(ALERTS_SHOWN)
    return room.render(
        "alerts.html",
        "Alerts",
        problem=problem,
        status=status,
        alerts=found,
        more=len(found) == ALERTS_SHOWN,
        machine_ids=room.machine_ids(),
    )
