"""What may go wrong, and how often: drawn anew for each seed. Many seeds know few faults, some none.

Each fault has a stream of chance of its own, so a fault that is added later changes nothing in the seeds that do
not draw it.
"""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# Chance at each opportunity: the lowest and the highest rate that a seed may draw.
RATES: dict[str, tuple[float, float]] = {
    "cloud killed before a commit or effect": (0.0005, 0.02),
    "cloud killed after a commit or effect": (0.0005, 0.02),
    "another worker in between": (0.01, 0.3),
    "another worker before the answer is used": (0.01, 0.3),
    "another worker while an order is booked": (0.05, 0.5),
    "another worker while receipts are numbered": (0.05, 0.5),
    "cloud killed while it numbers receipts": (0.05, 0.5),
    "work for Stripe dropped": (0.02, 0.5),
    "store lost the answer": (0.001, 0.03),
    "message lost before the broker": (0.005, 0.3),
    "message lost after the broker": (0.005, 0.3),
    "broker's word lost": (0.005, 0.3),
    "message repeated": (0.01, 0.4),
    "message late": (0.01, 0.3),
    "message very late": (0.005, 0.05),
    "will late": (0.1, 1.0),
    "ack refused by the broker": (0.01, 0.2),
    "ack confirmed, and nobody subscribed": (0.01, 0.3),
    "webhook never": (0.02, 1.0),
    "webhook late": (0.02, 0.5),
    "webhook ten times": (0.02, 0.3),
    "webhook before its answer": (0.05, 0.8),
    "Stripe busy": (0.01, 0.2),
    "Stripe failed and keeps the key": (0.01, 0.1),
    "Stripe's answer lost": (0.02, 0.5),
    "Stripe slow": (0.01, 0.2),
    "Stripe's answer waits before it is used": (0.02, 0.5),
    "Stripe does it later": (0.02, 0.5),
    "Stripe takes no part of a hold": (0.5, 1.0),
    "Stripe refuses a capture": (0.05, 0.5),
    "refund fails": (0.05, 0.9),
    "hold ends early": (0.02, 0.5),
    "hold is short": (0.1, 1.0),
    "money moved by hand at Stripe": (0.02, 0.3),
    "dispute": (0.02, 0.4),
    "Pi cut before a journal write": (0.002, 0.05),
    "Pi cut after a journal write": (0.002, 0.05),
    "Pi cut in a pulse": (0.005, 0.1),
    "Pi cut between pulses": (0.005, 0.1),
    "agent killed in a pulse": (0.005, 0.1),
    "agent restarted": (0.002, 0.02),
    "agent stopped in order in a train": (0.005, 0.1),
    "a thread of the agent dies in a train": (0.005, 0.1),
    "card stalls": (0.002, 0.05),
    "Pi broken for good": (0.05, 0.5),
    "coin line fails": (0.005, 0.1),
    "machine not ready in a train": (0.01, 0.3),
    "cable pulled in a train": (0.005, 0.1),
    "coin by hand in a train": (0.01, 0.2),
    "meter lags": (0.02, 0.5),
    "journal full": (0.002, 0.03),
    "journal says no and has it": (0.002, 0.03),
    "journal rolled back": (0.1, 0.6),
    "journal lost": (0.02, 0.3),
    "operator refunds": (0.05, 0.6),
    "an alert does not arrive": (0.05, 0.8),
}

# So many times in a seed, each for so long.
WINDOWS: dict[str, tuple[int, int, int]] = {
    "broker down": (3, 10 * SECOND, 2 * HOUR),
    "broker restarted with its memory": (3, 1 * SECOND, 1 * MINUTE),
    "broker restarted without its memory": (3, 1 * SECOND, 1 * MINUTE),
    "acks lost on their way": (2, 1 * MINUTE, 5 * HOUR),
    "acks lost for good": (1, 1, 2),
    "acks held up": (2, 1 * MINUTE, 5 * HOUR),
    "Stripe down": (2, 30 * SECOND, 3 * HOUR),
    "store down": (3, 1 * SECOND, 20 * MINUTE),
    "cloud down": (2, 10 * SECOND, 3 * HOUR),
    "link of a Pi down": (4, 1 * SECOND, 90 * MINUTE),
    "client id of a Pi taken": (2, 5 * SECOND, 30 * MINUTE),
    "Pi without power": (3, 5 * SECOND, 3 * HOUR),
    "machine not ready": (4, 5 * SECOND, 1 * HOUR),
    "detector of a Pi fails": (3, 5 * SECOND, 1 * HOUR),
    "coin not registered": (3, 30 * SECOND, 30 * MINUTE),
    "second Pi with the same id": (2, 30 * SECOND, 30 * MINUTE),
    "wall clock jumps": (3, 1, 2),
    "a cloud process has another time": (2, 1 * MINUTE, 2 * HOUR),
    "a cloud process's clock is hours off": (2, 1 * MINUTE, 2 * HOUR),
    "signing secret rotated": (1, 1 * MINUTE, 30 * MINUTE),
    "attacker has the broker": (2, 1 * MINUTE, 1 * HOUR),
    "careless Pi answers for others": (1, 1 * MINUTE, 30 * MINUTE),
    "thief with another machine's key": (1, 1 * MINUTE, 30 * MINUTE),
    "leftovers retained": (6, 1, 2),
    "database restored from a backup": (1, 5 * SECOND, 10 * MINUTE),
    "machine out of service": (3, 20 * SECOND, 20 * MINUTE),
}


@dataclass
class Faults:
    """The faults of one seed: how often each happens, and how often it has."""

    seed: int
    rates: dict[str, float] = field(default_factory=dict)
    windows: dict[str, int] = field(default_factory=dict)
    on: bool = True
    happened: Counter[str] = field(default_factory=Counter)
    _streams: dict[str, random.Random] = field(default_factory=dict)

    def stream(self, name: str) -> random.Random:
        """The fault's own chance."""
        known = self._streams.get(name)
        if known is None:
            known = self._streams[name] = random.Random(f"{self.seed} {name}")  # it must be the same again
        return known

    def hit(self, name: str) -> bool:
        """Whether the fault happens now."""
        rate = self.rates.get(name)
        if rate is None or not self.on or self.stream(name).random() >= rate:
            return False
        self.happened[name] += 1
        return True

    def rate(self, name: str) -> float:
        """How often it happens."""
        return self.rates.get(name, 0.0) if self.on else 0.0


def draw(seed: int, weather: Sequence[str] = ()) -> Faults:
    """The faults of a seed: none in one of ten, a few in most, many in some; or a `weather` at its worst."""
    faults = Faults(seed)
    if weather:
        faults.rates = {name: RATES[name][1] for name in weather if name in RATES}
        faults.windows = {name: WINDOWS[name][0] for name in weather if name in WINDOWS}
        return faults
    rng = faults.stream("how many")
    dice = rng.random()
    if dice < 0.1:
        return faults
    chance = rng.choice((0.04, 0.08, 0.12)) if dice < 0.55 else rng.choice((0.2, 0.3, 0.5))
    for name, (low, high) in RATES.items():
        rng = faults.stream(name)
        if rng.random() < chance:
            faults.rates[name] = math.exp(rng.uniform(math.log(low), math.log(high)))
    for name, (most, _, _) in WINDOWS.items():
        rng = faults.stream(name)
        if rng.random() < chance:
            faults.windows[name] = rng.randint(1, most)
    return faults
