"""How the players' pages look as this arcade's own: its logo and its colour, as files that phones cache."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, url_for

from arcade_cloud.config.settings import LOGO_TYPES, Settings
from arcade_cloud.domain.colours import shades
from arcade_cloud.web.headers import YEAR_S

CACHED = f"public, max-age={YEAR_S}, immutable"


@dataclass(frozen=True)
class Theme:
    """The arcade's logo and colour."""

    settings: Settings

    @cached_property
    def style(self) -> str:
        """The style sheet that follows the page's own; empty where there is nothing to say."""
        if not self.settings.site_colour:
            return ""
        shade = shades(self.settings.site_colour)
        fill = f"--accent:{shade.fill};--on-accent:{shade.on_fill}"
        return (
            f":root{{{fill};--link:{shade.on_light};--sign:{shade.on_screen}}}\n"
            f"@media (prefers-color-scheme:dark){{:root{{{fill};--link:{shade.on_dark}}}}}\n"
        )

    @cached_property
    def logo(self) -> bytes | None:
        """The logo's file; None if it is not one, or cannot be read any more."""
        name = self.settings.site_logo
        if not name or name.startswith("https://"):
            return None
        try:
            return Path(name).read_bytes()
        except OSError:
            return None

    def style_url(self) -> str:
        """The address of the style sheet; empty if there is none."""
        return url_for("theme.style", v=_version(self.style.encode())) if self.style else ""

    def logo_url(self) -> str:
        """The address of the logo; empty if there is none."""
        if self.settings.site_logo.startswith("https://"):
            return self.settings.site_logo
        return "" if self.logo is None else url_for("theme.logo", v=_version(self.logo))


def install(app: Flask, settings: Settings) -> None:
    """Add `/static/theme.css` and `/static/logo`, and make `theme` available to templates."""
    theme = Theme(settings)
    blueprint = Blueprint("theme", __name__)

    @blueprint.get("/static/theme.css")
    def style() -> Response:
        """The arcade's colour."""
        if not theme.style:
            abort(404)
        return _file(theme.style.encode(), "text/css")

    @blueprint.get("/static/logo")
    def logo() -> Response:
        """The arcade's logo, if it is a file."""
        if theme.logo is None:
            abort(404)
        return _file(theme.logo, LOGO_TYPES[Path(settings.site_logo).suffix.lower()])

    app.register_blueprint(blueprint)
    app.jinja_env.globals["theme"] = theme


def _file(body: bytes, mimetype: str) -> Response:
    response = Response(body, mimetype=mimetype)
    response.headers["Cache-Control"] = CACHED
    return response


def _version(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:12]
