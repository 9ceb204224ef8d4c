"""The JSON doors for kiosk and game software, and what holds for every door."""

import json
import logging

import pytest

from arcade_cloud.domain.events import Outcome
from arcade_cloud.errors import InvariantBroken, PaymentsRefused
from arcade_shared.messages import Gameover
from arcade_shared.signing import machine_key
from support.doors import BASE_URL, SIGNING_SECRET, Doors, check_error
from support.sealed import unseal

KEY = "a-key-for-game-software"


@pytest.fixture
def doors() -> Doors:
    return Doors()


# --- status ----------------------------------------------------------------------------------------------


def test_status_answers_exactly_this_whatever_else_is_down(doors):
    doors.store.unavailable = True
    doors.broker.is_down = True
    doors.payments.fault = lambda _: "before"
    answer = doors.client.get("/status")
    assert answer.status_code == 200
    assert answer.text.strip() == '{"status":"up","message":"API is running"}'


# --- payment links ---------------------------------------------------------------------------------------


def test_a_payment_link_is_a_checkout_for_as_many_credits_as_asked_for(doors):
    answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01", "quantity": 3})
    assert answer.status_code == 200
    body = answer.get_json()
    order = doors.order(body["orderId"])
    assert body["url"] == order.checkout_url
    assert (order.credits, order.amount_minor, order.currency, order.state) == (3, 300, "myr", "open")


def test_the_shortest_request_sells_one_credit(doors):
    """The body that the guides show, as curl sends it."""
    answer = doors.client.post(
        "/create-payment-link", data='{"machine_id":"cab-01"}', content_type="application/json"
    )
    assert doors.order(answer.get_json()["orderId"]).credits == 1


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_a_body_counts_for_what_it_is_whatever_its_content_type_says(doors, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = doors.client.post("/create-payment-link", data=b'{"machine_id": "cab-01"}', headers=headers)
    assert answer.status_code == 200


def test_unknown_keys_and_nulls_are_as_good_as_missing(doors):
    body = '{"machine_id": "cab-01", "price_id": null, "quantity": null, "colour": [{}]}'
    answer = doors.client.post("/create-payment-link", data=body)
    assert doors.order(answer.get_json()["orderId"]).credits == 1


@pytest.mark.parametrize(
    "quantity", [0, -5, 101, 10**9, 10**30, True, False, 1.0, 1.5, 1e300, "3", "", [], [1], {}, {"a": 1}]
)
def test_a_quantity_is_a_whole_number_from_1_to_100_and_nothing_else(doors, quantity):
    answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01", "quantity": quantity})
    assert "from 1 to 100" in check_error(answer, 422, "bad_request")
    assert doors.payments.calls == []


@pytest.mark.parametrize("machine_id", ["#", "+", "a/b/../x", "", " cab-01", "cab-01\n", "ä", "x" * 65, "x" * 300])
def test_what_is_no_machine_id_is_bad_input(doors, machine_id):
    for path in ("/create-payment-link", "/gameover"):
        check_error(doors.client.post(path, json={"machine_id": machine_id}), 422, "bad_request")
    assert doors.broker.sent == []


@pytest.mark.parametrize("machine_id", [None, 1, True, ["cab-01"], {"id": "cab-01"}])
def test_a_machine_id_of_another_type_is_bad_input(doors, machine_id):
    for path in ("/create-payment-link", "/gameover"):
        message = check_error(doors.client.post(path, json={"machine_id": machine_id}), 422, "bad_request")
        assert message.startswith("machine_id")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"cab-01"',
        b'{"machine_id": NaN}',
        b'{"machine_id": "cab-01",}',
        b"machine_id=cab-01",
        b'{"machine_id": "\xff\xfe"}',
        b'{"machine_id": "\\ud800"}',
        b'\xff\xfe{\x00"\x00',
        b'{"a":' * 5000,
        b"[" * 60_000,
        b'{"quantity": ' + b"9" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_answered_with_what_to_send(doors, body):
    for path in ("/create-payment-link", "/gameover"):
        message = check_error(doors.client.post(path, data=body), 422, "bad_request")
        assert "the body" in message


def test_an_unknown_machine_is_not_found(doors):
    check_error(doors.client.post("/create-payment-link", json={"machine_id": "cab-99"}), 404, "unknown_machine")
    check_error(doors.client.post("/gameover", json={"machine_id": "cab-99"}), 404, "unknown_machine")


def test_nobody_can_pay_for_a_machine_that_is_not_ready(doors):
    doors.say_status("cab-01", ready=False, reason="inhibited")
    answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    assert check_error(answer, 409, "not_ready") == "This machine is not ready."
    assert doors.payments.calls == []


def test_nobody_can_pay_for_more_than_the_machine_takes_at_once(doors):
    answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01", "quantity": 51})
    assert "at most 50" in check_error(answer, 409, "not_ready")


def test_a_price_that_the_machine_does_not_sell_is_refused(doors):
    """Whoever calls can't choose what a credit costs."""
    doors.payments.stripe.add_price("price_cheap", 1)
    for price_id in ("price_cheap", "x" * 256, "", 7):
        answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01", "price_id": price_id})
        check_error(answer, 422, "bad_request")


def test_the_machines_own_price_may_be_named(doors):
    answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01", "price_id": "price_play"})
    assert answer.status_code == 200


@pytest.mark.parametrize("call", ["read_price", "create_checkout"])
def test_without_stripes_verdict_the_caller_is_to_try_again(doors, call):
    doors.payments.fault = lambda name: "after" if name == call else None
    answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    check_error(answer, 503, "payments_unavailable")
    assert answer.headers["Retry-After"]


def test_a_set_up_that_stripe_refuses_is_no_fault_of_the_caller_and_its_text_stays_inside(caplog):
    doors = Doors(stripe_price_id="price_of_another_account")
    answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    message = check_error(answer, 502, "payments_refused")
    assert "price_of_another_account" not in message
    assert "refuses" in caplog.text


def test_a_store_that_is_down_is_no_500(doors):
    doors.store.unavailable = True
    for path in ("/create-payment-link", "/gameover"):
        answer = doors.client.post(path, json={"machine_id": "cab-01"})
        assert "switched off" not in check_error(answer, 503, "store_unavailable")
        assert answer.headers["Retry-After"]


# --- game over -------------------------------------------------------------------------------------------


def test_a_game_over_is_published_signed_and_in_the_public_shape(doors):
    answer = doors.client.post("/gameover", json={"machine_id": "cab-01"})
    assert answer.status_code == 200
    assert answer.get_json() == {"message": "Game over signal sent"}
    (sent,) = doors.broker.on("arcade/machine/cab-01/gameover")
    fields = json.loads(sent.payload)
    assert (fields["machineId"], fields["status"]) == ("cab-01", "game_over")
    assert fields["timestamp"]
    unseal([machine_key(SIGNING_SECRET, "cab-01")], sent.topic, sent.payload, Gameover)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.CONFIRMED, 200), (Outcome.NOBODY, 200), (Outcome.REFUSED, 503), (Outcome.UNKNOWN, 503)],
)
def test_sent_means_that_the_broker_has_confirmed_it(doors, outcome, status):
    doors.broker.answer("#", outcome)
    answer = doors.client.post("/gameover", json={"machine_id": "cab-01"})
    if status == 200:
        assert answer.get_json() == {"message": "Game over signal sent"}
    else:
        check_error(answer, 503, "not_confirmed")


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"X-Api-Key": KEY}]
)
def test_where_a_key_is_set_game_software_sends_it_along(headers):
    doors = Doors(gameover_api_key=KEY)
    assert doors.client.post("/gameover", json={"machine_id": "cab-01"}, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Bearer {KEY}x"},
        {"X-Api-Key": ""},
        {"X-Api-Key": KEY[:-1]},
        {"X-Api-Key": "ключ".encode().decode("latin-1")},
        {"X-Api-Key": "wrong", "Authorization": f"Bearer {KEY}"},
    ],
)
def test_without_the_right_key_nothing_is_published(headers):
    doors = Doors(gameover_api_key=KEY)
    answer = doors.client.post("/gameover", json={"machine_id": "cab-01"}, headers=headers)
    assert KEY not in check_error(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert doors.broker.sent == []


def test_a_key_that_is_not_ascii_works_as_the_bytes_that_it_is():
    doors = Doors(gameover_api_key="schlüssel-für-spiele")
    header = "schlüssel-für-spiele".encode().decode("latin-1")
    answer = doors.client.post("/gameover", json={"machine_id": "cab-01"}, headers={"X-Api-Key": header})
    assert answer.status_code == 200


# --- how often -------------------------------------------------------------------------------------------


def test_who_asks_too_often_is_told_when_to_come_back():
    doors = Doors(rate_limit_per_minute=2)
    for path in ("/create-payment-link", "/gameover"):
        for _ in range(2):
            assert doors.client.post(path, json={"machine_id": "cab-01"}).status_code == 200
        answer = doors.client.post(path, json={"machine_id": "cab-01"})
        check_error(answer, 429, "too_many_requests")
        wait_s = int(answer.headers["Retry-After"])
        assert 30 <= wait_s <= 31
    doors.now_ms += wait_s * 1000
    assert doors.client.post("/gameover", json={"machine_id": "cab-01"}).status_code == 200


def test_one_address_does_not_use_up_anothers_requests():
    doors = Doors(rate_limit_per_minute=1)
    for address in ("192.0.2.1", "192.0.2.2"):
        answer = doors.client.post(
            "/gameover", json={"machine_id": "cab-01"}, environ_base={"REMOTE_ADDR": address}
        )
        assert answer.status_code == 200


def test_who_has_the_key_is_not_counted():
    doors = Doors(rate_limit_per_minute=1, gameover_api_key=KEY)
    for _ in range(5):
        answer = doors.client.post("/gameover", json={"machine_id": "cab-01"}, headers={"X-Api-Key": KEY})
        assert answer.status_code == 200


@pytest.mark.parametrize(("proxies", "counted_alone"), [(0, False), (1, True)])
def test_what_a_proxy_says_of_the_address_counts_only_where_one_is_trusted(proxies, counted_alone):
    doors = Doors(rate_limit_per_minute=1, trusted_proxies=proxies)
    statuses = [
        doors.client.post(
            "/gameover", json={"machine_id": "cab-01"}, headers={"X-Forwarded-For": f"198.51.100.7, {address}"}
        ).status_code
        for address in ("192.0.2.1", "192.0.2.2")
    ]
    assert statuses == [200, 200 if counted_alone else 429]


def test_an_address_made_up_in_front_of_a_trusted_proxy_is_no_way_round_the_limit():
    doors = Doors(rate_limit_per_minute=1, trusted_proxies=1)
    statuses = [
        doors.client.post(
            "/gameover", json={"machine_id": "cab-01"}, headers={"X-Forwarded-For": f"{made_up}, 192.0.2.1"}
        ).status_code
        for made_up in ("10.0.0.1", "10.0.0.2")
    ]
    assert statuses == [200, 429]


# --- every door ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/nothing/here", 404, "not_found"),
        ("GET", "/static/../app.py", 404, "not_found"),
        ("GET", "/static/nothing.css", 404, "not_found"),
        ("GET", "/webhook", 405, "method_not_allowed"),
        ("DELETE", "/create-payment-link", 405, "method_not_allowed"),
        ("PUT", "/status", 405, "method_not_allowed"),
        ("BREW", "/gameover", 405, "method_not_allowed"),
        ("GET", "/%ff%fe", 404, "not_found"),
        ("GET", "/m/cab-99?format=json", 404, "unknown_machine"),
    ],
)
def test_what_does_not_exist_is_said_in_the_one_error_shape(doors, method, path, status, code):
    check_error(doors.client.open(path, method=method), status, code)


def test_a_wrong_method_is_told_the_right_one(doors):
    answer = doors.client.get("/webhook")
    assert "use POST" in check_error(answer, 405)
    assert "POST" in answer.headers["Allow"]


def test_a_browser_that_is_lost_gets_a_page(doors):
    answer = doors.client.get("/nothing/here", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "+60 12-345 6789" in answer.text


@pytest.mark.parametrize("path", ["/create-payment-link", "/gameover"])
def test_a_body_beyond_its_bound_is_refused_in_the_one_error_shape(doors, path):
    assert "65536" in check_error(doors.client.post(path, data=b" " * 65_537), 413, "too_large")


def test_a_body_within_its_bound_is_read(doors):
    body = b'{"machine_id": "cab-01"' + b" " * 65_000 + b"}"
    assert doors.client.post("/gameover", data=body).status_code == 200


def test_a_defect_is_recorded_with_its_trace_and_answered_with_a_constant_text(doors, monkeypatch, caplog):
    def broken(_: object) -> None:
        raise InvariantBroken("the secret detail")

    monkeypatch.setattr(doors.store, "machine", broken)
    with caplog.at_level(logging.ERROR):
        answer = doors.client.post("/gameover", json={"machine_id": "cab-01"})
    message = check_error(answer, 500, "internal")
    assert "secret detail" not in answer.text
    assert message == "Something went wrong here; it has been recorded."
    assert "secret detail" in caplog.text
    assert "Traceback" in caplog.text


def test_even_an_error_that_nobody_foresaw_leaks_nothing(doors, monkeypatch):
    def broken(_: object) -> None:
        raise RuntimeError("sk_test_doors")

    monkeypatch.setattr(doors.store, "machine", broken)
    answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    check_error(answer, 500, "internal")
    assert "sk_test_doors" not in answer.text


def test_stripes_words_reach_nobody_outside(doors, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PaymentsRefused("api_key_expired", "Expired API Key provided: sk_test_*****rs")

    monkeypatch.setattr(doors.payments, "create_checkout", refuse)
    answer = doors.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    check_error(answer, 502, "payments_refused")
    assert "sk_test" not in answer.text


def test_every_answer_forbids_what_it_does_not_need(doors):
    for path in ("/status", "/m/cab-01", "/nothing", "/openapi.json"):
        headers = doors.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_a_slash_at_the_end_changes_nothing(doors):
    assert doors.client.get("/status/").status_code == 200
    assert doors.client.post("/gameover/", json={"machine_id": "cab-01"}).status_code == 200


def test_under_a_prefix_every_door_and_every_link_works(doors):
    prefixed = {"environ_overrides": {"SCRIPT_NAME": "/prod"}}
    assert doors.client.get("/status", **prefixed).status_code == 200
    page = doors.client.get("/m/cab-01", **prefixed).text
    assert 'action="/prod/m/cab-01/checkout"' in page
    assert 'href="/prod/static/arcade.css?v=' in page
    assert 'data-state-url="/prod/m/cab-01?format=json"' in page
    back = doors.client.get("/m/cab-01/checkout", **prefixed)
    assert back.headers["Location"] == "/prod/m/cab-01"


def test_the_way_back_from_stripe_is_the_public_address(doors):
    order = doors.order(doors.begin())
    assert order.checkout_url is not None
    assert doors.client.get(f"/m/cab-01/o/{order.order_id}").status_code == 200
    assert doors.services.sales.base_url == BASE_URL
