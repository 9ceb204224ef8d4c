"""The alerts of a run: each that should be there is there, and none without its cause."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from simulation.checkers import SILENT, Broken, Case
from simulation.evidence import Condition, Evidence
from simulation.faults import MINUTE, SECOND
from support.shops import TAKEN, looks_ours

# What lasts is checked with its times.
CONDITIONS = (
    "alert_receiver",
    "books_differ",
    "books_unread",
    "broker",
    "clock_off",
    "deaf",
    "machine_silent",
    "signature_refused",
    "taken_over",
    "unsellable",
    "webhook_refused",
)
# As published: the cloud has heard itself for so long before it calls a machine silent.
HEARING_PROVEN_MS = 5 * MINUTE
# Until a machine that is silent for longer than the limit is told.
PROVEN_WITHIN_MS = 12 * MINUTE
SLACK_MS = 5 * SECOND
# docs/SECURITY.md: an older status is no sign of life.
OLD_MS = 75 * SECOND
# What keeps the machines' words, or the cloud's echoes, from the cloud.
DEAFENING = (
    "acks lost on their way",
    "acks held up",
    "message lost after the broker",
    "cloud down",
    "store down",
    "a cloud process's clock is hours off",
)

FORGING = (
    "attacker has the broker",
    "careless Pi answers for others",
    "thief with another machine's key",
    "leftovers retained",
    "signing secret rotated",
)
# What keeps a machine's word that its client id is taken from being told with the first status that has it.
UNTOLD = (
    "second Pi with the same id",
    "journal lost",
    "cloud killed before a commit or effect",
    "cloud killed after a commit or effect",
    "store down",
    "store lost the answer",
    "a cloud process has another time",
    "database restored from a backup",
)
STRIPE_FAULTS = (
    "Stripe busy",
    "Stripe failed and keeps the key",
    "Stripe's answer lost",
    "Stripe slow",
    "Stripe's answer waits before it is used",
    "Stripe does it later",
    "Stripe takes no part of a hold",
    "Stripe refuses a capture",
    "Stripe down",
    "store lost the answer",
    "store down",
    "cloud down",
    "work for Stripe dropped",
    "another worker in between",
    "cloud killed before a commit or effect",
    "cloud killed after a commit or effect",
    "webhook before its answer",
    "refund fails",
    "dispute",
    "hold ends early",
    "money moved by hand at Stripe",
    "a cloud process's clock is hours off",  # it makes no refunds
)


def check_alerts(case: Case) -> Iterator[Broken]:
    """Both directions, kind by kind."""
    required, allowed = _wanted(case)
    have = {(kind, subject) for kind, subject in case.evidence.alerts if kind not in CONDITIONS}
    yield from _check_machines_watched(case)
    for kind, subject in sorted(required - have):
        if _was_forgotten(case, subject):
            continue
        yield Broken("5", "alerts", f"no alert {kind} about {subject}")
    for kind, subject in sorted(have - allowed - required):
        if _was_forgotten(case, subject):
            continue
        yield Broken("5", "alerts", f"an alert {kind} about {subject} without a cause")
    if len(case.evidence.posted) < len(case.evidence.alerts):
        yield Broken("5", "alerts", "an alert was never posted")


def _was_forgotten(case: Case, order_id: str) -> bool:
    """Whether a restored database had forgotten the order, or that its payment had gone back without one."""
    return not case.forgotten.isdisjoint({order_id, order_id.replace("link_", "stray_", 1)})


def _says_short(word: dict[str, Any]) -> bool:
    """Whether the machine says that its meter missed coins; `check_meters` knows whether that is so."""
    return word.get("registered") is not None and word["reason"].startswith("coins not registered")


def _check_machines_watched(case: Case) -> Iterator[Broken]:
    """Who is called silent was so, while the cloud heard; who is silent for days is called so, until heard."""
    evidence = case.evidence
    silent_ms = evidence.limits.machine_silent_s * 1000
    for condition in evidence.conditions:
        if condition.kind == "machine_silent" and not _is_forgotten(case, condition, silent_ms):
            yield from _check_accusation(case, condition, silent_ms)
        elif condition.kind == "deaf" and not any(evidence.faults.get(fault) for fault in DEAFENING):
            yield Broken("5", "alerts", "the cloud calls itself deaf without a cause")
        elif condition.kind == "signature_refused":
            if not any(evidence.faults.get(fault) for fault in FORGING):
                yield Broken("5", "alerts", f"{condition.subject} is said to have a wrong key without a cause")
        elif condition.kind == "taken_over":
            causes = [c for c in evidence.causes if (c.what, c.subject) == ("client id taken", condition.subject)]
            began_ms = max(evidence.moments(condition.began_ms)) + evidence.skew_ms
            if not any(cause.at_ms <= began_ms for cause in causes):
                yield Broken("5", "alerts", f"nobody has taken the client id of {condition.subject}")
        elif condition.kind == "alert_receiver":
            if not evidence.faults.get("an alert does not arrive"):
                yield Broken("5", "alerts", f"{condition.subject} is said to take no alerts without a cause")
        elif condition.kind not in ("machine_silent", "deaf"):
            yield Broken("5", "alerts", f"a condition {condition.kind} of {condition.subject} without a cause")
    yield from _check_contests(case)
    if not silent_ms or not evidence.machines_on_ms:
        return
    told_ms = evidence.machines_off_ms + silent_ms + PROVEN_WITHIN_MS
    for machine_id in {s.machine_id for s in evidence.stated if evidence.quiet_from_ms < s.at_ms}:
        mine = [c for c in evidence.conditions if (c.kind, c.subject) == ("machine_silent", machine_id)]
        off = [c for c in mine if c.began_ms <= told_ms and _ends_after(c, evidence.machines_on_ms)]
        if len(off) != 1:
            yield Broken("5", "alerts", f"{len(off)} alerts tell that {machine_id} is silent for days")
        is_back = any(s.machine_id == machine_id and s.at_ms > evidence.machines_on_ms for s in evidence.stated)
        if is_back and any(c.ended_ms is None for c in mine):
            yield Broken("5", "alerts", f"{machine_id} is heard, and still called silent")


def _check_contests(case: Case) -> Iterator[Broken]:
    """A client id that is taken is told while it is, and that it is not any more."""
    evidence = case.evidence
    told = [c for c in evidence.conditions if c.kind == "taken_over"]
    if not any(evidence.faults.get(fault) for fault in UNTOLD):
        for said in evidence.stated:
            if not said.contested or abs(said.at_ms - said.stated_ms) > SLACK_MS:
                continue  # what was long on its way is no news
            mine = [c for c in told if c.subject == said.machine_id]
            if not any(_lasted(evidence, c, said.at_ms) for c in mine):
                yield Broken("5", "alerts", f"nobody is told that the client id of {said.machine_id} is taken")
    for condition in told:
        later = [
            s for s in evidence.stated if s.machine_id == condition.subject and s.at_ms > evidence.machines_on_ms
        ]
        if evidence.machines_on_ms and later and condition.ended_ms is None:
            yield Broken("5", "alerts", f"the client id of {condition.subject} is said to be taken for ever")


def _check_accusation(case: Case, condition: Condition, silent_ms: int) -> Iterator[Broken]:
    """At each moment at which it may have begun: which that was is not known where clocks were wrong."""
    found = [
        _unfounded(case, condition.subject, at_ms, silent_ms)
        for at_ms in case.evidence.moments(condition.began_ms)
    ]
    if all(found):
        yield Broken("5", "alerts", f"{condition.subject} is called silent, and {found[0]}")


def _unfounded(case: Case, machine_id: str, at_ms: int, silent_ms: int) -> str:
    """Why nobody could call the machine silent at that moment; empty if somebody could."""
    evidence = case.evidence
    slack_ms = evidence.apart_ms(at_ms - max(silent_ms, 2 * HEARING_PROVEN_MS) - OLD_MS, at_ms) + SLACK_MS
    since_ms = at_ms - silent_ms + slack_ms
    # A Pi that has not been told the time may say one that is years off.
    signs = [s for s in evidence.stated if s.machine_id == machine_id]
    signs = [s for s in signs if abs(s.at_ms - s.stated_ms) < OLD_MS - slack_ms]
    signs = [s for s in signs if s.at_ms < at_ms - slack_ms]  # what was on its way was not heard
    if any(min(s.stated_ms, s.at_ms) > since_ms for s in signs):
        return "was heard"
    echoes = [echo for echo in evidence.echoes if echo[0] <= at_ms + slack_ms]
    sent = sorted(sent_ms for heard_ms, sent_ms in echoes if sent_ms <= heard_ms + slack_ms)
    proof_ms = at_ms - HEARING_PROVEN_MS + slack_ms
    chain = [ms for ms in sent if ms > at_ms - 2 * HEARING_PROVEN_MS - slack_ms]
    gaps = [after - before for before, after in pairwise(chain)]
    if not chain or chain[0] > proof_ms or any(gap > HEARING_PROVEN_MS + slack_ms for gap in gaps):
        return "nobody knows whether the cloud hears"
    return ""


def _lasted(evidence: Evidence, condition: Condition, at_ms: int) -> bool:
    """Whether a condition may have lasted at that moment, or have been over for no longer than a message takes."""
    began_ms = min(evidence.moments(condition.began_ms)) - evidence.skew_ms
    ended_ms = at_ms
    # A clock that is behind ends it, on record, in the moment in which it began: nobody knows when.
    if condition.ended_ms is not None and condition.ended_ms != condition.began_ms:
        ended_ms = max(evidence.moments(condition.ended_ms))
    return began_ms <= at_ms and ended_ms >= at_ms - SLACK_MS - evidence.skew_ms


def _ends_after(condition: Condition, at_ms: int) -> bool:
    return condition.ended_ms is None or condition.ended_ms >= at_ms


def _is_forgotten(case: Case, condition: Condition, silent_ms: int) -> bool:
    """Whether a database that was set back may not have known what had been heard, or told."""
    long_ms = silent_ms + 3 * HEARING_PROVEN_MS
    return any(
        restore.backup_ms - long_ms <= condition.began_ms <= restore.at_ms + long_ms
        for restore in case.evidence.restores
    )


def _was_never_gone(line: dict[str, Any]) -> bool:
    """Whether whoever looked at a payment has seen its money: a refund that fails puts it back days later."""
    return bool(line["kept"] == line["amount"]) and not line.get("refunds_failed", 0)


def _wanted(case: Case) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """The alerts that must be there, and those that may."""
    evidence = case.evidence
    required: set[tuple[str, str]] = set()
    allowed: set[tuple[str, str]] = set()
    money = {line["id"]: line for line in evidence.money}
    for order in [*case.credits, *evidence.tabs]:
        name, credit_id = order["order_id"], order["credit_id"]
        line = money.get(order["payment_intent"] or "", {})
        if order["resolved_by"] in SILENT:
            required.add(("unconfirmed", name))
            if any(said.fields["delivered"] != order["delivered"] for said in case.finals.get(credit_id, ())):
                allowed.add(("discrepancy", name))
        if order["kind"] == "stray":
            allowed.add(("unmatched_payment", name))
        if any(what == "journal rolled back" for what, _ in case.causes):
            allowed.add(("discrepancy", name))  # the card has forgotten what the machine said before
        if case.befell("money gone outside", line.get("id", "")):
            allowed |= {("loss", name), ("wrong_payment", name)}
        if order["kind"] == "tab" and line.get("part_refused"):
            allowed.add(("loss", name))
        if case.befell("bank took weeks", line.get("id", "")):
            (required if order["kind"] == "checkout" else allowed).add(("undecided", name))
        if case.befell("disputed", line.get("id", "")):
            allowed.add(("dispute", name))
        short = any(_says_short(said.fields) for said in case.finals.get(credit_id, ()))
        if order["resolved_by"] == "ack" and short:
            required.add(("meter", name))
        if line.get("refunds_failed", 0) > 0:
            required.add(("refund_failed", name))
        if line.get("refunds_failed", 0) >= 3:
            allowed.add(("owed", name))
        if any(evidence.faults.get(fault) for fault in STRIPE_FAULTS):
            allowed |= {("settle_slow", name), ("settle_refused", name)}
    for line in evidence.money:
        purchase = evidence.purchases.get(line["session"])
        if purchase is not None and not purchase.deliverable:
            # If its money went elsewhere, or an older database was put back, it may not be shown (any more).
            certain = line["paid_ms"] is not None and _was_never_gone(line) and not evidence.restores
            (required if certain else allowed).add(("unclaimed", line["id"]))
        is_like_ours = looks_ours(evidence.foreign.get(line["session"], ""))
        if (
            evidence.foreign.get(line["session"]) == TAKEN
            and line["paid_ms"] is not None
            and not evidence.restores
        ):
            # What is left where it is has been shown.
            (required if _was_never_gone(line) else allowed).add(("unclaimed", line["id"]))
        if is_like_ours or (purchase is not None and purchase.order_id in case.forgotten):
            allowed.add(("unclaimed", line["id"]))
    if case.befell("an event from elsewhere"):
        allowed |= {("wrong_endpoint", "Stripe"), ("unreadable", "Stripe")}
    unmatched: list[tuple[str, str]] = []
    for said in evidence.heard:
        order = case.by_credit.get(said.fields.get("creditId", ""), {})
        if said.fields.get("creditId") in case.forgotten_credits:
            allowed.add(("unmatched_ack", said.topic.split("/")[2]))
            continue
        if not order:
            if case.is_forgotten(said.at_ms):
                allowed.add(("unmatched_ack", said.topic.split("/")[2]))
                continue
            unmatched.append(
                ("unmatched_ack", said.topic.split("/")[2])
            )  # one alert for a credit, whoever speaks of it
            continue
        name, fields = order["order_id"], said.fields
        wanted = allowed if case.is_forgotten(said.at_ms) else required
        if fields["machineId"] != order["machine_id"]:
            wanted.add(("wrong_machine", name))
        elif fields["installation"] != order["installation"]:
            wanted.add(("wrong_installation", name))
        elif fields["final"] and order["resolved_by"] in SILENT and fields["delivered"] != order["delivered"]:
            wanted.add(("discrepancy", name))
    allowed.update(unmatched)
    if not case.alerts.intersection(unmatched):
        required.update(unmatched[:1])
    allowed |= {("meter", line) for line in evidence.metered}
    for machine_id in {line.removesuffix("-spare") for line in evidence.profiles}:
        lost = any(case.befell("journal lost", line) for line in (machine_id, f"{machine_id}-spare"))
        if lost or evidence.faults.get("second Pi with the same id"):
            allowed.add(("two_installations", machine_id))
    return required, allowed
