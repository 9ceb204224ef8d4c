"""What routes check before they act: the machine, the body, the key, the site."""

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Request, request

from arcade_cloud.domain.machines import Machine
from arcade_cloud.errors import BadRequest, CrossSite, Unauthorized, UnknownMachine
from arcade_cloud.services.sales import Sales
from arcade_shared.ids import is_machine_id

# A payment link or a game over takes a hundred bytes; this is the limit for routes that need no more.
MAX_BODY_BYTES = 64 * 1024
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def known_machine(sales: Sales, machine_id: str) -> Machine:
    """The machine in a page's address.

    Raises:
        UnknownMachine: The id is not that of a registered machine.
    """
    if not is_machine_id(machine_id):
        raise UnknownMachine(f"no machine {machine_id[:64]!r} is registered")
    return sales.machine(machine_id)


def json_body(request: Request) -> Any:
    """The JSON in the body, whatever the Content-Type says: plain `curl -d` sends another one.

    Raises:
        BadRequest: The body is not JSON, or is nested too deeply.
        RequestEntityTooLarge: Flask's error. The body is longer than the route accepts.
    """
    try:
        return msgspec.json.decode(request.get_data())
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadRequest('The body must be JSON in UTF-8, such as {"machine_id": "cab-01"}') from None
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None


def json_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body.

    Raises:
        BadRequest: The body is not a JSON object.
        RequestEntityTooLarge: Flask's error. The body is longer than the route accepts.
    """
    body = json_body(request)
    if not isinstance(body, dict):
        raise BadRequest('The body must be a JSON object, such as {"machine_id": "cab-01"}')
    return body


def required_text(fields: Mapping[str, Any], name: str) -> str:
    """A required string of 1 to 255 characters.

    Raises:
        BadRequest: It is missing, null, empty, too long or not a string.
    """
    text = optional_text(fields, name)
    if text is None:
        raise BadRequest(f"{name} is missing")
    return text


def optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    """A string of 1 to 255 characters, or None if it is missing or null.

    Raises:
        BadRequest: It is empty, too long or not a string.
    """
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= 255:
        raise BadRequest(f"{name} must be a string of 1 to 255 characters")
    return value


def whole_number(fields: Mapping[str, Any], name: str, *, default: int, most: int) -> int:
    """An integer from 1 to `most`, or `default` if it is missing or null.

    Raises:
        BadRequest: It is out of range, or not an integer: true, 1.0 and "1" are none.
    """
    value = fields.get(name)
    if value is None:
        return default
    if type(value) is not int or not 1 <= value <= most:
        raise BadRequest(f"{name} must be a whole number from 1 to {most}")
    return value


def given_key(request: Request, header: str) -> str:
    """The key in `header`, or in `Authorization: Bearer` if there is no such header; empty if there is none."""
    given = request.headers.get(header)
    if given is not None:
        return given
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def check_key(request: Request, expected: str, header: str) -> None:
    """Check the key in `header`, or in `Authorization: Bearer` if there is no such header.

    Raises:
        Unauthorized: The key is missing or wrong.
    """
    # WSGI decodes headers as latin-1; this restores the bytes that were sent.
    given = given_key(request, header).encode("latin-1", "replace")
    if not hmac.compare_digest(given, expected.encode()):
        raise Unauthorized(f"The key is missing or wrong. Send it as `Authorization: Bearer …` or `{header}: …`.")


def check_same_site() -> None:
    """Check that no page of another site had a browser send this. Software does not say where it comes from.

    Raises:
        CrossSite: The request may change something, and the browser says that another site sent it.
    """
    if request.method not in _READING and request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise CrossSite("Another site sent this. Open the machine's page here, and try again.")
