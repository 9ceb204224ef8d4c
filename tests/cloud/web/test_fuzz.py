"""No input makes a route answer with 500, and every error has the same shape."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.site import INGEST_SECRET, Site, check_error

SECRET = {"X-Ingest-Secret": INGEST_SECRET}
# One application for all examples: what one of them leaves behind must not hurt the next.
FUZZ = settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["cab-01", "cab-99", "#", "arcade/machine/cab-01/ack", "arcade/cloud/echo", "base64", "price_play"]
    )
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
KEYS = st.sampled_from(["machine_id", "price_id", "quantity", "topic", "payload", "payload_encoding", "x"])
BODIES = st.dictionaries(KEYS, VALUES) | st.lists(st.dictionaries(KEYS, VALUES), max_size=5) | VALUES
HEADERS = st.sampled_from(
    ["Content-Type", "Authorization", "X-Api-Key", "Accept", "Stripe-Signature", "X-Forwarded-For"]
)
HEADER_VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40)


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


def check(answer: Any) -> None:
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400 and answer.mimetype != "text/html":
        check_error(answer, answer.status_code)


@pytest.mark.parametrize("path", ["/create-payment-link", "/gameover", "/ingest"])
@FUZZ
@given(body=BODIES, headers=st.dictionaries(HEADERS, HEADER_VALUES))
def test_any_json_is_answered(site, path, body, headers):
    check(site.client.post(path, data=json.dumps(body), headers={**headers, **SECRET}))


@pytest.mark.parametrize("path", ["/create-payment-link", "/gameover", "/ingest", "/webhook"])
@FUZZ
@given(body=st.binary(max_size=200), headers=st.dictionaries(HEADERS, HEADER_VALUES))
def test_any_bytes_are_answered(site, path, body, headers):
    check(site.client.post(path, data=body, headers={**headers, **SECRET}))


@FUZZ
@given(event=st.dictionaries(st.sampled_from(["id", "type", "created", "data", "object"]), VALUES) | VALUES)
def test_any_signed_event_is_answered(site, event):
    body = json.dumps(event).encode()
    check(site.client.post("/webhook", data=body, headers={"Stripe-Signature": site.signature(body)}))


@FUZZ
@given(
    what=st.sampled_from(["payment_intent.succeeded", "checkout.session.completed", "refund.failed"]),
    subject=st.dictionaries(
        st.sampled_from(
            ["id", "status", "amount", "currency", "metadata", "mode", "payment_intent", "latest_charge"]
        ),
        VALUES | st.sampled_from(["pi_1", "payment", "succeeded", "myr", {"order_id": "ord_1"}]),
    ),
)
def test_any_object_in_an_event_that_we_know_is_answered(site, what, subject):
    body = json.dumps({"id": "evt_x", "type": what, "created": 1, "data": {"object": subject}}).encode()
    check(site.client.post("/webhook", data=body, headers={"Stripe-Signature": site.signature(body)}))


@FUZZ
@given(
    offer_id=st.text(),
    quantity=st.text() | st.integers().map(str),
    machine_id=st.sampled_from(["cab-01", "cab-99", "é"]),
)
def test_any_form_is_answered(site, offer_id, quantity, machine_id):
    form = {"offer_id": offer_id, "quantity": quantity}
    check(site.client.post(f"/m/{machine_id}/checkout", data=form))


@FUZZ
@given(
    text=st.text(), cookie=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='",;\\'))
)
def test_any_form_of_a_tab_is_answered(site, text, cookie):
    site.client.set_cookie("tab", cookie)
    for path, name in (
        ("/m/cab-01/tab", "limit"),
        ("/m/cab-01/play", "ticket"),
        ("/tab/join", "secret"),
        ("/tab/finish", "token"),
    ):
        check(site.client.post(path, data={name: text}))
    check(site.client.get("/tab"))


@FUZZ
@given(
    prefix=st.sampled_from(["/", "/m/", "/m/cab-01/", "/m/cab-01/o/", "/static/", "/webhook/"]),
    path=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]),
    query=st.text(max_size=20),
)
def test_any_address_is_answered(site, prefix, path, method, query):
    path = prefix + path.lstrip("/").replace("?", "%3f")  # two slashes would begin a host's name
    answer = site.client.open(path, method=method, query_string=query)
    if method == "HEAD":
        assert answer.status_code < 500
    else:
        check(answer)
