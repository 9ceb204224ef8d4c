"""What every store promises about what it keeps for other software: one suite for all."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from arcade_cloud.adapters.store import open_store
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.errors import Conflict, InvariantBroken, StoreUnavailable
from arcade_cloud.ports.whole_store import WholeStore
from arcade_sandbox.dynamodb import DynamoDBLocal
from support.dynamodb_tables import a_table
from support.memory_store import MemoryStore

NOW_MS = 1_790_000_000_000


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WholeStore]:
    if request.param == "memory":
        yield MemoryStore()
    elif request.param == "sqlite":
        with closing(open_store(f"sqlite:///{tmp_path}/arcade.db")) as store:
            yield store
    else:
        server: DynamoDBLocal = request.getfixturevalue("dynamodb")
        with a_table(server.endpoint) as url, closing(open_store(url, dynamodb_endpoint=server.endpoint)) as store:
            yield store


def a_key(key_id: str = "0123456789ab", **fields) -> ApiKey:
    values = {"name": "Kiosk", "scopes": ("checkout",), "hashed": "0" * 64, "created_by": "ann", **fields}
    return ApiKey(**{"key_id": key_id, "version": 1, "created_at_ms": NOW_MS, **values})


# API keys


def test_a_key_is_kept_whole_and_listed_by_its_age(whole: WholeStore) -> None:
    store = whole.software
    assert store.api_key("0123456789ab") is None
    assert store.api_keys() == []
    full = a_key(
        scopes=("checkout", "gameover", "takings"),
        machines=("cab-01", "cab-02"),
        used_at_ms=NOW_MS + 1,
        revoked_at_ms=NOW_MS + 2,
        revoked_by="bob",
    )
    store.put_api_key(full, 0)
    store.put_api_key(a_key("ffffffffffff", created_at_ms=NOW_MS - 1), 0)
    assert store.api_key("0123456789ab") == full
    assert store.api_keys() == [a_key("ffffffffffff", created_at_ms=NOW_MS - 1), full]


def test_a_key_changes_from_the_expected_version_only(whole: WholeStore) -> None:
    store = whole.software
    store.put_api_key(a_key(), 0)
    with pytest.raises(Conflict):
        store.put_api_key(a_key(name="Another"), 0)
    store.put_api_key(a_key(version=2, used_at_ms=NOW_MS), 1)
    with pytest.raises(Conflict):
        store.put_api_key(a_key(version=2, revoked_at_ms=NOW_MS), 1)
    with pytest.raises(Conflict):
        store.put_api_key(a_key("ffffffffffff", version=2), 1)
    with pytest.raises(InvariantBroken):
        store.put_api_key(a_key(version=9), 2)
    assert store.api_keys() == [a_key(version=2, used_at_ms=NOW_MS)]


def test_of_many_that_change_one_key_at_once_one_does(whole: WholeStore) -> None:
    store = whole.software
    store.put_api_key(a_key(), 0)
    begin = threading.Barrier(4)

    def change(number: int) -> bool:
        begin.wait()
        try:
            store.put_api_key(a_key(version=2, name=str(number)), 1)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(change, range(4)))
    assert done.count(True) == 1
    assert store.api_key("0123456789ab") == a_key(version=2, name=str(done.index(True)))


def test_what_is_stored_is_there_for_the_next_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/arcade.db"
    with closing(open_store(url)) as store:
        store.software.put_api_key(a_key(), 0)
    with closing(open_store(url)) as store:
        assert store.software.api_key("0123456789ab") == a_key()


def test_a_store_that_is_closed_says_so(whole: WholeStore) -> None:
    whole.software.put_api_key(a_key(), 0)
    whole.close()
    with pytest.raises(StoreUnavailable):
        whole.software.api_key("0123456789ab")
    with pytest.raises(StoreUnavailable):
        whole.software.put_api_key(replace(a_key(), version=2), 1)
