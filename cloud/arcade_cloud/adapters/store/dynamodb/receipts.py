"""The numbers of receipts in the DynamoDB table. `dynamodb/store.py` shows where they stand."""

from collections.abc import Collection, Sequence

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.dynamodb import items, receipt_items
from arcade_cloud.adapters.store.dynamodb.client import Refused, side_by_side
from arcade_cloud.adapters.store.dynamodb.items import Item, Write
from arcade_cloud.adapters.store.dynamodb.part import DynamoPart
from arcade_cloud.domain.receipts import Receipt, ReceiptDue, Series
from arcade_cloud.errors import Conflict

# Writes in one transaction: DynamoDB's limit.
_AT_MOST = 100


class DynamoReceipts(DynamoPart):
    """`ports.receipts.ReceiptStore` on DynamoDB."""

    def due(self, limit: int) -> list[ReceiptDue]:
        """See `ReceiptStore.due`. Read from the table itself, so nothing is late."""

        def read(shard: str) -> list[Item]:
            return self.table.query("pk = :pk", {":pk": shard}, limit=max(0, limit))

        found = side_by_side(read, receipt_items.due_shards())
        return [receipt_items.due(item) for item in items.merged(found, "sk", max(0, limit), newest_first=False)]

    def queue(self, due: Sequence[ReceiptDue]) -> None:
        """See `ReceiptStore.queue`."""
        self._check_form()
        for start in range(0, len(due), _AT_MOST):
            self.table.transact([("Put", receipt_items.due_put(one)) for one in due[start : start + _AT_MOST]])

    def series(self) -> list[Series]:
        """See `ReceiptStore.series`."""
        return [
            records.series(items.body(item), items.text(item, "sk"))
            for item in self._in_partitions([receipt_items.SERIES])
        ]

    def issue(
        self, receipts: Sequence[Receipt], after: Series, before: Series, done: Sequence[ReceiptDue]
    ) -> None:
        """See `ReceiptStore.issue`."""
        records.check_issue(receipts, after, before, done)
        self._check_form()
        writes: list[tuple[str, Write]] = [("Delete", {"Key": receipt_items.due_key(one)}) for one in done]
        if receipts:
            writes.append(("Put", receipt_items.series_put(after, before)))
        writes += [("Put", put) for receipt in receipts for put in receipt_items.receipt_puts(receipt)]
        try:
            self.table.transact(writes)
        except Refused as refused:
            raise Conflict(
                f"receipts {after.prefix!r}: others have given numbers after {before.last}"
            ) from refused

    def receipts_of(self, order_ids: Collection[str]) -> dict[str, Receipt]:
        """See `ReceiptStore.receipts_of`."""
        found = self.table.get_all(receipt_items.receipt_key(order_id) for order_id in dict.fromkeys(order_ids))
        return {items.text(item, "order_id"): _receipt(item) for item in found}

    def numbered(self, prefix: str, first: int, last: int) -> list[Receipt]:
        """See `ReceiptStore.numbered`."""
        asked = [
            {
                ":pk": block,
                ":first": receipt_items.number_sort(max(1, first)),
                ":last": receipt_items.number_sort(last),
            }
            for block in receipt_items.blocks(prefix, first, last)
        ]
        return [_receipt(item) for item in self.table.query_all("pk = :pk AND sk BETWEEN :first AND :last", asked)]


def _receipt(item: Item) -> Receipt:
    return records.receipt(items.body(item), f"order {items.text(item, 'order_id')}")
