"""The routes behind the real server: what it hands on, what it refuses itself, and that it goes on serving."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from waitress import wasyncore

from arcade_cloud.entrypoints.http_server import BODY_BYTES, make_server
from arcade_cloud.entrypoints.server import bind
from support.site import INGEST_SECRET, Site

TIMEOUT_S = 20


@dataclass(frozen=True)
class Served:
    """The application behind waitress on a free port."""

    site: Site
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def raw(self, request: bytes) -> bytes:
        """What the server answers to exactly these bytes, until it closes the connection."""
        with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as connection:
            answer = b""
            with contextlib.suppress(OSError):  # it may hang up while we still send
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    answer += chunk
        return answer


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    site = Site()
    listening = bind("127.0.0.1", 0)
    server = make_server(site.app, listening, threads=4)
    thread = threading.Thread(target=server.run, name="waitress")
    thread.start()
    try:
        yield Served(site, server.effective_port)
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(lambda: wasyncore.close_all(server._map))
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()


def check_shape(answer: requests.Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/json"
    assert set(answer.json()) == {"error"}
    assert answer.json()["error"]["code"] == code


@pytest.mark.parametrize(
    ("path", "size"),
    [("/create-payment-link", 70_000), ("/gameover", 2_000_000), ("/webhook", 600_000), ("/ingest", 1_100_000)],
)
def test_the_application_itself_refuses_a_body_beyond_its_bound(served, path, size):
    headers = {"X-Ingest-Secret": INGEST_SECRET}
    answer = requests.post(served.url + path, data=b"x" * size, headers=headers, timeout=TIMEOUT_S)
    check_shape(answer, 413, "too_large")


def test_a_body_in_chunks_is_bounded_as_any_other(served):
    pieces = (b"x" * 10_000 for _ in range(10))
    answer = requests.post(f"{served.url}/gameover", data=pieces, timeout=TIMEOUT_S)
    check_shape(answer, 413, "too_large")


def test_an_endless_body_is_refused_before_it_is_kept(served):
    """Otherwise a thousand callers could fill the disk with bodies that no route accepts."""
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\n"
    assert served.raw(head + b"Content-Length: 1000000000\r\n\r\n").startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", served.port), TIMEOUT_S) as connection:
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk, sent = b"10000\r\n" + b"x" * 65536 + b"\r\n", 0
        with contextlib.suppress(OSError):  # it answers, and takes no more
            while sent < 100 * BODY_BYTES:
                connection.sendall(chunk)
                sent += len(chunk)
    assert sent < 10 * BODY_BYTES
    assert requests.get(f"{served.url}/status", timeout=TIMEOUT_S).json()["status"] == "up"


def test_a_body_in_chunks_is_read_as_any_other(served):
    pieces = (piece.encode() for piece in ('{"machine_', 'id": "cab', '-01"}'))
    answer = requests.post(f"{served.url}/create-payment-link", data=pieces, timeout=TIMEOUT_S)
    assert answer.status_code == 200
    assert answer.json()["url"]


def test_a_signed_event_arrives_byte_for_byte(served):
    body = json.dumps({"id": "evt_1", "type": "invoice.paid", "note": "é\u2028 "}, ensure_ascii=False).encode()
    headers = {"Stripe-Signature": served.site.signature(body)}
    assert requests.post(f"{served.url}/webhook", data=body, headers=headers, timeout=TIMEOUT_S).status_code == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nshort",
        b"GET /status HTTP/1.1\r\nBad Header: x\r\n\r\n",
        b"GET http://[/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /m/%ff%fe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /m/cab-01?format=%ff HTTP/1.1\r\nHost: \xff\xfe\r\nConnection: close\r\n\r\n",
        b"GET /nowhere HTTP/1.1\r\nHost: " + b"x" * 64 + b"\r\nConnection: close\r\n\r\n",
        b"GET /status HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 300_000 + b"\r\n\r\n",
    ],
)
def test_malformed_http_is_no_500_and_stops_nothing(served, request_bytes):
    answer = served.raw(request_bytes)
    assert not answer.startswith((b"HTTP/1.1 500", b"HTTP/1.0 500"))
    assert b"Traceback" not in answer
    assert requests.get(f"{served.url}/status", timeout=TIMEOUT_S).json()["status"] == "up"


def test_a_caller_that_disconnects_stops_nothing(served):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", served.port), TIMEOUT_S) as connection:
            connection.sendall(b"POST /gameover HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert requests.get(f"{served.url}/status", timeout=TIMEOUT_S).status_code == 200


def test_many_callers_at_once_are_all_answered(served):
    answers: list[int] = []

    def call() -> None:
        answers.append(requests.get(f"{served.url}/m/cab-01?format=json", timeout=TIMEOUT_S).status_code)

    threads = [threading.Thread(target=call) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert answers == [200] * 20
