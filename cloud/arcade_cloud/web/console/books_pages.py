"""The console's books: what reconciling each day with Stripe's balance has found, and what a payout is of."""

import time
from collections.abc import Callable
from datetime import date, timedelta

from flask import Blueprint, Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.people import Act
from arcade_cloud.domain.reconciling import MEANINGS
from arcade_cloud.errors import BadRequest, Conflict, PaymentsError
from arcade_cloud.web.console.room import Room, a_day, text_of, whole
from arcade_cloud.web.error_responses import CONFLICT, status_of

DAYS_SHOWN = 31
# So long a page waits for Stripe before it stops asking for more; one request may be under way then.
WAIT_S = 10.0


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/books` and the paths below it."""
    needs, acts = room.guard.needs, room.desk.acts

    @blueprint.get("/books")
    @needs(Act.SEE_TAKINGS)
    def books() -> Response:
        """The last days, newest first; each difference with its cause and what to do."""
        return _books(room, a_day(request.args.get("last"), room.day))

    @blueprint.post("/books/run")
    @needs(Act.RECONCILE)
    def books_run() -> AnyResponse:
        """Reconcile a day now, as far as a page can wait."""
        day = a_day(request.form.get("day"), room.day)
        try:
            report = acts.reconcile(room.guard.actor(), day, is_enough=_waited())
        except (BadRequest, PaymentsError) as error:
            return _books(room, day, str(error), status_of(error))
        return _to_day(day, "reconciled" if report.phase == "done" else "begun")

    @blueprint.post("/books/accept")
    @needs(Act.ACCEPT)
    def books_accept() -> AnyResponse:
        """Accept what the page before has shown of a day."""
        day = a_day(request.form.get("day"), room.day)
        version = whole(text_of(request.form, "version"), 0, 0, 10**9)
        try:
            reason = text_of(request.form, "reason", 1000)
            acts.accept(room.guard.actor(), day, reason=reason, version=version)
        except (BadRequest, Conflict) as error:
            text = CONFLICT if isinstance(error, Conflict) else str(error)
            return _books(room, day, text, status_of(error))
        return _to_day(day, "accepted")

    @blueprint.get("/books/payout")
    @needs(Act.RECONCILE)
    def payout() -> Response:
        """What a payout is of, day by day; or the last payouts, to choose from."""
        payout_id = text_of(request.args, "id", 255)
        try:
            if not payout_id:
                return room.render("payouts.html", "Books", payouts=acts.daily.payouts())
            parts = acts.daily.parts_of(payout_id, is_enough=_waited())
        except (BadRequest, PaymentsError) as error:
            status = status_of(error)
            return room.render("payouts.html", "Books", problem=str(error), status=status, payouts=())
        days = [(date.fromisoformat(day), sums) for day, sums in parts.by_day.items()]
        return room.render("payout.html", "Books", parts=parts, days=days)


def _waited() -> Callable[[], bool]:
    until_s = time.monotonic() + WAIT_S
    return lambda: time.monotonic() >= until_s


def _to_day(day: date, done: str) -> AnyResponse:
    return redirect(url_for("console.books", last=day, done=done), 303)


def _books(room: Room, last: date, problem: str = "", status: int = 200) -> Response:
    days = [last - timedelta(days=back) for back in range(DAYS_SHOWN)]
    reports = [(day, room.fulfilment.store.day_report(day.isoformat())) for day in days]
    return room.render(
        "books.html",
        "Books",
        problem=problem,
        status=status,
        reports=[(day, report) for day, report in reports if report is not None],
        meanings=MEANINGS,
        first=days[-1],
        last=last,
        older=days[-1] - timedelta(days=1),
        yesterday=room.day - timedelta(days=1),
        machine_ids=room.machine_ids(),
    )
