"""Launches a real Mosquitto as a child process on free loopback ports, for the demo and the tests.

Every user has a password and an access list of its own. They are checked by Mosquitto's dynamic-security plugin,
which
also answers a forbidden subscription with 0x87 instead of pretending to grant it:

    users = [User("cloud", "secret", role="cloud"), User("cab-01", "other secret", role="machine")]
    with Broker(folder, users=users) as broker:
        connect("127.0.0.1", broker.port)  # plaintext
        connect("localhost", broker.tls_port, ca_file=broker.ca_file)  # TLS

Sessions and queues are saved when the broker stops in order, so they survive `restart`. Messages that were
acknowledged shortly before `kill` may be lost, as with any broker that does not sync every write.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

from arcade_sandbox.broker.access import User, dynamic_security
from arcade_sandbox.errors import BrokerNotInstalled, BrokerNotStarted
from arcade_sandbox.processes import free_port, launch

__all__ = ["Broker", "Mosquitto", "User", "find_mosquitto"]

_LOOPBACK = "127.0.0.1"
_START_ATTEMPTS = 5
_START_WITHIN_S = 10.0
_STOP_WITHIN_S = 10.0
_LOG_TAIL_CHARS = 2_000
_CONNACK = b"\x20"

_PLUGIN_NAMES = ("mosquitto_dynamic_security.so", "mosquitto_dynamic_security.dylib")
_USUAL_PLACES = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/usr/bin")
_UNPACKED = Path(__file__).resolve().parents[3] / ".setup" / "unpacked"  # where `make setup` unpacks it
_HOW_TO_INSTALL = (
    "Install it: `apt-get install mosquitto` on Debian and Raspberry Pi OS (`make setup` does it there), "
    "`brew install mosquitto` on a Mac."
)


@dataclass(frozen=True)
class Mosquitto:
    """A Mosquitto with its plugin.

    Attributes:
        libraries: The folders that it needs in addition to the system's.
    """

    binary: Path
    plugin: Path
    libraries: tuple[Path, ...] = ()


def _usual_binaries() -> Iterator[Path]:
    on_path = shutil.which("mosquitto")
    if on_path:
        yield Path(on_path)
    for place in _USUAL_PLACES:
        yield Path(place) / "mosquitto"
    yield _UNPACKED / "usr" / "sbin" / "mosquitto"


def _plugin_of(binary: Path) -> Path | None:
    prefix = binary.resolve().parent.parent
    for name in _PLUGIN_NAMES:
        for pattern in (f"lib/{name}", f"lib/*/{name}", f"lib64/{name}"):
            for found in sorted(prefix.glob(pattern)):
                return found
    return None


def find_mosquitto(binaries: Iterable[Path] | None = None) -> Mosquitto:
    """The first of `binaries`, or of the usual places, that has its plugin.

    Raises:
        BrokerNotInstalled: There is no Mosquitto, or none that has its plugin.
    """
    without_plugin: list[str] = []
    for binary in _usual_binaries() if binaries is None else binaries:
        if not os.access(binary, os.X_OK):
            continue
        plugin = _plugin_of(binary)
        if plugin is None:
            without_plugin.append(str(binary))
            continue
        own_libraries = sorted({path.parent for path in _UNPACKED.glob("**/lib*.so*")})
        return Mosquitto(binary, plugin, tuple(own_libraries) if binary.is_relative_to(_UNPACKED) else ())
    if without_plugin:
        raise BrokerNotInstalled(
            f"{', '.join(without_plugin)} lacks {_PLUGIN_NAMES[0]}, which checks users and their access. "
            f"{_HOW_TO_INSTALL}"
        )
    raise BrokerNotInstalled(f"No Mosquitto found. {_HOW_TO_INSTALL}")


def _login(user: User) -> bytes:
    """An MQTT 5 CONNECT packet with a clean start (MQTT 5, section 3.1)."""

    def text(value: str) -> bytes:
        encoded = value.encode()
        return len(encoded).to_bytes(2, "big") + encoded

    body = text("MQTT") + b"\x05\xc2\x00\x0a\x00" + text("") + text(user.name) + text(user.password)
    return b"\x10" + bytes([len(body)]) + body


class Broker:
    """A Mosquitto with its files in `folder`, which is created if necessary.

    `users` is read at every start. Ports that are not given are chosen at the first start and then kept, and so
    are the certificates. Start it from a thread that lives as long as the broker must: Linux ends the child with
    the thread that started it.
    """

    def __init__(
        self, folder: Path, *, users: Sequence[User], port: int | None = None, tls_port: int | None = None
    ) -> None:
        self.folder = folder.absolute()
        self.users = list(users)
        self.log_file = self.folder / "mosquitto.log"
        self.ca_file = self.folder / "ca.pem"
        self._wanted_ports = (port, tls_port)
        self._ports: tuple[int, int] | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """The plaintext port on 127.0.0.1.

        Raises:
            BrokerNotStarted: It has never been started.
        """
        return self._chosen_ports()[0]

    @property
    def tls_port(self) -> int:
        """The TLS port. The certificate is for localhost and 127.0.0.1.

        Raises:
            BrokerNotStarted: It has never been started.
        """
        return self._chosen_ports()[1]

    @property
    def pid(self) -> int:
        """The process id.

        Raises:
            BrokerNotStarted: It is not running.
        """
        if self._child is None:
            raise BrokerNotStarted("the broker is not running: call start() first")
        return self._child.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and return once both listeners answer.

        Raises:
            BrokerNotInstalled: There is no Mosquitto, or none that has its plugin.
            BrokerNotStarted: It is running already, or it did not answer.
        """
        if self._child is not None:
            raise BrokerNotStarted("the broker is running already")
        mosquitto = find_mosquitto()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write_certificates()
        for attempt in range(1, _START_ATTEMPTS + 1):
            # If another process takes a port before Mosquitto binds it, that costs one more attempt.
            ports = self._ports or (
                self._wanted_ports[0] or free_port(),
                self._wanted_ports[1] or free_port(),
            )
            starter = User(f"starter-{secrets.token_hex(4)}", secrets.token_urlsafe(), role="none")
            self._write_settings(mosquitto, ports, [*self.users, starter])
            log_start = self.log_file.stat().st_size if self.log_file.exists() else 0
            self._child = self._launch(mosquitto)
            if self._answers_in_time(ports[0], starter):
                self._ports = ports
                return
            self.kill()
            log = self.log_file.read_text(errors="replace")[log_start:]
            fixed = self._ports is not None or None not in self._wanted_ports
            if fixed or "Address already in use" not in log or attempt == _START_ATTEMPTS:
                raise BrokerNotStarted(
                    f"Mosquitto on ports {ports[0]} and {ports[1]} does not answer. "
                    f"Its log ({self.log_file}) ends:\n{log[-_LOG_TAIL_CHARS:]}"
                )

    def stop(self) -> None:
        """Stop it in order, so that it saves its sessions. Does nothing if it is not running."""
        if self._child is None:
            return
        self._child.send_signal(signal.SIGTERM)
        self._child.send_signal(signal.SIGCONT)  # a broker that a test has frozen must get it too
        try:
            self._child.wait(_STOP_WITHIN_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once, as a power cut would. Does nothing if it is not running."""
        if self._child is None:
            return
        self._child.kill()
        self._child.wait()
        self._child = None

    def restart(self) -> None:
        """Stop in order, then start on the same ports with the same certificates. `users` is read again."""
        self.stop()
        self.start()

    def _chosen_ports(self) -> tuple[int, int]:
        if self._ports is None:
            raise BrokerNotStarted("the broker has no ports before its first start")
        return self._ports

    def _write_certificates(self) -> None:
        if self.ca_file.exists():
            return
        authority = trustme.CA(organization_name="Arcade STEM sandbox")
        server = authority.issue_cert("localhost", _LOOPBACK)
        self._write("server.key", server.private_key_pem.bytes())
        self._write("server.pem", b"".join(blob.bytes() for blob in server.cert_chain_pems))
        self._write("ca.pem", authority.cert_pem.bytes())  # last: if it exists, all three do

    def _write_settings(self, mosquitto: Mosquitto, ports: tuple[int, int], users: Sequence[User]) -> None:
        lines = [
            "log_dest stderr",
            *(f"log_type {kind}" for kind in ("error", "warning", "notice", "information")),
            "log_timestamp_format %Y-%m-%dT%H:%M:%S",
            "allow_anonymous false",
            f"plugin {mosquitto.plugin}",
            f"plugin_opt_config_file {self.folder / 'dynsec.json'}",
            "persistence true",
            f"persistence_location {self.folder}",
            "persistence_file sessions.db",
            "set_tcp_nodelay true",
            "sys_interval 0",
            "max_inflight_messages 100",
            "max_queued_messages 1000",  # as EMQX Serverless
            "max_packet_size 1048576",  # as EMQX Serverless
            f"listener {ports[0]} {_LOOPBACK}",
            f"listener {ports[1]} {_LOOPBACK}",
            f"certfile {self.folder / 'server.pem'}",
            f"keyfile {self.folder / 'server.key'}",
            "tls_version tlsv1.2",
        ]
        if os.geteuid() == 0:
            lines.insert(0, "user root")  # otherwise it changes to a user that cannot read this folder
        self._write("mosquitto.conf", "\n".join([*lines, ""]).encode())
        self._write("dynsec.json", json.dumps(dynamic_security(users), indent=1).encode())

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)

    def _launch(self, mosquitto: Mosquitto) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if mosquitto.libraries:
            environment["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, mosquitto.libraries))
        command = [str(mosquitto.binary), "-c", str(self.folder / "mosquitto.conf")]
        # Ctrl-C must reach only the demo, which stops the broker last.
        return launch(command, self.log_file, folder=self.folder, environment=environment, own_session=True)

    def _answers_in_time(self, port: int, starter: User) -> bool:
        """Whether our own child logs `starter` in. Mosquitto opens all listeners before it answers on one."""
        give_up = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < give_up and self._child is not None and self._child.poll() is None:
            try:
                with socket.create_connection((_LOOPBACK, port), timeout=1) as probe:
                    probe.sendall(_login(starter))
                    answer = probe.recv(4)
            except OSError:
                answer = b""
            if answer[:1] == _CONNACK and answer[3:] == b"\0":
                return True
            time.sleep(0.005)
        return False
