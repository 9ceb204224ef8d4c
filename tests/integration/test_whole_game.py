"""The example of a game, and a receiver of webhooks, as programs of their own beside the whole system."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import stripe

from arcade_sandbox.errors import SystemFailed
from arcade_sandbox.processes import dies_with_parent, wait_for
from arcade_sandbox.system import System
from arcade_shared.signing import machine_key
from support.mqtt_cloud import coinpulse

ROOT = Path(__file__).parents[2]
TOPIC = "arcade/machine/cab-01/coinpulse"


@dataclass
class Running:
    """The example as a process, and what it has printed."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def wait(self, line: str, times: int = 1) -> None:
        try:
            wait_for(f"the game prints {line!r}", lambda: self.count(line) >= times, 30)
        except SystemFailed as error:
            raise SystemFailed(f"{error}: {self.lines}") from None

    def count(self, line: str) -> int:
        return sum(one.startswith(line) for one in self.lines)


@contextmanager
def playing(system: System, folder: Path, api_key: str) -> Iterator[Running]:
    """The example, word for word as its own text says to run it."""
    arguments = ["--machine", "cab-01", "--cloud", system.url, "--broker", "localhost", "--user", "bench"]
    where = ["--port", str(system.broker.tls_port), "--ca", str(system.broker.ca_file), "--seconds", "0.2"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "game.py"), *arguments, *where],
        cwd=folder,
        env={
            "PATH": "",
            "MQTT_PASSWORD": system.bench_password,
            "ARCADE_API_KEY": api_key,
            "ARCADE_SIGNING_KEY": machine_key(system.signing_secret, "cab-01").hex(),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=dies_with_parent,
    )
    running = Running(process)
    try:
        running.wait("ready")
        yield running
    finally:
        process.kill()
        process.wait()


@contextmanager
def listening(system: System) -> Iterator[list[dict[str, Any]]]:
    """What anybody hears on `gameover`."""
    command = [
        "mosquitto_sub",
        "-h",
        "localhost",
        "-p",
        str(system.broker.tls_port),
        "-t",
        "arcade/machine/+/gameover",
    ]
    secure = ["--cafile", str(system.broker.ca_file), "-u", "bench", "-P", system.bench_password, "-d"]
    process = subprocess.Popen(
        ["stdbuf", "-oL", *command, *secure], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    heard: list[dict[str, Any]] = []
    subscribed = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Subscribed"):
                subscribed.set()
            elif line.startswith("{"):
                heard.append(json.loads(line))

    threading.Thread(target=read, daemon=True).start()
    try:
        assert subscribed.wait(20)
        yield heard
    finally:
        process.kill()
        process.wait()


def publish(system: System, payload: bytes) -> None:
    command = ["mosquitto_pub", "-h", "localhost", "-p", str(system.broker.tls_port), "-t", TOPIC, "-q", "1", "-s"]
    secure = ["--cafile", str(system.broker.ca_file), "-u", "bench", "-P", system.bench_password]
    subprocess.run([*command, *secure], input=payload, check=True, timeout=20)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("system")) as running:
        yield running


def test_the_game_starts_when_it_is_paid_and_says_when_it_is_over(system: System, tmp_path: Path) -> None:
    api_key = system.cli("key", "add", "Space Duel", "--scope", "gameover", "--machine", "cab-01").split()[0]
    with playing(system, tmp_path, api_key) as game, listening(system) as heard:
        system.buy("cab-01", 2)
        game.wait("start: 2 credits")
        game.wait("game over")
        wait_for("the game over of the game", lambda: any(one.get("source") == "api" for one in heard))
        (credit,) = [json.loads(line) for line in (tmp_path / "credits.jsonl").read_text().splitlines()]
        assert credit["credits"] == 2
        # Again, as a broker or somebody with access to it can send it: known, unsigned, signed with another key.
        key = machine_key(system.signing_secret, "cab-01")
        publish(system, coinpulse(key, "cab-01", credit["creditId"], 2, "a" * 32, 1_790_000_000_000))
        game.wait("ignored: this credit is known")
        for forged in (
            b'{"machineId":"cab-01","credits":9,"timestamp":"now"}',
            coinpulse(bytes(32), "cab-01", credit["creditId"][:-1] + "0", 9, "a" * 32, 1_790_000_000_000),
            b"[]",
            b"\xff",
            b"[" * 100_000,
        ):
            publish(system, forged)
        game.wait("ignored", 6)
        assert game.count("start") == 1
    with playing(system, tmp_path, api_key) as again:
        publish(system, coinpulse(key, "cab-01", credit["creditId"], 2, "a" * 32, 1_790_000_000_000))
        again.wait("ignored: this credit is known")
        assert again.count("start") == 0
    assert '"usedAt": null' not in system.cli("key", "list", "--json")


def test_a_game_whose_key_was_revoked_says_so(system: System, tmp_path: Path) -> None:
    api_key = system.cli("key", "add", "Space Duel", "--scope", "gameover").split()[0]
    system.cli("key", "revoke", api_key.split("_")[1])
    with playing(system, tmp_path, api_key) as game:
        system.buy("cab-01", 1)
        game.wait("the cloud says 401")
        game.wait("game over, and nobody was told")


class _Receiver(ThreadingHTTPServer):
    """Takes webhooks in, once it is told to."""

    daemon_threads = True
    status = 500

    def __init__(self) -> None:
        self.got: list[tuple[bytes, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status < 300:
            self.server.got.append((body, self.headers["Arcade-Signature"]))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


def test_a_receiver_that_comes_up_late_is_told_of_plays_and_refunds(system: System) -> None:
    receiver = _Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{receiver.server_address[1]}/arcade"
        added = system.cli("webhook", "add", url, "--events", "play.delivered,order.refunded")
        endpoint, secret = added.split()[0], added.split("secret")[1].split()[0]
        order_id = system.buy("cab-01", 2)
        wait_for("a try", lambda: "status 500" in system.cli("webhook", "log", endpoint), 30)
        receiver.status = 204
        wait_for("the event", lambda: bool(receiver.got), 40)
        body, signature = receiver.got[0]
        event = json.loads(body)
        stripe.WebhookSignature.verify_header(body.decode(), signature, secret, 300)
        assert (event["type"], event["data"]["orderId"]) == ("play.delivered", order_id)
        assert event["data"]["delivered"] == 2
        system.cli("order", "refund", order_id, "--yes", "--reason", "a test")
        wait_for("the refund", lambda: len(receiver.got) == 2, 40)
        refund = json.loads(receiver.got[1][0])
        assert (refund["type"], refund["data"]["kept"]) == ("order.refunded", "0.00")
        system.cli("webhook", "replay", endpoint, "--event", event["id"])
        wait_for("the event again", lambda: len(receiver.got) == 3, 40)
        assert receiver.got[2][0] == body
    finally:
        receiver.shutdown()
        receiver.server_close()
