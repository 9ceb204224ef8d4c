"""Money that no checkout of ours brought, and credits without money: each becomes the right order, once."""

from dataclasses import replace
from typing import cast

import pytest

from arcade_cloud.domain.events import PaymentReported
from arcade_cloud.domain.order import Order
from arcade_cloud.errors import BadRequest, NotReady, UnknownMachine
from arcade_cloud.ports.payments import Report
from arcade_cloud.ports.store import Store
from support.doors import Doors
from support.orders import only_credit, session_of

COINPULSES = "arcade/machine/cab-01/coinpulse"


@pytest.fixture
def doors() -> Doors:
    return Doors()


def report_all(doors: Doors) -> None:
    for event in doors.payments.stripe.take_events():
        assert doors.post_event(event).status_code == 200


def paid_by_link(doors: Doors, price_id: str = "price_play", **link: object) -> str:
    """A static Payment Link visited and paid; the payment intent."""
    session_id = doors.payments.stripe.visit_link(price_id, **link)  # type: ignore[arg-type]
    return doors.payments.stripe.pay(session_id, "fpx")


def kept(doors: Doors, payment_intent: str) -> int:
    (entry,) = [entry for entry in doors.payments.stripe.money() if entry["id"] == payment_intent]
    found: int = entry["kept"]
    return found


def test_a_payment_by_a_static_link_becomes_an_order_of_that_machines_offer(doors: Doors) -> None:
    intent = paid_by_link(doors, metadata={"machine_id": "cab-01"})
    events = doors.payments.stripe.take_events()
    for event in [*events, *reversed(events)]:
        doors.post_event(event)
    order = doors.order(f"link_{intent}")
    assert (order.kind, order.state, order.ordered, order.amount_minor) == ("link", "funded", 1, 100)
    assert len(doors.broker.on(COINPULSES)) == 1
    doors.say_ack(order.order_id, delivered=1)
    assert doors.order(order.order_id).state == "settled"
    assert kept(doors, intent) == 100


def test_a_link_whose_price_is_no_offer_of_the_machine_is_given_back(doors: Doors) -> None:
    doors.payments.stripe.add_price("price_other", 700)
    intent = paid_by_link(doors, "price_other", metadata={"machine_id": "cab-01"})
    report_all(doors)
    order = doors.order(f"stray_{intent}")
    assert (order.kind, order.state, order.books.target_minor) == ("unmatched", "settled", 0)
    assert kept(doors, intent) == 0
    assert doors.broker.on(COINPULSES) == []
    assert any(alert.kind == "unmatched_payment" for alert in doors.store.recent_alerts(10))


def test_a_link_for_a_machine_that_nobody_knows_is_given_back(doors: Doors) -> None:
    intent = paid_by_link(doors, metadata={"machine_id": "nobody"})
    report_all(doors)
    assert doors.order(f"stray_{intent}").state == "settled"
    assert kept(doors, intent) == 0


def test_another_business_on_the_same_account_is_left_alone(doors: Doors) -> None:
    """No order of ours, no machine of ours: not our money to give back."""
    intent = paid_by_link(doors)
    report_all(doors)
    assert doors.store.recent_orders(10) == []
    assert kept(doors, intent) == 100


def test_a_grant_is_one_order_for_its_token_and_costs_nothing(doors: Doors) -> None:
    operations = doors.services.operations
    first = operations.grant("cab-01", 2, by="operator", reason="sorry", token="form-1")
    again = operations.grant("cab-01", 2, by="operator", reason="sorry", token="form-1")
    assert first.order_id == again.order_id
    assert len(doors.broker.on(COINPULSES)) == 1
    doors.say_ack(first.order_id, delivered=2)
    assert (doors.order(first.order_id).state, doors.order(first.order_id).delivered) == ("settled", 2)
    assert doors.payments.stripe.money() == []


def test_credits_are_for_the_computer_that_was_ready_when_they_were_ordered(doors: Doors) -> None:
    sales, operations = doors.services.sales, doors.services.operations
    presence = doors.store.presence("cab-01")
    assert presence is not None
    assert presence.installation is not None
    granted = operations.grant("cab-01", 1, by="operator", reason="sorry", token="form-1")
    for order in (sales.begin_checkout("cab-01"), granted):
        assert only_credit(order).ready_installation == presence.installation


def test_a_grant_needs_a_machine_that_takes_it(doors: Doors) -> None:
    operations = doors.services.operations
    with pytest.raises(UnknownMachine):
        operations.grant("nobody", 1, by="operator", reason="", token="a")
    with pytest.raises(NotReady):
        operations.grant("cab-01", 51, by="operator", reason="", token="b")
    with pytest.raises(BadRequest):
        operations.grant("cab-01", 0, by="operator", reason="", token="c")
    assert doors.store.recent_orders(10) == []


def test_a_refund_of_what_was_never_paid_is_refused(doors: Doors) -> None:
    order = doors.services.sales.begin_checkout("cab-01")
    with pytest.raises(BadRequest, match="nothing to give back"):
        doors.services.operations.refund(order.order_id, by="operator", reason="")
    with pytest.raises(BadRequest, match="no order"):
        doors.services.operations.refund("ord_unknown", by="operator", reason="")


def test_a_refund_is_not_called_done_because_another_worker_moved_the_order_meanwhile(doors: Doors) -> None:
    """The payment was reported between two readings of the order, which was still open: nothing was given back."""
    order_id = doors.begin()
    fulfilment = doors.services.fulfilment

    class Meanwhile:
        """A store on which another worker is busy."""

        def __getattr__(self, name: str) -> object:
            return getattr(doors.store, name)

        def order(self, wanted: str) -> Order | None:
            found = doors.store.order(wanted)
            fulfilment.move(wanted, PaymentReported(f"pi_{doors.order(wanted).version}", "paid"), act=False)
            return found

    busy = replace(doors.services.operations, fulfilment=replace(fulfilment, store=cast(Store, Meanwhile())))
    with pytest.raises(BadRequest, match="nothing to give back"):
        busy.refund(order_id, by="operator", reason="")
    assert doors.order(order_id).version > 2, "the other worker was there"


def test_a_second_payment_for_one_order_goes_back_and_the_first_one_counts(doors: Doors) -> None:
    order = doors.services.sales.begin_checkout("cab-01")
    first = doors.payments.stripe.pay(session_of(order))
    report_all(doors)
    second = paid_by_link(doors)
    doors.payments.stripe.take_events()
    report = Report(
        event_id="evt_second",
        kind="payment",
        what="payment_intent.succeeded",
        created_ms=doors.now_ms,
        order_id=order.order_id,
        payment_intent=second,
    )
    for _ in range(2):
        doors.services.intake.take_in(report)
    assert doors.order(order.order_id).payment_intent == first
    assert doors.order(f"stray_{second}").state == "settled"
    assert kept(doors, second) == 0
    assert len(doors.broker.on(COINPULSES)) == 1
