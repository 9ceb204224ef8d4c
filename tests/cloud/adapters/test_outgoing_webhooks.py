"""What is posted to other software arrives as it is, in a bounded time, and goes nowhere else."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme

from arcade_cloud.adapters import outgoing_webhooks
from arcade_cloud.adapters.outgoing_webhooks import WebhookPoster

BODY = '{"name":"Café"}'.encode()


class Receiver(ThreadingHTTPServer):
    """Keeps what it gets; `answer` is the status, and the address that it redirects to."""

    daemon_threads = True
    answer: tuple[int, str | None] = (204, None)

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, body, dict(self.headers.items())))
        status, location = self.server.answer
        self.send_response(status)
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _served(receiver: Receiver) -> Iterator[Receiver]:
    thread = threading.Thread(target=receiver.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        receiver.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with _served(Receiver()) as served:
        yield served


@contextmanager
def talking(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does with each connection what it likes; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                talk(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield listening.getsockname()[1]


def post(url: str, *, whole_s: float = 5.0) -> str | None:
    return WebhookPoster(whole_s=whole_s).post(url, BODY, {"Arcade-Signature": "t=1,v1=0"})


def test_what_is_posted_arrives_byte_for_byte(receiver: Receiver) -> None:
    assert post(f"http://localhost:{receiver.port}/hook/a?token=1") is None
    ((path, body, headers),) = receiver.got
    assert (path, body, headers["Arcade-Signature"]) == ("/hook/a?token=1", BODY, "t=1,v1=0")
    assert headers["Host"] == f"localhost:{receiver.port}"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_status_of_success_counts(receiver: Receiver, status: int) -> None:
    receiver.answer = status, None
    assert post(f"http://127.0.0.1:{receiver.port}/") is None


@pytest.mark.parametrize("status", [300, 400, 401, 404, 410, 429, 500, 503])
def test_no_other_status_does(receiver: Receiver, status: int) -> None:
    receiver.answer = status, None
    assert (post(f"http://127.0.0.1:{receiver.port}/") or "").startswith(f"status {status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(receiver: Receiver, status: int) -> None:
    receiver.answer = status, f"http://127.0.0.1:{receiver.port}/elsewhere"
    assert post(f"http://127.0.0.1:{receiver.port}/") == f"status {status}, and redirects are not followed"
    assert len(receiver.got) == 1


def test_nobody_there_is_no_success() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert post(f"http://127.0.0.1:{port}/") == "no answer (ConnectionRefusedError)"
    assert post("https://nobody.invalid/") == "its name is not known"


def _drip(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X-Slow: 1\r\n")
        time.sleep(0.05)


def _silence(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def _rubbish(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("talk", [_drip, _silence], ids=["drips", "is silent"])
def test_an_answer_that_never_ends_is_cut_off(scheme: str, talk: Callable[[socket.socket], None]) -> None:
    with talking(talk) as port:
        begin = time.monotonic()
        assert post(f"{scheme}://127.0.0.1:{port}/", whole_s=0.5) in {"no answer in time", "no answer (SSLError)"}
        assert time.monotonic() - begin < 4


def test_what_is_no_http_is_no_success() -> None:
    with talking(_rubbish) as port:
        assert post(f"http://127.0.0.1:{port}/") == "no answer (BadStatusLine)"
        assert (post(f"https://127.0.0.1:{port}/") or "").startswith("no answer (")


@pytest.fixture
def authority(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[trustme.CA]:
    """An authority that this process trusts."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    outgoing_webhooks._context.cache_clear()
    yield made
    outgoing_webhooks._context.cache_clear()


def _with_tls(receiver: Receiver, certificate: trustme.LeafCert) -> Receiver:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    return receiver


def test_a_certificate_is_checked_with_its_name(authority: trustme.CA) -> None:
    with _served(_with_tls(Receiver(), authority.issue_cert("localhost"))) as good:
        assert post(f"https://localhost:{good.port}/hook") is None
        assert "certificate is not trusted" in (post(f"https://127.0.0.1:{good.port}/hook") or "")
        assert len(good.got) == 1
    with _served(_with_tls(Receiver(), trustme.CA().issue_cert("localhost"))) as stranger:
        assert "certificate is not trusted" in (post(f"https://localhost:{stranger.port}/hook") or "")
        assert stranger.got == []


def _resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """A name server that answers with these, one after the other; whom it was asked for."""
    asked: list[str] = []
    answers = list(addresses)

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = answers.pop(0) if len(answers) > 1 else answers[0]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [(family, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "fe80::1", "::ffff:169.254.169.254"])
def test_a_name_that_leads_to_a_clouds_metadata_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, address)
    assert (post("https://shop.example/") or "").startswith("nothing is sent to shop.example")


def test_a_name_that_changes_its_mind_is_asked_once(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _resolving(monkeypatch, "127.0.0.1", "169.254.169.254")
    assert post(f"http://localhost:{receiver.port}/") is None
    assert asked == ["localhost"]


def test_without_tls_nothing_leaves_this_computer(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    _resolving(monkeypatch, "192.168.1.20")
    assert (post(f"http://localhost:{receiver.port}/") or "").startswith(
        "nothing is sent to localhost without TLS"
    )


def test_no_proxy_is_asked(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(f"http://127.0.0.1:{receiver.port}/") is None


def test_the_function_on_lambda_leaves_time_for_the_longest_post() -> None:
    from arcade_cloud.entrypoints.aws_lambda.handler import LONGEST_POST_S

    assert LONGEST_POST_S >= outgoing_webhooks.LONGEST_S
