"""The takings, recomputed from boards, Stripe's books and what players bought: each settled order is booked once.

Nothing here knows how the cloud books.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from simulation.checkers import Broken, Case, _share
from simulation.tab_checkers import check_tab_takings

SUMMED = ("ordered", "delivered", "gross_minor", "goodwill_minor", "lost_minor", "fee_minor")


def check_takings(case: Case) -> Iterator[Broken]:
    """The lines say what was delivered, what it costs, and what of that is at Stripe; each on its day."""
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in case.evidence.takings:
        lines[line["order_id"]].append(line)
        yield from _moment(case, line)
    for order in case.evidence.orders:
        yield from _order(case, order, lines.pop(order["order_id"], []))
    for order in case.evidence.tabs:
        yield from check_tab_takings(case, order, lines.pop(order["order_id"], []))
    for order_id in lines:
        yield _broken(order_id, "booked, and on no record")
    yield from _tallies(case)


def _tallies(case: Case) -> Iterator[Broken]:
    """What is on record as the sum of a day's lines at a machine is their sum."""
    if case.evidence.tallies is None:
        return
    due: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    found: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for line in case.evidence.takings:
        where = _where(line)
        due[where]["lines"] += 1
        for name in SUMMED:
            due[where][name] += line[name]
    for tally in case.evidence.tallies:
        found[_where(tally)].update({name: tally[name] for name in ("lines", *SUMMED)})
    for where in {*due, *found}:
        if +due[where] != +found[where]:
            yield _broken(" ".join(where), f"its lines say {dict(due[where])}, its tally {dict(found[where])}")


def _where(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("day", "machine_id", "location", "method", "currency"))


def _moment(case: Case, line: dict[str, Any]) -> Iterator[Broken]:
    """A line is booked by the step that settles its order: at that moment, on that day where the arcade is."""
    evidence, at_ms = case.evidence, line["at_ms"]
    day = time.strftime("%Y-%m-%d", time.gmtime((at_ms + evidence.ahead_of_utc_ms) // 1000))
    if line["day"] != day:
        yield _broken(line["order_id"], f"booked on {line['day']}, and it was {day}")
    steps = [step for step in case.steps_of[line["order_id"]] if step.state == "settled"]
    if not any(step.noted_ms == at_ms for step in steps):
        yield _broken(line["order_id"], f"booked at {at_ms}, when nothing settled it")


def _order(case: Case, order: dict[str, Any], lines: list[dict[str, Any]]) -> Iterator[Broken]:
    name = order["order_id"]
    if order["delivered"] is None or not case.steps_into(name, "settled"):
        if lines:
            yield _broken(name, "booked, and never delivered for")
        return
    if order["state"] != "settled":
        return  # another checker tells of it
    serials = [(line["serial"], line["number"]) for line in lines]
    if len(set(serials)) != len(serials):
        yield _broken(name, f"booked twice: {serials}")

    def of_all(what: str) -> int:
        return sum(int(line[what]) for line in lines)

    gross, kept = of_all("gross_minor"), of_all("gross_minor") - of_all("goodwill_minor") - of_all("lost_minor")
    counts = (of_all("ordered"), of_all("delivered"))
    if counts != (order["credits"], order["delivered"]):
        yield _broken(name, f"{counts[1]} of {counts[0]} booked, {order['delivered']} of {order['credits']} were")
    if any(line["machine_id"] != order["machine_id"] for line in lines):
        yield _broken(name, "booked at another machine")
    if order["kind"] == "grant":
        if gross or kept or any((line["method"], line["currency"]) != ("free", "") for line in lines):
            yield _broken(name, "money for free credits")
        return
    payment = next((line for line in case.evidence.money if line["id"] == order["payment_intent"]), None)
    purchase = None if payment is None else case.bought(payment)
    if payment is None or purchase is None:
        yield _broken(name, "booked without a payment")
        return
    if any((line["method"], line["currency"]) != (payment["method"], purchase.currency) for line in lines):
        yield _broken(name, "booked as paid by other means")
    if gross != _share(purchase, counts[1]):
        yield _broken(name, f"{gross} booked for {counts[1]} delivered")
    at_stripe = max(0, payment["kept"] - payment["lost"])
    outside = payment["lost"] or case.befell("money gone outside", payment["id"])
    if name in case.forgotten:  # what an older record does not know of stays where it is
        if kept > at_stripe:
            yield _broken(name, f"restored: {kept} booked as kept, {at_stripe} are")
    elif kept != at_stripe and not (kept < at_stripe and ("owed", name) in case.alerts):
        yield _broken(name, f"{kept} booked as kept, {at_stripe} are")
    elif of_all("lost_minor") and not outside:
        yield _broken(name, f"{of_all('lost_minor')} booked as lost, and nothing was")


def _broken(order_id: str, text: str) -> Broken:
    return Broken("1", "takings", f"{order_id}: {text}")
