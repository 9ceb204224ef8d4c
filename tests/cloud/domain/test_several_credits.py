"""An order of several credits at several machines: each goes its own way, and the money moves once, at the end."""

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.credit import PUBLISH_BACKOFF_S, REVOKE_BACKOFF_S
from arcade_cloud.domain.decisions import Context, Decision
from arcade_cloud.domain.effects import Effect, ReadPayment, SendCoinpulse, SendRevoke, Settle
from arcade_cloud.domain.events import Acked, Due, Event, Outcome, PaymentRead, RefundAsked, Sent
from arcade_cloud.domain.life import decide
from arcade_cloud.domain.money import Payment, kept_for
from arcade_cloud.domain.order import Command, Credit, Delivery, Draw, Order, State, check, credit_id_of
from arcade_shared.ids import uuid7_ms
from arcade_shared.messages import FINAL_ACK_STATES, Ack
from arcade_shared.times import format_ms
from support.lives import LIMITS, gone, held, paid
from support.orders import NOW_MS, PAGE, an_order, only_payment

INSTALLATIONS = {"cab-01": "a" * 32, "cab-02": "b" * 32}
# Three credits for 5.00 at each machine: a third of it is no whole sen.
PRICE, COUNT = 500, 3
TWO = (
    Credit(machine_id="cab-01", count=COUNT, price_minor=PRICE),
    Credit(machine_id="cab-02", count=COUNT, price_minor=PRICE, draw=Draw(token="token-2", at_ms=NOW_MS + 5_000)),
)


def a_draw(number: int) -> Draw | None:
    """What draws an order's credit of that number; the payment itself draws the first."""
    return Draw(token=f"token-{number}", at_ms=NOW_MS + number) if number else None


class Lives:
    """One order, the time, and what surrounds its decisions. Every step is checked."""

    def __init__(self, *credits: Credit) -> None:
        self.credits_ = credits or TWO
        amount = sum(credit.price_minor for credit in self.credits_)
        order = an_order("ord_1", amount_minor=amount, checkout=PAGE)
        self.order = msgspec.structs.replace(order, credits=self.credits_)
        self.now_ms = NOW_MS
        self.last_echo_ms: int | None = None
        self.effects: tuple[Effect, ...] = ()
        self.alerts: dict[str, Alert] = {}

    def on(self, event: Event) -> Decision:
        before = self.order
        context = Context(
            now_ms=self.now_ms, limits=LIMITS, installations=INSTALLATIONS, last_echo_ms=self.last_echo_ms
        )
        decision = decide(before, event, context)
        self.order, self.effects = decision.order, decision.effects
        check(self.order)
        assert self.order.version == before.version + (self.order != before)
        for was, now in zip(before.credits, self.order.credits, strict=True):
            assert was.resolution in (None, now.resolution), "k never changes"
            assert was.command in (None, now.command), "a command never changes"
        if any(isinstance(effect, Settle) for effect in self.effects):
            assert not any(credit.under_way for credit in self.order.credits), (
                "money moves while a machine may pulse"
            )
        for alert in decision.alerts:
            assert alert.alert_id not in self.alerts, "two alerts would be taken for one"
            self.alerts[alert.alert_id] = alert
        return decision

    def funded(self, payment: Payment | None = None) -> "Lives":
        amount = self.order.amount_minor
        self.on(
            PaymentRead(
                payment or held(amount_minor=amount), read_at_ms=self.now_ms, acts=self.order.settlement.acts
            )
        )
        assert self.order.state == "funded"
        return self

    def is_at(self, state: State) -> bool:
        return self.order.state == state

    def due(self) -> Decision:
        """Jump to the moment that the order asked for, and let the timer come."""
        assert self.order.due_at_ms is not None
        self.now_ms = max(self.now_ms, self.order.due_at_ms)
        return self.on(Due())

    def ack(self, index: int, state: str = "done", delivered: int = COUNT, **fields: Any) -> Decision:
        """What the machine of that credit reports."""
        credit = self.order.credits[index]
        command = self.command(index)
        values: dict[str, Any] = {
            "machine_id": credit.machine_id,
            "credit_id": command.credit_id,
            "installation": command.installation,
            "state": state,
            "final": state in FINAL_ACK_STATES,
            "credits": credit.count,
            "delivered": delivered,
            "uncertain": 0,
            "reason": "",
            "timestamp": format_ms(self.now_ms),
            "signature": "0" * 64,
        }
        return self.on(Acked(Ack(**{**values, **fields})))

    def refund(self, keep_minor: int = 0) -> Decision:
        return self.on(RefundAsked("operator", "stuck joystick", keep_minor))

    def delivery(self, index: int) -> Delivery:
        found = self.order.credits[index].delivery
        assert found is not None
        return found

    def command(self, index: int) -> Command:
        found = self.delivery(index).command
        assert found is not None
        return found

    def asked(self, kind: type[Any]) -> list[str]:
        """The ids of the credits that the last step has sent something about."""
        return [effect.credit_id for effect in self.effects if isinstance(effect, kind)]

    def reads(self) -> bool:
        return any(isinstance(effect, ReadPayment) for effect in self.effects)

    def silence_of(self, index: int) -> None:
        """The machine says nothing, and everything that proves its silence is there."""
        for _ in range(1_000):
            if self.order.credits[index].resolution is not None:
                return
            self.due()
            for credit_id in self.asked(SendRevoke):
                self.on(Sent("revoke", credit_id, Outcome.CONFIRMED))
            self.now_ms += 1
            self.last_echo_ms = self.now_ms
        raise AssertionError("its silence is never proven")


# --- ids -------------------------------------------------------------------------------------------------


def test_the_first_credits_id_is_made_of_the_order_and_its_birth_alone() -> None:
    order = an_order("ord_1")
    (credit,) = order.credits
    digest = hashlib.sha256(b"ord_1").digest()
    made = credit_id_of(order, credit)
    assert uuid7_ms(made) == order.created_at_ms
    assert made.replace("-", "")[-14:] == digest[:10].hex()[-14:]
    for drawn_at_ms in (NOW_MS + 1, NOW_MS + 99_000):
        drawn = msgspec.structs.replace(credit, delivery=Delivery(drawn_at_ms=drawn_at_ms, due_at_ms=NOW_MS))
        assert credit_id_of(order, drawn) == made


def test_a_drawn_credits_id_is_made_of_the_order_its_token_and_the_tokens_time_alone() -> None:
    """A database that was put back makes the same ones again, wherever the credit stands in the order."""
    order = an_order("ord_1")
    drawn = msgspec.structs.replace(TWO[1], delivery=Delivery(drawn_at_ms=NOW_MS + 6_000, due_at_ms=NOW_MS))
    made = credit_id_of(order, drawn)
    assert uuid7_ms(made) == NOW_MS + 5_000
    same = [
        credit_id_of(msgspec.structs.replace(order, created_at_ms=1, version=9, credits=(drawn, drawn)), drawn),
        credit_id_of(order, msgspec.structs.replace(drawn, machine_id="cab-09", count=1, price_minor=1)),
    ]
    assert same == [made, made]
    others = {
        credit_id_of(an_order("ord_2"), drawn),
        credit_id_of(order, msgspec.structs.replace(drawn, draw=Draw(token="token-3", at_ms=NOW_MS + 5_000))),
        credit_id_of(order, msgspec.structs.replace(drawn, draw=None)),
        made,
    }
    assert len(others) == 4


# --- on their way ----------------------------------------------------------------------------------------


def test_the_payment_sends_each_credit_to_its_own_machine() -> None:
    lives = Lives().funded()
    first, second = lives.command(0), lives.command(1)
    assert lives.asked(SendCoinpulse) == [first.credit_id, second.credit_id]
    assert first.credit_id == credit_id_of(lives.order, lives.order.credits[0])
    assert second.credit_id == credit_id_of(lives.order, lives.order.credits[1])
    assert [first.installation, second.installation] == ["a" * 32, "b" * 32]
    assert lives.order.credit_ids == (first.credit_id, second.credit_id)
    assert lives.order.delivered is None


def test_a_machine_that_was_never_heard_keeps_no_other_waiting() -> None:
    lives = Lives(TWO[0], msgspec.structs.replace(TWO[1], machine_id="cab-09")).funded()
    assert lives.asked(SendCoinpulse) == [lives.command(0).credit_id]
    assert lives.delivery(1).command is None
    lives.ack(0)
    assert lives.is_at("funded")
    while lives.is_at("funded"):
        lives.due()
    done = lives.order.credits[1].resolution
    assert done is not None
    assert (done.delivered, done.by) == (0, "unsent")
    assert lives.order.books.target_minor == PRICE


def test_an_order_is_due_when_the_first_of_its_parts_is_and_the_timer_moves_that_part_alone() -> None:
    lives = Lives().funded()
    lives.on(Sent("coinpulse", lives.command(0).credit_id, Outcome.CONFIRMED))
    first_ms = NOW_MS + 1000 * PUBLISH_BACKOFF_S[0]
    assert lives.order.due_at_ms == lives.delivery(0).due_at_ms == lives.delivery(1).due_at_ms == first_ms
    lives.due()
    assert len(lives.asked(SendCoinpulse)) == 2

    before = lives.delivery(1)
    order = lives.order
    apart = msgspec.structs.replace(
        order.credits[0], delivery=msgspec.structs.replace(lives.delivery(0), due_at_ms=lives.now_ms + 500)
    )
    lives.order = msgspec.structs.replace(order, credits=(apart, order.credits[1]))
    assert lives.order.due_at_ms == lives.now_ms + 500
    lives.due()
    assert lives.asked(SendCoinpulse) == [lives.command(0).credit_id]
    assert lives.delivery(1) == before
    assert (
        lives.order.due_at_ms == min(lives.delivery(0).due_at_ms or 0, before.due_at_ms or 0) == before.due_at_ms
    )


def test_each_ack_counts_for_its_own_credit() -> None:
    lives = Lives().funded()
    lives.ack(1, "pulsing", 2)
    assert (lives.delivery(0).reported, lives.delivery(1).reported) == (0, 2)
    assert (lives.delivery(0).accepted, lives.delivery(1).accepted) == (False, True)
    assert lives.order.reported == 2
    lives.ack(0)
    assert lives.order.reported == 5
    lives.ack(1, "done", 2, uncertain=1)
    assert (lives.order.delivered, lives.order.uncertain) == (5, 1)


def test_a_machine_has_no_say_about_the_credit_of_another() -> None:
    lives = Lives().funded()
    before = lives.order
    lives.ack(0, machine_id="cab-02", installation="b" * 32)
    assert lives.order == before
    assert {alert.kind for alert in lives.alerts.values()} == {"wrong_machine"}
    lives.ack(0, installation="b" * 32)
    lives.ack(1, installation="a" * 32)  # an alert of its own, as the first is about another credit
    assert lives.order == before
    assert sorted(alert.kind for alert in lives.alerts.values()) == [
        "wrong_installation",
        "wrong_installation",
        "wrong_machine",
    ]


def test_an_ack_for_no_credit_of_it_changes_nothing() -> None:
    lives = Lives().funded()
    before = lives.order
    lives.ack(0, credit_id=credit_id_of(an_order("ord_2"), TWO[0]))
    assert (lives.order, lives.effects) == (before, ())


# --- how they end ----------------------------------------------------------------------------------------


def test_one_is_delivered_and_the_other_silent() -> None:
    """The order waits and no money moves. Then each credit counts for what it was."""
    lives = Lives().funded()
    lives.ack(1, "pulsing", 1)
    lives.ack(0)
    assert lives.is_at("funded")
    assert not lives.reads()
    assert lives.order.books.target_minor == 0
    while lives.is_at("funded"):
        lives.due()
    assert lives.is_at("revoking")
    assert lives.asked(SendRevoke) == [lives.command(1).credit_id]

    lives.silence_of(1)
    ends = [(done.delivered, done.by) for done in (credit.resolution for credit in lives.order.credits) if done]
    assert ends == [(3, "ack"), (1, "silence")]
    assert lives.is_at("resolved")
    assert lives.reads()
    assert lives.order.books.target_minor == PRICE + PRICE // COUNT
    assert {alert.kind for alert in lives.alerts.values()} == {"unconfirmed"}

    shown = held(amount_minor=2 * PRICE)
    lives.on(PaymentRead(shown, read_at_ms=lives.now_ms, acts=lives.order.settlement.acts))
    (settle,) = (effect for effect in lives.effects if isinstance(effect, Settle))
    assert (settle.operation, settle.amount_minor) == ("capture", PRICE + PRICE // COUNT)


@pytest.mark.parametrize("sequence", [(0, 1), (1, 0)])
def test_the_share_of_each_credit_is_rounded_by_itself_whichever_ends_first(sequence: tuple[int, int]) -> None:
    lives = Lives().funded()
    for index in sequence:
        assert lives.order.books.target_minor == 0
        lives.ack(index, "done", 1)
    assert PRICE // COUNT + PRICE // COUNT == 332  # rounded over all of them it would be 333
    assert lives.order.books.target_minor == lives.order.earned_minor == 332
    assert lives.order.books.goodwill_minor == 0
    assert lives.is_at("resolved")


@given(
    kept=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5_000), st.integers(0, 20)), min_size=1, max_size=6)
)
def test_the_target_is_the_sum_of_what_was_delivered(kept: list[tuple[int, int, int]]) -> None:
    credits_ = tuple(
        Credit(machine_id="cab-01", count=count, price_minor=price, draw=a_draw(number))
        for number, (count, price, _) in enumerate(kept)
    )
    lives = Lives(*credits_).funded()
    for index, (count, _, delivered) in enumerate(kept):
        lives.ack(index, "done", min(count, delivered))
    assert lives.order.books.target_minor == sum(kept_for(p, min(c, d), c, "myr") for c, p, d in kept)
    assert lives.is_at("resolved")


def test_what_a_machine_says_later_is_noted_at_its_own_credit_with_an_alert_of_its_own() -> None:
    lives = Lives().funded()
    lives.ack(0, "done", 3)
    lives.ack(1, "done", 3)
    lives.ack(0, "done", 1)
    lives.ack(1, "done", 1)
    assert [lives.delivery(index).late_report for index in (0, 1)] == [1, 1]
    assert [alert.kind for alert in lives.alerts.values()] == ["discrepancy", "discrepancy"]
    assert lives.order.delivered == 6


# --- money back ------------------------------------------------------------------------------------------


def test_a_refund_while_both_are_under_way_asks_for_both_and_keeps_nothing() -> None:
    lives = Lives().funded()
    lives.refund()
    assert lives.is_at("revoking")
    assert lives.asked(SendRevoke) == [lives.command(0).credit_id, lives.command(1).credit_id]
    assert lives.asked(SendCoinpulse) == []
    lives.ack(1, "revoked", 0, credits=0)
    assert lives.is_at("revoking")
    lives.ack(0, "done", 3)
    assert lives.is_at("resolved")
    assert (lives.order.books.target_minor, lives.order.books.goodwill_minor) == (0, PRICE)


@pytest.mark.parametrize("keep", [0, 1, 499, 500, 501, 999, 1_000, 5_000])
def test_what_is_kept_at_most_is_so_of_all_credits_together(keep: int) -> None:
    lives = Lives().funded()
    lives.refund(keep)
    lives.ack(0)
    lives.ack(1)
    target = min(keep, 2 * PRICE)
    assert (lives.order.books.target_minor, lives.order.books.goodwill_minor) == (target, 2 * PRICE - target)


def test_a_second_refund_never_keeps_more_than_the_first() -> None:
    lives = Lives().funded()
    lives.refund(100)
    lives.refund(900)
    lives.ack(0)
    lives.ack(1)
    assert lives.order.books.target_minor == 100


def test_a_refund_that_comes_after_one_is_resolved_revokes_the_other_alone() -> None:
    lives = Lives().funded()
    lives.ack(0)
    lives.refund()
    assert lives.asked(SendRevoke) == [lives.command(1).credit_id]
    lives.ack(1, "revoked", 0, credits=0)
    assert (lives.order.books.target_minor, lives.order.books.goodwill_minor) == (0, PRICE)
    assert lives.order.delivered == 3


def test_a_refund_of_a_settled_order_lowers_the_sum_of_both() -> None:
    lives = Lives().funded()
    lives.ack(0)
    lives.ack(1)
    amount = 2 * PRICE
    taken = paid(amount_minor=amount)
    lives.on(PaymentRead(taken, read_at_ms=lives.now_ms, acts=lives.order.settlement.acts))
    assert lives.is_at("settled")
    lives.refund(700)
    assert lives.is_at("resolved")
    assert (lives.order.books.target_minor, lives.order.books.goodwill_minor) == (700, 300)
    lives.on(PaymentRead(taken, read_at_ms=lives.now_ms, acts=lives.order.settlement.acts))
    (settle,) = (effect for effect in lives.effects if isinstance(effect, Settle))
    assert (settle.operation, settle.amount_minor) == ("refund", 300)


def test_where_the_money_is_gone_both_are_asked_back_and_nothing_more_is_sent() -> None:
    lives = Lives().funded()
    lives.on(PaymentRead(gone(amount_minor=2 * PRICE), read_at_ms=lives.now_ms, acts=lives.order.settlement.acts))
    assert lives.is_at("revoking")
    assert len(lives.asked(SendRevoke)) == 2
    for _ in range(5):
        lives.due()
        assert lives.asked(SendCoinpulse) == []
    lives.ack(0, "revoked", 0, credits=0)
    lives.ack(1, "revoked", 0, credits=0)
    assert lives.is_at("resolved")
    assert lives.order.books.target_minor == 0


def test_each_revoke_is_confirmed_and_repeated_by_itself() -> None:
    lives = Lives().funded()
    lives.refund()
    lives.on(Sent("revoke", lives.command(1).credit_id, Outcome.CONFIRMED))
    confirmed = [
        revoking.first_confirmed_at_ms
        for revoking in (lives.delivery(index).revoking for index in (0, 1))
        if revoking is not None
    ]
    assert confirmed == [None, lives.now_ms]
    assert lives.order.due_at_ms == lives.now_ms + 1000 * REVOKE_BACKOFF_S[0]
    lives.ack(0, "revoked", 0, credits=0)
    lives.due()
    assert lives.asked(SendRevoke) == [lives.command(1).credit_id]


def test_a_grant_of_two_credits_settles_once_both_are_resolved() -> None:
    free = tuple(msgspec.structs.replace(credit, price_minor=0) for credit in TWO)
    lives = Lives(*free)
    delivery = Delivery(drawn_at_ms=NOW_MS, due_at_ms=NOW_MS)
    credits_ = tuple(msgspec.structs.replace(credit, delivery=delivery) for credit in free)
    lives.order = Order(
        order_id="grant_1", version=1, kind="grant", created_at_ms=NOW_MS, payment=None, credits=credits_
    )
    lives.due()
    assert len(lives.asked(SendCoinpulse)) == 2
    lives.ack(0)
    assert lives.is_at("funded")
    lives.ack(1)
    assert lives.is_at("settled")
    assert lives.order.due_at_ms is None


def test_the_order_of_two_is_what_the_player_owes_for() -> None:
    lives = Lives()
    assert lives.order.ordered == 2 * COUNT
    assert lives.order.amount_minor == only_payment(lives.order).amount_minor == 2 * PRICE
    assert lives.order.machine_ids == ("cab-01", "cab-02")
