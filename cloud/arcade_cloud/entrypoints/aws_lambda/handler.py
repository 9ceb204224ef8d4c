"""AWS Lambda: `handler` answers HTTP events, and moves what is due when the schedule says so.

    {"job": "tick"}                 one pass of the timer, which also posts alerts
    {"job": "tick", "for_s": 50}    waits for what falls due in that time: a schedule comes once a minute only
    an event of EventBridge         the same as {"job": "tick"}

Nothing runs once an event is answered: the process is frozen until the next one, or for ever. So the broker is
told, and Stripe is asked, before the answer, as far as time allows; the rest is still due, and the schedule finds
it. Acks come by POST /ingest.
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

from arcade_cloud.adapters.alert_sinks import TIMEOUT_S
from arcade_cloud.adapters.stripe.gateway import LONGEST_IN_A_HURRY_S
from arcade_cloud.bootstrap import build
from arcade_cloud.config.settings import load, warnings
from arcade_cloud.entrypoints.aws_lambda.wsgi import respond, shape_of
from arcade_cloud.errors import ArcadeError, StoreUnavailable
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.reconciliation import Sweep
from arcade_cloud.web.app import create_app
from arcade_cloud.web.error_responses import STORE_DOWN

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger(__name__)

# API Gateway hangs up after 29 s, a cold start included.
HTTP_S = 25.0
# What is left at the end for a step that was begun: the store, and a broker that takes its time.
MARGIN_S = 5.0
MAX_TICK_S = 600.0
BATCH = 100
# Between two passes of a tick that stays: an order that can't be moved is due all the time, and what another
# process leaves behind may be due before all that is known of.
PAUSE_S, LOOK_S = 1.0, 5.0

NOT_SET_UP = "This site is not set up yet: its log says what is missing."

_NAME = "AWS_LAMBDA_FUNCTION_NAME"
_SCHEDULED = frozenset({"aws.events", "aws.scheduler"})


class UnknownEvent(ArcadeError):
    """Neither HTTP nor a job of ours; whatever sends it is connected to the wrong function."""


class Context(Protocol):
    """What is used of the context that comes with each event."""

    def get_remaining_time_in_millis(self) -> int: ...


class Deadline:
    """Until when the event at hand must be answered. There is one at a time, so one clock does."""

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._at_s = 0.0

    def begin(self, context: Context, most_s: float, *, keep_s: float = 0.0) -> None:
        """A new event has come; its answer takes `most_s` at the most.

        `keep_s` of the time are kept for what comes last, where Stripe can be asked in the rest all the same.
        """
        left_s = context.get_remaining_time_in_millis() / 1000 - MARGIN_S
        kept_s = min(keep_s, max(0.0, left_s - 2 * LONGEST_IN_A_HURRY_S))
        self._at_s = self._monotonic_s() + min(most_s, left_s - kept_s)
        if left_s < LONGEST_IN_A_HURRY_S:
            logger.warning("too little time to ask Stripe anything: set this function's timeout to 60 s")

    def left_s(self) -> float:
        return self._at_s - self._monotonic_s()

    def later(self, work: Callable[[], None]) -> None:
        """Do `work` now, or leave it to the schedule where too little time is left: the order stays due."""
        if self.left_s() < LONGEST_IN_A_HURRY_S:
            logger.warning("no time left to wait for Stripe; the schedule will come back to it")
            return
        work()


@dataclass(frozen=True)
class Function:
    """What this process needs for all events that it will ever get."""

    app: "WSGIApplication"
    fulfilment: Fulfilment
    sweep: Sweep
    deadline: Deadline
    sleep_s: Callable[[float], None] = time.sleep

    def answer(self, event: object, context: Context) -> dict[str, Any]:
        """The result for one event. Raises UnknownEvent, BadEvent; StoreUnavailable and the like for a tick."""
        shape = shape_of(event)
        if shape is not None:
            self.deadline.begin(context, HTTP_S)
            return respond(self.app, shape, event, context)
        stay_s = _tick_of(event)
        # Orders may take all the time that there is, but for what one alert takes.
        self.deadline.begin(context, MAX_TICK_S, keep_s=sum(TIMEOUT_S))
        return {"job": "tick", "due": self._tick(stay_s)}

    def _tick(self, stay_s: float) -> int:
        """Move what is due, and for `stay_s` what falls due; how many orders were, those that stayed due each
        time that they were tried.
        """
        go_at_s = max(0.0, self.deadline.left_s() - stay_s)
        moved = 0
        while True:
            now_ms = self.fulfilment.now_ms()
            due = self.fulfilment.run_once(BATCH, until_ms=now_ms + int(self.deadline.left_s() * 1000))
            moved += due
            if due == BATCH and self.deadline.left_s() > 0:
                continue
            if self.sweep.run_once() and self.deadline.left_s() > 0:
                continue
            wait_s = self._until_due_s()
            if wait_s is None or self.deadline.left_s() - wait_s <= go_at_s:
                return moved
            self.sleep_s(min(wait_s, LOOK_S))

    def _until_due_s(self) -> float | None:
        due_ms = self.fulfilment.store.next_due_ms()
        return None if due_ms is None else max(PAUSE_S, (due_ms - self.fulfilment.now_ms()) / 1000)


def _tick_of(event: object) -> float:
    """How long a tick is to stay. Raises UnknownEvent for an event that is none."""
    if not isinstance(event, Mapping):
        raise UnknownEvent(f"an event is a JSON object, not {type(event).__name__}")
    if event.get("source") in _SCHEDULED:
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


@functools.cache  # what raises is not kept: a store out of reach is tried again with the next event
def function() -> Function:
    """The function for this process's environment. Raises SettingsError, StoreUnavailable."""
    settings, deadline = load(os.environ, None), Deadline()
    cloud = build(settings, later=deadline.later, time_left_s=deadline.left_s)
    for warning in warnings(settings):
        logger.warning("%s", warning)
    return Function(create_app(cloud.services()), cloud.fulfilment, cloud.sweep, deadline)


def handler(event: object, context: Context) -> dict[str, Any]:
    """What AWS calls. HTTP gets an answer in any case; a tick that fails raises, so that it is counted."""
    try:
        ready = function()
    except ArcadeError as error:
        logger.error("%s", error)  # noqa: TRY400 - the faults are for whoever reads the log; a traceback is not
        shape = shape_of(event)
        if shape is None:
            raise
        return respond(_Unusable(error), shape, event, context)
    return ready.answer(event, context)


class _Unusable:
    """Stands in for the application where there is none: its error shape, and not a word of why."""

    def __init__(self, error: ArcadeError) -> None:
        if isinstance(error, StoreUnavailable):
            self._status, code, text = "503 Service Unavailable", "store_unavailable", STORE_DOWN
        else:
            self._status, code, text = "500 Internal Server Error", "misconfigured", NOT_SET_UP
        self._body = json.dumps({"error": {"code": code, "message": text}}).encode()

    def __call__(self, _environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        start_response(self._status, [("Content-Type", "application/json"), ("Cache-Control", "no-store")])
        return [self._body]


def _prepare() -> None:
    """Make everything ready while AWS starts the process, which it does with more computing power than later."""
    logging.getLogger("arcade_cloud").setLevel(logging.INFO)
    import stripe  # noqa: F401 - a player waits for the first webhook of a process, and it would wait for this

    with contextlib.suppress(ArcadeError):  # the first event says what is wrong, and to whom
        function()


if os.environ.get(_NAME):
    _prepare()
