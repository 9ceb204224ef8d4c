"""A WSGI application behind a real server."""

import threading
from collections.abc import Callable
from typing import Any

from flask import Flask
from waitress import wasyncore
from waitress.server import create_server


def serve(app: Flask) -> tuple[int, Callable[[], None]]:
    """The port where `app` is served, and what ends it, whoever is still connected."""
    sockets: dict[Any, Any] = {}
    server = create_server(app, host="127.0.0.1", port=0, threads=4, asyncore_use_poll=True, map=sockets)
    thread = threading.Thread(target=server.run, name="waitress")
    thread.start()

    def end() -> None:
        server.task_dispatcher.shutdown()
        # A browser keeps its connections, and the server would wait for them for ever.
        server.trigger.pull_trigger(lambda: wasyncore.close_all(sockets))
        thread.join(20)
        assert not thread.is_alive(), "the server does not end"

    return server.effective_port, end
