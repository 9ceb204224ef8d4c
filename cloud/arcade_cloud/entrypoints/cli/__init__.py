"""The command `arcade-cloud`: one module for each noun, with its subcommands and what they do.

A command imports what it needs when it runs, so `--help` answers at once.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from arcade_cloud.entrypoints.cli import alert, backup, check, machine, order, serve, store, table
from arcade_cloud.errors import ArcadeError
from arcade_shared.errors import BadMessage


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 if it was done, 1 if it could not be done, 2 if the call or the settings are wrong.
    """
    options = _parser().parse_args(arguments)
    _log(options)
    from arcade_cloud.config.settings import SettingsError, load

    try:
        settings = load(os.environ, Path(options.env_file))
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="arcade-cloud",
        description="The cloud of Arcade STEM. Settings come from the environment and from .env.local.",
    )
    parser.add_argument("--version", action=_Version, help="print the version and exit")
    parser.add_argument(
        "--env-file",
        default=".env.local",
        help="file with settings that the environment does not have (%(default)s)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log every step")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for noun in (serve, machine, order, alert, store, backup, table, check):
        noun.add_to(commands)
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: `importlib.metadata` is slow to import."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('arcade-cloud')}")
        parser.exit()


def _log(options: argparse.Namespace) -> None:
    usual = logging.INFO if options.command == "serve" else logging.WARNING
    logging.basicConfig(
        level=logging.DEBUG if options.verbose else usual,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    for talkative in ("stripe", "urllib3", "botocore"):  # below this level they log whole responses, URLs, headers
        logging.getLogger(talkative).setLevel(logging.WARNING)
