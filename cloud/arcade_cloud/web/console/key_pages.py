"""The console's API keys: made for other software, shown once, revoked."""

import secrets

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.api_keys import SCOPES
from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest, UnknownMachine
from arcade_cloud.web.console.room import Room, check_sure, text_of
from arcade_cloud.web.error_responses import status_of
from arcade_shared.errors import BadMessage

SCOPE_WORDS = {
    "checkout": "begin a checkout for a player",
    "gameover": "signal that a game is over",
    "takings": "read the takings",
}


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/keys` and the forms on it."""
    needs, acts = room.guard.needs, room.desk.acts

    @blueprint.get("/keys")
    @needs(Act.KEYS)
    def keys() -> Response:
        """All keys, never their texts, and a form for one more."""
        return _keys(room)

    @blueprint.post("/keys")
    @needs(Act.KEYS)
    def key_add() -> Response:
        """Make a key. This answer is the only place where its text ever is."""
        scopes = [scope for scope in SCOPES if scope in request.form.getlist("scope")]
        machines = text_of(request.form, "machines", 5_000).replace(",", " ").split()
        try:
            key, text = acts.key_add(
                room.guard.actor(),
                text_of(request.form, "name"),
                scopes,
                machines,
                token=text_of(request.form, "token", 64),
            )
        except (BadRequest, BadMessage, UnknownMachine) as error:
            return _keys(room, str(error), 422)
        return room.render("key.html", "Settings", key=key, text=text)

    @blueprint.post("/keys/<key_id>/revoke")
    @needs(Act.KEYS)
    def key_revoke(key_id: str) -> AnyResponse:
        """Refuse a key from now on."""
        try:
            check_sure()
            acts.key_revoke(room.guard.actor(), key_id)
        except BadRequest as error:
            return _keys(room, str(error), status_of(error))
        return redirect(url_for("console.keys", done="revoked"), 303)


def _keys(room: Room, problem: str = "", status: int = 200) -> Response:
    form = {name: text_of(request.form, name, 5_000) for name in ("name", "machines")}
    return room.render(
        "keys.html",
        "Settings",
        problem=problem,
        status=status,
        keys=sorted(room.desk.acts.keys.store.api_keys(), key=lambda key: key.revoked_at_ms is not None),
        scopes=SCOPE_WORDS,
        chosen=request.form.getlist("scope"),
        form=form,
        token=secrets.token_hex(16),
        machine_ids=room.machine_ids(),
    )
