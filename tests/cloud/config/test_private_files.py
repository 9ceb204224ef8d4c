"""What the cloud writes is for its own user; what everybody can read is told."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.config.settings import load, warnings
from support.site import ENVIRONMENT

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files have no such modes here")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_a_new_database_and_what_sqlite_keeps_beside_it_are_for_this_user_alone(tmp_path):
    store = SqliteStore(tmp_path / "cloud.sqlite")
    store.note_seen("evt_1", 1)
    assert {path.name: mode_of(path) for path in tmp_path.iterdir()} == {
        "cloud.sqlite": 0o600,
        "cloud.sqlite-wal": 0o600,
        "cloud.sqlite-shm": 0o600,
    }
    store.close()


def test_a_database_that_exists_keeps_the_mode_that_its_owner_gave_it(tmp_path):
    path = tmp_path / "cloud.sqlite"
    SqliteStore(path).close()
    path.chmod(0o640)
    SqliteStore(path).close()
    assert mode_of(path) == 0o640


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o640, False), (0o644, True), (0o602, True)])
def test_settings_that_everybody_can_read_are_told(tmp_path, mode, told):
    env_file = tmp_path / ".env.local"
    env_file.write_text("SITE_NAME=Arcade\n")
    env_file.chmod(mode)
    found = [text for text in warnings(load(ENVIRONMENT, env_file)) if "chmod 600" in text]
    assert bool(found) is told
    assert all(str(env_file) in text for text in found)


def test_a_database_that_everybody_can_read_is_told(tmp_path):
    path = tmp_path / "cloud.sqlite"
    SqliteStore(path).close()
    environ = {**ENVIRONMENT, "DATABASE_URL": f"sqlite:///{path}"}
    assert not [text for text in warnings(load(environ, None)) if "chmod" in text]
    path.chmod(0o644)
    (told,) = [text for text in warnings(load(environ, None)) if "chmod" in text]
    assert f"chmod 600 {path}" in told


def test_a_machines_config_that_goes_into_a_file_is_for_this_user_alone(tmp_path):
    """It has the machine's signing key, and the shell has made the file for everybody."""
    path = tmp_path / "edge.toml"
    environ = {**ENVIRONMENT, "PATH": os.environ["PATH"], "DATABASE_URL": f"sqlite:///{tmp_path}/cloud.sqlite"}
    with path.open("w") as file:
        command = [sys.executable, "-m", "arcade_cloud.entrypoints.cli", "machine", "add", "cab-01"]
        subprocess.run(command, env=environ, cwd=tmp_path, stdout=file, check=True)
    assert "signing_key" in path.read_text()
    assert mode_of(path) == 0o600
