"""The console's payments that nobody can prove to be ours: a person decides about each."""

from collections.abc import Callable

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.order import Order
from arcade_cloud.domain.people import Act
from arcade_cloud.errors import BadRequest, NotReady
from arcade_cloud.web.console.room import Room, number_of, text_of
from arcade_cloud.web.error_responses import status_of
from arcade_cloud.web.guards import known_machine

PAYMENTS_SHOWN = 100


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/payments` and the forms on it."""
    needs, acts = room.guard.needs, room.desk.acts

    @blueprint.get("/payments")
    @needs(Act.SEE)
    def payments() -> Response:
        """Those that wait for a decision."""
        return _payments(room)

    @blueprint.post("/payments/<payment_intent>/return")
    @needs(Act.CLAIM)
    def payment_return(payment_intent: str) -> AnyResponse:
        """Give it back."""
        return _decide(room, lambda: acts.give_back(room.guard.actor(), payment_intent))

    @blueprint.post("/payments/<payment_intent>/deliver")
    @needs(Act.CLAIM)
    def payment_deliver(payment_intent: str) -> AnyResponse:
        """Have a machine pulse credits for it."""

        def deliver() -> Order:
            machine = known_machine(acts.operations.sales, text_of(request.form, "machine", 64))
            credits = number_of(text_of(request.form, "credits", 3))
            return acts.deliver(room.guard.actor(), payment_intent, machine.machine_id, credits)

        return _decide(room, deliver)

    @blueprint.post("/payments/<payment_intent>/dismiss")
    @needs(Act.CLAIM)
    def payment_dismiss(payment_intent: str) -> AnyResponse:
        """Leave it alone: it is somebody else's."""
        return _decide(room, lambda: acts.dismiss(room.guard.actor(), payment_intent))


def _decide(room: Room, decide: Callable[[], Order | None]) -> AnyResponse:
    """Do it, if the form says that somebody is sure."""
    try:
        _check_sure()
        order = decide()
    except (BadRequest, NotReady) as error:
        return _payments(room, str(error), status_of(error))
    if order is None:
        return redirect(url_for("console.payments", done="dismissed"), 303)
    return redirect(url_for("console.order", order_id=order.order_id, done="decided"), 303)


def _check_sure() -> None:
    if request.form.get("sure") != "yes":
        raise BadRequest("say that you are sure: money moves at once, and cannot be called back")


def _payments(room: Room, problem: str = "", status: int = 200) -> Response:
    return room.render(
        "payments.html",
        "Today",
        problem=problem,
        status=status,
        payments=room.desk.acts.claims.waiting(PAYMENTS_SHOWN),
        stripe_page=room.stripe_page,
        machine_ids=room.machine_ids(),
    )
