"""`GET /openapi.json`: every door, for developers. A test fails if a route is missing in it."""

from typing import Any, get_args

from flask import Blueprint, Response, jsonify

from arcade_cloud.services.sales import MAX_QUANTITY
from arcade_cloud.web.api import API_KEY_HEADER
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.ingest import MAX_MESSAGES, SECRET_HEADER
from arcade_cloud.web.kiosk_view import KioskState
from arcade_cloud.web.player_view import Phase
from arcade_cloud.web.webhook import SIGNATURE_HEADER
from arcade_shared.ids import MACHINE_ID_PATTERN

Schema = dict[str, Any]

_ERRORS = {
    400: "The signature or the body can't be accepted",
    401: "The key is missing or wrong",
    403: "This door is closed in this installation",
    404: "Not known here",
    409: "The machine can't take credits now; nobody can pay",
    413: "The body is too long",
    422: "Bad input; the message says what to do",
    429: "Too many requests from this address; see Retry-After",
    502: "The payment provider refuses: the set-up is wrong",
    503: "Try again later; see Retry-After",
}


def routes(dependencies: Dependencies) -> Blueprint:
    """`GET /openapi.json`."""
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        """This description."""
        return jsonify(document(dependencies.settings.site_name, dependencies.settings.public_base_url))

    return blueprint


def document(site_name: str, base_url: str) -> Schema:
    """The description, in OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{site_name}: the doors of the cloud",
            "version": "1.0.0",
            "description": "Errors have one shape, whatever went wrong. Unknown keys of a body are ignored. Pages "
            "for people answer in HTML, with their errors too.",
        },
        "servers": [{"url": base_url}],
        "paths": {**_for_software(), **_for_brokers_and_stripe(), **_for_players(), **_for_developers()},
        "components": {"schemas": _schemas(), "securitySchemes": _keys()},
    }


# --- the doors -------------------------------------------------------------------------------------------


def _for_software() -> Schema:
    return {
        "/status": {"get": _door("Whether the API is running", _json("Status"))},
        "/create-payment-link": {
            "post": _door(
                "A checkout for one machine",
                _json("PaymentLink", "The address to show to the player, and the order's id"),
                body="PaymentLinkRequest",
                errors=(404, 409, 413, 422, 429, 502, 503),
            )
        },
        "/gameover": {
            "post": _door(
                "Tell everybody that the game on a machine is over",
                _json("Message", "The broker has confirmed it"),
                body="GameOverRequest",
                errors=(401, 404, 413, 422, 429, 503),
                security=[{}, {"gameoverKey": []}, {"gameoverBearer": []}],
            )
        },
    }


def _for_brokers_and_stripe() -> Schema:
    def stripe(summary: str) -> Schema:
        signature = {"in": "header", "name": SIGNATURE_HEADER, "required": True, "schema": {"type": "string"}}
        door = _door(summary, _json("Received"), errors=(400, 413, 502, 503))
        body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
        return {**door, "parameters": [signature], "requestBody": body}

    return {
        "/webhook": {"post": stripe("An event of Stripe, signed; 200 once it is committed or is none of ours")},
        "/addCredit": {"post": stripe("The same as /webhook, under its older name")},
        "/ingest": {
            "post": _door(
                "What machines say, from the broker's rule engine; each message is accepted or refused by itself",
                _json("Ingested"),
                body="IngestRequest",
                errors=(401, 403, 413, 422, 503),
                security=[{"ingestSecret": []}, {"ingestBearer": []}],
            )
        },
    }


def _for_players() -> Schema:
    machine, order = _in_path("machine_id", MACHINE_ID_PATTERN), _in_path("order_id", "[A-Za-z0-9_-]{1,100}")
    form = {
        "type": "object",
        "properties": {
            "offer_id": {"type": "string", "description": "The first offer where it is missing"},
            "quantity": {"type": "integer", "minimum": 1, "maximum": MAX_QUANTITY, "default": 1},
        },
    }
    location = {"Location": {"schema": {"type": "string", "format": "uri"}}}
    to_stripe = {"303": {"description": "To the checkout", "headers": location}}
    checkout = _door("Begin to pay", to_stripe, page_errors=(404, 409, 413, 422, 429, 502, 503))
    checkout["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": form}}}
    back = {"303": {"description": "Back to the machine's page"}}
    return {
        "/m/{machine_id}": {
            "parameters": [machine],
            "get": _page("What a machine sells, and whether it can be paid now", "MachineState", (404, 502, 503)),
        },
        "/m/{machine_id}/checkout": {
            "parameters": [machine],
            "get": _door("For browsers that come back without the form", back),
            "post": checkout,
        },
        "/m/{machine_id}/o/{order_id}": {
            "parameters": [machine, order],
            "get": _page("Where an order stands, in the player's words", "OrderState", (404, 503)),
        },
        "/kiosk/{machine_id}": {
            "parameters": [machine],
            "get": _page("The screen on a cabinet: the code to scan, live", "KioskState", (404, 502, 503)),
        },
    }


def _for_developers() -> Schema:
    schema = {"type": "object", "required": ["openapi", "paths"]}
    answer = {"200": {"description": "OpenAPI 3.1", "content": {"application/json": {"schema": schema}}}}
    return {"/openapi.json": {"get": _door("This description", answer)}}


# --- building blocks -------------------------------------------------------------------------------------


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str, description: str = "Done") -> Schema:
    return {"200": {"description": description, "content": _content(name)}}


def _page(summary: str, state: str, errors: tuple[int, ...]) -> Schema:
    """A page, which answers as JSON with `?format=json`; its errors then too."""
    text = {"text/html": {"schema": {"type": "string"}}}
    answers = {"200": {"description": "The page, or its state", "content": {**text, **_content(state)}}}
    wanted = {"in": "query", "name": "format", "schema": {"enum": ["json"]}}
    for status in errors:
        answers[str(status)] = {"description": _ERRORS[status], "content": {**text, **_content("Error")}}
    return {**_door(summary, answers), "parameters": [wanted]}


def _content(name: str) -> Schema:
    return {"application/json": {"schema": _ref(name)}}


def _in_path(name: str, pattern: str) -> Schema:
    return {"in": "path", "name": name, "required": True, "schema": {"type": "string", "pattern": f"^{pattern}$"}}


def _door(
    summary: str,
    answers: Schema,
    *,
    body: str | None = None,
    errors: tuple[int, ...] = (),
    page_errors: tuple[int, ...] = (),
    security: list[Schema] | None = None,
) -> Schema:
    """One operation. Every door may also meet a defect: 500, in the shape of all errors."""
    responses = dict(answers)
    for status in errors:
        responses[str(status)] = {"description": _ERRORS[status], "content": _content("Error")}
    for status in page_errors:
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": {"text/html": {"schema": {"type": "string"}}},
        }
    door: Schema = {"summary": summary, "responses": responses}
    if body is not None:
        door["requestBody"] = {"required": True, "content": _content(body)}
    if security is not None:
        door["security"] = security
    return door


def _keys() -> Schema:
    return {
        "gameoverKey": {"type": "apiKey", "in": "header", "name": API_KEY_HEADER},
        "gameoverBearer": {"type": "http", "scheme": "bearer", "description": "GAMEOVER_API_KEY"},
        "ingestSecret": {"type": "apiKey", "in": "header", "name": SECRET_HEADER},
        "ingestBearer": {"type": "http", "scheme": "bearer", "description": "INGEST_SECRET"},
    }


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties}


def _schemas() -> Schema:
    text: Schema = {"type": "string"}
    count: Schema = {"type": "integer", "minimum": 0}
    yes_or_no: Schema = {"type": "boolean"}
    machine_id: Schema = {"type": "string", "pattern": f"^{MACHINE_ID_PATTERN}$"}
    message = _object(
        "topic payload",
        topic=text,
        payload={"type": ["object", "string"], "description": "The payload itself, or its text"},
        payload_encoding={"const": "base64", "description": "Where the payload's text is base64"},
    )
    refused = _object("index reason", index=count, reason=text)
    return {
        "Error": _object("error", error=_object("code message", code=text, message=text)),
        "Status": _object("status message", status={"const": "up"}, message={"const": "API is running"}),
        "Message": _object("message", message=text),
        "Received": _object("received", received={"const": True}),
        "PaymentLinkRequest": _object(
            "machine_id",
            machine_id=machine_id,
            price_id={"type": ["string", "null"], "description": "The price of one of the machine's offers"},
            quantity={"type": ["integer", "null"], "minimum": 1, "maximum": MAX_QUANTITY, "default": 1},
        ),
        "PaymentLink": _object("url orderId", url={"type": "string", "format": "uri"}, orderId=text),
        "GameOverRequest": _object("machine_id", machine_id=machine_id),
        "IngestMessage": message,
        "IngestRequest": {
            "oneOf": [
                _ref("IngestMessage"),
                {"type": "array", "maxItems": MAX_MESSAGES, "items": _ref("IngestMessage")},
            ]
        },
        "Ingested": _object("accepted refused", accepted=count, refused={"type": "array", "items": refused}),
        "MachineState": _object(
            "machineId ready word maxCredits",
            machineId=machine_id,
            ready=yes_or_no,
            word={"type": "string", "description": "For people: why it is not ready"},
            maxCredits={"type": "integer", "minimum": 0, "description": "The most that it takes at once"},
        ),
        "KioskState": _object(
            "machineId state title detail page",
            machineId=machine_id,
            state={"enum": list(get_args(KioskState)), "description": "Only `ready` shows a code"},
            title=text,
            detail=text,
            page={"type": "string", "description": "Changes when the page is to be loaded anew"},
        ),
        "OrderState": _object(
            "phase title detail money delivered credits final ask code",
            phase={"enum": list(get_args(Phase))},
            title=text,
            detail=text,
            money=text,
            delivered={"type": "integer", "minimum": 0, "description": "Credits that the machine has reported"},
            credits={"type": "integer", "minimum": 1},
            final={"type": "boolean", "description": "Nothing more happens by itself"},
            ask={"type": "boolean", "description": "The player may want to turn to the operator"},
            code={"type": "string", "description": "What the player reads to the operator"},
        ),
    }
