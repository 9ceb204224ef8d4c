"""What every store promises about people, sessions, wrong tries and the audit log: one suite for all."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from arcade_cloud.adapters.store import open_store
from arcade_cloud.domain.audit import AuditEntry, AuditOutcome, Mark
from arcade_cloud.domain.people import Act, Person, Role, Session, Tries
from arcade_cloud.domain.player_claims import Claimed
from arcade_cloud.errors import Conflict, InvariantBroken, StoreUnavailable
from arcade_cloud.ports.people import PeopleStore
from arcade_sandbox.dynamodb import DynamoDBLocal
from support.dynamodb_tables import a_table
from support.memory_people import MemoryPeople

NOW_MS = 1_790_000_000_000


@pytest.fixture(params=["memory", "sqlite", "dynamodb"])
def people(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PeopleStore]:
    if request.param == "memory":
        yield MemoryPeople()
    elif request.param == "sqlite":
        with closing(open_store(f"sqlite:///{tmp_path}/arcade.db")) as store:
            yield store.people
    else:
        server: DynamoDBLocal = request.getfixturevalue("dynamodb")
        with a_table(server.endpoint) as url, closing(open_store(url, dynamodb_endpoint=server.endpoint)) as store:
            yield store.people


def a_person(name: str = "ann", **fields) -> Person:
    values = {"version": 1, "role": Role.MANAGER, "created_at_ms": NOW_MS, **fields}
    return Person(name=name, **values)


def a_session(session_id: str = "a" * 64, **fields) -> Session:
    values = {"name": "ann", "epoch": 0, "created_at_ms": NOW_MS, "seen_at_ms": NOW_MS, **fields}
    return Session(session_id=session_id, **values)


def an_entry(number: int, **fields) -> AuditEntry:
    values = {"at_ms": NOW_MS + number, "who": "ann", "act": Act.REFUND, "on": "order_1", **fields}
    return AuditEntry(entry_id=f"{number:04}", **values)


def test_a_person_is_kept_whole(people: PeopleStore) -> None:
    assert people.person("ann") is None
    assert people.people() == []
    whole = a_person(
        full_name="Ann Ng",
        password_hash="$argon2id$…",
        totp_secret="BASE32",
        totp_step=7,
        disabled=True,
        epoch=3,
    )
    people.put_person(whole, 0)
    people.put_person(a_person("ada@example.com"), 0)
    assert people.person("ann") == whole
    assert people.people() == [a_person("ada@example.com"), whole]


def test_a_person_changes_from_the_expected_version_only(people: PeopleStore) -> None:
    people.put_person(a_person(), 0)
    with pytest.raises(Conflict):
        people.put_person(a_person(role=Role.OWNER), 0)
    people.put_person(a_person(version=2, role=Role.VIEWER), 1)
    with pytest.raises(Conflict):
        people.put_person(a_person(version=2), 1)
    with pytest.raises(Conflict):
        people.put_person(a_person("bob", version=3), 2)
    with pytest.raises(InvariantBroken):
        people.put_person(a_person(version=9), 2)
    assert people.people() == [a_person(version=2, role=Role.VIEWER)]


def test_a_person_changes_only_while_somebody_else_is_the_same(people: PeopleStore) -> None:
    people.put_person(a_person(), 0)
    people.put_person(a_person("bob"), 0)
    people.put_person(a_person(version=2), 1, beside=a_person("bob"))
    for beside in (a_person("bob", version=2), a_person("eve"), a_person("bob", version=0)):
        with pytest.raises(Conflict):
            people.put_person(a_person(version=3), 2, beside=beside)
    with pytest.raises(Conflict):
        people.put_person(a_person(version=2), 1, beside=a_person("bob"))
    assert people.people() == [a_person(version=2), a_person("bob")]


def test_of_two_who_change_each_other_at_once_one_does(people: PeopleStore) -> None:
    for number in range(8):
        one, other = a_person(f"ann{number}"), a_person(f"bob{number}")
        people.put_person(one, 0)
        people.put_person(other, 0)
        start = threading.Barrier(2)

        def change(pair: tuple[Person, Person], start: threading.Barrier = start) -> bool:
            start.wait()
            try:
                people.put_person(replace(pair[0], version=2), 1, beside=pair[1])
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            assert sum(pool.map(change, [(one, other), (other, one)])) == 1


def test_of_several_who_change_a_person_at_once_one_does(people: PeopleStore) -> None:
    people.put_person(a_person(), 0)
    start = threading.Barrier(4)

    def change(step: int) -> bool:
        start.wait()
        try:
            people.put_person(a_person(version=2, totp_step=step), 1)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(change, range(1, 5))) == 1


def test_a_session_is_changed_until_it_is_ended_and_never_comes_back(people: PeopleStore) -> None:
    assert people.session("a" * 64) is None
    assert not people.change_session(a_session())
    people.put_session(a_session(waits_for_code=True, new_secret="S", ip="192.0.2.1"))
    assert people.session("a" * 64) == a_session(waits_for_code=True, new_secret="S", ip="192.0.2.1")
    with pytest.raises(InvariantBroken):
        people.put_session(a_session())
    later = a_session(seen_at_ms=NOW_MS + 60_000, second_factor=True)
    assert people.change_session(later)
    assert people.session("a" * 64) == later
    people.put_session(a_session("b" * 64))
    people.end_session("a" * 64)
    people.end_session("a" * 64)
    assert people.session("a" * 64) is None
    assert not people.change_session(later)
    assert people.session("a" * 64) is None
    assert people.session("b" * 64) is not None


def test_tries_are_counted_from_the_expected_version_only(people: PeopleStore) -> None:
    key = "person:ann at 192.0.2.1"
    assert people.tries(key) == Tries(key=key)
    once = Tries(key=key, version=1, count=1, last_ms=NOW_MS)
    people.put_tries(once, 0)
    with pytest.raises(Conflict):
        people.put_tries(once, 0)
    twice = Tries(key=key, version=2, count=2, last_ms=NOW_MS + 1)
    people.put_tries(twice, 1)
    with pytest.raises(Conflict):
        people.put_tries(replace(twice, count=9), 1)
    assert people.tries(key) == twice
    assert people.tries("address:192.0.2.1") == Tries(key="address:192.0.2.1")


def test_the_log_is_read_newest_first_and_page_by_page(people: PeopleStore) -> None:
    assert people.audit(10) == []
    for number in (2, 0, 1, 4, 3):
        people.append_audit(an_entry(number))
    first = people.audit(2)
    assert [line.entry for line in first] == [an_entry(4), an_entry(3)]
    second = people.audit(2, before=first[-1].mark)
    assert [line.entry for line in second] == [an_entry(2), an_entry(1)]
    assert [line.entry for line in people.audit(2, before=second[-1].mark)] == [an_entry(0)]
    assert people.audit(2, before=Mark(NOW_MS, "0000")) == []
    assert people.audit(0) == []


def test_acts_of_one_moment_are_all_read(people: PeopleStore) -> None:
    for number in range(3):
        people.append_audit(an_entry(number, at_ms=NOW_MS))
    first = people.audit(2)
    rest = people.audit(2, before=first[-1].mark)
    assert [line.entry.entry_id for line in (*first, *rest)] == ["0002", "0001", "0000"]


def test_the_log_is_read_by_who_did_it_and_by_what_it_was_done_to(people: PeopleStore) -> None:
    people.append_audit(an_entry(0, who="ann", on="order_1"))
    people.append_audit(an_entry(1, who="bob", on="order_1"))
    people.append_audit(an_entry(2, who="ann", on="cab-01"))
    people.append_audit(an_entry(3, who="command line root", on="person bob"))
    assert [line.entry.entry_id for line in people.audit(9, who="ann")] == ["0002", "0000"]
    assert [line.entry.entry_id for line in people.audit(9, on="order_1")] == ["0001", "0000"]
    assert [line.entry.entry_id for line in people.audit(9, who="command line root")] == ["0003"]
    assert [line.entry.entry_id for line in people.audit(1, who="ann", before=Mark(NOW_MS + 2, "0002"))] == [
        "0000"
    ]
    assert people.audit(9, who="eve") == []


def test_nothing_in_the_log_is_ever_changed(people: PeopleStore) -> None:
    claimed = Claimed(credits=2, machine_id="cab-01", back_minor=200, keep_minor=300, phone="f" * 16)
    entry = an_entry(1, wish="all", before="RM 5.00", ip="192.0.2.1", amount=500, unit="myr", claimed=claimed)
    people.append_audit(entry)
    with pytest.raises(InvariantBroken):
        people.append_audit(an_entry(1, who="eve"))
    assert people.audit(9)[0] == (entry, None)
    outcome = AuditOutcome(entry_id="0001", at_ms=NOW_MS + 2, result="done", before="b", after="nothing is kept")
    assert people.append_outcome(outcome)
    assert not people.append_outcome(replace(outcome, result="refused"))
    assert people.audit(9) == [(entry, outcome)]
    assert people.audit(9, on="order_1")[0].outcome == outcome
    assert people.audit(9, who="ann")[0].outcome == outcome


def test_a_store_that_is_closed_says_so(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/arcade.db")
    store.close()
    with pytest.raises(StoreUnavailable):
        store.people.person("ann")
