"""The operator's command: clear about what is missing, and about what it did."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import closing
from importlib.metadata import version

import msgspec
import pytest
import requests

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.config.variables import VARIABLES
from arcade_cloud.domain.machines import Presence, refused
from arcade_cloud.domain.offers import parse_offer
from arcade_cloud.entrypoints.cli import _parser, main
from arcade_sandbox.processes import free_port, wait_for
from arcade_sandbox.stripe.sandbox import StripeSandbox
from arcade_shared.signing import machine_key
from arcade_shared.trial import NOBODY
from support.order_records import new_order, step

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "STRIPE_PRICE_ID": "price_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
}
REQUIRED = ("STRIPE_API_KEY", "STRIPE_WEBHOOK_SECRET", "EMQX_BROKER_URL", "SIGNING_SECRET")


@pytest.fixture
def settings(tmp_path, monkeypatch):
    """Settings under which nothing but the database can be reached."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("STRIPE_", "MQTT_", "EMQX_", "DATABASE_"))]:
        monkeypatch.delenv(name)
    nobody = free_port()
    environment = {**SETTINGS, "EMQX_PORT": str(nobody), "STRIPE_API_BASE": f"http://127.0.0.1:{nobody}"}
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path / 'cloud.sqlite'}"
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return environment


def test_all_missing_settings_are_named_in_one_message(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SITE_NAME", "Arcade")
    assert main(["serve"]) == 2
    said = capsys.readouterr().err
    assert all(name in said for name in REQUIRED)


def test_settings_that_are_not_there_are_not_told_as_many_that_are_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        for alias in (name.name, *name.aliases):
            monkeypatch.delenv(alias, raising=False)
    assert main(["machine", "list"]) == 2
    said = capsys.readouterr().err
    assert f".env.local is not there (in {tmp_path})" in said
    assert "name it with --env-file, or make it from .env.example" in said
    assert said.count("\n  - ") == 1
    assert not any(name in said for name in REQUIRED)


def test_settings_whose_file_is_there_are_missing_one_by_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:
        for alias in (name.name, *name.aliases):
            monkeypatch.delenv(alias, raising=False)
    (tmp_path / ".env.local").write_text("# nothing is filled in yet\n")
    assert main(["machine", "list"]) == 2
    said = capsys.readouterr().err
    assert "is not there" not in said
    assert all(name in said for name in REQUIRED)


def test_a_file_of_settings_that_is_named_must_be_there(settings, tmp_path, capsys):
    assert main(["--env-file", "other.env", "machine", "list"]) == 2
    assert f"there is no file {tmp_path / 'other.env'}" in capsys.readouterr().err


def test_a_misspelt_setting_is_told_by_every_command(settings, monkeypatch, capsys):
    monkeypatch.setenv("DATABASE_URI", "sqlite:///elsewhere.sqlite")
    assert main(["machine", "add", "cab-01"]) == 0
    assert "did you mean DATABASE_URL?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["machine", "list"],
        ["machine", "show", "cab-01"],
        ["machine", "set", "cab-01", "--name", "x"],
        ["machine", "config", "cab-01"],
        ["order", "list"],
        ["order", "show", "x"],
        ["order", "refund", "x"],
        ["grant", "cab-01", "1"],
        ["machine", "test", "cab-01"],
        ["alert", "list"],
        ["ack", "list"],
        ["store", "show"],
        ["store", "upgrade", "--yes"],
        ["tick"],
        ["backup", "."],
    ],
)
def test_in_another_folder_no_empty_database_is_made(settings, tmp_path, monkeypatch, capsys, command):
    monkeypatch.setenv("DATABASE_URL", "sqlite:///arcade.sqlite")
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert f"there is no database {tmp_path / 'arcade.sqlite'}" in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_look_at_everything_makes_no_database_either(settings, tmp_path, capsys):
    assert main(["check"]) == 1
    said = capsys.readouterr().out
    assert f"warn  there is no database {tmp_path / 'cloud.sqlite'} yet" in said
    assert list(tmp_path.iterdir()) == []
    main(["machine", "add", "cab-01"])
    assert f"making a new database: {tmp_path / 'cloud.sqlite'}" in capsys.readouterr().err
    main(["check"])
    said = capsys.readouterr()
    assert f"ok    the database: {tmp_path / 'cloud.sqlite'}" in said.out
    assert "new database" not in said.err


def test_an_empty_list_says_of_which_database_it_is(settings, tmp_path, capsys):
    SqliteStore(tmp_path / "cloud.sqlite").close()
    assert main(["machine", "list"]) == main(["order", "list"]) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert f"no machine is registered in {tmp_path / 'cloud.sqlite'}" in said.err
    assert f"no such order is in {tmp_path / 'cloud.sqlite'}" in said.err


def test_a_machine_is_registered_and_its_agents_config_printed(settings, capsys):
    assert main(["machine", "add", "cab-01", "--name", "Space Duel", "--offer", "3=5.00MYR"]) == 0
    config = tomllib.loads(capsys.readouterr().out)
    assert config["machine_id"] == "cab-01"
    assert config["broker"]["host"] == "127.0.0.1"
    assert config["broker"]["username"] == "cab-01"
    assert config["security"]["signing_key"] == machine_key("s" * 40, "cab-01").hex()
    assert main(["machine", "list"]) == 0
    listed = capsys.readouterr().out
    assert "cab-01" in listed
    assert "Space Duel" in listed
    assert "not been connected yet" in listed


def test_the_printed_config_is_one_that_the_agent_takes_once_the_password_is_filled_in(settings, tmp_path, capsys):
    from arcade_edge.config import load

    main(["machine", "add", "cab-01"])
    config = tmp_path / "edge.toml"
    config.write_text(capsys.readouterr().out.replace('password = ""', 'password = "secret"'))
    assert load(config).machine_id == "cab-01"


def test_the_agent_keeps_its_journal_when_the_line_that_names_it_is_deleted(settings, tmp_path, capsys):
    """Another journal would be another installation, and a credit on its way would be addressed to nobody."""
    from arcade_edge.config import load

    main(["machine", "add", "cab-01"])
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines(keepends=True) if line.startswith("path = ")]
    config = tmp_path / "edge.toml"
    config.write_text(printed)
    named = load(config).journal_path
    config.write_text(printed.replace(line, ""))
    assert load(config).journal_path == named


def test_a_machine_is_changed_only_when_that_is_asked_for(settings, capsys):
    assert main(["machine", "add", "cab-01", "--name", "Old"]) == 0
    assert main(["machine", "add", "cab-01", "--name", "New"]) == 1
    said = capsys.readouterr().err
    assert "machine set cab-01" in said
    assert "machine config cab-01" in said
    main(["machine", "list"])
    assert "Old" in capsys.readouterr().out
    assert main(["machine", "add", "cab-01", "--name", "New", "--update"]) == 0
    main(["machine", "list"])
    assert "New" in capsys.readouterr().out


WHOLE = ["--name", "Space Duel", "--contact", "+60 3 1234 5678", "--picture", "https://x.example/duel.jpg"]
OFFERS = ["--offer", "3=5.00MYR", "--offer", "8=10.00MYR@price_eight"]


def known(settings):
    """The machines as they are stored."""
    with closing(SqliteStore(settings["DATABASE_URL"].removeprefix("sqlite:///"))) as store:
        return {machine.machine_id: machine for machine in store.machines()}


@pytest.mark.parametrize("command", [["set", "cab-01"], ["add", "cab-01", "--update"]])
@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ([], {}),
        (["--name", "Other"], {"name": "Other"}),
        (["--name", ""], {"name": ""}),
        (["--contact", "0"], {"contact": "0"}),
        (["--picture", "https://y.example"], {"picture_url": "https://y.example"}),
        (["--offer", "2=4.00MYR"], {"offers": (parse_offer("2=4.00MYR"),)}),
    ],
)
def test_an_update_changes_what_is_named_and_nothing_else(settings, capsys, command, options, changes):
    main(["machine", "add", "cab-01", *WHOLE, *OFFERS])
    before = known(settings)["cab-01"]
    status = main(["machine", *command, *options])
    after = known(settings)["cab-01"]
    assert status == (1 if command[0] == "set" and not options else 0)
    expected = msgspec.structs.replace(before, version=before.version + bool(changes), **changes)
    assert after == expected


def test_a_change_shows_before_and_after_and_says_when_there_is_none(settings, capsys):
    main(["machine", "add", "cab-01", *WHOLE, *OFFERS])
    capsys.readouterr()
    assert main(["machine", "set", "cab-01", "--name", "Other", "--no-offers"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "name before: Space Duel now: Other" in said
    assert "offers before: 3=5.00MYR, 8=10.00MYR@price_eight now: -" in said
    assert "+60" not in said
    assert main(["machine", "set", "cab-01", "--name", "Other"]) == 0
    assert capsys.readouterr().out == "machine cab-01: nothing changed\n"


def test_a_machine_can_become_one_that_only_listens_and_back(settings, capsys):
    main(["machine", "add", "cab-01", *OFFERS])
    assert main(["machine", "set", "cab-01", "--kind", "subscriber"]) == 0
    assert main(["machine", "config", "cab-01"]) == 1
    assert main(["machine", "set", "cab-01", "--kind", "agent"]) == 0
    assert main(["machine", "config", "cab-01"]) == 0
    assert len(known(settings)["cab-01"].offers) == 2


def test_the_agent_s_config_is_printed_again_as_it_was_and_changes_nothing(settings, capsys):
    main(["machine", "add", "cab-01", *WHOLE, *OFFERS])
    printed, before = capsys.readouterr().out, known(settings)
    assert main(["machine", "config", "cab-01"]) == 0
    assert capsys.readouterr().out == printed
    assert known(settings) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["machine", "set", "Cab-1", "--name", "x"],
        ["machine", "config", "Cab-1"],
        ["machine", "show", "Cab-1"],
        ["order", "list", "--machine", "Cab-1"],
        ["grant", "Cab-1", "1"],
        ["machine", "test", "Cab-1"],
    ],
)
def test_a_misspelt_machine_is_said_with_what_may_be_meant(settings, capsys, arguments):
    for machine_id in ("cab-01", "cab-02", "shop"):
        main(["machine", "add", machine_id])
    capsys.readouterr()
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "no machine Cab-1 is registered: did you mean cab-0" in said.err
    assert "shop" not in said.err
    assert main([word.replace("Cab-1", "nothing-like-it") for word in arguments]) == 1
    assert "`arcade-cloud machine list`" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--update"]])
def test_an_id_that_differs_from_another_in_case_alone_is_refused(settings, capsys, more):
    main(["machine", "add", "cab-01"])
    capsys.readouterr()
    assert main(["machine", "add", "CAB-01", *more]) == 1
    assert "machine cab-01 is registered" in capsys.readouterr().err
    assert list(known(settings)) == ["cab-01"]


@pytest.mark.parametrize(
    ("machine_id", "why"),
    [
        (NOBODY, "arcade-edge doctor` writes in place of a machine's id"),
        (NOBODY.title(), "arcade-edge doctor` writes in place of a machine's id"),
        ("cloud", "the cloud's own user at the broker is called cloud (MQTT_USERNAME)"),
    ],
)
@pytest.mark.parametrize("way", ["add", "copy", "import"])
def test_a_name_with_a_meaning_of_its_own_is_no_new_machine_s(
    settings, tmp_path, monkeypatch, capsys, way, machine_id, why
):
    monkeypatch.setenv("MQTT_USERNAME", "cloud")
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    main(["machine", "add", "cab-01"])
    (tmp_path / "fleet.csv").write_text(f"id,name\n{machine_id},x\n")
    capsys.readouterr()
    of = {"add": [machine_id], "copy": ["cab-01", machine_id], "import": [str(tmp_path / "fleet.csv")]}
    assert main(["machine", way, *of[way]]) == 1
    assert f"{why}: choose another id" in capsys.readouterr().err
    assert list(known(settings)) == ["cab-01"]


def test_a_machine_that_was_registered_under_such_a_name_stays(settings, monkeypatch, tmp_path):
    main(["machine", "add", "cloud"])
    monkeypatch.setenv("MQTT_USERNAME", "cloud")
    monkeypatch.setenv("MQTT_PASSWORD", "secret")
    (tmp_path / "fleet.csv").write_text("id,name\ncloud,Space Duel\n")
    assert main(["machine", "import", str(tmp_path / "fleet.csv")]) == 0
    assert main(["machine", "set", "cloud", "--location", "Hall"]) == 0


def test_a_machine_is_shown_with_all_that_is_on_record(settings, capsys):
    main(["machine", "add", "cab-01", *WHOLE, *OFFERS])
    capsys.readouterr()
    assert main(["machine", "show", "cab-01"]) == 0
    said = capsys.readouterr().out
    for text in ("Space Duel", "+60 3 1234 5678", "3=5.00MYR, 8=10.00MYR@price_eight", "not been connected yet"):
        assert text in said


def test_a_machine_whose_messages_are_refused_is_shown_with_their_number(settings, capsys):
    main(["machine", "add", "cab-01"])
    with closing(SqliteStore(settings["DATABASE_URL"].removeprefix("sqlite:///"))) as store:
        store.put_presence(refused(Presence(machine_id="cab-01", version=1), 1_795_694_400_000, 42), 0)
    capsys.readouterr()
    assert main(["machine", "show", "cab-01"]) == 0
    assert "at least 42 messages were refused, from 2026-11-26T12:00:00" in capsys.readouterr().out


@pytest.mark.parametrize("machine_id", ["#", "a/b", "a b", "x" * 65])
def test_what_is_no_machine_id_is_refused(settings, machine_id, capsys):
    assert main(["machine", "add", machine_id]) == 1
    assert "1 to 64 letters" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["order", "show", "ord_unknown"],
        ["order", "refund", "ord_unknown"],
        ["grant", "nobody", "1"],
        ["machine", "test", "cab-01"],
        ["grant", "cab-01", "1"],
        ["grant", "cab-01", "1001"],
    ],
)
def test_what_can_not_be_done_is_said_in_one_line(settings, arguments, capsys):
    main(["machine", "add", "cab-01"])
    capsys.readouterr()
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.err.startswith("arcade-cloud: ")
    assert len(said.err.splitlines()) == 1
    assert said.out == ""


@pytest.mark.parametrize("number", ["0", "-4", "1001", "1_0", "many"])
@pytest.mark.parametrize("command", ["order", "payment", "alert", "ack"])
def test_a_list_has_as_many_lines_as_it_was_asked_for_or_none(settings, capsys, command, number):
    """Not one for 0, and not 1000 for a million: whoever adds them up would be wrong."""
    main(["machine", "add", "cab-01"])
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main([command, "list", "--limit", number])
    said = capsys.readouterr()
    assert "argument --limit: a whole number from 1 to 1000 is needed" in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["grant", "cab-01", "0"],
        ["grant", "cab-01", "-5"],
        ["grant", "cab-01", "9" * 5000],
        ["order", "refund", "ord_1", "--credits", "0"],
        ["payment", "deliver", "pi_1", "--machine", "cab-01", "--credits", "-1"],
        ["backup", ".", "--keep", "0"],
        ["serve", "--port", "-1"],
        ["serve", "--port", "65536"],
    ],
)
def test_a_number_that_can_never_be_is_a_wrong_call(settings, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "a whole number from" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["order", "list", "--before", "0001-01-01T00:00:00Z"],
        ["order", "find", "--at", "0001-01-01 00:00"],
        ["order", "find", "--at", "9999-12-31 23:59"],
        ["takings", "--from", "9999-12-30", "--to", "9999-12-31"],
    ],
)
def test_a_year_that_can_only_be_mistyped_is_a_wrong_call(settings, capsys, arguments):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert ": write a " in capsys.readouterr().err


def test_an_id_may_be_pasted_with_spaces_around_it(settings, capsys):
    main(["machine", "add", " cab-01 "])
    with closing(SqliteStore(settings["DATABASE_URL"].removeprefix("sqlite:///"))) as store:
        store.move(step(new_order("ord_1")))
    capsys.readouterr()
    for arguments in (
        ["machine", "show", "\tcab-01"],
        ["machine", "config", "cab-01\N{NO-BREAK SPACE}"],
        ["machine", "set", " cab-01", "--name", "Space Duel"],
        ["machine", "copy", "cab-01 ", " cab-02"],
        ["machine", "out-of-service", " cab-01", "cab-02 "],
        ["machine", "in-service", " cab-01", "cab-02 "],
        ["sticker", "cab-01\n", "--force", "-o", "x.svg"],
        ["order", "list", "--machine", " cab-01"],
        ["order", "show", " ord_1 "],
        ["order", "find", " ord_1 "],
    ):
        assert main(arguments) == 0, arguments
    assert set(known(settings)) == {"cab-01", "cab-02"}
    capsys.readouterr()
    assert main(["order", "refund", " ord_1\n", "--yes"]) == 1
    assert "nobody has paid yet" in capsys.readouterr().err
    assert main(["order", "show", " ord_2 "]) == 1
    assert "there is no order ord_2\n" in capsys.readouterr().err


def test_every_argument_that_takes_a_value_says_how_it_is_read():
    """What follows is text, which is looked at where it is used; any other argument has a type of its own."""
    texts = {
        "amount",
        "by",
        "contact",
        "events",
        "host",
        "keep",
        "location",
        "name",
        "offer",
        "picture",
        "reason",
        "text",
    }
    texts |= {"fee", "flat", "full_name", "last4", "method", "month", "share", "token", "until"}

    def walk(parser):
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for each in action.choices.values():
                    yield from walk(each)
            elif action.nargs != 0 and action.type is None and action.choices is None:
                yield action.dest

    assert set(walk(_parser())) <= texts


def test_orders_and_one_timer_pass_of_an_empty_cloud(settings, tmp_path, capsys):
    SqliteStore(tmp_path / "cloud.sqlite").close()
    assert main(["order", "list"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["tick"]) == 0
    assert capsys.readouterr().out == "0 orders were due\n"


def test_a_timer_pass_moves_what_a_clock_that_was_ahead_has_put_off(settings, tmp_path, capsys, monkeypatch):
    """Once it knows by Stripe's answer that its own clock is right."""
    now_ms = time.time_ns() // 1_000_000
    due_at_ms = now_ms + 8 * 3_600_000
    with closing(SqliteStore(tmp_path / "cloud.sqlite")) as store:
        store.move(step(new_order("o-1", due_at_ms=due_at_ms, created_at_ms=now_ms)))

    def is_put_off():
        assert main(["tick"]) == 0
        assert capsys.readouterr().out == "0 orders were due\n"
        with closing(SqliteStore(tmp_path / "cloud.sqlite")) as store:
            order = store.order("o-1")
        assert order is not None
        return (order.due_at_ms or due_at_ms) > due_at_ms - 3_600_000

    assert is_put_off()
    with StripeSandbox() as stripe:
        monkeypatch.setenv("STRIPE_API_BASE", stripe.base_url)
        assert not is_put_off()


def test_check_gives_each_part_its_verdict(settings, capsys):
    assert main(["check"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert "ok    settings" in said
    assert "ok    database" in said
    failed = {line.split(":")[0] for line in said if line.startswith("FAIL")}
    assert failed == {"FAIL  machines", "FAIL  Stripe", "FAIL  broker, sending", "FAIL  broker, listening"}


def serve(settings, port, tmp_path):
    return subprocess.Popen(
        [sys.executable, "-m", "arcade_cloud.entrypoints.cli", "serve", "--port", str(port)],
        env={**os.environ, **settings},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_a_port_that_is_taken_is_said(settings, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        said, _ = serve(settings, port, tmp_path).communicate(timeout=30)
    last = said.splitlines()[-1]
    assert f"port {port}" in last
    assert "--port" in last
    assert "Traceback" not in said


def test_status_answers_while_broker_and_stripe_are_down_and_sigterm_ends_it(settings, tmp_path):
    port = free_port()
    process = serve(settings, port, tmp_path)
    try:

        def answered():
            try:
                return requests.get(f"http://127.0.0.1:{port}/status", timeout=5)
            except requests.ConnectionError:
                return None

        answer = wait_for("the cloud answers", answered)
        assert answer.json() == {"status": "up", "message": "API is running"}
    finally:
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in said


def test_sigterm_ends_it_while_stripe_hangs(settings, tmp_path):
    """A call to Stripe may take half a minute, and supervisors wait for ten seconds or so."""
    with closing(SqliteStore(tmp_path / "cloud.sqlite")) as store:
        store.note_reconciled(int(time.time() * 1000))  # so that the first pass asks Stripe at once
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30)
        settings["STRIPE_API_BASE"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        process = serve(settings, free_port(), tmp_path)
        try:
            asking, _ = silent.accept()
        finally:
            process.send_signal(signal.SIGTERM)
        with asking:
            said, _ = process.communicate(timeout=15)
    assert process.returncode == 0
    assert " calls to Stripe are left behind" in said
    assert "Traceback" not in said


def test_importing_the_cloud_opens_no_socket_and_no_file_for_writing():
    code = """
import builtins, io, socket, sys
def refuse(*_, **__): raise SystemExit("a socket at import")
socket.socket.connect = socket.socket.bind = refuse
real = io.open
def guarded(file, mode="r", *rest, **more):
    if set(mode) & set("wax+"): raise SystemExit(f"{file} opened for writing at import")
    return real(file, mode, *rest, **more)
builtins.open = io.open = guarded
import arcade_cloud.bootstrap, arcade_cloud.web.app, arcade_cloud.adapters.mqtt
import arcade_cloud.entrypoints.cli, arcade_cloud.entrypoints.server
import arcade_cloud.adapters.stripe.gateway, arcade_cloud.adapters.store.sqlite.store
assert "gpiozero" not in sys.modules and "arcade_sandbox" not in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_help_is_quick_because_a_command_imports_what_it_needs_when_it_runs():
    code = """
import sys
from arcade_cloud.entrypoints.cli import _parser, main
try:
    main(["--help"])
except SystemExit:
    slow = {"boto3", "flask", "importlib.metadata", "msgspec", "paho", "sqlite3", "stripe", "waitress"}
    print(*sorted(slow & set(sys.modules)), end="", file=sys.stderr)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("usage: arcade-cloud")


def test_it_says_its_version(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"arcade-cloud {version('arcade-cloud')}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["machine", "add", "cab-02", "--name", "\udcff"],
        ["order", "show", "\udcff"],
        ["payment", "dismiss", "\udcff"],
        ["grant", "cab-01", "1", "--token", "\udcff"],
        ["alert", "ack", "\udcff"],
        ["--env-file", "\udcff", "check"],
    ],
)
def test_bytes_that_are_no_text_are_told_in_one_line(settings, arguments, capsys):
    main(["machine", "add", "cab-01"])
    capsys.readouterr()
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.err == "arcade-cloud: '\\udcff' is no text in UTF-8: type it again\n"
    assert said.out == ""


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--name", "a\nb", "the name must be one line"),
        ("--name", "x" * 81, "the name has 81 characters"),
        ("--contact", "a\x1b[2J", "the contact must be one line"),
        ("--picture", "javascript:alert(1)", "https://"),
    ],
)
@pytest.mark.parametrize("command", ["add", "set"])
def test_a_text_that_no_page_can_show_is_not_stored(settings, capsys, command, option, text, said):
    main(["machine", "add", "cab-01", "--name", "Space Duel"])
    capsys.readouterr()
    assert main(["machine", command, "cab-01" if command == "set" else "cab-02", option, text]) == 1
    assert said in capsys.readouterr().err
    assert main(["machine", "list"]) == 0
    assert "cab-02" not in capsys.readouterr().out


def test_a_backup_into_a_folder_that_was_left_empty_is_refused(settings, tmp_path, capsys):
    main(["machine", "add", "cab-01"])
    with pytest.raises(SystemExit, match="2"):
        main(["backup", ""])
    assert "name a folder" in capsys.readouterr().err
    assert not list(tmp_path.glob("arcade-*.sqlite"))


def test_an_offer_below_what_stripe_takes_is_registered_with_a_warning(settings, capsys):
    assert main(["machine", "add", "cab-01", "--offer", "1=1.00MYR", "--offer", "3=3.00MYR"]) == 0
    said = capsys.readouterr()
    assert said.err.count("warning:") == 1
    assert "nobody can pay RM 1.00: Stripe charges at least RM 2.00" in said.err
    assert tomllib.loads(said.out)["machine_id"] == "cab-01"
