"""The Flask application: all routes, and what applies to each of them (errors, limits, headers)."""

from typing import TYPE_CHECKING

from flask import Flask
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from arcade_cloud.web import (
    api,
    assets,
    error_responses,
    headers,
    home,
    hosts,
    ingest,
    kiosk,
    languages,
    openapi,
    player,
    proxies,
    tabs,
    theme,
    webhook,
)
from arcade_cloud.web.console_door import ConsoleDoor
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.guards import MAX_BODY_BYTES, check_same_site
from arcade_cloud.web.player_view import contact_link
from arcade_cloud.web.prefix import StagePrefix
from arcade_cloud.web.visitors import Visitors

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def create_app(dependencies: Dependencies) -> Flask:
    """The application. Connects to nothing, and reads no files except those that Flask itself needs."""
    app = Flask("arcade_cloud.web")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES  # routes that need more raise it themselves
    app.url_map.strict_slashes = False
    app.json = DefaultJSONProvider(app)
    app.json.sort_keys = False  # responses read as they are documented
    visitors = Visitors(dependencies.settings, dependencies.fulfilment.now_ms)
    error_responses.install(app)
    assets.install(app)
    theme.install(app, dependencies.settings)
    languages.install(app, dependencies.settings)
    app.jinja_env.globals.update(
        site_name=dependencies.settings.site_name,
        contact=dependencies.settings.operator_contact,
        contact_link=contact_link(dependencies.settings.operator_contact),
    )
    app.register_blueprint(api.routes(dependencies, visitors))
    app.register_blueprint(webhook.routes(dependencies))
    app.register_blueprint(ingest.routes(dependencies))
    app.register_blueprint(home.routes(dependencies))
    app.register_blueprint(player.routes(dependencies, visitors))
    app.register_blueprint(tabs.routes(dependencies, visitors))
    app.register_blueprint(kiosk.routes(dependencies))
    app.register_blueprint(openapi.routes(dependencies))
    headers.install(app, dependencies.settings, headers.player_policy(dependencies.settings))
    door = ConsoleDoor(app.wsgi_app, dependencies.people, lambda: _console(dependencies))
    app.wsgi_app = door  # type: ignore[method-assign]  # as Flask's own guide does it
    hosts.install(app, dependencies.settings.allowed_hosts)
    app.before_request(check_same_site)
    proxies.install(app, dependencies)
    app.wsgi_app = StagePrefix(app.wsgi_app, dependencies.settings.stage_prefix)  # type: ignore[method-assign]
    if dependencies.settings.trusted_proxies > 0:
        proxied = ProxyFix(app.wsgi_app, x_for=dependencies.settings.trusted_proxies, x_proto=0)
        app.wsgi_app = proxied  # type: ignore[method-assign]  # as Flask's own guide does it
    return app


def _console(dependencies: Dependencies) -> "WSGIApplication":
    from arcade_cloud.web.console.app import create_console

    return create_console(dependencies)
