"""The Flask application: all routes, and what applies to each of them (errors, limits, headers)."""

from urllib.parse import urlsplit

from flask import Flask, Response, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.middleware.proxy_fix import ProxyFix

from arcade_cloud.config.settings import Settings
from arcade_cloud.web import api, assets, error_responses, hosts, ingest, kiosk, openapi, player, proxies, webhook
from arcade_cloud.web.dependencies import Dependencies
from arcade_cloud.web.guards import MAX_BODY_BYTES, check_same_site
from arcade_cloud.web.player_view import contact_link, credits_text
from arcade_cloud.web.prefix import StagePrefix
from arcade_cloud.web.visitors import Visitors
from arcade_shared.broker_address import is_loopback

YEAR_S = 365 * 86_400


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
    app.jinja_env.filters["credits"] = credits_text
    app.jinja_env.globals.update(
        site_name=dependencies.settings.site_name,
        contact=dependencies.settings.operator_contact,
        contact_link=contact_link(dependencies.settings.operator_contact),
    )
    app.register_blueprint(api.routes(dependencies, visitors))
    app.register_blueprint(webhook.routes(dependencies))
    app.register_blueprint(ingest.routes(dependencies))
    app.register_blueprint(player.routes(dependencies, visitors))
    app.register_blueprint(kiosk.routes(dependencies))
    app.register_blueprint(openapi.routes(dependencies))
    _protect(app, dependencies.settings)
    hosts.install(app, dependencies.settings.allowed_hosts)
    app.before_request(check_same_site)
    proxies.install(app, dependencies)
    app.wsgi_app = StagePrefix(app.wsgi_app, dependencies.settings.stage_prefix)  # type: ignore[method-assign]
    if dependencies.settings.trusted_proxies > 0:
        proxied = ProxyFix(app.wsgi_app, x_for=dependencies.settings.trusted_proxies, x_proto=0)
        app.wsgi_app = proxied  # type: ignore[method-assign]  # as Flask's own guide does it
    return app


def _protect(app: Flask, settings: Settings) -> None:
    """Add headers to every response: what a page may load, who may embed it, how long it is cached."""
    page_policy = _page_policy(settings)
    is_https = urlsplit(settings.public_base_url).scheme == "https"

    def add_headers(response: Response) -> Response:
        page = response.mimetype == "text/html"
        policy = page_policy if page else "default-src 'none'; frame-ancestors 'none'"
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "no-referrer")
        if is_https:
            response.headers.setdefault("Strict-Transport-Security", f"max-age={YEAR_S}")
        if request.endpoint != "static":
            response.headers.setdefault("Cache-Control", "no-store")
        elif response.status_code == 200 and request.args.get("v"):
            response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable"
        return response

    app.after_request(add_headers)


def _page_policy(settings: Settings) -> str:
    """The Content-Security-Policy of a page.

    The checkout form is redirected to Stripe, and browsers check the redirect against form-action too. Any https
    address is allowed there, because an operator may have a custom domain at Stripe.
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
