"""The two sides of Stripe in tests: the real library as a client, and an endpoint that takes webhooks."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import stripe

TEST_KEY = "sk_test_arcade"


def stripe_client(base_url: str, *, retries: int = 0, key: str = TEST_KEY) -> stripe.StripeClient:
    """The real library, set up as the cloud sets it up, against `base_url`."""
    return stripe.StripeClient(
        key,
        base_addresses={"api": base_url},
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=(2, 8)),
    )


def checkout_params(**changes: Any) -> Any:
    """Parameters of an ordinary Checkout Session: one play for 5 ringgit, cards held."""
    play = {"currency": "myr", "unit_amount": 500, "product_data": {"name": "1 credit"}}
    return {
        "mode": "payment",
        "line_items": [{"price_data": play, "quantity": 1}],
        "success_url": "http://127.0.0.1:9/done?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:9/left",
        "metadata": {"order_id": "order-1"},
        "payment_intent_data": {"metadata": {"order_id": "order-1"}},
        "payment_method_options": {"card": {"capture_method": "manual"}},
        **changes,
    }


@dataclass(frozen=True)
class Received:
    """One webhook as it came in."""

    body: bytes
    signature: str
    headers: dict[str, str]

    @property
    def event(self) -> dict[str, Any]:
        """The body, decoded."""
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded


def _accept(_: Received) -> int:
    return 200


@dataclass
class WebhookInbox:
    """A webhook endpoint on a free port: keeps what comes, and answers as `answer` says."""

    answer: Callable[[Received], int] = _accept
    port: int = 0
    received: list[Received] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                got = Received(body, self.headers.get("Stripe-Signature", ""), dict(self.headers))
                with inbox._changed:
                    inbox.received.append(got)
                    inbox._changed.notify_all()
                self.send_response(inbox.answer(got))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/webhook"

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events received so far, in the order of arrival."""
        return [got.event["type"] for got in list(self.received)]

    def wait_for(self, kind: str, count: int = 1, timeout_s: float = 15.0) -> list[Received]:
        """The first `count` webhooks of a kind. Fails the test if they do not come in time."""
        with self._changed:
            came = self._changed.wait_for(lambda: self.kinds.count(kind) >= count, timeout_s)
        assert came, f"waited for {count} × {kind}, got {self.kinds}"
        return [got for got in list(self.received) if got.event["type"] == kind][:count]


def eventually(holds: Callable[[], bool], what: str, timeout_s: float = 15.0) -> None:
    """Wait until `holds()` is true. Fails the test with `what` if that does not happen in time."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.01)
