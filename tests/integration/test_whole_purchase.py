"""The main job through real processes: paid, pulsed, acknowledged, captured; or not paid at all."""

import json
import threading
import time

import requests

from arcade_sandbox.processes import wait_for
from arcade_sandbox.stripe.sender import signature_header
from arcade_sandbox.system import PRICE_MINOR
from support.orders import only_payment, resolved_by


def test_what_was_paid_is_pulsed_and_only_then_captured(whole):
    before = len(whole.pulses())
    order_id = whole.system.buy("cab-01", 3)
    order = whole.final(order_id)
    assert (order.state, order.delivered, resolved_by(order)) == ("settled", 3, "ack")
    made = whole.pulses()[before:]
    assert len(made) == 3
    assert all(pulse.width_ms >= whole.system.profile.pulse_ms for pulse in made)
    assert all(pulse.gap_ms is None or pulse.gap_ms >= whole.system.profile.gap_ms for pulse in made)
    whole.check_money(order)
    page = whole.system.order_page("cab-01", order_id)
    assert page["final"] is True
    assert "3 credits" in page["title"]


def test_the_same_webhook_ten_times_at_once_pulses_once_and_captures_once(whole):
    stripe = whole.system.stripe
    before = len(whole.pulses())
    stripe.pause_webhooks()
    try:
        order_id = whole.system.buy("cab-01", 2, wait=False)
    finally:
        stripe.resume_webhooks()
    order = whole.final(order_id)
    bodies = [event for event in stripe.events() if order_id in json.dumps(event)]
    assert bodies
    answers: list[int] = []

    def post(event: dict[str, object]) -> None:
        body = json.dumps(event).encode()
        header = signature_header(body, stripe.webhook_secret, int(time.time()))
        sent = requests.post(
            f"{whole.system.url}/webhook", data=body, headers={"Stripe-Signature": header}, timeout=20
        )
        answers.append(sent.status_code)

    threads = [threading.Thread(target=post, args=(event,)) for event in bodies for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) == {200}
    time.sleep(0.5)
    assert whole.order(order_id) == order
    assert len(whole.pulses()) - before == 2
    whole.check_money(order)


def test_every_event_delivered_five_times_out_of_order_changes_nothing(whole):
    stripe = whole.system.stripe
    before = len(whole.pulses())
    stripe.configure_webhooks(copies=5, reorder_seed=7, reorder_window_s=0.5)
    try:
        order = whole.final(whole.system.buy("cab-01", 2, wait=False))
        assert stripe.wait_delivered(20)
    finally:
        stripe.configure_webhooks(copies=1, reorder_seed=None, reorder_window_s=0.0)
    time.sleep(0.5)
    assert whole.order(order.order_id).delivered == 2
    assert len(whole.pulses()) - before == 2
    whole.check_money(order)


def test_a_declined_card_and_an_abandoned_page_cost_and_pulse_nothing(whole):
    before = len(whole.pulses())
    link = whole.system.create_link("cab-01", 1)
    whole.system.stripe.pay(link["url"], "card_declined")
    other = whole.system.create_link("cab-01", 1)
    time.sleep(0.5)
    for order_id in (link["orderId"], other["orderId"]):
        assert whole.order(order_id).state == "open"
    assert len(whole.pulses()) == before


def test_a_charge_at_once_is_kept_when_delivered(whole):
    order = whole.final(whole.system.buy("cab-01", 2, method="fpx"))
    arrival = only_payment(order).arrival
    assert arrival is not None
    assert arrival.held is False
    assert order.delivered == 2
    whole.check_money(order)


def test_a_bank_transfer_that_is_decided_later_is_pulsed_then(whole):
    before = len(whole.pulses())
    order_id = whole.system.buy("cab-01", 1, method="fpx_later")
    time.sleep(0.5)
    assert whole.order(order_id).state == "open"
    assert len(whole.pulses()) == before
    (intent,) = [entry["id"] for entry in whole.system.stripe.money() if entry["status"] == "processing"]
    whole.system.stripe.settle_async(intent)
    order = whole.final(order_id)
    assert order.delivered == 1
    assert len(whole.pulses()) == before + 1


def test_the_broker_down_at_the_webhook_delays_the_pulses_and_nothing_else(whole):
    before = len(whole.pulses())
    link = whole.system.create_link("cab-01", 2)
    whole.system.broker.stop()
    try:
        whole.system.stripe.pay(link["url"], "card")
        assert whole.system.stripe.wait_delivered(20), "the webhook must be answered with 200 all the same"
        assert requests.get(f"{whole.system.url}/status", timeout=5).json()["status"] == "up"
        assert whole.order(link["orderId"]).state == "funded"
        assert len(whole.pulses()) == before
    finally:
        whole.system.broker.start()
    order = whole.final(link["orderId"])
    assert order.delivered == 2
    assert len(whole.pulses()) - before == 2
    whole.check_money(order)
    whole.system.wait_ready("cab-01")


def test_a_machine_gone_right_after_paying_costs_the_player_nothing_and_pulses_nothing_later(whole):
    before = len(whole.pulses())
    agent = whole.system.cabinets["cab-01"].agent
    link = whole.system.create_link("cab-01", 2)
    agent.kill()
    whole.system.stripe.pay(link["url"], "card")
    order = whole.final(link["orderId"], within_s=60)
    assert (order.delivered, order.books.target_minor) == (0, 0)
    assert whole.kept(order) == 0
    page = whole.system.order_page("cab-01", link["orderId"])
    assert "not charged" in page["title"].lower()
    agent.start()
    whole.system.wait_ready("cab-01")
    time.sleep(1)
    assert len(whole.pulses()) == before


def test_an_operator_refund_after_delivery_goes_back_and_is_booked_as_goodwill(whole):
    order = whole.final(whole.system.buy("cab-01", 2))
    whole.system.cli("order", "refund", order.order_id, "--yes", "--reason", "the ball got stuck")
    settled = wait_for(
        "the refund",
        lambda: (o := whole.order(order.order_id)).state == "settled" and whole.kept(o) == 0 and o,
        20,
    )
    assert (settled.delivered, settled.books.goodwill_minor, settled.books.target_minor) == (2, 2 * PRICE_MINOR, 0)


def test_a_grant_pulses_without_a_payment_and_once_for_its_token(whole):
    before = len(whole.pulses())
    first = whole.system.cli("grant", "cab-01", "2", "--token", "form-1")
    second = whole.system.cli("grant", "cab-01", "2", "--token", "form-1")
    order_id = first.split()[0]
    assert second.split()[0] == order_id
    order = whole.final(order_id)
    assert (order.delivered, order.amount_minor) == (2, 0)
    assert len(whole.pulses()) - before == 2
