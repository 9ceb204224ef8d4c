"""The way to the console: an application of its own, made when its first page is asked for.

So players never wait for what only operators need, neither at a cold start nor later. Until a person exists there
is no console: its addresses are as unknown as any other.
"""

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from arcade_cloud.errors import StoreUnavailable
from arcade_cloud.ports.people import PeopleStore

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PREFIX = "/console"


class ConsoleDoor:
    """A WSGI application that hands `/console` to the console, and everything else on."""

    def __init__(self, app: "WSGIApplication", people: PeopleStore, make: "Callable[[], WSGIApplication]") -> None:
        self._app = app
        self._people = people
        self._make = make
        self._lock = threading.Lock()
        self._console: WSGIApplication | None = None
        self._has_people = False

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        app = self._app
        if path == PREFIX or path.startswith(f"{PREFIX}/"):
            app = self._opened() or self._app
        return app(environ, start_response)

    def _opened(self) -> "WSGIApplication | None":
        """The console; None as long as there are no people."""
        if not self._has_people:
            try:
                self._has_people = bool(self._people.people())
            except StoreUnavailable:
                pass  # nobody knows; the console says so
            else:
                if not self._has_people:
                    return None
        with self._lock:
            self._console = self._console or self._make()
        return self._console
