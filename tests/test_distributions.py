"""The distributions as they are installed: each alone, from its wheel, with its pinned requirements."""

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

pytestmark = pytest.mark.timeout(600)  # packages may have to be downloaded

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("shared", "cloud", "edge", "sandbox")
LOCKS = ("dev", "cloud", "edge", "build", "stickers")
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; .+?)? \\\n(?:    --hash=.*\n)+", re.MULTILINE)

# Imports every module of a package, so that one needing what its distribution does not declare is found out.
IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
"""
LIST_IMPORTABLE = """
import importlib.util, sys
print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name)))
"""


def run(*command: str | Path) -> str:
    """What it printed. Fails the test with all of its words if it did not exit with 0."""
    done = subprocess.run([*command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, f"{command} exited with {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def pip(*arguments: str | Path, environment: Path | None = None) -> str:
    target = ("--python", environment / "bin" / "python") if environment else ()
    return run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *target, *arguments)


def pins(lock: str) -> dict[str, tuple[Version, str]]:
    """Name → version and the pin's own text, hashes included."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    return {found["name"]: (Version(found["version"]), found[0]) for found in PIN.finditer(text)}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder → its wheel: those in ARCADE_WHEELS (`make wheels`), else built here."""
    given = os.environ.get("ARCADE_WHEELS")
    folder = ROOT / given if given else tmp_path_factory.mktemp("wheels")
    if not given:
        sources = [ROOT / name for name in FOLDERS]
        pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, *sources)
    found = {name: list(folder.glob(f"arcade_{name}-*.whl")) for name in FOLDERS}
    assert all(len(paths) == 1 for paths in found.values()), f"not one wheel for each distribution: {found}"
    return {name: paths[0] for name, paths in found.items()}


@dataclass(frozen=True)
class Installed:
    """A clean environment with nothing but one distribution, arcade-shared and their requirements."""

    path: Path

    def python(self, script: str, *arguments: str) -> str:
        return run(self.path / "bin" / "python", "-I", "-c", script, *arguments)

    def importable(self, *names: str) -> list[str]:
        return self.python(LIST_IMPORTABLE, *names).split()


def installed(path: Path, requirements: Path, *wheel_files: Path) -> Installed:
    venv.create(path, symlinks=True)
    install = ("install", "--no-compile")  # each is imported once at most; compiling takes longer than installing
    pip(*install, "--only-binary", ":all:", "--require-hashes", "-r", requirements, environment=path)
    pip(*install, "--no-deps", "--no-index", *wheel_files, environment=path)
    pip("check", environment=path)
    return Installed(path)


@pytest.fixture(scope="module")
def edge(wheels: dict[str, Path], package_index: None, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    path = tmp_path_factory.mktemp("edge")
    return installed(path, ROOT / "requirements" / "edge.txt", wheels["shared"], wheels["edge"])


@pytest.fixture(scope="module")
def cloud(wheels: dict[str, Path], package_index: None, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    path = tmp_path_factory.mktemp("cloud")
    return installed(path, ROOT / "requirements" / "cloud.txt", wheels["shared"], wheels["cloud"])


@pytest.fixture(scope="module")
def shared(wheels: dict[str, Path], package_index: None, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    path = tmp_path_factory.mktemp("shared")
    (path / "only.txt").write_text("".join(pins("dev")[name][1] for name in ("msgspec", "paho-mqtt")))
    return installed(path, path / "only.txt", wheels["shared"])


def test_a_cabinet_gets_nothing_of_the_cloud(edge: Installed) -> None:
    unwanted = ("arcade_cloud", "arcade_sandbox", "flask", "stripe", "boto3", "waitress", "trustme")
    assert edge.importable(*unwanted, "arcade_edge", "arcade_shared") == ["arcade_edge", "arcade_shared"]


def test_the_cloud_gets_nothing_of_the_cabinet(cloud: Installed) -> None:
    unwanted = ("arcade_edge", "arcade_sandbox", "gpiozero", "lgpio", "serial", "trustme")
    assert cloud.importable(*unwanted, "arcade_cloud", "arcade_shared") == ["arcade_cloud", "arcade_shared"]


def test_what_both_share_needs_msgspec_and_paho_alone(shared: Installed) -> None:
    listed = shared.python("import importlib.metadata as m; print(*(d.name for d in m.distributions()))")
    assert sorted(listed.split()) == ["arcade-shared", "msgspec", "paho-mqtt"]
    shared.python(IMPORT_ALL, "arcade_shared")


def test_the_edge_command_and_every_module_work_when_installed_alone(edge: Installed) -> None:
    assert "usage" in run(edge.path / "bin" / "arcade-edge", "--help").lower()
    edge.python(IMPORT_ALL, "arcade_edge")


def test_the_cloud_command_and_every_module_work_when_installed_alone(cloud: Installed) -> None:
    assert "usage" in run(cloud.path / "bin" / "arcade-cloud", "--help").lower()
    cloud.python(IMPORT_ALL, "arcade_cloud")


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_wheel_holds_its_package_whole_and_nothing_else(wheels: dict[str, Path], folder: str) -> None:
    package = f"arcade_{folder}"
    with zipfile.ZipFile(wheels[folder]) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == set(_files_of(ROOT / folder, package))
    assert f"{package}/py.typed" in packed


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_wheel_tells_its_version_licence_and_what_it_is_for(wheels: dict[str, Path], folder: str) -> None:
    with zipfile.ZipFile(wheels[folder]) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(name))
        licence = archive.read(name.replace("METADATA", "licenses/LICENSE"))
    assert metadata["Version"] == version()
    assert metadata["License-Expression"] == "MIT"
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).strip() == (ROOT / folder / "README.md").read_text().strip()
    assert "Homepage" in str(metadata.get_all("Project-URL"))


def _files_of(folder: Path, package: str) -> Iterator[str]:
    for path in (folder / package).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(folder).as_posix()


def version() -> str:
    """The version of all four distributions, from the one place where it stands."""
    return str(tomllib.loads((ROOT / "shared" / "pyproject.toml").read_text())["project"]["version"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_distribution_asks_for_the_others_in_its_own_version(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    ours = [text for text in project["dependencies"] if text.startswith("arcade-")]
    assert len(ours) == {"shared": 0, "cloud": 1, "edge": 1, "sandbox": 3}[folder]
    assert all(text.endswith(f"=={version()}") for text in ours), ours


def test_the_version_is_the_latest_release_of_the_changelog() -> None:
    released = re.findall(r"^## \[(\d\S*)\] - \d{4}-\d\d-\d\d$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == version()
    assert sorted(released, key=Version, reverse=True) == released


@pytest.mark.parametrize("lock", LOCKS)
def test_pins_carry_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()
    assert not re.search(r"://|index-url|find-links|trusted-host|^-e|^/| @ ", text, re.MULTILINE)
    outside = re.sub(r"^ *#.*\n", "", PIN.sub("", text), flags=re.MULTILINE)
    assert outside.strip() == "", "these lines are no pins with hashes"


@pytest.mark.parametrize(
    ("folder", "lock"), [*zip(FOLDERS, ["dev"] * 4, strict=True), ("cloud", "cloud"), ("edge", "edge")]
)
def test_what_a_distribution_asks_for_is_pinned(folder: str, lock: str) -> None:
    """Someone who adds a dependency and forgets `make lock` is told so here."""
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    pinned = pins(lock)
    for requirement in map(Requirement, project["dependencies"]):
        name = canonicalize_name(requirement.name)
        if name.removeprefix("arcade-") in FOLDERS:
            continue
        assert name in pinned, f"{name} is not pinned in requirements/{lock}.txt: run make lock"
        assert pinned[name][0] in requirement.specifier, f"{requirement} against {pinned[name][0]}: run make lock"


@pytest.mark.parametrize("lock", ["cloud", "edge", "build"])
def test_what_is_tested_is_what_is_shipped(lock: str) -> None:
    tested = {name: version for name, (version, _) in pins("dev").items()}
    shipped = {name: version for name, (version, _) in pins(lock).items()}
    assert shipped.items() <= tested.items()
