"""Tallies: what lines add up to for each day, machine, place, method and currency (pure).

There may be very many of them, so Python's collector of cycles is spared them: nothing in them can be part of one.

A tally is booked together with the lines that it is of, in the same transaction, so a report adds up tallies and
reads no lines. Nothing ever computes one from another: a booking adds to it, and `arcade-cloud takings rebuild`
proves that it is what its lines say.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from operator import itemgetter
from typing import Literal

import msgspec
from msgspec import Struct

from arcade_cloud.domain.books import By, Line, Only, Row, Sums, owes_fee, tells_fee, total

# By what a store adds tallies up.
Name = Literal["day", "location", "machine", "method"]

NOTHING = Sums()


class Counts(Struct, frozen=True, kw_only=True, gc=False):
    """What lines add up to.

    Attributes:
        lines: How many lines there are.
        charged: How many orders in it have a fee by Stripe. An order counts where its first line is that has one.
        fees_open: Of how many of these the fee is not known yet.
        played_ms: When credits were booked last, epoch milliseconds; 0: none was delivered.
    """

    sums: Sums = NOTHING
    lines: int = 0
    charged: int = 0
    fees_open: int = 0
    played_ms: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            sums=self.sums + other.sums,
            lines=self.lines + other.lines,
            charged=self.charged + other.charged,
            fees_open=self.fees_open + other.fees_open,
            played_ms=max(self.played_ms, other.played_ms),
        )

    def less(self, other: "Counts") -> "Counts":
        """What must be added to the other one to make this of it."""
        return Counts(
            sums=self.sums - other.sums,
            lines=self.lines - other.lines,
            charged=self.charged - other.charged,
            fees_open=self.fees_open - other.fees_open,
            played_ms=self.played_ms,
        )

    @property
    def numbers(self) -> tuple[int, ...]:
        """What a store adds up, in the order of `of`: all but `played_ms`, of which the latest counts."""
        return (*msgspec.structs.astuple(self.sums), self.lines, self.charged, self.fees_open)

    @classmethod
    def of(cls, numbers: Iterable[int], played_ms: int) -> "Counts":
        """The counts with these numbers."""
        *sums, lines, charged, fees_open = numbers
        return cls(sums=Sums(*sums), lines=lines, charged=charged, fees_open=fees_open, played_ms=played_ms)

    @property
    def adds_nothing(self) -> bool:
        """Whether adding it changes no number."""
        return msgspec.structs.replace(self, played_ms=0) == Counts()


class Place(Struct, frozen=True, kw_only=True, gc=False):
    """Which lines a tally is of. The attributes are those of `Line`."""

    day: str
    machine_id: str
    location: str
    method: str
    currency: str


Tallies = dict[Place, Counts]


class Taken(Struct, frozen=True, gc=False):
    """What several tallies add up to: those with this name, of one currency.

    Attributes:
        name: The day, machine, location or method that they have in common.
    """

    name: str
    currency: str
    counts: Counts


class TakenPart(Struct, frozen=True, kw_only=True, gc=False):
    """Some of what several tallies add up to, and what is to be known of the others.

    Attributes:
        taken: Those that were asked for.
        number: How many there are altogether.
        totals: All of them added up, by currency, without a name.
        earned: The names for which money was paid: free credits are no earnings.
    """

    taken: Sequence[Taken]
    number: int
    totals: Sequence[Taken]
    earned: frozenset[str]


def place_of(line: Line) -> Place:
    """Where a line is counted."""
    return Place(
        day=line.day,
        machine_id=line.machine_id,
        location=line.location,
        method=line.method,
        currency=line.currency,
    )


def of_line(line: Line) -> Counts:
    """What a line counts by itself, whatever else its order has booked."""
    return Counts(sums=total((line,)), lines=1, played_ms=line.at_ms if line.delivered > 0 else 0)


def added(booked: Sequence[Line], lines: Iterable[Line]) -> Tallies:
    """What lines add to the tallies when they are booked.

    Args:
        booked: All lines that their order has booked before.
        lines: Lines of one order, in the order in which they are booked.
    """
    found: Tallies = {}

    def add(place: Place, counts: Counts) -> None:
        found[place] = found.get(place, Counts()) + counts

    charged_at = next((place_of(line) for line in booked if owes_fee(line)), None)
    is_told = any(tells_fee(line) for line in booked)
    for line in lines:
        place = place_of(line)
        add(place, of_line(line))
        if owes_fee(line) and charged_at is None:
            charged_at = place
            add(place, Counts(charged=1, fees_open=0 if is_told else 1))
        if tells_fee(line) and not is_told:
            is_told = True
            if charged_at is not None:
                add(charged_at, Counts(fees_open=-1))
    return found


def of_day(day: str, lines: Iterable[Line], booked: Callable[[str], Sequence[Line]]) -> Tallies:
    """The tallies of a day, from its lines.

    Args:
        booked: All lines of an order, the first booked first. It is asked about orders whose lines of that day do
            not say all: those that have booked on other days, or may have.
    """
    by_order: dict[str, list[Line]] = {}
    for line in lines:
        by_order.setdefault(line.order_id, []).append(line)
    found: Tallies = {}
    for order_id, of_order in by_order.items():
        whole = sorted(of_order, key=lambda line: (line.serial, line.number))
        if not _says_all(whole):
            whole = list(booked(order_id))
        for place, counts in added((), whole).items():
            if place.day == day:
                found[place] = found.get(place, Counts()) + counts
    return found


def _says_all(lines: Sequence[Line]) -> bool:
    """Whether no other line of the order can change what these say about its fee."""
    from_the_first = {line.serial for line in lines} == set(range(1, 1 + lines[-1].serial))
    return from_the_first and (any(map(tells_fee, lines)) or not any(map(owes_fee, lines)))


def differences(stored: Tallies, right: Tallies) -> Tallies:
    """What must be added to the stored tallies to put them right."""
    every = {
        place: right.get(place, Counts()).less(stored.get(place, Counts()))
        for place in dict.fromkeys((*stored, *right))
    }
    return {place: counts for place, counts in every.items() if not counts.adds_nothing}


def until(day: str, lines: Iterable[Line], until_ms: int) -> list[Taken]:
    """What was booked of a day up to that moment, by currency, from its lines."""
    found: dict[str, Counts] = {}
    for line in lines:
        if line.at_ms <= until_ms:
            found[line.currency] = found.get(line.currency, Counts()) + of_line(line)
    return [Taken(day, currency, counts) for currency, counts in sorted(found.items())]


def grouped(tallies: Iterable[tuple[Place, Counts]], by: Name, only: Only) -> list[Taken]:
    """The tallies that are meant, added up by one of their properties and by currency."""
    found: dict[tuple[str, str], Counts] = {}
    for place, counts in tallies:
        if only.has(place):
            key = _named(place, by), place.currency
            found[key] = found[key] + counts if key in found else counts
    return [Taken(*key, counts) for key, counts in sorted(found.items(), key=itemgetter(0))]


def part(taken: Sequence[Taken], offset: int, limit: int) -> TakenPart:
    """`limit` of them from the one at `offset`, counted from 0."""
    return TakenPart(
        taken=taken[offset : offset + limit],
        number=len(taken),
        totals=in_all(taken),
        earned=earned(taken),
    )


def in_all(taken: Iterable[Taken]) -> list[Taken]:
    """Those of each currency added up, without a name."""
    found: dict[str, list[Counts]] = {}
    for one in taken:
        found.setdefault(one.currency, []).append(one.counts)
    return [
        Taken(
            "",
            currency,
            Counts(
                sums=total(counts.sums for counts in several),
                lines=sum(counts.lines for counts in several),
                charged=sum(counts.charged for counts in several),
                fees_open=sum(counts.fees_open for counts in several),
                played_ms=max(counts.played_ms for counts in several),
            ),
        )
        for currency, several in sorted(found.items())
    ]


def _named(place: Place, by: Name) -> str:
    match by:
        case "day":
            return place.day
        case "location":
            return place.location
        case "machine":
            return place.machine_id
        case "method":
            return place.method


def sums_of(taken: Iterable[Taken]) -> dict[str, Sums]:
    """The sums by currency, whatever their names."""
    return {one.currency: one.counts.sums for one in in_all(taken)}


def months_between(first: str, last: str) -> Iterator[str]:
    """The months from one day to another, such as `2026-11`, up to the last one of the calendar."""
    months = [int(day[:4]) * 12 + int(day[5:7]) - 1 for day in (first, last)]
    return (f"{month // 12:04}-{month % 12 + 1:02}" for month in range(months[0], months[1] + 1))


# --- reports ---------------------------------------------------------------------------------------------


def name_for(by: By) -> Name:
    """By what tallies are added up for a report: weeks and months are made of days."""
    return "day" if by == "day" or by == "week" or by == "month" else by


class Report:
    """The takings by one of their properties and by currency."""

    def __init__(self, by: By, taken: Sequence[Taken]) -> None:
        """Make the report.

        Args:
            taken: By `name_for` the same, as a store gives them: in their order.
        """
        self._taken = taken if name_for(by) == by else _of_times(taken, by)

    @property
    def lines(self) -> int:
        """How many lines it is made of."""
        return sum(one.counts.lines for one in self._taken)

    @property
    def earned(self) -> frozenset[str]:
        """The names for which money was paid: free credits are no earnings."""
        return earned(self._taken)

    def rows(self) -> list[Row]:
        """A row for each name and currency, in their order."""
        return rows_of(self._taken)

    def totals(self) -> list[Row]:
        """A row for each currency."""
        return total_rows(in_all(self._taken))


def _of_times(days: Iterable[Taken], by: By) -> list[Taken]:
    """Days added up to weeks or months."""
    found: dict[tuple[str, str], Counts] = {}
    for one in days:
        key = _of_time(one.name, by), one.currency
        found[key] = found[key] + one.counts if key in found else one.counts
    return [Taken(*key, counts) for key, counts in sorted(found.items(), key=itemgetter(0))]


def earned(taken: Iterable[Taken]) -> frozenset[str]:
    """The names for which money was paid."""
    return frozenset(one.name for one in taken if one.counts.sums.gross_minor > 0)


def rows_of(taken: Iterable[Taken]) -> list[Row]:
    """A row for each of them."""
    return [_row(one.name, one.currency, one.counts) for one in taken]


def total_rows(totals: Iterable[Taken]) -> list[Row]:
    """A row for each of `in_all`."""
    return [_row("total", one.currency, one.counts) for one in totals]


def _row(name: str, currency: str, counts: Counts) -> Row:
    return Row(name, currency, counts.sums, counts.charged, counts.fees_open)


def _of_time(name: str, by: By) -> str:
    match by:
        case "week":
            year, week, _ = date.fromisoformat(name).isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return name[:7]
        case _:
            return name
