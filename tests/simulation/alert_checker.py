"""The alerts of a run: each that should be there is there, and none without its cause."""

from collections.abc import Iterator
from typing import Any

from simulation.checkers import SILENT, Broken, Case

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
)


def check_alerts(case: Case) -> Iterator[Broken]:
    """Both directions, kind by kind."""
    required, allowed = _wanted(case)
    have = {(kind, subject) for kind, subject in case.evidence.alerts}
    for kind, subject in sorted(required - have):
        if subject in case.forgotten:
            continue
        yield Broken("5", "alerts", f"no alert {kind} about {subject}")
    for kind, subject in sorted(have - allowed - required):
        if subject in case.forgotten:
            continue
        yield Broken("5", "alerts", f"an alert {kind} about {subject} without a cause")
    if len(case.evidence.posted) < len(case.evidence.alerts):
        yield Broken("5", "alerts", "an alert was never posted")


def _says_short(word: dict[str, Any]) -> bool:
    """Whether the machine says that its meter missed coins; `check_meters` knows whether that is so."""
    return word.get("registered") is not None and word["reason"].startswith("coins not registered")


def _wanted(case: Case) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """The alerts that must be there, and those that may."""
    evidence = case.evidence
    required: set[tuple[str, str]] = set()
    allowed: set[tuple[str, str]] = set()
    money = {line["id"]: line for line in evidence.money}
    for order in evidence.orders:
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
            certain = line["paid_ms"] is not None and line["kept"] == line["amount"] and not evidence.restores
            (required if certain else allowed).add(("unclaimed", line["id"]))
        looks_ours = evidence.foreign.get(line["session"], "").startswith("ours")
        if looks_ours or (purchase is not None and purchase.order_id in case.forgotten):
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
