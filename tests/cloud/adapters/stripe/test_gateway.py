"""What only the real gateway promises: what it asks of Stripe, how it fails, and that nothing else gets through.

The real library talks to the stand-in for Stripe, or to a server that answers nonsense.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

import pytest
import stripe

from arcade_cloud.adapters.stripe import gateway as stripe_gateway
from arcade_cloud.adapters.stripe.gateway import PRICE_TTL_S, StripeGateway
from arcade_cloud.domain.money import Offer
from arcade_cloud.errors import PaymentsRefused, PaymentsUnavailable
from arcade_cloud.ports.payments import CheckoutRequest
from arcade_sandbox.stripe.sandbox import StripeSandbox

KEY = "sk_test_51ArcadeSecretKeyOfTheOperator"


@pytest.fixture
def sandbox() -> Iterator[StripeSandbox]:
    with StripeSandbox() as running:
        yield running


@pytest.fixture
def gateway(sandbox: StripeSandbox) -> StripeGateway:
    return StripeGateway(KEY, api_base=sandbox.base_url, retries=0)


def _request(sandbox: StripeSandbox, **fields: Any) -> CheckoutRequest:
    values: dict[str, Any] = {
        "order_id": "o-1",
        "machine_id": "cab-01",
        "machine_name": "Daytona USA",
        "offer": Offer(offer_id="three", credits=3, amount_minor=900, currency="myr"),
        "quantity": 2,
        "success_url": "https://arcade.example/m/cab-01/o/o-1",
        "cancel_url": "https://arcade.example/m/cab-01",
        "expires_at_ms": int(sandbox.clock.now_s() * 1000) + 31 * 60_000,
        "site": "https://arcade.example",
        "mark": "5e" * 32,
    }
    return CheckoutRequest(**{**values, **fields})


def _held(sandbox: StripeSandbox, gateway: StripeGateway) -> str:
    made = gateway.create_checkout(_request(sandbox), key="checkout")
    return sandbox.pay(made.session_id, wait=False).payment_intent


# what is asked of Stripe


def test_a_checkout_asks_for_what_the_design_says(sandbox: StripeSandbox, gateway: StripeGateway) -> None:
    request = _request(sandbox)
    made = gateway.create_checkout(request, key="k")
    session = sandbox.object("checkout.session", made.session_id)
    metadata = {
        "order_id": "o-1",
        "machine_id": "cab-01",
        "site": "https://arcade.example",
        "arcade_mark": "5e" * 32,
    }
    assert session["mode"] == "payment"
    assert session["ui_mode"] == "hosted_page"
    assert session["metadata"] == metadata
    assert session["client_reference_id"] == "o-1"
    assert session["adaptive_pricing"] == {"enabled": False}
    assert session["expires_at"] == request.expires_at_ms // 1000
    assert session["success_url"] == request.success_url
    assert session["cancel_url"] == request.cancel_url
    assert session["amount_total"] == 1_800
    options = session["payment_method_options"]
    assert (options["card"]["capture_method"], options["link"]["capture_method"]) == ("manual", "manual")
    intent = sandbox.object("payment_intent", sandbox.pay(made.session_id, wait=False).payment_intent)
    assert intent["metadata"] == metadata
    assert intent["description"] == "3 credits · Daytona USA"


@pytest.mark.parametrize(
    ("credits", "name", "shown"),
    [
        (1, "Daytona USA", "1 credit · Daytona USA"),
        (3, "", "3 credits · cab-01"),
        (2, "街機" * 200, "2 credits · " + "街機" * 94),
    ],
)
def test_the_player_reads_what_is_bought(
    sandbox: StripeSandbox, gateway: StripeGateway, credits: int, name: str, shown: str
) -> None:
    offer = Offer(offer_id="a", credits=credits, amount_minor=900, currency="myr")
    made = gateway.create_checkout(_request(sandbox, offer=offer, machine_name=name), key="k")
    client = stripe.StripeClient(KEY, base_addresses={"api": sandbox.base_url})
    (item,) = client.v1.checkout.sessions.line_items.list(made.session_id).data
    assert item.description is not None
    assert item.description.startswith(shown)
    assert (item.quantity, item.amount_total) == (2, 1_800)


def test_a_refund_says_under_which_key_it_was_made(sandbox: StripeSandbox, gateway: StripeGateway) -> None:
    payment_intent = _held(sandbox, gateway)
    gateway.capture(payment_intent, 1_800, key="c")
    gateway.refund(payment_intent, 600, key="refund:o-1:1200:1")
    (refund,) = sandbox.dump()["refund"]
    assert refund["metadata"] == {"arcade_key": "refund:o-1:1200:1"}


def test_more_line_items_than_a_page_holds_are_all_read(sandbox: StripeSandbox, gateway: StripeGateway) -> None:
    client = stripe.StripeClient(KEY, base_addresses={"api": sandbox.base_url})
    prices = [str(sandbox.create_price(200, name=f"game {number}")["id"]) for number in range(12)]
    link = client.v1.payment_links.create({"line_items": [{"price": price, "quantity": 2} for price in prices]})
    session = sandbox.visit_link(link.url.rsplit("/", 1)[1])
    assert gateway.read_checkout(session["id"]).price_ids == dict.fromkeys(prices, 2)


def test_every_page_of_every_list_is_read(
    sandbox: StripeSandbox, gateway: StripeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is on the second page is money too. Stripe gives 100 a page; here it is asked for two."""
    monkeypatch.setattr(stripe_gateway, "_PAGE", 2)
    client = stripe.StripeClient(KEY, base_addresses={"api": sandbox.base_url})
    prices = [str(sandbox.create_price(200, name=f"game {number}")["id"]) for number in range(13)]
    link = client.v1.payment_links.create({"line_items": [{"price": price, "quantity": 1} for price in prices]})
    session_id = sandbox.visit_link(link.url.rsplit("/", 1)[1])["id"]
    payment_intent = sandbox.pay(session_id, "grabpay", wait=False).payment_intent
    for number in range(13):
        gateway.refund(payment_intent, 100, key=f"r{number}")
    for outcome in ("lost", "won", "won", "won", "won"):
        dispute = sandbox.open_dispute(payment_intent, 100)
        sandbox.close_dispute(dispute["id"], outcome)
    checkout = gateway.read_checkout(session_id)
    assert checkout.price_ids == dict.fromkeys(prices, 1)
    for payment in (checkout.payment, gateway.read_payment(payment_intent)):
        assert payment is not None
        assert payment.refunded_minor == 1_300
        assert payment.dispute == "lost"  # the first of five, on the last page


def test_nothing_is_imported_or_opened_before_the_first_call() -> None:
    """A cold start that only serves a status page does not load the library."""
    code = (
        "import sys; from arcade_cloud.adapters.stripe.gateway import StripeGateway;"
        "import arcade_cloud.adapters.stripe.events;"
        "StripeGateway('sk_test_x'); raise SystemExit('stripe' in sys.modules or 'requests' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=30).returncode == 0


def test_many_threads_use_one_gateway(sandbox: StripeSandbox) -> None:
    gateway = StripeGateway(KEY, api_base=sandbox.base_url, retries=0)
    sandbox.create_price(250, price_id="price_one")

    def buy(number: int) -> int:
        made = gateway.create_checkout(_request(sandbox, order_id=f"o-{number}"), key=f"k-{number}")
        payment_intent = sandbox.pay(made.session_id, wait=False).payment_intent
        gateway.capture(payment_intent, 300 + number, key=f"c-{number}")
        assert gateway.read_price("price_one").amount_minor == 250
        return gateway.read_payment(payment_intent).received_minor

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(buy, range(24))) == [300 + number for number in range(24)]


# how it fails


@pytest.mark.parametrize("kind", ["409", "429", "500", "502", "503", "cut"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_no_verdict_is_told_apart_from_a_refusal(
    sandbox: StripeSandbox, gateway: StripeGateway, kind: Any, when: Any
) -> None:
    payment_intent = _held(sandbox, gateway)
    sandbox.fail_next(kind, when)
    with pytest.raises(PaymentsUnavailable) as unavailable:
        gateway.capture(payment_intent, 600, key="c")
    assert KEY not in str(unavailable.value)
    taken = gateway.read_payment(payment_intent).received_minor
    assert taken == (600 if when == "after" else 0)


@pytest.mark.parametrize("kind", ["409", "503", "cut"])
def test_what_may_pass_is_tried_again_and_done_once(sandbox: StripeSandbox, kind: Any) -> None:
    gateway = StripeGateway(KEY, api_base=sandbox.base_url)
    payment_intent = _held(sandbox, gateway)
    gateway.capture(payment_intent, 1_800, key="c")
    sandbox.fail_next(kind, "after")
    gateway.refund(payment_intent, 600, key="r")
    payment = gateway.read_payment(payment_intent)
    assert payment.refunded_minor == 600


def test_a_server_that_does_not_answer_is_given_up(sandbox: StripeSandbox) -> None:
    gateway = StripeGateway(KEY, api_base=sandbox.base_url, retries=0, answer_s=0.2)
    sandbox.fail_next("hang")
    with pytest.raises(PaymentsUnavailable):
        gateway.check()


def test_no_call_is_begun_that_might_outlast_the_time_left(sandbox: StripeSandbox) -> None:
    """Where a process is frozen or stopped at a known moment, as on AWS Lambda."""
    left_s = [16.9, 17.1]  # two tries of 2 + 6 s, and a pause
    hurried = StripeGateway(
        KEY, api_base=sandbox.base_url, retries=1, answer_s=6.0, time_left_s=lambda: left_s.pop(0)
    )
    with pytest.raises(PaymentsUnavailable, match="too little time"):
        hurried.check()
    hurried.check()
    assert left_s == []


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(PaymentsUnavailable, match="no answer"):
        StripeGateway(KEY, api_base="http://127.0.0.1:1", retries=0).check()


def test_a_key_in_use_by_another_request_is_no_verdict(sandbox: StripeSandbox, gateway: StripeGateway) -> None:
    """Two workers with one effect: the second must not take the first one's work for refused."""
    payment_intent = _held(sandbox, gateway)
    sandbox.faults.set_latency(0.3)
    outcomes: list[str] = []

    def capture(_: int) -> None:
        try:
            gateway.capture(payment_intent, 600, key="c")
        except PaymentsUnavailable:
            outcomes.append("no verdict")
        else:
            outcomes.append("done")

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(capture, range(3)))
    sandbox.faults.set_latency(0)
    assert "done" in outcomes
    assert gateway.read_payment(payment_intent).received_minor == 600


@pytest.mark.parametrize("key", ["sk_test_51WrongKeyOfSomebody", "pk_test_51PublishableKey", "nonsense", " "])
def test_a_wrong_key_is_refused_with_what_to_check_and_without_the_key(key: str) -> None:
    with StripeSandbox(api_key=KEY) as sandbox, pytest.raises(PaymentsRefused) as refusal:
        StripeGateway(key, api_base=sandbox.base_url, retries=0).check()
    assert refusal.value.code == "authentication"
    assert "STRIPE_API_KEY" in str(refusal.value)
    assert key.strip() == "" or key not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


@pytest.mark.parametrize("bad", ["", " ", "pi_a b", "x" * 256, "pi_\n", "pi_é"])
def test_what_can_not_be_an_id_is_never_sent(bad: str) -> None:
    """An empty id would ask for the list of all payments."""
    gateway = StripeGateway(KEY, api_base="http://127.0.0.1:1", retries=0)
    for call in (
        lambda: gateway.read_payment(bad),
        lambda: gateway.read_checkout(bad),
        lambda: gateway.read_price(bad),
        lambda: gateway.capture(bad, 1, key="c"),
        lambda: gateway.cancel(bad, key="x"),
        lambda: gateway.refund(bad, 1, key="r"),
    ):
        with pytest.raises(PaymentsRefused) as refusal:
            call()
        assert refusal.value.code == "resource_missing"


def test_an_id_can_not_reach_another_path(sandbox: StripeSandbox, gateway: StripeGateway) -> None:
    sandbox.create_price(250, price_id="price_one")
    with pytest.raises(PaymentsRefused):
        gateway.read_payment("../prices/price_one")


# prices are kept for a while


def test_a_price_is_asked_for_once_a_minute(sandbox: StripeSandbox) -> None:
    now_s = [1_000.0]
    gateway = StripeGateway(KEY, api_base=sandbox.base_url, retries=0, monotonic_s=lambda: now_s[0])
    client = stripe.StripeClient(KEY, base_addresses={"api": sandbox.base_url})
    sandbox.create_price(250, name="1 credit", price_id="price_one")
    assert gateway.read_price("price_one").label == "1 credit"
    client.v1.prices.update("price_one", {"nickname": "A play"})
    now_s[0] += PRICE_TTL_S - 1
    assert gateway.read_price("price_one").label == "1 credit"
    now_s[0] += 2
    assert gateway.read_price("price_one").label == "A play"
    client.v1.prices.update("price_one", {"active": False})
    now_s[0] += PRICE_TTL_S + 1
    with pytest.raises(PaymentsRefused, match="not active"):
        gateway.read_price("price_one")


# nonsense instead of Stripe


class Serve(Protocol):
    def __call__(self, answer: object, status: int = 200) -> StripeGateway: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A gateway whose Stripe gives the same answer to everything. Each has to have answered once."""
    servers: dict[ThreadingHTTPServer, list[int]] = {}

    def start(answer: object, status: int = 200) -> StripeGateway:
        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                answered.append(status)  # before the last byte, with which the test may end
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _answer  # noqa: N815 - the names that http.server asks for

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        answered = servers[server] = []
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return StripeGateway(KEY, api_base=f"http://127.0.0.1:{server.server_port}", retries=0)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
    assert all(servers.values()), "a stand-in gave no answer, which to a gateway is the same as a bad one"


@pytest.mark.parametrize(
    ("status", "code", "refused_as"),
    [
        (400, "parameter_unknown", "parameter_unknown"),
        (400, None, "invalid_request_error"),
        (402, "card_declined", "card_declined"),
        (404, "resource_missing", "resource_missing"),
        (410, None, "invalid_request_error"),
        (401, "api_key_expired", "authentication"),
        (403, "more_permissions_required", "permission"),
        (400, "rate_limit", None),
        (400, "lock_timeout", None),
        (400, "idempotency_key_in_use", None),
        (408, None, None),
        (409, None, None),
        (425, None, None),
        (429, None, None),
        (500, "resource_missing", None),
        (503, None, None),
        (302, None, None),
    ],
)
def test_only_a_definite_no_is_a_refusal(
    serve: Serve, status: int, code: str | None, refused_as: str | None
) -> None:
    error = {"type": "invalid_request_error", "message": "No.", **({} if code is None else {"code": code})}
    gateway = serve({"error": error}, status)
    with pytest.raises(PaymentsRefused if refused_as else PaymentsUnavailable) as raised:
        gateway.capture("pi_1", 1, key="c")
    assert getattr(raised.value, "code", None) == refused_as


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_that_is_not_stripe_s_is_no_verdict(serve: Serve, status: int) -> None:
    """A proxy's 404 is not Stripe's word that a payment does not exist."""
    for body in (b"<html>Not found</html>", b"{}", {"error": "nope"}, {"error": None}):
        with pytest.raises(PaymentsUnavailable):
            serve(body, status).read_payment("pi_1")


INTENT = {"id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 1, "currency": "myr"}


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>Sign in to the hotel's Wi-Fi</html>",
        b"\xff\xfe",
        b"null",
        b"[" * 100_000,
        b"[1, 2]",
        b'"text"',
        b"7",
        {},
        {"object": "list", "data": [], "has_more": False},
        {**INTENT, "id": ""},
        {**INTENT, "status": "quantum"},
        {**INTENT, "status": ["succeeded"]},
        {**INTENT, "amount": -1},
        {**INTENT, "amount": "1"},
        {**INTENT, "amount": None},
        {**INTENT, "currency": "ringgit"},
        {**INTENT, "latest_charge": {"id": "ch_1", "object": "charge", "status": "succeeded", "created": "now"}},
        {
            **INTENT,
            "latest_charge": {
                "id": "ch_1",
                "object": "charge",
                "refunds": {"object": "list", "data": [{"id": "re_1", "status": "lost at sea", "amount": 1}]},
            },
        },
    ],
)
def test_an_answer_that_is_not_understood_is_no_verdict(serve: Serve, answer: object) -> None:
    gateway = serve(answer)
    with pytest.raises(PaymentsUnavailable):
        gateway.read_payment("pi_1")


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": [3]}, {"data": [{"type": "no id"}]}])
def test_a_list_of_events_that_is_none_is_no_verdict(serve: Serve, answer: object) -> None:
    """If it counted as an empty list, it would say that nobody has paid."""
    with pytest.raises(PaymentsUnavailable):
        serve(answer).read_events(("checkout.session.completed",), since_ms=0)


def test_a_listed_event_of_no_known_shape_is_passed_over(serve: Serve) -> None:
    """One of them must not hide the others."""
    good = {"id": "evt_3", "type": "charge.refunded", "created": 1, "data": {"object": {"payment_intent": "pi_1"}}}
    rubbish = [{"id": "evt_1"}, {"id": "evt_2", "type": "checkout.session.completed"}]
    page = serve({"object": "list", "data": [*rubbish, good], "has_more": True}).read_events(
        ("charge.refunded",), since_ms=0
    )
    assert [report.event_id for report in page.reports] == ["evt_3"]
    assert page.after == "evt_3"


def test_a_checkout_that_is_not_understood_is_no_verdict(serve: Serve) -> None:
    session = {"id": "cs_1", "object": "checkout.session", "status": "open", "expires_at": 1, "url": None}
    for broken in ({**session, "status": "ajar"}, {**session, "expires_at": None}, {**session, "id": 7}):
        with pytest.raises(PaymentsUnavailable):
            serve(broken).read_checkout("cs_1")
    items = {"object": "list", "data": [{"id": "li_1", "object": "item", "quantity": None, "price": None}]}
    with pytest.raises(PaymentsUnavailable):
        serve({**session, "line_items": items}).read_checkout("cs_1")


def test_the_prices_that_are_kept_are_bounded(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    price = {
        "id": "price_x",
        "object": "price",
        "active": True,
        "type": "one_time",
        "billing_scheme": "per_unit",
        "unit_amount": 1,
        "currency": "myr",
        "product": "prod_1",
    }
    gateway = serve(price)
    monkeypatch.setattr(stripe_gateway, "MAX_PRICES", 5)
    for number in range(9):
        gateway.read_price(f"price_{number}")
    assert list(gateway._prices) == [f"price_{number}" for number in range(4, 9)]
