"""Receipts: the timer numbers what waits for a number, and a month of them is put together from booked lines."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from arcade_cloud.domain import receipts
from arcade_cloud.domain.books import Line, plays
from arcade_cloud.domain.receipts import Document, Issuing, Receipt, Series, Summary
from arcade_cloud.errors import Conflict
from arcade_cloud.ports.receipts import NUMBERED_AT_MOST
from arcade_cloud.services.fulfilment import Fulfilment

# How long a receipt waits for its number at most, while the cloud runs.
ISSUE_EVERY_S = 10
# Batches in one pass: what has piled up while the cloud was down must not keep the orders waiting.
BATCHES = 10
# Orders whose receipts are read together.
_READ_AT_ONCE = 1_000


def begun_ms(fulfilment: Fulfilment) -> int | None:
    """Since when orders get receipts; None if none has had one yet.

    Raises:
        StoreUnavailable: The store is down.
    """
    store = fulfilment.store.receipts
    times = [one.begun_ms for one in store.series()]
    times += [one.at_ms for one in store.due(1)]
    return min(times, default=None)


def find_missing(fulfilment: Fulfilment, orders: Iterable[Sequence[Line]]) -> int:
    """Have orders wait for a number that an older version of this program has settled since there are receipts.

    Args:
        orders: All lines of each.

    Returns:
        How many have no number. They all wait for one now.

    Raises:
        StoreUnavailable: It may be done again.
    """
    begun = begun_ms(fulfilment)
    found = [due for lines in orders if (due := receipts.due_of(lines)) is not None]
    late = [due for due in found if begun is not None and due.at_ms >= begun]
    if not late:
        return 0
    store = fulfilment.store.receipts
    has_one = store.receipts_of([due.order_id for due in late])
    missing = [due for due in late if due.order_id not in has_one]
    store.queue(missing)
    return len(missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """An order's receipt.

    Attributes:
        receipt: Its number; None: it follows, or there is none.
        documents: The sale, and the notes to it; none if nothing was ever kept.
        lines: What was sold: the lines that the first document is about.
    """

    receipt: Receipt | None
    documents: tuple[Document, ...]
    lines: tuple[Line, ...]


@dataclass(kw_only=True)
class Receipts:
    """Numbers what waits: a `Watch`. Several processes may do so at once.

    Attributes:
        issuing: The prefix and the tax of the receipts that this process issues.
    """

    fulfilment: Fulfilment
    issuing: Issuing
    _next_ms: int = 0

    def run_once(self) -> None:
        """Number what waits, at most `BATCHES` batches, if it is time.

        With a clock that is known to be wrong nothing is numbered: a receipt has the time of its issue.

        Raises:
            StoreUnavailable: Some may be numbered. The rest waits for the next pass.
        """
        wait_ms = self._next_ms - self.fulfilment.now_ms()
        if 0 < wait_ms <= ISSUE_EVERY_S * 1000:  # a longer wait comes from a clock that was ahead
            return
        self._next_ms = self.fulfilment.now_ms() + ISSUE_EVERY_S * 1000
        if self.fulfilment.clock() == "wrong":
            return
        for _ in range(BATCHES):
            if self.issue() < NUMBERED_AT_MOST:
                return
        self._next_ms = 0

    def issue(self) -> int:
        """Number one batch. Returns how many waited; 0 also if others number at the same time.

        Raises:
            StoreUnavailable: They may or may not be numbered.
        """
        store = self.fulfilment.store.receipts
        waiting = store.due(NUMBERED_AT_MOST)
        if not waiting:
            return 0
        before = self._series()
        has_one = store.receipts_of([one.order_id for one in waiting])
        new, after = receipts.numbered(before, waiting, has_one, self.issuing, self.fulfilment.now_ms())
        try:
            store.issue(new, after, before, waiting)
        except Conflict:  # they go on, and what they leave waits for the next pass
            return 0
        return len(waiting)

    def _series(self) -> Series:
        prefix = self.issuing.prefix
        known = (one for one in self.fulfilment.store.receipts.series() if one.prefix == prefix)
        return next(known, Series(prefix=prefix))

    def of_order(self, order_id: str) -> Slip:
        """What an order's receipt has to say.

        Raises:
            StoreUnavailable: The store is down.
        """
        store = self.fulfilment.store
        lines, found = store.booked(order_id), store.receipts.receipts_of([order_id])
        documents = receipts.documents(lines, found)
        return Slip(
            receipt=found.get(order_id),
            documents=tuple(documents),
            lines=tuple(line for line in plays(lines) if documents and line.serial == documents[0].serial),
        )

    def gets_number(self, slip: Slip) -> bool:
        """Whether a receipt without a number gets one: it is not from a time without receipts.

        Raises:
            StoreUnavailable: The store is down.
        """
        begun = begun_ms(self.fulfilment)
        return bool(slip.documents) and begun is not None and slip.documents[0].at_ms >= begun

    def documents(self, first: date, last: date) -> Iterator[Document]:
        """The documents of all that was booked from one day to another, day by day.

        A receipt is of the day on which its order was booked, even if it got its number after midnight. So what
        the documents come to is what the takings of these days say is kept. What an older version has settled
        without asking for a number is made to wait for one.

        Raises:
            StoreUnavailable: The store is down.
        """
        store = self.fulfilment.store
        for number in range((last - first).days + 1):
            lines = store.lines_of_day((first + timedelta(days=number)).isoformat())
            found = receipts.documents(lines, self._receipts_of({line.order_id for line in lines}))
            bare = [one.order_id for one in found if one.receipt is None and one.kind == "receipt"]
            if bare:
                find_missing(self.fulfilment, [store.booked(order_id) for order_id in bare])
            yield from found

    def summary(self, documents: Iterable[Document]) -> Summary:
        """What documents come to, and how many of them wait for a number.

        Raises:
            StoreUnavailable: The store is down.
        """
        return receipts.summary(documents, begun_ms(self.fulfilment))

    def _receipts_of(self, order_ids: Iterable[str]) -> dict[str, Receipt]:
        every, found = sorted(order_ids), dict[str, Receipt]()
        for start in range(0, len(every), _READ_AT_ONCE):
            found |= self.fulfilment.store.receipts.receipts_of(every[start : start + _READ_AT_ONCE])
        return found
