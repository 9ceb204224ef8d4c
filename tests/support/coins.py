"""What a board registers from edges that were recorded."""

from collections.abc import Iterable

from arcade_edge.simulator.board import Board, Edge, Ruling


def count_coins(edges: Iterable[Edge], ruling: Ruling | None = None) -> int:
    """How many coins a board with this ruling registers from `edges`."""
    board = Board(ruling or Ruling())
    for edge in edges:
        board.edge(edge.active, edge.at_ns)
    return board.coins
