"""The life of an order, row by row: what moves it, what does not, and each rule without which a promise breaks."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from arcade_cloud.domain.credit import PUBLISH_BACKOFF_S
from arcade_cloud.domain.effects import ReadPayment, SendCoinpulse, SendEcho, SendRevoke, Settle
from arcade_cloud.domain.events import (
    CheckoutFailed,
    CheckoutMade,
    Due,
    Outcome,
    PaymentRead,
    PaymentReported,
    PlayerReturned,
    RefundAsked,
)
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Arrival, Order, Resolution, check
from arcade_cloud.domain.payment import (
    OPEN_AT_MOST_S,
    OPEN_READ_BACKOFF_S,
    READS_AT_MOST,
    RETURNED_READ_S,
    RETURNED_READS,
    UNPAID_KEPT_S,
)
from arcade_cloud.errors import InvariantBroken
from arcade_shared.ids import uuid7_ms
from support.lives import ELSEWHERE, HERE, LIMITS, Life, gone, held, new_order, paid, plain
from support.orders import NOW_MS, an_order, changed

WEEK_S = 7 * 86_400


def link_paid() -> Life:
    return Life(new_order(checkout=None, payment_intent="pi_1"))


FORGOTTEN_AT_MS = NOW_MS + 1000 * UNPAID_KEPT_S

# --- open ------------------------------------------------------------------------------------------------


def test_the_checkout_is_kept_with_the_order_once() -> None:
    life = Life(new_order(checkout=None))
    life.on(CheckoutMade("cs_1", "https://stripe/1", NOW_MS + 1))
    life.on(CheckoutMade("cs_2", "https://stripe/2", NOW_MS + 2))
    assert (life.page.session_id, life.order.checkout_url) == ("cs_1", "https://stripe/1")


def test_an_order_without_a_checkout_is_abandoned() -> None:
    life = Life(new_order(checkout=None))
    life.on(CheckoutFailed("Stripe said no"))
    assert (life.order.state, life.order.due_at_ms, life.effects) == ("abandoned", FORGOTTEN_AT_MS, ())


def test_a_failed_checkout_does_not_abandon_an_order_that_was_paid() -> None:
    life = Life().funded()
    life.on(CheckoutFailed("late news"))
    assert life.order.state == "funded"


@pytest.mark.parametrize("payment", [paid(), held()], ids=["taken", "held"])
def test_money_funds_an_open_order_and_the_coinpulse_goes_out_at_once(payment: Payment) -> None:
    life = Life()
    life.read(payment)
    assert life.order.state == "funded"
    assert plain(life.effects) == ["SendCoinpulse"]
    assert life.arrival.held is (payment.status == "requires_capture")


@pytest.mark.parametrize(
    "status", ["requires_payment_method", "requires_confirmation", "requires_action", "processing", "canceled"]
)
def test_a_payment_without_money_funds_nothing(status: Any) -> None:
    life = Life()
    life.read(paid(status=status, received_minor=0), "open")
    assert life.order.state in {"open", "abandoned"}
    assert life.credit.delivery is None


@pytest.mark.parametrize(
    ("payment", "session"),
    [
        (None, "expired"),
        (gone(), "open"),
        (paid(status="requires_payment_method", received_minor=0), "complete"),
    ],
    ids=["session expired", "payment canceled", "payment failed"],
)
def test_an_order_that_can_not_be_paid_any_more_is_abandoned(payment: Payment | None, session: str) -> None:
    life = Life()
    life.read(payment, session)
    assert life.order.state == "abandoned"
    assert life.order.due_at_ms == (FORGOTTEN_AT_MS if session == "expired" else None)


def test_a_player_who_tries_another_card_is_waited_for() -> None:
    life = Life()
    life.read(paid(status="requires_payment_method", received_minor=0), "open")
    assert (life.order.state, life.order.payment_intent) == ("open", "pi_1")
    life.read(paid())
    assert (life.order.state, life.order.payment_intent) == ("funded", "pi_1")


def test_the_timer_asks_stripe_about_an_open_order_whose_webhook_never_came() -> None:
    life = Life()
    life.due()
    assert plain(life.effects) == ["ReadPayment"]
    for _ in range(20):
        before_ms = life.now_ms
        life.due()
        assert life.now_ms - before_ms in {1000 * backoff for backoff in OPEN_READ_BACKOFF_S}
        assert plain(life.effects) == ["ReadPayment"]


def test_stripe_is_asked_soon_after_the_player_is_back_without_a_webhook() -> None:
    life = Life()
    life.on(PlayerReturned())
    assert (life.order.state, life.effects) == ("open", ()), "the webhook is given a moment"
    assert life.order.due_at_ms == life.now_ms + 1000 * RETURNED_READ_S
    life.due()
    assert plain(life.effects) == ["ReadPayment"]
    life.read(paid())
    assert life.order.state == "funded"


def test_opening_the_page_again_and_again_asks_stripe_a_few_times_only() -> None:
    life = Life()
    for _ in range(RETURNED_READS):
        life.on(PlayerReturned())
        again = life.order
        life.on(PlayerReturned())
        assert life.order == again, "one reading is under way"
        life.due()
    asked_for = life.order
    life.on(PlayerReturned())
    assert life.order == asked_for
    assert (asked_for.due_at_ms or 0) - life.now_ms <= 1000 * LIMITS.deliver_within_s


@pytest.mark.parametrize("order", [new_order(checkout=None), new_order(stage="abandoned", due_at_ms=None)])
def test_a_page_that_is_opened_where_nothing_can_be_paid_sets_nothing_going(order: Order) -> None:
    life = Life(order)
    life.on(PlayerReturned())
    assert life.order == order


def test_a_payment_that_was_reported_is_read_again_soon_while_the_player_waits() -> None:
    """Its first reading came to nothing: Stripe failed, or the process died after it had stored the report."""
    life = Life()
    life.on(PaymentReported("pi_1", "payment_intent.succeeded"))
    assert plain(life.effects) == ["ReadPayment"]
    reported_ms = life.now_ms
    for _ in range(4):
        life.due()
        assert plain(life.effects) == ["ReadPayment"]
    assert life.now_ms - reported_ms <= 1000 * LIMITS.deliver_within_s / 2


def test_an_order_whose_checkout_was_never_made_is_abandoned_when_it_would_have_ended() -> None:
    life = Life(new_order(checkout=None))
    while life.order.state == "open":
        life.due()
        assert life.effects == (), "there is nothing to read"
    assert (life.now_ms - NOW_MS) // 1000 <= LIMITS.checkout_life_s + max(OPEN_READ_BACKOFF_S)
    assert not life.alerts


def test_the_end_of_a_checkout_whose_making_was_never_answered_sets_nothing_going() -> None:
    """Stripe had made it all the same, and reports its end half an hour later: there is nothing to read."""
    life = Life(new_order(checkout=None))
    life.on(CheckoutFailed("no checkout: PaymentsUnavailable"))
    life.on(PaymentReported(None, "checkout.session.expired"))
    assert (life.order.state, life.order.due_at_ms, life.effects) == ("abandoned", FORGOTTEN_AT_MS, ())


# --- an order that nobody paid ---------------------------------------------------------------------------


def unpaid() -> Life:
    life = Life()
    life.read(None, "expired")
    return life


@pytest.mark.parametrize("without", ["an expired checkout", "any checkout"])
def test_an_order_that_nobody_could_pay_any_more_is_forgotten_after_a_month(without: str) -> None:
    life = unpaid()
    if without == "any checkout":
        life = Life(new_order(checkout=None))
        life.on(CheckoutFailed("Stripe said no"))
    life.now_ms = FORGOTTEN_AT_MS - 1
    assert not life.on(Due()).forget
    assert life.due().forget
    assert life.effects == ()


def test_an_order_whose_payment_failed_or_is_undecided_is_kept() -> None:
    failed = Life()
    failed.read(gone(), "open")
    undecided = Life()
    while undecided.order.state == "open":
        undecided.due()
    assert [life.order.due_at_ms for life in (failed, undecided)] == [None, None]


def test_what_is_reported_about_an_unpaid_order_is_read_before_the_order_is_forgotten() -> None:
    """Even if the reading is lost, with the process that was to make it."""
    life = unpaid()
    life.now_ms = FORGOTTEN_AT_MS - 1
    life.on(PaymentReported("pi_1", "payment_intent.succeeded", good_news=True))
    assert not life.due().forget
    assert plain(life.effects) == ["ReadPayment"]
    life.read(paid())
    assert life.order.state in {"funded", "returning"}
    assert not life.due().forget


def test_an_unpaid_order_that_was_read_once_more_is_forgotten_all_the_same() -> None:
    life = unpaid()
    life.now_ms = FORGOTTEN_AT_MS - 1
    life.on(PaymentReported(None, "checkout.session.expired"))
    life.read(None, "expired")
    assert life.due().forget


def test_an_order_that_an_older_program_left_due_is_not_taken_for_forgettable() -> None:
    """It has no mark that something was reported, but it is young."""
    life = Life(new_order(stage="abandoned", due_at_ms=NOW_MS + 5_000))
    assert not life.due().forget
    assert plain(life.effects) == ["ReadPayment"]


def test_an_order_that_stripe_never_decides_is_abandoned_after_two_weeks_and_shown() -> None:
    life = Life()
    while life.order.state == "open":
        life.due()
    assert life.order.state == "abandoned"
    assert 0 <= (life.now_ms - NOW_MS) // 1000 - OPEN_AT_MOST_S <= max(OPEN_READ_BACKOFF_S)
    assert life.kinds == {"undecided"}


# --- money that comes late, wrong or twice ---------------------------------------------------------------


def test_rule_abandoned_order_is_funded_by_a_payment_younger_than_deliver_within() -> None:
    life = Life()
    life.read(None, "expired")
    life.wait_s(LIMITS.deliver_within_s - 1)
    life.read(paid())
    assert life.order.state == "funded"


@pytest.mark.parametrize(("late_s", "state"), [(-1, "funded"), (0, "returning")])
@pytest.mark.parametrize("under_way", ["requires_action", "processing"])
def test_a_payment_that_is_under_way_as_its_page_expires_is_delivered_if_it_comes_in_time(
    under_way: Any, late_s: int, state: str
) -> None:
    """Stripe lets nobody begin to pay on an expired page, and promises nothing about who is with the bank then."""
    life = Life()
    life.read(paid(status=under_way, received_minor=0, paid_at_ms=None), "expired")
    assert life.order.state == "abandoned"
    comes_at_ms = life.now_ms + 30_000
    life.wait_s(30 + LIMITS.deliver_within_s + late_s)
    life.on(PaymentReported("pi_1", "payment_intent.succeeded", good_news=True))
    assert (life.order.state, plain(life.effects)) == ("abandoned", ["ReadPayment"])
    life.read(paid(paid_at_ms=comes_at_ms), "expired")
    assert life.order.state == state


def test_rule_abandoned_order_gives_back_a_payment_older_than_deliver_within() -> None:
    life = Life()
    life.read(None, "expired")
    life.wait_s(LIMITS.deliver_within_s)
    life.read(paid())
    assert (life.order.state, plain(life.effects)) == ("returning", ["ReadPayment"])
    assert life.credit.delivery is None


def test_an_open_order_too_gives_back_a_payment_that_became_known_too_late() -> None:
    life = Life()
    life.wait_s(LIMITS.deliver_within_s)
    life.read(held())
    assert life.order.state == "returning"
    life.read(held())
    assert life.settle == ("cancel", 0)


def test_money_in_time_is_delivered_before_a_deadline_that_runs_from_the_payment() -> None:
    life = Life()
    life.wait_s(100)
    life.read(paid())
    assert life.command.expires_at_ms == NOW_MS + LIMITS.deliver_within_s * 1000


def test_a_payment_from_the_future_counts_from_now() -> None:
    life = Life()
    life.read(paid(paid_at_ms=NOW_MS + 3_600_000))
    assert life.command.expires_at_ms == NOW_MS + LIMITS.deliver_within_s * 1000


@pytest.mark.parametrize(
    "payment",
    [
        paid(amount_minor=100),
        paid(amount_minor=301),
        paid(currency="usd"),
        paid(refunded_minor=1),
        paid(dispute="lost"),
        held(capturable_minor=299),
    ],
    ids=["too little", "too much", "currency", "partly refunded", "dispute lost", "less held"],
)
def test_the_wrong_money_buys_nothing_and_goes_back(payment: Payment) -> None:
    life = Life()
    life.read(payment)
    assert life.order.state == "returning"
    assert life.credit.delivery is None
    assert life.kinds == {"wrong_payment"}


def test_the_payment_of_another_order_moves_nothing() -> None:
    life = Life().funded()
    before = life.order
    life.read(paid(payment_intent="pi_2", refunded_minor=300))
    assert life.order == before


@pytest.mark.parametrize("state", ["open", "abandoned", "funded", "revoking", "settled"])
def test_rule_what_stripe_reports_is_read_back_before_it_counts(state: str) -> None:
    life = {
        "open": Life,
        "abandoned": lambda: _abandoned(),
        "funded": lambda: Life().funded(),
        "revoking": lambda: Life().revoking(),
        "settled": lambda: Life().settled(),
    }[state]()
    life.on(PaymentReported("pi_1", "charge.refunded"))
    assert life.order.state == state
    assert plain(life.effects) == ["ReadPayment"]
    assert life.order.due_at_ms is not None, "if the reading is lost, the timer repeats it"
    if state in {"funded", "revoking"}:
        assert ReadPayment() in life.due().effects


def _abandoned() -> Life:
    life = Life()
    life.read(None, "expired")
    return life


def test_rule_the_present_state_counts_not_the_report() -> None:
    life = _abandoned()
    life.on(PaymentReported("pi_1", "amount_capturable_updated", good_news=True))
    life.read(gone())
    assert (life.order.state, life.order.due_at_ms) == ("abandoned", None), "the hold is gone by now"


def test_good_news_about_money_that_is_known_is_not_read_again() -> None:
    for life in (Life().funded(), Life().revoking(), Life().settled(), Life().settled(payment=held())):
        before = life.order
        life.on(PaymentReported("pi_1", "payment_intent.succeeded", good_news=True))
        assert (life.order, life.effects) == (before, ())


def test_good_news_is_read_where_a_settled_order_never_saw_any_money() -> None:
    stray = new_order(kind="unmatched", stage="returning", due_at_ms=NOW_MS, payment_intent="pi_1", checkout=None)
    life = Life(stray)
    life.due()
    life.read(paid(status="requires_action", received_minor=0))
    assert life.order.state == "settled"
    life.on(PaymentReported("pi_1", "payment_intent.succeeded", good_news=True))
    assert plain(life.effects) == ["ReadPayment"]
    life.read(paid())
    assert life.settle == ("refund", 300)


def test_a_report_about_a_closed_order_that_can_not_be_read_is_given_up_and_shown() -> None:
    life = Life().settled()
    life.on(PaymentReported("pi_1", "charge.refunded"))
    looks = 0
    while life.order.due_at_ms is not None:
        life.due()
        looks += 1
    assert looks == READS_AT_MOST + 1
    assert life.kinds == {"given_up"}
    assert life.order.state == "settled"


def test_a_webhook_s_own_picture_of_a_closed_order_is_read_back() -> None:
    life = Life().settled(2)
    life.on(PaymentRead(paid()))
    assert plain(life.effects) == ["ReadPayment"]
    assert life.order.due_at_ms is not None


# --- funded ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deliver_within_s", [100, 120])  # within a wait, and at the end of one
def test_the_credit_is_sent_again_with_backoff_under_the_same_id_while_life_remains(deliver_within_s: int) -> None:
    life = Life(limits=replace(LIMITS, deliver_within_s=deliver_within_s)).funded()
    credit = (life.command.credit_id, life.command.installation, life.command.expires_at_ms)
    waits = []
    life.installation = ELSEWHERE
    while life.order.state == "funded":
        before_ms = life.now_ms
        life.due()
        waits.append((life.now_ms - before_ms) // 1000)
        assert (life.command.credit_id, life.command.installation, life.command.expires_at_ms) == credit
        if life.order.state == "funded":
            assert plain(life.effects) == ["SendCoinpulse"]
    assert tuple(waits[: len(PUBLISH_BACKOFF_S)]) == PUBLISH_BACKOFF_S
    assert life.now_ms == life.command.expires_at_ms, "and not a moment later"


def test_an_order_that_forgot_its_credit_makes_the_same_one_again() -> None:
    """A database that was set back to before the payment: the machine answers for it, and pulses nothing."""
    first, again, other = Life(), Life(), Life(new_order(order_id="ord_2"))
    again.wait_s(40)
    credits = []
    for life in (first, again, other):
        life.on(PaymentRead(paid(paid_at_ms=life.now_ms - 1_000)))
        assert life.order.state == "funded"
        credits.append(life.command.credit_id or "")
    assert credits[0] == credits[1]
    assert credits[0] != credits[2]
    assert uuid7_ms(credits[0]) == NOW_MS, "when it was ordered: a Pi that was switched on later refuses it"


def test_a_credit_is_addressed_to_the_installation_that_is_heard_at_its_first_publish() -> None:
    assert Life().funded().command.installation == HERE


def test_rule_an_order_is_for_no_other_computer_than_was_ready_when_it_was_ordered() -> None:
    life = Life(new_order(ready_installation=HERE), installation=ELSEWHERE)
    life.read(paid())
    assert (life.order.state, life.effects, life.delivery.command) == ("funded", (), None)
    life.due()
    assert "another Pi" in life.texts[-1]
    life.installation = HERE  # it was two of them, and the right one is back
    life.due()
    assert plain(life.effects) == ["SendCoinpulse"]
    assert life.command.installation == HERE


def test_money_goes_back_where_the_computer_was_exchanged_after_the_order() -> None:
    life = Life(new_order(ready_installation=HERE), installation=ELSEWHERE)
    life.read(held())
    while life.order.state == "funded":
        life.due()
        assert "SendCoinpulse" not in plain(life.effects)
    assert (life.order.state, life.order.delivered, life.resolution.by) == ("resolved", 0, "unsent")
    assert life.now_ms == NOW_MS + LIMITS.deliver_within_s * 1000


def test_a_machine_that_was_never_heard_gets_nothing_published_until_it_is() -> None:
    life = Life(installation=None)
    life.read(paid())
    assert (life.order.state, life.effects, life.delivery.command) == ("funded", (), None)
    life.due()
    assert life.effects == ()
    life.installation = HERE
    life.due()
    assert plain(life.effects) == ["SendCoinpulse"]
    assert life.command.expires_at_ms == NOW_MS + LIMITS.deliver_within_s * 1000


def test_a_machine_that_is_never_heard_costs_the_player_nothing_and_needs_no_revoke() -> None:
    life = Life(installation=None)
    life.read(held())
    while life.order.state == "funded":
        life.due()
    assert (life.order.state, life.order.delivered, life.resolution.by) == ("resolved", 0, "unsent")
    assert life.now_ms == NOW_MS + LIMITS.deliver_within_s * 1000


@pytest.mark.parametrize("outcome", list(Outcome))
def test_what_the_broker_says_to_a_coinpulse_does_not_move_an_agent_s_order(outcome: Outcome) -> None:
    life = Life().funded()
    life.coinpulse(outcome)
    assert (life.order.state, life.effects) == ("funded", ())
    assert life.order.due_at_ms == NOW_MS + 1000


@pytest.mark.parametrize("accepted", [False, True])
def test_rule_the_deadline_leads_to_revoking_whether_or_not_the_machine_has_accepted(accepted: bool) -> None:
    life = Life().funded()
    if accepted:
        life.ack("accepted", 0)
    while life.order.state == "funded":
        life.due()
    assert (life.order.state, plain(life.effects)) == ("revoking", ["SendRevoke"])
    assert life.delivery.accepted is accepted


@pytest.mark.parametrize("accepted", [False, True])
def test_rule_a_refund_asked_for_leads_to_revoking_whether_or_not_the_machine_has_accepted(accepted: bool) -> None:
    life = Life().funded()
    if accepted:
        life.ack("accepted", 0)
    life.on(RefundAsked("kim", "the wrong machine"))
    assert (life.order.state, plain(life.effects)) == ("revoking", ["SendRevoke"])
    life.ack("done", 1)
    assert (life.order.delivered, life.order.books.target_minor, life.order.books.goodwill_minor) == (1, 0, 100)


def test_money_that_goes_back_before_the_machine_has_answered_revokes_the_credit() -> None:
    for payment in (gone(), paid(refunded_minor=300), paid(refunded_minor=1), paid(dispute="lost")):
        life = Life().funded(held() if payment.status == "canceled" else None)
        life.on(PaymentReported("pi_1", "it went"))
        life.read(payment)
        assert (life.order.state, plain(life.effects)) == ("revoking", ["SendRevoke"])


def test_money_that_is_still_there_keeps_the_credit_alive() -> None:
    life = Life().funded()
    life.on(PaymentReported("pi_1", "charge.updated"))
    life.read(paid())
    assert (life.order.state, life.payment.recheck) == ("funded", False)


def test_a_dispute_during_the_delivery_is_shown() -> None:
    life = Life().funded()
    life.read(paid(dispute="open"))
    assert (life.order.state, life.kinds) == ("funded", {"dispute"})


# --- acks ------------------------------------------------------------------------------------------------


def _before_the_end() -> list[Life]:
    return [Life().funded(), Life().revoking(), Life().funded(held()), Life().revoking(held())]


@pytest.mark.parametrize("delivered", [0, 1, 2, 3])
def test_a_final_ack_resolves_with_what_was_delivered(delivered: int) -> None:
    for life in _before_the_end():
        life.ack("done", delivered)
        assert (life.order.state, life.order.delivered, life.resolution.by) == ("resolved", delivered, "ack")
        assert life.order.books.target_minor == 100 * delivered
        assert plain(life.effects) == ["ReadPayment"]


@pytest.mark.parametrize("state", ["refused", "revoked"])
def test_a_machine_that_refused_or_was_stopped_in_time_has_delivered_nothing(state: str) -> None:
    for life in _before_the_end():
        life.ack(state, 0)
        assert (life.order.state, life.order.delivered) == ("resolved", 0)


@pytest.mark.parametrize(
    ("delivered", "registered", "reason", "is_missed"),
    [
        (3, 3, "", False),
        (3, 5, "", False),
        (3, None, "", False),
        (3, 2, "", True),
        (2, 2, "coins not registered: 2 of 3", True),
        (0, None, "coins not registered", False),
    ],
)
def test_what_the_coin_meter_registered_is_in_the_history_and_what_it_missed_is_shown(
    delivered: int, registered: int | None, reason: str, is_missed: bool
) -> None:
    """Where the machine was out of sale already, and pulsed nothing, nothing new has happened."""
    life = Life().funded()
    life.ack("done", delivered, registered=registered, reason=reason)
    assert life.order.delivered == delivered
    assert ("registered by its meter" in life.order.note) == (registered is not None)
    assert ({alert.kind for alert in life.alerts.values()} == {"meter"}) is is_missed


def test_an_uncertain_credit_is_given_back() -> None:
    life = Life().funded()
    life.ack("done", 1, uncertain=1)
    assert (life.order.delivered, life.order.uncertain, life.order.books.target_minor) == (1, 1, 100)


@pytest.mark.parametrize(("state", "delivered"), [("accepted", 0), ("pulsing", 0), ("pulsing", 3), ("unknown", 0)])
def test_rule_only_a_final_ack_resolves(state: str, delivered: int) -> None:
    for life in _before_the_end():
        before = life.order.state
        life.ack(state, delivered)
        assert (life.order.state, life.order.delivered, life.effects) == (before, None, ())
        assert life.order.reported == delivered


def test_rule_only_the_addressed_installation_s_ack_resolves() -> None:
    for life in _before_the_end():
        before = life.order
        life.ack("done", 3, installation=ELSEWHERE)
        assert (life.order, life.effects) == (before, ())
        assert life.kinds == {"wrong_installation"}


def test_rule_only_the_addressed_machine_s_ack_resolves() -> None:
    for life in _before_the_end():
        before = life.order
        life.ack("done", 3, machine_id="cab-02")
        assert (life.order, life.effects) == (before, ())
        assert life.kinds == {"wrong_machine"}


def test_an_ack_for_another_credit_moves_nothing() -> None:
    for life in _before_the_end():
        before = life.order
        life.ack("done", 3, credit_id="018bcfe5-6800-7000-8000-000000000000")
        assert (life.order, life.effects, life.kinds) == (before, (), set())


def test_an_ack_of_more_than_was_ordered_moves_nothing_and_is_shown() -> None:
    for fields in ({"delivered": 4, "credits": 4}, {"delivered": 0, "credits": 4}):
        life = Life().funded()
        before = life.order
        life.ack("done", **fields)
        assert (life.order, life.kinds) == (before, {"impossible_ack"})


def test_progress_only_grows() -> None:
    life = Life().funded()
    life.ack("pulsing", 2)
    life.ack("pulsing", 1)
    life.ack("accepted", 0)
    assert life.order.reported == 2


def test_k_never_changes_once_the_order_is_resolved() -> None:
    for life in (Life().resolved(1), Life().settled(1)):
        for delivered in (0, 2, 3, 2):
            life.ack("done", delivered)
            life.ack("pulsing", delivered)
            assert (life.order.delivered, life.order.books.target_minor) == (1, 100)
        assert life.kinds == {"discrepancy"}


def test_the_final_ack_again_changes_nothing_even_after_one_that_contradicts_it() -> None:
    life = Life().settled(1)
    life.ack("done", 1)
    assert life.kinds == set()
    life.ack("done", 2)
    contradicted = life.order
    for delivered in (1, 2, 1, 2):
        life.ack("done", delivered)
        assert life.order == contradicted


# --- revoking --------------------------------------------------------------------------------------------


def test_a_revoke_is_repeated_with_backoff_until_it_is_answered() -> None:
    life = Life().revoking()
    for outcome in (Outcome.UNKNOWN, Outcome.REFUSED, Outcome.NOBODY, Outcome.CONFIRMED):
        life.revoke(outcome)
        life.due()
        assert SendRevoke(life.command.credit_id) in life.effects
    life.ack("done", 2)
    assert (life.order.state, life.order.delivered) == ("resolved", 2)


def test_a_confirmed_revoke_is_followed_by_an_echo() -> None:
    for outcome, effects in (
        (Outcome.CONFIRMED, [SendEcho()]),
        (Outcome.NOBODY, [SendEcho()]),
        (Outcome.REFUSED, []),
        (Outcome.UNKNOWN, []),
    ):
        life = Life().revoking()
        life.revoke(outcome)
        assert list(life.effects) == effects


def _silent_for(
    life: Life, *, seconds: float = 0, until: str = "", echo: bool = True, confirm: bool = True
) -> None:
    """Let the timer come for so long, or until that state; each revoke confirmed, and each echo heard."""
    end_ms = life.now_ms + round(seconds * 1000)
    while life.order.state == "revoking" and (until or (life.order.due_at_ms or 0) < end_ms):
        if SendRevoke(life.command.credit_id) in life.effects:
            life.revoke(Outcome.CONFIRMED if confirm else Outcome.UNKNOWN)
        if SendEcho() in life.effects and echo:
            life.hear_echo()
        life.due()


@pytest.mark.parametrize(("payment", "limit_s"), [(paid(), 15 * 60), (held(), 6 * 3600)], ids=["taken", "held"])
def test_proven_silence_closes_the_order_after_the_published_time(payment: Payment, limit_s: int) -> None:
    life = Life().revoking(payment)
    began_ms = life.now_ms
    _silent_for(life, until="resolved")
    assert (life.order.state, life.resolution.by, life.order.delivered) == ("resolved", "silence", 0)
    assert life.kinds == {"unconfirmed"}
    assert limit_s * 1000 <= life.now_ms - began_ms <= limit_s * 1000 + 130_000


def test_silence_closes_the_order_with_what_was_last_reported() -> None:
    life = Life().funded()
    life.ack("pulsing", 2)
    life.now_ms = life.command.expires_at_ms or 0
    life.due()
    _silent_for(life, until="resolved")
    assert (life.order.delivered, life.order.books.target_minor) == (2, 200)


def test_rule_silence_counts_only_from_a_revoke_that_the_broker_confirmed() -> None:
    life = Life().revoking()
    _silent_for(life, seconds=3600, confirm=False)
    life.hear_echo()
    life.due()
    assert life.order.state == "revoking"
    began_ms = life.now_ms
    _silent_for(life, until="resolved")
    assert life.now_ms - began_ms >= LIMITS.silence_limit_s * 1000


def test_rule_silence_counts_only_while_the_cloud_can_prove_that_it_hears() -> None:
    life = Life().revoking()
    life.hear_echo()
    _silent_for(life, seconds=3600, echo=False)
    assert life.order.state == "revoking", "the last echo that came back is older than the revoke"


def test_rule_a_cloud_that_was_away_listens_before_it_calls_a_machine_silent() -> None:
    life = Life().revoking()
    life.revoke()
    life.hear_echo()
    life.wait_s(3600)  # the cloud is down; the machine's answer waits at the broker
    life.due()
    assert (life.order.state, plain(life.effects)) == ("revoking", ["SendRevoke"])
    life.revoke()
    life.hear_echo()
    life.ack("done", 3)
    assert (life.order.delivered, life.kinds) == (3, set())


def _silent_until_the_limit() -> Life:
    """The silence limit is over, and the timer has just asked once more."""
    life = Life().revoking()
    life.revoke()
    life.wait_s(LIMITS.silence_limit_s)
    life.due()
    assert (life.order.state, plain(life.effects)) == ("revoking", ["SendRevoke"])
    return life


def test_a_machine_gets_its_time_to_answer_the_latest_revoke() -> None:
    life = _silent_until_the_limit()
    life.revoke()
    life.hear_echo()
    life.wait_s(LIMITS.answer_s - 1)
    life.order = changed(life.order, due_at_ms=life.now_ms)
    life.due()
    assert life.order.state == "revoking", "the revoke went out a moment ago"


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.REFUSED])
def test_rule_silence_does_not_count_while_the_latest_revoke_is_not_confirmed(outcome: Outcome) -> None:
    life = _silent_until_the_limit()
    life.revoke(outcome)
    life.wait_s(30)
    life.hear_echo()  # sent for another order
    life.due()
    assert life.order.state == "revoking", "the broker was away, and the machine with it"


@pytest.mark.parametrize("payment", [paid(), held()], ids=["taken", "held"])
def test_after_the_last_resort_money_goes_back_whatever_is_down(payment: Payment) -> None:
    life = Life().revoking(payment)
    began_ms = life.now_ms
    while life.order.state == "revoking":
        life.due()
    assert (life.resolution.by, life.order.delivered) == ("last resort", 0)
    assert life.kinds == {"unconfirmed"}
    assert 0 <= life.now_ms - began_ms - LIMITS.last_resort_s * 1000 <= 60_000


@pytest.mark.parametrize("hold_s", [12 * 3600, 24 * 3600, 30 * 3600])
@pytest.mark.parametrize("broken", [True, False], ids=["nothing heard", "silent"])
def test_a_short_hold_is_resolved_while_a_quarter_of_its_life_remains(hold_s: int, broken: bool) -> None:
    life = Life().revoking(held(capture_before_ms=NOW_MS + hold_s * 1000))
    _silent_for(life, until="resolved", echo=not broken)
    assert life.now_ms - NOW_MS <= hold_s * 1000 * (3 if broken else 2) // 4 + 130_000


def test_rule_a_hold_that_is_too_short_for_a_delivery_is_let_go() -> None:
    life = Life()
    life.read(held(capture_before_ms=NOW_MS + 2 * LIMITS.delivery_ms - 1))
    assert (life.order.state, plain(life.effects)) == ("returning", ["ReadPayment"])
    assert "ends too soon" in life.order.note
    life.read(held(capture_before_ms=NOW_MS + 2 * LIMITS.delivery_ms - 1))
    assert life.settle == ("cancel", 0)
    life = Life()
    life.read(held(capture_before_ms=NOW_MS + 2 * LIMITS.delivery_ms))
    assert (life.order.state, plain(life.effects)) == ("funded", ["SendCoinpulse"])


@pytest.mark.parametrize("hold_s", [60, 200, 399])
@pytest.mark.parametrize("broken", [True, False], ids=["nothing heard", "silent"])
def test_rule_a_machine_may_be_silent_as_long_as_it_may_still_pulse_however_short_the_hold(
    hold_s: int, broken: bool
) -> None:
    """A webhook does not show the end of a hold: it becomes known when the credits are under way."""
    life = Life()
    life.on(PaymentRead(held(capture_before_ms=None)))
    life.coinpulse()
    life.read(held(capture_before_ms=NOW_MS + hold_s * 1000))
    life.on(RefundAsked("kim", "a complaint", 100))
    last_pulse_ms = NOW_MS + 1000 * (LIMITS.deliver_within_s + 60)
    _silent_for(life, until="resolved", echo=not broken)
    assert life.now_ms >= last_pulse_ms


def test_the_end_of_a_hold_that_a_webhook_did_not_show_is_read_when_the_machine_does_not_answer() -> None:
    life = Life()
    life.on(PaymentRead(held(capture_before_ms=None)))
    life.now_ms = life.command.expires_at_ms or 0
    life.due()
    assert plain(life.effects) == ["SendRevoke", "ReadPayment"]
    life.read(held(capture_before_ms=NOW_MS + 10 * 3_600_000))
    assert life.arrival.capture_before_ms == NOW_MS + 10 * 3_600_000
    life.due()
    assert plain(life.effects) == ["SendRevoke"]


def test_a_revoke_that_comes_after_a_partial_delivery_keeps_what_was_delivered() -> None:
    life = Life().revoking(held())
    life.ack("done", 2)
    life.read(held())
    assert life.settle == ("capture", 200)


def test_a_refund_asked_for_while_revoking_books_what_was_delivered_as_goodwill() -> None:
    life = Life().funded()
    life.ack("pulsing", 1)
    life.now_ms = life.command.expires_at_ms or 0
    life.due()
    life.on(RefundAsked("kim", "a complaint"))
    assert life.order.state == "revoking"
    life.on(RefundAsked("kim", "a complaint"))
    life.ack("done", 2)
    assert (life.order.delivered, life.order.books.target_minor, life.order.books.goodwill_minor) == (2, 0, 200)


def test_a_partial_refund_asked_for_before_the_end_keeps_at_most_that() -> None:
    for keep, delivered, target in ((150, 3, 150), (150, 1, 100), (150, 2, 150)):
        life = Life().funded()
        life.on(RefundAsked("kim", "half of it", keep))
        life.on(RefundAsked("kim", "more of it", 250))
        life.ack("done", delivered)
        assert (life.order.books.target_minor, life.order.books.goodwill_minor) == (
            target,
            100 * delivered - target,
        )


def test_money_that_is_gone_while_revoking_does_not_end_the_asking() -> None:
    life = Life().revoking(held())
    life.read(gone())
    assert (life.order.state, life.payment.shown) == ("revoking", gone())
    life.ack("done", 1)
    life.read(gone())
    assert (life.order.state, life.order.books.lost_minor) == ("settled", 100)


# --- subscribers and grants ------------------------------------------------------------------------------


def _subscriber(payment: Payment | None = None) -> Life:
    life = Life(new_order(subscriber=True), installation=None)
    life.read(payment or held())
    assert plain(life.effects) == ["SendCoinpulse"]
    return life


def test_a_subscriber_s_credit_is_delivered_when_the_broker_has_handed_it_on() -> None:
    life = _subscriber()
    life.coinpulse(Outcome.CONFIRMED)
    assert (life.order.state, life.order.delivered, life.resolution.by) == ("resolved", 3, "broker")


def test_an_unknown_publish_to_a_subscriber_is_never_repeated_and_given_back() -> None:
    life = _subscriber()
    life.coinpulse(Outcome.UNKNOWN)
    assert (life.order.state, life.order.delivered, life.kinds) == ("resolved", 0, {"unconfirmed"})


def test_a_publish_to_a_subscriber_whose_result_was_lost_is_never_repeated_and_given_back() -> None:
    life = _subscriber()
    life.due()
    assert (life.order.state, life.order.delivered, life.kinds) == ("resolved", 0, {"unconfirmed"})


def test_a_publish_to_a_subscriber_may_take_as_long_as_a_publish_can() -> None:
    life = _subscriber()
    assert (life.order.due_at_ms or 0) - life.now_ms > 30_000, "MQTT_PUBLISH_TIMEOUT_MS is at most 30 s"
    life.wait_s(30)
    life.on(Due())
    life.coinpulse(Outcome.CONFIRMED)
    assert life.order.delivered == 3


@pytest.mark.parametrize("outcome", [Outcome.NOBODY, Outcome.REFUSED])
def test_a_publish_that_reached_no_subscriber_is_repeated_until_the_deadline(outcome: Outcome) -> None:
    life = _subscriber()
    sent = 1
    while life.order.state == "funded":
        life.coinpulse(outcome)
        life.due()
        sent += len(life.asked(SendCoinpulse))
    assert sent > 3
    assert (life.order.state, life.order.delivered, life.kinds) == ("resolved", 0, set())
    assert life.now_ms == life.command.expires_at_ms


def test_a_grant_is_delivered_and_closed_without_stripe() -> None:
    grant = new_order(
        kind="grant",
        amount_minor=0,
        drawn_at_ms=NOW_MS,
        due_at_ms=NOW_MS,
    )
    life = Life(grant)
    life.due()
    assert plain(life.effects) == ["SendCoinpulse"]
    life.ack("done", 2)
    assert (life.order.state, life.order.delivered, life.effects) == ("settled", 2, ())


def test_a_grant_that_a_machine_never_takes_ends_by_itself() -> None:
    grant = new_order(
        kind="grant",
        amount_minor=0,
        drawn_at_ms=NOW_MS,
        due_at_ms=NOW_MS,
    )
    life = Life(grant)
    while life.order.state not in {"settled"}:
        life.due()
        assert not life.asked(Settle)
        assert not life.asked(ReadPayment)
    assert life.order.delivered == 0


# --- the record ------------------------------------------------------------------------------------------


def test_an_event_that_changes_nothing_gives_back_the_very_same_order() -> None:
    life = Life().settled()
    before = life.order
    life.on(Due())
    life.ack()
    life.revoke()
    life.coinpulse()
    life.on(CheckoutMade("cs_1", "https://stripe/1", NOW_MS))
    assert life.order is before or life.order == before
    assert life.order.version == before.version


def test_the_timer_that_comes_too_early_changes_nothing() -> None:
    for life in (Life(), Life().funded(), Life().revoking(), Life().resolved()):
        before = life.order
        life.on(Due())
        assert (life.order, life.effects) == (before, ())


PAID = {"stage": "funded", "payment_intent": "pi_1", "arrival": Arrival(paid_at_ms=1)}
RESOLVED = {**PAID, "drawn_at_ms": 1}


def resolution(delivered: int) -> Resolution:
    return Resolution(delivered=delivered, by="ack", at_ms=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"credits": ()},
        {"count": 0},
        {"price_minor": -1},
        {"amount_minor": -1},
        {"payment": None},
        {"kind": "grant"},
        {"drawn_at_ms": 1, "due_at_ms": 1},
        {**PAID},
        {**PAID, "drawn_at_ms": 1, "payment_intent": None},
        {**PAID, "drawn_at_ms": 1, "arrival": None},
        {**PAID, "drawn_at_ms": 1, "due_at_ms": None},
        {**RESOLVED, "resolution": resolution(3), "due_at_ms": None},
        {"stage": "returning", "due_at_ms": None},
        {**RESOLVED, "resolution": resolution(4)},
        {**RESOLVED, "resolution": resolution(-1)},
        {**RESOLVED, "resolution": resolution(3), "uncertain": 1},
        {**RESOLVED, "resolution": resolution(2), "target_minor": 201},
        {**RESOLVED, "resolution": resolution(2), "target_minor": -1},
        {"stage": "returning", "target_minor": 1},
        {**PAID, "drawn_at_ms": 1, "done": True},
    ],
    ids=str,
)
def test_a_record_that_contradicts_the_order_s_life_is_refused(wrong: dict[str, Any]) -> None:
    check(changed(new_order(), **{**RESOLVED, "resolution": resolution(2), "target_minor": 200}))
    credits = wrong.pop("credits", None)
    broken = changed(an_order(), **wrong)
    with pytest.raises(InvariantBroken):
        check(broken if credits is None else msgspec.structs.replace(broken, credits=credits))


def test_the_code_that_a_player_reads_out_has_six_characters_none_easily_confused() -> None:
    codes = {new_order(order_id=f"ord_{number}").code for number in range(500)}
    assert len(codes) > 490
    assert all(len(code) == 6 and not set(code) & set("IO01") for code in codes)


def test_other_limits_give_other_times() -> None:
    limits = replace(LIMITS, deliver_within_s=10)
    life = Life(limits=limits).funded()
    assert life.command.expires_at_ms == NOW_MS + 10_000
