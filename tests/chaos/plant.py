"""The whole system as real processes, with a link that can fail in every place where there is a network.

Two or more clouds on one SQLite store, several cabinets, Mosquitto with TLS, passwords and access lists, the
stand-in for Stripe. Every process is started by the thread that makes the plant, because it ends with it.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import requests

from arcade_sandbox.errors import SystemFailed
from arcade_sandbox.processes import START_WITHIN_S, STOP_WITHIN_S, Process, free_port, wait_for
from arcade_sandbox.system import Profile, System
from support.tcp_link import Link

# Short enough for thousands of pulses; the checker judges by the same figures.
PROFILE = Profile(pulse_ms=15, gap_ms=15, min_pulse_ms=10, min_gap_ms=10, start_after_ms=200, play_s=0.3)
# Limits short enough to be sat out; they keep the order that the real ones have.
DELIVER_WITHIN_S, SILENCE_LIMIT_S, ANSWER_S = 8, 12, 1
TAB_IDLE_S = 20
LIMITS: Mapping[str, str] = {
    "DELIVER_WITHIN_S": str(DELIVER_WITHIN_S),
    "SILENCE_LIMIT_S": str(SILENCE_LIMIT_S),
    "HOLD_SILENCE_LIMIT_S": str(SILENCE_LIMIT_S),
    "ANSWER_S": str(ANSWER_S),
    "TAB_LIMITS": "10.00MYR",
    "TAB_IDLE_S": str(TAB_IDLE_S),
    "TAB_FRESH_S": "10",
}
# As at Stripe, an endpoint that hangs holds up no other.
WEBHOOKS_AT_ONCE = 16
# What ends by itself is started again as systemd would do it, after so long.
RESTART_AFTER_S = 1.0


@dataclass
class Unit:
    """One process that is to run, unless a fault has taken it away. `wanted` false: it is away on purpose."""

    process: Process
    wanted: bool = True
    ended_ns: int | None = None
    exits: list[int] = field(default_factory=list)  # how it ended by itself

    @property
    def pid(self) -> int:
        """Its process id. Raises SystemFailed before its first start."""
        if self.process.child is None:
            raise SystemFailed(f"{self.process.name} was never started")
        return self.process.child.pid


@dataclass
class Plant:
    """Everything that is under test. `urls` are the clouds' addresses."""

    system: System
    clouds: dict[str, Unit]
    agents: dict[str, Unit]
    links: dict[str, Link]
    urls: dict[str, str]

    def supervise(self) -> None:
        """Start again what has ended by itself, and remember how it ended."""
        for unit in (*self.clouds.values(), *self.agents.values()):
            child = unit.process.child
            if not unit.wanted or child is None or child.poll() is None:
                continue
            if unit.ended_ns is None:
                unit.ended_ns = time.monotonic_ns()
                unit.exits.append(child.returncode)
            elif time.monotonic_ns() - unit.ended_ns > RESTART_AFTER_S * 1e9:
                unit.ended_ns = None
                unit.process.start()

    def stop(self) -> list[str]:
        """Stop agents and clouds in order; what did not end as it should, in a sentence each."""
        units = (*self.agents.values(), *self.clouds.values())
        for unit in units:
            unit.wanted = False
            unit.process.send(signal.SIGTERM)
        wrong = []
        for unit in units:
            if unit.process.child is None:
                continue
            try:
                status = unit.process.child.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                wrong.append(f"{unit.process.name} did not end when it was told to stop")
                continue
            if status != 0:
                wrong.append(f"{unit.process.name} ended with {status} when it was told to stop")
        return wrong


@contextlib.contextmanager
def running(folder: Path, clouds: int, agents: int) -> Iterator[Plant]:
    """The plant, ready to be paid; all of it is ended at the end. Raises SystemFailed."""
    machine_ids = [f"cab-{number:02}" for number in range(1, agents + 1)]
    # The first start is without any link between: it registers the machines and makes the configs.
    made = System(
        folder, machine_ids=machine_ids, profile=PROFILE, settings=LIMITS, webhooks_at_once=WEBHOOKS_AT_ONCE
    )
    with made as system, _links() as links:
        for cabinet in system.cabinets.values():
            cabinet.agent.stop()
        system.cloud.stop()
        plant = Plant(system, {}, {}, links, {})
        try:
            _wire_clouds(plant, clouds)
            _wire_agents(plant)
            system.stripe.set_webhooks(f"{url}/webhook" for url in plant.urls.values())
            for machine_id in machine_ids:
                wait_for(f"{machine_id} can be paid", partial(is_ready, plant, machine_id))
            yield plant
        finally:
            for unit in (*plant.agents.values(), *plant.clouds.values()):
                unit.process.send(signal.SIGCONT)
                unit.process.kill()


def is_ready(plant: Plant, machine_id: str) -> bool:
    """Whether some cloud that answers would take money for the machine."""
    for url in plant.urls.values():
        try:
            answer = requests.get(f"{url}/m/{machine_id}?format=json", timeout=2)
            return bool(answer.json()["ready"])
        except (requests.RequestException, ValueError, KeyError):
            continue
    return False


@contextlib.contextmanager
def _links() -> Iterator[dict[str, Link]]:
    links: dict[str, Link] = {}
    try:
        yield links
    finally:
        for link in links.values():
            link.__exit__(None, None, None)


def _link(plant: Plant, name: str, port: int) -> int:
    link = plant.links[name] = Link(port).__enter__()
    return link.port


def _wire_clouds(plant: Plant, number: int) -> None:
    system = plant.system
    for index in range(1, number + 1):
        name = f"cloud-{index}"
        port = system.port if index == 1 else free_port()
        broker = _link(plant, f"{name} - broker", system.broker.tls_port)
        stripe = _link(plant, f"{name} - Stripe", system.stripe.port)
        environment = {
            **system.cloud.environment,
            "EMQX_PORT": str(broker),
            "STRIPE_API_BASE": f"http://127.0.0.1:{stripe}",
            "MQTT_LISTENER_ID": name,
        }
        arguments = ["-m", "arcade_cloud.entrypoints.cli", "serve", "--port", str(port)]
        process = Process(name, arguments, system.folder, environment)
        plant.clouds[name] = Unit(process)
        plant.urls[name] = f"http://127.0.0.1:{port}"
        process.start()
    for name, url in plant.urls.items():
        wait_for(f"{name} answers", partial(_answers, url), START_WITHIN_S)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/status", timeout=2).ok
    except requests.RequestException:
        return False


def _wire_agents(plant: Plant) -> None:
    tls_port = plant.system.broker.tls_port
    for machine_id, cabinet in plant.system.cabinets.items():
        port = _link(plant, f"{machine_id} - broker", tls_port)
        config = cabinet.config.read_text()
        cabinet.config.write_text(config.replace(f"port = {tls_port}\n", f"port = {port}\n"))
        plant.agents[machine_id] = Unit(cabinet.agent)
        cabinet.agent.start()


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; to one that has just ended, nothing."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
