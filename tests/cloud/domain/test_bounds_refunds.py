"""A refund that its bank sends back weeks later is noticed, although no webhook ever tells of it."""

import pytest

from arcade_cloud.domain.settlement import REFUND_LOOKS_S
from support.lives import Life, paid, plain
from support.mortal_cloud import MortalCloud

DAY_MS = 86_400_000


def given_back(cloud: MortalCloud) -> str:
    """An order of which everything was refunded, because the machine was silent; no webhook arrives any more."""
    cloud.machine.is_up = False
    order_id = cloud.buy("fpx")
    assert order_id is not None
    cloud.settle_down(until=lambda: cloud.order(order_id).state == "settled")
    cloud.webhooks = False
    return order_id


def kept(cloud: MortalCloud) -> int:
    (money,) = cloud.payments.stripe.money()
    return int(money["kept"])


@pytest.mark.parametrize("failed_after_days", [1, 8, 30])
def test_a_refund_that_fails_without_a_webhook_is_made_anew(failed_after_days: int) -> None:
    cloud = MortalCloud()
    order_id = given_back(cloud)
    assert kept(cloud) == 0
    cloud.settle_down(days=failed_after_days)
    cloud.now_ms = max(
        cloud.now_ms, (cloud.order(order_id).settlement.settled_at_ms or 0) + failed_after_days * DAY_MS
    )
    cloud.payments.stripe.finish_refund(cloud.order(order_id).payment_intent or "", "failed")
    assert kept(cloud) == 300
    cloud.settle_down()
    assert kept(cloud) == 0
    assert "refund_failed" in cloud.alerts.kinds
    cloud.settle_down(days=100)
    cloud.check_promises()


def test_a_refund_that_lasts_costs_three_looks_and_no_more() -> None:
    cloud = MortalCloud()
    order_id = given_back(cloud)
    before = len(cloud.store.history(order_id))
    cloud.settle_down(days=365)
    looked = [entry for entry in cloud.store.history(order_id)[before:] if entry.event == "PaymentRead"]
    assert len(looked) == len(REFUND_LOOKS_S)
    assert cloud.order(order_id).due_at_ms is None


def test_where_nothing_was_refunded_nobody_looks_again() -> None:
    life = Life().resolved(3)
    life.read(paid())
    assert (life.order.state, life.order.due_at_ms) == ("settled", None)


def test_a_look_at_a_refund_is_repeated_while_stripe_is_away_and_not_for_ever() -> None:
    life = Life().resolved(0)
    life.read(paid(refunded_minor=300))
    assert life.order.state == "settled"
    looks = 0
    while life.order.due_at_ms is not None:
        life.due()
        looks += plain(life.effects) == ["ReadPayment"]
    assert 100 < looks < 1000
    assert life.kinds == {"given_up"}
