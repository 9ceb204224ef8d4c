"""A headless Chromium at phone or screen size, driven by Playwright: the system's own browser, none is fetched."""

import os
import shutil
import time
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Self

from playwright.sync_api import BrowserContext, Error, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"]
ANSWER_MS = 30_000


def find_chromium() -> str | None:
    """The browser of this machine; CHROMIUM names another."""
    return os.environ.get("CHROMIUM") or next((path for name in NAMES if (path := shutil.which(name))), None)


@cache
def _axe_core() -> str:
    return (resources.files("axe_playwright_python") / "axe.min.js").read_text()


class Chromium:
    """One tab. Every wait is bounded and fails the test.

    `requests`: the addresses that the page has asked for since it was opened.
    """

    def __init__(self, program: str) -> None:
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(executable_path=program, args=FLAGS)
        self._context: BrowserContext | None = None
        self.requests: list[str] = []
        self._complaints: list[str] = []
        self.become(360, 640)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and everything that it started."""
        self._browser.close()
        self._playwright.stop()

    # --- what a person does ------------------------------------------------------------------------------

    def become(
        self,
        width: int,
        height: int,
        *,
        dark: bool = False,
        scripts: bool = True,
        mobile: bool = True,
        scale: int = 2,
    ) -> None:
        """A phone (or, not `mobile`, a screen) of that size, in light or dark, with or without JavaScript.

        It knows nothing of what was visited before.
        """
        if self._context is not None:
            self._context.close()
        self._context = self._browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            is_mobile=mobile,
            has_touch=mobile,
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        self._context.set_default_timeout(ANSWER_MS)
        self._page: Page = self._context.new_page()
        self._page.on("request", lambda request: self.requests.append(request.url))
        self._page.on("pageerror", lambda error: self._complaints.append(str(error)))
        self._page.on("console", lambda said: self._complaints.append(said.text) if said.type == "error" else None)
        self._protocol = self._context.new_cdp_session(self._page)
        self._protocol.send("Network.enable")

    def line(self, *, offline: bool = False, latency_ms: int = 0, bytes_per_s: int = -1) -> None:
        """From now on the network is as slow as that, or gone. -1: as fast as it can."""
        self._protocol.send(
            "Network.emulateNetworkConditions",
            {
                "offline": offline,
                "latency": latency_ms,
                "downloadThroughput": bytes_per_s,
                "uploadThroughput": bytes_per_s,
            },
        )

    def go(self, url: str) -> None:
        """Open a page, and wait until it has loaded."""
        self.requests.clear()
        self._complaints.clear()
        self._page.goto(url, wait_until="load")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; promises are waited for."""
        return self._page.evaluate(expression)

    def wait_for(self, expression: str, within_s: float = 15.0) -> None:
        """Wait until an expression is true in the page, or in the one that comes after it."""
        end = time.monotonic() + within_s
        while not self._is_true(expression):
            assert time.monotonic() < end, f"never true: {expression}; the page says: {self.text()}"
            self._page.wait_for_timeout(50)

    def _is_true(self, expression: str) -> bool:
        try:
            return bool(self.js(expression))
        except Error as error:
            if "navigation" in error.message or "context" in error.message or "null" in error.message:
                return False  # one page has gone, and the next is not there yet
            raise

    def tap(self, selector: str) -> None:
        """Tap the first element that a selector finds, as a finger does."""
        self._page.locator(selector).first.click(no_wait_after=True)

    def type(self, selector: str, text: str) -> None:
        """Type into the first field that a selector finds."""
        self._page.locator(selector).first.fill(text)

    def follow(self, name: str) -> None:
        """Follow the first link that is called so, or whose name begins so, and wait for its page."""
        with self._page.expect_navigation(wait_until="load"):
            self._page.get_by_role("link", name=name).first.click()

    def press(self, name: str) -> None:
        """Press the first button that is called so, and wait for the page that comes."""
        with self._page.expect_navigation(wait_until="load"):
            self._page.get_by_role("button", name=name).first.click()

    def write(self, label: str, text: str) -> None:
        """Write into the first field that is labelled so."""
        self._page.locator("input, textarea").and_(self._page.get_by_label(label)).first.fill(text)

    def choose(self, label: str, option: str) -> None:
        """Choose from the first list that is labelled so."""
        self._page.locator("select").and_(self._page.get_by_label(label)).first.select_option(label=option)

    def take_cookie(self, name: str, value: str, url: str) -> None:
        """Have a cookie of that site, as if it had been set there before."""
        assert self._context is not None
        self._context.add_cookies([{"name": name, "value": value, "url": url}])

    def text(self) -> str:
        """What a person reads on the page."""
        return self._page.inner_text("body")

    def barriers(self) -> list[str]:
        """What keeps people out of the page, or makes it hard for them: a line for each rule of axe-core's."""
        self._page.evaluate(_axe_core())
        found = self._page.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)"
        )
        return [
            f"{rule['id']}, {rule['impact']}: {rule['help']}: {[node['html'][:200] for node in rule['nodes'][:5]]}"
            for rule in found
        ]

    def complaints(self) -> list[str]:
        """What the browser had to say about the page since it was opened: errors, refused content, exceptions."""
        self.js("0")  # whatever was said before this has been heard then
        return list(self._complaints)

    def png(self, *, whole: bool = False) -> bytes:
        """What is to be seen; or the `whole` page, down to its end."""
        return self._page.screenshot(full_page=whole)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """What is to be seen, into a file."""
        path.write_bytes(self.png(whole=whole))


def eventually(holds: Callable[[], bool], what: str, within_s: float = 15.0) -> None:
    """Wait until `holds()` is true. Fails the test with `what` if that does not happen in time."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)
