"""The JSON routes for other software: status, payment links, game over, takings."""

from datetime import date
from typing import cast, get_args

from flask import Blueprint, Response, jsonify, request

from arcade_cloud.domain import books
from arcade_cloud.domain.api_keys import check_machine
from arcade_cloud.domain.events import Outcome
from arcade_cloud.domain.limits import MAX_QUANTITY
from arcade_cloud.errors import BadRequest, InvariantBroken, NotConfirmed
from arcade_cloud.web.callers import API_KEY_HEADER, key_for, required_key_for
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.guards import (
    check_key,
    json_object,
    optional_text,
    required_text,
    whole_number,
)
from arcade_cloud.web.visitors import Visitors

# Each day is a query or more, and whoever asks waits for all of them.
TAKINGS_DAYS = 92


def routes(dependencies: Dependencies, visitors: Visitors) -> Blueprint:
    """`GET /status`, `POST /create-payment-link`, `POST /gameover`, `GET /takings`."""
    blueprint = Blueprint("api", __name__)
    sales, settings, keys = dependencies.sales, dependencies.settings, dependencies.keys

    @blueprint.get("/status")
    def status() -> Response:
        """Whether this process is up. Checks nothing else."""
        return jsonify(status="up", message="API is running")

    @blueprint.post("/create-payment-link")
    def create_payment_link() -> Response:
        """Create a checkout for one machine, to be shown to its player."""
        key = key_for(request, keys, "checkout")
        if key is None:
            visitors.check_software_order(request)
        else:
            visitors.check_key_order(key.key_id)
        fields = json_object(request)
        machine_id = required_text(fields, "machine_id")
        if key is not None:
            check_machine(key, machine_id)
        order = sales.begin_checkout(
            machine_id,
            price_id=optional_text(fields, "price_id"),
            quantity=whole_number(fields, "quantity", default=1, most=MAX_QUANTITY),
        )
        if order.checkout_url is None:
            raise InvariantBroken(f"order {order.order_id}: begun without a checkout")
        return jsonify(url=order.checkout_url, orderId=order.order_id)

    @blueprint.post("/gameover")
    def gameover() -> Response:
        """Publish a game over. It counts as sent once the broker confirms it, even if nobody is subscribed."""
        key = key_for(request, keys, "gameover")
        if key is None and settings.gameover_api_key is None:
            visitors.check_call(request, "gameover")
        elif key is None and settings.gameover_api_key is not None:
            check_key(request, settings.gameover_api_key, API_KEY_HEADER)
        machine_id = required_text(json_object(request), "machine_id")
        if key is not None:
            check_machine(key, machine_id)
        outcome = dependencies.operations.send_game_over(machine_id)
        if outcome not in {Outcome.CONFIRMED, Outcome.NOBODY}:
            raise NotConfirmed("The broker has not confirmed the game over. It may still arrive. Try again.")
        return jsonify(message="Game over signal sent")

    @blueprint.get("/takings")
    def takings() -> Response:
        """What settled orders have booked, added up, for bookkeeping software."""
        key = required_key_for(request, keys, "takings")
        visitors.check_key_report(key.key_id)
        today = dependencies.takings.today()
        last = _day("to") or today
        first = _day("from") or last.replace(day=1)
        if not 0 <= (last - first).days < TAKINGS_DAYS:
            raise BadRequest(f"from and to must be 1 to {TAKINGS_DAYS} days, the earlier one first")
        by = _by()
        only = books.Only(machines=frozenset(key.machines) or None)
        report = dependencies.takings.report(first, last, by, only)
        return jsonify(
            {
                "from": first.isoformat(),
                "to": last.isoformat(),
                "by": by,
                "rows": [_row(row, by) for row in report.rows()],
                "totals": [_row(row, by) for row in report.totals()],
            }
        )

    return blueprint


def _by() -> books.By:
    """What makes a row, in the query.

    Raises:
        BadRequest: Nothing can be added up by that.
    """
    by = request.args.get("by", "day")
    if by not in get_args(books.By):
        raise BadRequest(f"by must be one of {', '.join(get_args(books.By))}")
    return cast(books.By, by)


def _row(row: books.Row, by: books.By) -> dict[str, object]:
    fields = books.fields(row, by)
    return {"name": fields.pop(by), **fields}


def _day(name: str) -> date | None:
    """A day in the query; None if it is not there.

    Raises:
        BadRequest: It is no day.
    """
    text = request.args.get(name)
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = None
    if day is None or len(text) != len("2026-11-26") or day.year < 2000:
        raise BadRequest(f"{name} must be a day such as 2026-11-26")
    return day
