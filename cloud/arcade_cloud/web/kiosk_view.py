"""What the screen on a cabinet shows (pure): the code to scan, or why there is none."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Literal

from arcade_cloud.domain.closure import closed_text
from arcade_cloud.domain.machines import Machine, Presence, condition
from arcade_cloud.domain.order import Order
from arcade_cloud.domain.words import ENGLISH, Words

KioskState = Literal[
    "ready",
    "adding",  # somebody has paid, and the machine adds the credits
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


@dataclass(frozen=True, slots=True)
class Adding:
    """Credits that a machine is adding now."""

    added: int
    ordered: int


def adding(machine_id: str, orders: Iterable[Order]) -> Adding | None:
    """What the machine is adding now, of these orders; None if nothing."""
    for order in orders:
        for credit in order.credits:
            delivery = credit.delivery
            if credit.machine_id != machine_id or delivery is None or not credit.under_way:
                continue
            if delivery.accepted and delivery.revoking is None:
                return Adding(delivery.reported, credit.count)
    return None


def kiosk_view(
    machine: Machine,
    presence: Presence | None,
    now_ms: int,
    *,
    sells: bool = True,
    under_way: Adding | None = None,
    coins: bool = False,
    zone: tzinfo = UTC,
    words: Words = ENGLISH,
) -> KioskView:
    """What to show. The code is shown in the state `ready` only.

    Args:
        sells: Whether the machine has any offer.
        under_way: What it is adding now.
        coins: Whether it takes coins too.
        zone: In which players read times.
    """
    closed = machine.closed(now_ms)
    if closed is not None:
        detail = closed_text(closed, now_ms, zone, words)
        return KioskView(state="out_of_order", title=words.text("Out of service"), detail=detail)
    found = condition(machine, presence, now_ms)
    if not sells or found == "never connected":
        return KioskView(
            state="out_of_order",
            title=words.text("Coins only") if coins else words.text("Not available yet"),
            detail=words.text("You cannot pay by phone here yet."),
        )
    passes = found == "not ready" and presence is not None and presence.reason in PASSING
    if under_way is not None and (found == "ready" or passes):
        return KioskView(state="adding", title=words.text("Adding credits"), detail=_progress(under_way, words))
    if found == "ready":
        detail = words.text("Point your phone's camera at the code.")
        return KioskView(state="ready", title=words.text("Scan to play"), detail=detail)
    if found == "offline":
        resumes = words.text("Phone payments resume automatically.")
        detail = words.sentences(resumes, words.text("You can pay with coins.")) if coins else resumes
        return KioskView(state="offline", title=words.text("Offline"), detail=detail)
    if passes:
        detail = words.text("The machine cannot take credits right now.")
        return KioskView(state="wait", title=words.text("One moment"), detail=detail)
    detail = words.text("Please tell the staff.")
    return KioskView(state="out_of_order", title=words.text("Out of order"), detail=detail)


def _progress(under_way: Adding, words: Words) -> str:
    if under_way.added:
        return words.text(
            "%(number)s of %(ordered)s credits added", number=under_way.added, ordered=under_way.ordered
        )
    return words.count("%(number)s credit to add", "%(number)s credits to add", under_way.ordered)
