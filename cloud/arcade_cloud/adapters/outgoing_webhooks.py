"""Posts to endpoints of other software, whose addresses operators enter.

The name is resolved once, every address that it has is looked at (`outbox.why_refused`), and the connection goes
to one of these: so no second answer of a name server leads elsewhere. No redirect is followed, no proxy is asked,
the answer's body is not read, and all of it together has a deadline, however slowly the other side answers.
"""

import functools
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from arcade_cloud.domain.outbox import why_refused

# To connect; and for all of it, but for the look-up of the name, which the system bounds.
CONNECT_S, WHOLE_S = 3.0, 8.0
# A host with more addresses than that is tried at the first ones.
ADDRESSES_AT_MOST = 3
LONGEST_S = CONNECT_S * ADDRESSES_AT_MOST + WHOLE_S


# A family, and what its sockets connect to.
_Address = tuple[socket.AddressFamily, Any]


class _Refused(Exception):
    """Nothing is sent there."""


class WebhookPoster:
    """`ports.messaging.Poster` on HTTP. Thread-safe."""

    def __init__(self, *, connect_s: float = CONNECT_S, whole_s: float = WHOLE_S) -> None:
        self._connect_s = connect_s
        self._whole_s = whole_s

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> str | None:
        """See `Poster.post`. Any status of 2xx means that it has arrived."""
        try:
            status = self._post(url, body, headers)
        except _Refused as refused:
            return str(refused)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not trusted ({error.verify_message})"
        except TimeoutError:
            return "no answer in time"
        except socket.gaierror:
            return "its name is not known"
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"no answer ({type(error).__name__})"
        if 200 <= status < 300:
            return None
        return f"status {status}" + (", and redirects are not followed" if 300 <= status < 400 else "")

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        parts = urlsplit(url)
        host, is_tls = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        addresses = _addresses(host, port, must_be_here=not is_tls)
        with self._connected(addresses) as opened, _Deadline(opened, self._whole_s) as late:
            try:
                sock = opened
                if is_tls:
                    sock = _context().wrap_socket(opened, server_hostname=host, do_handshake_on_connect=False)
                    late.watch(sock)
                    sock.do_handshake()
                kind = http.client.HTTPSConnection if is_tls else http.client.HTTPConnection
                connection = kind(host, port)
                connection.sock = sock
                with sock:
                    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                    connection.request("POST", path, body, {**headers, "Connection": "close"})
                    status = connection.getresponse().status
            except (OSError, http.client.HTTPException):
                if not late.is_over:
                    raise
            if late.is_over:  # an answer that was cut off in its head is none
                raise TimeoutError
            return status

    @contextmanager
    def _connected(self, addresses: list[_Address]) -> Iterator[socket.socket]:
        failed: OSError | None = None
        for family, address in addresses[:ADDRESSES_AT_MOST]:
            opened = socket.socket(family, socket.SOCK_STREAM)
            opened.settimeout(self._connect_s)
            try:
                opened.connect(address)
            except OSError as error:
                opened.close()
                failed = error
                continue
            opened.settimeout(self._whole_s)
            with opened:
                yield opened
            return
        raise failed or OSError("no address")


class _Deadline:
    """Cuts a connection off once its time is over."""

    def __init__(self, sock: socket.socket, after_s: float) -> None:
        self.is_over = False
        self._sock = sock
        self._timer = threading.Timer(after_s, self._cut)
        self._timer.daemon = True

    def watch(self, sock: socket.socket) -> None:
        """This is the connection from now on: wrapped in TLS, a socket is another one."""
        self._sock = sock
        if self.is_over:
            self._cut()

    def _cut(self) -> None:
        self.is_over = True
        with suppress(OSError):  # it is closed already
            # Not the method of a TLS socket: that one would let another thread go on reading in plain.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def __enter__(self) -> "_Deadline":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _addresses(host: str, port: int, *, must_be_here: bool) -> list[_Address]:
    """Where a host is. If one of its addresses is refused, the host is.

    Raises:
        _Refused: Nothing is sent to one of them.
        OSError: The name is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    for *_, address in found:
        where = ipaddress.ip_address(str(address[0]))
        why = why_refused(where)
        if why is not None:
            raise _Refused(f"nothing is sent to {host}: {why}")
        if must_be_here and not where.is_loopback:
            raise _Refused(f"nothing is sent to {host} without TLS: it is not this computer")
    return [(family, address) for family, _, _, _, address in found]


@functools.cache
def _context() -> ssl.SSLContext:
    """Trusts what the system does, or SSL_CERT_FILE, and what comes with requests: slim images have nothing."""
    from requests.utils import DEFAULT_CA_BUNDLE_PATH  # slow to import, and most processes never send anything

    context = ssl.create_default_context()
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context
