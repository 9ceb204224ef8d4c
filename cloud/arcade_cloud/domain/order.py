"""An order, as it is stored: its fields, its states, and the invariants of the record (pure)."""

import base64
import hashlib
from typing import Literal

from msgspec import Struct

from arcade_cloud.domain.money import Payment, kept_for
from arcade_cloud.errors import InvariantBroken
from arcade_shared.ids import uuid7

State = Literal["open", "abandoned", "funded", "revoking", "resolved", "settled", "returning"]
Kind = Literal["checkout", "link", "grant", "stray"]


class Order(Struct, frozen=True, kw_only=True):
    """One order. All `_ms` are epoch milliseconds; amounts are minor units of `currency`.

    `due_at_ms` is when the timer must look at it (None: never). `target_minor` is what the operator is to keep.
    """

    order_id: str
    version: int = 0
    kind: Kind = "checkout"
    state: State = "open"
    machine_id: str
    subscriber: bool = False
    credits: int
    amount_minor: int
    currency: str
    created_at_ms: int
    due_at_ms: int | None = None
    note: str = ""  # why it is where it is, for people

    # Stripe's side
    session_id: str | None = None
    checkout_url: str | None = None
    checkout_expires_at_ms: int | None = None
    payment_intent: str | None = None
    payment: Payment | None = None  # as last read
    paid_at_ms: int | None = None
    held: bool = False
    capture_before_ms: int | None = None
    money_gone: bool = False  # the hold ended, or money went back, without our doing
    recheck: bool = False  # something changed at Stripe: read it back at the next chance
    reads: int = 0  # reads of an open order in a row, for the backoff

    # the credit: made at the first publish, and for no other installation than was ready when it was ordered
    credit_id: str | None = None
    installation: str | None = None  # None: a payment by a static link is for whoever is heard then
    expires_at_ms: int | None = None
    publishes: int = 0
    last_outcome: str = ""

    # what the machine reported
    accepted: bool = False
    reported: int = 0  # delivered so far, by acks that were not final
    uncertain: int = 0
    delivered: int | None = None  # k: fixed when the order is resolved
    resolved_by: str = ""  # "ack", "silence", "unsent", "broker" (subscriber), "last resort"
    late_word: int | None = None  # what a final ack said after the order had been resolved without it

    # revoking
    revoking_since_ms: int | None = None
    revokes: int = 0
    revoke_confirmed_at_ms: int | None = None  # the first that the broker confirmed
    last_revoke_confirmed_at_ms: int | None = None

    # money back and money kept
    target_minor: int = 0
    keep_at_most_minor: int | None = None  # asked for by the operator before it was known what was delivered
    goodwill_minor: int = 0  # given back although delivered: booked apart
    lost_minor: int = 0  # due to the operator, and not to be had
    owed_minor: int = 0  # due to the player, and Stripe can't give it back: to be paid by hand
    whole_capture: bool = False  # Stripe refused a partial capture: capture all, refund the rest
    settle_key: str = ""  # the idempotency key of the latest attempt
    settle_at_ms: int | None = None  # when it was last made, or done: what was read before counts no more
    settle_over: bool = False  # it is not under way any more: Stripe has done it
    serial: int = 0  # the key's last part; a new one only when no older attempt can do harm
    serial_at_ms: int | None = None  # since when that serial has been in use
    refunds_seen_failed: int = 0
    settle_attempts: int = 0
    resolved_at_ms: int | None = None
    settled_at_ms: int | None = None

    @property
    def code(self) -> str:
        """The short code that a player reads to the operator: six characters, none easily confused."""
        digest = hashlib.sha256(self.order_id.encode()).digest()
        return base64.b32encode(digest[:5]).decode().translate(str.maketrans("IO01", "WXYZ"))[:6]

    @property
    def earned_minor(self) -> int:
        """The price of what was delivered."""
        return 0 if self.delivered is None else kept_for(self.amount_minor, self.delivered, self.credits)


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One line of an order's history: what happened, and what it led to."""

    order_id: str
    version: int
    at_ms: int
    event: str
    state: State
    text: str = ""


class Alert(Struct, frozen=True, kw_only=True):
    """Something that a person must look at. The id makes the same alert the same record.

    `subject` is the order or machine that it is about.
    """

    alert_id: str
    kind: str
    text: str
    subject: str
    at_ms: int


class Orphan(Struct, frozen=True, kw_only=True):
    """A verified ack for a credit that no order knows."""

    machine_id: str
    credit_id: str
    installation: str
    state: str
    delivered: int
    uncertain: int
    at_ms: int


def credit_id_of(order: Order) -> str:
    """The one credit of an order, made of nothing but what the order was born with.

    So a cloud whose database was set back to a backup from before the credit was made addresses the very same
    one, and the machine answers with what became of it instead of pulsing again. The moment of payment would not
    do for the id's time: webhook and Stripe's own record put it a second apart. So a Pi that was switched on after
    the order was made refuses its credit.
    """
    digest = hashlib.sha256(order.order_id.encode()).digest()
    return uuid7(order.created_at_ms, lambda size: digest[:size])


def check(order: Order) -> None:
    """Raises InvariantBroken if the record contradicts the order's life. Called on every write and read."""

    def rule(holds: bool, text: str) -> None:
        if not holds:
            raise InvariantBroken(f"order {order.order_id} ({order.state}): {text}")

    rule(order.credits >= 1, "no credits")
    rule(order.amount_minor >= 0, "a negative amount")
    rule((order.credit_id is None) == (order.expires_at_ms is None), "a credit without an expiry")
    rule(order.credit_id is None or order.installation is not None, "a credit without an installation")
    if order.state in {"open", "abandoned"}:
        rule(order.credit_id is None, "a credit before any money")
        rule(order.delivered is None, "delivered before any money")
    if order.state in {"funded", "revoking"}:
        rule(order.paid_at_ms is not None, "funded without a payment")
        rule(order.kind == "grant" or order.payment_intent is not None, "funded without a payment intent")
        rule(order.delivered is None, "resolved too early")
        rule(order.due_at_ms is not None, "nothing would ever move it")
    if order.state == "revoking":
        rule(order.revoking_since_ms is not None, "revoking since never")
    if order.state in {"resolved", "returning"}:
        rule(order.due_at_ms is not None, "nothing would ever settle it")
    rule(order.state != "resolved" or order.delivered is not None, "resolved without a number delivered")
    if order.delivered is not None:
        rule(0 <= order.delivered <= order.credits, "more delivered than ordered")
        rule(order.delivered + order.uncertain <= order.credits, "more uncertain than ordered")
        rule(0 <= order.target_minor <= order.earned_minor, "keeping more than was earned")
    else:
        rule(order.target_minor == 0, "keeping money for nothing")
