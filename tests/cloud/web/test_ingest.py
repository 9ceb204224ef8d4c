"""The route for the broker's rule engine: each message on its own, and only with the secret and its signature."""

import base64
import json
from typing import Any

import pytest
from werkzeug.test import TestResponse

from arcade_cloud.errors import InvariantBroken
from support.site import INGEST_SECRET, Site, check_error

SECRET = {"X-Ingest-Secret": INGEST_SECRET}


@pytest.fixture
def site() -> Site:
    return Site()


def funded(site: Site, quantity: int = 3) -> str:
    """An order that has been paid and published."""
    order_id = site.begin(quantity)
    site.pay(order_id)
    assert site.order(order_id).state == "funded"
    return order_id


def ack(site: Site, order_id: str, state: str = "done", delivered: int = 3) -> dict[str, Any]:
    """What the rule engine forwards of an ack."""
    payload = site.ack_payload(site.order(order_id), state, delivered)
    return {"topic": "arcade/machine/cab-01/ack", "payload": json.loads(payload)}


def post(site: Site, body: object) -> TestResponse:
    return site.client.post("/ingest", json=body, headers=SECRET)


@pytest.mark.parametrize("form", ["object", "text", "base64", "indented"])
def test_an_ack_counts_in_every_form_that_a_rule_engine_forwards(site, form):
    order_id = funded(site)
    message = ack(site, order_id)
    text = json.dumps(message["payload"])
    if form == "text":
        message["payload"] = text
    elif form == "base64":
        message |= {"payload": base64.b64encode(text.encode()).decode(), "payload_encoding": "base64"}
    elif form == "indented":
        message["payload"] = json.dumps(message["payload"], indent=4)
    answer = post(site, message)
    assert answer.get_json() == {"accepted": 1, "refused": []}
    order = site.order(order_id)
    assert (order.state, order.delivered) == ("settled", 3)


def test_bad_messages_are_named_and_do_not_block_good_ones(site):
    order_id = funded(site)
    good = ack(site, order_id)
    forged = json.loads(json.dumps(good))
    forged["payload"]["delivered"] = 2
    body = [
        7,
        {},
        {"topic": 1, "payload": {}},
        {"topic": "arcade/machine/cab-01/ack"},
        {"topic": "arcade/machine/#/ack", "payload": {}},
        {"topic": "arcade/machine/cab-01/coinpulse", "payload": {}},
        {"topic": "x", "payload": []},
        {"topic": "x", "payload": "{", "payload_encoding": None},
        {"topic": "x", "payload": "%%%", "payload_encoding": "base64"},
        {"topic": "x", "payload": "é", "payload_encoding": "base64"},
        {"topic": "x", "payload": "{}", "payload_encoding": "rot13"},
        {"topic": "x", "payload": {"n": 10**30}},
        {"topic": "x", "payload": "x" * 5000},
        forged,
        good,
    ]
    answer = post(site, body)
    assert answer.status_code == 200
    result = answer.get_json()
    assert result["accepted"] == 1
    assert [refused["index"] for refused in result["refused"]] == list(range(len(body) - 1))
    assert all(refused["reason"] for refused in result["refused"])
    assert site.order(order_id).delivered == 3, "not what the forged one said"


def test_everything_twice_changes_nothing(site):
    order_id = funded(site)
    body = [ack(site, order_id, "accepted", 0), ack(site, order_id, "pulsing", 2), ack(site, order_id)]
    assert post(site, [*body, *reversed(body)]).get_json() == {"accepted": 6, "refused": []}
    settled = site.order(order_id)
    assert post(site, body).get_json()["accepted"] == 3
    assert site.order(order_id) == settled


def test_status_and_game_over_are_accepted_too(site):
    status = site.status_payload("cab-01", ready=False, reason="inhibited").decode()
    game_over = {"machineId": "cab-01", "status": "game_over", "timestamp": "now"}
    body = [
        {"topic": "arcade/machine/cab-01/status", "payload": status},
        {"topic": "arcade/machine/cab-01/gameover", "payload": game_over},
    ]
    assert post(site, body).get_json() == {"accepted": 2, "refused": []}
    presence = site.store.presence("cab-01")
    assert presence is not None
    assert not presence.ready


def test_when_nothing_can_be_stored_the_whole_batch_is_sent_again(site):
    order_id = funded(site)
    message = ack(site, order_id)
    site.store.unavailable = True
    check_error(post(site, [message]), 503, "store_unavailable")
    site.store.unavailable = False
    assert post(site, [message]).get_json()["accepted"] == 1
    assert site.order(order_id).delivered == 3


def test_a_defect_in_one_message_does_not_block_the_others(site, monkeypatch):
    order_id = funded(site)
    good = ack(site, order_id)
    real = site.store.order_of_credit

    def broken(credit_id: str) -> Any:
        if credit_id != good["payload"]["creditId"]:
            raise InvariantBroken("the secret detail")
        return real(credit_id)

    other = funded(site)
    bad = ack(site, other)
    monkeypatch.setattr(site.store, "order_of_credit", broken)
    answer = post(site, [bad, good])
    check_error(answer, 500, "internal")
    assert "secret detail" not in answer.text
    assert site.order(order_id).delivered == 3


@pytest.mark.parametrize(
    "headers",
    [{"X-Ingest-Secret": INGEST_SECRET}, {"Authorization": f"Bearer {INGEST_SECRET}"}],
)
def test_the_secret_is_accepted_in_either_header(site, headers):
    answer = site.client.post("/ingest", json=[], headers=headers)
    assert answer.get_json() == {"accepted": 0, "refused": []}


@pytest.mark.parametrize(
    "headers", [{}, {"X-Ingest-Secret": "guess"}, {"Authorization": f"Basic {INGEST_SECRET}"}]
)
def test_without_the_secret_the_body_is_not_read(site, headers):
    order_id = funded(site)
    answer = site.client.post("/ingest", json=ack(site, order_id), headers=headers)
    assert INGEST_SECRET not in check_error(answer, 401, "unauthorized")
    check_error(site.client.post("/ingest", data=b"{", headers=headers), 401, "unauthorized")
    assert site.order(order_id).state == "funded"


@pytest.mark.parametrize("headers", [{}, {"X-Ingest-Secret": ""}, {"Authorization": "Bearer "}])
def test_without_a_configured_secret_the_route_is_closed(headers):
    site = Site(ingest_secret=None)
    check_error(site.client.post("/ingest", json=[], headers=headers), 403, "closed")


def test_more_messages_than_a_batch_holds_are_refused_at_once(site):
    check_error(post(site, [{}] * 101), 422, "bad_request")
    assert len(post(site, [{}] * 100).get_json()["refused"]) == 100


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"NaN"])
def test_a_body_that_is_not_json_is_bad_input(site, body):
    check_error(site.client.post("/ingest", data=body, headers=SECRET), 422, "bad_request")


def test_nesting_just_within_what_can_be_read_is_no_defect(site):
    """Reading and writing JSON fail at different depths."""
    statuses = set()
    for depth in range(800, 1000):
        body = b'{"topic": "x", "payload": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        statuses.add(site.client.post("/ingest", data=body, headers=SECRET).status_code)
    assert statuses == {200, 422}


def test_a_full_batch_of_the_longest_payloads_fits_and_more_does_not(site):
    longest = {"topic": "arcade/machine/cab-01/status", "payload": "\\" * 4096}
    assert len(post(site, [longest] * 100).get_json()["refused"]) == 100
    check_error(site.client.post("/ingest", data=b" " * (1024 * 1024 + 1), headers=SECRET), 413, "too_large")
