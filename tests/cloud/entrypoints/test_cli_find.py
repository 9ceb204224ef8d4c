"""`arcade-cloud order find`: what is typed at the counter, what is said, and the exit status."""

import argparse
import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.machines import Machine
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.entrypoints.cli.times import at_ms, clock_time, span_ms
from arcade_sandbox.processes import free_port
from arcade_shared.times import parse_ms
from support.order_records import new_order, step

AT_MS = parse_ms("2026-11-26T13:00:00Z")  # nine in the evening in Kuala Lumpur


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """A database in Kuala Lumpur, from which Stripe cannot be reached."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "STRIPE_API_KEY": "sk_test_nobody",
        "STRIPE_API_BASE": f"http://127.0.0.1:{free_port()}",
        "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
        "STRIPE_PRICE_ID": "price_nobody",
        "EMQX_BROKER_URL": "127.0.0.1",
        "MQTT_TLS": "0",
        "SIGNING_SECRET": "s" * 40,
        "TIMEZONE": "Asia/Kuala_Lumpur",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.sqlite'}",
    }.items():
        monkeypatch.setenv(name, value)
    with closing(SqliteStore(tmp_path / "cloud.sqlite")) as opened:
        opened.put_machine(Machine(machine_id="cab-01", version=1), 0)
        opened.move(step(new_order("ord_1", created_at_ms=AT_MS + 20 * 60_000)))
        yield opened


def found(capsys: Any) -> list[str]:
    return [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    "arguments",
    [
        ["ord_1"],
        [new_order("ord_1").code.lower()],
        ["--machine", "cab-01", "--at", "2026-11-26 21:00"],
        ["--at", "2026-11-26 21:00"],
        ["--at", "2026-11-26T13:00:00Z"],
        ["--at", "2026-11-26 21:25", "--within", "5m"],
        ["--at", "2026-11-26 21:00", "--amount", "3.00"],
    ],
)
def test_it_is_found(store: SqliteStore, arguments: list[str], capsys: Any) -> None:
    assert main(["order", "find", *arguments, "--json"]) == 0
    assert found(capsys) == ["ord_1"]


@pytest.mark.parametrize(
    ("arguments", "tried"),
    [
        (["ord_9"], "order id\n  credit id\n"),
        (["--at", "2026-11-26 21:00", "--within", "10m"], "from 2026-11-26 12:50:00.000Z to 2026-11-26 13:10"),
        (["--at", "2026-11-26 13:00"], "0 orders made in that time"),
        (["--at", "2026-11-26 21:00", "--amount", "9.00"], "1 orders made in that time"),
        (["ch_1"], "Stripe (looking up a payment: no verdict"),
    ],
)
def test_what_is_not_found_is_said_with_what_was_tried(
    store: SqliteStore, arguments: list[str], tried: str, capsys: Any
) -> None:
    assert main(["order", "find", *arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "no order was found" in said.err
    assert tried in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["ord_1", "--machine", "cab-01"],
        ["--at", "yesterday"],
        ["--at", "2026-11-26"],
        ["--at", "25:00"],
        ["--at", "21:00", "--within", "0m"],
        ["--at", "21:00", "--within", "30"],
    ],
)
def test_a_wrong_call_is_no_search(store: SqliteStore, arguments: list[str], capsys: Any) -> None:
    try:
        status: Any = main(["order", "find", *arguments])
    except SystemExit as ended:
        status = ended.code
    assert status == 2
    assert capsys.readouterr().out == ""


def test_a_misspelt_machine_is_told(store: SqliteStore, capsys: Any) -> None:
    assert main(["order", "find", "--machine", "cab-02", "--at", "21:00"]) == 1
    assert "did you mean cab-01" in capsys.readouterr().err


def test_an_hour_alone_is_the_last_one_in_the_arcades_zone() -> None:
    kuala_lumpur = ZoneInfo("Asia/Kuala_Lumpur")
    assert at_ms("21:00", kuala_lumpur, AT_MS) == AT_MS
    assert at_ms("21:00", kuala_lumpur, AT_MS - 1) == AT_MS - 86_400_000
    assert at_ms("21:00:30", kuala_lumpur, AT_MS + 86_399_999) == AT_MS + 30_000
    assert at_ms("2026-11-26 21:00+08:00", UTC, 0) == AT_MS


def test_spans_and_times_are_read_or_refused() -> None:
    assert [span_ms(text) for text in ("30m", "2h", "7d")] == [1_800_000, 7_200_000, 604_800_000]
    for read, text in ((span_ms, "m"), (span_ms, "-1h"), (span_ms, "99999d"), (clock_time, "0000-00-00 00:00")):
        with pytest.raises(argparse.ArgumentTypeError):
            read(text)
