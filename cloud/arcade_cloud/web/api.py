"""The JSON routes for kiosk and game software: status, payment links, game over."""

from flask import Blueprint, Response, jsonify, request

from arcade_cloud.domain.events import Outcome
from arcade_cloud.errors import InvariantBroken, NotConfirmed
from arcade_cloud.services.sales import MAX_QUANTITY
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.guards import (
    check_key,
    json_object,
    optional_text,
    required_text,
    whole_number,
)
from arcade_cloud.web.visitors import Visitors

API_KEY_HEADER = "X-Api-Key"


def routes(dependencies: Dependencies, visitors: Visitors) -> Blueprint:
    """`GET /status`, `POST /create-payment-link`, `POST /gameover`."""
    blueprint = Blueprint("api", __name__)
    sales, settings = dependencies.sales, dependencies.settings

    @blueprint.get("/status")
    def status() -> Response:
        """Whether this process is up. Checks nothing else."""
        return jsonify(status="up", message="API is running")

    @blueprint.post("/create-payment-link")
    def create_payment_link() -> Response:
        """Create a checkout for one machine, to be shown to its player."""
        visitors.check_software_order(request)
        fields = json_object(request)
        order = sales.begin_checkout(
            required_text(fields, "machine_id"),
            price_id=optional_text(fields, "price_id"),
            quantity=whole_number(fields, "quantity", default=1, most=MAX_QUANTITY),
        )
        if order.checkout_url is None:
            raise InvariantBroken(f"order {order.order_id}: begun without a checkout")
        return jsonify(url=order.checkout_url, orderId=order.order_id)

    @blueprint.post("/gameover")
    def gameover() -> Response:
        """Publish a game over. It counts as sent once the broker confirms it, even if nobody is subscribed."""
        if settings.gameover_api_key is None:
            visitors.check_call(request, "gameover")
        else:
            check_key(request, settings.gameover_api_key, API_KEY_HEADER)
        outcome = dependencies.operations.send_game_over(required_text(json_object(request), "machine_id"))
        if outcome not in {Outcome.CONFIRMED, Outcome.NOBODY}:
            raise NotConfirmed("The broker has not confirmed the game over. It may still arrive. Try again.")
        return jsonify(message="Game over signal sent")

    return blueprint
