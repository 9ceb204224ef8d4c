"""Somebody at a browser who signs in to the console, as a person does: by its pages."""

import html
import re
from typing import Any

import pyotp
from werkzeug.test import TestResponse

from arcade_cloud.domain.people import Role, command_line
from arcade_cloud.web.console.guard import FIELD
from support.site import BASE_URL, Site

PASSWORD = "correct horse battery"
ROOT = command_line("root")


class Visitor:
    """One browser."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.client = site.app.test_client()
        self.page: TestResponse | None = None

    def get(self, path: str, **headers: str) -> TestResponse:
        """Open a page."""
        self.page = self.client.get(path, base_url=BASE_URL, headers=headers)
        return self.page

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Send a form with the hidden field of the page that was opened last."""
        token = form_token_of(self.page.text) if self.page is not None else ""
        self.page = self.client.post(path, base_url=BASE_URL, data={FIELD: token, **fields})
        return self.page

    def cookie(self, name: str = "__Host-console") -> str:
        """The value of a cookie; empty if there is none."""
        found = self.client.get_cookie(name, domain="play.example")
        return "" if found is None else found.value

    def sign_in(self, name: str, password: str = PASSWORD, **fields: str) -> TestResponse:
        """Name and password."""
        self.get("/console/sign-in")
        return self.post("/console/sign-in", name=name, password=password, **fields)

    def give_code(self, secret: str) -> TestResponse:
        """The code of the phone, a new one each time."""
        self.site.now_ms += 60_000
        self.get("/console/code")
        return self.post("/console/code", code=pyotp.TOTP(secret).at(self.site.now_ms // 1000))


def form_token_of(text: str) -> str:
    """The hidden field that every form has; empty if the page has no form."""
    found = re.search(rf'name="{FIELD}" value="([^"]*)"', text)
    return "" if found is None else html.unescape(found[1])


def a_person(site: Site, name: str = "ann", role: Role = Role.OWNER, *, with_phone: bool = True) -> str:
    """Add a person; the secret of the phone, if there is one."""
    site.desk.accounts.add(ROOT, name, role, PASSWORD)
    secret = pyotp.random_base32() if with_phone else ""
    if secret:
        site.desk.accounts.set_second_factor(ROOT, name, secret)
    return secret


def signed_in(site: Site, name: str = "ann", role: Role = Role.OWNER, *, with_phone: bool = True) -> Visitor:
    """A browser in which a new person has signed in."""
    secret = a_person(site, name, role, with_phone=with_phone)
    visitor = Visitor(site)
    visitor.sign_in(name)
    if secret:
        visitor.give_code(secret)
    assert visitor.cookie()
    return visitor
