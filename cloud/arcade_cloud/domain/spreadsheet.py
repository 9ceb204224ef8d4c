"""Cells of a table for spreadsheets: text that no spreadsheet runs (pure)."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from types import SimpleNamespace

# A spreadsheet runs a cell that begins like this as a formula, unless an apostrophe stands before it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LINES_A_PART = 500
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def cell(value: object) -> str:
    """A value as the text of a cell. What a spreadsheet would run as a formula gets a `'` in front."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = " ".join(str(member) for member in value) if isinstance(value, (list, tuple)) else str(value)
    return f"'{text}" if text.startswith(FORMULA) and not _NUMBER.fullmatch(text) else text


def plain(cell: str) -> str:
    """The cell without the apostrophe that keeps a spreadsheet from reading a formula."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA) else cell


def csv_text(records: Iterable[Mapping[str, object]]) -> str:
    """Records as RFC 4180 has it, with a heading, and no cell as a formula; empty if there are none."""
    return "".join(csv_parts(records))


def csv_parts(records: Iterable[Mapping[str, object]]) -> Iterator[str]:
    """The same, in parts of some hundred lines: whoever sends a long one need not make all of it first."""
    written: list[str] = []
    writer = csv.writer(SimpleNamespace(write=written.append))
    for number, record in enumerate(records):
        if number == 0:
            writer.writerow(record)
        writer.writerow([cell(value) for value in record.values()])
        if len(written) >= _LINES_A_PART:
            yield "".join(written)
            written.clear()
    if written:
        yield "".join(written)
