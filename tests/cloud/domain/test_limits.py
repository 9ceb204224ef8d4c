"""The limits: what does not fit together is refused at the start, by name."""

import pytest

from arcade_cloud.domain.limits import Limits
from arcade_shared.cabinet import MAX_TRAIN_S


def test_the_defaults_fit_together() -> None:
    assert Limits().faults() == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (Limits(deliver_within_s=0), "DELIVER_WITHIN_S"),
        (Limits(answer_s=0), "ANSWER_S"),
        (Limits(silence_limit_s=180), "SILENCE_LIMIT_S"),
        (Limits(hold_silence_limit_s=180), "HOLD_SILENCE_LIMIT_S"),
        (Limits(silence_limit_s=24 * 3600), "SILENCE_LIMIT_S"),
        (Limits(hold_silence_limit_s=24 * 3600), "HOLD_SILENCE_LIMIT_S"),
        (Limits(last_resort_s=900), "LAST_RESORT_S"),
        (Limits(last_resort_s=4 * 86_400), "LAST_RESORT_S"),
        (Limits(checkout_life_s=1799), "CHECKOUT_LIFE_S"),
        (Limits(checkout_life_s=86_401), "CHECKOUT_LIFE_S"),
    ],
)
def test_a_limit_that_does_not_fit_is_named(wrong: Limits, named: str) -> None:
    assert any(named in fault for fault in wrong.faults()), wrong.faults()


def test_silence_must_outlast_the_delivery_and_the_longest_train() -> None:
    """A machine that begins at the last moment, and pulses for as long as any agent does, is not silent."""
    enough = 120 + MAX_TRAIN_S + 1
    assert Limits(deliver_within_s=120, silence_limit_s=enough, hold_silence_limit_s=enough).faults() == []
    (fault,) = Limits(deliver_within_s=120, silence_limit_s=enough - 1, hold_silence_limit_s=enough).faults()
    assert fault.startswith("SILENCE_LIMIT_S (180) must exceed 180")


def test_all_faults_are_told_at_once() -> None:
    wrong = Limits(deliver_within_s=0, last_resort_s=4 * 86_400, answer_s=-1, checkout_life_s=1)
    assert len(wrong.faults()) == 4


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        (Limits(tab_idle_s=0), "TAB_IDLE_S"),
        (Limits(tab_life_s=0), "TAB_LIFE_S"),
        (Limits(tab_fresh_s=0), "TAB_FRESH_S"),
        (Limits(tab_idle_s=43_201), "TAB_IDLE_S"),
        (Limits(tab_life_s=2 * 86_400 + 1), "TAB_LIFE_S"),
        (Limits(tab_fresh_s=3601), "TAB_FRESH_S"),
    ],
)
def test_limits_of_tabs_that_make_no_sense_are_named(limits: Limits, named: str) -> None:
    assert any(fault.startswith(named) for fault in limits.faults())
