"""The operator's pages in a real browser, without JavaScript: they fit a phone, a tablet and a screen.

ARCADE_PICTURES=folder keeps a picture of every page that is looked at.
"""

import os
from pathlib import Path

import pytest

from arcade_cloud.domain.alerts import alert
from support.chromium import Chromium
from support.traded import Served

SIZES = [(390, 844), (768, 1024), (1440, 900)]
FITS = "document.documentElement.scrollWidth <= innerWidth"
# The smallest target that a finger hits without looking, in CSS pixels. A link within a text may be smaller.
FINGER = 44
TARGETS = "button, select, nav a, label.sure, input:not([type=hidden]):not([type=checkbox])"
SMALL = f"""[...document.querySelectorAll("{TARGETS}")]
    .filter(one => one.getBoundingClientRect().height < {FINGER} - 0.5).map(one => one.outerHTML)"""


def pages(served: Served) -> dict[str, str]:
    """Their addresses, by name."""
    return {
        "today": "/console/",
        "machines": "/console/machines",
        "machine": "/console/machines/cab-04",
        "closed": "/console/machines/cab-03",
        "new": "/console/machines/" + "m" * 64,
        "orders": "/console/orders",
        "nothing": "/console/orders?q=" + "W" * 60,
        "order": f"/console/orders/{served.order_id}",
        "evidence": f"/console/orders/{served.order_id}/evidence",
        "refund": f"/console/orders/{served.order_id}/refund?reason=x",
        "takings": "/console/takings?first=2026-09-01&last=2026-09-30",
        "takings-by-machine": "/console/takings?first=2026-09-01&last=2026-09-30&by=machine",
        "lines": "/console/takings/lines?first=2026-09-01&last=2026-09-30",
        "statement": "/console/statement?month=2026-09&share=30",
        "statement-flat": f"/console/statement?month=2026-09&location=Mid+Valley&share=30&flat={'1' * 12}.00MYR",
        "alerts": "/console/alerts",
        "audit": "/console/audit",
        "books": "/console/books",
        "payouts": "/console/books/payout",
        "payout": f"/console/books/payout?id={payout_of(served)}",
        "settings": "/console/settings",
        "keys": "/console/keys",
        "webhooks": "/console/webhooks",
        "webhook": f"/console/webhooks/{served.site.store.software.endpoints()[0].endpoint_id}",
        "payments": "/console/payments",
        "claims": "/console/claims",
        "fleet": "/console/fleet?location=all",
        "new-machine": "/console/new-machine?like=cab-04",
        "stickers": "/console/stickers",
    }


def payout_of(served: Served) -> str:
    """The id of the payout that the site has had."""
    (payout,) = served.site.daily.payouts()
    return payout.payout_id


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_fits_and_breaks_no_rule_without_javascript(
    browser: Chromium, served: Served, size: tuple[int, int], dark: bool
) -> None:
    browser.become(*size, dark=dark, scripts=False, mobile=size[0] < 1000, scale=1)
    served.console.take_along(browser, served.url)
    for name, path in pages(served).items():
        browser.go(served.url + path)
        assert browser.js("document.querySelector('h1') !== null"), name
        assert browser.js(FITS), f"{name} is wider than the screen"
        assert browser.complaints() == [], name
        assert browser.js(SMALL) == [], name
        keep_picture(browser, f"console-{name}-{size[0]}{'-dark' if dark else ''}")


def keep_picture(browser: Chromium, name: str) -> None:
    """Into the folder that ARCADE_PICTURES names."""
    folder = os.environ.get("ARCADE_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.picture(Path(folder) / f"{name}.png")


def test_an_operator_finds_an_order_and_refunds_a_part_on_a_phone(browser: Chromium, served: Served) -> None:
    site = served.site
    site.say_status("cab-04")
    order_id = site.cloud.sales.begin_checkout("cab-04", offer_id="c5-800myr", quantity=1).order_id
    site.pay(order_id)
    site.say_ack(order_id, "done", 5)
    site.deliver_events()
    browser.become(*SIZES[0], scripts=False)
    served.console.take_along(browser, served.url)
    browser.go(f"{served.url}/console/orders")
    browser.type("input[name=q]", site.order(order_id).code)
    browser.tap("button")
    browser.wait_for("document.querySelectorAll('tbody tr').length === 1")
    browser.tap("tbody a")
    browser.wait_for("document.querySelector('input[name=credits]') !== null")
    browser.type("input[name=credits]", "2")
    browser.type("input[name=reason]", "The button sticks")
    browser.tap("section.no-print button")
    browser.wait_for("document.querySelector('.danger') !== null")
    assert "RM 3.20 of RM 8.00 go back" in browser.text()
    browser.tap(".danger")
    browser.wait_for("document.querySelector('.told') !== null")
    site.deliver_events()
    assert site.order(order_id).books.target_minor == 480


LOOK_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"  # as when somebody comes back to the page


def test_with_javascript_a_page_renews_itself_but_not_under_somebody_s_hands(
    browser: Chromium, served: Served
) -> None:
    site = served.site
    browser.become(*SIZES[0])
    served.console.take_along(browser, served.url)
    browser.go(f"{served.url}/console/machines/cab-02")
    site.store.raise_alert(alert("meter", "cab-02", "The first news.", site.now_ms))
    browser.js(LOOK_AGAIN)
    browser.wait_for("document.body.innerText.includes('The first news.')")
    assert browser.complaints() == []

    browser.js("document.querySelector('main input[name=reason]').value = 'half a wo'")
    site.store.raise_alert(alert("discrepancy", "cab-02", "The second news.", site.now_ms))
    browser.js(LOOK_AGAIN)
    browser.js("fetch(location.href).then(() => new Promise(done => setTimeout(done, 300)))")
    assert browser.js("document.querySelector('main input[name=reason]').value") == "half a wo"
    assert "The second news." not in browser.text()
    browser.js("document.querySelector('main input[name=reason]').value = ''")
    browser.js(LOOK_AGAIN)
    browser.wait_for("document.body.innerText.includes('The second news.')")


def test_a_page_that_renews_itself_says_when_its_session_is_over(browser: Chromium, served: Served) -> None:
    browser.become(*SIZES[0])
    served.console.take_along(browser, served.url)
    browser.go(f"{served.url}/console/")
    served.console.post("/console/sign-out")
    browser.js(LOOK_AGAIN)
    browser.wait_for("!document.querySelector('[data-stale]').hidden")
    assert "You are signed out." in browser.text()
