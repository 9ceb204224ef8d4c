"""`arcade-cloud reconcile`: what Stripe's balance, the books and the machines disagree about, day by day."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, print_list
from arcade_cloud.entrypoints.cli.person import actor, user
from arcade_cloud.entrypoints.cli.times import a_day
from arcade_shared.command_line import identifier
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.reconciling import DayReport, Difference, PayoutParts

# Each day is some requests to Stripe.
_MOST_DAYS = 31
_EXIT = "Exit status: 0: no differences, or somebody has accepted them; 1: differences, or it could not be done."


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `reconcile`."""
    reconcile = commands.add_parser(
        "reconcile",
        help="compare Stripe's balance, the books and what machines reported",
        description="Read all entries of a day in Stripe's balance and its payouts, and compare them with the "
        "orders' books and with what the machines reported. Days are those of the time zone TIMEZONE. The cloud "
        "does so by itself, once a day, for the day before.",
        epilog=_EXIT,
    )
    reconcile.add_argument("--day", type=a_day, help="the day (yesterday)")
    reconcile.add_argument("--from", dest="first", type=a_day, metavar="DAY", help="the first of several days")
    reconcile.add_argument("--to", dest="last", type=a_day, metavar="DAY", help="the last of them (yesterday)")
    reconcile.add_argument(
        "--stored", action="store_true", help="show what was found last, and ask Stripe nothing"
    )
    reconcile.add_argument(
        "--accept", action="store_true", help="accept what was found last: nobody is told of it any more"
    )
    reconcile.add_argument(
        "--payout", type=identifier, metavar="po_…", help="what a payout is of, day by day, and nothing else"
    )
    reconcile.add_argument("--by", help="who accepts (without it, the user who runs this)")
    reconcile.add_argument("--reason", default="seen to", help="why it is accepted (%(default)s)")
    add_formats(reconcile)
    reconcile.set_defaults(run=_reconcile)


@dataclass(frozen=True)
class _Found:
    """A row: a difference of a day."""

    day: str
    what: "Difference"
    accepted: bool


def _reconcile(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    if options.day is not None and (options.first is not None or options.last is not None):
        print("arcade-cloud: give --day, or --from and --to", file=sys.stderr)
        return 2
    with build(settings) as cloud:
        if options.payout is not None:
            return _payout(cloud.daily.parts_of(options.payout), options)
        yesterday = cloud.services.takings.today() - timedelta(days=1)
        last: date = options.day or options.last or yesterday
        first: date = options.day or options.first or last
        if not 0 <= (last - first).days < _MOST_DAYS:
            print(f"arcade-cloud: from {first} to {last}: that must be 1 to {_MOST_DAYS} days", file=sys.stderr)
            return 2
        reports = list(_reports(cloud, first, last, options))
    rows = [
        _Found(report.day, one, one.key in report.accepted) for report in reports for one in report.differences
    ]
    print_list(options, rows, _columns(), _fields, None if options.json or options.csv else _todo)
    if not (options.json or options.csv):
        for report in reports:
            for text in _summary(report):
                print(text)
    return 1 if any(report.found for report in reports) else 0


def _payout(parts: "PayoutParts", options: argparse.Namespace) -> int:
    from arcade_cloud.domain.money import format_amount, plain_amount
    from arcade_cloud.domain.reconciling import DaySums

    payout, currency = parts.payout, parts.payout.currency
    amounts: dict[str, Callable[[DaySums], int]] = {
        "charged": lambda sums: sums.charged_minor,
        "refunded": lambda sums: sums.refunded_minor,
        "disputed": lambda sums: sums.disputed_minor,
        "fees": lambda sums: sums.fees_minor,
        "others": lambda sums: sums.others_minor,
        "other": lambda sums: sums.other_minor,
        "net": lambda sums: sums.net_minor,
    }

    def cell(value: Callable[[DaySums], int]) -> Callable[[tuple[str, DaySums]], str]:
        return lambda row: format_amount(value(row[1]), currency) if value(row[1]) else ""

    columns: list[Column[tuple[str, DaySums]]] = [Column("DAY", lambda row: row[0])]
    columns += [Column(name.upper(), cell(value), right=True) for name, value in amounts.items()]
    print_list(
        options,
        list(parts.by_day.items()),
        columns,
        lambda row: {
            "day": row[0],
            "currency": currency.upper(),
            **{name: plain_amount(value(row[1]), currency) for name, value in amounts.items()},
        },
    )
    if not (options.json or options.csv):
        print(f"{payout.payout_id}: {format_amount(payout.amount_minor, currency)}, {payout.status}")
    if not parts.by_day:
        print("Stripe does not list what it is of: it was made by hand, or just now", file=sys.stderr)
    if parts.rest_minor:
        print(f"{format_amount(parts.rest_minor, currency)} of it is in no entry: ask Stripe", file=sys.stderr)
    return 1 if parts.rest_minor else 0


def _reports(cloud: "Cloud", first: date, last: date, options: argparse.Namespace) -> "Iterator[DayReport]":
    day = first
    while day <= last:
        if options.accept:
            yield cloud.desk.acts.accept(actor(), day, reason=options.reason, by=options.by or user())
        elif options.stored:
            report = cloud.daily.stored(day)
            if report is None:
                print(f"{day} was not reconciled yet", file=sys.stderr)
            else:
                yield report
        else:
            yield cloud.desk.acts.reconcile(actor(), day)
        day += timedelta(days=1)


def _columns() -> Sequence[Column[_Found]]:
    return (
        Column("DAY", lambda row: row.day),
        Column("CAUSE", lambda row: row.what.cause.replace("_", " ") + (" (accepted)" if row.accepted else "")),
        Column("ORDER OR PAYMENT", lambda row: row.what.order_id or row.what.subject),
        Column("WHAT", lambda row: row.what.text, folds=True),
    )


def _todo(row: _Found) -> list[str]:
    from arcade_cloud.domain.reconciling import MEANINGS

    return [] if row.what.is_note or row.accepted else [f"→ {MEANINGS[row.what.cause].todo}."]


def _fields(row: _Found) -> Fields:
    from arcade_cloud.domain.money import plain_amount
    from arcade_cloud.domain.reconciling import MEANINGS

    what = row.what
    return {
        "day": row.day,
        "kind": "note" if what.is_note else "difference",
        "cause": what.cause,
        "currency": what.currency.upper() or None,
        "amount": plain_amount(what.amount_minor, what.currency) if what.currency else None,
        "order": what.order_id or None,
        "machine": what.machine_id or None,
        "subject": what.subject,
        "text": what.text,
        "todo": MEANINGS[what.cause].todo,
        "alert": what.alerts,
        "accepted": row.accepted,
    }


def _summary(report: "DayReport") -> Iterator[str]:
    """What moved at Stripe on the day, for people."""
    from arcade_cloud.domain.money import format_amount

    count = len(report.found) + report.more
    yield f"{report.day}: {count or 'no'} difference{'' if count == 1 else 's'}"
    if report.accepted_by:
        at = format_ms(report.accepted_at_ms or 0)[:16].replace("T", " ")
        why = f": {report.accepted_why}" if report.accepted_why else ""
        yield f"  accepted by {report.accepted_by}, {at}Z{why}"
    for sums in report.sums:
        amounts = {
            "charged": sums.charged_minor,
            "refunded": sums.refunded_minor,
            "disputed": sums.disputed_minor,
            "fees": sums.fees_minor,
            "of others": sums.others_minor,
            "paid out": sums.paid_out_minor,
        }
        told = ", ".join(
            f"{name} {format_amount(minor, sums.currency)}" for name, minor in amounts.items() if minor
        )
        yield f"  at Stripe: {told or 'nothing'}"
