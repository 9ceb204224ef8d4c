"""What a machine's agent says of itself and its Pi, in words, with what to do about it (pure).

A status tells whether credits would be pulsed, and why not. It tells nothing of the Pi's temperature, its supply
voltage or its disk: `arcade-edge doctor` on the Pi looks at what there is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from arcade_cloud.domain.limits import SKEW_MS
from arcade_cloud.domain.machines import FRESH_MS, NO_CLOCK, Machine, Presence, condition, is_fresh, refused_text
from arcade_cloud.domain.offers import offer_text
from arcade_shared.cabinet import NOT_REGISTERED

# What stands in the way, in the agent's own words: what that means, and what to do.
_HINDRANCES = {
    "stopping": ("it is being stopped", "It starts again with the Pi, or by `sudo systemctl start arcade-edge`."),
    "journal": (
        "it cannot write its journal",
        "Run `arcade-edge doctor` on the Pi: the disk is full, read-only or broken. Nothing is sold meanwhile.",
    ),
    "coin line": (
        "its coin line does not work",
        "Look at the wire and the pin; `arcade-edge doctor`, then `sudo systemctl restart arcade-edge`.",
    ),
    NO_CLOCK: (
        "it does not know the time yet",
        "It waits for the cloud's answer. If that lasts: does the cloud run, and may it publish at the broker?",
    ),
    "acks refused": (
        "the broker takes no reports from it",
        "Look at what its user may publish at the broker: its own topics, as docs/DEPLOY.md says.",
    ),
    "machine not ready": (
        "the game says that it takes no coins",
        "Look at the cabinet: is it on, free, and not in its test menu? If it is, look at the wire of [ready].",
    ),
    NOT_REGISTERED: (
        "its coin meter has missed coins of three trains in a row",
        "Look at the coin line and the meter's wire, then `sudo arcade-edge pulse` at the machine.",
    ),
    "busy": ("it has many credits to pulse", "Nothing: it is ready again within a minute."),
}


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that is known about an agent. `todo`: what to do, empty if nothing is wrong."""

    name: str
    says: str
    todo: str = ""


def signs(machine: Machine, presence: Presence | None, now_ms: int, *, has_older_key: bool) -> tuple[Sign, ...]:
    """What is known about a machine's agent, for people; nothing of a machine that only listens.

    Args:
        has_older_key: It signs with the key of a secret that is being replaced.
    """
    if machine.kind == "subscriber":
        return ()
    if presence is None or presence.installation is None:
        todo = "Put its config on a Pi as /etc/arcade/edge.toml, and start the agent there."
        return (Sign("connection", "It was never heard.", todo), *_refused(presence))
    return (
        _connection(machine, presence, now_ms),
        *_hindrance(presence),
        *_rival(machine, presence, now_ms),
        *_contested(presence),
        *_refused(presence),
        _clock(presence),
        _key(has_older_key),
        *_train(machine, presence),
    )


def _connection(machine: Machine, presence: Presence, now_ms: int) -> Sign:
    if presence.online and is_fresh(presence.stated_at_ms, now_ms):
        return Sign("connection", "It is online.")
    why = "The broker says that it is gone" if not presence.online else "Nothing is heard from it any more"
    todo = (
        "" if machine.closed(now_ms) else "Look at its power, its network and the broker; nobody can pay for it."
    )
    return Sign("connection", f"{why}.", todo)


def _hindrance(presence: Presence) -> Iterator[Sign]:
    if not presence.online:
        return
    if not presence.reason:
        yield Sign("state", "It is ready." if presence.ready else "It is not ready, and does not say why.")
        return
    says, todo = _HINDRANCES.get(presence.reason, (presence.reason, ""))
    yield Sign("state", f"It is not ready: {says}.", todo)


def _rival(machine: Machine, presence: Presence, now_ms: int) -> Iterator[Sign]:
    if condition(machine, presence, now_ms) == "two devices":
        yield Sign(
            "installation",
            "Two Pis use this machine's id.",
            "Switch one off; after a Pi was replaced, the old one. Five minutes later players can pay again.",
        )


def _contested(presence: Presence) -> Iterator[Sign]:
    if presence.contested:
        yield Sign(
            "client id",
            "Somebody else keeps taking its place at the broker.",
            "Look for a second agent with a copy of its journal; see the alert taken_over.",
        )


def _refused(presence: Presence | None) -> Iterator[Sign]:
    if presence is not None and presence.refused_messages:
        yield Sign(
            "signature",
            f"{refused_text(presence).capitalize()}: they are signed with another key.",
            "Compare the signing_key in its edge.toml with the machine's config.",
        )


def _clock(presence: Presence) -> Sign:
    if presence.reason == NO_CLOCK:
        return Sign("clock", "It has no time of the cloud yet.")
    off_ms = presence.stated_at_ms - presence.heard_at_ms
    if not -FRESH_MS <= off_ms <= SKEW_MS:
        how = "behind" if off_ms < 0 else "ahead"
        todo = "One that was long on its way says so too. If the next one does: is the cloud's own clock right?"
        return Sign("clock", f"Its last word was {abs(off_ms) // 1000} s {how} when it came.", todo)
    return Sign("clock", "It has the cloud's time.")


def _key(has_older_key: bool) -> Sign:
    if has_older_key:
        todo = "Give it the newest config before the old secret is taken away."
        return Sign("key", "It signs with an older secret's key.", todo)
    return Sign("key", "It signs with the newest secret's key.")


def _train(machine: Machine, presence: Presence) -> Iterator[Sign]:
    if not presence.max_credits:
        return
    large = [offer_text(offer) for offer in machine.offers if offer.credits > presence.max_credits]
    todo = f"Nobody can buy {', '.join(large)}: change the offers, or the agent's max_credits." if large else ""
    yield Sign("at most", f"It takes {presence.max_credits} credits at once.", todo)
