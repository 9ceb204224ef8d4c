"""The names under which this site answers: the Host header is checked before anything is routed by it.

A browser that was led here under another name could be made to take that name's pages for ours, and a redirection
would lead back to it. So pages answer under the site's own names only. A plain IP address is nobody's name, so it
may be used too.

Software is let in under any name, because it is often configured with one that only its own network knows. Its
routes build no link from the name, and have keys and signatures of their own.
"""

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, request

from arcade_cloud.config.host_names import host_name, is_ip_address
from arcade_cloud.errors import BadHost, BadRequest, UnknownHost
from arcade_shared.broker_address import is_loopback

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

FOR_SOFTWARE = frozenset({"/status", "/create-payment-link", "/gameover", "/webhook", "/addCredit", "/ingest"})
# A gateway that owns the name in front of this application has put it here; nothing of a request gets here.
GATEWAY_HOST = "arcade.gateway_host"
_REFUSAL = "arcade.host_refusal"
_MOST_LOGGED = 100


def install(app: Flask, allowed: frozenset[str]) -> None:
    """Refuse requests for other hosts than `allowed`, in the usual error shape."""
    app.wsgi_app = _Hosts(app.wsgi_app, allowed)  # type: ignore[method-assign]  # as Flask's own guide does it

    def refuse() -> None:
        refusal = request.environ.get(_REFUSAL)
        if refusal is not None:
            raise refusal

    app.before_request(refuse)


class _Hosts:
    """A WSGI application that hands on no Host that it does not know."""

    def __init__(self, app: "WSGIApplication", allowed: frozenset[str]) -> None:
        self._app = app
        self._allowed = allowed
        self._logged: set[str] = set()

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        refusal = self._refusal(environ)
        if refusal is not None:
            environ["HTTP_HOST"] = "localhost"
            environ[_REFUSAL] = refusal
        return self._app(environ, start_response)

    def _refusal(self, environ: "WSGIEnvironment") -> BadRequest | None:
        given = environ.get("HTTP_HOST", "")
        if not given:
            return None  # HTTP/1.0, or a probe
        name = host_name(given) if given.isascii() else None
        if name is None:
            return BadHost("The Host header is not a host name.")
        gateway = host_name(environ.get(GATEWAY_HOST, ""))
        if name in self._allowed or name == gateway or is_loopback(name) or is_ip_address(name):
            return None
        if environ.get("PATH_INFO", "").rstrip("/") in FOR_SOFTWARE:
            return None
        self._log(name)
        return UnknownHost("There is no site of this name here.")

    def _log(self, name: str) -> None:
        if name not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(name)
            logger.warning("a page was asked for as %s: if this site has that name, add it to ALLOWED_HOSTS", name)
