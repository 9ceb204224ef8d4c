"""A tab: what may be drawn on one hold, when it is closed, and that its money moves once, at the end."""

from typing import Any

import msgspec
import pytest

from arcade_cloud.domain import outbox
from arcade_cloud.domain import tab as tabs
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.books import shares
from arcade_cloud.domain.clocks import without_future
from arcade_cloud.domain.decisions import Clock, Context, Decision
from arcade_cloud.domain.effects import PARTIAL_CAPTURE, Effect, ReadPayment, SendCoinpulse, SendRevoke, Settle
from arcade_cloud.domain.events import (
    Acked,
    CheckoutMade,
    CloseAsked,
    Drawn,
    Due,
    Event,
    FreshenAsked,
    Outcome,
    PaymentRead,
    PaymentReported,
    RefundAsked,
    Sent,
    SettlementAttempted,
)
from arcade_cloud.domain.life import decide
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Arrival, Credit, Draw, Order, OrderPayment, Tab, check, credit_id_of
from arcade_cloud.domain.ownership import capture_mark
from arcade_cloud.domain.refunds import RefundWish, plan
from arcade_cloud.errors import BadRequest
from arcade_shared.messages import FINAL_ACK_STATES, Ack, AckState
from arcade_shared.times import format_ms
from support.lives import gone, held, paid
from support.orders import NOW_MS

LIMITS = Limits()
LIMIT = 2000
DAY_MS = 86_400_000
KEY = b"k" * 32
INSTALLATIONS = {"cab-01": "a" * 32, "cab-02": "b" * 32, "cab-03": "c" * 32}


class Visit:
    """One tab of RM 20.00, the time, and what surrounds its decisions. Every step is checked."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.order = Order(
            order_id="tab_1",
            version=1,
            kind="tab",
            created_at_ms=NOW_MS,
            payment=OrderPayment(amount_minor=LIMIT, currency="myr", due_at_ms=NOW_MS + 90_000),
            credits=(),
            tab=Tab(machine_id="cab-01", secret_hash="0" * 64),
        )
        self.limits, self.now_ms = limits, NOW_MS
        self.clock: Clock = "right"
        self.last_echo_ms: int | None = None
        self.effects: tuple[Effect, ...] = ()
        self.alerts: dict[str, Alert] = {}
        self.drawn = 0
        self.captures: list[int] = []
        self.on(CheckoutMade("cs_1", "https://pay.example", NOW_MS + 1_860_000))

    def context(self) -> Context:
        return Context(
            now_ms=self.now_ms,
            limits=self.limits,
            installations=INSTALLATIONS,
            last_echo_ms=self.last_echo_ms,
            capture_keys=(KEY,),
            clock=self.clock,
        )

    def on(self, event: Event) -> Decision:
        before = self.order
        decision = decide(before, event, self.context())
        self.order, self.effects = decision.order, decision.effects
        check(self.order)
        assert self.order.version == before.version + (self.order != before)
        for was, now in zip(before.credits, self.order.credits, strict=False):
            assert was.resolution in (None, now.resolution), "k never changes"
            assert was.command in (None, now.command), "a command never changes"
        assert before.tab is not None
        assert self.order.tab is not None
        assert before.tab.closing in (None, self.order.tab.closing), "closing is for good"
        assert self.order.committed_minor <= LIMIT
        if self.order.state not in {"settled", "abandoned"}:
            assert self.order.due_at_ms is not None, "nothing would ever move it"
        for effect in self.effects:
            if isinstance(effect, Settle):
                assert not self.order.is_open_tab, "money moves while credits may be drawn"
                assert not any(credit.under_way for credit in self.order.credits), (
                    "money moves while one may pulse"
                )
                if effect.operation == "capture":
                    self.captures.append(effect.amount_minor)
        for alert in decision.alerts:
            told = self.alerts.get(alert.alert_id)
            assert told is None or told.text == alert.text, "two alerts would be taken for one"
            self.alerts[alert.alert_id] = alert
        return decision

    # --- what arrives

    def reads(self, payment: Payment, read_at_ms: int | None = None) -> Decision:
        """Stripe's answer to a reading that began then; now, if nothing is said."""
        began_ms = self.now_ms if read_at_ms is None else read_at_ms
        return self.on(PaymentRead(payment, None, began_ms, self.order.settlement.acts))

    def opened(self) -> "Visit":
        self.reads(held(amount_minor=LIMIT))
        assert self.order.is_open_tab
        return self

    def draws(self, machine_id: str = "cab-01", price_minor: int = 200, count: int = 1, **fields: Any) -> bool:
        """A tap: whether it has drawn something."""
        self.drawn += 1
        draw = Draw(**{"token": f"token-{self.drawn}", "at_ms": self.now_ms, **fields})
        return self.draws_by(Credit(machine_id=machine_id, count=count, price_minor=price_minor, draw=draw))

    def draws_by(self, credit: Credit, currency: str = "myr") -> bool:
        before = len(self.order.credits)
        self.on(Drawn(credit, currency))
        return len(self.order.credits) > before

    def why_not(self, machine_id: str = "cab-01", price_minor: int = 200, currency: str = "myr") -> str:
        draw = Draw(token="asked", at_ms=self.now_ms)
        credit = Credit(machine_id=machine_id, count=1, price_minor=price_minor, draw=draw)
        found = tabs.why_not_drawn(self.order, credit, currency, self.context())
        return found or ""

    def ack(self, index: int = -1, delivered: int | None = None, state: AckState = "done") -> Decision:
        """What the machine of that credit reports: all of it, if nothing is said."""
        credit = self.order.credits[index]
        assert credit.command is not None
        return self.on(
            Acked(
                Ack(
                    machine_id=credit.machine_id,
                    credit_id=credit.command.credit_id,
                    installation=credit.command.installation,
                    state=state,
                    final=state in FINAL_ACK_STATES,
                    credits=credit.count,
                    delivered=credit.count if delivered is None else delivered,
                    uncertain=0,
                    reason="",
                    timestamp=format_ms(self.now_ms),
                    signature="0" * 64,
                )
            )
        )

    def plays(self, machine_id: str = "cab-01", price_minor: int = 200) -> None:
        assert self.draws(machine_id, price_minor)
        self.ack()

    def finishes(self, by: Any = "player") -> Decision:
        return self.on(CloseAsked(by))

    def due(self) -> Decision:
        assert self.order.due_at_ms is not None
        self.now_ms = max(self.now_ms, self.order.due_at_ms)
        return self.on(Due())

    def until(self, at_ms: int, *, hold: Payment | None = None) -> None:
        """Let the time pass, with the timer. Each reading shows that hold."""
        while self.order.due_at_ms is not None and self.order.due_at_ms <= at_ms:
            self.due()
            for effect in self.effects:
                if isinstance(effect, ReadPayment) and hold is not None:
                    self.reads(hold)
        self.now_ms = at_ms

    # --- what was asked for

    def asked(self, kind: type[Any]) -> list[Any]:
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def settle(self) -> tuple[str, int]:
        (effect,) = self.asked(Settle)
        return effect.operation, effect.amount_minor

    @property
    def state(self) -> str:
        return self.order.state

    @property
    def closed_by(self) -> str | None:
        assert self.order.tab is not None
        return None if self.order.tab.closing is None else self.order.tab.closing.by

    @property
    def kinds(self) -> set[str]:
        return {alert.kind for alert in self.alerts.values()}


HOLD = held(amount_minor=LIMIT)


# --- opening ---------------------------------------------------------------------------------------------


def test_a_visit_of_three_plays_is_one_capture_of_exactly_these() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 200)
    visit.plays("cab-02", 300)
    visit.plays("cab-01", 100)  # cheaper than any payment of its own
    assert not visit.captures
    assert visit.state == "funded"
    visit.finishes()
    assert visit.asked(ReadPayment)
    assert visit.state == "resolved"
    visit.reads(HOLD)
    assert visit.settle == ("capture", 600)
    visit.reads(paid(amount_minor=LIMIT, received_minor=600))
    assert visit.state == "settled"
    assert visit.captures == [600]
    assert visit.order.books.target_minor == 600
    assert not visit.order.books.goodwill_minor
    assert visit.kinds == set()


def test_a_webhook_alone_opens_nothing_its_hold_is_read_back() -> None:
    visit = Visit()
    visit.on(PaymentRead(held(amount_minor=LIMIT, capture_before_ms=None)))
    assert visit.state == "open"
    assert visit.asked(ReadPayment)
    visit.on(PaymentRead(HOLD))
    assert visit.state == "open"
    visit.reads(HOLD)
    assert visit.order.is_open_tab


@pytest.mark.parametrize(
    ("shown", "is_wrong"),
    [
        (paid(amount_minor=LIMIT), True),
        (held(amount_minor=1000), True),
        (held(amount_minor=LIMIT, currency="sgd"), True),
        (held(amount_minor=LIMIT, capturable_minor=1999), True),
        (held(amount_minor=LIMIT, capture_before_ms=None), False),
        (held(amount_minor=LIMIT, paid_at_ms=NOW_MS - 1000 * LIMITS.tab_idle_s), False),
        (held(amount_minor=LIMIT, capture_before_ms=NOW_MS + DAY_MS // 2), False),
    ],
)
def test_what_is_not_the_whole_limit_held_for_long_enough_goes_back_at_once(
    shown: Payment, is_wrong: bool
) -> None:
    visit = Visit()
    visit.reads(shown)
    assert visit.state == "returning"
    assert visit.asked(ReadPayment)
    assert ("wrong_payment" in visit.kinds) == is_wrong
    visit.reads(shown)
    assert visit.settle[0] == ("refund" if shown.status == "succeeded" else "cancel")
    assert visit.why_not() == "closed"


@pytest.mark.parametrize(
    ("hold_ms", "life_ms"),
    [
        (7 * DAY_MS, 12 * 3_600_000),
        (2 * DAY_MS, 12 * 3_600_000),
        # Half of the hold, less 120 s and 6 h; three quarters, less 24 h.
        (36 * 3_600_000, 3 * 3_600_000),
        (33 * 3_600_000, (33 * 3_600_000 * 3) // 4 - DAY_MS),
    ],
)
def test_a_tab_ends_so_early_that_its_last_play_is_known_before_the_hold_ends(hold_ms: int, life_ms: int) -> None:
    end_ms = tabs.ends_at_ms(Arrival(paid_at_ms=NOW_MS, held=True, capture_before_ms=NOW_MS + hold_ms), LIMITS)
    assert end_ms == NOW_MS + life_ms


def test_also_the_silence_of_its_last_play_is_over_at_half_of_the_hold() -> None:
    limits = Limits(last_resort_s=7 * 3600)
    arrival = Arrival(paid_at_ms=NOW_MS, held=True, capture_before_ms=NOW_MS + DAY_MS)
    assert tabs.ends_at_ms(arrival, limits) == NOW_MS + DAY_MS // 2 - 1000 * (120 + 6 * 3600)


# --- drawing ---------------------------------------------------------------------------------------------


def test_a_draw_is_published_at_once_to_its_machine() -> None:
    visit = Visit().opened()
    assert visit.draws("cab-02")
    (pulse,) = visit.asked(SendCoinpulse)
    credit = visit.order.credits[0]
    assert credit.command is not None
    assert pulse.credit_id == credit.command.credit_id == credit_id_of(visit.order, credit)
    assert credit.command.installation == INSTALLATIONS["cab-02"]
    assert credit.command.expires_at_ms == visit.now_ms + 1000 * LIMITS.deliver_within_s
    assert not visit.asked(ReadPayment), "the tap waits for nothing but the machine"


def test_nothing_is_drawn_before_it_is_open_or_after_it_was_closed() -> None:
    visit = Visit()
    assert visit.why_not() == "not_open"
    assert not visit.draws()
    visit.opened().finishes()
    assert visit.why_not() == "closed"
    assert not visit.draws()


def test_what_is_under_way_counts_until_it_is_resolved_and_what_was_not_delivered_is_free_again() -> None:
    visit = Visit().opened()
    assert visit.draws("cab-01", 1500)
    assert visit.why_not("cab-02", 600) == "not_enough"
    assert not visit.draws("cab-02", 600)
    assert visit.draws("cab-02", 500)
    visit.ack(1, delivered=0)
    assert tabs.left_minor(visit.order) == 500
    visit.until(visit.now_ms + 1000 * LIMITS.deliver_within_s, hold=HOLD)
    assert visit.order.credits[0].is_revoking
    assert tabs.left_minor(visit.order) == 500, "revoking frees nothing"
    visit.ack(0, delivered=0)
    assert tabs.left_minor(visit.order) == 2000


def test_what_is_under_way_counts_also_when_its_refund_was_asked_for() -> None:
    visit = Visit().opened()
    assert visit.draws("cab-01", 1500)
    visit.on(RefundAsked("operator", "stuck"))
    assert not visit.draws("cab-02", 600)
    assert tabs.left_minor(visit.order) == 500


def test_a_draw_needs_a_fresh_reading_counted_from_when_it_began() -> None:
    visit = Visit().opened()
    fresh_ms = 1000 * LIMITS.tab_fresh_s
    visit.now_ms += fresh_ms - 1
    assert visit.why_not() == ""
    visit.now_ms += 1
    assert visit.why_not() == "unread"
    assert not visit.draws()
    visit.on(FreshenAsked())
    assert visit.asked(ReadPayment)
    began_ms = visit.now_ms
    visit.now_ms += fresh_ms  # the answer took this long
    visit.reads(HOLD, began_ms)
    assert visit.why_not() == "unread"
    visit.reads(HOLD)
    assert visit.why_not() == ""
    assert visit.draws()


def test_a_late_answer_makes_no_reading_older() -> None:
    visit = Visit().opened()
    visit.now_ms += 60_000
    visit.reads(HOLD)
    visit.reads(HOLD, visit.now_ms - 50_000)
    assert visit.order.tab is not None
    assert visit.order.tab.hold_read_at_ms == visit.now_ms


def test_nothing_is_drawn_while_a_change_at_stripe_was_not_read_yet() -> None:
    visit = Visit().opened()
    visit.on(PaymentReported("pi_1", "payment_intent.canceled"))
    assert visit.asked(ReadPayment)
    assert visit.why_not() == "unread"
    assert not visit.draws()
    visit.due()  # Stripe gave no answer
    assert visit.asked(ReadPayment)
    assert visit.now_ms <= NOW_MS + 60_000
    visit.reads(HOLD)
    assert visit.draws()


def test_the_timer_keeps_the_reading_fresh() -> None:
    visit = Visit().opened()
    for _ in range(6):
        visit.until(visit.now_ms + 570_000, hold=HOLD)
        assert visit.why_not() == ""


def test_a_reading_from_the_future_is_forgotten_and_made_again_at_once() -> None:
    """A clock was nine minutes ahead: else nobody could draw, and nothing be closed, for as long."""
    visit = Visit().opened()
    visit.now_ms += 540_000
    visit.due()
    visit.reads(held(amount_minor=LIMIT))
    visit.now_ms = NOW_MS + 1_000
    assert visit.order.tab is not None
    assert without_future(visit.order, visit.now_ms) != visit.order, "the timer looks for it"
    visit.on(Due())
    assert visit.asked(ReadPayment)
    assert visit.why_not() == "unread"
    visit.reads(held(amount_minor=LIMIT))
    assert visit.draws()
    assert visit.order.due_at_ms <= visit.now_ms + 1000 * LIMITS.tab_fresh_s  # type: ignore[operator]


def test_an_open_tab_is_not_put_off_for_longer_than_its_hold_stays_fresh() -> None:
    """A reading failed by a clock that was half an hour ahead."""
    visit = Visit(Limits(tab_fresh_s=60)).opened()
    visit.now_ms += 1_500_000
    visit.due()
    visit.now_ms = NOW_MS + 1_000
    visit.on(Due())
    assert visit.asked(ReadPayment)


def test_a_reading_that_fails_is_repeated_while_the_last_is_still_fresh() -> None:
    visit = Visit().opened()
    visit.due()  # and Stripe gives no answer
    visit.due()
    assert visit.asked(ReadPayment)
    assert visit.now_ms < NOW_MS + 1000 * LIMITS.tab_fresh_s


def test_drawing_does_not_put_the_next_reading_off() -> None:
    visit = Visit().opened()
    visit.due()  # Stripe gave no answer
    assert visit.order.tab is not None
    before = visit.order.tab.due_at_ms
    visit.now_ms += 50_000
    visit.plays()
    assert visit.order.tab.due_at_ms == before


def test_one_token_draws_once() -> None:
    visit = Visit().opened()
    credit = Credit(machine_id="cab-01", count=1, price_minor=200, draw=Draw(token="t", at_ms=NOW_MS))
    assert visit.draws_by(credit)
    assert not visit.draws_by(credit)
    assert not visit.asked(SendCoinpulse)
    visit.ack()
    assert not visit.draws_by(credit), "nor when what it drew was delivered"
    assert not visit.draws_by(msgspec.structs.replace(credit, machine_id="cab-02"))


def test_a_token_is_good_for_ten_minutes() -> None:
    visit = Visit().opened()
    visit.now_ms += 300_000
    visit.reads(HOLD)
    visit.now_ms += 299_999
    assert visit.draws(at_ms=NOW_MS) is True
    visit.ack()
    visit.now_ms += 1
    assert visit.draws(at_ms=NOW_MS) is False
    assert visit.draws(at_ms=visit.now_ms + 60_000) is False, "nor one from the future"


def test_a_machine_that_owes_an_answer_gets_no_second_play() -> None:
    visit = Visit().opened()
    assert visit.draws("cab-01")
    assert visit.why_not("cab-01") == "busy"
    assert not visit.draws("cab-01")
    assert visit.draws("cab-02")
    visit.ack(0)
    assert visit.draws("cab-01")


def test_the_first_play_reaches_stripes_minimum_later_ones_may_be_cheaper() -> None:
    visit = Visit().opened()
    assert visit.why_not("cab-01", 100) == "too_little"
    assert not visit.draws("cab-01", 100)
    assert tabs.least_minor(visit.order) == 200
    visit.plays("cab-01", 200)
    assert tabs.least_minor(visit.order) == 0
    assert visit.draws("cab-01", 100)


def test_the_play_after_one_that_was_not_delivered_is_again_a_first() -> None:
    visit = Visit().opened()
    assert visit.draws("cab-01", 200)
    assert visit.draws("cab-02", 100), "with what is under way it reaches the minimum"
    visit.ack(0, delivered=0)
    visit.ack(1, delivered=0)
    assert visit.why_not("cab-01", 100) == "too_little"


def test_another_currency_a_wrong_clock_and_too_many_plays_draw_nothing() -> None:
    visit = Visit().opened()
    assert visit.why_not(currency="sgd") == "outdated"
    visit.clock = "wrong"
    assert visit.why_not() == "clock"
    assert not visit.draws()
    visit.clock = "right"
    for _ in range(tabs.PLAYS_AT_MOST):
        assert visit.draws()
        visit.ack(delivered=0)
    assert visit.why_not() == "too_many"
    assert not visit.draws()


# --- closing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["player", "operator", "restored"])
def test_a_tab_that_is_closed_before_it_is_open_never_opens(by: str) -> None:
    visit = Visit()
    assert visit.state == "open"
    visit.finishes(by)
    visit.finishes("idle")
    assert (visit.state, visit.closed_by) == ("open", by)
    assert visit.why_not() == "closed"
    visit.reads(HOLD)
    assert visit.state == "returning"
    assert not visit.draws()
    visit.reads(HOLD)
    assert visit.settle[0] == "cancel"
    visit.reads(gone(amount_minor=LIMIT))
    assert (visit.state, visit.closed_by, visit.kinds) == ("settled", by, set())


def test_money_that_is_wrong_is_told_of_on_a_closed_tab_too() -> None:
    visit = Visit()
    visit.finishes()
    visit.reads(held(amount_minor=LIMIT + 100))
    assert (visit.state, visit.kinds) == ("returning", {"wrong_payment"})


def test_what_is_under_way_at_the_end_runs_to_its_own_end_and_then_the_money_moves_once() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    assert visit.draws("cab-02", 200)
    visit.finishes()
    assert visit.state == "funded"
    assert not visit.asked(ReadPayment)
    assert not visit.asked(SendRevoke), "finishing takes nothing back"
    visit.due()
    assert visit.asked(SendCoinpulse), "it is still sent"
    visit.ack(1)
    visit.reads(HOLD)
    assert visit.settle == ("capture", 500)
    visit.finishes()
    visit.reads(HOLD)
    assert visit.captures == [500]


def test_an_open_tab_takes_no_longer_than_its_plays_do() -> None:
    visit = Visit().opened()
    since = [visit.order.under_way_since_ms]
    visit.until(NOW_MS + 600_000, hold=HOLD)
    assert visit.draws("cab-01", 300)
    since.append(visit.order.under_way_since_ms)
    drawn_ms = visit.now_ms
    visit.until(NOW_MS + 610_000, hold=HOLD)
    assert visit.draws("cab-02", 300)
    since.append(visit.order.under_way_since_ms)
    visit.ack(0)
    visit.ack(1)
    since.append(visit.order.under_way_since_ms)
    visit.finishes()  # its money is to be captured
    since.append(visit.order.under_way_since_ms)
    visit.reads(HOLD)
    visit.reads(paid(amount_minor=LIMIT, received_minor=600))
    since.append(visit.order.under_way_since_ms)
    assert since == [None, drawn_ms, drawn_ms, None, visit.now_ms, None]


def test_nobody_draws_for_an_hour() -> None:
    visit = Visit().opened()
    visit.until(NOW_MS + 1_800_000, hold=HOLD)
    visit.plays("cab-01", 300)
    visit.until(NOW_MS + 1_800_000 + 3_599_000, hold=HOLD)
    assert visit.order.is_open_tab
    visit.until(NOW_MS + 1_800_000 + 3_600_000, hold=HOLD)
    assert visit.closed_by == "idle"
    assert visit.captures == [300]


def test_an_unused_tab_lets_the_hold_go() -> None:
    visit = Visit().opened()
    visit.finishes()
    visit.reads(HOLD)
    assert visit.settle == ("cancel", 0)
    visit.reads(gone(amount_minor=LIMIT))
    assert visit.state == "settled"
    assert visit.order.books.target_minor == 0


def test_its_life_ends_whoever_plays() -> None:
    limits = Limits(tab_life_s=3600, tab_idle_s=3600)
    visit = Visit(limits).opened()
    end_ms = NOW_MS + 3_600_000
    visit.until(end_ms - 1_000, hold=HOLD)
    assert visit.draws()
    visit.until(end_ms, hold=HOLD)
    assert visit.closed_by == "life"
    assert visit.order.credits[0].under_way


def test_what_is_over_draws_nothing_though_the_timer_is_late() -> None:
    visit = Visit().opened()
    visit.now_ms = NOW_MS + 1000 * LIMITS.tab_idle_s
    visit.reads(HOLD)
    assert visit.why_not() == "closed"
    assert not visit.draws()


def test_a_time_that_is_over_while_stripe_is_asked_closes_it_at_once() -> None:
    visit = Visit().opened()
    end_ms = NOW_MS + 1000 * LIMITS.tab_idle_s
    visit.now_ms = end_ms - 5
    visit.on(Due())
    assert visit.asked(ReadPayment)
    visit.now_ms = end_ms + 5
    visit.reads(HOLD)
    assert visit.order.is_open_tab
    assert visit.order.due_at_ms == visit.now_ms
    visit.due()
    assert visit.closed_by == "idle"


def test_a_wrong_clock_closes_nothing() -> None:
    visit = Visit().opened()
    visit.clock = "wrong"
    visit.now_ms = NOW_MS + DAY_MS
    visit.on(Due())
    assert visit.order.is_open_tab
    visit.clock = "right"
    visit.due()
    assert visit.closed_by == "life"


@pytest.mark.parametrize(
    "shown",
    [
        gone(amount_minor=LIMIT),
        held(amount_minor=LIMIT, capturable_minor=1900),
        paid(amount_minor=LIMIT),
        paid(amount_minor=LIMIT, received_minor=500),
    ],
)
def test_a_hold_that_is_gone_closes_it_and_takes_back_what_is_under_way(shown: Payment) -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 200)
    assert visit.draws("cab-02", 200)
    visit.on(Sent("coinpulse", visit.asked(SendCoinpulse)[0].credit_id, Outcome.CONFIRMED))
    visit.reads(shown)
    assert visit.closed_by == "hold"
    assert visit.state == "revoking"
    assert visit.asked(SendRevoke)
    assert not visit.asked(SendCoinpulse)
    visit.reads(HOLD)
    assert visit.closed_by == "hold"
    assert not visit.draws("cab-03"), "for good, whatever is read later"
    for _ in range(20):
        visit.due()
        assert not visit.asked(SendCoinpulse), "nothing more is published"
    visit.ack(1, delivered=0)
    assert visit.state == "resolved"
    assert visit.order.books.target_minor == 200


def test_a_hold_that_goes_while_the_last_play_is_under_way_takes_that_back_too() -> None:
    visit = Visit().opened()
    assert visit.draws()
    visit.finishes()
    visit.reads(gone(amount_minor=LIMIT))
    assert visit.closed_by == "player"
    assert visit.asked(SendRevoke)
    assert visit.state == "revoking"


def test_a_hold_cancelled_at_stripe_is_a_loss_that_is_told() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 400)
    visit.reads(gone(amount_minor=LIMIT))
    assert visit.closed_by == "hold"
    visit.reads(gone(amount_minor=LIMIT))
    assert visit.state == "settled"
    assert visit.order.books.lost_minor == 400
    assert "loss" in visit.kinds


# --- the end ---------------------------------------------------------------------------------------------


def test_a_sum_below_stripes_minimum_is_let_go_and_booked_as_goodwill() -> None:
    visit = Visit().opened()
    assert visit.draws("cab-01", 300, 3)
    visit.ack(delivered=1)
    visit.finishes()
    visit.reads(HOLD)
    assert visit.settle == ("cancel", 0)
    visit.reads(gone(amount_minor=LIMIT))
    books = visit.order.books
    assert (books.target_minor, books.goodwill_minor, books.lost_minor) == (0, 100, 0)
    assert "loss" not in visit.kinds


def test_closed_is_closed_though_its_hold_is_read_standing() -> None:
    visit = Visit().opened()
    assert visit.draws()
    visit.finishes()
    visit.reads(held(amount_minor=LIMIT))
    assert visit.closed_by == "player"
    assert visit.why_not("cab-02") == "closed"


def test_each_play_is_rounded_by_itself() -> None:
    """One of three for RM 5.00, at two machines: 166.67 and 166.67 are 332, and not 333."""
    visit = Visit().opened()
    for machine_id in ("cab-01", "cab-02"):
        assert visit.draws(machine_id, 500, 3)
        visit.ack(delivered=1)
    visit.finishes()
    visit.reads(held(amount_minor=LIMIT))
    assert visit.settle == ("capture", 332)


def test_a_tab_is_never_captured_whole() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 400)
    visit.finishes()
    visit.reads(HOLD)
    (effect,) = visit.asked(Settle)
    visit.on(SettlementAttempted("capture", effect.key, "refused", PARTIAL_CAPTURE))
    for _ in range(30):
        visit.due()
        visit.reads(HOLD)
        for effect in visit.asked(Settle):
            visit.on(SettlementAttempted("capture", effect.key, "refused", PARTIAL_CAPTURE))
    assert set(visit.captures) == {400}
    assert "settle_refused" in visit.kinds


def test_all_is_asked_back_in_mid_visit() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 400)
    assert visit.draws("cab-02", 200)
    visit.on(RefundAsked("operator", "stuck joystick"))
    assert visit.closed_by == "operator"
    assert visit.asked(SendRevoke)
    visit.ack(1, delivered=1)
    visit.reads(HOLD)
    assert visit.settle == ("cancel", 0)
    assert visit.order.books.goodwill_minor == 600


def test_the_players_silence_and_the_machines_are_told_apart() -> None:
    """Closed by its player, it becomes final by the machine's proven silence as any order does."""
    visit = Visit().opened()
    assert visit.draws()
    visit.finishes()
    paid_ms = visit.now_ms
    for _ in range(2_000):
        if visit.state == "resolved":
            break
        visit.due()
        for effect in visit.asked(SendRevoke):
            visit.on(Sent("revoke", effect.credit_id, Outcome.CONFIRMED))
        visit.now_ms += 1
        visit.last_echo_ms = visit.now_ms
    assert visit.state == "resolved"
    limits = LIMITS
    latest_s = limits.deliver_within_s + limits.hold_silence_limit_s + 2 * 60 + limits.answer_s
    assert visit.now_ms - paid_ms <= 1000 * latest_s


# --- an older database -----------------------------------------------------------------------------------


def restored(captured_minor: int) -> Payment:
    """What Stripe shows of a tab that was captured later than the copy was made."""
    mark = capture_mark(KEY, "pi_1", captured_minor)
    return paid(amount_minor=LIMIT, received_minor=captured_minor, capture_mark=mark)


def test_a_capture_that_an_older_record_does_not_explain_stands_and_is_shown() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    visit.reads(restored(900))
    assert visit.closed_by == "restored"
    visit.reads(restored(900))
    assert visit.state == "settled"
    assert not visit.asked(Settle)
    assert "unknown_capture" in visit.kinds


def test_also_where_the_copy_was_made_before_the_payment() -> None:
    visit = Visit()
    visit.reads(restored(900))
    assert visit.state == "settled"
    assert visit.closed_by == "restored"
    assert not visit.captures
    assert "unknown_capture" in visit.kinds


def test_what_was_under_way_in_the_copy_is_asked_about_and_never_sent_again() -> None:
    visit = Visit().opened()
    assert visit.draws("cab-01", 300)
    visit.reads(restored(300))
    assert visit.closed_by == "restored"
    assert visit.asked(SendRevoke)
    visit.ack(0, delivered=1)
    visit.reads(restored(300))
    assert visit.state == "settled"
    assert visit.order.books.target_minor == 300
    assert not visit.captures


def test_the_same_draw_has_the_same_id_after_an_older_database_was_put_back() -> None:
    ids = []
    for later_ms in (0, 5_000):
        visit = Visit().opened()
        visit.now_ms += later_ms
        assert visit.draws(token="t", at_ms=NOW_MS)
        ids.append(visit.order.credit_ids)
    assert ids[0] == ids[1]


# --- refunds of single plays -----------------------------------------------------------------------------


def test_one_play_is_given_back_in_mid_visit_and_the_others_go_on() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    visit.plays("cab-02", 200)
    visit.on(RefundAsked("operator", "stuck", play=1))
    assert visit.order.is_open_tab
    assert plan(visit.order, RefundWish()).kept_minor == 200
    visit.on(RefundAsked("operator", "asked twice", play=1))
    visit.plays("cab-03", 400)
    visit.finishes()
    visit.reads(HOLD)
    assert visit.settle == ("capture", 600)
    visit.reads(paid(amount_minor=LIMIT, received_minor=600))
    assert (visit.order.books.target_minor, visit.order.books.goodwill_minor) == (600, 300)
    assert [(s.gross_minor, s.goodwill_minor, s.kept_minor) for s in shares(visit.order)] == [
        (300, 300, 0),
        (200, 0, 200),
        (400, 0, 400),
    ]


def test_a_play_that_is_under_way_is_asked_back_alone() -> None:
    visit = Visit().opened()
    assert visit.draws("cab-01", 300)
    assert visit.draws("cab-02", 200)
    visit.on(RefundAsked("operator", "stuck", play=2))
    assert [effect.credit_id for effect in visit.asked(SendRevoke)] == [visit.order.credit_ids[1]]
    assert visit.order.is_open_tab
    visit.ack(0)
    visit.ack(1, delivered=1)
    visit.finishes()
    visit.reads(HOLD)
    assert visit.settle == ("capture", 300)
    assert visit.order.books.goodwill_minor == 200


def test_a_play_is_refunded_after_the_capture() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    visit.plays("cab-02", 200)
    visit.finishes()
    visit.reads(HOLD)
    captured = paid(amount_minor=LIMIT, received_minor=500)
    visit.reads(captured)
    assert visit.state == "settled"
    visit.on(RefundAsked("operator", "stuck", play=2))
    visit.now_ms += 10_000
    visit.reads(captured)
    assert visit.settle == ("refund", 200)
    visit.reads(paid(amount_minor=LIMIT, received_minor=500, refunded_minor=200))
    assert visit.state == "settled"
    assert [share.kept_minor for share in shares(visit.order)] == [300, 0]
    before = visit.order
    visit.on(RefundAsked("operator", "again", play=2))
    assert visit.order == before
    visit.on(RefundAsked("operator", "no such play", play=3))
    assert visit.order == before


def test_what_is_lost_too_is_taken_from_the_latest_play_that_was_not_given_back() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    visit.plays("cab-02", 400)
    visit.on(RefundAsked("operator", "stuck", play=1))
    visit.reads(gone(amount_minor=LIMIT))
    visit.reads(gone(amount_minor=LIMIT))
    assert [(s.goodwill_minor, s.lost_minor, s.kept_minor) for s in shares(visit.order)] == [
        (300, 0, 0),
        (0, 400, 0),
    ]


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (RefundWish(play=0), "are 1 to 1"),
        (RefundWish(play=2), "are 1 to 1"),
        (RefundWish(play=1, amount="1.00"), "only one of them"),
        (RefundWish(amount="3.01"), r"no more than RM 3\.00"),
    ],
)
def test_a_refund_that_makes_no_sense_for_a_tab_is_refused(wish: RefundWish, why: str) -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    with pytest.raises(BadRequest, match=why):
        plan(visit.order, wish)


def test_a_plan_says_what_goes_back() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    assert visit.draws("cab-02", 200)
    found = plan(visit.order, RefundWish(play=2))
    assert (found.kept_minor, found.back_minor, found.is_delivering) == (500, 200, True)
    found = plan(visit.order, RefundWish(play=1))
    assert (found.keep_minor, found.back_minor, found.is_delivering) == (200, 300, False)
    assert plan(visit.order, RefundWish()).back_minor == 500
    visit.on(RefundAsked("operator", "stuck", play=1))
    with pytest.raises(BadRequest, match="nothing to give back of play 1"):
        plan(visit.order, RefundWish(play=1))


def test_a_tab_without_plays_has_nothing_to_give_back() -> None:
    with pytest.raises(BadRequest, match="nothing to give back"):
        plan(Visit().opened().order, RefundWish())


def refund_told(visit: Visit, shown: Payment) -> dict[str, Any]:
    """What other software is told of money given back when a reading has settled the tab; empty if nothing."""
    before = visit.order
    visit.reads(shown)
    assert visit.state == "settled"
    events = outbox.of_step(before, visit.order, visit.now_ms)
    return next((event.data for event in events if event.type == "order.refunded"), {})


def test_the_rest_of_the_hold_is_told_as_no_refund() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    visit.finishes()
    assert refund_told(visit, paid(amount_minor=LIMIT, received_minor=300)) == {}


def test_a_play_that_is_let_go_and_one_that_is_refunded_are_told() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    visit.plays("cab-02", 200)
    visit.on(RefundAsked("operator", "stuck", play=2))
    visit.finishes()
    told = refund_told(visit, paid(amount_minor=LIMIT, received_minor=300))
    assert (told["paid"], told["refunded"], told["kept"]) == ("5.00", "2.00", "3.00")
    visit.on(RefundAsked("operator", "stuck", play=1))
    told = refund_told(visit, paid(amount_minor=LIMIT, received_minor=300, refunded_minor=300))
    assert (told["paid"], told["refunded"], told["kept"]) == ("5.00", "5.00", "0.00")


def test_a_hold_that_is_gone_gave_nothing_back() -> None:
    visit = Visit().opened()
    visit.plays("cab-01", 300)
    visit.reads(gone(amount_minor=LIMIT))
    assert refund_told(visit, gone(amount_minor=LIMIT)) == {}
