"""Stickers: what is printed on what is glued to a machine (pure)."""

from dataclasses import dataclass
from typing import Literal

Sheet = Literal["a4", "letter"]
SHEETS: tuple[Sheet, ...] = ("a4", "letter")
INVITATION = "Scan to play"
# Columns and rows of a sheet, by the number of stickers.
GRIDS = {1: (1, 1), 4: (2, 2), 12: (2, 6), 24: (3, 8)}


@dataclass(frozen=True, slots=True)
class Sticker:
    """One sticker. `domain` is printed, so that a player can compare it with what the phone shows."""

    url: str
    name: str
    machine_id: str
    domain: str

    @property
    def texts(self) -> list[tuple[str, float]]:
        """What is printed beside the code, each with its size relative to the largest."""
        name = [(self.name, 1.0)] if self.name and self.name != self.machine_id else []
        return [*name, (INVITATION, 0.75), (self.domain, 0.6), (self.machine_id, 0.6)]
