"""Takings: the lines that settled orders book, and sums of them (pure).

Whenever an order is settled, each of its credits books a line, in the same transaction. A line is never changed.
If the order is settled again, because money moved or an operator gave some back, it books lines with the
difference. So the sum of an order's lines is always what its books say, and a report adds up lines and reads no
orders.

What Stripe's balance says of an order's payment is a line too, of kind FEE: one for each of Stripe's balance
transactions, with the fee that Stripe took. It is booked when it becomes known, which is some seconds or minutes
after the order is settled, on the day of the transaction.

Every amount is in minor units of the line's currency; nothing adds two currencies.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Literal, Protocol

from msgspec import Struct

from arcade_cloud.domain.balance import OF_PAYMENTS, Entry
from arcade_cloud.domain.money import plain_amount
from arcade_cloud.domain.order import Order

By = Literal["day", "week", "month", "location", "machine", "method"]

# How credits are paid for that an operator gave.
FREE = "free"
# The kinds of lines: what was sold, and what Stripe's balance says of its payment.
PLAY, FEE = "play", "fee"


class Line(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What one credit of an order, or one of Stripe's balance transactions of its payment, changes in the takings.

    Lines are only read and added to, so a field of a later version may be passed over: it is not lost.

    Attributes:
        number: Which of the order's credits it is, from 0.
        serial: 1 if it was the first that the order has booked, 2 for what was booked next, and so on.
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
        kind: PLAY or FEE. A line of kind FEE has none of the fields from `ordered` to `lost_minor`, and a line of
            kind PLAY none that follow. A later version may have other kinds.
        fee_minor: What Stripe took for it; negative where it gave a fee back. The line's currency is then that of
            the account, which may differ from the order's.
        moved_minor: What the transaction moved into Stripe's balance, before the fee; negative: out of it.
        entry_id: Stripe's id of the balance transaction. An order books each once.
        what: What the transaction is, as `balance.Entry` has it; a refund that was made by hand is REFUND_BY_HAND.
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
    kind: str = PLAY
    fee_minor: int = 0
    moved_minor: int = 0
    entry_id: str = ""
    what: str = ""

    @property
    def kept_minor(self) -> int:
        """What the operator keeps of the price, before Stripe's fee."""
        return self.gross_minor - self.goodwill_minor - self.lost_minor


class Sums(Struct, frozen=True, gc=False):
    """Sums of lines, as each line has them. Of one currency only."""

    ordered: int = 0
    delivered: int = 0
    gross_minor: int = 0
    goodwill_minor: int = 0
    lost_minor: int = 0
    fee_minor: int = 0

    @property
    def kept_minor(self) -> int:
        """What the operator keeps of the price, before Stripe's fees."""
        return self.gross_minor - self.goodwill_minor - self.lost_minor

    @property
    def net_minor(self) -> int:
        """What is left of that after the fees that are known."""
        return self.kept_minor - self.fee_minor

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            self.ordered + other.ordered,
            self.delivered + other.delivered,
            self.gross_minor + other.gross_minor,
            self.goodwill_minor + other.goodwill_minor,
            self.lost_minor + other.lost_minor,
            self.fee_minor + other.fee_minor,
        )

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(
            self.ordered - other.ordered,
            self.delivered - other.delivered,
            self.gross_minor - other.gross_minor,
            self.goodwill_minor - other.goodwill_minor,
            self.lost_minor - other.lost_minor,
            self.fee_minor - other.fee_minor,
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
        new = due - total(line for line in plays(booked) if line.number == number)
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

    What was given back or lost of an order with several credits is taken from the latest of them first, but what
    was given back of a single play on a tab from that play.
    """
    books = order.books
    kept_minor = books.target_minor
    gross_minor = kept_minor + books.goodwill_minor + books.lost_minor
    goodwill_minor = books.goodwill_minor - min(books.goodwill_minor, order.forgiven_minor)
    found: list[Sums] = []
    for number, credit in enumerate(order.credits):
        is_last = number == len(order.credits) - 1
        # The last has what rounding leaves over: version 0.1 did not round to Stripe's steps.
        gross = gross_minor if is_last else min(credit.earned_minor(order.currency), gross_minor)
        own = min(credit.goodwill_minor, gross, books.goodwill_minor)
        kept = min(gross - own, kept_minor)
        other = min(gross - own - kept, goodwill_minor)
        gross_minor, kept_minor, goodwill_minor = gross_minor - gross, kept_minor - kept, goodwill_minor - other
        goodwill = own + other
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


def total(booked: "Iterable[Line | Sums]") -> Sums:
    """The sums of lines, or of sums, of one currency."""
    ordered = delivered = gross_minor = goodwill_minor = lost_minor = fee_minor = 0
    for line in booked:  # a report adds up tens of thousands, so none makes an object of its own
        ordered += line.ordered
        delivered += line.delivered
        gross_minor += line.gross_minor
        goodwill_minor += line.goodwill_minor
        lost_minor += line.lost_minor
        fee_minor += line.fee_minor
    return Sums(ordered, delivered, gross_minor, goodwill_minor, lost_minor, fee_minor)


def plays(booked: Iterable[Line]) -> tuple[Line, ...]:
    """The lines of what was sold: those that the order's own books explain."""
    return tuple(line for line in booked if line.kind == PLAY)


# --- what Stripe's balance says --------------------------------------------------------------------------

# `Line.what` of a refund that somebody made at Stripe.
REFUND_BY_HAND = "refund by hand"


def has_booked(booked: Iterable[Line], entry: Entry) -> bool:
    """Whether one of Stripe's balance transactions is booked: it is only once, however often it is read."""
    return any(line.entry_id == entry.entry_id for line in booked)


def fee_line(
    booked: Sequence[Line], order: Order, entry: Entry, *, at_ms: int, zone: tzinfo, location: str
) -> Line | None:
    """The line for one of Stripe's balance transactions; None if it can be of no order.

    The takings of the machine of an order's first credit pay its fees.

    Args:
        booked: All lines of the order so far.
        at_ms: Now, epoch milliseconds.
        location: Where that machine (`pays_fees`) is now.
    """
    if entry.what not in OF_PAYMENTS and entry.what != "fee":
        return None
    first = next((line for line in booked if line.kind == PLAY and line.number == 0), None)
    return Line(
        order_id=order.order_id,
        number=0,
        serial=1 + max((line.serial for line in booked), default=0),
        day=day_of(entry.created_ms, zone),
        at_ms=at_ms,
        machine_id=pays_fees(order),
        location=location if first is None else first.location,
        method=_method(order) or _last_method(booked),
        currency=entry.currency,
        kind=FEE,
        fee_minor=entry.fee_minor,
        moved_minor=entry.amount_minor,
        entry_id=entry.entry_id,
        what=REFUND_BY_HAND if entry.is_refund_by_hand(order.order_id) else entry.what,
    )


def pays_fees(order: Order) -> str:
    """The machine whose takings pay Stripe's fees: where its first credit was played, or it was begun."""
    return order.credits[0].machine_id if order.credits else order.machine_id


def owes_fee(line: Line) -> bool:
    """Whether Stripe must have a balance transaction for what the line says: money was taken and kept a while."""
    return line.kind == PLAY and bool(line.currency) and line.gross_minor > line.lost_minor


def tells_fee(line: Line) -> bool:
    """Whether the line has the fee of its order's payment."""
    return line.kind == FEE and line.what == "charge"


def _method(order: Order) -> str:
    payment = order.payment
    if payment is None:
        return FREE
    return "" if payment.shown is None else payment.shown.method or ""


def _last_method(booked: Sequence[Line]) -> str:
    """The method of what is booked: an order has one payment."""
    return next((line.method for line in reversed(booked) if line.method), "")


class Placed(Protocol):
    """What has a place among the takings."""

    @property
    def machine_id(self) -> str: ...
    @property
    def location(self) -> str: ...
    @property
    def method(self) -> str: ...
    @property
    def currency(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Only:
    """Which lines are meant; None: whatever they have there."""

    machine_id: str | None = None
    location: str | None = None
    method: str | None = None
    currency: str | None = None
    machines: frozenset[str] | None = None

    def has(self, line: Placed) -> bool:
        """Whether a line, or a sum of lines, is meant."""
        return (
            self.machine_id in {None, line.machine_id}
            and (self.machines is None or line.machine_id in self.machines)
            and self.location in {None, line.location}
            and self.method in {None, line.method}
            and self.currency in {None, line.currency}
        )

    @property
    def names_machines(self) -> bool:
        """Whether it depends on the machine which lines are meant."""
        return self.machine_id is not None or self.machines is not None


EVERY = Only()


# --- reports ---------------------------------------------------------------------------------------------


class Row(Struct, frozen=True, gc=False):
    """The takings of one day, week, month, location, machine or method, in one currency.

    Attributes:
        charged: How many orders in it have a fee by Stripe.
        fees_open: Of how many of these the fee is not known yet.
    """

    name: str
    currency: str
    sums: Sums
    charged: int = 0
    fees_open: int = 0

    @property
    def knows_no_fee(self) -> bool:
        """Whether there are fees, and none is known."""
        return self.fees_open == self.charged > 0 and not self.sums.fee_minor


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
        "fees": None if row.knows_no_fee else amount(row.sums.fee_minor),
        "feesOpen": row.fees_open,
        "net": amount(row.sums.net_minor),
        "credits": row.sums.ordered,
        "delivered": row.sums.delivered,
    }
