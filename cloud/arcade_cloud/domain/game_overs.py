"""Game overs as evidence: that somebody played on a machine after its credits were pulsed (pure).

What is kept of a game over is a short record, for some days. Many machines send none, so that there is no game
over says nothing by itself.
"""

import hashlib
from collections.abc import Iterable, Sequence

from msgspec import Struct

from arcade_cloud.domain.limits import SKEW_MS
from arcade_cloud.domain.order import Order
from arcade_shared.messages import Gameover
from arcade_shared.times import parse_ms

# Longer than a claim can be made, and than the first question about a payment usually takes.
KEPT_MS = 8 * 86_400_000
# A message that has waited longer for the cloud is dated by when it came.
WAITED_AT_MOST_MS = 86_400_000


class GameOver(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One game over.

    Attributes:
        at_ms: When it was, as far as is known: a signed message says so itself, another was when it came.
        event_id: Tells it from others of the same moment.
        heard_at_ms: When the cloud took it in.
        said_at: The message's own time, as it stood there.
        source: What has seen it, as the message says: `gpio`, `serial`, or `api` for game software.
        signed: It is from the machine's agent, or by `POST /gameover`. Anybody else who may publish may have sent
            another.
        left_out: How many came before it that are not kept, because there were too many.
    """

    machine_id: str
    at_ms: int
    event_id: str
    heard_at_ms: int
    said_at: str = ""
    source: str = ""
    signed: bool = False
    left_out: int = 0


def taken_in(message: Gameover, now_ms: int, left_out: int) -> GameOver:
    """What is kept of a message whose signature, if it has one, is right."""
    is_signed = message.signature is not None
    name = message.event_id or hashlib.sha256(f"{message.timestamp} {message.source}".encode()).hexdigest()[:32]
    return GameOver(
        machine_id=message.machine_id,
        at_ms=_said_ms(message.timestamp, now_ms) if is_signed else now_ms,
        event_id=name,
        heard_at_ms=now_ms,
        said_at=message.timestamp,
        source=message.source or "",
        signed=is_signed,
        left_out=left_out,
    )


def _said_ms(text: str, now_ms: int) -> int:
    """The message's own time, so that one that comes twice is the same; when it came, if that cannot be right."""
    try:
        said_ms = parse_ms(text)
    except ValueError:
        return now_ms
    return said_ms if now_ms - WAITED_AT_MOST_MS <= said_ms <= now_ms + SKEW_MS else now_ms


class After(Struct, frozen=True, kw_only=True):
    """The game overs after the credits of one play.

    Attributes:
        number: The play, from 1.
        until_ms: Where the look ends: with the next credits at that machine, whoever paid them.
        game_overs: The first one first.
        sends_any: Whether the machine has sent any in the days for which they are kept.
    """

    number: int
    machine_id: str
    from_ms: int
    until_ms: int
    game_overs: tuple[GameOver, ...]
    sends_any: bool


def next_credits_ms(machine_id: str, after_ms: int, orders: Iterable[Order]) -> int | None:
    """When the next credits were drawn at a machine; None if none were among these orders."""
    times = [
        credit.drawn_at_ms
        for order in orders
        for credit in order.credits
        if credit.machine_id == machine_id and credit.drawn_at_ms is not None and credit.drawn_at_ms > after_ms
    ]
    return min(times, default=None)


def claim_text(found: Sequence[GameOver], sends_any: bool) -> str:
    """What game overs say about a claim, in words; empty if the machine sends none, which says nothing."""
    if found:
        times = "once" if len(found) == 1 else f"{len(found)} times"
        bare = "" if any(one.signed for one in found) else " (unsigned)"
        return f"game over {times} after the credits, before the claim{bare}"
    return "no game over between the credits and the claim" if sends_any else ""
