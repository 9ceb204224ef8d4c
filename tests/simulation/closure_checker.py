"""Machines out of service: nothing is sold, nothing is pulsed that was not under way, and nobody is alarmed."""

from collections.abc import Iterator

from simulation.checkers import Broken, Case
from simulation.evidence import Closed
from simulation.faults import MINUTE

# An operator's command, and whatever was begun before it, may take so long.
SLACK_MS = MINUTE


def check_closed(case: Case) -> Iterator[Broken]:
    """No order begins, nothing is drawn on a tab, no static link is delivered, no silence is told, meanwhile."""
    evidence = case.evidence
    for closed in evidence.closed:
        until_ms = evidence.quiet_from_ms if closed.until_ms is None else closed.until_ms
        slack_ms = SLACK_MS + evidence.apart_ms(closed.from_ms, until_ms)
        from_ms, until_ms = closed.from_ms + slack_ms, until_ms - slack_ms
        if any(closed.from_ms <= restore.at_ms <= until_ms for restore in evidence.restores):
            continue  # an older database may not know of it
        if from_ms < until_ms:
            yield from _check(case, closed, from_ms, until_ms)


def _check(case: Case, closed: Closed, from_ms: int, until_ms: int) -> Iterator[Broken]:
    evidence, name = case.evidence, f"{closed.machine_id}, out of service,"
    money = {line["id"]: line for line in evidence.money}
    for order in evidence.orders:
        began_there = order["machine_id"] == closed.machine_id and order["kind"] == "checkout"
        if began_there and from_ms < order["created_at_ms"] < until_ms:
            yield Broken("closed", "closed", f"{name} began {order['order_id']}")
        line = money.get(order["payment_intent"] or "", {})
        paid_ms = line.get("paid_ms") or 0
        # The page of a checkout that was begun before may still be paid, until it expires.
        page_ms = closed.from_ms + 1000 * evidence.limits.checkout_life_s + (from_ms - closed.from_ms)
        if began_there and page_ms < paid_ms < until_ms and line.get("kept"):
            yield Broken("closed", "closed", f"{name} was paid by {order['order_id']}")
    for play in (play for tab in evidence.tabs for play in tab["plays"]):
        if play["machine_id"] == closed.machine_id and from_ms < play["drawn_ms"] < until_ms:
            yield Broken("closed", "closed", f"{name} was played on the tab {play['order_id']}")
    for credit_id, commands in case.commands.items():
        order = case.by_credit.get(credit_id, {})
        line = money.get(order.get("payment_intent") or "", {})
        by_link = order.get("kind") == "link" and line.get("id") not in evidence.decisions
        here = commands[0].machine_id == closed.machine_id
        if by_link and here and from_ms < (line.get("paid_ms") or 0) and commands[0].at_ms < until_ms:
            yield Broken("closed", "closed", f"{name} got {credit_id} for a static link")
    for condition in evidence.conditions:
        if (condition.kind, condition.subject) != ("machine_silent", closed.machine_id):
            continue
        if from_ms < condition.began_ms < until_ms:
            yield Broken("closed", "closed", f"{name} is called silent")
        if condition.began_ms <= from_ms and (condition.ended_ms or evidence.ended_ms) > until_ms:
            yield Broken("closed", "closed", f"{name} is still called silent")
