"""The door for Stripe: only what it signed counts, nothing counts twice, and nothing is lost by an answer."""

import json

import pytest

from support.doors import WEBHOOK_SECRET, Doors, check_error
from support.orders import only_delivery, session_of


@pytest.fixture
def doors() -> Doors:
    return Doors()


def paid_events(doors: Doors, quantity: int = 2) -> tuple[str, list[dict[str, object]]]:
    """An order that has been paid, and what Stripe is about to tell of it."""
    order_id = doors.begin(quantity)
    session_id = session_of(doors.order(order_id))
    assert session_id is not None
    doors.payments.stripe.pay(session_id)
    return order_id, doors.payments.stripe.take_events()


@pytest.mark.parametrize("path", ["/webhook", "/addCredit"])
def test_a_payment_is_committed_and_published_before_it_is_answered(doors, path):
    order_id, events = paid_events(doors)
    answer = doors.post_event(events[0], path=path)
    assert answer.status_code == 200
    assert answer.get_json() == {"received": True}
    assert doors.order(order_id).state == "funded"
    (sent,) = doors.broker.on("arcade/machine/cab-01/coinpulse")
    assert json.loads(sent.payload)["credits"] == 2


def test_the_same_events_many_times_and_in_any_order_publish_once(doors):
    order_id, events = paid_events(doors)
    for event in [*events, *reversed(events), *events]:
        assert doors.post_event(event).status_code == 200
    assert len(doors.broker.on("arcade/machine/cab-01/coinpulse")) == 1
    assert only_delivery(doors.order(order_id)).publishes == 1


def test_an_event_that_is_none_of_ours_is_taken_and_forgotten(doors):
    for what in ("invoice.paid", "customer.created", "made.up"):
        assert doors.post_event({"id": "evt_1", "type": what, "data": {"object": {}}}).status_code == 200
    assert doors.broker.sent == []


def test_without_a_signature_of_stripes_nothing_counts(doors):
    order_id, events = paid_events(doors)
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
        doors.signature(body, "whsec_another"),
        doors.signature(body + b" "),
        doors.signature(body, at_ms=doors.now_ms - hour_ms),
        doors.signature(body, at_ms=doors.now_ms + hour_ms),
        doors.signature(body).replace("v1=", "v0="),
        "t=1,v1=é",
        "x" * 10_000,
    ]
    for signature in signatures:
        headers = {} if signature is None else {"Stripe-Signature": signature}
        message = check_error(doors.client.post("/webhook", data=body, headers=headers), 400, "bad_webhook")
        assert WEBHOOK_SECRET not in message
    assert doors.order(order_id).state == "open"
    assert doors.broker.sent == []


def test_while_the_secret_is_rolled_the_old_and_the_new_one_count():
    doors = Doors(stripe_webhook_secrets=("whsec_new", WEBHOOK_SECRET))
    _, events = paid_events(doors)
    assert doors.post_event(events[0]).status_code == 200
    body = json.dumps(events[0]).encode()
    headers = {"Stripe-Signature": doors.signature(body, "whsec_new")}
    assert doors.client.post("/webhook", data=body, headers=headers).status_code == 200


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
def test_a_signed_body_of_no_known_shape_is_refused_for_good(doors, body):
    answer = doors.client.post("/webhook", data=body, headers={"Stripe-Signature": doors.signature(body)})
    check_error(answer, 400, "bad_webhook")


def test_what_could_not_be_stored_is_to_be_sent_again_and_then_counts(doors):
    order_id, events = paid_events(doors)
    doors.store.unavailable = True
    answer = doors.post_event(events[0])
    check_error(answer, 503, "store_unavailable")
    doors.store.unavailable = False
    assert doors.post_event(events[0]).status_code == 200
    assert doors.order(order_id).state == "funded"


def test_a_broker_that_is_down_is_no_reason_for_stripe_to_send_it_again(doors):
    """What is committed will be published; that is the timer's business."""
    doors.broker.is_down = True
    order_id, events = paid_events(doors)
    assert doors.post_event(events[0]).status_code == 200
    assert doors.order(order_id).state == "funded"


def test_a_payment_link_that_stripe_can_not_show_now_is_to_be_reported_again(doors):
    session_id = doors.payments.stripe.visit_link("price_play", metadata={"machine_id": "cab-01"})
    doors.payments.stripe.pay(session_id, "fpx")
    events = doors.payments.stripe.take_events()
    (completed,) = [event for event in events if event["type"] == "checkout.session.completed"]
    doors.payments.fault = lambda _: "before"
    check_error(doors.post_event(completed), 503, "payments_unavailable")
    doors.payments.fault = None
    assert doors.post_event(completed).status_code == 200
    assert len(doors.broker.on("arcade/machine/cab-01/coinpulse")) == 1


def test_stripe_may_come_as_often_as_it_likes():
    doors = Doors(rate_limit_per_minute=1)
    for number in range(20):
        assert doors.post_event({"id": f"evt_{number}", "type": "invoice.paid"}).status_code == 200


def test_a_large_event_is_read_and_one_beyond_all_bounds_is_not(doors):
    event = {"id": "evt_1", "type": "invoice.paid", "data": {"object": {"note": "x" * 400_000}}}
    assert doors.post_event(event).status_code == 200
    event = {"id": "evt_2", "type": "invoice.paid", "data": {"object": {"note": "x" * 600_000}}}
    check_error(doors.post_event(event), 413, "too_large")
