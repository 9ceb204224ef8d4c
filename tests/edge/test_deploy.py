"""What a technician puts on a Pi: the systemd unit, the bundle and its installer."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from support.bundles import DEPLOY, make_bundle

UNIT = DEPLOY / "arcade-edge.service"
# What systemd 254 brought, and older ones say that they ignore.
NEWER = ("RestartSteps", "RestartMaxDelaySec")

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here"
)


def settings_of_unit() -> dict[str, list[str]]:
    """Key → its values, in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith(("#", ";")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_says_what_the_promises_need() -> None:
    """The line is released whatever ended the agent, which is watched, and started again for ever."""
    unit = settings_of_unit()
    assert unit["Type"] == ["notify"]
    assert unit["ExecStopPost"] == ["/opt/arcade/current/bin/arcade-edge release"]
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert "WatchdogSec" in unit
    assert unit["CPUSchedulingPolicy"] == ["fifo"]
    assert unit["User"] == ["arcade"]
    assert unit["SupplementaryGroups"] == ["gpio dialout"]
    assert unit["LoadCredential"] == [
        "mqtt_password:arcade-edge.mqtt_password",
        "signing_key:arcade-edge.signing_key",
    ]


def test_the_unit_hides_nothing_that_the_agent_needs() -> None:
    """Each of these would score better, and take pins, a port plugged in later, or /proc/cpuinfo away."""
    unit = settings_of_unit()
    assert not {"PrivateDevices", "PrivateNetwork", "ProcSubset", "RootDirectory"} & set(unit)
    assert "char-gpiochip rw" in unit["DeviceAllow"]


@needs_systemd
def test_the_unit_is_confined_well() -> None:
    """systemd's own measure of exposure: 2.0 at most, of 10."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_systemd
def test_systemd_understands_the_whole_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(
        UNIT.read_text().replace("/opt/arcade/current/bin/arcade-edge", shutil.which("true") or "true")
    )
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert [line for line in said if not any(key in line for key in NEWER)] == []


# --- the bundle and its installer -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundle(package_index: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked bundle for this machine and this Python."""
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def install(bundle: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installer below `root`, with this Python."""
    command = [str(bundle / "install.sh"), "--root", str(root), "--python", sys.executable, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def first(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the installer ran once. Without lgpio (Python 3.13 and later without the system's) it says so."""
    root = tmp_path_factory.mktemp("pi")
    done = install(bundle, root)
    if "python3-lgpio" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sudo arcade-edge doctor" in done.stdout
    return root


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Every file outside the program's folder: its mode and content."""
    files = [path for path in root.rglob("*") if path.is_file() and "releases" not in path.parts]
    return {str(path.relative_to(root)): (path.stat().st_mode, path.read_bytes()) for path in files}


def release(root: Path) -> str:
    """The folder that is in use."""
    return os.readlink(root / "opt/arcade/current")


def test_what_is_installed_runs(first: Path) -> None:
    """From its own environment, with lgpio, and the settings closed to others."""
    settings = first / "etc/arcade/edge.toml"
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    assert stat.S_IMODE((first / "var/lib/arcade").stat().st_mode) == 0o700
    assert (first / "etc/systemd/system/arcade-edge.service").read_text() == UNIT.read_text()
    assert os.readlink(first / "usr/local/bin/arcade-edge") == "/opt/arcade/current/bin/arcade-edge"
    installed = first / "opt/arcade/current/bin"
    done = subprocess.run(
        [installed / "arcade-edge", "doctor", "--config", settings], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(f"FAIL  settings      {settings}: security.signing_key")
    subprocess.run([installed / "python", "-c", "import lgpio, gpiozero"], check=True, cwd=first)


def test_a_second_time_changes_nothing(bundle: Path, first: Path) -> None:
    before, in_use = tree(first), release(first)
    made = (first / "opt/arcade" / in_use / "complete").stat().st_mtime_ns
    done = install(bundle, first)
    assert done.returncode == 0, done.stderr
    assert "there already" in done.stdout
    assert (tree(first), release(first)) == (before, in_use)
    assert (first / "opt/arcade" / in_use / "complete").stat().st_mtime_ns == made


def test_a_dry_run_writes_nothing(bundle: Path, tmp_path: Path) -> None:
    done = install(bundle, tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would: make the virtual environment" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_upgrade_keeps_settings_journal_and_the_program_before(
    bundle: Path, first: Path, tmp_path: Path
) -> None:
    """And takes away what is older; what a power cut left half made is made anew."""
    (first / "etc/arcade/edge.toml").write_text("# the technician's own\n")
    (first / "var/lib/arcade/journal.db").write_text("what was pulsed")
    (first / "opt/arcade/releases/older").mkdir()
    newer = tmp_path / "newer"
    shutil.copytree(bundle, newer)
    with (newer / "requirements.txt").open("a") as requirements:
        requirements.write("# a newer one\n")
    before = release(first)
    dry = install(newer, first, "--dry-run").stdout
    (place,) = re.findall(r"virtual environment (\S+) from", dry)
    Path(place, "bin").mkdir(parents=True)
    assert release(first) == before
    done = install(newer, first)
    assert done.returncode == 0, done.stderr
    assert release(first) == f"releases/{Path(place).name}"
    assert {path.name for path in (first / "opt/arcade/releases").iterdir()} == {
        Path(before).name,
        Path(place).name,
    }
    assert (first / "etc/arcade/edge.toml").read_text() == "# the technician's own\n"
    assert (first / "var/lib/arcade/journal.db").read_text() == "what was pulsed"
    assert "settings stay as they are" in done.stdout
    gone = install(newer, first, "--uninstall")
    assert gone.returncode == 0, gone.stderr
    assert set(tree(first)) == {"etc/arcade/edge.toml", "var/lib/arcade/journal.db"}


def pretend(folder: Path, code: str) -> Path:
    """An interpreter that is this one, but for what `code` changes in it."""
    (folder / "sitecustomize.py").write_text(code)
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def refused(bundle: Path, root: Path, *arguments: str) -> str:
    """Why it is refused: in one line, and before anything was changed."""
    done = install(bundle, root, *arguments)
    if "python3-lgpio" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert (done.returncode, done.stdout) == (1, "")
    assert not root.exists()
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_bundle_without_the_right_wheels_says_what_to_do(bundle: Path, tmp_path: Path) -> None:
    poor = tmp_path / "poor"
    shutil.copytree(bundle, poor)
    for wheel in (poor / "wheels").glob("msgspec-*"):
        wheel.unlink()
    words = refused(poor, tmp_path / "pi")
    assert "no msgspec for" in words
    assert "--online" in words


def test_a_32_bit_system_is_told_why_and_what_to_do(bundle: Path, tmp_path: Path) -> None:
    """Below a 64-bit kernel too, which tells another architecture than the programs have."""
    python = pretend(
        tmp_path,
        "import os, struct\n"
        "size, uname = struct.calcsize, os.uname()\n"
        "struct.calcsize = lambda form: 4 if form == 'P' else size(form)\n"
        "os.uname = lambda: os.uname_result((*uname[:4], 'aarch64'))\n",
    )
    words = refused(bundle, tmp_path / "pi", "--python", str(python))
    assert "no lgpio, msgspec for armv7l" in words
    assert f"which is for {os.uname().machine} with Python" in words
    assert "64-bit Raspberry Pi OS" in words
    assert "make bundle ARGS=armv7l" in words


def test_wheels_that_were_built_for_a_32_bit_system_are_taken(bundle: Path, tmp_path: Path) -> None:
    """As `make bundle` builds them there: the look at the wheels lets them pass."""
    built = tmp_path / "built"
    shutil.copytree(bundle, built)
    for wheel in [*(built / "wheels").glob("msgspec-*"), *(built / "wheels").glob("lgpio-*")]:
        wheel.rename(wheel.with_name("-".join([*wheel.stem.split("-")[:4], "linux_armv7l.whl"])))
    machine = "import os, struct\nuname = os.uname()\nos.uname = lambda: os.uname_result((*uname[:4], 'armv7l'))\n"
    done = install(built, tmp_path / "pi", "--dry-run", "--python", str(pretend(tmp_path, machine)))
    assert done.returncode == 0, done.stderr
    assert "would: make the virtual environment" in done.stdout


def test_an_install_that_comes_to_nothing_leaves_nothing(bundle: Path, tmp_path: Path) -> None:
    """Else a card that is full stays full; nor does what a power cut has left stay there."""
    spoilt, root = tmp_path / "spoilt", tmp_path / "pi"
    shutil.copytree(bundle, spoilt)
    (wheel,) = (spoilt / "wheels").glob("gpiozero-*")
    wheel.write_bytes(wheel.read_bytes() + b"?")
    (root / "opt/arcade/releases/half/bin").mkdir(parents=True)
    done = install(spoilt, root)
    if "python3-lgpio" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 1
    assert "pip says above why" in done.stderr
    assert list((root / "opt/arcade/releases").iterdir()) == []
    assert not (root / "opt/arcade/current").exists()


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can mount a small disk")
def test_a_disk_that_is_too_full_is_said_before_anything_is_written(bundle: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    command = (
        f"mount -t tmpfs -o size=50m none {small} && {bundle}/install.sh --root {small} --python {sys.executable}"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{command}; ls {small}"], capture_output=True, text=True, check=False
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr or "python3-lgpio" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.stdout == ""
    assert f"only 50 MB are left on the disk of {small}/opt/arcade" in done.stderr


def test_a_system_without_the_package_of_lgpio_is_told_what_has_it(bundle: Path, tmp_path: Path) -> None:
    """Plain Debian 13 has none, and its Python is too new for the wheel."""
    newer = tmp_path / "newer"
    shutil.copytree(bundle, newer)
    for wheel in (newer / "wheels").glob("msgspec-*"):
        wheel.rename(wheel.with_name(wheel.name.replace(f"cp3{sys.version_info[1]}", "cp313")))
    python = pretend(
        tmp_path,
        "import importlib.util, sys\n"
        "sys.version_info = (3, 13, 0, 'final', 0)\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'lgpio' else find(name, *more)\n",
    )
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("apt-get", "apt-cache"):
        (programs / name).write_text("#!/bin/sh\nexit 100\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        [newer / "install.sh", "--dry-run", "--python", python],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "plain Debian 13 has not" in done.stderr


@pytest.mark.skipif(Path("/run/systemd/system").exists(), reason="systemd runs here")
def test_where_systemd_does_not_run_it_is_said_that_nothing_starts_the_agent(bundle: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [bundle / "install.sh", "--dry-run", "--python", sys.executable],
        capture_output=True,
        text=True,
        check=False,
    )
    if "python3-lgpio" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert "systemd does not run here" in done.stdout
    assert "systemctl" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--rot", "x"], "--help"),
        (["--python", "no-python"], "there is no interpreter no-python"),
        (["--python"], "needs an interpreter"),
        (["--root"], "needs a folder"),
    ],
)
def test_what_cannot_be_done_is_refused(bundle: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    done = install(bundle, tmp_path / "pi", *arguments)
    assert done.returncode != 0
    assert words in done.stderr
    assert not (tmp_path / "pi").exists()


def test_a_bundle_s_name_says_what_it_is_for(bundle: Path) -> None:
    """One for another architecture, or for two, does not take its place."""
    assert f"-{os.uname().machine}-python3.{sys.version_info[1]}" in bundle.name


def test_a_bundle_that_cannot_be_made_here_says_where_it_can(package_index: None, tmp_path: Path) -> None:
    done = subprocess.run(
        [DEPLOY / "bundle.sh", "armv7l"],
        env={**os.environ, "DIST": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "run `make bundle ARGS=armv7l' there" in done.stderr
    assert list(tmp_path.iterdir()) == []
