"""The AWS Lambda function: `handler` answers HTTP requests and, on a schedule, moves the orders that are due.

    {"job": "tick"}                 one pass of the timer, which also posts alerts
    {"job": "tick", "for_s": 50}    the same, and for 50 s what falls due: a schedule runs only once a minute
    an event from EventBridge       the same as {"job": "tick"}

AWS freezes the process between events, perhaps for good, so nothing runs after the answer. Messages to the broker
and calls to Stripe come before it, as far as time allows. The rest stays due, and the schedule finds it. Acks
arrive by POST /ingest.
"""

import contextlib
import functools
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from arcade_cloud.adapters.alert_receivers import TIMEOUT_S
from arcade_cloud.adapters.stripe.gateway import LONGEST_IN_A_HURRY_S
from arcade_cloud.bootstrap import build
from arcade_cloud.config.settings import load, warnings
from arcade_cloud.entrypoints.aws_lambda.wsgi import BadEvent, respond, shape_of
from arcade_cloud.errors import ArcadeError, StoreUnavailable
from arcade_cloud.services import watches
from arcade_cloud.services.clock_recheck import ClockRecheck
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.reconciliation import Reconciliation
from arcade_cloud.services.watches import Watch
from arcade_cloud.web.app import create_app
from arcade_cloud.web.error_responses import STORE_DOWN

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

# API Gateway hangs up after 29 s, which includes a cold start.
HTTP_S = 25.0
# Kept for the step that is under way when time is up: it may wait for the store and a slow broker.
MARGIN_S = 5.0
MAX_TICK_S = 600.0
# The longest that one post to other software takes (adapters/outgoing_webhooks.py).
LONGEST_POST_S = 17.0
BATCH = 100
# The least and the most that a waiting tick sleeps. An order that cannot be moved is due all the time; another
# process may leave an order that is due before any that the store knew of.
PAUSE_S, LOOK_S = 1.0, 5.0

NOT_SET_UP = "This site is not set up yet: its log says what is missing."

_NAME = "AWS_LAMBDA_FUNCTION_NAME"
_SCHEDULED = frozenset({"aws.events", "aws.scheduler"})


class UnknownEvent(ArcadeError):
    """Neither HTTP nor a tick: whatever sends it is connected to the wrong function."""


class Context(Protocol):
    """The part of AWS's context object that is used here."""

    def get_remaining_time_in_millis(self) -> int: ...


class Deadline:
    """The time by which the current event must be answered. A process handles one event at a time."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._at_s = 0.0

    def start(self, context: Context, most_s: float, *, keep_s: float = 0.0) -> None:
        """Start the clock for a new event.

        Args:
            context: Says how long AWS lets the function run.
            most_s: The longest that the answer may take.
            keep_s: Time to keep free for what comes last, as long as the rest is enough to call Stripe.
        """
        left_s = context.get_remaining_time_in_millis() / 1000 - MARGIN_S
        kept_s = min(keep_s, max(0.0, left_s - 2 * LONGEST_IN_A_HURRY_S))
        self._at_s = self._monotonic_s() + min(most_s, left_s - kept_s)
        if left_s < LONGEST_IN_A_HURRY_S:
            logger.warning("too little time to call Stripe: set this function's timeout to 60 s")

    def left_s(self) -> float:
        """The time that is left; negative once it is up."""
        return self._at_s - self._monotonic_s()

    def run_in_time(self, work: Callable[[], None]) -> None:
        """Run `work` if there is time to wait for Stripe. If not, drop it: its order stays due."""
        if self.left_s() < LONGEST_IN_A_HURRY_S:
            logger.warning("no time left to wait for Stripe: this is left to the schedule")
            return
        work()


@dataclass(frozen=True)
class LambdaFunction:
    """What this process needs for every event that it gets."""

    app: "WSGIApplication"
    fulfilment: Fulfilment
    reconciliation: Reconciliation
    recheck: ClockRecheck
    watches: tuple[watches.Watch, ...]
    deadline: Deadline
    sleep_s: Callable[[float], None] = time.sleep
    books: tuple[Watch, ...] = ()
    tell_software: Callable[[int], object] = lambda until_ms: None

    def handle(self, event: object, context: Context) -> dict[str, Any]:
        """The result for one event.

        Raises:
            UnknownEvent: The event is neither HTTP nor a tick.
            StoreUnavailable: Only for a tick.
        """
        shape = shape_of(event)
        if shape is not None:
            self.deadline.start(context, HTTP_S)
            try:
                return respond(self.app, shape, event, context)
            except BadEvent as error:
                refusal = _Refusal("400 Bad Request", "bad_request", f"This request cannot be read: {error}.")
                return respond(refusal, shape, {}, context)
        stay_s = _tick_of(event)
        # Orders may take all the time except for what one alert needs.
        self.deadline.start(context, MAX_TICK_S, keep_s=sum(TIMEOUT_S))
        return {"job": "tick", "due": self._tick(stay_s)}

    def _tick(self, stay_s: float) -> int:
        """Move what is due now and what falls due within `stay_s`.

        Returns:
            How many orders were due. One that stays due counts each time it is tried.
        """
        self.recheck.look(until_ms=self._until_ms())  # it learns whether the clock is right
        watches.look(self.watches)  # what they find is posted with the other alerts
        leave_at_s = max(0.0, self.deadline.left_s() - stay_s)
        moved, booked = 0, False
        while True:
            due = self.fulfilment.run_once(BATCH, until_ms=self._until_ms())
            moved += due
            if due == BATCH and self.deadline.left_s() > 0:
                continue
            if self.reconciliation.run_once() and self.deadline.left_s() > 0:
                continue
            if not booked:  # once a tick: most ask Stripe for one page
                watches.look(self.books)
                booked = True
            self.tell_software(self._until_ms() - round(1000 * LONGEST_POST_S))
            wait_s = self._until_due_s()
            if wait_s is None or self.deadline.left_s() - wait_s <= leave_at_s:
                return moved
            self.sleep_s(min(wait_s, LOOK_S))

    def _until_ms(self) -> int:
        return self.fulfilment.now_ms() + int(self.deadline.left_s() * 1000)

    def _until_due_s(self) -> float | None:
        due_ms = self.fulfilment.store.next_due_ms()
        return None if due_ms is None else max(PAUSE_S, (due_ms - self.fulfilment.now_ms()) / 1000)


def _tick_of(event: object) -> float:
    """How long a tick waits for what falls due, in seconds.

    Raises:
        UnknownEvent: The event is not a tick, or its `for_s` is out of range.
    """
    if not isinstance(event, Mapping):
        raise UnknownEvent(f"an event is a JSON object, not {type(event).__name__}")
    source = event.get("source")
    if isinstance(source, str) and source in _SCHEDULED:
        return 0.0
    if event.get("job") != "tick":
        shown = ", ".join(sorted(str(name)[:40] for name in event)[:12])
        raise UnknownEvent(
            f'neither HTTP, nor a schedule, nor {{"job": "tick"}}: an event with {shown or "nothing"}'
        )
    stay_s = event.get("for_s", 0)
    if type(stay_s) not in (int, float) or not 0 <= stay_s <= MAX_TICK_S:
        raise UnknownEvent(f"for_s must be a number from 0 to {MAX_TICK_S}")
    return float(stay_s)


@functools.cache  # an exception is not cached: if the store is unavailable, the next event tries again
def lambda_function() -> LambdaFunction:
    """The function as this process's environment sets it up.

    Nothing ever closes its connections: AWS ends a process without notice.

    Raises:
        SettingsError: A variable is missing or wrong.
        StoreUnavailable: The store cannot be opened.
    """
    settings, deadline = load(os.environ, None), Deadline()
    cloud = build(settings, later=deadline.run_in_time, time_left_s=deadline.left_s)
    for warning in warnings(settings):
        logger.warning("%s", warning)
    all_watches = (
        cloud.services.watch,
        cloud.watch_broker("AWS Lambda"),
        cloud.watch_clock("AWS Lambda"),
        cloud.player_claims,
    )
    services, app = cloud.services, create_app(cloud.web_dependencies())
    return LambdaFunction(
        app,
        services.fulfilment,
        services.reconciliation,
        services.recheck,
        all_watches,
        deadline,
        books=(services.receipts, cloud.fees, cloud.daily),
        tell_software=lambda until_ms: cloud.software.delivery.run_once(until_ms=until_ms),
    )


def handler(event: object, context: Context) -> dict[str, Any]:
    """What AWS calls. An HTTP request always gets a response; a tick that fails raises, so that AWS counts it."""
    try:
        function = lambda_function()
    except ArcadeError as error:
        logger.error("%s", error)  # noqa: TRY400 - the message says what to correct, a traceback does not
        shape = shape_of(event)
        if shape is None:
            raise
        return respond(_unusable(error), shape, {}, context)
    return function.handle(event, context)


class _Refusal:
    """A WSGI application that gives every request the same error, in the usual shape."""

    def __init__(self, status: str, code: str, text: str) -> None:
        self._status = status
        self._body = json.dumps({"error": {"code": code, "message": text}}).encode()

    def __call__(self, _environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response(self._status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [self._body]


def _unusable(error: ArcadeError) -> _Refusal:
    """The application while there is none. The reason is in the log only."""
    if isinstance(error, StoreUnavailable):
        return _Refusal("503 Service Unavailable", "store_unavailable", STORE_DOWN)
    return _Refusal("500 Internal Server Error", "misconfigured", NOT_SET_UP)


def _prepare() -> None:
    """Set everything up while AWS starts the process: it has more computing power then than later."""
    logging.getLogger("arcade_cloud").setLevel(logging.INFO)
    import stripe  # noqa: F401 - else the first webhook would wait for this, and a player for the webhook

    with contextlib.suppress(ArcadeError):  # the first event tries again, and logs it
        lambda_function()


if os.environ.get(_NAME):
    _prepare()
