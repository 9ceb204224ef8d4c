"""The agent: from the coinpulse to the first edge, and what it costs while nothing happens."""

import statistics
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from arcade_sandbox.broker.launcher import Broker, User
from bench.rows import Row, as_the_unit_runs_it, percentile
from support.agent_process import KEY, MACHINE, AgentProcess, write_config
from support.mqtt_cloud import MqttCloud, coinpulse, now_ms
from support.mqtt_probe import Probe

ROUNDS = 200
IDLE_S = 60
# What the agent's imports take by themselves in a bare interpreter is measured too.
BARE = "import gpiozero, paho.mqtt.client, msgspec, sqlite3, threading, time; time.sleep(3600)"


def _broker(folder: Path) -> Broker:
    users = [
        User("cloud", "cloud password", role="cloud"),
        User(MACHINE, "machine password", role="machine"),
        User("bench", "bench password", role="bench"),
    ]
    return Broker(folder / "broker", users=users)


def latency() -> list[Row]:
    """Coinpulse published → first edge on the coin line, against a bare QoS 1 message on the same broker."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _broker(folder) as broker:
            floor_ms = _raw_ms(broker.port)
            config = write_config(folder, broker.port, pulse_ms=10, gap_ms=10)
            agent = AgentProcess(config, "--min-pulse-ms", "5", "--min-gap-ms", "5", "--play-s", "0.01")
            with (
                MqttCloud(broker.port, KEY, MACHINE, username="cloud", password="cloud password") as cloud,
                ExitStack() as ending,
            ):
                ending.callback(agent.kill)
                with as_the_unit_runs_it() as note:
                    agent.start()
                installation = cloud.ready().installation
                took_ms = []
                for _ in range(ROUNDS):
                    pulses = agent.pulses()
                    credit_id = cloud.new_credit_id()
                    payload = coinpulse(KEY, MACHINE, credit_id, 1, installation, now_ms() + 60_000)
                    sent_ns = time.monotonic_ns()
                    cloud.publish("coinpulse", payload)
                    cloud.final(credit_id)
                    edges = [edge for edge in agent.edges() if edge.active]
                    took_ms.append((edges[pulses].at_ns - sent_ns) / 1e6)
                    time.sleep(0.03)
    p50, p99, floor = statistics.median(took_ms), percentile(took_ms, 0.99), statistics.median(floor_ms)
    return [
        Row(
            f"coinpulse published → first edge, p50 (p99){note}",
            f"{p50:.2f} ms ({p99:.2f} ms)",
            f"{floor:.2f} ms, a bare QoS 1 message",
            f"{p50 / floor:.1f} ×",
            "≤ 2.5 ×",
            p50 / floor <= 2.5,
        )
    ]


def _raw_ms(port: int) -> list[float]:
    took_ms = []
    with Probe(port, "bench", "bench password") as sender, Probe(port, "bench", "bench password") as receiver:
        receiver.subscribe("bench/raw")
        for _ in range(ROUNDS):
            sent_ns = time.monotonic_ns()
            sender.publish("bench/raw", b"x" * 300)
            receiver.next_message()
            took_ms.append((time.monotonic_ns() - sent_ns) / 1e6)
            time.sleep(0.01)
    return took_ms


def idle() -> list[Row]:
    """Memory and processor time of a connected agent with nothing to do."""
    import subprocess
    import sys

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = subprocess.Popen([sys.executable, "-c", BARE])
        try:
            with (
                _broker(folder) as broker,
                MqttCloud(broker.port, KEY, MACHINE, username="cloud", password="cloud password") as cloud,
                AgentProcess(write_config(folder, broker.port)) as agent,
            ):
                cloud.ready()
                process = psutil.Process(agent.pid)
                time.sleep(2)
                before = process.cpu_times()
                threading.Event().wait(IDLE_S)
                after = process.cpu_times()
                resident = process.memory_info().rss / 1e6
                floor = psutil.Process(bare.pid).memory_info().rss / 1e6
        finally:
            bare.kill()
            bare.wait()
    share = 100 * (after.user + after.system - before.user - before.system) / IDLE_S
    return [
        Row(
            "agent at idle, resident",
            f"{resident:.0f} MB",
            f"{floor:.0f} MB, its bare imports",
            f"{resident / floor:.2f} ×",
            "≤ 48 MB",
            resident <= 48,
        ),
        Row("agent at idle, of one core", f"{share:.2f} %", target="≤ 0.5 %", reached=share <= 0.5),
    ]
