"""What every way to Stripe promises: one suite, run on the real gateway and on the simulation's own model.

The gateway talks through the real library to the sandbox, over HTTP and in this process. Whatever differs between
the sides would make the simulation lie.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Protocol

import pytest

from arcade_cloud.adapters.stripe import gateway as stripe_gateway
from arcade_cloud.adapters.stripe.events import interpret
from arcade_cloud.adapters.stripe.gateway import StripeGateway
from arcade_cloud.domain.effects import PARTIAL_CAPTURE
from arcade_cloud.domain.money import Offer, Payment, kept_for
from arcade_cloud.errors import PaymentsRefused, PaymentsUnavailable
from arcade_cloud.ports.payments import Belongs, Checkout, CheckoutRequest, Payments, Report
from arcade_sandbox.stripe.sandbox import StripeSandbox
from arcade_sandbox.stripe.world import StripeWorld
from contracts.simulated import SimulatedStripe
from simulation import account_payments
from support.sandbox_account import SandboxAccount
from support.sandbox_payments import SandboxPayments

HOUR_MS = 3_600_000
Outcome = Literal["succeeded", "failed"]


class World(Protocol):
    """Stripe from the other side: what players, banks, time and the operator do."""

    @property
    def payments(self) -> Payments: ...
    def now_ms(self) -> int: ...
    def pay(self, session_id: str, method: str = "card") -> str: ...
    def settle_async(self, payment_intent: str, *, succeed: bool) -> None: ...
    def expire_hold(self, payment_intent: str) -> None: ...
    def finish_refund(self, payment_intent: str, outcome: Outcome) -> None: ...
    def refund_by_hand(self, payment_intent: str, amount: int) -> None: ...
    def open_dispute(self, payment_intent: str, amount: int | None = None) -> None: ...
    def close_dispute(self, payment_intent: str, outcome: Literal["won", "lost"]) -> None: ...
    def advance(self, seconds: int) -> None: ...
    def add_price(self, price_id: str, amount: int, label: str, *, active: bool = True) -> None: ...
    def visit_link(self, price_id: str, quantity: int, client_reference_id: str) -> str: ...
    def refuse_partial_capture(self) -> None: ...
    def ask_the_least(self) -> None: ...
    def fail_next(self, when: Literal["before", "after"]) -> None: ...
    def events(self) -> list[dict[str, Any]]: ...


class SandboxWorld(SandboxAccount):
    """The sandbox behind its web server, and the gateway as the cloud has it."""

    def __init__(self, world: StripeWorld, payments: Payments) -> None:
        super().__init__(world)
        self.payments = payments

    def now_ms(self) -> int:
        return int(self.world.clock.now_s() * 1000)

    def advance(self, seconds: int) -> None:
        self.world.advance(seconds)

    def refuse_partial_capture(self) -> None:
        self.world.set_rules(refuse_partial_capture=True)

    def ask_the_least(self) -> None:
        self.world.set_rules(enforce_smallest_charge=True)

    def fail_next(self, when: Literal["before", "after"]) -> None:
        self.world.fail_next("cut", when)

    def events(self) -> list[dict[str, Any]]:
        return self.take_events()


class InProcessWorld(SandboxWorld):
    """The sandbox without a socket, and the gateway as most tests have it."""

    def __init__(self) -> None:
        self._in_process = SandboxPayments(lambda: time.time_ns() // 1_000_000)
        super().__init__(self._in_process.stripe.world, self._in_process)

    def fail_next(self, when: Literal["before", "after"]) -> None:
        planned: list[Literal["before", "after"]] = [when]
        self._in_process.fault = lambda _: planned.pop() if planned else None


@pytest.fixture(params=["in process", "simulated", "over HTTP"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param != "over HTTP":
        yield InProcessWorld() if request.param == "in process" else SimulatedStripe()
        return
    with StripeSandbox() as sandbox:
        yield SandboxWorld(sandbox, StripeGateway("sk_test_gateway", api_base=sandbox.base_url, retries=0))


def _request(world: World, order_id: str = "o-1", **fields: Any) -> CheckoutRequest:
    values: dict[str, Any] = {
        "order_id": order_id,
        "machine_id": "cab-01",
        "machine_name": "Daytona USA",
        "offer": Offer(offer_id="three", credits=3, amount_minor=900, currency="myr"),
        "quantity": 1,
        "success_url": "https://arcade.example/done",
        "cancel_url": "https://arcade.example/back",
        "expires_at_ms": world.now_ms() + 31 * 60_000,
        "site": "arcade.example",
        "mark": "5e" * 32,
    }
    return CheckoutRequest(**{**values, **fields})


def _bought(world: World, method: str = "card", order_id: str = "o-1", **fields: Any) -> tuple[Checkout, str]:
    checkout = world.payments.create_checkout(_request(world, order_id, **fields), key=f"checkout:{order_id}")
    return checkout, world.pay(checkout.session_id, method)


def _refused(call: Callable[[], object]) -> str:
    with pytest.raises(PaymentsRefused) as refusal:
        call()
    return refusal.value.code


# checkouts


def test_a_new_checkout_is_open_and_names_its_order(world: World) -> None:
    request = _request(world)
    made = world.payments.create_checkout(request, key="k")
    assert made.status == "open"
    assert made.url is not None
    assert made.url.startswith("http")
    assert made.expires_at_ms == request.expires_at_ms // 1000 * 1000
    assert (made.payment, made.price_ids) == (None, None)
    found = world.payments.read_checkout(made.session_id)
    assert (found.session_id, found.status, found.payment) == (made.session_id, "open", None)


def test_a_checkout_of_a_configured_price_shows_price_and_quantity(world: World) -> None:
    world.add_price("price_one", 250, "1 credit")
    offer = Offer(offer_id="one", credits=1, amount_minor=250, currency="myr", price_id="price_one")
    checkout, payment_intent = _bought(world, offer=offer, quantity=4)
    assert world.payments.read_checkout(checkout.session_id).price_ids == {"price_one": 4}
    assert world.payments.read_payment(payment_intent).amount_minor == 1_000


def test_a_checkout_expires_by_itself_and_cannot_be_paid_then(world: World) -> None:
    checkout = world.payments.create_checkout(_request(world), key="k")
    world.advance(32 * 60)
    found = world.payments.read_checkout(checkout.session_id)
    assert (found.status, found.url) == ("expired", None)
    with pytest.raises(ValueError, match="expired"):
        world.pay(checkout.session_id)


def test_a_checkout_must_not_end_too_soon(world: World) -> None:
    soon = _request(world, expires_at_ms=world.now_ms() + 60_000)
    assert _refused(lambda: world.payments.create_checkout(soon, key="k")) == "invalid_request_error"


def test_a_checkout_of_a_payment_link_shows_what_was_bought_and_for_which_machine(world: World) -> None:
    world.add_price("price_one", 250, "1 credit")
    session_id = world.visit_link("price_one", 3, "cab-07")
    payment_intent = world.pay(session_id)
    found = world.payments.read_checkout(session_id)
    assert found.price_ids == {"price_one": 3}
    assert found.payment is not None
    assert (found.payment.payment_intent, found.payment.status) == (payment_intent, "succeeded")
    (reported,) = [report for report in map(interpret, world.events()) if report.session_id == session_id]
    assert reported.client_reference_id == "cab-07"


def _tab(world: World, order_id: str = "tab-1", limit_minor: int = 2000) -> CheckoutRequest:
    offer = Offer(offer_id="tab", credits=1, amount_minor=limit_minor, currency="myr", label="Tab: up to RM 20.00")
    return _request(world, order_id, offer=offer, is_tab=True)


@pytest.mark.parametrize("method", ["link", "fpx", "grabpay"])
def test_a_tab_offers_only_what_is_held_and_says_until_when(world: World, method: str) -> None:
    checkout = world.payments.create_checkout(_tab(world), key="k")
    with pytest.raises(ValueError, match=method):
        world.pay(checkout.session_id, method)
    payment = world.payments.read_payment(world.pay(checkout.session_id, "card"))
    assert (payment.status, payment.capturable_minor, payment.received_minor) == ("requires_capture", 2000, 0)
    assert payment.capture_before_ms is not None


def test_of_a_tab_a_part_is_captured_once_and_the_rest_is_let_go(world: World) -> None:
    checkout = world.payments.create_checkout(_tab(world), key="k")
    payment_intent = world.pay(checkout.session_id, "card")
    world.payments.capture(payment_intent, 600, key="capture:tab-1:600:1", mark="600.x")
    world.payments.capture(payment_intent, 600, key="capture:tab-1:600:1", mark="600.x")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.status, payment.received_minor, payment.capturable_minor) == ("succeeded", 600, 0)
    assert payment.amount_minor == 2000
    assert payment.capture_mark == "600.x"
    _refused(lambda: world.payments.capture(payment_intent, 700, key="capture:tab-1:700:2"))
    world.payments.refund(payment_intent, 200, key="refund:tab-1:400:3")
    assert world.payments.read_payment(payment_intent).kept_minor == 400
    assert world.payments.read_payment(payment_intent).received_minor == 600


def test_of_a_tab_no_more_than_its_limit_is_captured(world: World) -> None:
    checkout = world.payments.create_checkout(_tab(world), key="k")
    payment_intent = world.pay(checkout.session_id, "card")
    assert _refused(lambda: world.payments.capture(payment_intent, 2001, key="k2")) == "amount_too_large"
    world.payments.cancel(payment_intent, key="k3")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.status, payment.capturable_minor, payment.kept_minor) == ("canceled", 0, 0)


# what was paid


def _paid_now(world: World, before_ms: int, payment: Payment) -> bool:
    return payment.paid_at_ms is not None and before_ms - 1_000 <= payment.paid_at_ms <= world.now_ms()


@pytest.mark.parametrize("method", ["card", "link"])
def test_cards_and_link_are_held(world: World, method: str) -> None:
    before_ms = world.now_ms()
    checkout, payment_intent = _bought(world, method)
    payment = world.payments.read_payment(payment_intent)
    assert payment.status == "requires_capture"
    assert (payment.amount_minor, payment.currency) == (900, "myr")
    assert (payment.capturable_minor, payment.received_minor, payment.refunded_minor) == (900, 0, 0)
    assert payment.has_money
    assert payment.dispute == "none"
    assert _paid_now(world, before_ms, payment)
    assert (payment.capture_before_ms is not None) == (method == "card")
    assert payment.method == method
    assert payment.last4 == ("4242" if method == "card" else None)
    found = world.payments.read_checkout(checkout.session_id)
    assert (found.status, found.payment) == ("complete", payment)


@pytest.mark.parametrize("method", ["fpx", "grabpay"])
def test_other_methods_are_charged_at_once(world: World, method: str) -> None:
    before_ms = world.now_ms()
    _, payment_intent = _bought(world, method)
    payment = world.payments.read_payment(payment_intent)
    assert (payment.status, payment.received_minor, payment.capturable_minor) == ("succeeded", 900, 0)
    assert payment.kept_minor == 900
    assert payment.capture_before_ms is None
    assert (payment.method, payment.last4) == (method, None)
    assert _paid_now(world, before_ms, payment)


def test_a_declined_card_leaves_the_checkout_open(world: World) -> None:
    checkout, payment_intent = _bought(world, "card_declined")
    found = world.payments.read_checkout(checkout.session_id)
    assert found.status == "open"
    assert found.payment is not None
    assert found.payment.status == "requires_payment_method"
    assert not found.payment.has_money
    assert found.payment.paid_at_ms is None
    assert world.pay(checkout.session_id) == payment_intent
    assert world.payments.read_payment(payment_intent).has_money


@pytest.mark.parametrize("succeed", [True, False])
def test_a_bank_may_take_its_time(world: World, succeed: bool) -> None:
    checkout, payment_intent = _bought(world, "fpx_later")
    waiting = world.payments.read_payment(payment_intent)
    assert (waiting.status, waiting.has_money, waiting.paid_at_ms) == ("processing", False, None)
    assert world.payments.read_checkout(checkout.session_id).status == "complete"
    world.settle_async(payment_intent, succeed=succeed)
    payment = world.payments.read_payment(payment_intent)
    assert payment.status == ("succeeded" if succeed else "requires_payment_method")
    assert payment.received_minor == (900 if succeed else 0)


# holds


@pytest.mark.parametrize("amount", [900, 600, 200])
def test_a_capture_takes_its_amount_and_lets_go_of_the_rest(world: World, amount: int) -> None:
    _, payment_intent = _bought(world)
    world.payments.capture(payment_intent, amount, key="c")
    payment = world.payments.read_payment(payment_intent)
    assert payment.status == "succeeded"
    assert (payment.received_minor, payment.capturable_minor) == (amount, 0)
    assert (payment.refunded_minor, payment.kept_minor) == (0, amount)


def test_a_payment_shows_the_mark_of_its_capture(world: World) -> None:
    _, payment_intent = _bought(world)
    assert world.payments.read_payment(payment_intent).capture_mark is None
    world.payments.capture(payment_intent, 600, key="c", mark="600.abc")
    assert world.payments.read_payment(payment_intent).capture_mark == "600.abc"


def test_a_hold_is_captured_once(world: World) -> None:
    _, payment_intent = _bought(world)
    world.payments.capture(payment_intent, 600, key="c")
    again = _refused(lambda: world.payments.capture(payment_intent, 300, key="other"))
    assert again == "payment_intent_unexpected_state"
    assert world.payments.read_payment(payment_intent).received_minor == 600


def test_more_than_is_held_can_not_be_captured(world: World) -> None:
    _, payment_intent = _bought(world)
    assert _refused(lambda: world.payments.capture(payment_intent, 901, key="c")) == "amount_too_large"
    assert world.payments.read_payment(payment_intent).capturable_minor == 900


def test_a_partial_capture_may_be_refused_and_a_whole_one_works(world: World) -> None:
    _, payment_intent = _bought(world)
    world.refuse_partial_capture()
    assert _refused(lambda: world.payments.capture(payment_intent, 600, key="part")) == PARTIAL_CAPTURE
    world.payments.capture(payment_intent, 900, key="whole")
    world.payments.refund(payment_intent, 300, key="rest")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.received_minor, payment.refunded_minor, payment.kept_minor) == (900, 300, 600)


def test_a_part_below_the_smallest_charge_is_refused_as_a_part(world: World) -> None:
    world.ask_the_least()
    _, payment_intent = _bought(world)
    assert _refused(lambda: world.payments.capture(payment_intent, 199, key="part")) == PARTIAL_CAPTURE
    world.payments.capture(payment_intent, 900, key="whole")
    world.payments.refund(payment_intent, 701, key="rest")
    assert world.payments.read_payment(payment_intent).kept_minor == 199, "less may be left after a refund"


def test_a_checkout_below_the_smallest_charge_is_refused(world: World) -> None:
    world.ask_the_least()
    cheap = _request(world, offer=Offer(offer_id="one", credits=1, amount_minor=199, currency="myr"))
    assert _refused(lambda: world.payments.create_checkout(cheap, key="k")) == "amount_too_small"


@pytest.mark.parametrize(("currency", "step"), [("kwd", 10), ("tnd", 10), ("isk", 100), ("ugx", 100)])
def test_money_moves_in_the_steps_of_its_currency(world: World, currency: str, step: int) -> None:
    def offer(amount: int) -> Offer:
        return Offer(offer_id="three", credits=3, amount_minor=amount, currency=currency)

    odd = _request(world, offer=offer(90 * step + 1))
    assert _refused(lambda: world.payments.create_checkout(odd, key="odd")) == "parameter_invalid_integer"
    _, payment_intent = _bought(world, offer=offer(90 * step))
    assert _refused(lambda: world.payments.capture(payment_intent, 60 * step - 1, key="c1")) == PARTIAL_CAPTURE
    kept = kept_for(90 * step, 2, 3, currency)
    world.payments.capture(payment_intent, kept, key="c")
    assert _refused(lambda: world.payments.refund(payment_intent, 1, key="r1")) == "parameter_invalid_integer"
    world.payments.refund(payment_intent, kept - kept_for(90 * step, 1, 7, currency), key="r2")
    assert world.payments.read_payment(payment_intent).kept_minor == kept_for(90 * step, 1, 7, currency)


def test_a_cancelled_hold_takes_nothing(world: World) -> None:
    _, payment_intent = _bought(world)
    world.payments.cancel(payment_intent, key="x")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.status, payment.has_money, payment.kept_minor) == ("canceled", False, 0)
    assert (payment.received_minor, payment.capturable_minor, payment.refunded_minor) == (0, 0, 0)
    again = _refused(lambda: world.payments.cancel(payment_intent, key="again"))
    assert again == "payment_intent_unexpected_state"
    captured = _refused(lambda: world.payments.capture(payment_intent, 900, key="c"))
    assert captured == "payment_intent_unexpected_state"


def test_what_was_captured_can_not_be_cancelled(world: World) -> None:
    _, payment_intent = _bought(world)
    world.payments.capture(payment_intent, 900, key="c")
    assert _refused(lambda: world.payments.cancel(payment_intent, key="x")) == "payment_intent_unexpected_state"


@pytest.mark.parametrize("by_time", [True, False])
def test_a_hold_lapses(world: World, by_time: bool) -> None:
    _, payment_intent = _bought(world)
    if by_time:
        world.advance(7 * 24 * 3600 + 1)
    else:
        world.expire_hold(payment_intent)
    payment = world.payments.read_payment(payment_intent)
    assert (payment.status, payment.capturable_minor) == ("canceled", 0)
    refused = _refused(lambda: world.payments.capture(payment_intent, 900, key="c"))
    assert refused == "payment_intent_unexpected_state"


# refunds


def test_refunds_add_up_and_end(world: World) -> None:
    _, payment_intent = _bought(world)
    world.payments.capture(payment_intent, 900, key="c")
    world.payments.refund(payment_intent, 200, key="r1")
    world.refund_by_hand(payment_intent, 300)
    payment = world.payments.read_payment(payment_intent)
    assert (payment.refunded_minor, payment.refunds_failed) == (500, 0)
    assert payment.kept_minor == 400
    assert _refused(lambda: world.payments.refund(payment_intent, 401, key="r2")) == "invalid_request_error"
    world.payments.refund(payment_intent, 400, key="r3")
    assert world.payments.read_payment(payment_intent).kept_minor == 0
    assert _refused(lambda: world.payments.refund(payment_intent, 1, key="r4")) == "charge_already_refunded"


def test_after_a_partial_capture_only_what_was_taken_can_go_back(world: World) -> None:
    _, payment_intent = _bought(world)
    world.payments.capture(payment_intent, 600, key="c")
    assert _refused(lambda: world.payments.refund(payment_intent, 601, key="r1")) == "invalid_request_error"
    world.payments.refund(payment_intent, 600, key="r2")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.received_minor, payment.refunded_minor, payment.kept_minor) == (600, 600, 0)


def test_a_hold_can_not_be_refunded(world: World) -> None:
    _, payment_intent = _bought(world)
    assert _refused(lambda: world.payments.refund(payment_intent, 900, key="r")) == "invalid_request_error"


def test_a_refund_on_its_way_counts_until_it_fails(world: World) -> None:
    _, payment_intent = _bought(world, "fpx")
    world.payments.refund(payment_intent, 900, key="r1")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.refunded_minor, payment.refunds_failed) == (900, 0)
    world.finish_refund(payment_intent, "failed")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.refunded_minor, payment.refunds_failed) == (0, 1)
    assert payment.kept_minor == 900
    world.payments.refund(payment_intent, 900, key="r2")
    world.finish_refund(payment_intent, "succeeded")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.refunded_minor, payment.refunds_failed) == (900, 1)


def test_many_refunds_are_all_counted(world: World) -> None:
    """Stripe embeds the latest ten only."""
    _, payment_intent = _bought(world)
    world.payments.capture(payment_intent, 900, key="c")
    for number in range(13):
        world.payments.refund(payment_intent, 10, key=f"r{number}")
    payment = world.payments.read_payment(payment_intent)
    assert payment.refunded_minor == 130


# disputes


@pytest.mark.parametrize(("outcome", "kept"), [("won", 900), ("lost", 0)])
def test_a_dispute_is_open_until_it_is_decided(world: World, outcome: Literal["won", "lost"], kept: int) -> None:
    _, payment_intent = _bought(world, "grabpay")
    world.open_dispute(payment_intent)
    assert world.payments.read_payment(payment_intent).dispute == "open"
    assert _refused(lambda: world.payments.refund(payment_intent, 900, key="r1")) == "charge_disputed"
    world.close_dispute(payment_intent, outcome)
    payment = world.payments.read_payment(payment_intent)
    assert (payment.dispute, payment.kept_minor) == (outcome, kept)


def test_disputes_take_the_amounts_that_they_name_and_the_rest_can_go_back(world: World) -> None:
    _, payment_intent = _bought(world, "grabpay")
    for amount, outcome in ((50, "lost"), (100, "won"), (30, "lost")):
        world.open_dispute(payment_intent, amount)
        assert _refused(lambda: world.payments.refund(payment_intent, 10, key="r")) == "charge_disputed"
        world.close_dispute(payment_intent, outcome)  # type: ignore[arg-type]  # one of the two
        world.advance(86_401)  # the key of a refusal is forgotten
    payment = world.payments.read_payment(payment_intent)
    assert (payment.dispute, payment.lost_minor, payment.kept_minor) == ("lost", 80, 820)
    assert _refused(lambda: world.payments.refund(payment_intent, 821, key="r1")) == "invalid_request_error"
    world.payments.refund(payment_intent, 520, key="r2")
    assert world.payments.read_payment(payment_intent).kept_minor == 300


def test_a_dispute_that_was_won_lets_refunds_through_again(world: World) -> None:
    _, payment_intent = _bought(world, "grabpay")
    world.open_dispute(payment_intent)
    world.close_dispute(payment_intent, "won")
    world.payments.refund(payment_intent, 900, key="r")
    assert world.payments.read_payment(payment_intent).kept_minor == 0


# prices


def test_a_price_is_read_with_its_name(world: World) -> None:
    world.add_price("price_one", 250, "1 credit")
    price = world.payments.read_price("price_one")
    assert (price.price_id, price.amount_minor, price.currency, price.label) == (
        "price_one",
        250,
        "myr",
        "1 credit",
    )


def test_a_price_that_is_switched_off_is_no_offer(world: World) -> None:
    world.add_price("price_old", 250, "1 credit", active=False)
    assert _refused(lambda: world.payments.read_price("price_old")) == "unusable_price"


@pytest.mark.parametrize(
    "call",
    [
        lambda payments: payments.read_payment("pi_nobody"),
        lambda payments: payments.read_checkout("cs_test_nobody"),
        lambda payments: payments.read_price("price_nobody"),
        lambda payments: payments.capture("pi_nobody", 1, key="c"),
        lambda payments: payments.cancel("pi_nobody", key="x"),
        lambda payments: payments.refund("pi_nobody", 1, key="r"),
    ],
)
def test_what_does_not_exist_is_refused(world: World, call: Callable[[Payments], object]) -> None:
    assert _refused(lambda: call(world.payments)) == "resource_missing"


def test_a_good_key_passes_the_check(world: World) -> None:
    world.payments.check()


# keys


def test_the_same_key_does_its_work_once(world: World) -> None:
    request = _request(world)
    first = world.payments.create_checkout(request, key="k")
    again = world.payments.create_checkout(request, key="k")
    assert first.session_id == again.session_id
    payment_intent = world.pay(first.session_id)
    for _ in range(3):
        world.payments.capture(payment_intent, 600, key="c")
        world.payments.refund(payment_intent, 100, key="r")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.received_minor, payment.refunded_minor) == (600, 100)


def test_a_key_remembers_a_refusal_too(world: World) -> None:
    """What was refused under a key stays refused under it, even if it would work by now."""
    _, payment_intent = _bought(world, "fpx_later")
    refused = _refused(lambda: world.payments.refund(payment_intent, 900, key="r"))
    world.settle_async(payment_intent, succeed=True)
    assert _refused(lambda: world.payments.refund(payment_intent, 900, key="r")) == refused
    world.payments.refund(payment_intent, 900, key="another")
    assert world.payments.read_payment(payment_intent).refunded_minor == 900


def test_a_key_is_for_one_request(world: World) -> None:
    _, payment_intent = _bought(world)
    world.payments.capture(payment_intent, 600, key="k")
    assert _refused(lambda: world.payments.capture(payment_intent, 500, key="k")) == "idempotency_error"
    assert _refused(lambda: world.payments.refund(payment_intent, 600, key="k")) == "idempotency_error"


def test_a_key_is_forgotten_after_a_day(world: World) -> None:
    """This is why an effect older than an hour is never carried out: the key no longer protects."""
    _, payment_intent = _bought(world, "grabpay")
    world.payments.refund(payment_intent, 100, key="r")
    world.advance(23 * 3600)
    world.payments.refund(payment_intent, 100, key="r")
    assert world.payments.read_payment(payment_intent).refunded_minor == 100
    world.advance(2 * 3600)
    world.payments.refund(payment_intent, 100, key="r")
    assert world.payments.read_payment(payment_intent).refunded_minor == 200


# lost requests and lost answers


def test_a_lost_request_has_done_nothing(world: World) -> None:
    _, payment_intent = _bought(world)
    world.fail_next("before")
    with pytest.raises(PaymentsUnavailable):
        world.payments.capture(payment_intent, 600, key="c")
    assert world.payments.read_payment(payment_intent).status == "requires_capture"
    world.payments.capture(payment_intent, 600, key="c")
    assert world.payments.read_payment(payment_intent).received_minor == 600


def test_a_lost_answer_has_done_its_work_and_the_key_finds_it(world: World) -> None:
    _, payment_intent = _bought(world)
    world.fail_next("after")
    with pytest.raises(PaymentsUnavailable):
        world.payments.capture(payment_intent, 600, key="c")
    assert world.payments.read_payment(payment_intent).received_minor == 600
    world.payments.capture(payment_intent, 600, key="c")
    world.fail_next("after")
    with pytest.raises(PaymentsUnavailable):
        world.payments.refund(payment_intent, 200, key="r")
    world.payments.refund(payment_intent, 200, key="r")
    assert world.payments.read_payment(payment_intent).refunded_minor == 200


def test_a_lost_answer_to_a_new_checkout_is_found_by_its_key(world: World) -> None:
    request = _request(world)
    world.fail_next("after")
    with pytest.raises(PaymentsUnavailable):
        world.payments.create_checkout(request, key="k")
    made = world.payments.create_checkout(request, key="k")
    world.pay(made.session_id)
    assert world.payments.read_checkout(made.session_id).status == "complete"


@pytest.mark.parametrize("when", ["before", "after"])
def test_reading_may_fail_too(world: World, when: Literal["before", "after"]) -> None:
    checkout, payment_intent = _bought(world)
    for call in (
        lambda: world.payments.read_payment(payment_intent),
        lambda: world.payments.read_checkout(checkout.session_id),
        world.payments.check,
    ):
        world.fail_next(when)
        with pytest.raises(PaymentsUnavailable):
            call()
        call()


# what is reported


def _told(world: World) -> list[Report]:
    return [interpret(event) for event in world.events()]


def _outline(reports: list[Report]) -> list[tuple[str, str]]:
    return [(report.what, report.kind) for report in reports]


def test_a_hold_is_reported_with_the_payment_itself(world: World) -> None:
    checkout, payment_intent = _bought(world)
    held, completed = _told(world)
    assert _outline([held, completed]) == [
        ("payment_intent.amount_capturable_updated", "payment"),
        ("checkout.session.completed", "payment"),
    ]
    assert held.payment is not None
    read = world.payments.read_payment(payment_intent)
    assert held.payment.has_money
    assert held.payment.capturable_minor == read.capturable_minor
    assert held.order_id == completed.order_id == "o-1"
    assert held.payment.paid_at_ms == read.paid_at_ms
    assert held.payment_intent == completed.payment_intent == payment_intent
    assert (completed.session_id, completed.client_reference_id) == (checkout.session_id, "o-1")
    assert (completed.machine_id, completed.site) == ("cab-01", "arcade.example")
    assert completed.payment is None


def test_a_charge_is_reported_to_be_read_back(world: World) -> None:
    """The same event may tell of a capture, or of what a slow bank decided, long after the player paid."""
    world.add_price("price_one", 250, "1 credit")
    by_link = world.pay(world.visit_link("price_one", 1, "cab-07"), "card")
    _, by_checkout = _bought(world, "fpx")
    taken = [report for report in _told(world) if report.what == "payment_intent.succeeded"]
    assert [(report.kind, report.payment_intent) for report in taken] == [
        ("payment", by_link),
        ("payment", by_checkout),
    ]
    assert [report.payment for report in taken] == [None, None]


def test_a_session_says_whether_a_static_link_made_it(world: World) -> None:
    world.add_price("price_one", 250, "1 credit")
    world.pay(world.visit_link("price_one", 1, "cab-07"), "fpx")
    _bought(world, "fpx")
    completed = [report for report in _told(world) if report.what == "checkout.session.completed"]
    assert [report.by_link for report in completed] == [True, False]
    assert {report.is_live for report in completed} == {False}


def test_the_mark_is_on_session_and_payment_with_what_they_ask_for(world: World) -> None:
    _bought(world, "card")
    held, completed = _told(world)
    assert (held.mark, held.amount_minor, held.currency) == ("5e" * 32, 900, "myr")
    assert (completed.mark, completed.amount_minor, completed.currency) == ("5e" * 32, 900, "myr")


def test_what_happens_to_a_payment_later_is_reported_as_a_change(world: World) -> None:
    _, payment_intent = _bought(world, "grabpay")
    world.events()
    world.payments.refund(payment_intent, 100, key="r")
    world.finish_refund(payment_intent, "failed")
    world.open_dispute(payment_intent)
    world.close_dispute(payment_intent, "won")
    reports = _told(world)
    assert _outline(reports) == [
        ("refund.created", "changed"),
        ("charge.refunded", "changed"),
        ("refund.failed", "changed"),
        ("refund.updated", "changed"),
        ("charge.dispute.created", "changed"),
        ("charge.dispute.funds_withdrawn", "changed"),
        ("charge.dispute.funds_reinstated", "changed"),
        ("charge.dispute.closed", "changed"),
    ]
    assert {report.payment_intent for report in reports} == {payment_intent}


def test_the_end_of_a_hold_is_reported(world: World) -> None:
    _, cancelled = _bought(world, order_id="o-1")
    _, captured = _bought(world, order_id="o-2")
    world.events()
    world.payments.cancel(cancelled, key="x")
    world.payments.capture(captured, 600, key="c")
    assert _outline(_told(world)) == [
        ("payment_intent.canceled", "changed"),
        ("payment_intent.succeeded", "payment"),
    ]


def test_a_bank_that_says_no_is_reported(world: World) -> None:
    _, payment_intent = _bought(world, "fpx_later")
    world.settle_async(payment_intent, succeed=False)
    assert _outline(_told(world)) == [
        ("payment_intent.processing", "changed"),
        ("checkout.session.completed", "payment"),
        ("payment_intent.payment_failed", "changed"),
        ("checkout.session.async_payment_failed", "checkout_ended"),
    ]


def test_a_bank_that_says_yes_is_reported(world: World) -> None:
    _, payment_intent = _bought(world, "fpx_later")
    world.events()
    world.settle_async(payment_intent, succeed=True)
    assert _outline(_told(world)) == [
        ("payment_intent.succeeded", "payment"),
        ("checkout.session.async_payment_succeeded", "payment"),
    ]


def test_a_checkout_that_nobody_paid_is_reported(world: World) -> None:
    checkout = world.payments.create_checkout(_request(world), key="k")
    world.advance(32 * 60)
    assert world.payments.read_checkout(checkout.session_id).status == "expired"
    (report,) = _told(world)
    assert (report.what, report.kind) == ("checkout.session.expired", "checkout_ended")
    assert (report.order_id, report.session_id, report.payment_intent) == ("o-1", checkout.session_id, None)


def test_a_payment_is_as_old_as_the_players_wish_however_late_its_bank_decides(world: World) -> None:
    """Stripe makes the charge at once, pending; `created` stays."""
    _, payment_intent = _bought(world, "fpx_later")
    began_ms = world.now_ms()
    world.advance(3_600)
    world.settle_async(payment_intent, succeed=True)
    assert (world.payments.read_payment(payment_intent).paid_at_ms or 0) <= began_ms


# the list of events


def _paid_by_link(world: World, count: int) -> list[str]:
    world.add_price("price_one", 250, "1 credit")
    return [world.pay(world.visit_link("price_one", 1, "cab-07"), "fpx") for _ in range(count)]


def test_events_are_listed_as_webhooks_show_them_though_none_was_delivered(world: World) -> None:
    since_ms = world.now_ms()
    (payment_intent,) = _paid_by_link(world, 1)
    page = world.payments.read_events(("checkout.session.completed",), since_ms=since_ms)
    (report,) = page.reports
    assert (report.kind, report.payment_intent, report.client_reference_id) == (
        "payment",
        payment_intent,
        "cab-07",
    )
    assert page.after is None
    assert report.event_id in {event["id"] for event in world.events()}


def test_events_are_listed_by_type_and_from_a_moment_on(world: World) -> None:
    _paid_by_link(world, 1)
    world.advance(3_600)
    assert world.payments.read_events(("checkout.session.completed",), since_ms=world.now_ms()).reports == ()
    both = ("payment_intent.succeeded", "checkout.session.completed")
    page = world.payments.read_events(both, since_ms=world.now_ms() - 2 * HOUR_MS)
    assert [report.what for report in page.reports] == list(reversed(both))


def test_a_long_list_of_events_comes_in_pages_newest_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_gateway, "_PAGE", 2)
    monkeypatch.setattr(account_payments, "EVENTS_OF_A_PAGE", 2)
    paid, kinds = _paid_by_link(world, 3), ("checkout.session.completed",)
    first = world.payments.read_events(kinds, since_ms=0)
    assert (len(first.reports), first.after) == (2, first.reports[-1].event_id)
    rest = world.payments.read_events(kinds, since_ms=0, after=first.after)
    assert rest.after is None
    found = [report.payment_intent for report in (*first.reports, *rest.reports)]
    assert found == paid[::-1]


# many at once


def _at_once(count: int, call: Callable[[int], object]) -> list[object]:
    """What calls that begin together come to: a value, the code of a refusal, or None for no verdict."""
    gate = threading.Barrier(count)

    def run(number: int) -> object:
        gate.wait(10)
        try:
            return call(number)
        except PaymentsRefused as refusal:
            return refusal.code
        except PaymentsUnavailable:
            return None

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_many_that_capture_with_one_key_capture_once(world: World) -> None:
    _, payment_intent = _bought(world)
    _at_once(8, lambda _: world.payments.capture(payment_intent, 600, key="capture:o-1:600"))
    world.payments.capture(payment_intent, 600, key="capture:o-1:600")
    payment = world.payments.read_payment(payment_intent)
    assert (payment.received_minor, payment.capturable_minor, payment.refunded_minor) == (600, 0, 0)


def test_many_that_refund_with_one_key_refund_once(world: World) -> None:
    _, payment_intent = _bought(world, "fpx")
    _at_once(8, lambda _: world.payments.refund(payment_intent, 300, key="refund:o-1:600"))
    world.payments.refund(payment_intent, 300, key="refund:o-1:600")
    assert world.payments.read_payment(payment_intent).refunded_minor == 300


def test_many_that_refund_with_keys_of_their_own_never_give_back_more_than_was_paid(world: World) -> None:
    _, payment_intent = _bought(world, "fpx")
    _at_once(8, lambda number: world.payments.refund(payment_intent, 300, key=f"refund:{number}"))
    assert world.payments.read_payment(payment_intent).refunded_minor == 900


def test_a_capture_and_a_cancellation_at_once_leave_the_one_or_the_other(world: World) -> None:
    for number in range(4):
        _, payment_intent = _bought(world, order_id=f"o-{number}")
        calls = (
            lambda: world.payments.capture(payment_intent, 900, key=f"capture:{payment_intent}"),  # noqa: B023
            lambda: world.payments.cancel(payment_intent, key=f"cancel:{payment_intent}"),  # noqa: B023
        )
        _at_once(2, lambda which: calls[which]())  # noqa: B023 - called before the next turn, as those above
        payment = world.payments.read_payment(payment_intent)
        assert (payment.status, payment.received_minor) in {("succeeded", 900), ("canceled", 0)}
        assert payment.capturable_minor == 0


def test_many_that_make_one_orders_checkout_make_one(world: World) -> None:
    request = _request(world)
    made = _at_once(8, lambda _: world.payments.create_checkout(request, key="checkout:o-1").session_id)
    made.append(world.payments.create_checkout(request, key="checkout:o-1").session_id)
    assert len({session_id for session_id in made if str(session_id).startswith("cs_")}) == 1


# --- what belongs to which payment -----------------------------------------------------------------------


def test_a_checkout_says_which_payment_and_which_order_it_belongs_to(world: World) -> None:
    made = world.payments.create_checkout(_request(world), key="k")
    assert world.payments.belongs_to(made.session_id) == Belongs(payment_intent=None, order_id="o-1")
    intent = world.pay(made.session_id)
    assert world.payments.belongs_to(made.session_id) == Belongs(payment_intent=intent, order_id="o-1")


@pytest.mark.parametrize(
    "stripe_id", ["ch_nobody", "cs_nobody", "re_nobody", "dp_nobody", "pi_nobody", "ord_1", "cs_", ""]
)
def test_what_is_not_there_belongs_to_nothing(world: World, stripe_id: str) -> None:
    assert _refused(lambda: world.payments.belongs_to(stripe_id)) == "resource_missing"


@pytest.mark.parametrize("world", ["in process", "over HTTP"], indirect=True)
def test_charges_refunds_and_disputes_say_which_payment_they_belong_to(world: World) -> None:
    assert isinstance(world, SandboxWorld)
    _, intent = _bought(world, "fpx")
    world.refund_by_hand(intent, 100)
    world.open_dispute(intent, 100)
    with world.world.world() as (state, _):
        charge = state.charge_of(state.known("payment_intent", intent))
        assert charge is not None
        found = [charge["id"], *(thing["id"] for thing in (*state.refunds_on(charge), *state.disputes_on(charge)))]
    assert [stripe_id.partition("_")[0] for stripe_id in found] == ["ch", "re", "du"]
    for stripe_id in found:
        assert world.payments.belongs_to(stripe_id) == Belongs(payment_intent=intent)
