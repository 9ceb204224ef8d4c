"""HTTP events of AWS as WSGI requests, and the application's responses as results of the function.

`PAYLOAD_1`, `PAYLOAD_2` and the two balancers are a table: one row for each shape of event. aws-wsgi makes the
request and gathers the response. Everything else here is what aws-wsgi cannot do: it keeps only the last of
repeated headers, cookies and query keys, believes X-Forwarded-For, raises on binary responses, and never calls
close().
"""

import base64
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlencode

import awsgi

from arcade_cloud.errors import ArcadeError
from arcade_cloud.web.hosts import GATEWAY_HOST
from arcade_cloud.web.prefix import path_below

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

T = TypeVar("T")
QUERY = ("queryStringParameters", "multiValueQueryStringParameters")


class BadEvent(ArcadeError):
    """An event that looks like HTTP but cannot be read. AWS sends none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Where an event has the parts of a request, as dotted keys, and which keys its result has.

    Headers and body are where they are in every shape: see `_headers` and `_body`.
    """

    method: str
    path: str
    query: Callable[[object], str]  # encoded, as in the address
    client: str | None  # the address that connected; a load balancer appends it to X-Forwarded-For
    result: tuple[str, ...]  # besides statusCode, body and isBase64Encoded


PAYLOAD_1 = Shape(  # a REST API, or an HTTP API configured for it; the query arrives decoded
    method="httpMethod",
    path="path",
    query=lambda event: urlencode(_pairs(event, *QUERY), errors="replace"),
    client="requestContext.identity.sourceIp",
    result=("multiValueHeaders",),
)
PAYLOAD_2 = Shape(  # an HTTP API, or a function URL
    method="requestContext.http.method",
    path="rawPath",
    query=lambda event: _get(event, "rawQueryString", ""),
    client="requestContext.http.sourceIp",
    result=("headers", "cookies"),
)
BALANCER = Shape(  # a load balancer; the query arrives split but still encoded
    method="httpMethod",
    path="path",
    query=lambda event: "&".join(f"{name}={value}" for name, value in _pairs(event, *QUERY)),
    client=None,
    result=("headers", "statusDescription"),
)
BALANCER_MULTI_VALUE = replace(BALANCER, result=("multiValueHeaders", "statusDescription"))


def shape_of(event: object) -> Shape | None:
    """The shape of an HTTP event; None for every other event."""
    if _get(event, "methodArn", "") or _get(event, "routeArn", ""):
        return None  # an authorizer's event looks like a request, but wants a policy
    if _get(event, PAYLOAD_2.method, ""):
        return PAYLOAD_2
    if not _get(event, PAYLOAD_1.method, "") or not _get(event, PAYLOAD_1.path, ""):
        return None
    if not _get(event, "requestContext.elb", {}):
        return PAYLOAD_1
    return BALANCER_MULTI_VALUE if _get(event, "multiValueHeaders", {}) else BALANCER


def respond(app: "WSGIApplication", shape: Shape, event: object, context: object) -> dict[str, Any]:
    """The application's response to an event of this shape, as the result of the function.

    Raises:
        BadEvent: The body is marked as base64 and is not.
    """
    response = awsgi.StartResponse()
    output = app(_environ(shape, event, context), response)
    try:
        written = list(output)
    finally:
        if hasattr(output, "close"):
            output.close()
    body = b"".join([*response.chunks, *written])
    result = {"statusCode": response.status, **_result_headers(shape, response)}
    try:  # text stays text, because a REST API decodes base64 only if it is set up to
        return {**result, "body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {**result, "body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def _result_headers(shape: Shape, response: awsgi.StartResponse) -> dict[str, Any]:
    repeated, status = _by_name(response.headers), response.status_line
    cookies = repeated.get("set-cookie", [])
    once = {name: ", ".join(values) for name, values in repeated.items() if name != "set-cookie"}
    if "cookies" not in shape.result:  # they cannot be joined, so each gets its own spelling of the name
        spellings = ("".join(letters) for letters in product(*(sorted({c, c.upper()}) for c in "set-cookie")))
        once |= zip(spellings, cookies, strict=False)
    parts = {"headers": once, "multiValueHeaders": repeated, "cookies": cookies, "statusDescription": status}
    return {key: parts[key] for key in shape.result}


def _environ(shape: Shape, event: object, context: object) -> "WSGIEnvironment":
    https = {"x-forwarded-proto": "https", "x-forwarded-port": "443"}
    headers = {"host": "localhost", **https, **_headers(event)}
    if shape.client is None:
        client = headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    else:
        client = _get(event, shape.client, "")
        headers |= https
    stage, path = _split_stage(event, _get(event, shape.path, "") or "/")
    request = {
        "httpMethod": _get(event, shape.method, ""),
        "path": unquote(_native(path), "latin-1"),
        "queryStringParameters": {},
        "headers": headers,
        "body": _body(event),
    }
    environ: WSGIEnvironment = awsgi.environ(request, context)
    environ |= {"SCRIPT_NAME": stage, "QUERY_STRING": _native(shape.query(event)), "REMOTE_ADDR": client}
    environ[GATEWAY_HOST] = _get(event, "requestContext.domainName", "")
    # WSGI has CONTENT_TYPE and CONTENT_LENGTH for these, and the body is complete however it was sent.
    for name in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"):
        environ.pop(name, None)
    return environ


def _split_stage(event: object, path: str) -> tuple[str, str]:
    """(the stage as the address has it, the path below it). The stage `$default` is in no address."""
    public_path, stage = _get(event, "requestContext.path", ""), _get(event, "requestContext.stage", "")
    if public_path.endswith(path) and public_path != path:  # a REST API has already removed the stage
        return public_path.removesuffix(path), path
    below = path_below(path, f"/{stage}") if stage else None
    return ("", path) if below is None else (f"/{stage}", below)


def _body(event: object) -> bytes:
    body = _get(event, "body", "").encode("utf-8", "surrogatepass")
    if not _get(event, "isBase64Encoded", False):
        return body
    try:
        return base64.b64decode(body, validate=True)
    except ValueError as error:  # binascii.Error too; the body may hold any character
        raise BadEvent("the body is marked as base64, and is not") from error


def _headers(event: object) -> dict[str, str]:
    """By lower-case name; repeated ones joined as HTTP allows (RFC 9110, 5.3; RFC 6265, 5.4)."""
    by_name = _by_name(_pairs(event, "headers", "multiValueHeaders"))
    if cookies := _get(event, "cookies", list[Any]()):  # payload 2.0; a function URL repeats them as a header
        by_name["cookie"] = [cookie for cookie in cookies if isinstance(cookie, str)]
    for name in {"content-type", "host"} & by_name.keys():  # cannot be joined: the first counts
        del by_name[name][1:]
    return {
        name: _native(("; " if name == "cookie" else ", ").join(values))
        for name, values in by_name.items()
        if "_" not in name  # in WSGI it could pass for a name with a hyphen
    }


def _by_name(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    by_name: dict[str, list[str]] = {}
    for name, value in pairs:
        by_name.setdefault(name.lower(), []).append(value)
    return by_name


def _native(text: str) -> str:
    """The bytes that came over the wire as latin-1, which is what WSGI wants."""
    return text.encode("utf-8", "replace").decode("latin-1")


def _pairs(event: object, single: str, multiple: str) -> list[tuple[str, str]]:
    """Names and values; a name comes as often as it was sent."""
    many = _get(event, multiple, dict[str, Any]()).items()
    pairs = [(name, value) for name, values in many if isinstance(values, list) for value in values]
    pairs = pairs or list(_get(event, single, dict[str, Any]()).items())
    return [(name, value) for name, value in pairs if isinstance(value, str)]


def _get(event: object, key: str, default: T) -> T:
    """The value at a dotted key if it has the default's type: an event may hold anything anywhere."""
    for part in key.split("."):
        event = event.get(part) if isinstance(event, dict) else None
    return event if isinstance(event, type(default)) else default
