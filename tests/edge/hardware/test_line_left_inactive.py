"""Whatever ends a command of a technician's, and however `release` is called, the line is not left active."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from arcade_edge import cli
from arcade_edge.simulator.cabinet import read_edge_log
from support.agent_process import AgentProcess, hear_signals, write_config

# The command on a simulated cabinet, whose log of edges survives the process.
_ON_A_CABINET = """
import sys
from pathlib import Path
from gpiozero import Device
from arcade_edge import cli
from arcade_edge.simulator.cabinet import SimulatedCabinet, Wiring
Device.pin_factory = SimulatedCabinet(Wiring(17), edge_log=Path(sys.argv[1])).factory()
sys.exit(cli.main(sys.argv[2:]))
"""


def wait_until_active(edge_log: Path) -> None:
    until = time.monotonic() + 20
    while not (edge_log.exists() and any(edge.active for edge in read_edge_log(edge_log))):
        assert time.monotonic() < until, "the line never became active"
        time.sleep(0.005)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_train_by_hand_that_is_broken_off_ends_with_a_whole_pulse(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C, a kill, and a terminal that was closed: the running pulse has its width, and no other follows."""
    config = write_config(tmp_path, 1, pulse_ms=300)
    edge_log = tmp_path / "edges.jsonl"
    command = [sys.executable, "-c", _ON_A_CABINET, str(edge_log), "pulse", "--config", str(config), "50"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=hear_signals
    ) as child:
        try:
            wait_until_active(edge_log)
            child.send_signal(number)
            assert child.wait(20) == cli.FAILED
        finally:
            child.kill()
    edges = read_edge_log(edge_log)
    assert [edge.active for edge in edges] == [True, False]
    assert edges[1].at_ns - edges[0].at_ns >= 300 * 1_000_000


def test_a_terminal_that_is_closed_stops_the_agent_in_order(tmp_path: Path) -> None:
    with AgentProcess(write_config(tmp_path, 1)) as agent:
        agent.wait_for_log("trying again")
        agent.send(signal.SIGHUP)
        assert agent.wait() == cli.OK


def test_release_guesses_no_level(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a line that is active high, "low" for a guess would drive it active and leave it so."""
    path = write_config(tmp_path, 1)
    path.write_text(path.read_text().replace("pin = 17", 'pin = 17\nactive = "high"'))
    assert cli.main(["release", "--config", str(path), "--pin", "17"]) == cli.MISUSED
    assert "--active" in capsys.readouterr().err
