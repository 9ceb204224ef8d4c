"""The cloud as one process: HTTP, the timer and the listener to the machines.

Threads: waitress answers requests; `timer` moves what is due; `listener-*` take in what machines say;
`stripe-*` do what waits for Stripe, the sweep too. Only the order's record connects them.
"""

import contextlib
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import FrameType

from arcade_cloud.errors import ArcadeError, StoreError
from arcade_cloud.settings import Settings
from arcade_cloud.wiring import Cloud, build

logger = logging.getLogger(__name__)

TIMER_S = 0.5
# How long the timer waits after the store could not be reached, at the most.
TIMER_BACKOFF_S = 30.0
PRUNE_EVERY_S = 86_400
WEB_THREADS = 16
# Phones that look again each second keep their connections; a cabinet has one or two of them.
CONNECTIONS = 1000
STRIPE_THREADS = 8
# Work beyond this is dropped: the order stays due, and the timer brings it back.
STRIPE_QUEUE = 500
# Twice what the widest door takes: up to here the application refuses a body itself, in its own error shape. This
# much for each of CONNECTIONS is all that callers can make this host hold, in memory or on disk.
WAITRESS_BODY_BYTES = 2 << 20


class PortTaken(ArcadeError):
    """Somebody else listens there."""


class StripeWorkers:
    """Runs what waits for Stripe, on a few threads; what does not fit is dropped."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(STRIPE_THREADS, thread_name_prefix="stripe")
        self._room = threading.BoundedSemaphore(STRIPE_QUEUE)

    def later(self, work: Callable[[], None]) -> None:
        """Run `work` soon, or drop it where too much waits, or where this process stops."""
        if not self._room.acquire(blocking=False):
            logger.warning("too much waits for Stripe; the timer will come back to it")
            return
        try:
            self._pool.submit(self._run, work)
        except RuntimeError:  # the pool is closed: this process is stopping
            self._room.release()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception:  # recorded here; the order stays due
            logger.exception("work for Stripe failed; the order stays due")
        finally:
            self._room.release()

    def close(self) -> None:
        """Finish what runs; forget what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Timer:
    """Moves what is due, twice a second, on a thread of its own."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        failures = 0
        next_prune_ms = 0
        while not self._stop.wait(min(TIMER_BACKOFF_S, TIMER_S * 2**failures)):
            try:
                self._cloud.fulfilment.run_once()
                self._cloud.sweep.run_once()
                now_ms = self._cloud.fulfilment.now_ms()
                if now_ms >= next_prune_ms:
                    self._cloud.store.prune(now_ms)
                    next_prune_ms = now_ms + PRUNE_EVERY_S * 1000
            except StoreError:
                failures = min(failures + 1, 10)
                logger.exception("the store can't be used; trying again")
            except Exception:  # the timer must outlive any defect: without it no order becomes final
                failures = min(failures + 1, 10)
                logger.exception("the timer failed; trying again")
            else:
                failures = 0


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Cloud]:
    """The cloud with its timer and listener running; stopped in order at the end."""
    workers = StripeWorkers()
    cloud = build(settings, later=workers.later)
    timer = Timer(cloud)
    listener = cloud.listener()
    try:
        listener.start()
        timer.start()
        yield cloud
    finally:
        timer.stop()
        listener.stop()
        workers.close()
        cloud.close()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises PortTaken, saying what to do."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(1024)
    except OSError as error:
        bound.close()
        raise PortTaken(
            f"can't listen on {host} port {port} ({error.strerror}): stop what uses it, or choose another --port"
        ) from None
    return bound


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises PortTaken before anything has been started."""
    from waitress.server import create_server

    from arcade_cloud.web.app import create_app

    bound = bind(host, port)
    with running(settings) as cloud:
        server = create_server(
            create_app(cloud.services()),
            sockets=[bound],
            threads=WEB_THREADS,
            connection_limit=CONNECTIONS,
            asyncore_use_poll=True,  # select() takes no more than 1,024 descriptors
            max_request_body_size=WAITRESS_BODY_BYTES,
            clear_untrusted_proxy_headers=False,
            ident=None,
        )

        def stop(_signal: int, _frame: FrameType | None) -> None:
            raise SystemExit(0)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        logger.info("listening on http://%s:%d", host, bound.getsockname()[1])
        try:
            server.run()
        finally:
            server.close()
