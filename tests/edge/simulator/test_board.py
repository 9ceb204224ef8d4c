"""The virtual board judges pulses as a board does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from arcade_edge.simulator.board import (
    Board,
    CoinCounted,
    Edge,
    GameEnded,
    GameStarted,
    PulseSeen,
    ReadyTurned,
    Ruling,
)
from support.coins import count_coins

MS = 1_000_000
RULING = Ruling(min_pulse_ms=50, min_gap_ms=40, start_after_ms=100, play_ms=1_000)


def edges_of(pulses: list[tuple[int, int]], start_ms: int = 1_000) -> list[Edge]:
    """Edges of pulses given as (gap before, width) in ms."""
    edges, now_ms = [], start_ms
    for gap_ms, width_ms in pulses:
        edges += [Edge(True, (now_ms + gap_ms) * MS), Edge(False, (now_ms + gap_ms + width_ms) * MS)]
        now_ms += gap_ms + width_ms
    return edges


def verdicts(pulses: list[tuple[int, int]]) -> list[str]:
    board = Board(RULING)
    decisions = [decision for edge in edges_of(pulses) for decision in board.edge(edge.active, edge.at_ns)]
    return [decision.verdict for decision in decisions if isinstance(decision, PulseSeen)]


def test_pulses_as_the_board_wants_them_are_counted() -> None:
    assert verdicts([(500, 50), (40, 50), (40, 5_000)]) == ["counted"] * 3


def test_a_pulse_too_short_is_noise() -> None:
    assert verdicts([(500, 49), (500, 50)]) == ["too_short", "counted"]


def test_pulses_without_a_gap_between_them_merge_into_one() -> None:
    assert verdicts([(500, 50), (39, 50), (39, 50), (40, 50)]) == ["counted", "too_close", "too_close", "counted"]


def test_a_coin_may_take_several_pulses() -> None:
    ruling = Ruling(pulses_per_coin=3)
    assert count_coins(edges_of([(100, 60)] * 8), ruling) == 2


def test_a_board_that_is_full_is_not_ready_and_swallows_coins_until_a_game_has_begun() -> None:
    board = Board(Ruling(min_pulse_ms=50, min_gap_ms=40, start_after_ms=1_000, play_ms=9_000, full_at=2))
    edges = edges_of([(100, 60)] * 3)
    decisions = [decision for edge in edges for decision in board.edge(edge.active, edge.at_ns)]
    assert [d.verdict for d in decisions if isinstance(d, PulseSeen)] == ["counted", "counted", "swallowed"]
    assert [d.ready for d in decisions if isinstance(d, ReadyTurned)] == [False]
    assert (board.coins, board.credits, board.ready) == (2, 2, False)
    later = board.tick(3_000 * MS)
    assert [d.ready for d in later if isinstance(d, ReadyTurned)] == [True]
    assert (board.credits, board.ready) == (1, True)


def test_a_line_that_stays_active_is_no_coin_yet() -> None:
    board = Board(RULING)
    assert board.edge(True, 5 * MS) == []
    assert board.edge(True, 900 * MS) == []
    assert board.coins == 0


def test_a_game_is_played_for_each_credit_and_ends() -> None:
    """attract, START pressed after a while, playing, game over; then again while credits are left."""
    board = Board(RULING)
    seen = [d for edge in edges_of([(0, 60), (40, 50)]) for d in board.edge(edge.active, edge.at_ns)]
    assert [d.coins for d in seen if isinstance(d, CoinCounted)] == [1, 2]
    assert board.state == "attract"
    played = []
    while (due_ns := board.next_due_ns()) is not None:
        played += board.tick(due_ns)
    first_ns = (1_060 + 100) * MS
    assert played == [
        GameStarted(first_ns),
        GameEnded(first_ns + 1_000 * MS),
        GameStarted(first_ns + 1_100 * MS),
        GameEnded(first_ns + 2_100 * MS),
    ]
    assert (board.state, board.credits, board.games) == ("attract", 0, 2)


def test_a_coin_during_a_game_waits_for_its_end() -> None:
    board = Board(RULING)
    for edge in edges_of([(0, 60), (400, 60)]):
        board.edge(edge.active, edge.at_ns)
    assert (board.state, board.credits) == ("playing", 1)


@given(
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), max_size=40),
    st.integers(1, 4),
)
def test_the_count_is_what_an_outsider_recomputes(pulses: list[tuple[int, int]], pulses_per_coin: int) -> None:
    """Wide enough and far enough from the pulse before it, whatever that one was worth."""
    good = sum(
        width_ms >= 50 and (number == 0 or gap_ms >= 40) for number, (gap_ms, width_ms) in enumerate(pulses)
    )
    board = Board(Ruling(min_pulse_ms=50, min_gap_ms=40, pulses_per_coin=pulses_per_coin))
    for edge in edges_of(pulses):
        board.edge(edge.active, edge.at_ns)
    assert board.coins == good // pulses_per_coin
    assert board.refused == len(pulses) - good
    assert list(board.edges) == edges_of(pulses)
    assert count_coins(board.edges, board.ruling) == board.coins
