"""The console's people: who may sign in, as what, and what to do after a forgotten password or a lost phone."""

from flask import Blueprint, Response, redirect, request, url_for
from msgspec import UNSET
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.people import Act, Person, Role, checked_role
from arcade_cloud.errors import BadRequest, NotFound
from arcade_cloud.web.console.room import Room, text_of
from arcade_cloud.web.error_responses import status_of

LINES_SHOWN = 20


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/people` and the paths below it."""
    needs, accounts = room.guard.needs, room.desk.accounts

    @blueprint.get("/people")
    @needs(Act.PEOPLE)
    def people() -> Response:
        """Who may sign in, and a form for one more."""
        return _people(room)

    @blueprint.post("/people")
    @needs(Act.PEOPLE)
    def person_add() -> AnyResponse:
        """Add somebody."""
        try:
            added = accounts.add(
                room.guard.actor(),
                text_of(request.form, "name"),
                checked_role(text_of(request.form, "role")),
                request.form.get("password", "")[:1000],
                full_name=text_of(request.form, "full_name"),
            )
        except BadRequest as error:
            return _people(room, str(error), status_of(error))
        return redirect(url_for("console.person", name=added.name, done="added"), 303)

    @blueprint.get("/people/<name>")
    @needs(Act.PEOPLE)
    def person(name: str) -> Response:
        """One person, and what they did last."""
        return _person(room, _known(room, name))

    @blueprint.post("/people/<name>")
    @needs(Act.PEOPLE)
    def person_set(name: str) -> AnyResponse:
        """Change the role or the full name, or let them sign in no more."""
        known = _known(room, name)
        try:
            state = text_of(request.form, "state")
            before, after = accounts.change(
                room.guard.actor(),
                known.name,
                role=checked_role(text_of(request.form, "role")) if "role" in request.form else UNSET,
                full_name=text_of(request.form, "full_name") if "full_name" in request.form else UNSET,
                disabled=state == "disabled" if state in {"disabled", "enabled"} else UNSET,
            )
        except BadRequest as error:
            return _person(room, known, str(error), status_of(error))
        return redirect(url_for("console.person", name=name, done="same" if before == after else "set"), 303)

    @blueprint.post("/people/<name>/password")
    @needs(Act.PEOPLE)
    def person_password(name: str) -> AnyResponse:
        """Give somebody a new password."""
        known = _known(room, name)
        try:
            accounts.set_password(room.guard.actor(), known.name, request.form.get("password", "")[:1000])
        except BadRequest as error:
            return _person(room, known, str(error), status_of(error))
        return redirect(url_for("console.person", name=name, done="set"), 303)

    @blueprint.post("/people/<name>/no-phone")
    @needs(Act.PEOPLE)
    def person_no_phone(name: str) -> AnyResponse:
        """Take the second factor away, as after a lost phone."""
        accounts.set_second_factor(room.guard.actor(), _known(room, name).name, "")
        return redirect(url_for("console.person", name=name, done="set"), 303)


def _known(room: Room, name: str) -> Person:
    found = room.desk.people.person(name)
    if found is None:
        raise NotFound("There is no such person.")
    return found


def _people(room: Room, problem: str = "", status: int = 200) -> Response:
    form = {name: text_of(request.form, name, 100) for name in ("name", "full_name", "role")}
    return room.render(
        "people.html",
        "People",
        problem=problem,
        status=status,
        people=room.desk.people.people(),
        roles=list(Role),
        form=form,
    )


def _person(room: Room, person: Person, problem: str = "", status: int = 200) -> Response:
    return room.render(
        "person.html",
        "People",
        problem=problem,
        status=status,
        person=person,
        roles=list(Role),
        lines=room.desk.log.read(LINES_SHOWN, on=f"person {person.name}"),
    )
