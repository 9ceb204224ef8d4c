"""Receipts: their numbers, what each is about, and a month of them (pure).

An order gets a number when it first books something that the operator keeps. The step that books it puts the
order into a queue, and the timer numbers the queue in batches: a counter in every purchase would be one record
that all of them write. So the numbers have no gap, and each belongs to one order for good. What changes later, a
refund say, is a note to that receipt and changes no number.

A series of numbers has a prefix and begins with 1. Whoever may have lost some of it, because a database was put
back from a backup, begins another one with another prefix: then no number is given twice.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby
from typing import Literal

from msgspec import Struct

from arcade_cloud.domain.books import Line, plays, total
from arcade_cloud.domain.money import plain_amount
from arcade_cloud.domain.order import code_of
from arcade_cloud.errors import BadRequest
from arcade_shared.times import format_ms

# It ends with no digit: else `A1` and number 2 would read as `A` and number 12.
_PREFIX = re.compile(r"(?:[A-Za-z0-9./_-]{0,11}[A-Za-z./_-])?", re.ASCII)
_NAME = re.compile(rf"({_PREFIX.pattern})([1-9][0-9]{{0,11}})", re.ASCII)
_RATE = re.compile(r"[0-9]{1,2}(\.[0-9]{1,2})?", re.ASCII)


def statement_suffix(order_code: str) -> str:
    """What a card's statement shows of an order, after what it calls the account: `ARCADE* NO 7K2M4P`.

    It has a letter, whatever the code is, and nine characters: with the account's longest prefix of ten, and `* `
    between them, that is less than the 22 that Stripe allows
    (docs.stripe.com/get-started/account/statement-descriptors).
    """
    return f"NO {order_code}"


class ReceiptDue(Struct, frozen=True, kw_only=True):
    """An order that waits for its number.

    Attributes:
        serial: Of the lines by which the order first booked something that is kept.
        at_ms: When it booked them.
    """

    order_id: str
    serial: int
    at_ms: int


class Receipt(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A number, and the order that has it. It is written once and never changed.

    Attributes:
        serial: As in `ReceiptDue`: what these lines say is what the receipt is about.
        issued_at_ms: When the number was given.
        tax_bp: The tax that its price includes, in hundredths of a per cent; 0: none.
    """

    prefix: str = ""
    number: int
    order_id: str
    serial: int
    issued_at_ms: int
    tax_bp: int = 0

    @property
    def name(self) -> str:
        """The number as people write it."""
        return f"{self.prefix}{self.number}"


class Series(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far the numbers with a prefix have been given.

    Attributes:
        last: The last number that was given; 0: none.
        begun_ms: When the first order that got one had booked. What was booked earlier is from a time without
            receipts.
    """

    prefix: str = ""
    last: int = 0
    begun_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuing:
    """How receipts are issued from now on."""

    prefix: str = ""
    tax_bp: int = 0


def checked_prefix(text: str) -> str:
    """A prefix that somebody has entered.

    Raises:
        BadRequest: It cannot be one.
    """
    if _PREFIX.fullmatch(text) is None:
        raise BadRequest(
            f"{text[:40]!r} is no prefix: at most 12 letters, digits, '-', '_', '/' or '.', and no digit last"
        )
    return text


def name_in(text: str) -> tuple[str, int] | None:
    """The prefix and number of a receipt as somebody has written its name; None if it is none."""
    found = _NAME.fullmatch(text.strip())
    return None if found is None else (found[1], int(found[2]))


def parse_rate(text: str) -> int:
    """A tax rate in per cent, such as `8` or `7.25`, in hundredths of a per cent.

    Raises:
        BadRequest: It is none.
    """
    if _RATE.fullmatch(text) is None:
        raise BadRequest(f"{text[:40]!r} is no tax rate: write per cent, such as 8 or 7.25")
    return int(Decimal(text) * 100)


def rate_text(tax_bp: int) -> str:
    """A tax rate as people write it, without `%`."""
    return f"{Decimal(tax_bp) / 100:f}"


def tax_minor(amount_minor: int, tax_bp: int) -> int:
    """The tax that an amount includes, rounded to a minor unit, half away from zero.

    So the tax of a refund of all is that of the price.
    """
    whole = 10_000 + tax_bp
    tax = (2 * abs(amount_minor) * tax_bp + whole) // (2 * whole)
    return tax if amount_minor >= 0 else -tax


def due(booked: Sequence[Line], new: Sequence[Line]) -> ReceiptDue | None:
    """What waits for a number if an order books these lines: it has kept nothing so far, and does now.

    Args:
        booked: What the order has booked before.
        new: Of one serial; perhaps none.
    """
    before = total(plays(booked)).kept_minor
    if not new or not before <= 0 < before + total(plays(new)).kept_minor:
        return None
    return ReceiptDue(order_id=new[0].order_id, serial=new[0].serial, at_ms=new[0].at_ms)


def due_of(booked: Iterable[Line]) -> ReceiptDue | None:
    """As `due`, of an order that has booked already: what must wait for a number, or have one."""
    so_far: list[Line] = []
    for lines in _by_serial(booked).values():
        found = due(so_far, lines)
        if found is not None:
            return found
        so_far += lines
    return None


def numbered(
    series: Series, waiting: Iterable[ReceiptDue], has_one: Iterable[str], issuing: Issuing, now_ms: int
) -> tuple[tuple[Receipt, ...], Series]:
    """The next numbers for what waits, and the series after them.

    Args:
        series: Of the prefix in `issuing`.
        waiting: In the order in which they get them. An order that is named twice gets one.
        has_one: The orders that have a number already.
    """
    got, receipts = set(has_one), list[Receipt]()
    begun_ms = series.begun_ms
    for one in waiting:
        if one.order_id in got:
            continue
        got.add(one.order_id)
        receipt = Receipt(
            prefix=issuing.prefix,
            number=series.last + len(receipts) + 1,
            order_id=one.order_id,
            serial=one.serial,
            issued_at_ms=now_ms,
            tax_bp=issuing.tax_bp,
        )
        receipts.append(receipt)
        begun_ms = min(begun_ms or one.at_ms, one.at_ms)
    after = Series(prefix=issuing.prefix, last=series.last + len(receipts), begun_ms=begun_ms)
    return tuple(receipts), after


def _by_serial(lines: Iterable[Line]) -> dict[int, list[Line]]:
    """What was sold, by what was booked together, the first booked first."""
    found: dict[int, list[Line]] = {}
    for line in sorted(plays(lines), key=lambda line: (line.serial, line.number)):
        found.setdefault(line.serial, []).append(line)
    return found


# --- documents -------------------------------------------------------------------------------------------

Kind = Literal["receipt", "credit note", "debit note"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A receipt, or what was given back of one later (a credit note), or came again (a debit note).

    Attributes:
        receipt: None: the number follows, or the order is from a time without receipts.
        serial: Of the lines that it is about.
        at_ms: When that was booked.
        amount_minor: What the operator keeps by it; of a credit note negative.
        lost_minor: Of that, what no refund has taken: a dispute was lost, or a hold had ended.
    """

    kind: Kind
    receipt: Receipt | None
    order_id: str
    serial: int
    day: str
    at_ms: int
    machine_ids: tuple[str, ...]
    currency: str
    amount_minor: int
    lost_minor: int
    tax_bp: int

    @property
    def tax_minor(self) -> int:
        """The tax in it."""
        return tax_minor(self.amount_minor, self.tax_bp)

    @property
    def name(self) -> str | None:
        """The receipt's number; a note has it, and which of the order's bookings it is."""
        if self.receipt is None:
            return None
        return self.receipt.name if self.kind == "receipt" else f"{self.receipt.name}/{self.serial}"


def documents(lines: Iterable[Line], receipts: Mapping[str, Receipt]) -> list[Document]:
    """What lines come to, order by order: together exactly what they say is kept. Free credits are not among it.

    Args:
        lines: All that some orders have booked, or what they have booked in some days.
        receipts: By order; those that have none yet are not in it.
    """
    orders: dict[str, list[Line]] = {}
    for line in lines:
        orders.setdefault(line.order_id, []).append(line)
    found = [
        one
        for order_id, booked in orders.items()
        for together in _by_serial(booked).values()
        for one in _document(together, receipts.get(order_id))
    ]
    return sorted(found, key=lambda one: (one.at_ms, one.order_id, one.serial))


def _document(lines: Sequence[Line], receipt: Receipt | None) -> Iterator[Document]:
    first, sums = lines[0], total(lines)
    if not sums.kept_minor:
        return
    kind: Kind = "credit note" if sums.kept_minor < 0 else "receipt"
    if kind == "receipt" and receipt is not None and first.serial != receipt.serial:
        kind = "debit note"
    yield Document(
        kind=kind,
        receipt=receipt,
        order_id=first.order_id,
        serial=first.serial,
        day=first.day,
        at_ms=first.at_ms,
        machine_ids=tuple(dict.fromkeys(line.machine_id for line in lines)),
        currency=first.currency,
        amount_minor=sums.kept_minor,
        lost_minor=sums.lost_minor,
        tax_bp=0 if receipt is None else receipt.tax_bp,
    )


def fields(document: Document) -> dict[str, object]:
    """A document for programs. Amounts are numbers in the currency's own units, as text."""
    receipt = document.receipt
    return {
        "document": document.name,
        "kind": document.kind,
        "receipt": None if receipt is None else receipt.name,
        "day": document.day,
        "at": format_ms(document.at_ms),
        "issued": None if receipt is None else format_ms(receipt.issued_at_ms),
        "order": document.order_id,
        "code": code_of(document.order_id),
        "machines": " ".join(document.machine_ids),
        "currency": document.currency.upper(),
        "amount": plain_amount(document.amount_minor, document.currency),
        "taxRate": rate_text(document.tax_bp),
        "tax": plain_amount(document.tax_minor, document.currency),
        "net": plain_amount(document.amount_minor - document.tax_minor, document.currency),
        "lost": plain_amount(document.lost_minor, document.currency),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxTotal:
    """All documents in one currency with one rate of tax."""

    currency: str
    tax_bp: int
    receipts: int = 0
    notes: int = 0
    received_minor: int = 0
    noted_minor: int = 0
    tax_minor: int = 0

    @property
    def amount_minor(self) -> int:
        """What is kept: receipts and notes."""
        return self.received_minor + self.noted_minor

    def and_of(self, document: Document) -> "TaxTotal":
        """With one more document."""
        is_receipt, amount_minor = document.kind == "receipt", document.amount_minor
        return replace(
            self,
            receipts=self.receipts + is_receipt,
            notes=self.notes + (not is_receipt),
            received_minor=self.received_minor + amount_minor * is_receipt,
            noted_minor=self.noted_minor + amount_minor * (not is_receipt),
            tax_minor=self.tax_minor + document.tax_minor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What documents come to.

    Attributes:
        totals: By currency and rate of tax.
        numbers: The numbers of the receipts, in runs without a gap, such as `A-1 – A-40`.
        waiting: How many receipts have no number yet, and get one.
        before: How many have none and get none, because they are from a time without receipts.
    """

    totals: tuple[TaxTotal, ...]
    numbers: tuple[str, ...]
    waiting: int
    before: int


def summary(documents: Iterable[Document], begun_ms: int | None) -> Summary:
    """Add documents up.

    Args:
        begun_ms: Since when there are receipts; None: there are none.
    """
    totals: dict[tuple[str, int], TaxTotal] = {}
    numbers: list[tuple[str, int]] = []
    waiting = before = 0
    for one in documents:
        where = one.currency, one.tax_bp
        totals[where] = totals.get(where, TaxTotal(currency=one.currency, tax_bp=one.tax_bp)).and_of(one)
        if one.kind == "receipt" and one.receipt is not None:
            numbers.append((one.receipt.prefix, one.receipt.number))
        elif one.kind == "receipt" and begun_ms is not None and one.at_ms >= begun_ms:
            waiting += 1
        elif one.kind == "receipt":
            before += 1
    return Summary(
        totals=tuple(totals[where] for where in sorted(totals)),
        numbers=tuple(_runs(sorted(numbers))),
        waiting=waiting,
        before=before,
    )


def _runs(numbers: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Numbers that follow each other, as `first – last`; one alone as itself."""
    for prefix, group in groupby(numbers, key=lambda one: one[0]):
        for _, run in groupby(enumerate(number for _, number in group), key=lambda one: one[1] - one[0]):
            every = [number for _, number in run]
            first, last = f"{prefix}{every[0]}", f"{prefix}{every[-1]}"
            yield first if first == last else f"{first} – {last}"


def total_fields(month: str, one: TaxTotal, of: Summary) -> dict[str, object]:
    """A total for programs, with the numbers of all the month's receipts, in whatever currency."""
    currency = one.currency
    return {
        "month": month,
        "numbers": ", ".join(of.numbers),
        "waiting": of.waiting,
        "currency": currency.upper(),
        "taxRate": rate_text(one.tax_bp),
        "receipts": one.receipts,
        "notes": one.notes,
        "received": plain_amount(one.received_minor, currency),
        "noted": plain_amount(one.noted_minor, currency),
        "amount": plain_amount(one.amount_minor, currency),
        "tax": plain_amount(one.tax_minor, currency),
        "net": plain_amount(one.amount_minor - one.tax_minor, currency),
    }
