"""The control endpoints: all that a demo or a checker needs, over HTTP and without a key."""

from typing import Any

import pytest
import requests
import stripe

from arcade_sandbox.stripe.control import CONTROLS
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import WebhookInbox, checkout_params


def control(sandbox: StripeSandbox, name: str, **fields: Any) -> Any:
    """A POST to a control endpoint; fails the test if it is refused."""
    answer = requests.post(f"{sandbox.base_url}/_sandbox/{name}", json=fields, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def look(sandbox: StripeSandbox, name: str) -> Any:
    """A GET of a control endpoint."""
    answer = requests.get(f"{sandbox.base_url}/_sandbox/{name}", timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.json()


def new_session(client: stripe.StripeClient) -> str:
    return client.v1.checkout.sessions.create(checkout_params()).id


def test_money_tells_what_became_of_each_payment(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    held = control(sandbox, "pay", session=new_session(client))["payment_intent"]
    client.v1.payment_intents.capture(held, {"amount_to_capture": 300})
    charged = control(sandbox, "pay", session=new_session(client), method="fpx", wait=False)["payment_intent"]
    client.v1.refunds.create({"payment_intent": charged, "amount": 200})
    control(sandbox, "pay", session=new_session(client), method="link")
    payments = look(sandbox, "money")["payments"]
    told = [(payment["captured"], payment["refunded"], payment["kept"], payment["method"]) for payment in payments]
    assert told == [(300, 0, 300, "card"), (500, 200, 300, "fpx"), (500, 0, 500, "link")]
    assert payments[0]["metadata"] == {"order_id": "order-1"}
    assert (payments[0]["amount"], payments[0]["currency"], payments[0]["status"]) == (500, "myr", "succeeded")
    assert payments[1]["refund_pending"] == 200


def test_banks_are_played_over_http(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    late = control(sandbox, "pay", session=new_session(client), method="fpx_later")["payment_intent"]
    assert control(sandbox, "settle_async", payment_intent=late, succeed=True)["status"] == "succeeded"
    refund = client.v1.refunds.create({"payment_intent": late, "amount": 100})
    failed = control(sandbox, "finish_refund", refund=refund.id, outcome="failed", reason="declined")
    assert (failed["status"], failed["failure_reason"]) == ("failed", "declined")
    dispute = control(sandbox, "open_dispute", payment_intent=late, amount=500, reason="product_not_received")
    assert control(sandbox, "close_dispute", dispute=dispute["id"], outcome="lost")["status"] == "lost"
    held = control(sandbox, "pay", session=new_session(client))["payment_intent"]
    assert control(sandbox, "expire_hold", payment_intent=held)["status"] == "canceled"


def test_webhooks_are_steered_over_http(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    with WebhookInbox() as inbox:
        settings = control(
            sandbox,
            "webhooks",
            urls=[inbox.url],
            secret="whsec_http",
            copies=2,
            delay_s=0,
            reorder_seed=1,
            reorder_window_s=0.1,
            drop=["price.created"],
            paused=True,
        )
        assert (settings["copies"], settings["drop"], settings["paused"]) == (2, ["price.created"], True)
        control(sandbox, "pay", session=new_session(client))
        assert look(sandbox, "deliveries")["queued"] == 8
        control(sandbox, "webhooks", paused=False, reorder_seed=None)
        got = inbox.wait_for("checkout.session.completed", 2)[0]
        assert stripe.WebhookSignature.verify_header(got.body, got.signature, "whsec_http", 300)
        control(sandbox, "redeliver", event=got.event["id"])
        inbox.wait_for("checkout.session.completed", 3)
        assert look(sandbox, "deliveries")["receivers"] == [inbox.url]


def test_an_event_from_elsewhere_is_signed_delivered_and_on_no_record(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    """As an endpoint for Connect gets them; the key of this account does not see what they are about."""
    with WebhookInbox() as inbox:
        control(sandbox, "webhooks", urls=[inbox.url], secret="whsec_http")
        control(sandbox, "elsewhere", account="acct_1")
        control(sandbox, "elsewhere", live=True)
        first, second = (got.event for got in inbox.wait_for("checkout.session.completed", 2))
        assert (first["account"], first["livemode"]) == ("acct_1", False)
        assert ("account" in second, second["livemode"]) == (False, True)
        with pytest.raises(stripe.InvalidRequestError, match="No such"):
            client.v1.checkout.sessions.retrieve(first["data"]["object"]["id"])
        assert first["id"] not in {event.id for event in client.v1.events.list()}


def test_faults_rules_and_the_clock_are_set_over_http(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    control(sandbox, "fail", kind="429", when="before", times=1, pattern="GET /v1/balance")
    with pytest.raises(stripe.RateLimitError):
        client.v1.balance.retrieve()
    control(sandbox, "fail", kind="500", times=9)
    control(sandbox, "latency", seconds=0.01)
    control(sandbox, "recover")
    assert client.v1.balance.retrieve().object == "balance"
    assert control(sandbox, "rules", refuse_partial_capture=True)["refuse_partial_capture"] is True
    session = new_session(client)
    before = look(sandbox, "state")["now"]
    assert control(sandbox, "advance", seconds=90_000)["now"] >= before + 90_000
    state = look(sandbox, "state")
    assert state["checkout.session"][0]["id"] == session
    assert state["checkout.session"][0]["status"] == "expired"


def test_the_list_of_controls_is_complete(sandbox: StripeSandbox) -> None:
    answer = requests.get(f"{sandbox.base_url}/_sandbox", timeout=10).json()
    assert set(answer) == {f"{entry.method} /_sandbox/{entry.name}" for entry in CONTROLS}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("pay", {}),
        ("pay", {"session": 5}),
        ("pay", {"session": "cs_test_none"}),
        ("pay", {"session": "nonsense"}),
        ("pay", {"session": "http://127.0.0.1/b/test_none"}),
        ("pay", {"session": "cs_test_none", "colour": "red"}),
        ("pay", []),
        ("advance", {"seconds": "many"}),
        ("advance", {"seconds": True}),
        ("advance", {"seconds": -5}),
        ("webhooks", {"drop": [1]}),
        ("webhooks", {"urls": ["nonsense"]}),
        ("webhooks", {"copies": 0}),
        ("fail", {"kind": "418"}),
        ("rules", {"held_payment_status": "perhaps"}),
        ("finish_refund", {"refund": "re_none", "outcome": "failed"}),
        ("close_dispute", {"dispute": "du_none", "outcome": "won"}),
        ("expire_hold", {"payment_intent": "pi_none"}),
        ("recover", {"all": True}),
    ],
)
def test_a_control_call_that_makes_no_sense_says_why(sandbox: StripeSandbox, name: str, body: object) -> None:
    answer = requests.post(f"{sandbox.base_url}/_sandbox/{name}", json=body, timeout=10)
    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"code", "message"}


def test_a_body_that_is_no_json_is_refused(sandbox: StripeSandbox) -> None:
    answer = requests.post(f"{sandbox.base_url}/_sandbox/pay", data=b"{", timeout=10)
    assert answer.status_code == 400
    assert requests.get(f"{sandbox.base_url}/_sandbox/none", timeout=10).status_code == 404
