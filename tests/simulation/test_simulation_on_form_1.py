"""The simulation on a store that keeps each order as a record of the first form, as while older processes run."""

from dataclasses import replace
from typing import Any

import pytest

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.forms import FORMS
from arcade_cloud.ports.store import Move
from simulation.running import one
from simulation.sim_cloud import SimStore

# The first dozen in which people buy a lot.
SEEDS = (1, 2, 6, 15, 16, 17, 24, 26, 29, 30, 31, 38)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_that_matters_is_lost_in_the_first_form(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run does to the world is the same: pulses, commands, acks, money, and the times of them."""
    usual = one(seed, tabs=False)  # that form holds no tab
    stored, kept = SimStore._store, []

    def store_at_form_1(store: SimStore, move: Move, before: Any) -> None:
        record = FORMS.write(move.order, 1)
        kept.append(records.order(record, move.order.order_id, FORMS))
        stored(store, replace(move, order=kept[-1]), before)

    monkeypatch.setattr(SimStore, "_store", store_at_form_1)
    at_form_1 = one(seed, tabs=False)
    assert at_form_1.broken == []
    assert at_form_1.digest == usual.digest
    assert len(kept) > at_form_1.orders >= 10
