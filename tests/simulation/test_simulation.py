"""The simulation: some seeds hold, a seed is one run, and (`make test-rest`) planted bugs are found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from simulation.bugs import Edit, Mutation
from simulation.coverage import Coverage
from simulation.mutations import MUTATIONS, hunt, planted
from simulation.running import one

TESTS = Path(__file__).parents[1]
SEEDS = range(1, 13)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_promises_hold_whatever_happens(seed: int) -> None:
    """`make sim SEED=…` replays the one that does not."""
    broken = one(seed).broken
    assert not broken, f"make sim SEED={seed}: " + "; ".join(
        f"{b.promise} ({b.checker}): {b.text}" for b in broken
    )


def test_the_same_seed_is_the_same_run_in_another_process_too() -> None:
    """Whatever the hash of a text is there."""
    here = one(7).fingerprint
    program = "from simulation.running import one; print(one(7).fingerprint)"
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTHONHASHSEED": "12345"}
    there = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.strip() == here
    assert one(7).fingerprint == here
    assert one(8).fingerprint != here


def test_the_same_seed_is_the_same_run_whatever_ran_before() -> None:
    """An agent of another test changes how long a thread keeps the interpreter, for its whole process."""
    here, before = one(7).fingerprint, sys.getswitchinterval()
    sys.setswitchinterval(before / 50)
    try:
        assert one(7).fingerprint == here
    finally:
        sys.setswitchinterval(before)


# Of the others no promise breaks: a unit test finds each, and `--mutations` looks for them too.
QUICK = [mutation for mutation in MUTATIONS if not mutation.elsewhere]


@pytest.mark.heavy  # some hundred lives each time
@pytest.mark.parametrize("mutation", QUICK, ids=lambda mutation: mutation.name)
def test_a_bug_is_found(mutation: Mutation) -> None:
    """`make sim ARGS=--mutations` shows after how many seeds, from the first on."""
    number, broken = hunt(mutation, mutation.near, mutation.within)
    assert number, f"not found in {mutation.within} seeds"
    assert broken
    assert not one(mutation.near + number - 1, mutation.weather, tabs=mutation.tabs).broken, (
        "the bug is to blame, not the weather"
    )


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_bug_can_be_planted(mutation: Mutation) -> None:
    """The code that it changes is still there, also where a unit test finds it."""
    with planted(mutation):
        pass


def test_a_bug_that_breaks_no_promise_names_the_unit_test_that_finds_it() -> None:
    for mutation in MUTATIONS:
        path, _, name = mutation.elsewhere.partition("::")
        assert not path or f"def {name}(" in (TESTS.parent / path).read_text(), mutation.name


def test_a_bug_is_gone_after_the_hunt() -> None:
    clean = one(3).fingerprint
    with planted(MUTATIONS[0]):
        pass
    assert one(3).fingerprint == clean


def test_a_fault_of_the_run_itself_is_told_with_its_seed() -> None:
    fault = Mutation(
        "",
        (
            Edit(
                "simulation.world:World._live", "rng, scheduler = self.rng", "rng, scheduler = self.no_such_thing"
            ),
        ),
    )
    with planted(fault):
        result = one(3)
    (broken,) = result.broken
    assert (result.seed, broken.checker) == (3, "run")
    assert "no_such_thing" in broken.text


def test_what_was_never_taken_is_missed_and_what_nobody_listed_is_seen() -> None:
    coverage = Coverage()
    assert any("message repeated" in what for what in coverage.missing())
    assert any("funded → Acked → resolved" in what for what in coverage.missing())
    coverage.orders["settled", "Acked", "funded"] += 1
    assert coverage.unlisted() == ["settled → Acked → funded"]
