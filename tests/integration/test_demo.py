"""`make demo`, as who tries the system sees it: what it prints lets them in, and Ctrl-C leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from arcade_sandbox.console_visit import ConsoleVisit
from arcade_sandbox.processes import dies_with_parent, free_port, wait_for

pytestmark = pytest.mark.timeout(240)


def test_once_shows_a_purchase_and_ends() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "arcade_sandbox.demo", "--once"], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "yes  what was captured is the price of what was pulsed" in ran.stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_arcade_lets_in_whom_it_names_and_ends_without_a_trace(tmp_path: Path, how: signal.Signals) -> None:
    said = tmp_path / "said"
    with said.open("w") as written:
        demo = subprocess.Popen(
            [sys.executable, "-m", "arcade_sandbox.demo", "--port", str(free_port())],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            preexec_fn=dies_with_parent(),
        )
    try:
        wait_for("the demo", lambda: "Ctrl-C ends" in said.read_text() or demo.poll() is not None, 120)
        shown = re.search(
            r"(http://\S+)/console\s+as (\w+), password (\S+), and a code.*?them of ([A-Z2-7]+)\n"
            r"\s+or as (\w+), password ([^,]+),",
            said.read_text(),
            re.DOTALL,
        )
        assert shown is not None, said.read_text()
        url, name, password, secret, viewer, its_password = shown.groups()
        ConsoleVisit(url, name, password, secret).sign_in()
        ConsoleVisit(url, viewer, its_password).sign_in()
        children = psutil.Process(demo.pid).children(recursive=True)
        assert len(children) == 14  # twelve agents, the cloud, the broker
        demo.send_signal(how)
        assert demo.wait(60) == 0, said.read_text()
    finally:
        demo.kill()
        demo.wait()
    assert [child for child in children if child.is_running()] == []
    assert [path.name for path in tmp_path.iterdir()] == ["said"]
