"""What goes wrong on demand between a client and the stand-in for Stripe: refusals, cut connections, slowness."""

import fnmatch
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import Literal

from arcade_sandbox.errors import SandboxMisuse
from arcade_sandbox.stripe.errors import StripeRefusal

Kind = Literal["409", "429", "500", "502", "503", "cut", "hang"]
When = Literal["before", "after"]
KINDS: tuple[Kind, ...] = ("409", "429", "500", "502", "503", "cut", "hang")

# Longer than any client of ours waits (8 s), short enough for a test to sit it out.
HANG_S = 12.0
MAX_LATENCY_S = 30.0
# More planned failures than this are a mistake in a test.
MAX_PLANNED = 1000


@dataclass(frozen=True)
class Fault:
    """One planned failure, for the next `times` API calls whose `METHOD /path` matches the pattern.

    Attributes:
        when: `before`: nothing is done. `after`: the work is done and its answer stored, but the client does not
            get it.
    """

    kind: Kind
    when: When = "before"
    times: int = 1
    pattern: str = "*"


class FaultPlan:
    """The planned failures, first in, first out. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: deque[Fault] = deque()
        self._latency_s = 0.0

    def add(self, fault: Fault) -> None:
        """Plan a failure.

        Raises:
            SandboxMisuse: The failure is not valid, or too many are planned already.
        """
        if fault.kind not in KINDS or fault.when not in ("before", "after"):
            raise SandboxMisuse(f"kind must be one of {', '.join(KINDS)}; when must be before or after")
        if not 1 <= fault.times <= MAX_PLANNED:
            raise SandboxMisuse(f"times must be 1 to {MAX_PLANNED}")
        with self._lock:
            if len(self._planned) >= MAX_PLANNED:
                raise SandboxMisuse(f"{MAX_PLANNED} failures are planned already: clear them first")
            self._planned.append(fault)

    def clear(self) -> None:
        """Drop what is planned and the latency."""
        with self._lock:
            self._planned.clear()
            self._latency_s = 0.0

    def set_latency(self, seconds: float) -> None:
        """Let every API call take this much longer.

        Raises:
            SandboxMisuse: The time is negative or too long.
        """
        if not 0 <= seconds <= MAX_LATENCY_S:
            raise SandboxMisuse(f"the latency must be 0 to {MAX_LATENCY_S:g} s")
        with self._lock:
            self._latency_s = seconds

    @property
    def latency_s(self) -> float:
        """How much longer every API call takes."""
        with self._lock:
            return self._latency_s

    def next_for(self, method: str, path: str) -> Fault | None:
        """Use up the first planned failure that fits this call."""
        call = f"{method} {path}"
        with self._lock:
            for index, fault in enumerate(self._planned):
                if fnmatch.fnmatchcase(call, fault.pattern):
                    if fault.times > 1:
                        self._planned[index] = replace(fault, times=fault.times - 1)
                    else:
                        del self._planned[index]
                    return fault
        return None


def refusal_of(kind: Kind) -> StripeRefusal:
    """The error body of a planned failure that has one.

    Stripe stores a 500 with the idempotency key and says that a repetition is useless; 502 and 503 come from
    in front of the API, which never saw the request.
    """
    if kind == "409":
        return StripeRefusal(
            "This object cannot be accessed right now because another API request or Stripe process is currently "
            "accessing it. If you see this error intermittently, retry the request.",
            status=409,
            code="lock_timeout",
            should_retry=True,
        )
    if kind == "429":
        return StripeRefusal(
            "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
            status=429,
            code="rate_limit",
        )
    if kind == "500":
        return StripeRefusal(
            "An unknown error occurred", status=500, kind="api_error", stored=True, should_retry=False
        )
    return StripeRefusal("Service temporarily unavailable", status=int(kind), kind="api_error")
