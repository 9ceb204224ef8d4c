"""The door for Stripe: a signed event is taken in and committed before it is answered."""

from flask import Blueprint, Response, jsonify, request

from arcade_cloud.web.services import Services
from arcade_cloud.webhook import MAX_BODY_BYTES, interpret, verify

SIGNATURE_HEADER = "Stripe-Signature"


def doors(services: Services) -> Blueprint:
    """`POST /webhook`, and the same as `POST /addCredit`. Neither is ever rate-limited."""
    blueprint = Blueprint("webhook", __name__)
    sales, settings, now_ms = services.sales, services.settings, services.fulfilment.now_ms

    @blueprint.post("/webhook")
    @blueprint.post("/addCredit")
    def webhook() -> Response:
        """200 once the event is committed, or is none of ours; whatever could not be stored Stripe sends again."""
        request.max_content_length = MAX_BODY_BYTES
        signature = request.headers.get(SIGNATURE_HEADER, "")
        event = verify(request.get_data(), signature, settings.stripe_webhook_secrets, now_ms() // 1000)
        sales.stripe_reported(interpret(event))
        return jsonify(received=True)

    return blueprint
