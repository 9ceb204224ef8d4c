"""What every command of this project has in common: --version, and how its arguments are read."""

import argparse
import math
import re
from collections.abc import Callable, Sequence


class Version(argparse.Action):
    """Looks the version up only when it is asked for: `importlib.metadata` is slow to import."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version of the distribution that has the parser's name, and end."""
        from importlib.metadata import version

        print(f"{parser.prog} {version(parser.prog)}")
        parser.exit()


def whole_number(least: int, most: int = 1_000_000) -> Callable[[str], int]:
    """The type of an argument that is a whole number, both bounds included. Anything else is a wrong call."""

    def read(text: str) -> int:
        digits = re.fullmatch(r"[0-9]{1,18}", text.strip())
        if digits is None or not least <= int(digits[0]) <= most:
            raise argparse.ArgumentTypeError(f"a whole number from {least} to {most} is needed")
        return int(digits[0])

    return read


def any_number(least: float, most: float = 1e6) -> Callable[[str], float]:
    """The type of an argument that is a number, both bounds included. Anything else is a wrong call."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not least <= found <= most:  # nor is NaN
            raise argparse.ArgumentTypeError(f"a number from {least:g} to {most:.0f} is needed")
        return found

    return read


def identifier(text: str) -> str:
    """The type of an argument that is an id: without the spaces that are copied along with it."""
    found = text.strip()
    if not found:
        raise argparse.ArgumentTypeError("an id is needed")
    return found


PORT = whole_number(0, 65_535)
