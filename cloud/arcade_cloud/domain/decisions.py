"""What rules take and return: the context, a step of a part of an order, a decision about all of it (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from arcade_cloud.domain.alerts import Alert, AlertKind
from arcade_cloud.domain.effects import Effect
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.order import Order

Part = TypeVar("Part", covariant=True)
# What a process knows about its own clock: whether it agrees with Stripe's.
Clock = Literal["right", "wrong", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a decision may depend on besides the order and the event.

    Attributes:
        installations: The installation that each machine's credits are addressed to now. A machine without a
            verified status is missing.
        last_echo_ms: When the latest echo that came back was sent.
        capture_keys: Captures are marked with the first; a mark by any of them is ours.
        unheard: Machines on whose topics messages with a wrong signature come now.
        clock: Whether `now_ms` may end a wait for a machine's word.
        off_ms: By how much `now_ms` is known to be ahead of Stripe's time, if the clock is wrong.
    """

    now_ms: int
    limits: Limits
    installations: Mapping[str, str] = field(default_factory=dict)
    last_echo_ms: int | None = None
    capture_keys: tuple[bytes, ...] = ()
    unheard: frozenset[str] = frozenset()
    clock: Clock = "right"
    off_ms: int = 0

    @property
    def true_ms(self) -> int:
        """The time as far as it is known. What a machine's silence counts from is put on record by it."""
        return self.now_ms - self.off_ms


@dataclass(frozen=True, slots=True)
class Notice:
    """An alert that does not know its order yet."""

    kind: AlertKind
    text: str
    which: str = ""


@dataclass(frozen=True, slots=True)
class Step(Generic[Part]):
    """A part of an order to store, the effects to perform after that, notices and a history line."""

    part: Part
    effects: tuple[Effect, ...] = ()
    notices: tuple[Notice, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The order to store, the effects to perform after that, alerts and a history line.

    Attributes:
        forget: Delete the order instead: nobody ever paid it.
    """

    order: Order
    effects: tuple[Effect, ...] = ()
    alerts: tuple[Alert, ...] = ()
    text: str = ""
    forget: bool = False


def later(context: Context, backoff_s: Sequence[int], attempt: int) -> int:
    """When to make the attempt after number `attempt` (counted from 1), epoch milliseconds."""
    return context.now_ms + 1000 * backoff_s[min(attempt, len(backoff_s)) - 1]
