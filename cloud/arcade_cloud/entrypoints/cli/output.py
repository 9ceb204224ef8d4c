"""What the commands that list and show print: a table for people, JSON or CSV for programs.

One set of named fields serves JSON and CSV alike. A table says the same in fewer words, and fits the terminal.
"""

import argparse
import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TextIO, TypeVar

from arcade_cloud.domain.spreadsheet import csv_text
from arcade_shared.command_line import whole_number

_Row = TypeVar("_Row")

# In one call.
MOST_LISTED = 1000
# Fields of one record. JSON keeps numbers, lists and null; CSV has one cell for each.
Fields = Mapping[str, object]

_GAP = "  "
_INDENT = " " * 4
# A column that folds is never narrower, or it would be a column of single words.
_NARROWEST = 20


@dataclass(frozen=True, slots=True)
class Column(Generic[_Row]):
    """One column of a table.

    Attributes:
        text: What stands in it for a row.
        right: Numbers stand at the right, so that their digits stand below each other.
        folds: The text may be folded at its spaces where the terminal is narrow.
    """

    heading: str
    text: Callable[[_Row], str]
    right: bool = False
    folds: bool = False


def add_formats(parser: argparse.ArgumentParser) -> None:
    """Add `--json` and `--csv`."""
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="one JSON object a line, with all that is known")
    formats.add_argument("--csv", action="store_true", help="for a spreadsheet, with a heading")


def add_limit(parser: argparse.ArgumentParser, default: int, which: str = "") -> None:
    """Add `--limit`."""
    parser.add_argument(
        "--limit",
        type=whole_number(1, MOST_LISTED),
        default=default,
        metavar="N",
        help=f"how many{which}, at most {MOST_LISTED} (%(default)s)",
    )


def print_list(
    options: argparse.Namespace,
    rows: Sequence[_Row],
    columns: Sequence[Column[_Row]],
    fields: Callable[[_Row], Fields],
    below: Callable[[_Row], Sequence[str]] | None = None,
) -> None:
    """Print records in the format that the options name.

    Args:
        fields: A record for JSON and CSV. Every record has the same names.
        below: Lines for people that follow the row.
    """
    if options.json:
        for row in rows:
            print(json.dumps(fields(row)))
    elif options.csv:
        print_csv([fields(row) for row in rows])
    else:
        for line in table(rows, columns, terminal_width(), below):
            print(line)


def print_facts(options: argparse.Namespace, heading: str, facts: Mapping[str, str], fields: Fields) -> None:
    """Print one record: the facts for people, or its fields."""
    if options.json:
        print(json.dumps(fields))
    elif options.csv:
        print_csv([fields])
    else:
        print(heading)
        for line in named(facts, terminal_width()):
            print(line)


def print_csv(records: Sequence[Fields], file: TextIO | None = None) -> None:
    """Print records as `csv_text` writes them; nothing if there are none."""
    print(csv_text(records), end="", file=file)


# --- tables ----------------------------------------------------------------------------------------------


def terminal_width() -> int | None:
    """The columns of the terminal; None where the output goes elsewhere, so that nothing need fit."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table(
    rows: Sequence[_Row],
    columns: Sequence[Column[_Row]],
    width: int | None,
    below: Callable[[_Row], Sequence[str]] | None = None,
) -> list[str]:
    """Rows below their headings; nothing if there are none. A column in which no row has anything is left out.

    What does not fit is folded at spaces, where a column allows that. If it still does not fit, the last columns
    move below their row. No word is ever cut, so a very long id may stand out.

    Args:
        width: Into which it must fit; None folds and moves nothing.
        below: Lines that follow a row.
    """
    if not rows:
        return []
    columns = [column for column in columns if any(column.text(row) for row in rows)]
    cells = [[_shown(column.text(row)) for column in columns] for row in rows]
    widths = [
        max(_width(column.heading), *(_width(texts[place]) for texts in cells))
        for place, column in enumerate(columns)
    ]
    used = len(columns)
    if width is not None:
        while used > 1 and _least(columns[:used], widths) > width:
            used -= 1
        widths = _folded_widths(columns[:used], widths[:used], width)
    lines = _row([column.heading for column in columns[:used]], columns, widths)
    for row, texts in zip(rows, cells, strict=True):
        lines += _row(texts[:used], columns, widths)
        moved = _GAP.join(text for text in texts[used:] if text)
        for text in (*([moved] if moved else []), *(_shown(more) for more in (below(row) if below else ()))):
            lines += [_INDENT + part for part in fold(text, None if width is None else width - len(_INDENT))]
    return lines


def named(facts: Mapping[str, str], width: int | None) -> list[str]:
    """Facts with their names, one below the other."""
    longest = max((_width(name) for name in facts), default=0)
    lines = []
    for name, value in facts.items():
        room = None if width is None else max(_NARROWEST, width - longest - 2 * len(_GAP))
        first, *rest = fold(_shown(value) or "-", room)
        lines.append(f"{_GAP}{_padded(name, longest)}{_GAP}{first}")
        lines += [f"{_GAP}{' ' * longest}{_GAP}{part}" for part in rest]
    return lines


def fold(text: str, width: int | None) -> list[str]:
    """A text in lines of that width at most, but for words that are longer. It is broken at spaces only."""
    if width is None or _width(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        if line and _width(line) + 1 + _width(word) > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    return [*lines, line]


def _least(columns: Sequence[Column[_Row]], widths: Sequence[int]) -> int:
    """How narrow these columns can be."""
    least = [min(w, _NARROWEST) if c.folds else w for c, w in zip(columns, widths, strict=False)]
    return sum(least) + len(_GAP) * (len(columns) - 1)


def _folded_widths(columns: Sequence[Column[_Row]], widths: list[int], width: int) -> list[int]:
    """The widths with what is too much taken from the columns that fold, always from the widest."""
    widths = list(widths)
    too_much = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while too_much > 0:
        able = [place for place, column in enumerate(columns) if column.folds and widths[place] > _NARROWEST]
        if not able:
            break
        widths[max(able, key=lambda place: widths[place])] -= 1
        too_much -= 1
    return widths


def _row(texts: Sequence[str], columns: Sequence[Column[_Row]], widths: Sequence[int]) -> list[str]:
    folded = [
        fold(text, room if column.folds else None)
        for text, column, room in zip(texts, columns, widths, strict=False)
    ]
    lines = []
    for number in range(max(map(len, folded))):
        parts = (
            _padded(parts[number] if number < len(parts) else "", room, right=column.right)
            for parts, column, room in zip(folded, columns, widths, strict=False)
        )
        lines.append(_GAP.join(parts).rstrip())
    return lines


def _padded(text: str, width: int, *, right: bool = False) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _width(text: str) -> int:
    """How many columns of a terminal a text takes: Chinese characters take two, accents of their own none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _shown(text: str) -> str:
    """The text without what would move the cursor or change a terminal's colours."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
