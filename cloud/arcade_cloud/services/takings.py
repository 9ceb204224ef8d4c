"""The takings: reports of booked lines, and lines for what another program has settled without booking it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from arcade_cloud.domain import books
from arcade_cloud.domain.books import EVERY, By, Line, Only, Row, Sums, total
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.tallies import Name, Report, name_for, rows_of, total_rows
from arcade_cloud.errors import Conflict, InvariantBroken
from arcade_cloud.services.fulfilment import CONFLICT_RETRIES, Fulfilment
from arcade_cloud.services.receipts import find_missing

# Orders in one pass of a rebuild: some megabytes.
PASS = 200
# The lines of so many machines are looked up by machine. Of more, it is quicker to read the whole day.
MACHINES_LOOKED_UP = 1_000
EVERY_LINE = 1_000_000
# Of so many lines there may be one that is meant: of fewer, it is quicker to read the whole day.
OTHERS_AMONG_THEM = 10


@dataclass
class Rebuilt:
    """What a rebuild has done so far, and what it proves.

    Attributes:
        orders: How many orders were looked at.
        booked: How many of them had to book lines.
        receipts: How many were made to wait for the number of a receipt.
        broken: What is wrong with orders that could not be looked at, or whose lines differ from their books.
        by_orders: What the orders' books and their lines of fees say, by currency.
        by_days: The sums of the lines of all days, by currency; empty until all orders were looked at.
        by_tallies: The same, of the tallies of all days.
        days_put_right: On how many days the tallies were not what their lines say.
        days: On which the orders that were looked at have booked.
        is_over: All orders were looked at, and all days added up.
    """

    orders: int = 0
    booked: int = 0
    receipts: int = 0
    broken: list[str] = field(default_factory=list)
    by_orders: dict[str, Sums] = field(default_factory=dict)
    by_days: dict[str, Sums] = field(default_factory=dict)
    by_tallies: dict[str, Sums] = field(default_factory=dict)
    days_put_right: int = 0
    days: set[str] = field(default_factory=set)
    is_over: bool = False

    @property
    def differences(self) -> list[tuple[str, Sums, Sums]]:
        """The currencies in which the orders' books and the days' lines differ: what each of them says."""
        return _differing(self.by_orders, self.by_days)

    @property
    def tallies_differ(self) -> list[tuple[str, Sums, Sums]]:
        """The currencies in which the days' lines and their tallies differ: what each of them says."""
        return _differing(self.by_days, self.by_tallies)


def _differing(one: dict[str, Sums], other: dict[str, Sums]) -> list[tuple[str, Sums, Sums]]:
    pairs = [(name, one.get(name, Sums()), other.get(name, Sums())) for name in sorted({*one, *other})]
    return [pair for pair in pairs if pair[1] != pair[2]]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a report.

    Attributes:
        number: Which page it is, from 1.
        of: How many there are.
        rows: Those of this page.
        totals: A row for each currency, of all pages.
        earned: The names, on all pages, for which money was paid.
    """

    number: int
    of: int
    rows: list[Row]
    totals: list[Row]
    earned: frozenset[str]


@dataclass(frozen=True)
class Takings:
    """What the arcade has taken."""

    fulfilment: Fulfilment

    def today(self) -> date:
        """The day that it is at the arcade."""
        return date.fromisoformat(books.day_of(self.fulfilment.now_ms(), self.fulfilment.zone))

    def report(self, first: date, last: date, by: By, only: Only = EVERY) -> Report:
        """What was booked on the days from `first` to `last`. It reads neither orders nor lines.

        Raises:
            StoreUnavailable: The store is down.
        """
        store = self.fulfilment.store
        return Report(by, store.taken(first.isoformat(), last.isoformat(), name_for(by), only))

    def page(self, first: date, last: date, by: Name, only: Only, *, number: int, at_most: int) -> Page:
        """One page of such a report by something of which there may be very many.

        Args:
            number: Which page, from 1. If there are fewer, it is the last one.
            at_most: Rows on a page.

        Raises:
            StoreUnavailable: The store is down.
        """
        store, days = self.fulfilment.store, (first.isoformat(), last.isoformat())
        found = store.taken_part(*days, by, only, (number - 1) * at_most, at_most)
        of = max(1, -(-found.number // at_most))
        if number > of:
            number = of
            found = store.taken_part(*days, by, only, (number - 1) * at_most, at_most)
        return Page(number, of, rows_of(found.taken), total_rows(found.totals), found.earned)

    def newest(self, first: date, last: date, only: Only = EVERY, *, limit: int) -> list[Line]:
        """The lines of the days from `first` to `last` that were booked last, newest first, `limit` at most.

        Only days are read that have such lines, and of a day only the machines that have.

        Raises:
            StoreUnavailable: The store is down.
        """
        found: list[Line] = []
        store = self.fulfilment.store
        days = {one.name for one in store.taken(first.isoformat(), last.isoformat(), "day", only)}
        for day in sorted(days, reverse=True):
            if len(found) >= limit:
                break
            found += self._newest_of(day, only, limit)
        return sorted(found, key=lambda line: (line.at_ms, line.order_id, line.number), reverse=True)[:limit]

    def _newest_of(self, day: str, only: Only, limit: int) -> list[Line]:
        store = self.fulfilment.store
        if only == EVERY:
            return store.newest_lines(day, limit)
        taken = store.taken(day, day, "machine", only)
        machine_ids = {one.name for one in taken}
        if len(machine_ids) > MACHINES_LOOKED_UP:
            wanted = min(limit, sum(one.counts.lines for one in taken))
            found = [line for line in store.newest_lines(day, OTHERS_AMONG_THEM * limit) if only.has(line)]
            return found if len(found) >= wanted else [line for line in store.lines_of_day(day) if only.has(line)]
        # Of these machines, others of their lines may be newer: so all of the day.
        return [line for line in store.newest_lines(day, EVERY_LINE, machine_ids) if only.has(line)]

    def idle(self, earned: Collection[str], only: Only = EVERY) -> list[Machine]:
        """The machines that are to earn money, stand where it is asked for, and have earned none.

        A machine that is not in service now is left out: it could not earn.

        Args:
            earned: Those that have, by a report by machine.

        Raises:
            StoreUnavailable: The store is down.
        """
        now_ms = self.fulfilment.now_ms()
        return [
            machine
            for machine in self.fulfilment.store.machines()
            if machine.machine_id not in earned
            and machine.closed(now_ms) is None
            and only.machine_id in {None, machine.machine_id}
            and only.location in {None, machine.location}
        ]

    def lines(self, first: date, last: date, only: Only = EVERY) -> Iterator[Line]:
        """The lines of the days from `first` to `last`, day by day, in no particular order within one.

        Raises:
            StoreUnavailable: The store is down.
        """
        for number in range((last - first).days + 1):
            day = first + timedelta(days=number)
            yield from filter(only.has, self.fulfilment.store.lines_of_day(day.isoformat()))

    def rebuild(self) -> Iterator[Rebuilt]:
        """Book what is not booked yet of all orders, the newest first, a limited number in each pass.

        It may be stopped and begun again at any time: what is booked is never booked again. Orders may be settled
        meanwhile.

        Returns:
            What was done so far, after each pass. At the end the lines of all days are added up.

        Raises:
            StoreUnavailable: The store is down.
        """
        done = Rebuilt()
        for page in self._pages():
            booked = [self._rebuild(order, done) for order in page]
            done.receipts += find_missing(self.fulfilment, booked)
            yield done
        self._add_up(done)
        done.is_over = True
        yield done

    def _pages(self) -> Iterator[list[Order]]:
        """All orders. Those that were made in the millisecond in which a page ends come in one page."""
        before_ms, limit = None, PASS
        while page := self.fulfilment.store.recent_orders(limit, before_ms=before_ms):
            last_ms = page[-1].created_at_ms
            whole = [order for order in page if order.created_at_ms > last_ms]
            if len(page) < limit:
                yield page
                return
            if not whole:  # more orders in one millisecond than in a page
                limit *= 2
                continue
            yield whole
            before_ms, limit = last_ms + 1, PASS

    def _rebuild(self, listed: Order, done: Rebuilt) -> list[Line]:
        """Book what is not booked yet of an order. Returns all that it has booked then."""
        done.orders += 1
        try:
            order, has_booked = self._book(listed.order_id)
        except InvariantBroken as error:
            done.broken.append(str(error))
            return []
        if order is None:
            return []
        booked = self.fulfilment.store.booked(order.order_id)
        lines = total(books.plays(booked))
        done.booked += has_booked
        done.days.update(line.day for line in booked)
        due = sum(books.shares(order), Sums()) if order.settlement.done else lines
        if due != lines:
            done.broken.append(f"order {order.order_id}: its books say {due}, and its lines {lines}")
        done.by_orders[order.currency] = done.by_orders.get(order.currency, Sums()) + due
        for line in booked:
            if line.kind == books.FEE:  # nothing in the order says what it must be
                done.by_orders[line.currency] = done.by_orders.get(line.currency, Sums()) + total((line,))
        return booked

    def _book(self, order_id: str) -> tuple[Order | None, bool]:
        """The order as it is now, once it has booked everything, and whether it had to."""
        fulfilment = self.fulfilment
        for _ in range(CONFLICT_RETRIES):
            order = fulfilment.store.order(order_id)
            if order is None or not order.settlement.done:
                return order, False
            at_ms = fulfilment.now_ms()
            if not fulfilment.store.booked(order_id):
                at_ms = min(at_ms, order.settlement.settled_at_ms or at_ms)
            booking = fulfilment.unbooked(order, at_ms)
            if not booking.lines:
                return order, False
            try:
                fulfilment.store.book(booking.lines, booking.tallies)
            except Conflict:
                continue
            return order, True
        raise InvariantBroken(f"order {order_id}: {CONFLICT_RETRIES} conflicts in a row")

    def _add_up(self, done: Rebuilt) -> None:
        store, days = self.fulfilment.store, list(_days(done.days, self.today()))
        for day in days:
            done.days_put_right += store.put_tallies_right(day)
            for line in store.lines_of_day(day):
                known = done.by_days.get(line.currency, Sums())
                done.by_days[line.currency] = known + total((line,))
        for row in Report("day", store.taken(days[0], days[-1], "day")).totals():
            done.by_tallies[row.currency] = row.sums


def _days(booked: set[str], today: date) -> Iterator[str]:
    """All days from the first on which something was booked to tomorrow, by whose clock it is that already."""
    day, last = date.fromisoformat(min(booked, default=today.isoformat())), today + timedelta(days=1)
    last = max(last, date.fromisoformat(max(booked, default=last.isoformat())))
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)
