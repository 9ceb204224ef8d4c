"""The bundle that a technician gets, made for this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[2] / "edge" / "deploy"


def make_bundle(folder: Path, python: str = sys.executable) -> Path:
    """Make it in `folder`, for the version of `python`; where it was unpacked."""
    print_version = "import sys; print('%d.%d' % sys.version_info[:2])"
    version = subprocess.run(
        [python, "-c", print_version], capture_output=True, text=True, check=True
    ).stdout.strip()
    done = subprocess.run(
        [str(DEPLOY / "bundle.sh"), os.uname().machine],
        env={**os.environ, "DIST": str(folder), "PYTHON_VERSIONS": version},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as archive:
        archive.extractall(folder, filter="data")
    return folder / packed.name.removesuffix(".tar.gz")
