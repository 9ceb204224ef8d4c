"""Lines and tallies in the DynamoDB table. `dynamodb/store.py` shows where they stand."""

from collections.abc import Collection, Iterator

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.dynamodb import items, takings_items
from arcade_cloud.adapters.store.dynamodb.client import Refused
from arcade_cloud.adapters.store.dynamodb.items import Item, Write
from arcade_cloud.adapters.store.dynamodb.part import DynamoPart
from arcade_cloud.domain.books import EVERY, Line, Only
from arcade_cloud.domain.tallies import (
    Counts,
    Name,
    Place,
    Taken,
    TakenPart,
    Tallies,
    differences,
    grouped,
    months_between,
    of_day,
    part,
    until,
)
from arcade_cloud.errors import Conflict, StoreUnavailable

# So often a day is added up anew while others book lines of it.
_TRIES = 10
# Updates in one transaction: DynamoDB's limit.
_AT_MOST = 100


class DynamoTakings(DynamoPart):
    """The part of `ports.store.Store` that is about the takings, on DynamoDB."""

    def book(self, lines: tuple[Line, ...], tallies: Tallies | None = None) -> None:
        """See `Store.book`."""
        first = lines[0]
        records.check_lines(lines, first.order_id)
        self._check_form()
        writes: list[tuple[str, Write]] = [("Put", put) for put in takings_items.booking_puts(lines)]
        writes += [("Update", update) for update in takings_items.tally_updates(tallies or {})]
        try:
            self.table.transact(writes)
        except Refused as refused:
            raise Conflict(f"order {first.order_id} has booked lines number {first.serial} already") from refused

    def booked(self, order_id: str) -> list[Line]:
        """See `Store.booked`."""
        where = {":pk": items.text(items.key("order", order_id), "pk"), ":booking": takings_items.booking_sort()}
        return _lines(self.table.query("pk = :pk AND begins_with(sk, :booking)", where))

    def lines_of_day(self, day: str) -> list[Line]:
        """See `Store.lines_of_day`."""
        return _lines(self._in_partitions(takings_items.takings_shards(day)))

    def newest_lines(self, day: str, limit: int, machine_ids: Collection[str] | None = None) -> list[Line]:
        """See `Store.newest_lines`. It reads the day: an index would cost each purchase another write."""
        return [line for line in self.lines_of_day(day) if machine_ids is None or line.machine_id in machine_ids]

    def taken(self, first: str, last: str, by: Name, only: Only = EVERY) -> list[Taken]:
        """See `Store.taken`."""
        machine_ids = only.machines if only.machine_id is None else {only.machine_id}
        return grouped(self._tallies(first, last, machine_ids), by, only)

    def taken_part(self, first: str, last: str, by: Name, only: Only, offset: int, limit: int) -> TakenPart:
        """See `Store.taken_part`. It reads what `taken` does, once."""
        return part(self.taken(first, last, by, only), offset, limit)

    def taken_until(self, day: str, until_ms: int) -> list[Taken]:
        """See `Store.taken_until`."""
        return until(day, self.lines_of_day(day), until_ms)

    def tallies_of_day(self, day: str) -> Tallies:
        """See `Store.tallies_of_day`."""
        return dict(self._tallies(day, day))

    def put_tallies_right(self, day: str) -> bool:
        """See `Store.put_tallies_right`. If something is booked meanwhile, it looks again."""
        for _ in range(_TRIES):
            stored = self.tallies_of_day(day)
            wrong = differences(stored, of_day(day, self.lines_of_day(day), self.booked))
            if not wrong:
                return False
            if self.tallies_of_day(day) == stored:
                break
        else:
            raise StoreUnavailable(f"the tallies of {day}: others have kept booking while they were added up")
        self._check_form()
        places = list(wrong)
        for start in range(0, len(places), _AT_MOST):
            some = {place: wrong[place] for place in places[start : start + _AT_MOST]}
            self.table.transact([("Update", update) for update in takings_items.tally_updates(some)])
        return True

    def _tallies(
        self, first: str, last: str, machine_ids: Collection[str] | None = None
    ) -> Iterator[tuple[Place, Counts]]:
        asked = [
            {":pk": shard, ":first": first, ":after": f"{last}$"}  # "$" comes after "#"
            for month in months_between(first, last)
            for shard in takings_items.tally_shards(month, machine_ids)
        ]
        return map(takings_items.tally, self.table.query_all("pk = :pk AND sk BETWEEN :first AND :after", asked))


def _lines(found: list[Item]) -> list[Line]:
    return [line for item in found for line in records.lines(items.body(item), items.text(item, "order_id"))]
