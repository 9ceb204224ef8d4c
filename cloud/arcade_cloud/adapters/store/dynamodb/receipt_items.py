"""The items of the receipts in the DynamoDB table: what waits for a number, the numbers, the series (pure)."""

from arcade_cloud.adapters.store.dynamodb.items import (
    IS_NEW,
    Item,
    Write,
    key,
    put,
    rank,
    record_of,
    shard,
    shards,
    text,
)
from arcade_cloud.domain.receipts import Receipt, ReceiptDue, Series

SERIES = "receipt-series"
_BLOCK = 1_000


def due_shards() -> list[str]:
    """All partitions over which what waits for a number is spread."""
    return shards("receipts-due")


def due_key(one: ReceiptDue) -> Item:
    """Where it waits."""
    return {
        "pk": {"S": shard("receipts-due", one.order_id)},
        "sk": {"S": f"{rank(one.at_ms, one.order_id)}#{one.serial:010}"},
    }


def due_put(one: ReceiptDue) -> Write:
    """Have it wait. Put again, it is the same."""
    return {
        "Item": {
            **due_key(one),
            "order_id": {"S": one.order_id},
            "serial": {"N": str(one.serial)},
            "booked_at": {"N": str(one.at_ms)},
        }
    }


def due(item: Item) -> ReceiptDue:
    """What an item says."""
    return ReceiptDue(
        order_id=text(item, "order_id"), serial=int(text(item, "serial")), at_ms=int(text(item, "booked_at"))
    )


def receipt_key(order_id: str) -> Item:
    """Where an order's receipt stands."""
    return key("order", order_id, "receipt")


def receipt_puts(receipt: Receipt) -> tuple[Write, Write]:
    """A receipt: once for its order, and once for its number. It is never overwritten."""
    body: Item = {"order_id": {"S": receipt.order_id}, "body": record_of(receipt, f"receipt {receipt.name}")}
    where: Item = {"pk": {"S": _block(receipt.prefix, receipt.number)}, "sk": {"S": number_sort(receipt.number)}}
    return put({**receipt_key(receipt.order_id), **body}, IS_NEW), put({**where, **body}, IS_NEW)


def blocks(prefix: str, first: int, last: int) -> list[str]:
    """The partitions in which these numbers stand."""
    numbers = range(max(1, first) // _BLOCK, last // _BLOCK + 1)
    return [_block(prefix, number * _BLOCK) for number in numbers]


def number_sort(number: int) -> str:
    """The sort key of a number."""
    return f"{number:012}"


def series_key(prefix: str) -> Item:
    """Where a series stands."""
    return {"pk": {"S": SERIES}, "sk": {"S": f"series#{prefix}"}}


def series_put(after: Series, before: Series) -> Write:
    """How far the numbers have been given, if it was that far before."""
    item: Item = {
        **series_key(after.prefix),
        "last_number": {"N": str(after.last)},
        "body": record_of(after, f"the series of receipts {after.prefix!r}"),
    }
    if before.last == 0:
        return put(item, IS_NEW)
    return put(item, "last_number = :last", {":last": {"N": str(before.last)}})


def _block(prefix: str, number: int) -> str:
    return f"receipts#{prefix}#{number // _BLOCK}"
