"""An order that nobody paid does not stay for ever, and one that had money always does."""

import pytest

from arcade_cloud.domain.payment import UNPAID_KEPT_S
from support.orders import session_of
from support.site import Site

DAY_MS = 86_400_000
KEPT_MS = 1000 * UNPAID_KEPT_S


@pytest.fixture
def site() -> Site:
    return Site()


def let_time_pass(site: Site, passed_ms: int) -> None:
    """The timer comes whenever something is due."""
    end_ms = site.now_ms + passed_ms
    while (due_ms := site.store.next_due_ms()) is not None and due_ms <= end_ms:
        site.now_ms = max(site.now_ms, due_ms)
        site.cloud.fulfilment.run_once()
    site.now_ms = end_ms


def test_an_order_that_nobody_paid_goes_a_month_after_its_checkout_has_expired(site: Site) -> None:
    order_id = site.begin()
    let_time_pass(site, DAY_MS)
    assert site.order(order_id).state == "abandoned"
    let_time_pass(site, KEPT_MS - 2 * DAY_MS)
    assert site.order(order_id).state == "abandoned"
    page = site.client.get(f"/m/cab-01/o/{order_id}?format=json").get_json()
    assert (page["phase"], page["final"]) == ("not_paid", True)
    asked = len(site.payments.calls)
    let_time_pass(site, 2 * DAY_MS)
    assert site.store.order(order_id) is None
    assert site.store.history(order_id) == []
    assert site.store.next_due_ms() is None
    assert len(site.payments.calls) == asked  # nobody is asked again
    assert site.client.get(f"/m/cab-01/o/{order_id}").status_code == 404


def test_an_order_without_a_checkout_goes_too(site: Site) -> None:
    site.payments.fault = lambda name: "before" if name == "create_checkout" else None
    assert site.client.post("/m/cab-01/checkout").status_code == 503
    let_time_pass(site, KEPT_MS + DAY_MS)
    assert site.store.recent_orders(10) == []


def test_however_many_they_are_they_all_go(site: Site) -> None:
    for _ in range(30):
        site.begin()
    let_time_pass(site, KEPT_MS + DAY_MS)
    assert site.store.recent_orders(10) == []


@pytest.mark.parametrize("method", ["card", "fpx"])
def test_an_order_that_had_money_stays(site: Site, method: str) -> None:
    order_id = site.begin()
    site.pay(order_id, method)
    site.say_ack(order_id, "done", 0)  # and nothing is kept
    let_time_pass(site, 3 * KEPT_MS)
    assert site.order(order_id).state == "settled"
    assert site.store.history(order_id)


def test_an_order_on_which_stripe_never_decided_stays(site: Site) -> None:
    """The player may have paid: Stripe could not be reached for two weeks."""
    order_id = site.begin()
    site.payments.stripe.pay(session_of(site.order(order_id)))
    site.payments.fault = lambda _: "before"
    let_time_pass(site, 2 * KEPT_MS)
    assert site.order(order_id).state == "abandoned"
