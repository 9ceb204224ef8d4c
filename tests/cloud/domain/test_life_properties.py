"""Any order of events keeps the promises: money, machine and messages are modelled beside the code under test."""

import os
from dataclasses import dataclass, field
from typing import Any, cast

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from arcade_cloud.domain.credit import REVOKE_BACKOFF_S
from arcade_cloud.domain.effects import (
    EFFECT_LIFE_MS,
    PARTIAL_CAPTURE,
    AskTime,
    Effect,
    ReadPayment,
    SendCoinpulse,
    SendEcho,
    SendRevoke,
    Settle,
)
from arcade_cloud.domain.events import (
    Acked,
    Due,
    Event,
    Outcome,
    PaymentRead,
    PaymentReported,
    PlayerReturned,
    RefundAsked,
    Sent,
    SettlementAttempted,
)
from arcade_cloud.domain.life import decide
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.payment import UNPAID_KEPT_S
from arcade_cloud.domain.settlement import REFUND_LOOKS_S, SETTLE_ATTEMPTS, SETTLE_BACKOFF_S
from arcade_shared.messages import Ack
from support.lives import ELSEWHERE, HERE, LIMITS, Life, an_ack, new_order
from support.model_stripe import Fate, ModelStripe
from support.orders import NOW_MS, only_command, only_payment, resolved_by

ROUNDS = int(os.environ.get("ARCADE_ROUNDS", "1"))
SECOND_MS, HOUR_MS, DAY_MS = 1000, 3_600_000, 86_400_000
# With Stripe, broker and cloud up again and only the machine silent, every order is final after this: the longest
# wait of the timer (6 h), the delivery, the silence of a hold (6 h), and twice the life of a refund's key.
FINAL_AFTER_MS = 18 * HOUR_MS
# A final order may be looked at for so long; money that moves then begins its end anew.
LAST_LOOK_MS = (1 + 3) * SECOND_MS * max(REFUND_LOOKS_S)
FATES: list[Fate] = ["fine", "fine", "lost", "answer lost", "error kept"]


@dataclass
class ModelMachine:
    """An agent that keeps the rules: it pulses a credit at most once, and tells what it did, never changing it."""

    state: str = ""
    delivered: int = 0
    uncertain: int = 0
    said: list[Ack] = field(default_factory=list)

    @property
    def is_final(self) -> bool:
        return self.state in {"done", "refused", "revoked"}


class OrderLife(RuleBasedStateMachine):
    """One order. Effects wait in a bag until a rule performs, repeats or loses them."""

    @initialize(
        credits=st.integers(1, 5),
        amount=st.sampled_from([100, 299, 300, 1000]),
        manual=st.booleans(),
        partial=st.booleans(),
        subscriber=st.sampled_from([False, False, False, True]),
        hold_ms=st.sampled_from([7 * DAY_MS, 7 * DAY_MS, DAY_MS]),
        price_off=st.sampled_from([0] * 9 + [1]),
        stage=st.sampled_from(
            ["ordered", "paid", "funded", "funded", "accepted", "pulsing", "revoking", "resolved"]
        ),
    )
    def begin(
        self,
        credits: int,
        amount: int,
        manual: bool,
        partial: bool,
        subscriber: bool,
        hold_ms: int,
        price_off: int,
        stage: str,
    ) -> None:
        order = new_order(count=credits, amount_minor=amount, subscriber=subscriber)
        self.start(order, ModelStripe(amount + price_off, manual, partial, hold_ms))
        stages = ["ordered", "paid", "funded", "accepted", "pulsing", "revoking", "resolved"]
        if (reached := stages.index(stage)) >= 1:
            self.player_pays()
        if reached >= 2:
            self.life.installation = HERE
            self.step(self.reading())
            self.all_is_well_for_a_moment()
        if reached >= 3 and self.life.order.state == "funded":
            self.command_arrives(0, again=False)
            self.ack_arrives(0)
        if reached in {4, 6} and self.machine.state == "accepted":
            self.machine_pulses()
        if reached == 5 and self.life.order.state == "funded":
            self.life.now_ms = self.life.command.expires_at_ms or 0
            self.timer(jump=True)
        if reached == 6 and self.machine.state == "pulsing":
            self.machine_loses_power(in_a_pulse=False)
        if reached == 6 and self.machine.said:
            self.hear(self.machine.said[-1])

    def start(self, order: Order, stripe: ModelStripe) -> None:
        self.life, self.stripe = Life(order, installation=None), stripe
        self.session = "open"
        self.machine = ModelMachine()
        self.bag: list[tuple[int, Effect]] = []
        self.readings: list[PaymentRead] = []
        self.commands: list[str] = []
        self.echoes: list[int] = []
        self.asked_keep: list[int] = []
        self.heard = 0
        self.restless = False

    # --- taking steps

    def step(self, event: Event) -> None:
        before = self.life.order
        self.life.on(event)
        self.bag += [(self.life.now_ms, effect) for effect in self.life.effects]
        is_reading = isinstance(event, PaymentRead) and before.state not in {"resolved", "settled"}
        if not isinstance(event, Due) and not is_reading:
            again = decide(self.life.order, event, self.life.context())
            assert again.order == self.life.order, "a duplicate changed something"
            assert not any(isinstance(effect, Settle) for effect in again.effects), "a duplicate moves money"
        if before.state in {"abandoned", "settled"} and self.life.order.state == "funded":
            assert before.state == "abandoned"

    @property
    def now_ms(self) -> int:
        return self.life.now_ms

    def perform(self, decided_at_ms: int, effect: Effect, outcome: Outcome, fate: Fate) -> Event | None:
        """Do to the models what the effect means; the event that follows from it."""
        match effect:
            case SendCoinpulse(credit_id=credit_id):
                if outcome in {Outcome.CONFIRMED, Outcome.UNKNOWN}:
                    self.commands.append("coinpulse")
                return Sent("coinpulse", credit_id, outcome)
            case SendRevoke(credit_id=credit_id):
                if outcome in {Outcome.CONFIRMED, Outcome.UNKNOWN}:
                    self.commands.append("revoke")
                return Sent("revoke", credit_id, outcome)
            case SendEcho():
                self.echoes.append(self.now_ms)
                return None
            case ReadPayment():
                return self.reading()
            case AskTime():
                raise AssertionError("the clock is right")
            case Settle():
                if self.now_ms - decided_at_ms > EFFECT_LIFE_MS:
                    return None
                verdict = self.stripe.execute(effect, self.now_ms, fate)
                self.life.now_ms += 1  # what is done at Stripe takes time
                whole = effect.operation != "capture" or effect.amount_minor == self.stripe.amount
                code = "code" if whole or self.stripe.partial else PARTIAL_CAPTURE
                return SettlementAttempted(effect.operation, effect.key, verdict, code)

    def reading(self) -> PaymentRead:
        if self.session == "open" and self.now_ms - NOW_MS > LIMITS.checkout_life_s * SECOND_MS:
            self.session = "expired"
        payment = None if self.stripe.status == "requires_payment_method" else self.stripe.show(self.now_ms)
        return PaymentRead(payment, cast(Any, self.session), self.now_ms, self.life.order.settlement.acts)

    # --- time

    @rule(
        wait_ms=st.sampled_from([0, 1, 500, 5000, 30_000, 60_000, 20 * 60_000, HOUR_MS, 7 * HOUR_MS, 8 * DAY_MS])
    )
    def wait(self, wait_ms: int) -> None:
        """Nothing happens; the cloud may be down."""
        self.life.now_ms += wait_ms

    @rule(jump=st.booleans())
    def timer(self, jump: bool) -> None:
        due_ms = self.life.order.due_at_ms
        if jump and due_ms is not None:
            self.life.now_ms = max(self.now_ms, due_ms)
        self.step(Due())

    # --- Stripe

    @precondition(lambda self: self.session == "open")
    @rule()
    def player_pays(self) -> None:
        if self.now_ms - NOW_MS <= LIMITS.checkout_life_s * SECOND_MS:
            self.session = "complete"
            self.stripe.pay(self.now_ms)

    @rule(good_news=st.booleans())
    def webhook(self, good_news: bool) -> None:
        if self.stripe.paid_at_ms is not None:
            self.step(PaymentReported("pi_1", "something changed", good_news))

    @rule()
    def player_opens_the_page(self) -> None:
        self.step(PlayerReturned())

    @rule()
    def webhook_that_shows_the_payment(self) -> None:
        if self.life.order.state == "open" and self.stripe.paid_at_ms is not None:
            self.step(PaymentRead(self.stripe.show(self.now_ms)))

    @rule()
    def reading_begins(self) -> None:
        self.readings.append(self.reading())

    @precondition(lambda self: self.readings)
    @rule(which=st.integers(0, 10**6))
    def reading_ends(self, which: int) -> None:
        """However long it took, and whatever has happened since."""
        self.step(self.readings[which % len(self.readings)])

    @rule(
        what=st.sampled_from(
            ["capture", "cancel", "refund", "refund fails", "refunds fail", "dispute", "lost", "won"]
        ),
        amount=st.integers(1, 400),
    )
    def something_happens_at_stripe(self, what: str, amount: int) -> None:
        self.happen(what, amount)

    def happen(self, what: str, amount: int) -> None:
        stripe, before = self.stripe, self.stripe.show(self.now_ms)
        match what:
            case "capture" if stripe.status == "requires_capture":
                stripe.capture_outside()
            case "cancel" if stripe.status == "requires_capture":
                stripe.cancel_outside()
            case "refund" if stripe.kept > 0 and stripe.dispute == "none":
                stripe.refund_outside(amount)
            case "refund fails" if stripe.refunds:
                stripe.fail_latest_refund()
            case "refunds fail":
                stripe.refunds_fail = not stripe.refunds_fail
            case "dispute" if stripe.kept > 0:
                stripe.dispute_outside(amount)
            case "won" if stripe.dispute == "open":
                stripe.dispute = "lost" if stripe.lost else "won"
            case "lost" if stripe.dispute == "open":
                stripe.lose_dispute()
        self.restless = self.restless or before != stripe.show(self.now_ms) or stripe.refunds_fail

    # --- effects

    @precondition(lambda self: self.bag)
    @rule(
        which=st.integers(0, 10**6),
        outcome=st.sampled_from(list(Outcome)),
        fate=st.sampled_from(FATES),
        told=st.sampled_from([True, True, True, False]),
    )
    def effect_is_performed(self, which: int, outcome: Outcome, fate: Fate, told: bool) -> None:
        """In any order; its result may be lost with the process that performed it."""
        event = self.perform(*self.bag.pop(which % len(self.bag)), outcome, fate)
        if event is not None and told:
            self.step(event)

    @rule()
    def all_is_well_for_a_moment(self) -> None:
        for _ in range(20):
            if self.bag:
                event = self.perform(*self.bag.pop(0), Outcome.CONFIRMED, "fine")
                if event is not None:
                    self.step(event)
                self.life.last_echo_ms = max(self.echoes, default=self.life.last_echo_ms)

    @precondition(lambda self: self.bag)
    @rule()
    def the_cloud_is_killed(self) -> None:
        self.bag.clear()
        self.readings.clear()

    @precondition(lambda self: self.echoes)
    @rule(which=st.integers(0, 10**6))
    def echo_comes_back(self, which: int) -> None:
        sent_ms = self.echoes[which % len(self.echoes)]
        self.life.last_echo_ms = max(sent_ms, self.life.last_echo_ms or 0)

    # --- the machine

    @rule(installation=st.sampled_from([HERE, HERE, ELSEWHERE, None]))
    def another_pi_is_heard(self, installation: str | None) -> None:
        self.life.installation = installation

    @precondition(lambda self: self.commands)
    @rule(which=st.integers(0, 10**6), again=st.booleans())
    def command_arrives(self, which: int, again: bool) -> None:
        command = self.commands[which % len(self.commands)]
        if not again:
            self.commands.remove(command)
        machine, order = self.machine, self.life.order
        if command == "coinpulse" and not machine.state:
            in_time = self.now_ms < only_command(order).expires_at_ms
            machine.state = "accepted" if in_time else "refused"
        elif command == "revoke" and not machine.is_final:
            machine.state = "done" if machine.state else "revoked"
        self.say()

    @precondition(lambda self: self.machine.state in {"accepted", "pulsing"})
    @rule()
    def machine_pulses(self) -> None:
        self.machine.state = "pulsing"
        self.machine.delivered += 1
        if self.machine.delivered == self.life.order.ordered:
            self.machine.state = "done"
        self.say()

    @precondition(lambda self: self.machine.state in {"accepted", "pulsing"})
    @rule(in_a_pulse=st.booleans())
    def machine_loses_power(self, in_a_pulse: bool) -> None:
        self.machine.state = "done"
        self.machine.uncertain = int(in_a_pulse)
        self.say()

    def say(self) -> None:
        machine, order = self.machine, self.life.order
        if order.credit_ids and machine.state:
            ack = an_ack(order, machine.state, machine.delivered, uncertain=machine.uncertain, now_ms=self.now_ms)
            machine.said.append(ack)

    @precondition(lambda self: self.machine.said)
    @rule(which=st.integers(0, 10**6))
    def ack_arrives(self, which: int) -> None:
        self.hear(self.machine.said[which % len(self.machine.said)])

    def hear(self, ack: Ack) -> None:
        if self.life.order.state in {"funded", "revoking"}:
            self.heard = max(self.heard, ack.delivered)
        self.step(Acked(ack))

    @precondition(lambda self: self.life.order.credit_ids)
    @rule(
        state=st.sampled_from(["done", "accepted", "unknown"]), whose=st.sampled_from(["pi", "machine", "credit"])
    )
    def somebody_else_s_ack_arrives(self, state: str, whose: str) -> None:
        fields: dict[str, Any] = {
            "pi": {"installation": "c" * 32},
            "machine": {"machine_id": "cab-99"},
            "credit": {"credit_id": "018bcfe5-6800-7000-8000-000000000000"},
        }[whose]
        before = self.life.order
        delivered = self.life.order.ordered if state == "done" else 0
        self.step(Acked(an_ack(self.life.order, state, delivered, **fields)))
        assert self.life.order == before

    # --- the operator

    @rule(keep=st.sampled_from([0, 0, 50, 150, 299, 450]))
    def operator_refunds(self, keep: int) -> None:
        before = self.life.order
        self.step(RefundAsked("kim", "a complaint", keep))
        if self.life.order != before:
            self.asked_keep.append(keep)

    # --- the promises

    @invariant()
    def the_player_never_gets_more_credits_than_were_paid_for(self) -> None:
        if hasattr(self, "life"):
            assert self.machine.delivered <= self.life.order.ordered
            if self.commands or self.machine.state:
                assert self.stripe.paid_at_ms is not None, "pulses without a payment"

    @invariant()
    def what_the_machine_said_last_decides(self) -> None:
        if not hasattr(self, "life"):
            return
        order = self.life.order
        if order.delivered is None:
            return
        if resolved_by(order) == "ack":
            assert order.delivered == self.machine.delivered
            assert order.uncertain == self.machine.uncertain
        elif resolved_by(order) == "broker":
            assert order.delivered in {0, order.ordered}
        elif resolved_by(order) in {"silence", "last resort"}:
            assert order.delivered == self.heard
        else:
            assert order.delivered == 0

    def teardown(self) -> None:
        """Everything is up again but the silent machine: the order ends in time, and the money is right."""
        if not hasattr(self, "life"):
            return
        self.life.installation = None
        for reading in self.readings:
            self.step(reading)
        if self.stripe.dispute == "open":
            self.stripe.dispute = "lost" if self.stripe.lost else "won"
        if self.restless and self.life.order.payment_intent is not None:
            self.step(PaymentReported("pi_1", "Stripe's webhook, at last"))
        self.drain()
        self.check_money()

    def drain(self) -> None:
        began_ms, steps = self.now_ms, 0
        while True:
            while self.bag:
                decided_at_ms, effect = self.bag.pop(0)
                event = self.perform(decided_at_ms, effect, Outcome.CONFIRMED, "fine")
                if event is not None:
                    self.step(event)
                self.life.last_echo_ms = max(self.echoes, default=None)
                steps += 1
                assert steps < 2000, "a circle"
            due_ms = self.life.order.due_at_ms
            if due_ms is None:
                break
            waits = self.life.order.state == "abandoned" and due_ms - self.now_ms > FINAL_AFTER_MS
            if self.life.order.state != "settled" and not waits:
                assert max(self.now_ms, due_ms) - began_ms <= FINAL_AFTER_MS, f"still {self.life.order.state}"
            self.life.now_ms = max(self.now_ms, due_ms)
            assert self.now_ms - began_ms <= LAST_LOOK_MS + FINAL_AFTER_MS + 1000 * UNPAID_KEPT_S
            self.step(Due())
            if self.life.forgotten:
                assert (self.life.order.state, self.stripe.kept) == ("abandoned", 0)
                assert self.now_ms - self.life.order.created_at_ms >= 1000 * UNPAID_KEPT_S
                break
        assert self.life.order.state in {"settled", "abandoned"}

    def check_money(self) -> None:
        order, stripe = self.life.order, self.stripe
        self.stripe.pass_time(self.now_ms)
        if order.state == "abandoned":
            told = order.payment_intent is not None or self.session != "complete"
            assert stripe.kept == 0 or not told
            return
        assert stripe.status != "requires_capture", "money is still held"
        earned = order.amount_minor * (order.delivered or 0) // order.ordered
        assert stripe.kept == earned - order.books.goodwill_minor - order.books.lost_minor + order.books.owed_minor
        assert order.books.lost_minor == 0 or stripe.gone_outside, "a loss of our own making"
        assert order.books.owed_minor == 0 or stripe.failed >= 3
        assert order.books.goodwill_minor == 0 or self.asked_keep
        if self.asked_keep and order.delivered is not None and order.books.owed_minor == 0:
            assert stripe.kept <= min(self.asked_keep)


def _nothing(self: RuleBasedStateMachine) -> None:
    """Takes the place of a rule that plays no part."""


class Settlement(OrderLife):
    """Partly delivered, and the money was taken: refunds race with each other, with readings and with wishes."""

    @initialize(credits=st.integers(2, 5), amount=st.sampled_from([600, 1000]))
    def begin(self, credits: int, amount: int) -> None:
        self.start(new_order(count=credits, amount_minor=amount), ModelStripe(amount, manual=False))
        self.player_pays()
        self.life.installation = HERE
        self.step(self.reading())
        self.bag.clear()
        ack = an_ack(self.life.order, "done", credits - 1)
        self.machine.state, self.machine.delivered = "done", credits - 1
        self.step(Acked(ack))

    another_pi_is_heard = machine_pulses = machine_loses_power = command_arrives = _nothing
    ack_arrives = somebody_else_s_ack_arrives = echo_comes_back = webhook_that_shows_the_payment = _nothing

    @rule(what=st.sampled_from(["refund fails", "refunds fail"]))
    def something_happens_at_stripe(self, what: str) -> None:
        self.happen(what, 0)


for machine, rounds in ((OrderLife, 120), (Settlement, 200)):
    machine.TestCase.settings = settings(
        max_examples=rounds * ROUNDS,
        stateful_step_count=50,
        deadline=None,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
TestAnyOrderOfEvents = OrderLife.TestCase
TestAnyOrderOfSettling = Settlement.TestCase


# --- the published times ---------------------------------------------------------------------------------


def published_end_ms(order: Order, *, heard: bool, broker_up: bool) -> int:
    """By when an order is resolved, without its machine's word; see docs/ORDER_LIFE.md."""
    revoking_ms = NOW_MS + LIMITS.deliver_within_s * SECOND_MS
    arrival = only_payment(order).arrival
    assert arrival is not None
    silence_s = LIMITS.hold_silence_limit_s if arrival.held else LIMITS.silence_limit_s
    silent_ms = revoking_ms + (silence_s + 2 * max(REVOKE_BACKOFF_S) + LIMITS.answer_s) * SECOND_MS
    last_ms = revoking_ms + (LIMITS.last_resort_s + max(REVOKE_BACKOFF_S)) * SECOND_MS
    return silent_ms if heard and broker_up else last_ms


@pytest.mark.parametrize("stripe_up", [True, False], ids=["stripe", "no stripe"])
@pytest.mark.parametrize("heard", [True, False], ids=["hears", "deaf"])
@pytest.mark.parametrize("broker_up", [True, False], ids=["broker", "no broker"])
@pytest.mark.parametrize("subscriber", [False, True], ids=["agent", "subscriber"])
@pytest.mark.parametrize("manual", [False, True], ids=["taken", "held"])
def test_the_timer_alone_ends_every_order_within_the_published_time(
    manual: bool, subscriber: bool, broker_up: bool, heard: bool, stripe_up: bool
) -> None:
    life, stripe = Life(new_order(subscriber=subscriber)), ModelStripe(300, manual)
    stripe.pay(NOW_MS)
    life.read(stripe.show(NOW_MS))
    outcome = Outcome.NOBODY if broker_up else Outcome.UNKNOWN
    bag, resolved_ms = list(life.effects), None
    settled_ms = None
    while life.order.due_at_ms is not None:
        while bag:
            match bag.pop(0):
                case SendCoinpulse():
                    life.coinpulse(outcome)
                case SendRevoke():
                    life.revoke(outcome)
                case SendEcho() if heard:
                    life.hear_echo()
                    continue
                case ReadPayment() if stripe_up:
                    life.read(stripe.show(life.now_ms))
                case Settle() as effect if stripe_up:
                    verdict = stripe.execute(effect, life.now_ms)
                    life.on(SettlementAttempted(effect.operation, effect.key, verdict))
                case _:
                    continue
            bag += life.effects
        if life.order.delivered is not None and resolved_ms is None:
            resolved_ms = life.now_ms
            assert resolved_ms <= published_end_ms(life.order, heard=heard, broker_up=broker_up)
        if life.order.state == "settled" and settled_ms is None:
            settled_ms = life.now_ms
        if life.order.due_at_ms is not None:
            life.due()
            bag += life.effects
    assert (life.order.state, life.order.delivered) == ("settled", 0)
    assert resolved_ms is not None
    if stripe_up:
        assert (stripe.kept, life.order.books.owed_minor, settled_ms) == (0, 0, resolved_ms)
    else:
        assert life.now_ms - resolved_ms <= SETTLE_ATTEMPTS * max(SETTLE_BACKOFF_S) * SECOND_MS
        assert "given_up" in life.kinds
