"""Finding an order: by each thing that a player or Stripe may show, and by place and time."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from arcade_cloud.domain.money import Offer, Payment
from arcade_cloud.domain.order import Order, code_in
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.receipts import Issuing, ReceiptDue, Series, numbered
from arcade_cloud.errors import BadRequest, PaymentsUnavailable
from arcade_cloud.ports.receipts import NUMBERED_AT_MOST
from arcade_cloud.services import finding
from arcade_cloud.services.finding import Finding
from support.memory_store import MemoryStore
from support.order_records import funded, new_order, next_version, step
from support.orders import NOW_MS, only_payment
from support.sandbox_account import SandboxAccount
from support.sandbox_payments import SandboxPayments
from support.site import Site

MINUTE_MS = 60_000


def test_the_number_of_a_receipt_finds_its_order_also_where_it_looks_like_the_digits_of_a_card() -> None:
    site = Site()
    orders = []
    for _ in range(2):
        orders.append(order_id := site.begin())
        site.pay(order_id)
        site.say_ack(order_id, delivered=1)
    waiting = {one.order_id: one for one in site.store.receipts.due(2)}
    others = [ReceiptDue(order_id=f"o-{number}", serial=1, at_ms=1) for number in range(1, 1_000)]
    for due, prefix in (([waiting[orders[0]]], "A-"), ([*others, waiting[orders[1]]], "")):
        series = Series(prefix=prefix)
        for start in range(0, len(due), NUMBERED_AT_MOST):
            batch = due[start : start + NUMBERED_AT_MOST]
            receipts, after = numbered(series, batch, (), Issuing(prefix=prefix), 1)
            site.store.receipts.issue(receipts, after, series, batch)
            series = after
    finding = site.cloud.finding
    assert [order.order_id for order in finding.by_text(" A-1 ").orders] == orders[:1]
    found = finding.by_text("1000")
    assert [order.order_id for order in found.orders] == orders[1:]
    assert ("ends in 1000" in found.tried[0], found.tried[-1]) == (True, "receipt number")
    assert finding.by_text("A-2").orders == ()
    assert "receipt number" in finding.by_text("A-2").tried


@dataclass
class Desk:
    """A store with one order, paid at the sandbox for Stripe."""

    store: MemoryStore
    payments: SandboxPayments
    account: SandboxAccount
    order: Order

    @property
    def finding(self) -> Finding:
        return Finding(store=self.store, payments=self.payments)

    def ids(self, text: str) -> list[str]:
        return [order.order_id for order in self.finding.by_text(text).orders]

    def tried(self, text: str) -> str:
        found = self.finding.by_text(text)
        assert found.orders == ()
        return "; ".join(found.tried)

    def at_stripe(self, what: str) -> str:
        """The id of the charge, refund or dispute of the order's payment."""
        with self.account.world.world() as (state, _):
            charge = state.charge_of(state.known("payment_intent", self.order.payment_intent or ""))
            assert charge is not None
            things = {"charge": [charge], "refund": state.refunds_on(charge), "dispute": state.disputes_on(charge)}
            return str(things[what][0]["id"])


@pytest.fixture
def desk() -> Desk:
    payments, store = SandboxPayments(lambda: NOW_MS), MemoryStore()
    account = SandboxAccount(payments.stripe.world)
    account.add_price("price_play", 200)
    intent = account.pay(account.visit_link("price_play", 1), "fpx")
    order = funded(new_order("ord_1", created_at_ms=NOW_MS), intent, "0199ac00-0000-7000-8000-00000000abcd")
    store.move(step(new_order("ord_1", created_at_ms=NOW_MS)))
    store.move(step(order))
    return Desk(store, payments, account, order)


def test_a_code_is_taken_as_people_write_it(desk: Desk) -> None:
    code = desk.order.code
    for text in (code, code.lower(), f" {code[:3]} {code[3:]} ", f"{code[:3]}-{code[3:]}"):
        assert desk.ids(text) == ["ord_1"], text


@pytest.mark.parametrize("text", ["K7QX2", "K7QX2AA", "K7QX2O", "K7QX20", "K7QX2!", ""])
def test_what_no_page_shows_is_no_code(text: str) -> None:
    assert code_in(text) is None


def test_every_id_on_record_leads_to_the_order(desk: Desk) -> None:
    texts = [
        "ord_1",
        " ord_1 ",
        "https://arcade.example/m/cab-01/o/ord_1",
        "https://arcade.example/m/cab-01/o/ord_1/",
    ]
    texts += [desk.order.payment_intent or "", *desk.order.credit_ids, desk.order.credit_ids[0].upper()]
    for text in texts:
        assert desk.ids(text) == ["ord_1"], text


def test_what_stripe_shows_leads_to_the_order(desk: Desk) -> None:
    desk.account.refund_by_hand(desk.order.payment_intent or "", 100)
    desk.account.open_dispute(desk.order.payment_intent or "", 100)
    for what in ("charge", "refund", "dispute"):
        assert desk.ids(desk.at_stripe(what)) == ["ord_1"], what


def test_a_checkout_session_leads_to_its_order_paid_or_not(desk: Desk) -> None:
    from arcade_cloud.domain.order import CheckoutPage

    session = desk.account.visit_link("price_play", 1, "ord_2")
    order = new_order("ord_2")
    payment = only_payment(order)
    assert payment.checkout is None or payment.checkout.session_id != session
    desk.store.move(step(order))
    assert desk.tried(session).endswith("Stripe, where nobody has paid for it")
    desk.store.move(step(next_version(order, checkout=CheckoutPage(session_id=session))))
    assert desk.ids(session) == ["ord_2"]


def test_a_session_that_only_names_an_order_does_not_lead_there(desk: Desk) -> None:
    """Anybody may write our order's id into a session of theirs."""
    session = desk.account.visit_link("price_play", 1, "ord_1")
    intent = desk.account.pay(session, "fpx")
    assert f"belongs to payment {intent}" in desk.tried(session)


def test_what_was_tried_is_told(desk: Desk) -> None:
    assert desk.tried("ord_9") == "order id; credit id; receipt number"
    assert desk.tried("k7qx2a") == "order id; credit id; code K7QX2A; code K7QX2A among the newest 1000 orders"
    assert desk.tried("ch_9") == "order id; credit id; receipt number; Stripe, which knows no such id"
    assert desk.tried("pi_9") == "order id; credit id; receipt number; payment intent"


def test_a_payment_without_proof_is_pointed_at(desk: Desk) -> None:
    other = desk.account.pay(desk.account.visit_link("price_play", 1), "fpx")
    desk.store.note_unclaimed(
        Unclaimed(payment_intent=other, amount_minor=200, currency="myr", why="no machine", at_ms=NOW_MS)
    )
    assert "`arcade-cloud payment list`" in desk.tried(other)


def test_while_stripe_gives_no_verdict_that_is_said_and_nothing_fails(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.payments.fault = lambda _: "before"
    assert "no verdict" in desk.tried("ch_9")
    assert issubclass(PaymentsUnavailable, Exception)


def test_an_order_is_found_by_the_last_four_digits_of_its_card() -> None:
    """From what Stripe shows where the payment is read anyway, through the whole chain."""
    site = Site()
    site.add_machine("cab-02", offers=(Offer(offer_id="two", credits=1, amount_minor=250, currency="myr"),))
    bought: dict[str, list[str]] = {"4242": [], "0005": []}
    for number, last4 in enumerate(("4242", "0005", "4242")):
        site.now_ms += 1_000
        site.payments.stripe.world.set_rules(card_last4=last4)
        machine_id = "cab-02" if number == 2 else "cab-01"
        site.say_status(machine_id)
        order_id = site.cloud.sales.begin_checkout(machine_id, offer_id="two" if number == 2 else None).order_id
        site.pay(order_id)
        site.say_ack(order_id, delivered=1)
        site.deliver_events()
        assert (site.order(order_id).state, site.order(order_id).last4) == ("settled", last4)
        bought[last4].insert(0, order_id)
    reads = site.payments.calls.count("read_payment")
    for text in ("4242", " 4242 ", "**** 4242", "…4242"):
        assert [order.order_id for order in site.cloud.finding.by_text(text).orders] == bought["4242"]
    assert [order.order_id for order in site.cloud.finding.by_last4("0005").orders] == bought["0005"]
    narrow = site.cloud.finding.by_last4("4242", machine_id="cab-02")
    assert [order.order_id for order in narrow.orders] == bought["4242"][:1]
    narrow = site.cloud.finding.by_last4("4242", amount="2.50")
    assert [order.order_id for order in narrow.orders] == bought["4242"][:1]
    assert "ends in 9999" in site.cloud.finding.by_text("9999").tried[0]
    for text in ("424", "42424", "", "4٢42", "abcd"):
        with pytest.raises(BadRequest):
            site.cloud.finding.by_last4(text)
    assert site.payments.calls.count("read_payment") == reads


def test_of_many_orders_with_the_same_digits_the_newest_are_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "LAST4_LOOKED_AT", 4)
    monkeypatch.setattr(finding, "LAST4_SHOWN", 2)
    for number in range(6):
        order = funded(new_order(f"ord_9{number}", created_at_ms=NOW_MS + number), f"pi_9{number}")
        shown = Payment(
            payment_intent=f"pi_9{number}", status="succeeded", amount_minor=300, currency="myr", last4="1881"
        )
        payment = msgspec.structs.replace(only_payment(order), shown=shown)
        desk.store.move(step(new_order(f"ord_9{number}", created_at_ms=NOW_MS + number)))
        desk.store.move(step(msgspec.structs.replace(order, payment=payment)))
    found = desk.finding.by_last4("1881")
    assert [order.order_id for order in found.orders] == ["ord_95", "ord_94"]
    assert "only the newest 2 are shown" in found.tried[1]
    found = desk.finding.by_last4("1881", amount="3.00")
    assert [order.order_id for order in found.orders] == ["ord_95", "ord_94"]
    assert "the newest 4 orders" in found.tried[0]


@pytest.mark.parametrize("text", ["", "  ", "/", "x" * 300])
def test_what_can_not_be_an_id_is_refused(desk: Desk, text: str) -> None:
    with pytest.raises(BadRequest):
        desk.finding.by_text(text)


def test_an_order_of_an_older_version_is_found_by_its_code_while_it_is_among_the_newest(desk: Desk) -> None:
    class Older(MemoryStore):
        def orders_with_code(self, code: str, limit: int) -> list[Order]:
            return []

    older = Older()
    older.move(step(new_order("ord_1")))
    found = Finding(store=older, payments=desk.payments).by_text(desk.order.code)
    assert [order.order_id for order in found.orders] == ["ord_1"]


# --- by place and time -----------------------------------------------------------------------------------


def made_between(store: MemoryStore, from_ms: int, until_ms: int, **more: Any) -> list[str]:
    found = Finding(store=store, payments=SandboxPayments(lambda: NOW_MS)).made_between(from_ms, until_ms, **more)
    return [order.order_id for order in found.orders]


def test_both_ends_count_and_machine_and_price_narrow_it_down() -> None:
    store = MemoryStore()
    for number in range(6):
        order = new_order(
            f"o-{number}",
            created_at_ms=NOW_MS + number * MINUTE_MS,
            machine_id=f"cab-{number % 2}",
            amount_minor=300 if number < 3 else 500,
        )
        store.move(step(order))
    span = (NOW_MS + MINUTE_MS, NOW_MS + 4 * MINUTE_MS)
    assert made_between(store, *span) == ["o-4", "o-3", "o-2", "o-1"]
    assert made_between(store, *span, machine_id="cab-1") == ["o-3", "o-1"]
    for text in ("5.00", "5", "RM 5.00", "5.00MYR"):
        assert made_between(store, *span, amount=text) == ["o-4", "o-3"], text
    assert made_between(store, *span, amount="5.00USD") == []


@pytest.mark.parametrize("together", [1, 4, 7, 20])
def test_no_order_is_missed_between_two_pages(together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several are made in one millisecond, fewer than a page has."""
    monkeypatch.setattr(finding, "_PAGE", together + 1)
    store = MemoryStore()
    for number in range(40):
        store.move(step(new_order(f"o-{number:02}", created_at_ms=NOW_MS + number // together)))
    found = made_between(store, NOW_MS, NOW_MS + 100)
    assert found == [f"o-{number:02}" for number in reversed(range(40))]


def test_a_search_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "LOOKED_AT", 3)
    store = MemoryStore()
    for number in range(5):
        store.move(step(new_order(f"o-{number}", created_at_ms=NOW_MS + number)))
    found = Finding(store=store, payments=SandboxPayments(lambda: NOW_MS)).made_between(NOW_MS, NOW_MS + 9)
    assert len(found.orders) == 3
    assert found.tried == ("3 orders made in that time", "only the newest 3: name the machine, or a shorter time")
