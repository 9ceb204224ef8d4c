"""A month's statement of a location: what it has taken, and what its owner gets of it (pure).

The owner's share is a percentage of what was kept, a flat sum a month, or both. A flat sum is for whole months: it
is due in full for each calendar month, whenever in it the machines came, and however much they took. Whoever has
agreed on less for a month enters less.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from arcade_cloud.domain.books import Row
from arcade_cloud.domain.money import currency_of, parse_amount, plain_amount
from arcade_cloud.errors import BadRequest

_PERCENT = re.compile(r"\d{1,3}(\.\d{1,2})?", re.ASCII)
_CURRENCY = re.compile(r"(?<![A-Za-z])[A-Za-z]{3}(?![A-Za-z])", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What the owner of a location gets.

    Attributes:
        percent: Of what was kept, before Stripe's fees; None: no percentage.
        flat: A sum a month as somebody has written it, `250.00MYR`; empty: none.
    """

    percent: Decimal | None = None
    flat: str = ""


NO_SHARE = Share()


def checked_share(percent: str, flat: str, location: str | None) -> Share:
    """The share that somebody has entered.

    Raises:
        BadRequest: The percentage is none, or there is a flat sum and no location.
    """
    percent, flat = percent.strip(), flat.strip()
    if percent and (_PERCENT.fullmatch(percent) is None or Decimal(percent) > 100):
        raise BadRequest(f"a share is 0 to 100 per cent, such as 30 or 12.5, not {percent[:40]!r}")
    if flat and not location:
        raise BadRequest("a flat sum is one location's: name the location")
    return Share(percent=Decimal(percent) if percent else None, flat=flat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """What was taken in one currency, and what the owner of the location gets of it.

    Attributes:
        row: The sums; None: nothing was booked in this currency, and there is a flat sum.
        percent_minor: The percentage of what was kept; None: there is none.
        flat_minor: The flat sum; None: there is none in this currency.
    """

    currency: str
    row: Row | None
    percent_minor: int | None = None
    flat_minor: int | None = None

    @property
    def due_minor(self) -> int | None:
        """What the owner gets altogether; None: there is no share."""
        if self.percent_minor is None and self.flat_minor is None:
            return None
        return (self.percent_minor or 0) + (self.flat_minor or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A month. `is_over`: nothing more is booked in it."""

    first: date
    last: date
    is_over: bool
    location: str | None
    share: Share
    rows: tuple[Row, ...]
    totals: tuple[Total, ...]


def month_of(text: str | None, today: date) -> tuple[date, date]:
    """The first and the last day of a month such as `2026-11`; of this one if none is named, or a later one is.

    Raises:
        BadRequest: It is no month.
    """
    try:
        first = min(today if not text else date.fromisoformat(f"{text}-01"), today).replace(day=1)
    except ValueError:
        raise BadRequest(f"{text and text[:40]!r}: write a month such as 2026-11") from None
    return first, (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)


def totals(rows: Sequence[Row], share: Share) -> tuple[Total, ...]:
    """What was taken in each currency, with the shares. Free credits have none.

    Raises:
        BadRequest: The flat sum is none, or does not say in which currency it is.
    """
    flat_currency, flat_minor = _flat(share, [row.currency for row in rows if row.currency])
    found = [
        Total(
            currency=row.currency,
            row=row,
            percent_minor=_percentage(row, share.percent),
            flat_minor=flat_minor if flat_currency and row.currency == flat_currency else None,
        )
        for row in rows
    ]
    if flat_currency and all(total.currency != flat_currency for total in found):
        found.append(Total(currency=flat_currency, row=None, flat_minor=flat_minor))
    return tuple(found)


def _flat(share: Share, currencies: Sequence[str]) -> tuple[str, int | None]:
    if not share.flat:
        return "", None
    named = _CURRENCY.search(share.flat)
    currency = named[0].lower() if named else currencies[0] if len(currencies) == 1 else ""
    if not currency or not currency_of(currency).is_known:
        raise BadRequest(f"the flat sum {share.flat[:40]!r} names no currency: write 250.00MYR")
    return currency, parse_amount(share.flat, currency, bare_whole=True)


def _percentage(row: Row, percent: Decimal | None) -> int | None:
    """A percentage of what is kept, in minor units, rounded to a sum that can be paid: the one place for that."""
    if percent is None or not row.currency:
        return None
    part = int((row.sums.kept_minor * percent / 100).quantize(Decimal(1), ROUND_HALF_EVEN))
    return currency_of(row.currency).rounded_down(part) if part >= 0 else part


def records(statement: Statement, names: Mapping[str, str]) -> Iterable[dict[str, object]]:
    """The lines of a statement for programs and spreadsheets: each machine, each total, each share.

    Amounts are numbers in the currency's own units, as text. `amount` is what a line of a share comes to.
    """
    for row in statement.rows:
        yield _record(statement, "machine", row.currency, row, machine=row.name, name=names.get(row.name, ""))
    for total in statement.totals:
        if total.row is not None:
            yield _record(statement, "total", total.currency, total.row)
        for line, minor in (
            ("percentage", total.percent_minor),
            ("flat", total.flat_minor),
            ("due", total.due_minor),
        ):
            if minor is not None:
                yield _record(statement, line, total.currency, None, amount=plain_amount(minor, total.currency))


def _record(
    statement: Statement,
    line: str,
    currency: str,
    row: Row | None,
    *,
    machine: str = "",
    name: str = "",
    amount: str | None = None,
) -> dict[str, object]:
    def of(minor: int) -> str | None:
        return plain_amount(minor, currency) if currency else None

    sums = None if row is None else row.sums
    return {
        "month": f"{statement.first:%Y-%m}",
        "location": statement.location,
        "line": line,
        "machine": machine or None,
        "name": name or None,
        "currency": currency.upper() or None,
        "credits": None if sums is None else sums.delivered,
        "gross": None if sums is None else of(sums.gross_minor),
        "goodwill": None if sums is None else of(sums.goodwill_minor),
        "lost": None if sums is None else of(sums.lost_minor),
        "kept": None if sums is None else of(sums.kept_minor),
        "fees": None if row is None or row.knows_no_fee else of(row.sums.fee_minor),
        "net": None if sums is None else of(sums.net_minor),
        "percent": f"{statement.share.percent:f}" if line == "percentage" else None,
        "amount": amount,
    }
