"""A database that knows nothing of an order: what was captured for it stays, and is shown to a person."""

import pytest

from arcade_cloud.adapters.stripe import events as webhook
from arcade_cloud.bootstrap import connect
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.machines import Machine
from support.memory_store import MemoryStore
from support.mortal_cloud import BASE_URL, MACHINE, PLAY, SECRET, MortalCloud


@pytest.mark.parametrize("is_news", [True, False], ids=["webhook", "reconciliation"])
@pytest.mark.parametrize(("method", "kept"), [("card", 300), ("grabpay", 0)])
def test_a_capture_of_an_order_that_is_gone_stands_and_money_taken_without_one_goes_back(
    method: str, kept: int, is_news: bool
) -> None:
    cloud = MortalCloud()
    assert cloud.buy(method)
    cloud.settle_down()
    (told,) = cloud.payments.stripe.world.events("payment_intent.succeeded")  # type: ignore[union-attr]
    store = MemoryStore()
    store.put_machine(Machine(machine_id=MACHINE, version=1, offers=(PLAY,)), 0)
    services = connect(
        store=store,
        payments=cloud.payments,
        broker=cloud.broker,
        receivers=[cloud.alerts],
        keyring=Keyring(["the secret after it was rotated", SECRET]),
        limits=cloud.limits,
        base_url=BASE_URL,
        now_ms=lambda: cloud.now_ms,
    )
    take_in = services.intake.take_in if is_news else services.intake.take_in_found
    became = take_in(webhook.interpret(told))
    (money,) = cloud.payments.stripe.money()
    if method == "card" or not is_news:
        assert became == "unclaimed"
        assert money["kept"] == 300
        (listed,) = store.unclaimed(10)
        assert ("RM 3.00 of it was to be kept" in listed.why) == (method == "card")
    else:
        assert became == "unmatched"
        assert money["kept"] == kept


def test_a_late_event_about_the_hold_gives_nothing_back_and_a_person_may() -> None:
    cloud = MortalCloud()
    assert cloud.buy("card")
    cloud.settle_down()
    (told,) = cloud.payments.stripe.world.events("payment_intent.amount_capturable_updated")  # type: ignore[union-attr]
    store = MemoryStore()
    store.put_machine(Machine(machine_id=MACHINE, version=1, offers=(PLAY,)), 0)
    services = connect(
        store=store,
        payments=cloud.payments,
        broker=cloud.broker,
        receivers=[cloud.alerts],
        keyring=Keyring([SECRET]),
        limits=cloud.limits,
        base_url=BASE_URL,
        now_ms=lambda: cloud.now_ms,
    )
    assert services.intake.take_in(webhook.interpret(told)) == "unclaimed"
    assert cloud.payments.stripe.money()[0]["kept"] == 300
    services.claims.give_back(cloud.intent(), by="kim")
    assert cloud.payments.stripe.money()[0]["kept"] == 0
