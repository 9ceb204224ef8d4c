"""`arcade-cloud key`: a key is shown once, listed without its text, and revoked."""

import csv
import io
import json
import re
from pathlib import Path

import pytest

from arcade_cloud.entrypoints.cli import main
from support.site import ENVIRONMENT


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {**ENVIRONMENT, "DATABASE_URL": f"sqlite:///{tmp_path}/arcade.db"}.items():
        monkeypatch.setenv(name, value)
    assert main(["machine", "add", "cab-01", "--offer", "1=2.00MYR"]) == 0


def test_a_key_is_shown_once_and_listed_without_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    arguments = ["--scope", "takings", "--scope", "checkout", "--machine", "cab-01"]
    assert main(["key", "add", "Kiosk at the door", *arguments]) == 0
    printed = capsys.readouterr()
    text = printed.out.strip()
    assert re.fullmatch(r"arcade_[0-9a-f]{12}_[0-9a-f]{64}", text)
    assert "shown this once" in printed.err
    assert main(["key", "list", "--json"]) == 0
    listed = capsys.readouterr().out
    found = json.loads(listed)
    assert found["id"] == text.split("_")[1]
    assert (found["scopes"], found["machines"], found["usedAt"]) == (["checkout", "takings"], ["cab-01"], None)
    assert main(["key", "list"]) == 0
    table = capsys.readouterr().out
    assert "never" in table
    assert text.split("_")[2] not in listed + table


def test_a_key_is_revoked_by_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "add", "Game", "--scope", "gameover"]) == 0
    key_id = capsys.readouterr().out.strip().splitlines()[-1].split("_")[1]
    assert main(["key", "revoke", key_id, "nothing"]) == 1
    printed = capsys.readouterr()
    assert f"{key_id}: revoked (Game)" in printed.out
    assert "there is no key nothing" in printed.err
    assert main(["key", "list", "--csv"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["key", "list", "--csv", "--all"]) == 0
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row["id"] == key_id
    assert row["revokedAt"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["Game", "--scope", "gameover", "--machine", "cab-99"],
        ["Game", "--scope", "gameover", "--machine", "a/b"],
        [" ", "--scope", "gameover"],
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "add", *arguments]) == 1
    capsys.readouterr()
    assert main(["key", "list", "--all", "--json"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("arguments", [["Game"], ["Game", "--scope", "everything"]])
def test_a_key_without_a_scope_that_there_is_is_a_wrong_call(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["key", "add", *arguments])
    assert ended.value.code == 2
