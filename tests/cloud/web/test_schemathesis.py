"""Requests generated from the API description, valid and invalid: no 500, and every response is described."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from arcade_cloud.web import openapi
from support.site import INGEST_SECRET, Site

pytestmark = pytest.mark.heavy

API_KEY = "the game software's own key"
KEYS = {"X-Ingest-Secret": INGEST_SECRET, "X-Api-Key": API_KEY}
REPORTS = "/takings"
OPERATIONS = [
    (path, method)
    for path, item in openapi.document("Arcade", "https://play.example")["paths"].items()
    for method in item
    if method != "parameters"
]
CHECKED = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
# What the description cannot express: the messages of a batch are refused one by one, in an answer of 200.
ACCEPTING = ("/ingest",)
FUZZ = settings(max_examples=25, database=None, suppress_health_check=list(HealthCheck))


@dataclass(frozen=True)
class Described:
    """The site, and the requests that their description allows or forbids."""

    site: Site
    schema: Any
    keys: dict[str, str]


@pytest.fixture(scope="module")
def described() -> Iterator[Described]:
    load_all_checks()
    site = Site(gameover_api_key=API_KEY)
    _, key = site.software.keys.add("Books", ("takings",), by="ann")
    yield Described(site, schemathesis.openapi.from_wsgi("/openapi.json", site.app), {REPORTS: key})
    site.say_status("cab-01")  # after all of it a purchase goes as ever
    order_id = site.begin(2)
    site.pay(order_id)
    site.say_ack(order_id, "done", 2)
    assert site.order(order_id).state == "settled"


def for_cab_01(case: Any) -> None:
    """Have the request mean the machine that there is, where it names one."""
    for part in (case.path_parameters, case.body):
        if isinstance(part, dict) and "machine_id" in part:
            part["machine_id"] = "cab-01"


@pytest.mark.parametrize("mode", list(GenerationMode), ids=["as described", "against the description"])
@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS])
def test_every_request_is_answered_as_described(
    described: Described, path: str, method: str, mode: GenerationMode
) -> None:
    accepting = {"negative_data_rejection"} if path in ACCEPTING else set()
    checks = CHECKS.get_by_names([name for name in CHECKED if name not in accepting])
    allowed = mode is GenerationMode.POSITIVE

    @FUZZ
    @given(case=described.schema[path][method].as_strategy(generation_mode=mode), known=st.booleans())
    def every(case: Any, known: bool) -> None:
        if known and allowed:
            for_cab_01(case)
        keys = {**KEYS, "X-Api-Key": described.keys.get(path, API_KEY)}
        case.call_and_validate(headers=keys, checks=checks)

    try:
        every()
    except Unsatisfiable:
        assert not allowed, (
            "nothing fits the description"
        )  # and of a route without parameters nothing is forbidden


def test_the_routes_that_are_tried_are_those_of_the_application(described: Described) -> None:
    found = {(result.ok().path, result.ok().method) for result in described.schema.get_all_operations()}
    assert found | {("/openapi.json", "get")} == set(OPERATIONS)
    assert len(OPERATIONS) >= 12
