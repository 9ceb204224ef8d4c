"""The agent's settings: TOML, `/etc/arcade/edge.toml` by default. Every fault is reported at once, by its key.

A path in the file that is not absolute counts from the file's own folder. Secrets stand in the file, in a file
that it names, or in a systemd credential (`mqtt_password`, `signing_key`), in this order. By hand, as root, the
credentials are read where systemd would take them from.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from arcade_edge.domain.game_over import compile_pattern
from arcade_edge.domain.meter import Meter
from arcade_edge.domain.pulses import Active, Profile, unusual
from arcade_edge.domain.train import TrainRules, sellable_credits
from arcade_edge.errors import BadProfile, BadSettings
from arcade_shared.broker_address import TLS_PORT, BrokerAddress, is_loopback
from arcade_shared.cabinet import JOURNAL_PATH
from arcade_shared.errors import BadTopic
from arcade_shared.text_files import is_open_to_others, read_lines, read_text, why_unreadable
from arcade_shared.topics import check_machine_id

DEFAULT_PATH = Path("/etc/arcade/edge.toml")
# Where the unit's LoadCredential= finds what it then calls `mqtt_password` and `signing_key`.
CREDENTIAL_STORE = Path("/etc/credstore")
STORED_AS = "arcade-edge."
CREDENTIALS = ("mqtt_password", "signing_key")
# What JOURNAL_PATH was where the settings said nothing. A Pi that has a journal there keeps it: another one would
# begin a new installation that remembers nothing.
FORMER_JOURNAL = Path("/var/lib/arcade/journal.db")
# A file of all the authorities that a system trusts has some 220 kB.
MAX_AUTHORITIES_BYTES = 4 << 20
PLAINTEXT_PORT = 1883
TYPOGRAPHIC = "\u201c\u201d\u201e\u2018\u2019"
# GPIO0 to GPIO27 are on the header of every Raspberry Pi; compute modules have up to 46 more.
MAX_PIN = 53
# Enough to rotate with, and each unsigned message costs one HMAC for each.
MAX_KEYS = 4

MAX_TERMINATOR_BYTES = 8

Parity = Literal["none", "even", "odd"]
PARITIES: dict[str, Parity] = {"none": "none", "even": "even", "odd": "odd"}

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Coin:
    """The coin line."""

    pin: int
    active: Active
    profile: Profile


@dataclass(frozen=True, slots=True)
class Input:
    """One GPIO input. `hold_ms`: how long a debounced level must last before it counts (game over)."""

    pin: int
    active: Active = "low"
    debounce_ms: int = 20
    hold_ms: int = 0


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A serial line, and the regular expression that is game over on it. `terminator`: "" for line ends."""

    port: str
    baud: int
    pattern: str
    terminator: str = ""
    parity: Parity = "none"
    bytesize: int = 8


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the agent is told.

    Attributes:
        keys: The first signs, all of them are accepted.
        secret_files: What was read for it and is nobody else's business.
    """

    machine_id: str
    broker: BrokerAddress
    coin: Coin
    journal_path: Path
    keys: tuple[bytes, ...] = field(repr=False)
    allow_unsigned: bool = False
    game_over_gpio: Input | None = None
    game_over_serial: SerialLine | None = None
    ready: Input | None = None
    meter: Input | None = None
    secret_files: tuple[Path, ...] = ()
    ready_wait_s: int = 5
    metering: Meter = Meter()  # noqa: RUF009  # frozen

    @property
    def train(self) -> TrainRules:
        """What this cabinet's trains may take."""
        return TrainRules(
            self.coin.profile.credit_ms,
            0 if self.ready is None else 1000 * self.ready_wait_s,
            0 if self.meter is None else self.metering.settles_within_ms,
        )

    @property
    def max_credits(self) -> int:
        """The most credits that one command may carry."""
        return sellable_credits(self.coin.profile, self.train)


def load(path: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the file.

    Raises:
        BadSettings: With every fault there is.
    """
    root = _Table("", _parsed(path))
    folder = path.absolute().parent
    credentials = {file.name.removeprefix(STORED_AS): file for file in credential_files(environ)}
    machine_id = root.text(
        "machine_id", "", check=_machine_id, needed="the machine's id, as `arcade-cloud machine list` shows it"
    )
    broker = _broker(root.table("broker", needed=True), folder, credentials)
    coin = _coin(root.table("coin", needed=True))
    game_over = root.table("game_over")
    gpio = _game_over(game_over.table("gpio"))
    serial = _serial(game_over.table("serial"))
    ready, ready_wait_s = _ready(root.table("ready"))
    meter, metering = _meter(root.table("meter"))
    journal = root.table("journal")
    journal_path = folder / (journal.text("path", "") or _unnamed_journal())
    security = root.table("security", needed=True)
    keys = _keys(security, folder, credentials)
    allow_unsigned = security.boolean("allow_unsigned", False)
    for table in (journal, security, game_over, root):
        table.end()
    pins = {"game_over.gpio": gpio, "ready": ready, "meter": meter, "coin": coin}
    _check_pins({key: wired.pin for key, wired in pins.items() if wired is not None}, root.faults)
    if root.faults:
        raise BadSettings(str(path), root.faults)
    named = (root.content["broker"].get("password_file"), root.content["security"].get("signing_key_file"))
    secret_files = (path, *(folder / name for name in named if name), *credentials.values())
    return Settings(
        machine_id,
        broker,
        coin,
        journal_path,
        keys,
        allow_unsigned,
        gpio,
        serial,
        ready,
        meter,
        secret_files,
        ready_wait_s,
        metering,
    )


def remarks(settings: Settings) -> list[str]:
    """What works but is hardly meant for paying players: one sentence each, for `run` and `doctor`."""
    found = [
        f"other users of this computer can read {path}, which is for its owner alone: chmod 600 {path}"
        for path in settings.secret_files
        if is_open_to_others(path)
    ]
    broker = settings.broker
    if broker.tls and broker.port == PLAINTEXT_PORT:
        found.append(f"broker.port is {PLAINTEXT_PORT}, the usual one without TLS, but broker.tls is true")
    if not broker.tls and broker.port == TLS_PORT:
        found.append(f"broker.port is {TLS_PORT}, the usual one for TLS, but broker.tls is false")
    found += [f"coin.{sentence}" for sentence in unusual(settings.coin.profile)]
    if settings.allow_unsigned:
        found.append(
            "security.allow_unsigned is true: anyone on the broker can pulse the coin line; for a workbench only"
        )
    return found


def _unnamed_journal() -> Path:
    """Where the journal is if the settings do not say."""
    return FORMER_JOURNAL if os.path.exists(FORMER_JOURNAL) else Path(JOURNAL_PATH)


def credential_files(environ: Mapping[str, str] = os.environ) -> list[Path]:
    """The credentials that are there for this process: given by systemd, else those that it would give."""
    folder = environ.get("CREDENTIALS_DIRECTORY")
    files = [Path(folder) / name if folder else CREDENTIAL_STORE / f"{STORED_AS}{name}" for name in CREDENTIALS]
    return [file for file in files if os.access(file, os.R_OK) and file.is_file()]


def load_coin_line(path: Path) -> tuple[int, Active]:
    """Pin and active level of the coin line alone, whatever is wrong elsewhere in the file.

    A file that is not valid TOML is read line by line: forcing the line inactive must not wait for a typo to
    be found.

    Raises:
        BadSettings: The pin cannot be found.
    """
    try:
        coin = _parsed(path).get("coin")
    except BadSettings:
        coin = _coin_lines(path)
    table = _Table("coin", coin if isinstance(coin, dict) else {})
    pin, active = _pin(table), _active(table)
    if table.faults:
        raise BadSettings(str(path), table.faults)
    return pin, active


class _Table:
    """One table of the file, which notes what is wrong in it, and which keys were asked for."""

    def __init__(
        self, name: str, content: dict[str, Any], faults: list[str] | None = None, *, present: bool = True
    ) -> None:
        self.name = name
        self.content = content
        self.present = present
        self.faults = [] if faults is None else faults
        self._asked: set[str] = set()

    def key(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def fault(self, key: str, text: str) -> None:
        self.faults.append(f"{self.key(key)}: {text}")

    def table(self, key: str, *, needed: bool = False) -> _Table:
        """The table `key`; an empty one where there is none."""
        self._asked.add(key)
        content = self.content.get(key)
        if content is None:
            if needed:
                self.fault(key, f"missing; add a section [{self.key(key)}]")
            return _Table(self.key(key), {}, [] if needed else self.faults, present=False)
        if not isinstance(content, dict):
            self.fault(key, f"write it as a section [{self.key(key)}]")
            return _Table(self.key(key), {}, [], present=False)
        return _Table(self.key(key), content, self.faults)

    def text(
        self, key: str, default: str, *, check: Callable[[str], object] | None = None, needed: str = ""
    ) -> str:
        """A text; `check` raises ValueError for one that cannot be, `needed` says what is missing without it."""
        value = self._value(key, default, needed)
        if not isinstance(value, str):
            self.fault(key, f'a text in quotes is needed, such as {key} = "…", not {value!r}')
            return default
        try:
            if check is not None and (key in self.content):
                check(value)
        except ValueError as error:
            self.fault(key, str(error))
            return default
        return value

    def number(self, key: str, default: int, low: int, high: int, *, needed: str = "") -> int:
        """A whole number from `low` to `high`."""
        value = self._value(key, default, needed)
        if type(value) is not int:
            self.fault(key, f"a whole number is needed, not {value!r}")
        elif key in self.content and not low <= value <= high:
            self.fault(key, f"{value} is out of bounds, it must be {low} to {high}")
        else:
            return value
        return default

    def boolean(self, key: str, default: bool) -> bool:
        """true or false."""
        value = self._value(key, default, "")
        if not isinstance(value, bool):
            self.fault(key, f"true or false is needed, not {value!r}")
            return default
        return value

    def secret(self, key: str, folder: Path, credential: Path | None) -> str | None:
        """A secret: in the file, in the file that `<key>_file` names, or in systemd's credential."""
        beside = f"{key}_file"
        named, path = self.text(key, ""), self.text(beside, "")
        if named and path:
            self.fault(beside, f"give either {key} or {beside}")
        if named:
            return named
        source = folder / path if path else credential
        if source is None:
            return None
        try:
            return read_text(source).strip()
        except (OSError, ValueError) as error:
            self.fault(beside if path else key, f"{source} cannot be read: {why_unreadable(error)}")
            return None

    def end(self) -> None:
        """Every key was asked for by now: others are faults, for a misspelt one would silently do nothing."""
        for key in self.content:
            if key not in self._asked:
                near = difflib.get_close_matches(key, sorted(self._asked), n=1)
                unknown = f"unknown, did you mean {near[0]}? These" if near else "unknown; these"
                self.fault(key, f"{unknown} are known: {', '.join(sorted(self._asked))}")

    def _value(self, key: str, default: Any, needed: str) -> Any:
        self._asked.add(key)
        value = self.content.get(key)
        if value is None:
            if needed:
                self.fault(key, f"missing: {needed}")
            return default
        return value


def _broker(table: _Table, folder: Path, credentials: Mapping[str, Path]) -> BrokerAddress:
    host = table.text("host", "", check=_host, needed="the broker's name or address")
    port = table.number("port", TLS_PORT, 1, 65535)
    tls = table.boolean("tls", True)
    allow_plaintext = table.boolean("allow_plaintext", False)
    ca_file = table.text("ca_file", "")
    username = table.text("username", "")
    password = table.secret("password", folder, credentials.get("mqtt_password"))
    if host and not tls and not allow_plaintext and not is_loopback(host):
        table.fault(
            "tls",
            f"without TLS anyone between here and {host} can read the password; false is only for a broker on "
            "this computer (or set allow_plaintext = true as well)",
        )
    if ca_file:
        _check_authority(table, folder / ca_file)
    if password is not None and not username:
        table.fault("username", "missing: a password needs one")
    table.end()
    return BrokerAddress(
        host=host,
        port=port,
        tls=tls,
        ca_file=str(folder / ca_file) if ca_file else None,
        username=username or None,
        password=password,
    )


def _check_authority(table: _Table, path: Path) -> None:
    try:
        with path.open("rb") as file:
            begin = file.read(MAX_AUTHORITIES_BYTES)
    except (OSError, ValueError) as error:
        table.fault("ca_file", f"{path} cannot be read: {why_unreadable(error)}")
        return
    if b"-----BEGIN CERTIFICATE-----" in begin:
        return
    hint = "; it seems to be DER: openssl x509 -inform der -in FILE -out ca.pem" if begin[:1] == b"\x30" else ""
    table.fault(
        "ca_file", f"{path} holds no certificate in PEM form, with a line -----BEGIN CERTIFICATE-----{hint}"
    )


def _coin(table: _Table) -> Coin:
    pin, active = _pin(table), _active(table)
    defaults = Profile()
    given = {
        key: table._value(key, getattr(defaults, key), "")
        for key in ("pulse_ms", "gap_ms", "pulses_per_credit", "max_credits")
    }
    profile = defaults
    try:
        profile = Profile(**given)
    except BadProfile as bad:
        for fault in bad.faults:
            table.faults.append(f"{table.name}.{fault}")
    table.end()
    return Coin(pin, active, profile)


def _input(table: _Table) -> Input | None:
    """The input in `table`; its own keys are still to be asked for, and its end to be told."""
    if not table.present:
        return None
    return Input(_pin(table), _active(table), table.number("debounce_ms", 20, 0, 5_000))


def _game_over(table: _Table) -> Input | None:
    wired = _input(table)
    if wired is not None:
        wired = replace(wired, hold_ms=table.number("hold_ms", 0, 0, 60_000))
        table.end()
    return wired


def _ready(table: _Table) -> tuple[Input | None, int]:
    wired = _input(table)
    wait_s = table.number("wait_s", 5, 0, 20)
    table.end()
    return wired, wait_s


def _meter(table: _Table) -> tuple[Input | None, Meter]:
    wired = _input(table)
    meter = Meter(
        counts=table.boolean("counts", False),
        per_credit=table.number("per_credit", 1, 1, 100),
        settle_ms=table.number("settle_ms", 300, 50, 5_000),
    )
    table.end()
    return wired, meter


def _serial(table: _Table) -> SerialLine | None:
    if not table.present:
        return None
    port = table.text("port", "", check=_port, needed="a path such as /dev/serial/by-id/…")
    baud = table.number("baud", 9600, 50, 4_000_000)
    pattern = table.text("pattern", "", check=_pattern, needed="the text that the machine sends, or a pattern")
    terminator = table.text("terminator", "", check=_terminator)
    parity = table.text("parity", "none", check=_parity)
    bytesize = table.number("bytesize", 8, 7, 8)
    table.end()
    return SerialLine(port, baud, pattern, terminator, PARITIES[parity], bytesize)


def _pin(table: _Table) -> int:
    value = table._value("pin", None, "the GPIO number, such as pin = 17 (not the number on the header)")
    if value is None:
        return -1
    named = re.fullmatch(r"(?:GPIO|BCM)?([0-9]{1,2})", value) if isinstance(value, str) else None
    number = int(named[1]) if named else value
    if type(number) is not int or not 0 <= number <= MAX_PIN:
        table.fault("pin", f'{value!r} is not a GPIO; write pin = 17 or pin = "GPIO17", from 0 to {MAX_PIN}')
        return -1
    return number


def _active(table: _Table) -> Active:
    value = table._value("active", "low", "")
    if value not in ("low", "high"):
        table.fault("active", f'"low" or "high" is needed, not {value!r}')
        return "low"
    return "low" if value == "low" else "high"


def _keys(table: _Table, folder: Path, credentials: Mapping[str, Path]) -> tuple[bytes, ...]:
    before = len(table.faults)
    text = table.secret("signing_key", folder, credentials.get("signing_key"))
    if text is None:
        if len(table.faults) == before:
            table.fault(
                "signing_key",
                "missing: the machine's key, 64 hexadecimal digits (or signing_key_file, or a credential; by "
                "hand only root can read it)",
            )
        return ()
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > MAX_KEYS or not all(re.fullmatch(r"[0-9a-fA-F]{64}", part) for part in parts):
        table.fault(
            "signing_key",
            f"64 hexadecimal digits are needed, or up to {MAX_KEYS} such keys with commas between them",
        )
        return ()
    return tuple(bytes.fromhex(part) for part in parts)


def _check_pins(pins: dict[str, int], faults: list[str]) -> None:
    """Every wire has a pin of its own."""
    taken: dict[int, str] = {}
    for key, pin in pins.items():
        if pin >= 0 and pin in taken:
            faults.append(f"{key}.pin: GPIO{pin} is already taken by {taken[pin]}")
        taken.setdefault(pin, key)


def _machine_id(text: str) -> None:
    try:
        check_machine_id(text)
    except BadTopic as error:
        raise ValueError(f"{text!r} is not a machine id: {error}") from None


def _host(text: str) -> None:
    if not text or any(c.isspace() or c in "/@" for c in text):
        raise ValueError(f"{text!r} is not a host; write a name or an address, without mqtt:// or a port")


def _port(text: str) -> None:
    if not text:
        raise ValueError("it is empty; write a path such as /dev/serial/by-id/…")


def _terminator(text: str) -> None:
    if not text or len(text.encode()) > MAX_TERMINATOR_BYTES:
        raise ValueError(
            f'1 to {MAX_TERMINATOR_BYTES} bytes are needed, such as "\\u0003" or ";"; leave it out where '
            "lines end with \\r or \\n"
        )


def _parity(text: str) -> None:
    if text not in PARITIES:
        raise ValueError(f"{', '.join(PARITIES)} is needed, not {text!r}")


def _pattern(text: str) -> None:
    try:
        compile_pattern(text)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("pattern: ")) from None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except FileNotFoundError:
        raise BadSettings(str(path), ["there is no such file; name it with --config FILE"]) from None
    except tomllib.TOMLDecodeError as error:
        hint = f'; {TYPOGRAPHIC} are no quotes here: write "…"' if _has_typographic_quotes(path) else ""
        raise BadSettings(str(path), [f"it cannot be read as TOML: {error}{hint}"]) from None
    except (OSError, ValueError) as error:
        raise BadSettings(str(path), [f"it cannot be read: {why_unreadable(error)}"]) from None
    except RecursionError:
        raise BadSettings(str(path), ["it cannot be read as TOML: it is nested too deeply"]) from None


def _has_typographic_quotes(path: Path) -> bool:
    """Whether a word processor has been at it."""
    return any(set(line.partition("#")[0]) & set(TYPOGRAPHIC) for line in read_lines(path))


def _coin_lines(path: Path) -> dict[str, Any]:
    """What the lines after [coin] say about pin and active, in a file that is not valid TOML."""
    try:
        lines = read_lines(path)
    except OSError as error:
        raise BadSettings(str(path), [f"it cannot be read: {why_unreadable(error)}"]) from None
    found: dict[str, Any] = {}
    within = False
    for line in lines:
        if section := re.match(r"\s*\[\s*([^\]]*?)\s*\]", line):
            within = section[1] == "coin"
        elif within and (entry := re.match(r"\s*(pin|active)\s*=\s*\"?(\w+)", line)):
            found.setdefault(entry[1], entry[2])
    return found
