"""The two groups of tests, sorted by what a test asks for; and DynamoDB Local, one for the whole session."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import botocore.loaders
import pytest
from hypothesis import settings

from arcade_sandbox.dynamodb import DynamoDBLocal, find_dynamodb
from arcade_sandbox.errors import DynamoDBNotInstalled
from support.dynamodb_tables import ENVIRONMENT

# No test asserts a time: whoever runs it may have other work beside it.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Fixtures that stand for what `make test` does without; a contract asks for them by the name of a parameter.
HEAVY = {"browser", "dynamodb", "emulator", "package_index"}
# Folders whose tests start the whole system, real agents or a kernel.
HEAVY_FOLDERS = {"gpio", "integration"}


@pytest.hookimpl(tryfirst=True)  # before pytest itself chooses by `-m`
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves to `make test-rest`."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        asked_for = set(item.fixturenames)
        if hasattr(item, "callspec"):
            asked_for |= {value for value in item.callspec.params.values() if isinstance(value, str)}
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        if asked_for & HEAVY or folder in HEAVY_FOLDERS:
            item.add_marker("heavy")


@pytest.fixture(scope="session")
def package_index() -> None:
    """Where pip gets packages. Whatever has it fetch some asks for this."""


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamoDBLocal]:
    """The server, and credentials for it in the environment. Tests are skipped where it cannot be had."""
    try:
        find_dynamodb()
    except DynamoDBNotInstalled as missing:
        pytest.skip(str(missing))
    with pytest.MonkeyPatch.context() as patch, DynamoDBLocal(tmp_path_factory.mktemp("dynamodb")) as server:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        # Each store reads botocore's description of AWS anew, which would be most of a short test's time.
        patch.setattr("botocore.loaders.create_loader", cache(botocore.loaders.create_loader))
        yield server
