"""`arcade-cloud machine test`: a pulse by command, and what became of it, as the machine's report tells."""

import threading
import time
from pathlib import Path

import pytest

from arcade_cloud.bootstrap import build
from arcade_cloud.config.settings import Settings, load
from arcade_cloud.entrypoints.cli import main
from arcade_shared.messages import Ack, Status
from arcade_shared.signing import machine_key, seal
from arcade_shared.times import format_ms
from arcade_shared.topics import machine_topic

SECRET = "s" * 40


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    values = {
        "STRIPE_API_KEY": "sk_test_nobody",
        "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
        "STRIPE_PRICE_ID": "price_nobody",
        "EMQX_BROKER_URL": "127.0.0.1",
        "EMQX_BROKER_PORT": "1",
        "MQTT_TLS": "0",
        "SIGNING_SECRET": SECRET,
        "PUBLIC_BASE_URL": "https://play.example",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.sqlite'}",
    }
    monkeypatch.chdir(tmp_path)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert main(["machine", "add", "cab-01"]) == 0
    return load(values, None)


def say(settings: Settings, kind: str, cls: type, **fields: object) -> None:
    """Have a process of the cloud hear the machine."""
    topic = machine_topic("cab-01", kind)  # type: ignore[arg-type]
    payload = seal(
        machine_key(SECRET, "cab-01"),
        topic,
        cls,
        machine_id="cab-01",
        installation="a" * 32,
        timestamp=format_ms(time.time_ns() // 1_000_000),
        **fields,
    )
    with build(settings) as cloud:
        cloud.services.messages.take_in(topic, payload)


def connect(settings: Settings) -> None:
    values = {
        "ready": True,
        "reason": "",
        "max_credits": 50,
        "nonce": "",
        "agent": "test",
        "connection": 1,
        "seq": 1,
    }
    say(settings, "status", Status, state="online", boot_id="b" * 32, **values)


def answer(settings: Settings, delivered: int, registered: int | None) -> threading.Thread:
    """Report on the next credit as soon as it is on its way."""

    def work() -> None:
        with build(settings) as cloud:
            credit_id = None
            while credit_id is None:
                time.sleep(0.05)
                orders = cloud.store.recent_orders(1, machine_id="cab-01")
                under_way = [one for order in orders for one in order.credits if one.under_way and one.command]
                credit_id = next((one.command.credit_id for one in under_way if one.command), None)
        values = {"state": "done", "final": True, "credits": 1, "uncertain": 0, "reason": ""}
        say(settings, "ack", Ack, credit_id=credit_id, delivered=delivered, registered=registered, **values)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("delivered", "registered", "status", "says"),
    [
        (1, 1, 0, "delivered 1, the meter registered 1"),
        (1, None, 0, "delivered 1; no meter has counted it: look at the machine's credits"),
        (1, 0, 1, "delivered 1, the meter registered 0"),
        (0, None, 1, "delivered 0 (the machine reports 0 of 1 delivered, done)"),
    ],
)
def test_the_pulse_is_followed_to_its_end(
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    delivered: int,
    registered: int | None,
    status: int,
    says: str,
) -> None:
    connect(settings)
    capsys.readouterr()
    machine = answer(settings, delivered, registered)
    assert main(["machine", "test", "cab-01", "--wait", "60"]) == status
    machine.join(10)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("machine cab-01: test pulse 1 of today, order grant_")
    assert second == f"machine cab-01: {says}"


def test_a_machine_that_does_not_answer_is_told_as_on_its_way(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["machine", "test", "cab-01", "--wait", "0"]) == 1
    assert "This machine has not been connected yet." in capsys.readouterr().err
    connect(settings)
    assert main(["machine", "test", "cab-01", "--wait", "0"]) == 1
    assert "machine cab-01: on its way" in capsys.readouterr().out
