"""A drawn credit, until it is resolved: published, revoked, closed by an ack or by silence (pure).

Nothing here knows about money, except that the kind of payment bounds the machine's silence (`Patience`). A
command is made at the first publish and stays the same in every repetition. Only a final ack, proven silence or
the last resort ends a delivery. The deadline and an operator's refund only revoke.
"""

from typing import Any, Literal

import msgspec

from arcade_cloud.domain.decisions import Context, Notice, Step, later
from arcade_cloud.domain.effects import AskTime, SendCoinpulse, SendEcho, SendRevoke
from arcade_cloud.domain.events import Outcome, Sent
from arcade_cloud.domain.limits import SKEW_MS, Patience
from arcade_cloud.domain.order import Command, Credit, Delivery, Resolution, ResolvedBy, Revoking, Sending
from arcade_cloud.errors import InvariantBroken
from arcade_shared.cabinet import NOT_REGISTERED
from arcade_shared.messages import Ack

# Seconds between publishes; the last one repeats. EMQX Serverless takes 10 publishes a second per client.
PUBLISH_BACKOFF_S = (1, 2, 4, 8, 15)
REVOKE_BACKOFF_S = (1, 2, 4, 8, 15, 30, 60)
# A subscriber machine is told once. After this time no publish can be under way, and its outcome stays unknown.
UNCONFIRMED_AFTER_S = 60
# No credit under way waits longer for its next step.
LONGEST_WAIT_S = max(*PUBLISH_BACKOFF_S, *REVOKE_BACKOFF_S, UNCONFIRMED_AFTER_S)
SENDING: Sending = "sending"
CONFIRMED = frozenset({Outcome.CONFIRMED.value, Outcome.NOBODY.value})


def _with(credit: Credit, **changes: Any) -> Credit:
    """The credit with its delivery changed."""
    return msgspec.structs.replace(credit, delivery=msgspec.structs.replace(_delivery(credit), **changes))


def _delivery(credit: Credit) -> Delivery:
    if credit.delivery is None:
        raise InvariantBroken(f"a credit of machine {credit.machine_id} has no delivery: it was never drawn")
    return credit.delivery


# --- publishing ------------------------------------------------------------------------------------------


def publish(credit: Credit, credit_id: str, patience: Patience, context: Context) -> Step[Credit]:
    """Publish the credit for the first time or again. At the deadline, begin to revoke it.

    Args:
        credit_id: The id that it gets with the first publish.
    """
    now, delivery = context.now_ms, _delivery(credit)
    command = delivery.command
    deadline_ms = delivery.drawn_at_ms + context.limits.deliver_within_s * 1000
    deadline_ms = deadline_ms if command is None else command.expires_at_ms
    if credit.subscriber and delivery.last_sent == SENDING:
        return _unconfirmed(credit, context)
    if now >= deadline_ms:
        return begin_revoking(credit, "the machine did not take the credits in time", patience, context)
    if command is None:
        current = "" if credit.subscriber else context.installations.get(credit.machine_id)
        if current is None or credit.ready_installation not in (None, current):
            why = "the machine has never connected" if current is None else "the machine has another Pi now"
            return Step(_with(credit, due_at_ms=min(now + 2000, deadline_ms)), text=f"waiting: {why}")
        command = Command(credit_id=credit_id, installation=current, expires_at_ms=deadline_ms)
    due = min(later(context, PUBLISH_BACKOFF_S, delivery.publishes + 1), deadline_ms)
    if credit.subscriber:
        due = now + 1000 * UNCONFIRMED_AFTER_S
    sent = _with(credit, command=command, publishes=delivery.publishes + 1, last_sent=SENDING, due_at_ms=due)
    return Step(sent, (SendCoinpulse(command.credit_id),))


def sent(credit: Credit, event: Sent, context: Context) -> Step[Credit]:
    """Handle the broker's answer. It decides only for a subscriber machine, which sends no acks."""
    delivery = _delivery(credit)
    if delivery.resolution is not None:
        return Step(credit)
    if event.what == "coinpulse":
        overtaken = delivery.revoking is not None
        return Step(credit) if overtaken else _coinpulse_sent(credit, delivery, event.outcome, context)
    if delivery.revoking is None:
        return Step(credit)
    told = _with(credit, last_sent=event.outcome.value)
    if event.outcome.value not in CONFIRMED:
        return Step(told, text=f"revoking: {event.outcome}")
    first_ms, at_ms = delivery.revoking.first_confirmed_at_ms, max(context.true_ms, delivery.revoking.since_ms)
    confirmed = msgspec.structs.replace(
        delivery.revoking,
        first_confirmed_at_ms=at_ms if first_ms is None else first_ms,
        last_confirmed_at_ms=at_ms,
    )
    return Step(_with(told, revoking=confirmed), (SendEcho(),), text="revoke sent")


def _coinpulse_sent(credit: Credit, delivery: Delivery, outcome: Outcome, context: Context) -> Step[Credit]:
    if credit.subscriber and outcome is Outcome.CONFIRMED:
        return _resolve(credit, credit.count, "broker", "the broker delivered the credits", context)
    if credit.subscriber and outcome is Outcome.UNKNOWN:
        return _unconfirmed(credit, context)
    if outcome is Outcome.CONFIRMED:
        return Step(credit)  # as hoped: the next publish is already due, so there is nothing to store
    not_sent = _with(credit, last_sent=outcome.value)
    if credit.subscriber:  # nobody has received it, so it may be sent again soon
        due = later(context, PUBLISH_BACKOFF_S, delivery.publishes)
        command = delivery.command
        not_sent = _with(not_sent, due_at_ms=due if command is None else min(due, command.expires_at_ms))
    return Step(not_sent, text=f"sending: {outcome}")


def _unconfirmed(credit: Credit, context: Context) -> Step[Credit]:
    """Close a credit of a subscriber machine that may or may not have received it. It is never repeated."""
    text = "Nobody knows whether the credits reached the machine. The money goes back. Look at the machine."
    return _resolve(credit, 0, "unconfirmed", text, context, Notice("unconfirmed", text))


# --- acks, revokes, silence ------------------------------------------------------------------------------


def acked(credit: Credit, ack: Ack, context: Context) -> Step[Credit]:
    """Handle a verified ack. Only a final ack of the addressed installation resolves the credit."""
    delivery = _delivery(credit)
    if ack.machine_id != credit.machine_id:
        text = f"Machine {ack.machine_id} sent an ack for a credit of {credit.machine_id}. The ack was ignored."
        return Step(credit, notices=(Notice("wrong_machine", text, ack.machine_id),))
    if delivery.command is None or ack.installation != delivery.command.installation:
        text = "An installation that this order is not for sent an ack. Do two Pis use one machine's id?"
        return Step(credit, notices=(Notice("wrong_installation", text),))
    if max(ack.credits, ack.delivered + ack.uncertain) > credit.count:
        text = f"The machine's ack claims more than the {credit.count} credits that were ordered. It was ignored."
        return Step(credit, notices=(Notice("impossible_ack", text),))
    if delivery.resolution is not None:
        return _reported_late(credit, delivery, delivery.resolution, ack)
    if ack.final:
        said = _with(credit, accepted=True, uncertain=ack.uncertain)
        because = f" ({ack.reason})" if ack.reason else ""
        meter = "" if ack.registered is None else f", {ack.registered} registered by its meter"
        text = f"the machine reports {ack.delivered} of {credit.count} delivered{meter}, {ack.state}{because}"
        return _resolve(said, ack.delivered, "ack", text, context, *_not_registered(credit, ack))
    if ack.state == "unknown":
        return Step(credit)
    progress = _with(credit, accepted=True, reported=max(delivery.reported, ack.delivered))
    return Step(progress, text="" if progress == credit else f"{ack.state} {ack.delivered}")


def _not_registered(credit: Credit, ack: Ack) -> tuple[Notice, ...]:
    """A notice if the coin meter missed some of what was pulsed. The machine says so, or its figures do."""
    if ack.registered is None:
        return ()
    if ack.registered >= ack.delivered and not ack.reason.startswith(NOT_REGISTERED):
        return ()
    text = (
        f"The coin meter of machine {credit.machine_id} counted fewer coins than were pulsed: {ack.registered} "
        f"registered, {ack.delivered} of {credit.count} count as delivered. Look at its coin line and its meter."
    )
    return (Notice("meter", text),)


def _reported_late(credit: Credit, delivery: Delivery, done: Resolution, ack: Ack) -> Step[Credit]:
    if not ack.final or ack.delivered in {done.delivered, delivery.late_report}:
        return Step(credit)
    text = (
        f"The machine now reports {ack.delivered} of {credit.count} credits delivered, "
        f"but the order is closed with {done.delivered} ({done.by})."
    )
    # Only the first such report is stored, so a machine that keeps sending others cannot fill the records.
    noted = _with(credit, late_report=ack.delivered) if delivery.late_report is None else credit
    return Step(noted, notices=(Notice("discrepancy", text, str(ack.delivered)),), text=text)


def begin_revoking(credit: Credit, why: str, patience: Patience, context: Context) -> Step[Credit]:
    """Stop publishing, and ask what became of the credit. `why` is for people."""
    since_ms = max(context.true_ms, _delivery(credit).drawn_at_ms)  # it may be unknown
    asking = _with(credit, revoking=Revoking(since_ms=since_ms), due_at_ms=context.now_ms)
    step = revoke(asking, patience, context)
    return Step(step.part, step.effects, step.notices, step.text or why)


def revoke(credit: Credit, patience: Patience, context: Context, *, is_time_asked: bool = False) -> Step[Credit]:
    """Ask the machine where the credit stands. Resolve the credit once its silence is proven.

    Only a process whose clock agrees with Stripe's ends the wait. One that does not know asks Stripe first; one
    that is wrong goes on asking the machine.

    Args:
        is_time_asked: Stripe was asked a moment ago.
    """
    delivery = _delivery(credit)
    revoking = delivery.revoking
    if revoking is None:
        raise InvariantBroken(f"a credit of machine {credit.machine_id} is revoked although nobody decided so")
    if delivery.command is None:
        return _resolve(credit, 0, "unsent", "nothing was sent to the machine", context)
    if credit.subscriber:
        if delivery.last_sent == SENDING:
            return _unconfirmed(credit, context)
        return _resolve(credit, 0, "broker", "the broker did not deliver the credits", context)
    over = _over(credit, delivery, revoking, patience, context)
    if over is not None and context.clock == "right":
        return _silent(credit, over, context)
    if over is not None and context.clock == "unknown" and not is_time_asked:
        waits = _with(credit, due_at_ms=later(context, REVOKE_BACKOFF_S, revoking.sent + 1))
        return Step(waits, (AskTime(delivery.command.credit_id),), text="asking Stripe for the time")
    asked = _with(
        credit,
        revoking=msgspec.structs.replace(revoking, sent=revoking.sent + 1),
        last_sent=SENDING,
        due_at_ms=later(context, REVOKE_BACKOFF_S, revoking.sent + 1),
    )
    return Step(asked, (SendRevoke(delivery.command.credit_id),))


def time_asked(credit: Credit, patience: Patience, context: Context) -> Step[Credit]:
    """Stripe was asked for its time: look again whether the wait is over."""
    delivery = _delivery(credit)
    if delivery.revoking is None or delivery.resolution is not None:
        return Step(credit)
    return revoke(credit, patience, context, is_time_asked=True)


def _over(
    credit: Credit, delivery: Delivery, revoking: Revoking, patience: Patience, context: Context
) -> Literal["last resort", "silence"] | None:
    """Why nobody need wait for the machine any longer, if this process's clock is right."""
    if context.now_ms >= last_resort_ms(revoking, patience, context):
        return "last resort"
    if credit.machine_id not in context.unheard and is_silent(delivery, patience, context):
        return "silence"
    return None


def is_silent(delivery: Delivery, patience: Patience, context: Context) -> bool:
    """Whether the machine was silent for the published time, and an ack would have reached the cloud.

    The time runs from the first revoke that the broker confirmed. Three things prove that an ack would have come:
    the broker has confirmed the latest revoke, the machine has had time to answer it, and an echo has come back
    that was sent after that revoke and after the end of the time. So a cloud that was down listens first. An echo
    from the future was sent by a clock that was ahead, and proves nothing.
    """
    revoking = delivery.revoking
    if revoking is None or delivery.last_sent not in CONFIRMED:
        return False
    first_ms, last_ms = revoking.first_confirmed_at_ms, revoking.last_confirmed_at_ms
    if first_ms is None or last_ms is None:
        return False
    end_ms = _at_latest(first_ms + 1000 * patience.silence_s, patience.silent_until_ms)
    echo_ms = context.last_echo_ms
    acks_arrive = echo_ms is not None and max(last_ms, end_ms) <= echo_ms <= context.now_ms + SKEW_MS
    return acks_arrive and context.now_ms >= last_ms + 1000 * context.limits.answer_s


def last_resort_ms(revoking: Revoking, patience: Patience, context: Context) -> int:
    """When the credit is resolved, whatever is down: epoch milliseconds."""
    return _at_latest(revoking.since_ms + 1000 * context.limits.last_resort_s, patience.last_resort_until_ms)


def _at_latest(moment_ms: int, until_ms: int | None) -> int:
    return moment_ms if until_ms is None else min(moment_ms, until_ms)


def _silent(credit: Credit, by: ResolvedBy, context: Context) -> Step[Credit]:
    reported = _delivery(credit).reported
    text = (
        f"The machine did not say what became of {credit.count} credits ({by}). "
        f"The order is closed with the {reported} that it had reported. Look at the machine."
    )
    return _resolve(credit, reported, by, text, context, Notice("unconfirmed", text))


def found_delivered(credit: Credit, delivered: int, paid_at_ms: int, context: Context) -> Credit:
    """Close the credit because its price was captured earlier, which the record does not know."""
    if credit.resolution is not None:
        return credit
    before = credit.delivery or Delivery(drawn_at_ms=paid_at_ms, due_at_ms=None)
    uncertain = min(before.uncertain, credit.count - delivered)
    there = msgspec.structs.replace(credit, delivery=msgspec.structs.replace(before, uncertain=uncertain))
    text = "captured before an older database was put back"
    return _resolve(there, delivered, "unconfirmed", text, context).part


def _resolve(
    credit: Credit, delivered: int, by: ResolvedBy, text: str, context: Context, *notices: Notice
) -> Step[Credit]:
    """Close the credit. `delivered` never changes again."""
    done = Resolution(delivered=delivered, by=by, at_ms=context.now_ms)
    return Step(_with(credit, resolution=done, due_at_ms=None), notices=notices, text=text)
