"""What goes wrong on demand: with the real library, before and after the work is done."""

import pytest
import stripe

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe import api as stripe_api
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import checkout_params, stripe_client


@pytest.fixture
def charged(sandbox: StripeSandbox, client: stripe.StripeClient) -> str:
    """A payment intent of 500 that has been charged."""
    session = client.v1.checkout.sessions.create(checkout_params())
    return sandbox.pay(session.id, "fpx").payment_intent


def test_a_cut_line_after_the_work_is_repaired_by_the_same_key(sandbox: StripeSandbox, charged: str) -> None:
    sandbox.fail_next("cut", "after", pattern="POST /v1/refunds")
    patient = stripe_client(sandbox.base_url, retries=2)
    refund = patient.v1.refunds.create({"payment_intent": charged, "amount": 100})
    assert refund.amount == 100
    assert sandbox.money()[0]["refunded"] == 100


def test_a_cut_line_is_a_connection_error_to_who_does_not_repeat(
    sandbox: StripeSandbox, client: stripe.StripeClient, charged: str
) -> None:
    sandbox.fail_next("cut", "before")
    with pytest.raises(stripe.APIConnectionError):
        client.v1.refunds.create({"payment_intent": charged})
    assert sandbox.money()[0]["refunded"] == 0
    sandbox.fail_next("cut", "after")
    with pytest.raises(stripe.APIConnectionError):
        client.v1.refunds.create({"payment_intent": charged})
    assert sandbox.money()[0]["refunded"] == 500


def test_a_500_is_remembered_with_the_key_whether_or_not_the_work_was_done(
    sandbox: StripeSandbox, client: stripe.StripeClient, charged: str
) -> None:
    for when, refunded in (("before", 0), ("after", 100)):
        options: stripe.RequestOptions = {"idempotency_key": f"key-{when}"}
        sandbox.fail_next("500", "after" if when == "after" else "before")
        for _ in range(2):
            with pytest.raises(stripe.APIError) as caught:
                client.v1.refunds.create({"payment_intent": charged, "amount": 100}, options)
            assert caught.value.headers is not None
            assert caught.value.headers["Stripe-Should-Retry"] == "false"
        assert sandbox.money()[0]["refunded"] == refunded


@pytest.mark.parametrize("kind", ["409", "503"])
def test_a_passing_failure_is_repeated_by_the_library(sandbox: StripeSandbox, charged: str, kind: str) -> None:
    sandbox.fail_next("409" if kind == "409" else "503")
    patient = stripe_client(sandbox.base_url, retries=2)
    assert patient.v1.refunds.create({"payment_intent": charged}).amount == 500
    assert sandbox.money()[0]["refunded"] == 500


def test_a_rate_limit_is_told_and_not_repeated(
    sandbox: StripeSandbox, client: stripe.StripeClient, charged: str
) -> None:
    sandbox.fail_next("429", times=2, pattern="GET /v1/payment_intents/*")
    client.v1.balance.retrieve()
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            client.v1.payment_intents.retrieve(charged)
    assert client.v1.payment_intents.retrieve(charged).status == "succeeded"


def test_a_refusal_in_front_of_done_work_gives_way_to_the_truth(
    sandbox: StripeSandbox, client: stripe.StripeClient, charged: str
) -> None:
    sandbox.fail_next("429", "after")
    options: stripe.RequestOptions = {"idempotency_key": "k1"}
    with pytest.raises(stripe.RateLimitError):
        client.v1.refunds.create({"payment_intent": charged, "amount": 100}, options)
    assert client.v1.refunds.create({"payment_intent": charged, "amount": 100}, options).amount == 100
    assert sandbox.money()[0]["refunded"] == 100


def test_an_answer_may_hang_and_then_break_off(
    sandbox: StripeSandbox, client: stripe.StripeClient, charged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_api, "HANG_S", 0.2)
    sandbox.fail_next("hang", "after")
    with pytest.raises(stripe.APIConnectionError):
        client.v1.refunds.create({"payment_intent": charged, "amount": 100})
    assert sandbox.money()[0]["refunded"] == 100


def test_faults_can_be_taken_back(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.fail_next("500", times=5)
    sandbox.faults.set_latency(20)
    sandbox.faults.clear()
    assert client.v1.balance.retrieve().object == "balance"


def test_faults_that_make_no_sense_are_refused(sandbox: StripeSandbox) -> None:
    with pytest.raises(SandboxMisuse):
        sandbox.fail_next("418")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(SandboxMisuse):
        sandbox.fail_next("500", times=0)
    with pytest.raises(SandboxMisuse):
        sandbox.faults.set_latency(-1)
    with pytest.raises(SandboxMisuse):
        sandbox.advance(-1)
    with pytest.raises(SandboxMisuse):
        sandbox.set_rules(held_payment_status="perhaps")
    with pytest.raises(SandboxMisuse):
        sandbox.set_rules(refuse_partial_capture="yes")
    with pytest.raises(SandboxMisuse):
        sandbox.set_rules(gravity=True)
