"""The console's books: what reconciling each day with Stripe's balance has found."""

from datetime import timedelta

from flask import Blueprint, Response, request

from arcade_cloud.domain.people import Act
from arcade_cloud.domain.reconciling import MEANINGS
from arcade_cloud.web.console.room import Room, a_day

DAYS_SHOWN = 31


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/books`."""

    @blueprint.get("/books")
    @room.guard.needs(Act.SEE_TAKINGS)
    def books() -> Response:
        """The last days, newest first; each difference with its cause and what to do."""
        last = a_day(request.args.get("last"), room.day)
        days = [last - timedelta(days=back) for back in range(DAYS_SHOWN)]
        reports = [(day, room.fulfilment.store.day_report(day.isoformat())) for day in days]
        return room.render(
            "books.html",
            "Books",
            reports=[(day, report) for day, report in reports if report is not None],
            meanings=MEANINGS,
            first=days[-1],
            last=last,
            older=days[-1] - timedelta(days=1),
            machine_ids=room.machine_ids(),
        )
