"""The launcher of DynamoDB Local: says what is missing, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from arcade_sandbox.dynamodb import DynamoDBLocal, find_dynamodb
from arcade_sandbox.errors import DynamoDBNotInstalled, DynamoDBNotStarted
from arcade_sandbox.processes import wait_for

STARTER = """
import sys, time
from pathlib import Path
from arcade_sandbox.dynamodb import DynamoDBLocal
with DynamoDBLocal(Path(sys.argv[1])) as server:
    print(server.endpoint, flush=True)
    time.sleep(600)
"""


def _java(folder: Path, version: str) -> None:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2020-01-01' >&2\n")
    java.chmod(0o755)


def _has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_what_is_missing_is_said_with_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(DynamoDBNotInstalled, match="this machine has no Java"):
        find_dynamodb(tmp_path)
    _java(tmp_path, "11.0.2")
    monkeypatch.setattr("shutil.which", lambda name: str(tmp_path / name))
    with pytest.raises(DynamoDBNotInstalled, match="this machine has Java 11"):
        find_dynamodb(tmp_path)
    _java(tmp_path, "17.0.2")
    with pytest.raises(DynamoDBNotInstalled, match="make dynamodb"):
        find_dynamodb(tmp_path)
    (tmp_path / "DynamoDBLocal.jar").touch()
    assert find_dynamodb(tmp_path).jar == tmp_path / "DynamoDBLocal.jar"


def test_it_has_no_address_before_it_is_started(tmp_path: Path) -> None:
    with pytest.raises(DynamoDBNotStarted, match="call start"):
        _ = DynamoDBLocal(tmp_path).endpoint


def test_one_that_ends_at_once_shows_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _java(tmp_path, "17.0.2")
    (tmp_path / "DynamoDBLocal.jar").touch()
    monkeypatch.setattr("shutil.which", lambda name: str(tmp_path / name))
    monkeypatch.setattr("arcade_sandbox.dynamodb.find_dynamodb", lambda: find_dynamodb(tmp_path))
    with pytest.raises(DynamoDBNotStarted, match="openjdk version"):
        DynamoDBLocal(tmp_path).start()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ends a child with its parent")
def test_it_ends_with_a_parent_that_was_killed(dynamodb: DynamoDBLocal, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], stdout=subprocess.PIPE, env=dict(os.environ), text=True
    )
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline().startswith("http://127.0.0.1:")
        children = psutil.Process(parent.pid).children()
        assert len(children) == 1
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.communicate(timeout=10)
    wait_for("the server has ended", lambda: all(_has_ended(child) for child in children))
