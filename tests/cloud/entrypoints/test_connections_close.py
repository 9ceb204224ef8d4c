"""Whoever opens a connection closes it: every command, and the server, also when it fails."""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from arcade_cloud.adapters.mqtt.connection import OPEN_WITHIN_S
from arcade_cloud.bootstrap import build
from arcade_cloud.config.settings import Settings, load
from arcade_cloud.entrypoints.server import running
from arcade_cloud.errors import StoreUnavailable
from arcade_sandbox.processes import free_port, wait_for

COMMANDS = {
    "machine add cab-01": 0,
    "machine add cab-01 --name again": 1,
    "machine set cab-01 --name again": 0,
    "machine config cab-01": 0,
    "machine show cab-01": 0,
    "machine list": 0,
    "order list": 0,
    "order show ord_unknown": 1,
    "order refund ord_unknown": 1,
    "grant cab-01 1": 1,
    "tick": 0,
    "check": 1,
}
# The hook keeps every connection that SQLite opens, so none closes merely because nothing refers to it any more.
COUNT = """
import json, os, sqlite3, sys
opened = []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "sqlite3.connect/handle" else None)

def still_open():
    found = 0
    for connection in opened:
        try:
            connection.execute("SELECT 1")
            found += 1
        except sqlite3.ProgrammingError:
            pass
    return found
"""
RUN_EACH = """
from arcade_cloud.entrypoints.cli import main
found = {}
for command in sys.argv[1:]:
    opened.clear()
    status = main(command.split())
    found[command] = [status, len(opened) > 0, still_open()]
print(json.dumps(found))
"""
BUILD_BADLY = """
from dataclasses import replace
from arcade_cloud.adapters.mqtt.connection import OPEN_WITHIN_S
from arcade_cloud.bootstrap import build
from arcade_cloud.config.settings import load
settings = replace(load(os.environ, None), signing_secrets=None)
try:
    build(settings)
except TypeError:
    print(json.dumps([len(opened) > 0, still_open()]))
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Settings under which nothing but the database can be reached."""
    nobody = free_port()
    return {
        "STRIPE_API_KEY": "sk_test_nobody",
        "STRIPE_WEBHOOK_SECRET": "whsec_nobody",
        "STRIPE_API_BASE": f"http://127.0.0.1:{nobody}",
        "EMQX_BROKER_URL": "127.0.0.1",
        "EMQX_PORT": str(nobody),
        "MQTT_TLS": "0",
        "SIGNING_SECRET": "0123456789abcdef" * 2,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'cloud.sqlite'}",
    }


@pytest.fixture
def settings(environment: dict[str, str]) -> Settings:
    return load(environment, None)


def counted(code: str, environment: dict[str, str], folder: Path, *arguments: str) -> object:
    ran = subprocess.run(
        [sys.executable, "-c", COUNT + code, *arguments],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_every_command_closes_the_store_whether_it_succeeds_or_fails(
    environment: dict[str, str], tmp_path: Path
) -> None:
    found = counted(RUN_EACH, environment, tmp_path, *COMMANDS)
    assert found == {command: [status, True, 0] for command, status in COMMANDS.items()}


def test_a_cloud_that_cannot_be_built_leaves_nothing_open(environment: dict[str, str], tmp_path: Path) -> None:
    assert counted(BUILD_BADLY, environment, tmp_path) == [True, 0]


def fail() -> None:
    raise ZeroDivisionError


def test_a_cloud_closes_broker_and_store_when_its_block_fails(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        broker.settimeout(20)
        settings = load({**environment, "EMQX_PORT": str(broker.getsockname()[1])}, None)
        with suppress(ZeroDivisionError), build(settings) as cloud:
            waiting = threading.Thread(target=cloud.publisher.check)
            waiting.start()
            seen, _ = broker.accept()
            fail()
        with seen, suppress(ConnectionResetError):
            seen.settimeout(OPEN_WITHIN_S - 2)  # before it gives up by itself: this broker never answers
            while seen.recv(1024):
                pass
        waiting.join(20)
    with pytest.raises(StoreUnavailable, match="closed"):
        cloud.store.machines()
    cloud.close()


def test_a_server_that_fails_stops_its_threads_and_closes_the_store(settings: Settings) -> None:
    before = set(threading.enumerate())
    with suppress(ZeroDivisionError), running(settings) as cloud:
        names = {thread.name for thread in threading.enumerate()}
        fail()
    assert {"timer", "listener-acks", "stripe-0"} <= names
    wait_for("its threads have ended", lambda: set(threading.enumerate()) <= before, 10)
    with pytest.raises(StoreUnavailable, match="closed"):
        cloud.store.machines()
