"""Tabs by the real services and the real Stripe library: opened, played on, finished, and killed at any point."""

from contextlib import suppress
from functools import partial
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import Credit, Order
from arcade_cloud.domain.tab import TabLimit
from arcade_cloud.errors import (
    BadRequest,
    NotEnough,
    NotReady,
    PageOutdated,
    PriceChanged,
    TabClosed,
    TooLittle,
    UnknownMachine,
)
from arcade_cloud.services.tabs import Tabs
from simulation.account_payments import AccountPayments
from support.mortal_cloud import MACHINE, PLAY, SECRET, MortalCloud
from support.orders import session_of
from support.sandbox_account import SandboxAccount

LIMIT = TabLimit(2000, "myr")
CHEAP = Offer(offer_id="cheap", credits=1, amount_minor=100, currency="myr")


class Arcade(MortalCloud):
    """A cloud with tabs, and a player whose phone keeps a tab's secret."""

    def __init__(self, **parts: object) -> None:
        self.secret = ""
        super().__init__(tab_limits=(LIMIT,), **parts)  # type: ignore[arg-type]

    @property
    def tabs(self) -> Tabs:
        return self.services.tabs

    @property
    def registered(self) -> Machine:
        found = self.store.machine(MACHINE)
        assert found is not None
        return found

    def sells(self, *offers: Offer) -> None:
        before = self.registered
        self.store.put_machine(
            Machine(machine_id=MACHINE, version=before.version + 1, offers=offers), before.version
        )

    def begins(self) -> Order:
        order, self.secret = self.tabs.begin(MACHINE, LIMIT.amount_minor)
        return order

    def opens(self, method: Literal["card", "card_declined"] = "card") -> Order:
        order = self.begins()
        self.payments.stripe.pay(session_of(order), method)
        self.hears()
        return self.tab

    @property
    def tab(self) -> Order:
        found = self.tabs.found(self.secret)
        assert found is not None
        return found

    def hears(self) -> None:
        """Webhooks and the machine's messages arrive; no time passes."""
        while events := self.payments.stripe.take_events():
            for event in events:
                self.deliver_webhook(event)
        while self.to_cloud:
            self.deliver_message()

    def ticket(self, offer: Offer = PLAY, quantity: int = 1) -> str:
        self.machine.say_status()
        self.hears()
        return self.tabs.ticket(self.tabs.freshen(self.tab), self.registered, offer, quantity)

    def taps(self, ticket: str) -> Credit:
        return self.tabs.draw(self.secret, ticket)[1]

    def plays(self) -> Credit:
        credit = self.taps(self.ticket())
        self.hears()
        return credit


@pytest.fixture
def arcade() -> Arcade:
    return Arcade()


def test_a_visit_is_one_hold_and_one_capture(arcade: Arcade) -> None:
    assert arcade.opens().is_open_tab
    for _ in range(3):
        arcade.plays()
    assert [money["held"] for money in arcade.payments.stripe.money()] == [2000]
    assert arcade.tabs.finish(arcade.secret).tab is not None
    arcade.settle_down()
    (money,) = arcade.payments.stripe.money()
    assert (money["kept"], money["held"], money["refunded"]) == (900, 0, 0)
    arcade.check_promises()


def test_only_what_can_be_held_opens_a_tab(arcade: Arcade) -> None:
    order = arcade.begins()
    with pytest.raises(Exception, match="fpx"):
        arcade.payments.stripe.pay(session_of(order), "fpx")


def test_the_secret_is_stored_hashed_and_finds_its_tab_alone(arcade: Arcade) -> None:
    order = arcade.opens()
    assert order.tab is not None
    assert arcade.secret not in repr(order)
    assert len(arcade.secret) >= 40
    assert [arcade.tabs.found(text) for text in ("", order.tab.secret_hash, order.order_id, "x" * 10_000)] == [
        None
    ] * 4


def test_the_same_ticket_draws_once_and_tells_what_it_drew(arcade: Arcade) -> None:
    arcade.opens()
    ticket = arcade.ticket()
    first = arcade.taps(ticket)
    assert arcade.taps(ticket) == first
    arcade.hears()
    again = arcade.taps(ticket)
    assert (again.draw, again.command) == (first.draw, first.command)
    arcade.now_ms += 3_000_000
    assert arcade.taps(ticket).draw == first.draw, "also when it has long expired"
    arcade.tabs.finish(arcade.secret)
    assert arcade.taps(ticket).draw == first.draw, "and when the tab is closed"
    assert arcade.machine.pulsed == 3


def test_a_ticket_is_for_one_tab_and_cannot_be_made_by_others(arcade: Arcade) -> None:
    arcade.opens()
    theirs, other = arcade.ticket(), arcade.secret
    arcade.opens()
    body, signature = arcade.ticket().split(".")
    forged = [
        theirs,
        "",
        ".",
        "x.y",
        body,
        f"{body}.",
        f"{body}x.{signature}",
        f"{body}.{signature[:-1]}",
        "é.é",
        "a" * 5000,
    ]
    for ticket in forged:
        with pytest.raises(PageOutdated):
            arcade.taps(ticket)
    with pytest.raises(TabClosed):
        arcade.tabs.draw("nobody's", theirs)
    assert arcade.tabs.draw(other, theirs)[1].under_way


def test_a_ticket_signed_before_secrets_were_rotated_still_draws_once(arcade: Arcade) -> None:
    arcade.opens()
    ticket = arcade.ticket()
    first = arcade.taps(ticket)
    arcade.start(keyring=Keyring(["f" * 40 + "0123456789ab", SECRET]))
    assert arcade.taps(ticket).draw == first.draw


def test_a_ticket_is_good_for_ten_minutes(arcade: Arcade) -> None:
    arcade.opens()
    ticket = arcade.ticket()
    arcade.now_ms += 600_000
    arcade.ticket()
    with pytest.raises(PageOutdated):
        arcade.taps(ticket)


@pytest.mark.parametrize(
    "now_sold",
    [
        Offer(offer_id="play", credits=3, amount_minor=400, currency="myr"),
        Offer(offer_id="play", credits=2, amount_minor=300, currency="myr"),
        Offer(offer_id="play", credits=3, amount_minor=300, currency="sgd"),
        Offer(offer_id="other", credits=3, amount_minor=300, currency="myr"),
    ],
)
def test_another_price_than_was_shown_draws_nothing(arcade: Arcade, now_sold: Offer) -> None:
    arcade.opens()
    ticket = arcade.ticket()
    arcade.sells(now_sold)
    with pytest.raises(PriceChanged):
        arcade.taps(ticket)
    assert not arcade.tab.credits


def test_each_refusal_has_a_name_and_draws_nothing(arcade: Arcade) -> None:
    arcade.sells(PLAY, CHEAP)
    arcade.begins()
    ticket = arcade.tabs.ticket(arcade.tab, arcade.registered, PLAY)
    with pytest.raises(TabClosed, match="not open yet"):
        arcade.taps(ticket)
    arcade.opens()
    with pytest.raises(TooLittle, match=r"at least RM\s2\.00"):
        arcade.taps(arcade.ticket(CHEAP))
    with pytest.raises(NotEnough, match="not enough left"):
        arcade.taps(arcade.ticket(PLAY, 7))
    two, another = arcade.ticket(CHEAP, 2), arcade.ticket(CHEAP)
    assert arcade.taps(two).price_minor == 200, "two plays at once"
    with pytest.raises(NotReady, match="still adding"):
        arcade.taps(another)
    arcade.hears()
    assert arcade.taps(arcade.ticket(CHEAP)).price_minor == 100
    arcade.hears()
    ticket = arcade.ticket()
    arcade.now_ms += 1
    arcade.machine.say_status(ready=False, reason="ticket jam")
    arcade.hears()
    with pytest.raises(NotReady):
        arcade.taps(ticket)
    arcade.tabs.finish(arcade.secret)
    with pytest.raises(TabClosed, match="finished"):
        arcade.taps(ticket)
    assert len(arcade.tab.credits) == 2


def test_a_page_reads_the_hold_again_and_a_tap_does_not(arcade: Arcade) -> None:
    arcade.opens()
    ticket = arcade.ticket()
    arcade.now_ms += 599_999
    arcade.machine.say_status()
    arcade.hears()
    before = arcade.tab.tab
    arcade.taps(ticket)
    after = arcade.tab.tab
    assert before is not None
    assert after is not None
    assert before.hold_read_at_ms == after.hold_read_at_ms
    arcade.hears()
    arcade.now_ms += 1
    ticket = arcade.tabs.ticket(arcade.tab, arcade.registered, PLAY)
    with pytest.raises(NotReady, match="Checking the hold"):
        arcade.taps(ticket)
    assert arcade.tabs.why_not(arcade.tab) is not None
    assert arcade.tabs.why_not(arcade.tabs.freshen(arcade.tab)) is None
    assert arcade.taps(ticket).under_way


def test_a_hold_cancelled_at_stripe_is_found_by_the_page(arcade: Arcade) -> None:
    arcade.opens()
    arcade.webhooks = False
    arcade.payments.cancel(arcade.intent(), key="by hand")
    arcade.now_ms += 700_000
    fresh = arcade.tabs.freshen(arcade.tab)
    assert fresh.tab is not None
    assert fresh.tab.closing is not None
    assert fresh.tab.closing.by == "hold"


def test_there_are_no_tabs_where_none_are_wanted_or_the_machine_sells_in_another_currency(arcade: Arcade) -> None:
    assert arcade.tabs.limits(arcade.registered) == (LIMIT,)
    arcade.sells(Offer(offer_id="play", credits=1, amount_minor=300, currency="sgd"))
    assert arcade.tabs.limits(arcade.registered) == ()
    with pytest.raises(BadRequest, match="no tab"):
        arcade.begins()
    arcade.sells(PLAY)
    with pytest.raises(BadRequest, match="no tab"):
        arcade.tabs.begin(MACHINE, 2001)
    with pytest.raises(UnknownMachine):
        arcade.tabs.begin("cab-99", 2000)
    arcade.start(tab_limits=())
    with pytest.raises(BadRequest, match="no tab"):
        arcade.begins()


def test_there_are_none_before_the_store_was_upgraded(arcade: Arcade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arcade.store, "_form", 1)
    assert arcade.tabs.limits(arcade.registered) == ()
    assert "store upgrade" in (arcade.tabs.why_none() or "")
    with pytest.raises(BadRequest, match="no tab"):
        arcade.begins()


def test_a_late_webhook_and_a_late_timer_give_the_hold_back(arcade: Arcade) -> None:
    order = arcade.begins()
    arcade.payments.stripe.pay(session_of(order), "card")
    arcade.now_ms += 3_600_000
    arcade.settle_down()
    assert arcade.tab.state == "settled"
    arcade.check_promises()
    assert arcade.payments.stripe.money()[0]["kept"] == 0


def test_a_tab_that_an_older_database_has_not_seen_paid_is_closed(arcade: Arcade) -> None:
    order = arcade.begins()
    assert arcade.tabs.close_all("restored") == 1
    arcade.payments.stripe.pay(session_of(order), "card")
    arcade.settle_down()
    assert arcade.tab.state == "settled"
    arcade.check_promises()
    assert arcade.payments.stripe.money()[0]["kept"] == 0


def test_a_tab_finished_before_its_hold_is_read_lets_it_go(arcade: Arcade) -> None:
    order = arcade.begins()
    arcade.payments.stripe.pay(session_of(order), "card")
    arcade.tabs.finish(arcade.secret)
    arcade.settle_down()
    assert arcade.tab.state == "settled"
    arcade.check_promises()
    assert arcade.payments.stripe.money()[0]["kept"] == 0


def test_after_an_older_database_was_put_back_its_open_tabs_are_closed(arcade: Arcade) -> None:
    arcade.opens()
    arcade.plays()
    assert arcade.tabs.close_all("restored") == 1
    assert arcade.tabs.close_all("restored") == 0
    assert arcade.tab.tab is not None
    assert arcade.tab.tab.closing is not None
    assert arcade.tab.tab.closing.by == "restored"
    arcade.settle_down()
    arcade.check_promises()


def test_the_index_of_a_forgotten_tab_goes_with_it(arcade: Arcade) -> None:
    arcade.begins()
    arcade.settle_down(days=60)
    assert arcade.tabs.found(arcade.secret) is None


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kills=st.sets(st.integers(1, 60), max_size=3), twice=st.booleans(), answers=st.lists(st.booleans(), max_size=3)
)
def test_killed_anywhere_it_charges_exactly_what_was_pulsed(
    kills: set[int], twice: bool, answers: list[bool]
) -> None:
    """A process that dies between any two lines, webhooks twice, a machine that is silent for a play."""
    arcade = Arcade(
        limits=Limits(silence_limit_s=200, hold_silence_limit_s=200, last_resort_s=1000), payments=AccountPayments
    )
    arcade.killer.points, arcade.killer.kill_at, arcade.webhooks_twice = 0, kills, twice
    order = None
    while order is None:
        order = arcade.survive(arcade.begins)
    arcade.payments.stripe.pay(session_of(order), "card")
    arcade.settle_down(lambda: arcade.tab.is_open_tab)
    for answered in (*answers, True):
        arcade.machine.say_status()
        arcade.hears()
        ticket = arcade.tabs.ticket(arcade.tab, arcade.registered, PLAY)
        arcade.deaf = not answered
        with suppress(NotReady, TabClosed):
            for _ in range(4):  # the phone tries again
                arcade.survive(partial(arcade.taps, ticket))
        arcade.settle_down(lambda: not any(credit.under_way for credit in arcade.tab.credits), days=1)
        arcade.deaf = False
    arcade.survive(lambda: arcade.tabs.finish(arcade.secret))
    arcade.settle_down()
    arcade.check_promises()


# --- its history ---------------------------------------------------------------------------------------------


def test_readings_that_change_nothing_are_not_told_and_keep_the_hold_fresh() -> None:
    arcade = Arcade()
    order_id, told = arcade.opens().order_id, 0
    arcade.taps(arcade.ticket())
    arcade.hears()
    fresh_s = arcade.limits.tab_fresh_s
    for number in range(10):  # a page is opened, or the timer looks, for most of an hour
        arcade.now_ms += 1000 * fresh_s // 2 + 1000
        version = arcade.tab.version
        arcade.services.fulfilment.run_once()
        assert arcade.tab.is_open_tab
        assert arcade.tab.tab is not None
        assert arcade.tab.tab.hold_read_at_ms == arcade.now_ms
        assert arcade.tab.version > version
        told = told or len(arcade.store.history(order_id))
        assert len(arcade.store.history(order_id)) == told, number
    history = arcade.store.history(order_id)
    assert [entry.version for entry in history] == sorted({entry.version for entry in history})
    assert {"Ordered", "Drawn", "Acked"} <= {entry.event for entry in history}
    arcade.tabs.finish(arcade.secret)
    arcade.settle_down()
    assert arcade.order(order_id).state == "settled"
    after = [entry.event for entry in arcade.store.history(order_id)][told:]
    assert after[0] == "CloseAsked"
    assert len(arcade.store.history(order_id)) <= 20


def test_a_reading_that_shows_a_change_is_told() -> None:
    arcade = Arcade()
    order_id = arcade.opens().order_id
    assert isinstance(arcade.payments.stripe, SandboxAccount)
    arcade.payments.stripe.world.cancel(str(arcade.tab.payment_intent))
    arcade.now_ms += 500 * arcade.limits.tab_fresh_s + 1000
    before = len(arcade.store.history(order_id))
    arcade.services.fulfilment.run_once()
    assert not arcade.order(order_id).is_open_tab
    assert "The money that was held for this tab is no longer held." in [
        entry.text for entry in arcade.store.history(order_id)[before:]
    ]
