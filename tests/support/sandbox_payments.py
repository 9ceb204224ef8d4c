"""Stripe for tests without a socket: the real gateway and the real library, on a sandbox in this process.

Time comes from the injected clock. A call takes one to three milliseconds.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal
from urllib.parse import urlsplit

import stripe
from flask import Flask
from requests.structures import CaseInsensitiveDict
from werkzeug.test import create_environ, run_wsgi_app

from arcade_cloud.adapters.stripe.clock import StripeClock
from arcade_cloud.adapters.stripe.gateway import StripeGateway
from arcade_sandbox.stripe.api import add_api
from arcade_sandbox.stripe.sandbox import StripeSandbox
from arcade_sandbox.stripe.state import StripeRules
from arcade_sandbox.stripe.world import StripeWorld
from support.sandbox_account import SandboxAccount

Fault = Literal["before", "after"]

_API_BASE = "http://stripe.example"
# Nothing is ever sent to it, but an event that no endpoint takes would count as delivered.
_ENDPOINT = "http://arcade.example/webhook"
_ID = re.compile(r"/(?:cs|pi|price)_\w+")
_CALLS = {
    "POST /v1/checkout/sessions": "create_checkout",
    "GET /v1/checkout/sessions/*": "read_checkout",
    "GET /v1/payment_intents/*": "read_payment",
    "POST /v1/payment_intents/*/capture": "capture",
    "POST /v1/payment_intents/*/cancel": "cancel",
    "POST /v1/refunds": "refund",
    "GET /v1/prices/*": "read_price",
    "GET /v1/events": "read_events",
    "GET /v1/payment_intents": "check",
}


class InProcess(stripe.HTTPClient):
    """How the library reaches the API of a world without a server.

    `asked` is called with the name of each call. "before" loses the request, "after" the answer.
    """

    name = "in process"

    def __init__(self, world: StripeWorld, asked: Callable[[str], Fault | None]) -> None:
        super().__init__()
        self._world, self._asked = world, asked

    @cached_property
    def _app(self) -> Flask:
        # Made with the first request: most tests ask Stripe for nothing, and the routes take ten milliseconds.
        app = Flask("arcade_sandbox.stripe", static_folder=None)
        add_api(app, self._world)
        return app

    def request(
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None, **_: Any
    ) -> tuple[str, int, Mapping[str, str]]:
        """One request, with its answer's body, status and headers. Raises APIConnectionError where one is lost."""
        parts = urlsplit(url)
        call = f"{method.upper()} {_ID.sub('/*', parts.path)}"
        lost = self._asked(_CALLS.get(call, call))
        if lost == "before":
            raise _cut("the request was lost")
        environ = create_environ(
            parts.path, _API_BASE, parts.query, method.upper(), headers=dict(headers or {}), data=post_data or ""
        )
        body, status, answered = run_wsgi_app(self._app, environ)
        if lost == "after":
            raise _cut("the answer was lost")
        return b"".join(body).decode(), int(status[:3]), CaseInsensitiveDict(answered.items())

    def close(self) -> None:
        """Nothing is open."""


def _cut(what: str) -> stripe.APIConnectionError:
    return stripe.APIConnectionError(what)  # type: ignore[no-untyped-call]


class SandboxPayments(StripeGateway):
    """The port `Payments` on an account of its own, which is `stripe`.

    `calls` are the requests so far, named as the port's methods; what the gateway knows already is no request.
    `fault`, if set, is asked with each of these names: "before" loses the request, "after" the answer.
    """

    def __init__(self, now_ms: Callable[[], int]) -> None:
        # Plays for less than Stripe's smallest charge make sums that are easily read.
        rules = StripeRules(enforce_smallest_charge=False)
        world = StripeWorld(webhook_urls=[_ENDPOINT], rules=rules, now_s=lambda: now_ms() / 1000)
        super().__init__(
            "sk_test_in_process",
            api_base=_API_BASE,
            retries=0,
            monotonic_s=lambda: now_ms() / 1000,
            http_client=InProcess(world, self._asked),
            clock=StripeClock(now_ms, now_ms),
        )
        self.stripe = SandboxAccount(world)
        self.calls: list[str] = []
        self.fault: Callable[[str], Fault | None] | None = None

    def _asked(self, call: str) -> Fault | None:
        self.calls.append(call)
        return None if self.fault is None else self.fault(call)

    @classmethod
    def over_http(cls, sandbox: StripeSandbox, now_ms: Callable[[], int]) -> "SandboxPayments":
        """On a sandbox behind its web server. `calls` and `fault` are of no use then."""
        made = cls.__new__(cls)
        StripeGateway.__init__(
            made, "sk_test_over_http", api_base=sandbox.base_url, retries=0, clock=StripeClock(now_ms, now_ms)
        )
        made.stripe, made.calls, made.fault = SandboxAccount(sandbox), [], None
        return made

    @property
    def refuse_partial_capture(self) -> bool:
        """Whether Stripe takes all of a hold or nothing."""
        return self.stripe.world.set_rules().refuse_partial_capture

    @refuse_partial_capture.setter
    def refuse_partial_capture(self, refused: bool) -> None:
        self.stripe.world.set_rules(refuse_partial_capture=refused)
