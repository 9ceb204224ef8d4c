"""By when each order must be final: the times that docs/ORDER_LIFE.md publishes, written out here once more.

A published time holds as soon as nothing stands in its way. The lists below say which faults stand in the way of
what: of the cloud's own work, of hearing a machine or proving its silence, and of reading and moving money.
A machine that goes out of service stands in the way of nothing: what is under way goes on as if it had not.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from simulation.checkers import FINAL, Broken, Case
from simulation.evidence import Trouble

# The cloud does not work, or its clock does not go with the others'.
AWAY = frozenset(
    {
        "cloud killed before a commit or effect",
        "cloud killed after a commit or effect",
        "another worker in between",
        "another worker before the answer is used",
        "Stripe's answer waits before it is used",
        "store lost the answer",
        "store down",
        "cloud down",
        "card stalls",
        "a cloud process has another time",
        "a cloud process's clock is hours off",
        "database restored from a backup",
        "signing secret rotated",
    }
)
# Messages with a wrong signature come on a machine's topics. While they do, it is not called silent.
FORGING = frozenset(
    {
        "attacker has the broker",
        "careless Pi answers for others",
        "thief with another machine's key",
        "leftovers retained",
    }
)
# The cloud cannot ask a machine, or could not hear its answer.
DEAF = (AWAY | FORGING) | {
    "message lost before the broker",
    "message lost after the broker",
    "broker's word lost",
    "message late",
    "message very late",
    "broker down",
    "broker restarted with its memory",
    "broker restarted without its memory",
    "acks lost on their way",
    "acks lost for good",
    "acks held up",
}
# Stripe cannot be read, or does not do what it is asked to.
NO_STRIPE = AWAY | {
    "work for Stripe dropped",
    "webhook before its answer",
    "Stripe busy",
    "Stripe failed and keeps the key",
    "Stripe's answer lost",
    "Stripe slow",
    "Stripe does it later",
    "Stripe takes no part of a hold",
    "Stripe refuses a capture",
    "Stripe down",
    "money moved by hand at Stripe",
    "hold ends early",
}
# Nobody tells a process that has just begun how far its clock is off, and without that it ends no wait.
NO_TIME = AWAY | {"Stripe down"}
# The longest wait between two messages to a machine, and between two readings of a payment.
REPEAT_S, READ_S = 60, 3_600
# A bank that decides about money that is to go back is asked rarely after a while.
PATIENT_AFTER_S, PATIENT_S = 3 * 86_400, 6 * 3_600
# A refund to which Stripe never answered is not repeated under another key before.
REFUND_S = 70 * 60
RECONCILE_S = 15 * 60
UNDECIDED_S = 14 * 86_400
# What calls and messages take.
SLACK_S = 30


def clear_from(troubles: list[Trouble], at_ms: int) -> int:
    """The first moment from `at_ms` on at which none of the troubles lasts."""
    for trouble in sorted(troubles, key=lambda trouble: trouble.begin_ms):
        if trouble.begin_ms <= at_ms < trouble.end_ms:
            at_ms = trouble.end_ms
    return at_ms


def clear_spans(troubles: list[Trouble], from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
    """The times without any of the troubles."""
    for trouble in sorted(troubles, key=lambda trouble: trouble.begin_ms):
        if trouble.begin_ms > from_ms:
            yield from_ms, min(trouble.begin_ms, to_ms)
        from_ms = max(from_ms, trouble.end_ms)
        if from_ms >= to_ms:
            return
    yield from_ms, to_ms


class Bounds:
    """The published times of one run, in ms."""

    def __init__(self, case: Case) -> None:
        self.case, self.evidence = case, case.evidence
        limits = case.evidence.limits
        self.limits = limits
        self._timer_ms = 1000 * limits.timer_s
        self.slack_ms = 1000 * SLACK_S + 2 * case.evidence.skew_ms
        self._away, self._deaf, self._no_stripe, self._no_time = (
            [trouble for trouble in case.evidence.troubles if trouble.what in names]
            for names in (AWAY, DEAF, NO_STRIPE, NO_TIME)
        )

    def passes(self, number: int) -> int:
        """What so many passes of the timer may take, with slack."""
        return number * self._timer_ms + self.slack_ms

    def silence(self, paid_ms: int, hold_until_ms: int | None, *, held: bool) -> int:
        """By when a machine's silence is proven at the latest: once the cloud has heard for long enough."""
        limits = self.limits
        limit_ms = 1000 * (limits.hold_silence_limit_s if held else limits.silence_limit_s)
        deadline_ms = paid_ms + 1000 * limits.deliver_within_s
        half_ms = None if hold_until_ms is None else (paid_ms + hold_until_ms) // 2
        end_known_ms = self._end_known(deadline_ms)
        rest_ms = 1000 * (2 * REPEAT_S + limits.answer_s) + self.passes(4)
        for begin_ms, end_ms in clear_spans(self._deaf, paid_ms, self.evidence.ended_ms):
            asked_ms = deadline_ms if begin_ms <= deadline_ms else begin_ms + 1000 * REPEAT_S
            silent_ms = asked_ms + limit_ms
            if half_ms is not None:
                silent_ms = max(asked_ms, min(silent_ms, max(half_ms, end_known_ms)))
            silent_ms = clear_from(self._no_time, silent_ms)
            if silent_ms + rest_ms <= end_ms:
                return silent_ms + rest_ms
        return self.evidence.ended_ms

    def _end_known(self, asked_ms: int) -> int:
        """By when the end of a hold is known: only Stripe tells it, and it is read while the machine is asked."""
        clear_ms = clear_from(self._no_stripe, asked_ms)
        return clear_ms + 1000 * REPEAT_S + self.passes(1)

    def last_resort(self, paid_ms: int, hold_until_ms: int | None) -> int:
        """By when nothing is waited for any more, whatever is down but the cloud, and Stripe as its clock."""
        asked_ms = clear_from(self._away, paid_ms + 1000 * self.limits.deliver_within_s)
        end_ms = asked_ms + 1000 * self.limits.last_resort_s
        if hold_until_ms is not None:
            three_quarters_ms = paid_ms + (hold_until_ms - paid_ms) * 3 // 4
            end_ms = min(end_ms, max(asked_ms, three_quarters_ms, self._end_known(asked_ms)))
        return clear_from(self._no_time, end_ms) + 1000 * REPEAT_S + self.passes(3)

    def subscriber(self, paid_ms: int) -> int:
        """By when the only message to a subscriber is decided about."""
        asked_ms = clear_from(self._away, paid_ms + 1000 * self.limits.deliver_within_s)
        return asked_ms + 1000 * REPEAT_S + self.passes(3)

    def known(self, paid_ms: int) -> int:
        """By when a payment is known that no webhook tells of."""
        return clear_from(self._no_stripe, paid_ms) + 1000 * READ_S + self.passes(2)

    def decided(self, closed_ms: int, decided_ms: int) -> int:
        """By when it is known that a bank has decided about money that is to go back already."""
        look_s = READ_S if decided_ms < closed_ms + 1000 * PATIENT_AFTER_S - 1000 * READ_S else PATIENT_S
        return clear_from(self._no_stripe, decided_ms) + 1000 * look_s + self.passes(2)

    def found(self, paid_ms: int) -> int:
        """By when a payment by a static link is found that no webhook tells of."""
        return clear_from(self._no_stripe, paid_ms) + 1000 * RECONCILE_S + self.passes(4)

    def closed(self, over_ms: int) -> int:
        """By when a tab is closed whose time was over then: by a process whose clock is not plainly wrong.

        What a clock that was ahead has put off by less than a minute is not looked for.
        """
        put_off_ms = 1000 * (REPEAT_S + self.limits.tab_fresh_s // 2) if self.evidence.wrong_clocks else 0
        return clear_from(self._no_time, clear_from(self._away, over_ms)) + put_off_ms + self.passes(3)

    def settled(self, resolved_ms: int) -> int:
        """By when the money is where it belongs."""
        at_once_ms = resolved_ms + self.passes(2)
        if clear_from(self._no_stripe, resolved_ms) == resolved_ms and not any(
            resolved_ms < trouble.begin_ms <= at_once_ms for trouble in self._no_stripe
        ):
            return at_once_ms
        return clear_from(self._no_stripe, resolved_ms) + 1000 * (READ_S + REFUND_S) + self.passes(4)

    def abandoned(self, created_ms: int, *, processing: bool) -> int:
        """By when an order that nobody has paid is given up."""
        life_s = UNDECIDED_S if processing else self.limits.checkout_life_s
        return clear_from(self._no_stripe, created_ms + 1000 * life_s) + 1000 * READ_S + self.passes(2)


def check_final(case: Case) -> Iterator[Broken]:
    """Every order becomes final by itself, in the published time."""
    bounds = Bounds(case)
    money = {line["id"]: line for line in case.evidence.money}
    for order in case.evidence.orders:
        name = order["order_id"]
        if order["state"] not in FINAL:
            yield Broken("5", "final", f"{name} is {order['state']} days after the last fault")
            continue
        if name in case.forgotten:
            continue
        line = money.get(order["payment_intent"], {})
        for what, at_ms, by_ms in _times(case, bounds, order, line):
            if at_ms > by_ms:
                yield Broken("5", "final", f"{name} was {what} {(at_ms - by_ms) // 1000} s after it had to be")


def _times(
    case: Case, bounds: Bounds, order: dict[str, Any], line: dict[str, Any]
) -> Iterator[tuple[str, int, int]]:
    """(what, when it happened, by when it had to happen) for each step of an order."""
    name, ended_ms = order["order_id"], case.evidence.ended_ms
    if order["state"] == "abandoned":
        given_up_ms = min(case.steps_into(name, "abandoned"), default=ended_ms)
        processing = line.get("method") == "fpx"
        yield "given up", given_up_ms, bounds.abandoned(order["created_at_ms"], processing=processing)
        return
    first_ms = min(case.steps_into(name, "funded", "returning"), default=ended_ms)
    paid_ms = line.get("paid_ms")
    if order["kind"] == "grant":  # its time begins by the clock of whoever gave it
        paid_ms = max([first_ms, *(step.noted_ms for step in case.steps_of[name][:1])])
    if paid_ms is None:
        return
    decision = case.evidence.decisions.get(line.get("id", ""))
    purchase = case.evidence.purchases.get(line.get("session", ""))
    if order["kind"] == "checkout":
        yield "known to be paid", first_ms, bounds.known(line["there_ms"])
    elif decision is not None:
        paid_ms = decision.ended_ms  # the time to deliver begins with what a person decided
    elif purchase is not None and purchase.order_id is None:
        begun_ms = case.steps_of[name][0].at_ms
        yield "found", begun_ms, bounds.found(line["there_ms"])
    resolved_ms = min(case.steps_into(name, "resolved", "settled", "returning"), default=ended_ms)
    if order["credit_id"] is not None or order["resolved_by"]:
        hold_until_ms = line.get("hold_until_ms") if line.get("method") == "card" else None
        held = {line.get("hold_until_ms") is not None}
        if case.befell("money gone outside", line.get("id", "")):
            held = {True, False}  # a hold that somebody else has captured is none
        silence_ms = max(bounds.silence(paid_ms, hold_until_ms, held=each) for each in held)
        by_ms = min(silence_ms, bounds.last_resort(paid_ms, hold_until_ms))
        if order["machine_id"] in case.evidence.subscribers:
            by_ms = bounds.subscriber(paid_ms)
        yield "closed", resolved_ms, by_ms
        yield "closed, its machine's word known,", resolved_ms, _answered(case, order)
    settled_ms = min(case.steps_into(name, "settled"), default=ended_ms)
    moves_again = line.get("refunds_failed") or case.befell("disputed", line.get("id", ""))
    if not moves_again:
        there_ms = line.get("there_ms") or 0
        known_ms = bounds.decided(resolved_ms, there_ms) if there_ms > resolved_ms else resolved_ms
        yield "settled", settled_ms, bounds.settled(max(known_ms, paid_ms))


def _answered(case: Case, order: dict[str, Any]) -> int:
    """When the cloud first heard the addressed machine's last word about the order's credit."""
    true = [said.fields for said in case.finals.get(order["credit_id"], ())]
    return min(
        (
            said.at_ms
            for said in case.heard[order["credit_id"]]
            if said.fields.get("installation") == order["installation"]
            and said.fields.get("machineId") == order["machine_id"]
            and said.fields in true
        ),
        default=case.evidence.ended_ms,
    )


def ends_of(case: Case) -> Counter[str]:
    """How the orders of a run have ended, by `ENDS`."""
    money = {line["id"]: line for line in case.evidence.money}
    return Counter(_end(case, order, money.get(order["payment_intent"], {})) for order in case.evidence.orders)


def _end(case: Case, order: dict[str, Any], line: dict[str, Any]) -> str:
    name, by = order["order_id"], order["resolved_by"]
    if by in ("silence", "last resort"):
        kind = "held" if line.get("hold_until_ms") is not None else "charged"
        return f"{by}, {'granted' if order['kind'] == 'grant' else kind}"
    if by:
        return str(by)
    if order["kind"] == "stray":
        return "unmatched"
    if order["state"] == "abandoned":
        return "undecided" if ("undecided", name) in case.alerts else "not paid"
    return "wrong payment" if ("wrong_payment", name) in case.alerts else "too late"


# Every way in which an order may end.
ENDS = (
    "ack",
    "silence, held",
    "silence, charged",
    "silence, granted",
    "last resort, held",
    "last resort, charged",
    "last resort, granted",
    "unsent",
    "broker",
    "unconfirmed",
    "unmatched",
    "not paid",
    "undecided",
    "too late",
    "wrong payment",
)
