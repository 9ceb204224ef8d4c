"""The agent's settings: what is right, and how every wrong thing is said."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest

from arcade_edge import config as edge_config
from arcade_edge.config import Coin, Input, SerialLine, load, load_coin_line
from arcade_edge.domain.meter import Meter
from arcade_edge.domain.pulses import Profile
from arcade_edge.domain.train import TrainRules
from arcade_edge.errors import BadSettings
from arcade_shared.broker_address import BrokerAddress, is_loopback
from arcade_shared.cabinet import JOURNAL_PATH

KEY = "00112233445566778899aabbccddeeff" * 2
CA = "-----BEGIN CERTIFICATE-----"
SMALL = f"""
machine_id = "cab-01"
[broker]
host = "broker.example"
[coin]
pin = 17
[security]
signing_key = "{KEY}"
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str, *replaced: tuple[str, str]) -> Path:
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "edge.toml"
        path.write_text(text)
        return path

    return written


def test_a_pi_that_has_the_journal_of_before_keeps_it(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bringing the program up to date must not begin a new installation, whatever the settings leave unsaid."""
    former = tmp_path / "journal.db"
    monkeypatch.setattr(edge_config, "FORMER_JOURNAL", former)
    assert load(write(SMALL), {}).journal_path == Path(JOURNAL_PATH)
    former.touch()
    assert load(write(SMALL), {}).journal_path == former
    named = write(SMALL, ("[security]", f'[journal]\npath = "{JOURNAL_PATH}"\n[security]'))
    assert load(named, {}).journal_path == Path(JOURNAL_PATH)


def faults(path: Path) -> tuple[str, ...]:
    with pytest.raises(BadSettings) as bad:
        load(path, {})
    return bad.value.faults


def test_few_lines_suffice_and_the_rest_has_safe_defaults(write: Write) -> None:
    settings = load(write(SMALL), {})
    assert settings.machine_id == "cab-01"
    assert settings.broker == BrokerAddress(host="broker.example", port=8883, tls=True)
    assert settings.coin == Coin(17, "low", Profile())
    assert settings.keys == (bytes.fromhex(KEY),)
    assert settings.journal_path == Path(JOURNAL_PATH)
    assert not settings.allow_unsigned
    assert (settings.game_over_gpio, settings.game_over_serial, settings.ready, settings.meter) == (None,) * 4


def test_everything_that_can_be_said_is_understood(write: Write, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(CA)
    settings = load(
        write(
            f"""
machine_id = "cab-01"
[broker]
host = "10.0.0.1"
port = 1884
tls = true
ca_file = "ca.pem"
username = "cab-01"
password = "hush"
[coin]
pin = "GPIO22"
active = "high"
pulse_ms = 50
gap_ms = 60
pulses_per_credit = 2
max_credits = 7
[game_over.gpio]
pin = "BCM5"
active = "high"
debounce_ms = 5
[game_over.serial]
port = "/dev/ttyUSB0"
baud = 115200
pattern = "GAME OVER"
[ready]
pin = 6
active = "low"
[meter]
pin = 7
[journal]
path = "state/journal.db"
[security]
signing_key = "{KEY}, {KEY[::-1]}"
allow_unsigned = true
"""
        ),
        {},
    )
    assert settings.broker == BrokerAddress(
        host="10.0.0.1",
        port=1884,
        tls=True,
        ca_file=str(tmp_path / "ca.pem"),
        username="cab-01",
        password="hush",
    )
    assert settings.coin == Coin(22, "high", Profile(50, 60, 2, 7))
    assert settings.game_over_gpio == Input(5, "high", 5)
    assert settings.game_over_serial == SerialLine("/dev/ttyUSB0", 115200, "GAME OVER")
    assert (settings.ready, settings.meter) == (Input(6), Input(7))
    assert (settings.ready_wait_s, settings.metering) == (5, Meter())
    assert settings.journal_path == tmp_path / "state/journal.db"
    assert len(settings.keys) == 2
    assert settings.secret_files == (tmp_path / "edge.toml",)
    assert settings.allow_unsigned


def test_what_happens_within_a_train_and_how_inputs_are_read_can_be_set(write: Write) -> None:
    more = """[game_over.gpio]
pin = 5
hold_ms = 1500
[game_over.serial]
port = "/dev/ttyUSB0"
pattern = "OVER"
terminator = "\\u0003"
parity = "even"
bytesize = 7
[ready]
pin = 6
wait_s = 0
[meter]
pin = 7
counts = true
per_credit = 2
settle_ms = 1000
[security]"""
    settings = load(write(SMALL, ("[security]", more)), {})
    assert settings.game_over_gpio == Input(5, hold_ms=1500)
    assert settings.game_over_serial == SerialLine("/dev/ttyUSB0", 9600, "OVER", "\x03", "even", 7)
    assert (settings.ready_wait_s, settings.metering) == (0, Meter(True, 2, 1000))
    assert settings.train == TrainRules(200, 0, 5_000)
    assert settings.max_credits == 50


@pytest.mark.parametrize(
    ("old", "new", "key", "hint"),
    [
        ("[security]", "[ready]\npin = 6\nwait_s = 21\n[security]", "ready.wait_s", "0 to 20"),
        ("[security]", "[ready]\npin = 6\nhold_ms = 5\n[security]", "ready.hold_ms", "unknown"),
        ("[security]", '[meter]\npin = 6\ncounts = "yes"\n[security]', "meter.counts", "true or false"),
        ("[security]", "[meter]\npin = 6\nper_credit = 0\n[security]", "meter.per_credit", "1 to 100"),
        ("[security]", "[meter]\npin = 6\nsettle_ms = 5\n[security]", "meter.settle_ms", "50 to 5000"),
        ("[security]", "[game_over.gpio]\npin = 6\nhold_ms = -1\n[security]", "game_over.gpio.hold_ms", "0 to"),
        (
            "[security]",
            '[game_over.serial]\nport = "/dev/x"\npattern = "O"\nparity = "mark"\n[security]',
            "game_over.serial.parity",
            "none, even, odd",
        ),
        (
            "[security]",
            '[game_over.serial]\nport = "/dev/x"\npattern = "O"\nbytesize = 9\n[security]',
            "game_over.serial.bytesize",
            "7 to 8",
        ),
        (
            "[security]",
            '[game_over.serial]\nport = "/dev/x"\npattern = "O"\nterminator = ""\n[security]',
            "game_over.serial.terminator",
            "1 to 8 bytes",
        ),
        ('machine_id = "cab-01"', "", "machine_id", "missing"),
        ('"cab-01"', '"cab/01"', "machine_id", "letters"),
        ('"cab-01"', "17", "machine_id", "quotes"),
        ('host = "broker.example"', "", "broker.host", "missing"),
        ('"broker.example"', '"mqtt://broker.example"', "broker.host", "without mqtt://"),
        ("[coin]", "port = 70000\n[coin]", "broker.port", "1 to 65535"),
        ("[coin]", 'port = "8883"\n[coin]', "broker.port", "whole number"),
        ("[coin]", "port = true\n[coin]", "broker.port", "whole number"),
        ("[coin]", 'tls = "no"\n[coin]', "broker.tls", "true or false"),
        ("[coin]", "tls = false\n[coin]", "broker.tls", "allow_plaintext"),
        ("[coin]", 'ca_file = "nowhere.pem"\n[coin]', "broker.ca_file", "no such file"),
        ("[coin]", 'password = "x"\n[coin]', "broker.username", "missing"),
        (
            "[coin]",
            'pasword = "x"\n[coin]',
            "broker.pasword",
            "unknown, did you mean password? These are known: allow_plaintext, ca_file",
        ),
        ("pin = 17", "", "coin.pin", "missing"),
        ("pin = 17", 'pin = "header 11"', "coin.pin", "GPIO17"),
        ("pin = 17", "pin = 99", "coin.pin", "0 to 53"),
        ("pin = 17", "pin = 17\nactive = 0", "coin.active", '"low" or "high"'),
        ("pin = 17", "pin = 17\npulse_ms = 1", "coin.pulse_ms", "5 to 5000"),
        ("pin = 17", "pin = 17\nmax_credits = 0", "coin.max_credits", "1 to 1000"),
        ("pin = 17", 'pin = 17\ngap_ms = "100"', "coin.gap_ms", "whole number"),
        ("pin = 17", "pin = 17\n[ready]\npin = 17", "coin.pin", "already taken by ready"),
        ("pin = 17", "pin = 17\n[ready]", "ready.pin", "missing"),
        ("pin = 17", "pin = 17\n[meter]\npin = 4\nactiv = 'low'", "meter.activ", "unknown"),
        ("pin = 17", "pin = 17\n[game_over]\npin = 4", "game_over.pin", "unknown; these are known: gpio, serial"),
        ("pin = 17", "pin = 17\n[game_over.serial]\nport = 'x'", "game_over.serial.pattern", "missing"),
        (
            "pin = 17",
            "pin = 17\n[game_over.serial]\nport = ''\npattern = 'x'",
            "game_over.serial.port",
            "/dev/serial/by-id/",
        ),
        (
            "pin = 17",
            "pin = 17\n[game_over.serial]\nport = 'x'\npattern = '('",
            "game_over.serial.pattern",
            "regular expression",
        ),
        ("[coin]", "[extra]\n[coin]", "extra", "unknown"),
        (f'signing_key = "{KEY}"', "", "security.signing_key", "64 hexadecimal"),
        (KEY, KEY[:-1], "security.signing_key", "64 hexadecimal"),
        (KEY, f"{KEY},", "security.signing_key", "64 hexadecimal"),
        (KEY, ",".join([KEY] * 5), "security.signing_key", "up to 4"),
        (f'"{KEY}"', f'"{KEY}"\nsigning_key_file = "k"', "security.signing_key_file", "either"),
        (f'signing_key = "{KEY}"', 'signing_key_file = "k"', "security.signing_key_file", "cannot be read"),
        ("[broker]", "[[broker]]", "broker", "section"),
        ("[coin]", "[[coin]]", "coin", "section"),
    ],
)
def test_what_is_wrong_is_said_by_its_key_with_what_to_do(
    write: Write, old: str, new: str, key: str, hint: str
) -> None:
    found = faults(write(SMALL, (old, new)))
    assert len(found) == 1, found
    assert found[0].startswith(f"{key}: ")
    assert hint in found[0]


def test_every_fault_is_said_at_once(write: Write) -> None:
    found = faults(write("machine_id = 1\ncolour = 2\n[broker]\nport = 0\n[coin]\npulse_ms = 0\ngap_ms = 0\n"))
    keys = sorted(fault.partition(":")[0] for fault in found)
    assert keys == [
        "broker.host",
        "broker.port",
        "coin.gap_ms",
        "coin.pin",
        "coin.pulse_ms",
        "colour",
        "machine_id",
        "security",
    ]


MARKS = {"utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}


@pytest.mark.parametrize("encoding", MARKS)
def test_what_notepad_has_saved_is_read(write: Write, tmp_path: Path, encoding: str) -> None:
    """With a mark at the beginning, and lines that end as on Windows; the files of secrets too."""
    text = SMALL.replace(f'signing_key = "{KEY}"', 'signing_key_file = "key"').replace("\n", "\r\n")
    path = write("")
    path.write_bytes(MARKS[encoding] + text.encode(encoding))
    (tmp_path / "key").write_bytes(MARKS[encoding] + f"{KEY}\r\n".encode(encoding))
    assert load(path, {}).keys == (bytes.fromhex(KEY),)
    path.write_bytes(MARKS[encoding] + (text + "broken = = 1").encode(encoding))
    assert load_coin_line(path) == (17, "low")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (SMALL.encode("utf-16-le"), "cannot be read as TOML"),
        ("name = 'Sp\xe4te'".encode("latin-1"), "save it as UTF-8"),
        ("[broker]\nhost = \u201cbroker\u201d".encode(), 'write "…"'),
        (b"#" * 100_000, "longer than"),
    ],
)
def test_what_an_editor_has_spoilt_is_said(write: Write, content: bytes, words: str) -> None:
    path = write("")
    path.write_bytes(content)
    (fault,) = faults(path)
    assert words in fault


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "PEM"), ("0\x82", "openssl x509 -inform der"), (None, "it is a folder")],
)
def test_a_file_that_holds_no_authority_is_refused(
    write: Write, tmp_path: Path, content: str | None, words: str
) -> None:
    if content is None:
        (tmp_path / "ca.pem").mkdir()
    else:
        (tmp_path / "ca.pem").write_bytes(content.encode("latin-1"))
    (fault,) = faults(write(SMALL, ("[coin]", 'ca_file = "ca.pem"\n[coin]')))
    assert fault.startswith("broker.ca_file: ")
    assert words in fault


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("pin = 17", "pin = 17\npulse_ms = 5", "coin.pulse_ms is 5 ms"),
        ("pin = 17", "pin = 17\npulse_ms = 19", "less than 20"),
        ("pin = 17", "pin = 17\ngap_ms = 5000", "coin.gap_ms is 5000 ms"),
        ("pin = 17", "pin = 17\npulse_ms = 1001", "more than 1000"),
        ("[coin]", "port = 1883\n[coin]", "without TLS"),
        ("[coin]", "tls = false\nallow_plaintext = true\n[coin]", "broker.tls is false"),
        ("[security]", "[security]\nallow_unsigned = true", "workbench"),
    ],
)
def test_what_works_but_is_odd_is_remarked_on(write: Write, old: str, new: str, words: str) -> None:
    path = write(SMALL)
    path.chmod(0o600)
    assert edge_config.remarks(load(path, {})) == []
    path.write_text(SMALL.replace(old, new))
    (remark,) = edge_config.remarks(load(path, {}))
    assert words in remark


@pytest.mark.parametrize("pulse_ms", [20, 50, 500, 1000])
def test_what_boards_are_known_to_take_is_no_remark(write: Write, pulse_ms: int) -> None:
    path = write(SMALL, ("pin = 17", f"pin = 17\npulse_ms = {pulse_ms}\ngap_ms = {pulse_ms}"))
    path.chmod(0o600)
    assert edge_config.remarks(load(path, {})) == []


def test_every_file_with_a_secret_that_others_can_read_is_remarked_on(write: Write, tmp_path: Path) -> None:
    key, word = tmp_path / "key", tmp_path / "word"
    key.write_text(KEY)
    word.write_text("hush")
    path = write(
        SMALL,
        (f'signing_key = "{KEY}"', 'signing_key_file = "key"'),
        ("[coin]", 'username = "u"\npassword_file = "word"\n[coin]'),
    )
    for file in (path, key, word):
        file.chmod(0o600)
    assert edge_config.remarks(load(path, {})) == []
    for file in (path, key, word):
        file.chmod(0o644)
        (remark,) = edge_config.remarks(load(path, {}))
        assert f"chmod 600 {file}" in remark
        file.chmod(0o600)


@pytest.mark.parametrize("text", ["machine_id = ", "\xff", "a = 1\na = 2", "[" * 10_000])
def test_a_file_that_is_no_toml_is_said_to_be_so(write: Write, text: str) -> None:
    assert "cannot be read" in faults(write(text))[0]


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    assert "--config" in faults(tmp_path / "edge.toml")[0]


def test_secrets_may_stand_in_files_and_in_credentials(write: Write, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "word").write_text("from a file\n")
    no_key = (f'signing_key = "{KEY}"', "")
    with_files = (
        (f'signing_key = "{KEY}"', 'signing_key_file = "key"'),
        ("[coin]", 'username = "u"\npassword_file = "word"\n[coin]'),
    )
    settings = load(write(SMALL, *with_files), {})
    assert (settings.keys, settings.broker.password) == ((bytes.fromhex(KEY),), "from a file")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "signing_key").write_text(KEY)
    (credentials / "mqtt_password").write_text("from systemd")
    settings = load(
        write(SMALL, no_key, ("[coin]", 'username = "u"\n[coin]')), {"CREDENTIALS_DIRECTORY": str(credentials)}
    )
    assert (settings.keys, settings.broker.password) == ((bytes.fromhex(KEY),), "from systemd")


def test_no_secret_is_shown_when_settings_are_printed(write: Write) -> None:
    settings = load(write(SMALL, ("[coin]", 'username = "u"\npassword = "hush"\n[coin]')), {})
    assert "hush" not in repr(settings)
    assert repr(bytes.fromhex(KEY)) not in repr(settings)
    assert "hush" not in str(faults(write(SMALL, ("[coin]", 'password = "hush"\n[coin]'))))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_without_tls_only_on_this_computer(write: Write, host: str) -> None:
    assert is_loopback(host)
    path = write(SMALL, ('"broker.example"', f'"{host}"\ntls = false'))
    assert load(path, {}).broker.tls is False


def test_whoever_insists_may_do_without_tls(write: Write) -> None:
    path = write(SMALL, ("[coin]", "tls = false\nallow_plaintext = true\n[coin]"))
    assert load(path, {}).broker.tls is False
    assert not is_loopback("broker.example")
    assert not is_loopback("127.0.0.1.example")


@pytest.mark.parametrize(
    "text",
    [
        "[coin]\npin = 22\nactive = 'high'",
        "machine_id = 1\n[broker]\nport = 0\n[coin]\npin = 22\nactive = 'high'\nunknown = 1",
        'machine_id = \n[coin]\npin = 22\nactive = "high"\n[security]\npin = 5',
        '[coin]\npin = "GPIO22"  # the coin line\nactive = "high"\npulse_ms = = 100',
    ],
)
def test_the_coin_line_is_found_whatever_else_is_wrong(write: Write, text: str) -> None:
    """Forcing the line inactive must work even with a typo in the config."""
    assert load_coin_line(write(text)) == (22, "high")


@pytest.mark.parametrize("text", ["", "[coin]", "[coin]\npin = 99", "coin = 3", "[ready]\npin = 5\n["])
def test_without_a_pin_the_coin_line_is_asked_for(write: Write, text: str) -> None:
    with pytest.raises(BadSettings, match="pin"):
        load_coin_line(write(text))
