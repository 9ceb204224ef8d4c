"""Whatever JSON comes as an event: a proper answer, or an error that says what is wrong with it."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcade_cloud.entrypoints.aws_lambda.handler import Deadline, LambdaFunction, UnknownEvent
from support.lambda_events import SHAPES, http_event, sample
from support.site import Site

NAMES = st.sampled_from(
    ["source", "job", "for_s", "httpMethod", "path", "headers", "requestContext", "http", "elb", "body", "cookies"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True)
    | st.text(max_size=20)
    | st.sampled_from(["tick", "aws.events", "GET", "POST", "/status", "\ud800", "x" * 70, "[", "a:b:c"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=10), inner, max_size=5),
    max_leaves=12,
)
SAMPLES = (*SHAPES, "authorizer", "authorizer_2", "cloudfront", "queue", "scheduled", "scheduler", "websocket")


class Moment:
    """A context with a minute left."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


@pytest.fixture(scope="module")
def function() -> LambdaFunction:
    site = Site()
    return LambdaFunction(
        site.app,
        site.dependencies.fulfilment,
        site.reconciliation,
        site.cloud.recheck,
        (site.cloud.watch,),
        Deadline(lambda: 0.0),
        lambda _: None,
    )


def check_answered(function: LambdaFunction, event: object) -> dict[str, Any] | None:
    """The result of a request; None for a tick, and for an event that is refused in words."""
    try:
        result = function.handle(event, Moment())
    except UnknownEvent:
        return None
    if "job" in result:
        return None
    assert 200 <= result["statusCode"] < 500, (event, result)
    assert isinstance(result["body"], str)
    return result


@given(event=JSON)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_answered_or_refused_in_words(function: LambdaFunction, event: object) -> None:
    check_answered(function, event)


@given(name=st.sampled_from(SAMPLES), data=st.data())
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_event_of_aws_with_anything_anywhere_is_answered_or_refused(
    function: LambdaFunction, name: str, data: st.DataObject
) -> None:
    event = copy.deepcopy(sample(name))
    for _ in range(data.draw(st.integers(1, 3))):
        place: Any = event
        while True:
            key = data.draw(st.sampled_from(sorted(place)))
            if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
                break
            place = place[key]
        place[key] = data.draw(JSON)
    check_answered(function, event)


@pytest.mark.parametrize("source", [{}, [], {"aws.events": 1}, [["aws.events"]], None, 1, True])
def test_a_source_of_another_type_is_no_schedule(function: LambdaFunction, source: object) -> None:
    with pytest.raises(UnknownEvent, match="neither HTTP"):
        function.handle({"source": source}, Moment())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("body", ["not base64!", "a", "=", "ü", "\ud800"])
def test_a_body_that_claims_base64_and_is_none_is_a_bad_request(
    function: LambdaFunction, shape: str, body: str
) -> None:
    event = http_event(shape, "/webhook", method="POST")
    result = check_answered(function, {**event, "body": body, "isBase64Encoded": True})
    assert result is not None
    assert result["statusCode"] == 400
    assert '"code": "bad_request"' in result["body"]
