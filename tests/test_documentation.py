"""What the documents point to exists, and what a user may set, call or type is in them."""

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from arcade_cloud.domain.order import State
from simulation.coverage import ORDER, ORDER_RARE

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *(ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY")),
    *sorted((ROOT / "docs").glob("*.md")),
]
LINKED = [*DOCUMENTS, ROOT / "CHANGELOG.md", *sorted(ROOT.glob("*/README.md"))]
CODE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


def named(document: Path) -> str:
    """A name that tells the two SECURITY.md apart."""
    return str(document.relative_to(ROOT))


def anchors(document: Path) -> set[str]:
    """What a link to one of the headings has after its #, as GitHub makes it."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", LINKED, ids=named)
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(document: Path) -> None:
    text = CODE.sub("", document.read_text())
    for link in re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text):
        target, _, fragment = "".join(link).partition("#")
        if "://" in target:
            continue
        path = (document.parent / target).resolve() if target else document
        assert path.exists(), target
        assert not fragment or fragment in anchors(path), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_file_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
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


def test_every_route_is_in_the_description_of_the_api() -> None:
    from support.site import Site

    routes = [rule.rule for rule in Site().app.url_map.iter_rules() if rule.endpoint != "static"]
    assert len(routes) >= 8
    described = (ROOT / "docs" / "API.md").read_text()
    for route in routes:
        first = "/" + route.split("/")[1]
        assert re.search(rf"^\| .*`[A-Z]+ {first}", described, re.MULTILINE), route


def test_the_makefile_and_the_documents_agree() -> None:
    """Every command that people are told to run exists."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = "\n".join(path.read_text() for path in DOCUMENTS)
    code = [*CODE.findall(text), *re.findall(r"`[^`]+`", CODE.sub("", text))]
    used = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(code)))
    assert len(used) >= 12
    assert used <= targets


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


def diagram(kind: str) -> list[str]:
    """The lines of ARCHITECTURE.md's one diagram of that kind."""
    text = (ROOT / "ARCHITECTURE.md").read_text()
    (lines,) = re.findall(rf"^```mermaid\n{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [line.strip() for line in lines.splitlines()]


def test_the_diagram_of_an_order_s_states_has_every_state_and_every_move() -> None:
    """The simulation's list of moves is the measure: a run fails at one that is not on it."""
    arrows = [re.fullmatch(r"(\[\*\]|\w+) --> (\w+): [\w', ]+", line) for line in diagram("stateDiagram-v2")]
    moves = [arrow.groups() for arrow in arrows if arrow is not None]
    assert len(moves) == len(arrows), "a line that is no arrow with its reason"
    assert len(moves) == len(set(moves)), "told twice"
    assert {state for move in moves for state in move} - {"[*]"} == set(get_args(State))
    assert {move for move in moves if move[0] != "[*]"} == {
        (before, after) for before, _, after in ORDER | ORDER_RARE
    }


def test_the_diagram_of_a_purchase_is_read_by_mermaid() -> None:
    """It uses a small part of the language, and every arrow is between two that were introduced."""
    text = r"[\w',.? ]+"
    introduced: set[str] = set()
    depth = 0
    for line in diagram("sequenceDiagram"):
        if match := re.fullmatch(r"(?:actor|participant) (\w+)(?: as [\w ]+)?", line):
            introduced.add(match[1])
        elif match := re.fullmatch(rf"(?:Note over )?(\w+)(?:(?:--?>>|,)(\w+))?: {text}", line):
            assert set(match.groups()) - {None} <= introduced, line
        else:
            assert line == "end" or re.fullmatch(rf"loop {text}", line), line
            depth += -1 if line == "end" else 1
            assert depth >= 0, line
    assert depth == 0
    assert introduced == {"Phone", "Cloud", "Stripe", "Broker", "Agent", "Line"}


def test_the_glossary_is_in_order_and_has_every_state() -> None:
    words = re.findall(r"^- \*\*(.+?)\*\*: [A-Z]", (ROOT / "docs" / "GLOSSARY.md").read_text(), re.MULTILINE)
    bare = [word.strip("`").lower() for word in words]
    assert len(bare) >= 40
    assert bare == sorted(bare)
    assert {word.strip("`") for word in words if word.startswith("`")} == set(get_args(State))


def test_what_runs_before_a_commit_is_make_check_and_is_not_downloaded() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [
        (source["repo"], hook["entry"], hook["language"]) for source in config["repos"] for hook in source["hooks"]
    ]
    assert hooks == [("local", "make check", "system")]
