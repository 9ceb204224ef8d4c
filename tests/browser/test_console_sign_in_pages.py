"""The console's way in, in a real browser without JavaScript: it fits, and a person gets in and sets up a phone.

ARCADE_PICTURES=folder keeps a picture of every page that is looked at.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pyotp
import pytest

from arcade_cloud.domain.people import Role
from support.chromium import Chromium
from support.served import serve
from support.signed_in import PASSWORD, ROOT
from support.site import Site

SIZES = [(390, 844), (768, 1024), (1440, 900)]
FITS = "document.documentElement.scrollWidth <= innerWidth"
SMALL = (
    "[...document.querySelectorAll('button, input:not([type=hidden]):not([hidden]), a.choice')]"
    ".filter(part => part.getBoundingClientRect().height < 44).length"
)


@pytest.fixture
def site() -> Iterator[tuple[Site, str]]:
    site = Site(public_base_url="http://127.0.0.1:5000")
    port, end = serve(site.app)
    try:
        yield site, f"http://127.0.0.1:{port}"
    finally:
        end()


def says(browser: Chromium, text: str) -> None:
    """The page comes to say it."""
    browser.wait_for(f"document.body.innerText.includes({text!r})")


def looked_at(browser: Chromium, name: str, size: tuple[int, int]) -> None:
    """The page fits, and a finger hits everything; its picture is kept."""
    assert browser.js(FITS), name
    assert browser.js(SMALL) == 0, name
    folder = os.environ.get("ARCADE_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"console-{name}-{size[0]}.png").write_bytes(browser.png())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_person_signs_in_and_sets_up_a_phone(
    browser: Chromium, site: tuple[Site, str], size: tuple[int, int], dark: bool
) -> None:
    arcade, url = site
    arcade.desk.accounts.add(ROOT, "ann", Role.OWNER, PASSWORD, full_name="Ann Ng")
    browser.become(*size, dark=dark, scripts=False)
    name = "dark-" if dark else ""
    browser.go(f"{url}/console/account")
    looked_at(browser, f"{name}sign-in", size)
    browser.type("[name=name]", "ann")
    browser.type("[name=password]", "wrong")
    browser.tap("button")
    says(browser, "The name or the password is wrong")
    looked_at(browser, f"{name}wrong", size)
    browser.type("[name=password]", PASSWORD)
    browser.tap("button")
    says(browser, "You are signed in as ann, owner.")
    looked_at(browser, f"{name}account", size)
    browser.go(f"{url}/console/account/second-factor")
    looked_at(browser, f"{name}second-factor", size)
    secret = browser.js("document.querySelector('code').textContent").replace(" ", "")
    browser.type("[name=code]", pyotp.TOTP(secret).at(arcade.now_ms // 1000))
    browser.type("[name=password]", PASSWORD)
    browser.tap("button")
    says(browser, "You gave a code of your phone")
    browser.go(f"{url}/console/account/password")
    looked_at(browser, f"{name}password", size)
    for path, page in (("people", "people"), ("people/ann", "person")):
        browser.go(f"{url}/console/{path}")
        looked_at(browser, f"{name}{page}", size)
