"""Cells of a table for spreadsheets: text that no spreadsheet runs (pure)."""

import csv
import re
from collections.abc import Mapping, Sequence
from types import SimpleNamespace

# A spreadsheet runs a cell that begins like this as a formula, unless an apostrophe stands before it.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
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


def csv_text(records: Sequence[Mapping[str, object]]) -> str:
    """Records as RFC 4180 has it, with a heading, and no cell as a formula; empty if there are none."""
    if not records:
        return ""
    written: list[str] = []
    writer = csv.writer(SimpleNamespace(write=written.append))
    writer.writerow(records[0])
    writer.writerows([cell(value) for value in record.values()] for record in records)
    return "".join(written)
