"""The console's list of what players say did not arrive: the claims that wait for a person."""

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest
from arcade_cloud.web.console.room import Room, text_of
from arcade_cloud.web.error_responses import status_of

CLAIMS_SHOWN = 100


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/claims` and the form to decline one; granting is a refund."""
    needs, acts = room.guard.needs, room.desk.acts

    @blueprint.get("/claims")
    @needs(Act.SEE)
    def claims() -> Response:
        """Those that wait, or all of the last 30 days."""
        return _claims(room)

    @blueprint.post("/claims/<order_id>/decline")
    @needs(Act.PLAYER_CLAIM)
    def claim_decline(order_id: str) -> AnyResponse:
        """Decline one, with a reason that the player reads."""
        try:
            acts.decline(room.guard.actor(), order_id[:255], reason=text_of(request.form, "reason"))
        except BadRequest as error:
            return _claims(room, str(error), status_of(error))
        return redirect(url_for("console.claims", done="declined"), 303)


def _claims(room: Room, problem: str = "", status: int = 200) -> Response:
    every = request.args.get("all") == "1"
    found = room.desk.acts.player_claims.listed(CLAIMS_SHOWN, only_waiting=not every)
    return room.render(
        "claims.html", "Today", problem=problem, status=status, claims=found, every=every, asked=request.form
    )
