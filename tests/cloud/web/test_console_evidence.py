"""An order as evidence in a dispute, and the last four digits of the card, which are for the operator's people."""

import pytest

from arcade_cloud.domain.people import Role
from support.console import Console
from support.pages import words
from support.site import Site


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def console(site: Site) -> Console:
    return Console(site, Role.OWNER)


def bought(site: Site, credits: int = 3, delivered: int | None = None) -> str:
    """An order that was paid, delivered and captured; its id."""
    order_id = site.begin(credits)
    site.pay(order_id)
    site.say_ack(order_id, delivered=credits if delivered is None else delivered)
    site.deliver_events()
    assert site.order(order_id).state == "settled"
    return order_id


def test_an_order_is_found_by_the_last_four_digits(site: Site, console: Console) -> None:
    site.payments.stripe.world.set_rules(card_last4="0341")
    order_id = bought(site)
    site.payments.stripe.world.set_rules(card_last4="4242")
    other = bought(site)
    page = console.get("/console/orders", q="0341")
    assert f"/console/orders/{order_id}" in page.text
    assert other not in page.text
    assert "card, ends in 0341" in words(console.get(f"/console/orders/{order_id}"))
    assert "ends in 9999" in words(console.get("/console/orders", q="9999"))


def test_only_people_see_the_digits(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    site.software.endpoints.add("https://shop.example/hook", ["play.delivered", "order.refunded"], by="ann")
    site.payments.stripe.world.set_rules(card_last4="0341")
    order_id = bought(site, 3, delivered=1)
    site.software.delivery.run_once()
    assert site.order(order_id).last4 == "0341"
    assert len(site.poster.posted) == 2
    seen = [body.decode() for _, body, _ in site.poster.posted]
    seen += [
        site.client.get(path).text for path in (f"/m/cab-01/o/{order_id}", f"/m/cab-01/o/{order_id}?format=json")
    ]
    seen += [alert.text for alert in site.store.recent_alerts(100)] + [caplog.text]
    for text in seen:
        assert "0341" not in text
