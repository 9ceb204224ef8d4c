"""The cloud as one process: HTTP, the timer and the listener to the machines.

Threads: waitress answers requests; `timer` moves what is due; `listener-*` take in what machines say;
`stripe-*` do what waits for Stripe, the sweep too. Only the order's record connects them.
"""

import contextlib
import logging
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from arcade_cloud.bootstrap import Cloud, build
from arcade_cloud.config.settings import Settings
from arcade_cloud.errors import ArcadeError, StoreError

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
# Who stops this process kills it some ten seconds later, and waitress gives requests five of them. What is decided
# is stored before it is done, so a call that hangs may be left behind; one that does not is over by then.
STOP_WITHIN_S, LAST_WORK_S = 3.0, 1.0
# Twice what the widest door takes: up to here the application refuses a body itself, in its own error shape. This
# much for each of CONNECTIONS is all that callers can make this host hold, in memory or on disk.
WAITRESS_BODY_BYTES = 2 << 20


class PortTaken(ArcadeError):
    """Somebody else listens there."""


class StripeWorkers:
    """Runs what waits for Stripe, on a few threads; what does not fit is dropped."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(STRIPE_QUEUE)
        self._stop = threading.Event()
        # They end with the process: a pool's would be waited for at its end, for as long as Stripe hangs.
        self._threads = [
            threading.Thread(target=self._run, name=f"stripe-{number}", daemon=True)
            for number in range(STRIPE_THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def later(self, work: Callable[[], None]) -> None:
        """Run `work` soon, or drop it where too much waits, or where this process stops."""
        if self._stop.is_set():
            return
        try:
            self._waiting.put_nowait(work)
        except queue.Full:
            logger.warning("too much waits for Stripe; the timer will come back to it")

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None and not self._stop.is_set():
            try:
                work()
            except Exception:  # recorded here; the order stays due
                logger.exception("work for Stripe failed; the order stays due")

    def close(self, until_s: float) -> None:
        """Finish what runs, but for what hangs until then (`time.monotonic`); forget what waits.

        A call that is left behind may still be done at Stripe: the order is due, and asks again with the same key.
        """
        self._stop.set()
        for _ in self._threads:
            with contextlib.suppress(queue.Full):  # who takes work from a full queue sees that it is over
                self._waiting.put_nowait(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until_s - time.monotonic()))
        hanging = sum(thread.is_alive() for thread in self._threads)
        if hanging:
            logger.warning("%d calls to Stripe are left behind: their orders stay due", hanging)


class Timer:
    """Moves what is due, twice a second, on a thread of its own."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="timer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin_to_stop(self) -> None:
        """Begin no other pass."""
        self._stop.set()

    def wait(self, until_s: float) -> None:
        """Wait for the end of its pass until then (`time.monotonic`) at the most: what it leaves stays due."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, until_s - time.monotonic()))

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
        workers.start()
        listener.start()
        timer.start()
        yield cloud
    finally:
        until_s = time.monotonic() + STOP_WITHIN_S
        timer.begin_to_stop()
        listener.stop()  # within a bound of its own; what was heard last may be work for Stripe
        timer.wait(until_s)
        workers.close(max(until_s, time.monotonic() + LAST_WORK_S))
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
