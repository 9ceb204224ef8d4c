"""The console's takings: sums, and the lines that they are made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import get_args

from flask import Blueprint, Response, request, url_for

from arcade_cloud.domain import receipts
from arcade_cloud.domain.books import By, Line, Only, Row, fields
from arcade_cloud.domain.money import plain_amount
from arcade_cloud.domain.order import code_of
from arcade_cloud.domain.people import Act
from arcade_cloud.domain.spreadsheet import csv_parts
from arcade_cloud.domain.statement import month_of
from arcade_cloud.errors import BadRequest
from arcade_cloud.web.console import words
from arcade_cloud.web.console.room import Part, Room, a_day, page_number, part_of, plot
from arcade_cloud.web.error_responses import status_of
from arcade_shared.times import format_ms

# Each day is a query or more.
MOST_DAYS = 400
LINES_SHOWN = 200
ROWS_A_PAGE = 100
PLOT_HEIGHT = 200.0
BYS: tuple[By, ...] = get_args(By)


class _Asked:
    """What the address asks for.

    Raises:
        BadRequest: A day is none, or there are too many.
    """

    def __init__(self, room: Room) -> None:
        today, args = room.day, request.args
        self.last = a_day(args.get("last"), today)
        self.first = a_day(args.get("first"), self.last.replace(day=1))
        if not 0 <= (self.last - self.first).days < MOST_DAYS:
            raise BadRequest(f"from {self.first} to {self.last}: that must be 1 to {MOST_DAYS} days")
        by = args.get("by", "day")
        self.by = by if by in BYS else "day"
        self.only = Only(
            machine_id=_given("machine", empty_is_any=True),
            # From a link, an empty place or method is meant; from an empty field of the form, any is.
            location=_given("location", empty_is_any="by" in args),
            method=_given("method", empty_is_any="by" in args),
            currency=_given("currency", empty_is_any=False),
        )

    @property
    def values(self) -> dict[str, object]:
        """The same for an address."""
        only = self.only
        return {
            "first": self.first,
            "last": self.last,
            "by": self.by,
            "machine": only.machine_id,
            "location": only.location,
            "method": only.method,
            "currency": only.currency,
        }

    def link(self, endpoint: str, **changes: object) -> str:
        """The address of another page about the same lines."""
        return url_for(f"console.{endpoint}", **{**self.values, **changes})  # type: ignore[arg-type]


def add_to(blueprint: Blueprint, room: Room) -> None:
    """Add `/console/takings`, its CSV and its lines."""
    needs = room.guard.needs

    @blueprint.get("/takings")
    @needs(Act.SEE_TAKINGS)
    def takings() -> Response:
        """Sums by day, week, month, place, machine or method."""
        try:
            asked = _Asked(room)
        except BadRequest as error:
            today = room.day
            asked_for = {"first": today.replace(day=1), "last": today, "by": "day"}
            return room.render(
                "takings.html", "Takings", problem=str(error), status=status_of(error), asked=asked_for, bys=BYS
            )
        shown = _shown(room, asked)
        idle = room.desk.takings.idle(shown.earned, asked.only) if asked.by == "machine" else []
        bars, width = _bars(shown.plotted, asked)
        return room.render(
            "takings.html",
            "Takings",
            asked=asked.values,
            bys=BYS,
            rows=[(row, _deeper(row, asked)) for row in shown.part.rows],
            part=shown.part,
            page_link=lambda number: asked.link("takings", page=number),
            idle=idle[:ROWS_A_PAGE],
            more_idle=max(0, len(idle) - ROWS_A_PAGE),
            totals=shown.totals,
            lessened=is_lessened(shown.totals),
            bars=bars,
            bar_width=width,
            not_named=words.NOT_NAMED.get(asked.by, "–"),
            csv=asked.link("takings_csv"),
            lines=asked.link("takings_lines", by=None),
            statement=url_for("console.statement", month=f"{asked.last:%Y-%m}", location=asked.only.location),
            month=f"{asked.last:%Y-%m}",
        )

    @blueprint.get("/takings.csv")
    @needs(Act.SEE_TAKINGS)
    def takings_csv() -> Response:
        """The same for a spreadsheet."""
        asked = _Asked(room)
        report = room.desk.takings.report(asked.first, asked.last, asked.by, asked.only)
        rows = (fields(row, asked.by) for row in report.rows())
        return csv_response(rows, f"takings-{asked.first}-{asked.last}")

    @blueprint.get("/takings/receipts.csv")
    @needs(Act.SEE_TAKINGS)
    def receipts_csv() -> Response:
        """A month's receipts, and what was given back of earlier ones, for a spreadsheet."""
        first, last = month_of(request.args.get("month"), room.day)
        documents = room.desk.receipts.documents(first, last)
        return csv_response(map(receipts.fields, documents), f"receipts-{first:%Y-%m}")

    @blueprint.get("/takings/receipts-summary.csv")
    @needs(Act.SEE_TAKINGS)
    def receipts_summary_csv() -> Response:
        """What a month's receipts come to, by currency and rate of tax."""
        first, last = month_of(request.args.get("month"), room.day)
        found = room.desk.receipts.summary(room.desk.receipts.documents(first, last))
        rows = [receipts.total_fields(f"{first:%Y-%m}", one, found) for one in found.totals]
        return csv_response(rows, f"receipts-summary-{first:%Y-%m}")

    @blueprint.get("/takings/lines")
    @needs(Act.SEE_TAKINGS)
    def takings_lines() -> Response:
        """The lines that a sum is made of, newest first; each leads to its order."""
        asked = _Asked(room)
        lines = room.desk.takings.newest(asked.first, asked.last, asked.only, limit=LINES_SHOWN)
        report = room.desk.takings.report(asked.first, asked.last, "day", asked.only)
        totals = report.totals()
        return room.render(
            "lines.html",
            "Takings",
            asked=asked.values,
            lines=lines,
            number=report.lines,
            more=report.lines > len(lines),
            totals=totals,
            lessened=is_lessened(totals),
            code_of=code_of,
            csv=asked.link("lines_csv", by=None),
        )

    @blueprint.get("/takings/lines.csv")
    @needs(Act.SEE_TAKINGS)
    def lines_csv() -> Response:
        """Every line for a spreadsheet."""
        asked = _Asked(room)
        lines = sorted(room.desk.takings.lines(asked.first, asked.last, asked.only), key=_rank)
        return csv_response(map(_line_fields, lines), f"lines-{asked.first}-{asked.last}")


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a page shows: some rows, the totals of all, what is plotted, and the names that earned anything."""

    part: Part[Row]
    totals: list[Row]
    plotted: list[Row]
    earned: frozenset[str]


def _shown(room: Room, asked: _Asked) -> _Shown:
    takings = room.desk.takings
    match asked.by:
        case "location" | "machine" | "method" as by:  # of these there may be ten thousand
            days, number = (asked.first, asked.last), page_number()
            page = takings.page(*days, by, asked.only, number=number, at_most=ROWS_A_PAGE)
            return _Shown(Part(page.number, page.of, page.rows), page.totals, [], page.earned)
        case by:
            report = takings.report(asked.first, asked.last, by, asked.only)
            rows = report.rows()
            return _Shown(part_of(rows, ROWS_A_PAGE), report.totals(), rows, report.earned)


def _rank(line: Line) -> tuple[int, str, int]:
    return line.at_ms, line.order_id, line.number


def _given(name: str, *, empty_is_any: bool) -> str | None:
    text = request.args.get(name)
    return None if text is None or (empty_is_any and not text.strip()) else text.strip()[:80]


def _deeper(row: Row, asked: _Asked) -> str:
    """Where a row's figures come from: a time's machines, a machine's lines."""
    currency = row.currency
    match asked.by:
        case "day" | "week" | "month":
            first, last = _span(row.name, asked)
            if asked.only.machine_id is not None:
                return asked.link("takings_lines", by=None, first=first, last=last, currency=currency)
            return asked.link("takings", by="machine", first=first, last=last, currency=currency)
        case "machine":
            return asked.link("takings_lines", by=None, machine=row.name, currency=currency)
        case "location":
            if not row.name:  # an empty field of a form is any place
                return asked.link("takings_lines", by=None, location="", currency=currency)
            return asked.link("takings", by="machine", location=row.name, currency=currency)
        case _:
            return asked.link("takings_lines", by=None, method=row.name, currency=currency)


def _span(name: str, asked: _Asked) -> tuple[date, date]:
    """The days of a row of times, as far as they are asked for."""
    if asked.by == "day":
        first = last = date.fromisoformat(name)
    elif asked.by == "week":
        first = date.fromisocalendar(int(name[:4]), int(name[6:]), 1)
        last = first + timedelta(days=6)
    else:
        first = date.fromisoformat(f"{name}-01")
        last = (first + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    return max(first, asked.first), min(last, asked.last)


def _bars(rows: list[Row], asked: _Asked) -> tuple[list[words.Bar], float]:
    """A plot of rows over time, where all of them have one currency."""
    paid = [row for row in rows if row.currency]
    if len(paid) < 2 or len({row.currency for row in paid}) > 1:
        return [], 0
    return plot(
        ((f"{row.name}: {words.money(row.sums.kept_minor, row.currency)}", row.sums.kept_minor) for row in paid),
        PLOT_HEIGHT,
    )


def is_lessened(totals: Iterable[Row]) -> bool:
    """Whether something was given back or lost: else there are fewer columns to read."""
    return any(row.sums.goodwill_minor or row.sums.lost_minor for row in totals)


def _line_fields(line: Line) -> dict[str, object]:
    def amount(minor: int) -> str | None:
        return plain_amount(minor, line.currency) if line.currency else None

    return {
        "at": format_ms(line.at_ms),
        "day": line.day,
        "order": line.order_id,
        "code": code_of(line.order_id),
        "machine": line.machine_id,
        "location": line.location or None,
        "method": line.method or None,
        "currency": line.currency.upper() or None,
        "gross": amount(line.gross_minor),
        "goodwill": amount(line.goodwill_minor),
        "lost": amount(line.lost_minor),
        "kept": amount(line.kept_minor),
        "fee": amount(line.fee_minor),
        "what": line.what or line.kind,
        "credits": line.ordered,
        "delivered": line.delivered,
    }


def csv_response(records: Iterable[Mapping[str, object]], name: str) -> Response:
    """A file that is sent while it is made. What it is made of must have been read before."""
    response = Response(csv_parts(records))
    response.headers["Content-Type"] = "text/csv; charset=utf-8; header=present"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.csv"'
    return response
