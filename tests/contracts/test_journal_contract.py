"""The journal's contract, on SQLite, on the journal in memory of the tests, and on the simulated Pi's card."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from arcade_edge.agent.journal import open_journal
from arcade_edge.domain.credits import Credit
from arcade_edge.errors import InvariantBroken
from arcade_edge.ports import Journal
from arcade_shared.ids import uuid7
from simulation.quiet import quiet_pi, quiet_world
from support.memory_journal import MemoryJournal

NOW = 1_790_000_000_000


def credit(made_ms: int = NOW, **more: Any) -> Credit:
    return replace(Credit(uuid7(made_ms), 3, "accepted", made_ms + 120_000), **more)


@dataclass
class Opened:
    """A journal, and how the next process comes by it."""

    journal: Journal
    again: Callable[[], Journal]


def sqlite(path: Path) -> Iterator[Opened]:
    held = [open_journal(path, "10000000abcdef")]

    def again() -> Journal:
        held.pop().close()
        held.append(open_journal(path, "10000000abcdef"))
        return held[0]

    yield Opened(held[0], again)
    held.pop().close()


def memory() -> Opened:
    journal = MemoryJournal()
    return Opened(journal, lambda: journal)


def simulated() -> Opened:
    """On the way a fault would take: by the agent's end and the next one's start."""
    world = quiet_world()
    pi = quiet_pi(world)

    def again() -> Journal:
        pi.power_cut(1_000)
        return pi.journal

    return Opened(pi.journal, again)


@pytest.fixture(params=["sqlite", "memory", "simulated"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    match request.param:
        case "sqlite":
            yield from sqlite(tmp_path / "journal.db")
        case "memory":
            yield memory()
        case _:
            yield simulated()


@pytest.fixture
def journal(opened: Opened) -> Journal:
    return opened.journal


def test_a_new_journal_knows_nothing_and_has_an_installation(journal: Journal) -> None:
    assert len(journal.installation) == 32
    assert journal.forgotten_before_ms == 0
    assert journal.find(uuid7(NOW)) is None
    assert (journal.unfinished(), journal.untold(10)) == ([], [])


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"state": "pulsing", "intent": True, "delivered": 2},
        {"state": "done", "delivered": 2, "uncertain": 1, "reason": "restarted", "registered": 5},
        {"state": "done", "delivered": 3, "registered": 0},
        {"state": "refused", "reason": "expired"},
        {"state": "revoked", "credits": 0, "expires_at_ms": 0},
    ],
)
def test_what_is_committed_is_found_as_it_was(journal: Journal, change: dict[str, Any]) -> None:
    written = credit(**change)
    journal.commit([written])
    assert journal.find(written.credit_id) == written


def test_a_credit_moves_on_and_several_move_together(journal: Journal) -> None:
    first, second = credit(), credit(NOW + 1)
    journal.commit([first])
    moved = replace(first, state="pulsing", intent=True)
    journal.commit([moved, second])
    assert journal.find(first.credit_id) == moved
    assert journal.unfinished() == [moved, second]


def test_a_final_state_never_changes(journal: Journal) -> None:
    done = credit(state="done", delivered=2)
    journal.commit([done])
    changes: list[dict[str, Any]] = [
        {"delivered": 3},
        {"state": "refused", "delivered": 0},
        {"state": "accepted", "delivered": 0},
    ]
    for change in changes:
        with pytest.raises(InvariantBroken):
            journal.commit([replace(done, **change)])
    assert journal.find(done.credit_id) == done


def test_a_final_state_may_be_committed_again_as_it_is(journal: Journal) -> None:
    """A commit that failed may have been written all the same; it is then tried again."""
    done = credit(state="done", delivered=2)
    journal.commit([done])
    journal.commit([done])
    assert journal.untold(10) == [done]


def test_a_transaction_that_breaks_a_rule_changes_nothing(journal: Journal) -> None:
    done, other = credit(state="done"), credit(NOW + 1)
    journal.commit([done])
    with pytest.raises(InvariantBroken):
        journal.commit([other, replace(done, delivered=1)], told=[done.credit_id])
    assert journal.find(other.credit_id) is None
    assert journal.untold(10) == [done]


def test_a_final_credit_is_in_the_outbox_until_it_was_told(journal: Journal) -> None:
    open_, first, second = credit(), credit(NOW + 1, state="done"), credit(NOW + 2, state="refused")
    journal.commit([open_, first, second])
    assert journal.untold(10) == [first, second]
    assert journal.untold(1) == [first]
    journal.commit(told=[first.credit_id])
    assert journal.untold(10) == [second]
    assert journal.find(first.credit_id) == first


def test_what_is_old_and_final_is_forgotten_and_that_is_remembered(journal: Journal) -> None:
    old, open_, new = credit(NOW - 1_000, state="done"), credit(NOW - 900), credit(NOW, state="done")
    journal.commit([old, open_, new])
    assert journal.prune(NOW - 500, 10) == 1
    assert journal.find(old.credit_id) is None
    assert (journal.find(open_.credit_id), journal.find(new.credit_id)) == (open_, new)
    assert journal.forgotten_before_ms == NOW - 999
    assert journal.untold(10) == [new]
    assert journal.prune(NOW - 500, 10) == 0
    assert journal.forgotten_before_ms == NOW - 999


def test_forgetting_goes_in_steps_from_the_oldest(journal: Journal) -> None:
    made = [credit(NOW + n, state="done") for n in range(5)]
    journal.commit(made)
    assert journal.prune(NOW + 100, 2) == 2
    assert [journal.find(c.credit_id) for c in made] == [None, None, *made[2:]]
    assert journal.forgotten_before_ms == NOW + 2


def test_counting_probing_and_resting_leave_the_credits_alone(journal: Journal) -> None:
    written = credit()
    journal.commit([written])
    journal.count({"bad signature": 2})
    journal.count({"bad signature": 1, "retained": 1})
    journal.probe()
    journal.rest()
    assert journal.find(written.credit_id) == written


def test_how_many_trains_fell_short_is_written_with_the_credit_and_outlives_the_process(opened: Opened) -> None:
    journal = opened.journal
    assert journal.short_trains == 0
    journal.commit([credit(state="done", delivered=2)], short_trains=2)
    journal.commit([credit(NOW + 1)])
    assert journal.short_trains == 2
    done = credit(NOW + 2, state="done")
    journal.commit([done])
    with pytest.raises(InvariantBroken):
        journal.commit([replace(done, delivered=1)], short_trains=3)
    assert journal.short_trains == 2
    assert opened.again().short_trains == 2
    opened.journal = opened.again()
    opened.journal.commit(short_trains=0)
    assert opened.again().short_trains == 0


def test_the_next_process_finds_all_that_was_committed(opened: Opened) -> None:
    """The journal outlives its process, with its name, its outbox and what it knows to be forgotten."""
    journal = opened.journal
    installation = journal.installation
    old, open_, told, untold = (credit(NOW + n, state="done") for n in range(4))
    open_ = replace(open_, state="pulsing", intent=True, delivered=1)
    journal.commit([old, open_, told, untold], told=[told.credit_id])
    assert journal.prune(NOW + 1, 10) == 1
    after = opened.again()
    assert (after.installation, after.forgotten_before_ms) == (installation, NOW + 1)
    assert (after.unfinished(), after.untold(10)) == ([open_], [untold])
    assert [after.find(c.credit_id) for c in (old, told, untold)] == [None, told, untold]
    with pytest.raises(InvariantBroken):
        after.commit([replace(told, delivered=1)])


def test_a_credit_that_was_told_at_its_end_is_not_in_the_outbox(journal: Journal) -> None:
    """What enters the outbox and leaves it in one transaction has left it."""
    done = credit(state="done")
    journal.commit([done], told=[done.credit_id])
    assert journal.untold(10) == []


def test_what_is_handed_out_is_a_copy(journal: Journal) -> None:
    """Changing a list that the journal returned changes nothing in the journal."""
    open_, done = credit(), credit(NOW + 1, state="done")
    given = [open_, done]
    journal.commit(given)
    given.clear()
    journal.unfinished().clear()
    journal.untold(10).clear()
    assert (journal.unfinished(), journal.untold(10)) == ([open_], [done])
