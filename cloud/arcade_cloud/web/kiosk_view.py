"""What the screen on a cabinet shows (pure): the code to scan, or why there is none."""

from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

from arcade_cloud.domain.closure import closed_text
from arcade_cloud.domain.machines import Machine, Presence, condition
from arcade_cloud.web.player_view import NOTHING_SOLD

KioskState = Literal[
    "ready",
    "wait",  # it cannot take credits right now, and recovers without help
    "out_of_order",  # a person has to look at it
    "offline",
]

# The reasons for not being ready that pass without help, as the agent gives them.
PASSING = frozenset({"machine not ready", "busy", "no clock", "stopping"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KioskView:
    """The state of the screen, its headline, and one sentence below it."""

    state: KioskState
    title: str
    detail: str


def kiosk_view(
    machine: Machine, presence: Presence | None, now_ms: int, *, sells: bool = True, zone: tzinfo = UTC
) -> KioskView:
    """What to show. The code is shown in the state `ready` only.

    Args:
        sells: Whether the machine has any offer.
        zone: In which players read times.
    """
    closed = machine.closed(now_ms)
    if closed is not None:
        detail = closed_text(closed, now_ms, zone)
        return KioskView(state="out_of_order", title="Out of service", detail=detail)
    if not sells:
        return KioskView(state="out_of_order", title="Coins only", detail=NOTHING_SOLD)
    match condition(machine, presence, now_ms):
        case "ready":
            return KioskView(state="ready", title="Scan to play", detail="Point your phone's camera at the code.")
        case "never connected":
            return KioskView(state="out_of_order", title="Not connected yet", detail="Please pay with coins.")
        case "offline":
            return KioskView(state="offline", title="Offline", detail="Phone payments resume automatically.")
        case "not ready" if presence is not None and presence.reason in PASSING:
            return KioskView(state="wait", title="One moment", detail="The machine cannot take credits right now.")
        case "not ready" | "two devices" | "wrong key" | "too many credits":
            return KioskView(state="out_of_order", title="Out of order", detail="Please tell the staff.")
