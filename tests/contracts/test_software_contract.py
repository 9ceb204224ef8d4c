"""What every store promises about what it keeps for other software: one suite for all."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace as replace_move
from pathlib import Path

import pytest
from msgspec.structs import replace

from arcade_cloud.adapters.store import open_store
from arcade_cloud.domain import alerts, outbox
from arcade_cloud.domain.api_keys import ApiKey
from arcade_cloud.domain.outbox import GIVE_UP_MS, KEPT_MS, Endpoint, Posting
from arcade_cloud.errors import Conflict, InvariantBroken, StoreUnavailable
from arcade_cloud.ports.whole_store import WholeStore
from arcade_sandbox.dynamodb import DynamoDBLocal
from support.dynamodb_tables import a_table
from support.memory_store import MemoryStore
from support.order_records import new_order, step

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


# endpoints


def an_endpoint(endpoint_id: str = "we_1", **fields) -> Endpoint:
    values = {"url": "https://shop.example/hook", "events": ("play.delivered",), "created_at_ms": NOW_MS, **fields}
    return Endpoint(endpoint_id=endpoint_id, **values)


def test_endpoints_are_kept_whole_by_their_age_and_forgotten(whole: WholeStore) -> None:
    store = whole.software
    assert store.endpoints() == []
    later = an_endpoint("we_0", created_at_ms=NOW_MS + 1, events=("of.a.later.version",), created_by="ann")
    store.add_endpoint(later)
    store.add_endpoint(an_endpoint())
    with pytest.raises(Conflict):
        store.add_endpoint(an_endpoint(url="https://other.example/"))
    assert store.endpoints() == [an_endpoint(), later]
    assert store.endpoint("we_0") == later
    store.remove_endpoint("we_0")
    store.remove_endpoint("we_0")
    assert store.endpoint("we_0") is None
    assert store.endpoints() == [an_endpoint()]


# postings


def a_posting(event_id: str = "evt_1", endpoint_id: str = "we_1", **fields) -> Posting:
    values = {"type": "play.delivered", "at_ms": NOW_MS, "body": "{}", "since_ms": NOW_MS, "due_at_ms": NOW_MS}
    return Posting(event_id=event_id, endpoint_id=endpoint_id, **{**values, **fields})


def put(whole: WholeStore, *postings: Posting) -> None:
    """Store postings with an alert."""
    about = alerts.alert("stuck", ":".join(f"{one.event_id} {one.endpoint_id}" for one in postings), "…", NOW_MS)
    assert whole.raise_alert(about, postings)


def due(whole: WholeStore, now_ms: int = NOW_MS, endpoint_id: str = "we_1", limit: int = 10) -> list[str]:
    return [one.event_id for one in whole.software.due_postings(endpoint_id, now_ms, limit)]


def test_postings_are_stored_with_the_step_that_they_tell_of(whole: WholeStore) -> None:
    both = (a_posting(), a_posting(endpoint_id="we_2", due_at_ms=NOW_MS + 5))
    whole.move(replace_move(step(new_order("o-1")), postings=both))
    assert whole.software.posting("we_1", "evt_1") == both[0]
    assert whole.software.posting("we_2", "evt_1") == both[1]
    assert whole.software.posting("we_1", "evt_2") is None
    assert (due(whole), due(whole, endpoint_id="we_2"), due(whole, NOW_MS + 5, "we_2")) == (
        ["evt_1"],
        [],
        ["evt_1"],
    )


def test_a_step_that_is_refused_tells_nothing(whole: WholeStore) -> None:
    whole.move(step(new_order("o-1")))
    with pytest.raises(Conflict):
        whole.move(replace_move(step(new_order("o-1")), postings=(a_posting(),)))
    assert whole.software.posting("we_1", "evt_1") is None
    assert due(whole) == []


def test_too_many_postings_in_one_step_are_a_defect(whole: WholeStore) -> None:
    many = tuple(a_posting(f"evt_{number}") for number in range(outbox.POSTINGS_AT_MOST + 1))
    with pytest.raises(InvariantBroken):
        whole.move(replace_move(step(new_order("o-1")), postings=many))
    whole.move(replace_move(step(new_order("o-1")), postings=many[1:]))
    assert len(due(whole, limit=100)) == outbox.POSTINGS_AT_MOST


def test_an_alert_that_is_there_already_tells_nothing(whole: WholeStore) -> None:
    for begun in (
        alerts.alert("stuck", "o-1", "…", NOW_MS),
        alerts.condition("machine_silent", "cab-01", "…", NOW_MS),
    ):
        subject = begun.subject
        assert whole.raise_alert(begun, (a_posting(f"{subject} first"),))
        assert not whole.raise_alert(begun, (a_posting(f"{subject} second"),))
        assert whole.software.posting("we_1", f"{subject} first") is not None
        assert whole.software.posting("we_1", f"{subject} second") is None


def test_an_event_that_is_told_twice_stays_as_it_is(whole: WholeStore) -> None:
    put(whole, a_posting())
    over = outbox.arrived(outbox.trying(a_posting(), NOW_MS), NOW_MS + 1)
    whole.software.change_posting(a_posting(), over)
    whole.move(replace_move(step(new_order("o-1")), postings=(a_posting(body="{...}"),)))
    assert whole.software.posting("we_1", "evt_1") == over
    assert due(whole, NOW_MS * 2) == []


def test_a_posting_changes_from_what_it_was_only(whole: WholeStore) -> None:
    put(whole, a_posting())
    sent = outbox.trying(a_posting(), NOW_MS)
    whole.software.change_posting(a_posting(), sent)
    with pytest.raises(Conflict):
        whole.software.change_posting(a_posting(), outbox.arrived(a_posting(), NOW_MS))
    with pytest.raises(Conflict):
        whole.software.change_posting(a_posting("evt_9"), outbox.arrived(a_posting("evt_9"), NOW_MS))
    with pytest.raises(InvariantBroken):
        whole.software.change_posting(sent, replace(sent, body="{...}"))
    assert whole.software.posting("we_1", "evt_1") == sent
    assert (due(whole), due(whole, NOW_MS + 9_999), due(whole, NOW_MS + 10_000)) == ([], [], ["evt_1"])


def test_what_is_due_comes_the_longest_due_first_and_no_more_than_asked_for(whole: WholeStore) -> None:
    put(whole, *(a_posting(f"evt_{number}", due_at_ms=NOW_MS - number) for number in range(9)))
    put(whole, a_posting("evt_later", due_at_ms=NOW_MS + 1), a_posting("evt_over", due_at_ms=None))
    assert due(whole, limit=3) == ["evt_8", "evt_7", "evt_6"]
    assert len(due(whole, limit=100)) == 9
    assert due(whole, limit=0) == []


def test_postings_are_listed_by_the_time_of_their_events_a_page_at_a_time(whole: WholeStore) -> None:
    put(whole, *(a_posting(f"evt_{number}", at_ms=NOW_MS + number // 2, due_at_ms=None) for number in range(7)))
    put(whole, a_posting("evt_of_another", "we_2"))
    store = whole.software
    found = []
    before = None
    while page := store.postings("we_1", 3, before=before):
        found += page
        before = (page[-1].at_ms, page[-1].event_id)
    assert [one.event_id for one in found] == [f"evt_{number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    assert [one.event_id for one in store.postings("we_1", 10, before=(NOW_MS + 1, ""))] == ["evt_1", "evt_0"]


def test_of_many_that_send_one_posting_at_once_one_does(whole: WholeStore) -> None:
    put(whole, a_posting())
    begin = threading.Barrier(4)

    def send(number: int) -> bool:
        begin.wait()
        try:
            whole.software.change_posting(a_posting(), outbox.trying(a_posting(), NOW_MS + number))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(send, range(4))).count(True) == 1


def test_old_postings_are_forgotten(whole: WholeStore, request: pytest.FixtureRequest) -> None:
    if "dynamodb" in request.node.name:
        pytest.skip("time to live deletes them there")
    put(whole, a_posting("evt_old"), a_posting("evt_new", at_ms=NOW_MS + GIVE_UP_MS))
    whole.prune(NOW_MS + KEPT_MS + 1)
    assert [one.event_id for one in whole.software.postings("we_1", 10)] == ["evt_new"]
