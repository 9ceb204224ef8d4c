"""`arcade-cloud takings`: what was taken, from booked lines; and lines for what an older version has settled."""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, print_list
from arcade_cloud.entrypoints.cli.person import actor
from arcade_cloud.entrypoints.cli.times import a_day
from arcade_shared.command_line import identifier

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.books import Row, Sums
    from arcade_cloud.domain.machines import Machine

_BY = ("day", "week", "month", "location", "machine", "method")
# Each day is a query or more.
_MOST_DAYS = 3_660
_NOT_NAMED = {"location": "(no location)", "method": "(not known)"}


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `takings` and `takings rebuild`."""
    takings = commands.add_parser(
        "takings",
        help="add up what was taken, by day, machine, location or method",
        description="Add up what settled orders have booked. Days are those of the time zone TIMEZONE. The fee "
        "of an order is known some minutes after it was settled.",
    )
    takings.add_argument(
        "--from", dest="first", type=a_day, metavar="DAY", help="the first day (first of the month)"
    )
    takings.add_argument("--to", dest="last", type=a_day, metavar="DAY", help="the last day (today)")
    takings.add_argument("--by", choices=_BY, default="day", help="what makes a row (%(default)s)")
    takings.add_argument("--location", metavar="NAME", help="only what was sold there")
    takings.add_argument("--machine", type=identifier, metavar="ID", help="only what this machine sold")
    takings.add_argument("--method", metavar="NAME", help="only what was paid so: card, fpx, …")
    takings.add_argument(
        "--idle", action="store_true", help="instead: the machines in service that earned nothing in these days"
    )
    add_formats(takings)
    takings.set_defaults(run=_report)
    rebuild = takings.add_subparsers(dest="what", metavar="[rebuild]").add_parser(
        "rebuild",
        help="book what an older version has settled, and prove that the lines are the orders'",
        description="Look at all orders, book what is not booked yet, and compare the sums of orders and lines. "
        "It may be stopped and run again at any time, also while the cloud runs.",
    )
    rebuild.set_defaults(run=_rebuild)


def _report(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.books import Only, fields

    with build(settings) as cloud:
        takings = cloud.services.takings
        last: date = options.last or takings.today()
        first: date = options.first or last.replace(day=1)
        if not 0 <= (last - first).days < _MOST_DAYS:
            print(f"arcade-cloud: from {first} to {last}: that must be 1 to {_MOST_DAYS} days", file=sys.stderr)
            return 2
        only = Only(machine_id=options.machine, location=options.location, method=options.method)
        report = takings.report(first, last, "machine" if options.idle else options.by, only)
        idle = takings.idle(report.earned, only) if options.idle else []
    if options.idle:
        if not idle:
            print(f"every machine in service earned something from {first} to {last}", file=sys.stderr)
        print_list(options, idle, _IDLE_COLUMNS, _idle_fields)
        return 0
    rows = report.rows()
    if not rows:
        print(f"nothing was booked from {first} to {last}", file=sys.stderr)
    is_table = not (options.json or options.csv)
    totals = report.totals() if rows and is_table else []
    print_list(options, [*rows, *totals], _columns(options.by), lambda row: fields(row, options.by))
    return 0


def _columns(by: str) -> "Sequence[Column[Row]]":
    return (
        Column(by.upper(), lambda row: row.name or _NOT_NAMED.get(by, "-")),
        Column("GROSS", lambda row: _amount(row, row.sums.gross_minor) or "free", right=True),
        Column("GIVEN BACK", lambda row: _amount(row, row.sums.goodwill_minor), right=True),
        Column("LOST", lambda row: _amount(row, row.sums.lost_minor), right=True),
        Column("FEES", _fees_cell, right=True),
        Column("NET", lambda row: _amount(row, row.sums.net_minor), right=True),
        Column("CREDITS", lambda row: f"{row.sums.delivered}/{row.sums.ordered}", right=True),
    )


_IDLE_COLUMNS: "Sequence[Column[Machine]]" = (
    Column("MACHINE", lambda machine: machine.machine_id),
    Column("LOCATION", lambda machine: machine.location),
    Column("NAME", lambda machine: machine.name, folds=True),
)


def _idle_fields(machine: "Machine") -> Fields:
    return {"machine": machine.machine_id, "location": machine.location, "name": machine.name}


def _fees_cell(row: "Row") -> str:
    if not row.fees_open:
        return _amount(row, row.sums.fee_minor)
    if row.knows_no_fee:
        return "not known yet"
    return f"{_amount(row, row.sums.fee_minor)} ({row.fees_open} not known yet)"


def _amount(row: "Row", minor: int) -> str:
    from arcade_cloud.domain.money import format_amount

    return format_amount(minor, row.currency) if row.currency else ""


def _rebuild(settings: "Settings", _: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.people import Act

    with build(settings) as cloud, cloud.desk.acts.doing(actor(), Act.STORE, "takings", "rebuild") as doing:
        for done in cloud.services.takings.rebuild():
            doing.after = f"{done.orders} orders looked at, {done.booked} had something to book"
            if done.receipts:
                doing.after += f", {done.receipts} wait for the number of a receipt now"
            if not done.is_over:
                print(doing.after, flush=True)
    for currency, sums in sorted(done.by_orders.items()):
        print(f"{currency.upper() or 'free credits'}: the orders say {_words(sums, currency)}")
    for text in done.broken:
        print(f"arcade-cloud: {text}", file=sys.stderr)
    for currency, orders, days in done.differences:
        lines = f"the orders say {_words(orders, currency)}, and the lines of all days {_words(days, currency)}"
        print(f"arcade-cloud: {currency.upper() or 'free credits'}: {lines}", file=sys.stderr)
    for currency, days, tallies in done.tallies_differ:
        lines = (
            f"the lines of all days say {_words(days, currency)}, and their tallies {_words(tallies, currency)}"
        )
        print(f"arcade-cloud: {currency.upper() or 'free credits'}: {lines}", file=sys.stderr)
    if done.days_put_right:
        print(f"the tallies of {done.days_put_right} days were put right: an older version has booked there")
    if done.differences or done.tallies_differ:
        print("If orders were settled meanwhile, run it again: then nothing differs.", file=sys.stderr)
    if done.broken or done.differences or done.tallies_differ:
        return 1
    print(f"{done.orders} orders: the lines of all days say the same")
    return 0


def _words(sums: "Sums", currency: str) -> str:
    from arcade_cloud.domain.money import format_amount

    credits = f"{sums.delivered} of {sums.ordered} credits"
    if not currency:
        return credits
    amounts = (sums.gross_minor, sums.goodwill_minor, sums.lost_minor, sums.fee_minor, sums.net_minor)
    gross, goodwill, lost, fees, net = (format_amount(minor, currency) for minor in amounts)
    return f"{credits}, {gross} gross, {goodwill} given back, {lost} lost, {fees} fees, {net} net"
