"""`arcade-cloud alert`, `ack list` and the paging of `order list`: what a person reads, and what is done."""

import json
import os
import pwd
from contextlib import closing

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain import alerts
from arcade_cloud.domain.order import UnmatchedAck
from arcade_cloud.entrypoints.cli import main
from arcade_cloud.services.alerts import Alerts, short_id
from arcade_shared.times import format_ms
from support.order_records import new_order, step
from support.orders import NOW_MS

STUCK = alerts.alert("stuck", "ord_019ac0ffee", "A defect keeps the order from moving.", NOW_MS)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The database of a cloud of which nothing else can be reached."""
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
        yield opened


def test_what_stands_is_listed_and_what_is_over_only_when_asked_for(store, capsys):
    assert main(["alert", "list"]) == 0
    assert capsys.readouterr().out == ""
    store.raise_alert(STUCK)
    desk = Alerts(store, lambda: NOW_MS + 1)
    desk.begin("unsellable", "cab-01", "No such price: correct it.")
    main(["alert", "list"])
    headings, *said = capsys.readouterr().out.splitlines()
    assert headings.split() == ["ID", "TIME", "STATE", "KIND"]
    assert [line.split()[3:] for line in said[::2]] == [["lasts", "unsellable"], ["new", "stuck"]]
    assert said[1] == "    cab-01: No such price: correct it."
    assert main(["alert", "ack", said[0].split()[0], STUCK.alert_id, "--by", "ana"]) == 0
    assert "acknowledged by ana; it still lasts" in capsys.readouterr().out
    main(["alert", "list"])
    assert [line.split()[3] for line in capsys.readouterr().out.splitlines()[1::2]] == ["seen"]
    desk.end("unsellable", "cab-01", "Sold again.")
    main(["alert", "list"])
    assert capsys.readouterr().out == ""
    main(["alert", "list", "--all"])
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in said[1::2]] == ["end", "over", "over"]


def test_each_line_of_json_has_all_that_is_known(store, capsys):
    store.raise_alert(STUCK)
    main(["alert", "ack", "stuck:ord_019ac0ffee", "--by", "ana"])
    capsys.readouterr()
    assert main(["alert", "list", "--all", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found.pop("acknowledgedAt").endswith("Z")
    assert found == {
        "id": "stuck:ord_019ac0ffee",
        "shortId": short_id(STUCK),
        "kind": "stuck",
        "subject": "ord_019ac0ffee",
        "text": "A defect keeps the order from moving.",
        "state": "over",
        "at": format_ms(NOW_MS),
        "noticedAt": None,
        "endedAt": None,
        "acknowledgedBy": "ana",
        "recovers": None,
    }


def test_a_misspelt_id_says_so_and_the_others_are_acknowledged(store, capsys):
    store.raise_alert(STUCK)
    assert main(["alert", "ack", "stukc:ord_019ac0ffee", STUCK.alert_id]) == 1
    said = capsys.readouterr()
    assert "there is no alert stukc:ord_019ac0ffee" in said.err
    assert "stuck:ord_019ac0ffee: acknowledged by" in said.out
    assert store.standing_alerts(10) == []


def test_without_a_name_it_is_the_user_who_runs_it(store, monkeypatch, capsys):
    monkeypatch.setenv("LOGNAME", "somebody-else")  # the system says who it is, not the environment
    store.raise_alert(STUCK)
    main(["alert", "ack", STUCK.alert_id])
    assert f"acknowledged by {pwd.getpwuid(os.getuid()).pw_name}" in capsys.readouterr().out


def test_acks_that_no_order_knows_are_listed(store, capsys):
    store.note_unmatched_ack(
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
    assert main(["ack", "list"]) == 0
    headings, row = (line.split() for line in capsys.readouterr().out.splitlines())
    assert headings == ["TIME", "MACHINE", "STATE", "DELIVERED", "UNCERTAIN", "CREDIT", "BY"]
    assert row[2:] == ["cab-01", "done", "2", "1", "credit-9", "ffffffff"]


def test_orders_are_listed_page_by_page(store, capsys):
    for number in range(5):
        store.move(step(new_order(f"o-{number}", created_at_ms=NOW_MS + number)))
    seen: list[str] = []
    before: list[str] = []
    while True:
        assert main(["order", "list", "--limit", "2", *before]) == 0
        lines = capsys.readouterr().out.splitlines()
        if not lines:
            break
        seen += [line.split()[-1] for line in lines[1:]]
        before = ["--before", " ".join(lines[-1].split()[1:3])]
    assert seen == ["o-4", "o-3", "o-2", "o-1", "o-0"]


@pytest.mark.parametrize("text", ["yesterday", "2026-11-22", "2026-11-22T10:00:00+08:00"])
def test_a_time_that_is_none_is_refused_in_words(store, text, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["order", "list", "--before", text])
    assert ended.value.code == 2
    assert "such as 2026-11-22T10:00:00Z" in capsys.readouterr().err
