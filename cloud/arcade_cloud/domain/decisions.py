"""What the rules take and give: the context of a decision, a part's step, and an order's decision (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from arcade_cloud.domain.alerts import Alert, AlertKind
from arcade_cloud.domain.effects import Effect
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.order import Order

Part = TypeVar("Part", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a decision may depend on besides the order and the event.

    `installations`: by machine, whom its credits are addressed to now (missing: never heard). `hears_ms`: when
    the latest echo that came back was sent.
    """

    now_ms: int
    limits: Limits
    installations: Mapping[str, str] = field(default_factory=dict)
    hears_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A person is to be told: an alert that does not know yet which order it is about."""

    kind: AlertKind
    text: str
    which: str = ""


@dataclass(frozen=True, slots=True)
class Step(Generic[Part]):
    """A part of an order as it is to be stored, what to do after that, whom to tell, a line for the history."""

    part: Part
    effects: tuple[Effect, ...] = ()
    notices: tuple[Notice, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """The order as it is to be stored, what to do after that, whom to tell, and a line for the history."""

    order: Order
    effects: tuple[Effect, ...] = ()
    alerts: tuple[Alert, ...] = ()
    text: str = ""


def later(context: Context, backoff_s: Sequence[int], attempt: int) -> int:
    """When attempt number `attempt` (from 1) is to be followed by the next, epoch milliseconds."""
    return context.now_ms + 1000 * backoff_s[min(attempt, len(backoff_s)) - 1]
