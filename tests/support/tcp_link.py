"""A link between client and server on loopback that fails as networks do: cut, stalled, or silent for good."""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

_BYTES = 65_536
_CONNECT_S = 5.0
# struct linger: on, 0 seconds. Closing then resets the connection, as a router does that knows it no more.
_RESET = struct.pack("ii", 1, 0)

Direction = Literal["to server", "to client"]


@dataclass(eq=False)
class _Connection:
    near: socket.socket
    far: socket.socket
    silent: bool = False
    ended: int = 0  # directions that carry nothing any more


class Link:
    """Forwards TCP to `target_port` of this computer. Each fault may come at any time, and over another one."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._server.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: set[_Connection] = set()
        self._flows: dict[Direction, threading.Event] = {
            "to server": threading.Event(),
            "to client": threading.Event(),
        }
        self._refuses = False
        self._closed = False
        self.accepted = 0
        self.resume()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="link", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.cut()
        self.resume()

    def go_silent(self) -> None:
        """Connections that are open now stay open, and what they carry is lost; new ones work."""
        with self._lock:
            for connection in self._connections:
                connection.silent = True

    def cut(self, *, refuse: bool = False) -> None:
        """Reset every open connection. With `refuse` new ones are reset too, until `mend`."""
        with self._lock:
            self._refuses = refuse
            for connection in list(self._connections):
                connection.silent = False
                _wake(connection)
                if connection.ended == 2:  # it was silent, and both its threads have gone
                    self._close(connection)

    def mend(self) -> None:
        """Take new connections again."""
        self._refuses = False

    def stall(self, *directions: Direction) -> None:
        """Hold back what is sent in these directions (in both, where none is named), until `resume`."""
        for direction in directions or tuple(self._flows):
            self._flows[direction].clear()

    def resume(self) -> None:
        """Send what was held back, and everything from now on."""
        for flow in self._flows.values():
            flow.set()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self.accepted += 1
            # A connection that is stalled while it opens must not keep the next one waiting.
            threading.Thread(target=self._open, args=(near,), name="link", daemon=True).start()

    def _open(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target_port), timeout=_CONNECT_S)
            far.settimeout(None)
        except OSError:
            _close_with_reset(near)
            return
        connection = _Connection(near, far)
        with self._lock:
            self._connections.add(connection)
            if self._refuses or self._closed:
                _wake(connection)
        for end in (near, far):
            with contextlib.suppress(OSError):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(
            target=self._forward, args=(connection, far, near, "to client"), name="link", daemon=True
        )
        back.start()
        self._forward(connection, near, far, "to server")

    def _forward(
        self, connection: _Connection, source: socket.socket, target: socket.socket, direction: Direction
    ) -> None:
        try:
            while data := source.recv(_BYTES):
                self._flows[direction].wait()
                if not connection.silent:
                    target.sendall(data)
            self._flows[direction].wait()
            if not connection.silent:
                target.shutdown(socket.SHUT_WR)
        except OSError:
            _wake(connection)
        with self._lock:
            connection.ended += 1
            # A silent one stays open when one side has left it, as far as the other can see.
            if connection.ended == 2 and not connection.silent:
                self._close(connection)

    def _close(self, connection: _Connection) -> None:
        self._connections.discard(connection)
        _close_with_reset(connection.near)
        _close_with_reset(connection.far)


def _wake(connection: _Connection) -> None:
    """End whatever waits for data; the direction that ends last closes both ends."""
    for end in (connection.near, connection.far):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _close_with_reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    end.close()
