"""`arcade-cloud takings`: it adds up lines, by what is asked for, and books what an older version has settled."""

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.books import Line
from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.tallies import added
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.services import takings
from support.booked import PLAY, SETTINGS
from support.order_records import new_order, next_version, step
from support.orders import NOW_MS
from support.version_0_1 import write_file

FEE = Line(
    order_id="o-1",
    number=0,
    serial=2,
    day="2026-11-26",
    at_ms=NOW_MS,
    machine_id="cab-01",
    location="Main Hall",
    method="card",
    currency="myr",
    kind="fee",
    fee_minor=106,
    moved_minor=200,
    entry_id="txn_1",
    what="charge",
)
LINES = (
    PLAY,
    msgspec.structs.replace(
        PLAY, serial=3, day="2026-11-27", ordered=0, delivered=0, gross_minor=0, goodwill_minor=50
    ),
    msgspec.structs.replace(PLAY, order_id="o-2", machine_id="cab-02", location="", method="", lost_minor=200),
    msgspec.structs.replace(PLAY, order_id="o-3", currency="jpy", gross_minor=300),
    msgspec.structs.replace(PLAY, order_id="o-4", currency="", method="free", gross_minor=0),
    FEE,
    msgspec.structs.replace(PLAY, order_id="o-5", day="2026-11-27"),
)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, value in {**SETTINGS, "DATABASE_URL": f"sqlite:///{tmp_path}/arcade.db"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "arcade.db"


@pytest.fixture
def booked(path: Path) -> None:
    with closing(SqliteStore(path)) as store:
        for line in LINES:
            store.book((line,), added(store.booked(line.order_id), (line,)))


@pytest.mark.usefixtures("booked")
def test_the_table_has_a_row_for_each_day_and_currency_and_totals(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["takings", "--from", "2026-11-01", "--to", "2026-11-30"]) == 0
    rows = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert rows == [
        "DAY GROSS GIVEN BACK LOST FEES NET CREDITS",
        "2026-11-26 free 2/3",
        "2026-11-26 ¥ 300 ¥ 0 ¥ 0 not known yet ¥ 300 2/3",
        "2026-11-26 RM 4.00 RM 0.00 RM 2.00 RM 1.06 RM 0.94 4/6",
        "2026-11-27 RM 2.00 RM 0.50 RM 0.00 not known yet RM 1.50 2/3",
        "total free 2/3",
        "total ¥ 300 ¥ 0 ¥ 0 not known yet ¥ 300 2/3",
        "total RM 6.00 RM 0.50 RM 2.00 RM 1.06 (1 not known yet) RM 2.44 6/9",
    ]


@pytest.mark.usefixtures("booked")
@pytest.mark.parametrize(
    ("words", "gross"),
    [
        (["--location", "Main Hall"], ["2.00"]),
        (["--location", ""], ["2.00"]),
        (["--machine", "cab-02"], ["2.00"]),
        (["--method", "card"], ["2.00"]),
        (["--method", "fpx"], []),
        (["--machine", "cab-02", "--location", "Main Hall"], []),
    ],
)
def test_what_is_not_asked_for_is_left_out(
    words: list[str], gross: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["takings", "--from", "2026-11-26", "--to", "2026-11-26", "--json", *words]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["gross"] for row in rows if row["currency"] == "MYR"] == gross


@pytest.mark.usefixtures("booked")
def test_machines_that_earned_nothing_are_named(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """cab-04 gave free credits away, cab-05 is out of service, cab-06 sold before."""
    free = msgspec.structs.replace(PLAY, order_id="o-9", currency="", method="free", gross_minor=0)
    with closing(SqliteStore(path)) as store:
        store.book((msgspec.structs.replace(free, machine_id="cab-04"),))
        store.book((msgspec.structs.replace(PLAY, order_id="o-8", machine_id="cab-06", day="2026-11-25"),))
        for number in range(1, 7):
            closure = Closure(since_ms=1, reason="broken") if number == 5 else None
            store.put_machine(
                Machine(machine_id=f"cab-{number:02}", version=1, location="Pier", closure=closure), 0
            )
    span = ["--from", "2026-11-26", "--to", "2026-11-27"]
    assert main(["takings", *span, "--idle", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["machine"] for row in rows] == ["cab-03", "cab-04", "cab-06"]
    assert rows[0] == {"machine": "cab-03", "location": "Pier", "name": ""}
    assert main(["takings", *span, "--idle"]) == 0
    assert capsys.readouterr().out.split() == ["MACHINE", "LOCATION"] + [
        word for row in rows for word in (row["machine"], "Pier")
    ]


@pytest.mark.usefixtures("booked")
def test_it_adds_up_only_the_days_that_are_asked_for_by_what_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["takings", "--from", "2026-11-26", "--to", "2026-11-26", "--by", "location", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["location"], row["currency"], row["net"]) for row in rows] == [
        (None, "MYR", "0.00"),
        ("Main Hall", None, None),
        ("Main Hall", "JPY", "300"),
        ("Main Hall", "MYR", "0.94"),
    ]
    assert rows[3] == {
        "location": "Main Hall",
        "currency": "MYR",
        "gross": "2.00",
        "goodwill": "0.00",
        "lost": "0.00",
        "fees": "1.06",
        "feesOpen": 0,
        "net": "0.94",
        "credits": 3,
        "delivered": 2,
    }
    assert main(["takings", "--from", "2026-11-27", "--to", "2026-11-27", "--csv"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "day,currency,gross,goodwill,lost,fees,feesOpen,net,credits,delivered",
        "2026-11-27,MYR,2.00,0.50,0.00,,1,1.50,3,2",
    ]


@pytest.mark.usefixtures("booked")
def test_a_fee_that_is_not_known_is_null_and_never_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["takings", "--from", "2026-11-26", "--to", "2026-11-26", "--by", "machine", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["machine"], row["currency"], row["fees"], row["feesOpen"]) for row in rows] == [
        ("cab-01", None, None, 0),
        ("cab-01", "JPY", None, 1),
        ("cab-01", "MYR", "1.06", 0),
        ("cab-02", "MYR", "0.00", 0),  # a hold that had ended: nothing was charged
    ]


@pytest.mark.parametrize(
    "days", [["--from", "2026-11-27", "--to", "2026-11-26"], ["--from", "2001-01-01", "--to", "2026-11-26"]]
)
def test_days_that_make_no_sense_are_refused(
    path: Path, days: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    SqliteStore(path).close()
    assert main(["takings", *days]) == 2
    assert "that must be 1 to 3660 days" in capsys.readouterr().err


def test_a_text_that_is_no_day_is_refused(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["takings", "--from", "yesterday"])
    assert stopped.value.code == 2
    assert "write a day such as" in capsys.readouterr().err


def test_a_rebuild_books_what_version_0_1_has_settled_and_a_second_one_nothing(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(path)
    monkeypatch.setattr(takings, "PASS", 5)  # several passes
    assert main(["takings", "rebuild"]) == 0
    out = capsys.readouterr().out
    assert "35 orders: the lines of all days say the same" in out
    with closing(SqliteStore(path)) as store:
        orders = store.recent_orders(100)
        lines = {order.order_id: store.booked(order.order_id) for order in orders}
    assert {order.state for order in orders if lines[order.order_id]} == {"settled"}
    assert all(lines[order.order_id] for order in orders if order.state == "settled")
    assert main(["takings", "rebuild"]) == 0
    assert " 0 had something to book" in capsys.readouterr().out
    with closing(SqliteStore(path)) as store:
        assert {order_id: store.booked(order_id) for order_id in lines} == lines


def test_a_rebuild_tells_of_lines_that_belong_to_no_order(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(SqliteStore(path)) as store:
        store.move(replace(step(new_order("o-1")), lines=(PLAY,)))
        store.move(step(next_version(new_order("o-1"))))
        store.book((msgspec.structs.replace(PLAY, order_id="gone"),))
    assert main(["takings", "rebuild"]) == 1
    told = capsys.readouterr().err
    assert "MYR: the orders say 2 of 3 credits, RM 2.00 gross" in told
    assert "and the lines of all days 4 of 6 credits, RM 4.00 gross" in told
