"""Files that a person writes: read whatever editor has saved them, and told where others may read them as well."""

from __future__ import annotations

import codecs
import stat
from pathlib import Path

MAX_FILE_BYTES = 64 * 1024
# Windows' Notepad begins a file with one of these, and then means these encodings.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: Path) -> str:
    """The text in the file: UTF-8, or with a mark at its beginning UTF-16 as well.

    Raises:
        OSError: It cannot be read; `why_unreadable` says it in words.
        ValueError: It is too long, or no text; so does the error's own text.
    """
    with path.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"it is longer than {MAX_FILE_BYTES} bytes")
    return _decoded(content, "strict")


def read_lines(path: Path) -> list[str]:
    """The lines at the beginning of the file, with a mark for every byte that is no text.

    Raises:
        OSError: It cannot be read.
    """
    return _decoded(path.read_bytes()[:MAX_FILE_BYTES], "replace").splitlines()


def why_unreadable(error: OSError | ValueError) -> str:
    """Why a file could not be read, and what to do."""
    match error:
        case PermissionError():
            return "this user may not read it: try with sudo"
        case IsADirectoryError():
            return "it is a folder, not a file"
        case FileNotFoundError():
            return "there is no such file"
        case OSError():
            return error.strerror or str(error)
    return str(error)


def is_open_to_others(path: Path) -> bool:
    """Whether its group or everybody may read or write it."""
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False


def _decoded(content: bytes, errors: str) -> str:
    mark, encoding = next(((m, e) for m, e in _MARKS if content.startswith(m)), (b"", "utf-8"))
    try:
        return content[len(mark) :].decode(encoding, errors)
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8: save it as UTF-8, in Notepad with `Save as`") from None
