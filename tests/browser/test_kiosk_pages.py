"""A cabinet's screen in a real browser, and the way of a phone from the code on it to "3 credits added".

ARCADE_PICTURES=folder keeps a picture of every page that is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.machines import FRESH_MS
from arcade_cloud.domain.money import Offer
from arcade_cloud.domain.screens import LEAST_MS, SHOWN_MS
from arcade_sandbox.demo import pulses
from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import System
from support.chromium import Chromium
from support.pictures import codes_in
from support.served import serve
from support.site import Site

SCREENS = [(480, 320), (1280, 720), (1920, 1080), (1080, 1920)]
PHONE = (360, 640)
# Everything with words on it lies within the screen, and no words are cut off.
OUTSIDE = """[...document.querySelectorAll('h1, p, li, svg')]
  .filter(e => { const b = e.getBoundingClientRect();
    return b.width && (b.left < -1 || b.top < -1 || b.right > innerWidth + 1 || b.bottom > innerHeight + 1); })
  .map(e => e.tagName + ' ' + e.textContent)"""
CUT_OFF = """[...document.querySelectorAll('.words, .detail, li, .address, h1')]
  .filter(e => e.offsetParent && (e.scrollWidth > e.clientWidth + 2 ||
    e.tagName != 'H1' && e.scrollHeight > e.clientHeight + 2))
  .map(e => e.tagName + ' ' + e.textContent)"""
OVER_EACH_OTHER = """(() => { const a = document.querySelector('.plate').getBoundingClientRect(),
  b = document.querySelector('.words').getBoundingClientRect();
  return a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1; })()"""
CODE_SHOWN = "!!document.querySelector('.code').offsetParent"
TWELVE = tuple(
    Offer(offer_id=f"o{n}", credits=n, amount_minor=200 * n, currency="myr", label="Family evening")
    for n in range(1, 13)
)


@pytest.fixture
def screen(browser: Chromium) -> Iterator[Chromium]:
    browser.become(*SCREENS[0], mobile=False, scale=1)
    yield browser
    browser.go("about:blank")  # no page goes on looking during the next test
    browser.become(*SCREENS[0])


@pytest.fixture
def site() -> Iterator[tuple[Site, str]]:
    site = Site(languages=("en",))
    port, end = serve(site.app)
    try:
        yield site, f"http://127.0.0.1:{port}"
    finally:
        end()


def keep(screen: Chromium, name: str) -> bytes:
    """A picture of the page as it is now."""
    png = screen.png()
    if folder := os.environ.get("ARCADE_PICTURES"):
        Path(folder, f"{name}.png").write_bytes(png)
    return png


def scan(screen: Chromium, name: str) -> list[str]:
    """What a camera reads from the screen."""
    return codes_in(keep(screen, name))


@pytest.mark.parametrize("size", SCREENS, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_screen_shows_all_of_it_at_every_size(
    screen: Chromium, site: tuple[Site, str], size: tuple[int, int]
) -> None:
    cloud, url = site
    cloud.add_machine("cab-01", name="Space Duel", offers=TWELVE[:1] + TWELVE[5:6])
    cloud.add_machine("plain")
    cloud.add_machine("twelve", name="Dance Dance Revolution SuperNOVA Extreme Edition", offers=TWELVE)
    cloud.add_machine("W" * 64, name="W" * 80, offers=TWELVE[:4])
    screen.become(*size, mobile=False, scale=1)
    for machine_id in ("cab-01", "plain", "twelve", "W" * 64):
        cloud.say_status(machine_id)
        name = f"kiosk-{machine_id[:6]}-{size[0]}x{size[1]}"
        for state in ("ready", "wait", "out_of_order", "offline"):
            reason = {"wait": "machine not ready", "out_of_order": "coin line"}.get(state, "")
            if state == "offline":
                cloud.now_ms += FRESH_MS + 1
            elif state != "ready":
                cloud.say_status(machine_id, ready=False, reason=reason)
            screen.go(f"{url}/kiosk/{machine_id}")
            assert screen.js("document.querySelector('main').dataset.state") == state
            assert screen.js(CODE_SHOWN) is (state == "ready")
            picture = keep(screen, f"{name}-{state}")
            if state == "ready" or size == SCREENS[0]:
                expected = [f"https://play.example/m/{machine_id}"] if state == "ready" else []
                assert codes_in(picture) == expected, state
            assert screen.js(OUTSIDE) == [], (name, state)
            assert screen.js(CUT_OFF) == [], (name, state)
            assert not screen.js(OVER_EACH_OTHER), (name, state)
            assert screen.js("document.documentElement.scrollHeight <= innerHeight")
            assert screen.complaints() == []


@pytest.mark.parametrize("size", SCREENS, ids=lambda size: f"{size[0]}x{size[1]}")
def test_the_screen_shows_the_signs_of_the_phones_at_every_size(
    screen: Chromium, site: tuple[Site, str], size: tuple[int, int]
) -> None:
    cloud, url = site
    cloud.add_machine("cab-01", name="Space Duel", offers=TWELVE[:2])
    cloud.add_machine("twelve", name="Dance Dance Revolution SuperNOVA Extreme Edition", offers=TWELVE)
    screen.become(*size, mobile=False, scale=1)
    for machine_id in ("cab-01", "twelve"):
        cloud.say_status(machine_id)
        screen.go(f"{url}/kiosk/{machine_id}")
        assert screen.js("document.querySelectorAll('.same li').length") == 0
        cloud.client.get(f"/m/{machine_id}")
        cloud.now_ms += LEAST_MS + 1
        cloud.client.get(f"/m/{machine_id}")
        wait_for("the signs", lambda: screen.js("document.querySelectorAll('.same li').length") == 2, within_s=10)
        shown = cloud.client.get(f"/kiosk/{machine_id}?format=json").get_json()["emblems"]
        for state in ("live", "loaded", "wait"):
            if state == "wait":
                cloud.say_status(machine_id, ready=False, reason="machine not ready")
            if state != "live":
                screen.go(f"{url}/kiosk/{machine_id}")
            words = screen.js("[...document.querySelectorAll('.same b')].map(e => e.textContent)")
            assert words == [one["words"] for one in shown]
            colours = screen.js("[...document.querySelectorAll('.same path')].map(e => getComputedStyle(e).fill)")
            assert len(set(colours)) == 2, colours
            keep(screen, f"kiosk-signs-{machine_id}-{size[0]}x{size[1]}-{state}")
            assert screen.js(OUTSIDE) == [], state
            assert screen.js(CUT_OFF) == [], state
            assert not screen.js(OVER_EACH_OTHER), state
            assert screen.complaints() == []
        cloud.now_ms += SHOWN_MS
        wait_for("the signs", lambda: screen.js("document.querySelectorAll('.same li').length") == 0, within_s=10)


@pytest.mark.parametrize("size", SCREENS, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    "reason", ["Closed for maintenance", "long " * 24, "维修中" * 40], ids=["short", "long", "han"]
)
def test_a_screen_out_of_service_says_all_of_it_and_shows_no_code(
    screen: Chromium, site: tuple[Site, str], size: tuple[int, int], reason: str
) -> None:
    cloud, url = site
    closure = Closure(since_ms=cloud.now_ms, reason=reason.strip(), until_ms=cloud.now_ms + 400 * 86_400_000)
    cloud.add_machine("cab-01", name="Space Duel", offers=TWELVE[:2], closure=closure)
    screen.become(*size, mobile=False, scale=1)
    screen.go(f"{url}/kiosk/cab-01")
    picture = keep(screen, f"kiosk-closed-{size[0]}x{size[1]}-{reason[:2].strip()}")
    assert screen.js(CODE_SHOWN) is False
    assert codes_in(picture) == []
    assert "Back on" in screen.js("document.querySelector('.detail').textContent")
    assert screen.js(OUTSIDE) == []
    assert screen.js(CUT_OFF) == []
    assert screen.js("document.documentElement.scrollHeight <= innerHeight")
    assert screen.complaints() == []


def test_a_screen_says_that_credits_are_added_until_they_are(screen: Chromium, site: tuple[Site, str]) -> None:
    cloud, url = site
    order_id = cloud.begin(3)
    screen.become(*SCREENS[0], mobile=False, scale=1)
    screen.go(f"{url}/kiosk/cab-01")
    cloud.pay(order_id)
    cloud.say_ack(order_id, "accepted")
    screen.wait_for("document.querySelector('h1').textContent == 'Adding credits'", 10)
    assert scan(screen, "kiosk-adding") == []
    assert screen.js(CUT_OFF) == []
    cloud.say_ack(order_id, "done", 3)
    screen.wait_for("document.querySelector('h1').textContent == 'Scan to play'", 10)
    assert scan(screen, "kiosk-added") == ["https://play.example/m/cab-01"]


TITLES = {"en": "Scan to play", "ms": "Imbas, main!", "zh-Hans": "扫码开玩"}


def test_a_screen_speaks_each_language_in_turn_and_fits_in_all_of_them(screen: Chromium) -> None:
    cloud = Site()
    cloud.add_machine("cab-01", name="Space Duel", offers=TWELVE)
    port, end = serve(cloud.app)
    with ExitStack() as stack:
        stack.callback(end)
        for size in SCREENS:
            screen.become(*size, mobile=False, scale=1)
            for code in ("en", "ms", "zh"):
                screen.go(f"http://127.0.0.1:{port}/kiosk/cab-01?lang={code}")
                assert scan(screen, f"kiosk-{code}-{size[0]}x{size[1]}") == ["https://play.example/m/cab-01"]
                assert screen.js(OUTSIDE) == [], (size, code)
                assert screen.js(CUT_OFF) == [], (size, code)
        screen.go(f"http://127.0.0.1:{port}/kiosk/cab-01")
        for tag, title in (*TITLES.items(), ("en", TITLES["en"])):
            screen.wait_for(f"document.querySelector('h1').textContent == '{title}'", 12)
            assert screen.js("document.documentElement.lang") == tag
            price = screen.js("document.querySelector('.prices span').innerText")
            assert {"en": "1 credit", "ms": "1 kredit", "zh-Hans": "1 个游戏币"}[tag] in price
    screen.wait_for("document.querySelector('main').dataset.state == 'offline'", 20)
    assert screen.js("document.querySelector('h1').textContent") in {
        "No connection",
        "Tiada sambungan",
        "没有连接",
    }


def test_a_screen_without_scripts_reloads(screen: Chromium, site: tuple[Site, str]) -> None:
    screen.become(*SCREENS[1], mobile=False, scale=1, scripts=False)
    screen.go(f"{site[1]}/kiosk/cab-01")
    assert screen.js("document.querySelector('meta[http-equiv=refresh]').content") == "15"
    assert scan(screen, "kiosk-no-scripts") == ["https://play.example/m/cab-01"]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path, settings={"QUANTITIES": "1,3", "LANGUAGES": "en"}) as running:
        yield running


def test_from_the_code_on_the_screen_to_credits_added(screen: Chromium, system: System) -> None:
    pay_at_the_screen(screen, system)
    screen.tap("button[value='card']")
    screen.wait_for("document.querySelector('h1')?.textContent == '3 credits added'", 30)
    screen.wait_for("document.body.innerText.includes('You paid RM\u00a06.00.')", 30)
    assert "Press START on the machine." in screen.text()
    assert screen.js("document.documentElement.scrollWidth <= innerWidth")
    keep(screen, "phone-added")
    assert len(pulses(system.cabinets["cab-01"].edge_log)) == 3
    second_scan(screen, system)


def pay_at_the_screen(screen: Chromium, system: System) -> None:
    """Scan the code, open its address on a phone and choose three credits. The checkout is then open."""
    screen.become(*SCREENS[0], mobile=False, scale=1)
    screen.go(f"{system.url}/kiosk/cab-01")
    (address,) = scan(screen, "kiosk-purchase")
    assert address == f"{system.url}/m/cab-01"
    screen.become(*PHONE)
    screen.go(address)
    keep(screen, "phone-machine")
    screen.tap("button[data-credits='3']")
    screen.wait_for("!!document.querySelector('button[value=card]')")
    keep(screen, "phone-checkout")


def second_scan(screen: Chromium, system: System) -> None:
    """A second scan leads to the machine, not to somebody else's order."""
    screen.go(f"{system.url}/m/cab-01")
    screen.wait_for("document.querySelectorAll('button:not([disabled])').length > 0")
    assert "credits added" not in screen.text()


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[System]:
    """A cloud that gives up on a machine within seconds."""
    limits = {
        "DELIVER_WITHIN_S": "4",
        "SILENCE_LIMIT_S": "65",
        "HOLD_SILENCE_LIMIT_S": "70",
        "QUANTITIES": "1,3",
        "LANGUAGES": "en",
    }
    with System(tmp_path, settings=limits) as running:
        yield running


def test_a_payment_for_a_machine_that_has_gone_is_given_back(screen: Chromium, hasty: System) -> None:
    system = hasty
    pay_at_the_screen(screen, system)
    agent = system.cabinets["cab-01"].agent
    agent.kill()
    screen.tap("button[value='card']")
    screen.wait_for("document.body.innerText.includes('Paid: sending your credits')", 20)
    assert "held, not charged" in screen.text()
    keep(screen, "phone-machine-gone")
    screen.wait_for("document.body.innerText.includes('Stopping')", 30)
    keep(screen, "phone-stopping")
    agent.start()  # the power is back: the machine says that it has pulsed nothing
    screen.wait_for("document.querySelector('main').dataset.phase == 'given_back'", 30)
    assert "charged" in screen.text()
    keep(screen, "phone-given-back")
    assert pulses(system.cabinets["cab-01"].edge_log) == []


def test_the_screen_shows_a_lost_machine_or_cloud_and_recovers(screen: Chromium, system: System) -> None:
    screen.become(*SCREENS[1], mobile=False, scale=1)
    screen.go(f"{system.url}/kiosk/cab-01")
    assert screen.js(CODE_SHOWN)
    screen.js("window.stillTheSamePage = true")
    agent = system.cabinets["cab-01"].agent
    agent.stop()
    screen.wait_for(f"!({CODE_SHOWN})", 30)
    assert "Offline" in screen.text()
    agent.start()
    screen.wait_for(CODE_SHOWN, 30)
    system.cloud.kill()
    screen.wait_for("document.body.innerText.includes('No connection')", 30)
    assert not screen.js(CODE_SHOWN)
    system.start_cloud()
    screen.wait_for(CODE_SHOWN, 60)
    assert screen.js("window.stillTheSamePage")
    system.cli("machine", "add", "cab-01", "--name", "Another game", "--update")
    screen.wait_for("document.body?.innerText.includes('Another game')", 30)
    wait_for("the code of the page that was loaded anew", lambda: code_of(screen) or None)


def code_of(screen: Chromium) -> Any:
    """The address in the code on the screen."""
    return scan(screen, "kiosk-again")
