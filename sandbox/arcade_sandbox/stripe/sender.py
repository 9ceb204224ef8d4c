"""Posts events to webhook endpoints as Stripe does, and breaks off what is under way when it must stop."""

import contextlib
import hashlib
import hmac
import http.client
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

# An endpoint that takes longer than Stripe's own ten seconds counts as failed.
ANSWER_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Receiver:
    """A webhook endpoint and its signing secret."""

    url: str
    secret: str


def signature_header(body: bytes, secret: str, at_s: int) -> str:
    """`Stripe-Signature`: HMAC-SHA256 of `<time>.<body>` (docs.stripe.com/webhooks#verify-manually)."""
    mac = hmac.new(secret.encode(), b"%d." % at_s + body, hashlib.sha256)
    return f"t={at_s},v1={mac.hexdigest()}"


class Sender:
    """Sends one event at a time for each thread that asks. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopping = False
        self._lines: set[socket.socket] = set()

    def stop(self) -> None:
        """Break off what is being sent; nothing more is sent."""
        with self._lock:
            self._stopping = True
            for line in self._lines:
                # Wakes a thread that waits for an answer; closing it from here would not.
                with contextlib.suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)

    def post(self, receiver: Receiver, body: bytes) -> tuple[int | None, str | None]:
        """The answer's status, or None and what went wrong. Redirects are not followed: Stripe follows none."""
        parts = urlsplit(receiver.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_TIMEOUT_S)
        headers = {
            "Accept": "*/*; q=0.5, application/xml",
            "Cache-Control": "no-cache",
            "Connection": "close",
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature_header(body, receiver.secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        line: socket.socket | None = None
        try:
            connection.connect()
            line = connection.sock
            with self._lock:
                if self._stopping:
                    return None, "stopped"
                self._lines.add(line)
            connection.request(
                "POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers
            )
            answer = connection.getresponse()
            status = answer.status
            answer.close()
        except (OSError, http.client.HTTPException) as problem:
            return None, f"{type(problem).__name__}: {problem}"
        else:
            return status, None
        finally:
            with self._lock:
                if line is not None:
                    self._lines.discard(line)
            connection.close()
