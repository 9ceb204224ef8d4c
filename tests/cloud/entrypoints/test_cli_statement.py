"""`arcade-cloud statement`: a month by machine, with the share of the location's owner."""

import csv
import json
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.tallies import added
from arcade_cloud.entrypoints.cli import main
from support.booked import PLAY, SETTINGS

OF_HALL = msgspec.structs.replace(PLAY, gross_minor=250)
LINES = (
    OF_HALL,
    msgspec.structs.replace(OF_HALL, order_id="o-2", machine_id="cab-02", gross_minor=500, goodwill_minor=100),
    msgspec.structs.replace(OF_HALL, order_id="o-3", machine_id="cab-03", location="Pier"),
    msgspec.structs.replace(OF_HALL, order_id="o-4", day="2026-10-31"),
)


@pytest.fixture(autouse=True)
def booked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {**SETTINGS, "DATABASE_URL": f"sqlite:///{tmp_path}/arcade.db"}.items():
        monkeypatch.setenv(name, value)
    with closing(SqliteStore(tmp_path / "arcade.db")) as store:
        store.put_machine(Machine(machine_id="cab-01", version=1, name="=Daytona"), 0)
        for line in LINES:
            store.book((line,), added(store.booked(line.order_id), (line,)))


HALL = ["statement", "--month", "2026-11", "--location", "Main Hall"]


def test_a_month_of_a_location_with_its_shares(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HALL, "--share", "12.5", "--flat", "250.00MYR"]) == 0
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        "MACHINE CURRENCY CREDITS KEPT NET AMOUNT",
        "cab-01 MYR 2 2.50 2.50",
        "cab-02 MYR 2 4.00 4.00",
        "total MYR 4 6.50 6.50",
        "share, 12.5 % of what was kept MYR 0.81",
        "share, flat MYR 250.00",
        "share, altogether MYR 250.81",
    ]


def test_the_same_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*HALL, "--share", "12.5", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["line"], row["machine"], row["kept"], row["amount"]) for row in rows] == [
        ("machine", "cab-01", "2.50", None),
        ("machine", "cab-02", "4.00", None),
        ("total", None, "6.50", None),
        ("percentage", None, None, "0.81"),
        ("due", None, None, "0.81"),
    ]
    assert main([*HALL, "--csv"]) == 0
    table = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert table[0]["name"] == "'=Daytona"
    assert list(table[0]) == list(rows[0])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--flat", "5.00MYR"], "name the location"),
        (["--location", "Pier", "--flat", "5.00XYZ"], "names no currency"),
        (["--share", "130"], "0 to 100 per cent"),
        (["--month", "2026-13"], "write a month such as 2026-11"),
    ],
)
def test_what_makes_no_sense_is_refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["statement", *words]) == 1
    assert says in capsys.readouterr().err


def test_a_month_without_anything_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["statement", "--month", "2025-01"]) == 0
    assert "nothing was booked in 2025-01" in capsys.readouterr().err
