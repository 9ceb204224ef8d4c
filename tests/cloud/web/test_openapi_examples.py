"""Every example in the description of the API fits its schema, and is what the application takes and says."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from openapi_schema_validator import OAS31Validator
from werkzeug.test import TestResponse

from arcade_cloud.domain.api_keys import SCOPES
from arcade_cloud.domain.outbox import EVENT_TYPES
from arcade_cloud.domain.tab import TabLimit
from arcade_cloud.web import openapi
from arcade_cloud.web.openapi_examples import ERRORS, ERRORS_OF, EXAMPLES, MACHINE_ID, ORDER_ID, QUERY
from arcade_cloud.web.openapi_schemas import schemas
from arcade_shared.times import format_ms
from support.orders import only_payment
from support.site import INGEST_SECRET, Site

DOCUMENT = openapi.document("Arcade", "https://play.example")
OPERATIONS = [
    (path, method) for path, item in DOCUMENT["paths"].items() for method in item if method != "parameters"
]
JSON = "application/json"


def operation_of(path: str, method: str) -> Any:
    return DOCUMENT["paths"][path][method]


def with_examples(node: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every object of the document that may have an example."""
    if isinstance(node, dict):
        if "schema" in node or ("in" in node and "name" in node):
            yield where, node
        for name, inner in node.items():
            yield from with_examples(inner, f"{where}/{name}")
    elif isinstance(node, list):
        for number, inner in enumerate(node):
            yield from with_examples(inner, f"{where}/{number}")


PLACES = {
    where: node
    for where, node in with_examples({name: DOCUMENT[name] for name in ("paths", "webhooks")})
    if "/text~1html" not in where and not where.endswith(("text/html", "/Location"))
}


def closed(schema: Any) -> Any:
    """The schema with no other properties than it names, but for what is Stripe's or a whole document."""
    if isinstance(schema, dict):
        inner = {name: closed(value) for name, value in schema.items()}
        return {**inner, "additionalProperties": False} if "properties" in inner else inner
    return [closed(one) for one in schema] if isinstance(schema, list) else schema


def check(schema: Any, value: object) -> None:
    validator = OAS31Validator(
        {**closed(schema), "components": {"schemas": closed(DOCUMENT["components"]["schemas"])}},
        format_checker=OAS31Validator.FORMAT_CHECKER,
    )
    validator.validate(value)


@pytest.mark.parametrize("where", sorted(PLACES))
def test_every_body_answer_and_parameter_has_an_example_that_fits_its_schema(where: str) -> None:
    node = PLACES[where]
    assert "example" in node, where
    check(node["schema"], node["example"])


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_every_example_belongs_to_a_schema_and_fits_it(name: str) -> None:
    assert schemas()[name]["examples"] == [EXAMPLES[name]]
    check(schemas()[name], EXAMPLES[name])


def test_names_of_operations_are_unique() -> None:
    names = [operation_of(*one)["operationId"] for one in OPERATIONS]
    names += [item["post"]["operationId"] for item in DOCUMENT["webhooks"].values()]
    assert len(set(names)) == len(names)


# the running application


class Asked:
    """A site as the examples have it: `cab-01` is ready, and has sold something."""

    def __init__(self, *, has_sold: bool = True, **settings: Any) -> None:
        self.site = Site(**settings)
        self.order_id = self.sell() if has_sold else ORDER_ID
        _, self.key = self.site.software.keys.add("Examples", SCOPES, by="ann")

    def sell(self) -> str:
        """Two of three credits."""
        order_id = self.site.begin(3)
        self.site.pay(order_id)
        self.site.say_ack(order_id, "done", 2)
        self.site.deliver_events()
        self.site.cloud.fulfilment.run_once()
        return order_id

    def ask(self, path: str, method: str, *, headers: dict[str, str] | None = None, **change: Any) -> TestResponse:
        """Send an operation's example."""
        operation, item = operation_of(path, method), DOCUMENT["paths"][path]
        place, query, sent = path, {}, {"X-Ingest-Secret": INGEST_SECRET, **(headers or {})}
        if "security" in operation and path != "/ingest":
            sent.setdefault("X-Api-Key", self.key)
        for parameter in (*item.get("parameters", ()), *operation.get("parameters", ())):
            value = change.get(parameter["name"], parameter["example"])
            if parameter["in"] == "path":
                place = place.replace(f"{{{parameter['name']}}}", value.replace(ORDER_ID, self.order_id))
            elif parameter["in"] == "query":
                query[parameter["name"]] = value
        data, kind = b"", JSON
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            example = change.get("body", content["example"])
            data = json.dumps(example).encode() if kind == JSON else urlencode(example).encode()
        data = change.get("data", data)
        if "Stripe-Signature" in [one["name"] for one in operation.get("parameters", ())]:
            sent.setdefault("Stripe-Signature", self.site.signature(data))
        if path == "/":
            sent.setdefault("Accept", "text/html")
        address = f"{place}?{urlencode(query)}" if query else place
        return self.site.client.open(address, method=method.upper(), data=data, headers=sent, content_type=kind)


def check_like(answer: Any, example: Any) -> None:
    """The answer has the example's names; where both have a value, of the same type."""
    if isinstance(example, dict):
        assert isinstance(answer, dict)
        assert set(answer) == set(example)
        for name in example:
            check_like(answer[name], example[name])
    elif isinstance(example, list):
        assert isinstance(answer, list)
        for one in answer:
            check_like(one, example[0])
    elif answer is not None and example is not None:
        assert type(answer) is type(example)


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS])
def test_an_example_is_taken_and_answered_like_its_example(path: str, method: str) -> None:
    asked = Asked(tab_limits=(TabLimit(2000, "myr"),))
    change: dict[str, Any] = {} if path != "/takings" else {"from": _today(asked), "to": _today(asked)}
    if method == "post" and path.endswith(("/play", "/join", "/finish")):
        change["body"] = _of_a_tab(asked)
    answer = asked.ask(path, method, **change)
    responses = operation_of(path, method)["responses"]
    status = next(name for name in responses if name[0] in "23")
    assert str(answer.status_code) == status, answer.text
    content = responses[status].get("content", {}).get(JSON)
    if content is None:
        return
    check(content["schema"], answer.get_json())
    if path != "/openapi.json":
        check_like(answer.get_json(), content["example"])
    if path == "/takings":
        assert answer.get_json()["rows"], "nothing to compare"


def _of_a_tab(asked: Asked) -> dict[str, str]:
    """A form of an open tab, which this browser has."""
    site = asked.site
    site.client.post("/m/cab-01/tab", data={"limit": "2000"})
    cookie = site.client.get_cookie("tab")
    assert cookie is not None
    order = site.cloud.tabs.found(cookie.value)
    assert order is not None
    site.pay(order.order_id)
    pages = {"ticket": "/m/cab-01", "token": "/tab"}
    forms = {
        name: re.findall(rf'name="{name}" value="([^"]+)"', site.client.get(pages[name]).text) for name in pages
    }
    return {"ticket": forms["ticket"][-1], "token": forms["token"][0], "secret": cookie.value}


def _today(asked: Asked) -> str:
    return asked.site.cloud.takings.today().isoformat()


def _for_other_machines(asked: Asked) -> dict[str, str]:
    asked.site.add_machine("cab-02")
    _, text = asked.site.software.keys.add("Other", ("checkout", "gameover"), ("cab-02",), by="ann")
    return {"X-Api-Key": text}


def _without_the_scope(asked: Asked) -> dict[str, str]:
    _, text = asked.site.software.keys.add("Other", ("checkout",), by="ann")
    return {"X-Api-Key": text}


WRONG_KEY = {"X-Api-Key": "arcade_000000000000_" + "0" * 64, "X-Ingest-Secret": "wrong"}
SOFTWARE = ("/create-payment-link", "/gameover", "/takings")


# What an installation has to be like for an error that no request alone causes.
INSTALLED: dict[tuple[str | None, int], dict[str, Any]] = {
    ("/ingest", 403): {"ingest_secret": None},
    (None, 429): {"rate_limit_per_minute": 1, "has_sold": False},
    (None, 502): {"stripe_price_id": "price_gone", "has_sold": False},
}


def provoke(path: str, method: str, status: int) -> TestResponse:
    """Have an operation answer with that error."""
    asked = Asked(**INSTALLED.get((path, status), INSTALLED.get((None, status), {})))
    change: dict[str, Any] = {}
    match status:
        case 400:
            change = {"headers": {"Stripe-Signature": ""}}
        case 401:
            change = {"headers": WRONG_KEY}
        case 403 if path in SOFTWARE:
            change = {"headers": _without_the_scope(asked) if path == "/takings" else _for_other_machines(asked)}
        case 404 if path == "/":
            change = {"headers": {"Accept": JSON}}
        case 404 if "order_id" in path:
            change = {"order_id": "ord_nothing"}
        case 404:
            change = {"machine_id": "cab-99", "body": {"machine_id": "cab-99"}}
        case 409:
            asked.site.say_status("cab-01", state="offline", ready=False)
        case 413:
            change = {"data": b"x" * 2_000_000}
        case 422:
            change = {"data": b"x", "from": "yesterday"}
        case 429:
            keys = {} if path == "/takings" else {"headers": {"X-Api-Key": ""}}
            while asked.ask(path, method, **keys).status_code == 200:
                pass
            change = keys
        case 502:
            change = {"body": {"machine_id": "cab-01"}}
        case 503:
            if operation_of(path, method)["tags"] == ["Stripe"]:
                change = {"body": _an_event_of_ours(asked)}
            elif path == "/ingest":  # the broker alone is asked about a game over
                payload = asked.site.status_payload("cab-01").decode()
                change = {"body": {"topic": "arcade/machine/cab-01/status", "payload": payload}}
            asked.site.store.unavailable = True
    return asked.ask(path, method, **change)


def _an_event_of_ours(asked: Asked) -> Any:
    page = only_payment(asked.site.order(asked.site.begin(3))).checkout
    assert page is not None
    asked.site.payments.stripe.pay(page.session_id, "card")
    return asked.site.payments.stripe.take_events()[0]


PROVOKED = [
    (path, method, int(status))
    for path, method in OPERATIONS
    for status, response in operation_of(path, method)["responses"].items()
    if int(status) >= 400 and JSON in response.get("content", {})
]


@pytest.mark.parametrize(("path", "method", "status"), PROVOKED)
def test_an_error_is_as_its_example_says(path: str, method: str, status: int) -> None:
    answer = provoke(path, method, status)
    assert answer.status_code == status, answer.text
    content = operation_of(path, method)["responses"][str(status)]["content"][JSON]
    check(content["schema"], answer.get_json())
    assert answer.get_json()["error"]["code"] == content["example"]["error"]["code"]


def test_no_example_of_an_error_is_left_over() -> None:
    assert set(ERRORS) == {status for _, _, status in PROVOKED}
    assert set(ERRORS_OF) <= {(path, status) for path, _, status in PROVOKED}


# what is posted


def test_what_is_posted_is_like_its_example() -> None:
    asked = Asked()
    site = asked.site
    site.software.endpoints.add("https://shop.example/", EVENT_TYPES, by="ann")
    order_id = site.begin(3)
    site.pay(order_id)
    site.say_ack(order_id, "done", 2)
    site.deliver_events()
    outbox = site.cloud.fulfilment.outbox
    site.cloud.alerts.begin(
        "machine_silent", MACHINE_ID, "…", lambda begun: outbox.of_silence(begun, MACHINE_ID, "", site.now_ms)
    )
    site.software.delivery.run_once()
    posted = {body["type"]: body for body in (json.loads(body) for _, body, _ in site.poster.posted)}
    assert set(posted) == set(EVENT_TYPES) == set(DOCUMENT["webhooks"])
    for kind, body in posted.items():
        (content,) = DOCUMENT["webhooks"][kind]["post"]["requestBody"]["content"].values()
        check(content["schema"], body)
        check_like(body, content["example"])
        assert body["created"] == format_ms(site.now_ms)
    headers = site.poster.posted[0][2]
    (signature,) = DOCUMENT["webhooks"]["play.delivered"]["post"]["parameters"]
    assert signature["name"] in headers


def test_an_example_that_does_not_fit_is_found() -> None:
    """The checks above are no formality."""
    import jsonschema

    example = EXAMPLES["PaymentLink"]
    for wrong in ({**example, "more": 1}, {"url": example["url"]}, {**example, "orderId": 7}):
        with pytest.raises(jsonschema.ValidationError):
            check(schemas()["PaymentLink"], wrong)
    with pytest.raises(AssertionError):
        check_like({"url": "…"}, example)
    assert QUERY["format"] == "json"
