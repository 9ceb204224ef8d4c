"""What every command of this project has in common: --version."""

import argparse
from collections.abc import Sequence


class Version(argparse.Action):
    """Looks the version up only when it is asked for: `importlib.metadata` is slow to import."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version of the distribution that has the parser's name, and end."""
        from importlib.metadata import version

        print(f"{parser.prog} {version(parser.prog)}")
        parser.exit()
