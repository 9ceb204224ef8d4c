"""Whoever keeps connections, requests or large bodies open gives way, and others are answered all the while."""

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import requests
from waitress import wasyncore

from arcade_cloud.entrypoints import http_server
from arcade_cloud.entrypoints.http_server import LARGE_AT_ONCE, LARGE_BODY_BYTES, Server, make_server
from arcade_cloud.entrypoints.server import bind

TIMEOUT_S = 10.0  # half of what an idle connection gets: in time means that it did not wait for that
ROOM = 40


class Served:
    """An application that says yes, and one path that waits until it is told."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.listening = bind("127.0.0.1", 0)
        self.server: Server = make_server(self._app, self.listening, threads=4, connections=ROOM)
        self.port: int = self.listening.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self.server.run, name="server")
        self._thread.start()

    def _app(self, environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            self.go_on.wait(TIMEOUT_S)
        length = len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(length).encode()]

    def connect(self, data: bytes = b"") -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)
        self._open.append(connection)
        if data:
            connection.sendall(data)
        return connection

    def get(self) -> str:
        return requests.get(f"http://127.0.0.1:{self.port}/", timeout=TIMEOUT_S).text

    def post(self, size: int) -> str:
        return requests.post(f"http://127.0.0.1:{self.port}/", data=b"x" * size, timeout=TIMEOUT_S).text

    def close(self) -> None:
        self.go_on.set()
        for connection in self._open:
            connection.close()
        self.server.task_dispatcher.shutdown()
        self.server.trigger.pull_trigger(lambda: wasyncore.close_all(self.server._map))
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()


@pytest.fixture
def served() -> Iterator[Served]:
    found = Served()
    yield found
    found.close()


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def read_to(connection: socket.socket, end: bytes) -> bytes:
    """All of an answer, which may come in several pieces."""
    found = b""
    while not found.endswith(end):
        more = connection.recv(1000)
        assert more, found
        found += more
    return found


IDLE = b""
FINISHED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "
HALF_A_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nxxx"


@pytest.mark.parametrize(
    "sent", [IDLE, FINISHED, HALF, HALF_A_BODY], ids=["idle", "finished", "half", "half a body"]
)
def test_connections_that_ask_for_nothing_give_way_to_those_that_do(served: Served, sent: bytes) -> None:
    for _ in range(3 * ROOM):
        served.connect(sent)
    assert served.get() == "0"
    assert served.post(100) == "100"


def test_a_request_that_drips_gives_way_though_it_is_never_silent(served: Served) -> None:
    dripping = [served.connect(HALF) for _ in range(ROOM)]
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.05):
            for connection in dripping:
                with contextlib.suppress(OSError):
                    connection.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        for _ in range(10):
            assert served.get() == "0"
    finally:
        done.set()
        thread.join()


def test_what_is_being_worked_out_is_never_closed(served: Served) -> None:
    slow = served.connect(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(3 * ROOM):
        served.connect()
    assert served.get() == "0"
    served.go_on.set()
    assert slow.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "sent", [IDLE, FINISHED, HALF, HALF_A_BODY], ids=["idle", "finished", "half", "half a body"]
)
def test_a_connection_that_asks_for_nothing_ends_after_a_while(
    served: Served, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    connection = served.connect(sent)
    if sent == FINISHED:
        assert read_to(connection, b"\r\n\r\n0").startswith(b"HTTP/1.1 200")
    monkeypatch.setattr(http_server, "IDLE_S", 0.1)
    monkeypatch.setattr(http_server, "REQUEST_S", 0.1)
    assert is_closed(connection)


def test_large_bodies_are_few_and_the_one_that_came_first_gives_way(served: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (LARGE_BODY_BYTES * 4)
    half = [served.connect(head + b"x" * LARGE_BODY_BYTES) for _ in range(LARGE_AT_ONCE)]
    assert served.post(LARGE_BODY_BYTES * 8) == str(LARGE_BODY_BYTES * 8)
    assert is_closed(half[0])
    assert served.post(100) == "100"
    half[-1].sendall(b"x" * LARGE_BODY_BYTES * 3)
    assert half[-1].recv(100).startswith(b"HTTP/1.1 200")


def test_a_body_whose_length_is_not_told_counts_as_large(served: Served) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n"
    half = [served.connect(head) for _ in range(LARGE_AT_ONCE + 1)]
    assert is_closed(half[0])
    assert served.get() == "0"


def test_no_body_goes_into_a_file(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would take one more of the files that this process may open."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("waitress.buffers.TempfileBasedBuffer.__init__", refuse)
    assert served.post(http_server.BODY_BYTES - 1) == str(http_server.BODY_BYTES - 1)


# --- the limit of open files -----------------------------------------------------------------------------

LIMITED = """
import logging, resource, sys
logging.basicConfig(format="%(message)s")
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
from arcade_cloud.entrypoints.http_server import room_for_connections
print(room_for_connections(), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "room", "raised_to", "told"),
    [(256, 10_000, 4000, 10_000, False), (256, 1000, 744, 1000, True), (300, 300, 150, 300, True)],
)
def test_the_limit_of_open_files_is_raised_and_connections_fit_below_it(
    soft: int, hard: int, room: int, raised_to: int, told: bool
) -> None:
    pytest.importorskip("resource")
    command = [sys.executable, "-c", LIMITED, str(soft), str(hard)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(room), str(raised_to)]
    assert ("LimitNOFILE" in ran.stderr) is told
