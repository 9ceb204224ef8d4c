"""`arcade-cloud table`: the table that a dynamodb:// DATABASE_URL names."""

import argparse
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `table create`."""
    table = commands.add_parser("table", help="create the table for a dynamodb:// DATABASE_URL").add_subparsers(
        dest="what", required=True, metavar="create"
    )
    create = table.add_parser("create", help="create the table with its indexes and backups, unless it exists")
    create.set_defaults(run=_create)


def _create(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.adapters.store.dynamodb.client import Table
    from arcade_cloud.adapters.store.dynamodb.table import make
    from arcade_cloud.config.dynamodb_address import parse
    from arcade_cloud.errors import BadRequest

    if not settings.database_url.startswith("dynamodb:"):
        raise BadRequest("DATABASE_URL is a file, which needs no table: one is created for dynamodb://table only")
    with closing(Table(parse(settings.database_url), settings.dynamodb_endpoint)) as table:
        for line in make(table):
            print(line, flush=True)
    return 0
