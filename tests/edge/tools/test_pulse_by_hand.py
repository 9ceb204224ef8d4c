"""`arcade-edge pulse` with a coin meter: what it registers decides whether the machine is sold again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from arcade_edge.agent.journal import open_journal
from arcade_edge.config import Settings, load
from arcade_edge.errors import NotPossible
from arcade_edge.simulator.board import Ruling
from arcade_edge.simulator.cabinet import SimulatedCabinet, Wiring
from arcade_edge.tools.technician import pulse_by_hand
from support.agent_process import write_config

SERIAL = "10000000abcdef"
pytestmark = pytest.mark.serial  # real pulses of some milliseconds


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a machine that has gone out of sale for its meter."""
    more = "[meter]\npin = 6\ndebounce_ms = 5\n[ready]\npin = 5\n"
    loaded = load(write_config(tmp_path, 1, pulse_ms=20, gap_ms=120, more=more), {})
    journal = open_journal(loaded.journal_path, SERIAL)
    journal.commit(short_trains=3)
    journal.close()
    return loaded


@pytest.fixture(params=[None, 1], ids=["wired", "cut"])
def cabinet(request: pytest.FixtureRequest) -> Iterator[SimulatedCabinet]:
    ruling = Ruling(min_pulse_ms=5, min_gap_ms=5)
    wiring = Wiring(coin_pin=17, meter_pin=6, ready_pin=5)
    made = SimulatedCabinet(wiring, ruling, meter_cut_after=request.param)
    made.start()
    yield made
    made.stop()


def short_trains(settings: Settings) -> int:
    journal = open_journal(settings.journal_path, SERIAL)
    try:
        return journal.short_trains
    finally:
        journal.close()


@pytest.mark.parametrize("cabinet", [None], indirect=True)
def test_a_pulse_that_is_registered_puts_the_machine_back_on_sale(
    settings: Settings, cabinet: SimulatedCabinet
) -> None:
    said: list[str] = []
    pulse_by_hand(settings, 3, say=said.append, pin_factory=cabinet.factory())
    assert said[-2] == "the coin meter registered 3"
    assert "sold again" in said[-1]
    assert short_trains(settings) == 0
    assert cabinet.counts().coins == 3


@pytest.mark.parametrize("cabinet", [1], indirect=True)
def test_a_pulse_that_is_not_registered_says_what_to_look_at_and_changes_nothing(
    settings: Settings, cabinet: SimulatedCabinet
) -> None:
    with pytest.raises(NotPossible, match="registered 1 of 2: look at the coin line"):
        pulse_by_hand(settings, 2, say=lambda _: None, pin_factory=cabinet.factory())
    assert short_trains(settings) == 3
