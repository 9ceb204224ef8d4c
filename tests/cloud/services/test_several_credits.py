"""An order of many credits goes through the same services as an order of one credit."""

import msgspec
import pytest

from arcade_cloud.domain.order import Credit, Draw, Order
from simulation.account_payments import AccountPayments
from support.mortal_cloud import MACHINE, MortalCloud
from support.order_records import step
from support.orders import session_of

# Each is sent, and asked back, beside all others: more than one chain of effects of a single credit.
MANY = 30
PRICE = 10


@pytest.fixture
def world() -> MortalCloud:
    return MortalCloud(payments=AccountPayments)


def ordered(world: MortalCloud) -> Order:
    """An order of many credits of one pulse each, which the player has paid."""
    order = world.sales.begin_checkout(MACHINE)
    credits = tuple(
        Credit(
            machine_id=MACHINE,
            count=1,
            price_minor=PRICE,
            draw=Draw(token=f"token-{number}", at_ms=order.created_at_ms) if number else None,
        )
        for number in range(MANY)
    )
    order = msgspec.structs.replace(order, version=order.version + 1, credits=credits)
    world.store.move(step(order))
    world.payments.stripe.pay(session_of(order))
    return order


def test_all_credits_are_sent_and_paid_for(world: MortalCloud) -> None:
    order = ordered(world)
    world.settle_down()
    order = world.order(order.order_id)
    assert (order.state, order.delivered) == ("settled", MANY)
    assert world.machine.pulsed == MANY
    assert len(world.machine.journal) == MANY
    assert [line["kept"] for line in world.payments.stripe.money()] == [MANY * PRICE]
    assert world.alerts.kinds == []


def test_all_credits_are_asked_back_and_nothing_is_kept(world: MortalCloud) -> None:
    world.machine.is_up = False
    order = ordered(world)
    world.settle_down(until=lambda: world.order(order.order_id).state == "revoking")
    world.machine.is_up = True
    world.settle_down()
    order = world.order(order.order_id)
    assert (order.state, order.delivered) == ("settled", 0)
    assert {there.state for there in world.machine.journal.values()} == {"revoked"}
    assert [line["kept"] for line in world.payments.stripe.money()] == [0]
    assert world.alerts.kinds == []
