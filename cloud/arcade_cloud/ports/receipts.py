"""The port to the numbers of receipts. Every store has one (`receipts`), and all pass one contract suite.

Any call may raise StoreUnavailable.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from arcade_cloud.domain.receipts import Receipt, ReceiptDue, Series

# Receipts that are numbered together: each is three writes, and DynamoDB takes 100 in a transaction.
NUMBERED_AT_MOST = 33


class ReceiptStore(Protocol):
    """The orders that wait for a number, and those that have one."""

    def due(self, limit: int) -> list[ReceiptDue]:
        """What waits for a number, at most `limit`, the longest waiting first. Some may have one already."""
        ...

    def queue(self, due: Sequence[ReceiptDue]) -> None:
        """Have these wait, as a step of theirs does (`Move.receipt`). What waits already waits once."""
        ...

    def series(self) -> list[Series]:
        """All series in which a number was given, by prefix. They are few."""
        ...

    def issue(
        self, receipts: Sequence[Receipt], after: Series, before: Series, done: Sequence[ReceiptDue]
    ) -> None:
        """Give the next numbers, and take what is done off the queue: all or nothing.

        Args:
            receipts: With the numbers from `before.last` + 1 to `after.last`, in this order; perhaps none.
            before: What the series must be now. With `last` 0 there must be none.
            done: At most NUMBERED_AT_MOST: these receipts' orders, and some that have a number.

        Raises:
            Conflict: The series is another, or one of the orders has a number. Nothing is stored.
        """
        ...

    def receipts_of(self, order_ids: Collection[str]) -> dict[str, Receipt]:
        """The receipts of these orders; those that have none are left out."""
        ...

    def numbered(self, prefix: str, first: int, last: int) -> list[Receipt]:
        """The receipts of a series with these numbers, by number."""
        ...
