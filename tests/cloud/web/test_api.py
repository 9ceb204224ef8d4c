"""The JSON routes for kiosk and game software, and what holds for every route."""

import json
import logging

import pytest

from arcade_cloud.domain.events import Outcome
from arcade_cloud.errors import InvariantBroken, PaymentsRefused
from arcade_shared.messages import Gameover
from arcade_shared.signing import machine_key
from support.sealed import unseal
from support.site import BASE_URL, SIGNING_SECRET, Site, check_error

KEY = "a-key-for-game-software"


@pytest.fixture
def site() -> Site:
    return Site()


# --- status ----------------------------------------------------------------------------------------------


def test_status_is_up_whatever_else_is_down(site):
    site.store.unavailable = True
    site.broker.is_down = True
    site.payments.fault = lambda _: "before"
    answer = site.client.get("/status")
    assert answer.status_code == 200
    assert answer.text.strip() == '{"status":"up","message":"API is running"}'


# --- payment links ---------------------------------------------------------------------------------------


def test_a_payment_link_is_a_checkout_for_the_requested_credits(site):
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01", "quantity": 3})
    assert answer.status_code == 200
    body = answer.get_json()
    order = site.order(body["orderId"])
    assert body["url"] == order.checkout_url
    assert (order.ordered, order.amount_minor, order.currency, order.state) == (3, 300, "myr", "open")


def test_the_shortest_request_sells_one_credit(site):
    """The body that the guides show, as curl sends it."""
    answer = site.client.post(
        "/create-payment-link", data='{"machine_id":"cab-01"}', content_type="application/json"
    )
    assert site.order(answer.get_json()["orderId"]).ordered == 1


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded", "nonsense"])
def test_a_body_is_read_as_json_whatever_its_content_type(site, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    answer = site.client.post("/create-payment-link", data=b'{"machine_id": "cab-01"}', headers=headers)
    assert answer.status_code == 200


def test_unknown_keys_and_nulls_are_ignored(site):
    body = '{"machine_id": "cab-01", "price_id": null, "quantity": null, "colour": [{}]}'
    answer = site.client.post("/create-payment-link", data=body)
    assert site.order(answer.get_json()["orderId"]).ordered == 1


@pytest.mark.parametrize(
    "quantity", [0, -5, 101, 10**9, 10**30, True, False, 1.0, 1.5, 1e300, "3", "", [], [1], {}, {"a": 1}]
)
def test_a_quantity_is_an_integer_from_1_to_100(site, quantity):
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01", "quantity": quantity})
    assert "from 1 to 100" in check_error(answer, 422, "bad_request")
    assert site.payments.calls == []


@pytest.mark.parametrize("machine_id", ["#", "+", "a/b/../x", "", " cab-01", "cab-01\n", "ä", "x" * 65, "x" * 300])
def test_an_invalid_machine_id_is_bad_input(site, machine_id):
    for path in ("/create-payment-link", "/gameover"):
        check_error(site.client.post(path, json={"machine_id": machine_id}), 422, "bad_request")
    assert site.broker.sent == []


@pytest.mark.parametrize("machine_id", [None, 1, True, ["cab-01"], {"id": "cab-01"}])
def test_a_machine_id_of_another_type_is_bad_input(site, machine_id):
    for path in ("/create-payment-link", "/gameover"):
        message = check_error(site.client.post(path, json={"machine_id": machine_id}), 422, "bad_request")
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
def test_a_body_that_is_not_a_json_object_is_refused_with_an_example(site, body):
    for path in ("/create-payment-link", "/gameover"):
        message = check_error(site.client.post(path, data=body), 422, "bad_request")
        assert "The body" in message


def test_an_unknown_machine_is_not_found(site):
    check_error(site.client.post("/create-payment-link", json={"machine_id": "cab-99"}), 404, "unknown_machine")
    check_error(site.client.post("/gameover", json={"machine_id": "cab-99"}), 404, "unknown_machine")


def test_nobody_can_pay_for_a_machine_that_is_not_ready(site):
    site.say_status("cab-01", ready=False, reason="inhibited")
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    assert check_error(answer, 409, "not_ready") == "This machine is not ready."
    assert site.payments.calls == []


def test_nobody_can_pay_for_more_credits_than_the_machine_takes(site):
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01", "quantity": 51})
    assert "at most 50" in check_error(answer, 409, "not_ready")


def test_a_price_that_the_machine_does_not_sell_is_refused(site):
    """The caller cannot choose what a credit costs."""
    site.payments.stripe.add_price("price_cheap", 1)
    for price_id in ("price_cheap", "x" * 256, "", 7):
        answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01", "price_id": price_id})
        check_error(answer, 422, "bad_request")


def test_a_request_may_name_the_machines_own_price(site):
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01", "price_id": "price_play"})
    assert answer.status_code == 200


@pytest.mark.parametrize("call", ["read_price", "create_checkout"])
def test_when_stripe_does_not_respond_the_caller_should_try_again(site, call):
    site.payments.fault = lambda name: "after" if name == call else None
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    check_error(answer, 503, "payments_unavailable")
    assert answer.headers["Retry-After"]


def test_a_setup_that_stripe_refuses_is_not_the_callers_fault_and_is_only_logged(caplog):
    site = Site(stripe_price_id="price_of_another_account")
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    message = check_error(answer, 502, "payments_refused")
    assert "price_of_another_account" not in message
    assert "refused" in caplog.text


def test_a_store_that_is_down_is_a_503(site):
    site.store.unavailable = True
    for path in ("/create-payment-link", "/gameover"):
        answer = site.client.post(path, json={"machine_id": "cab-01"})
        assert "switched off" not in check_error(answer, 503, "store_unavailable")
        assert answer.headers["Retry-After"]


# --- game over -------------------------------------------------------------------------------------------


def test_a_game_over_is_published_signed_and_in_the_public_shape(site):
    answer = site.client.post("/gameover", json={"machine_id": "cab-01"})
    assert answer.status_code == 200
    assert answer.get_json() == {"message": "Game over signal sent"}
    (sent,) = site.broker.on("arcade/machine/cab-01/gameover")
    fields = json.loads(sent.payload)
    assert (fields["machineId"], fields["status"]) == ("cab-01", "game_over")
    assert fields["timestamp"]
    unseal([machine_key(SIGNING_SECRET, "cab-01")], sent.topic, sent.payload, Gameover)


@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Outcome.CONFIRMED, 200), (Outcome.NOBODY, 200), (Outcome.REFUSED, 503), (Outcome.UNKNOWN, 503)],
)
def test_a_game_over_counts_as_sent_when_the_broker_confirms_it(site, outcome, status):
    site.broker.answer("#", outcome)
    answer = site.client.post("/gameover", json={"machine_id": "cab-01"})
    if status == 200:
        assert answer.get_json() == {"message": "Game over signal sent"}
    else:
        check_error(answer, 503, "not_confirmed")


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"authorization": f"bearer {KEY}"}, {"X-Api-Key": KEY}]
)
def test_game_software_sends_the_key_in_either_header(headers):
    site = Site(gameover_api_key=KEY)
    assert site.client.post("/gameover", json={"machine_id": "cab-01"}, headers=headers).status_code == 200


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
    site = Site(gameover_api_key=KEY)
    answer = site.client.post("/gameover", json={"machine_id": "cab-01"}, headers=headers)
    assert KEY not in check_error(answer, 401, "unauthorized")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert site.broker.sent == []


def test_a_key_that_is_not_ascii_is_compared_as_bytes():
    site = Site(gameover_api_key="schlüssel-für-spiele")
    header = "schlüssel-für-spiele".encode().decode("latin-1")
    answer = site.client.post("/gameover", json={"machine_id": "cab-01"}, headers={"X-Api-Key": header})
    assert answer.status_code == 200


# --- how often -------------------------------------------------------------------------------------------


def test_a_caller_over_the_limit_learns_when_to_try_again():
    site = Site(rate_limit_per_minute=4)
    for path in ("/create-payment-link", "/gameover"):
        for _ in range(2):
            assert site.client.post(path, json={"machine_id": "cab-01"}).status_code == 200
        answer = site.client.post(path, json={"machine_id": "cab-01"})
        check_error(answer, 429, "too_many_requests")
        wait_s = int(answer.headers["Retry-After"])
        assert 30 <= wait_s <= 31
    site.now_ms += wait_s * 1000
    assert site.client.post("/gameover", json={"machine_id": "cab-01"}).status_code == 200


def test_one_address_does_not_use_up_anothers_requests():
    site = Site(rate_limit_per_minute=1)
    for address in ("192.0.2.1", "192.0.2.2"):
        answer = site.client.post(
            "/gameover", json={"machine_id": "cab-01"}, environ_base={"REMOTE_ADDR": address}
        )
        assert answer.status_code == 200


def test_requests_with_the_key_are_not_limited():
    site = Site(rate_limit_per_minute=1, gameover_api_key=KEY)
    for _ in range(5):
        answer = site.client.post("/gameover", json={"machine_id": "cab-01"}, headers={"X-Api-Key": KEY})
        assert answer.status_code == 200


@pytest.mark.parametrize(("proxies", "counted_alone"), [(0, False), (1, True)])
def test_a_forwarded_address_counts_only_from_a_trusted_proxy(proxies, counted_alone):
    site = Site(rate_limit_per_minute=1, trusted_proxies=proxies)
    statuses = [
        site.client.post(
            "/gameover", json={"machine_id": "cab-01"}, headers={"X-Forwarded-For": f"198.51.100.7, {address}"}
        ).status_code
        for address in ("192.0.2.1", "192.0.2.2")
    ]
    assert statuses == [200, 200 if counted_alone else 429]


def test_an_address_made_up_in_front_of_a_trusted_proxy_is_no_way_round_the_limit():
    site = Site(rate_limit_per_minute=1, trusted_proxies=1)
    statuses = [
        site.client.post(
            "/gameover", json={"machine_id": "cab-01"}, headers={"X-Forwarded-For": f"{made_up}, 192.0.2.1"}
        ).status_code
        for made_up in ("10.0.0.1", "10.0.0.2")
    ]
    assert statuses == [200, 429]


# --- every route -----------------------------------------------------------------------------------------


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
def test_what_does_not_exist_has_the_one_error_shape(site, method, path, status, code):
    check_error(site.client.open(path, method=method), status, code)


def test_a_wrong_method_names_the_right_one(site):
    answer = site.client.get("/webhook")
    assert "Use POST" in check_error(answer, 405)
    assert "POST" in answer.headers["Allow"]


def test_a_browser_at_an_unknown_address_gets_a_page(site):
    answer = site.client.get("/nothing/here", headers={"Accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.mimetype) == (404, "text/html")
    assert "+60 12-345 6789" in answer.text


@pytest.mark.parametrize("path", ["/create-payment-link", "/gameover"])
def test_a_body_beyond_its_bound_is_refused_in_the_one_error_shape(site, path):
    assert "65536" in check_error(site.client.post(path, data=b" " * 65_537), 413, "too_large")


def test_a_body_within_its_bound_is_read(site):
    body = b'{"machine_id": "cab-01"' + b" " * 65_000 + b"}"
    assert site.client.post("/gameover", data=body).status_code == 200


def test_a_defect_is_logged_with_its_trace_and_hidden_from_the_caller(site, monkeypatch, caplog):
    def broken(_: object) -> None:
        raise InvariantBroken("the secret detail")

    monkeypatch.setattr(site.store, "machine", broken)
    with caplog.at_level(logging.ERROR):
        answer = site.client.post("/gameover", json={"machine_id": "cab-01"})
    message = check_error(answer, 500, "internal")
    assert "secret detail" not in answer.text
    assert message == "Something went wrong on our side. It has been logged."
    assert "secret detail" in caplog.text
    assert "Traceback" in caplog.text


def test_even_an_error_that_nobody_foresaw_leaks_nothing(site, monkeypatch):
    def broken(_: object) -> None:
        raise RuntimeError("sk_test_site")

    monkeypatch.setattr(site.store, "machine", broken)
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    check_error(answer, 500, "internal")
    assert "sk_test_site" not in answer.text


def test_stripes_error_texts_never_reach_the_caller(site, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PaymentsRefused("api_key_expired", "Expired API Key provided: sk_test_*****rs")

    monkeypatch.setattr(site.payments, "create_checkout", refuse)
    answer = site.client.post("/create-payment-link", json={"machine_id": "cab-01"})
    check_error(answer, 502, "payments_refused")
    assert "sk_test" not in answer.text


def test_every_answer_forbids_what_it_does_not_need(site):
    for path in ("/status", "/m/cab-01", "/nothing", "/openapi.json"):
        headers = site.client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


def test_a_slash_at_the_end_changes_nothing(site):
    assert site.client.get("/status/").status_code == 200
    assert site.client.post("/gameover/", json={"machine_id": "cab-01"}).status_code == 200


def test_under_a_prefix_every_route_and_every_link_works(site):
    prefixed = {"environ_overrides": {"SCRIPT_NAME": "/prod"}}
    assert site.client.get("/status", **prefixed).status_code == 200
    page = site.client.get("/m/cab-01", **prefixed).text
    assert 'action="/prod/m/cab-01/checkout"' in page
    assert 'href="/prod/static/arcade.css?v=' in page
    assert 'data-state-url="/prod/m/cab-01?format=json&amp;lang=en"' in page
    back = site.client.get("/m/cab-01/checkout", **prefixed)
    assert back.headers["Location"] == "/prod/m/cab-01"


def test_stripe_sends_players_back_to_the_public_address(site):
    order = site.order(site.begin())
    assert order.checkout_url is not None
    assert site.client.get(f"/m/cab-01/o/{order.order_id}").status_code == 200
    assert site.dependencies.sales.base_url == BASE_URL
