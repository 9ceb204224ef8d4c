"""`arcade-cloud receipts`: a month's receipts, what was given back of earlier ones, and what all come to."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, print_list

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `receipts`."""
    parser = commands.add_parser(
        "receipts",
        help="a month's receipts and credit notes, or their totals with tax",
        description="List what was sold in a calendar month, each with the number of its receipt, and what was "
        "given back meanwhile of receipts of this month or an earlier one. Together it is what the takings of the "
        "month say is kept.",
    )
    parser.add_argument("--month", metavar="YYYY-MM", help="the month (this one)")
    parser.add_argument(
        "--summary", action="store_true", help="instead: the range of numbers, and totals by currency and tax"
    )
    add_formats(parser)
    parser.set_defaults(run=_receipts)


def _receipts(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.receipts import fields, total_fields
    from arcade_cloud.domain.statement import month_of

    with build(settings) as cloud:
        today = cloud.services.takings.today()
        first, last = month_of(options.month, today)
        documents = list(cloud.services.receipts.documents(first, last))
        summary = cloud.services.receipts.summary(documents)
    month = f"{first:%Y-%m}"
    if options.summary:
        print_list(
            options, [total_fields(month, one, summary) for one in summary.totals], _TOTALS, lambda one: one
        )
    else:
        print_list(options, [fields(one) for one in documents], _DOCUMENTS, lambda one: one)
    if not documents:
        print(f"nothing was sold or given back in {month}", file=sys.stderr)
    if last >= today:
        print(f"{month} is not over", file=sys.stderr)
    if summary.before:
        print(f"from a time without receipts, and without a number: {summary.before}", file=sys.stderr)
    if summary.waiting:
        print(
            f"arcade-cloud: without a number yet: {summary.waiting}. Run it again in a minute: the running cloud "
            "gives the numbers",
            file=sys.stderr,
        )
        return 1
    return 0


def _column(heading: str, name: str, *, right: bool = False, folds: bool = False) -> "Column[Fields]":
    def text(line: Fields) -> str:
        value = line[name]
        return "-" if value is None else str(value)

    return Column(heading, text, right=right, folds=folds)


_DOCUMENTS: "Sequence[Column[Fields]]" = (
    _column("DOCUMENT", "document"),
    _column("KIND", "kind"),
    _column("DAY", "day"),
    _column("CODE", "code"),
    _column("CURRENCY", "currency"),
    _column("AMOUNT", "amount", right=True),
    _column("TAX %", "taxRate", right=True),
    _column("TAX", "tax", right=True),
)
_TOTALS: "Sequence[Column[Fields]]" = (
    _column("NUMBERS", "numbers", folds=True),
    _column("CURRENCY", "currency"),
    _column("RECEIPTS", "receipts", right=True),
    _column("RECEIVED", "received", right=True),
    _column("NOTES", "notes", right=True),
    _column("NOTED", "noted", right=True),
    _column("AMOUNT", "amount", right=True),
    _column("TAX %", "taxRate", right=True),
    _column("TAX", "tax", right=True),
)
