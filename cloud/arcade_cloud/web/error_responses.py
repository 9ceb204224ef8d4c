"""Error responses: one JSON shape for programs, one page for people.

    {"error": {"code": "not_ready", "message": "This machine is offline."}}

`code` is stable; `message` says what to do. An exception's own text reaches the caller only if its class promises
that the text is written for callers: BadRequest and BadMessage.
"""

import logging

import werkzeug.exceptions
from flask import Flask, Response, current_app, jsonify, make_response, render_template, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from arcade_cloud.domain.words import ENGLISH, marked
from arcade_cloud.errors import (
    BadHost,
    BadRequest,
    BadWebhook,
    Closed,
    Conflict,
    CrossSite,
    Forbidden,
    NotConfirmed,
    NotEnough,
    NotFound,
    NotReady,
    PageOutdated,
    PaymentsRefused,
    PaymentsUnavailable,
    PriceChanged,
    SignInRefused,
    StoreUnavailable,
    TabClosed,
    TooLittle,
    TooManyRequests,
    TryLater,
    Unauthorized,
    UnknownHost,
    UnknownMachine,
)
from arcade_cloud.web.languages import words
from arcade_shared.errors import BadMessage

logger = logging.getLogger(__name__)

# The one place where an error becomes an HTTP status. A class that is not listed has the status of its parent.
STATUS: dict[type[Exception], int] = {
    BadHost: 400,
    BadWebhook: 400,
    Unauthorized: 401,
    Closed: 403,
    CrossSite: 403,
    Forbidden: 403,
    SignInRefused: 403,
    NotFound: 404,
    UnknownMachine: 404,
    Conflict: 409,
    NotReady: 409,
    NotEnough: 409,
    PageOutdated: 409,
    PriceChanged: 409,
    TabClosed: 409,
    TooLittle: 409,
    UnknownHost: 421,
    BadMessage: 422,
    BadRequest: 422,
    TooManyRequests: 429,
    Exception: 500,
    PaymentsRefused: 502,
    NotConfirmed: 503,
    TryLater: 503,
    PaymentsUnavailable: 503,
    StoreUnavailable: 503,
}
HEADERS = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "5"}}

# What people see in a browser. With ?format=json the same address responds to programs.
PAGES = ("/m/", "/tab", "/kiosk/", "/console")

NOTHING_HERE = marked("There is nothing at this address.")
WHAT_THERE_IS = "/openapi.json lists what there is."
CONFLICT = marked("Somebody else is changing the same thing at this moment. Look at it again, then try once more.")
STORE_DOWN = marked("The database cannot be reached right now. Try again in a few seconds.")
PAYMENTS_DOWN = marked("The payment provider is not responding. Nothing was charged. Try again in a few seconds.")
PAYMENTS_WRONG = marked(
    "The payment provider refused the request. Nothing was charged. The operator must check the setup."
)
DEFECT = marked("Something went wrong on our side. It has been logged.")


def status_of(error: Exception) -> int:
    """The HTTP status of an error."""
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def error_response(status: int, code: str, message: str, for_players: str | None = None) -> Response:
    """A page where a person asked for one, JSON elsewhere.

    Args:
        message: In English, as everything is that software and operators read.
        for_players: The same in the language of the page; None: a sentence that fits any error.
    """
    if wants_page():
        is_console = "console.today" in current_app.view_functions
        unattended = request.path.startswith("/kiosk/")  # nobody is there to reload it
        text = render_template(
            "problem.html",
            title=_title(status),
            message=message if is_console or words() is ENGLISH else for_players or _any_error(),
            status=status,
            unattended=unattended,
            is_console=is_console,
        )
        response = make_response(text)
    else:
        response = jsonify(error={"code": code, "message": message})
    response.status_code = status
    response.headers.update(HEADERS.get(status, {}))
    return response


def wants_page() -> bool:
    """Whether a person asked: for a page, or with a browser for something that does not exist."""
    if request.path.startswith(PAGES):
        return not wants_json()
    unknown = isinstance(request.routing_exception, werkzeug.exceptions.NotFound)
    return (unknown or request.path == "/") and asks_for_page()


def asks_for_page() -> bool:
    """Whether a browser asks: one that names HTML among what it takes."""
    return "text/html" in request.headers.get("Accept", "")


def wants_json() -> bool:
    """Whether the request asks for a page's values, as the page's own script does."""
    return request.args.get("format") == "json"


def _title(status: int) -> str:
    match status:
        case 404:
            return words().text("Not found")
        case 409:
            return words().text("Not right now")
        case 429:
            return words().text("One moment, please")
        case _ if status >= 500:
            return words().text("That did not work")
        case _:
            return words().text("That is not possible")


def _any_error() -> str:
    return words().text("This could not be done. Go back, and try again.")


def _for_players(error: BadRequest) -> str | None:
    """What a player reads of an error; None if there is no sentence of its own. Some are translated already."""
    match error:
        case TooManyRequests():
            return words().count(
                "Too many requests from this address. Try again in %(number)s second.",
                "Too many requests from this address. Try again in %(number)s seconds.",
                error.wait_s,
            )
        case UnknownMachine():
            return words().text("There is no machine at this address. The sticker may be an old one.")
        case CrossSite():
            return words().text("Another site sent this. Open the machine's page here, and try again.")
        case BadHost() | UnknownHost():
            return words().text("There is no site of this name here.")
        case NotReady() | NotFound():
            return str(error)
    return None


def install(app: Flask) -> None:
    """Give every error of `app` the one shape."""
    app.register_error_handler(BadRequest, _bad_request)
    app.register_error_handler(BadMessage, _bad_message)
    app.register_error_handler(Conflict, _conflict)
    app.register_error_handler(StoreUnavailable, _store_unavailable)
    app.register_error_handler(PaymentsUnavailable, _payments_unavailable)
    app.register_error_handler(PaymentsRefused, _payments_refused)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _defect)


def _bad_request(error: BadRequest) -> Response:
    for_players = _for_players(error)
    text = for_players if for_players and isinstance(error, UnknownMachine) and wants_page() else str(error)
    response = error_response(status_of(error), error.code, text, for_players)
    if isinstance(error, TooManyRequests):
        response.headers["Retry-After"] = str(error.wait_s)
    return response


def _bad_message(error: BadMessage) -> Response:
    return error_response(status_of(error), BadRequest.code, str(error))


def _conflict(error: Conflict) -> Response:
    return error_response(status_of(error), "conflict", CONFLICT, words().text(CONFLICT))


def _store_unavailable(error: StoreUnavailable) -> Response:
    return error_response(status_of(error), "store_unavailable", STORE_DOWN, words().text(STORE_DOWN))


def _payments_unavailable(error: PaymentsUnavailable) -> Response:
    return error_response(status_of(error), "payments_unavailable", PAYMENTS_DOWN, words().text(PAYMENTS_DOWN))


def _payments_refused(error: PaymentsRefused) -> Response:
    logger.error("the payment provider refused: %s", error)
    return error_response(status_of(error), "payments_refused", PAYMENTS_WRONG, words().text(PAYMENTS_WRONG))


def _http(error: HTTPException) -> Response:
    """An error of Flask's own. A redirect is not an error, and is passed on."""
    status = error.code
    if status is None or status < 400:
        return make_response(error.get_response())
    code = error.name.lower().replace(" ", "_").replace("-", "_")
    if isinstance(error, MethodNotAllowed):
        allowed = sorted(set(error.valid_methods or ()) - {"HEAD", "OPTIONS"})
        response = error_response(
            status, code, f"{request.method} is not allowed here. Use {' or '.join(allowed)}."
        )
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
        return response
    if isinstance(error, RequestEntityTooLarge):
        return error_response(
            status, "too_large", f"The body is too large: the limit is {request.max_content_length} bytes."
        )
    if status == 404:
        text = NOTHING_HERE if wants_page() else f"{NOTHING_HERE} {WHAT_THERE_IS}"
        return error_response(status, NotFound.code, text, words().text(NOTHING_HERE))
    return error_response(status, code, f"{error.name}: the request cannot be processed.")


def _defect(error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return error_response(status_of(error), "internal", DEFECT, words().text(DEFECT))
