"""What lists and single records look like: a table that fits the terminal, JSON, and CSV that is no program."""

import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain import alerts
from arcade_cloud.domain.machines import Machine, Presence
from arcade_cloud.domain.offers import parse_offers
from arcade_cloud.domain.order import HistoryEntry, UnmatchedAck
from arcade_cloud.domain.ownership import Unclaimed
from arcade_cloud.domain.spreadsheet import cell
from arcade_cloud.domain.story import story
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.entrypoints.cli.output import Column, fold, named, table
from support.order_records import funded, new_order, step
from support.orders import NOW_MS

ROOT = Path(__file__).parents[3]
COLUMNS: list[Column[list[str]]] = [
    Column("ID", lambda row: row[0]),
    Column("NUMBER", lambda row: row[1], right=True),
    Column("WORDS", lambda row: row[2], folds=True),
    Column("MORE", lambda row: row[3]),
]


# --- tables ----------------------------------------------------------------------------------------------

words = st.lists(st.text("abcdé", min_size=1, max_size=12), max_size=12).map(" ".join)
rows = st.tuples(st.text("xyz", min_size=1, max_size=14), st.integers(0, 10**6).map(str), words, words).map(list)


@given(st.lists(rows, min_size=1, max_size=5), st.integers(30, 120))
def test_a_table_fits_and_leaves_no_word_out_and_cuts_none(found: list[list[str]], width: int) -> None:
    lines = table(found, COLUMNS, width)
    assert max(map(len, lines)) <= width
    printed = sorted(word for line in lines for word in line.split())
    shown = [column.heading for column in COLUMNS]
    meant = [word for row in found for text in row for word in text.split()]
    assert sorted(word for word in printed if word not in shown) == sorted(meant)


def test_numbers_stand_at_the_right_and_an_id_is_never_cut() -> None:
    found = [["a" * 50, "7", "some words that fold", ""], ["b", "1234", "", "tail"]]
    assert table(found, COLUMNS, None) == [
        "ID                                                  NUMBER  WORDS                 MORE",
        "a" * 50 + "       7  some words that fold",
        "b" + " " * 49 + "    1234                        tail",
    ]
    narrow = table(found, COLUMNS, 40)
    assert narrow[:2] == ["ID", "a" * 50]
    assert narrow[2:] == ["    7  some words that fold", "b", "    1234  tail"]


def test_no_rows_have_no_headings() -> None:
    assert table([], COLUMNS, 80) == []


def test_chinese_characters_take_two_columns_and_combining_accents_none() -> None:
    lines = table([["街机", "1", "", ""], ["e\u0301", "2", "", ""]], COLUMNS[:2], None)
    assert lines == ["ID    NUMBER", "街机       1", "e\u0301          2"]
    assert fold("街机 游戏", 6) == ["街机", "游戏"]


def test_a_text_from_outside_can_not_move_the_cursor() -> None:
    assert "\x1b" not in "".join(table([["\x1b[2J", "1", "", ""]], COLUMNS, 80))
    assert "\x1b" not in "".join(named({"name": "\x1b]0;x\x07"}, 80))


def test_facts_fold_beside_their_names() -> None:
    assert named({"name": "one two three four five six", "x": ""}, 30) == [
        "  name  one two three four",
        "        five six",
        "  x     -",
    ]


# --- CSV -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|'/c calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\rx", "+60 3 1234", "-", "=HYPERLINK()"]
)
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-5", "+5", "-5.00", "7", "RM 5", "a=b", "", "'=1"])
def test_numbers_and_other_texts_stay_as_they_are(text: str) -> None:
    assert cell(text) == text


def test_what_is_no_text_becomes_one_cell() -> None:
    assert [cell(value) for value in (None, True, False, 3, -4, ["a", "b"], ("=x",))] == [
        "",
        "true",
        "false",
        "3",
        "-4",
        "a b",
        "'=x",
    ]


# --- the commands ----------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    """A database with one of everything, whose texts try to be formulas."""
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "STRIPE_API_KEY": "sk_test_nobody",
        "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
        "STRIPE_PRICE_ID": "price_nobody",
        "EMQX_BROKER_URL": "127.0.0.1",
        "MQTT_TLS": "0",
        "SIGNING_SECRET": "s" * 40,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.sqlite'}",
    }.items():
        monkeypatch.setenv(name, value)
    with closing(SqliteStore(tmp_path / "cloud.sqlite")) as opened:
        offers = parse_offers(["3=5.00MYR", "8=10.00MYR@price_eight"])
        machine = Machine(
            machine_id="cab-01", version=1, name='=Duel, "街机"\n2', contact="+60 3 1234", offers=offers
        )
        opened.put_machine(machine, 0)
        opened.put_presence(
            Presence(machine_id="cab-01", version=1, installation="f" * 32, max_credits=50, heard_at_ms=NOW_MS), 0
        )
        order = new_order("ord_1")
        opened.move(step(order))
        opened.move(step(funded(order, "pi_1", "credit-1")))
        opened.raise_alert(alerts.alert("stuck", "ord_1", '@A defect, "quoted".', NOW_MS))
        opened.note_unmatched_ack(
            UnmatchedAck(
                machine_id="cab-01",
                credit_id="credit-9",
                installation="f" * 32,
                state="done",
                delivered=2,
                uncertain=1,
                at_ms=NOW_MS,
            )
        )
        opened.note_unclaimed(
            Unclaimed(
                payment_intent="pi_9",
                amount_minor=600,
                currency="myr",
                why="no machine",
                at_ms=NOW_MS,
                reference="-cab",
            )
        )
        yield opened


COMMANDS = {
    "machine list": ["machine", "list"],
    "machine show": ["machine", "show", "cab-01"],
    "order list": ["order", "list"],
    "order show": ["order", "show", "ord_1"],
    "alert list": ["alert", "list"],
    "ack list": ["ack", "list"],
    "payment list": ["payment", "list"],
}


def documented(command: str) -> list[str]:
    """The keys that docs/OPERATING.md promises. What `show` has beyond `list` stands behind a semicolon."""
    text = (ROOT / "docs" / "OPERATING.md").read_text()
    (row,) = re.findall(rf"^\| `{command.replace(' show', ' list')}`[^|]*\| (.*) \|$", text, re.MULTILINE)
    both, _, shown = re.sub(r"\([^)]*\)", "", row).partition(";")
    row = f"{both} {shown.replace(f'`{command}`', '')}" if command.endswith(" show") else both
    return re.findall(r"`(\w+)`", row)


@pytest.mark.parametrize("command", COMMANDS)
def test_json_and_csv_have_the_documented_names(store: SqliteStore, command: str, capsys: Any) -> None:
    assert main([*COMMANDS[command], "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    for name in ("history", "gameOvers"):
        assert (found.pop(name, None) is not None) == (command == "order show")
    assert list(found) == documented(command)
    assert main([*COMMANDS[command], "--csv"]) == 0
    heading, row = csv.reader(io.StringIO(capsys.readouterr().out, newline=""))
    assert heading == documented(command)
    assert row == [cell(value) for value in found.values()]
    assert not any(text.startswith(("=", "+", "-", "@")) for text in row)


def test_json_and_csv_exclude_each_other(store: SqliteStore, capsys: Any) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["machine", "list", "--json", "--csv"])
    assert ended.value.code == 2


def test_the_history_is_in_the_json_of_an_order(store: SqliteStore, capsys: Any) -> None:
    main(["order", "show", "ord_1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [(entry["at"][-1], entry["state"]) for entry in found["history"]] == [("Z", "open"), ("Z", "funded")]
    assert (found["amount"], found["currency"], found["creditIds"]) == ("3.00", "MYR", ["credit-1"])


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("width", [60, 80, 200])
def test_on_a_terminal_no_line_is_too_long(store: SqliteStore, command: str, width: int) -> None:
    """On a real terminal, as the kernel makes one."""
    near, far = pty.openpty()
    with open(near, "rb", buffering=0) as reading:
        ran = subprocess.run(
            [sys.executable, "-m", "arcade_cloud.entrypoints.cli", *COMMANDS[command]],
            env={**os.environ, "COLUMNS": str(width)},
            stdout=far,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        os.close(far)
        said = b""
        try:
            while more := reading.read(4096):
                said += more
        except OSError:  # the other end is closed, and all was read
            pass
    assert ran.returncode == 0
    lines = said.decode().splitlines()
    assert lines
    assert max(map(len, lines)) <= width
    assert "cab-01" in said.decode() or command in {"alert list", "payment list"}


# --- the story of an order -------------------------------------------------------------------------------


def entry(version: int, event: str, state: Any, text: str = "") -> HistoryEntry:
    return HistoryEntry(order_id="o", version=version, at_ms=version, event=event, state=state, text=text)


def test_a_story_says_what_happened_and_where_it_led() -> None:
    told = list(
        story(
            [
                entry(1, "Ordered", "open"),
                entry(2, "PaymentRead", "funded", "paid"),
                entry(3, "Acked", "funded", "pulsing 2"),
                entry(4, "LaterEvent", "resolved"),
            ]
        )
    )
    assert [(line.text, line.state) for line in told] == [
        ("a player went to pay", "open"),
        ("the payment was read at Stripe: paid", "funded"),
        ("the machine is pulsing: 2 so far", None),
        ("LaterEvent", "resolved"),
    ]


def test_every_event_has_words() -> None:
    from typing import get_args

    from arcade_cloud.domain.events import Event
    from arcade_cloud.domain.story import story
    from arcade_cloud.services.fulfilment import Beginning

    names = [*get_args(Beginning), *(event.__name__ for event in get_args(Event))]
    told = story(entry(number, name, "open") for number, name in enumerate(names))
    assert [line.text for line in told if " " not in line.text] == []
