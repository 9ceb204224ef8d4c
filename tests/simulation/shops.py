"""Other businesses on the same Stripe account, in the simulation: what they sell, and what becomes of it."""

import random
from typing import Any

from arcade_cloud.errors import PaymentsRefused
from simulation.evidence import Cause, Evidence
from simulation.faults import HOUR, MINUTE, SECOND
from simulation.scheduler import Scheduler
from simulation.sim_cloud import BASE_URL
from simulation.sim_stripe import StripeSide
from support.shops import DECLINED, KINDS, TAKEN, sale

ELSEWHERE: tuple[dict[str, Any], ...] = ({"livemode": True}, {"account": "acct_fake"}, {})
# In so many of the seeds somebody else is on the account.
SHARED = 0.35
METHODS = ("card", "card", "fpx", "grabpay", "fpx_later")


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
        kind, evidence = self._rng.choice((*KINDS, TAKEN)), self._evidence
        sold = sale(
            kind,
            self._rng,
            machine_ids=self._machines,
            site=BASE_URL,
            bought=[purchase for purchase in evidence.purchases.values() if purchase.order_id is not None],
            metadata_of=self._side.stripe.metadata_of,
        )
        session_id = self._side.stripe.visit_shop(
            sold.amount_minor, sold.currency, sold.metadata, held=self._rng.random() < 0.6 and kind != TAKEN
        )
        evidence.foreign[session_id] = sold.looks
        self._scheduler.note("shop", kind)
        method = self._rng.choice(("fpx", "grabpay", "fpx_later") if kind == TAKEN else METHODS)
        intent = self._side.pay(session_id, "card_declined" if kind == DECLINED else method)
        if intent is not None and self._rng.random() < 0.5:
            self._scheduler.after(self._rng.choice((SECOND, MINUTE, HOUR)), lambda: self._act(intent))

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
