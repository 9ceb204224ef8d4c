"""Tables in DynamoDB Local, one for each test, and a look at what is asked of them."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from arcade_cloud.adapters.store.dynamodb.client import Table
from arcade_cloud.adapters.store.dynamodb.items import FORM_KEY
from arcade_cloud.adapters.store.dynamodb.store import DynamoStore
from arcade_cloud.adapters.store.dynamodb.table import make_table
from arcade_cloud.config.dynamodb_address import parse

# Any credentials will do there; nothing of the user's own configuration is to be read, or AWS to be called.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"})

_numbers = itertools.count()


@contextmanager
def a_table(endpoint: str, *, older: bool = False) -> Iterator[str]:
    """A table of the test's own, without time to live, as tests live at other times; its DATABASE_URL.

    `older`: as version 0.1 made it, or the template. Nothing in it says which form the orders have.
    """
    url = f"dynamodb://test-{os.getpid()}-{next(_numbers)}?region=us-east-1"
    table = _maker(endpoint)
    table.name = parse(url).table
    assert list(make_table(table))
    if older:
        table.request("delete_item", Key=FORM_KEY)
    yield url
    table.client.delete_table(TableName=parse(url).table)


@lru_cache(maxsize=1)  # a client of its own for each table would be most of a short test's time
def _maker(endpoint: str) -> Table:
    return Table(parse("dynamodb://unnamed?region=us-east-1"), endpoint)


def requests_of(store: DynamoStore) -> list[tuple[str, dict[str, Any]]]:
    """A list that fills with the operations that a store asks for from now on, and their arguments."""
    asked: list[tuple[str, dict[str, Any]]] = []

    def note(params: dict[str, Any], model: Any, **_: object) -> None:
        asked.append((model.name, params))

    store.table.client.meta.events.register("provide-client-params.dynamodb.*", note)
    return asked
