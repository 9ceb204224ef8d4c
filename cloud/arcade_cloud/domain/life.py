"""The life of an order: `decide(order, event, context)` is the one function that moves an order (pure).

    open ──money──▶ funded ──final ack──▶ resolved ──Stripe shows the target──▶ settled
      │               │                      ▲                                     │
      ▼               ▼                      │            a refund fails, a dispute, goodwill
    abandoned      revoking ──final ack, or proven silence                         │
      │                                      ▲                                     │
      └─money, in time─▶ funded              └─────────────────────────────────────┘
    money that belongs to no deliverable order ─▶ returning ──▶ settled

Each event is handled by the part that it is about: `payment` knows nothing about pulses, `credit` nothing about
money. One rule joins them here: the target is the price of what was delivered, less goodwill, and the order is
settled once every credit is resolved and no more may be drawn.

Every decision with effects also leaves the order due. So the timer finds it again if the process dies before,
between or after them.
"""

from typing import Any

import msgspec

from arcade_cloud.domain import credit as credits
from arcade_cloud.domain import payment as payments
from arcade_cloud.domain import settlement
from arcade_cloud.domain import tab as tabs
from arcade_cloud.domain.alerts import Alert, alert
from arcade_cloud.domain.clocks import without_future
from arcade_cloud.domain.decisions import Context, Decision, Notice, Step
from arcade_cloud.domain.effects import ReadPayment
from arcade_cloud.domain.events import (
    Acked,
    CheckoutFailed,
    CheckoutMade,
    CloseAsked,
    Drawn,
    Due,
    Event,
    FreshenAsked,
    PaymentRead,
    PaymentReported,
    PlayerReturned,
    RefundAsked,
    Sent,
    SettlementAttempted,
    TimeAsked,
)
from arcade_cloud.domain.money import Payment, currency_of
from arcade_cloud.domain.order import Books, ClosedBy, Credit, Delivery, Order, OrderPayment, credit_id_of
from arcade_cloud.domain.refunds import back_of_play_minor, can_refund


def decide(order: Order, event: Event, context: Context) -> Decision:
    """Decide what `event` does to `order`.

    Returns:
        The order to store, with the next version, and the effects to perform after that. If the event changes
        nothing, the order is the given one.
    """
    # To a clock that is behind, all that others have written lies in the future.
    known = order
    if context.clock == "right":
        known = without_future(order, context.now_ms, tab_fresh_s=context.limits.tab_fresh_s)
    decision = _decide(known, event, context)
    if decision.order == order or _as_in_form_1(decision.order) == order:
        return Decision(order, decision.effects, decision.alerts, decision.text, decision.forget)
    moved = _with(decision.order, version=order.version + 1)
    return Decision(moved, decision.effects, decision.alerts, decision.text)


def _as_in_form_1(order: Order) -> Order:
    """The order without what form 1 does not keep. Learning that is no step: there each reading would be one."""
    payment = order.payment
    if payment is None or payment.shown is None:
        return order
    shown = msgspec.structs.replace(payment.shown, method=None, capture_mark=None)
    return _with(order, payment=msgspec.structs.replace(payment, shown=shown))


def _decide(order: Order, event: Event, context: Context) -> Decision:
    match event:
        case Due():
            return _due(order, context)
        case Acked() | Sent() | TimeAsked():
            return _about_credit(order, event, context)
        case RefundAsked():
            return _refund_asked(order, event, context)
        case Drawn():
            return _drawn(order, event, context)
        case FreshenAsked():
            return _freshened(order, context)
        case CloseAsked():
            return _closed(order, event.by, context)
    payment = order.payment
    if payment is None:
        return Decision(order)  # nobody pays for a grant
    match event:
        case CheckoutMade():
            return _paying(order, payments.checkout_made(payment, event), context)
        case CheckoutFailed():
            is_open = order.state == "open"
            return (
                _paying(order, payments.no_checkout(payment, event.reason, context), context)
                if is_open
                else Decision(order)
            )
        case PaymentReported():
            return _reported(order, payment, event, context)
        case PlayerReturned():
            return _paying(order, payments.returned(payment, context), context)
        case PaymentRead():
            return _read(order, payment, event, context)
        case SettlementAttempted():
            return settlement.attempted(order, event, context)


def _with(order: Order, **changes: Any) -> Order:
    return msgspec.structs.replace(order, **changes)


def _paying(order: Order, step: Step[OrderPayment], context: Context) -> Decision:
    """The order with a step of its payment applied."""
    abandoned = step.part.stage == "abandoned" and order.state != "abandoned"
    paying = _with(order, payment=step.part, note=step.text if abandoned else order.note)
    return Decision(paying, step.effects, _alerts(order, step.notices, context), step.text)


def _alerts(order: Order, notices: tuple[Notice, ...], context: Context, which: str = "") -> tuple[Alert, ...]:
    """The notices as alerts about this order. `which` tells later credits from the first."""
    return tuple(alert(n.kind, order.order_id, n.text, context.now_ms, which, n.which) for n in notices)


# --- credits ---------------------------------------------------------------------------------------------


def _about_credit(order: Order, event: Acked | Sent | TimeAsked, context: Context) -> Decision:
    credit_id = event.ack.credit_id if isinstance(event, Acked) else event.credit_id
    for index, credit in enumerate(order.credits):
        if credit.command is not None and credit.command.credit_id == credit_id:
            match event:
                case Acked():
                    step = credits.acked(credit, event.ack, context)
                case Sent():
                    step = credits.sent(credit, event, context)
                case TimeAsked():
                    step = credits.time_asked(credit, payments.patience(order.payment, context.limits), context)
            return _delivered(order, index, step, context)
    return Decision(order)


def _delivered(order: Order, index: int, step: Step[Credit], context: Context) -> Decision:
    """The order with a step of one credit applied. If that resolves the last credit, settlement begins."""
    draw = order.credits[index].draw
    which = "" if draw is None else draw.token
    alerts = _alerts(order, step.notices, context, which)
    moved = _with(order, credits=(*order.credits[:index], step.part, *order.credits[index + 1 :]))
    was_under_way, was_revoking = order.credits[index].under_way, order.credits[index].is_revoking
    if step.part.is_revoking and was_under_way and not was_revoking:
        moved = _with(moved, note=step.text)
        if moved.payment is not None and payments.end_unknown(moved.payment):
            moved = _with(moved, payment=payments.wants_reading(moved.payment))
    if not was_under_way or step.part.under_way:
        return Decision(moved, step.effects, alerts, step.text)
    moved = _with(moved, note=step.text)
    return _settling(Decision(moved, step.effects, alerts, step.text), context)


def _settling(decision: Decision, context: Context) -> Decision:
    """The decision, with settlement begun if every credit is resolved and no more may be drawn."""
    order = decision.order
    if order.is_open_tab or any(credit.under_way for credit in order.credits):
        return decision
    begun = settlement.begin(_with(order, books=_books(order)), context)
    return Decision(
        begun.order, (*decision.effects, *begun.effects), (*decision.alerts, *begun.alerts), decision.text
    )


def _books(order: Order) -> Books:
    """What is kept once every credit is resolved: the one rule that joins delivery and money."""
    earned, at_most = order.earned_minor, order.books.keep_at_most_minor
    target = earned - order.forgiven_minor
    target = target if at_most is None else min(target, currency_of(order.currency).rounded_down(at_most))
    return Books(target_minor=target, keep_at_most_minor=at_most, goodwill_minor=earned - target)


def _revoke_all(order: Order, why: str, context: Context) -> Decision:
    """Revoke every credit that is under way and not revoked yet."""
    decision = Decision(order)
    for index, credit in enumerate(order.credits):
        if credit.under_way and not credit.is_revoking:
            patience = payments.patience(decision.order.payment, context.limits)
            step = credits.begin_revoking(credit, why, patience, context)
            decision = _joined(decision, _and_reading(_delivered(decision.order, index, step, context)))
    return decision


def _joined(first: Decision, then: Decision) -> Decision:
    texts = "; ".join(filter(None, (first.text, then.text)))
    return Decision(then.order, (*first.effects, *then.effects), (*first.alerts, *then.alerts), texts)


def _and_reading(decision: Decision) -> Decision:
    """Add a reading of the payment if it changed at Stripe while a machine works."""
    order = decision.order
    if order.payment is None or not order.payment.recheck or order.state not in {"funded", "revoking"}:
        return decision
    return Decision(order, (*decision.effects, ReadPayment()), decision.alerts, decision.text)


# --- the timer -------------------------------------------------------------------------------------------


def _due(order: Order, context: Context) -> Decision:
    if order.due_at_ms is None or context.now_ms < order.due_at_ms:
        return Decision(order)
    if order.payment is not None:
        match order.state:
            case "open":
                return _paying(order, payments.poll(order.payment, order.created_at_ms, context), context)
            case "abandoned" if payments.is_forgettable(order.payment, order.created_at_ms, context):
                return Decision(order, forget=True)
            case "abandoned" | "settled":
                return _paying(order, payments.look_again(order.payment, context), context)
    if order.state in {"resolved", "returning"}:
        return settlement.begin(order, context)
    decision = Decision(order)
    for index in range(len(order.credits)):
        decision = _joined(decision, _credit_due(decision.order, index, context))
    return _and_reading(_joined(decision, _tab_due(decision.order, context)))


def _credit_due(order: Order, index: int, context: Context) -> Decision:
    credit = order.credits[index]
    delivery = credit.delivery
    if delivery is None or delivery.due_at_ms is None or context.now_ms < delivery.due_at_ms:
        return Decision(order)
    return _delivered(order, index, _next_step(order, credit, delivery, context), context)


def _next_step(order: Order, credit: Credit, delivery: Delivery, context: Context) -> Step[Credit]:
    """What the timer does with a credit that is under way."""
    patience = payments.patience(order.payment, context.limits)
    if delivery.revoking is not None:
        return credits.revoke(credit, patience, context)
    return credits.publish(credit, credit_id_of(order, credit), patience, context)


# --- money -----------------------------------------------------------------------------------------------


def _reported(order: Order, payment: OrderPayment, event: PaymentReported, context: Context) -> Decision:
    step = payments.reported(
        payment,
        event,
        delivering=order.state in {"funded", "revoking"},
        closing=order.state in {"resolved", "returning"},
        context=context,
    )
    noted = _paying(order, step, context)
    if not order.is_open_tab or not noted.effects:
        return noted
    soon = tabs.not_later(order, tabs.with_next_look(noted.order, context, is_asked=True))
    return Decision(soon, noted.effects, noted.alerts, noted.text)


def _read(order: Order, payment: OrderPayment, event: PaymentRead, context: Context) -> Decision:
    shown = event.payment
    if shown is not None and payments.is_another(payment, shown.payment_intent):
        return Decision(order)  # another payment gets an order of its own
    if event.read_at_ms is not None and payments.was_read_before(shown, payment):
        return Decision(order)  # it was read before what is on record, and comes after it
    if order.tab is None and shown is not None and order.state in {"open", "abandoned", "funded", "revoking"}:
        captured = _captured_before(order, payment, shown, context)
        if captured is not None:
            return captured
    if order.tab is not None and shown is not None and event.read_at_ms is None and shown.has_money:
        # What a webhook shows opens no tab and proves no hold: it does not say when the hold ends.
        return _reported(order, payment, PaymentReported(shown.payment_intent, "money has arrived"), context)
    match order.state:
        case "open" | "abandoned":
            if shown is not None and shown.has_money and order.tab is not None and event.read_at_ms is not None:
                return _tab_money(order, payment, shown, event.read_at_ms, context)
            if shown is not None and shown.has_money:
                return _money(order, payment, shown, context)
            return _paying(order, payments.read_without_money(payment, event, context), context)
        case "funded" | "revoking":
            if shown is None:
                return Decision(order)
            if order.tab is not None:
                return _tab_read(order, payment, shown, event.read_at_ms, context)
            return _read_while_delivering(order, payment, shown, context)
    if shown is None:
        return Decision(order)
    if event.read_at_ms is None:  # a webhook; the order has moved on since it was loaded
        return _reported(order, payment, PaymentReported(shown.payment_intent, "read again"), context)
    outdated = settlement.is_outdated(order, event.read_at_ms, event.acts, context)
    return Decision(order) if outdated else settlement.step(order, shown, context)


def _money(order: Order, payment: OrderPayment, shown: Payment, context: Context) -> Decision:
    """Money has arrived. It draws the order's credits, or goes back."""
    arrived = payments.arrive(payment, shown, context)
    paid = _with(order, payment=arrived.payment)
    if arrived.why_not:
        wrong = (Notice("wrong_payment", f"The money goes back: {arrived.why_not}."),) if arrived.wrong else ()
        returning = settlement.begin(_with(paid, note=arrived.why_not), context)
        alerts = (*_alerts(order, wrong, context), *returning.alerts)
        return Decision(returning.order, returning.effects, alerts, arrived.why_not)
    drawn = Delivery(drawn_at_ms=arrived.paid_at_ms, due_at_ms=context.now_ms)
    drawn_all = tuple(msgspec.structs.replace(credit, delivery=drawn) for credit in paid.credits)
    decision = Decision(_with(paid, credits=drawn_all), text="paid")
    for index in range(len(drawn_all)):
        decision = _joined(decision, _credit_due(decision.order, index, context))
    return decision


def _captured_before(order: Order, payment: OrderPayment, shown: Payment, context: Context) -> Decision | None:
    """Close an order whose record is older than its capture: it was delivered as far as was captured for.

    None: there is no such capture. A capture is decided only once every credit is resolved, so nothing of the
    order can be pulsed any more.
    """
    target = settlement.unknown_capture(order, shown, context)
    if target is None or (shown.amount_minor, shown.currency) != (payment.amount_minor, payment.currency):
        return None
    arrived = payments.arrive_captured(payment, shown, context)
    credits_there, left = [], min(target, order.amount_minor)
    for credit in order.credits:
        paid_at_ms = context.now_ms if arrived.arrival is None else arrived.arrival.paid_at_ms
        there = credits.found_delivered(credit, credit.paid_by(left, order.currency), paid_at_ms, context)
        left = max(0, left - there.earned_minor(order.currency))
        credits_there.append(there)
    closed = _with(order, payment=arrived, credits=tuple(credits_there))
    keep = min(target, _books(closed).target_minor)
    books = msgspec.structs.replace(order.books, target_minor=keep, goodwill_minor=closed.earned_minor - keep)
    decision = settlement.step(settlement.knowing(_with(closed, books=books)), shown, context)
    text = "; ".join(filter(None, ("captured before an older database was put back", decision.text)))
    told = settlement.captured_alert(closed, target, context)
    return Decision(_with(decision.order, note=text), decision.effects, (told, *decision.alerts), text)


def _read_while_delivering(order: Order, payment: OrderPayment, shown: Payment, context: Context) -> Decision:
    step, is_there = payments.read_while_delivering(payment, shown)
    read = _paying(order, step, context)
    if is_there or order.state == "revoking":
        return read
    why = "the money went back before the machine answered"
    return _joined(read, _revoke_all(read.order, why, context))


# --- the tab ---------------------------------------------------------------------------------------------


def _tab_money(order: Order, payment: OrderPayment, shown: Payment, read_at_ms: int, context: Context) -> Decision:
    """A reading shows money for a tab that is not open yet. It opens the tab, or goes back."""
    if settlement.unknown_capture(order, shown, context) is not None:
        # An older database was put back: what the record cannot explain stands, and is shown.
        there = _with(order, payment=payments.arrive_captured(payment, shown, context))
        return settlement.step(tabs.closed(there, "restored", context), shown, context)
    arrived, arrival = payments.arrived(payment, shown, context)
    why_not, is_wrong = tabs.why_not_opened(order, shown, arrival, context)
    if why_not:
        wrong = (Notice("wrong_payment", f"The money goes back: {why_not}."),) if is_wrong else ()
        back = _with(order, payment=msgspec.structs.replace(arrived, stage="returning"), note=why_not)
        returning = settlement.begin(back, context)
        return Decision(
            returning.order, returning.effects, (*_alerts(order, wrong, context), *returning.alerts), why_not
        )
    funded = _with(order, payment=msgspec.structs.replace(arrived, stage="funded"), note="")
    return Decision(tabs.opened(funded, read_at_ms, context), text="the tab is open")


def _tab_read(
    order: Order, payment: OrderPayment, shown: Payment, read_at_ms: int | None, context: Context
) -> Decision:
    """A reading while a tab is open, or while machines work on one that is closed."""
    step, _ = payments.read_while_delivering(payment, shown)
    read = _paying(order, step, context)
    if tabs.stands(payment, shown) and read_at_ms is not None:
        return Decision(tabs.read(read.order, read_at_ms, context), read.effects, read.alerts, read.text)
    is_restored = settlement.unknown_capture(order, shown, context) is not None
    closed = _joined(read, _closed(read.order, "restored" if is_restored else "hold", context))
    if order.state == "revoking":
        return closed
    return _joined(closed, _revoke_all(closed.order, tabs.closed_text("hold"), context))


def _drawn(order: Order, event: Drawn, context: Context) -> Decision:
    """Draw a credit on a tab, if all conditions hold: nothing can come between them and this step."""
    draw = event.credit.draw
    is_drawn = draw is not None and tabs.credit_drawn_by(order, draw.token) is not None
    if order.tab is None or is_drawn or tabs.why_not_drawn(order, event.credit, event.currency, context):
        return Decision(order)
    on_tab = tabs.drawn(order, event.credit, context)
    published = _credit_due(on_tab, len(on_tab.credits) - 1, context)
    text = f"{event.credit.count} drawn at machine {event.credit.machine_id}"
    return Decision(published.order, published.effects, published.alerts, text)


def _freshened(order: Order, context: Context) -> Decision:
    if not order.is_open_tab or tabs.is_fresh(order, context.now_ms, context.limits):
        return Decision(order)
    return Decision(tabs.with_next_look(order, context, is_asked=True), (ReadPayment(),))


def _closed(order: Order, by: ClosedBy, context: Context) -> Decision:
    """Close a tab. What is under way runs to its own end, and then the money moves, once.

    One that is not open yet never opens: what is held for it later is let go.
    """
    if not order.can_be_closed:
        return Decision(order)
    shut, was_open = tabs.closed(order, by, context), order.is_open_tab
    decision = Decision(shut, text=shut.note)
    return _settling(decision, context) if was_open else decision


def _tab_due(order: Order, context: Context) -> Decision:
    tab = tabs.of(order)
    if tab is None or tab.due_at_ms is None or context.now_ms < tab.due_at_ms:
        return Decision(order)
    over = tabs.why_over(order, context.now_ms, context.limits)
    if over is not None and context.clock != "wrong":
        return _closed(order, over, context)
    return Decision(tabs.with_next_look(order, context, is_asked=True), (ReadPayment(),))


# --- the operator ----------------------------------------------------------------------------------------


def _refund_asked(order: Order, event: RefundAsked, context: Context) -> Decision:
    if event.play is not None:
        return _play_refund(order, event.play, f"refund by {event.by}: {event.reason}", context)
    if not can_refund(order, event.keep_minor):
        return Decision(order)
    text = f"refund by {event.by}: {event.reason}"
    keep = currency_of(order.currency).rounded_down(max(0, event.keep_minor))
    if order.state in {"funded", "revoking"}:
        closed = _closed(_keeping_at_most(order, keep), "operator", context)
        asked = _joined(closed, _revoke_all(closed.order, text, context))
        return Decision(asked.order, asked.effects, asked.alerts, text)
    return _lowered(order, keep, text, context)


def _lowered(order: Order, keep_minor: int, text: str, context: Context) -> Decision:
    """Have Stripe show that less is kept of an order whose credits are all resolved."""
    books, settled = order.books, order.settlement
    lowered = _with(
        order,
        payment=None if order.payment is None else msgspec.structs.replace(order.payment, due_at_ms=None),
        books=msgspec.structs.replace(
            books, goodwill_minor=books.goodwill_minor + books.target_minor - keep_minor, target_minor=keep_minor
        ),
        settlement=msgspec.structs.replace(settled, done=False, attempts=0, due_at_ms=context.now_ms),
    )
    decision = settlement.begin(settlement.knowing(lowered), context)
    return Decision(decision.order, decision.effects, decision.alerts, text)


def _play_refund(order: Order, play: int, text: str, context: Context) -> Decision:
    """Give back one play on a tab. The others, and the tab itself, go on."""
    back_minor = back_of_play_minor(order, play)
    if not back_minor:
        return Decision(order)
    index, credit = play - 1, order.credits[play - 1]
    given = msgspec.structs.replace(credit, goodwill_minor=credit.goodwill_minor + back_minor)
    forgiven = _with(order, credits=(*order.credits[:index], given, *order.credits[play:]))
    if order.state not in {"funded", "revoking"}:
        return _lowered(forgiven, max(0, order.books.target_minor - back_minor), text, context)
    if not credit.under_way or credit.is_revoking:
        return Decision(forgiven, text=text)
    patience = payments.patience(order.payment, context.limits)
    stopped = _delivered(forgiven, index, credits.begin_revoking(given, text, patience, context), context)
    return Decision(stopped.order, stopped.effects, stopped.alerts, text)


def _keeping_at_most(order: Order, keep_minor: int) -> Order:
    """The order with the most that is to be kept of it, never more than was asked before."""
    before = order.books.keep_at_most_minor
    at_most = keep_minor if before is None else min(before, keep_minor)
    return _with(order, books=msgspec.structs.replace(order.books, keep_at_most_minor=at_most))
