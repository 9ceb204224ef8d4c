"""Takings: the lines that settled orders book, and sums of them (pure).

Whenever an order is settled, each of its credits books a line, in the same transaction. A line is never changed.
If the order is settled again, because money moved or an operator gave some back, it books lines with the
difference. So the sum of an order's lines is always what its books say, and a report adds up lines and reads no
orders.

Every amount is in minor units of the line's currency; nothing adds two currencies.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, tzinfo
from typing import Literal

from msgspec import Struct

from arcade_cloud.domain.money import plain_amount
from arcade_cloud.domain.order import Order

By = Literal["day", "week", "month", "location", "machine", "method"]

# How credits are paid for that an operator gave.
FREE = "free"


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one credit of an order changes in the takings.

    Lines are only read and added to, so a field of a later version may be passed over: it is not lost.

    Attributes:
        number: Which of the order's credits it is, from 0.
        serial: 1 if it was booked with the order's first settlement, 2 with the second, and so on.
        day: When it was booked, in the arcade's time zone, as `2026-11-26`.
        at_ms: The same moment, epoch milliseconds.
        location: Of the machine, as it was then.
        method: By which Stripe's payment was made, such as `card` or `fpx`; FREE for a grant; empty: not known.
        currency: ISO 4217, lower case; empty for a grant.
        ordered: How many credits were bought or granted.
        delivered: How many of them were delivered.
        gross_minor: The price of what was delivered.
        goodwill_minor: Given back of that, although it was delivered.
        lost_minor: Lost of that: to a dispute, or because a hold had ended.
        kind: `play`. Other kinds, such as Stripe's fee, have other meanings.
    """

    order_id: str
    number: int
    serial: int
    day: str
    at_ms: int
    machine_id: str
    location: str = ""
    credit_id: str | None = None
    method: str = ""
    currency: str
    ordered: int = 0
    delivered: int = 0
    gross_minor: int = 0
    goodwill_minor: int = 0
    lost_minor: int = 0
    kind: str = "play"

    @property
    def net_minor(self) -> int:
        """What the operator keeps."""
        return self.gross_minor - self.goodwill_minor - self.lost_minor


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of lines, as each line has them. Of one currency only."""

    ordered: int = 0
    delivered: int = 0
    gross_minor: int = 0
    goodwill_minor: int = 0
    lost_minor: int = 0

    @property
    def net_minor(self) -> int:
        """What the operator keeps."""
        return self.gross_minor - self.goodwill_minor - self.lost_minor

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.ordered + other.ordered,
            self.delivered + other.delivered,
            self.gross_minor + other.gross_minor,
            self.goodwill_minor + other.goodwill_minor,
            self.lost_minor + other.lost_minor,
        )

    def __sub__(self, other: "Sums") -> "Sums":
        return self + Sums(
            -other.ordered, -other.delivered, -other.gross_minor, -other.goodwill_minor, -other.lost_minor
        )


def day_of(at_ms: int, zone: tzinfo) -> str:
    """The day of a moment in a time zone, as `2026-11-26`."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone).date().isoformat()


def settles(before: Order | None, after: Order) -> bool:
    """Whether a step leaves the order settled, with books that may differ from those that it was settled with."""
    if not after.settlement.done:
        return False
    return before is None or not before.settlement.done or before.books != after.books


def lines(
    booked: Sequence[Line], order: Order, *, at_ms: int, zone: tzinfo, locations: Mapping[str, str]
) -> tuple[Line, ...]:
    """The lines that a settled order books now: what its books say, less what is booked already.

    What other programs settled without booking it is in the difference too.

    Args:
        booked: All lines of the order so far.
        at_ms: Now, epoch milliseconds.
        zone: The arcade's time zone.
        locations: Where each of the order's machines is now.

    Returns:
        At most one line for each credit; none if nothing differs, or the order is not settled.
    """
    if not order.settlement.done:
        return ()
    day, method = day_of(at_ms, zone), _method(order) or _last_method(booked)
    serial = 1 + max((line.serial for line in booked), default=0)
    found = []
    for number, (credit, due) in enumerate(zip(order.credits, shares(order), strict=True)):
        new = due - total(line for line in booked if line.number == number)
        if new == Sums():
            continue
        line = Line(
            order_id=order.order_id,
            number=number,
            serial=serial,
            day=day,
            at_ms=at_ms,
            machine_id=credit.machine_id,
            location=locations.get(credit.machine_id, ""),
            credit_id=None if credit.command is None else credit.command.credit_id,
            method=method,
            currency=order.currency,
            ordered=new.ordered,
            delivered=new.delivered,
            gross_minor=new.gross_minor,
            goodwill_minor=new.goodwill_minor,
            lost_minor=new.lost_minor,
        )
        found.append(line)
    return tuple(found)


def shares(order: Order) -> tuple[Sums, ...]:
    """What each credit of a settled order has in its books. The sum is what the order has.

    What was given back or lost of an order with several credits is taken from the latest of them first.
    """
    books = order.books
    kept_minor = books.target_minor
    gross_minor = kept_minor + books.goodwill_minor + books.lost_minor
    found: list[Sums] = []
    for number, credit in enumerate(order.credits):
        is_last = number == len(order.credits) - 1
        # The last has what rounding leaves over: version 0.1 did not round to Stripe's steps.
        gross = gross_minor if is_last else min(credit.earned_minor(order.currency), gross_minor)
        kept = min(gross, kept_minor)
        goodwill = min(gross - kept, books.goodwill_minor - sum(share.goodwill_minor for share in found))
        gross_minor, kept_minor = gross_minor - gross, kept_minor - kept
        done = credit.resolution
        found.append(
            Sums(
                ordered=0 if credit.delivery is None else credit.count,
                delivered=0 if done is None else done.delivered,
                gross_minor=gross,
                goodwill_minor=goodwill,
                lost_minor=gross - kept - goodwill,
            )
        )
    return tuple(found)


def total(booked: Iterable[Line]) -> Sums:
    """The sums of lines of one currency."""
    found = Sums()
    for line in booked:
        found += Sums(line.ordered, line.delivered, line.gross_minor, line.goodwill_minor, line.lost_minor)
    return found


def _method(order: Order) -> str:
    payment = order.payment
    if payment is None:
        return FREE
    return "" if payment.shown is None else payment.shown.method or ""


def _last_method(booked: Sequence[Line]) -> str:
    """The method of what is booked: an order has one payment."""
    return next((line.method for line in reversed(booked) if line.method), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """Which lines are meant; None: whatever they have there."""

    machine_id: str | None = None
    location: str | None = None
    method: str | None = None
    currency: str | None = None

    def has(self, line: Line) -> bool:
        """Whether a line is meant."""
        return (
            self.machine_id in {None, line.machine_id}
            and self.location in {None, line.location}
            and self.method in {None, line.method}
            and self.currency in {None, line.currency}
        )


EVERY = Only()


# --- reports ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """The takings of one day, week, month, location, machine or method, in one currency."""

    name: str
    currency: str
    sums: Sums


class Report:
    """Adds up lines as they come, by one of their properties and by currency."""

    def __init__(self, by: By) -> None:
        self._by = by
        self._sums: dict[tuple[str, str], Sums] = {}

    def add(self, booked: Iterable[Line]) -> None:
        """Add lines."""
        for line in booked:
            key = _name(line, self._by), line.currency
            self._sums[key] = self._sums.get(key, Sums()) + total((line,))

    def rows(self) -> list[Row]:
        """A row for each name and currency, in their order."""
        return [Row(name, currency, sums) for (name, currency), sums in sorted(self._sums.items())]

    def totals(self) -> list[Row]:
        """A row for each currency."""
        found: dict[str, Sums] = {}
        for (_, currency), sums in sorted(self._sums.items()):
            found[currency] = found.get(currency, Sums()) + sums
        return [Row("total", currency, sums) for currency, sums in found.items()]


def _name(line: Line, by: By) -> str:
    match by:
        case "day":
            return line.day
        case "week":
            year, week, _ = date.fromisoformat(line.day).isocalendar()
            return f"{year}-W{week:02}"
        case "month":
            return line.day[:7]
        case "location":
            return line.location
        case "machine":
            return line.machine_id
        case "method":
            return line.method


def fields(row: Row, by: By) -> dict[str, object]:
    """A row for programs. Amounts are numbers in the currency's own units, as text."""

    def amount(minor: int) -> str | None:
        return plain_amount(minor, row.currency) if row.currency else None

    return {
        by: row.name or None,
        "currency": row.currency.upper() or None,
        "gross": amount(row.sums.gross_minor),
        "goodwill": amount(row.sums.goodwill_minor),
        "lost": amount(row.sums.lost_minor),
        "net": amount(row.sums.net_minor),
        "credits": row.sums.ordered,
        "delivered": row.sums.delivered,
    }
