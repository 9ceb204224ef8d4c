"""No page keeps anybody out: axe-core finds nothing on the pages of the console, the players and the cabinets."""

import os
from pathlib import Path

import pytest

from arcade_cloud.domain.alerts import alert
from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.money import Offer
from arcade_cloud.web.assets import STATIC
from arcade_cloud.web.console.app import create_console
from support.chromium import Chromium
from support.console_tour import kinds, tour
from support.orders_shown import orders_in_every_state
from support.served import serve
from support.site import Site
from support.traded import LONG_ID, Served

PHONE, SCREEN = (390, 844), (1440, 900)
BOTH = [pytest.param(PHONE, False, id="phone-light"), pytest.param(SCREEN, True, id="screen-dark")]
# There are no stickers, and so no links to them, of a site that no phone reaches.
NO_LINK = {"console.sticker_svg", "console.sticker_pdf"}
# Not reached by links alone, or with something else to show.
MORE = (
    "/console/machines/cab-03",
    f"/console/machines/{LONG_ID}",
    "/console/machines?q=nothing-is-like-this",
    "/console/orders?q=nothing-is-like-this",
    "/console/takings?by=machine",
    "/console/takings?first=2020-01-01&last=2020-01-02",
    "/console/fleet?location=all",
    "/console/audit?who=nobody",
    "/console/no-such-page",
)


@pytest.mark.parametrize(("size", "dark"), BOTH)
def test_no_page_of_the_console(browser: Chromium, served: Served, size: tuple[int, int], dark: bool) -> None:
    rules = create_console(served.site.dependencies).url_map
    found = tour(served.console.get, rules)
    assert kinds(rules) - set(found) <= NO_LINK, "each kind of page is reached by links"
    pages = [path for path in found.values() if "." not in path.partition("?")[0]]
    browser.become(*size, dark=dark, mobile=size == PHONE)
    served.console.take_along(browser, served.url)
    assert {path: said for path in (*pages, *MORE) if (said := barriers(browser, served.url + path))} == {}


def test_no_answer_to_a_form(browser: Chromium, served: Served) -> None:
    """What is shown once, and what is refused."""
    browser.become(*PHONE)
    served.console.take_along(browser, served.url)

    browser.go(f"{served.url}/console/keys")
    browser.type("main [name=name]", "Bar")
    browser.tap("main fieldset [name=scope]")
    browser.tap("main form.fields button")
    browser.wait_for("!document.querySelector('main [name=scope]')")
    assert browser.barriers() == []

    browser.go(f"{served.url}/console/webhooks")
    browser.type("main [name=url]", "https://bar.example/arcade")
    browser.tap("main fieldset [name=event]")
    browser.tap("main form.fields button")
    browser.wait_for("!document.querySelector('main [name=event]')")
    assert browser.barriers() == []

    browser.go(f"{served.url}/console/machines/cab-04")
    browser.tap("form[action$='/config'] button")
    browser.wait_for("document.body.innerText.includes('machine_id')")
    assert browser.barriers() == []

    browser.go(f"{served.url}/console/new-machine")
    browser.type("main [name=machine_id]", "new-1")
    browser.type("main [name=picture_url]", "http://example.com/x.png")
    browser.tap("main section button")
    browser.wait_for("document.querySelector('[role=alert]') !== null")
    assert browser.barriers() == []


def test_no_open_group_of_alerts_and_no_sign(browser: Chromium, served: Served) -> None:
    site = served.site
    for which in ("1", "2"):
        site.store.raise_alert(alert("meter", "cab-04", "Run `arcade-edge pulse` there.", site.now_ms, which))
    site.client.get("/kiosk/cab-04")
    browser.become(*PHONE)
    served.console.take_along(browser, served.url)
    for path in ("/m/cab-04", "/kiosk/cab-04", "/console/machines/cab-04", "/console/"):
        assert barriers(browser, served.url + path) == [], path
        shown = "details.alert" if path == "/console/" else ".same svg"
        assert browser.js(f"document.querySelector('{shown}') !== null"), path
        browser.js("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert browser.barriers() == [], path
        if folder := os.environ.get("ARCADE_PICTURES"):
            browser.picture(Path(folder) / f"signs{path.replace('/', '-')}.png", whole=True)


@pytest.mark.parametrize(("size", "dark"), BOTH)
def test_no_page_of_signing_in(browser: Chromium, served: Served, size: tuple[int, int], dark: bool) -> None:
    browser.become(*size, dark=dark, mobile=size == PHONE)
    assert barriers(browser, f"{served.url}/console/sign-in") == []
    browser.type("[name=name]", "ann")
    browser.type("[name=password]", "wrong")
    browser.tap("button")
    browser.wait_for("document.body.innerText.includes('is wrong')")
    assert browser.barriers() == []


@pytest.mark.parametrize(("size", "dark"), BOTH)
def test_no_page_of_the_players(browser: Chromium, served: Served, size: tuple[int, int], dark: bool) -> None:
    site = served.site
    pages = {**machines_in_every_state(site), **orders_in_every_state(site), "nothing": "/m/nobody", "start": "/"}
    browser.become(*size, dark=dark, mobile=size == PHONE)
    assert {name: said for name, path in pages.items() if (said := barriers(browser, served.url + path))} == {}


def test_no_screen_of_a_cabinet(browser: Chromium, served: Served) -> None:
    pages = [path.replace("/m/", "/kiosk/") for path in machines_in_every_state(served.site).values()]
    browser.become(1280, 720, mobile=False, scale=1)
    assert {path: said for path in pages if (said := barriers(browser, served.url + path))} == {}


@pytest.mark.parametrize("colour", ["#ffd65a", "#00cc88", "#1a1a1a", "#c2185b", "#ffffff", "#777777"])
def test_no_colour_of_an_arcade(browser: Chromium, colour: str) -> None:
    site = Site(site_colour=colour, site_logo=str(STATIC / "icon.svg"), site_machines=True)
    pages = {**machines_in_every_state(site), **orders_in_every_state(site), "nothing": "/m/nobody", "start": "/"}
    port, end = serve(site.app)
    try:
        found: dict[tuple[str, bool], list[str]] = {}
        for dark in (False, True):
            browser.become(*PHONE, dark=dark)
            found |= {
                (name, dark): said
                for name, path in pages.items()
                if (said := barriers(browser, f"http://127.0.0.1:{port}{path}"))
            }
        browser.become(1280, 720, mobile=False, scale=1)
        assert (found, barriers(browser, f"http://127.0.0.1:{port}/kiosk/ready")) == ({}, [])
    finally:
        end()


@pytest.mark.parametrize("code", ["ms", "zh"])
def test_no_language(browser: Chromium, code: str) -> None:
    site = Site()
    pages = {**machines_in_every_state(site), **orders_in_every_state(site), "nothing": "/m/nobody", "start": "/"}
    pages["screen"] = "/kiosk/ready"
    port, end = serve(site.app)
    try:
        browser.become(*PHONE)
        site_url = f"http://127.0.0.1:{port}"
        found = {name: barriers(browser, f"{site_url}{path}?lang={code}") for name, path in pages.items()}
        assert {name: said for name, said in found.items() if said} == {}
    finally:
        end()


def machines_in_every_state(site: Site) -> dict[str, str]:
    """The pages of machines, by what they show."""
    dear = Offer(offer_id="x", credits=1, amount_minor=10**9, currency="vnd")
    closure = Closure(since_ms=site.now_ms, reason="W" * 120, until_ms=site.now_ms + 400 * 86_400_000)
    site.add_machine("ready", name="Space Duel", picture_url="/static/icon.svg")
    site.say_status("ready")
    site.add_machine("away", contact="https://arcade.example/help-desk")
    site.add_machine("long", name="W" * 80, offers=(dear,))
    site.add_machine("closed", closure=closure)
    return {name: f"/m/{name}" for name in ("ready", "away", "long", "closed")}


def barriers(browser: Chromium, url: str) -> list[str]:
    """What a page has of them."""
    browser.go(url)
    assert browser.js("location.href") == url
    return browser.barriers()


def test_a_barrier_would_be_found(browser: Chromium, served: Served) -> None:
    browser.become(*PHONE)
    served.console.take_along(browser, served.url)
    browser.go(f"{served.url}/console/orders")
    browser.js("document.querySelector('main form label').replaceWith(document.querySelector('main form input'))")
    browser.js("document.querySelector('h1').style.color = '#ddd'")
    assert {said.partition(",")[0] for said in browser.barriers()} == {"label", "color-contrast"}
