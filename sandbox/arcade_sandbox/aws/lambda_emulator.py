"""Runs the handler as AWS Lambda does: with AWS's runtime client, under AWS's runtime interface emulator.

    with LambdaEmulator(folder, {"STRIPE_API_KEY": …}) as function:
        function.invoke({"job": "tick"})

One emulator is one instance, which handles one event at a time. An exception of the handler comes back as on AWS:
`{"errorType": …, "errorMessage": …}`. AWS freezes an instance between two events. To imitate that, send SIGSTOP
and SIGCONT to `runtime_pid`.
"""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from arcade_sandbox.errors import EmulatorFailed, EmulatorNotInstalled
from arcade_sandbox.processes import LOG_TAIL_CHARS, free_port, launch

HANDLER = "arcade_cloud.entrypoints.aws_lambda.handler.handler"
EMULATOR = Path(__file__).resolve().parents[3] / ".setup" / "emulator" / "aws-lambda-rie"  # see `make emulator`
TIMEOUT_S = 60
_LOOPBACK = "127.0.0.1"
_INVOKE = "/2015-03-31/functions/function/invocations"
_START_WITHIN_S = 20.0
_STOP_WITHIN_S = 10.0


def find_emulator() -> Path:
    """The path of the emulator.

    Raises:
        EmulatorNotInstalled: It is not on this machine. The text says how to get it.
    """
    if not EMULATOR.exists():
        raise EmulatorNotInstalled(
            "AWS's runtime interface emulator is not installed: `make emulator` fetches it (Linux)"
        )
    return EMULATOR


class LambdaEmulator:
    """The handler under the emulator, as a context manager.

    Args:
        folder: Where the handler runs and the log is written.
        environment: The handler's variables. PATH, HOME and LANG are inherited.
        name: The name of the log, without `.log`.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], *, name: str = "lambda") -> None:
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._environment = environment
        self._port = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the emulator; the handler starts with the first event.

        Raises:
            EmulatorNotInstalled: The emulator is not on this machine.
            EmulatorFailed: It ended, or did not answer in time.
        """
        emulator = find_emulator()
        self._port = free_port()
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        command = [
            *(str(emulator), "--log-level", "error"),
            *("--runtime-interface-emulator-address", f"{_LOOPBACK}:{self._port}"),
            *("--runtime-api-address", f"{_LOOPBACK}:{free_port()}"),
            *(sys.executable, "-m", "awslambdaric", HANDLER),
        ]
        environment = {**inherited, "AWS_LAMBDA_FUNCTION_TIMEOUT": str(TIMEOUT_S), **self._environment}
        self._child = launch(command, self.log, folder=self._folder, environment=environment)
        end = time.monotonic() + _START_WITHIN_S
        while time.monotonic() < end and self._child.poll() is None:
            try:
                socket.create_connection((_LOOPBACK, self._port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.stop()
        raise EmulatorFailed(f"the emulator did not start\n{self.tail()}")

    def stop(self) -> None:
        """End the emulator and the handler."""
        if self._child is None:
            return
        runtime = self.runtime_pid
        self._child.kill()
        self._child.wait(_STOP_WITHIN_S)
        if runtime is not None:
            _kill(runtime)
        self._child = None

    def invoke(self, event: object) -> Any:
        """What the handler returns for the event, or AWS's description of what it raised.

        Raises:
            EmulatorFailed: It did not answer.
        """
        with self._lock:
            connection = http.client.HTTPConnection(_LOOPBACK, self._port, timeout=TIMEOUT_S + 10)
            try:
                connection.request("POST", _INVOKE, json.dumps(event).encode())
                return json.loads(connection.getresponse().read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                raise EmulatorFailed(f"no answer from the emulator: {error}\n{self.tail()}") from error
            finally:
                connection.close()

    @property
    def runtime_pid(self) -> int | None:
        """The process that runs the handler, or None before the first event."""
        if self._child is None:
            return None
        children = Path(f"/proc/{self._child.pid}/task").glob("*/children")
        pids = [int(pid) for file in children for pid in _read(file).split()]
        return pids[0] if pids else None

    def tail(self) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL_CHARS:] if self.log.exists() else ""


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:  # the thread has ended in the meantime
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, 9)
    except ProcessLookupError:
        return
