"""Many machines by one command: before and after are shown, exit codes tell, and nothing is done by halves."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.offers import offer_text
from arcade_cloud.entrypoints.cli import main
from arcade_sandbox.processes import free_port

SETTINGS = {
    "STRIPE_API_KEY": "sk_test_nobody",
    "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
    "STRIPE_PRICE_ID": "price_nobody",
    "EMQX_BROKER_URL": "127.0.0.1",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "s" * 40,
    "TIMEZONE": "Asia/Kuala_Lumpur",
}
Known = Callable[[], dict[str, Machine]]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Known:
    """Three machines, two of them in the hall; what is stored of them."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cloud.sqlite"
    nobody = str(free_port())
    environment = {
        **SETTINGS,
        "EMQX_PORT": nobody,
        "STRIPE_API_BASE": f"http://127.0.0.1:{nobody}",
        "DATABASE_URL": f"sqlite:///{path}",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for machine_id, location in (("cab-01", "Main Hall"), ("cab-02", "Main Hall"), ("cab-03", "Pier")):
        add = ["machine", "add", machine_id, "--location", location, "--contact", "+60 12", "--offer", "1=2.00MYR"]
        assert main(add) == 0
    capsys.readouterr()

    def read() -> dict[str, Machine]:
        with closing(SqliteStore(path)) as store:
            return {machine.machine_id: machine for machine in store.machines()}

    return read


def closed(known: Known) -> set[str]:
    return {machine_id for machine_id, machine in known().items() if machine.closure is not None}


def test_machines_go_out_of_service_and_come_back(known: Known, capsys: pytest.CaptureFixture[str]) -> None:
    close = ["machine", "out-of-service", "cab-01", "cab-03", "--reason", "Closed for maintenance"]
    assert main([*close, "--until", "2030-01-02 18:00"]) == 0
    said = capsys.readouterr().out
    assert said.count("before: in service") == 2
    assert said.count("now:    out of service until 2030-01-02 18:00: Closed for maintenance") == 2
    assert "players read: Closed for maintenance. Back on 2 January 2030 at 18:00." in said
    assert closed(known) == {"cab-01", "cab-03"}
    main(["machine", "list"])
    assert capsys.readouterr().out.count("Closed for maintenance. Back on") == 2
    main(["machine", "show", "cab-01"])
    assert "out of service until 2030-01-02 18:00: Closed for maintenance" in capsys.readouterr().out
    assert main(["machine", "in-service", "cab-01"]) == 0
    assert "now:    in service" in capsys.readouterr().out
    assert main(["machine", "in-service", "cab-01"]) == 0
    assert "nothing changed" in capsys.readouterr().out
    assert closed(known) == {"cab-03"}


def test_a_location_or_all_of_them_but_not_the_retired(known: Known) -> None:
    assert main(["machine", "out-of-service", "--location", "main hall"]) == 0
    assert closed(known) == {"cab-01", "cab-02"}
    assert main(["machine", "in-service", "--location", "Main Hall"]) == 0
    assert main(["machine", "retire", "cab-03"]) == 0
    assert main(["machine", "out-of-service", "--all"]) == 0
    assert closed(known) == {"cab-01", "cab-02", "cab-03"}
    assert main(["machine", "in-service", "--all"]) == 0
    assert closed(known) == {"cab-03"}


@pytest.mark.parametrize("command", ["out-of-service", "in-service", "retire"])
@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ([], 2, "name machines"),
        (["cab-01", "--all"], 2, "one of these"),
        (["--location", "Pier", "--all"], 2, "one of these"),
        (["cab-01", "cab-9"], 1, "no machine cab-9 is registered"),
        (["--location", "Peer"], 1, "did you mean Pier"),
        (["cab/01"], 1, "a machine id is"),
    ],
)
def test_who_is_not_meant_clearly_is_left_alone(
    known: Known, capsys: pytest.CaptureFixture[str], command: str, options: list[str], status: int, text: str
) -> None:
    before = known()
    assert main(["machine", command, *options]) == status
    assert text in capsys.readouterr().err
    assert known() == before


@pytest.mark.parametrize(("option", "value"), [("--until", "yesterday"), ("--reason", "x" * 200)])
def test_what_cannot_be_said_closes_no_machine(known: Known, option: str, value: str) -> None:
    before = known()
    assert main(["machine", "out-of-service", "--all", option, value]) == 1
    assert known() == before


def test_a_machine_is_made_like_another(known: Known, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machine", "copy", "cab-01", "cab-04", "--name", "Duo"]) == 0
    assert 'machine_id = "cab-04"' in capsys.readouterr().out
    source, copied = known()["cab-01"], known()["cab-04"]
    assert (copied.name, copied.offers, copied.location) == ("Duo", source.offers, "Main Hall")
    assert main(["machine", "copy", "cab-01", "cab-04"]) == 1
    assert main(["machine", "copy", "cab-1", "cab-05"]) == 1
    assert "did you mean cab-01" in capsys.readouterr().err


def test_a_location_is_set_shown_and_taken_away(known: Known, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["machine", "set", "cab-01", "--location", " The  Pier "]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "location before: Main Hall now: The Pier" in said
    assert main(["machine", "list", "--location", "the pier"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["MACHINE", "cab-01"]
    assert main(["machine", "set", "cab-01", "--location", ""]) == 0
    assert known()["cab-01"].location == ""
    assert main(["machine", "set", "cab-01", "--location", "x" * 300]) == 1


def test_prices_change_by_one_edited_table(
    known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "fleet.csv"
    assert main(["machine", "export", "-o", str(table)]) == 0
    before = known()
    assert main(["machine", "import", str(table)]) == 0
    assert "done: 0 new, 0 changed, 3 unchanged" in capsys.readouterr().out
    assert known() == before
    table.write_bytes(table.read_bytes().replace(b"1=2.00MYR", b"1=3.00MYR"))
    assert main(["machine", "import", str(table), "--dry-run"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "machine cab-01: changed offers before: 1=2.00MYR now: 1=3.00MYR" in said
    assert "this would be: 0 new, 3 changed, 0 unchanged" in said
    assert known() == before
    assert main(["machine", "import", str(table)]) == 0
    assert {offer_text(machine.offers[0]) for machine in known().values()} == {"1=3.00MYR"}
    assert {machine.contact for machine in known().values()} == {"+60 12"}


def test_what_is_printed_is_what_a_file_holds(
    known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["machine", "export", "--location", "pier"])
    printed = capsys.readouterr().out
    main(["machine", "export", "--location", "pier", "-o", "pier.csv"])
    assert (tmp_path / "pier.csv").read_bytes().decode("utf-8-sig") == printed
    assert printed.splitlines()[1] == "cab-03,agent,,Pier,'+60 12,,1=2.00MYR"


def test_what_a_list_prints_can_be_taken_in_too(
    known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["machine", "retire", "cab-03"])
    before = known()
    capsys.readouterr()
    assert main(["machine", "list", "--csv"]) == 0
    table = tmp_path / "list.csv"
    table.write_text(capsys.readouterr().out, newline="")
    assert main(["machine", "import", str(table)]) == 0
    assert "0 new, 0 changed, 3 unchanged" in capsys.readouterr().out
    assert known() == before


def test_a_table_with_a_fault_changes_nothing_and_tells_them_all(
    known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = known()
    table = tmp_path / "fleet.csv"
    table.write_text("id;offers\ncab-01;1=3.00MYR\ncab-02;3=1\nCAB-03;1=2.00MYR\ncab-09;1=5.001MYR\n")
    for options in ([], ["--dry-run"]):
        assert main(["machine", "import", str(table), *options]) == 1
        said = capsys.readouterr()
        assert "done" not in said.out
        assert "line 3, offers: an offer is written" in said.err
        assert "line 4, id: machine cab-03 is registered" in said.err
        assert "line 5, offers:" in said.err
        assert "nothing was changed" in said.err
        assert known() == before


def test_new_machines_come_by_a_table_too(
    known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "fleet.csv"
    table.write_bytes("ID\tName\tOffers\r\ncab-10\t街霸\t1=2.00MYR\r\n".encode("utf-16"))
    assert main(["machine", "import", str(table)]) == 0
    assert "machine cab-10: new" in capsys.readouterr().out
    assert known()["cab-10"].name == "街霸"
    assert known()["cab-10"].created_at_ms > 0
    assert main(["machine", "config", "cab-10"]) == 0


def test_a_price_that_nobody_can_pay_is_remarked_on(
    known: Known, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "fleet.csv"
    table.write_text("id,offers\ncab-01,1=1.00MYR 6=10.00MYR\ncab-02,\n")
    for options in (["--dry-run"], []):
        assert main(["machine", "import", str(table), *options]) == 0
        said = capsys.readouterr().err
        assert said.count("warning: ") == 1
        assert "machine cab-01, offer c1-100myr: RM 1.00 is less than RM 2.00" in said


@pytest.mark.parametrize("name", ["nowhere.csv", "."])
def test_a_file_that_is_not_there_is_said(known: Known, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["machine", "import", name]) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert main(["machine", "export", "-o", "nowhere/x.csv"]) == 1
    assert "cannot be written" in capsys.readouterr().err
