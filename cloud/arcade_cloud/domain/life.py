"""The life of an order: `decide(order, event, context)` is the one rule by which an order moves (pure).

    open ──money──▶ funded ──final ack──▶ resolved ──Stripe shows the target──▶ settled
      │               │                      ▲                                     │
      ▼               ▼                      │            a refund fails, a dispute, goodwill
    abandoned      revoking ──final ack, or proven silence                         │
      │                                      ▲                                     │
      └─money, in time─▶ funded              └─────────────────────────────────────┘
    money that belongs to no deliverable order ─▶ returning ──▶ settled

Every decision that has effects also sets `due_at_ms`, so that the timer finds the order again if the process
dies before, between or after them.
"""

from typing import Any

import msgspec

from arcade_cloud.domain import delivering, settlement
from arcade_cloud.domain.decisions import Context, Decision, alert, later
from arcade_cloud.domain.effects import ReadPayment
from arcade_cloud.domain.events import (
    Acked,
    CheckoutFailed,
    CheckoutMade,
    Due,
    Event,
    PaymentRead,
    PaymentReported,
    PlayerReturned,
    RefundAsked,
    Sent,
    Settling,
)
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Alert, Order

# Seconds between repetitions; the last one goes on.
OPEN_READ_BACKOFF_S = (90, 60, 120, 300, 600, 600, 600, 600, 3600)
# Who comes back from the checkout has paid as a rule, and the webhook has told so by then. If not, Stripe is asked
# this soon, but not more often than this: whoever has the order's address may open its page for ever.
RETURNED_READ_S, RETURNED_READS = 3, 3
# A payment that was reported and not read, because Stripe failed or this process died: a player waits for it.
REPORTED_READ_BACKOFF_S = (5, 10, 15, 30, 60, 120, 300, 600, 600, 600, 3600)
# Bank transfers that Stripe calls asynchronous are decided within 14 days at the latest.
OPEN_AT_MOST_S = 14 * 86_400
# A closed order whose payment can't be read is looked at as often as this, so for two weeks and some hours.
READS_AT_MOST = 340
# Reading takes half a minute at the most; an older answer has waited while others went on.
READING_LIFE_MS = 60_000


def decide(order: Order, event: Event, context: Context) -> Decision:
    """What `event` does to `order`: the order as it is to be stored (one version on), and what to do then.

    An event that changes nothing gives back the very same order and no effects.
    """
    decision = _decide(order, event, context)
    if decision.order == order:
        return Decision(order, decision.effects, decision.alerts, decision.text)
    moved = msgspec.structs.replace(decision.order, version=order.version + 1)
    return Decision(moved, decision.effects, decision.alerts, decision.text)


def _decide(order: Order, event: Event, context: Context) -> Decision:
    match event:
        case Due():
            return _due(order, context)
        case CheckoutMade() | CheckoutFailed():
            return _checkout(order, event, context)
        case PaymentReported():
            return _reported(order, event, context)
        case PlayerReturned():
            return _returned(order, context)
        case PaymentRead():
            return _read(order, event, context)
        case Acked():
            return delivering.acked(order, event.ack, context)
        case Sent():
            return delivering.sent(order, event, context)
        case Settling():
            return settlement.result(order, event, context)
        case RefundAsked():
            return _refund_asked(order, event, context)


def _with(order: Order, **changes: Any) -> Order:
    return msgspec.structs.replace(order, **changes)


# --- the timer -------------------------------------------------------------------------------------------


def _due(order: Order, context: Context) -> Decision:
    if order.due_at_ms is None or context.now_ms < order.due_at_ms:
        return Decision(order)
    match order.state:
        case "open":
            return _poll(order, context)
        case "funded":
            return delivering.publish(order, context)
        case "revoking":
            return delivering.revoke(order, context)
        case "resolved" | "returning":
            return settlement.begin(order, context)
        case "abandoned" | "settled":
            return _look_again(order, context)


def _look_again(order: Order, context: Context) -> Decision:
    """Something was reported about a closed order and has not been read back yet, or a refund may have failed."""
    if order.reads >= READS_AT_MOST:
        text = "The payment of this closed order could not be read for two weeks. Look it up at Stripe."
        word = alert(order, "given_up", text, context)
        return Decision(_with(order, reads=0, due_at_ms=None), alerts=(word,), text=text)
    due = later(context, OPEN_READ_BACKOFF_S, order.reads + 1)
    return Decision(_with(order, reads=order.reads + 1, due_at_ms=due), (ReadPayment(),))


def _poll(order: Order, context: Context) -> Decision:
    """Ask Stripe about an open order: its webhook may never come."""
    age_s = (context.now_ms - order.created_at_ms) // 1000
    nothing_to_pay = order.session_id is None and order.payment_intent is None
    if nothing_to_pay and age_s >= context.limits.checkout_life_s:
        return _abandon(order, "no checkout was made")
    if age_s >= OPEN_AT_MOST_S:
        text = "Stripe has not said for two weeks whether this order was paid. Look it up at Stripe."
        abandoned = _abandon(order, text)
        return Decision(abandoned.order, alerts=(alert(order, "undecided", text, context),), text=text)
    due = later(context, _read_backoff_s(order), order.reads + 1)
    polled = _with(order, reads=order.reads + 1, due_at_ms=due)
    return Decision(polled, () if nothing_to_pay else (ReadPayment(),))


def _read_backoff_s(order: Order) -> tuple[int, ...]:
    return OPEN_READ_BACKOFF_S if order.payment_intent is None else REPORTED_READ_BACKOFF_S


def _abandon(order: Order, why: str) -> Decision:
    return Decision(_with(order, state="abandoned", due_at_ms=None, reads=0, note=why), text=why)


# --- money arrives ---------------------------------------------------------------------------------------


def _checkout(order: Order, event: CheckoutMade | CheckoutFailed, context: Context) -> Decision:
    if isinstance(event, CheckoutFailed):
        return _abandon(order, event.reason) if order.state == "open" else Decision(order)
    if order.session_id is not None:
        return Decision(order)
    return Decision(
        _with(
            order,
            session_id=event.session_id,
            checkout_url=event.url,
            checkout_expires_at_ms=event.expires_at_ms,
        ),
        text="the player is sent to the checkout",
    )


def _reported(order: Order, event: PaymentReported, context: Context) -> Decision:
    known = order.payment is not None and (order.payment.has_money or order.payment.status == "canceled")
    if event.good_news and known:
        return Decision(order)
    noted = order
    if order.payment_intent is None and event.payment_intent is not None:
        noted = _with(noted, payment_intent=event.payment_intent)
    if noted.payment_intent is None and noted.session_id is None:
        return Decision(order)  # its checkout's making was never answered: nobody can pay it
    if order.state in {"funded", "revoking"}:
        noted = _with(noted, recheck=True)
    elif order.state in {"open", "abandoned", "settled"}:
        noted = _with(noted, reads=0, due_at_ms=later(context, _read_backoff_s(noted), 1))
    return Decision(noted, (ReadPayment(),), text=event.what)


def _returned(order: Order, context: Context) -> Decision:
    soon = context.now_ms + 1000 * RETURNED_READ_S
    payable = order.state == "open" and order.session_id is not None and order.reads < RETURNED_READS
    if not payable or order.due_at_ms is None or order.due_at_ms <= soon:
        return Decision(order)
    return Decision(_with(order, due_at_ms=soon), text="the player is back from the checkout")


def _read(order: Order, event: PaymentRead, context: Context) -> Decision:
    payment = event.payment
    if payment is not None and order.payment_intent not in (None, payment.payment_intent):
        return Decision(order)  # another payment: fulfilment makes an order of its own for it
    match order.state:
        case "open" | "abandoned":
            return _read_before_money(order, payment, event, context)
        case "funded" | "revoking":
            return _read_while_delivering(order, payment, context)
        case "resolved" | "settled" | "returning" if payment is None:
            return Decision(order)
        case "resolved" | "settled" | "returning":
            if event.read_at_ms is None:  # a webhook that met the order in another state than was thought
                return _reported(order, PaymentReported(payment.payment_intent, "read again"), context)
            outdated = _is_outdated(order, event.read_at_ms, context)
            return Decision(order) if outdated else settlement.step(order, payment, context)


def _is_outdated(order: Order, read_at_ms: int, context: Context) -> bool:
    """Whether a reading that began then may miss what another worker has done since."""
    if context.now_ms - read_at_ms > READING_LIFE_MS:
        return True
    # What Stripe has done is seen by whoever begins to read in the very moment that we know it.
    return order.settle_at_ms is not None and read_at_ms < order.settle_at_ms + (0 if order.settle_over else 1)


def _read_before_money(order: Order, payment: Payment | None, event: PaymentRead, context: Context) -> Decision:
    if payment is not None and payment.has_money:
        return _money(order, payment, context)
    failed = payment is not None and (
        payment.status == "canceled"
        or (event.session == "complete" and payment.status == "requires_payment_method")
    )
    if order.state == "open" and (failed or event.session == "expired"):
        return _abandon(order, "the payment failed" if failed else "nobody paid in time")
    if order.state == "abandoned":
        return Decision(_with(order, due_at_ms=None, reads=0))
    if payment is not None and order.payment_intent is None:
        return Decision(_with(order, payment_intent=payment.payment_intent, payment=payment))
    return Decision(order)


def _money(order: Order, payment: Payment, context: Context) -> Decision:
    paid_at = context.now_ms if payment.paid_at_ms is None else min(payment.paid_at_ms, context.now_ms)
    paid = _with(
        order,
        payment_intent=payment.payment_intent,
        payment=payment,
        paid_at_ms=paid_at,
        held=payment.status == "requires_capture",
        capture_before_ms=payment.capture_before_ms,
        reads=0,
    )
    wrong = ""
    if (payment.amount_minor, payment.currency) != (order.amount_minor, order.currency):
        wrong = "the amount paid is not the price of the order"
    elif payment.kept_minor + payment.capturable_minor < order.amount_minor:
        wrong = "a part of the money is gone already"
    if wrong:
        return settlement.give_back(paid, wrong, context, alert(paid, "wrong_payment", wrong, context))
    if context.now_ms - paid_at >= context.limits.deliver_within_s * 1000:
        return settlement.give_back(paid, "the payment became known too late to be delivered", context)
    return delivering.publish(_with(paid, state="funded", publishes=0), context, "paid")


def _read_while_delivering(order: Order, payment: Payment | None, context: Context) -> Decision:
    if payment is None:
        return Decision(order)
    there = payment.has_money and payment.kept_minor + payment.capturable_minor >= order.amount_minor
    ends_ms = payment.capture_before_ms if order.capture_before_ms is None else order.capture_before_ms
    read = _with(order, payment=payment, recheck=False, money_gone=not there, capture_before_ms=ends_ms)
    alerts = _dispute_alert(order, payment, context)
    if there or order.state == "revoking":
        return Decision(read, alerts=alerts)
    revoking = delivering.begin_revoking(read, "the money went back before the machine had answered", context)
    return Decision(revoking.order, revoking.effects, (*alerts, *revoking.alerts), revoking.text)


def _dispute_alert(order: Order, payment: Payment, context: Context) -> tuple[Alert, ...]:
    if payment.dispute != "open":
        return ()
    return (alert(order, "dispute", "The player disputes the payment; answer it at Stripe.", context),)


# --- the operator ----------------------------------------------------------------------------------------


def can_refund(order: Order, keep_minor: int) -> bool:
    """Whether an operator can have all but `keep_minor` given back: there is money, and more would be kept."""
    return order.state in {"funded", "revoking"} or (
        order.state in {"resolved", "settled"} and max(0, keep_minor) < order.target_minor
    )


def _refund_asked(order: Order, event: RefundAsked, context: Context) -> Decision:
    if not can_refund(order, event.keep_minor):
        return Decision(order)
    text = f"refund by {event.by}: {event.reason}"
    keep = max(0, event.keep_minor)
    match order.state:
        case "funded":
            asked = _with(order, keep_at_most_minor=keep)
            decision = delivering.begin_revoking(asked, text, context)
            return Decision(decision.order, decision.effects, decision.alerts, text)
        case "revoking":
            at_most = keep if order.keep_at_most_minor is None else min(keep, order.keep_at_most_minor)
            return Decision(_with(order, keep_at_most_minor=at_most), text=text)
        case _:
            lowered = _with(
                order,
                state="resolved",
                goodwill_minor=order.goodwill_minor + order.target_minor - keep,
                target_minor=keep,
                settle_attempts=0,
                due_at_ms=context.now_ms,
            )
            decision = settlement.begin(lowered, context)
            return Decision(decision.order, decision.effects, decision.alerts, text)
