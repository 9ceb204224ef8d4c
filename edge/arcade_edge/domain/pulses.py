"""The rules of a pulse train: what a coin line's profile may be, and how long a train takes (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from arcade_edge.errors import BadProfile
from arcade_shared.cabinet import MAX_TRAIN_S

Active = Literal["low", "high"]
"""The level at which a wire means something: a coin, for the coin line."""

MAX_TRAIN_MS = 1000 * MAX_TRAIN_S

BOUNDS = {
    # Below 5 ms no coin input counts; above 5 s even the slowest board takes the mech for jammed.
    "pulse_ms": (5, 5_000),
    "gap_ms": (5, 5_000),
    "pulses_per_credit": (1, 20),
    "max_credits": (1, 1_000),
}

# What boards are known to take, from the sources in docs/WIRING.md: 20 ms is the shortest coin of a CH-926, and
# less is noise to a DG600F; 500 ms, between two coins of older Williams boards, is the longest, and has room here.
USUAL_MS = (20, 1_000)


@dataclass(frozen=True, slots=True)
class Profile:
    """How one board wants its coins: times in ms, pulses for each credit, credits for each command.

    The defaults suit most boards: JAMMA asks for 50 ms at least, mechanical counters need 60 ms.

    Raises:
        BadProfile: Naming every key that is out of bounds.
    """

    pulse_ms: int = 100
    gap_ms: int = 100
    pulses_per_credit: int = 1
    max_credits: int = 50

    def __post_init__(self) -> None:
        faults = []
        for key, (low, high) in BOUNDS.items():
            given = getattr(self, key)
            if type(given) is not int:
                faults.append(f"{key}: a whole number is needed, not {given!r}")
            elif not low <= given <= high:
                faults.append(f"{key}: {given} is out of bounds, it must be {low} to {high}")
        if not faults and self.credit_ms > MAX_TRAIN_MS:
            faults.append(
                f"pulses_per_credit: one credit would take {self.credit_ms} ms, "
                f"the most is {MAX_TRAIN_MS} ms; lower it, pulse_ms or gap_ms"
            )
        if faults:
            raise BadProfile(tuple(faults))

    @property
    def credit_ms(self) -> int:
        """Time for one credit in ms, the gap before each of its pulses included."""
        return self.pulses_per_credit * (self.pulse_ms + self.gap_ms)


def unusual(profile: Profile) -> list[str]:
    """What no board is known to take, though it can be driven: one sentence for each key."""
    low_ms, high_ms = USUAL_MS
    return [
        f"{key} is {given} ms, and no board is known to take {what}: 100 suits nearly every one (docs/WIRING.md)"
        for key, given in (("pulse_ms", profile.pulse_ms), ("gap_ms", profile.gap_ms))
        if (what := f"less than {low_ms}" if given < low_ms else f"more than {high_ms}" if given > high_ms else "")
    ]
