"""A month's statement of a location, from what is booked. No player's process imports it."""

from datetime import date

from arcade_cloud.domain.books import Only
from arcade_cloud.domain.statement import Share, Statement, month_of, totals
from arcade_cloud.services.takings import Takings


def statement(takings: Takings, first: date, location: str | None, share: Share) -> Statement:
    """The statement of the month that begins on `first`, as far as it has come.

    Args:
        location: None: all locations together.

    Raises:
        BadRequest: The flat sum cannot be reckoned with.
        StoreUnavailable: The store is down.
    """
    today = takings.today()
    first, last = month_of(f"{first:%Y-%m}", today)
    report = takings.report(first, min(last, today), "machine", Only(location=location))
    return Statement(
        first=first,
        last=last,
        is_over=last < today,
        location=location,
        share=share,
        rows=tuple(report.rows()),
        totals=totals(report.totals(), share),
    )
