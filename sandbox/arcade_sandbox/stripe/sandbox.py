"""The stand-in for Stripe: start it in the same process (tests), or let `arcade-sandbox serve` do it.

with StripeSandbox(webhook_urls=["http://127.0.0.1:5000/webhook"]) as stripe:
    client = stripe.StripeClient("sk_test_x", base_addresses={"api": stripe.base_url}, …)
    stripe.pay(session.url, "card")
    assert stripe.money()[0]["kept"] == 500
"""

from typing import Any, Self

from flask import Flask, jsonify
from werkzeug.exceptions import HTTPException

from arcade_sandbox.stripe.api import MAX_BODY_BYTES, add_api
from arcade_sandbox.stripe.control import add_controls
from arcade_sandbox.stripe.page import add_page
from arcade_sandbox.stripe.server import LoopbackServer
from arcade_sandbox.stripe.world import StripeWorld


class StripeSandbox(StripeWorld):
    """A `StripeWorld` with its web server. `base_url` is known, and connections wait, as soon as it is made."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, public_url: str | None = None, **world: Any
    ) -> None:
        """Bind the port. Further arguments are those of `StripeWorld`.

        Args:
            port: 0 takes a free one.
            public_url: What goes into addresses, if others reach it otherwise.

        Raises:
            PortTaken: The port cannot be used.
            SandboxMisuse: A webhook address is not an http or https address.
        """
        super().__init__(**world)
        self._server = LoopbackServer(build_app(self), host, port)
        self.port = self._server.port
        reachable = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound  # nosec B104
        self.base_url = f"http://{reachable}:{self.port}"
        with self.world() as (state, _):
            state.base_url = (public_url or self.base_url).rstrip("/")

    def start(self) -> Self:
        """Serve, and deliver webhooks, in threads of its own."""
        self._server.start()
        self.delivery.start()
        return self

    def stop(self) -> None:
        """End every thread and free the port; what is being delivered is broken off."""
        self.stopping.set()
        self.delivery.stop()
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def build_app(world: StripeWorld) -> Flask:
    """The WSGI application: API, hosted page and control endpoints of one world."""
    app = Flask("arcade_sandbox.stripe", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    add_api(app, world)
    add_page(app, world)
    add_controls(app, world)

    def refused(error: HTTPException) -> Any:
        kind = "api_error" if (error.code or 500) >= 500 else "invalid_request_error"
        return jsonify(error={"type": kind, "message": error.description}), error.code or 500

    app.register_error_handler(HTTPException, refused)
    return app
