"""The port to what draws stickers."""

from collections.abc import Sequence
from typing import Protocol

from arcade_cloud.domain.stickers import Sheet, Sticker


class Printer(Protocol):
    """Draws stickers."""

    def svg(self, sticker: Sticker) -> bytes:
        """One sticker as a picture."""
        ...

    def pdf(self, stickers: Sequence[Sticker], sheet: Sheet, per_page: int, font: str | None = None) -> bytes:
        """Sheets of stickers.

        Args:
            per_page: One of `GRIDS`.
            font: The path of a font, which is embedded. Without it, only Western European letters can be printed.

        Raises:
            BadRequest: PDF needs another package, the font cannot be used, or it has not all of the characters.
        """
        ...
