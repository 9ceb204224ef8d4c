"""Offers that are sold at times only: the price that was shown is the price that counts."""

import pytest

from arcade_cloud.domain.machines import MachineChange
from arcade_cloud.domain.offers import parse_offers
from arcade_cloud.errors import BadRequest
from support.site import START_MS, Site

MINUTE = 60_000
USUAL, HAPPY = parse_offers(["3=5.00MYR", "3=4.00MYR/mon/14:00-14:20"])  # it is Monday, 14:13


@pytest.fixture
def site() -> Site:
    site = Site()
    site.dependencies.operations.machine_set("cab-01", MachineChange(offers=(HAPPY, USUAL)))
    return site


def shown(site: Site) -> list[int]:
    machine = site.dependencies.sales.machine("cab-01")
    return [offer.amount_minor for offer in site.dependencies.sales.offers_shown(machine)]


def later(site: Site, minutes: int) -> None:
    site.now_ms = START_MS + minutes * MINUTE
    site.say_status("cab-01")


def test_an_offer_is_shown_while_it_is_sold(site: Site) -> None:
    assert shown(site) == [400, 500]
    later(site, 7)
    assert shown(site) == [500]


def test_who_opened_the_page_in_time_still_gets_the_price_that_it_shows(site: Site) -> None:
    later(site, 15)
    order = site.dependencies.sales.begin_checkout("cab-01", offer_id=HAPPY.offer_id)
    assert order.amount_minor == 400


def test_long_after_the_end_nothing_is_sold_at_that_price(site: Site) -> None:
    later(site, 17)
    with pytest.raises(BadRequest, match=r"does not sell this at this hour: 3=4.00MYR/mon/14:00-14:20"):
        site.dependencies.sales.begin_checkout("cab-01", offer_id=HAPPY.offer_id)


def test_software_that_names_no_offer_gets_the_first_that_is_sold_now(site: Site) -> None:
    assert site.dependencies.sales.begin_checkout("cab-01").amount_minor == 400
    later(site, 15)
    assert site.dependencies.sales.begin_checkout("cab-01").amount_minor == 500


def test_a_checkout_that_has_begun_keeps_its_price(site: Site) -> None:
    order = site.dependencies.sales.begin_checkout("cab-01", offer_id=HAPPY.offer_id)
    later(site, 29)
    site.pay(order.order_id)
    site.say_ack(order.order_id, delivered=3)
    assert (site.order(order.order_id).state, site.order(order.order_id).amount_minor) == ("settled", 400)


def test_when_it_is_sold_again(site: Site) -> None:
    site.dependencies.operations.machine_set("cab-01", MachineChange(offers=(HAPPY,)))
    later(site, 60)
    assert shown(site) == []
    machine = site.dependencies.sales.machine("cab-01")
    begin_ms = START_MS - (13 * 60 + 20) * 1000
    assert site.dependencies.sales.sold_next_ms(machine) == begin_ms + 7 * 24 * 60 * MINUTE
