"""What counts as a change of an input, and which serial line means game over."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_edge.domain.game_over import MAX_LINE_BYTES, Change, Debounce, LineSplitter, compile_pattern


def changes(debounce: Debounce, edges: list[tuple[bool, int]], until_ms: int) -> list[Change]:
    """Feed the edges, and the time at each due moment between them, as the thread does."""
    seen = []
    for active, at_ms in [*edges, (None, until_ms)]:
        while (due_ms := debounce.next_due()) is not None and due_ms < at_ms:
            debounce, change = debounce.due(due_ms)
            seen.append(change)
        debounce, change = debounce.due(at_ms) if active is None else debounce.feed(active, at_ms)
        seen.append(change)
    return [change for change in seen if change is not None]


def expected_changes(debounce_ms: int, active: bool, edges: list[tuple[bool, int]], until_ms: int) -> list[Change]:
    """The same by looking at the whole line from outside: runs of one level that lasted long enough."""
    runs: list[tuple[bool, int, int]] = []
    level, since_ms = active, 0
    for edge_level, at_ms in [*edges, (None, until_ms)]:
        if edge_level is None or edge_level != level:
            runs.append((level, since_ms, at_ms))
            if edge_level is not None:
                level, since_ms = edge_level, at_ms
    found, settled = [], active
    for run_level, began_ms, ended_ms in runs:
        if run_level != settled and ended_ms - began_ms >= debounce_ms:
            settled = run_level
            found.append(Change(run_level, began_ms))
    return found


@given(
    debounce_ms=st.integers(0, 30),
    active=st.booleans(),
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=30),
    tail_ms=st.integers(0, 40),
)
def test_a_level_counts_exactly_when_it_has_held_for_the_debounce_time(
    debounce_ms: int, active: bool, steps: list[tuple[bool, int]], tail_ms: int
) -> None:
    edges, now_ms = [], 0
    for level, later_ms in steps:
        now_ms += later_ms
        edges.append((level, now_ms))
    until_ms = now_ms + tail_ms
    assert changes(Debounce(debounce_ms, active), edges, until_ms) == expected_changes(
        debounce_ms, active, edges, until_ms
    )


def test_a_bouncing_contact_is_one_change() -> None:
    bounces = [(bool(n % 2 == 0), 100 + 3 * n) for n in range(9)]
    assert changes(Debounce(20, False), bounces, 1_000) == [Change(True, 124)]


def test_a_glitch_shorter_than_the_debounce_time_is_nothing() -> None:
    assert changes(Debounce(20, False), [(True, 100), (False, 119)], 1_000) == []


def test_a_line_active_at_the_start_is_no_change() -> None:
    """A machine that shows game over while the agent starts has not just ended a game."""
    assert changes(Debounce(20, True), [(True, 5)], 1_000) == []
    assert changes(Debounce(20, True), [(False, 100), (True, 200)], 1_000) == [
        Change(False, 100),
        Change(True, 200),
    ]


def test_a_steady_line_needs_no_timer() -> None:
    steady = Debounce(20, False)
    assert steady.next_due() is None
    moved, _ = steady.feed(True, 50)
    assert moved.next_due() == 70


@given(st.lists(st.sampled_from(["GAME OVER", "x", "score: 12", "ä"]), max_size=8), st.data())
def test_lines_come_out_whole_however_the_bytes_arrive(lines: list[str], data: st.DataObject) -> None:
    stream = b"".join(line.encode() + data.draw(st.sampled_from([b"\n", b"\r", b"\r\n"])) for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    splitter = LineSplitter()
    seen: list[str] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        seen += splitter.feed(stream[begin:end])
    assert seen == lines


@given(st.lists(st.binary(max_size=600), max_size=20))
def test_whatever_comes_memory_is_bounded_by_one_line(chunks: list[bytes]) -> None:
    splitter = LineSplitter()
    for chunk in chunks:
        for line in splitter.feed(chunk):
            assert 0 < len(line) <= MAX_LINE_BYTES
        assert len(splitter._line) <= MAX_LINE_BYTES


@given(st.lists(st.sampled_from(["GAME OVER", "x;y", "score: 12"]), max_size=8), st.data())
def test_lines_with_an_end_of_their_own_come_out_whole_however_the_bytes_arrive(
    lines: list[str], data: st.DataObject
) -> None:
    stream = b"".join(line.encode() + b"\x03;" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    splitter = LineSplitter(terminator=b"\x03;")
    seen: list[str] = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        seen += splitter.feed(stream[begin:end])
    assert seen == lines


@pytest.mark.parametrize("terminator", [b"", b"\x03;"])
def test_silence_ends_a_line_that_has_no_end(terminator: bytes) -> None:
    splitter = LineSplitter(terminator=terminator)
    assert list(splitter.feed(b"GAME OV\x03")) == []
    assert list(splitter.silence()) == ["GAME OV\x03"]
    assert list(splitter.silence()) == []
    assert list(splitter.feed(b"GAME OVER" + (terminator or b"\n"))) == ["GAME OVER"]


def test_a_flood_without_an_end_of_line_gives_its_beginning_once() -> None:
    splitter = LineSplitter(max_bytes=8)
    assert [line for _ in range(1000) for line in splitter.feed(b"GAME OVER and more")] == []
    assert list(splitter.feed(b"\nnext\n")) == ["GAME OVE", "next"]


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert list(LineSplitter().feed(b"\xff\xfeGAME OVER\x00\n")) == ["��GAME OVER\x00"]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("GAME OVER", "*** GAME OVER ***"),
        (r"^\s*GAME\s+OVER\s*$", "  GAME   OVER "),
        ("(?i)game ?over", "GameOver"),
        (r"score: \d+ (?:game over|bye)", "score: 120 bye"),
        (".*GAME.*OVER", "the GAME is OVER"),
    ],
)
def test_usual_patterns_are_found_in_a_line(pattern: str, line: str) -> None:
    assert compile_pattern(pattern).search(line)


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("", "empty"),
        ("x*", "matches an empty text"),
        ("a|b|", "matches an empty text"),
        ("(", "no regular expression"),
        ("a{99999999999}", "no regular expression"),
        ("(a+)+$", "may take seconds"),
        ("(a|a)*b", "may take seconds"),
        ("(?:a|ab|b){1,200}c", "may take seconds"),
        (".*.*.*x", "may take seconds"),
        (r"\s*\s*\s*x", "may take seconds"),
        ("(?=(a+)+b)c", "may take seconds"),
        ("a?" * 30 + "a" * 30, "may take seconds"),
        ("x" * 501, "longer than"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused_with_the_reason(pattern: str, complaint: str) -> None:
    """A match holds the interpreter, and a coin line may be active meanwhile."""
    with pytest.raises(ValueError, match=f"^pattern: .*{complaint}"):
        compile_pattern(pattern)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of re, for patterns that nobody writes
@given(st.text(alphabet="a.*+?|(){}[]\\^$1,2 \u00e9", max_size=40))
def test_any_text_is_compiled_or_refused(pattern: str) -> None:
    """Every bad pattern in a config gets a clear refusal."""
    try:
        compile_pattern(pattern)
    except ValueError as refused:
        assert str(refused).startswith("pattern: ")  # noqa: PT017  # both ways out are right
