"""The real handler as AWS runs it: its runtime client, its emulator, its sample events; and frozen in between."""

import base64
import hashlib
import hmac
import json
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.machines import Machine
from arcade_sandbox.aws.lambda_emulator import EMULATOR, LambdaEmulator
from arcade_sandbox.broker.launcher import Broker, User
from arcade_sandbox.processes import wait_for
from support.lambda_events import SHAPES, answer_of, http_event, sample

WEBHOOK_SECRET = "whsec_behind_the_emulator"
HTTP_SAMPLES = {"alb/ALBRequest": "balancer", "apigateway/AwsProxy": "rest", "apigateway/HttpApi": "http_api"}
# What the samples say is a text, and the generator fills in otherwise.
TAGS = {"method": "GET", "path": "status", "stage": "prod", "resource": "/{proxy+}", "body": ""}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    users = [User("cloud", "c" * 16, role="cloud")]
    with Broker(tmp_path_factory.mktemp("broker"), users=users) as running:
        yield running


@pytest.fixture(scope="module")
def function(emulator: None, broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LambdaEmulator]:
    folder = tmp_path_factory.mktemp("function")
    store = SqliteStore(str(folder / "arcade.sqlite"))
    store.put_machine(Machine(machine_id="cab-01", version=1, kind="subscriber"), 0)
    store.close()
    environment = {
        "STRIPE_API_KEY": "sk_test_behind_the_emulator",
        "STRIPE_API_BASE": "http://127.0.0.1:9",
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "EMQX_BROKER_URL": "127.0.0.1",
        "EMQX_PORT": str(broker.port),
        "MQTT_TLS": "0",
        "MQTT_USERNAME": "cloud",
        "MQTT_PASSWORD": "c" * 16,
        "SIGNING_SECRET": secrets.token_hex(32),
        "DATABASE_URL": f"sqlite:///{folder / 'arcade.sqlite'}",
    }
    with LambdaEmulator(folder, environment) as running:
        yield running


@pytest.mark.parametrize("shape", SHAPES)
def test_each_shape_is_answered(function: LambdaEmulator, shape: str) -> None:
    path = "/status" if shape != "rest_own_domain" else "/m/none"
    event = http_event(shape, path)
    if shape == "rest_own_domain":  # no base path is set here: what the sample asks for is unknown
        assert answer_of(shape, function.invoke(event)).status == 404
    else:
        assert answer_of(shape, function.invoke(event)).json()["status"] == "up"


@pytest.mark.parametrize(("name", "shape"), HTTP_SAMPLES.items())
def test_the_samples_that_aws_ships_are_answered(function: LambdaEmulator, name: str, shape: str) -> None:
    answer = answer_of(shape, function.invoke(aws_sample(name)))
    assert (answer.status, answer.json()["status"]) == (200, "up")


def test_nothing_else_that_aws_ships_is_mistaken_for_a_request(function: LambdaEmulator) -> None:
    """Sixty samples of other services: each is refused by name, but for the schedule's own."""
    folder = EMULATOR.parent / "events"
    names = {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.json")}
    assert len(names) > 50
    for name in sorted(names - HTTP_SAMPLES.keys()):
        result = function.invoke(aws_sample(name))
        if name in {"cloudwatch/ScheduledEvent", "config/PeriodicRule"} and result == {"job": "tick", "due": 0}:
            continue
        assert result["errorType"] == "UnknownEvent", name


def aws_sample(name: str) -> Any:
    """A sample event with its tags filled in, those unknown to us with a word."""
    text = (EMULATOR.parent / "events" / f"{name}.json").read_text()
    text = re.sub(r'"\{\{\{querystringparameters\}\}\}"', '{"foo": "bar"}', text)
    return json.loads(re.sub(r"\{\{\{(\w[\w-]*)\}\}\}", lambda tag: TAGS.get(tag[1], "x"), text))


@pytest.mark.parametrize("as_base64", [False, True], ids=["text", "base64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_signed_body_arrives_to_the_byte(function: LambdaEmulator, shape: str, as_base64: bool) -> None:
    """CRLF and an emoji, through AWS's own JSON on the way in and out."""
    event = {"id": f"evt_{secrets.token_hex(8)}", "type": "customer.created", "note": "3 credits 🕹️ für “Zoë”"}
    body = json.dumps(event, indent=2, ensure_ascii=False).replace("\n", "\r\n").encode()
    at_s = int(time.time())
    mac = hmac.new(WEBHOOK_SECRET.encode(), b"%d." % at_s + body, hashlib.sha256).hexdigest()
    path = "/webhook" if shape != "rest_own_domain" else "/prod/webhook"
    request = http_event(
        shape,
        path,
        method="POST",
        headers=(("Stripe-Signature", f"t={at_s},v1={mac}"),),
        body=body,
        as_base64=as_base64,
    )
    if shape == "rest_own_domain":
        request["path"] = request["requestContext"]["path"] = path
    answer = answer_of(shape, function.invoke(request))
    assert (answer.status, answer.json()) == (200, {"received": True})


@pytest.mark.parametrize("event", [{"job": "tick"}, sample("scheduled"), sample("scheduler")])
def test_the_schedule_is_a_pass_of_the_timer(function: LambdaEmulator, event: dict[str, Any]) -> None:
    assert function.invoke(event) == {"job": "tick", "due": 0}


def test_an_unknown_event_is_refused_by_name(function: LambdaEmulator) -> None:
    refused = function.invoke({"detail": "secret"})
    assert refused["errorType"] == "UnknownEvent"
    assert "secret" not in json.dumps(refused)


def game_over(function: LambdaEmulator) -> int:
    """Publish something, and have the broker confirm it; the HTTP status."""
    body = base64.b64encode(b'{"machine_id": "cab-01"}').decode()
    event = {**http_event("http_api", "/gameover", method="POST"), "body": body, "isBase64Encoded": True}
    return answer_of("http_api", function.invoke(event)).status


def test_a_frozen_function_publishes_again_at_once(function: LambdaEmulator) -> None:
    """Its connection has lived on: nothing is to be done."""
    assert game_over(function) == 200
    with frozen(function):
        time.sleep(0.5)
    assert game_over(function) == 200


def test_a_function_whose_broker_left_while_it_was_frozen_connects_anew(
    function: LambdaEmulator, broker: Broker
) -> None:
    """The connection is dead, and nobody could notice."""
    assert game_over(function) == 200
    with frozen(function):
        broker.restart()
    assert wait_for("published again", lambda: game_over(function) == 200, 20)


class frozen:  # noqa: N801 - reads as a word
    """As AWS does between two events: no instruction is carried out."""

    def __init__(self, function: LambdaEmulator) -> None:
        pid = function.runtime_pid
        assert pid is not None
        self._pid = pid

    def __enter__(self) -> None:
        os.kill(self._pid, signal.SIGSTOP)
        wait_for(
            "stopped", lambda: Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        )

    def __exit__(self, *_: object) -> None:
        os.kill(self._pid, signal.SIGCONT)
