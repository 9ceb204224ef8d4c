"""The description of the API is complete, valid and true."""

import re

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from arcade_cloud.domain.tab import TabLimit
from support.site import INGEST_SECRET, Site


@pytest.fixture
def site() -> Site:
    return Site()


def routes_of(site: Site) -> set[tuple[str, str]]:
    """Each (path, method) of the application."""
    found = set()
    for rule in site.app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        if not path.startswith("/static/"):
            found |= {(path, method.lower()) for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return found


def test_every_route_is_described_and_nothing_else_is(site):
    described = {
        (path, method)
        for path, item in site.client.get("/openapi.json").get_json()["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert described == routes_of(site)


def test_the_description_is_openapi_3_1(site):
    document = site.client.get("/openapi.json").get_json()
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()


def test_answers_are_as_described(site):
    document = site.client.get("/openapi.json").get_json()
    order_id = site.begin(2)
    secret = {"X-Ingest-Secret": INGEST_SECRET}
    answers = {
        "Status": site.client.get("/status"),
        "PaymentLink": site.client.post("/create-payment-link", json={"machine_id": "cab-01"}),
        "Message": site.client.post("/gameover", json={"machine_id": "cab-01"}),
        "Received": site.post_event({"id": "evt_1", "type": "invoice.paid"}),
        "Ingested": site.client.post("/ingest", json=[{}], headers=secret),
        "MachineState": site.client.get("/m/cab-01?format=json"),
        "OrderState": site.client.get(f"/m/cab-01/o/{order_id}?format=json"),
        "Error": site.client.get("/nothing"),
    }
    _check_answers(document, answers)


def test_answers_about_a_tab_are_as_described():
    site = Site(tab_limits=(TabLimit(2000, "myr"),))
    document = site.client.get("/openapi.json").get_json()
    assert site.client.post("/m/cab-01/tab", data={"limit": "2000"}).status_code == 303
    (order,) = site.store.recent_orders(5)
    for _ in range(2):
        answers = {
            "MachineState": site.client.get("/m/cab-01?format=json"),
            "OrderState": site.client.get(f"/m/cab-01/o/{order.order_id}?format=json"),
        }
        _check_answers(document, answers)
        if site.order(order.order_id).state == "open":
            site.pay(order.order_id)
    assert "tab" in site.client.get("/m/cab-01?format=json").get_json()


def _check_answers(document, answers):
    for name, answer in answers.items():
        schema = {
            "$ref": f"#/components/schemas/{name}",
            "components": {
                "schemas": {
                    key: {**value, "additionalProperties": False} if "properties" in value else value
                    for key, value in document["components"]["schemas"].items()
                }
            },
        }
        jsonschema.Draft202012Validator(schema).validate(answer.get_json())
