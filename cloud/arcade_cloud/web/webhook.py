"""The route for Stripe: a signed event is committed before the response is sent."""

from flask import Blueprint, Response, jsonify, request

from arcade_cloud.errors import BadWebhook
from arcade_cloud.ports.payments import MAX_EVENT_BYTES
from arcade_cloud.web.dependencies import Dependencies

SIGNATURE_HEADER = "Stripe-Signature"


def routes(dependencies: Dependencies) -> Blueprint:
    """`POST /webhook`, and the same as `POST /addCredit`. Neither is ever rate-limited."""
    blueprint = Blueprint("webhook", __name__)

    @blueprint.post("/webhook")
    @blueprint.post("/addCredit")
    def webhook() -> Response:
        """200 once the event is committed or is not ours. Stripe sends again what could not be stored."""
        request.max_content_length = MAX_EVENT_BYTES
        signature = request.headers.get(SIGNATURE_HEADER, "")
        try:
            report = dependencies.read_event(request.get_data(), signature)
        except BadWebhook as error:
            dependencies.webhooks.refused(signature, str(error))
            raise
        dependencies.intake.take_in(report)
        dependencies.webhooks.accepted()
        return jsonify(received=True)

    return blueprint
