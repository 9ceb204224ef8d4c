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
from arcade_edge.agent.signals import DetectorBack, DetectorFault, GameOver, MeterPulse, ReadyChanged
from arcade_edge.bootstrap import MESSAGES_WAITING, SIGNALS_WAITING, EventQueue
from arcade_edge.domain.credits import Credit
from arcade_edge.hardware.pin_factory import _why_no_pins
from arcade_edge.ports import Arrived, Confirmed, Receipt
from arcade_edge.tools.technician import describe, describe_input
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


def test_the_settings_may_be_named_before_the_command_or_after_it(
    config: Path, mock_pins: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["--config", str(config), "pulse"], ["pulse", "--config", str(config)]):
        assert cli.main(arguments) == cli.OK
        assert "pulsed on GPIO17" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["simulate", "--play-s", "nan"], "a number from 0"),
        (["simulate", "--play-s", "-5"], "a number from 0"),
        (["simulate", "--min-pulse-ms", "x"], "a number from 0"),
        (["simulate", "--min-gap-ms", "-1"], "a number from 0"),
        (["release", "--pin", "99", "--active", "low"], "a GPIO number from 0 to 53"),
        (["release", "--pin", "header 11", "--active", "low"], "a GPIO number from 0 to 53"),
        (["doctor", "--wait", "0"], "a whole number from 1"),
        (["doctor", "--wait", "9" * 400], "a whole number from 1"),
        (["journal", "--limit", "-3"], "a whole number from 1"),
        (["journal", "--limit", str(2**63)], "a whole number from 1"),
        (["pulse", "0"], "a whole number from 1"),
        (["simulate", "--full-at", "0"], "a whole number from 1"),
        (["simulate", "--start-after-ms", "-1"], "a whole number from 1"),
        (["simulate", "--meter-cut-after", "-1"], "a whole number from 0"),
        (["simulate", "--meter-cut-after", "one"], "a whole number from 0"),
    ],
)
def test_an_argument_that_cannot_be_is_refused_with_what_is_wanted(
    config: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*arguments, "--config", str(config)])
    assert ended.value.code == cli.MISUSED
    assert words in capsys.readouterr().err


def test_run_remarks_on_what_doctor_remarks_on(
    tmp_path: Path, mock_pins: None, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody runs the doctor on a machine that seems to work; its log is read when it does not."""
    config = write_config(tmp_path, 1, pulse_ms=5, security="allow_unsigned = true")
    config.chmod(0o644)
    lock = lock_journal(tmp_path / "journal.db")
    try:
        assert cli.main(["run", "--config", str(config)]) == cli.FAILED
    finally:
        os.close(lock)
    for words in (f"chmod 600 {config}", "coin.pulse_ms is 5 ms", "allow_unsigned is true"):
        assert any(words in record.message for record in caplog.records), words


def test_an_edge_log_that_cannot_be_written_is_said_in_words(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["simulate", "--config", str(config), "--edge-log", "/no/such/folder/log"]) == cli.FAILED
    assert "--edge-log: /no/such/folder/log cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["pulse", "watch", "run", "journal", "release", "doctor"])
def test_settings_that_are_a_folder_are_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert cli.main([command, "--config", str(tmp_path)]) != cli.OK
    told = capsys.readouterr()
    assert f"{tmp_path}: " in (told.out + told.err).replace(":\n  ", ": ")
    assert "it is a folder" in told.out + told.err


def test_whoever_reads_only_the_first_lines_gets_no_trace(config: Path) -> None:
    """As with `| head -1`."""
    command = [sys.executable, "-m", "arcade_edge.cli", "doctor", "--config", str(config)]
    environment = {**os.environ, "GPIOZERO_PIN_FACTORY": "mock"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait(60) == cli.FAILED


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("lgpio", ModuleNotFoundError("No module named 'lgpio'"), "apt-get install python3-lgpio"),
        ("lgpio", OSError("no board"), "no /dev/gpiochip"),
        ("nonsense", OSError("Unable to find pin factory 'nonsense'"), "leave GPIOZERO_PIN_FACTORY unset"),
    ],
)
def test_why_there_are_no_pins_is_told_apart(name: str, error: Exception, words: str) -> None:
    if Path("/dev/gpiochip0").exists():
        pytest.skip("this computer has pins")
    assert words in _why_no_pins(name, error)


def test_what_inputs_say_is_told_in_words() -> None:
    said = [
        describe_input(signal)
        for signal in (
            GameOver("serial", 1, "GAME OVER"),
            ReadyChanged(True, 1),
            ReadyChanged(False, 1),
            MeterPulse(1),
            DetectorFault("ready", "ready (GPIO22)", "unplugged", 1),
            DetectorBack("ready", "ready (GPIO22)", 1),
        )
    ]
    assert said == [
        "game over (serial: GAME OVER)",
        "ready: active, the machine takes coins",
        "ready: inactive, the machine takes no coins",
        "meter: one coin",
        "ready (GPIO22) cannot be read: unplugged",
        "ready (GPIO22) can be read again",
    ]


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
