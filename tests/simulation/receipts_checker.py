"""The numbers of receipts, recomputed from what is booked: each sale has one, and none is given twice or left out.

Nothing here knows how the cloud numbers.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from simulation.checkers import Broken, Case


def check_receipts(case: Case) -> Iterator[Broken]:
    """Who has kept something has one number. A series has the numbers from 1 on, each of one order for ever."""
    evidence = case.evidence
    if evidence.receipts is None:
        return
    named: dict[str, list[str]] = defaultdict(list)
    numbers: dict[str, list[int]] = defaultdict(list)
    for receipt in evidence.receipts:
        named[receipt["order_id"]].append(f"{receipt['prefix']}{receipt['number']}")
        numbers[receipt["prefix"]].append(receipt["number"])
    for prefix, given in numbers.items():
        if sorted(given) != list(range(1, len(given) + 1)):
            yield _broken(f"series {prefix!r}", f"its numbers are {sorted(given)}")
    sold = _sold(evidence.takings)
    for order_id in sold - named.keys():
        yield _broken(order_id, "sold, and without a number at the end")
    for order_id, names in named.items():
        if len(names) > 1:
            yield _broken(order_id, f"has the numbers {names}")
        if order_id not in sold:
            yield _broken(order_id, f"has the number {names[0]}, and nothing was ever kept of it")
    if evidence.receipts_waiting:
        yield _broken("the queue", f"{evidence.receipts_waiting} wait at the end")
    yield from _issued(case)


def _issued(case: Case) -> Iterator[Broken]:
    """What players have read, whatever database was put back since."""
    owners: dict[tuple[str, int], set[str]] = defaultdict(set)
    names: dict[str, set[tuple[str, int]]] = defaultdict(set)
    for prefix, number, order_id in case.evidence.issued:
        owners[prefix, number].add(order_id)
        names[order_id].add((prefix, number))
    for (prefix, number), orders in owners.items():
        if len(orders) > 1:
            yield _broken(f"number {prefix}{number}", f"was given to {sorted(orders)}")
    for order_id, given in names.items():
        if len(given) > 1 and not case.evidence.restores:
            yield _broken(order_id, f"was given {sorted(given)}")


def _sold(lines: list[dict[str, Any]]) -> set[str]:
    """The orders of which at some time more was kept than nothing."""
    booked: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for line in lines:
        kept = line["gross_minor"] - line["goodwill_minor"] - line["lost_minor"]
        booked[line["order_id"]][line["serial"]] += kept
    found = set()
    for order_id, serials in booked.items():
        kept = 0
        for serial in sorted(serials):
            kept += serials[serial]
            if kept > 0:
                found.add(order_id)
    return found


def _broken(what: str, text: str) -> Broken:
    return Broken("3", "receipts", f"{what}: {text}")
