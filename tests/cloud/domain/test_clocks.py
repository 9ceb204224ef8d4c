"""A clock of the cloud was hours ahead, and was put right: it proves and delays nothing."""

import msgspec
import pytest

from arcade_cloud.domain.clocks import without_future
from arcade_cloud.domain.events import CheckoutFailed, Due
from arcade_cloud.domain.limits import AHEAD_MS, SKEW_MS
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.payment import UNPAID_KEPT_S
from arcade_cloud.domain.settlement import REFUND_KEY_USE_MS
from support.lives import Life, held, paid
from support.orders import NOW_MS, changed

HOURS_8 = 8 * 3600


def asked(life: Life) -> Life:
    """The machine was asked, and the broker confirmed it."""
    life.revoking()
    life.revoke()
    return life


def without_a_page() -> Life:
    """An order whose payment page Stripe has not made yet."""
    life = Life()
    life.order = changed(life.order, checkout=None)
    return life


def state(life: Life) -> str:
    return life.order.state


def test_an_echo_from_the_future_is_no_proof_that_the_cloud_hears() -> None:
    life = asked(Life())
    life.wait_s(life.limits.silence_limit_s + life.limits.answer_s)
    life.on(Due())
    life.revoke()
    life.wait_s(life.limits.answer_s)
    life.last_echo_ms = life.now_ms + SKEW_MS + 1
    life.due()
    assert state(life) == "revoking"
    life.wait_s(life.limits.answer_s)
    life.revoke()
    life.hear_echo()
    life.wait_s(life.limits.answer_s)
    life.due()
    assert state(life) == "resolved"
    assert life.resolution.by == "silence"


def test_a_machine_that_was_asked_in_the_future_is_asked_now_and_its_silence_counts_from_now() -> None:
    life = Life()
    life.funded(held())
    life.wait_s(HOURS_8)
    life.on(Due())
    life.revoke()
    assert state(life) == "revoking"
    life.now_ms -= 1000 * HOURS_8  # the clock is put right
    life.on(Due())
    assert life.revoking_now.since_ms == life.revoking_now.first_confirmed_at_ms == life.now_ms
    assert life.order.due_at_ms is not None
    assert life.order.due_at_ms <= life.now_ms + 60_000
    right_ms = life.now_ms
    while state(life) == "revoking":
        life.due()
        life.revoke()
        life.hear_echo()
    assert life.now_ms - right_ms <= 1000 * (life.limits.hold_silence_limit_s + 200)


def test_an_order_that_waits_for_its_payment_is_not_put_off_by_hours() -> None:
    life = Life()
    life.wait_s(HOURS_8)
    life.on(Due())
    life.now_ms = NOW_MS + 1000
    life.on(Due())
    assert life.order.due_at_ms is not None
    assert life.order.due_at_ms <= life.now_ms + 3_600_000


def test_a_settlement_begun_in_the_future_goes_on_now_and_uses_no_key_of_unknown_age() -> None:
    life = Life().funded(paid())
    life.ack(delivered=1)
    life.wait_s(HOURS_8)
    life.read(paid())
    assert life.settle == ("refund", 200)
    key, serial = life.order.settlement.key, life.order.settlement.serial
    life.now_ms -= 1000 * HOURS_8
    life.on(Due())
    life.read(paid(refunded_minor=0))
    assert not life.effects  # the first attempt may be under way
    for _ in range(100):
        life.due()
        life.read(paid())
        if life.effects:
            break
    assert life.settle == ("refund", 200)
    assert life.order.settlement.key != key
    assert life.order.settlement.serial == serial + 1
    assert life.now_ms - NOW_MS < 2 * 3_600_000
    life.read(paid(refunded_minor=200))
    life.wait_s(1)
    life.read(paid(refunded_minor=200))
    assert life.order.state == "settled"


@pytest.mark.parametrize("off_ms", [0, AHEAD_MS - 1])
def test_clocks_that_differ_by_seconds_change_nothing(off_ms: int) -> None:
    orders: list[Order] = [Life().order, Life().funded().order, asked(Life()).order, Life().resolved(1).order]
    for order in orders:
        assert order.due_at_ms is not None
        assert without_future(order, max(NOW_MS, order.due_at_ms - 3600) - off_ms) is not None
    life = asked(Life())
    assert without_future(life.order, life.now_ms - off_ms) == life.order


def test_a_serial_of_unknown_age_counts_as_used_up() -> None:
    life = Life().funded(paid())
    life.ack(delivered=1)
    life.wait_s(HOURS_8)
    life.read(paid())
    now_ms = NOW_MS
    right = without_future(life.order, now_ms)
    assert right.settlement.serial_at_ms == now_ms - REFUND_KEY_USE_MS
    assert right.settlement.key_at_ms == now_ms


def test_an_order_that_nobody_can_pay_is_kept_for_its_month_and_nobody_is_told() -> None:
    life = without_a_page()
    life.now_ms += 130_000
    life.on(CheckoutFailed("this process's clock is off Stripe's"))
    life.now_ms -= 130_000
    for _ in range(3):
        life.on(Due())
        assert not life.effects
        assert life.order.due_at_ms == life.now_ms + 1000 * UNPAID_KEPT_S
    assert not life.alerts
    assert life.due().forget


def test_an_order_that_nobody_can_pay_is_never_read_even_if_it_is_due_too_soon() -> None:
    """As a clock has made it that was weeks behind."""
    life = without_a_page()
    life.on(CheckoutFailed("Stripe created no checkout"))
    life.order = changed(life.order, due_at_ms=life.now_ms)
    life.on(Due())
    assert not life.effects
    assert life.order.due_at_ms == life.now_ms + 1000 * UNPAID_KEPT_S


def test_a_settlement_that_goes_on_in_minutes_is_not_put_off_by_two_hours() -> None:
    life = Life().funded(held())
    life.ack(delivered=1)
    life.on(Due())
    wait_ms = 2 * 3_600_000
    put_off = msgspec.structs.replace(life.order.settlement, due_at_ms=life.now_ms + wait_ms)
    order = msgspec.structs.replace(life.order, settlement=put_off)
    assert without_future(order, life.now_ms).due_at_ms == life.now_ms
