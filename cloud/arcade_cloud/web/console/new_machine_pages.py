"""The console's pages for a machine's begin and end: added, configured, retired."""

from typing import Any, Literal

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.config.agent_config import agent_config
from arcade_cloud.config.settings import Settings
from arcade_cloud.domain.machines import Machine, MachineChange
from arcade_cloud.domain.offers import offer_text, read_offers
from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest
from arcade_cloud.web.console.machine_pages import TEXTS, machine_page
from arcade_cloud.web.console.room import Room, file_of, text_of
from arcade_cloud.web.error_responses import status_of
from arcade_cloud.web.guards import known_machine
from arcade_shared.errors import BadMessage

KINDS: tuple[Literal["agent", "subscriber"], ...] = ("agent", "subscriber")


def add_to(blueprint: Blueprint, room: Room, settings: Settings) -> None:
    """Add `/console/new-machine`, and a machine's config and retirement."""
    needs, acts, actor = room.guard.needs, room.desk.acts, room.guard.actor
    sales = acts.operations.sales

    @blueprint.get("/new-machine")
    @needs(Act.MACHINE_ADD)
    def machine_new() -> Response:
        """The form for a new machine, empty or like another."""
        try:
            return _new(room, _like(room, text_of(request.args, "like", 64)))
        except (BadRequest, BadMessage) as error:
            return _new(room, None, str(error), status_of(error))

    @blueprint.post("/new-machine")
    @needs(Act.MACHINE_ADD)
    def machine_add() -> AnyResponse:
        """Register it."""
        machine_id, like = text_of(request.form, "machine_id", 100), None
        try:
            like = _like(room, text_of(request.form, "like", 64))
            change = _change(like)
            if like is None:
                machine = acts.machine_add(actor(), machine_id, change)
            else:
                machine = acts.machine_copy(actor(), like.machine_id, machine_id, change)
        except (BadRequest, BadMessage) as error:
            return _new(room, like, str(error), status_of(error))
        return _back(machine, "registered")

    @blueprint.post("/machines/<machine_id>/retire")
    @needs(Act.MACHINE_RETIRE)
    def machine_retire(machine_id: str) -> AnyResponse:
        """Take it out of service for good."""
        known = known_machine(sales, machine_id)
        try:
            _check_sure()
            reason = text_of(request.form, "retire_reason")
            list(acts.machines_close(actor(), [known.machine_id], reason=reason, for_good=True))
        except BadRequest as error:
            return machine_page(room, known, str(error), status_of(error))
        return _back(known, "retired")

    @blueprint.post("/machines/<machine_id>/config")
    @needs(Act.MACHINE_CONFIG)
    def machine_config(machine_id: str) -> AnyResponse:
        """Its agent's config, which has its signing key: only in answer to a form, never by a link."""
        known = known_machine(sales, machine_id)
        try:
            acts.machine_config(actor(), known.machine_id)
        except BadRequest as error:
            return machine_page(room, known, str(error), status_of(error))
        config = agent_config(settings, known.machine_id)
        if text_of(request.form, "as") == "file":
            return file_of(config.encode(), "edge.toml", "application/toml")
        answer = room.render("config.html", "Machines", machine=known, config=config)
        answer.headers["Cache-Control"] = "no-store"
        return answer


def _back(machine: Machine, done: str) -> AnyResponse:
    return redirect(url_for("console.machine", machine_id=machine.machine_id, done=done), 303)


def _check_sure() -> None:
    if text_of(request.form, "sure") != "yes":
        raise BadRequest("say that you are sure: nobody can pay for a retired machine")


def _like(room: Room, machine_id: str) -> Machine | None:
    return room.desk.acts.operations.machine(machine_id) if machine_id else None


def _change(like: Machine | None) -> MachineChange:
    """What the form names. The other machine's own offers are copied: that needs nobody who sets prices."""
    named: dict[str, Any] = {name: text_of(request.form, name) for name in TEXTS if name in request.form}
    kind = text_of(request.form, "kind")
    if kind:
        named["kind"] = _kind(kind)
    offers = text_of(request.form, "offers")
    if "offers" in request.form and offers != _offers_text(like):
        named["offers"] = read_offers(offers)
    return MachineChange(**named)


def _kind(text: str) -> Literal["agent", "subscriber"]:
    for kind in KINDS:
        if kind == text:
            return kind
    raise BadRequest(f"the kind is agent or subscriber, not {text[:40]!r}")


def _offers_text(machine: Machine | None) -> str:
    return "" if machine is None else " ".join(map(offer_text, machine.offers))


def _new(room: Room, like: Machine | None, problem: str = "", status: int = 200) -> Response:
    form = request.form
    begin = {"name": ""} if like is None else {name: getattr(like, name) for name in TEXTS if name != "name"}
    values = {name: text_of(form, name) if name in form else begin.get(name, "") for name in TEXTS}
    return room.render(
        "new_machine.html",
        "Machines",
        problem=problem,
        status=status,
        like=like,
        asked_like=text_of(request.values, "like", 64),
        machine_id=text_of(form, "machine_id", 100),
        kind=text_of(form, "kind") or (KINDS[0] if like is None else like.kind),
        kinds=KINDS,
        texts=values,
        offers=text_of(form, "offers") if "offers" in form else _offers_text(like),
    )
