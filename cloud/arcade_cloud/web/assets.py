"""The static files of the pages: each address has a version, so a phone caches a file until it changes."""

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, url_for

STATIC = Path(__file__).parent / "static"


@lru_cache(maxsize=64)
def version(filename: str) -> str:
    """12 hexadecimal digits that change with the file's contents."""
    return hashlib.sha256((STATIC / filename).read_bytes()).hexdigest()[:12]


def asset_url(filename: str) -> str:
    """The address of a static file, below whatever prefix the site is mounted at."""
    return url_for("static", filename=filename, v=version(filename))


def install(app: Flask) -> None:
    """Make `asset_url('arcade.css')` available to templates."""
    app.jinja_env.globals["asset_url"] = asset_url
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
