"""`arcade-cloud user` and `arcade-cloud audit`: people, and who did what, with a real database."""

import csv
import io
import json
import os
import pwd
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyotp
import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.audit import AuditEntry
from arcade_cloud.domain.people import Act, Person, Role
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.entrypoints.cli.user import ROLES
from arcade_cloud.services import second_factor
from arcade_sandbox.processes import free_port

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
    "SITE_NAME": "Test Arcade",
}
PASSWORD = "correct horse battery"
ME = f"command line {pwd.getpwuid(os.getuid()).pw_name}"
Typed = Callable[[str], None]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path, nobody = tmp_path / "cloud.sqlite", free_port()
    here = {"STRIPE_API_BASE": f"http://127.0.0.1:{nobody}", "EMQX_PORT": str(nobody)}
    for name, value in {**SETTINGS, **here, "DATABASE_URL": f"sqlite:///{path}"}.items():
        monkeypatch.setenv(name, value)
    return path


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Puts text into the command's input, which is no terminal."""
    return lambda text: monkeypatch.setattr(sys, "stdin", io.StringIO(text))


@pytest.fixture
def ann(path: Path, typed: Typed, capsys: pytest.CaptureFixture[str]) -> Path:
    typed(f"{PASSWORD}\n")
    assert main(["user", "add", "Ann", "--role", "owner", "--password-stdin", "--full-name", "Ann Ng"]) == 0
    capsys.readouterr()
    return path


def _ann(store: SqliteStore) -> Person:
    found = store.people.person("ann")
    assert found is not None
    return found


def log_of(capsys: pytest.CaptureFixture[str], *options: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["audit", "--json", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_first_owner_is_added_before_there_is_a_database(path, typed, capsys):
    typed(f"{PASSWORD}\r\n")
    assert main(["user", "add", "ann", "--role", "owner", "--password-stdin"]) == 0
    said = capsys.readouterr().out
    assert "ann may sign in as owner: http" in said
    assert "/console" in said
    assert "second factor" in said
    assert PASSWORD not in said
    with closing(SqliteStore(path)) as store:
        assert _ann(store).password_hash.startswith("$argon2id$")


def test_the_command_knows_every_role():
    assert tuple(Role) == ROLES


def test_people_are_listed(ann, typed, capsys):
    typed(PASSWORD)
    main(["user", "add", "bob", "--role", "viewer", "--password-stdin"])
    main(["user", "disable", "bob"])
    capsys.readouterr()
    assert main(["user", "list"]) == 0
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "NAME"
    assert first.split() == ["ann", "owner", "may", "sign", "in", "no", "Ann", "Ng"]
    assert second.split() == ["bob", "viewer", "disabled", "no"]
    assert main(["user", "list", "--json"]) == 0
    shown = capsys.readouterr().out
    assert json.loads(shown.splitlines()[0])["fullName"] == "Ann Ng"
    assert "argon2" not in shown


def test_without_a_person_the_list_says_how_to_add_one(path, capsys):
    SqliteStore(path).close()
    assert main(["user", "list"]) == 0
    assert "arcade-cloud user add" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["user", "add", "a b", "--role", "owner"], "no name to sign in with"),
        (["user", "add", "ann", "--role", "owner"], "there is a person ann already"),
        (["user", "password", "bob"], "there is no person bob"),
        (["user", "disable", "ann"], "the only owner"),
        (["user", "set", "ann", "--role", "viewer"], "the only owner"),
        (["user", "set", "ann"], "--role or --full-name"),
        (["user", "set", "bob", "--role", "viewer"], "there is no person bob"),
        (["user", "totp", "bob"], "there is no person bob"),
    ],
)
def test_what_cannot_be_done_is_said(ann, typed, capsys, arguments, why):
    typed(f"{PASSWORD}\n")
    if arguments[1] in {"add", "password"}:
        arguments = [*arguments, "--password-stdin"]
    assert main(arguments) == 1
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("password", ["short", "", "aaaaaaaaaaaaaa"])
def test_a_bad_password_is_refused(path, typed, capsys, password):
    typed(f"{password}\n")
    assert main(["user", "add", "ann", "--role", "owner", "--password-stdin"]) == 1
    assert "password" in capsys.readouterr().err


def test_nobody_is_asked_where_there_is_no_terminal(ann, typed, capsys):
    typed("")
    assert main(["user", "password", "ann"]) == 1
    assert "--password-stdin" in capsys.readouterr().err


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(ann, monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    answers = iter(["another good one", "another god one", "another good one", "another good one"])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    assert main(["user", "password", "ann"]) == 1
    assert "differ" in capsys.readouterr().err
    assert main(["user", "password", "ann"]) == 0
    assert "signed out everywhere" in capsys.readouterr().out


def test_a_change_says_what_changed(ann, typed, capsys):
    typed(PASSWORD)
    main(["user", "add", "bob", "--role", "viewer", "--password-stdin"])
    capsys.readouterr()
    assert main(["user", "set", "bob", "--role", "manager"]) == 0
    assert capsys.readouterr().out == "bob: role was viewer, is now manager\n"
    assert main(["user", "set", "bob", "--role", "manager"]) == 0
    assert capsys.readouterr().out == "bob: nothing changed\n"
    assert main(["user", "disable", "bob"]) == 0
    assert main(["user", "disable", "bob"]) == 0
    assert "bob may sign in no more (as before)" in capsys.readouterr().out
    assert main(["user", "enable", "bob"]) == 0


def test_a_second_factor_is_set_up_with_a_code_of_the_phone_and_taken_away(ann, typed, monkeypatch, capsys):
    secret = pyotp.random_base32()
    monkeypatch.setattr(second_factor, "new_secret", lambda: secret)
    typed("000000\n")
    assert main(["user", "totp", "ann"]) == 1
    assert "nothing was changed" in capsys.readouterr().err
    typed(pyotp.TOTP(secret).now() + "\n")
    assert main(["user", "totp", "ann"]) == 0
    assert secret in capsys.readouterr().out
    with closing(SqliteStore(ann)) as store:
        assert _ann(store).totp_secret == secret
    assert not any(secret in json.dumps(line) for line in log_of(capsys))
    assert main(["user", "totp", "ann", "--off"]) == 0
    with closing(SqliteStore(ann)) as store:
        assert _ann(store).totp_secret == ""


# --- the log ----------------------------------------------------------------------------------------------


def test_the_log_has_what_commands_changed_and_nothing_that_they_only_read(ann, capsys):
    assert main(["machine", "add", "cab-01", "--name", "Pac-Man", "--subscriber"]) == 0
    assert main(["machine", "set", "cab-01", "--name", "Ms. Pac-Man"]) == 0
    assert main(["machine", "out-of-service", "cab-01", "--reason", "Closed."]) == 0
    assert main(["machine", "in-service", "cab-01"]) == 0
    assert main(["machine", "copy", "cab-01", "cab-02"]) == 0
    assert main(["machine", "list"]) == 0
    assert main(["grant", "cab-01", "99999"]) == 1
    assert main(["order", "refund", "ord_1", "--yes"]) == 1
    assert main(["alert", "ack", "no:such"]) == 1
    assert main(["takings", "rebuild"]) == 0
    Path("fleet.csv").write_text("id,name\ncab-01,Pac-Man\ncab-03,Galaga\n")
    assert main(["machine", "import", "fleet.csv"]) == 0
    found = [(line["act"], line["on"], line["result"]) for line in reversed(log_of(capsys))]
    assert found == [
        ("people", "person ann", "done"),
        ("machine add", "cab-01", "done"),
        ("machine set", "cab-01", "done"),
        ("machine service", "cab-01", "done"),
        ("machine service", "cab-01", "done"),
        ("machine add", "cab-02", "done"),
        ("grant", "cab-01", "refused"),
        ("alert acknowledge", "no:such", "refused"),
        ("store", "takings", "done"),
        ("machine set", "cab-01", "done"),
        ("machine add", "cab-03", "done"),
    ]
    assert {line["who"] for line in log_of(capsys)} == {ME}


def test_the_log_is_read_by_who_on_what_and_since(ann, capsys):
    main(["machine", "add", "cab-01", "--subscriber"])
    main(["machine", "add", "cab-02", "--subscriber"])
    assert [line["on"] for line in log_of(capsys, "--on", "cab-01")] == ["cab-01"]
    assert [line["on"] for line in log_of(capsys, "--who", ME, "--limit", "1")] == ["cab-02"]
    assert log_of(capsys, "--who", "eve") == []
    assert log_of(capsys, "--since", "2100-01-01 00:00") == []
    assert len(log_of(capsys, "--since", "2020-01-01 00:00")) == 3
    assert {line["on"] for line in log_of(capsys, "--act", "machine add")} == {"cab-01", "cab-02"}
    assert log_of(capsys, "--act", "refund") == []
    assert main(["audit", "--act", "refunds"]) == 1
    assert "there is no such act, only API keys, alert acknowledge" in capsys.readouterr().err
    assert main(["audit", "--on", "cab-09"]) == 0
    assert "nothing of that kind" in capsys.readouterr().err


def test_the_table_shows_before_and_after_and_what_was_cut_short(ann, capsys):
    main(["machine", "add", "cab-01", "--subscriber", "--name", "Pac-Man"])
    main(["machine", "set", "cab-01", "--name", "Galaga"])
    with closing(SqliteStore(ann)) as store:
        cut = AuditEntry(entry_id="0", at_ms=1, who="eve", act=Act.REFUND, on="ord_1", wish="keep RM 0.00: x")
        store.people.append_audit(cut)
    capsys.readouterr()
    main(["audit"])
    said = capsys.readouterr().out
    assert "before: name: Pac-Man" in said
    assert "after:  name: Galaga" in said
    (line,) = [line for line in said.splitlines() if "eve" in line]
    assert "cut short?" in line


def test_no_cell_of_the_log_is_a_formula(ann, capsys):
    main(["machine", "add", "cab-01", "--subscriber", "--name", "=HYPERLINK(1)"])
    main(["machine", "set", "cab-01", "--name", "@x", "--location", "+1"])
    capsys.readouterr()
    main(["audit", "--csv"])
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 4
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
