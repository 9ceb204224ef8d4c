"""What Stripe refuses to sell is told, is not offered again for a while, and is refused when it is entered."""

from dataclasses import replace

import msgspec
import pytest

from arcade_cloud.domain.machines import MachineChange
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.offers import parse_offers
from arcade_cloud.domain.order import Order
from arcade_cloud.errors import BadRequest, NotReady, PaymentsRefused
from arcade_cloud.ports.payments import Checkout, CheckoutRequest
from arcade_cloud.services.unsellable import AGAIN_MS, too_cheap
from support.site import Site

WHY_NOT = "This cannot be paid for at the moment. The operator has been told."
GOOD = Offer(offer_id="good", credits=3, amount_minor=500, currency="myr")
BAD = Offer(offer_id="bad", credits=5, amount_minor=800, currency="myr", price_id="price_of_nobody")


@pytest.fixture
def site() -> Site:
    """`cab-01` has two offers, the second one with a price that Stripe does not know."""
    site = Site()
    known = site.store.machine("cab-01")
    assert known is not None
    changed = msgspec.structs.replace(known, offers=(GOOD, BAD), version=known.version + 1)
    site.store.put_machine(changed, known.version)
    return site


def told(site: Site) -> list[tuple[str, str]]:
    found = reversed(site.store.recent_alerts(100))
    return [(alert.subject, "end" if alert.recovers else "begin") for alert in found if alert.kind == "unsellable"]


def buy(site: Site, offer_id: str) -> Order:
    site.say_status("cab-01")
    return site.cloud.sales.begin_checkout("cab-01", offer_id=offer_id)


def page(site: Site) -> str:
    site.say_status("cab-01")
    return site.client.get("/m/cab-01").text


def test_an_offer_that_stripe_refuses_is_told_once_and_the_others_are_sold(site: Site) -> None:
    assert WHY_NOT not in page(site)
    with pytest.raises(PaymentsRefused):
        buy(site, "bad")
    assert told(site) == [("cab-01 bad", "begin")]
    (alert,) = site.store.standing_alerts(10)
    assert "RM 8.00 (offer bad)" in alert.text
    assert "arcade-cloud check" in alert.text
    assert page(site).count(WHY_NOT) == 1
    with pytest.raises(NotReady, match="The operator has been told"):
        buy(site, "bad")
    buy(site, "good")
    assert told(site) == [("cab-01 bad", "begin")]


def test_after_a_while_it_is_offered_again_and_a_checkout_is_its_end(site: Site) -> None:
    with pytest.raises(PaymentsRefused):
        buy(site, "bad")
    site.now_ms += AGAIN_MS
    assert WHY_NOT not in page(site)
    with pytest.raises(PaymentsRefused):
        buy(site, "bad")
    assert told(site) == [("cab-01 bad", "begin")]
    site.payments.stripe.add_price("price_of_nobody", 800)
    site.now_ms += AGAIN_MS
    buy(site, "bad")
    assert told(site) == [("cab-01 bad", "begin"), ("cab-01 bad", "end")]


def test_where_only_an_amount_is_refused_the_other_quantities_are_sold(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = site.payments.create_checkout

    def create_checkout(request: CheckoutRequest, *, key: str) -> Checkout:
        if request.quantity == 1:
            raise PaymentsRefused("amount_too_small", "creating a checkout: it must add up to at least RM2.00")
        return real(request, key=key)

    monkeypatch.setattr(site.payments, "create_checkout", create_checkout)
    with pytest.raises(PaymentsRefused):
        buy(site, "good")
    site.cloud.sales.begin_checkout("cab-01", offer_id="good", quantity=2)
    assert told(site) == [("cab-01 good x1", "begin")]
    with pytest.raises(NotReady):
        buy(site, "good")


def test_a_price_for_all_machines_that_stripe_does_not_show_leaves_a_page_that_sells_nothing() -> None:
    site = Site(stripe_price_id="price_of_nobody")
    assert "You cannot pay by phone here yet" in page(site)
    assert "Not available yet" in site.client.get("/kiosk/cab-01").text
    page(site)
    assert told(site) == [("cab-01", "begin")]
    site.payments.stripe.add_price("price_of_nobody", 300)
    site.cloud.sales.begin_checkout("cab-01")
    assert told(site) == [("cab-01", "begin"), ("cab-01", "end")]


def test_other_offers_end_what_was_refused(site: Site) -> None:
    with pytest.raises(PaymentsRefused):
        buy(site, "bad")
    site.cloud.operations.machine_set("cab-01", MachineChange(name="Street Fighter"))
    assert told(site) == [("cab-01 bad", "begin")]
    site.cloud.operations.machine_set("cab-01", MachineChange(offers=(GOOD,)))
    assert told(site) == [("cab-01 bad", "begin"), ("cab-01 bad", "end")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("5=8.00MYR@price_of_nobody", "Stripe refuses the price price_of_nobody"),
        ("5=8.00MYR@price_other", "price_other is RM 7.00 at Stripe, not RM 8.00: payments would be given back"),
    ],
)
def test_what_stripe_would_refuse_is_refused_when_it_is_entered(site: Site, text: str, fault: str) -> None:
    site.payments.stripe.add_price("price_other", 700)
    change = MachineChange(offers=parse_offers(["3=5.00MYR", text]))
    before = site.store.machine("cab-01")
    for enter in (
        lambda: site.cloud.operations.machine_set("cab-01", change),
        lambda: site.cloud.operations.machine_add("cab-02", change),
    ):
        with pytest.raises(BadRequest, match=fault):
            enter()
    assert site.store.machine("cab-01") == before
    assert site.store.machine("cab-02") is None


MIXED = (GOOD, msgspec.structs.replace(GOOD, offer_id="sgd", currency="sgd", price_id=None))


def test_offers_in_several_currencies_are_refused_on_entry_before_stripe_is_asked(site: Site) -> None:
    """A player's page, and a month's books, would have sums that cannot be added."""
    before, asked = site.store.machine("cab-01"), len(site.payments.calls)
    for enter in (site.cloud.operations.machine_set, site.cloud.operations.machine_add):
        machine_id = "cab-01" if enter == site.cloud.operations.machine_set else "cab-02"
        with pytest.raises(BadRequest, match=r"^offers: a machine sells in one currency, not in MYR and SGD"):
            enter(machine_id, MachineChange(offers=MIXED))
    assert site.store.machine("cab-01") == before
    assert site.store.machine("cab-02") is None
    assert len(site.payments.calls) == asked


def test_a_machine_of_before_with_several_currencies_sells_on_can_be_changed_and_is_named_by_check(
    site: Site,
) -> None:
    known = site.store.machine("cab-01")
    assert known is not None
    old = msgspec.structs.replace(known, offers=MIXED, version=known.version + 1)
    site.store.put_machine(old, known.version)
    assert buy(site, "sgd").currency == "sgd"
    _, after = site.cloud.operations.machine_set("cab-01", MachineChange(name="Street Fighter"))
    assert (after.name, after.offers) == ("Street Fighter", MIXED)
    found = {one.name: one.wrong for one in site.self_check.offers()}
    assert "one currency, not in MYR and SGD" in (found["machine cab-01, offers"] or "")
    _, after = site.cloud.operations.machine_set("cab-01", MachineChange(offers=MIXED[1:]))
    assert after.offers == MIXED[1:], "one other currency is fine"


def test_while_stripe_cannot_be_asked_offers_are_taken(site: Site) -> None:
    site.payments.fault = lambda name: "before" if name == "read_price" else None
    offers = parse_offers(["5=8.00MYR@price_of_nobody"])
    site.cloud.operations.machine_set("cab-01", MachineChange(offers=offers))
    found = site.store.machine("cab-01")
    assert found is not None
    assert found.offers == offers


def test_check_names_the_machine_and_the_offer(site: Site) -> None:
    known = site.store.machine("cab-01")
    assert known is not None
    cheap = Offer(offer_id="cheap", credits=1, amount_minor=150, currency="myr")
    changed = msgspec.structs.replace(known, offers=(GOOD, BAD, cheap), version=known.version + 1)
    site.store.put_machine(changed, known.version)

    found = {one.name: one.wrong for one in site.self_check.offers()}
    said = found["machine cab-01, offers"] or ""
    assert "offer bad: Stripe refuses the price price_of_nobody" in said
    assert "offer cheap: RM 1.50 is less than RM 2.00, the least that Stripe charges" in said
    assert "offer good" not in said


def test_where_stripe_publishes_no_least_amount_nothing_is_too_cheap() -> None:
    assert too_cheap(msgspec.structs.replace(GOOD, currency="kwd", amount_minor=10)) is None


def test_a_clock_that_is_set_back_takes_no_offer_off_for_longer(site: Site) -> None:
    monotonic_ms = 0
    unsellable = replace(site.cloud.sales.unsellable, monotonic_ms=lambda: monotonic_ms)
    machine = site.store.machine("cab-01")
    assert machine is not None
    site.now_ms += 8 * 3_600_000
    unsellable.refused(machine, BAD, 1, PaymentsRefused("resource_missing", "No such price"))
    site.now_ms -= 8 * 3_600_000
    monotonic_ms += AGAIN_MS - 1
    assert unsellable.why_not(machine, BAD, 1) == WHY_NOT
    monotonic_ms += 1
    assert unsellable.why_not(machine, BAD, 1) is None
