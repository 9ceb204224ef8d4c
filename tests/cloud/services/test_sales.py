"""Money that no checkout of ours brought, and credits without money: each becomes the right order, once."""

from dataclasses import replace
from typing import cast

import pytest

from arcade_cloud.domain.events import PaymentReported
from arcade_cloud.domain.order import Order
from arcade_cloud.errors import BadRequest, NotReady, UnknownMachine
from arcade_cloud.ports.store import Store
from support.orders import only_credit
from support.site import Site

COINPULSES = "arcade/machine/cab-01/coinpulse"


@pytest.fixture
def site() -> Site:
    return Site()


def report_all(site: Site) -> None:
    for event in site.payments.stripe.take_events():
        assert site.post_event(event).status_code == 200


def paid_by_link(site: Site, price_id: str = "price_play", **link: object) -> str:
    """A static Payment Link visited and paid; the payment intent."""
    session_id = site.payments.stripe.visit_link(price_id, **link)  # type: ignore[arg-type]
    return site.payments.stripe.pay(session_id, "fpx")


def kept(site: Site, payment_intent: str) -> int:
    (entry,) = [entry for entry in site.payments.stripe.money() if entry["id"] == payment_intent]
    found: int = entry["kept"]
    return found


def test_a_payment_by_a_static_link_becomes_an_order_of_that_machines_offer(site: Site) -> None:
    intent = paid_by_link(site, metadata={"machine_id": "cab-01"})
    events = site.payments.stripe.take_events()
    for event in [*events, *reversed(events)]:
        site.post_event(event)
    order = site.order(f"link_{intent}")
    assert (order.kind, order.state, order.ordered, order.amount_minor) == ("link", "funded", 1, 100)
    assert len(site.broker.on(COINPULSES)) == 1
    site.say_ack(order.order_id, delivered=1)
    assert site.order(order.order_id).state == "settled"
    assert kept(site, intent) == 100


def test_a_grant_is_one_order_for_its_token_and_costs_nothing(site: Site) -> None:
    operations = site.dependencies.operations
    first = operations.grant("cab-01", 2, by="operator", reason="sorry", token="form-1")
    again = operations.grant("cab-01", 2, by="operator", reason="sorry", token="form-1")
    assert first.order_id == again.order_id
    assert len(site.broker.on(COINPULSES)) == 1
    site.say_ack(first.order_id, delivered=2)
    assert (site.order(first.order_id).state, site.order(first.order_id).delivered) == ("settled", 2)
    assert site.payments.stripe.money() == []


@pytest.mark.parametrize(("machine_id", "credits"), [("cab-01", 3), ("cab-02", 2)])
def test_a_token_of_another_grant_is_refused_instead_of_giving_nothing(
    site: Site, machine_id: str, credits: int
) -> None:
    operations = site.dependencies.operations
    operations.grant("cab-01", 2, by="operator", reason="sorry", token="form-1")
    with pytest.raises(BadRequest, match=r"2 credits on machine cab-01 .* another token"):
        operations.grant(machine_id, credits, by="operator", reason="sorry", token="form-1")
    assert len(site.store.recent_orders(10)) == 1


def test_a_grant_that_is_sent_again_is_answered_though_the_machine_is_gone_by_now(site: Site) -> None:
    operations = site.dependencies.operations
    first = operations.grant("cab-01", 2, by="operator", reason="sorry", token="form-1")
    site.say_status("cab-01", state="offline", ready=False)
    again = operations.grant("cab-01", 2, by="operator", reason="sorry", token="form-1")
    assert again.order_id == first.order_id
    with pytest.raises(NotReady):
        operations.grant("cab-01", 2, by="operator", reason="sorry", token="form-2")


def test_no_more_is_sold_than_one_train_of_the_machine_holds(site: Site) -> None:
    """What the agent says counts for the whole purchase, not for one of the offers in it."""
    site.say_status("cab-01", max_credits=3)
    assert site.dependencies.sales.begin_checkout("cab-01", quantity=3).ordered == 3
    with pytest.raises(NotReady, match="at most 3"):
        site.dependencies.sales.begin_checkout("cab-01", quantity=4)


def test_credits_are_for_the_computer_that_was_ready_when_they_were_ordered(site: Site) -> None:
    sales, operations = site.dependencies.sales, site.dependencies.operations
    presence = site.store.presence("cab-01")
    assert presence is not None
    assert presence.installation is not None
    granted = operations.grant("cab-01", 1, by="operator", reason="sorry", token="form-1")
    for order in (sales.begin_checkout("cab-01"), granted):
        assert only_credit(order).ready_installation == presence.installation


def test_a_grant_needs_a_machine_that_takes_it(site: Site) -> None:
    operations = site.dependencies.operations
    with pytest.raises(UnknownMachine):
        operations.grant("nobody", 1, by="operator", reason="", token="a")
    with pytest.raises(NotReady):
        operations.grant("cab-01", 51, by="operator", reason="", token="b")
    with pytest.raises(BadRequest, match="1 to 1000 credits, not 0"):
        operations.grant("cab-01", 0, by="operator", reason="", token="c")
    assert site.store.recent_orders(10) == []


def test_a_refund_of_what_was_never_paid_is_refused(site: Site) -> None:
    order = site.dependencies.sales.begin_checkout("cab-01")
    with pytest.raises(BadRequest, match="nothing to give back"):
        site.dependencies.operations.refund(order.order_id, by="operator", reason="")
    with pytest.raises(BadRequest, match="there is no order"):
        site.dependencies.operations.refund("ord_unknown", by="operator", reason="")


def test_a_refund_is_not_called_done_because_another_worker_moved_the_order_meanwhile(site: Site) -> None:
    """The payment was reported between two readings of the order, which was still open: nothing was given back."""
    order_id = site.begin()
    fulfilment = site.dependencies.fulfilment
    idle = replace(fulfilment, later=lambda work: None)  # what it would ask of Stripe is left to the timer

    class Meanwhile:
        """A store on which another worker is busy."""

        def __getattr__(self, name: str) -> object:
            return getattr(site.store, name)

        def order(self, wanted: str) -> Order | None:
            found = site.store.order(wanted)
            idle.move(wanted, PaymentReported(f"pi_{site.order(wanted).version}", "paid"))
            return found

    busy = replace(site.dependencies.operations, fulfilment=replace(fulfilment, store=cast(Store, Meanwhile())))
    with pytest.raises(BadRequest, match="nothing to give back"):
        busy.refund(order_id, by="operator", reason="")
    assert site.order(order_id).version > 2, "the other worker was there"
