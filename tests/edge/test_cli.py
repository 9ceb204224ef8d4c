"""The command: quick to ask, exact in what it says, and without a trace for what an operator can put right."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path

import pytest

from arcade_edge import cli
from arcade_edge.agent.journal import lock_journal, open_journal
from arcade_edge.agent.signals import MeterPulse
from arcade_edge.bootstrap import MESSAGES_WAITING, SIGNALS_WAITING, EventQueue
from arcade_edge.domain.credits import Credit
from arcade_edge.ports import Arrived, Confirmed, Receipt
from arcade_edge.tools.technician import describe
from arcade_shared.ids import uuid7
from support.agent_process import KEY, MACHINE, write_config
from support.mqtt_cloud import coinpulse

COMMANDS = ("run", "pulse", "release", "watch", "journal", "simulate")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return write_config(tmp_path, 1, pulse_ms=5, gap_ms=5, max_credits=5)


@pytest.fixture
def mock_pins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")


@pytest.mark.parametrize("module", ["cli", "agent.loop", "domain.credits", "bootstrap", "tools.technician"])
def test_importing_loads_no_gpio_library_and_touches_nothing(module: str, tmp_path: Path) -> None:
    script = (
        f"import sys, arcade_edge.{module}\n"
        "print([name for name in ('gpiozero', 'lgpio', 'serial') if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path
    )
    assert ran.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_help_needs_neither_the_network_nor_the_database_nor_the_pins() -> None:
    script = (
        "import sys\nfrom arcade_edge import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "print([n for n in ('paho', 'sqlite3', 'gpiozero', 'ssl', 'msgspec') if n in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
    for command in COMMANDS:
        assert command in ran.stdout


def test_it_says_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"arcade-edge {version('arcade-edge')}\n"


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "release"])
def test_wrong_settings_are_said_and_nothing_starts(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("machine_id = 5\n")
    assert cli.main([command, "--config", str(path)]) == cli.MISUSED
    told = capsys.readouterr().err
    for key in ("machine_id", "broker", "coin", "security"):
        assert f"  {key}: " in told


def test_release_works_whatever_else_is_wrong_with_the_settings(
    tmp_path: Path, mock_pins: None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text('machine_id = \n[coin]\npin = 22\nactive = "high"\n')
    assert cli.main(["release", "--config", str(path)]) == cli.OK
    assert "GPIO22 is inactive" in capsys.readouterr().out
    assert cli.main(["release", "--config", "nowhere", "--pin", "23", "--active", "low"]) == cli.OK


def test_release_without_a_pin_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge.toml"
    path.write_text("[coin]\n")
    assert cli.main(["release", "--config", str(path)]) == cli.MISUSED
    assert "coin.pin: missing" in capsys.readouterr().err


def test_pulse_makes_as_many_as_asked_for(
    config: Path, mock_pins: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["pulse", "--config", str(config), "3"]) == cli.OK
    assert capsys.readouterr().out.count("pulsed on GPIO17") == 3


def test_pulse_has_the_bound_of_the_settings(
    config: Path, mock_pins: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["pulse", "--config", str(config), "6"]) == cli.FAILED
    assert "at most 5" in capsys.readouterr().err
    for wrong in ("0", "-1", "x"):
        with pytest.raises(SystemExit):
            cli.main(["pulse", "--config", str(config), wrong])


@pytest.mark.parametrize("command", [["pulse"], ["watch", "--inputs"], ["run"]])
def test_what_needs_the_line_or_the_inputs_refuses_while_an_agent_has_them(
    command: list[str], tmp_path: Path, mock_pins: None, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path, 1, more="[ready]\npin = 5\n")
    lock = lock_journal(tmp_path / "journal.db")
    try:
        assert cli.main([*command, "--config", str(config)]) == cli.FAILED
    finally:
        os.close(lock)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "another arcade-edge runs" in told


def test_watching_inputs_where_none_is_wired_says_where_to_name_them(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["watch", "--inputs", "--config", str(config)]) == cli.FAILED
    assert "[game_over.gpio]" in capsys.readouterr().err


def test_watching_without_a_broker_says_which_one(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["watch", "--config", str(config)]) == cli.FAILED
    assert "broker: nobody listens on 127.0.0.1:1" in capsys.readouterr().err


def test_the_journal_is_listed_for_people(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["journal", "--config", str(config)]) == cli.FAILED
    assert "there is no journal" in capsys.readouterr().err
    journal = open_journal(config.parent / "journal.db", "10000000abcdef")
    credit = Credit(uuid7(1_790_000_000_000), 3, "done", 1, delivered=2, uncertain=1, reason="restarted")
    journal.commit([credit])
    journal.count({"bad signature": 4})
    assert cli.main(["journal", "--config", str(config)]) == cli.OK
    journal.close()
    told = capsys.readouterr().out
    assert journal.installation in told
    assert "bad signature: 4" in told
    assert "done     2/3, 1 uncertain, restarted (ack not confirmed)" in told


def test_what_passes_by_is_described_and_a_bad_signature_stands_out() -> None:
    topic = f"arcade/machine/{MACHINE}/coinpulse"
    payload = coinpulse(KEY, MACHINE, uuid7(1_790_000_000_000), 2, "ab" * 16, 1_790_000_060_000)
    assert describe((KEY,), topic, payload, False).startswith("coinpulse (signed): credits 2")
    assert describe((bytes(32),), topic, payload, False).startswith("coinpulse (BAD SIGNATURE)")
    assert describe((KEY,), topic, b'{"domain.credits":1}', True).startswith("coinpulse (unsigned, retained)")
    assert "not JSON" in describe((KEY,), topic, b"\xff", False)


def test_a_flood_of_messages_is_turned_away_and_what_must_arrive_is_not() -> None:
    """The broker delivers again what was not taken; a confirmation or a pulse's outcome would be lost."""
    events = EventQueue()
    message = Arrived("t", b"", False, Receipt(1, 1, 1))
    taken = sum(events.offer(message) for _ in range(2 * MESSAGES_WAITING))
    assert taken == MESSAGES_WAITING
    assert events.offer(Confirmed((1, 1), True))
    held = 0
    while events.get(0) is not None:
        held += 1
    assert held == MESSAGES_WAITING + 1


def test_an_input_waits_for_room_and_loses_no_word() -> None:
    """What the ready line has said last must arrive."""
    events = EventQueue()
    said = [MeterPulse(at_ms) for at_ms in range(SIGNALS_WAITING + 10)]

    def say() -> None:
        for signal in said:
            events.put_signal(signal)

    speaker = threading.Thread(target=say, daemon=True)
    speaker.start()
    heard = [events.get(10.0) for _ in said]
    speaker.join(10)
    assert heard == said
