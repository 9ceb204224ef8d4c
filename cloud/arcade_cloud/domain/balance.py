"""Stripe's balance as we read it: an entry for all that moves money there, and payouts to the bank (pure)."""

from dataclasses import dataclass
from typing import Literal

from arcade_cloud.domain.ownership import Ours

# What an entry is about. `capture reversed`: Stripe's older API versions enter a partial capture as the whole and
# a reversal. `fee`: of the account, for no payment. `other`: nothing that a payment of ours can have.
What = Literal[
    "charge",
    "capture reversed",
    "refund",
    "refund failed",
    "dispute",
    "dispute won",
    "fee",
    "payout",
    "other",
]
# Money of a payment moves only by these.
OF_PAYMENTS: frozenset[What] = frozenset(
    {"charge", "capture reversed", "refund", "refund failed", "dispute", "dispute won"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One of Stripe's balance transactions.

    Attributes:
        amount_minor: What moved, negative where money left; in minor units of `currency`, which is the account's
            and may differ from the payment's.
        fee_minor: What Stripe took with it; negative where it gave a fee back.
        source: Stripe's id of the charge, refund, dispute or payout.
        claims: What the metadata of a charge say that it is for. Anybody may have written them.
        mark: The mark in these metadata, as it stands there.
        was_held: The charge of a card was held before it was captured, which only this cloud and people do.
        key: The idempotency key in the metadata of a refund; empty if it has none, as a refund made by hand.
    """

    entry_id: str
    what: What
    amount_minor: int
    fee_minor: int
    currency: str
    created_ms: int
    source: str = ""
    payment_intent: str | None = None
    claims: Ours | None = None
    mark: str | None = None
    was_held: bool = False
    key: str = ""
    text: str = ""

    def is_refund_by_hand(self, order_id: str) -> bool:
        """Whether it is a refund of this order's payment that this cloud has not made."""
        return self.what == "refund" and not self.key.startswith(f"refund:{order_id}:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """A payout to the bank.

    Attributes:
        status: `pending`, `in_transit`, `paid`, `failed` or `canceled`.
        is_listed: Stripe can list the entries that it is of. Not of one that was made by hand, or just now.
    """

    payout_id: str
    amount_minor: int
    currency: str
    status: str
    created_ms: int
    arrives_ms: int
    failure: str = ""
    is_listed: bool = False
