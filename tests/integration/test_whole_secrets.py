"""No secret is in anything that is written or sent: logs, answers, messages, alerts, databases, printed text.

Everything runs as talkative as it can be, through good times and bad ones.
"""

import base64
import contextlib
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, quote_plus

import paho.mqtt.client as mqtt
import pytest
import requests
from paho.mqtt.enums import CallbackAPIVersion

from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import Profile, System
from arcade_shared.ids import uuid7
from arcade_shared.messages import Ack
from arcade_shared.signing import echo_key, machine_key, seal
from arcade_shared.times import format_ms

PROFILE = Profile(pulse_ms=15, gap_ms=15, min_pulse_ms=10, min_gap_ms=10, start_after_ms=200, play_s=0.3)
MACHINES = ("cab-01", "cab-02")
TIMEOUT_S = 20


def marked(name: str) -> str:
    """A secret with what some encodings write otherwise: it would be seen in any of them."""
    return f"{name}+/=&{secrets.token_hex(16)}"


class AlertTaker:
    """Takes alerts on an address that is itself a secret."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self.bodies: list[bytes] = []
        taker = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                taker.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hooks/{self.token}"


@dataclass
class Witness:
    """Sees all that leaves the system."""

    system: System
    secrets: dict[str, bytes]
    answers: list[bytes] = field(default_factory=list)
    messages: list[bytes] = field(default_factory=list)
    printed: list[bytes] = field(default_factory=list)

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        answer = requests.request(method, self.system.url + path, timeout=TIMEOUT_S, **more)
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        self.answers.append(f"{answer.status_code}\n{head}\n".encode() + answer.content)
        return answer

    def run(self, module: str, *arguments: str, **environment: str) -> int:
        ran = subprocess.run(
            [sys.executable, "-m", module, "--verbose", *arguments],
            cwd=self.system.folder,
            env={**self.system.cloud.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        self.printed.append(ran.stdout + b"\n" + ran.stderr)
        assert len(self.printed[-1]) > 10, "said nothing at all"
        assert b"Traceback" not in self.printed[-1], self.printed[-1].decode()
        return ran.returncode

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Everything that was seen. What is a secret's own home is left out."""
        for path in sorted(self.system.folder.rglob("*")):
            at_home = path.name == "edge.toml" or path.suffix == ".pem" or path.name.endswith(".key")
            if path.is_file() and not at_home:
                yield path.relative_to(self.system.folder).as_posix(), path.read_bytes()
        for name in ("answers", "messages", "printed"):
            yield name, b"\n".join(getattr(self, name))


def forms(secret: bytes) -> set[bytes]:
    """How a secret may look in a log: as it is, hexadecimal, base64 wherever it begins, in an address, in JSON."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"x" * shift + secret)[4 if shift else 0 : -4])
    with contextlib.suppress(UnicodeDecodeError):
        text = secret.decode()
        for written in (quote(text, safe=""), quote(text), quote_plus(text), text.replace("/", "\\/")):
            found.add(written.encode())
    return found


@pytest.fixture(scope="module")
def alerts() -> Iterator[AlertTaker]:
    taker = AlertTaker()
    taker.thread.start()
    yield taker
    taker.server.shutdown()
    taker.thread.join(TIMEOUT_S)
    taker.server.server_close()


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory, alerts: AlertTaker) -> Iterator[Witness]:
    """A system that has been through everything."""
    known = {
        "STRIPE_API_KEY": "sk_test_" + secrets.token_hex(12),
        "SIGNING_SECRET": marked("signing"),
        "INGEST_SECRET": marked("ingest"),
        "GAMEOVER_API_KEY": marked("gameover"),
    }
    older = marked("older")
    system = System(
        tmp_path_factory.mktemp("system"),
        machine_ids=MACHINES,
        profile=PROFILE,
        settings={
            **known,
            "SIGNING_SECRET": f"{known['SIGNING_SECRET']},{older}",
            "ALERT_WEBHOOK_URL": alerts.url,
        },
        verbose=True,
    )
    values = {**known, "older signing secret": older, "address of the alerts": alerts.token}
    for secret in (known["SIGNING_SECRET"], older):
        values[f"echo key of {secret[:5]}"] = echo_key(secret).decode("latin-1")
        for machine_id in MACHINES:
            values[f"key of {machine_id} of {secret[:5]}"] = machine_key(secret, machine_id).decode("latin-1")
    with system:
        environment = system.cloud.environment
        values["STRIPE_WEBHOOK_SECRET"] = environment["STRIPE_WEBHOOK_SECRET"]
        values["MQTT_PASSWORD"] = environment["MQTT_PASSWORD"]
        for machine_id in MACHINES:
            (line,) = [
                line
                for line in system.cabinets[machine_id].config.read_text().splitlines()
                if line.startswith("password")
            ]
            values[f"password of {machine_id}"] = line.split('"')[1]
        seen = Witness(system, {name: value.encode("latin-1") for name, value in values.items()})
        listener = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        listener.username_pw_set("bench", system.bench_password)
        listener.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        listener.on_message = lambda _client, _data, message: seen.messages.append(
            message.topic.encode() + b" " + message.payload
        )
        listener.connect("127.0.0.1", system.broker.port)
        listener.loop_start()
        try:
            live_through_everything(seen, alerts)
        finally:
            listener.disconnect()
            listener.loop_stop()
        for cabinet in system.cabinets.values():
            cabinet.agent.stop()
        system.cloud.stop()
        yield seen


def live_through_everything(seen: Witness, alerts: AlertTaker) -> None:
    system = seen.system
    key = {"X-Api-Key": system.settings["GAMEOVER_API_KEY"]}
    ingest = {"X-Ingest-Secret": system.settings["INGEST_SECRET"]}
    # a purchase, and all that can be looked at
    order_id = system.buy("cab-01", 2)
    wait_for("the order is final", lambda: system.order_page("cab-01", order_id)["final"], 30)
    for path in ("/status", "/openapi.json", "/m/cab-01", f"/m/cab-01/o/{order_id}", "/kiosk/cab-01"):
        assert seen.ask("GET", path).status_code == 200
    assert seen.ask("POST", "/create-payment-link", json={"machine_id": "cab-02"}).status_code == 200
    assert seen.ask("POST", "/gameover", json={"machine_id": "cab-01"}, headers=key).status_code == 200
    assert seen.ask("POST", "/ingest", json=[{"topic": "x", "payload": {}}], headers=ingest).status_code == 200
    # wrong keys and signatures: half of the right one, and the right one in the wrong place
    webhook_secret = seen.secrets["STRIPE_WEBHOOK_SECRET"].decode()
    for path, headers in {
        "/webhook": {"Stripe-Signature": f"t=1,v1={webhook_secret}"},
        "/addCredit": {"Stripe-Signature": webhook_secret},
        "/gameover": {"X-Api-Key": key["X-Api-Key"] + "x"},
        "/ingest": {"Authorization": "Bearer " + ingest["X-Ingest-Secret"][:-1]},
        f"/m/{quote(ingest['X-Ingest-Secret'], safe='')}": {},
    }.items():
        assert 400 <= seen.ask("POST", path, json={"machine_id": "cab-01"}, headers=headers).status_code < 500
    assert seen.ask("GET", "/gameover", headers=key).status_code == 405
    # commands, with the right settings and with wrong ones
    commands = (
        ("check",),
        ("order", "list"),
        ("order", "show", order_id),
        ("grant", "cab-02", "1", "--reason", "a test"),
        ("tick",),
        ("machine", "list"),
    )
    for command in commands:
        seen.run("arcade_cloud.entrypoints.cli", *command)
    wrong: dict[str, str] = {
        "MQTT_PASSWORD": seen.secrets["MQTT_PASSWORD"].decode() + "x",
        "STRIPE_API_KEY": "pk_live_" + system.settings["STRIPE_API_KEY"],
        "SIGNING_SECRET": system.settings["SIGNING_SECRET"][:20],
        "STRIPE_WEBHOOK_SECRET": webhook_secret.removeprefix("whsec_"),
        "DATABASE_URL": "sqlite:///" + str(system.folder / "nowhere" / "else.sqlite"),
        "EMQX_PORT": system.settings["INGEST_SECRET"],
        "STRIPE_API_BASE": "http://127.0.0.1:9",
    }
    for name, value in wrong.items():
        seen.run("arcade_cloud.entrypoints.cli", "check", **{name: value})
    cabinet = system.cabinets["cab-01"]
    good = cabinet.config.read_text()
    bad = system.folder / "cab-01" / "bad"
    bad.mkdir()
    for number, (old, new) in enumerate(
        (('password = "', 'password = "x'), ("tls = true", "tls = 5"), ('signing_key = "', 'signing_key = "zz'))
    ):
        config = bad / str(number) / "edge.toml"
        config.parent.mkdir()
        config.write_text(good.replace(old, new))
        seen.run("arcade_edge.cli", "doctor", "--config", str(config))
    seen.run("arcade_edge.cli", "journal", "--config", str(cabinet.config))
    # an agent that is stopped and started, a broker that goes away and comes back
    cabinet.agent.stop()
    system.wait_ready("cab-01", ready=False)
    cabinet.agent.start()
    system.wait_ready("cab-01")
    system.broker.stop()
    system.wait_ready("cab-01", ready=False, within_s=60)
    assert seen.ask("POST", "/gameover", json={"machine_id": "cab-01"}, headers=key).status_code == 503
    system.broker.start()
    for machine_id in MACHINES:
        system.wait_ready(machine_id, within_s=60)
    # a machine that is silent while its order is refunded, and another that speaks of a credit that nobody knows
    link = system.create_link("cab-02", 1)
    system.cabinets["cab-02"].agent.kill()
    system.stripe.pay(link["url"], "card")
    assert (
        seen.run("arcade_cloud.entrypoints.cli", "order", "refund", link["orderId"], "--yes", "--reason", "a test")
        == 0
    )
    topic = "arcade/machine/cab-01/ack"
    claim = {"machine_id": "cab-01", "credit_id": uuid7(1), "installation": "a" * 32, "state": "revoked"}
    more = {"final": True, "credits": 0, "delivered": 0, "uncertain": 0, "reason": "", "timestamp": format_ms(1)}
    older = system.settings["SIGNING_SECRET"].split(",")[1]  # while it is rotated, both are good
    ack = seal(machine_key(older, "cab-01"), topic, Ack, **claim, **more).decode()
    assert seen.ask("POST", "/ingest", json={"topic": topic, "payload": ack}, headers=ingest).json()["accepted"]
    wait_for("the alert", lambda: alerts.bodies, 30)
    # a Stripe that no longer answers
    system.stripe.stop()
    seen.ask("POST", "/create-payment-link", json={"machine_id": "cab-01"})
    seen.run("arcade_cloud.entrypoints.cli", "check")


def test_everything_was_seen(witness: Witness, alerts: AlertTaker) -> None:
    """Otherwise the search below proves nothing."""
    places = dict(witness.places())
    for name, at_least in {"cloud.log": 500, "cab-01/agent-cab-01.log": 500, "cloud.sqlite": 20_000}.items():
        assert len(places[name]) > at_least, name
    assert "--verbose" in witness.system.cloud.arguments
    kinds = {message.split(b" ")[0].rsplit(b"/")[-1] for message in witness.messages}
    assert {b"coinpulse", b"ack", b"status", b"clock", b"echo", b"revoke", b"gameover"} <= kinds
    assert len(witness.answers) > 10
    assert b"unmatched_ack" in b"".join(alerts.bodies)


def test_no_secret_is_in_anything_that_leaves_the_system(witness: Witness, alerts: AlertTaker) -> None:
    places = {**dict(witness.places()), "alerts": b"\n".join(alerts.bodies)}
    found = [
        f"{name} in {place}"
        for place, content in places.items()
        for name, secret in witness.secrets.items()
        if any(form in content for form in forms(secret))
    ]
    assert found == []


def test_a_secret_in_any_form_would_have_been_found() -> None:
    secret = b"a secret+/=&0123456789abcdef"
    for written in (
        secret,
        secret.hex().encode(),
        base64.b64encode(b"user:" + secret + b" and more"),
        base64.urlsafe_b64encode(secret),
        quote_plus(secret.decode()).encode(),
    ):
        assert any(form in b"level=debug " + written + b"\n" for form in forms(secret))
