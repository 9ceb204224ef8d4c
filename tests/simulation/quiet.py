"""The simulation's parts with all faults off, for the contract suites that hold its doubles to the ports."""

from arcade_edge.domain.pulses import Profile
from simulation.faults import MINUTE
from simulation.sim_pi import Pi
from simulation.world import World


def quiet_world() -> World:
    """A world in which nothing happens by itself. Its faults are on, so that its doubles go their usual ways."""
    world = World(1)
    world.faults.rates.clear()
    world.faults.windows.clear()
    return world


def quiet_pi(world: World, profile: Profile | None = None) -> Pi:
    """One more Pi in `world`, whose agent runs."""
    pi = world._pi("cab-9", "cab-9", profile or Profile())
    pi.power_on()
    world.scheduler.run_until(world.scheduler.now_ms + MINUTE)
    if pi.agent is None:
        raise RuntimeError("the simulated agent does not start")
    return pi
