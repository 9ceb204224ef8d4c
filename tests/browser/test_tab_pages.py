"""A visit on one tab in a real browser at phone size: three machines, one hold, one capture.

ARCADE_PICTURES=folder keeps a picture of every page that is looked at.
"""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.tab import TabLimit
from arcade_cloud.ports.payments import Checkout
from support.chromium import Chromium, eventually
from support.served import serve
from support.site import Site

SIZE = (390, 844)
LOOK_AT_ONCE = "document.dispatchEvent(new Event('visibilitychange'))"
FITS = "document.documentElement.scrollWidth <= innerWidth"
FINGER = 44
PLAY = "button[data-price]"
NAMES = {"cab-01": "Street Fighter II", "cab-02": "Dance Dance Revolution", "cab-03": "Claw"}


# It names an icon, or the browser asks for one and complains, perhaps about the next page.
PAYMENT_PAGE = '<title>Checkout</title><link rel="icon" href="data:,"><h1>Pay here</h1>'


@dataclass
class Arcade:
    """The cloud behind a real server, and the page that stands in for Stripe's, on another port."""

    site: Site
    url: str
    order_id: str = ""

    def machine(self, machine_id: str) -> str:
        return f"{self.url}/m/{machine_id}"

    @property
    def tab(self) -> Order:
        """The latest tab."""
        return self.site.order(self.order_id)

    def money(self) -> dict[str, Any]:
        (found,) = [m for m in self.site.payments.stripe.money() if m["id"] == self.tab.payment_intent]
        return dict(found)


@pytest.fixture(scope="module")
def arcade() -> Iterator[Arcade]:
    stripe = Flask("checkout")
    stripe.add_url_rule("/pay", view_func=lambda: PAYMENT_PAGE)
    stripe_port, end_stripe = serve(stripe)
    site = Site(
        tab_limits=(TabLimit(2000, "myr"), TabLimit(5000, "myr")),
        stripe_api_base=f"http://127.0.0.1:{stripe_port}",
        public_base_url="http://localhost:5000",
    )
    made = site.payments.create_checkout

    def create_checkout(*arguments: Any, **named: Any) -> Checkout:
        return dataclasses.replace(made(*arguments, **named), url=f"http://127.0.0.1:{stripe_port}/pay")

    setattr(site.payments, "create_checkout", create_checkout)  # noqa: B010 - the stand-in, elsewhere
    for machine_id, name in NAMES.items():
        offer = Offer(offer_id="play", credits=2, amount_minor=200, currency="myr")
        site.add_machine(machine_id, name=name, offers=(offer,))
    port, end = serve(site.app)
    try:
        yield Arcade(site, f"http://127.0.0.1:{port}")
    finally:
        end()
        end_stripe()


@pytest.fixture(params=[True, False], ids=["scripts", "no-scripts"])
def phone(browser: Chromium, arcade: Arcade, request: pytest.FixtureRequest) -> Iterator[Chromium]:
    browser.become(*SIZE, scripts=request.param)
    for machine_id in NAMES:
        arcade.site.say_status(machine_id)
    yield browser
    browser.go("about:blank")  # no page goes on looking during the next test


@pytest.fixture
def with_scripts(browser: Chromium, arcade: Arcade) -> Iterator[Chromium]:
    browser.become(*SIZE)
    for machine_id in NAMES:
        arcade.site.say_status(machine_id)
    yield browser
    browser.go("about:blank")


def look(phone: Chromium, name: str, *texts: str) -> None:
    """The page is one that people can use, and says this."""
    read = phone.text().replace("\u00a0", " ")
    for text in texts:
        assert text in read, f"{name}: {read}"
    assert phone.js(FITS), f"{name} is wider than the phone"
    heights = phone.js("[...document.querySelectorAll('button, .choice')].map(e => e.offsetHeight || 99)")
    assert all(height >= FINGER for height in heights), name
    assert phone.complaints() == [], name
    if folder := os.environ.get("ARCADE_PICTURES"):
        phone.picture(Path(folder) / f"tab-{name}.png", whole=True)


def open_tab(phone: Chromium, arcade: Arcade) -> str:
    """The order's id; the phone is on the page to which Stripe leads back."""
    before = {order.order_id for order in arcade.site.store.recent_orders(1000)}
    phone.go(arcade.machine("cab-01"))
    phone.tap(".opening button")
    phone.wait_for("document.title == 'Checkout'")
    (order_id,) = {order.order_id for order in arcade.site.store.recent_orders(1000)} - before
    arcade.order_id = order_id
    arcade.site.pay(order_id)
    phone.go(f"{arcade.url}/m/cab-01/o/{order_id}")
    return order_id


def credits_of(arcade: Arcade) -> int:
    return len(arcade.tab.credits)


def tap_play(phone: Chromium, arcade: Arcade) -> None:
    before = credits_of(arcade)
    phone.tap(PLAY)
    eventually(lambda: credits_of(arcade) == before + 1, "nothing was drawn")
    phone.wait_for("document.readyState == 'complete' && document.body.innerText.includes('on their way')")


def test_a_visit_of_three_machines_on_one_tab(arcade: Arcade, phone: Chromium) -> None:
    site, captured = arcade.site, arcade.site.payments.calls.count("capture")
    phone.go(arcade.machine("cab-01"))
    look(phone, "01-choice", "2 credits", "RM 2.00", "Open a tab: up to RM 20.00 is held", "You pay only for what")
    order_id = open_tab(phone, arcade)
    look(phone, "02-open", "Your tab: RM 20.00 left", "Up to RM 20.00 is held", "Play on Street Fighter II")

    phone.follow("Play on Street Fighter II")
    look(phone, "03-machine", "Your tab: RM 20.00 left", "Finish: pay nothing")
    assert "Open a tab" not in phone.text()
    tap_play(phone, arcade)
    look(phone, "04-under-way", "Your tab: RM 18.00 left", "Not confirmed yet: RM 2.00.")
    site.say_last_ack(order_id)
    phone.go(arcade.machine("cab-01"))
    look(phone, "05-added", "2 credits added: press START", "Finish: pay RM 2.00")
    tap_play(phone, arcade)
    site.say_last_ack(order_id)

    phone.go(arcade.machine("cab-02"))
    look(phone, "06-another", "Dance Dance Revolution", "Your tab: RM 16.00 left")
    tap_play(phone, arcade)
    site.say_last_ack(order_id, delivered=1)

    phone.go(arcade.machine("cab-03"))
    tap_play(phone, arcade)
    site.say_last_ack(order_id, "refused", 0)
    phone.go(arcade.machine("cab-03"))
    look(phone, "07-dead", "Not added: you do not pay for it", "Your tab: RM 15.00 left")
    site.say_status("cab-03", ready=False)
    phone.go(arcade.machine("cab-03"))
    look(phone, "08-offline", "This machine is not ready.", "Your tab: RM 15.00 left")
    assert phone.js(f"[...document.querySelectorAll('{PLAY}')].every(b => b.disabled)")

    phone.go(f"{arcade.url}/tab")
    look(phone, "09-own", "Street Fighter II", "Dance Dance Revolution", "1 of 2 added", "Finish: pay RM 5.00")
    phone.press("Finish")
    site.deliver_events()
    phone.go(f"{arcade.url}/tab")
    look(phone, "10-paid", "You paid RM 5.00 of RM 20.00 held", "You have finished this tab.")
    money = arcade.money()
    assert (money["kept"], money["held"], money["refunded"]) == (500, 0, 0)
    assert site.payments.calls.count("capture") == captured + 1
    phone.go(arcade.machine("cab-01"))
    look(phone, "11-after", "Your last tab:", "You paid RM 5.00 of RM 20.00 held", "Open a tab")


def test_the_pages_of_a_tab_keep_nobody_out(arcade: Arcade, with_scripts: Chromium) -> None:
    phone, site = with_scripts, arcade.site
    order_id = open_tab(phone, arcade)
    assert phone.barriers() == []
    phone.go(arcade.machine("cab-01"))
    assert phone.barriers() == []
    tap_play(phone, arcade)
    assert phone.barriers() == []
    site.say_last_ack(order_id)
    phone.go(f"{arcade.url}/tab")
    assert phone.barriers() == []
    browser_without = f"{arcade.url}/tab"
    phone.press("Finish")
    assert phone.barriers() == []
    phone.become(*SIZE)
    phone.go(browser_without)
    assert phone.barriers() == []


def test_the_open_page_shows_what_becomes_of_a_play(arcade: Arcade, with_scripts: Chromium) -> None:
    phone, site = with_scripts, arcade.site
    order_id = open_tab(phone, arcade)
    phone.follow("Play on Street Fighter II")
    tap_play(phone, arcade)
    phone.js("window.stillTheSamePage = true")
    assert phone.js(f"[...document.querySelectorAll('{PLAY}')].every(b => b.disabled)")
    site.say_last_ack(order_id, "pulsing", 1)
    phone.wait_for("document.body.innerText.includes('1 of 2 added')")
    site.say_last_ack(order_id)
    phone.wait_for("document.body.innerText.includes('2 credits added: press START')")
    phone.wait_for(f"[...document.querySelectorAll('{PLAY}')].every(b => !b.disabled)")
    phone.wait_for("document.body.innerText.includes('Finish: pay RM\u00a02.00')")
    assert phone.js("window.stillTheSamePage")
    tap_play(phone, arcade)
    assert credits_of(arcade) == 2


def test_tapping_often_reloading_and_going_back_play_once(arcade: Arcade, with_scripts: Chromium) -> None:
    phone, site = with_scripts, arcade.site
    order_id = open_tab(phone, arcade)
    phone.follow("Play on Street Fighter II")
    # The page taps by itself: Chromium answers nothing while it waits for the next page.
    phone.js(
        f"for (let n = 0; n < 5; n++) setTimeout(() => document.querySelector('{PLAY}').form.submit(), 20 * n)"
    )
    phone.wait_for("document.body.innerText.includes('on their way')")
    assert credits_of(arcade) == 1
    site.say_last_ack(order_id)
    phone.js("location.reload()")
    phone.wait_for("document.body.innerText.includes('2 credits added: press START')")
    phone.js("history.back()")
    phone.wait_for("document.title.startsWith('Your tab') || document.title.startsWith('Street Fighter II')")
    phone.go(arcade.machine("cab-01"))
    assert credits_of(arcade) == 1
    tap_play(phone, arcade)
    site.say_last_ack(order_id)
    phone.js("history.back()")
    phone.wait_for("document.body.innerText.includes('Your tab: RM\u00a016.00 left')")
    assert credits_of(arcade) == 2


def test_a_link_hands_the_tab_to_another_phone(arcade: Arcade, with_scripts: Chromium) -> None:
    phone = with_scripts
    open_tab(phone, arcade)
    phone.go(f"{arcade.url}/tab")
    link = phone.js("document.querySelector('[data-share]').getAttribute('href')")
    secret = link.partition("#")[2]
    phone.become(*SIZE)
    phone.go(f"{arcade.url}/tab#{secret}")
    phone.wait_for("document.body.innerText.includes('Your tab: RM\u00a020.00 left')")
    assert secret not in phone.js("location.href")
    phone.go(arcade.machine("cab-02"))
    tap_play(phone, arcade)
    assert credits_of(arcade) == 1
