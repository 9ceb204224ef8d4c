"""What the port `Balance` promises: the real gateway and library on the sandbox, over HTTP and in process."""

import time
from collections.abc import Iterator

import pytest

from arcade_cloud.adapters.stripe import gateway as stripe_gateway
from arcade_cloud.adapters.stripe.gateway import StripeGateway
from arcade_cloud.domain.balance import Entry
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.ownership import Ours
from arcade_cloud.errors import PaymentsRefused, PaymentsUnavailable
from arcade_cloud.ports.payments import Balance, CheckoutRequest
from arcade_sandbox.stripe.sandbox import StripeSandbox
from support.sandbox_account import SandboxAccount
from support.sandbox_payments import SandboxPayments

DAY_S = 86_400
OFFER = Offer(offer_id="three", credits=3, amount_minor=900, currency="myr")


class World(SandboxAccount):
    """The account, the gateway to it, and a player's checkout."""

    def __init__(self, account: SandboxAccount, payments: StripeGateway) -> None:
        super().__init__(account.world)
        self.payments = payments
        self.balance: Balance = payments

    @property
    def now_ms(self) -> int:
        return int(self.world.clock.now_s() * 1000)

    def buy(self, method: str, order_id: str = "o-1") -> str:
        """The payment intent of RM 9.00."""
        request = CheckoutRequest(
            order_id=order_id,
            machine_id="cab-01",
            machine_name="Daytona USA",
            offer=OFFER,
            quantity=1,
            success_url="https://arcade.example/done",
            cancel_url="https://arcade.example/back",
            expires_at_ms=self.now_ms + 3_600_000,
            site="https://arcade.example",
            mark="the-mark",
        )
        checkout = self.payments.create_checkout(request, key=f"checkout:{order_id}")
        return self.world.pay(checkout.session_id, method, wait=False).payment_intent

    def entries(self, since_ms: int = 0) -> list[Entry]:
        """All entries, oldest first."""
        found: list[Entry] = []
        page = self.balance.read_entries(since_ms=since_ms)
        found += page.entries
        while page.after is not None:
            page = self.balance.read_entries(since_ms=since_ms, after=page.after)
            found += page.entries
        return found[::-1]


@pytest.fixture(params=["in process", "over HTTP"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "in process":
        payments = SandboxPayments(lambda: time.time_ns() // 1_000_000)
        yield World(payments.stripe, payments)
        return
    with StripeSandbox() as sandbox:
        gateway = StripeGateway("sk_test_gateway", api_base=sandbox.base_url, retries=0)
        yield World(SandboxAccount(sandbox), gateway)


def test_a_captured_payment_has_an_entry_a_little_later(world: World) -> None:
    intent = world.buy("card")
    world.payments.capture(intent, 300, key="capture:o-1:300")
    assert world.entries() == []
    world.world.advance(5)
    (entry,) = world.entries()
    assert (entry.what, entry.amount_minor, entry.fee_minor, entry.currency) == ("charge", 300, 109, "myr")
    assert entry.payment_intent == intent
    assert entry.source.startswith("ch_")
    assert entry.claims == Ours(
        order_id="o-1", amount_minor=900, currency="myr", machine_id="cab-01", site="https://arcade.example"
    )
    assert entry.mark == "the-mark"
    assert abs(entry.created_ms - world.now_ms) <= 2000


def test_what_moves_money_of_a_payment_names_it(world: World) -> None:
    world.world.set_rules(balance_delay_s=0)
    intent = world.buy("fpx")
    world.payments.refund(intent, 100, key="refund:o-1:800:0")
    world.refund_by_hand(intent, 200)
    world.finish_refund(intent, "failed")
    dispute = world.world.open_dispute(intent, 500)
    world.world.close_dispute(dispute["id"], "won")
    found = world.entries()
    assert {entry.payment_intent for entry in found} == {intent}
    assert [(entry.what, entry.amount_minor, entry.fee_minor) for entry in found] == [
        ("charge", 900, 127),
        ("refund", -100, 0),
        ("refund", -200, 0),
        ("refund failed", 200, 0),
        ("dispute", -500, 1500),
        ("dispute won", 500, 0),
    ]
    assert [entry.is_refund_by_hand("o-1") for entry in found] == [False, False, True, False, False, False]
    assert found[1].is_refund_by_hand("o-2")


def test_the_accounts_own_fees_and_payouts_name_no_payment(world: World) -> None:
    world.world.set_rules(balance_delay_s=0, available_after_days=0)
    world.buy("fpx")
    world.world.charge_account(150)
    (made,) = world.world.pay_out()
    _, fee, payout = world.entries()
    assert (fee.what, fee.amount_minor, fee.fee_minor) == ("fee", 0, 150)
    assert (payout.what, payout.amount_minor, payout.source) == ("payout", -made["amount"], made["id"])
    assert (fee.payment_intent, payout.payment_intent, fee.claims) == (None, None, None)


def test_somebody_elses_payment_claims_nothing(world: World) -> None:
    world.world.set_rules(balance_delay_s=0)
    world.world.pay(world.visit_shop(), "fpx", wait=False)
    (entry,) = world.entries()
    assert (entry.what, entry.amount_minor, entry.claims, entry.mark) == ("charge", 4_900, None, None)


def test_entries_come_in_pages_newest_first_and_only_of_the_time_asked_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_gateway, "_PAGE", 2)
    world.world.set_rules(balance_delay_s=0)
    for number in range(5):
        world.buy("fpx", f"o-{number}")
        world.world.advance(100)
    every = world.entries()
    assert [entry.claims.order_id for entry in every if entry.claims] == [f"o-{n}" for n in range(5)]
    since_ms, until_ms = every[1].created_ms, every[3].created_ms
    page = world.balance.read_entries(since_ms=since_ms, until_ms=until_ms)
    assert list(page.entries) == [every[2], every[1]]
    assert page.after is None
    assert world.balance.read_entries(since_ms=since_ms + 1, until_ms=until_ms + 1).entries == (every[3], every[2])


def test_a_payout_is_on_its_way_then_paid_or_fails(world: World) -> None:
    world.world.set_rules(balance_delay_s=0, available_after_days=0)
    world.buy("fpx")
    began_ms = world.now_ms - 1000
    (made,) = world.world.pay_out()
    (payout,) = world.balance.read_payouts(since_ms=began_ms, until_ms=began_ms + 3_600_000).payouts
    assert (payout.payout_id, payout.amount_minor, payout.status) == (made["id"], 773, "in_transit")
    assert payout.arrives_ms - payout.created_ms == DAY_S * 1000
    assert world.balance.read_payouts(since_ms=0, until_ms=began_ms).payouts == ()
    world.world.advance(DAY_S)
    (payout,) = world.balance.read_payouts(since_ms=began_ms, until_ms=began_ms + 3_600_000).payouts
    assert (payout.status, payout.failure) == ("paid", "")
    world.world.fail_payout(made["id"])
    (payout,) = world.balance.read_payouts(since_ms=began_ms, until_ms=began_ms + 3_600_000).payouts
    assert payout.status == "failed"
    assert "closed" in payout.failure


def test_a_payout_lists_what_it_is_of_once_stripe_has_sorted_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stripe_gateway, "_PAGE", 2)
    world.world.set_rules(balance_delay_s=0, available_after_days=0)
    intents = [world.buy("fpx", f"o-{number}") for number in range(2)]
    world.refund_by_hand(intents[0], 100)
    (made,) = world.world.pay_out()
    world.buy("fpx", "o-9")  # after it
    assert world.balance.read_payout(made["id"]).is_listed is False
    world.world.advance(DAY_S)
    assert world.balance.read_payout(made["id"]).is_listed
    first = world.balance.read_entries_of(made["id"])
    second = world.balance.read_entries_of(made["id"], after=first.after)
    assert second.after is None
    found = [*first.entries, *second.entries]
    assert sorted(entry.what for entry in found) == ["charge", "charge", "payout", "refund"]
    assert {entry.payment_intent for entry in found} == {*intents, None}
    assert sum(entry.amount_minor - entry.fee_minor for entry in found) == 0
    with pytest.raises(PaymentsRefused) as refused:
        world.balance.read_payout("po_none")
    assert refused.value.code == "resource_missing"


def test_no_answer_is_no_verdict(world: World) -> None:
    if isinstance(world.payments, SandboxPayments):
        world.payments.fault = lambda _: "before"
    else:
        world.world.fail_next("cut", times=2)
    for read in (world.balance.read_entries, world.balance.read_payouts):
        with pytest.raises(PaymentsUnavailable):
            read(since_ms=0, until_ms=1)
