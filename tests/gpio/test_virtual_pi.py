"""Starts the virtual Pi (Linux with a GPIO chip, as a program of this computer), and runs there what needs one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.bundles import make_bundle

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "sandbox" / "virtual-pi" / "run.sh"


pytestmark = [
    # Minutes, and a kernel to be built first: so that `make test` is the same everywhere, not a part of it.
    pytest.mark.skipif("ARCADE_VIRTUAL_PI" not in os.environ, reason="on the virtual Pi only: make gpio-test"),
    pytest.mark.timeout(900),
]


def _on_the_virtual_pi(*arguments: str, systemd: bool = False, **environment: str) -> None:
    """Run pytest there; its words are shown, and the test fails as it does."""
    first = ["--systemd"] if systemd else []
    command = [str(RUN), *first, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=False)
    assert done.returncode == 0, f"pytest on the virtual Pi ended with {done.returncode}"


def test_the_agent_on_a_real_gpio_chip() -> None:
    """And the coin line's contract, which runs on every other back end elsewhere."""
    _on_the_virtual_pi(
        "tests/gpio/test_real_agent.py", "tests/contracts/test_coin_line_contract.py", "-k", "real_agent or kernel"
    )


def _python_for_services() -> str:
    """A Python that other users may run too, and that ProtectHome= does not hide. Skips where there is none."""
    suits = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
    for python in (str(Path(sys.executable).resolve()), "/usr/bin/python3"):
        hidden = python.startswith(("/root/", "/home/"))
        if not hidden and subprocess.run([python, "-c", suits], capture_output=True, check=False).returncode == 0:
            return python
    pytest.skip("no Python 3.11 or later with venv outside of /root and /home, for a service to run")


@pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="there is no systemd here")
@pytest.mark.skipif(shutil.which("useradd") is None, reason="there is no useradd here")
def test_the_unit_under_a_real_systemd(tmp_path: Path) -> None:
    python = _python_for_services()
    bundle = make_bundle(tmp_path, python)
    _on_the_virtual_pi(
        "tests/gpio/test_real_service.py", systemd=True, ARCADE_BUNDLE=str(bundle), ARCADE_PYTHON=python
    )


@pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="there is no systemd here")
@pytest.mark.skipif(
    not Path("/lib/systemd/system/mosquitto.service").exists(), reason="no Mosquitto of the system's"
)
def test_the_cloud_as_a_service_of_one_host(tmp_path: Path) -> None:
    """docs/HOSTING.md. There is no network there: the packages are fetched before, and their hashes still hold."""
    python = _python_for_services()
    pins = [f"--requirement=requirements/{use}.txt" for use in ("cloud", "build")]
    command = [python, "-m", "pip", "--quiet", "download", "--require-hashes", *pins, "--dest", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    _on_the_virtual_pi(
        "tests/gpio/test_real_host.py",
        systemd=True,
        ARCADE_PYTHON=python,
        ARCADE_PACKAGES=str(tmp_path),
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(tmp_path),
        VIRTUAL_PI_MEMORY="2G",
        VIRTUAL_PI_TIMEOUT_S="840",
    )
