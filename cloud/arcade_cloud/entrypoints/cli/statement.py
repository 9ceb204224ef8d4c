"""`arcade-cloud statement`: a month of a location, with what its owner gets."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, print_list

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `statement`."""
    parser = commands.add_parser(
        "statement",
        help="a month's statement of a location, with the share of its owner",
        description="Add up a calendar month of one location or all, by machine, with the share of its owner: a "
        "percentage of what was kept before Stripe's fees, a flat sum a month, or both. A flat sum is for whole "
        "months: it is due in full for each.",
    )
    parser.add_argument("--month", metavar="YYYY-MM", help="the month (this one)")
    parser.add_argument("--location", metavar="NAME", help="the location (without it, all of them)")
    parser.add_argument("--share", default="", metavar="PERCENT", help="per cent of what was kept, such as 12.5")
    parser.add_argument("--flat", default="", metavar="AMOUNT", help="a sum a month, such as 250.00MYR")
    add_formats(parser)
    parser.set_defaults(run=_statement)


def _statement(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.statement import checked_share, month_of, records
    from arcade_cloud.services.statements import statement

    location = (options.location or "").strip() or None
    with build(settings) as cloud:
        takings = cloud.services.takings
        first, _ = month_of(options.month, takings.today())
        found = statement(takings, first, location, checked_share(options.share, options.flat, location))
        names = {machine.machine_id: machine.name for machine in cloud.store.machines()}
    lines = list(records(found, names))
    if not lines:
        print(f"nothing was booked in {found.first:%Y-%m}", file=sys.stderr)
    print_list(options, lines, _COLUMNS, lambda line: line)
    if not found.is_over:
        print(f"{found.first:%Y-%m} is not over", file=sys.stderr)
    return 0


def _text(name: str, line: Fields) -> str:
    value = line[name]
    return "" if value is None else str(value)


def _what(line: Fields) -> str:
    if line["line"] == "percentage":
        return f"share, {line['percent']} % of what was kept"
    return {"flat": "share, flat", "due": "share, altogether"}.get(str(line["line"]), str(line["line"]))


_COLUMNS: "Sequence[Column[dict[str, object]]]" = (
    Column("MACHINE", lambda line: _text("machine", line) or _what(line)),
    Column("CURRENCY", lambda line: _text("currency", line) or "free"),
    Column("CREDITS", lambda line: _text("credits", line), right=True),
    Column("KEPT", lambda line: _text("kept", line), right=True),
    Column("FEES", lambda line: _text("fees", line), right=True),
    Column("NET", lambda line: _text("net", line), right=True),
    Column("AMOUNT", lambda line: _text("amount", line), right=True),
)
