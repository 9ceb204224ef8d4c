"""The numbers of receipts, in memory: the same promises as the adapters, but for durability."""

import threading
from collections.abc import Callable, Collection, Sequence

from arcade_cloud.adapters.store import records
from arcade_cloud.domain.receipts import Receipt, ReceiptDue, Series
from arcade_cloud.errors import Conflict


class MemoryReceipts:
    """`ports.receipts.ReceiptStore` in memory, under the lock of the store that it belongs to."""

    def __init__(self, lock: "threading.RLock", check_up: Callable[[], None]) -> None:
        self._lock = lock
        self._check_up = check_up
        self._due: dict[tuple[int, str, int], ReceiptDue] = {}
        self._receipts: dict[str, Receipt] = {}
        self._series: dict[str, Series] = {}

    def copied(self) -> "MemoryReceipts":
        """All that is on record, as it is now."""
        copy = MemoryReceipts(self._lock, self._check_up)
        copy._due, copy._receipts, copy._series = dict(self._due), dict(self._receipts), dict(self._series)
        return copy

    def put_due(self, due: Sequence[ReceiptDue]) -> None:
        """As a step does that is stored."""
        self._due.update({_place(one): one for one in due})

    def due(self, limit: int) -> list[ReceiptDue]:
        with self._lock:
            self._check_up()
            return [self._due[place] for place in sorted(self._due)][: max(0, limit)]

    def queue(self, due: Sequence[ReceiptDue]) -> None:
        with self._lock:
            self._check_up()
            self.put_due(due)

    def series(self) -> list[Series]:
        with self._lock:
            self._check_up()
            return [self._series[prefix] for prefix in sorted(self._series)]

    def issue(
        self, receipts: Sequence[Receipt], after: Series, before: Series, done: Sequence[ReceiptDue]
    ) -> None:
        records.check_issue(receipts, after, before, done)
        with self._lock:
            self._check_up()
            known = self._series.get(after.prefix)
            if receipts and (0 if known is None else known.last) != before.last:
                raise Conflict(f"receipts {after.prefix!r}")
            if any(receipt.order_id in self._receipts for receipt in receipts):
                raise Conflict("an order has a receipt")
            if receipts:
                self._series[after.prefix] = after
            self._receipts.update({receipt.order_id: receipt for receipt in receipts})
            for one in done:
                self._due.pop(_place(one), None)

    def receipts_of(self, order_ids: Collection[str]) -> dict[str, Receipt]:
        with self._lock:
            self._check_up()
            return {name: self._receipts[name] for name in order_ids if name in self._receipts}

    def numbered(self, prefix: str, first: int, last: int) -> list[Receipt]:
        with self._lock:
            self._check_up()
            found = [
                one for one in self._receipts.values() if one.prefix == prefix and first <= one.number <= last
            ]
            return sorted(found, key=lambda one: one.number)


def _place(one: ReceiptDue) -> tuple[int, str, int]:
    return one.at_ms, one.order_id, one.serial
