"""Stickers with a machine's QR code: SVG for one, PDF for one or for sheets with cut marks."""

import io
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import segno

from arcade_cloud.domain.stickers import GRIDS, Sheet, Sticker
from arcade_cloud.errors import BadRequest

if TYPE_CHECKING:
    from fpdf import FPDF

_SIZES_MM = {"a4": (210.0, 297.0), "letter": (215.9, 279.4)}
# Printers leave an edge white. Cut marks stand in it.
_EDGE_MM, _MARK_MM, _PADDING_MM = 9.0, 4.0, 2.5
# The quiet zone that the standard of QR codes wants, in modules.
_QUIET = 4
_MM_A_POINT = 25.4 / 72
_LEAST_POINTS = 5.0


def _modules(sticker: Sticker) -> list[tuple[bool, ...]]:
    """The rows of the code, true where it is dark, with its quiet zone. Level Q bears scratches of a quarter."""
    code = segno.make_qr(sticker.url, error="q", boost_error=False)
    return [tuple(bool(module) for module in row) for row in code.matrix_iter(border=_QUIET)]


def _dark_runs(rows: Sequence[Sequence[bool]]) -> Iterator[tuple[int, int, int]]:
    """Row, first column and length of each run of dark modules."""
    for number, row in enumerate(rows):
        start = None
        for column, dark in enumerate((*row, False)):
            if dark and start is None:
                start = column
            elif not dark and start is not None:
                yield number, start, column - start
                start = None


def svg(sticker: Sticker) -> bytes:
    """One sticker, 60 mm wide. Its texts are drawn with the fonts of the program that shows it."""
    rows = _modules(sticker)
    size, middle = len(rows), len(rows) / 2
    path = "".join(f"M{x} {y}h{length}v1h-{length}z" for y, x, length in _dark_runs(rows))
    lines, y = [], float(size)
    for text, relative in sticker.texts:
        points = min(size * 0.1 * relative, size * 1.6 / max(1, len(text)))
        y += points * 1.4
        shown = escape(text)
        lines.append(f'<text x="{middle:g}" y="{y:.2f}" font-size="{points:.2f}">{shown}</text>')
    height = y + 2
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" width="60mm" height="{60 * height / size:.1f}mm" '
        f'viewBox="0 0 {size} {height:.2f}"><rect width="100%" height="100%" fill="#fff"/>'
        f'<path d="{path}" fill="#000" shape-rendering="crispEdges"/>'
        f'<g font-family="sans-serif" text-anchor="middle">{"".join(lines)}</g></svg>\n'
    ).encode()


def pdf(stickers: Sequence[Sticker], sheet: Sheet, per_page: int, font: str | None = None) -> bytes:
    """Sheets of stickers.

    Args:
        per_page: One of `GRIDS`.
        font: A TrueType or OpenType font, which is embedded. Without it, only Western European letters can be
            printed.

    Raises:
        BadRequest: fpdf2 is not installed, the font cannot be read, or it has not all of the characters.
    """
    try:
        from fpdf import FPDF
    except ImportError:
        raise BadRequest("PDF needs fpdf2: pip install 'arcade-cloud[stickers]', or make an SVG") from None
    document = FPDF(unit="mm", format=_SIZES_MM[sheet])
    document.set_auto_page_break(False)
    _use_font(document, stickers, font)
    columns, rows = GRIDS[per_page]
    width, height = ((size - 2 * _EDGE_MM) / n for size, n in zip(_SIZES_MM[sheet], (columns, rows), strict=True))
    for number, sticker in enumerate(stickers):
        place = number % per_page
        if place == 0:
            document.add_page()
            _cut_marks(document, columns, rows, width, height)
        row, column = divmod(place, columns)
        _draw(document, sticker, _EDGE_MM + column * width, _EDGE_MM + row * height, width, height)
    out = io.BytesIO()
    document.output(out)
    return out.getvalue()


def _use_font(document: "FPDF", stickers: Sequence[Sticker], font: str | None) -> None:
    used = {char for sticker in stickers for text, _ in sticker.texts for char in text}
    if font is None:
        missing = {char for char in used if not char.isprintable() or not _is_latin(char)}
        document.set_font("helvetica", style="B")
        what = "The built-in font"
    else:
        from fontTools.ttLib import TTFont, TTLibError  # type: ignore[import-untyped]

        try:
            with TTFont(font, fontNumber=0, lazy=True) as opened:
                known = set(opened.getBestCmap() or ())
            document.add_font("chosen", fname=font)
        except (OSError, TTLibError, RuntimeError, ValueError, NotImplementedError) as error:
            raise BadRequest(f"--font {font}: it cannot be used: {error}") from error
        missing = {char for char in used if ord(char) not in known}
        document.set_font("chosen")
        what = Path(font).name
    if missing:
        raise BadRequest(
            f"{what} does not have {' '.join(sorted(missing)[:20])}: name a font that has, such as "
            "--font NotoSansSC-Regular.ttf (of Google's Noto fonts)"
        )


def _is_latin(char: str) -> bool:
    return char.encode("latin-1", "ignore") != b""


def _cut_marks(document: "FPDF", columns: int, rows: int, width: float, height: float) -> None:
    """Short lines in the white edge, between which a knife and a ruler cut."""
    document.set_line_width(0.1)
    right, bottom = _EDGE_MM + columns * width, _EDGE_MM + rows * height
    for number in range(columns + 1):
        x = _EDGE_MM + number * width
        document.line(x, _EDGE_MM - _MARK_MM - 1, x, _EDGE_MM - 1)
        document.line(x, bottom + 1, x, bottom + 1 + _MARK_MM)
    for number in range(rows + 1):
        y = _EDGE_MM + number * height
        document.line(_EDGE_MM - _MARK_MM - 1, y, _EDGE_MM - 1, y)
        document.line(right + 1, y, right + 1 + _MARK_MM, y)


def _draw(document: "FPDF", sticker: Sticker, x: float, y: float, width: float, height: float) -> None:
    """The code with the texts beside it, or below it in a tall place."""
    x, y, width, height = x + _PADDING_MM, y + _PADDING_MM, width - 2 * _PADDING_MM, height - 2 * _PADDING_MM
    is_wide = width > height
    side = min(height, width * 0.55) if is_wide else min(width, height * 0.7)
    rows = _modules(sticker)
    module = side / len(rows)
    left = x if is_wide else x + (width - side) / 2
    for row, column, length in _dark_runs(rows):
        document.rect(left + column * module, y + row * module, length * module, module, style="F")
    if is_wide:
        _write(document, sticker, x + side, y, width - side, height)
    else:
        _write(document, sticker, x, y + side, width, height - side)


def _write(document: "FPDF", sticker: Sticker, x: float, y: float, width: float, height: float) -> None:
    """The texts in a rectangle, as large as fits. Nothing is left out: the domain and id must be whole."""
    points = 28.0
    while True:
        lines = [
            (part, points * relative)
            for text, relative in sticker.texts
            for part in _broken(document, text, points * relative, width)
        ]
        tall = sum(size for _, size in lines) * _MM_A_POINT * 1.2
        if tall <= height or points * 0.6 <= _LEAST_POINTS:
            break
        points -= 0.5
    top = y + max(0.0, (height - tall) / 2)
    for part, size in lines:
        top += size * _MM_A_POINT * 1.2
        document.set_font_size(size)
        document.text(x + max(0.0, (width - document.get_string_width(part)) / 2), top, part)


def _broken(document: "FPDF", text: str, points: float, width: float) -> list[str]:
    """The text in lines of that width, broken at a space where there is one in the line."""
    document.set_font_size(points)
    lines = []
    while text:
        length = len(text)
        while length > 1 and document.get_string_width(text[:length]) > width:
            length -= 1
        space = text.rfind(" ", 0, length + 1)
        if length < len(text) and space > 0:
            length = space
        lines.append(text[:length])
        text = text[length:].lstrip()
    return lines
