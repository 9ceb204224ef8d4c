"""HTTP as AWS hands it to a function: events become WSGI requests, and what the application answers a result.

Four shapes arrive: API Gateway's REST API (payload 1.0) and HTTP API (payload 2.0), a function's own URL (2.0 as
well), and a load balancer. aws-wsgi makes the request and gathers the answer. It knows the REST shape only, keeps
the last of repeated headers, cookies and query keys, believes X-Forwarded-For, raises on binary answers and never
calls close(). So every event is brought into its shape first, what it can't carry is put right in the environment
it makes, and the result is written here. The package is archived and pinned; these two names of it are used.
"""

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote_plus, unquote_to_bytes, urlencode

import awsgi

from arcade_cloud.errors import ArcadeError
from arcade_cloud.web.prefix import path_below

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

Event = Mapping[str, Any]
Headers = list[tuple[str, str]]

# There can be only one of each; whoever repeats one is not helped by both.
_SINGLE = frozenset({"content-length", "content-type", "host"})
# The body is here whole, whatever these say of the way that it came.
_OF_THE_WAY = ("HTTP_CONTENT_LENGTH", "HTTP_CONTENT_TYPE", "HTTP_TRANSFER_ENCODING")


class BadEvent(ArcadeError):
    """An event that looks like HTTP and can't be read; AWS makes none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request. `path` is as it stood in the address, below `script_name`; `query` is encoded."""

    shape: Literal["rest", "http", "balancer"]
    method: str
    script_name: str
    path: str
    query: str
    headers: Headers
    body: bytes = field(repr=False)
    address: str
    host: str
    many_headers: bool = True  # whether the result may repeat a header


def call_from(event: object) -> Call | None:
    """The request in `event`, None if it is no HTTP request. Raises BadEvent for a body that is not base64.

    An authorizer's event has all that a request has; what asks for a policy must not get a page.
    """
    if not isinstance(event, Mapping) or "methodArn" in event or "routeArn" in event:
        return None
    context = _mapping(event.get("requestContext"))
    if isinstance(_mapping(context.get("http")).get("method"), str):
        return _from_http_api(event, context)
    if not isinstance(event.get("httpMethod"), str) or not isinstance(event.get("path"), str):
        return None
    return _from_balancer(event) if "elb" in context else _from_rest_api(event, context)


def _from_http_api(event: Event, context: Event) -> Call:
    headers, cookies = _headers(event), event.get("cookies")
    if isinstance(cookies, list):  # a function's own URL shows them as a header as well
        headers = [(name, value) for name, value in headers if name.lower() != "cookie"]
        headers += [("cookie", cookie) for cookie in cookies if isinstance(cookie, str)]
    script_name, path = _without_stage(_text(event.get("rawPath")) or "/", context)
    return Call(
        shape="http",
        method=context["http"]["method"],
        script_name=script_name,
        path=path,
        query=_text(event.get("rawQueryString")),
        headers=headers,
        body=_body(event),
        address=_text(context["http"].get("sourceIp")),
        host=_text(context.get("domainName")),
    )


def _from_rest_api(event: Event, context: Event) -> Call:
    path, public_path = event["path"], _text(context.get("path"))
    if public_path.endswith(path) and public_path != path:  # the gateway has taken the stage off already
        script_name = public_path.removesuffix(path)
    else:
        script_name, path = _without_stage(path, context)
    return Call(
        shape="rest",
        method=event["httpMethod"],
        script_name=script_name,
        path=path,
        query=urlencode(_query(event), errors="replace"),
        headers=_headers(event),
        body=_body(event),
        address=_text(_mapping(context.get("identity")).get("sourceIp")),
        host=_text(context.get("domainName")),
    )


def _from_balancer(event: Event) -> Call:
    headers = _headers(event)
    # It leaves the query as it came, and the address of who connected to it at the end of this header.
    query = [(unquote_plus(name), unquote_plus(value)) for name, value in _query(event)]
    forwarded = ",".join(value for name, value in headers if name.lower() == "x-forwarded-for")
    return Call(
        shape="balancer",
        method=event["httpMethod"],
        script_name="",
        path=event["path"],
        query=urlencode(query, errors="replace"),
        headers=headers,
        body=_body(event),
        address=forwarded.rpartition(",")[2].strip(),
        host="",
        many_headers=isinstance(event.get("multiValueHeaders"), Mapping),
    )


def _without_stage(path: str, context: Event) -> tuple[str, str]:
    """(the stage as it stands before the path, the path below it). `$default` stands nowhere."""
    prefix = "/" + _text(context.get("stage"))
    below = path_below(path, prefix) if len(prefix) > 1 else None
    return ("", path) if below is None else (prefix, below)


def _mapping(value: object) -> Event:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _pairs(event: Event, single: str, multiple: str) -> Headers:
    """Names and values, repeated where they came repeatedly. Values that are no texts are left out."""
    many = _mapping(event.get(multiple))
    pairs = [(name, value) for name, values in many.items() if isinstance(values, Sequence) for value in values]
    if not pairs:
        pairs = list(_mapping(event.get(single)).items())
    return [(name, value) for name, value in pairs if isinstance(name, str) and isinstance(value, str)]


def _headers(event: Event) -> Headers:
    """A name with an underscore is left out: in WSGI it could pass for one with a hyphen."""
    return [pair for pair in _pairs(event, "headers", "multiValueHeaders") if "_" not in pair[0]]


def _query(event: Event) -> Headers:
    return _pairs(event, "queryStringParameters", "multiValueQueryStringParameters")


def _body(event: Event) -> bytes:
    body = _text(event.get("body"))
    if event.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadEvent("the body is said to be base64, and is not") from error


# --- the request as WSGI has it ------------------------------------------------------------------------------


def environ_of(call: Call, context: object) -> "WSGIEnvironment":
    """aws-wsgi's environment for the request, with what it does not know put right."""
    headers = _joined(call.headers)
    environ: WSGIEnvironment = awsgi.environ(
        {
            "httpMethod": call.method,
            "path": unquote_to_bytes(_bytes(call.path)).decode("latin-1"),
            "queryStringParameters": {},
            "headers": {name: _bytes(value).decode("latin-1") for name, value in headers.items()},
            "body": call.body,
        },
        context,
    )
    scheme = headers.get("x-forwarded-proto", "") if call.shape == "balancer" else "https"
    environ["SCRIPT_NAME"] = call.script_name
    environ["QUERY_STRING"] = _bytes(call.query).decode("latin-1")
    environ["REMOTE_ADDR"] = call.address
    environ["wsgi.url_scheme"] = "https" if scheme == "https" else "http"
    environ["SERVER_NAME"] = call.host or headers.get("host", "").partition(":")[0] or "localhost"
    environ["SERVER_PORT"] = "443" if scheme == "https" else "80"
    for name in _OF_THE_WAY:
        environ.pop(name, None)
    return environ


def _bytes(text: str) -> bytes:
    """What came over the wire, as far as can be told: WSGI wants it as latin-1."""
    return text.encode("utf-8", "replace")


def _joined(headers: Headers) -> dict[str, str]:
    """By lower-case name; repeated ones as HTTP lets them be put together (RFC 9110, 5.3; RFC 6265, 5.4)."""
    joined: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if name not in joined:
            joined[name] = value
        elif name not in _SINGLE:
            joined[name] += ("; " if name == "cookie" else ", ") + value
    return joined


# --- the answer as AWS wants it ------------------------------------------------------------------------------


def respond(app: "WSGIApplication", call: Call, context: object) -> dict[str, Any]:
    """The application's answer to the request, as the result of the function."""
    answer = awsgi.StartResponse()
    output: Iterable[bytes] = app(environ_of(call, context), answer)
    try:
        body = b"".join(chain(output))
    finally:
        close: Callable[[], None] | None = getattr(output, "close", None)
        if close is not None:
            close()
    return {
        "statusCode": answer.status,
        **_result_headers(call, answer.status_line, answer.headers),
        **_result_body(b"".join(answer.chunks) + body),
    }


def _result_headers(call: Call, status_line: str, headers: Headers) -> dict[str, Any]:
    if call.shape == "http":
        single = [(name, value) for name, value in headers if name.lower() != "set-cookie"]
        cookies = [value for name, value in headers if name.lower() == "set-cookie"]
        return {"headers": _joined(single), "cookies": cookies}
    repeated: dict[str, list[str]] = {}
    for name, value in headers:
        repeated.setdefault(name.lower(), []).append(value)
    if call.shape == "rest":
        return {"multiValueHeaders": repeated}
    status = {"statusDescription": status_line}
    if call.many_headers:
        return {**status, "multiValueHeaders": repeated}
    # Where a load balancer takes each name once, cookies get names that differ in their case alone.
    spellings = ("".join(letters) for letters in product(*(sorted({c, c.upper()}) for c in "set-cookie")))
    cookies_by_name = dict(zip(spellings, repeated.pop("set-cookie", []), strict=False))
    return {**status, "headers": {name: ", ".join(values) for name, values in repeated.items()} | cookies_by_name}


def _result_body(body: bytes) -> dict[str, Any]:
    """Text as it is, everything else as base64: a REST API hands on base64 only where it was set up to."""
    try:
        return {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}
