"""What users of the earlier system do works word for word but for host names: curl, mosquitto_pub and _sub."""

import json
import shlex
import subprocess

import pytest

from arcade_sandbox.processes import wait_for
from arcade_sandbox.system import PRICE_MINOR, Profile, System

MACHINE = "your-machine-id"
PUBLISH = """mosquitto_pub -h {host} -p {port} \\
  -t "arcade/machine/your-machine-id/{kind}" \\
  -m '{message}' \\
  --cafile "{ca}" \\
  -u "bench" -P "{password}\""""
COINPULSE = '{"machineId": "your-machine-id", "credits": 1, "timestamp": "timestamp-of-coinpulse"}'
GAMEOVER = '{"machineId": "your-machine-id", "status": "game_over", "timestamp": "timestamp-of-gameover"}'
PROFILE = Profile(pulse_ms=15, gap_ms=15, min_pulse_ms=10, min_gap_ms=10, start_after_ms=200, play_s=0.3)


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    """A machine of the seed's own name, whose agent allows unsigned pulses, as on a workbench."""
    with System(
        tmp_path_factory.mktemp("system"),
        machine_ids=[MACHINE],
        profile=PROFILE,
        edge_config="allow_unsigned = true\n",
    ) as running:
        yield running


def run(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=30, check=False)


def curl(system, method, path, body=None):
    """(status, JSON) of a curl call as it stands in the documentation."""
    data = "" if body is None else f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
    ran = run(f"curl -s -o - -w '\\n%{{http_code}}' -X {method} {system.url}{path} {data}")
    assert ran.returncode == 0, ran.stderr
    answer, _, status = ran.stdout.rpartition("\n")
    return int(status), json.loads(answer)


def test_status(system):
    ran = run(f"curl {system.url}/status")
    assert json.loads(ran.stdout) == {"status": "up", "message": "API is running"}


def test_create_payment_link(system):
    status, answer = curl(system, "POST", "/create-payment-link", '{"machine_id":"your-machine-id"}')
    assert status == 200
    assert answer["url"].startswith(system.stripe.base_url)
    assert answer["orderId"]


def test_create_payment_link_with_price_and_quantity(system):
    body = '{"machine_id":"your-machine-id", "price_id":"%s", "quantity":3}' % system.price_id  # noqa: UP031 - braces
    status, answer = curl(system, "POST", "/create-payment-link", body)
    assert status == 200
    session = system.stripe.object("checkout.session", system.stripe.session_id_of(answer["url"]))
    assert session["amount_total"] == 3 * PRICE_MINOR


def test_gameover_by_http_reaches_a_subscriber(system):
    listening = subscribe(system, "gameover")
    status, answer = curl(system, "POST", "/gameover", '{"machine_id":"your-machine-id"}')
    assert (status, answer) == (200, {"message": "Game over signal sent"})
    message = heard(listening)
    assert {"machineId": MACHINE, "status": "game_over"}.items() <= message.items()
    assert message["timestamp"]


def test_a_wrong_webhook_is_answered_with_400(system):
    status, answer = curl(system, "POST", "/webhook", '{"type": "checkout.session.completed"}')
    assert status == 400
    assert set(answer) == {"error"}
    assert curl(system, "POST", "/addCredit", "{}")[0] == 400


def subscribe(system, kind):
    """The subscribing example, subscribed for certain (-d says so); it ends after the first message."""
    command = (
        f'mosquitto_sub -h localhost -p {system.broker.tls_port} -t "arcade/machine/+/{kind}" '
        f'--cafile "{system.broker.ca_file}" -u bench -P "{system.bench_password}" -C 1 -W 15 -d'
    )
    listening = subprocess.Popen(
        ["stdbuf", "-oL", *shlex.split(command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert listening.stdout is not None
    for line in listening.stdout:
        if line.startswith("Subscribed"):
            return listening
    raise AssertionError(f"mosquitto_sub ended with {listening.wait()}")


def heard(listening):
    """The message that the subscriber got."""
    lines = listening.communicate(timeout=20)[0].splitlines()
    (message,) = [json.loads(line) for line in lines if line.startswith("{")]
    return message


def publish(system, kind, message):
    command = PUBLISH.format(
        host="localhost",
        port=system.broker.tls_port,
        kind=kind,
        message=message,
        ca=system.broker.ca_file,
        password=system.bench_password,
    )
    ran = run(command)
    assert ran.returncode == 0, ran.stderr


def pulses(system):
    from arcade_sandbox.demo import pulses as counted

    return len(counted(system.cabinets[MACHINE].edge_log))


def test_a_coinpulse_published_by_hand_is_pulsed_and_heard_where_that_is_allowed(system):
    before = pulses(system)
    listening = subscribe(system, "coinpulse")
    publish(system, "coinpulse", COINPULSE)
    assert heard(listening) == json.loads(COINPULSE)
    wait_for("the pulse", lambda: pulses(system) == before + 1)


def test_a_gameover_published_by_hand_is_heard_by_subscribers(system):
    listening = subscribe(system, "gameover")
    publish(system, "gameover", GAMEOVER)
    assert heard(listening) == json.loads(GAMEOVER)


def test_a_purchase_reaches_subscribers_that_know_only_the_public_fields(system):
    listening = subscribe(system, "coinpulse")
    system.buy(MACHINE, 2)
    message = heard(listening)
    assert message["machineId"] == MACHINE
    assert message["credits"] == 2
    assert isinstance(message["timestamp"], str)
