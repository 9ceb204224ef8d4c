"""The console's first page."""

from flask import Blueprint, redirect, url_for
from werkzeug.wrappers import Response as AnyResponse

from arcade_cloud.domain.people import Act
from arcade_cloud.web.console.guard import Guard


def add_to(blueprint: Blueprint, guard: Guard) -> None:
    """Add `/console`."""

    @blueprint.get("/")
    @guard.needs(Act.SEE)
    def today() -> AnyResponse:
        """Lead to what there is."""
        return redirect(url_for("console.account"), 303)
