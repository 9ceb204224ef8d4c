"""A person's browser at the console: signed in by name, password and code, and again whenever that has ended."""

import html
import re
from typing import Any

import pyotp
from werkzeug.test import TestResponse

from arcade_cloud.domain.people import Role, command_line
from support.site import Site

PASSWORD = "correct horse battery"
ROOT = command_line("root")
# Of every form.
FIELD = "form_token"


class Console:
    """Somebody with that role who signs in, with a second factor or without."""

    def __init__(
        self, site: Site, role: Role = Role.OWNER, name: str = "ann", *, second_factor: bool = True
    ) -> None:
        self.site, self.name = site, name
        self.client = site.app.test_client()
        self._secret = pyotp.random_base32() if second_factor else ""
        site.desk.accounts.add(ROOT, name, role, PASSWORD)
        if second_factor:
            site.desk.accounts.set_second_factor(ROOT, name, self._secret)

    def get(self, path: str, **query: str) -> TestResponse:
        """Open a page."""
        return self._entered(lambda: self._open("GET", path, query_string=query or None))

    def post(self, path: str, **fields: str) -> TestResponse:
        """Send a form, with the token that every form has."""
        token = _hidden(self.get("/console/account").text)[FIELD]
        return self._open("POST", path, data={FIELD: token, **fields})

    def submit(self, page: TestResponse, **fields: Any) -> TestResponse:
        """Send the last form of a page as it is, with these fields besides."""
        *_, form = re.findall(r'<form[^>]*method="post" action="([^"]*)">(.*?)</form>', page.text, flags=re.S)
        return self._open("POST", html.unescape(form[0]), data={**_hidden(form[1]), **fields})

    def sign_in(self) -> None:
        """As a person does it."""
        page = self._open("GET", "/console/sign-in")
        if page.status_code == 303:
            return
        self.submit(page, name=self.name, password=PASSWORD)
        if self._secret:
            page = self._open("GET", "/console/code")
            self.submit(page, code=pyotp.TOTP(self._secret).at(self.site.now_ms // 1000))
        assert self._open("GET", "/console/account").status_code == 200

    def take_along(self, browser: Any, url: str) -> None:
        """Have a real browser at that address be signed in as this person."""
        self.sign_in()
        for cookie in (self.client._cookies or {}).values():  # there is no other way to list them
            browser.take_cookie(cookie.key, cookie.value, url)

    def _entered(self, ask: Any) -> TestResponse:
        answer: TestResponse = ask()
        if answer.status_code == 303 and "/console/sign-in" in answer.location:
            self.sign_in()
            answer = ask()
        return answer

    def _open(self, method: str, path: str, **more: Any) -> TestResponse:
        return self.client.open(path, method=method, base_url=self.site.settings.public_base_url, **more)


def _hidden(form: str) -> dict[str, str]:
    found = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in found}
