"""`arcade-cloud sticker`: what is glued to a machine, so that players find its page."""

import argparse
import ipaddress
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from arcade_shared.command_line import identifier

if TYPE_CHECKING:
    from arcade_cloud.adapters.stickers import Sticker
    from arcade_cloud.bootstrap import Cloud
    from arcade_cloud.config.settings import Settings


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
    from arcade_cloud.adapters import stickers
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
    if not options.force and not _is_public(settings.public_base_url):
        raise BadRequest(
            f"PUBLIC_BASE_URL is {settings.public_base_url}, which no player's phone can trust or reach: "
            "set it to the https address of this cloud, or add --force for a trial"
        )
    with build(settings) as cloud:
        found = _stickers(cloud, options)
    if not found:
        raise BadRequest("no machine is registered: arcade-cloud machine add")
    if kind == "svg":
        made = stickers.svg(found[0])
    else:
        made = stickers.pdf(found, options.sheet, options.per_page, options.font)
    try:
        options.output.write_bytes(made)
    except OSError as error:
        raise BadRequest(f"{options.output}: {error.strerror}") from error
    print(f"{options.output}: {len(found)} sticker{'s' if len(found) > 1 else ''}, to {found[0].domain}")
    return 0


def _stickers(cloud: "Cloud", options: argparse.Namespace) -> "list[Sticker]":
    from arcade_cloud.adapters.stickers import Sticker

    base_url = cloud.settings.public_base_url.rstrip("/")
    if options.all:
        machines = [
            machine
            for machine in cloud.store.machines()
            if machine.closure is None or not machine.closure.for_good
        ]
    else:
        machines = [cloud.services.operations.machine(one) for one in dict.fromkeys(options.machine_ids)]
    return [
        Sticker(
            url=f"{base_url}/m/{machine.machine_id}",
            name=machine.name,
            machine_id=machine.machine_id,
            domain=base_url.partition("://")[2],
        )
        for machine in machines
    ]


def _is_public(base_url: str) -> bool:
    """Whether a phone may reach the address from anywhere, and safely."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" and ipaddress.ip_address(host).is_global
    except ValueError:
        return parts.scheme == "https" and "." in host and not host.endswith((".localhost", ".local"))
