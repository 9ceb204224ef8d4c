"""The rules of a pulse train."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from arcade_edge.domain.pulses import BOUNDS, MAX_TRAIN_MS, Profile
from arcade_edge.errors import BadProfile


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    values = {key: draw(st.integers(low, high)) for key, (low, high) in BOUNDS.items()}
    while values["pulses_per_credit"] * (values["pulse_ms"] + values["gap_ms"]) > MAX_TRAIN_MS:
        values["pulses_per_credit"] -= 1
    return Profile(**values)


def test_the_default_profile_suits_most_boards() -> None:
    """100 ms on, 100 ms off, one pulse for each credit."""
    assert Profile() == Profile(pulse_ms=100, gap_ms=100, pulses_per_credit=1, max_credits=50)


@pytest.mark.parametrize("key", BOUNDS)
@pytest.mark.parametrize("wrong", [0, -1, 1_000_000, True, 10.0, "100", None])
def test_a_value_out_of_bounds_is_refused_with_its_key(key: str, wrong: object) -> None:
    """The technician reads which key is wrong."""
    with pytest.raises(BadProfile) as refused:
        Profile(**{key: wrong})  # type: ignore[arg-type]
    assert refused.value.faults[0].startswith(f"{key}: ")


@pytest.mark.parametrize(("key", "bounds"), BOUNDS.items())
def test_the_bounds_themselves_are_allowed(key: str, bounds: tuple[int, int]) -> None:
    for bound in bounds:
        assert getattr(Profile(**{key: bound}), key) == bound


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(BadProfile) as refused:
        Profile(pulse_ms=1, gap_ms=9_999, pulses_per_credit=0, max_credits=0)
    assert [fault.split(":")[0] for fault in refused.value.faults] == list(BOUNDS)


def test_a_credit_that_takes_longer_than_the_longest_train_is_refused() -> None:
    """Otherwise a machine would show up with nothing to sell."""
    with pytest.raises(BadProfile, match="pulses_per_credit: one credit would take 200000 ms"):
        Profile(pulse_ms=5_000, gap_ms=5_000, pulses_per_credit=20)


def test_a_credit_counts_every_pulse_and_the_gap_before_it() -> None:
    assert Profile(pulse_ms=50, gap_ms=70, pulses_per_credit=3).credit_ms == 3 * 120
