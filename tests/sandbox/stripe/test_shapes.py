"""The stand-in's objects have exactly the fields that the real library knows of Stripe's."""

import typing

import pytest
import stripe

from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.stripe_side import checkout_params

# Fields of the API that the library leaves out of its types, or that it fills in itself.
NOT_IN_THE_LIBRARY = {"product": {"attributes"}}
# Fields that Stripe shows in answers only where they are expanded or apply.
SHOWN_AT_TIMES = {
    "checkout.session": {"redirect_on_completion"},
    "charge": {"level3", "transfer"},
    "payment_intent": {"payment_record"},
    "refund": {"customer", "failure_balance_transaction", "payment_method", "pending_reason"},
}
KINDS: dict[str, type[stripe.StripeObject]] = {
    "checkout.session": stripe.checkout.Session,
    "payment_intent": stripe.PaymentIntent,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "dispute": stripe.Dispute,
    "event": stripe.Event,
    "price": stripe.Price,
    "product": stripe.Product,
    "payment_link": stripe.PaymentLink,
    "balance_transaction": stripe.BalanceTransaction,
    "payout": stripe.Payout,
}


@pytest.fixture
def everything(sandbox: StripeSandbox, client: stripe.StripeClient) -> dict[str, dict[str, typing.Any]]:
    """One object of each kind, as JSON."""
    session = client.v1.checkout.sessions.create(checkout_params())
    intent_id = sandbox.pay(session.id).payment_intent
    sandbox.capture(intent_id)
    sandbox.refund(intent_id, 100)
    sandbox.open_dispute(intent_id)
    sandbox.set_rules(available_after_days=0)
    sandbox.pay(client.v1.checkout.sessions.create(checkout_params()).id, "fpx")
    sandbox.advance(5)
    sandbox.pay_out()
    client.v1.payment_links.create({"line_items": [{"price": sandbox.create_price(500)["id"], "quantity": 1}]})
    tables = sandbox.dump()
    return {kind: tables[kind][0] for kind in KINDS if kind != "event"} | {"event": sandbox.events()[0]}


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_shows_no_field_that_the_library_does_not_know(
    kind: str, everything: dict[str, dict[str, typing.Any]]
) -> None:
    known = set(KINDS[kind].__annotations__) | NOT_IN_THE_LIBRARY.get(kind, set())
    assert set(everything[kind]) <= known


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_lacks_no_field_that_is_always_there(
    kind: str, everything: dict[str, dict[str, typing.Any]]
) -> None:
    always = {
        name
        for name, annotation in KINDS[kind].__annotations__.items()
        if "Optional" not in str(annotation) and "ClassVar" not in str(annotation)
    }
    assert always - set(everything[kind]) - SHOWN_AT_TIMES.get(kind, set()) == set()


def test_objects_carry_their_own_name_and_prefix(everything: dict[str, dict[str, typing.Any]]) -> None:
    prefixes = {kind: thing["id"].split("_")[0] for kind, thing in everything.items()}
    assert prefixes == {
        "checkout.session": "cs",
        "payment_intent": "pi",
        "charge": "ch",
        "refund": "re",
        "dispute": "du",
        "event": "evt",
        "price": "price",
        "product": "prod",
        "payment_link": "plink",
        "balance_transaction": "txn",
        "payout": "po",
    }
    assert all(thing["object"] == kind for kind, thing in everything.items())
    assert not any(thing.get("livemode", False) for thing in everything.values())
