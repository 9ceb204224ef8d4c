"""The site below a path such as `/prod`: removed from each request, added to each link.

API Gateway puts the name of its stage in the address, and an address like `https://…/prod/status` that was
printed once must work on every installation. WSGI has a place for it: the prefix moves from PATH_INFO to
SCRIPT_NAME, which `url_for` adds.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def path_below(path: str, prefix: str) -> str | None:
    """The rest of `path` below `prefix` ("/prod"; empty means no prefix), or None if `path` is not below it."""
    if not prefix:
        return None
    if path == prefix:
        return "/"
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else None


class StagePrefix:
    """A WSGI application that responds with and without `prefix` before its paths."""

    def __init__(self, app: "WSGIApplication", prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = path_below(environ.get("PATH_INFO", ""), self._prefix)
        if path is not None:
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + self._prefix
            environ["PATH_INFO"] = path
        return self._app(environ, start_response)
