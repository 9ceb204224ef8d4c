"""`arcade-cloud key`: API keys for other software."""

import argparse
import sys
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.output import Column, Fields, add_formats, print_list
from arcade_cloud.entrypoints.cli.person import actor
from arcade_shared.command_line import identifier
from arcade_shared.times import format_ms

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings
    from arcade_cloud.domain.api_keys import ApiKey

_SCOPES = ("checkout", "gameover", "takings")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `key add`, `key list` and `key revoke`."""
    key = commands.add_parser("key", help="make, list or revoke API keys for other software").add_subparsers(
        dest="what", required=True, metavar="add|list|revoke"
    )
    add = key.add_parser("add", help="make a key and print it, once")
    add.add_argument("name", help="what gets it, such as 'Kiosk at the door'")
    add.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=_SCOPES,
        help="what it may do: begin a checkout, signal game over, read the takings; several times for several",
    )
    add.add_argument(
        "--machine",
        action="append",
        default=[],
        type=identifier,
        metavar="ID",
        help="only for this machine; several times for several",
    )
    add.set_defaults(run=_add)
    listing = key.add_parser("list", help="list the keys, not their texts, with when each was last used")
    listing.add_argument("--all", action="store_true", help="also those that were revoked")
    add_formats(listing)
    listing.set_defaults(run=_list)
    revoke = key.add_parser("revoke", help="refuse a key from now on")
    revoke.add_argument("ids", type=identifier, nargs="+", metavar="ID", help="as `key list` shows it")
    revoke.set_defaults(run=_revoke)


def _add(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        key, text = cloud.desk.acts.key_add(actor(), options.name, options.scope, options.machine)
    print(text)
    print(f"Key {key.key_id} for {key.name}. It is shown this once: nothing can show it again.", file=sys.stderr)
    return 0


def _list(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build

    with build(settings) as cloud:
        found = [key for key in cloud.store.software.api_keys() if options.all or key.revoked_at_ms is None]
    print_list(options, found, _COLUMNS, _fields)
    return 0


_COLUMNS: "tuple[Column[ApiKey], ...]" = (
    Column("ID", lambda key: key.key_id),
    Column("NAME", lambda key: key.name, folds=True),
    Column("SCOPES", lambda key: " ".join(key.scopes), folds=True),
    Column("MACHINES", lambda key: " ".join(key.machines) or "all", folds=True),
    Column("LAST USED", lambda key: _minute(key.used_at_ms) or "never"),
    Column("REVOKED", lambda key: _minute(key.revoked_at_ms) or ""),
)


def _minute(at_ms: int | None) -> str | None:
    return None if at_ms is None else f"{format_ms(at_ms)[:16].replace('T', ' ')}Z"


def _fields(key: "ApiKey") -> Fields:
    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "machines": list(key.machines),
        "createdAt": format_ms(key.created_at_ms),
        "createdBy": key.created_by,
        "usedAt": None if key.used_at_ms is None else format_ms(key.used_at_ms),
        "revokedAt": None if key.revoked_at_ms is None else format_ms(key.revoked_at_ms),
        "revokedBy": key.revoked_by or None,
    }


def _revoke(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.errors import BadRequest

    failed = False
    with build(settings) as cloud:
        for key_id in options.ids:
            try:
                _, key = cloud.desk.acts.key_revoke(actor(), key_id)
            except BadRequest as error:
                failed = True
                print(f"arcade-cloud: {error}", file=sys.stderr)
                continue
            print(f"{key.key_id}: revoked ({key.name})")
    return 1 if failed else 0
