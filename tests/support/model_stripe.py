"""One payment at Stripe as simple arithmetic: what checkers of an order's money recompute it with.

It knows nothing of the code under test but the effects that it executes and the payment that it shows.
"""

from dataclasses import dataclass, field
from typing import Literal

from arcade_cloud.domain.effects import Settle
from arcade_cloud.domain.money import Dispute, Payment, PaymentStatus

Fate = Literal["fine", "lost", "answer lost", "error kept"]
Verdict = Literal["done", "unknown", "refused"]

KEYS_FORGOTTEN_MS = 24 * 3_600_000
HOLD_MS = 7 * 86_400_000


@dataclass
class ModelStripe:
    """A payment of `amount`, held first where `manual`. `partial`: whether a part of a hold may be captured."""

    amount: int
    manual: bool
    partial: bool = True
    hold_ms: int = HOLD_MS
    refunds_fail: bool = False
    status: PaymentStatus = "requires_payment_method"
    paid_at_ms: int | None = None
    captured: int = 0
    refunds: list[int] = field(default_factory=list)
    failed: int = 0
    dispute: Dispute = "none"
    disputed: int = 0
    lost: int = 0
    gone_outside: bool = False
    """Whether money left in a way that is not the cloud's doing."""
    double_refund: bool = False
    """Whether the cloud refunded twice where once was meant: two keys for one purpose."""
    keys: dict[str, tuple[int, Settle, Verdict]] = field(default_factory=dict)

    # --- what the player, the operator, banks and time do

    def pay(self, now_ms: int) -> None:
        self.paid_at_ms = now_ms
        self.status = "requires_capture" if self.manual else "succeeded"
        self.captured = 0 if self.manual else self.amount

    def pass_time(self, now_ms: int) -> None:
        if self.status == "requires_capture" and now_ms >= self.capture_before_ms:
            self.status, self.gone_outside = "canceled", True

    def cancel_outside(self) -> None:
        self.status, self.gone_outside = "canceled", True

    def capture_outside(self) -> None:
        self.status, self.captured = "succeeded", self.amount

    def refund_outside(self, amount: int) -> None:
        self.refunds.append(min(amount, self.kept))
        self.gone_outside = True

    def dispute_outside(self, amount: int) -> None:
        """The player disputes the payment, or a part of it."""
        self.dispute, self.disputed = "open", min(amount, self.kept)

    def lose_dispute(self) -> None:
        self.dispute, self.lost, self.gone_outside = "lost", self.lost + self.disputed, True

    def fail_latest_refund(self) -> None:
        self.refunds.pop()
        self.failed += 1

    # --- what anybody sees

    @property
    def capture_before_ms(self) -> int:
        return (self.paid_at_ms or 0) + self.hold_ms

    @property
    def kept(self) -> int:
        """What the operator has of it for good."""
        return self.captured - sum(self.refunds) - self.lost

    def show(self, now_ms: int) -> Payment:
        self.pass_time(now_ms)
        return Payment(
            payment_intent="pi_1",
            status=self.status,
            amount_minor=self.amount,
            currency="myr",
            received_minor=self.captured,
            capturable_minor=self.amount if self.status == "requires_capture" else 0,
            refunded_minor=sum(self.refunds),
            refunds_failed=self.failed,
            dispute=self.dispute,
            lost_minor=self.lost or None,
            paid_at_ms=self.paid_at_ms,
            capture_before_ms=self.capture_before_ms if self.manual and self.paid_at_ms is not None else None,
        )

    # --- what the cloud asks for

    def execute(self, effect: Settle, now_ms: int, fate: Fate = "fine") -> Verdict:
        """Do it, under its key. `error kept`: Stripe fails, and answers the key so for a day."""
        self.pass_time(now_ms)
        if fate == "lost":
            return "unknown"
        known = self.keys.get(effect.key)
        if known is not None and now_ms - known[0] < KEYS_FORGOTTEN_MS:
            same = (known[1].operation, known[1].amount_minor) == (effect.operation, effect.amount_minor)
            verdict: Verdict = known[2] if same else "refused"
        else:
            verdict = "unknown" if fate == "error kept" else self._do(effect)
            self.keys[effect.key] = (now_ms, effect, verdict)
        return "unknown" if fate == "answer lost" else verdict

    def _do(self, effect: Settle) -> Verdict:
        amount = effect.amount_minor
        match effect.operation:
            case "capture":
                if self.status != "requires_capture" or not 1 <= amount <= self.amount:
                    return "refused"
                if amount < self.amount and not self.partial:
                    return "refused"
                self.status, self.captured = "succeeded", amount
            case "cancel":
                if self.status != "requires_capture":
                    return "refused"
                self.status = "canceled"
            case "refund":
                if self.status != "succeeded" or not 1 <= amount <= self.kept:
                    return "refused"
                if self.dispute == "open":
                    return "refused"
                if self.refunds_fail:
                    self.failed += 1
                else:
                    self.refunds.append(amount)
        return "done"
