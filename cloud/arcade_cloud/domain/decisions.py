"""What the rules of an order take and give: the context of a decision, and the decision (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

from arcade_cloud.domain.effects import Effect
from arcade_cloud.domain.limits import Limits
from arcade_cloud.domain.order import Alert, Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a decision may depend on besides the order and the event.

    `installation`: whom the machine's credits are addressed to now (None: never heard). `hears_ms`: when the
    latest echo that came back was sent.
    """

    now_ms: int
    limits: Limits
    installation: str | None
    hears_ms: int | None


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


def alert(order: Order, kind: str, text: str, context: Context, which: str = "") -> Alert:
    """An alert about `order`. One of each kind is raised for an order, or one for each `which`."""
    alert_id = ":".join(part for part in (kind, order.order_id, which) if part)
    return Alert(alert_id=alert_id, kind=kind, text=text, subject=order.order_id, at_ms=context.now_ms)
