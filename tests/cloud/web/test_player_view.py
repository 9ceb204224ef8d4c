"""What the player reads, in every state that an order can reach by its own rules."""

import dataclasses
import re
from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.effects import PARTIAL_CAPTURE
from arcade_cloud.domain.events import CheckoutFailed, CheckoutMade, Due, Outcome, PaymentReported, RefundAsked
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.offers import parse_offers
from arcade_cloud.domain.order import CheckoutPage, Order
from arcade_cloud.domain.settlement import ALERT_ATTEMPTS
from arcade_cloud.web.player_view import View, contact_link, machine_view, order_view, picture
from support.lives import LIMITS, Life, gone, held, new_order, paid
from support.orders import NOW_MS, changed


def view_of(life: Life) -> View:
    """The view, with its no-break spaces replaced by ordinary ones."""
    view = order_view(life.order, life.now_ms)
    texts = {name: getattr(view, name).replace("\u00a0", " ") for name in ("title", "detail", "money")}
    return dataclasses.replace(view, **texts)


def said(view: View) -> str:
    """All texts of a view."""
    return f"{view.title} {view.detail} {view.money}"


# --- before any money ------------------------------------------------------------------------------------


def test_before_the_webhook_the_page_waits_and_claims_nothing():
    life = Life()
    life.on(CheckoutMade("cs_1", "https://checkout.example/1", NOW_MS + 1_860_000))
    view = view_of(life)
    assert (view.phase, view.final) == ("unpaid", False)
    assert view.title == "Waiting for your payment"
    assert "No payment has arrived yet" in view.money
    assert "added" not in said(view)


@pytest.mark.parametrize("reported_first", [False, True])
def test_a_slow_bank_is_named_and_nobody_is_asked_to_pay_again(reported_first):
    life = Life()
    if reported_first:  # as its webhook does, before anything is read
        life.on(PaymentReported("pi_1", "payment_intent.processing", good_news=False))
    life.read(paid(status="processing", received_minor=0), "complete")
    view = view_of(life)
    assert (view.phase, view.title) == ("checking", "Your bank is confirming the payment")
    assert "No payment" not in said(view)
    assert "charged" not in said(view)


def test_a_bank_that_refuses_in_the_end_has_charged_nobody():
    life = Life()
    life.read(paid(status="processing", received_minor=0), "complete")
    life.read(paid(status="requires_payment_method", received_minor=0), "complete")
    assert view_of(life).title == "You were not charged"


def test_after_the_time_to_pay_stripe_is_asked_once_more():
    order = new_order(checkout=CheckoutPage(session_id="cs_1", expires_at_ms=NOW_MS + 1000))
    assert order_view(order, NOW_MS).phase == "unpaid"
    assert order_view(order, NOW_MS + 1000).phase == "checking"


@pytest.mark.parametrize("how", ["expired", "failed", "no checkout"])
def test_an_unpaid_order_says_that_nothing_was_charged(how):
    life = Life(new_order(checkout=None) if how == "no checkout" else None)
    if how == "expired":
        life.read(None, "expired")
    elif how == "failed":
        life.read(gone())
    else:
        life.on(CheckoutFailed("no checkout: PaymentsRefused"))
    view = view_of(life)
    assert (view.phase, view.final, view.title) == ("not_paid", True, "You were not charged")
    assert "Payments" not in said(view)


def test_money_reported_after_the_end_is_checked_before_anything_is_claimed():
    life = Life()
    life.read(None, "expired")
    life.on(PaymentReported("pi_1", "payment_intent.succeeded", good_news=True))
    view = view_of(life)
    assert (view.phase, view.final) == ("checking", False)
    assert "not charged" not in said(view)


# --- while it is delivered -------------------------------------------------------------------------------


def test_a_hold_is_called_a_hold_and_a_charge_a_charge():
    on_hold, charged = view_of(Life().funded(held())), view_of(Life().funded(paid()))
    assert on_hold.title == charged.title == "Paid: sending your credits"
    assert "RM 3.00 is held, not charged" in on_hold.money
    assert "RM 3.00 is paid" in charged.money
    assert "refund" in charged.money
    assert not on_hold.final
    assert not charged.final


def test_the_machines_progress_is_shown_as_it_reports_it():
    life = Life().funded(held())
    assert view_of(life).phase == "sending"
    life.ack("accepted", 0)
    assert (view_of(life).phase, view_of(life).title) == ("adding", "Adding your credits")
    life.ack("pulsing", 2)
    view = view_of(life)
    assert (view.phase, view.title, view.delivered, view.credits) == ("adding", "2 of 3 credits added", 2, 3)


def test_a_machine_that_does_not_respond_is_named():
    life = Life().funded(held())
    life.coinpulse(Outcome.UNKNOWN)
    life.due()
    assert view_of(life).detail == "Waiting for the machine to respond."


def test_a_machine_that_was_never_connected_is_waited_for_too():
    life = Life(installation=None)
    life.read(held())
    assert view_of(life).detail == "Waiting for the machine to respond."


@pytest.mark.parametrize("reported", [0, 1])
def test_while_it_is_revoked_the_player_knows_that_it_finishes_automatically(reported):
    life = Life().funded(held())
    if reported:
        life.ack("pulsing", reported)
    life.now_ms = (life.arrival.paid_at_ms or 0) + LIMITS.deliver_within_s * 1000
    life.due()
    view = view_of(life)
    assert (view.phase, view.final, view.ask) == ("stopping", False, True)
    assert "finishes automatically" in view.detail
    assert view.title == ("1 of 3 credits added so far" if reported else "Stopping your order")


def test_an_order_stopped_by_the_operator_says_so():
    life = Life().funded(held())
    life.on(RefundAsked("ops", "the player left"))
    view = view_of(life)
    assert "operator stopped" in view.detail
    assert "the player left" not in said(view), "the operator's note is not the player's business"


# --- the end ---------------------------------------------------------------------------------------------


def test_all_delivered_is_the_only_full_success():
    life = Life().resolved(3, held())
    assert view_of(life).title == "3 credits added"
    assert not view_of(life).final, "the hold is still to be captured"
    life.read(paid(received_minor=300))
    view = view_of(life)
    assert (view.phase, view.final, view.delivered) == ("added", True, 3)
    assert view.detail == "Press START on the machine."
    assert view.money == "You paid RM 3.00."


def test_one_credit_is_singular():
    life = Life(new_order(count=1, amount_minor=100))
    life.funded(held(amount_minor=100)).ack(delivered=1)
    assert view_of(life).title == "1 credit added"


def test_of_a_hold_only_the_part_that_was_delivered_is_charged():
    life = Life().resolved(2, held())
    before = view_of(life)
    assert (before.phase, before.title) == ("part", "2 of 3 credits added")
    assert before.money == "You pay only for 2 credits: RM 2.00. The rest of the hold, RM 1.00, is being released."
    life.read(paid(received_minor=200))
    after = view_of(life)
    assert after.final
    assert after.money == "You paid only for 2 credits: RM 2.00. The rest of the hold, RM 1.00, has been released."
    assert "refund" not in said(after).lower()


def test_of_money_taken_the_rest_is_refunded():
    life = Life().resolved(2, paid())
    assert view_of(life).money == "You pay only for 2 credits: RM 2.00. RM 1.00 is being refunded."
    life.read(paid(refunded_minor=100))
    view = view_of(life)
    assert view.money.startswith("You paid only for 2 credits: RM 2.00. Refund started: RM 1.00.")
    assert "hold" not in said(view)


def test_a_bank_that_takes_no_part_of_a_hold_leads_to_a_refund_of_the_rest():
    life = Life().resolved(2, held())
    life.read(held())
    life.settled_with("refused", PARTIAL_CAPTURE)
    assert life.order.settlement.whole_capture
    assert view_of(life).money == "You pay only for 2 credits: RM 2.00. RM 1.00 is being refunded."
    life.read(paid(refunded_minor=100))
    assert "Refund started: RM 1.00" in view_of(life).money


def test_nothing_delivered_of_a_hold_costs_nothing():
    life = Life().resolved(0, held())
    assert view_of(life).title == "You will not be charged"
    assert "is being released" in view_of(life).money
    life.read(gone())
    view = view_of(life)
    assert (view.phase, view.final, view.title) == ("given_back", True, "You were not charged")
    assert "The hold of RM 3.00 has been released" in view.money


def test_nothing_delivered_of_a_charge_starts_a_refund():
    life = Life().resolved(0, paid())
    assert view_of(life).title == "Your money is on its way back"
    assert not view_of(life).final
    life.read(paid(refunded_minor=300))
    view = view_of(life)
    assert (view.phase, view.final, view.title) == ("given_back", True, "Refund started: RM 3.00")
    assert "not charged" not in said(view), "it was charged, and goes back"


def test_an_uncertain_credit_is_admitted_and_not_charged():
    life = Life().funded(held())
    life.ack("done", 1, uncertain=1, reason="power cut")
    view = view_of(life)
    assert view.title == "1 of 3 credits added"
    assert "one credit is uncertain. You do not pay for it" in view.detail


def test_a_machine_that_stays_silent_is_named_as_the_reason():
    life = Life().revoking(held())
    life.revoke()
    life.wait_s(LIMITS.hold_silence_limit_s)
    life.due()
    life.revoke()
    life.wait_s(LIMITS.answer_s)
    life.hear_echo()
    life.due()
    assert life.resolution.by == "silence"
    view = view_of(life)
    assert view.title == "You will not be charged"
    assert view.detail == "The machine did not respond."


def test_a_payment_that_came_too_late_goes_back_whole():
    life = Life()
    life.now_ms = NOW_MS + LIMITS.deliver_within_s * 1000
    life.read(held())
    assert life.order.state == "returning"
    assert view_of(life).title == "You will not be charged"
    life.read(gone())
    view = view_of(life)
    assert (view.phase, view.final, view.title) == ("given_back", True, "You were not charged")
    assert "no credits were sent" in view.detail


def test_a_wrong_amount_goes_back_as_it_was_paid():
    life = Life()
    life.read(paid(amount_minor=250))
    life.read(paid(amount_minor=250, refunded_minor=250))
    assert view_of(life).title == "Refund started: RM 2.50", "not the price of the order"


def test_a_stray_hold_that_was_released_was_not_a_charge():
    stray = new_order(
        kind="unmatched", stage="returning", checkout=None, payment_intent="pi_1", shown=held(), due_at_ms=NOW_MS
    )
    life = Life(stray)
    assert view_of(life).title == "You will not be charged"
    life.read(gone())
    assert (view_of(life).title, view_of(life).final) == ("You were not charged", True)


def test_goodwill_after_delivery_shows_as_a_refund_and_keeps_the_credits():
    life = Life().settled(3, paid())
    life.on(RefundAsked("ops", "sticky button", 100))
    life.read(paid(refunded_minor=200))
    view = view_of(life)
    assert (view.phase, view.title) == ("added", "3 credits added")
    assert view.money == (
        "You paid RM 3.00, and RM 2.00 of it goes back to you. Banks take a few days to show a refund."
    )
    assert "sticky" not in said(view)


def test_a_full_refund_after_delivery_is_a_refund_first_of_all_and_nothing_says_press_start():
    life = Life().settled(3, paid())
    life.on(RefundAsked("ops", "sticky button"))
    under_way = view_of(life)
    assert (under_way.phase, under_way.title) == ("given_back", "Your money is on its way back")
    life.read(paid(refunded_minor=300))
    view = view_of(life)
    assert (view.phase, view.title) == ("given_back", "Refund started: RM 3.00")
    assert view.detail == "The operator gave all your money back, although 3 credits were added."
    assert view.money == "You pay nothing. Banks take a few days to show a refund."
    for each in (under_way, view):
        assert "START" not in said(each)
        assert "sticky" not in said(each)


@pytest.mark.parametrize(
    ("shown", "title", "detail"),
    [
        (paid(refunded_minor=300), "Refund started: RM 3.00", "You pay nothing, although 3 credits were added."),
        (
            paid(dispute="lost", lost_minor=300),
            "Your bank has returned your money",
            "Your bank took the payment back, although 3 credits were added.",
        ),
    ],
    ids=["by hand at Stripe", "by the bank"],
)
def test_money_that_went_back_at_stripe_is_no_success_either(shown, title, detail):
    life = Life().settled(3, paid())
    life.on(PaymentReported("pi_1", "charge.refunded", good_news=False))
    life.read(shown)
    view = view_of(life)
    assert (view.phase, view.title, view.detail) == ("given_back", title, detail)
    assert "START" not in said(view)


def test_most_of_it_given_back_is_told_in_the_past():
    life = Life().settled(3, paid())
    life.on(RefundAsked("ops", "sticky button", 5))
    life.read(paid(refunded_minor=295))
    assert view_of(life).money.startswith("You paid RM 3.00, and RM 2.95 of it goes back to you.")


def test_one_credit_that_was_given_back_is_one_credit():
    life = Life().settled(1, paid())
    life.on(RefundAsked("ops", "sticky button"))
    assert view_of(life).detail == "The operator gave all your money back, although 1 credit was added."


def test_what_a_bank_took_the_operator_has_not_given():
    life = Life().settled(3, paid())
    life.on(RefundAsked("ops", "sticky button", 200))
    life.read(paid(refunded_minor=100))
    life.read(paid(refunded_minor=100, dispute="lost", lost_minor=200))
    assert (life.order.books.target_minor, life.order.books.goodwill_minor) == (0, 100)
    view = view_of(life)
    assert "gave all your money back" not in said(view)
    assert "disputed this payment" in view.money


def test_a_hold_that_the_operator_let_go_after_the_delivery_is_no_charge():
    life = Life().resolved(3, held())
    life.on(RefundAsked("ops", "sticky button"))
    life.read(gone())
    view = view_of(life)
    assert (view.phase, view.title) == ("given_back", "You were not charged")
    assert "START" not in said(view)


def test_a_refund_that_stripe_cannot_make_sends_the_player_to_the_operator():
    life = Life().resolved(0, paid())
    life.read(paid())
    life.settled_with("done")
    for failed in (1, 2, 3):
        life.wait_s(3 * 3600)
        life.read(paid(refunds_failed=failed))
    assert life.order.books.owed_minor == 300
    view = view_of(life)
    assert (view.phase, view.title, view.ask, view.final) == ("help", "Please contact the operator", True, True)
    assert "RM 3.00 is owed to you" in view.money


def test_a_slow_refund_says_so():
    life = Life().resolved(0, paid())
    while life.order.settlement.attempts < ALERT_ATTEMPTS:
        life.due()
    view = view_of(life)
    assert view.ask
    assert "taking longer than usual" in view.money
    assert "the operator has been notified" in view.money


def test_a_disputed_payment_is_left_to_the_bank():
    life = Life().settled(3, paid())
    life.read(paid(dispute="open"))
    assert "Your bank decides" in view_of(life).money


@pytest.mark.parametrize(
    ("outcome", "title"), [(Outcome.CONFIRMED, "3 credits sent"), (Outcome.UNKNOWN, "will not")]
)
def test_a_machine_that_only_listens_has_credits_sent_but_never_added(outcome, title):
    life = Life(new_order(subscriber=True))
    life.read(held())
    life.coinpulse(outcome)
    assert title in view_of(life).title
    assert "added" not in said(view_of(life))


def test_free_credits_mention_no_payment():
    grant = new_order(
        kind="grant",
        amount_minor=0,
        drawn_at_ms=NOW_MS,
        due_at_ms=NOW_MS,
    )
    life = Life(grant)
    life.on(Due())
    assert view_of(life).title == "Sending your credits"
    assert view_of(life).money == "These credits are free."
    life.ack("done", 0)
    view = view_of(life)
    assert (view.title, view.final) == ("No credits were added", True)
    assert "paid" not in said(view).lower()


# What Stripe may show next of one payment: money that has gone does not come back.
MAY_FOLLOW = {
    "": {"hold", "charge", "gone"},
    "hold": {"hold", "gone", "taken"},
    "taken": {"taken", "back"},
    "charge": {"charge", "back"},
    "back": {"back"},
    "gone": {"gone"},
}
SHOWN = {
    "hold": held(),
    "gone": gone(),
    "taken": paid(),
    "charge": paid(),
    "back": paid(refunded_minor=300),
}
HAPPENS = st.sampled_from([*SHOWN, "due", "ack 0", "ack 2", "ack 3", "cut", "refund"])


@given(events=st.lists(HAPPENS, max_size=10))
def test_every_order_has_a_view_and_only_the_machines_report_is_success(events):
    life, money = Life(), ""
    for event in events:
        if event in MAY_FOLLOW[money]:
            life.read(SHOWN[event])
            money = event
        elif event == "due" and life.order.due_at_ms is not None:
            life.due()
        elif event == "refund":
            life.on(RefundAsked("ops", "asked"))
        elif event == "cut" and life.order.credit_ids:
            life.ack(delivered=1, uncertain=1)
        elif event.startswith("ack") and life.order.credit_ids:
            life.ack(delivered=int(event[-1]))
        _check(life.order, view_of(life))


class Loud:
    """Says everything in capitals but its values, which have none: what is not in capitals was not translated."""

    language = "en"

    def text(self, message: str, /, **values: object) -> str:
        return (
            "".join(part if part.startswith("%(") else part.upper() for part in _PARTS.findall(message)) % values
        )

    def count(self, one: str, many: str, number: int, /, **values: object) -> str:
        return self.text(one if number == 1 else many, number=number, **values)

    def money(self, amount_minor: int, currency: str) -> str:
        return str(amount_minor)

    def time(self, at: datetime) -> str:
        return "18:00"

    def day(self, at: datetime, *, year: bool) -> str:
        return "28"

    def sentences(self, *each: str) -> str:
        return " ".join(filter(None, each))


_PARTS = re.compile(r"%\(\w+\)s|[^%]+")


def _check(order: Order, view: View) -> None:
    loud = order_view(order, order.created_at_ms, Loud())
    for text in (loud.title, loud.detail, loud.money):
        assert text == text.upper(), "somebody who reads no English reads this"
    shown = None if order.payment is None else order.payment.shown
    assert all(text.strip() == text and text for text in (view.title, view.detail, view.money))
    assert view.final == (order.state == "settled" or (order.state == "abandoned" and order.due_at_ms is None))
    if order.delivered is None and order.reported == 0:
        assert "credits added" not in view.title
        assert view.phase not in {"added", "part"}
    if view.phase == "added":
        assert order.delivered == order.ordered
    if "not charged" in view.title or "not be charged" in view.title:
        assert shown is None or shown.kept_minor == 0
    if "Refund started" in said(view):
        assert order.state == "settled"
        assert shown is not None
        assert shown.refunded_minor > 0
    assert view.phase != "unpaid" or order.state == "open"


# --- a machine -------------------------------------------------------------------------------------------

ONE = Offer(offer_id="one", credits=1, amount_minor=100, currency="myr", label="A play")
FIVE = Offer(offer_id="five", credits=5, amount_minor=400, currency="myr", label="Best price")
HERE = Presence(
    machine_id="cab-01", installation="a" * 32, online=True, ready=True, max_credits=4, stated_at_ms=NOW_MS
)


def test_a_single_offer_is_sold_in_several_quantities_up_to_what_the_machine_takes():
    view = machine_view(Machine(machine_id="cab-01"), [ONE], HERE, NOW_MS, quantities=(1, 2, 3, 5, 10))
    assert (view.ready, view.word) == (True, "Ready to play")
    assert [(c.quantity, c.price) for c in view.choices] == [
        (1, "RM\u00a01.00"),
        (2, "RM\u00a02.00"),
        (3, "RM\u00a03.00"),
    ]
    assert all(choice.why_not == "" for choice in view.choices)


def test_several_offers_are_sold_as_they_are_and_one_too_large_says_why_not():
    view = machine_view(Machine(machine_id="cab-01"), [ONE, FIVE], HERE, NOW_MS)
    assert [(c.offer_id, c.quantity, c.credits) for c in view.choices] == [("one", 1, 1), ("five", 1, 5)]
    assert [bool(choice.why_not) for choice in view.choices] == [False, True]


def test_a_machine_that_is_away_has_every_button_off_and_says_why():
    away = msgspec.structs.replace(HERE, stated_at_ms=NOW_MS - 3_600_000)
    view = machine_view(Machine(machine_id="cab-01"), [ONE], away, NOW_MS)
    assert (view.ready, view.word) == (False, "This machine is offline.")
    assert all(choice.why_not for choice in view.choices)


def test_a_machine_never_heard_shows_what_it_will_sell():
    view = machine_view(Machine(machine_id="cab-01"), [ONE], None, NOW_MS)
    assert (view.ready, view.word) == (False, "You cannot pay by phone here yet.")
    assert len(view.choices) == 1


def test_a_machine_that_only_listens_is_always_for_sale():
    view = machine_view(
        Machine(machine_id="cab-01", kind="subscriber"), [FIVE], None, NOW_MS, quantities=(1, 2, 3, 5, 10)
    )
    assert view.ready
    assert [choice.credits for choice in view.choices] == [5, 10, 15, 25, 50]


@pytest.mark.parametrize(
    ("contact", "link"),
    [
        ("+60 12-345 6789", "tel:+60123456789"),
        ("ops@example.com", "mailto:ops@example.com"),
        ("https://example.com/help", "https://example.com/help"),
        ("ask at the counter", None),
        ("javascript:alert(1)", None),
    ],
)
def test_a_tap_on_the_contact_calls_writes_or_opens_and_runs_nothing(contact, link):
    assert contact_link(contact) == link


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://x.example/a.jpg", True),
        ("/static/a.jpg", True),
        ("//x.example/a.jpg", False),
        ("data:text/html,x", False),
    ],
)
def test_a_picture_is_shown_only_from_where_a_page_may_load_it(url, shown):
    assert (picture(Machine(machine_id="cab-01", picture_url=url)) is not None) is shown


def test_a_settled_order_that_is_reopened_is_not_final():
    life = Life().settled(2, paid())
    reopened = changed(changed(life.order, done=False), due_at_ms=life.now_ms)
    assert not order_view(reopened, life.now_ms).final


def test_an_offer_says_what_is_free_and_how_long_it_is_sold() -> None:
    offers = parse_offers(
        ["3=5.00MYR", "6+1=12.00MYR", "3=4.00MYR/14:00-17:00", "6+1=9.00MYR/22:00-24:00", "1=2.00MYR/sat"]
    )
    view = machine_view(Machine(machine_id="cab-01", offers=offers), offers, None, NOW_MS)
    assert [choice.label for choice in view.choices] == [
        "",
        "6 + 1 free",
        "until 17:00",
        "6 + 1 free · until 00:00",
        "",
    ]
