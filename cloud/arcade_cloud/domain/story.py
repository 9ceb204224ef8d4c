"""What happened to an order, in words for people (pure)."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from arcade_cloud.domain.order import HistoryEntry, State

# By the name of the event in the history. The entry's text adds what came of it.
_WHAT = {
    "Ordered": "a player went to pay",
    "Granted": "free credits were given",
    "PaidByLink": "a payment by a static link came",
    "Unmatched": "a payment came that belongs to no order",
    "Claimed": "an operator decided about a payment without proof",
    "CheckoutMade": "Stripe opened the payment page",
    "CheckoutFailed": "Stripe opened no payment page",
    "PaymentReported": "Stripe reported a change",
    "PlayerReturned": "the order's page was opened",
    "PaymentRead": "the payment was read at Stripe",
    "Acked": "the machine reported",
    "Sent": "a message went to the machine",
    "TimeAsked": "Stripe was asked for the time",
    "SettlementAttempted": "money was moved at Stripe",
    "RefundAsked": "a refund was asked for",
    "Drawn": "the player tapped",
    "FreshenAsked": "a machine's page was opened",
    "CloseAsked": "the tab was to be closed",
    "Due": "the timer looked at the order",
}


# What Stripe's events mean, by their types.
_REPORTED = {
    "checkout.session.completed": "the player has paid, or the bank is at it",
    "checkout.session.async_payment_succeeded": "the bank has paid",
    "checkout.session.async_payment_failed": "the bank has not paid",
    "checkout.session.expired": "the payment page has expired",
    "payment_intent.amount_capturable_updated": "the money is held",
    "payment_intent.succeeded": "the money was taken",
    "payment_intent.canceled": "the payment was cancelled",
    "payment_intent.payment_failed": "a try to pay has failed",
    "payment_intent.processing": "the bank is at it",
    "charge.refunded": "something was given back",
    "refund.created": "a refund was made",
    "refund.updated": "a refund has changed",
    "refund.failed": "a refund has failed",
    "charge.dispute.created": "the cardholder disputes the payment",
    "charge.dispute.updated": "the dispute has changed",
    "charge.dispute.funds_withdrawn": "the bank has taken the money until it decides",
    "charge.dispute.funds_reinstated": "the bank has given the money back",
    "charge.dispute.closed": "the dispute is decided",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of an order's story. `state`: the state that the order came into; None if it stayed as it was."""

    at_ms: int
    text: str
    state: State | None


# What a machine says while it is at it.
_PROGRESS = re.compile(r"(accepted|pulsing) ([0-9]+)")
# What only a machine, and only an operator, can have done.
MACHINE, REFUNDS = frozenset({"Acked"}), frozenset({"RefundAsked"})


def story(history: Iterable[HistoryEntry], events: frozenset[str] | None = None) -> Iterator[Happening]:
    """The story that the entries tell, which are in order.

    Args:
        events: Only what came of these; None: of all.
    """
    before: State | None = None
    for entry in history:
        if events is not None and entry.event not in events:
            before = entry.state
            continue
        yield Happening(entry.at_ms, _told(entry), None if entry.state == before else entry.state)
        before = entry.state


def _told(entry: HistoryEntry) -> str:
    """What an entry says, in a sentence without its full stop."""
    what = _WHAT.get(entry.event, entry.event)  # of an event that a later version knows, its name
    progress = _PROGRESS.fullmatch(entry.text)
    if entry.event in MACHINE and progress is not None:
        how, number = progress.groups()
        return "the machine has accepted it" if how == "accepted" else f"the machine is pulsing: {number} so far"
    if entry.event in MACHINE and entry.text.startswith("the machine reports "):
        return entry.text
    came = _REPORTED.get(entry.text, entry.text)
    return f"{what}: {came}" if came else what
