"""Cells for spreadsheets: every text comes back as it was, and none is run."""

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.spreadsheet import FORMULA, cell, csv_text, plain


@given(st.text())
def test_no_text_begins_like_a_formula_and_each_can_be_read_back(text: str) -> None:
    written = cell(text)
    assert not written.startswith(FORMULA) or written.lstrip("+-").replace(".", "", 1).isdigit()
    if not text.startswith("'"):
        assert plain(written) == text


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1))
def test_a_table_has_a_heading_and_a_row_for_each_record(texts: list[tuple[str, str]]) -> None:
    rows = list(csv.reader(io.StringIO(csv_text([{"a": a, "b": b} for a, b in texts]), newline="")))
    assert rows[0] == ["a", "b"]
    assert rows[1:] == [[cell(a), cell(b)] for a, b in texts]


def test_numbers_stay_numbers_and_nothing_is_nothing() -> None:
    assert [cell(value) for value in ("-5.00", -5, None, True, ("a", "=b"), "-a")] == [
        "-5.00",
        "-5",
        "",
        "true",
        "a =b",
        "'-a",
    ]
    assert csv_text([]) == ""
