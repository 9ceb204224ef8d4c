"""The cloud as one process: HTTP, the timer and the listener.

Threads: waitress answers requests; `timer` moves what is due; `outbox` tells other software; `listener-*` handle
what machines send; `stripe-*` do whatever waits for Stripe, reconciliation included. Only the stored records
connect them.
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

from arcade_cloud.adapters.mqtt import Listener, host_id
from arcade_cloud.adapters.stripe.gateway import Places
from arcade_cloud.bootstrap import Cloud, build
from arcade_cloud.config.settings import Settings
from arcade_cloud.errors import ArcadeError, StoreError
from arcade_cloud.services import watches

logger = logging.getLogger(__name__)

TIMER_S = 0.5
# Other software may wait a moment longer than money and pulses, and each look asks every endpoint's partitions.
OUTBOX_S = 2.0
# The longest pause of the timer while the store cannot be reached.
TIMER_BACKOFF_S = 30.0
PRUNE_EVERY_S = 86_400
WEB_THREADS = 32
# Calls to Stripe for which a player waits: so many at once, so many more that wait for one of them, and how long.
# The other threads are for whoever does not need Stripe, such as pages, /ingest and webhooks.
PLAYERS_CALLS, PLAYERS_WAITING, PLAYERS_WAIT_S = 12, 6, 2.0
# The same for the few webhooks that need Stripe for their answer; Stripe sends again what finds no place.
WEBHOOKS_CALLS, WEBHOOKS_WAITING, WEBHOOKS_WAIT_S = 6, 2, 1.0
STRIPE_THREADS = 8
# Work beyond this is dropped: its order stays due, and the timer comes back to it.
STRIPE_QUEUE = 500
# Whatever stops this process kills it some ten seconds later, and waitress gives requests five of them. A decision
# is stored before it is carried out, so a call that hangs may be left behind; any other is over by then.
STOP_WITHIN_S, LAST_WORK_S = 3.0, 1.0


class PortTaken(ArcadeError):
    """Another process listens on that port."""


class StripeWorkers:
    """Runs what waits for Stripe, on a few threads. What does not fit in the queue is dropped."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(STRIPE_QUEUE)
        self._stop = threading.Event()
        # Daemons end with the process. It would wait for a pool's threads for as long as Stripe hangs.
        self._threads = [
            threading.Thread(target=self._run, name=f"stripe-{number}", daemon=True)
            for number in range(STRIPE_THREADS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def later(self, work: Callable[[], None]) -> None:
        """Run `work` soon. It is dropped while the queue is full or this process is stopping."""
        if self._stop.is_set():
            return
        try:
            self._waiting.put_nowait(work)
        except queue.Full:
            logger.warning("too much is waiting for Stripe; the timer will come back to it")

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None and not self._stop.is_set():
            try:
                work()
            except Exception:  # recorded here; the order stays due
                logger.exception("work for Stripe failed; the order stays due")

    def close(self, until_s: float) -> None:
        """Finish the work in progress and forget the work that waits.

        A call that is left behind may still take effect at Stripe: its order stays due, and asks again with the
        same key.

        Args:
            until_s: When to stop waiting for a call that hangs, by `time.monotonic`.
        """
        self._stop.set()
        for _ in self._threads:
            with contextlib.suppress(queue.Full):  # a thread that takes work from a full queue looks at `_stop`
                self._waiting.put_nowait(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until_s - time.monotonic()))
        hanging = sum(thread.is_alive() for thread in self._threads)
        if hanging:
            logger.warning("%d calls to Stripe are left behind; their orders stay due", hanging)


class Ticker:
    """Does its work again and again, on a thread of its own; less often while it fails."""

    def __init__(self, name: str, every_s: float, work: Callable[[], object]) -> None:
        self._every_s = every_s
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin_to_stop(self) -> None:
        """Start no further pass."""
        self._stop.set()

    def wait(self, until_s: float) -> None:
        """Wait for the pass in progress, but not beyond `until_s` (`time.monotonic`): what it leaves stays due."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        failures = 0
        while not self._stop.wait(min(TIMER_BACKOFF_S, self._every_s * 2**failures)):
            try:
                self._work()
            except StoreError:
                failures = min(failures + 1, 10)
                logger.exception("the store cannot be used; trying again")
            except Exception:  # it must survive any defect: without the timer no order becomes final
                failures = min(failures + 1, 10)
                logger.exception("the %s failed; trying again", self._thread.name)
            else:
                failures = 0


class Timer(Ticker):
    """Moves what is due."""

    def __init__(self, cloud: Cloud, listener: Listener) -> None:
        super().__init__("timer", TIMER_S, self._pass)
        self._cloud = cloud
        name = cloud.settings.mqtt_listener_id or host_id()
        self._watches = (
            cloud.services.watch,
            cloud.watch_broker(name, listener),
            cloud.watch_contests(name, listener),
            cloud.watch_clock(name),
            cloud.services.receipts,
            cloud.player_claims,
            cloud.fees,
            cloud.daily,
        )
        self._next_prune_ms = 0

    def _pass(self) -> None:
        self._cloud.services.recheck.run_once()
        self._cloud.services.fulfilment.run_once()
        self._cloud.services.reconciliation.run_once()
        watches.look(self._watches)
        now_ms = self._cloud.services.fulfilment.now_ms()
        if not 0 < self._next_prune_ms - now_ms <= PRUNE_EVERY_S * 1000:
            self._cloud.store.prune(now_ms)
            self._next_prune_ms = now_ms + PRUNE_EVERY_S * 1000


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[Cloud]:
    """Run the cloud with its timer and listener, and stop them in order at the end."""
    workers = StripeWorkers()
    places = Places(PLAYERS_CALLS, PLAYERS_WAITING, PLAYERS_WAIT_S)
    webhooks = Places(WEBHOOKS_CALLS, WEBHOOKS_WAITING, WEBHOOKS_WAIT_S)
    with build(settings, later=workers.later, players_places=places, webhooks_places=webhooks) as cloud:
        listener = cloud.listener()
        timer = Timer(cloud, listener)
        outbox = Ticker("outbox", OUTBOX_S, cloud.software.delivery.run_once)
        try:
            workers.start()
            listener.start()
            timer.start()
            outbox.start()
            yield cloud
        finally:
            until_s = time.monotonic() + STOP_WITHIN_S
            timer.begin_to_stop()
            outbox.begin_to_stop()
            listener.stop()  # within a bound of its own; the last messages may leave work for Stripe
            timer.wait(until_s)
            outbox.wait(until_s)
            workers.close(max(until_s, time.monotonic() + LAST_WORK_S))


def bind(host: str, port: int) -> socket.socket:
    """Open a listening socket.

    Raises:
        PortTaken: with what to do about it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(1024)
    except OSError as error:
        bound.close()
        raise PortTaken(
            f"cannot listen on {host} port {port} ({error.strerror}): stop what uses it, or choose another --port"
        ) from None
    return bound


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        PortTaken: before anything has been started.
    """
    from arcade_cloud.entrypoints.http_server import make_server, room_for_connections
    from arcade_cloud.web.app import create_app

    room = room_for_connections()
    with contextlib.closing(bind(host, port)) as bound, running(settings) as cloud:
        server = make_server(create_app(cloud.web_dependencies()), bound, threads=WEB_THREADS, connections=room)

        def stop(_signal: int, _frame: FrameType | None) -> None:
            raise SystemExit(0)

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        logger.info("listening on http://%s:%d", host, bound.getsockname()[1])
        try:
            server.run()
        finally:
            server.close()
