"""DynamoDB Local, one for the whole session, for the tests that ask for it."""

from collections.abc import Iterator
from functools import cache

import botocore.loaders
import pytest

from arcade_sandbox.dynamodb import DynamoDBLocal, find_dynamodb
from arcade_sandbox.errors import DynamoDBNotInstalled
from support.dynamodb_tables import ENVIRONMENT


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamoDBLocal]:
    """The server, and credentials for it in the environment. Tests are skipped where it can't be had."""
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
