"""Holds, captures, refunds, disputes and late payments: states, amounts, refusals and the events about them."""

import pytest
import stripe

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe.payment_objects import HOLD_LIFE_S
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import checkout_params


def paid(sandbox: StripeSandbox, client: stripe.StripeClient, method: str = "card", **changes: object) -> str:
    """The payment intent of a fresh session paid with `method`."""
    return sandbox.pay(client.v1.checkout.sessions.create(checkout_params(**changes)).id, method).payment_intent


def with_charge(client: stripe.StripeClient, intent_id: str) -> tuple[stripe.PaymentIntent, stripe.Charge]:
    """The intent, and its latest charge."""
    intent = client.v1.payment_intents.retrieve(intent_id, {"expand": ["latest_charge"]})
    assert isinstance(intent.latest_charge, stripe.Charge)
    return intent, intent.latest_charge


def kinds(sandbox: StripeSandbox) -> list[str]:
    """What events there were, apart from those about prices."""
    return [event["type"] for event in sandbox.events() if not event["type"].startswith("price.")]


def refused(code: str | None) -> "pytest.RaisesExc[stripe.InvalidRequestError]":
    """The refusal with this code."""
    return pytest.raises(stripe.InvalidRequestError, check=lambda error: error.code == code)


def test_a_card_is_held_for_seven_days(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent, charge = with_charge(client, paid(sandbox, client))
    assert (intent.status, intent.amount_capturable, intent.amount_received) == ("requires_capture", 500, 0)
    assert (charge.status, charge.captured, charge.amount_captured, charge.amount_refunded) == (
        "succeeded",
        False,
        0,
        0,
    )
    assert charge.payment_method_details is not None
    assert charge.payment_method_details.card is not None
    assert charge.payment_method_details.card.capture_before == charge.created + HOLD_LIFE_S
    session = client.v1.checkout.sessions.list({"payment_intent": intent.id}).data[0]
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    assert intent.metadata.to_dict() == {"order_id": "order-1"}
    assert kinds(sandbox) == [
        "payment_intent.created",
        "charge.succeeded",
        "payment_intent.amount_capturable_updated",
        "checkout.session.completed",
    ]


def test_a_held_session_may_call_itself_paid_as_well(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.set_rules(held_payment_status="paid")
    paid(sandbox, client)
    assert sandbox.events("checkout.session.completed")[0]["data"]["object"]["payment_status"] == "paid"


@pytest.mark.parametrize("method", ["fpx", "grabpay", "link"])
def test_other_methods_of_a_held_session_are_charged_at_once(
    sandbox: StripeSandbox, client: stripe.StripeClient, method: str
) -> None:
    intent, charge = with_charge(client, paid(sandbox, client, method))
    assert (intent.status, intent.amount_received, charge.captured) == ("succeeded", 500, True)
    assert charge.payment_method_details is not None
    assert charge.payment_method_details.type == method
    assert kinds(sandbox) == [
        "payment_intent.created",
        "payment_intent.succeeded",
        "charge.succeeded",
        "checkout.session.completed",
    ]
    assert sandbox.events("checkout.session.completed")[0]["data"]["object"]["payment_status"] == "paid"


def test_link_is_held_where_link_is_asked_to_be(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    hold = {"capture_method": "manual"}
    intent, _ = with_charge(
        client, paid(sandbox, client, "link", payment_method_options={"card": hold, "link": hold})
    )
    assert intent.status == "requires_capture"


def test_a_capture_takes_the_hold_and_makes_the_session_paid(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    intent_id = paid(sandbox, client)
    captured = client.v1.payment_intents.capture(intent_id)
    assert (captured.status, captured.amount_received, captured.amount_capturable) == ("succeeded", 500, 0)
    assert client.v1.checkout.sessions.list({"payment_intent": intent_id}).data[0].payment_status == "paid"
    assert kinds(sandbox)[-2:] == ["charge.captured", "payment_intent.succeeded"]
    with refused("payment_intent_unexpected_state") as caught:
        client.v1.payment_intents.capture(intent_id)
    assert "already been captured" in str(caught.value)
    assert isinstance(caught.value.json_body, dict)
    assert caught.value.json_body["error"]["payment_intent"]["id"] == intent_id


def test_a_part_is_captured_and_the_rest_released_without_a_refund(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    intent_id = paid(sandbox, client)
    client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 300})
    intent, charge = with_charge(client, intent_id)
    assert (intent.amount, intent.amount_received, intent.amount_capturable) == (500, 300, 0)
    assert (charge.amount, charge.amount_captured, charge.amount_refunded) == (500, 300, 0)
    assert client.v1.refunds.list({"payment_intent": intent_id}).data == []
    assert sandbox.money()[0]["kept"] == 300


def test_no_more_than_the_hold_can_be_captured(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent_id = paid(sandbox, client)
    with refused("amount_too_large"):
        client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 501})
    with refused("parameter_invalid_integer"):
        client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 0})
    with refused(None):
        client.v1.payment_intents.capture(intent_id, {"final_capture": False})
    assert sandbox.money()[0]["held"] == 500


def test_partial_captures_may_be_refused(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    sandbox.set_rules(refuse_partial_capture=True)
    intent_id = paid(sandbox, client)
    with refused(None) as caught:
        client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 300})
    assert caught.value.param == "amount_to_capture"
    client.v1.payment_intents.capture(intent_id)
    assert sandbox.money()[0]["captured"] == 500


def test_less_than_the_smallest_charge_is_not_captured(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    intent_id = paid(sandbox, client)
    with refused("amount_too_small"):
        client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 199})
    client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 200})
    assert sandbox.money()[0]["captured"] == 200


@pytest.mark.parametrize(("currency", "step"), [("kwd", 10), ("bhd", 10), ("isk", 100), ("ugx", 100), ("jpy", 1)])
def test_money_moves_in_the_steps_of_its_currency(
    sandbox: StripeSandbox, client: stripe.StripeClient, currency: str, step: int
) -> None:
    def session(amount: int) -> stripe.checkout.Session:
        price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "1 credit"}}
        params = checkout_params(line_items=[{"price_data": price, "quantity": 1}])
        return client.v1.checkout.sessions.create(params)

    intent_id = sandbox.pay(session(9 * step * 100).id, "card").payment_intent
    if step > 1:
        with refused("parameter_invalid_integer"):
            session(9 * step * 100 + 1)
        with refused("parameter_invalid_integer"):
            client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 500 * step + 1})
    client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 500 * step})
    if step > 1:
        with refused("parameter_invalid_integer"):
            client.v1.refunds.create({"payment_intent": intent_id, "amount": step + 1})
    client.v1.refunds.create({"payment_intent": intent_id, "amount": step})
    assert sandbox.money()[0]["kept"] == 499 * step


def test_a_currency_that_nobody_has_looked_up_is_refused(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    price = {"currency": "xyz", "unit_amount": 1000, "product_data": {"name": "1 credit"}}
    with pytest.raises(stripe.InvalidRequestError, match="Invalid currency: xyz"):
        client.v1.checkout.sessions.create(checkout_params(line_items=[{"price_data": price, "quantity": 1}]))


def test_a_cancelled_hold_costs_nobody_anything(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent_id = paid(sandbox, client)
    client.v1.payment_intents.cancel(intent_id, {"cancellation_reason": "abandoned"})
    intent, charge = with_charge(client, intent_id)
    assert (intent.status, intent.cancellation_reason, intent.amount_capturable) == ("canceled", "abandoned", 0)
    assert (charge.captured, charge.refunded, charge.amount_refunded) == (False, False, 0)
    assert kinds(sandbox)[-1] == "payment_intent.canceled"
    assert (sandbox.money()[0]["held"], sandbox.money()[0]["kept"]) == (0, 0)
    with refused("payment_intent_unexpected_state"):
        client.v1.payment_intents.capture(intent_id)
    with refused(None) as caught:
        client.v1.refunds.create({"payment_intent": intent_id})
    assert "does not have a successful charge" in str(caught.value)


@pytest.mark.parametrize("method", ["fpx", "fpx_later"])
def test_what_is_charged_or_under_way_cannot_be_cancelled(
    sandbox: StripeSandbox, client: stripe.StripeClient, method: str
) -> None:
    intent_id = paid(sandbox, client, method)
    with refused("payment_intent_unexpected_state"):
        client.v1.payment_intents.cancel(intent_id)


def test_the_intent_of_an_open_session_cannot_be_cancelled(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    intent_id = paid(sandbox, client, "card_declined")
    with refused("payment_intent_unexpected_state"):
        client.v1.payment_intents.cancel(intent_id)


def test_a_declined_card_leaves_the_session_open_for_another_try(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    session = client.v1.checkout.sessions.create(checkout_params())
    declined = sandbox.pay(session.id, "card_declined")
    assert declined.declined
    intent = client.v1.payment_intents.retrieve(declined.payment_intent)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == "card_declined"
    again = sandbox.pay(session.id, "fpx")
    assert again.payment_intent == declined.payment_intent
    assert kinds(sandbox) == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "payment_intent.succeeded",
        "charge.succeeded",
        "checkout.session.completed",
    ]


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_late_payment_is_unpaid_until_the_bank_has_spoken(
    sandbox: StripeSandbox, client: stripe.StripeClient, succeeds: bool
) -> None:
    intent_id = paid(sandbox, client, "fpx_later")
    session = client.v1.checkout.sessions.list({"payment_intent": intent_id}).data[0]
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    intent, charge = with_charge(client, intent_id)
    assert (intent.status, charge.status) == ("processing", "pending")
    with refused(None):
        client.v1.refunds.create({"payment_intent": intent_id})
    sandbox.settle_async(intent_id, succeed=succeeds)
    session = client.v1.checkout.sessions.retrieve(session.id)
    intent, charge = with_charge(client, intent_id)
    if succeeds:
        assert (session.payment_status, intent.status, charge.captured) == ("paid", "succeeded", True)
        assert kinds(sandbox)[-1] == "checkout.session.async_payment_succeeded"
    else:
        assert (session.payment_status, intent.status, charge.status) == (
            "unpaid",
            "requires_payment_method",
            "failed",
        )
        assert kinds(sandbox)[-1] == "checkout.session.async_payment_failed"
    assert sandbox.money()[0]["kept"] == (500 if succeeds else 0)
    with pytest.raises(SandboxMisuse):
        sandbox.settle_async(intent_id)


def test_a_card_refund_is_done_at_once_and_never_exceeds_the_charge(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    intent_id = paid(sandbox, client)
    client.v1.payment_intents.capture(intent_id)
    refund = client.v1.refunds.create(
        {"payment_intent": intent_id, "amount": 200, "reason": "requested_by_customer", "metadata": {"k": "v"}}
    )
    assert (refund.status, refund.amount, refund.reason) == ("succeeded", 200, "requested_by_customer")
    with refused(None) as caught:
        client.v1.refunds.create({"payment_intent": intent_id, "amount": 301})
    assert "(RM3.01) is greater than unrefunded amount on charge (RM3.00)" in str(caught.value)
    assert caught.value.param == "amount"
    rest = client.v1.refunds.create({"payment_intent": intent_id})
    assert rest.amount == 300
    with refused("charge_already_refunded"):
        client.v1.refunds.create({"payment_intent": intent_id})
    _, charge = with_charge(client, intent_id)
    assert (charge.amount_refunded, charge.refunded) == (500, True)
    assert [found.id for found in client.v1.refunds.list({"payment_intent": intent_id}).data] == [
        rest.id,
        refund.id,
    ]
    assert client.v1.refunds.retrieve(refund.id, {"expand": ["charge"]}).amount == 200
    assert kinds(sandbox)[-2:] == ["refund.created", "charge.refunded"]


def test_only_what_was_captured_can_be_refunded(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent_id = paid(sandbox, client)
    with refused(None) as caught:
        client.v1.refunds.create({"payment_intent": intent_id})
    assert "You must cancel the PaymentIntent" in str(caught.value)
    client.v1.payment_intents.capture(intent_id, {"amount_to_capture": 300})
    assert client.v1.refunds.create({"payment_intent": intent_id}).amount == 300
    assert sandbox.money()[0]["kept"] == 0


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({}, None),
        ({"payment_intent": "pi_none"}, "resource_missing"),
        ({"charge": "ch_none"}, "resource_missing"),
        ({"payment_intent": "pi_none", "amount": 0}, "parameter_invalid_integer"),
        ({"payment_intent": "pi_none", "amount": -1}, "parameter_invalid_integer"),
        ({"payment_intent": "pi_none", "reason": "boredom"}, None),
        ({"payment_intent": "pi_none", "target": "x"}, "parameter_unknown"),
    ],
)
def test_a_refund_of_nothing_is_refused(client: stripe.StripeClient, params: dict[str, object], code: str) -> None:
    with refused(code):
        client.v1.refunds.create(params)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("method", ["fpx", "grabpay"])
@pytest.mark.parametrize("outcome", ["succeeded", "failed"])
def test_a_refund_through_a_bank_is_pending_until_it_is_decided(
    sandbox: StripeSandbox, client: stripe.StripeClient, method: str, outcome: str
) -> None:
    intent_id = paid(sandbox, client, method)
    refund = client.v1.refunds.create({"payment_intent": intent_id})
    assert (refund.status, refund.pending_reason) == ("pending", "processing")
    assert (sandbox.money()[0]["kept"], sandbox.money()[0]["refund_pending"]) == (0, 500)
    sandbox.finish_refund(refund.id, "succeeded" if outcome == "succeeded" else "failed")
    assert client.v1.refunds.retrieve(refund.id).status == outcome
    assert sandbox.money()[0]["refund_pending"] == 0
    if outcome == "failed":
        assert sandbox.money()[0]["kept"] == 500
        assert len(sandbox.events("refund.failed")) == 1
        assert client.v1.refunds.create({"payment_intent": intent_id}).amount == 500
    else:
        assert sandbox.money()[0]["kept"] == 0
    assert len(sandbox.events("refund.updated")) == 1


def test_a_refund_that_was_done_may_still_fail_but_only_once(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    intent_id = paid(sandbox, client)
    client.v1.payment_intents.capture(intent_id)
    refund = client.v1.refunds.create({"payment_intent": intent_id})
    sandbox.finish_refund(refund.id, "failed", reason="lost_or_stolen_card")
    assert client.v1.refunds.retrieve(refund.id).failure_reason == "lost_or_stolen_card"
    _, charge = with_charge(client, intent_id)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    with pytest.raises(SandboxMisuse):
        sandbox.finish_refund(refund.id, "succeeded")


def test_nothing_is_refunded_while_a_dispute_is_open(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent_id = paid(sandbox, client)
    with pytest.raises(SandboxMisuse):
        sandbox.open_dispute(intent_id)
    client.v1.payment_intents.capture(intent_id)
    dispute = sandbox.open_dispute(intent_id)
    _, charge = with_charge(client, intent_id)
    assert charge.disputed is True
    with refused("charge_disputed"):
        client.v1.refunds.create({"payment_intent": intent_id})
    assert client.v1.disputes.retrieve(dispute["id"]).status == "needs_response"
    assert [found.id for found in client.v1.disputes.list({"payment_intent": intent_id}).data] == [dispute["id"]]
    sandbox.close_dispute(dispute["id"], "won")
    assert sandbox.money()[0]["disputes"] == ["won"]
    assert client.v1.refunds.create({"payment_intent": intent_id}).amount == 500
    assert [kind for kind in kinds(sandbox) if "dispute" in kind] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]
    with pytest.raises(SandboxMisuse):
        sandbox.close_dispute(dispute["id"], "lost")


def test_a_lost_dispute_bars_a_refund_for_good(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent_id = paid(sandbox, client, "fpx")
    sandbox.close_dispute(sandbox.open_dispute(intent_id)["id"], "lost")
    with refused("charge_disputed"):
        client.v1.refunds.create({"payment_intent": intent_id})


def test_after_lost_disputes_about_parts_the_rest_can_go_back(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    intent_id = paid(sandbox, client, "fpx")
    for amount in (100, 50):
        dispute_id = sandbox.open_dispute(intent_id, amount)["id"]
        with refused("charge_disputed"):
            client.v1.refunds.create({"payment_intent": intent_id, "amount": 10})
        sandbox.close_dispute(dispute_id, "lost")
    with refused(None):
        client.v1.refunds.create({"payment_intent": intent_id, "amount": 351})
    client.v1.refunds.create({"payment_intent": intent_id, "amount": 350})
    assert (sandbox.money()[0]["kept"], sandbox.money()[0]["lost"]) == (150, 150)


def test_time_ends_sessions_and_holds(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    session = client.v1.checkout.sessions.create(checkout_params())
    intent_id = paid(sandbox, client)
    sandbox.advance(24 * 3600)
    assert client.v1.checkout.sessions.retrieve(session.id).status == "expired"
    assert client.v1.payment_intents.retrieve(intent_id).status == "requires_capture"
    sandbox.advance(HOLD_LIFE_S)
    intent = client.v1.payment_intents.retrieve(intent_id)
    assert (intent.status, intent.cancellation_reason) == ("canceled", "expired")
    assert kinds(sandbox)[-2:] == ["charge.expired", "payment_intent.canceled"]
    with pytest.raises(SandboxMisuse, match="expired"):
        sandbox.pay(session.id)


def test_a_captured_hold_does_not_lapse(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent_id = paid(sandbox, client)
    client.v1.payment_intents.capture(intent_id)
    sandbox.advance(2 * HOLD_LIFE_S)
    assert client.v1.payment_intents.retrieve(intent_id).status == "succeeded"
    with pytest.raises(SandboxMisuse):
        sandbox.expire_hold(intent_id)


def test_a_hold_can_be_made_to_lapse(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent_id = paid(sandbox, client)
    sandbox.expire_hold(intent_id)
    with refused("payment_intent_unexpected_state"):
        client.v1.payment_intents.capture(intent_id)


def test_a_session_is_paid_once_and_only_by_what_it_offers(
    sandbox: StripeSandbox, client: stripe.StripeClient
) -> None:
    session = client.v1.checkout.sessions.create(checkout_params(excluded_payment_method_types=["fpx"]))
    for method in ("fpx", "fpx_later", "cash"):
        with pytest.raises(SandboxMisuse):
            sandbox.pay(session.id, method)
    sandbox.pay(session.id)
    with pytest.raises(SandboxMisuse, match="complete"):
        sandbox.pay(session.id)
    assert len(sandbox.money()) == 1


def test_events_can_be_read_back_by_kind(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent_id = paid(sandbox, client)
    key = "capture-order-1"
    client.v1.payment_intents.capture(intent_id, {}, {"idempotency_key": key})
    newest = client.v1.events.list({"limit": 1}).data[0]
    assert newest.type == "payment_intent.succeeded"
    assert newest.request is not None
    assert (newest.request.idempotency_key, newest.api_version) == (key, stripe.api_version)
    assert client.v1.events.retrieve(newest.id).data.object["id"] == intent_id
    some = client.v1.events.list({"types": ["charge.*"]})
    assert [event.type for event in some.data] == ["charge.captured", "charge.succeeded"]
    snapshot = client.v1.events.list({"type": "payment_intent.amount_capturable_updated"}).data[0]
    assert snapshot.data.object["status"] == "requires_capture"


def test_the_balance_counts_what_is_kept_less_fees(sandbox: StripeSandbox, client: stripe.StripeClient) -> None:
    intent_id = paid(sandbox, client, "fpx")
    client.v1.refunds.create({"payment_intent": intent_id, "amount": 100})
    sandbox.advance(5)
    pending = client.v1.balance.retrieve().pending
    assert [(entry.currency, entry.amount) for entry in pending] == [("myr", 285)]  # less a fee of RM 1.15


def test_unknown_ids_are_not_found(client: stripe.StripeClient) -> None:
    calls = [
        lambda: client.v1.payment_intents.retrieve("pi_none"),
        lambda: client.v1.payment_intents.capture("pi_none"),
        lambda: client.v1.payment_intents.cancel("pi_none"),
        lambda: client.v1.checkout.sessions.retrieve("cs_test_none"),
        lambda: client.v1.checkout.sessions.expire("cs_test_none"),
        lambda: client.v1.refunds.retrieve("re_none"),
        lambda: client.v1.refunds.list({"payment_intent": "pi_none"}),
        lambda: client.v1.prices.retrieve("price_none"),
        lambda: client.v1.events.retrieve("evt_none"),
        lambda: client.v1.charges.retrieve("ch_none"),
    ]
    for call in calls:
        with refused("resource_missing") as caught:
            call()
        assert caught.value.http_status == 404
