"""The cloud's errors: the drawing is the whole tree, and each error for a caller has an HTTP status."""

import ast
import re
from pathlib import Path

import pytest

import arcade_cloud
from arcade_cloud import errors
from arcade_cloud.errors import BadRequest, PaymentsError, StoreUnavailable
from arcade_cloud.web.error_responses import STATUS, status_of
from arcade_shared.errors import BadSignature

PACKAGE = Path(arcade_cloud.__file__).parent
TEXT = errors.__doc__ or ""
BUILT_IN = {"Exception", "OSError", "RuntimeError", "ValueError"}


def drawn() -> dict[str, tuple[str, str]]:
    """Each error of the drawing, with its parent and the module that it names."""
    found: dict[str, tuple[str, str]] = {}
    above: list[str] = []
    for line in TEXT.split("\n\n")[1].splitlines():
        match = re.fullmatch(r"([│├└─ ]*)(\w+).*?(?:\((\S+\.py)\))?", line)
        assert match is not None, line
        depth = len(match[1]) // 4
        del above[depth:]
        found[match[2]] = (above[-1] if above else "Exception", match[3] or "errors.py")
        above.append(match[2])
    return found


def defined() -> dict[str, tuple[str, str]]:
    """Each exception class of the package, with its parent and its module."""
    classes = [
        (node.name, base.id, path.relative_to(PACKAGE).as_posix())
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        for base in node.bases
        if isinstance(base, ast.Name)
    ]
    found: dict[str, tuple[str, str]] = {}
    while more := [c for c in classes if c[0] not in found and (c[1] in BUILT_IN or c[1] in found)]:
        found |= {name: (base, module) for name, base, module in more}
    return found


def test_the_drawing_is_the_tree() -> None:
    found = defined()
    inner = {name for name, (base, _) in found.items() if base in BUILT_IN and name != "ArcadeError"}
    for name in inner:
        assert f"`{name}` ({found[name][1]})" in " ".join(TEXT.split())
    assert drawn() == {name: place for name, place in found.items() if name not in inner}


def every(parent: type[BadRequest]) -> list[type[BadRequest]]:
    return [parent, *(child for cls in parent.__subclasses__() for child in every(cls))]


@pytest.mark.parametrize("error", every(BadRequest), ids=lambda cls: cls.__name__)
def test_each_error_for_the_caller_has_a_status_and_a_code_of_its_own(error: type[BadRequest]) -> None:
    assert 400 <= STATUS[error] <= 503
    assert "code" in vars(error)
    assert [other.code for other in every(BadRequest)].count(error.code) == 1


def test_an_error_that_is_not_listed_has_the_status_of_its_parent() -> None:
    assert status_of(BadSignature("")) == 422
    assert status_of(StoreUnavailable("")) == 503
    assert status_of(PaymentsError("")) == 500
