"""`arcade-cloud audit`: who did what, to what, when, and how it ended."""

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, add_limit, print_list
from arcade_cloud.entrypoints.cli.times import at_ms, clock_time
from arcade_cloud.errors import BadRequest
from arcade_shared.command_line import identifier
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.audit import Audited


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `audit`."""
    audit = commands.add_parser(
        "audit",
        help="who did what, when, and how it ended",
        epilog="An act without an end was cut short: look at what it was about, and do it again if need be.",
    )
    audit.add_argument(
        "--who",
        type=identifier,
        metavar="NAME",
        help="only what this person did, such as ann, or 'command line root'",
    )
    audit.add_argument(
        "--on",
        type=identifier,
        metavar="ID",
        help="only what was done to this: a machine, an order, 'person ann', …",
    )
    audit.add_argument(
        "--act",
        type=identifier,
        metavar="ACT",
        help="only acts of this kind: refund, grant, offers, 'machine set', … as the column ACT has them",
    )
    audit.add_argument(
        "--since",
        type=clock_time,
        metavar="TIME",
        help="only since then: '2026-11-26 21:00' in TIMEZONE, or 21:00",
    )
    add_limit(audit, 100, ", the newest")
    add_formats(audit)
    audit.set_defaults(run=_audit)


def _audit(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.people import Act

    kinds = set(Act)
    if options.act is not None and options.act not in kinds:
        raise BadRequest(f"--act {options.act}: there is no such act, only {', '.join(sorted(kinds))}")
    with build(settings) as cloud:
        now_ms = cloud.services.fulfilment.now_ms()
        since_ms = None if options.since is None else at_ms(options.since, settings.timezone, now_ms)
        found = cloud.desk.log.read(
            options.limit, who=options.who, on=options.on, act=options.act, since_ms=since_ms
        )
    print_list(options, found, _COLUMNS, _fields, _below)
    if not found:
        print("nothing of that kind is in the log", file=sys.stderr)
    return 0


def ended(line: "Audited") -> str:
    """How it ended, in a word."""
    return line.end


_COLUMNS: "Sequence[Column[Audited]]" = (
    Column("TIME", lambda line: f"{format_ms(line.entry.at_ms)[:19].replace('T', ' ')}Z"),
    Column("WHO", lambda line: line.entry.who),
    Column("ACT", lambda line: line.entry.act),
    Column("ON", lambda line: line.entry.on),
    Column("ENDED", ended),
    Column("WISH", lambda line: line.entry.wish, folds=True),
)


def _below(line: "Audited") -> list[str]:
    after = "" if line.outcome is None else line.outcome.after
    return [f"{name} {text}" for name, text in (("before:", line.before), ("after: ", after)) if text]


def _fields(line: "Audited") -> Fields:
    entry, outcome = line
    return {
        "id": entry.entry_id,
        "at": format_ms(entry.at_ms),
        "who": entry.who,
        "act": entry.act,
        "on": entry.on,
        "wish": entry.wish or None,
        "before": line.before or None,
        "after": None if outcome is None else outcome.after or None,
        "result": None if outcome is None else outcome.result,
        "endedAt": None if outcome is None else format_ms(outcome.at_ms),
        "ip": entry.ip or None,
    }
