"""Builds the image on a stand-in for AWS's base image, and runs it as AWS would (`make image-test`).

It needs neither a registry nor a daemon, only Linux and root. buildah builds the image. bubblewrap runs it with a
read-only root, a writable /tmp and an unprivileged user. AWS's own runtime interface emulator hands in the events.
The output says how large the image is and how long a cold start takes: from the first event to its answer, with
the process not yet started.
"""

import contextlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SETUP = ROOT / ".setup"
BUILDAH = (
    *("buildah", "--storage-driver", "overlay"),
    *("--root", str(SETUP / "images"), "--runroot", str(SETUP / "images-run")),
)
BASE = "localhost/arcade-lambda-base:3.13"
IMAGE = "localhost/arcade-cloud"
NOBODY = "993"  # on AWS too, the user that runs a function is none that the image knows
STARTS = 5
UNWANTED = (
    "arcade_edge",
    "arcade_sandbox",
    "gpiozero",
    "lgpio",
    "pytest",
    "hypothesis",
    "hatchling",
    "mypy",
    "trustme",
)
SETTINGS = {
    "STRIPE_API_KEY": "sk_test_image",
    "STRIPE_WEBHOOK_SECRET": "whsec_image",  # nosec B105 # for tests only
    "EMQX_BROKER_URL": "localhost",
    "MQTT_TLS": "0",
    "SIGNING_SECRET": "0123456789abcdef" * 2,
    "INGEST_SECRET": "0123456789abcdef",  # nosec B105 # for tests only
    "DATABASE_URL": "sqlite:////tmp/arcade.sqlite",
    "AWS_LAMBDA_FUNCTION_TIMEOUT": "60",
}
STATUS = {
    "version": "2.0",
    "rawPath": "/prod/status",
    "rawQueryString": "",
    "headers": {"host": "example.test"},
    "requestContext": {
        "stage": "$default",
        "http": {"method": "GET", "path": "/prod/status", "sourceIp": "192.0.2.1"},
    },
    "isBase64Encoded": False,
}
# The cold start is measured as docs/DEPLOY.md sets the function up. It does not reach for the table.
AS_AT_AWS = {
    **SETTINGS,
    "DATABASE_URL": "dynamodb://arcade?region=ap-southeast-1",
    "AWS_ACCESS_KEY_ID": "image",  # AWS sets both in a function's environment; else boto3 searches elsewhere
    "AWS_SECRET_ACCESS_KEY": "image",  # nosec B105 # for tests only
}
ADD_MACHINE = (*("machine", "add", "cab-01"), *("--offer", "1=2.00MYR"))


def page(path: str) -> dict[str, Any]:
    """The event for a page below the stage of a REST API."""
    context = {"path": f"/prod{path}", "stage": "prod"}
    return {"httpMethod": "GET", "path": path, "requestContext": context, "body": None}


def say(text: str) -> None:
    print(f"image: {text}", flush=True)


def check(holds: bool, promise: str) -> None:
    if not holds:
        raise SystemExit(f"image: FAILED: {promise}")
    say(f"ok   {promise}")


def run(*command: str) -> str:
    """What the command printed. If it fails, the program ends with its output."""
    done = subprocess.run(  # noqa: S603 - tools by name, on our own files  # nosec B603
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"image: {' '.join(command[:3])} … failed\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


@contextlib.contextmanager
def mounted() -> Iterator[Path]:
    """The files of the built image, through a container that is removed afterwards."""
    container = run(*BUILDAH, "from", "--pull-never", IMAGE)
    try:
        yield Path(run(*BUILDAH, "mount", container))
    finally:
        run(*BUILDAH, "umount", container)
        run(*BUILDAH, "rm", container)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def inside(files: Path, config: dict[str, Any], tmp: Path, env: dict[str, str]) -> tuple[str, ...]:
    """The words that, before a command, run it in the image as AWS would, with `tmp` as its /tmp."""
    image_env = dict(pair.split("=", 1) for pair in config["Env"])
    return (
        *("bwrap", "--die-with-parent", "--new-session", "--unshare-user", "--uid", NOBODY, "--gid", NOBODY),
        *("--unshare-pid", "--unshare-ipc", "--cap-drop", "ALL", "--ro-bind", str(files), "/"),
        *("--dev", "/dev", "--proc", "/proc", "--bind", str(tmp), "/tmp", "--clearenv"),  # noqa: S108 - inside  # nosec B108
        *(part for name, value in {**image_env, **env}.items() for part in ("--setenv", name, value)),
        *("--chdir", config["WorkingDir"]),
    )


class Function:
    """The image, running under the emulator."""

    def __init__(self, files: Path, config: dict[str, Any], tmp: Path, settings: dict[str, str]) -> None:
        port, api_port = free_port(), free_port()
        self._url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        options = (
            f"--log-level error --runtime-interface-emulator-address 127.0.0.1:{port} "
            f"--runtime-api-address 127.0.0.1:{api_port}"
        )
        command = inside(files, config, tmp, {**settings, "EMULATOR_OPTIONS": options})
        self._process = subprocess.Popen(  # noqa: S603 - the image that was just built  # nosec B603
            [*command, *config["Entrypoint"], *config["Cmd"]],
            stdin=subprocess.DEVNULL,
            stdout=(SETUP / "image-test.log").open("ab"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        end = time.monotonic() + 20
        while time.monotonic() < end:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                return
            time.sleep(0.02)
        raise SystemExit(f"image: the emulator did not start: see {SETUP / 'image-test.log'}")

    def invoke(self, event: object) -> tuple[dict[str, Any], float]:
        """Hand in one event; (its result, how long it took in ms)."""
        request = urllib.request.Request(self._url, json.dumps(event).encode())  # noqa: S310 - loopback
        begin = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - loopback  # nosec B310
            result: dict[str, Any] = json.load(answer)
        return result, (time.perf_counter() - begin) * 1000

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def check_files(task: Path) -> None:
    found = [name for name in UNWANTED if (task / name).exists() or (task / f"{name}.py").exists()]
    check(not found, f"nothing is in it that only developers or cabinets need {found or ''}")
    stale = []
    tag = bytecode_tag(task)
    for source in task.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.{tag}.pyc"
        if (
            not compiled.exists() or int.from_bytes(compiled.read_bytes()[4:8], "little") != 1
        ):  # PEP 552: unchecked
            stale.append(source)
    check(not stale, f"every module has its bytecode, which Python uses unchecked {stale[:3] or ''}")
    tests = [path for path in task.rglob("test_*.py") if "arcade" in str(path.relative_to(task))]
    check(not tests, "no test of ours is in it")
    closed = [path for path in task.rglob("*") if not path.stat().st_mode & 0o004]
    check(not closed, "every file can be read by whatever user AWS chooses")


def bytecode_tag(task: Path) -> str:
    """What the image's Python puts into the names of bytecode files, such as cpython-313."""
    compiled = next((task / "arcade_cloud" / "__pycache__").glob("__init__.*.pyc"))
    return compiled.name.split(".")[1]


def try_events(function: Function) -> None:
    answer, _ = function.invoke(STATUS)
    check(
        answer["statusCode"] == 200
        and json.loads(answer["body"]) == {"status": "up", "message": "API is running"},
        "/prod/status is up",
    )
    screen, _ = function.invoke(page("/kiosk/cab-01"))
    check(screen["statusCode"] == 200 and "<svg" in screen["body"], "a cabinet's screen shows its QR code")
    check('href="/prod/static/' in screen["body"], "and its links keep the stage")
    tick, _ = function.invoke({"job": "tick"})
    check(tick == {"job": "tick", "due": 0}, "the schedule's event runs a pass of the timer")
    refused, _ = function.invoke({"Records": []})
    check(refused.get("errorType") == "UnknownEvent", "an event from another service is refused by name")


def measure(files: Path, config: dict[str, Any], tmp: Path) -> tuple[float, float]:
    """(median of cold starts, median of warm requests), in ms."""
    cold, warm = [], []
    for _ in range(STARTS):
        function = Function(files, config, tmp, AS_AT_AWS)
        try:
            cold.append(function.invoke(STATUS)[1])
            warm += [function.invoke(STATUS)[1] for _ in range(5)]
        finally:
            function.stop()
    return sorted(cold)[len(cold) // 2], sorted(warm)[len(warm) // 2]


def megabytes(folder: Path) -> int:
    return int(run("du", "-sxm", str(folder)).split()[0])


def main() -> int:
    began = time.monotonic()
    for tool in ("buildah", "bwrap"):
        if shutil.which(tool) is None:
            raise SystemExit(f"image: {tool} is missing: as root on Debian, `make image-test` installs it")
    if os.geteuid() != 0 or platform.machine() != "x86_64":
        raise SystemExit("image: the stand-in needs root on x86-64 Linux; elsewhere, try what `make image` builds")
    (SETUP / "image-test.log").write_bytes(b"")
    say("making the stand-in for AWS's base image if it is missing (the first time takes a minute or two)")
    run(str(ROOT / "cloud" / "deploy" / "standin" / "base.sh"), *BUILDAH[1:])
    say("building the Dockerfile on it")
    isolated = ("--layers", "--isolation", "chroot", "--pull-never")
    run(*BUILDAH, "bud", *isolated, "--build-arg", f"BASE={BASE}", "-t", IMAGE, ".")
    config = json.loads(run(*BUILDAH, "inspect", "--type", "image", IMAGE))["Docker"]["config"]
    with mounted() as files, tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        check_files(files / "var" / "task")
        added = run(
            *inside(files, config, tmp, SETTINGS), "python", "-m", "arcade_cloud.entrypoints.cli", *ADD_MACHINE
        )
        check('machine_id = "cab-01"' in added, "an operator's command works in it")
        function = Function(files, config, tmp, SETTINGS)
        try:
            try_events(function)
        finally:
            function.stop()
        cold_ms, warm_ms = measure(files, config, tmp)
        task_mb, whole_mb = megabytes(files / "var" / "task"), megabytes(files)
    say(f"size  {task_mb} MB uncompressed in /var/task, on a base of {whole_mb - task_mb} MB in AWS's place")
    say(
        f"time  cold start {cold_ms:.0f} ms (process, all imports, first request), then {warm_ms:.0f} ms a request"
    )
    say(f"everything took {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
