"""The HTTP server: waitress, with bounds on what callers can make it hold.

    connections   Whoever keeps one open without asking for anything gives way: after a while, and at once to
                  somebody new where there are too many. So does a request that does not come to its end.
    large bodies  Few at once; the one that has been on its way for longest gives way. They are kept in memory, so
                  they take no further files.
    open files    The limit is raised as far as this user may, and the number of connections fits below it.

A browser whose connection was closed between two requests opens another one and notices nothing.
"""

import contextlib
import logging
import socket
import time
from typing import TYPE_CHECKING, Any

from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.server import TcpWSGIServer

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger(__name__)

# A phone polls every second and keeps its connection open; a browser has up to six of them.
CONNECTIONS = 4000
# Pages ask every 15 s at the latest. A request has this long from its first byte to its last.
IDLE_S, REQUEST_S = 20.0, 15.0
# Whoever has come within that time is closed last, and of these, that part of the most connections never.
# Otherwise somebody who has just come would give way where all others are being answered.
NEW_S, NEW = 1.0, 0.1
# Parts of the most connections that there may be. With so many, those that wait for longest are closed until only
# so many are left. As many are accepted at once.
CROWDED, ROOMY, ACCEPTED_AT_ONCE = 0.9, 0.8, 0.015
TELL_AGAIN_S = 60.0
# Ordinary routes take no longer body than the first; of longer ones, only so many may be on their way at once.
LARGE_BODY_BYTES, LARGE_AT_ONCE = 64 * 1024, 32
# Twice the largest body that any route accepts: up to here the application refuses a body itself, in its own error
# shape.
BODY_BYTES = 2 << 20
# Files that are no connections: the database, the broker, Stripe, logs.
OTHER_FILES = 256
MOST_FILES = 65_536


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """One connection. It knows since when it owes a request."""

    began_at: float | None = None  # when the first byte of the request came that is still on its way
    server: "Server"

    def received(self, data: bytes) -> bool:
        """Take in bytes of a request."""
        if self.request is None:
            self.began_at = time.time()
        more: bool = super().received(data)
        if self.request is None:
            self.began_at = None
        elif self.is_large():
            self.server.make_room_for(self)
        return more

    def is_large(self) -> bool:
        """Whether it holds a large body, or one whose length nobody knows, in whole or in part."""
        with self.requests_lock:
            held = [*self.requests, *([] if self.request is None else [self.request])]
        return any(
            request.headers_finished and (request.chunked or request.content_length > LARGE_BODY_BYTES)
            for request in held
        )

    def is_waited_for(self) -> bool:
        """Whether the caller is to do something: nothing is being worked out for it."""
        return not self.requests and not self.will_close

    def is_new(self, now: float) -> bool:
        """Whether it has just been accepted: its request may have come, and nobody has looked yet."""
        is_unread: bool = self.last_activity == self.creation_time
        return is_unread and now - self.creation_time < NEW_S

    def waiting_since(self) -> float:
        """Since when the caller has been owing a request, or the rest of one."""
        last: float = self.last_activity
        return last if self.began_at is None else self.began_at


class Server(TcpWSGIServer):  # type: ignore[misc]  # as above
    """Waitress's server with these bounds."""

    channel_class = Channel

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._large: dict[Channel, None] = {}  # in the order in which they came
        self._told_at = 0.0
        super().__init__(*arguments, **more)

    def maintenance(self, now: float) -> None:
        """Close what has been waiting for too long; called once a second."""
        for channel in list(self.active_channels.values()):
            if channel.is_waited_for():
                patience_s = IDLE_S if channel.began_at is None else REQUEST_S
                channel.will_close = now - channel.waiting_since() > patience_s

    def readable(self) -> bool:
        """Whether to accept connections: there is always room for one more."""
        if len(self._map) >= CROWDED * self.adj.connection_limit:
            self._make_room(time.time())
        accepting: bool = super().readable()
        return accepting

    def handle_accept(self) -> None:
        """Accept several who wait, not one for each look at all connections: of thousands that takes a while."""
        for _ in range(1 + int(ACCEPTED_AT_ONCE * self.adj.connection_limit)):
            known = len(self._map)
            super().handle_accept()
            if len(self._map) == known:
                return

    def _make_room(self, now: float) -> None:
        staying = [channel for channel in self.active_channels.values() if not channel.will_close]
        beyond = len(staying) - int(ROOMY * self.adj.connection_limit)
        waiting = [channel for channel in staying if channel.is_waited_for()]
        waiting.sort(key=lambda channel: (channel.is_new(now), channel.waiting_since()))
        # Whoever has just come may have sent a request that nobody has read yet.
        kept = min(int(NEW * self.adj.connection_limit), sum(channel.is_new(now) for channel in waiting))
        leaving = waiting[: max(0, min(beyond, len(waiting) - kept))]
        for channel in leaving:
            channel.will_close = True
        if leaving and now - self._told_at > TELL_AGAIN_S:
            self._told_at = now
            logger.warning(
                "%d connections are open: the %d that wait for longest are closed", len(staying), len(leaving)
            )

    def make_room_for(self, channel: Channel) -> None:
        """Note a channel with a large body. Of too many, the first one that is still on its way gives way."""
        if channel in self._large:
            return
        self._large[channel] = None
        for known in list(self._large):
            if not known.connected or known.will_close or not known.is_large():
                del self._large[known]
        for known in list(self._large)[: max(0, len(self._large) - LARGE_AT_ONCE)]:
            if known.is_waited_for():
                known.will_close = True
                del self._large[known]
        if len(self._large) > LARGE_AT_ONCE:  # all of the others are complete, and will be answered
            channel.will_close = True
            del self._large[channel]


def make_server(
    app: "WSGIApplication", listening: socket.socket, *, threads: int, connections: int = CONNECTIONS
) -> Server:
    """A server of the application on a socket that listens."""
    return Server(
        app,
        _sock=listening,
        bind_socket=False,
        sockinfo=(listening.family, listening.type, listening.proto, listening.getsockname()),
        adj=Adjustments(
            threads=threads,
            connection_limit=connections,
            cleanup_interval=1,
            asyncore_use_poll=True,  # select() takes no more than 1,024 descriptors
            max_request_body_size=BODY_BYTES,
            inbuf_overflow=BODY_BYTES + LARGE_BODY_BYTES,  # beyond the bound: no body goes into a file
            clear_untrusted_proxy_headers=False,
            ident=None,
        ),
    )


def room_for_connections() -> int:
    """How many connections may be open at once, after raising the limit of open files as far as possible."""
    with contextlib.suppress(ImportError):  # no such limit on this system
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
                soft = wanted
        if soft != resource.RLIM_INFINITY and soft < CONNECTIONS + OTHER_FILES:
            room = max(soft - OTHER_FILES, soft // 2)
            logger.warning(
                "this user may open %d files, so there is room for %d connections: raise the limit to %d "
                "(LimitNOFILE of a systemd unit, or ulimit -n)",
                soft,
                room,
                CONNECTIONS + OTHER_FILES,
            )
            return room
    return CONNECTIONS
