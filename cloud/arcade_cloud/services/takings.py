"""The takings: reports of booked lines, and lines for what another program has settled without booking it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta

from arcade_cloud.domain import books
from arcade_cloud.domain.books import EVERY, By, Line, Only, Report, Sums, total
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.reconciling import bounds_ms
from arcade_cloud.errors import Conflict, InvariantBroken
from arcade_cloud.services.fulfilment import CONFLICT_RETRIES, Fulfilment

# Orders in one pass of a rebuild: some megabytes.
PASS = 200
# The fee of an order that was settled around midnight may be booked on the other day. Of so many orders that were
# settled so near to a report's first or last midnight it is looked up there.
NEAR_MS = 2 * 3_600_000
FEES_LOOKED_UP = 100


@dataclass
class Rebuilt:
    """What a rebuild has done so far, and what it proves.

    Attributes:
        orders: How many orders were looked at.
        booked: How many of them had to book lines.
        broken: What is wrong with orders that could not be looked at, or whose lines differ from their books.
        by_orders: What the orders' books and their lines of fees say, by currency.
        by_days: The sums of the lines of all days, by currency; empty until all orders were looked at.
        days: On which the orders that were looked at have booked.
        is_over: All orders were looked at, and all days added up.
    """

    orders: int = 0
    booked: int = 0
    broken: list[str] = field(default_factory=list)
    by_orders: dict[str, Sums] = field(default_factory=dict)
    by_days: dict[str, Sums] = field(default_factory=dict)
    days: set[str] = field(default_factory=set)
    is_over: bool = False

    @property
    def differences(self) -> list[tuple[str, Sums, Sums]]:
        """The currencies in which the orders' books and the days' lines differ: what each of them says."""
        currencies = sorted({*self.by_orders, *self.by_days})
        pairs = [(one, self.by_orders.get(one, Sums()), self.by_days.get(one, Sums())) for one in currencies]
        return [pair for pair in pairs if pair[1] != pair[2]]


@dataclass(frozen=True)
class Takings:
    """What the arcade has taken."""

    fulfilment: Fulfilment

    def today(self) -> date:
        """The day that it is at the arcade."""
        return date.fromisoformat(books.day_of(self.fulfilment.now_ms(), self.fulfilment.zone))

    def report(self, first: date, last: date, by: By, only: Only = EVERY) -> Report:
        """Add up the lines of the days from `first` to `last`. It reads no orders.

        Raises:
            StoreUnavailable: The store is down.
        """
        report = Report(by)
        report.add(self.lines(first, last, only))
        begin_ms, end_ms = (bounds_ms(day, self.fulfilment.zone)[n] for n, day in enumerate((first, last)))
        near = [
            order_id
            for order_id, at_ms in report.fees_open.items()
            if at_ms < begin_ms + NEAR_MS or at_ms >= end_ms - NEAR_MS
        ]
        for order_id in near[:FEES_LOOKED_UP]:
            if any(books.tells_fee(line) for line in self.fulfilment.store.booked(order_id)):
                report.note_known(order_id)
        return report

    def idle(self, report: Report, only: Only = EVERY) -> list[Machine]:
        """The machines that are to earn money, stand where it is asked for, and have none in a report by machine.

        Free credits are no earnings. A machine that is not in service now is left out: it could not earn.

        Raises:
            StoreUnavailable: The store is down.
        """
        now_ms = self.fulfilment.now_ms()
        earned = {row.name for row in report.rows() if row.sums.gross_minor > 0}
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
            for order in page:
                self._rebuild(order, done)
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

    def _rebuild(self, listed: Order, done: Rebuilt) -> None:
        done.orders += 1
        try:
            order, has_booked = self._book(listed.order_id)
        except InvariantBroken as error:
            done.broken.append(str(error))
            return
        if order is None:
            return
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
            lines = fulfilment.unbooked(order, at_ms)
            if not lines:
                return order, False
            try:
                fulfilment.store.book(lines)
            except Conflict:
                continue
            return order, True
        raise InvariantBroken(f"order {order_id}: {CONFLICT_RETRIES} conflicts in a row")

    def _add_up(self, done: Rebuilt) -> None:
        for day in _days(done.days, self.today()):
            for line in self.fulfilment.store.lines_of_day(day):
                known = done.by_days.get(line.currency, Sums())
                done.by_days[line.currency] = known + total((line,))


def _days(booked: set[str], today: date) -> Iterator[str]:
    """All days from the first on which something was booked to tomorrow, by whose clock it is that already."""
    day, last = date.fromisoformat(min(booked, default=today.isoformat())), today + timedelta(days=1)
    last = max(last, date.fromisoformat(max(booked, default=last.isoformat())))
    while day <= last:
        yield day.isoformat()
        day += timedelta(days=1)
