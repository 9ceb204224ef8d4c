"""Processes killed at random moments: what was delivered, what is uncertain and the money always add up."""

import os
import time
from contextlib import closing
from functools import partial

import pytest
import stripe

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_sandbox.processes import wait_for
from support.orders import resolved_by

# How often each test kills; `make soak` sets more.
ROUNDS = int(os.environ.get("ARCADE_ROUNDS", "10"))
CREDITS = 10


def _train_ms(whole):
    profile = whole.system.profile
    return CREDITS * (profile.pulse_ms + profile.gap_ms)


def _more_pulses(whole, before):
    return len(whole.pulses()) > before


@pytest.mark.timeout(120 + 30 * ROUNDS)
def test_an_agent_killed_in_a_train_reports_what_it_did_and_repeats_nothing(whole, dice):
    agent = whole.system.cabinets["cab-01"].agent
    for _ in range(ROUNDS):
        before = len(whole.pulses())
        order_id = whole.system.buy("cab-01", CREDITS)
        wait_for("the first pulse", partial(_more_pulses, whole, before))
        time.sleep(dice.uniform(0, _train_ms(whole) / 1000))
        agent.kill()
        agent.start()
        order = whole.final(order_id)
        whole.system.wait_ready("cab-01")
        counted = len(whole.pulses()) - before
        assert resolved_by(order) == "ack"
        assert order.delivered + order.uncertain <= CREDITS
        assert order.delivered <= counted <= order.delivered + order.uncertain
        whole.check_money(order)


@pytest.mark.timeout(120 + 30 * ROUNDS)
def test_a_cloud_killed_at_any_moment_loses_and_doubles_nothing(whole, dice):
    for _ in range(ROUNDS):
        before = len(whole.pulses())
        link = whole.system.create_link("cab-01", CREDITS)
        whole.system.stripe.pay(link["url"], "card", wait=False)
        time.sleep(dice.uniform(0, 0.1 + _train_ms(whole) / 1000))
        whole.system.cloud.kill()
        whole.system.start_cloud()
        order = whole.final(link["orderId"])
        whole.system.wait_ready("cab-01")
        counted = len(whole.pulses()) - before
        # On a slow machine the cloud may be back too late to deliver: then nothing was sent, and all goes back.
        assert order.delivered is not None or order.note
        assert (order.delivered or 0, order.uncertain) == (counted, 0)
        whole.check_money(order)


def test_a_link_paid_while_no_webhook_endpoint_was_set_up_is_found_by_the_next_cloud(whole):
    before, sandbox = len(whole.pulses()), whole.system.stripe
    client = stripe.StripeClient("sk_test_by_hand", base_addresses={"api": sandbox.base_url})
    price_id, sold_for = whole.system.price_id, {"machine_id": "cab-01"}
    link = client.v1.payment_links.create(
        {"line_items": [{"price": price_id, "quantity": 1}], "metadata": sold_for}
    )
    sandbox.set_webhooks([])
    try:
        paid = sandbox.pay(link.url, "fpx", wait=False)
    finally:
        sandbox.set_webhooks([f"{whole.system.url}/webhook"])
    whole.system.cloud.kill()
    whole.system.start_cloud()
    with closing(SqliteStore(whole.system.folder / "cloud.sqlite")) as store:
        order_id = wait_for("the payment is on record", partial(store.order_of_payment, paid.payment_intent))
    order = whole.final(order_id)
    whole.system.wait_ready("cab-01")
    # On a slow machine the cloud may be back too late to deliver: then nothing was sent, and all goes back.
    assert (order.kind, order.delivered or 0) == ("link", len(whole.pulses()) - before)
    whole.check_money(order)
