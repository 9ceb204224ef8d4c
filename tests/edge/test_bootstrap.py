"""The wiring: what the loop's queue keeps, when a thread's death ends the agent, where a journal is not safe."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

from arcade_edge.agent.health import Notifier
from arcade_edge.agent.signals import MeterPulse, ReadyChanged
from arcade_edge.bootstrap import MESSAGES_WAITING, SIGNALS_WAITING, EventQueue, forgetful_file_system, run_loop
from arcade_edge.errors import PartDied
from arcade_edge.ports import Arrived, Receipt, StopAsked
from support.agent_rig import Rig


@dataclass(frozen=True)
class Thread:
    """A thread that lives, or has died."""

    alive: bool = True
    last_beat: float = 1e12
    max_silence_s: float = 1.0


@pytest.mark.parametrize("dead", ["coin-line", "link", "inputs", "serial"])
def test_a_thread_that_has_died_ends_the_agent(dead: str) -> None:
    """Without its inputs, too: a ready line that nobody reads would be sold for ever."""
    events = EventQueue()
    events.put(MeterPulse(0))
    parts = {name: Thread(alive=name != dead) for name in ("coin-line", "link")}
    inputs = {name: Thread(alive=name != dead) for name in ("inputs", "serial")}
    with pytest.raises(PartDied, match=dead):
        run_loop(Rig().agent, events, Notifier(None), parts, inputs)


def test_the_loop_ends_once_the_agent_has_finished() -> None:
    events = EventQueue()
    events.put(StopAsked())
    run_loop(Rig().agent, events, Notifier(None), {"link": Thread()}, {})


def test_the_last_word_of_an_input_is_not_lost_in_a_flood() -> None:
    """Its thread waits for room instead, so that the agent never believes a machine ready that is not."""
    events = EventQueue()
    for _ in range(SIGNALS_WAITING):
        events.put_signal(MeterPulse(0))
    last = ReadyChanged(False, 0)
    waiting = threading.Thread(target=events.put_signal, args=(last,), daemon=True)
    waiting.start()
    found = [events.get(20) for _ in range(SIGNALS_WAITING + 1)]
    waiting.join(20)
    assert found[-1] == last


def test_a_flood_of_messages_is_turned_away_and_nothing_else() -> None:
    events = EventQueue()
    message = Arrived("t", b"", False, Receipt(1, 1, 1))
    assert [events.offer(message) for _ in range(MESSAGES_WAITING + 1)][-2:] == [True, False]
    events.put(StopAsked())
    assert [events.get(1) for _ in range(MESSAGES_WAITING + 1)][-1] == StopAsked()


MOUNTS = """overlay / overlay rw,lowerdir=/media/root-ro 0 0
/dev/mmcblk0p3 /var/lib/arcade ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/arcade/journal.db", None),
        ("/var/lib/arcade2/journal.db", "overlay"),
        ("/etc/arcade/journal.db", "overlay"),
        ("/tmp/x/journal.db", "tmpfs"),
    ],
)
def test_a_journal_that_a_power_cut_would_set_back_is_seen(path: str, kind: str | None) -> None:
    assert forgetful_file_system(Path(path), MOUNTS) == kind


def test_a_line_of_mounts_that_is_none_does_not_stop_the_agent() -> None:
    assert forgetful_file_system(Path("/x"), "nonsense\n\n") is None
