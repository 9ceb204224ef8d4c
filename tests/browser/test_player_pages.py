"""The player's pages in a real browser at phone size: they fit, they live, and they lead to the checkout.

ARCADE_PICTURES=folder keeps a picture of every page that is looked at.
"""

import dataclasses
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.money import Offer
from arcade_cloud.ports.payments import Checkout
from support.chromium import Chromium, eventually
from support.orders_shown import orders_in_every_state
from support.served import serve
from support.site import Site

SIZES = [(360, 640), (320, 568)]
# The smallest target that a finger hits without looking, in CSS pixels.
FINGER = 44
# The page looks at once when it comes back into sight: so tests need not wait for its next look.
LOOK_AT_ONCE = "document.dispatchEvent(new Event('visibilitychange'))"
FITS = "document.documentElement.scrollWidth <= innerWidth"


@dataclass(frozen=True)
class ServedSite:
    """The cloud behind a real server, and the page that stands in for Stripe's, on another port."""

    site: Site
    url: str
    checkout_url: str

    def begin(self, credits: int = 3) -> tuple[str, str]:
        """An order that waits for its payment: its id, and the address of its page."""
        order_id = self.site.begin(credits)
        return order_id, f"{self.url}/m/cab-01/o/{order_id}"


@pytest.fixture(scope="module")
def served() -> Iterator[ServedSite]:
    stripe = Flask("checkout")
    stripe.add_url_rule("/pay", view_func=lambda: "<title>Checkout</title><h1>Pay here</h1>")
    stripe_port, end_stripe = serve(stripe)
    checkout_url = f"http://127.0.0.1:{stripe_port}/pay"
    site = Site(stripe_api_base=f"http://127.0.0.1:{stripe_port}", quantities=(1, 2, 3, 5, 10))
    made = site.payments.create_checkout

    def create_checkout(*arguments: Any, **named: Any) -> Checkout:
        return dataclasses.replace(made(*arguments, **named), url=checkout_url)

    setattr(site.payments, "create_checkout", create_checkout)  # noqa: B010 - the stand-in, elsewhere
    port, end = serve(site.app)
    try:
        yield ServedSite(site, f"http://127.0.0.1:{port}", checkout_url)
    finally:
        end()
        end_stripe()


@pytest.fixture
def phone(browser: Chromium, served: ServedSite) -> Iterator[Chromium]:
    browser.become(*SIZES[0])
    served.site.store.unavailable = False
    served.site.say_status("cab-01")
    yield browser
    browser.go("about:blank")  # no page goes on looking during the next test


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_page_fits_the_phone_and_the_finger_and_breaks_no_rule(served, phone, size, dark):
    site = served.site
    site.add_machine("cab-02", name="Dance Dance Revolution SuperNOVA", contact="https://arcade.example/help-desk")
    site.add_machine(
        "long", name="W" * 80, offers=(Offer(offer_id="x", credits=1, amount_minor=10**9, currency="vnd"),)
    )
    closure = Closure(since_ms=site.now_ms, reason="W" * 120, until_ms=site.now_ms + 400 * 86_400_000)
    site.add_machine("closed", closure=closure)
    pages = {
        "ready": f"{served.url}/m/cab-01",
        "closed": f"{served.url}/m/closed",
        "away": f"{served.url}/m/cab-02",
        "start": f"{served.url}/",
        "nothing": f"{served.url}/m/nothing",
        "long": f"{served.url}/m/long",
        **{name: served.url + path for name, path in orders_in_every_state(served.site).items()},
    }
    phone.become(*size, dark=dark)
    for name, url in pages.items():
        phone.go(url)
        assert phone.js("innerWidth") == size[0]
        assert phone.js(FITS), f"{name} is wider than the phone"
        heights = phone.js("[...document.querySelectorAll('button, .choice')].map(e => e.offsetHeight || 99)")
        assert all(height >= FINGER for height in heights), name
        assert phone.complaints() == [] or name == "nothing", name
        if folder := os.environ.get("ARCADE_PICTURES"):
            phone.picture(Path(folder) / f"{name}-{size[0]}-{'dark' if dark else 'light'}.png")


def test_readiness_changes_on_the_open_page(served, phone):
    phone.go(f"{served.url}/m/cab-01")
    all_off = "[...document.querySelectorAll('button')].every(b => b.disabled)"
    all_on = "[...document.querySelectorAll('button')].every(b => !b.disabled)"
    assert phone.js(all_on)
    folded = "!document.querySelector('details').open"
    assert not phone.js(folded)
    served.site.say_status("cab-01", ready=False)
    phone.js(LOOK_AT_ONCE)
    phone.wait_for(all_off)
    assert "This machine is not ready." in phone.text()
    assert phone.js(folded)
    served.site.say_status("cab-01", max_credits=3)
    phone.js(LOOK_AT_ONCE)
    phone.wait_for("document.querySelectorAll('button:disabled').length == 2")
    assert "Ready to play" in phone.text()
    assert not phone.js(folded)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_tap_leads_to_the_checkout_and_the_way_back_leads_to_a_page_that_works(served, phone, scripts):
    phone.become(*SIZES[0], scripts=scripts)
    phone.go(f"{served.url}/m/cab-01")
    before = len(served.site.store.recent_orders(1000))
    phone.tap("button[data-credits='3']")
    phone.wait_for("document.title == 'Checkout'")
    assert phone.js("location.href") == served.checkout_url
    orders = served.site.store.recent_orders(1000)
    assert len(orders) == before + 1
    phone.js("history.back()")
    phone.wait_for("document.title.startsWith('Street Fighter II')")
    phone.wait_for("[...document.querySelectorAll('button')].every(b => !b.disabled)")


def test_one_tap_is_one_checkout_however_often_it_is_tapped(served, phone):
    phone.go(f"{served.url}/m/cab-01")
    before = len(served.site.store.recent_orders(1000))
    stripe_may_answer = threading.Event()
    served.site.payments.fault = lambda _: None if stripe_may_answer.wait(20) else "before"
    try:
        # The page taps by itself: Chromium answers nothing while it waits for the next page.
        phone.js("document.querySelectorAll('button').forEach((b, n) => setTimeout(() => b.click(), 100 * n))")
        time.sleep(1)
    finally:
        stripe_may_answer.set()
        served.site.payments.fault = None
    phone.wait_for("document.title == 'Checkout'")
    assert len(served.site.store.recent_orders(1000)) == before + 1


def test_an_order_is_followed_without_a_reload_until_it_is_final(served, phone):
    site = served.site
    order_id, url = served.begin()
    phone.go(url)
    phone.js("window.stillTheSamePage = true")
    assert "Waiting for your payment" in phone.text()
    assert "Go to payment" in phone.text()
    site.pay(order_id)
    phone.wait_for("document.body.innerText.includes('sending your credits')")
    assert "Go to payment" not in phone.text()
    site.say_ack(order_id, "pulsing", 2)
    phone.wait_for("document.querySelector('h1').textContent == '2 of 3 credits added'")
    assert phone.js("document.querySelector('progress').value") == 2
    site.say_ack(order_id, "done", 3)
    phone.wait_for("document.querySelector('h1').textContent == '3 credits added'")
    phone.wait_for("document.body.innerText.includes('You paid RM\u00a03.00.')")
    assert "Press START on the machine." in phone.text()
    assert phone.js("document.title").startswith("3 credits added")
    assert phone.js("window.stillTheSamePage")
    phone.requests.clear()
    phone.js("new Promise(done => setTimeout(done, 2500))")
    assert phone.requests == [], "a final page looks no more"


def test_an_order_is_followed_without_scripts_too(served, phone):
    phone.become(*SIZES[0], scripts=False)
    order_id, url = served.begin()
    phone.go(url)
    assert "Waiting for your payment" in phone.text()
    served.site.pay(order_id)
    served.site.say_ack(order_id, "done", 3)
    phone.wait_for("document.querySelector('h1')?.textContent == '3 credits added'")


def test_a_page_says_that_the_cloud_is_gone_and_recovers(served, phone):
    order_id, url = served.begin()
    phone.go(url)
    served.site.store.unavailable = True
    phone.wait_for("document.body.innerText.includes('No connection at the moment.')")
    served.site.store.unavailable = False
    phone.wait_for("!document.body.innerText.includes('No connection at the moment.')")
    served.site.pay(order_id)
    phone.wait_for("document.body.innerText.includes('sending your credits')")


def test_a_hidden_page_asks_nothing(served, phone):
    _, url = served.begin()
    phone.go(url)
    phone.js("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    asked_before = len(requests_of(phone))
    eventually(lambda: settled(phone), "the page goes on asking while nobody looks at it")
    phone.js("delete document.hidden")
    phone.js(LOOK_AT_ONCE)
    eventually(lambda: len(requests_of(phone)) > asked_before, "a page that is looked at again asks at once")


def requests_of(phone: Chromium) -> list[str]:
    """What the page has asked for since it was opened."""
    phone.js("0")
    return list(phone.requests)


def settled(phone: Chromium) -> bool:
    """Whether the page has asked for nothing in two and a half seconds."""
    before = len(requests_of(phone))
    phone.js("new Promise(done => setTimeout(done, 2500))")
    return len(requests_of(phone)) == before


# A phone at the edge of its cell: packets take a second and a half, and a page comes in drops.
BAD_LINE = {"latency_ms": 1500, "bytes_per_s": 8_000}


def test_a_purchase_over_a_bad_line_that_breaks_in_the_middle(served, phone):
    phone.line(**BAD_LINE)
    try:
        phone.go(f"{served.url}/m/cab-01")
        assert "Ready to play" in phone.text()
        order_id, url = served.begin()
        phone.go(url)
        assert phone.js(FITS)
        served.site.pay(order_id)
        phone.wait_for("document.body.innerText.includes('sending your credits')", 30)
        phone.line(offline=True)
        phone.wait_for("document.body.innerText.includes('No connection at the moment.')", 30)
        served.site.say_ack(order_id, "done", 3)
        phone.line(**BAD_LINE)
        phone.wait_for("document.querySelector('h1').textContent == '3 credits added'", 30)
        assert "No connection" not in phone.text()
    finally:
        phone.line()


def test_a_reload_in_the_middle_shows_where_the_order_stands(served, phone):
    order_id, url = served.begin()
    phone.go(url)
    served.site.pay(order_id)
    served.site.say_ack(order_id, "pulsing", 2)
    phone.go(url)
    assert "2 of 3 credits added" in phone.text()
    phone.js("location.reload()")
    phone.wait_for("document.querySelector('h1')?.textContent == '2 of 3 credits added'")
    served.site.say_ack(order_id, "done", 3)
    phone.wait_for("document.querySelector('h1').textContent == '3 credits added'")


def test_a_second_scan_while_an_order_is_under_way_is_a_new_sale(served, phone):
    """The way back leads to the first order, which has moved on meanwhile."""
    order_id, url = served.begin()
    phone.go(url)
    served.site.pay(order_id)
    phone.wait_for("document.body.innerText.includes('sending your credits')")
    phone.go(f"{served.url}/m/cab-01")
    assert "Ready to play" in phone.text()
    assert phone.js("[...document.querySelectorAll('button')].every(b => !b.disabled)")
    served.site.say_ack(order_id, "done", 3)
    phone.js("history.back()")
    phone.wait_for("document.querySelector('h1')?.textContent == '3 credits added'")
