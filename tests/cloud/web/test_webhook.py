"""The route for Stripe: only what Stripe signed counts, nothing counts twice, and no response loses an event."""

import json
from typing import Any

import pytest

from arcade_cloud.domain.events import Acked
from support.lives import an_ack
from support.orders import only_delivery, session_of
from support.site import WEBHOOK_SECRET, Site, check_error


@pytest.fixture
def site() -> Site:
    return Site()


def paid_events(site: Site, quantity: int = 2) -> tuple[str, list[dict[str, Any]]]:
    """An order that has been paid, and what Stripe is about to tell of it."""
    order_id = site.begin(quantity)
    session_id = session_of(site.order(order_id))
    assert session_id is not None
    site.payments.stripe.pay(session_id)
    return order_id, site.payments.stripe.take_events()


@pytest.mark.parametrize("path", ["/webhook", "/addCredit"])
def test_a_payment_is_committed_and_published_before_it_is_answered(site, path):
    order_id, events = paid_events(site)
    answer = site.post_event(events[0], path=path)
    assert answer.status_code == 200
    assert answer.get_json() == {"received": True}
    assert site.order(order_id).state == "funded"
    (sent,) = site.broker.on("arcade/machine/cab-01/coinpulse")
    assert json.loads(sent.payload)["credits"] == 2


def test_the_same_events_many_times_and_in_any_order_publish_once(site):
    order_id, events = paid_events(site)
    for event in [*events, *reversed(events), *events]:
        assert site.post_event(event).status_code == 200
    assert len(site.broker.on("arcade/machine/cab-01/coinpulse")) == 1
    assert only_delivery(site.order(order_id)).publishes == 1


def test_an_event_that_is_not_ours_is_accepted_and_ignored(site):
    for what in ("invoice.paid", "customer.created", "made.up"):
        assert site.post_event({"id": "evt_1", "type": what, "data": {"object": {}}}).status_code == 200
    assert site.broker.sent == []


def test_without_a_signature_of_stripes_nothing_counts(site):
    order_id, events = paid_events(site)
    body = json.dumps(events[0]).encode()
    hour_ms = 3_600_000
    signatures = [
        None,
        "",
        "nonsense",
        "t=1,v1=",
        "t=x,v1=" + "0" * 64,
        "v1=" + "0" * 64,
        "t=" + "9" * 400 + ",v1=00",
        site.signature(body, "whsec_another"),
        site.signature(body + b" "),
        site.signature(body, at_ms=site.now_ms - hour_ms),
        site.signature(body, at_ms=site.now_ms + hour_ms),
        site.signature(body).replace("v1=", "v0="),
        "t=1,v1=é",
        "x" * 10_000,
    ]
    for signature in signatures:
        headers = {} if signature is None else {"Stripe-Signature": signature}
        message = check_error(site.client.post("/webhook", data=body, headers=headers), 400, "bad_webhook")
        assert WEBHOOK_SECRET not in message
    assert site.order(order_id).state == "open"
    assert site.broker.sent == []


def test_while_the_secret_is_rolled_the_old_and_the_new_one_count():
    site = Site(stripe_webhook_secrets=("whsec_new", WEBHOOK_SECRET))
    _, events = paid_events(site)
    assert site.post_event(events[0]).status_code == 200
    body = json.dumps(events[0]).encode()
    headers = {"Stripe-Signature": site.signature(body, "whsec_new")}
    assert site.client.post("/webhook", data=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"id": 1, "type": 2}',
        b'{"id": "evt_1", "type": "payment_intent.succeeded"}',
        b'{"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": []}}',
        b'{"id": "evt_1", "type": "payment_intent.succeeded", "created": "x", "data": {"object": {"id": {}}}}',
        b'{"a":' * 50_000,
        b"[" * 200_000,
    ],
)
def test_a_signed_body_of_an_unknown_shape_is_refused_for_good(site, body):
    answer = site.client.post("/webhook", data=body, headers={"Stripe-Signature": site.signature(body)})
    check_error(answer, 400, "bad_webhook")


def test_an_event_that_could_not_be_stored_is_sent_again_and_then_counts(site):
    order_id, events = paid_events(site)
    site.store.unavailable = True
    answer = site.post_event(events[0])
    check_error(answer, 503, "store_unavailable")
    site.store.unavailable = False
    assert site.post_event(events[0]).status_code == 200
    assert site.order(order_id).state == "funded"


def test_stripe_does_not_send_again_because_the_broker_is_down(site):
    """What is committed will be published; that is the timer's business."""
    site.broker.is_down = True
    order_id, events = paid_events(site)
    assert site.post_event(events[0]).status_code == 200
    assert site.order(order_id).state == "funded"


def test_a_payment_link_that_stripe_cannot_show_now_is_reported_again(site):
    session_id = site.payments.stripe.visit_link("price_play", metadata={"machine_id": "cab-01"})
    site.payments.stripe.pay(session_id, "fpx")
    events = site.payments.stripe.take_events()
    (completed,) = [event for event in events if event["type"] == "checkout.session.completed"]
    site.payments.fault = lambda _: "before"
    check_error(site.post_event(completed), 503, "payments_unavailable")
    site.payments.fault = None
    assert site.post_event(completed).status_code == 200
    assert len(site.broker.on("arcade/machine/cab-01/coinpulse")) == 1


def test_webhooks_are_not_rate_limited():
    site = Site(rate_limit_per_minute=1)
    for number in range(20):
        assert site.post_event({"id": f"evt_{number}", "type": "invoice.paid"}).status_code == 200


def test_a_large_event_is_read_and_one_beyond_all_bounds_is_not(site):
    event = {"id": "evt_1", "type": "invoice.paid", "data": {"object": {"note": "x" * 400_000}}}
    assert site.post_event(event).status_code == 200
    event = {"id": "evt_2", "type": "invoice.paid", "data": {"object": {"note": "x" * 600_000}}}
    check_error(site.post_event(event), 413, "too_large")


def test_rule_an_old_event_is_not_believed_before_its_payment_was_read(site):
    """The hold that it tells of is gone by now: what was published would be a free play."""
    order_id, events = paid_events(site)
    held = next(event for event in events if event["type"] == "payment_intent.amount_capturable_updated")
    payment_intent = held["data"]["object"]["id"]
    site.payments.stripe.world.cancel(payment_intent)
    site.payments.stripe.take_events()
    site.now_ms += 61_000
    assert site.post_event(held).status_code == 200
    assert site.broker.on("arcade/machine/cab-01/coinpulse") == []
    assert site.order(order_id).state == "abandoned"


def test_an_event_counts_as_seen_only_once_its_alert_is_stored(site, monkeypatch):
    """The process dies in between, and Stripe sends it again: a seen one would be passed over."""
    order_id, events = paid_events(site, quantity=1)
    for event in events:
        site.post_event(event)
    fulfilment = site.dependencies.fulfilment
    noted: list[str] = []

    def note_seen(event_id: str, at_ms: int) -> bool:
        noted.append(event_id)
        return True

    monkeypatch.setattr(site.store, "raise_alert", lambda alert: noted.append(alert.kind))
    monkeypatch.setattr(site.store, "note_seen", note_seen)
    strange = an_ack(site.order(order_id), delivered=1, installation="f" * 32)
    fulfilment.move(order_id, Acked(strange), seen="evt_strange")
    assert noted == ["wrong_installation", "evt_strange"]
