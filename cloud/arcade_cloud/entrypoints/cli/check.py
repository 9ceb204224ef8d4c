"""`arcade-cloud check`: try the settings and every connection, each with a verdict."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli.database import is_missing, place_of

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `check`."""
    check = commands.add_parser("check", help="try the settings and every connection, each with a verdict")
    check.set_defaults(run=_check)


def _check(settings: "Settings", options: argparse.Namespace) -> int:
    from arcade_cloud.bootstrap import build
    from arcade_cloud.config.settings import warnings

    print("ok    settings")
    for warning in warnings(settings):
        print(f"warn  {warning}")
    failed = False
    with _on_some_database(settings) as settings, build(settings) as cloud:
        for verdict in cloud.self_check().verdicts():
            failed = failed or verdict.wrong is not None
            if verdict.wrong is None:
                print(f"ok    {verdict.name}")
                continue
            print(f"FAIL  {verdict.name}: {verdict.wrong}")
            if verdict.todo:
                print(f"      → {verdict.todo}")
    return 1 if failed else 0


@contextmanager
def _on_some_database(settings: "Settings") -> Iterator["Settings"]:
    """The settings, with a database for the moment where theirs is not there yet: a look makes nothing."""
    if not is_missing(settings):
        print(f"ok    the database: {place_of(settings)}")
        yield settings
        return
    print(f"warn  there is no database {place_of(settings)} yet; `arcade-cloud serve` or `machine add` makes it")
    with TemporaryDirectory() as folder:
        yield replace(settings, database_url=f"sqlite:///{folder}/none.sqlite")
