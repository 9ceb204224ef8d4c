"""The headers of every response: what a page may load, who may embed it, how long it is cached."""

from urllib.parse import urlsplit

from flask import Flask, Response, request

from arcade_cloud.config.settings import Settings
from arcade_shared.broker_address import is_loopback

YEAR_S = 365 * 86_400


def install(app: Flask, settings: Settings, page_policy: str) -> None:
    """Add the headers to what the application answers.

    Args:
        page_policy: The Content-Security-Policy of a page.
    """
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


def _policy(form_action: str) -> str:
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' https: data:; "
        f"connect-src 'self'; form-action {form_action}; base-uri 'none'; frame-ancestors 'none'"
    )


def console_policy() -> str:
    """The policy of the console's pages: their forms go here and nowhere else."""
    return _policy("'self'")


def player_policy(settings: Settings) -> str:
    """The policy of the players' pages.

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
    return _policy(f"'self' {checkout}")
