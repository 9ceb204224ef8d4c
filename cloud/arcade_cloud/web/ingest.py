"""The route for the broker's rule engine: messages from machines, one or many.

Each message is processed on its own. A refused message is refused for good, and the response is still 200: with
any other status the rule engine would only send it again. If nothing can be stored, the response is 503 and the
whole batch may come again: repeating a message changes nothing.
"""

import base64
import binascii
import logging
from typing import Any

import msgspec
from flask import Blueprint, Response, jsonify, request

from arcade_cloud.errors import BadRequest, Closed, StoreUnavailable
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.guards import check_key, json_body
from arcade_shared.errors import BadMessage

logger = logging.getLogger(__name__)

SECRET_HEADER = "X-Ingest-Secret"  # noqa: S105 - the name of a header, no secret  # nosec B105
MAX_MESSAGES = 100
# 100 payloads of 4 KiB, as base64 or with every other character escaped, and their topics.
MAX_INGEST_BYTES = 1024 * 1024
MAX_REASON = 160


def routes(dependencies: Dependencies) -> Blueprint:
    """`POST /ingest`."""
    blueprint = Blueprint("ingest", __name__)

    @blueprint.post("/ingest")
    def ingest() -> Response:
        """Process messages. Responds with how many were accepted, and which were refused and why."""
        secret = dependencies.settings.ingest_secret
        if secret is None:
            raise Closed("This route is closed. Set INGEST_SECRET to open it.")
        check_key(request, secret, SECRET_HEADER)
        request.max_content_length = MAX_INGEST_BYTES
        body = json_body(request)
        messages = body if isinstance(body, list) else [body]
        if len(messages) > MAX_MESSAGES:
            raise BadRequest(
                f"{len(messages)} messages are too many for one request. Send at most {MAX_MESSAGES}."
            )
        return _process(dependencies, messages)

    return blueprint


def _process(dependencies: Dependencies, messages: list[Any]) -> Response:
    accepted = 0
    refused: list[dict[str, Any]] = []
    defect: Exception | None = None
    for index, message in enumerate(messages):
        try:
            topic, payload = _parts(message)
            dependencies.messages.take_in(topic, payload)
        except BadMessage as error:
            refused.append({"index": index, "reason": str(error)[:MAX_REASON]})
        except StoreUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - raised below: one defect must not block the other messages
            logger.warning("message %d of %d could not be processed", index, len(messages))
            defect = error
        else:
            accepted += 1
    if defect is not None:
        raise defect
    if refused:
        first = refused[0]["reason"]
        logger.warning("%d of %d messages refused, the first: %s", len(refused), len(messages), first)
    return jsonify(accepted=accepted, refused=refused)


def _parts(message: object) -> tuple[str, bytes]:
    """Topic and payload.

    Raises:
        BadMessage: The message does not have the right shape. The text says what is wrong.
    """
    if not isinstance(message, dict):
        raise BadMessage('a message is an object: {"topic": "…", "payload": {…}}')
    topic, payload = message.get("topic"), message.get("payload")
    if not isinstance(topic, str):
        raise BadMessage("topic must be a string")
    encoding = message.get("payload_encoding")
    if encoding is not None and encoding != "base64":
        raise BadMessage("payload_encoding, if given, must be base64")
    if isinstance(payload, dict) and encoding is None:
        try:
            return topic, msgspec.json.encode(payload)
        except RecursionError:  # the decoder accepts deeper nesting than the encoder
            raise BadMessage("payload is nested too deeply") from None
    if not isinstance(payload, str):
        raise BadMessage("payload must be an object or a string")
    if encoding is None:
        return topic, payload.encode()
    try:
        return topic, base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise BadMessage("payload is not base64") from None
