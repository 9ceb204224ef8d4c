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
    assert len(rows) >= 20


@pytest.mark.parametrize(
    ("module", "name"),
    [("arcade_cloud.cli", "arcade-cloud"), ("arcade_edge.cli", "arcade-edge")],
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


def test_every_door_is_in_the_readme_or_the_description() -> None:
    from arcade_cloud.web import app as doors

    assert doors.__doc__
    readme = (ROOT / "README.md").read_text()
    for door in (
        "/status",
        "/create-payment-link",
        "/webhook",
        "/addCredit",
        "/gameover",
        "/ingest",
        "/m/",
        "/openapi.json",
    ):
        assert door in readme, door


def test_the_makefile_and_the_readme_agree() -> None:
    """Every command that README tells people to run exists."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(path.read_text() for path in DOCUMENTS)))
    assert used - targets <= set()
