"""People in the SQLite file: what SQLite itself refuses, forgets, and finds by an index."""

import sqlite3
from contextlib import closing

import pytest

from arcade_cloud.adapters.store.sqlite.people import AUDIT, AUDIT_BY, AUDIT_ON
from arcade_cloud.adapters.store.sqlite.store import SqliteStore
from arcade_cloud.domain.audit import AuditEntry, AuditOutcome
from arcade_cloud.domain.people import Act, Session, Tries

NOW_MS = 1_790_000_000_000


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "arcade.db"
    with closing(SqliteStore(path)) as store:
        store.people.append_audit(AuditEntry(entry_id="1", at_ms=NOW_MS, who="ann", act=Act.GRANT, on="cab-01"))
        store.people.append_outcome(AuditOutcome(entry_id="1", at_ms=NOW_MS, result="done"))
    return path


@pytest.mark.parametrize("table", ["audit", "audit_outcomes"])
@pytest.mark.parametrize("change", ["DELETE FROM {}", "UPDATE {} SET record = x''"])
def test_nobody_edits_the_log_with_plain_sql(path, table, change):
    with closing(sqlite3.connect(path)) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="only appended to"):
            connection.execute(change.format(table))
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (1,)


@pytest.mark.parametrize(
    ("sql", "values"), [(AUDIT, (1, "", 9)), (AUDIT_BY, ("ann", 1, "", 9)), (AUDIT_ON, ("cab-01", 1, "", 9))]
)
def test_an_index_finds_each_page(path, sql, values):
    with closing(sqlite3.connect(path)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    assert plan[0].startswith("SEARCH audit USING INDEX")
    assert not any("SCAN" in step or "TEMP B-TREE" in step for step in plan), plan


def test_sessions_and_tries_that_are_over_are_forgotten_and_the_log_is_not(path):
    with closing(SqliteStore(path)) as store:
        for number, seen_ms in enumerate((NOW_MS - 86_400_000, NOW_MS)):
            session = Session(
                session_id=f"{number}" * 64, name="ann", epoch=0, created_at_ms=seen_ms, seen_at_ms=seen_ms
            )
            store.people.put_session(session)
            store.people.put_tries(Tries(key=f"{number}", version=1, count=1, last_ms=seen_ms), 0)
        assert store.prune(NOW_MS) == 2
        assert store.people.session("0" * 64) is None
        assert store.people.session("1" * 64) is not None
        assert store.people.tries("0").version == 0
        assert store.people.tries("1").version == 1
        assert store.prune(NOW_MS + 10 * 365 * 86_400_000) == 2
        assert len(store.people.audit(9)) == 1
