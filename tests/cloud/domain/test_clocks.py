"""A clock of the cloud was hours ahead, and was put right: it proves and delays nothing."""

import msgspec
import pytest

from arcade_cloud.domain.clocks import CLOSED_OFF_MS, clock_of, without_future
from arcade_cloud.domain.decisions import Clock
from arcade_cloud.domain.effects import AskTime, SendRevoke
from arcade_cloud.domain.events import CheckoutFailed, Due, RefundAsked, TimeAsked
from arcade_cloud.domain.limits import AHEAD_MS, SKEW_MS
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.payment import UNPAID_KEPT_S
from arcade_cloud.domain.settlement import ATTEMPT_LIFE_MS, PATIENT_BACKOFF_S, REFUND_KEY_USE_MS
from support.lives import Life, held, paid, plain
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
    found = life.revoking_now
    assert found.since_ms == found.first_confirmed_at_ms == found.last_confirmed_at_ms == life.now_ms
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


def test_an_order_that_is_kept_for_its_month_is_not_taken_for_put_off() -> None:
    """Else it would be moved with each look at what waits."""
    life = without_a_page()
    life.on(CheckoutFailed("Stripe created no checkout"))
    life.on(Due())
    assert without_future(life.order, life.now_ms) == life.order


def test_an_order_that_nobody_can_pay_is_never_read_even_if_it_is_due_too_soon() -> None:
    """As a clock has made it that was weeks behind."""
    life = without_a_page()
    life.on(CheckoutFailed("Stripe created no checkout"))
    life.order = changed(life.order, due_at_ms=life.now_ms)
    life.on(Due())
    assert not life.effects
    assert life.order.due_at_ms == life.now_ms + 1000 * UNPAID_KEPT_S


@pytest.mark.parametrize(
    ("shown", "key", "wait_ms"),
    [
        (paid(dispute="open"), "", 1000 * PATIENT_BACKOFF_S[-1]),
        (paid(), "refund:ord_1:100:1", ATTEMPT_LIFE_MS),
    ],
)
def test_a_settlement_that_waits_as_long_as_its_rule_says_is_not_taken_for_put_off(
    shown: Payment, key: str, wait_ms: int
) -> None:
    life = Life().resolved(1)
    settlement = msgspec.structs.replace(life.order.settlement, key=key, due_at_ms=life.now_ms + wait_ms)
    payment = msgspec.structs.replace(life.payment, shown=shown)
    order = msgspec.structs.replace(life.order, settlement=settlement, payment=payment)
    assert without_future(order, life.now_ms) == order


def test_a_settlement_that_goes_on_in_minutes_is_not_put_off_by_two_hours() -> None:
    life = Life().funded(held())
    life.ack(delivered=1)
    life.on(Due())
    wait_ms = 2 * 3_600_000
    put_off = msgspec.structs.replace(life.order.settlement, due_at_ms=life.now_ms + wait_ms)
    order = msgspec.structs.replace(life.order, settlement=put_off)
    assert without_future(order, life.now_ms).due_at_ms == life.now_ms


# --- a process whose clock is wrong now ------------------------------------------------------------------


def over(by: str) -> Life:
    """The machine was silent for as long as it may be, or the last resort has come."""
    life = asked(Life())
    if by == "last resort":
        life.wait_s(life.limits.last_resort_s)
        return life
    life.wait_s(life.limits.silence_limit_s + life.limits.answer_s)
    life.hear_echo()
    return life


@pytest.mark.parametrize("by", ["silence", "last resort"])
def test_only_a_process_whose_clock_is_right_ends_the_wait_for_a_machine(by: str) -> None:
    life = over(by)
    life.clock = "wrong"
    for _ in range(50):
        life.due()
        assert state(life) == "revoking"
        assert plain(life.effects) == ["SendRevoke"]
        life.revoke()
        life.hear_echo()
    assert not life.kinds
    life.clock = "right"
    life.due()
    assert (state(life), life.resolution.by) == ("resolved", by)
    assert life.kinds == {"unconfirmed"}


@pytest.mark.parametrize("by", ["silence", "last resort"])
@pytest.mark.parametrize(
    ("found", "becomes"), [("right", "resolved"), ("wrong", "revoking"), ("unknown", "revoking")]
)
def test_a_process_that_does_not_know_its_clock_asks_stripe_before_it_ends_the_wait(
    by: str, found: Clock, becomes: str
) -> None:
    life = over(by)
    life.clock = "unknown"
    life.on(Due())
    assert state(life) == "revoking"
    assert life.effects == (AskTime(life.command.credit_id),)
    assert life.order.due_at_ms is not None, "the effect may be dropped"
    life.clock = found
    life.on(TimeAsked(life.command.credit_id))
    assert state(life) == becomes
    assert bool(life.asked(SendRevoke)) is (becomes == "revoking"), "it goes on asking the machine"
    assert not life.asked(AskTime)


def test_a_machine_that_answers_while_stripe_is_asked_is_believed() -> None:
    life = over("silence")
    life.clock = "unknown"
    life.on(Due())
    life.ack(delivered=2)
    life.clock = "right"
    before = life.order
    life.on(TimeAsked(life.command.credit_id))
    assert life.order == before
    assert (life.resolution.by, life.resolution.delivered) == ("ack", 2)


@pytest.mark.parametrize("clock", ["wrong", "unknown"])
def test_a_machine_s_word_closes_its_order_whatever_the_clock_says(clock: Clock) -> None:
    life = asked(Life())
    life.clock = clock
    life.ack(delivered=1)
    assert (state(life), life.resolution.by) == ("resolved", "ack")


@pytest.mark.parametrize(
    ("off_ms", "clock"),
    [
        (None, "unknown"),
        (0, "right"),
        (1 - CLOSED_OFF_MS, "right"),
        (CLOSED_OFF_MS, "wrong"),
        (-CLOSED_OFF_MS, "wrong"),
    ],
)
def test_what_a_process_knows_about_its_clock(off_ms: int | None, clock: Clock) -> None:
    assert clock_of(off_ms) == clock


@pytest.mark.parametrize("hours", [-HOURS_8, HOURS_8])
def test_a_silence_counts_from_when_the_machine_was_asked_however_wrong_the_clock_was(hours: int) -> None:
    """An operator refunds by a process whose clock is wrong; another one, which is right, goes on."""
    life = Life().funded()
    life.wait_s(60)
    asked_ms = life.now_ms
    life.now_ms, life.clock, life.off_ms = asked_ms + 1000 * hours, "wrong", 1000 * hours
    life.on(RefundAsked("boss", "stuck"))
    life.revoke()
    assert state(life) == "revoking"
    found = life.revoking_now
    assert found.since_ms == found.first_confirmed_at_ms == found.last_confirmed_at_ms == asked_ms
    life.now_ms, life.clock, life.off_ms = asked_ms, "right", 0
    life.on(Due())
    while state(life) == "revoking":
        life.due()
        life.revoke()
        life.hear_echo()
    assert life.now_ms - asked_ms >= 1000 * life.limits.silence_limit_s


def test_a_silence_does_not_count_from_before_the_payment_though_nobody_knows_the_time() -> None:
    life = Life().funded()
    life.wait_s(-HOURS_8)
    life.clock = "unknown"
    life.on(RefundAsked("boss", "stuck"))
    life.revoke()
    found = life.revoking_now
    assert found.since_ms == found.first_confirmed_at_ms == found.last_confirmed_at_ms == NOW_MS
