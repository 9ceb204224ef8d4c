"""Settling: Stripe is made to show the target, each refund at most once, whatever is lost or late."""

import itertools

import msgspec
import pytest

from arcade_cloud.domain.effects import EFFECT_LIFE_MS, PARTIAL_CAPTURE, ReadPayment, Settle
from arcade_cloud.domain.events import PaymentRead, PaymentReported, RefundAsked, SettlementAttempted
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import check
from arcade_cloud.domain.ownership import capture_mark
from arcade_cloud.domain.settlement import (
    ALERT_ATTEMPTS,
    ATTEMPT_LIFE_MS,
    REFUND_FAILURES,
    REFUND_KEY_USE_MS,
    SETTLE_ATTEMPTS,
)
from support.lives import Life, gone, held, new_order, paid, plain
from support.orders import NOW_MS

HOUR_MS = 3_600_000


def refunded(refunded_minor: int, **fields: object) -> Payment:
    return paid(refunded_minor=refunded_minor, **fields)


# --- what is wanted for what Stripe shows ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("delivered", "shown", "act"),
    [
        (3, held(), ("capture", 300)),
        (2, held(), ("capture", 200)),
        (0, held(), ("cancel", 0)),
        (2, paid(), ("refund", 100)),
        (0, paid(), ("refund", 300)),
        (1, refunded(100), ("refund", 100)),
        (0, refunded(100), ("refund", 200)),
    ],
)
def test_what_is_done_leads_from_what_stripe_shows_to_what_is_to_be_kept(
    delivered: int, shown: Payment, act: tuple[str, int]
) -> None:
    life = Life().resolved(delivered, held() if shown.status == "requires_capture" else paid())
    life.read(shown)
    assert life.settle == act
    assert life.order.state == "resolved"


@pytest.mark.parametrize(
    ("delivered", "shown"),
    [
        (3, paid()),
        (2, paid(received_minor=200)),
        (2, refunded(100)),
        (0, gone()),
        (0, refunded(300)),
        (0, paid(dispute="lost")),
    ],
)
def test_an_order_is_settled_when_stripe_shows_the_target(delivered: int, shown: Payment) -> None:
    life = Life().resolved(delivered, held())
    life.read(shown)
    assert (life.order.state, life.effects) == ("settled", ())
    assert (life.order.due_at_ms is None) == (not shown.refunded_minor), "a refund may fail later"
    assert life.order.books.lost_minor == life.order.books.owed_minor == 0
    assert life.kinds == set()


def test_what_is_kept_is_rounded_down_for_the_player() -> None:
    life = Life(new_order(amount_minor=100)).resolved(2, paid(amount_minor=100))
    life.read(paid(amount_minor=100))
    assert life.settle == ("refund", 34)


def test_an_act_is_followed_by_another_reading_and_never_taken_for_its_result() -> None:
    life = Life().resolved(2, held())
    life.read(held())
    life.settled_with("done")
    assert (life.order.state, plain(life.effects)) == ("resolved", ["ReadPayment"])
    life.read(paid(received_minor=200))
    assert life.order.state == "settled"


def test_money_that_belongs_to_no_order_goes_back_and_the_order_ends() -> None:
    for shown, act, ended in ((held(), ("cancel", 0), gone()), (paid(), ("refund", 300), refunded(300))):
        life = Life()
        life.wait_s(600)
        life.read(shown)
        assert life.order.state == "returning"
        life.read(shown)
        assert life.settle == act
        life.settled_with("done")
        life.read(ended)
        assert (life.order.state, life.order.delivered, life.order.books.target_minor) == ("settled", None, 0)


# --- keys ------------------------------------------------------------------------------------------------


def _keys_of_a_refund_without_a_verdict(hours: int) -> list[tuple[int, str]]:
    """(moment, key) of every attempt, while Stripe always shows the same and never gives a verdict."""
    life = Life().resolved(2)
    attempts = []
    while life.now_ms - NOW_MS < hours * HOUR_MS:
        if ReadPayment() in life.effects:
            life.read(paid())
        for effect in life.asked(Settle):
            attempts.append((life.now_ms, effect.key))
            life.on(SettlementAttempted(effect.operation, effect.key, "unknown"))
        life.due()
    return attempts


def test_rule_a_refund_is_repeated_under_the_same_key() -> None:
    attempts = _keys_of_a_refund_without_a_verdict(1)
    assert len(attempts) > 4
    assert len({key for _, key in attempts}) == 1


def test_a_refund_gets_a_new_key_only_when_no_attempt_with_the_old_one_can_be_alive() -> None:
    attempts = _keys_of_a_refund_without_a_verdict(72)
    assert len({key for _, key in attempts}) > 10, "Stripe answers an old key as it did the first time"
    for (at_ms, key), (next_at_ms, next_key) in itertools.pairwise(attempts):
        assert next_key == key or next_at_ms - at_ms >= EFFECT_LIFE_MS + 600_000


def test_a_refund_s_key_is_not_used_beyond_stripe_s_memory() -> None:
    attempts = _keys_of_a_refund_without_a_verdict(72)
    for key in {key for _, key in attempts}:
        moments = [at_ms for at_ms, used in attempts if used == key]
        assert max(moments) + EFFECT_LIFE_MS - min(moments) < 24 * HOUR_MS


def test_rule_another_target_is_another_key() -> None:
    life = Life().settled(3)
    keys = set()
    for keep in (200, 100, 0):
        life.on(RefundAsked("kim", "a complaint", keep))
        life.read(refunded(200 - keep))
        assert life.settle == ("refund", 100)
        keys.add(life.asked(Settle)[0].key)
        life.settled_with("done")
        life.read(refunded(300 - keep))
        assert life.order.state == "settled"
    assert len(keys) == 3


def test_another_order_is_another_key() -> None:
    keys = set()
    for number in range(3):
        life = Life(new_order(order_id=f"ord_{number}")).resolved(0)
        life.read(paid())
        keys.add(life.asked(Settle)[0].key)
    assert len(keys) == 3


def test_a_refund_for_a_new_target_waits_until_the_one_under_way_is_decided() -> None:
    life = Life().resolved(2)
    life.read(paid())
    (first,) = life.asked(Settle)
    life.on(RefundAsked("kim", "a complaint", 100))
    life.read(paid())
    assert life.effects == (), "100 and then 200 would be too much"
    life.on(SettlementAttempted("refund", first.key, "done"))
    life.read(refunded(100))
    assert life.settle == ("refund", 100)


def test_a_refund_for_a_new_target_goes_out_once_the_one_under_way_can_not_happen_any_more() -> None:
    life = Life().resolved(2)
    life.read(paid())
    (first,) = life.asked(Settle)
    life.on(SettlementAttempted("refund", first.key, "unknown"))
    life.on(RefundAsked("kim", "a complaint", 100))
    life.read(paid())
    while not life.asked(Settle):
        life.due()
        if ReadPayment() in life.effects:
            life.read(paid())
    assert life.now_ms - first.decided_at_ms >= ATTEMPT_LIFE_MS
    assert life.settle == ("refund", 200)


def test_a_refund_that_failed_frees_no_key_while_another_attempt_may_be_under_way() -> None:
    """Two refunds would be made: the one that had no answer, and one under a new key."""
    life = Life().resolved(2)
    life.read(paid())
    (first,) = life.asked(Settle)
    life.on(SettlementAttempted("refund", first.key, "unknown"))
    keys = {first.key}
    while life.now_ms - first.decided_at_ms < REFUND_KEY_USE_MS:
        if ReadPayment() in life.effects:
            life.read(paid(refunds_failed=1))
        keys |= {effect.key for effect in life.asked(Settle)}
        life.due()
    assert keys == {first.key}
    assert "refund_failed" in life.kinds


def test_rule_a_result_counts_only_for_the_attempt_under_way() -> None:
    life = Life().resolved(2, held())
    life.read(held())
    (first,) = life.asked(Settle)
    life.on(RefundAsked("kim", "a complaint", 0))
    life.wait_s(1)
    life.read(held())
    assert life.settle == ("cancel", 0)
    before = life.order
    for result in ("done", "unknown", "refused"):
        life.on(SettlementAttempted("capture", first.key, result))
        assert (life.order, life.effects, life.kinds) == (before, (), set())


def test_a_partial_capture_that_is_refused_after_the_target_changed_does_not_make_it_a_whole_one() -> None:
    life = Life().resolved(2, held())
    life.read(held())
    (first,) = life.asked(Settle)
    life.on(RefundAsked("kim", "a complaint", 100))
    life.on(SettlementAttempted("capture", first.key, "refused", "lock"))
    assert not life.order.settlement.whole_capture
    life.wait_s(10)
    life.read(held())
    assert life.settle == ("capture", 100)


def test_a_hold_is_captured_with_a_new_key_soon_for_stripe_repeats_its_own_errors() -> None:
    life = Life().resolved(3, held())
    keys: dict[str, int] = {}
    while life.now_ms - NOW_MS < 2 * HOUR_MS:
        if ReadPayment() in life.effects:
            life.read(held())
        for effect in life.asked(Settle):
            keys.setdefault(effect.key, life.now_ms)
            life.on(SettlementAttempted(effect.operation, effect.key, "unknown"))
        life.due()
    assert len(keys) >= 3


def test_the_same_act_is_not_repeated_within_seconds_whatever_is_read() -> None:
    life = Life().resolved(2)
    life.read(paid())
    assert life.settle == ("refund", 100)
    for _ in range(3):
        life.on(PaymentReported("pi_1", "charge.updated"))
        life.read(paid())
        assert not life.asked(Settle)
    life.due()
    life.read(paid())
    assert life.settle == ("refund", 100)


def test_a_stripe_that_says_done_and_shows_otherwise_is_not_asked_in_a_circle() -> None:
    for payment in (paid(), held()):
        life = Life().resolved(2, payment)
        life.read(payment)
        life.settled_with("done")
        life.read(payment)
        assert (life.order.state, life.effects) == ("resolved", ())


def test_rule_what_was_read_before_the_latest_act_counts_no_more() -> None:
    life = Life().resolved(2)
    began_ms, began = life.now_ms, life.order.settlement.acts
    life.wait_s(1)
    life.read(paid())
    life.wait_s(1)
    life.settled_with("done")
    life.wait_s(1)
    life.read(refunded(100))
    assert life.order.state == "settled"
    before = life.order
    life.wait_s(30)
    life.on(PaymentRead(paid(), None, began_ms, began))
    assert (life.order, life.effects) == (before, ())


@pytest.mark.parametrize("ahead_ms", [-60_000, -60, 0, 60, 60_000])
def test_rule_a_reading_from_before_an_act_counts_no_more_whatever_its_clock_said(ahead_ms: int) -> None:
    life = Life().settled(3)
    began = life.order.settlement.acts
    for keep in (200, 100):
        life.on(RefundAsked("kim", "a complaint", keep))
        life.read(paid(refunded_minor=200 - keep))
        life.wait_s(10)
        if keep == 200:
            life.settled_with("done")
            life.read(refunded(100))
            assert life.order.state == "settled"
    life.settled_with("unknown")
    before = life.order
    for shown in (paid(), refunded(100)):
        life.on(PaymentRead(shown, None, life.now_ms + ahead_ms, began))
        assert (life.order, life.effects) == (before, ()), "it would give back what is on its way already"


def test_a_reading_that_shows_less_than_is_on_record_is_older_though_nobody_acted() -> None:
    life = Life().settled(3)
    began = life.order.settlement.acts
    life.on(PaymentReported("pi_1", "charge.refunded"))
    life.read(refunded(100))
    assert (life.order.books.lost_minor, life.order.books.target_minor) == (100, 200), "refunded at Stripe"
    before = life.order
    life.on(PaymentRead(paid(), None, life.now_ms, began))
    assert (life.order, life.effects) == (before, ())


def test_rule_a_refund_without_a_known_result_is_waited_for_even_if_stripe_shows_the_target() -> None:
    life = Life().resolved(2)
    life.read(paid())
    assert life.settle == ("refund", 100)
    life.settled_with("unknown")
    life.wait_s(10)
    life.on(PaymentReported("pi_1", "charge.refunded"))
    life.read(refunded(100))  # somebody refunded at Stripe: ours may still come
    assert life.order.state == "settled"
    life.on(RefundAsked("kim", "a complaint", 100))
    life.read(refunded(100))
    assert life.effects == (), "the one under way would take 100 more"
    while ReadPayment() not in life.effects or life.now_ms - NOW_MS < ATTEMPT_LIFE_MS:
        life.due()
    life.read(refunded(200))
    assert (life.order.state, life.order.books.target_minor) == ("settled", 100)


def test_a_result_that_comes_after_the_reading_ends_the_attempt_all_the_same() -> None:
    life = Life().resolved(2)
    life.read(paid())
    (first,) = life.asked(Settle)
    life.wait_s(10)
    life.on(PaymentReported("pi_1", "charge.refunded"))
    life.read(refunded(100))
    assert life.order.state == "settled"
    life.on(SettlementAttempted("refund", first.key, "done"))
    life.on(RefundAsked("kim", "a complaint", 100))
    life.read(refunded(100))
    assert life.settle == ("refund", 100)


def test_a_reading_that_began_in_the_moment_of_an_act_does_not_show_what_came_of_it() -> None:
    life = Life().resolved(2)
    began_ms, began = life.now_ms, life.order.settlement.acts
    life.read(paid())
    life.settled_with("unknown")
    before = life.order
    life.wait_s(30)
    life.on(PaymentRead(paid(), None, began_ms, began))
    assert (life.order, life.effects) == (before, ())


def test_a_reading_that_waited_for_long_counts_no_more() -> None:
    life = Life().resolved(2)
    life.wait_s(1)
    before = life.order
    life.on(PaymentRead(paid(), None, life.now_ms - 60_001, before.settlement.acts))
    assert (life.order, life.effects) == (before, ())
    life.on(PaymentRead(paid(), None, life.now_ms - 60_000, before.settlement.acts))
    assert life.settle == ("refund", 100)


# --- refusals --------------------------------------------------------------------------------------------


def test_rule_a_refused_partial_capture_captures_all_and_refunds_the_rest() -> None:
    life = Life().resolved(2, held())
    life.read(held())
    assert life.settle == ("capture", 200)
    partial_key = life.asked(Settle)[0].key
    life.settled_with("refused", PARTIAL_CAPTURE)
    assert plain(life.effects) == ["ReadPayment"]
    life.read(held())
    assert life.settle == ("capture", 300)
    assert life.asked(Settle)[0].key != partial_key
    life.settled_with("done")
    life.read(paid())
    assert life.settle == ("refund", 100)
    life.settled_with("done")
    life.read(refunded(100))
    assert (life.order.state, life.kinds) == ("settled", set())


@pytest.mark.parametrize("code", ["processing_error", "capture_charge_authorization_expired", "amount_too_large"])
def test_rule_any_other_refusal_of_a_capture_does_not_take_more_than_the_target(code: str) -> None:
    life = Life().resolved(2, held())
    life.read(held())
    life.settled_with("refused", code)
    assert (life.order.settlement.whole_capture, life.kinds) == (False, {"settle_refused"})
    life.due()
    life.read(held())
    assert life.settle == ("capture", 200)


@pytest.mark.parametrize(("currency", "kept"), [("kwd", 330), ("isk", 300), ("jpy", 333), ("myr", 333)])
def test_a_share_is_a_sum_that_stripe_moves(currency: str, kept: int) -> None:
    payment = {"amount_minor": 1000, "currency": currency}
    life = Life(new_order(amount_minor=1000, currency=currency)).resolved(1, paid(**payment))
    life.read(paid(**payment))
    assert life.settle == ("refund", 1000 - kept)
    life.settled_with("done")
    life.read(refunded(1000 - kept, **payment))
    assert (life.order.state, life.order.books.target_minor) == ("settled", kept)
    life.on(RefundAsked("kim", "a complaint", kept - 7))
    assert life.order.books.target_minor == {"kwd": 320, "isk": 200, "jpy": 326, "myr": 326}[currency]


def test_a_target_that_version_0_1_did_not_round_is_rounded_before_money_moves() -> None:
    payment = {"amount_minor": 1000, "currency": "kwd"}
    life = Life(new_order(amount_minor=1000, currency="kwd")).resolved(1, held(**payment))
    books = msgspec.structs.replace(life.order.books, target_minor=333)
    life.order = msgspec.structs.replace(life.order, books=books)
    check(life.order)
    assert life.order.earned_minor == 330
    life.read(held(**payment))
    assert life.settle == ("capture", 330)


def test_a_refusal_is_shown_and_tried_again_with_what_stripe_shows_then() -> None:
    life = Life().resolved(0)
    life.read(paid())
    life.settled_with("refused", "charge_disputed")
    assert (life.order.state, life.effects, life.kinds) == ("resolved", (), {"settle_refused"})
    life.due()
    assert plain(life.effects) == ["ReadPayment"]


def test_a_refused_capture_of_everything_gets_a_new_key_at_the_next_attempt() -> None:
    life = Life().resolved(3, held())
    life.read(held())
    (first,) = life.asked(Settle)
    life.settled_with("refused", "processing_error")
    life.due()
    life.read(held())
    assert life.settle == ("capture", 300)
    assert life.asked(Settle)[0].key != first.key


@pytest.mark.parametrize(("delivered", "lost"), [(3, 300), (1, 100)])
def test_a_hold_that_ended_before_it_was_captured_is_a_loss_and_shown(delivered: int, lost: int) -> None:
    life = Life().resolved(delivered, held())
    life.read(gone())
    assert (life.order.state, life.order.books.lost_minor, life.order.books.target_minor) == ("settled", lost, 0)
    assert life.order.delivered == delivered
    assert life.kinds == {"loss"}


def test_money_given_back_outside_is_a_loss_once() -> None:
    life = Life().settled(2)
    for _ in range(3):
        life.on(PaymentReported("pi_1", "charge.refunded"))
        life.read(refunded(250))
    assert (life.order.state, life.order.books.lost_minor, life.order.books.target_minor) == ("settled", 150, 50)


def test_a_dispute_about_a_part_takes_that_part_and_the_rest_is_settled() -> None:
    life = Life().resolved(1)
    life.read(paid(dispute="lost", lost_minor=50))
    assert life.settle == ("refund", 150), "of 300 for 3 with 1 delivered, 50 of which the bank took"
    life.settled_with("done")
    life.read(refunded(150, dispute="lost", lost_minor=50))
    assert (life.order.state, life.order.books.target_minor, life.order.books.lost_minor) == ("settled", 100, 0)
    assert life.kinds == set()


def test_a_lost_dispute_costs_the_operator_what_was_delivered_and_is_gone_and_no_more() -> None:
    life = Life().settled(2)
    for lost, gone_minor in ((80, 80), (80, 80), (130, 130)):
        life.on(PaymentReported("pi_1", "charge.dispute.closed"))
        life.read(refunded(100, dispute="lost", lost_minor=lost))
        assert (life.order.books.lost_minor, life.order.books.target_minor) == (gone_minor, 200 - gone_minor)
    assert (life.order.state, life.kinds) == ("settled", {"loss"})


def test_a_lost_dispute_of_an_older_record_is_put_right_when_it_is_read_again() -> None:
    life = Life().settled(3)
    life.read(paid(dispute="lost"))
    assert life.order.books.lost_minor == 300, "version 0.1 took all for lost"
    life.on(PaymentReported("pi_1", "charge.refunded"))
    life.read(paid(dispute="lost", lost_minor=50))
    assert (life.order.state, life.order.books.lost_minor, life.order.books.target_minor) == ("settled", 50, 250)
    assert life.effects == ()


def test_a_dispute_that_was_lost_and_is_won_after_all_brings_back_what_was_earned() -> None:
    life = Life().settled(3)
    life.read(paid(dispute="lost"))
    assert (life.order.books.lost_minor, life.order.books.target_minor) == (300, 0)
    life.wait_s(60)
    life.read(paid(dispute="won"))
    assert (life.order.state, life.order.books.lost_minor, life.order.books.target_minor) == ("settled", 0, 300)
    assert life.effects == ()


# --- refunds that fail -----------------------------------------------------------------------------------


def test_a_refund_that_fails_after_all_reopens_the_order_and_is_made_anew() -> None:
    life = Life().resolved(1)
    life.read(paid())
    first_key = life.asked(Settle)[0].key
    life.settled_with("done")
    life.read(refunded(200))
    assert life.order.state == "settled"
    life.wait_s(7 * 86_400)
    life.on(PaymentReported("pi_1", "refund.failed"))
    life.read(paid(refunds_failed=1))
    assert (life.order.state, life.settle, life.kinds) == ("resolved", ("refund", 200), {"refund_failed"})
    assert life.asked(Settle)[0].key != first_key


def test_a_refund_that_fails_at_once_is_made_anew_a_few_times_and_then_owed_by_hand() -> None:
    life = Life().resolved(1)
    failed = 0
    keys = set()
    life.read(paid())
    while life.order.state == "resolved":
        for effect in life.asked(Settle):
            keys.add(effect.key)
            failed += 1
            life.on(SettlementAttempted("refund", effect.key, "done"))
        if ReadPayment() in life.effects:
            life.read(paid(refunds_failed=failed))
        elif life.order.state == "resolved":
            life.due()
    assert len(keys) == failed == REFUND_FAILURES
    assert (life.order.state, life.order.books.owed_minor, life.order.books.target_minor) == ("settled", 200, 100)
    assert life.kinds == {"refund_failed", "owed"}
    assert life.now_ms - NOW_MS < HOUR_MS


def test_what_was_owed_and_has_been_paid_out_after_all_is_owed_no_more() -> None:
    life = Life().resolved(1)
    life.read(paid(refunds_failed=3))
    assert life.order.books.owed_minor == 200
    life.on(PaymentReported("pi_1", "charge.refunded"))
    life.read(refunded(200, refunds_failed=3))
    assert (life.order.state, life.order.books.owed_minor) == ("settled", 0)


def test_a_pending_refund_counts_as_given_back() -> None:
    life = Life().resolved(0)
    life.read(refunded(300))
    assert life.order.state == "settled"


# --- disputes --------------------------------------------------------------------------------------------


def test_nothing_is_refunded_while_a_dispute_is_open_and_its_end_is_waited_for() -> None:
    life = Life().resolved(1)
    life.read(paid(dispute="open"))
    assert (life.order.state, life.effects, life.kinds) == ("resolved", (), {"dispute"})
    life.due()
    life.read(paid(dispute="won"))
    assert life.settle == ("refund", 200)


def test_a_dispute_about_a_settled_order_is_looked_after_even_if_its_webhooks_never_come() -> None:
    life = Life().settled(3)
    life.on(PaymentReported("pi_1", "charge.dispute.created"))
    life.read(paid(dispute="open"))
    assert (life.order.state, life.kinds) == ("settled", {"dispute"})
    for _ in range(200):
        life.due()
        assert plain(life.effects) == ["ReadPayment"]
        life.read(paid(dispute="open"))
    life.due()
    life.read(paid(dispute="lost"))
    assert (life.order.state, life.order.books.lost_minor, life.order.due_at_ms) == ("settled", 300, None)


def test_a_dispute_does_not_keep_an_order_open_that_has_nothing_to_give_back() -> None:
    life = Life().resolved(3)
    life.read(paid(dispute="open"))
    assert life.order.state == "settled"


# --- goodwill --------------------------------------------------------------------------------------------


def test_goodwill_lowers_the_target_and_is_booked_apart() -> None:
    life = Life().settled(3)
    life.on(RefundAsked("kim", "one play for free", 200))
    assert (life.order.state, life.order.books.target_minor, life.order.books.goodwill_minor) == (
        "resolved",
        200,
        100,
    )
    life.read(paid())
    assert life.settle == ("refund", 100)
    life.settled_with("done")
    life.read(refunded(100))
    assert (life.order.state, life.order.books.lost_minor, life.order.delivered) == ("settled", 0, 3)


def test_the_same_goodwill_twice_gives_once() -> None:
    life = Life().settled(3)
    life.on(RefundAsked("kim", "a complaint", 200))
    life.read(paid())
    life.settled_with("done")
    life.read(refunded(100))
    before = life.order
    for keep in (200, 250, 300):
        life.on(RefundAsked("kim", "a complaint", keep))
        assert (life.order, life.effects) == (before, ())


def test_nothing_is_refunded_where_nothing_was_paid() -> None:
    for stage in ("open", "abandoned"):
        life = Life(new_order(stage=stage, due_at_ms=NOW_MS))
        before = life.order
        life.on(RefundAsked("kim", "a complaint"))
        assert (life.order, life.effects) == (before, ())


def test_a_refund_asked_for_while_a_hold_is_captured_cancels_or_refunds() -> None:
    life = Life().resolved(3, held())
    life.read(held())
    assert life.settle == ("capture", 300)
    life.on(RefundAsked("kim", "a complaint"))
    life.wait_s(1)
    life.read(held())
    assert life.settle == ("cancel", 0)
    life.settled_with("refused", "payment_intent_unexpected_state")
    life.due()
    life.read(paid())
    assert life.settle == ("refund", 300)


# --- for how long ----------------------------------------------------------------------------------------


def test_a_person_is_told_when_stripe_does_not_come_to_show_the_target() -> None:
    life = Life().resolved(2)
    for _ in range(ALERT_ATTEMPTS - 2):
        life.due()
        assert not life.kinds
    life.due()
    assert life.kinds == {"settle_slow"}
    assert life.now_ms - NOW_MS < HOUR_MS


@pytest.mark.parametrize("waiting", [paid(status="processing"), paid(dispute="open")], ids=["bank", "dispute"])
def test_nobody_is_told_to_look_at_stripe_while_a_bank_takes_its_days(waiting: Payment) -> None:
    life = Life().resolved(2, held())
    life.read(waiting)
    for _ in range(ALERT_ATTEMPTS + 2):
        life.due()
        life.read(waiting)
    assert life.kinds <= {"dispute"}


def test_a_bank_that_has_not_decided_is_asked_every_hour_for_three_days_and_then_every_six() -> None:
    """Its webhook may be lost, and the money is to go back."""
    life = Life().resolved(2, held())
    life.read(paid(status="processing"))
    waits = []
    for _ in range(80):
        before_ms = life.now_ms
        life.due()
        life.read(paid(status="processing"))
        waits.append((life.now_ms - before_ms) / HOUR_MS)
    assert set(waits[:60]) == {1.0}
    assert set(waits[-5:]) == {6.0}
    assert 3 * 86_400_000 <= sum(wait for wait in waits if wait == 1.0) * HOUR_MS <= 3 * 86_400_000 + HOUR_MS


@pytest.mark.parametrize("payment", [paid(), held()], ids=["taken", "held"])
def test_an_order_whose_payment_can_never_be_read_ends_after_two_weeks_and_is_shown(payment: Payment) -> None:
    life = Life().resolved(2, payment)
    while life.order.state == "resolved":
        life.due()
    assert (life.order.state, life.order.due_at_ms) == ("settled", None)
    assert life.kinds == {"settle_slow", "given_up"}
    assert life.order.books.owed_minor == (100 if payment.status == "succeeded" else 0)
    assert 13 * 86_400_000 <= life.now_ms - NOW_MS <= 15 * 86_400_000


def test_money_to_give_back_that_stripe_refuses_for_ever_is_owed_in_the_end() -> None:
    life = Life()
    life.wait_s(600)
    life.read(paid())
    while life.order.state == "returning":
        if ReadPayment() in life.effects:
            life.read(paid())
        for effect in life.asked(Settle):
            life.on(SettlementAttempted("refund", effect.key, "refused", "balance_insufficient"))
        if life.order.state == "returning":
            life.due()
    assert (life.order.state, life.order.books.owed_minor) == ("settled", 300)
    assert life.kinds == {"settle_slow", "settle_refused", "given_up"}


def test_an_order_that_was_given_up_is_put_right_when_stripe_can_be_read_again() -> None:
    life = Life().resolved(2)
    while life.order.state == "resolved":
        life.due()
    life.on(PaymentReported("pi_1", "charge.refunded"))
    life.read(refunded(100))
    assert (life.order.state, life.order.books.owed_minor, life.order.books.lost_minor) == ("settled", 0, 0)


def test_a_hold_that_is_to_be_captured_is_tried_more_often_as_its_end_comes() -> None:
    end_ms = NOW_MS + 24 * HOUR_MS
    life = Life().resolved(3, held(capture_before_ms=end_ms))
    looks = []
    while life.now_ms < end_ms:
        life.due()
        looks.append(life.now_ms)
    last_hour = [at_ms for at_ms in looks if end_ms - HOUR_MS <= at_ms < end_ms]
    assert len(last_hour) >= 4
    assert len(looks) < 60
    assert len(looks) < SETTLE_ATTEMPTS


# --- captures that the record does not know --------------------------------------------------------------

KEY = b"k" * 32


def marked(target_minor: int, **fields: object) -> Payment:
    """The payment, captured by this cloud in order to keep so much."""
    return paid(capture_mark=capture_mark(KEY, "pi_1", target_minor), **fields)


def set_back(stage: str) -> Life:
    """An order as an older database has it: all that came after is forgotten."""
    life = Life(new_order(stage="abandoned", due_at_ms=None) if stage == "abandoned" else None, keys=(KEY,))
    if stage in {"funded", "revoking"}:
        life.funded(held())
    if stage == "revoking":
        life.due()
        while life.order.state == "funded":
            life.due()
    assert life.order.state == stage
    life.wait_s(3600)
    return life


@pytest.mark.parametrize("stage", ["open", "abandoned", "funded", "revoking"])
@pytest.mark.parametrize(("target", "delivered", "goodwill"), [(300, 3, 0), (200, 2, 0), (150, 2, 50)])
def test_rule_a_capture_of_ours_that_the_record_does_not_know_stands_and_is_shown(
    stage: str, target: int, delivered: int, goodwill: int
) -> None:
    life = set_back(stage)
    life.read(marked(target, received_minor=target))
    assert (life.order.state, life.effects, life.kinds) == ("settled", (), {"unknown_capture"})
    books = life.order.books
    assert (life.order.delivered, books.target_minor, books.goodwill_minor) == (delivered, target, goodwill)
    check(life.order)
    life.on(RefundAsked("kim", "a complaint", 100))
    life.read(marked(target, received_minor=target))
    assert life.settle == ("refund", target - 100), "it is an order like any other"


def test_what_the_operator_asked_back_goes_back_although_it_was_captured() -> None:
    life = Life(keys=(KEY,)).funded(held())
    life.on(RefundAsked("kim", "a complaint", 100))
    assert life.order.state == "revoking"
    life.read(marked(200, received_minor=200))
    assert (life.order.delivered, life.settle) == (2, ("refund", 100))
    life = Life(keys=(KEY,)).resolved(2, held())
    life.on(RefundAsked("kim", "a complaint", 100))
    life.read(marked(200, received_minor=200))
    assert life.settle == ("refund", 100)


def test_of_a_whole_hold_that_was_captured_the_rest_goes_back_and_no_more() -> None:
    life = set_back("open")
    life.read(marked(100))
    assert (life.order.state, life.settle) == ("resolved", ("refund", 200))
    life.settled_with("done")
    life.read(marked(100, refunded_minor=200))
    assert (life.order.state, life.order.delivered, life.order.books.lost_minor) == ("settled", 1, 0)


@pytest.mark.parametrize(
    "mark",
    [
        None,
        "300",
        "300.",
        "300." + "0" * 64,
        capture_mark(b"x" * 32, "pi_1", 300),
        capture_mark(KEY, "pi_2", 300),
        "400" + capture_mark(KEY, "pi_1", 300)[3:],
        "\u0663" + capture_mark(KEY, "pi_1", 300)[1:],
        "9" * 400 + ".0",
    ],
)
def test_money_that_was_taken_without_our_mark_goes_back(mark: str | None) -> None:
    life = set_back("open")
    life.read(paid(capture_mark=mark))
    assert (life.order.state, life.kinds) == ("returning", set())
    life.read(paid(capture_mark=mark))
    assert life.settle == ("refund", 300)


def test_a_capture_stands_even_if_the_record_was_closed_without_the_machine_meanwhile() -> None:
    life = Life(keys=(KEY,)).resolved(0, held())
    for _ in range(2):
        life.read(marked(200, received_minor=200))
        assert (life.order.state, life.effects, life.kinds) == ("settled", (), {"unknown_capture"})
        life.wait_s(60)
        life.on(PaymentReported("pi_1", "charge.updated"))


def test_a_capture_for_less_than_the_record_says_was_goodwill() -> None:
    life = Life(keys=(KEY,)).resolved(3, held())
    life.read(marked(100, received_minor=100))
    books = life.order.books
    assert (life.order.state, books.target_minor, books.goodwill_minor, books.lost_minor) == (
        "settled",
        100,
        200,
        0,
    )


def test_our_own_capture_carries_its_target_and_is_no_news() -> None:
    life = Life(keys=(KEY,)).resolved(2, held())
    life.read(held())
    (effect,) = life.asked(Settle)
    assert effect.mark == capture_mark(KEY, "pi_1", 200)
    life.settled_with("done")
    life.on(RefundAsked("kim", "a complaint", 100))
    life.read(marked(200, received_minor=200))
    assert (life.settle, life.kinds) == (("refund", 100), set())
