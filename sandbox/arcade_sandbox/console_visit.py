"""A person at the console, with a browser and a phone: signs in, opens pages, sends forms."""

import html
import re
import secrets
import time
from dataclasses import dataclass, field

import pyotp
import requests

from arcade_sandbox.errors import SystemFailed
from arcade_sandbox.system import System

TIMEOUT_S = 30.0
CODE_LIFE_S = 30
_FORM = re.compile(r'<form[^>]*method="post"[^>]*action="([^"]*)"[^>]*>(.*?)</form>', re.DOTALL)
_HIDDEN = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)"')
_SECRET = re.compile(r"<code>([A-Z2-7 ]{16,})</code>")


@dataclass
class ConsoleVisit:
    """One browser at the console of the site at `url`.

    Attributes:
        secret: What the person's phone makes its codes of; empty if there is no second factor.
    """

    url: str
    name: str
    password: str
    secret: str = ""
    browser: requests.Session = field(default_factory=requests.Session)

    def code(self, steps: int = 0) -> str:
        """What the phone shows now, or so many half minutes later. The console takes each code once."""
        return pyotp.TOTP(self.secret).at(time.time() + steps * CODE_LIFE_S)

    def sign_in(self, steps: int = 0) -> None:
        """Give name and password, and the code if there is a second factor.

        Args:
            steps: Which code: see `code`.

        Raises:
            SystemFailed: The person was not let in.
        """
        page = self.send(self.get("/console/sign-in"), name=self.name, password=self.password)
        if self.secret:
            page = self.send(page, code=self.code(steps))
        if not page.url.endswith("/console/"):
            raise SystemFailed(f"{self.name} was not let in: {page.status_code} {page.url}")

    def set_up_second_factor(self) -> None:
        """Have a phone from now on. It spends the code before the present one, so the present one is good."""
        page = self.get("/console/account/second-factor")
        shown = _SECRET.search(page.text)
        if shown is None:
            raise SystemFailed(f"no secret to type in at {page.url}")
        self.secret = shown[1].replace(" ", "")
        self.send(page, code=self.code(-1), password=self.password)

    def get(self, path: str) -> requests.Response:
        """Open a page.

        Raises:
            SystemFailed: The console refused, or has no such page.
        """
        return self._good(self.browser.get(self.url + path, timeout=TIMEOUT_S))

    def send(self, page: requests.Response, action: str = "", **fields: str) -> requests.Response:
        """Send a form of a page as it is, with these fields besides; the page that comes then.

        Args:
            action: The end of the form's address; without it, the last form is sent.

        Raises:
            SystemFailed: There is no such form, or the console refused.
        """
        forms = [form for form in _FORM.findall(page.text) if html.unescape(form[0]).endswith(action)]
        if not forms:
            raise SystemFailed(f"no form {action} at {page.url}")
        address, inside = forms[-1]
        hidden = {name: html.unescape(value) for name, value in _HIDDEN.findall(inside)}
        answer = self.browser.post(
            requests.compat.urljoin(page.url, html.unescape(address)), data={**hidden, **fields}, timeout=TIMEOUT_S
        )
        return self._good(answer)

    def _good(self, answer: requests.Response) -> requests.Response:
        if not answer.ok:
            raise SystemFailed(f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text[:500]}")
        return answer


def add_person(system: System, name: str, role: str, full_name: str = "") -> ConsoleVisit:
    """Add a person with a password, by command. Nobody is signed in."""
    password = secrets.token_urlsafe(12)
    words = ("user", "add", name, "--role", role, "--full-name", full_name, "--password-stdin")
    system.cli(*words, typed=f"{password}\n")
    return ConsoleVisit(system.url, name, password)


def add_owner(system: System, name: str, full_name: str = "") -> ConsoleVisit:
    """Add an owner with a phone as second factor. Nobody is signed in, and the phone's present code is good."""
    owner = add_person(system, name, "owner", full_name)
    owner.sign_in()
    owner.set_up_second_factor()
    return ConsoleVisit(owner.url, owner.name, owner.password, owner.secret)
