"""HTTP requests in the shapes that AWS gives a function, and its results as HTTP answers.

The shapes lie in tests/cloud/entrypoints/aws_lambda/events: each as AWS documents it, or as its own tools
generate it, for GET /status.
"""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

EVENTS = Path(__file__).parents[1] / "cloud" / "entrypoints" / "aws_lambda" / "events"

# Shape → what stands before every path of the address that a browser sees.
PREFIXES = {
    "rest": "/prod",
    "rest_console": "",
    "rest_own_domain": "/arcade",
    "http_api": "",
    "http_api_1": "",
    "http_api_stage": "/live",
    "function_url": "",
    "balancer": "",
    "balancer_many": "",
}
SHAPES = tuple(PREFIXES)
# These say who connected; a load balancer appends it to X-Forwarded-For.
ADDRESSES = {"function_url": "2001:db8:1:2:3:4:5:6", "rest_console": "test-invoke-source-ip"}
USUAL_ADDRESS = "198.51.100.7"
FORGED_ADDRESS = "203.0.113.66"

Pairs = tuple[tuple[str, str], ...]


def sample(name: str) -> dict[str, Any]:
    """An event as it lies in the folder."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def http_event(
    shape: str,
    path: str = "/status",
    *,
    method: str = "GET",
    headers: Pairs = (),
    query: Pairs = (),
    body: bytes = b"",
    as_base64: bool = False,
) -> dict[str, Any]:
    """A request in one shape. `path` is not encoded; what must be is."""
    event = sample(shape)
    event["body"] = base64.b64encode(body).decode() if as_base64 else body.decode()
    event["isBase64Encoded"] = as_base64
    if "rawPath" in event:
        _fill_http_api(event, PREFIXES[shape] + quote(path), method, headers, query)
    else:
        _fill_rest(event, shape, path, method)
        _fill_pairs(event, "headers", "multiValueHeaders", headers)
        encoded = tuple((quote(name), quote(value)) for name, value in query)
        _fill_pairs(
            event,
            "queryStringParameters",
            "multiValueQueryStringParameters",
            encoded if shape.startswith("balancer") else query,
        )
    return event


def _fill_http_api(event: dict[str, Any], path: str, method: str, headers: Pairs, query: Pairs) -> None:
    event["rawPath"] = event["requestContext"]["http"]["path"] = path
    event["requestContext"]["http"]["method"] = method
    event["rawQueryString"] = urlencode(query)
    cookies = [value for name, value in headers if name.lower() == "cookie"]
    if cookies:
        event["cookies"] = [cookie.strip() for value in cookies for cookie in value.split(";")]
    for name, value in headers:
        if name.lower() != "cookie":
            known = event["headers"].get(name.lower())
            event["headers"][name.lower()] = value if known is None else f"{known},{value}"


def _fill_rest(event: dict[str, Any], shape: str, path: str, method: str) -> None:
    event["httpMethod"] = method
    context = event["requestContext"]
    if shape.startswith("balancer"):
        event["path"] = quote(path)
        return
    context["httpMethod"] = method
    context["path"] = PREFIXES[shape] + path
    event["path"] = path if shape == "rest" else PREFIXES[shape] + path


def _fill_pairs(event: dict[str, Any], single: str, multiple: str, pairs: Pairs) -> None:
    """Into each of the two maps that the shape has; the single one keeps the last of a name."""
    for name, value in pairs:
        if single in event:
            event[single] = {**(event[single] or {}), name: value}
        if multiple in event:
            many = event[multiple] or {}
            event[multiple] = {**many, name: [*many.get(name, []), value]}


@dataclass(frozen=True)
class Answer:
    """A function's result, as the one who asked over HTTP gets it."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for known, value in self.headers if known == name]

    def json(self) -> Any:
        return json.loads(self.body)


def answer_of(shape: str, result: Any) -> Answer:
    """What a gateway makes of a result; fails where it would not take it."""
    json.dumps(result)
    assert type(result["statusCode"]) is int
    assert type(result["isBase64Encoded"]) is bool
    text = result["body"]
    assert isinstance(text, str)
    headers: list[tuple[str, str]] = []
    if shape in {"http_api", "http_api_stage", "function_url"}:
        assert set(result) == {"statusCode", "headers", "cookies", "body", "isBase64Encoded"}
        headers = [*result["headers"].items(), *(("set-cookie", cookie) for cookie in result["cookies"])]
    elif shape == "balancer":
        assert set(result) == {"statusCode", "statusDescription", "headers", "body", "isBase64Encoded"}
        headers = [(name.lower(), value) for name, value in result["headers"].items()]
    else:
        extra = {"statusDescription"} if shape == "balancer_many" else set()
        assert set(result) == {"statusCode", "multiValueHeaders", "body", "isBase64Encoded"} | extra
        headers = [(name, value) for name, values in result["multiValueHeaders"].items() for value in values]
    if shape.startswith("balancer"):
        assert result["statusDescription"].startswith(f"{result['statusCode']} ")
    assert all(isinstance(value, str) for _, value in headers)
    body = base64.b64decode(text, validate=True) if result["isBase64Encoded"] else text.encode()
    return Answer(result["statusCode"], headers, body)
