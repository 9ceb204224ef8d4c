"""What the screen on a cabinet shows to whoever walks by (pure): the code to scan, or why there is none now."""

from dataclasses import dataclass
from typing import Literal

from arcade_cloud.domain.machines import Machine, Presence, readiness

KioskState = Literal[
    "ready",
    "wait",  # it takes no credits just now, and is expected to do so again by itself
    "out_of_order",  # somebody has to look at it
    "offline",
]

# What an agent gives as the reason of its not being ready, where time alone mends it.
PASSING = frozenset({"machine not ready", "busy", "no clock", "stopping"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KioskView:
    """The state of the screen, its headline, and one sentence below it."""

    state: KioskState
    title: str
    detail: str


def kiosk_view(machine: Machine, presence: Presence | None, now_ms: int, *, sells: bool = True) -> KioskView:
    """What to show. Only in the state `ready` may there be a code. `sells`: whether the machine has any offer."""
    if not sells:
        return KioskView(state="out_of_order", title="Coins only", detail="Nothing is sold here by phone yet.")
    match readiness(machine, presence, now_ms):
        case "ready":
            return KioskView(state="ready", title="Scan to play", detail="Point your phone's camera at the code.")
        case "never connected":
            return KioskView(state="out_of_order", title="Not connected yet", detail="Please pay with coins.")
        case "offline":
            return KioskView(state="offline", title="Offline", detail="Paying by phone comes back by itself.")
        case "not ready" if presence is not None and presence.reason in PASSING:
            return KioskView(state="wait", title="One moment", detail="The machine takes no credits just now.")
        case _:
            return KioskView(state="out_of_order", title="Out of order", detail="Please tell the staff.")
