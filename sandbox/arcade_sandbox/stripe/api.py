"""Stripe's API over HTTP: keys, parameters, idempotency and headers around the handlers of `endpoints`."""

import base64
import binascii
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import parse_qsl, urlencode

from flask import Flask, Response, request

from arcade_sandbox.stripe.endpoints import ENDPOINTS, Call, Endpoint
from arcade_sandbox.stripe.errors import Json, StripeRefusal, unauthorized
from arcade_sandbox.stripe.faults import HANG_S, refusal_of
from arcade_sandbox.stripe.idempotency import Answer
from arcade_sandbox.stripe.listing import expanded
from arcade_sandbox.stripe.objects import API_VERSION
from arcade_sandbox.stripe.params import checked, nested
from arcade_sandbox.stripe.server import cut_connection
from arcade_sandbox.stripe.state import Cause, random_letters
from arcade_sandbox.stripe.world import StripeWorld

# No request of Stripe's comes near this size.
MAX_BODY_BYTES = 1_000_000

_TEST_KEY = re.compile(r"\A(?:sk|rk)_test_[A-Za-z0-9_]+\Z")


def add_api(app: Flask, world: StripeWorld) -> None:
    """Serve `/v1/…`."""
    for endpoint in ENDPOINTS:
        name = f"{endpoint.method} {endpoint.path}"
        app.add_url_rule(endpoint.path, name, _view(world, endpoint), methods=[endpoint.method])

    def unrecognized(path: str) -> Response:
        refusal = StripeRefusal(
            f"Unrecognized request URL ({request.method}: /v1/{path}). Please see https://stripe.com/docs or we "
            "can help at https://support.stripe.com/.",
            status=404,
        )
        return _response(_answer_of(refusal, f"req_{random_letters(14)}"))

    @app.after_request
    def dated(response: Response) -> Response:
        response.headers["Date"] = formatdate(world.clock.date_s(), usegmt=True)
        return response

    app.add_url_rule("/v1/<path:path>", "unrecognized", unrecognized, methods=["GET", "POST", "DELETE", "PUT"])


@dataclass(frozen=True)
class _Outcome:
    """What the client is to see, what the idempotency key remembers (None: nothing), and whether the line dies."""

    shown: Answer
    remembered: Answer | None
    line: str = ""


def _view(world: StripeWorld, endpoint: Endpoint) -> Callable[..., Response]:
    def view(object_id: str = "") -> Response:
        request_id = f"req_{random_letters(14)}"
        try:
            _check_key(world)
            return _serve(world, endpoint, object_id, request_id)
        except StripeRefusal as refusal:
            return _response(_answer_of(refusal, request_id))

    return view


def _serve(world: StripeWorld, endpoint: Endpoint, object_id: str, request_id: str) -> Response:
    pairs = _pairs(endpoint.method)
    key = request.headers.get("Idempotency-Key") if endpoint.method == "POST" else None
    if key is not None:
        with world.world() as (_, now_s):
            known = world.keys.begin(key, request.path, urlencode(sorted(pairs)), now_s)
        if known is not None:
            return _replayed(known, request_id)
    remembered: Answer | None = None
    try:
        outcome = _carried_out(world, endpoint, object_id, pairs, Cause(request_id, key))
        remembered = outcome.remembered
    finally:
        if key is not None:
            with world.world():
                world.keys.finish(key, remembered)
    if outcome.line == "hang":
        world.stopping.wait(HANG_S)
    if outcome.line:
        cut_connection()
    return _response(outcome.shown)


def _carried_out(
    world: StripeWorld, endpoint: Endpoint, object_id: str, pairs: list[tuple[str, str]], cause: Cause
) -> _Outcome:
    request_id = cause.request_id or ""
    fault = world.faults.next_for(endpoint.method, request.path)
    world.stopping.wait(world.faults.latency_s)
    failed: Answer | None = None
    if fault is not None and fault.kind not in ("cut", "hang"):
        failed = _answer_of(refusal_of(fault.kind), request_id)
    line = "" if fault is None or failed is not None else fault.kind
    # Stripe remembers a 500 and answers it again; the other failures happen in front of the API.
    if fault is not None and fault.when == "before":
        nothing = Answer(500, b"", request_id)
        return _Outcome(failed or nothing, failed if fault.kind == "500" else None, line)
    try:
        truth, kept = _worked(world, endpoint, object_id, pairs, cause), True
    except StripeRefusal as refusal:
        truth, kept = _answer_of(refusal, request_id), refusal.stored
    if fault is not None and fault.kind == "500":
        return _Outcome(failed or truth, failed)
    return _Outcome(failed or truth, truth if kept else None, line)


def _worked(
    world: StripeWorld, endpoint: Endpoint, object_id: str, pairs: list[tuple[str, str]], cause: Cause
) -> Answer:
    params = checked(endpoint.rule, nested(pairs), "")
    expand = params.pop("expand", [])
    with world.world(cause) as (state, now_s):
        made = endpoint.handler(Call(state, params, object_id, now_s, request.path))
        shown = expanded(state, made, expand)
    return Answer(200, _bytes(shown), cause.request_id or "")


def _check_key(world: StripeWorld) -> None:
    given = _key_given(request.headers.get("Authorization", ""))
    if not given:
        raise unauthorized(
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See "
            "https://stripe.com/docs/api#authentication for details, or we can help at "
            "https://support.stripe.com/."
        )
    if given.startswith("pk_"):
        raise unauthorized(
            "This API call cannot be made with a publishable API key. Please use a secret API key. You can find "
            "a list of your API keys at https://dashboard.stripe.com/account/apikeys.",
            "secret_key_required",
        )
    if _TEST_KEY.match(given) is None or (world.api_key is not None and given != world.api_key):
        raise unauthorized(f"Invalid API Key provided: {_masked(given)}")


def _key_given(header: str) -> str:
    scheme, _, rest = header.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _masked(key: str) -> str:
    return f"{key[:8]}{'*' * max(0, min(len(key), 40) - 12)}{key[-4:]}" if len(key) > 16 else "*" * len(key)


def _pairs(method: str) -> list[tuple[str, str]]:
    raw = request.query_string
    if method == "POST":
        raw = request.get_data()
        kind = request.mimetype
        if raw and kind != "application/x-www-form-urlencoded":
            raise StripeRefusal(
                "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If "
                "you have any questions, we can help at https://support.stripe.com/."
            )
    try:
        return parse_qsl(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw), errors="strict")
    except ValueError as error:
        raise StripeRefusal("Invalid request: the parameters are not form-encoded UTF-8.") from error


def _bytes(shown: Json) -> bytes:
    return json.dumps(shown, indent=2, ensure_ascii=False).encode()


def _answer_of(refusal: StripeRefusal, request_id: str) -> Answer:
    return Answer(refusal.status, _bytes(refusal.body(request_id)), request_id, refusal.should_retry)


def _replayed(known: Answer, request_id: str) -> Response:
    answer = _response(known)
    answer.headers["Request-Id"] = request_id
    answer.headers["Original-Request"] = known.request_id
    answer.headers["Idempotent-Replayed"] = "true"
    return answer


def _response(answer: Answer) -> Response:
    made = Response(answer.body, answer.status, mimetype="application/json")
    made.headers["Request-Id"] = answer.request_id
    made.headers["Stripe-Version"] = request.headers.get("Stripe-Version", API_VERSION)
    made.headers["Cache-Control"] = "no-cache, no-store"
    key = request.headers.get("Idempotency-Key")
    if key is not None and request.method == "POST":
        made.headers["Idempotency-Key"] = key
    if answer.should_retry is not None:
        made.headers["Stripe-Should-Retry"] = "true" if answer.should_retry else "false"
    return made
