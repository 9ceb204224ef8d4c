"""A phone with a tab, before real pages: it plays, and finishes."""

import re

import requests

from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import System


class TabPhone:
    """A browser without scripts: it keeps its cookie, and sends a tap again until that is answered."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.browser = requests.Session()

    def page(self, path: str) -> str:
        """What the page says once it comes."""

        def looked() -> str | None:
            try:
                answer = self.browser.get(self.system.url + path, timeout=10)
            except requests.RequestException:
                return None
            return answer.text if answer.status_code == 200 else None

        return wait_for(f"the page {path}", looked, 30)

    def opens_tab(self, machine_id: str, limit_minor: int) -> None:
        """Begin a tab there, and have its limit held at Stripe."""
        begun = self.browser.post(
            f"{self.system.url}/m/{machine_id}/tab",
            data={"limit": str(limit_minor)},
            timeout=20,
            allow_redirects=False,
        )
        if begun.status_code != 303:
            raise RuntimeError(begun.text)
        self.system.stripe.pay(begun.headers["Location"], "card")

    def ticket(self, machine_id: str) -> str:
        """The ticket of the first button that works."""

        def seen() -> str | None:
            found = re.search(
                r'name="ticket" value="([^"]+)">\s*<button class="choice"[^>]*data-price="\d+">',
                self.page(f"/m/{machine_id}"),
            )
            return None if found is None else found[1]

        return wait_for(f"a button at {machine_id}", seen, 40)

    def taps(self, machine_id: str, ticket: str) -> int:
        """Send one tap until somebody says what became of it: 303, or why nothing was played."""

        def sent() -> int | None:
            try:
                answer = self.browser.post(
                    f"{self.system.url}/m/{machine_id}/play",
                    data={"ticket": ticket},
                    timeout=10,
                    allow_redirects=False,
                )
            except requests.RequestException:
                return None
            return answer.status_code if answer.status_code < 500 else None

        return wait_for("an answer to a tap", sent, 40)

    def finishes(self) -> None:
        """Finish the tab."""
        token = re.search(r'name="token" value="([^"]+)"', self.page("/tab"))
        if token is None:
            raise RuntimeError("the tab's page has no Finish")
        answer = self.browser.post(f"{self.system.url}/tab/finish", data={"token": token[1]}, timeout=20)
        answer.raise_for_status()
