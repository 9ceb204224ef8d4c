"""The cloud: from Stripe's webhook to the first edge, webhooks per second, and the cold start."""

import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.ownership import Ours, mark
from arcade_sandbox.demo import pulses
from arcade_sandbox.processes import free_port, wait_for
from arcade_sandbox.stripe.sender import signature_header
from arcade_sandbox.system import PRICE_MINOR, Profile, System
from arcade_shared.signing import payment_key
from bench.rows import Row, percentile
from support.order_records import new_order, step
from support.tab_phone import TabPhone

ROUNDS = 100
TAB_MINOR, PLAYS_ON_A_TAB = 20_000, 25
FAST = Profile(pulse_ms=10, gap_ms=10, min_pulse_ms=5, min_gap_ms=5, start_after_ms=10, play_s=0.01)
WEBHOOKS = 2_000
CLIENTS = 8
CONNECTIONS = 50
COLD_RUNS = 7
LIBRARIES = "import flask, stripe, paho.mqtt.client"
CLIENT = "import boto3; boto3.client('dynamodb', region_name='us-east-1')"
NOTHING = """
import sys, flask, waitress
app = flask.Flask("nothing")
app.post("/webhook")(lambda: (flask.request.get_data(), flask.jsonify(received=True))[1])
waitress.serve(app, host="127.0.0.1", port=int(sys.argv[1]), threads=16, _quiet=True)
"""
FIRST_REQUEST = (
    "import types, arcade_cloud.entrypoints.aws_lambda.handler as h; "
    "context = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000); "
    "answer = h.handler({'httpMethod': 'GET', 'path': '/status'}, context); "
    "assert answer['statusCode'] == 200, answer"
)
# There is a console only where somebody may sign in.
SOMEBODY = (
    "import os; from arcade_cloud.adapters.store import open_store; "
    "from arcade_cloud.domain.people import Person, Role; "
    "store = open_store(os.environ['DATABASE_URL']); "
    "store.people.put_person(Person(name='ann', version=1, role=Role.OWNER, created_at_ms=0), 0)"
)


class Stripe:
    """Posts signed events on one kept connection, as fast as they are answered."""

    def __init__(self, netloc: str, secret: str) -> None:
        self._secret = secret
        self._connection = http.client.HTTPConnection(netloc, timeout=30)

    def signed(self, event: dict[str, object]) -> tuple[bytes, dict[str, str]]:
        """The body of an event and its headers."""
        body = json.dumps(event).encode()
        header = signature_header(body, self._secret, int(time.time()))
        return body, {"Stripe-Signature": header, "Content-Type": "application/json"}

    def post(self, body: bytes, headers: dict[str, str]) -> None:
        """Deliver it. Raises RuntimeError unless it is answered with 200."""
        self._connection.request("POST", "/webhook", body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status} {text!r}")


def webhook_to_edge() -> list[Row]:
    """The webhook of a payment received → first edge, and a tap → first edge: on one host, all durable."""
    took_ms = []
    settings = {"TAB_LIMITS": f"{TAB_MINOR // 100}.00MYR", "RATE_LIMIT_PER_MINUTE": "0"}
    with (
        tempfile.TemporaryDirectory() as name,
        System(Path(name), profile=FAST, settings=settings, tls=False) as system,
    ):
        tapped_ms = _taps_ms(system)
        log = system.cabinets["cab-01"].edge_log
        stripe = Stripe(urlsplit(system.url).netloc, system.stripe.webhook_secret)
        system.stripe.pause_webhooks()
        for _ in range(ROUNDS):
            link = system.create_link("cab-01")
            system.stripe.pay(link["url"], "card", wait=False)
            event = next(
                event
                for event in reversed(system.stripe.events("payment_intent.amount_capturable_updated"))
                if event["data"]["object"]["metadata"]["order_id"] == link["orderId"]
            )
            body, headers = stripe.signed(event)
            before = len(pulses(log))
            sent_ns = time.monotonic_ns()
            stripe.post(body, headers)
            took_ms.append(_to_edge_ms(log, before, sent_ns))
    p50, p99 = statistics.median(took_ms), percentile(took_ms, 0.99)
    tap_p50, tap_p99 = statistics.median(tapped_ms), percentile(tapped_ms, 0.99)
    return [
        Row("webhook received → first edge, p50", f"{p50:.1f} ms", target="≤ 5 ms", reached=p50 <= 5),
        Row("webhook received → first edge, p99", f"{p99:.1f} ms", target="≤ 25 ms", reached=p99 <= 25),
        Row(
            "tap on a tab → first edge, p50 (p99)",
            f"{tap_p50:.1f} ms ({tap_p99:.1f} ms)",
            f"{p50:.1f} ms, from a webhook",
            f"{tap_p50 / p50:.2f} ×",
            "≤ 1.3 ×",
            tap_p50 / p50 <= 1.3,
        ),
    ]


def _taps_ms(system: System) -> list[float]:
    """From each tap to the first edge. A tab takes forty plays, so a visit is followed by the next."""
    took_ms: list[float] = []
    log = system.cabinets["cab-01"].edge_log
    while len(took_ms) < ROUNDS:
        phone = TabPhone(system)
        phone.opens_tab("cab-01", TAB_MINOR)
        connection = http.client.HTTPConnection(urlsplit(system.url).netloc, timeout=30)
        for _ in range(PLAYS_ON_A_TAB):
            form = urlencode({"ticket": phone.ticket("cab-01")})
            cookies = "; ".join(f"{one.name}={one.value}" for one in phone.browser.cookies)
            headers = {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"}
            before = len(pulses(log))
            sent_ns = time.monotonic_ns()
            connection.request("POST", "/m/cab-01/play", form, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 303:
                raise RuntimeError(f"{answer.status} {text!r}")
            took_ms.append(_to_edge_ms(log, before, sent_ns))
        phone.finishes()
    return took_ms


def _to_edge_ms(log: Path, before: int, sent_ns: int) -> float:
    """From then until the pulse after so many others began. Returns a little after it has ended."""
    made = wait_for("the pulse", lambda: pulses(log)[before:] or None)
    if len(made) != 1:
        raise RuntimeError(f"{len(made)} pulses for one credit")
    time.sleep(0.05)
    return (_first_edges_ns(log)[before] - sent_ns) / 1e6


def _first_edges_ns(log: Path) -> list[int]:
    from arcade_edge.simulator.cabinet import read_edge_log

    edges = read_edge_log(log)
    return [
        edge.at_ns
        for last, edge in zip([None, *edges], edges, strict=False)
        if edge.active and not (last and last.active)
    ]


def throughput() -> list[Row]:
    """Webhooks per second: each one verified, its order funded on disk, its coinpulse confirmed by the broker.

    Two floors: what a server of the same libraries answers that does nothing, and what a cloud publishes that
    connects to the broker for every message, with TLS as brokers in the cloud want it.
    """
    with tempfile.TemporaryDirectory() as name, System(Path(name), profile=FAST) as system:
        events = _events(system)
        system.cabinets["cab-01"].agent.stop()  # the machine's work is measured elsewhere
        per_s = _per_s(urlsplit(system.url).netloc, system.stripe.webhook_secret, events)
        publishes_per_s = _connection_per_publish(system)
        idle_per_s = _nothing_done(system.stripe.webhook_secret, events)
    return [
        Row(
            "webhooks per second, one process, durable",
            f"{per_s:.0f}",
            f"{idle_per_s:.0f}, a server that does nothing",
            f"{per_s / idle_per_s:.2f} ×",
            "≥ 500",
            per_s >= 500,
        ),
        Row(
            "the same, against one MQTT connection per publish",
            f"{per_s:.0f}",
            f"{publishes_per_s:.0f} publishes",
            f"{per_s / publishes_per_s:.1f} ×",
            "≥ 20 ×",
            per_s / publishes_per_s >= 20,
        ),
    ]


def _events(system: System) -> list[dict[str, object]]:
    """One payment event for each of many open orders; the events are the stand-in's own, with other ids."""
    link = system.create_link("cab-01")
    system.stripe.pause_webhooks()
    system.stripe.pay(link["url"], "card", wait=False)
    (pattern,) = system.stripe.events("payment_intent.amount_capturable_updated")
    store = SqliteStore(system.folder / "cloud.sqlite")
    now_ms, key = time.time_ns() // 1_000_000, payment_key(system.signing_secret)
    events = []
    for number in range(WEBHOOKS):
        order = new_order(
            f"ord_{number:032x}",
            count=1,
            amount_minor=PRICE_MINOR,
            created_at_ms=now_ms,
            due_at_ms=now_ms + 3_600_000,
        )
        store.move(step(order))
        event = json.loads(json.dumps(pattern))
        event["id"] = f"evt_bench{number}"
        event["created"] = int(time.time())
        intent = event["data"]["object"]
        intent["id"] = f"pi_bench{number}"
        ours = Ours(
            order_id=order.order_id,
            amount_minor=intent["amount"],
            currency=intent["currency"],
            machine_id=intent["metadata"]["machine_id"],
            site=intent["metadata"]["site"],
        )
        intent["metadata"] |= {"order_id": order.order_id, "arcade_mark": mark(key, ours)}
        events.append(event)
    store.close()
    return events


def _per_s(netloc: str, secret: str, events: list[dict[str, object]]) -> float:
    """How many of the events are answered in a second, when some clients post them at once."""
    failures: list[BaseException] = []

    def work(share: list[dict[str, object]]) -> None:
        stripe = Stripe(netloc, secret)
        try:
            for event in share:
                stripe.post(*stripe.signed(event))
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(events[n::CLIENTS],)) for n in range(CLIENTS)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return len(events) / (time.monotonic() - began)


def _nothing_done(secret: str, events: list[dict[str, object]]) -> float:
    """A Flask application on waitress that reads the body and says yes."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", NOTHING, str(port)])
    try:
        wait_for("a server that does nothing", lambda: _listens(port) or None)
        return _per_s(f"127.0.0.1:{port}", secret, events)
    finally:
        server.kill()
        server.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _connection_per_publish(system: System) -> float:
    """What a cloud does that connects for every message: connect, publish, wait, disconnect."""
    began = time.monotonic()
    for _ in range(CONNECTIONS):
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.username_pw_set("bench", system.bench_password)
        client.tls_set(str(system.broker.ca_file))
        client.connect("localhost", system.broker.tls_port)
        client.loop_start()
        client.publish("bench/floor", b"x" * 300, qos=1).wait_for_publish(10)
        client.disconnect()
        client.loop_stop()
    return CONNECTIONS / (time.monotonic() - began)


def cold_start() -> list[Row]:
    """A fresh interpreter to the first answer of the handler, against importing its libraries alone."""
    on_aws = {"DATABASE_URL": "dynamodb://arcade?region=us-east-1", "AWS_LAMBDA_FUNCTION_NAME": "bench"}
    return [
        _cold_start("DynamoDB", "flask + stripe + paho + boto3 and its client", f"{LIBRARIES}; {CLIENT}", on_aws),
        _cold_start("SQLite", "flask + stripe + paho", LIBRARIES, {}),
        _console_start(),
    ]


def _console_start() -> Row:
    """What only a process in which somebody opens the console has to import, beside one that answers players."""
    ours, floor = [], []
    for _ in range(COLD_RUNS):
        floor.append(_seconds(FIRST_REQUEST, {}, before=SOMEBODY))
        ours.append(_seconds(FIRST_REQUEST.replace("/status", "/console/sign-in"), {}, before=SOMEBODY))
    ours_ms, floor_ms = 1000 * statistics.median(ours), 1000 * statistics.median(floor)
    return Row(
        "cold start with SQLite, the console's first page answered",
        f"{ours_ms:.0f} ms",
        f"{floor_ms:.0f} ms, a player's first request",
        f"{ours_ms / floor_ms:.2f} ×",
    )


def _cold_start(store: str, libraries: str, importing: str, settings: dict[str, str]) -> Row:
    ours, floor = [], []
    for _ in range(COLD_RUNS):
        floor.append(_seconds(importing, settings))
        ours.append(_seconds(FIRST_REQUEST, settings))
    ours_ms, floor_ms = 1000 * statistics.median(ours), 1000 * statistics.median(floor)
    return Row(
        f"cold start of the Lambda handler with {store}, first request answered",
        f"{ours_ms:.0f} ms",
        f"{floor_ms:.0f} ms, {libraries} alone",
        f"{ours_ms / floor_ms:.2f} ×",
        "≤ 1.3 ×",
        ours_ms / floor_ms <= 1.3,
    )


def _seconds(code: str, settings: dict[str, str], before: str = "pass") -> float:
    """How long a fresh interpreter takes for that; `before` is done by another one."""
    with tempfile.TemporaryDirectory() as name:
        environment = {
            "PATH": "/usr/bin:/bin",
            "STRIPE_API_KEY": "sk_test_nobody",
            "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
            "EMQX_BROKER_URL": "127.0.0.1",
            "MQTT_TLS": "0",
            "SIGNING_SECRET": "s" * 40,
            "DATABASE_URL": f"sqlite:///{name}/cloud.sqlite",
            **settings,
        }
        command = [sys.executable, "-c", before]
        subprocess.run(command, env=environment, cwd=name, capture_output=True, check=True)
        timed = f"import time; began = time.perf_counter(); {code}; print(time.perf_counter() - began)"
        ran = subprocess.run(
            [sys.executable, "-c", timed], env=environment, cwd=name, capture_output=True, text=True, check=True
        )
        return float(ran.stdout.splitlines()[-1])
