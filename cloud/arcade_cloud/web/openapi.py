"""`GET /openapi.json`: every route, for developers. A test fails if one is missing."""

import re
from collections.abc import Iterable
from typing import get_args

from flask import Blueprint, Response, jsonify

from arcade_cloud.domain.books import By
from arcade_cloud.services import outbox_delivery
from arcade_cloud.web.api import TAKINGS_DAYS
from arcade_cloud.web.callers import API_KEY_HEADER
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.ingest import SECRET_HEADER
from arcade_cloud.web.openapi_examples import (
    ERRORS,
    ERRORS_OF,
    EXAMPLES,
    MACHINE_ID,
    ORDER_ID,
    QUERY,
    SIGNATURE,
)
from arcade_cloud.web.openapi_schemas import Schema, ref, schemas
from arcade_cloud.web.webhook import SIGNATURE_HEADER
from arcade_shared.ids import MACHINE_ID_PATTERN

_API_KEY: list[Schema] = [{"apiKey": []}, {"apiKeyBearer": []}]
# By the first word of the path; all else is for other software.
_TAGS = {
    "webhook": "Stripe",
    "addCredit": "Stripe",
    "ingest": "Broker",
    "m": "Players",
    "kiosk": "Players",
    "openapi": "Developers",
}

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
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": f"{site_name} API",
            "version": "1.0.0",
            "license": {"name": "MIT", "identifier": "MIT"},
            "description": "All errors have the same shape. Unknown keys in a body are ignored. Pages for people "
            "are HTML, and so are their errors. Pages are served under the site's own names only (else 421).",
        },
        "servers": [{"url": base_url}],
        "paths": {**_for_software(), **_for_brokers_and_stripe(), **_for_players(), **_for_developers()},
        "webhooks": _to_software(),
        "components": {"schemas": schemas(), "securitySchemes": _keys()},
    }
    _finish(described)
    return described


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
        signature = {
            "in": "header",
            "name": SIGNATURE_HEADER,
            "required": True,
            "schema": {"type": "string"},
            "example": SIGNATURE,
        }
        operation = _operation(summary, _json("Received"), errors=(400, 413, 503))
        body = {"required": True, "content": _content("StripeEvent")}
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
    machine, order = (
        _in_path("machine_id", MACHINE_ID_PATTERN, MACHINE_ID),
        _in_path("order_id", "[A-Za-z0-9_-]{1,100}", ORDER_ID),
    )
    location = {"Location": {"schema": {"type": "string", "format": "uri"}}}
    to_stripe = {"303": {"description": "To the checkout", "headers": location}}
    checkout = _form("Start a checkout", to_stripe, "CheckoutForm", (403, 404, 409, 413, 422, 429, 502, 503))
    back = {"303": {"description": "Back to the machine's page"}}
    page = {"200": {"description": "The page", "content": {"text/html": {"schema": {"type": "string"}}}}}
    to_tab = {"303": {"description": "To the tab"}}
    to_order = {"303": {"description": "Back to the order's page"}}
    claim = _form("Say that credits did not arrive", to_order, "ClaimForm", (403, 404, 413, 422, 429, 503))
    return {
        "/": {
            "get": _operation(
                "The start page, for browsers: they accept HTML", page, errors=(404,), page_errors=(503,)
            )
        },
        "/m/{machine_id}": {
            "parameters": [machine],
            "get": _page("A machine: what it sells, and whether it can be paid now", "MachineState", (404, 503)),
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
        "/m/{machine_id}/o/{order_id}/receipt": {
            "parameters": [machine, order],
            "get": _operation("The receipt of an order, to print", page, page_errors=(404, 503)),
        },
        "/m/{machine_id}/tab": {
            "parameters": [machine],
            "get": _operation("For browsers that return without the form", back, page_errors=(404, 503)),
            "post": _form(
                "Open a tab: hold its limit", to_stripe, "TabForm", (403, 404, 409, 413, 422, 429, 502, 503)
            ),
        },
        "/m/{machine_id}/play": {
            "parameters": [machine],
            "get": _operation("For browsers that return without the form", back, page_errors=(404, 503)),
            "post": _form("Play once on the browser's tab", back, "PlayForm", (403, 404, 409, 413, 422, 429, 503)),
        },
        "/tab": {"get": _operation("The browser's tab: its plays, and what is left", page, page_errors=(503,))},
        "/tab/join": {
            "get": _operation("For browsers that return without the form", to_tab),
            "post": _form("Have this browser keep a tab", to_tab, "JoinForm", (403, 409, 413, 429, 503)),
        },
        "/tab/finish": {
            "get": _operation("For browsers that return without the form", to_tab),
            "post": _form("Finish the tab", to_tab, "FinishForm", (403, 409, 413, 503)),
        },
        "/m/{machine_id}/o/{order_id}/claim": {
            "parameters": [machine, order],
            "get": _operation("For browsers that return without the form", to_order, page_errors=(404, 503)),
            "post": claim,
        },
        "/kiosk/{machine_id}": {
            "parameters": [machine],
            "get": _page("The screen on a cabinet, with the code to scan", "KioskState", (404, 503)),
        },
    }


def _for_developers() -> Schema:
    return {"/openapi.json": {"get": _operation("The description of this API", _json("OpenApi", "OpenAPI 3.1"))}}


def _to_software() -> Schema:
    """What is posted to the endpoints that `arcade-cloud webhook add` sets up."""
    signature = {
        "in": "header",
        "name": outbox_delivery.SIGNATURE_HEADER,
        "required": True,
        "schema": {"type": "string"},
        "description": "As Stripe signs: docs/API.md says how to check it",
        "example": SIGNATURE,
    }
    told = {
        "play.delivered": ("PlayDelivered", "It is known how many credits a machine has pulsed"),
        "order.refunded": ("OrderRefunded", "Money went back to a player"),
        "machine.offline": ("MachineOffline", "A machine has fallen silent"),
    }
    taken = {"2XX": {"description": "Taken. Anything else is tried again, for a day"}}
    return {
        name: {
            "post": {
                "summary": summary,
                "operationId": schema[0].lower() + schema[1:],
                "tags": ["Webhooks"],
                "parameters": [signature],
                "requestBody": {"required": True, "content": _content(schema)},
                "responses": taken,
            }
        }
        for name, (schema, summary) in told.items()
    }


# --- building blocks -------------------------------------------------------------------------------------


def _json(name: str, description: str = "Done") -> Schema:
    return {"200": {"description": description, "content": _content(name)}}


def _page(summary: str, state: str, errors: tuple[int, ...]) -> Schema:
    """A page. With `?format=json` the page and its errors are JSON."""
    text = {"text/html": {"schema": {"type": "string"}}}
    responses = {"200": {"description": "The page, or its state", "content": {**text, **_content(state)}}}
    wanted = {
        "in": "query",
        "name": "format",
        "description": "`json` for the state as JSON; anything else is the page",
        "schema": {"type": "string"},
    }
    language = {
        "in": "query",
        "name": "lang",
        "description": "The language of the texts, of LANGUAGES; else the browser's, or the first of them",
        "schema": {"type": "string"},
    }
    for status in errors:
        responses[str(status)] = {"description": _ERRORS[status], "content": {**text, **_content("Error")}}
    return {**_operation(summary, responses), "parameters": [wanted, language]}


def _form(summary: str, responses: Schema, form: str, page_errors: tuple[int, ...]) -> Schema:
    """What a page's form does."""
    operation = _operation(summary, responses, page_errors=page_errors)
    operation["requestBody"] = {"content": {"application/x-www-form-urlencoded": _described(form)}}
    return operation


def _content(name: str) -> Schema:
    return {"application/json": _described(name)}


def _described(name: str) -> Schema:
    return {"schema": ref(name), "example": EXAMPLES[name]} if name in EXAMPLES else {"schema": ref(name)}


def _in_path(name: str, pattern: str, example: str) -> Schema:
    schema = {"type": "string", "pattern": f"^{pattern}$"}
    return {"in": "path", "name": name, "required": True, "schema": schema, "example": example}


def _finish(described: Schema) -> None:
    """Give each operation its name and group, its errors their examples, and parameters of queries theirs."""
    for path, item in described["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                _add_examples(operation)
                continue
            words = re.findall("[A-Za-z]+", path.replace(".json", "")) or ["start"]
            operation["operationId"] = method + "".join(word[0].upper() + word[1:] for word in words)
            operation["tags"] = [_TAGS.get(words[0], "Software")]
            _add_examples(operation.get("parameters", ()))
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json")
                if content is not None and int(status) in ERRORS:
                    content["example"] = ERRORS_OF.get((path, int(status)), ERRORS[int(status)])


def _add_examples(parameters: Iterable[Schema]) -> None:
    for parameter in parameters:
        if parameter["name"] in QUERY:
            parameter["example"] = QUERY[parameter["name"]]


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
