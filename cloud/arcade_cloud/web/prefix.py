"""The site below a path such as `/prod`: taken off on the way in, and put before every link on the way out.

API Gateway names its stages in the address, and whoever has once printed `https://…/prod/status` expects it to
work on any installation. WSGI has a place for it: what is taken from PATH_INFO goes to SCRIPT_NAME, which
`url_for` adds.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def path_below(path: str, prefix: str) -> str | None:
    """What is left of `path` below `prefix` ("/prod"; empty: no prefix); None if it does not lie there."""
    if not prefix:
        return None
    if path == prefix:
        return "/"
    return path.removeprefix(prefix) if path.startswith(f"{prefix}/") else None


class StagePrefix:
    """A WSGI application that is found with and without `prefix` before its paths."""

    def __init__(self, app: "WSGIApplication", prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = path_below(environ.get("PATH_INFO", ""), self._prefix)
        if path is not None:
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + self._prefix
            environ["PATH_INFO"] = path
        return self._app(environ, start_response)
