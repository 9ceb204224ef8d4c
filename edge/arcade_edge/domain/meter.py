"""The coin meter: what it says about a train, and when the machine goes out of sale for it (pure)."""

from __future__ import annotations

from dataclasses import dataclass, replace

# One train may fall short by a coin that jammed in the mech just then. The third in a row is a wire.
SHORT_TRAINS_MOST = 3
# The most that an ack can tell.
MOST_REGISTERED = 2_000


@dataclass(frozen=True, slots=True)
class Meter:
    """How the meter of one cabinet is read.

    Attributes:
        counts: What it has not registered counts as not delivered.
        per_credit: How often it moves for one credit.
        settle_ms: How long it stays still once it has registered everything. Boards echo a coin within some tens
            of ms, mechanical meters need up to 200.
    """

    counts: bool = False
    per_credit: int = 1
    settle_ms: int = 300

    @property
    def settles_within_ms(self) -> int:
        """What it may take after the last pulse: a meter that is slower than the coins lags behind."""
        return max(SETTLES_MOST_MS, self.settle_ms)


# A meter that moves every 200 ms has then told 25 coins more than the line had taken in time.
SETTLES_MOST_MS = 5_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meter says during one train. Times are ms of the boot clock."""

    meter: Meter
    moves: int = 0
    moved_ms: int = 0
    over_ms: int | None = None

    def moved(self, now_ms: int) -> Reading:
        """It has moved by one."""
        return replace(self, moves=self.moves + 1, moved_ms=now_ms)

    def train_over(self, now_ms: int) -> Reading:
        """The last pulse of the train was made."""
        return replace(self, over_ms=now_ms)

    @property
    def registered(self) -> int:
        """How many credits the board has registered; hand-fed coins among them."""
        return min(self.moves // self.meter.per_credit, MOST_REGISTERED)

    @property
    def settled_at_ms(self) -> int | None:
        """When it counts as still, unless it moves again before; None while the train goes on."""
        if self.over_ms is None:
            return None
        still_ms = max(self.over_ms, self.moved_ms) + self.meter.settle_ms
        return min(still_ms, self.over_ms + self.meter.settles_within_ms)


def short_trains(before: int, pulsed: int, registered: int) -> int:
    """How many trains in a row have fallen short, after one more. One that pulsed nothing says nothing."""
    if not pulsed:
        return before
    return min(before + 1, SHORT_TRAINS_MOST) if registered < pulsed else 0
