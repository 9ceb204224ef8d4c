"""The payment of an order: until its money has arrived, and what the machine's patience depends on later (pure).

Nothing here knows about machines or pulses. `life` joins these decisions with the credits.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from arcade_cloud.domain.decisions import Context, Notice, Step, later
from arcade_cloud.domain.effects import ReadPayment
from arcade_cloud.domain.events import CheckoutMade, PaymentRead, PaymentReported
from arcade_cloud.domain.limits import Limits, Patience
from arcade_cloud.domain.money import Payment
from arcade_cloud.domain.order import Arrival, CheckoutPage, OrderPayment

# Seconds between reads; the last one repeats.
OPEN_READ_BACKOFF_S = (90, 60, 120, 300, 600, 600, 600, 600, 3600)
# A player who comes back from the checkout has usually paid, and the webhook has usually come by then. If not,
# Stripe is asked this soon, but only so many times: anyone with the order's address may open its page again and
# again.
RETURNED_READ_S, RETURNED_READS = 3, 3
# For a payment that was reported and not read, because Stripe failed or this process died. A player is waiting.
REPORTED_READ_BACKOFF_S = (5, 10, 15, 30, 60, 120, 300, 600, 600, 600, 3600)
# No unpaid order waits longer until Stripe is asked about it.
LONGEST_WAIT_S = max(*OPEN_READ_BACKOFF_S, *REPORTED_READ_BACKOFF_S)
# The bank transfers that Stripe calls asynchronous are decided within 14 days.
OPEN_AT_MOST_S = 14 * 86_400
# An order that nobody paid is kept this long after Stripe has shown that nobody can pay it any more.
UNPAID_KEPT_S = 30 * 86_400
# The payment of a closed order is read in vain at most this often: for two weeks and some hours.
READS_AT_MOST = 340
DISPUTED = Notice("dispute", "The player disputes the payment. Answer the dispute at Stripe.")


def _with(payment: OrderPayment, **changes: Any) -> OrderPayment:
    return msgspec.structs.replace(payment, **changes)


def is_another(payment: OrderPayment | None, payment_intent: str | None) -> bool:
    """Whether the payment intent is certainly not the one that funds the order."""
    known = None if payment is None else payment.payment_intent
    return None not in (known, payment_intent) and known != payment_intent


def was_read_before(shown: Payment | None, payment: OrderPayment) -> bool:
    """Whether what was read is certainly older than what is on record."""
    known = payment.shown
    return shown is not None and known is not None and shown.is_older_than(known)


# --- the timer -------------------------------------------------------------------------------------------


def poll(payment: OrderPayment, created_at_ms: int, context: Context) -> Step[OrderPayment]:
    """Ask Stripe about an open order: the webhook may never come."""
    age_s = (context.now_ms - created_at_ms) // 1000
    nothing_to_pay = payment.checkout is None and payment.payment_intent is None
    if nothing_to_pay and age_s >= context.limits.checkout_life_s:
        return no_checkout(payment, "Stripe created no checkout", context)
    if age_s >= OPEN_AT_MOST_S:
        text = "For two weeks Stripe has not said whether this order was paid. Look up its checkout at Stripe."
        return abandon(payment, text, Notice("undecided", text))
    due = later(context, _read_backoff_s(payment), payment.reads + 1)
    polled = _with(payment, reads=payment.reads + 1, due_at_ms=due)
    return Step(polled, () if nothing_to_pay else (ReadPayment(),))


def look_again(payment: OrderPayment, context: Context) -> Step[OrderPayment]:
    """Read the payment of a closed order: a change was reported, or its refund may have failed."""
    if payment.checkout is None and payment.payment_intent is None:  # a clock was wrong: nothing is to be read
        return _to_be_forgotten(Step(_with(payment, reads=0)), context)
    if payment.reads >= READS_AT_MOST:
        text = "The payment of this closed order could not be read for two weeks. Look up the payment at Stripe."
        return Step(_with(payment, reads=0, due_at_ms=None), notices=(Notice("given_up", text),), text=text)
    due = later(context, OPEN_READ_BACKOFF_S, payment.reads + 1)
    return Step(_with(payment, reads=payment.reads + 1, due_at_ms=due), (ReadPayment(),))


def _read_backoff_s(payment: OrderPayment) -> tuple[int, ...]:
    return OPEN_READ_BACKOFF_S if payment.payment_intent is None else REPORTED_READ_BACKOFF_S


def abandon(payment: OrderPayment, why: str, *notices: Notice) -> Step[OrderPayment]:
    """Give up waiting for a payment. `why` is for people."""
    return Step(_with(payment, stage="abandoned", due_at_ms=None, reads=0), notices=notices, text=why)


def no_checkout(payment: OrderPayment, why: str, context: Context) -> Step[OrderPayment]:
    """Give up, because there is no checkout: nobody was ever sent to one."""
    return _to_be_forgotten(abandon(payment, why), context)


def _to_be_forgotten(step: Step[OrderPayment], context: Context) -> Step[OrderPayment]:
    """The step, with the order due again when it has been kept for long enough."""
    due = context.now_ms + 1000 * UNPAID_KEPT_S
    return Step(_with(step.part, due_at_ms=due), step.effects, step.notices, step.text)


def is_kept_for_a_while(payment: OrderPayment) -> bool:
    """Whether it was abandoned, never paid, and nothing was heard since: it may be waiting to be forgotten."""
    return payment.stage == "abandoned" and payment.arrival is None and not payment.recheck and payment.reads == 0


def is_forgettable(payment: OrderPayment, created_at_ms: int, context: Context) -> bool:
    """Whether the record of an abandoned order that is due may go: nobody paid it, and nothing was heard since.

    Money that comes all the same is unmatched, and goes back.
    """
    shown = payment.shown
    nothing_shown = shown is None or not (shown.has_money or shown.status == "processing")
    # A program that does not forget may have left the order due for another reason; clocks differ a little.
    is_old = context.now_ms - created_at_ms >= 1000 * UNPAID_KEPT_S // 2
    return is_kept_for_a_while(payment) and nothing_shown and is_old


# --- what Stripe says ------------------------------------------------------------------------------------


def checkout_made(payment: OrderPayment, event: CheckoutMade) -> Step[OrderPayment]:
    """Note the payment page. The first one counts."""
    if payment.checkout is not None:
        return Step(payment)
    page = CheckoutPage(session_id=event.session_id, url=event.url, expires_at_ms=event.expires_at_ms)
    return Step(_with(payment, checkout=page), text="the player is sent to the checkout")


def reported(
    payment: OrderPayment, event: PaymentReported, *, delivering: bool, closing: bool, context: Context
) -> Step[OrderPayment]:
    """Read back what Stripe reported: only then does it count.

    Args:
        delivering: A machine has the order; the next step reads Stripe as well.
        closing: The order is being settled, which reads Stripe anyway.
    """
    shown = payment.shown
    if event.good_news and shown is not None and (shown.has_money or shown.status == "canceled"):
        return Step(payment)
    noted = payment
    if payment.payment_intent is None and event.payment_intent is not None:
        noted = _with(noted, payment_intent=event.payment_intent)
    if noted.payment_intent is None and noted.checkout is None:
        return Step(payment)  # Stripe never answered for the checkout: nobody can pay it
    if delivering:
        noted = _with(noted, recheck=True)
    elif not closing:
        is_abandoned = payment.stage == "abandoned"  # its record must not go before the payment has been read
        due = later(context, _read_backoff_s(noted), 1)
        noted = _with(noted, recheck=noted.recheck or is_abandoned, reads=0, due_at_ms=due)
    return Step(noted, (ReadPayment(),), text=event.what)


def returned(payment: OrderPayment, context: Context) -> Step[OrderPayment]:
    """The player is back from the checkout, and no webhook has come: ask Stripe soon."""
    soon = context.now_ms + 1000 * RETURNED_READ_S
    payable = payment.stage == "open" and payment.checkout is not None and payment.reads < RETURNED_READS
    if not payable or payment.due_at_ms is None or payment.due_at_ms <= soon:
        return Step(payment)
    return Step(_with(payment, due_at_ms=soon), text="the player is back from the checkout")


def read_without_money(payment: OrderPayment, event: PaymentRead, context: Context) -> Step[OrderPayment]:
    """Handle a reading that shows no money: go on waiting, or give up."""
    shown = event.payment
    failed = shown is not None and (
        shown.status == "canceled" or (event.session == "complete" and shown.status == "requires_payment_method")
    )
    if payment.stage == "open" and failed:
        return abandon(payment, "the payment failed")
    if payment.stage == "open" and event.session == "expired":
        return _to_be_forgotten(abandon(payment, "nobody paid in time"), context)
    if payment.stage == "abandoned":
        still = Step(_with(payment, recheck=False, due_at_ms=None, reads=0))
        return _to_be_forgotten(still, context) if event.session == "expired" and not failed else still
    known = payment.shown
    # The player reads what became of the payment, so what a bank does with it is put on record too.
    if shown is not None and (known is None or shown.status != known.status):
        return Step(_with(payment, payment_intent=payment.payment_intent or shown.payment_intent, shown=shown))
    return Step(payment)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Money that has arrived.

    Attributes:
        why_not: Why nothing may be delivered for it; empty if it may.
        wrong: A person should look at it.
    """

    payment: OrderPayment
    paid_at_ms: int
    why_not: str = ""
    wrong: bool = False


def arrived(payment: OrderPayment, shown: Payment, context: Context) -> tuple[OrderPayment, Arrival]:
    """The payment with money that a reading or an unambiguous webhook shows, and how it arrived."""
    arrival = Arrival(
        paid_at_ms=context.now_ms if shown.paid_at_ms is None else min(shown.paid_at_ms, context.now_ms),
        held=shown.status == "requires_capture",
        capture_before_ms=shown.capture_before_ms,
    )
    there = _with(
        payment,
        payment_intent=shown.payment_intent,
        shown=shown,
        arrival=arrival,
        recheck=False,
        reads=0,
        due_at_ms=None,
    )
    return there, arrival


def arrive(payment: OrderPayment, shown: Payment, context: Context) -> Arrived:
    """Accept the money for the order's credits, or to give it back."""
    there, arrival = arrived(payment, shown, context)
    paid_at_ms = arrival.paid_at_ms
    why_not, wrong = "", True
    if (shown.amount_minor, shown.currency) != (payment.amount_minor, payment.currency):
        why_not = "the amount paid is not the price of the order"
    elif not _is_whole(payment, shown):
        why_not = "part of the money is gone already"
    elif context.now_ms - paid_at_ms >= context.limits.deliver_within_s * 1000:
        why_not, wrong = "the payment became known too late to deliver the credits", False
    elif _ends_too_soon(shown, paid_at_ms, context.limits):
        why_not = "the hold ends too soon to deliver the credits and to capture it then"
    return Arrived(_with(there, stage="returning" if why_not else "funded"), paid_at_ms, why_not, wrong)


def arrive_captured(payment: OrderPayment, shown: Payment, context: Context) -> OrderPayment:
    """Accept a hold that this cloud has captured already, though the record does not know it."""
    there, arrival = arrived(payment, shown, context)
    if payment.arrival is None:
        arrival = msgspec.structs.replace(arrival, held=True)
    return _with(there, stage="funded", arrival=payment.arrival or arrival, recheck=False)


def read_while_delivering(payment: OrderPayment, shown: Payment) -> tuple[Step[OrderPayment], bool]:
    """Handle a reading while machines work. Also says whether all of the money is still there."""
    arrival = payment.arrival
    if arrival is not None and arrival.capture_before_ms is None:
        arrival = msgspec.structs.replace(arrival, capture_before_ms=shown.capture_before_ms)
    read = _with(payment, shown=shown, recheck=False, arrival=arrival)
    there = shown.has_money and _is_whole(payment, shown)
    return Step(read, notices=(DISPUTED,) if shown.dispute == "open" else ()), there


def _is_whole(payment: OrderPayment, shown: Payment) -> bool:
    return shown.kept_minor + shown.capturable_minor >= payment.amount_minor


# --- what a hold means for waiting -----------------------------------------------------------------------


def patience(payment: OrderPayment | None, limits: Limits) -> Patience:
    """How long a machine may be silent, depending on whether the money is held or taken."""
    arrival = None if payment is None else payment.arrival
    if arrival is None:
        return Patience(limits.silence_limit_s)
    silence_s = limits.hold_silence_limit_s if arrival.held else limits.silence_limit_s
    if arrival.capture_before_ms is None:
        return Patience(silence_s)
    life_ms, least_ms = arrival.capture_before_ms - arrival.paid_at_ms, limits.delivery_ms
    half_ms, most_ms = max(life_ms // 2, least_ms), max(life_ms * 3 // 4, least_ms)
    return Patience(silence_s, arrival.paid_at_ms + half_ms, arrival.paid_at_ms + most_ms)


def _ends_too_soon(shown: Payment, paid_at_ms: int, limits: Limits) -> bool:
    """Whether half of the hold's life does not suffice to deliver and to hear of it."""
    if shown.status != "requires_capture" or shown.capture_before_ms is None:
        return False
    return (shown.capture_before_ms - paid_at_ms) // 2 < limits.delivery_ms


def end_unknown(payment: OrderPayment | None) -> bool:
    """Whether it is a hold whose end is not known yet: a webhook does not show it."""
    arrival = None if payment is None else payment.arrival
    return arrival is not None and arrival.held and arrival.capture_before_ms is None


def wants_reading(payment: OrderPayment) -> OrderPayment:
    """The payment, marked to be read again at the next opportunity."""
    return _with(payment, recheck=True)
