"""`arcade-cloud machine`, for several machines at once: in and out of service, copied, imported and exported."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import print_csv
from arcade_cloud.entrypoints.cli.person import actor
from arcade_shared.command_line import identifier

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.machines import Machine


_UNDECIDED = "name machines, or a --location, or --all"


def add_to(machine: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `machine out-of-service`, `in-service`, `retire`, `copy`, `import` and `export`."""
    close = machine.add_parser(
        "out-of-service", help="let nobody pay for machines, with a reason that players read"
    )
    _take_chosen(close)
    close.add_argument("--reason", default="", help="what players read, such as “Closed for maintenance.”")
    close.add_argument(
        "--until",
        metavar="TIME",
        help="when they are in service again by themselves: 18:00, 2026-11-28 or '2026-11-28 18:00' in TIMEZONE",
    )
    close.set_defaults(run=_close, for_good=False)
    back = machine.add_parser("in-service", help="put machines into service again")
    _take_chosen(back)
    back.set_defaults(run=_open)
    retire = machine.add_parser("retire", help="take machines out of service for good; their orders stay")
    _take_chosen(retire)
    retire.add_argument("--reason", default="", help="what players read who still scan a sticker")
    retire.set_defaults(run=_close, for_good=True, until=None)

    copy = machine.add_parser("copy", help="register a machine like another, and print its agent's config")
    copy.add_argument(
        "source_id", type=identifier, metavar="FROM", help="whose offers, contact, picture and location it gets"
    )
    copy.add_argument("machine_id", type=identifier, metavar="TO")
    copy.add_argument("--name", help="what players see; it is not copied")
    copy.add_argument("--location", help="where it stands, if not at the same place")
    copy.set_defaults(run=_copy)

    table = machine.add_parser(
        "import", help="register and change machines from a table (CSV); docs/OPERATING.md has its columns"
    )
    table.add_argument("file", type=Path, metavar="FILE.csv")
    table.add_argument("--dry-run", action="store_true", help="show what would change, and change nothing")
    table.set_defaults(run=_import)
    export = machine.add_parser("export", help="print all machines as a table (CSV) that `import` reads")
    export.add_argument("-o", "--output", type=Path, metavar="FILE.csv", help="a file for a spreadsheet instead")
    export.add_argument("--location", help="only the machines that stand there")
    export.set_defaults(run=_export)


def _take_chosen(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("machine_ids", type=identifier, nargs="*", metavar="ID")
    parser.add_argument("--location", metavar="NAME", help="all machines that stand there")
    parser.add_argument("--all", action="store_true", help="all machines, but for retired ones")


def _chosen_well(options: argparse.Namespace) -> bool:
    """Whether machines are meant in exactly one way."""
    ways = (bool(options.machine_ids), options.location is not None, options.all)
    if sum(ways) == 1:
        return True
    print(f"arcade-cloud machine {options.what}: {_UNDECIDED}; one of these", file=sys.stderr)
    return False


def _close(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    if not _chosen_well(options):
        return 2
    with build(settings) as cloud:
        fleet = cloud.services.fleet
        chosen = fleet.chosen(options.machine_ids, location=options.location, every=options.all)
        steps = cloud.desk.acts.machines_close(
            actor(),
            [machine.machine_id for machine in chosen],
            reason=options.reason,
            until=options.until,
            for_good=options.for_good,
        )
        _tell_service(settings, steps, cloud.services.fulfilment.now_ms())
    return 0


def _open(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    if not _chosen_well(options):
        return 2
    with build(settings) as cloud:
        fleet = cloud.services.fleet
        chosen = fleet.chosen(options.machine_ids, location=options.location, every=options.all)
        steps = cloud.desk.acts.machines_open(actor(), [machine.machine_id for machine in chosen])
        _tell_service(settings, steps, cloud.services.fulfilment.now_ms())
    return 0


def _tell_service(settings: "Settings", steps: Iterable[tuple["Machine", "Machine"]], now_ms: int) -> None:
    from arcade_cloud.domain.closure import closed_text, service_text

    zone = settings.timezone
    for before, after in steps:
        old, new = (service_text(machine.closure, now_ms, zone) for machine in (before, after))
        closed = after.closed(now_ms)
        print(f"machine {after.machine_id}: {'nothing changed' if old == new else 'changed'}")
        if old != new:
            print(f"  before: {old}")
        print(f"  now:    {new}")
        if closed is not None:
            print(f"  players read: {closed_text(closed, now_ms, zone)}")


def _copy(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.machines import MachineChange
    from arcade_cloud.entrypoints.cli.machine import print_new

    given = {"name": options.name, "location": options.location}
    change = MachineChange(**{name: value for name, value in given.items() if value is not None})
    with build(settings) as cloud:
        machine = cloud.desk.acts.machine_copy(actor(), options.source_id, options.machine_id, change)
    print_new(settings, machine)
    return 0


def _import(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.fleet import BYTES_AT_MOST, read_table
    from arcade_cloud.errors import BadRequest

    try:
        with options.file.open("rb") as file:
            content = file.read(BYTES_AT_MOST + 1)
    except OSError as error:
        raise BadRequest(f"{options.file} cannot be read: {error.strerror}") from None
    lines, faults = read_table(content)
    with build(settings) as cloud:
        fleet = cloud.services.fleet
        planned, more = fleet.plan(lines)
        faults = sorted([*faults, *more])
        for fault in faults:
            print(f"{options.file}: {fault}", file=sys.stderr)
        if faults:
            print("arcade-cloud: nothing was changed; correct these lines and import again", file=sys.stderr)
            return 1
        steps = planned if options.dry_run else cloud.desk.acts.machines_take_in(actor(), lines)
        _tell_import(steps, is_trial=options.dry_run)
    return 0


def _tell_import(steps: Iterable[tuple["Machine | None", "Machine"]], *, is_trial: bool) -> None:
    from arcade_cloud.domain.machines import Machine, differences
    from arcade_cloud.entrypoints.cli.machine import tell_differences
    from arcade_cloud.services.unsellable import too_cheap

    counts = {"new": 0, "changed": 0, "unchanged": 0}
    for before, after in steps:
        found = differences(before or Machine(machine_id=after.machine_id), after)
        state = "new" if before is None else "changed" if found else "unchanged"
        counts[state] += 1
        if state != "unchanged":
            print(f"machine {after.machine_id}: {state}")
            tell_differences(found, sys.stdout)
        if before is None or before.offers != after.offers:
            for text in filter(None, map(too_cheap, after.offers)):
                print(f"warning: machine {after.machine_id}, {text}", file=sys.stderr)
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    print(f"{'this would be' if is_trial else 'done'}: {told}")
    if counts["new"] and not is_trial:
        print("`arcade-cloud machine config ID` prints a new machine's agent's config")


def _export(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.domain.fleet import COLUMNS, at_location, cells
    from arcade_cloud.errors import BadRequest

    with build(settings) as cloud:
        machines = cloud.store.machines()
    if options.location is not None:
        machines = at_location(machines, options.location)
    rows = [cells(machine) for machine in machines] or [dict.fromkeys(COLUMNS, "")]
    if options.output is None:
        print_csv(rows)
        return 0
    try:
        # Without the mark at its begin, a spreadsheet takes the file for something older than UTF-8.
        with options.output.open("w", encoding="utf-8-sig", newline="") as file:
            print_csv(rows, file)
    except OSError as error:
        raise BadRequest(f"{options.output} cannot be written: {error.strerror}") from None
    print(f"{options.output}: {len(machines)} machines", file=sys.stderr)
    return 0
