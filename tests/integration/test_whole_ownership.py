"""One Stripe account for several businesses, as real processes: what is not ours is left alone, ours is served."""

import json
import time
from typing import Any

import pytest

from arcade_sandbox.processes import wait_for
from support.sandbox_account import SandboxAccount
from support.stripe_side import checkout_params, stripe_client

LAMP = {"currency": "myr", "unit_amount": 4_900, "product_data": {"name": "A lamp"}}


def sell(whole: Any, metadata: dict[str, str], method: str, *, amount: int | None = None) -> str:
    """Another shop's program, on the real library, sells something; its payment intent."""
    sold = LAMP if amount is None else {**LAMP, "unit_amount": amount}
    params = checkout_params(
        line_items=[{"quantity": 1, "price_data": sold}],
        metadata=metadata,
        payment_intent_data={"metadata": metadata},
    )
    session = stripe_client(whole.system.stripe.base_url).v1.checkout.sessions.create(params)
    return str(whole.system.stripe.pay(session.id, method, wait=False).payment_intent)


def money_of(whole: Any, intent: str) -> dict[str, Any]:
    (line,) = [line for line in whole.system.stripe.money() if line["id"] == intent]
    return dict(line)


def alerts(whole: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in whole.system.cli("alert", "list", "--all", "--json").splitlines()]


def listed(whole: Any) -> str:
    return str(whole.system.cli("payment", "list"))


def marked(whole: Any, order_id: str) -> dict[str, str]:
    """What the order's own payment carries, which everybody on the account may read."""
    sessions = whole.system.stripe.dump()["checkout.session"]
    (metadata,) = [s["metadata"] for s in sessions if s["client_reference_id"] == order_id]
    return dict(metadata)


@pytest.mark.parametrize("method", ["card", "fpx"])
def test_shops_on_the_same_account_keep_their_money_while_players_get_theirs(whole, method):
    before = len(whole.pulses())
    order_id = whole.system.buy("cab-01", 2, method=method)
    order = whole.final(order_id)
    ours = marked(whole, order_id)
    theirs = [
        sell(whole, {}, method),
        sell(whole, {"order_id": "10001"}, method),
        sell(whole, {"machine_id": "vending-7", "order_id": "10002"}, method),
    ]
    looks_ours = [
        sell(whole, {"order_id": order_id}, method),
        sell(whole, {name: text for name, text in ours.items() if name != "arcade_mark"}, method, amount=400),
        sell(whole, ours, method),
        sell(whole, ours | {"machine_id": "cab-02"}, method, amount=400),
    ]
    again = sell(whole, ours, method, amount=400)
    assert whole.system.stripe.wait_delivered(30)
    returned = whole.final(f"stray_{again}")
    assert (returned.kind, money_of(whole, again)["kept"], money_of(whole, again)["held"]) == ("unmatched", 0, 0)
    for intent in (*theirs, *looks_ours):
        line = money_of(whole, intent)
        assert line["kept"] + line["held"] == line["amount"], line
    said = listed(whole)
    assert [intent in said for intent in looks_ours] == [True] * 4
    assert [intent in said for intent in theirs] == [False] * 3
    assert whole.order(order_id) == order
    assert len(whole.pulses()) - before == 2
    whole.check_money(order)
    for intent in looks_ours:
        whole.system.cli("payment", "dismiss", intent)
    assert listed(whole) == ""


def test_who_copies_the_mark_of_an_order_that_is_not_paid_yet_is_shown_and_the_player_is_served(whole):
    before = len(whole.pulses())
    link = whole.system.create_link("cab-01", 1)
    copied = sell(whole, marked(whole, link["orderId"]), "fpx", amount=200)
    assert whole.system.stripe.wait_delivered(30)
    assert copied in listed(whole)
    whole.system.stripe.pay(link["url"], "card")
    order = whole.final(link["orderId"])
    assert (order.delivered, len(whole.pulses()) - before) == (1, 1)
    assert order.payment_intent != copied
    assert money_of(whole, copied)["kept"] == 200
    whole.check_money(order)
    whole.system.cli("payment", "dismiss", copied)


def test_a_static_link_with_metadata_of_somebody_elses_is_pulsed(whole):
    before = len(whole.pulses())
    account = SandboxAccount(whole.system.stripe)
    metadata = {"machine_id": "cab-01", "order_id": "table 4", "campaign": "summer"}
    link = account.visit_link(whole.system.price_id, 2, metadata=metadata, intent_metadata={"order_id": "10003"})
    intent = account.pay(link, "fpx")
    order = wait_for("the link's order", lambda: whole_order(whole, f"link_{intent}"), 20)
    assert whole.final(order.order_id).delivered == 2
    assert len(whole.pulses()) - before == 2
    assert money_of(whole, intent)["kept"] == 2 * 200


def whole_order(whole: Any, order_id: str) -> Any:
    try:
        return whole.order(order_id)
    except AssertionError:
        return None


def test_a_misspelt_link_waits_for_a_person_who_has_it_pulsed_or_gives_it_back(whole):
    before = len(whole.pulses())
    account = SandboxAccount(whole.system.stripe)
    first, second = (
        account.pay(account.visit_link(whole.system.price_id, 3, metadata={"machine_id": name}), "fpx")
        for name in ("CAB-01", "cab-01 ")
    )
    assert whole.system.stripe.wait_delivered(30)
    said = listed(whole)
    assert said.count("probably means       cab-01") == 2
    assert [money_of(whole, intent)["kept"] for intent in (first, second)] == [600, 600]
    assert {first, second} <= {alert["subject"] for alert in alerts(whole) if alert["kind"] == "unclaimed"}

    whole.system.cli("payment", "deliver", first, "--machine", "cab-01", "--yes")
    whole.system.cli("payment", "return", second, "--yes")
    assert whole.final(f"link_{first}").delivered == 3
    assert whole.final(f"stray_{second}").state == "settled"
    assert [money_of(whole, intent)["kept"] for intent in (first, second)] == [600, 0]
    assert len(whole.pulses()) - before == 3
    assert listed(whole) == ""


def test_events_from_elsewhere_are_answered_for_good_and_told_once(whole):
    stripe = whole.system.stripe
    told = [
        stripe.tell_elsewhere(account=account, live=live)
        for account, live in 3 * [("acct_1", False), (None, True), (None, False)]
    ]
    assert stripe.wait_delivered(30)
    ids = {event["id"] for event in told}
    sent = [entry for entry in stripe.delivery.report()["sent"] if entry["event"] in ids]
    assert [entry["status"] for entry in sent] == [200] * len(told), "each was answered at the first attempt"
    time.sleep(0.2)
    kinds = [alert["kind"] for alert in alerts(whole) if alert["subject"] == "Stripe"]
    assert sorted(kinds) == ["unreadable", "wrong_endpoint", "wrong_endpoint"]
