"""The agent's journal over simulated years: it stays small, and what it forgets opens no door."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from arcade_edge.agent.journal import MAX_CREDITS_KEPT, SqliteJournal, open_journal
from arcade_edge.agent.loop import PRUNE_LIMIT
from arcade_edge.domain.credits import (
    FORGOTTEN,
    MEMORY_MS,
    Command,
    Context,
    Credit,
    Decision,
    Revocation,
    decide,
)
from arcade_shared.ids import uuid7

DAY_MS = 86_400_000
START_MS = 1_790_000_000_000
YEARS = 3


def credit_id(at_ms: int, number: int) -> str:
    return uuid7(at_ms, lambda size: number.to_bytes(size, "big"))


def live_a_day(journal: SqliteJournal, day_ms: int, credits_a_day: int) -> None:
    """So many credits, spread over the day and told; at its end what the loop does when it is quiet."""
    ids = [credit_id(day_ms + number * DAY_MS // credits_a_day, number) for number in range(credits_a_day)]
    journal.commit([Credit(name, 1, "done", day_ms, delivered=1) for name in ids])
    journal.commit(told=set(ids))
    while journal.prune(day_ms + DAY_MS - MEMORY_MS, PRUNE_LIMIT) == PRUNE_LIMIT:
        pass
    journal.rest()


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    opened = open_journal(tmp_path / "journal.sqlite", "serial")
    yield opened
    opened.close()


def test_years_of_credits_leave_a_journal_of_35_days(journal: SqliteJournal, tmp_path: Path) -> None:
    sizes = []
    for day in range(YEARS * 365):
        live_a_day(journal, START_MS + day * DAY_MS, 30)
        if day % 365 == 100:
            sizes.append(size(tmp_path))
    assert len(journal.untold(10)) == 0
    assert max(sizes) <= sizes[0] * 1.05
    assert journal.forgotten_before_ms >= START_MS + YEARS * 365 * DAY_MS - MEMORY_MS - DAY_MS


def test_thousands_a_day_are_held_to_the_number_that_is_promised(journal: SqliteJournal, tmp_path: Path) -> None:
    """This also holds while the cloud's time is unknown, so that no age is known."""
    for day in range(24):
        live_a_day(journal, START_MS + day * DAY_MS, 3000)
        assert size(tmp_path) < 20_000_000
    while journal.prune(0, PRUNE_LIMIT) == PRUNE_LIMIT:
        pass
    kept = journal.prune(START_MS * 2, 10 * MAX_CREDITS_KEPT)
    assert kept == MAX_CREDITS_KEPT


def context(journal: SqliteJournal, now_ms: int) -> Context:
    return Context(cloud_ms=now_ms, max_credits=50, forgotten_before_ms=journal.forgotten_before_ms)


@pytest.mark.parametrize("before", ["it pulsed", "it was revoked", "it was refused"])
def test_what_was_forgotten_is_never_pulsed_and_never_denied(journal: SqliteJournal, before: str) -> None:
    """A coinpulse, a revoke that come again years later: nothing begins, and nothing final is said of what was."""
    name = credit_id(START_MS, 1)
    was = {
        "it pulsed": Credit(name, 3, "done", START_MS, delivered=3),
        "it was revoked": Credit(name, 0, "revoked", 0),
        "it was refused": Credit(name, 3, "refused", START_MS, reason="busy"),
    }[before]
    journal.commit([was])
    journal.commit(told={name})
    now_ms = START_MS + MEMORY_MS + 1
    assert journal.prune(now_ms - MEMORY_MS, PRUNE_LIMIT) == 1
    assert journal.find(name) is None
    far_ahead_ms = now_ms + DAY_MS  # no cloud signs such an expiry for so old a credit; even so
    for message in (Command(name, 3, far_ahead_ms), Revocation(name)):
        decision: Decision = decide(None, message, context(journal, now_ms))
        assert decision.credit is None
        assert decision.answer is not None
        assert (decision.answer.state, decision.answer.final, decision.answer.reason) == (
            "unknown",
            False,
            FORGOTTEN,
        )


def test_what_was_forgotten_stays_forgotten_through_a_restart_without_a_clock(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    name = credit_id(START_MS, 1)
    journal = open_journal(path, "serial")
    journal.commit([Credit(name, 0, "revoked", 0)])
    assert journal.prune(START_MS + DAY_MS, PRUNE_LIMIT) == 1
    journal.close()
    again = open_journal(path, "serial")
    unknown_time = Context(cloud_ms=None, max_credits=50, forgotten_before_ms=again.forgotten_before_ms)
    decision = decide(None, Command(name, 1, START_MS * 2), unknown_time)
    again.close()
    assert decision.credit is None


def test_what_is_not_final_is_never_forgotten(journal: SqliteJournal) -> None:
    open_ones = [
        Credit(credit_id(START_MS, 1), 3, "accepted", START_MS),
        Credit(credit_id(START_MS, 2), 3, "pulsing", START_MS, delivered=1, intent=True),
    ]
    journal.commit(open_ones)
    assert journal.prune(START_MS * 2, PRUNE_LIMIT, keep=0) == 0
    assert journal.unfinished() == open_ones
