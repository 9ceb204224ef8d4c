"""A link between client and server on loopback that can go silent, as networks do that forget a connection."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

_BYTES = 65_536


class Link:
    """Forwards TCP to `target_port`. Connections that were open at `go_silent` stay open and carry nothing."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._silenced: set[socket.socket] = set()
        self.accepted = 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="link", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            ends = [self._server, *self._sockets]
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def go_silent(self) -> None:
        """What the open connections carry from now on is lost; new ones work."""
        with self._lock:
            self._silenced.update(self._sockets)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
                far = socket.create_connection(("127.0.0.1", self._target_port))
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self._sockets += [near, far]
            for source, target in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._forward, args=(source, target), name="link", daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_BYTES):
                with self._lock:
                    is_lost = source in self._silenced
                if not is_lost:
                    target.sendall(data)
            with self._lock:
                is_lost = source in self._silenced
            if not is_lost:
                target.shutdown(socket.SHUT_RDWR)
