"""Other businesses on the same Stripe account. Their metadata are their own, and may look like ours.

What they look like is the first word of a sale's kind: `theirs` has nothing to do with us, and nobody may be
bothered with it; `ours` looks as if it were meant for us, so a person may be asked.
"""

import random
from typing import Any

from arcade_cloud.errors import PaymentsRefused
from simulation.evidence import Cause, Evidence
from simulation.faults import HOUR, MINUTE, SECOND
from simulation.scheduler import Scheduler
from simulation.sim_cloud import BASE_URL
from simulation.sim_stripe import StripeSide

# The whole of our metadata, for the same sum, perhaps while our own payment has not come. Nobody pays it.
DECLINED = "ours: all, and declined"
KINDS = (
    "theirs: nothing",
    "theirs: an order of its own",
    "theirs: a machine of its own",
    "theirs: another site of the same system",
    "ours: an order",
    "ours: all but the mark",
    "ours: all, for another amount",
    "ours: all, for another machine",
    "ours: all, for another order",
    "ours: a machine",
    DECLINED,
)
ELSEWHERE: tuple[dict[str, Any], ...] = ({"livemode": True}, {"account": "acct_fake"}, {})
# In so many of the seeds somebody else is on the account.
SHARED = 0.35


class Shops:
    """The others on the account: what they sell, and what they do with their money."""

    def __init__(
        self,
        scheduler: Scheduler,
        rng: random.Random,
        evidence: Evidence,
        side: StripeSide,
        machines: list[str],
    ) -> None:
        self._scheduler, self._rng, self._evidence, self._side = scheduler, rng, evidence, side
        self._machines = machines
        self.sales = rng.choice((2, 6, 12)) if rng.random() < SHARED else 0

    def arrive(self, begin_ms: int, within_ms: int) -> None:
        """Let all who buy there come, some time from then on."""
        for _ in range(self.sales):
            self._scheduler.at(begin_ms + self._rng.randint(0, within_ms), self._sell)
        if self.sales:
            self._scheduler.at(begin_ms + self._rng.randint(0, within_ms), self._tell_elsewhere)

    def _sell(self) -> None:
        kind = self._rng.choice(KINDS)
        metadata, amount, currency = self._metadata(kind)
        session_id = self._side.stripe.visit_shop(amount, currency, metadata, held=self._rng.random() < 0.6)
        self._evidence.foreign[session_id] = kind
        self._scheduler.note("shop", kind)
        method = self._rng.choice(("card", "card", "fpx", "grabpay", "fpx_later"))
        intent = self._side.pay(session_id, "card_declined" if kind == DECLINED else method)
        if intent is not None and self._rng.random() < 0.5:
            self._scheduler.after(self._rng.choice((SECOND, MINUTE, HOUR)), lambda: self._act(intent))

    def _metadata(self, kind: str) -> tuple[dict[str, str], int, str]:
        """What the shop's program sets, and the price with its currency."""
        number, price = str(self._rng.randint(1_000, 9_999)), self._rng.choice((200, 500, 4_900))
        bought = [purchase for purchase in self._evidence.purchases.values() if purchase.order_id is not None]
        match kind:
            case "theirs: nothing":
                return {}, price, "myr"
            case "theirs: an order of its own":
                return {"order_id": number}, price, "myr"
            case "theirs: a machine of its own":
                return {"machine_id": "vending-7", "order_id": number}, price, "myr"
            case "theirs: another site of the same system":
                return {"machine_id": "cab-1", "order_id": number, "site": "https://other.example"}, price, "myr"
            case "ours: a machine":
                return {"machine_id": self._rng.choice(self._machines)}, price, "myr"
        if not bought:
            return {"order_id": number}, price, "myr"
        purchase = self._rng.choice(bought)
        copied = self._side.stripe.metadata_of(purchase.session_id)
        match kind:
            case "ours: an order":
                return {"order_id": purchase.order_id or ""}, purchase.amount_minor, purchase.currency
            case "ours: all but the mark":
                del copied["arcade_mark"]
                return copied, purchase.amount_minor, purchase.currency
            case "ours: all, for another amount":
                return copied, purchase.amount_minor + self._rng.choice((-1, 1, 100)), purchase.currency
            case "ours: all, for another machine":
                return copied | {"machine_id": "cab-other"}, purchase.amount_minor, purchase.currency
            case "ours: all, and declined":
                return copied, purchase.amount_minor, purchase.currency
        return copied | {"order_id": f"ord_{number}", "site": BASE_URL}, purchase.amount_minor, purchase.currency

    def _act(self, intent: str) -> None:
        """The shop captures, cancels or refunds its own payment."""
        stripe = self._side.stripe
        act = self._rng.choice((stripe.capture_by_hand, stripe.cancel_by_hand, stripe.refund_by_hand))
        try:
            act(intent)
        except PaymentsRefused:
            return
        self._side.flush()

    def _tell_elsewhere(self) -> None:
        """Stripe sends an event of another account, or of the other mode."""
        fields = self._rng.choice(ELSEWHERE)
        self._evidence.causes.append(Cause(self._scheduler.now_ms, "an event from elsewhere", ""))
        self._side.stripe.tell_elsewhere(**fields)
        self._side.flush()
