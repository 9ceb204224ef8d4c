"""Idempotency keys: replayed, refused, forgotten, and never carried out twice, whatever happens to the answer."""

import threading

import pytest
import requests
import stripe

from arcade_sandbox.stripe.idempotency import KEY_LIFE_S, Answer
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import TEST_KEY, checkout_params, stripe_client


@pytest.fixture
def charged(sandbox: StripeSandbox, client: stripe.StripeClient) -> str:
    """A payment intent of 500 that has been charged."""
    session = client.v1.checkout.sessions.create(checkout_params())
    return sandbox.pay(session.id, "fpx").payment_intent


def post(sandbox: StripeSandbox, path: str, key: str, **params: object) -> requests.Response:
    """A bare POST, to see the headers."""
    headers = {"Authorization": f"Bearer {TEST_KEY}", "Idempotency-Key": key}
    return requests.post(f"{sandbox.base_url}{path}", data=params, headers=headers, timeout=20)


def test_the_same_key_and_parameters_get_the_stored_answer(sandbox: StripeSandbox, charged: str) -> None:
    first = post(sandbox, "/v1/refunds", "k1", payment_intent=charged, amount=100)
    again = post(sandbox, "/v1/refunds", "k1", amount=100, payment_intent=charged)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.content == again.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["Original-Request"] == first.headers["Request-Id"]
    assert again.headers["Request-Id"] != first.headers["Request-Id"]
    assert sandbox.money()[0]["refunded"] == 100


def test_the_same_key_with_other_parameters_is_an_idempotency_error(
    sandbox: StripeSandbox, client: stripe.StripeClient, charged: str
) -> None:
    client.v1.refunds.create({"payment_intent": charged, "amount": 100}, {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError, match="same parameters") as caught:
        client.v1.refunds.create({"payment_intent": charged, "amount": 200}, {"idempotency_key": "k1"})
    assert caught.value.http_status == 400
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.payment_intents.cancel(charged, {}, {"idempotency_key": "k1"})
    assert sandbox.money()[0]["refunded"] == 100


def test_a_key_in_use_is_a_conflict_that_may_be_repeated(sandbox: StripeSandbox, charged: str) -> None:
    sandbox.faults.set_latency(1.0)
    answers: list[requests.Response] = []

    def refund() -> None:
        answers.append(post(sandbox, "/v1/refunds", "k1", payment_intent=charged, amount=100))

    threads = [threading.Thread(target=refund) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    conflicts = [answer for answer in answers if answer.status_code == 409]
    assert len(answers) == 4
    assert len(conflicts) == 3
    assert {answer.json()["error"]["code"] for answer in conflicts} == {"idempotency_key_in_use"}
    assert {answer.headers["Stripe-Should-Retry"] for answer in conflicts} == {"true"}
    assert sandbox.money()[0]["refunded"] == 100


def test_the_library_repeats_a_conflict_and_gets_the_first_answer(
    sandbox: StripeSandbox, client: stripe.StripeClient, charged: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds_its_key, begin = threading.Event(), sandbox.keys.begin

    def noted(key: str, path: str, params: str, now_s: int) -> Answer | None:
        known = begin(key, path, params, now_s)
        holds_its_key.set()
        return known

    monkeypatch.setattr(sandbox.keys, "begin", noted)
    sandbox.faults.set_latency(0.4)
    slow = threading.Thread(target=post, args=(sandbox, "/v1/refunds", "k1"), kwargs={"payment_intent": charged})
    slow.start()
    assert holds_its_key.wait(10)
    patient = stripe_client(sandbox.base_url, retries=2)
    refund = patient.v1.refunds.create({"payment_intent": charged}, {"idempotency_key": "k1"})
    slow.join(20)
    assert refund.amount == 500
    assert len(client.v1.refunds.list({"payment_intent": charged}).data) == 1


def test_keys_are_forgotten_after_a_day(sandbox: StripeSandbox, client: stripe.StripeClient, charged: str) -> None:
    options: stripe.RequestOptions = {"idempotency_key": "k1"}
    first = client.v1.refunds.create({"payment_intent": charged, "amount": 100}, options)
    sandbox.advance(KEY_LIFE_S - 60)
    assert client.v1.refunds.create({"payment_intent": charged, "amount": 100}, options).id == first.id
    sandbox.advance(120)
    assert client.v1.refunds.create({"payment_intent": charged, "amount": 100}, options).id != first.id
    assert sandbox.money()[0]["refunded"] == 200


def test_a_request_with_wrong_parameters_leaves_its_key_free(sandbox: StripeSandbox, charged: str) -> None:
    wrong = post(sandbox, "/v1/refunds", "k1", payment_intent=charged, amount="lots")
    assert wrong.status_code == 400
    right = post(sandbox, "/v1/refunds", "k1", payment_intent=charged, amount=100)
    assert (right.status_code, right.json()["amount"]) == (200, 100)


def test_a_refusal_after_work_began_is_remembered(sandbox: StripeSandbox, charged: str) -> None:
    first = post(sandbox, "/v1/refunds", "k1", payment_intent=charged, amount=501)
    again = post(sandbox, "/v1/refunds", "k1", payment_intent=charged, amount=501)
    assert (first.status_code, again.status_code) == (400, 400)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()


def test_a_key_has_at_most_255_characters(sandbox: StripeSandbox, charged: str) -> None:
    assert post(sandbox, "/v1/refunds", "k" * 256, payment_intent=charged).status_code == 400
    assert post(sandbox, "/v1/refunds", "k" * 255, payment_intent=charged).status_code == 200


def test_a_key_means_nothing_to_a_read(sandbox: StripeSandbox, charged: str) -> None:
    headers = {"Authorization": f"Bearer {TEST_KEY}", "Idempotency-Key": "k1"}
    for path in (f"/v1/payment_intents/{charged}", "/v1/balance"):
        answer = requests.get(f"{sandbox.base_url}{path}", headers=headers, timeout=10)
        assert (answer.status_code, "Idempotent-Replayed" in answer.headers) == (200, False)
