"""What the documents point to exists, and what a user may set, call or type is in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    linked = [target for target in re.findall(r"\]\(([^)#]+)", text) if "://" not in target]
    for target in linked:
        assert (document.parent / target).exists(), target
    for path in re.findall(r"`((?:shared|cloud|edge|sandbox|tests|docs)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


def test_architecture_says_where_the_rules_are() -> None:
    rows = re.findall(r"^\| .* \| `[a-z]+/", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    assert len(rows) >= 10


@pytest.mark.parametrize(
    ("module", "name"),
    [("arcade_cloud.entrypoints.cli", "arcade-cloud"), ("arcade_edge.cli", "arcade-edge")],
    ids=["cloud", "edge"],
)
def test_readme_names_every_command(module: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    import importlib

    with pytest.raises(SystemExit):
        importlib.import_module(module).main(["--help"])
    commands = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    assert len(commands) >= 6
    readme = (ROOT / "README.md").read_text()
    for command in commands:
        assert re.search(rf"{name}[^`\n]*\b{command}\b", readme), command


def test_every_route_is_in_a_document() -> None:
    from support.site import Site

    text = "\n".join(path.read_text() for path in DOCUMENTS)
    parts = {rule.rule.split("/")[1] for rule in Site().app.url_map.iter_rules() if rule.endpoint != "static"}
    assert len(parts) >= 8
    for part in parts:
        assert f"/{part}" in text, part


def test_the_makefile_and_the_readme_agree() -> None:
    """Every command that README tells people to run exists."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(path.read_text() for path in DOCUMENTS)))
    assert used - targets <= set()


def test_every_test_that_a_document_names_exists() -> None:
    """docs/SECURITY.md says for each answer which test shows it: what is named must be there to be run."""
    named = re.findall(r"(tests/[\w/]+\.py)::(\w+)", "\n".join(path.read_text() for path in DOCUMENTS))
    assert len(named) >= 60
    missing = [
        f"{path}::{test}"
        for path, test in sorted(set(named))
        if not (ROOT / path).exists()
        or not re.search(rf"^(async )?def {test}\(", (ROOT / path).read_text(), re.MULTILINE)
    ]
    assert missing == []


def test_every_answer_about_security_names_its_test_or_admits_that_there_is_none() -> None:
    text = (ROOT / "docs" / "SECURITY.md").read_text()
    headed = re.findall(r"^\|[^\n]* shown by \|\n\|[ -|]+\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    rows = [row for table in headed for row in table.splitlines()]
    assert len(rows) >= 45
    for row in rows:
        shown = row.rstrip("|").rsplit("|", 1)[1].strip()
        assert shown == "–" or re.fullmatch(r"(`tests/[\w/]+\.py::test_\w+`(, )?)+", shown), row
    assert sum(row.endswith("| – |") for row in rows) <= 4
