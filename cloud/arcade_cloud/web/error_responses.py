"""How the doors answer when something is wrong: one JSON shape for programs, one page for people.

    {"error": {"code": "not_ready", "message": "This machine is offline."}}

`code` is stable; `message` says what to do. What an exception says reaches a caller only where its class
promises that the text is written for callers (BadRequest and BadMessage).
"""

import logging

import werkzeug.exceptions
from flask import Flask, Response, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from arcade_cloud.errors import (
    BadRequest,
    PaymentsRefused,
    PaymentsUnavailable,
    StoreUnavailable,
    TooMany,
    UnknownMachine,
)
from arcade_shared.errors import BadMessage

logger = logging.getLogger(__name__)

# What people see in a browser. With ?format=json the same address answers programs.
PAGES = ("/m/", "/kiosk/", "/console")
RETRY_AFTER_S = 5

STORE_DOWN = "The records can't be reached at the moment; try again in a few seconds."
PAYMENTS_DOWN = "The payment provider does not answer. Nothing was charged; try again in a few seconds."
PAYMENTS_WRONG = "The payment provider refuses: the operator has to look at the set-up. Nothing was charged."
DEFECT = "Something went wrong here; it has been recorded."


class NotAllowed(BadRequest):
    """The key or secret is missing or wrong."""

    code = "unauthorized"
    status = 401


class Closed(BadRequest):
    """This door is shut in this installation."""

    code = "closed"
    status = 403


class NotFound(BadRequest):
    """Nothing is here."""

    code = "not_found"
    status = 404


class NotConfirmed(BadRequest):
    """The broker has not confirmed what was to be sent."""

    code = "not_confirmed"
    status = 503


class Wait(TooMany):
    """Over the rate limit; `wait_ms` is how long until the next request may pass."""

    def __init__(self, wait_ms: int) -> None:
        self.wait_s = -(-wait_ms // 1000)
        super().__init__(f"too many requests from this address; try again in {self.wait_s} s")


def failure(status: int, code: str, message: str) -> Response:
    """An answer that says what is wrong, as a page where a person asked and as JSON elsewhere."""
    if wants_page():
        unattended = request.path.startswith("/kiosk/")  # nobody is there to reload it
        text = render_template(
            "problem.html", title=_title(status), text=message, status=status, unattended=unattended
        )
        return make_response(text, status)
    response = jsonify(error={"code": code, "message": message})
    response.status_code = status
    return response


def wants_page() -> bool:
    """Whether a person asked: for a page, or with a browser for something that does not exist."""
    if request.path.startswith(PAGES):
        return not wants_json()
    unknown = isinstance(request.routing_exception, werkzeug.exceptions.NotFound)
    return unknown and "text/html" in request.headers.get("Accept", "")


def wants_json() -> bool:
    """Whether a page is asked for as values, as its own script does."""
    return request.args.get("format") == "json"


def _title(status: int) -> str:
    match status:
        case 404:
            return "Nothing is here"
        case 409:
            return "Not now"
        case 429:
            return "One moment, please"
        case _ if status >= 500:
            return "That did not work"
        case _:
            return "That can't be done"


def install(app: Flask) -> None:
    """Make `app` answer every error in the one shape."""
    app.register_error_handler(BadRequest, _bad_request)
    app.register_error_handler(UnknownMachine, _unknown_machine)
    app.register_error_handler(BadMessage, lambda error: failure(422, BadRequest.code, str(error)))
    app.register_error_handler(StoreUnavailable, lambda _: _later("store_unavailable", STORE_DOWN))
    app.register_error_handler(PaymentsUnavailable, lambda _: _later("payments_unavailable", PAYMENTS_DOWN))
    app.register_error_handler(PaymentsRefused, _payments_refused)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _defect)


def _bad_request(error: BadRequest) -> Response:
    response = failure(error.status, error.code, str(error))
    if isinstance(error, Wait):
        response.headers["Retry-After"] = str(error.wait_s)
    if isinstance(error, NotAllowed):
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, NotConfirmed):
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _unknown_machine(error: UnknownMachine) -> Response:
    text = "No machine has this address. Is the sticker an old one?" if wants_page() else str(error)
    return failure(error.status, error.code, text)


def _later(code: str, message: str) -> Response:
    response = failure(503, code, message)
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _payments_refused(error: PaymentsRefused) -> Response:
    logger.error("the payment provider refuses: %s", error)
    return failure(502, "payments_refused", PAYMENTS_WRONG)


def _http(error: HTTPException) -> Response:
    """What Flask itself objects to. A redirection is none of that, and is passed on."""
    status = error.code
    if status is None or status < 400:
        return make_response(error.get_response())
    code = error.name.lower().replace(" ", "_").replace("-", "_")
    if isinstance(error, MethodNotAllowed):
        allowed = sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"})
        response = failure(405, code, f"{request.method} does nothing here; use {' or '.join(allowed)}.")
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response
    if isinstance(error, RequestEntityTooLarge):
        return failure(413, "too_large", f"The body is too long: at most {request.max_content_length} bytes.")
    if status == 404:
        return failure(404, NotFound.code, "There is nothing at this address; /openapi.json lists what there is.")
    return failure(status, code, f"{error.name}: the request can't be understood.")


def _defect(error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return failure(500, "internal", DEFECT)
