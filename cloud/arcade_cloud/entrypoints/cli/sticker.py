"""`arcade-cloud sticker`: what is glued to a machine, so that players find its page."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from arcade_shared.command_line import identifier

if TYPE_CHECKING:
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.machines import Machine


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `sticker`."""
    sticker = commands.add_parser("sticker", help="print stickers with the QR codes of machines' pages")
    sticker.add_argument("machine_ids", type=identifier, nargs="*", metavar="ID")
    sticker.add_argument("--all", action="store_true", help="all machines that are not retired")
    sticker.add_argument("--format", choices=("svg", "pdf"), help="without it, as the name of the file ends")
    sticker.add_argument("--sheet", choices=("a4", "letter"), default="a4", help="the paper (%(default)s)")
    sticker.add_argument(
        "--per-page", type=int, choices=(1, 4, 12, 24), default=24, help="stickers on a sheet (%(default)s)"
    )
    sticker.add_argument("--font", type=Path, metavar="FILE", help="a font for PDF that has the machines' names")
    sticker.add_argument("--force", action="store_true", help="although no player's phone would reach the page")
    sticker.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the file to write")
    sticker.set_defaults(run=_print)


def _print(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.errors import BadRequest

    kind = options.format or options.output.suffix.lower().removeprefix(".")
    why = None
    if bool(options.machine_ids) == options.all:
        why = "name the machines, or --all"
    elif kind not in {"svg", "pdf"}:
        why = "add --format svg or --format pdf"
    elif kind == "svg" and len(options.machine_ids) != 1:
        why = "an SVG has one sticker: name one machine, or take --format pdf"
    if why is not None:
        print(f"arcade-cloud: {why}", file=sys.stderr)
        return 2
    with build(settings) as cloud:
        stickers = cloud.desk.stickers
        found = stickers.of(_machines(cloud, options), force=options.force)
    if kind == "svg":
        made = stickers.svg(found[0])
    else:
        font = None if options.font is None else str(options.font)
        made = stickers.pdf(found, options.sheet, options.per_page, font)
    try:
        options.output.write_bytes(made)
    except OSError as error:
        raise BadRequest(f"{options.output}: {error.strerror}") from error
    print(f"{options.output}: {len(found)} sticker{'s' if len(found) > 1 else ''}, to {found[0].domain}")
    return 0


def _machines(cloud: "Cloud", options: argparse.Namespace) -> "list[Machine]":
    if not options.all:
        return [cloud.services.operations.machine(one) for one in dict.fromkeys(options.machine_ids)]
    return [
        machine for machine in cloud.store.machines() if machine.closure is None or not machine.closure.for_good
    ]
