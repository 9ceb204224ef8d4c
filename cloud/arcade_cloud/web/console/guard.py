"""Who gets to which page of the console: each view names its act, or nobody gets there at all.

Before a view runs, its person is known, may do its act, and, for a form, has got the form from here.
"""

import hmac
import re
import secrets
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from flask import Flask, Response, current_app, g, redirect, request, url_for
from markupsafe import Markup
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.config.settings import Settings
from arcade_cloud.domain.devices import LIFE_S
from arcade_cloud.domain.people import NEEDS_SECOND_FACTOR, Act, Actor, check_may, may
from arcade_cloud.errors import CrossSite, Forbidden, InvariantBroken
from arcade_cloud.services.sign_in import SignedIn, SignIn, form_token

_View = TypeVar("_View", bound=Callable[..., Any])

FIELD = "form_token"
# What a page sends that renews itself (`static/console-live.js`): a session does not live on by that.
LIVE = "X-Arcade-Live"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = re.compile(r"/console(/[\w./%-]*)?(\?[\w.=&%+-]*)?", re.ASCII)
_NOT_OURS = "This form is too old, or did not come from this site. Open the page again, and try once more."


class Guard:
    """The guard of one console application."""

    def __init__(self, sign_in: SignIn, settings: Settings) -> None:
        self.sign_in = sign_in
        self._is_https = urlsplit(settings.public_base_url).scheme == "https"
        # With this prefix a browser takes the cookie from this very host, by https, and from nowhere else.
        prefix = "__Host-" if self._is_https else ""
        self._session, self._form, self._device = (f"{prefix}{name}" for name in ("console", "form", "device"))

    def install(self, app: Flask) -> None:
        """Stand before every view of `app`."""
        app.before_request(self._check)

    # --- what views say ----------------------------------------------------------------------------------

    def needs(self, act: Act) -> Callable[[_View], _View]:
        """Mark a view: only who may do this gets there."""

        def mark(view: _View) -> _View:
            view.needs_act = act  # type: ignore[attr-defined]
            return view

        return mark

    def is_open(self, view: _View) -> _View:
        """Mark a view that is for people who are not signed in: there are no others than those of signing in."""
        view.needs_act = None  # type: ignore[attr-defined]
        return view

    # --- what views ask ----------------------------------------------------------------------------------

    def signed_in(self) -> SignedIn:
        """Who looks at this page."""
        found: SignedIn = g.signed_in
        return found

    def actor(self) -> Actor:
        """Who looks at this page, as acts take it."""
        return self.signed_in().actor

    def csrf(self) -> Markup:
        """The hidden field that every form needs."""
        return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, form_token(g.form_of))

    def token(self) -> str:
        """What this browser has of a session; empty if it has nothing."""
        return request.cookies.get(self._session, "")[:128]

    def device(self) -> str:
        """What this browser has from an earlier sign-in."""
        return request.cookies.get(self._device, "")[:128]

    # --- the browser's cookies ---------------------------------------------------------------------------

    def enter(self, response: AnyResponse, entered: SignedIn) -> AnyResponse:
        """Give the browser its new session. Whatever it had before is dead."""
        old = self.token()
        if old:
            self.sign_in.sign_out(old)
        self._set(response, self._session, entered.token, None)
        response.delete_cookie(self._form, path="/", secure=self._is_https, httponly=True, samesite="Lax")
        if not entered.session.waits_for_code:
            self._set(response, self._device, self.sign_in.device_token(entered.person.name), LIFE_S)
        return response

    def leave(self, response: AnyResponse) -> AnyResponse:
        """End the session, in the store and in the browser."""
        self.sign_in.sign_out(self.token())
        response.delete_cookie(self._session, path="/", secure=self._is_https, httponly=True, samesite="Lax")
        return response

    def keep_form(self, response: Response) -> Response:
        """Let the browser of somebody who is not signed in keep what its form is made of."""
        if not request.cookies.get(self._form) and not self.token():
            self._set(response, self._form, g.form_of, 3600)
        return response

    def _set(self, response: AnyResponse, name: str, value: str, max_age: int | None) -> None:
        response.set_cookie(
            name, value, max_age=max_age, secure=self._is_https, httponly=True, samesite="Lax", path="/"
        )

    # --- before each view --------------------------------------------------------------------------------

    def _check(self) -> AnyResponse | None:
        if request.endpoint is None:
            return None  # nothing is at this address
        view = current_app.view_functions[request.endpoint]
        if not hasattr(view, "needs_act"):
            raise InvariantBroken(f"the view {request.endpoint} does not say who may see it")
        act: Act | None = view.needs_act
        if act is None:
            g.form_of = self.token() or request.cookies.get(self._form, "")[:128] or secrets.token_hex(32)
            self._check_form()
            return None
        is_use = request.headers.get(LIVE) is None
        signed_in = self.sign_in.current(self.token(), ip=request.remote_addr or "", is_use=is_use)
        if signed_in is None:
            back = request.full_path.rstrip("?") if request.method == "GET" else None
            return redirect(url_for("console.sign_in", next=self.way_back(back)), 303)
        g.signed_in, g.form_of = signed_in, signed_in.token
        self._check_form()
        return self._check_act(signed_in, act)

    def _check_form(self) -> None:
        """Check that a form was made for this very browser.

        Raises:
            CrossSite: It was not.
        """
        if request.method in _READING:
            return
        given = request.form.get(FIELD, "").encode("utf-8", "replace")
        if not hmac.compare_digest(given, form_token(g.form_of).encode()):
            raise CrossSite(_NOT_OURS)

    def _check_act(self, signed_in: SignedIn, act: Act) -> AnyResponse | None:
        """Check the act; who lacks nothing but the second factor is led to where it is set up.

        Raises:
            Forbidden: This person may not do it.
        """
        try:
            check_may(signed_in.actor, act)
        except Forbidden:
            lacks_code = may(signed_in.actor.role, act) and act in NEEDS_SECOND_FACTOR
            if lacks_code and request.method == "GET":
                return redirect(url_for("console.second_factor", needed="1"), 303)
            raise
        return None

    @staticmethod
    def way_back(address: str | None) -> str | None:
        """The page to go on to, if it is one of the console's; None if it is anywhere else."""
        if not address or len(address) >= 1000 or not _OURS.fullmatch(address):
            return None
        # A browser takes `/..` out of a path, also where it is written `/%2e%2e`.
        return None if ".." in unquote(address.partition("?")[0]) else address
