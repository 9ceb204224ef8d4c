"""What a browser keeps of its tab: the tab's own secret, which finds it and draws on it.

It is in a cookie that no script reads and no other site's page sends along. It never stands in an address that is
logged: a link by which another browser finds the tab has it in the fragment, which browsers keep to themselves.
"""

import hashlib
import hmac
from urllib.parse import urlsplit

from flask import Response, request
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.config.settings import Settings
from arcade_cloud.errors import PageOutdated
from arcade_cloud.web.languages import words

COOKIE = "tab"
_LONGEST = 128


class TabCookie:
    """The cookie of one tab. A browser has one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._is_https = urlsplit(settings.public_base_url).scheme == "https"
        # It is set before the payment, and a tab's life begins with that.
        self._life_s = settings.limits.checkout_life_s + settings.limits.tab_life_s

    def secret(self) -> str:
        """The secret of this browser's tab; empty if it has none."""
        return request.cookies.get(COOKIE, "")[:_LONGEST]

    def keep(self, response: AnyResponse | Response, secret: str) -> None:
        """Have the browser keep the secret for as long as its tab can be open."""
        response.set_cookie(
            COOKIE,
            secret,
            max_age=self._life_s,
            secure=self._is_https,
            httponly=True,
            samesite="Lax",
            path=request.script_root or "/",
        )


def form_token(secret: str) -> str:
    """What a form about a tab carries: only a page that was made for its owner has it."""
    return hashlib.sha256(b"a form about the tab " + secret.encode("utf-8", "replace")).hexdigest()[:32]


def check_form(secret: str, given: str) -> None:
    """Check that a form was made for the tab that this browser has now.

    Raises:
        PageOutdated: It was made for another one, or not by this site.
    """
    if not secret or not hmac.compare_digest(given.encode("utf-8", "replace"), form_token(secret).encode()):
        raise PageOutdated(words().text("This page is no longer up to date. Look at it again, then tap."))
