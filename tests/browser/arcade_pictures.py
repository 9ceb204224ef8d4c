"""Pictures of every page of the console, of the demo's arcade, at three sizes, in light and in dark."""

import tempfile
from pathlib import Path

import requests

from arcade_cloud.web.console.app import create_console
from arcade_sandbox.arcade import AWAY, CLOSED, NEVER_PLAYED, WORN_METER, Arcade
from arcade_sandbox.console_visit import ConsoleVisit, add_owner, add_person
from arcade_sandbox.processes import wait_for
from support.arcade import SILENT_S, hears_long_enough, quick_arcade
from support.chromium import Chromium
from support.console_tour import tour
from support.site import Site

SIZES = [(390, 844), (768, 1024), (1440, 900)]
FITS = "document.documentElement.scrollWidth <= innerWidth"


def take_today(program: str, folder: Path) -> None:
    """Take the page of today as it comes up on a screen: `folder/console.png`."""
    with tempfile.TemporaryDirectory() as files, quick_arcade(Path(files)) as arcade, Chromium(program) as browser:
        visit = settled_in(arcade)
        browser.become(1280, 800, mobile=False, scale=1)
        enter(browser, visit)
        browser.go(f"{visit.url}/console/")
        browser.picture(folder / "console.png")


def take(program: str, folder: Path) -> None:
    """Open an arcade and take them all: `folder/390x844-light/today.png` and so on.

    Args:
        program: The browser.
    """
    with tempfile.TemporaryDirectory() as files, quick_arcade(Path(files)) as arcade, Chromium(program) as browser:
        visit = settled_in(arcade)
        pages = all_pages(arcade, visit)
        for width, height in SIZES:
            for dark in (False, True):
                into = folder / f"{width}x{height}-{'dark' if dark else 'light'}"
                into.mkdir(parents=True, exist_ok=True)
                browser.become(width, height, dark=dark, mobile=width < 1000, scale=1)
                enter(browser, visit)
                for name, path in pages.items():
                    browser.go(visit.url + path)
                    browser.picture(into / f"{name}.png", whole=True)
                    for what in browser.complaints() + ([] if browser.js(FITS) else ["is wider than the screen"]):
                        print(f"{into.name}/{name}: {what}", flush=True)
                print(f"{into}: {len(pages)} pictures", flush=True)


def enter(browser: Chromium, visit: ConsoleVisit) -> None:
    """Have the browser be signed in as that person."""
    for cookie in visit.browser.cookies:
        browser.take_cookie(cookie.name, cookie.value or "", visit.url)


def settled_in(arcade: Arcade) -> ConsoleVisit:
    """Have people, a claim, books, and the alert about the machine that is away; the owner, signed in."""
    claimed = next(one for one in arcade.purchases if one.machine_id == "hockey-01")
    said = f"{arcade.system.url}/m/{claimed.machine_id}/o/{claimed.order_id}/claim"
    requests.post(said, data={"credits": "1"}, timeout=30).raise_for_status()
    owner = add_owner(arcade.system, "ann", "Ann Ng")
    add_person(arcade.system, "bob", "technician", "Bob Lim")
    add_person(arcade.system, "mei", "viewer", "Mei Tan")
    arcade.system.cli("key", "add", "Kiosk at the door", "--scope", "takings")
    arcade.system.cli("webhook", "add", "https://club.example/arcade", "--events", "play.delivered")
    arcade.compare_books()
    owner.sign_in()

    def alerted() -> bool:
        hears_long_enough(arcade)
        return AWAY in owner.get("/console/alerts").text

    wait_for("an alert about the machine that is away", alerted, 3 * SILENT_S)
    return owner


def all_pages(arcade: Arcade, visit: ConsoleVisit) -> dict[str, str]:
    """Their addresses, by name: one of each kind, and what else there is to see."""
    rules = create_console(Site().dependencies).url_map
    kinds = tour(lambda path: visit.browser.get(visit.url + path), rules)
    pages = {
        kind.removeprefix("console."): path
        for kind, path in kinds.items()
        if "." not in path.partition("?")[0].rpartition("/")[2]
    }
    machines = {"worn-meter": WORN_METER, "away": AWAY, "closed": CLOSED, "never-played": NEVER_PLAYED}
    orders = {"given-back": "dance-01", "disputed": "race-01"}
    last = {purchase.machine_id: purchase for purchase in arcade.purchases}
    return {
        **pages,
        "refund": f"/console/orders/{last['cab-02'].order_id}/refund?credits=1&reason=The+button+sticks",
        **{f"machine-{name}": f"/console/machines/{machine_id}" for name, machine_id in machines.items()},
        **{f"order-{name}": f"/console/orders/{last[machine_id].order_id}" for name, machine_id in orders.items()},
        "machines-none": "/console/machines?q=nothing-is-like-this",
        "orders-none": "/console/orders?q=nothing-is-like-this",
        "fleet-all": "/console/fleet?location=all",
        "takings-by-machine": "/console/takings?by=machine",
        "takings-by-location": "/console/takings?by=location",
        "takings-by-method": "/console/takings?by=method",
        "takings-none": "/console/takings?first=2020-01-01&last=2020-01-02",
        "statement-share": "/console/statement?location=Main+Hall&share=30",
        "problem": "/console/no-such-page",
    }
