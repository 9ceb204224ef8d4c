"""A month's statement of a location, from what is booked. No player's process imports it."""

from datetime import date

from arcade_cloud.domain.books import Only, Row
from arcade_cloud.domain.statement import Share, Statement, month_of, totals
from arcade_cloud.services.takings import Page, Takings


def statement(takings: Takings, first: date, location: str | None, share: Share) -> Statement:
    """The statement of the month that begins on `first`, as far as it has come.

    Args:
        location: None: all locations together.

    Raises:
        BadRequest: The flat sum cannot be reckoned with.
        StoreUnavailable: The store is down.
    """
    first, last, today = _month(takings, first)
    report = takings.report(first, min(last, today), "machine", Only(location=location))
    return _made(first, last, today, location, share, report.rows(), report.totals())


def page(
    takings: Takings, first: date, location: str | None, share: Share, *, number: int, at_most: int
) -> tuple[Statement, Page]:
    """The same with the rows of one page, and which page it is; see `Takings.page`."""
    first, last, today = _month(takings, first)
    only = Only(location=location)
    shown = takings.page(first, min(last, today), "machine", only, number=number, at_most=at_most)
    return _made(first, last, today, location, share, shown.rows, shown.totals), shown


def _month(takings: Takings, first: date) -> tuple[date, date, date]:
    today = takings.today()
    return *month_of(f"{first:%Y-%m}", today), today


def _made(
    first: date, last: date, today: date, location: str | None, share: Share, rows: list[Row], sums: list[Row]
) -> Statement:
    return Statement(
        first=first,
        last=last,
        is_over=last < today,
        location=location,
        share=share,
        rows=tuple(rows),
        totals=totals(sums, share),
    )
