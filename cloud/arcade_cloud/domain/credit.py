"""A credit that was drawn, until its machine has answered: told, told again, revoked, closed for silence (pure).

Nothing here knows of money: what a credit is paid with bounds how long its machine may be silent (`Patience`), and
that is all. A command is made at the first publish and stays the same in every repetition. Only the machine's
final word, its proven silence or the last resort ends a delivery; so the deadline and the operator's refund do no
more than revoke.
"""

from typing import Any

import msgspec

from arcade_cloud.domain.decisions import Context, Notice, Step, later
from arcade_cloud.domain.effects import SendCoinpulse, SendEcho, SendRevoke
from arcade_cloud.domain.events import Outcome, Sent
from arcade_cloud.domain.limits import Patience
from arcade_cloud.domain.order import Command, Credit, Delivery, Resolution, ResolvedBy, Revoking
from arcade_cloud.errors import InvariantBroken
from arcade_shared.messages import Ack

# Seconds between repetitions; the last one goes on. EMQX Serverless takes 10 publishes a second per client.
PUBLISH_BACKOFF_S = (1, 2, 4, 8, 15)
REVOKE_BACKOFF_S = (1, 2, 4, 8, 15, 30, 60)
# A subscriber's machine is told once: by then no publish can be under way any more, and the word is lost.
UNCONFIRMED_AFTER_S = 60
SENDING = "sending"
CONFIRMED = frozenset({Outcome.CONFIRMED.value, Outcome.NOBODY.value})


def _with(credit: Credit, **changes: Any) -> Credit:
    """The credit, with its delivery changed."""
    return msgspec.structs.replace(credit, delivery=msgspec.structs.replace(_delivery(credit), **changes))


def _delivery(credit: Credit) -> Delivery:
    if credit.delivery is None:
        raise InvariantBroken(f"a credit of machine {credit.machine_id} is delivered before it was drawn")
    return credit.delivery


# --- the machine is told ---------------------------------------------------------------------------------


def publish(credit: Credit, credit_id: str, patience: Patience, context: Context) -> Step[Credit]:
    """Send the credit for the first time, or once more; at the deadline begin to revoke it.

    `credit_id`: the id that it gets with the first publish.
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
        heard = "" if credit.subscriber else context.installations.get(credit.machine_id)
        if heard is None or credit.ready_installation not in (None, heard):
            why = "the machine was never heard" if heard is None else "another computer is in the machine now"
            return Step(_with(credit, due_at_ms=min(now + 2000, deadline_ms)), text=f"waiting: {why}")
        command = Command(credit_id=credit_id, installation=heard, expires_at_ms=deadline_ms)
    due = min(later(context, PUBLISH_BACKOFF_S, delivery.publishes + 1), deadline_ms)
    if credit.subscriber:
        due = now + 1000 * UNCONFIRMED_AFTER_S
    sent = _with(credit, command=command, publishes=delivery.publishes + 1, last_sent=SENDING, due_at_ms=due)
    return Step(sent, (SendCoinpulse(command.credit_id),))


def sent(credit: Credit, event: Sent, context: Context) -> Step[Credit]:
    """The broker's answer to what was sent. It decides only for a subscriber's machine, which says nothing."""
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
    first_ms = delivery.revoking.first_confirmed_at_ms
    confirmed = msgspec.structs.replace(
        delivery.revoking,
        first_confirmed_at_ms=context.now_ms if first_ms is None else first_ms,
        last_confirmed_at_ms=context.now_ms,
    )
    return Step(_with(told, revoking=confirmed), (SendEcho(),), text="revoke sent")


def _coinpulse_sent(credit: Credit, delivery: Delivery, outcome: Outcome, context: Context) -> Step[Credit]:
    if credit.subscriber and outcome is Outcome.CONFIRMED:
        return _resolve(credit, credit.count, "broker", "the broker delivered it", context)
    if credit.subscriber and outcome is Outcome.UNKNOWN:
        return _unconfirmed(credit, context)
    if outcome is Outcome.CONFIRMED:
        return Step(credit)  # as hoped: the next look is due already, and nothing is to be stored
    not_sent = _with(credit, last_sent=outcome.value)
    if credit.subscriber:  # nobody has it, so it may be sent again soon
        due = later(context, PUBLISH_BACKOFF_S, delivery.publishes)
        command = delivery.command
        not_sent = _with(not_sent, due_at_ms=due if command is None else min(due, command.expires_at_ms))
    return Step(not_sent, text=f"sending: {outcome}")


def _unconfirmed(credit: Credit, context: Context) -> Step[Credit]:
    """A subscriber's machine, and nobody knows whether it was told: never repeated, the money goes back."""
    word = Notice("unconfirmed", "It is unknown whether the credits arrived; the money went back.")
    return _resolve(credit, 0, "unconfirmed", "unknown whether it arrived", context, word)


# --- the machine answers, or does not --------------------------------------------------------------------


def acked(credit: Credit, ack: Ack, context: Context) -> Step[Credit]:
    """A verified word of some machine. Only the final one of the addressed installation resolves the credit."""
    delivery = _delivery(credit)
    if ack.machine_id != credit.machine_id:
        text = f"Machine {ack.machine_id} speaks about a credit of {credit.machine_id}; it was not listened to."
        return Step(credit, notices=(Notice("wrong_machine", text, ack.machine_id),))
    if delivery.command is None or ack.installation != delivery.command.installation:
        text = "Another installation than the addressed one speaks about this order: two devices with one id?"
        return Step(credit, notices=(Notice("wrong_installation", text),))
    if max(ack.credits, ack.delivered + ack.uncertain) > credit.count:
        text = f"The machine speaks of {ack.credits} credits where {credit.count} were ordered."
        return Step(credit, notices=(Notice("impossible_ack", text),))
    if delivery.resolution is not None:
        return _reported_late(credit, delivery, delivery.resolution, ack)
    if ack.final:
        said = _with(credit, accepted=True, uncertain=ack.uncertain)
        because = f" ({ack.reason})" if ack.reason else ""
        text = f"the machine reports {ack.delivered} of {credit.count}, {ack.state}{because}"
        return _resolve(said, ack.delivered, "ack", text, context)
    if ack.state == "unknown":
        return Step(credit)
    progress = _with(credit, accepted=True, reported=max(delivery.reported, ack.delivered))
    return Step(progress, text="" if progress == credit else f"{ack.state} {ack.delivered}")


def _reported_late(credit: Credit, delivery: Delivery, done: Resolution, ack: Ack) -> Step[Credit]:
    if not ack.final or ack.delivered in {done.delivered, delivery.late_report}:
        return Step(credit)
    text = (
        f"The machine says that it delivered {ack.delivered} of {credit.count}; "
        f"the order was closed with {done.delivered} ({done.by})."
    )
    # The first such word is kept; whoever says ever more of them adds nothing to the records but an alert or two.
    noted = _with(credit, late_report=ack.delivered) if delivery.late_report is None else credit
    return Step(noted, notices=(Notice("discrepancy", text, str(ack.delivered)),), text=text)


def begin_revoking(credit: Credit, why: str, patience: Patience, context: Context) -> Step[Credit]:
    """Publish no more; ask what became of the credit. `why` is for people."""
    asking = _with(credit, revoking=Revoking(since_ms=context.now_ms), due_at_ms=context.now_ms)
    step = revoke(asking, patience, context)
    return Step(step.part, step.effects, step.notices, step.text or why)


def revoke(credit: Credit, patience: Patience, context: Context) -> Step[Credit]:
    """Ask the machine where the credit stands; resolve it when its silence is proven."""
    delivery = _delivery(credit)
    revoking = delivery.revoking
    if revoking is None:
        raise InvariantBroken(f"a credit of machine {credit.machine_id} is revoked before that was decided")
    if delivery.command is None:
        return _resolve(credit, 0, "unsent", "nothing was ever sent to the machine", context)
    if credit.subscriber:
        if delivery.last_sent == SENDING:
            return _unconfirmed(credit, context)
        return _resolve(credit, 0, "broker", "the broker never delivered it", context)
    if context.now_ms >= last_resort_ms(revoking, patience, context):
        return _silent(credit, "last resort", context)
    if is_silent(delivery, patience, context):
        return _silent(credit, "silence", context)
    asked = _with(
        credit,
        revoking=msgspec.structs.replace(revoking, sent=revoking.sent + 1),
        last_sent=SENDING,
        due_at_ms=later(context, REVOKE_BACKOFF_S, revoking.sent + 1),
    )
    return Step(asked, (SendRevoke(delivery.command.credit_id),))


def is_silent(delivery: Delivery, patience: Patience, context: Context) -> bool:
    """Whether the machine has been silent for as long as published, and the cloud can prove that it hears.

    The time runs from the first revoke that the broker confirmed. The proof: the latest revoke is confirmed too,
    the machine has had time to answer it, and an echo has come back the way acks come that was sent after that
    revoke and after the end of that time. So a cloud that was away listens first.
    """
    revoking = delivery.revoking
    if revoking is None or delivery.last_sent not in CONFIRMED:
        return False
    first_ms, last_ms = revoking.first_confirmed_at_ms, revoking.last_confirmed_at_ms
    if first_ms is None or last_ms is None:
        return False
    end_ms = _at_latest(first_ms + 1000 * patience.silence_s, patience.silent_until_ms)
    heard = context.hears_ms is not None and context.hears_ms >= max(last_ms, end_ms)
    return heard and context.now_ms >= last_ms + 1000 * context.limits.answer_s


def last_resort_ms(revoking: Revoking, patience: Patience, context: Context) -> int:
    """When the credit is resolved whatever is down, epoch milliseconds."""
    return _at_latest(revoking.since_ms + 1000 * context.limits.last_resort_s, patience.last_resort_until_ms)


def _at_latest(moment_ms: int, until_ms: int | None) -> int:
    return moment_ms if until_ms is None else min(moment_ms, until_ms)


def _silent(credit: Credit, by: ResolvedBy, context: Context) -> Step[Credit]:
    reported = _delivery(credit).reported
    text = (
        f"The machine never said what became of {credit.count} credits ({by}); "
        f"the order is closed with what it had reported, {reported}."
    )
    return _resolve(credit, reported, by, text, context, Notice("unconfirmed", text))


def _resolve(
    credit: Credit, delivered: int, by: ResolvedBy, text: str, context: Context, *notices: Notice
) -> Step[Credit]:
    """Close the credit with `delivered`: k, which never changes again."""
    done = Resolution(delivered=delivered, by=by, at_ms=context.now_ms)
    return Step(_with(credit, resolution=done, due_at_ms=None), notices=notices, text=text)
