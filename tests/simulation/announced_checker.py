"""What other software is told, recomputed from what machines reported and what Stripe's books say.

Nothing here knows how the cloud makes events.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from simulation.checkers import Broken, Case, share


def check_announced(case: Case) -> Iterator[Broken]:
    """Each delivery is told once, with what was delivered; what went back is told, and nothing else."""
    told: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in case.evidence.announced:
        if event["type"] != "machine.offline":
            told[event["data"]["orderId"], event["type"]].append(event["data"])
    for order in case.evidence.orders:
        name = order["order_id"]
        plays, refunds = told.pop((name, "play.delivered"), []), told.pop((name, "order.refunded"), [])
        if name not in case.forgotten:  # of what an older record does not know, more may have been told
            yield from _plays(order, plays)
            yield from _refunds(case, order, refunds)
    for order in case.evidence.tabs:
        name = order["order_id"]
        plays, refunds = told.pop((name, "play.delivered"), []), told.pop((name, "order.refunded"), [])
        if name not in case.forgotten:
            yield from _tab_plays(order, plays)
            yield from _tab_refunds(case, order, refunds)
    for name, kind in told:
        if name not in case.forgotten:
            yield _broken(name, f"{kind} told, and on no record")


def _plays(order: dict[str, Any], plays: list[dict[str, Any]]) -> Iterator[Broken]:
    delivered = order["delivered"] or 0
    due = [(order["machine_id"], order["credits"], delivered)] if delivered else []
    if [(play["machineId"], play["credits"], play["delivered"]) for play in plays] != due:
        yield _broken(order["order_id"], f"{len(plays)} deliveries told, and {delivered} credits were")


def _tab_plays(order: dict[str, Any], plays: list[dict[str, Any]]) -> Iterator[Broken]:
    due = [(play["machineId"], play["credits"], play["delivered"]) for play in plays]
    done = [
        (play["machine_id"], play["credits"], play["delivered"]) for play in order["plays"] if play["delivered"]
    ]
    if sorted(due) != sorted(done):
        yield _broken(order["order_id"], f"{len(due)} deliveries told, and {len(done)} plays were")


def _tab_refunds(case: Case, order: dict[str, Any], refunds: list[dict[str, Any]]) -> Iterator[Broken]:
    """What went back of plays that were delivered; that the rest of a hold is let go is no news."""
    payment = next((one for one in case.evidence.money if one["id"] == order["payment_intent"]), None)
    purchase = None if payment is None else case.evidence.purchases.get(payment["session"])
    if payment is None or purchase is None or order["state"] != "settled":
        return
    if payment["lost"] or payment["part_refused"] or case.befell("money gone outside", payment["id"]):
        return
    played = sum(
        share(play["price_minor"], play["delivered"] or 0, play["credits"], purchase.currency)
        for play in order["plays"]
    )
    gone, sums = played - payment["kept"], {_minor(refund) for refund in refunds}
    if gone > 0 and gone not in sums:
        yield _broken(order["order_id"], f"{gone} went back, and {sorted(sums) or 'nothing'} was told")
    if gone <= 0 and sums and not case.befell("refund failed", payment["id"]):
        yield _broken(order["order_id"], f"{sorted(sums)} told, and nothing went back")


def _refunds(case: Case, order: dict[str, Any], refunds: list[dict[str, Any]]) -> Iterator[Broken]:
    name = order["order_id"]
    payment = next((one for one in case.evidence.money if one["id"] == order["payment_intent"]), None)
    if payment is None or order["state"] != "settled":
        return
    gone = payment["amount"] - payment["kept"]
    sums = {_minor(refund) for refund in refunds}
    if gone and gone not in sums and not case.befell("money gone outside", payment["id"]):
        yield _broken(name, f"{gone} went back, and {sorted(sums) or 'nothing'} was told")
    if not gone and sums and not case.befell("refund failed", payment["id"]):
        yield _broken(name, f"{sorted(sums)} told, and nothing went back")


def _minor(refund: dict[str, Any]) -> int:
    """The sum in the units of Stripe's API, which has two decimals for two currencies that are written without."""
    whole = int(refund["refunded"].replace(".", ""))
    return 100 * whole if refund["currency"] in {"ISK", "UGX"} else whole


def _broken(order_id: str, text: str) -> Broken:
    return Broken("3", "announced", f"{order_id}: {text}")
