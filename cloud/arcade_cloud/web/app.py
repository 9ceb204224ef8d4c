"""The Flask application: all doors, with what holds for each of them (errors, bounds, headers)."""

from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from arcade_cloud.config.settings import Settings
from arcade_cloud.services.rate_limit import RateLimiter
from arcade_cloud.web import api, assets, error_responses, ingest, kiosk, openapi, player, webhook
from arcade_cloud.web.dependencies import Services
from arcade_cloud.web.guards import MAX_BODY_BYTES
from arcade_cloud.web.player_view import contact_link
from arcade_cloud.web.prefix import StagePrefix
from arcade_shared.broker_address import is_loopback

__all__ = ["Services", "create_app"]

YEAR_S = 365 * 86_400


def create_app(services: Services) -> Flask:
    """The application for `services`. Connects to nothing, and reads no file but what Flask itself needs."""
    app = Flask("arcade_cloud.web")
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES  # the doors that need more say so themselves
    app.url_map.strict_slashes = False
    app.json = DefaultJSONProvider(app)
    app.json.sort_keys = False  # answers read as they are documented
    limiter = RateLimiter(services.settings.rate_limit_per_minute)
    error_responses.install(app)
    assets.install(app)
    app.jinja_env.globals.update(
        site_name=services.settings.site_name,
        contact=services.settings.operator_contact,
        contact_link=contact_link(services.settings.operator_contact),
    )
    app.register_blueprint(api.doors(services, limiter))
    app.register_blueprint(webhook.doors(services))
    app.register_blueprint(ingest.doors(services))
    app.register_blueprint(player.doors(services, limiter))
    app.register_blueprint(kiosk.doors(services))
    app.register_blueprint(openapi.doors(services))
    _protect(app, services.settings)
    app.wsgi_app = StagePrefix(app.wsgi_app, services.settings.stage_prefix)  # type: ignore[method-assign]
    if services.settings.trusted_proxies > 0:
        proxied = ProxyFix(app.wsgi_app, x_for=services.settings.trusted_proxies, x_proto=0)
        app.wsgi_app = proxied  # type: ignore[method-assign]  # as Flask's own guide does it
    return app


def _protect(app: Flask, settings: Settings) -> None:
    """Headers for every answer: what a page may load, who may show it, and how long it is kept."""
    page_policy = _page_policy(settings)

    def add_headers(response: Response) -> Response:
        page = response.mimetype == "text/html"
        policy = page_policy if page else "default-src 'none'; frame-ancestors 'none'"
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        if request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        elif response.status_code == 200 and request.args.get("v"):
            response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
        return response

    app.after_request(add_headers)


def _page_policy(settings: Settings) -> str:
    """What a page may do. A checkout is a form that is answered with a redirection to Stripe, which browsers
    check against form-action too; an operator may have a domain of his own for it.
    """
    checkout = "https:"
    if settings.stripe_api_base is not None:
        base = urlsplit(settings.stripe_api_base)
        if base.scheme == "http" and is_loopback(base.hostname or ""):
            checkout += f" http://localhost:{base.port or 80} http://127.0.0.1:{base.port or 80}"
        elif base.scheme == "http":
            checkout += f" http://{base.netloc}"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; "
        f"connect-src 'self'; form-action 'self' {checkout}; base-uri 'none'; frame-ancestors 'none'"
    )
