"""The command `arcade-cloud`: one module for each noun, with its subcommands and what they do.

A command imports what it needs when it runs, so `--help` answers at once.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from arcade_cloud.entrypoints.cli import (
    alert,
    audit,
    backup,
    check,
    claim,
    database,
    key,
    machine,
    order,
    payment,
    pricing,
    receipts,
    reconcile,
    serve,
    statement,
    sticker,
    store,
    tab,
    table,
    takings,
    user,
    webhook,
)
from arcade_cloud.errors import ArcadeError
from arcade_shared.command_line import Version
from arcade_shared.errors import BadMessage

if TYPE_CHECKING:
    from arcade_cloud.config.settings import Settings

# Those that print all warnings about the settings.
_TELL_THEMSELVES = frozenset({"serve", "check"})
# `check` has a verdict on it, and `pricing` needs one for a machine only.
_NEED_NO_DATABASE = frozenset({"table", "check", "pricing"})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 if it was done, 1 if it could not be done, 2 if the call or the settings are wrong.
    """
    given = sys.argv[1:] if arguments is None else arguments
    unreadable = next((text for text in given if not _is_text(text)), None)
    if unreadable is not None:
        print(f"arcade-cloud: {unreadable!a} is no text in UTF-8: type it again", file=sys.stderr)
        return 2
    options = _parser().parse_args(given)
    _log(options)
    from arcade_cloud.config.settings import SettingsError

    try:
        settings = _settings(options)
        if options.command not in _NEED_NO_DATABASE:
            database.see_to(settings, may_make_it=options.makes_database)
        status: int = options.run(settings, options)
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except (ArcadeError, BadMessage) as error:
        print(f"arcade-cloud: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 1
    return status


def _is_text(text: str) -> bool:
    """Whether an argument is text. Bytes that are none come as halves of characters, which no store takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _settings(options: argparse.Namespace) -> "Settings":
    """Read the settings, and say what is set and means nothing."""
    from arcade_cloud.config.settings import ENV_FILE, SettingsError, load

    if options.env_file is not None and not options.env_file.exists():
        raise SettingsError([f"--env-file: there is no file {options.env_file.absolute()}."])
    settings = load(os.environ, options.env_file or ENV_FILE)
    if options.command not in _TELL_THEMSELVES:
        for misspelt in settings.misspelt:
            print(f"warning: {misspelt}", file=sys.stderr)
    return settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="arcade-cloud",
        description="The cloud of Arcade STEM. Settings come from the environment and from .env.local.",
    )
    parser.add_argument("--version", action=Version, help="print the version and exit")
    parser.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="file with settings that the environment does not have (.env.local, if there is one)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every step")
    parser.set_defaults(makes_database=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    nouns = (
        serve,
        machine,
        sticker,
        order,
        payment,
        claim,
        takings,
        statement,
        receipts,
        pricing,
        reconcile,
        alert,
        user,
        audit,
        key,
        webhook,
        store,
        tab,
        backup,
        table,
        check,
    )
    for noun in nouns:
        noun.add_to(commands)
    return parser


def _log(options: argparse.Namespace) -> None:
    usual = logging.INFO if options.command == "serve" else logging.WARNING
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else usual,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for talkative in ("stripe", "urllib3", "botocore"):  # below this level they log whole responses, URLs, headers
        logging.getLogger(talkative).setLevel(logging.WARNING)
