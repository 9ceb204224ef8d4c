"""Money that is not ours: nothing of it is captured, cancelled or refunded without proof, or a person's word."""

from collections.abc import Iterator

from simulation.checkers import Broken, Case
from support.shops import TAKEN


def check_ownership(case: Case) -> Iterator[Broken]:
    """Every act of the cloud's on money has its proof: a checkout made here, a good static link, or a decision."""
    evidence = case.evidence
    sessions = {line["id"]: line["session"] for line in evidence.money}
    for act in evidence.acts:
        session = sessions.get(act.payment_intent, "")
        purchase, decision = evidence.purchases.get(session), evidence.decisions.get(act.payment_intent)
        if purchase is not None and purchase.deliverable:
            continue
        if decision is not None and decision.begun_ms <= act.at_ms:
            case.exceptions["a person decided"] += 1
            continue
        if evidence.foreign.get(session) == TAKEN and act.what == "refund":
            case.exceptions["a copied mark went back"] += 1  # as a second payment of the order that it names
            continue
        whose = evidence.foreign.get(session, "a link without a machine")
        yield Broken("proof", "ownership", f"{act.what} of {act.payment_intent} without proof ({whose})")
