"""What a run has gone through: every fault, every transition of both state machines, counted and compared.

Only transitions that change the state are compared, and the events that lead nowhere are counted with them.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import arcade_cloud.services.fulfilment
import arcade_edge.agent.delivery
from arcade_edge.domain.credits import Revocation
from simulation.bound_checker import ENDS
from simulation.faults import RATES, WINDOWS

Transition = tuple[str, str, str]

# state, event, state: what may happen to an order. An event that changes no state is not listed.
ORDER: frozenset[Transition] = frozenset(
    {
        ("open", "PaymentRead", "funded"),
        ("open", "PaymentRead", "abandoned"),
        ("open", "PaymentRead", "returning"),
        ("open", "CheckoutFailed", "abandoned"),
        ("open", "Due", "abandoned"),
        ("funded", "Acked", "resolved"),
        ("funded", "Acked", "settled"),  # a grant: there is no money to settle
        ("funded", "Sent(coinpulse)", "resolved"),
        ("funded", "Sent(coinpulse)", "settled"),
        ("funded", "Due", "revoking"),
        ("funded", "Due", "resolved"),
        ("funded", "Due", "settled"),
        ("funded", "PaymentRead", "revoking"),
        ("funded", "RefundAsked", "revoking"),
        ("revoking", "Acked", "resolved"),
        ("revoking", "Acked", "settled"),
        ("revoking", "Due", "resolved"),
        ("revoking", "Due", "settled"),
        ("revoking", "TimeAsked", "resolved"),  # by a process that does not know yet whether its clock is right
        ("resolved", "PaymentRead", "settled"),
        ("returning", "PaymentRead", "settled"),
        ("settled", "PaymentRead", "resolved"),
        ("settled", "PaymentRead", "returning"),
        ("settled", "RefundAsked", "resolved"),
        ("funded", "CloseAsked", "resolved"),
    }
)
# Allowed, and too rare to be asked of every run: a refund, or a read that shows the money gone, where nothing was
# ever sent; payments that become known weeks late; an order that is given up after weeks of trying.
ORDER_RARE: frozenset[Transition] = frozenset(
    {
        ("funded", "PaymentRead", "resolved"),
        ("funded", "CloseAsked", "revoking"),
        ("revoking", "TimeAsked", "settled"),  # a grant's silence, by a process that does not know its clock yet
        # The last play of a closed tab that was not asked back yet has ended, before those that were.
        *(("funded", event, "revoking") for event in ("Acked", "Sent(coinpulse)", "TimeAsked")),
        # Captured already, but an older database was put back.
        *((state, "PaymentRead", "settled") for state in ("open", "abandoned", "funded", "revoking")),
        *((state, "PaymentRead", "resolved") for state in ("open", "abandoned", "revoking")),
        ("funded", "RefundAsked", "resolved"),
        ("funded", "RefundAsked", "settled"),
        # A payment that was under way when its page expired, in time and too late. The first was never seen: the
        # simulated Stripe has nobody with the bank at that moment. test_life.py has it.
        ("abandoned", "PaymentRead", "funded"),
        ("abandoned", "PaymentRead", "returning"),
        ("resolved", "Due", "settled"),
        ("returning", "Due", "settled"),
    }
)
# The same for a credit on a Pi.
CREDIT: frozenset[Transition] = frozenset(
    {
        ("–", "Command", "accepted"),
        ("–", "Command", "refused"),
        ("–", "Revocation", "revoked"),
        ("accepted", "Turn", "pulsing"),
        ("accepted", "Waited", "done"),
        ("accepted", "Revocation", "done"),
        ("accepted", "Restarted", "done"),
        ("pulsing", "FirstEdge", "done"),
        ("pulsing", "Pulsed", "done"),
        ("pulsing", "Paused", "done"),
        ("pulsing", "Settled", "done"),
        ("pulsing", "NotPulsed", "done"),
        ("pulsing", "Restarted", "done"),
    }
)
# Expired in that very moment; held as the agent stops.
CREDIT_RARE: frozenset[Transition] = frozenset({("accepted", "Turn", "done"), ("pulsing", "Held", "done")})


@dataclass
class Coverage:
    """How often each was taken."""

    orders: Counter[Transition] = field(default_factory=Counter)
    credits_: Counter[Transition] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    exceptions: Counter[str] = field(default_factory=Counter)
    alerts: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Coverage") -> None:
        """Take in another part's counts."""
        for name in ("orders", "credits_", "ends", "faults", "exceptions", "alerts"):
            getattr(self, name).update(getattr(other, name))

    def unlisted(self) -> list[str]:
        """Transitions that nobody has allowed."""
        moved = {transition for transition in self.orders if transition[0] != transition[2]} - ORDER - ORDER_RARE
        moved |= (
            {transition for transition in self.credits_ if transition[0] != transition[2]} - CREDIT - CREDIT_RARE
        )
        return [" → ".join(transition) for transition in sorted(moved)]

    def missing(self) -> list[str]:
        """What was never taken, and should be in a run that is long enough."""
        never = [f"order: {' → '.join(t)}" for t in sorted(ORDER) if not self.orders[t]]
        never += [f"credit: {' → '.join(t)}" for t in sorted(CREDIT) if not self.credits_[t]]
        never += [f"end of an order: {end}" for end in ENDS if not self.ends[end]]
        return never + [f"fault: {name}" for name in (*RATES, *WINDOWS) if self.faults[name] <= 0]

    def table(self) -> str:
        """All of it, for people."""
        lines = []
        for title, counts in (("order", self.orders), ("credit", self.credits_)):
            lines += [
                f"{count:>10}  {title}: {before} × {event} → {after}"
                for (before, event, after), count in sorted(counts.items())
                if before != after
            ]
        for title, names in (
            ("end", self.ends),
            ("fault", self.faults),
            ("exception", self.exceptions),
            ("alert", self.alerts),
        ):
            lines += [f"{count:>10}  {title}: {name}" for name, count in sorted(names.items())]
        return "\n".join(lines)


@contextmanager
def recording(coverage: Coverage) -> Iterator[None]:
    """Count every decision of both state machines that is made meanwhile."""
    fulfilment: Any = arcade_cloud.services.fulfilment
    delivery: Any = arcade_edge.agent.delivery
    order_rule: Callable[..., Any] = fulfilment.decide
    credit_rule: Callable[..., Any] = delivery.decide
    orders, credits_ = coverage.orders, coverage.credits_

    def decide_order(order: Any, event: Any, context: Any) -> Any:
        decision = order_rule(order, event, context)
        orders[order.state, _event(event), decision.order.state] += 1
        return decision

    def decide_credit(credit: Any, event: Any, context: Any) -> Any:
        decision = credit_rule(credit, event, context)
        before = "–" if credit is None else credit.state
        after = "–" if decision.credit is None else decision.credit.state
        what = "Revocation" if isinstance(event, Revocation) else type(event).__name__
        credits_[before, what, after] += 1
        return decision

    fulfilment.decide = decide_order
    delivery.decide = decide_credit
    try:
        yield
    finally:
        fulfilment.decide = order_rule
        delivery.decide = credit_rule


def _event(event: Any) -> str:
    name = type(event).__name__
    return f"{name}({event.what})" if name == "Sent" else name
