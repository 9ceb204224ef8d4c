"""waitress in a thread, on a free or a given port of the loopback: it starts, really stops, and can cut a line."""

import contextlib
import socket
import threading
from typing import Any

from flask import Flask, request
from waitress.channel import HTTPChannel
from waitress.server import create_server
from waitress.task import WSGITask

from arcade_sandbox.errors import PortTaken

_CHANNEL = "arcade_sandbox.channel"
# The hosted page holds a thread while it waits for a webhook's answer, and that webhook asks the API meanwhile.
THREADS = 16
_LOOP_S = 0.5


class _Task(WSGITask):  # type: ignore[misc]  # waitress has no types
    def get_environment(self) -> dict[str, Any]:
        environment: dict[str, Any] = super().get_environment()
        environment[_CHANNEL] = self.channel
        return environment


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    task_class = _Task


def _bound(host: str, port: int) -> socket.socket:
    # Bound before waitress is asked: where that fails, waitress would leave its threads behind.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise PortTaken(
            f"port {port} on {host} cannot be used ({error.strerror or error}): choose another one with --port"
        ) from error
    return listening


class LoopbackServer:
    """One WSGI application on one port."""

    def __init__(self, app: Flask, host: str, port: int) -> None:
        """Bind at once, so that the address is known.

        Raises:
            PortTaken: The port cannot be used.
        """
        self._map: dict[int, Any] = {}
        self.host = host
        listening = _bound(host, port)
        self.port = int(listening.getsockname()[1])
        self._server = create_server(app, map=self._map, sockets=[listening], threads=THREADS, ident="nginx")
        self._server.channel_class = _Channel
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="sandbox-stripe", daemon=True)

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and end the thread."""
        self._stopping.set()
        if self._thread.ident is None:
            self._close()
            return
        # The loop may have ended and closed its trigger already.
        with contextlib.suppress(OSError):
            self._server.pull_trigger()
        self._thread.join(20)

    def _serve(self) -> None:
        try:
            while not self._stopping.is_set():
                self._server.asyncore.loop(timeout=_LOOP_S, map=self._map, count=1)
        finally:
            self._close()

    def _close(self) -> None:
        self._server.task_dispatcher.shutdown(cancel_pending=True, timeout=5)
        self._server.asyncore.close_all(self._map)


def cut_connection() -> None:
    """Cut the line of the request being served, without a byte of an answer."""
    channel = request.environ.get(_CHANNEL)
    if channel is not None:
        with contextlib.suppress(OSError):
            channel.socket.shutdown(socket.SHUT_RDWR)
