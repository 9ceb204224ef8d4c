"""What players read, as the program has it, and the catalogues of its translations.

`make words` brings the catalogues up to date: new texts come without a translation, and what is gone goes.
"""

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from jinja2 import Environment, nodes

import arcade_cloud
from arcade_cloud.domain.languages import LANGUAGES
from arcade_cloud.web.languages import CATALOGUES

PACKAGE = Path(arcade_cloud.__file__).parent
TRANSLATED = [code for code in LANGUAGES if code != "en"]
TEMPLATES = PACKAGE / "web" / "templates"
# What is called with a text: `words.text("…")`, `text("…")`, `each("…")` in templates, `marked("…")`.
_CALLED = frozenset({"text", "count", "each", "marked"})

Message = str | tuple[str, str]


def texts() -> dict[Message, set[str]]:
    """Every text, as its English or its English for one and for many, with the files that have it."""
    found: dict[Message, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "words" in (source := path.read_text()):
            for message in _in_python(source):
                found.setdefault(message, set()).add(str(path.relative_to(PACKAGE)))
    for path in sorted(TEMPLATES.glob("*.html")):
        for message in _in_template(path.read_text()):
            found.setdefault(message, set()).add(str(path.relative_to(PACKAGE)))
    return found


def _in_python(source: str) -> Iterator[Message]:
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not _is_ours(node.func):
            continue
        first = [part.value for part in node.args[:2] if isinstance(part, ast.Constant)]
        yield from _message([part for part in first if isinstance(part, str)])


def _is_ours(called: ast.expr) -> bool:
    if isinstance(called, ast.Name):
        return called.id == "marked"
    if not isinstance(called, ast.Attribute) or called.attr not in {"text", "count"}:
        return False
    owner = called.value.func if isinstance(called.value, ast.Call) else called.value
    return isinstance(owner, ast.Name) and owner.id == "words"


def _in_template(source: str) -> Iterator[Message]:
    for call in Environment(autoescape=True).parse(source).find_all(nodes.Call):
        name = call.node.name if isinstance(call.node, nodes.Name) else getattr(call.node, "attr", "")
        if name in _CALLED:
            first = [part.value for part in call.args[:2] if isinstance(part, nodes.Const)]
            yield from _message([part for part in first if isinstance(part, str)])


def _message(found: list[str]) -> Iterator[Message]:
    if len(found) == 1:
        yield found[0]
    elif len(found) == 2:
        yield found[0], found[1]


def catalogue(code: str) -> Catalog:
    """The catalogue of a language, as it is on record."""
    with (CATALOGUES / f"{code}.po").open("rb") as file:
        return read_po(file, locale=LANGUAGES[code].locale)


def brought_up_to_date(code: str) -> Catalog:
    """The catalogue with every text that there is now, in the order of their English, and no other."""
    path = CATALOGUES / f"{code}.po"
    known = catalogue(code) if path.exists() else Catalog(locale=LANGUAGES[code].locale)
    fresh = Catalog(locale=LANGUAGES[code].locale, charset="utf-8")
    for message, files in sorted(texts().items(), key=lambda item: str(item[0])):
        before = known.get(message if isinstance(message, str) else message[0])
        string = (
            before.string if before is not None and bool(before.pluralizable) != isinstance(message, str) else ""
        )
        fresh.add(message, string or ("" if isinstance(message, str) else ("",)), [(name, 0) for name in files])
    return fresh


def written(found: Catalog) -> bytes:
    """The catalogue as its file has it: without dates and lines, which would change it for nothing."""
    body = BytesIO()
    write_po(body, found, omit_header=True, include_lineno=False, sort_output=False, width=110)
    header = (
        'msgid ""\nmsgstr ""\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Language: {found.locale_identifier}\\n"\n'
        f'"Plural-Forms: {found.plural_forms}\\n"\n\n'
    )
    return header.encode() + body.getvalue()


def compiled(found: Catalog) -> bytes:
    """The catalogue as the program reads it."""
    found.creation_date = datetime(2026, 1, 1, tzinfo=UTC)  # or the file would change each time
    body = BytesIO()
    write_mo(body, found)
    return body.getvalue()


def main() -> None:
    """Write the catalogues, and say what is to be translated."""
    for code in TRANSLATED:
        found = brought_up_to_date(code)
        (CATALOGUES / f"{code}.po").write_bytes(written(found))
        (CATALOGUES / f"{code}.mo").write_bytes(compiled(catalogue(code)))
        missing = [message.id for message in found if message.id and not _is_translated(message.string)]
        print(f"{code}: {len(found)} texts, {len(missing)} to be translated")
        for message in missing:
            print(f"  {message}")


def _is_translated(string: object) -> bool:
    return all(string) if isinstance(string, tuple) else bool(string)


if __name__ == "__main__":
    main()
