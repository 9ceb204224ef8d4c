"""HTTP events of AWS in each shape: what the application sees of them, and what becomes of its answer."""

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.entrypoints.aws_lambda.wsgi import BadEvent, respond, shape_of
from support.lambda_events import (
    ADDRESSES,
    FORGED_ADDRESS,
    PREFIXES,
    SHAPES,
    USUAL_ADDRESS,
    Answer,
    Pairs,
    answer_of,
    http_event,
    sample,
)

# The other shape has each name once: the balancer itself has dropped the others.
REPEATING = [shape for shape in SHAPES if shape != "balancer"]
NOT_HTTP = ("authorizer", "authorizer_2", "cloudfront", "queue", "scheduled", "scheduler", "websocket")


class Recorder:
    """A WSGI application that keeps what it was asked, and answers as it is told."""

    def __init__(self, status: str = "200 OK", headers: Pairs = (), body: tuple[bytes, ...] = (b"",)) -> None:
        self.status, self.headers, self.body = status, list(headers), body
        self.environ: dict[str, Any] = {}
        self.got = b""
        self.closed = 0

    def __call__(self, environ: Any, start_response: Any) -> "Recorder":
        self.environ, self.got = environ, environ["wsgi.input"].read()
        start_response(self.status, self.headers)
        return self

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.body)

    def close(self) -> None:
        self.closed += 1


def ask(shape: str, app: Any, path: str = "/status", **request: Any) -> Answer:
    return answer_of(shape, result_of(app, http_event(shape, path, **request)))


def result_of(app: Any, event: Any) -> dict[str, Any]:
    shape = shape_of(event)
    assert shape is not None
    return respond(app, shape, event, None)


def asked(shape: str, path: str = "/status", **request: Any) -> dict[str, Any]:
    return environ_of(http_event(shape, path, **request))


def environ_of(event: Any) -> dict[str, Any]:
    app = Recorder()
    result_of(app, event)
    return app.environ


# --- the request ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("path", ["/status", "/", "/m/cab-01/o/ord_1", "/prod", "/a b/%41/ü🕹"])
def test_the_path_arrives_with_its_stage_apart(shape: str, path: str) -> None:
    environ = asked(shape, path)
    seen = (environ["SCRIPT_NAME"] + environ["PATH_INFO"]).encode("latin-1").decode()
    if "%" in path:  # encoded by some, decoded by others: what has a percent sign of its own cannot be told apart
        seen, path = seen.replace("%41", "A"), path.replace("%41", "A")
    assert seen == PREFIXES[shape] + path
    if shape in {"rest", "http_api_stage"} and path != "/":
        assert environ["SCRIPT_NAME"] == PREFIXES[shape]


def test_a_stage_that_only_begins_like_the_path_is_left_alone() -> None:
    event = http_event("http_api_stage")
    event["rawPath"] = "/lively/status"
    environ = environ_of(event)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", "/lively/status")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("query", [(), (("a", "1"),), (("a", "1"), ("b", "&=+ %20"), ("ü", "🕹"))])
def test_the_query_arrives_as_it_was(shape: str, query: Pairs) -> None:
    environ = asked(shape, query=query)
    assert tuple(parse_qsl(environ["QUERY_STRING"])) == query


@pytest.mark.parametrize("shape", REPEATING)
def test_a_query_key_may_repeat(shape: str) -> None:
    query = (("format", "json"), ("format", "page"))
    assert tuple(parse_qsl(asked(shape, query=query)["QUERY_STRING"])) == query


def test_a_balancer_leaves_the_query_encoded() -> None:
    event = http_event("balancer")
    event["queryStringParameters"] = {"x": "a%2Bb+c"}
    assert parse_qsl(environ_of(event)["QUERY_STRING"]) == [("x", "a+b c")]


@pytest.mark.parametrize("shape", SHAPES)
def test_who_asks_is_who_connected_and_not_who_he_says(shape: str) -> None:
    """X-Forwarded-For begins with whatever the client wrote there."""
    headers = (("X-Forwarded-For", FORGED_ADDRESS),) if not shape.startswith("balancer") else ()
    environ = asked(shape, headers=headers)
    assert environ["REMOTE_ADDR"] == ADDRESSES.get(shape, USUAL_ADDRESS)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if not shape.startswith("balancer")])
def test_a_gateway_is_reached_over_https_whatever_the_client_says(shape: str) -> None:
    environ = asked(shape, headers=(("X-Forwarded-Proto", "http"), ("X-Forwarded-Port", "80")))
    assert (environ["wsgi.url_scheme"], environ["SERVER_PORT"]) == ("https", "443")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_balancer_says_how_the_client_reached_it(scheme: str) -> None:
    event = http_event("balancer")
    event["headers"]["x-forwarded-proto"] = scheme
    assert environ_of(event)["wsgi.url_scheme"] == scheme


@pytest.mark.parametrize("shape", ["rest", "http_api_1", "balancer_many"])
def test_of_two_content_types_the_first_counts(shape: str) -> None:
    environ = asked(shape, headers=(("Content-Type", "application/json"), ("content-type", "text/plain")))
    assert environ["CONTENT_TYPE"] == "application/json"


@pytest.mark.parametrize("shape", SHAPES)
def test_a_header_with_an_underscore_passes_for_no_other(shape: str) -> None:
    environ = asked(shape, headers=(("X-Ingest-Secret", "true"), ("X_Ingest_Secret", "forged")))
    assert environ["HTTP_X_INGEST_SECRET"] == "true"


@pytest.mark.parametrize("shape", REPEATING)
def test_repeated_headers_and_cookies_arrive_together(shape: str) -> None:
    headers = (("X-Many", "one"), ("X-Many", "two"), ("Cookie", "a=1; b=2"), ("Cookie", "c=3"))
    environ = asked(shape, headers=headers)
    assert environ["HTTP_X_MANY"].replace(", ", ",") == "one,two"
    assert environ["HTTP_COOKIE"] == "a=1; b=2; c=3"


def test_a_function_url_shows_cookies_twice_and_they_arrive_once() -> None:
    event = http_event("function_url", headers=(("Cookie", "a=1; b=2"),))
    event["headers"]["cookie"] = "a=1; b=2"
    assert environ_of(event)["HTTP_COOKIE"] == "a=1; b=2"


@pytest.mark.parametrize("shape", SHAPES)
def test_the_environment_is_one_that_wsgi_allows(shape: str) -> None:
    """PEP 3333: native strings of latin-1, a server's name and port, and the body's length."""
    environ = asked(
        shape,
        "/ü",
        method="POST",
        headers=(("Content-Type", "text/plain"), ("Transfer-Encoding", "chunked"), ("X-Name", "Zoë 🕹")),
        body="ü".encode(),
    )
    for name, value in environ.items():
        if isinstance(value, str):
            value.encode("latin-1")
        else:
            assert name.startswith(("wsgi.", "awsgi.")), name
    assert environ["HTTP_X_NAME"].encode("latin-1").decode() == "Zoë 🕹"
    assert (environ["CONTENT_TYPE"], environ["CONTENT_LENGTH"]) == ("text/plain", "2")
    assert not environ.keys() & {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"}
    assert environ["wsgi.url_scheme"] == "https"
    assert environ["SERVER_NAME"]
    assert environ["SERVER_PORT"] == "443"


@pytest.mark.parametrize("shape", SHAPES)
@given(body=st.binary(max_size=200))
def test_a_body_of_bytes_arrives_to_the_byte(shape: str, body: bytes) -> None:
    app = Recorder()
    ask(shape, app, method="POST", body=body, as_base64=True)
    assert app.got == body
    assert app.environ["CONTENT_LENGTH"] == str(len(body))


@pytest.mark.parametrize("shape", SHAPES)
@given(text=st.text(max_size=200))
def test_a_body_of_text_arrives_to_the_byte(shape: str, text: str) -> None:
    app = Recorder()
    ask(shape, app, method="POST", body=text.encode())
    assert app.got == text.encode()


@pytest.mark.parametrize("body", ["not base64!", "YWJj*", "ü"])
def test_a_body_that_is_not_base64_is_refused(body: str) -> None:
    event = http_event("http_api", method="POST", body=b"x", as_base64=True)
    with pytest.raises(BadEvent):
        result_of(Recorder(), {**event, "body": body})


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_not_http_is_no_request(name: str) -> None:
    """An authorizer's event has all that a REST request has, and wants a policy, not a page."""
    assert shape_of(sample(name)) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(shape=st.sampled_from(SHAPES), replacing=st.data())
def test_whatever_stands_in_an_event_it_is_a_request_or_none(shape: str, replacing: st.DataObject) -> None:
    event = http_event(shape)
    for name in replacing.draw(st.lists(st.sampled_from(sorted(event)), max_size=3)):
        event[name] = replacing.draw(JSON)
    event["isBase64Encoded"] = False
    if shape_of(event) is not None:
        result_of(Recorder(), event)


@pytest.mark.parametrize("shape", SHAPES)
def test_half_a_character_raises_nothing(shape: str) -> None:
    """JSON can hold a lone surrogate, which no encoding has bytes for."""
    event = http_event(shape, method="POST")
    lone = {"path": "/\ud800", "rawPath": "/\ud800", "rawQueryString": "a=\ud800", "body": "\ud800"}
    lone_pairs = {
        "headers": {"x-half": "\ud800"},
        "multiValueHeaders": {"x-half": ["\ud800"]},
        "queryStringParameters": {"a": "\ud800"},
        "multiValueQueryStringParameters": {"a": ["\ud800"]},
    }
    event |= {name: value for name, value in {**lone, **lone_pairs}.items() if name in event}
    environ = environ_of(event)
    for name in ("PATH_INFO", "QUERY_STRING", "HTTP_X_HALF"):
        environ[name].encode("latin-1")


@given(JSON)
def test_whatever_json_comes_it_is_a_request_or_none(event: Any) -> None:
    assert shape_of(event) is None


# --- the answer ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_repeated_headers_and_cookies_leave_together(shape: str) -> None:
    headers = (("Set-Cookie", "a=1"), ("Vary", "Accept"), ("Set-Cookie", "b=2"), ("Vary", "Cookie"))
    answer = ask(shape, Recorder("201 Created", headers))
    assert answer.status == 201
    assert sorted(answer.all("set-cookie")) == ["a=1", "b=2"]
    assert ", ".join(answer.all("vary")) == "Accept, Cookie"


def test_more_cookies_than_a_balancer_has_names_for_do_not_fail() -> None:
    cookies = tuple(("Set-Cookie", f"c{number}=1") for number in range(600))
    assert len(ask("balancer", Recorder(headers=cookies)).all("set-cookie")) == 2**9


@pytest.mark.parametrize("shape", SHAPES)
@given(parts=st.lists(st.binary(max_size=50), max_size=4))
def test_whatever_bytes_are_answered_arrive_as_they_are(shape: str, parts: list[bytes]) -> None:
    assert ask(shape, Recorder(body=tuple(parts))).body == b"".join(parts)


def test_text_leaves_as_text() -> None:
    """A REST API takes base64 apart only where it was set up to."""
    result = result_of(Recorder(body=("1 Kredit 🕹\r\n".encode(),)), http_event("rest"))
    assert (result["body"], result["isBase64Encoded"]) == ("1 Kredit 🕹\r\n", False)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_answer_is_closed_once_and_also_where_it_breaks(shape: str) -> None:
    whole = Recorder()
    ask(shape, whole)

    class Broken(Recorder):
        def __iter__(self) -> Iterator[bytes]:
            raise RuntimeError("half-way")

    broken = Broken()
    with pytest.raises(RuntimeError):
        ask(shape, broken)
    assert (whole.closed, broken.closed) == (1, 1)


def test_what_is_written_the_old_way_comes_first() -> None:
    def app(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"first, ")
        return [b"then"]

    assert ask("rest", app).body == b"first, then"


def test_a_large_answer_is_not_slow_to_put_together() -> None:
    parts = tuple(itertools.repeat(b"x" * 1000, 4000))
    assert len(ask("http_api", Recorder(body=parts)).body) == 4_000_000


def test_what_the_events_say_of_paths_is_what_a_browser_sends() -> None:
    """The support code encodes where AWS does: a check of the tests themselves."""
    assert http_event("http_api", "/a b")["rawPath"] == quote("/a b")
    assert http_event("rest", "/a b")["path"] == "/a b"
