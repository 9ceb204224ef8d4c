"""What the doors have in common on the way in: machines found, bodies read, keys compared, callers counted."""

import hmac
from collections.abc import Mapping
from typing import Any

import msgspec
from flask import Request

from arcade_cloud.domain.machines import Machine
from arcade_cloud.errors import BadRequest, UnknownMachine
from arcade_cloud.services.rate_limit import RateLimiter
from arcade_cloud.services.sales import Sales
from arcade_cloud.web.error_responses import NotAllowed, Wait
from arcade_shared.ids import is_machine_id

# A payment link or a game over takes a hundred bytes; this is the bound for doors that need no more.
MAX_BODY_BYTES = 64 * 1024


def known_machine(sales: Sales, machine_id: str) -> Machine:
    """The machine of a page's address. Raises UnknownMachine for anything that is no registered machine's id."""
    if not is_machine_id(machine_id):
        raise UnknownMachine(f"no machine {machine_id[:64]!r} is registered")
    return sales.machine(machine_id)


def json_body(request: Request) -> Any:
    """The JSON in the body, whatever its Content-Type says: `curl -d` alone sends another one.

    Raises BadRequest for what is no JSON, and Flask's RequestEntityTooLarge.
    """
    try:
        return msgspec.json.decode(request.get_data())
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise BadRequest('the body must be JSON in UTF-8, such as {"machine_id": "cab-01"}') from None
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def json_object(request: Request) -> dict[str, Any]:
    """The JSON object in the body. Raises BadRequest for anything else."""
    body = json_body(request)
    if not isinstance(body, dict):
        raise BadRequest('the body must be a JSON object, such as {"machine_id": "cab-01"}')
    return body


def required_text(fields: Mapping[str, Any], name: str) -> str:
    """A text that has to be there. Raises BadRequest."""
    text = optional_text(fields, name)
    if text is None:
        raise BadRequest(f"{name} is missing")
    return text


def optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    """A text of at most 255 characters, or None where it is missing or null. Raises BadRequest."""
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= 255:
        raise BadRequest(f"{name} must be a text of 1 to 255 characters")
    return value


def whole_number(fields: Mapping[str, Any], name: str, *, default: int, most: int) -> int:
    """A number from 1 to `most` that is written as one: not true, not 1.0, not "1". Raises BadRequest."""
    value = fields.get(name)
    if value is None:
        return default
    if type(value) is not int or not 1 <= value <= most:
        raise BadRequest(f"{name} must be a whole number from 1 to {most}")
    return value


def check_key(request: Request, expected: str, header: str) -> None:
    """Raises NotAllowed unless `header`, or `Authorization: Bearer`, holds what is expected."""
    given = request.headers.get(header)
    if given is None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else ""
    # WSGI hands headers on as latin-1; so this gives back the bytes that came.
    if not hmac.compare_digest(given.encode("latin-1", "replace"), expected.encode()):
        raise NotAllowed(f"the key is missing or wrong: send it as `Authorization: Bearer …` or `{header}: …`")


def check_rate(limiter: RateLimiter, request: Request, door: str, now_ms: int) -> None:
    """Raises Wait if this address has knocked at this door too often."""
    wait_ms = limiter.wait_ms(door, request.remote_addr or "", now_ms)
    if wait_ms > 0:
        raise Wait(wait_ms)
