"""The console's machines: the list, and one machine with what can be done to it."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.alerts import grouped
from arcade_cloud.domain.closure import service_text
from arcade_cloud.domain.machines import Machine, MachineChange
from arcade_cloud.domain.metering import test_text
from arcade_cloud.domain.offers import offer_text, read_offers, warnings, week
from arcade_cloud.domain.order import code_of
from arcade_cloud.domain.people import Act, may
from arcade_cloud.domain.pricing import sentences
from arcade_cloud.domain.uptime import Span
from arcade_cloud.errors import BadRequest, NotReady
from arcade_cloud.services.operations import TESTS_A_DAY
from arcade_cloud.services.overview import DayUp, MachineNow
from arcade_cloud.web.console import words
from arcade_cloud.web.console.room import Room, check_reason, number_of, text_of, whole
from arcade_cloud.web.console.words import Bar
from arcade_cloud.web.error_responses import status_of
from arcade_cloud.web.guards import known_machine

MACHINES_A_PAGE = 50
# Of the orders of one day on which meter and pulses disagree.
DIFFERING_SHOWN = 20
# What an operator writes about a machine.
TEXTS = ("name", "location", "contact", "picture_url")


@dataclass(frozen=True, slots=True)
class Strip:
    """A day as a strip that is 1,000 wide. `words` says the same."""

    day: date
    share: float | None
    words: str
    bars: tuple[Bar, ...]


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/machines` and the paths below it."""
    needs = room.guard.needs
    acts, operations = room.desk.acts, room.desk.acts.operations

    @blueprint.get("/machines")
    @needs(Act.SEE)
    def machines() -> Response:
        """The machines, the worst first."""
        asked, wanted = text_of(request.args, "q", 80), text_of(request.args, "rank")
        every = room.desk.overview.machines()
        found = [seen for seen in every if wanted in {"", seen.rank} and _is_like(seen, asked)]
        pages = max(1, -(-len(found) // MACHINES_A_PAGE))
        page = whole(text_of(request.args, "page"), 1, 1, pages)
        return room.render(
            "machines.html",
            "Machines",
            q=asked,
            wanted=wanted,
            total=len(found),
            pages=pages,
            page=page,
            machines=room.desk.overview.with_takings(found[(page - 1) * MACHINES_A_PAGE : page * MACHINES_A_PAGE]),
        )

    @blueprint.get("/machines/<machine_id>")
    @needs(Act.SEE)
    def machine(machine_id: str) -> Response:
        """One machine."""
        return machine_page(room, known_machine(operations.sales, machine_id))

    @blueprint.post("/machines/<machine_id>/close")
    @needs(Act.MACHINE_SERVICE)
    def machine_close(machine_id: str) -> AnyResponse:
        """Take it out of service."""
        known = known_machine(operations.sales, machine_id)
        reason, until = text_of(request.form, "reason"), text_of(request.form, "until", 40)
        try:
            steps = acts.machines_close(room.guard.actor(), [known.machine_id], reason=reason, until=until or None)
            list(steps)
        except BadRequest as error:
            return machine_page(room, known, str(error).replace("--until", "“Until”"), status_of(error))
        return _back(known, "closed")

    @blueprint.post("/machines/<machine_id>/open")
    @needs(Act.MACHINE_SERVICE)
    def machine_open(machine_id: str) -> AnyResponse:
        """Put it into service."""
        known = known_machine(operations.sales, machine_id)
        list(acts.machines_open(room.guard.actor(), [known.machine_id]))
        return _back(known, "opened")

    @blueprint.post("/machines/<machine_id>/set")
    @needs(Act.MACHINE_SET)
    def machine_set(machine_id: str) -> AnyResponse:
        """Change what players read of it, and where it stands."""
        known = known_machine(operations.sales, machine_id)
        texts: dict[str, Any] = {name: text_of(request.form, name) for name in TEXTS if name in request.form}
        try:
            before, after = acts.machine_set(room.guard.actor(), known.machine_id, MachineChange(**texts))
        except BadRequest as error:
            return machine_page(room, known, str(error), status_of(error))
        return _back(known, "same" if before == after else "set")

    @blueprint.post("/machines/<machine_id>/offers")
    @needs(Act.OFFERS)
    def machine_offers(machine_id: str) -> AnyResponse:
        """Change what it sells."""
        known = known_machine(operations.sales, machine_id)
        try:
            change = MachineChange(offers=read_offers(text_of(request.form, "offers")))
            before, after = acts.machine_set(room.guard.actor(), known.machine_id, change)
        except BadRequest as error:
            return machine_page(room, known, str(error), status_of(error))
        return _back(known, "same" if before == after else "offers")

    @blueprint.post("/machines/<machine_id>/grant")
    @needs(Act.GRANT)
    def machine_grant(machine_id: str) -> AnyResponse:
        """Give free credits; the form's token keeps a repetition from giving them again."""
        known = known_machine(operations.sales, machine_id)
        credits, reason = text_of(request.form, "credits", 3), text_of(request.form, "reason")
        try:
            check_reason(reason)
            order = acts.grant(
                room.guard.actor(),
                known.machine_id,
                number_of(credits),
                reason=reason,
                token=text_of(request.form, "token", 80) or secrets.token_hex(16),
            )
        except (BadRequest, NotReady) as error:
            return machine_page(room, known, str(error), status_of(error))
        return redirect(url_for("console.order", order_id=order.order_id, done="granted"), 303)

    @blueprint.post("/machines/<machine_id>/test")
    @needs(Act.MACHINE_TEST)
    def machine_test(machine_id: str) -> AnyResponse:
        """Give it one free credit, to try it. The form's number keeps a repetition from giving another."""
        known = known_machine(operations.sales, machine_id)
        try:
            number = whole(text_of(request.form, "number", 3), 0, 0, 999)
            acts.machine_test(room.guard.actor(), known.machine_id, number)
        except (BadRequest, NotReady) as error:
            return machine_page(room, known, str(error), status_of(error))
        return redirect(url_for("console.machine", machine_id=known.machine_id, done="tested") + "#test", 303)

    @blueprint.post("/machines/<machine_id>/identify")
    @needs(Act.MACHINE_IDENTIFY)
    def machine_identify(machine_id: str) -> AnyResponse:
        """Have its screen show a sign."""
        known = known_machine(operations.sales, machine_id)
        try:
            acts.machine_identify(room.guard.actor(), known.machine_id)
        except BadRequest as error:
            return machine_page(room, known, f"{error}.", status_of(error))
        return redirect(url_for("console.machine", machine_id=known.machine_id) + "#identify", 303)


def _is_like(seen: MachineNow, asked: str) -> bool:
    machine = seen.machine
    fold = asked.casefold()
    return any(fold in text.casefold() for text in (machine.machine_id, machine.name, machine.location))


def _back(machine: Machine, done: str) -> AnyResponse:
    return redirect(url_for("console.machine", machine_id=machine.machine_id, done=done), 303)


def machine_page(room: Room, machine: Machine, problem: str = "", status: int = 200) -> Response:
    """One machine.

    Args:
        problem: Why what was asked for was not done.
    """
    life = room.desk.overview.machine(machine)
    may_test = may(room.guard.actor().role, Act.MACHINE_TEST)
    tests = room.desk.acts.operations.tests_today(machine.machine_id) if may_test else []
    every = [span for day in life.days for span in day.spans if span.state]
    form = request.form.to_dict() if problem else {}
    if "credits" in form:
        form["grant_reason"] = form.pop("reason", "")
    return room.render(
        "machine.html",
        "Machines",
        problem=problem,
        status=status,
        life=life,
        groups=grouped(life.alerts),
        strips=[_strip(day) for day in life.days],
        changes=list(reversed(_joined(every))),
        tests=[(test, test_text(test, life.counts)) for test in tests],
        tests_a_day=TESTS_A_DAY,
        emblems=room.desk.acts.identify.shown(machine.machine_id),
        differing_shown=DIFFERING_SHOWN,
        code_of=code_of,
        service=service_text(machine.closure, room.now_ms, room.zone).capitalize() + ".",
        warnings=list(warnings(machine.offers)),
        week=week(machine.offers),
        costs=list(sentences(machine.offers, room.card_fees)),
        no_stickers=room.desk.stickers.why_not,
        offers_text=" ".join(map(offer_text, machine.offers)),
        token=secrets.token_hex(16),
        machine_ids=frozenset({machine.machine_id}),
        form=form,
        texts={name: form.get(name, getattr(machine, name)) for name in TEXTS},
    )


def _joined(spans: Sequence[Span]) -> list[Span]:
    """The spans without the breaks at midnight."""
    found: list[Span] = []
    for span in spans:
        last = found[-1] if found else None
        if last is not None and (last.until_ms, last.state, last.reason) == (
            span.from_ms,
            span.state,
            span.reason,
        ):
            found[-1] = last._replace(until_ms=span.until_ms)
        else:
            found.append(span)
    return found


def _strip(day: DayUp) -> Strip:
    begins_ms = day.spans[0].from_ms
    whole_ms = max(day.spans[-1].until_ms - begins_ms, 86_400_000)
    bars = tuple(
        Bar(
            at=round((span.from_ms - begins_ms) * words.STRIP_WIDTH / whole_ms, 2),
            size=round(max(span.length_ms * words.STRIP_WIDTH / whole_ms, 1), 2),
            kind=(span.state or "unknown").replace(" ", "-"),
            title=f"{span.state or 'not known'} for {words.length(span.length_ms)}",
        )
        for span in day.spans
    )
    return Strip(day.day, day.share, "; ".join(bar.title for bar in bars), bars)
