"""What all parts of the DynamoDB store share: the table, and how they read lists and put items."""

import secrets
from collections.abc import Callable, Iterable

from arcade_cloud.adapters.store.dynamodb import items
from arcade_cloud.adapters.store.dynamodb.client import Refused, Table, side_by_side
from arcade_cloud.adapters.store.dynamodb.items import Item, Write

# Each index's name of the partition, and of the rank within it.
_NAMES = {
    "waiting": ("waits_in", "waits_from"),
    "lists": ("listed_in", "listed_at"),
    "of_machine": ("of_machine", "listed_at"),
}


class DynamoPart:
    """A part of the store."""

    def __init__(self, table: Table, check_form: Callable[[], object]) -> None:
        """Set up on the table.

        Args:
            check_form: Is called before every write, and raises if a newer program has the table.
        """
        self.table = table
        self._check_form = check_form

    def _in_partitions(self, partitions: Iterable[str]) -> list[Item]:
        """All items of these partitions of the table, read consistently."""
        return self.table.query_all("pk = :pk", ({":pk": partition} for partition in partitions))

    def _newest(
        self, index: str, partitions: Iterable[str], limit: int, *, before: str | None = None
    ) -> list[Item]:
        """What an index lists in these partitions, the newest first: the keys, merged.

        Args:
            before: A bound: only what has an earlier rank.
        """
        partition, rank = _NAMES[index]
        bound = items.before(None) if before is None else before

        def read(name: str) -> list[Item]:
            return self.table.query(
                f"{partition} = :partition AND {rank} < :before",
                {":partition": name, ":before": bound},
                limit=max(0, limit),
                index=index,
                newest_first=True,
            )

        return items.merged(side_by_side(read, list(partitions)), rank, max(0, limit), newest_first=True)

    def _is_put(self, write: Write, token: str) -> bool:
        """Put an item; False if its condition does not hold.

        If the first answer was lost and the repetition finds the item that this call has put, that counts as put.
        """
        self._check_form()
        try:
            self.table.write("put_item", write)
        except Refused as refused:
            (found,) = refused.found
            return found is not None and found.get("by") == {"S": token}
        return True


def new_token() -> str:
    """A mark that shows which call put an item."""
    return secrets.token_hex(8)
