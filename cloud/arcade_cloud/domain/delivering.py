"""An order that is paid, until its machine has answered: told, told again, revoked, closed for silence (pure).

A credit is made at its first publish and stays the same in every repetition. Only the machine's final word, its
proven silence or the last resort ends this; so the deadline and the operator's refund do no more than revoke.
"""

from typing import Any

import msgspec

from arcade_cloud.domain import settlement, silence
from arcade_cloud.domain.decisions import Context, Decision, alert, later
from arcade_cloud.domain.effects import Effect, ReadPayment, SendCoinpulse, SendEcho, SendRevoke
from arcade_cloud.domain.events import Outcome, Sent
from arcade_cloud.domain.order import Order, credit_id_of
from arcade_shared.messages import Ack

# Seconds between repetitions; the last one goes on. EMQX Serverless takes 10 publishes a second per client.
PUBLISH_BACKOFF_S = (1, 2, 4, 8, 15)
REVOKE_BACKOFF_S = (1, 2, 4, 8, 15, 30, 60)
# A subscriber's machine is told once: by then no publish can be under way any more, and the word is lost.
UNCONFIRMED_AFTER_S = 60
SENDING = "sending"


def _with(order: Order, **changes: Any) -> Order:
    return msgspec.structs.replace(order, **changes)


# --- the machine is told ---------------------------------------------------------------------------------


def publish(order: Order, context: Context, text: str = "") -> Decision:
    """Send the credit for the first time, or once more; at the deadline begin to revoke it."""
    now = context.now_ms
    deadline = (order.paid_at_ms or 0) + context.limits.deliver_within_s * 1000
    deadline = deadline if order.expires_at_ms is None else order.expires_at_ms
    if order.subscriber and order.last_outcome == SENDING:
        return _unconfirmed(order, context)
    if now >= deadline:
        return begin_revoking(order, "the machine did not take the credits in time", context)
    recheck: tuple[Effect, ...] = (ReadPayment(),) if order.recheck else ()
    if order.credit_id is None:
        heard = "" if order.subscriber else context.installation
        if heard is None or order.installation not in (None, heard):
            why = "the machine was never heard" if heard is None else "another computer is in the machine now"
            waiting = _with(order, due_at_ms=min(now + 2000, deadline))
            return Decision(waiting, recheck, text=text or f"waiting: {why}")
        order = _with(order, credit_id=credit_id_of(order), installation=heard, expires_at_ms=deadline)
    due = min(later(context, PUBLISH_BACKOFF_S, order.publishes + 1), deadline)
    if order.subscriber:
        due = now + 1000 * UNCONFIRMED_AFTER_S
    sent = _with(order, publishes=order.publishes + 1, last_outcome=SENDING, due_at_ms=due)
    return Decision(sent, (SendCoinpulse(), *recheck), text=text)


def sent(order: Order, event: Sent, context: Context) -> Decision:
    """The broker's answer to what was sent. It decides only for a subscriber's machine, which says nothing."""
    if event.what == "coinpulse":
        if order.state != "funded":
            return Decision(order)
        if order.subscriber and event.outcome is Outcome.CONFIRMED:
            return settlement.resolve(order, order.credits, "broker", "the broker delivered it", context)
        if order.subscriber and event.outcome is Outcome.UNKNOWN:
            return _unconfirmed(order, context)
        if event.outcome is Outcome.CONFIRMED:
            return Decision(order)  # as hoped: the next look is due already, and nothing is to be stored
        not_sent = _with(order, last_outcome=event.outcome.value)
        if order.subscriber:  # nobody has it, so it may be sent again soon
            due = later(context, PUBLISH_BACKOFF_S, order.publishes)
            not_sent = _with(
                not_sent, due_at_ms=due if order.expires_at_ms is None else min(due, order.expires_at_ms)
            )
        return Decision(not_sent, text=f"sending: {event.outcome}")
    if order.state != "revoking":
        return Decision(order)
    told = _with(order, last_outcome=event.outcome.value)
    if event.outcome not in silence.CONFIRMED:
        return Decision(told, text=f"revoking: {event.outcome}")
    first = order.revoke_confirmed_at_ms
    told = _with(
        told,
        revoke_confirmed_at_ms=context.now_ms if first is None else first,
        last_revoke_confirmed_at_ms=context.now_ms,
    )
    return Decision(told, (SendEcho(),), text="revoke sent")


def _unconfirmed(order: Order, context: Context) -> Decision:
    """A subscriber's machine, and nobody knows whether it was told: never repeated, the money goes back."""
    word = alert(order, "unconfirmed", "It is unknown whether the credits arrived; the money went back.", context)
    return settlement.resolve(order, 0, "unconfirmed", "unknown whether it arrived", context, word)


# --- the machine answers, or does not --------------------------------------------------------------------


def acked(order: Order, ack: Ack, context: Context) -> Decision:
    """A verified word of some machine. Only the final one of the addressed installation closes the order."""
    if ack.credit_id != order.credit_id:
        return Decision(order)
    if ack.machine_id != order.machine_id:
        text = f"Machine {ack.machine_id} speaks about a credit of {order.machine_id}; it was not listened to."
        return Decision(order, alerts=(alert(order, "wrong_machine", text, context, ack.machine_id),))
    if ack.installation != order.installation:
        text = "Another installation than the addressed one speaks about this order: two devices with one id?"
        return Decision(order, alerts=(alert(order, "wrong_installation", text, context),))
    if max(ack.credits, ack.delivered + ack.uncertain) > order.credits:
        text = f"The machine speaks of {ack.credits} credits where {order.credits} were ordered."
        return Decision(order, alerts=(alert(order, "impossible_ack", text, context),))
    if order.state in {"funded", "revoking"}:
        if ack.final:
            said = _with(order, accepted=True, uncertain=ack.uncertain)
            text = f"the machine reports {ack.delivered} of {order.credits}, {ack.state}" + _because(ack)
            return settlement.resolve(said, ack.delivered, "ack", text, context)
        if ack.state == "unknown":
            return Decision(order)
        progress = _with(order, accepted=True, reported=max(order.reported, ack.delivered))
        return Decision(progress, text="" if progress == order else f"{ack.state} {ack.delivered}")
    if not ack.final or order.delivered is None or ack.delivered in {order.delivered, order.late_word}:
        return Decision(order)
    text = (
        f"The machine says that it delivered {ack.delivered} of {order.credits}; "
        f"the order was closed with {order.delivered} ({order.resolved_by})."
    )
    # The first such word is kept; whoever says ever more of them adds nothing to the records but an alert or two.
    noted = _with(order, late_word=ack.delivered) if order.late_word is None else order
    return Decision(
        noted,
        alerts=(alert(order, "discrepancy", text, context, str(ack.delivered)),),
        text=text,
    )


def _because(ack: Ack) -> str:
    return f" ({ack.reason})" if ack.reason else ""


def begin_revoking(order: Order, why: str, context: Context) -> Decision:
    """Publish no more; ask what became of the credit. `why` is for people."""
    revoking = _with(order, state="revoking", revoking_since_ms=context.now_ms, due_at_ms=context.now_ms, note=why)
    if order.held and order.capture_before_ms is None:  # a webhook does not show when a hold ends
        revoking = _with(revoking, recheck=True)
    decision = revoke(revoking, context)
    return Decision(decision.order, decision.effects, decision.alerts, decision.text or why)


def revoke(order: Order, context: Context) -> Decision:
    """Ask the machine where the credit stands; close the order when its silence is proven."""
    now = context.now_ms
    if order.credit_id is None:
        return settlement.resolve(order, 0, "unsent", "nothing was ever sent to the machine", context)
    if order.subscriber:
        if order.last_outcome == SENDING:
            return _unconfirmed(order, context)
        return settlement.resolve(order, 0, "broker", "the broker never delivered it", context)
    if now >= silence.last_resort_ms(order, context):
        return _silent(order, "last resort", context)
    if silence.is_proven(order, context):
        return _silent(order, "silence", context)
    due = later(context, REVOKE_BACKOFF_S, order.revokes + 1)
    recheck: tuple[Effect, ...] = (ReadPayment(),) if order.recheck else ()
    asked = _with(order, revokes=order.revokes + 1, last_outcome=SENDING, due_at_ms=due)
    return Decision(asked, (SendRevoke(), *recheck))


def _silent(order: Order, by: str, context: Context) -> Decision:
    text = (
        f"The machine never said what became of {order.credits} credits ({by}); "
        f"the order is closed with what it had reported, {order.reported}."
    )
    word = alert(order, "unconfirmed", text, context)
    return settlement.resolve(order, order.reported, by, text, context, word)
