"""Webhooks: signed as Stripe signs, repeated until taken, and on demand doubled, late, shuffled, dropped."""

import json
import threading

import pytest
import stripe

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import Received, WebhookInbox, checkout_params, eventually, stripe_client

HELD = [
    "payment_intent.created",
    "charge.succeeded",
    "payment_intent.amount_capturable_updated",
    "checkout.session.completed",
]


def buy(sandbox: StripeSandbox, method: str = "card") -> str:
    """Pay a fresh session; returns its payment intent."""
    session = stripe_client(sandbox.base_url).v1.checkout.sessions.create(checkout_params())
    return sandbox.pay(session.id, method).payment_intent


def without_prices(kinds: list[str]) -> list[str]:
    return [kind for kind in kinds if kind != "price.created"]


def test_the_library_accepts_the_signature_and_only_with_the_right_secret(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        buy(sandbox)
        got = inbox.wait_for("checkout.session.completed")[0]
    assert stripe.WebhookSignature.verify_header(got.body, got.signature, sandbox.webhook_secret, 300)
    for body, secret in ((got.body, "whsec_other"), (got.body + b" ", sandbox.webhook_secret)):
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(body, got.signature, secret, 300)
    event = stripe.Webhook.construct_event(got.body, got.signature, sandbox.webhook_secret)
    assert isinstance(event.data.object, stripe.StripeObject)
    assert event.data.object["metadata"]["order_id"] == "order-1"


def test_a_webhook_looks_like_stripes(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        intent_id = buy(sandbox)
        stripe_client(sandbox.base_url).v1.payment_intents.capture(intent_id, {}, {"idempotency_key": "k1"})
        by_customer = inbox.wait_for("checkout.session.completed")[0]
        by_api = inbox.wait_for("charge.captured")[0]
    event = by_customer.event
    assert list(event) == [
        *("id", "object", "api_version", "created", "data", "livemode", "pending_webhooks", "request", "type"),
    ]
    assert (event["api_version"], event["livemode"], event["pending_webhooks"]) == (stripe.api_version, False, 1)
    assert event["request"] == {"id": None, "idempotency_key": None}
    assert by_api.event["request"]["idempotency_key"] == "k1"
    assert by_customer.body == json.dumps(event, indent=2, ensure_ascii=False).encode()
    assert by_customer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert by_customer.headers["User-Agent"].startswith("Stripe/1.0")


def test_events_come_once_and_in_order_by_default(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        buy(sandbox)
        assert sandbox.wait_delivered()
        assert without_prices(inbox.kinds) == HELD
    assert {event["pending_webhooks"] for event in sandbox.events(*HELD)} == {0}


def test_every_endpoint_gets_every_event(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as first, WebhookInbox() as second:
        sandbox.set_webhooks([first.url, second.url])
        buy(sandbox)
        assert sandbox.wait_delivered()
        assert without_prices(first.kinds) == without_prices(second.kinds) == HELD


def test_a_refused_event_is_repeated_until_it_is_taken(sandbox: StripeSandbox) -> None:
    answers = iter([500, 404, 302, 400])

    def answer(got: Received) -> int:
        return next(answers, 200) if got.event["type"] == "checkout.session.completed" else 200

    with WebhookInbox(answer=answer) as inbox:
        sandbox.set_webhooks([inbox.url])
        buy(sandbox)
        tries = inbox.wait_for("checkout.session.completed", 5)
        assert sandbox.wait_delivered()
        assert inbox.kinds.count("checkout.session.completed") == 5
    assert len({got.event["id"] for got in tries}) == 1
    log = [sent for sent in sandbox.delivery.report()["sent"] if sent["type"] == "checkout.session.completed"]
    assert [(sent["attempt"], sent["status"]) for sent in log] == [
        (1, 500),
        (2, 404),
        (3, 302),
        (4, 400),
        (5, 200),
    ]


def test_an_endpoint_that_is_not_up_yet_gets_its_events_later(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as placeholder:
        port, url = placeholder.port, placeholder.url
    sandbox.set_webhooks([url])
    buy(sandbox)
    eventually(lambda: len(sandbox.delivery.report()["sent"]) > 4, "the sandbox tries")
    with WebhookInbox(port=port) as inbox:
        assert sandbox.wait_delivered()
        assert sorted(without_prices(inbox.kinds)) == sorted(HELD)


def test_stripe_gives_up_after_three_days(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as gone:
        url = gone.url
    sandbox.set_webhooks([url])
    buy(sandbox)
    assert not sandbox.wait_delivered(0.3)
    sandbox.advance(3 * 86_400 + 1)
    assert sandbox.wait_delivered()
    assert {event["pending_webhooks"] for event in sandbox.events()} == {1}


def test_events_are_listed_by_whether_every_endpoint_took_them(sandbox: StripeSandbox) -> None:
    """What no endpoint was asked to take is not among the undelivered ones."""
    found: dict[bool, set[str]] = {}
    client = stripe_client(sandbox.base_url)
    buy(sandbox)
    with WebhookInbox(answer=lambda got: 200 if got.event["type"] == HELD[0] else 400) as inbox:
        sandbox.set_webhooks([inbox.url])
        buy(sandbox)
        inbox.wait_for(HELD[-1], 2)
        sandbox.pause_webhooks()
    for delivered in (True, False):
        listed = client.v1.events.list({"types": HELD, "delivery_success": delivered, "limit": 100}).data
        found[delivered] = {f"{event.type} {event.pending_webhooks}" for event in listed}
    assert found[False] == {f"{kind} 1" for kind in HELD[1:]}
    assert found[True] == {f"{kind} 0" for kind in HELD}


def test_events_can_come_several_times(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        sandbox.configure_webhooks(copies=3)
        buy(sandbox)
        assert sandbox.wait_delivered()
        ids = [got.event["id"] for got in inbox.received if got.event["type"] == "checkout.session.completed"]
    assert len(ids) == 3
    assert len(set(ids)) == 1


def test_one_change_can_make_two_events_with_different_ids(sandbox: StripeSandbox) -> None:
    sandbox.set_rules(twin_events=True)
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        buy(sandbox)
        twins = inbox.wait_for("checkout.session.completed", 2)
    first, second = (got.event for got in twins)
    assert first["id"] != second["id"]
    assert first["data"] == second["data"]


def test_a_seed_shuffles_the_events_in_the_same_way_again(sandbox: StripeSandbox) -> None:
    orders = []
    for seed in (7, 7, 8, 9, 10):
        with WebhookInbox() as inbox:
            sandbox.set_webhooks([inbox.url])
            sandbox.pause_webhooks()
            sandbox.configure_webhooks(reorder_seed=seed, reorder_window_s=60.0)
            buy(sandbox)
            sandbox.advance(61)
            sandbox.resume_webhooks()
            assert sandbox.wait_delivered()
            orders.append(without_prices(inbox.kinds))
    assert all(sorted(order) == sorted(HELD) for order in orders)
    assert orders[0] == orders[1]
    assert any(order != HELD for order in orders)


def test_deliveries_can_be_late(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        sandbox.configure_webhooks(delay_s=3600)
        sandbox.redirect_wait_s = 0.0
        buy(sandbox)
        assert not sandbox.wait_delivered(0.2)
        assert inbox.received == []
        sandbox.advance(3601)
        assert sandbox.wait_delivered()
        assert without_prices(inbox.kinds) == HELD


def test_kinds_of_events_can_get_lost_and_be_sent_again_by_hand(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        sandbox.configure_webhooks(drop=["checkout.session.completed", "price.created"])
        buy(sandbox)
        assert sandbox.wait_delivered()
        assert inbox.kinds == HELD[:-1]
        lost = sandbox.events("checkout.session.completed")[0]["id"]
        assert sandbox.delivery.report()["dropped"][-1] == lost
        sandbox.redeliver(lost)
        assert inbox.wait_for("checkout.session.completed")[0].event["id"] == lost
    with pytest.raises(SandboxMisuse):
        sandbox.redeliver("evt_none")


def test_deliveries_can_be_paused_and_resumed(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        sandbox.pause_webhooks()
        buy(sandbox)
        assert not sandbox.wait_delivered(0.2)
        assert inbox.received == []
        sandbox.resume_webhooks()
        assert sandbox.wait_delivered()
        assert without_prices(inbox.kinds) == HELD


def test_an_expired_session_is_told_without_anybody_asking(sandbox: StripeSandbox) -> None:
    with WebhookInbox() as inbox:
        sandbox.set_webhooks([inbox.url])
        stripe_client(sandbox.base_url).v1.checkout.sessions.create(checkout_params())
        # Only the clock jumps: what follows is the delivery's own doing.
        sandbox.clock.skip(25 * 3600)
        inbox.wait_for("checkout.session.expired")


def test_an_endpoint_may_ask_the_api_while_it_answers(sandbox: StripeSandbox) -> None:
    captured = []

    def answer(got: Received) -> int:
        if got.event["type"] == "checkout.session.completed":
            client = stripe_client(sandbox.base_url)
            intent = client.v1.payment_intents.capture(got.event["data"]["object"]["payment_intent"])
            captured.append(intent.status)
        return 200

    with WebhookInbox(answer=answer) as inbox:
        sandbox.set_webhooks([inbox.url])
        buy(sandbox)
        inbox.wait_for("charge.captured")
    assert captured == ["succeeded"]


def test_several_workers_deliver_side_by_side() -> None:
    together = threading.Barrier(2, timeout=10)

    def answer(got: Received) -> int:
        if got.event["type"] in ("charge.succeeded", "payment_intent.created"):
            together.wait()
        return 200

    with WebhookInbox(answer=answer) as inbox, StripeSandbox(webhook_urls=[inbox.url], concurrency=2) as sandbox:
        buy(sandbox)
        assert sandbox.wait_delivered()
        assert sorted(without_prices(inbox.kinds)) == sorted(HELD)


def of_the_sandbox(before: set[threading.Thread]) -> int:
    """How many threads of it there are that were not there before."""
    new = set(threading.enumerate()) - before
    return sum(thread.name.startswith(("sandbox-", "waitress-")) for thread in new)


def test_a_stop_ends_every_thread_even_in_the_middle_of_a_delivery() -> None:
    before = set(threading.enumerate())
    stuck = threading.Event()

    def answer(got: Received) -> int:
        stuck.wait(20)
        return 200

    with WebhookInbox(answer=answer) as inbox:
        sandbox = StripeSandbox(webhook_urls=[inbox.url], redirect_wait_s=0.0).start()
        buy(sandbox)
        inbox.wait_for("price.created")
        assert of_the_sandbox(before) > 1
        sandbox.stop()
        assert of_the_sandbox(before) == 0
        stuck.set()


def test_addresses_and_settings_that_make_no_sense_are_refused(sandbox: StripeSandbox) -> None:
    with pytest.raises(SandboxMisuse):
        sandbox.set_webhooks(["127.0.0.1:5000"])
    with pytest.raises(SandboxMisuse):
        StripeSandbox(webhook_urls=["ftp://127.0.0.1/"])
    for wrong in ({"copies": 0}, {"copies": 1000}, {"delay_s": -1}, {"reorder_window_s": 1e9}, {"speed": 1}):
        with pytest.raises(SandboxMisuse):
            sandbox.configure_webhooks(**wrong)
