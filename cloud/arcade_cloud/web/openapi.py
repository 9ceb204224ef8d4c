"""`GET /openapi.json`: every route, for developers. A test fails if one is missing."""

from typing import Any, get_args

from flask import Blueprint, Response, jsonify

from arcade_cloud.domain.books import By
from arcade_cloud.services.sales import MAX_QUANTITY
from arcade_cloud.web.api import TAKINGS_DAYS
from arcade_cloud.web.callers import API_KEY_HEADER
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.ingest import MAX_MESSAGES, SECRET_HEADER
from arcade_cloud.web.kiosk_view import KioskState
from arcade_cloud.web.player_view import Phase
from arcade_cloud.web.webhook import SIGNATURE_HEADER
from arcade_shared.ids import MACHINE_ID_PATTERN

Schema = dict[str, Any]

_API_KEY: list[Schema] = [{"apiKey": []}, {"apiKeyBearer": []}]

_ERRORS = {
    400: "The signature or the body is not valid",
    401: "The key is missing, wrong or revoked",
    403: "This route is closed in this installation, the API key may not do this, or a page of another site sent "
    "the request",
    404: "Not found",
    409: "The machine cannot take credits now, so nobody can pay",
    413: "The body is too large",
    422: "Invalid input. The message says what to do",
    429: "Too many requests from this address. See Retry-After",
    502: "The payment provider refused the request: the setup is wrong",
    503: "Try again later. See Retry-After",
}


def routes(dependencies: Dependencies) -> Blueprint:
    """`GET /openapi.json`."""
    blueprint = Blueprint("openapi", __name__)

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        """The description of this API."""
        return jsonify(document(dependencies.settings.site_name, dependencies.settings.public_base_url))

    return blueprint


def document(site_name: str, base_url: str) -> Schema:
    """The description of this API, in OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"{site_name} API",
            "version": "1.0.0",
            "description": "All errors have the same shape. Unknown keys in a body are ignored. Pages for people "
            "are HTML, and so are their errors. Pages are served under the site's own names only (else 421).",
        },
        "servers": [{"url": base_url}],
        "paths": {**_for_software(), **_for_brokers_and_stripe(), **_for_players(), **_for_developers()},
        "components": {"schemas": _schemas(), "securitySchemes": _keys()},
    }


# --- routes ----------------------------------------------------------------------------------------------


def _for_software() -> Schema:
    return {
        "/status": {"get": _operation("Whether the API is running", _json("Status"))},
        "/create-payment-link": {
            "post": _operation(
                "Create a checkout for one machine",
                _json("PaymentLink", "The address to show to the player, and the id of the order"),
                body="PaymentLinkRequest",
                errors=(401, 403, 404, 409, 413, 422, 429, 502, 503),
                security=[{}, *_API_KEY],
            )
        },
        "/gameover": {
            "post": _operation(
                "Announce that the game on a machine is over",
                _json("Message", "The broker has confirmed the message"),
                body="GameOverRequest",
                errors=(401, 403, 404, 413, 422, 429, 503),
                security=[{}, *_API_KEY],
            )
        },
        "/takings": {
            "parameters": _period(),
            "get": _operation(
                "What settled orders have booked, added up. For a key with the scope `takings`",
                _json("Takings"),
                errors=(401, 403, 422, 429, 503),
                security=_API_KEY,
            ),
        },
    }


def _period() -> list[Schema]:
    day = {"type": "string", "format": "date"}
    return [
        {"in": "query", "name": "from", "schema": day, "description": "The first day; without it, of the month"},
        {
            "in": "query",
            "name": "to",
            "schema": day,
            "description": f"The last day, {TAKINGS_DAYS} days later at most",
        },
        {"in": "query", "name": "by", "schema": {"enum": list(get_args(By)), "default": "day"}},
    ]


def _for_brokers_and_stripe() -> Schema:
    def stripe(summary: str) -> Schema:
        signature = {"in": "header", "name": SIGNATURE_HEADER, "required": True, "schema": {"type": "string"}}
        operation = _operation(summary, _json("Received"), errors=(400, 413, 503))
        body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
        return {**operation, "parameters": [signature], "requestBody": body}

    return {
        "/webhook": {"post": stripe("A signed Stripe event. 200 once it is committed or is not ours")},
        "/addCredit": {"post": stripe("The older name of /webhook")},
        "/ingest": {
            "post": _operation(
                "Messages from machines, from the broker's rule engine. Each is accepted or refused on its own",
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
            "offer_id": {"type": "string", "description": "Default: the first offer"},
            "quantity": {"type": "integer", "minimum": 1, "maximum": MAX_QUANTITY, "default": 1},
        },
    }
    location = {"Location": {"schema": {"type": "string", "format": "uri"}}}
    to_stripe = {"303": {"description": "To the checkout", "headers": location}}
    checkout = _operation("Start a checkout", to_stripe, page_errors=(403, 404, 409, 413, 422, 429, 502, 503))
    checkout["requestBody"] = {"content": {"application/x-www-form-urlencoded": {"schema": form}}}
    back = {"303": {"description": "Back to the machine's page"}}
    return {
        "/m/{machine_id}": {
            "parameters": [machine],
            "get": _page(
                "A machine: what it sells, and whether it can be paid now", "MachineState", (404, 502, 503)
            ),
        },
        "/m/{machine_id}/checkout": {
            "parameters": [machine],
            "get": _operation("For browsers that return without the form", back, page_errors=(404, 503)),
            "post": checkout,
        },
        "/m/{machine_id}/o/{order_id}": {
            "parameters": [machine, order],
            "get": _page("The state of an order, in words for the player", "OrderState", (404, 503)),
        },
        "/kiosk/{machine_id}": {
            "parameters": [machine],
            "get": _page("The screen on a cabinet, with the code to scan", "KioskState", (404, 502, 503)),
        },
    }


def _for_developers() -> Schema:
    schema = {"type": "object", "required": ["openapi", "paths"]}
    response = {"200": {"description": "OpenAPI 3.1", "content": {"application/json": {"schema": schema}}}}
    return {"/openapi.json": {"get": _operation("The description of this API", response)}}


# --- building blocks -------------------------------------------------------------------------------------


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str, description: str = "Done") -> Schema:
    return {"200": {"description": description, "content": _content(name)}}


def _page(summary: str, state: str, errors: tuple[int, ...]) -> Schema:
    """A page. With `?format=json` the page and its errors are JSON."""
    text = {"text/html": {"schema": {"type": "string"}}}
    responses = {"200": {"description": "The page, or its state", "content": {**text, **_content(state)}}}
    wanted = {"in": "query", "name": "format", "schema": {"enum": ["json"]}}
    for status in errors:
        responses[str(status)] = {"description": _ERRORS[status], "content": {**text, **_content("Error")}}
    return {**_operation(summary, responses), "parameters": [wanted]}


def _content(name: str) -> Schema:
    return {"application/json": {"schema": _ref(name)}}


def _in_path(name: str, pattern: str) -> Schema:
    return {"in": "path", "name": name, "required": True, "schema": {"type": "string", "pattern": f"^{pattern}$"}}


def _operation(
    summary: str,
    responses: Schema,
    *,
    body: str | None = None,
    errors: tuple[int, ...] = (),
    page_errors: tuple[int, ...] = (),
    security: list[Schema] | None = None,
) -> Schema:
    """One operation of a path."""
    responses = dict(responses)
    for status in errors:
        responses[str(status)] = {"description": _ERRORS[status], "content": _content("Error")}
    for status in page_errors:
        responses[str(status)] = {
            "description": _ERRORS[status],
            "content": {"text/html": {"schema": {"type": "string"}}},
        }
    operation: Schema = {"summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    if security is not None:
        operation["security"] = security
    return operation


def _keys() -> Schema:
    return {
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": API_KEY_HEADER,
            "description": "A key that `arcade-cloud key add` made, with the scope that the route needs. "
            "/gameover takes GAMEOVER_API_KEY too",
        },
        "apiKeyBearer": {"type": "http", "scheme": "bearer", "description": "The same"},
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
        payload={"type": ["object", "string"], "description": "The payload as an object, or as text"},
        payload_encoding={"const": "base64", "description": "Set if the payload is base64"},
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
            price_id={
                "type": ["string", "null"],
                "description": "The Stripe price of one of the machine's offers",
            },
            quantity={"type": ["integer", "null"], "minimum": 1, "maximum": MAX_QUANTITY, "default": 1},
        ),
        "PaymentLink": _object("url orderId", url={"type": "string", "format": "uri"}, orderId=text),
        "Takings": _takings(),
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
            word={"type": "string", "description": "For people: ready, or why not"},
            maxCredits={"type": "integer", "minimum": 0, "description": "The most credits that it takes at once"},
        ),
        "KioskState": _object(
            "machineId state title detail page",
            machineId=machine_id,
            state={"enum": list(get_args(KioskState)), "description": "The code is shown in `ready` only"},
            title=text,
            detail=text,
            page={"type": "string", "description": "When this changes, reload the page"},
        ),
        "OrderState": _object(
            "phase title detail money delivered credits final ask code",
            phase={"enum": list(get_args(Phase))},
            title=text,
            detail=text,
            money=text,
            delivered={"type": "integer", "minimum": 0, "description": "Credits that the machine has reported"},
            credits={"type": "integer", "minimum": 1},
            final={"type": "boolean", "description": "Nothing more happens without a person"},
            ask={"type": "boolean", "description": "The player may want to contact the operator"},
            code={"type": "string", "description": "The code that the player tells the operator"},
        ),
    }


def _takings() -> Schema:
    day: Schema = {"type": "string", "format": "date"}
    amount: Schema = {
        "type": ["string", "null"],
        "description": "In the currency's own units; null for free credits",
    }
    count: Schema = {"type": "integer"}
    row = _object(
        "name currency gross goodwill lost fees feesOpen net credits delivered",
        name={"type": ["string", "null"], "description": "The day, week, month, location, machine or method"},
        currency={"type": ["string", "null"], "description": "ISO 4217; null for free credits"},
        gross=amount,
        goodwill=amount,
        lost=amount,
        fees={**amount, "description": "Stripe's; null while none is known"},
        feesOpen={**count, "description": "How many payments' fees Stripe has not told yet"},
        net=amount,
        credits={**count, "description": "Bought or given"},
        delivered={**count, "description": "Of these"},
    )
    rows: Schema = {"type": "array", "items": row}
    return _object(
        "from to by rows totals",
        **{"from": day, "to": day},
        by={"enum": list(get_args(By))},
        rows=rows,
        totals={**rows, "description": "One for each currency"},
    )
