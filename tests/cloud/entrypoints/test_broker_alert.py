"""The broker refuses the cloud (a real Mosquitto): the site stays up, and a person is told, once, with its end."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from arcade_cloud.bootstrap import Cloud
from arcade_cloud.config.settings import load
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.entrypoints import server
from arcade_cloud.services import broker_watch
from arcade_cloud.web.app import create_app
from arcade_sandbox.broker.launcher import Broker, User
from arcade_sandbox.processes import free_port
from support.mqtt_probe import WAIT_S

pytestmark = pytest.mark.heavy  # a broker that is away, and comes back: seconds each

USERS = [User("cloud", "cloud password", role="cloud"), User("cab-01", "machine password", role="machine")]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grace that a test can wait for."""
    monkeypatch.setattr(broker_watch, "GRACE_MS", 1_000)
    monkeypatch.setattr(broker_watch, "TRY_EVERY_MS", 300)


@contextmanager
def cloud_at(port: int, folder: Path, **more: str) -> Iterator[Cloud]:
    """A cloud as `arcade-cloud serve` runs it, with its timer and its listener."""
    settings = load(
        {
            "STRIPE_API_KEY": "sk_test_nobody",
            "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
            "STRIPE_API_BASE": f"http://127.0.0.1:{free_port()}",
            "EMQX_BROKER_URL": "127.0.0.1",
            "EMQX_PORT": str(port),
            "MQTT_TLS": "0",
            "MQTT_USERNAME": "cloud",
            "MQTT_PASSWORD": "cloud password",
            "MQTT_LISTENER_ID": "shop-server",
            "SIGNING_SECRET": "0123456789abcdef" * 4,
            "DATABASE_URL": f"sqlite:///{folder / 'cloud.sqlite'}",
            **more,
        },
        None,
    )
    with server.running(settings) as cloud:
        yield cloud


def told(cloud: Cloud) -> list[Alert]:
    """What was told, oldest first."""
    return cloud.store.recent_alerts(100)[::-1]


def eventually(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def is_up(cloud: Cloud) -> bool:
    return create_app(cloud.web_dependencies()).test_client().get("/status").status_code == 200


def test_a_wrong_password_is_told_once_and_its_end_after_the_restart_with_the_right_one(tmp_path: Path) -> None:
    with Broker(tmp_path / "broker", users=USERS) as broker:
        with cloud_at(broker.port, tmp_path, MQTT_PASSWORD="old password") as cloud:
            eventually(lambda: bool(told(cloud)))
            time.sleep(2.0)
            (begun,) = told(cloud)
            assert (begun.kind, begun.subject) == ("broker", "shop-server")
            assert "check MQTT_USERNAME and MQTT_PASSWORD" in begun.text
            assert "old password" not in begun.text
            assert is_up(cloud)
        with cloud_at(broker.port, tmp_path) as cloud:
            eventually(lambda: len(told(cloud)) == 2)
            assert told(cloud)[1].recovers == begun.alert_id


def test_a_user_without_rights_is_told(tmp_path: Path) -> None:
    """As where the cloud was given a machine's login: it may enter, and neither listen nor send."""
    login = {"MQTT_USERNAME": "cab-01", "MQTT_PASSWORD": "machine password"}
    with Broker(tmp_path / "broker", users=USERS) as broker, cloud_at(broker.port, tmp_path, **login) as cloud:
        eventually(lambda: bool(told(cloud)))
        (begun,) = told(cloud)
        assert "refuses the subscription to arcade/machine/+/" in begun.text
        assert is_up(cloud)


def test_a_broker_that_cannot_be_reached_is_told_and_when_it_is_back(tmp_path: Path) -> None:
    with Broker(tmp_path / "broker", users=USERS) as broker, cloud_at(broker.port, tmp_path) as cloud:
        eventually(lambda: cloud.publisher.is_answered)
        assert told(cloud) == []
        broker.kill()
        eventually(lambda: bool(told(cloud)))
        assert "nobody listens on 127.0.0.1" in told(cloud)[0].text
        assert is_up(cloud)
        broker.start()
        eventually(lambda: len(told(cloud)) == 2)
        assert told(cloud)[1].text == "The broker works again for this cloud."


def test_a_short_restart_of_the_broker_is_told_to_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_watch, "GRACE_MS", 15_000)
    with Broker(tmp_path / "broker", users=USERS) as broker, cloud_at(broker.port, tmp_path) as cloud:
        eventually(lambda: cloud.publisher.is_answered)
        broker.restart()
        time.sleep(3.0)
        eventually(lambda: cloud.publisher.is_answered)
        assert told(cloud) == []
