"""What goes wrong, when, to whom and for how long: drawn in advance from a seed, in random overlap (pure)."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# The mean time between the beginnings of two faults. They overlap: most last longer than this.
EVERY_S = 0.7
# Most of the time nothing happens that could go wrong. So these faults are aimed, in so many of AIMED_OF cases:
# they wait for a long train (for a cloud: a payment), so long at the most, and then for a moment in it.
AIMED, AIMED_OF = 3, 4
AIM_WITHIN_S = 3.0
THEN_WITHIN_S = 0.3
# Once in so many faults of a process it is away for longer than an order may wait for it.
LONG_ONE_IN = 12
# A shorter run has no time to sit out a machine's silence.
LONG_FROM_S = 90.0


@dataclass(frozen=True)
class Kind:
    """One kind of fault: its share of all, what it hits, and for how long (seconds, from and to)."""

    name: str
    share: int
    hits: str  # "cloud", "agent", "broker", "stripe", "webhooks", "store", "link"
    for_s: tuple[float, float]
    may_be_long: bool = False
    may_be_aimed: bool = False


@dataclass(frozen=True)
class Fault:
    """One fault: from `at_s` after the beginning, for `for_s`, on `target`; `dice` decides what is left open.

    One that is aimed begins `then_s` after the first long coinpulse, or payment, that follows `at_s`.
    """

    at_s: float
    for_s: float
    kind: Kind
    target: str
    dice: int
    then_s: float | None = None

    @property
    def aimed(self) -> bool:
        """Whether it waits for something to happen."""
        return self.then_s is not None


KINDS: tuple[Kind, ...] = (
    Kind("cloud killed", 3, "cloud", (0.1, 3.0), may_be_aimed=True),
    Kind("cloud stopped in order", 1, "cloud", (0.1, 2.0), may_be_aimed=True),
    Kind("cloud frozen", 2, "cloud", (0.3, 6.0), may_be_aimed=True),
    Kind("agent killed", 4, "agent", (0.1, 4.0), may_be_long=True, may_be_aimed=True),
    Kind("agent stopped in order", 1, "agent", (0.1, 3.0), may_be_aimed=True),
    Kind("agent frozen", 2, "agent", (0.3, 6.0), may_be_long=True, may_be_aimed=True),
    Kind("broker restarted", 1, "broker", (0.1, 2.0)),
    Kind("broker killed", 1, "broker", (0.1, 2.0), may_be_aimed=True),
    Kind("broker killed, its memory lost", 1, "broker", (0.1, 2.0), may_be_aimed=True),
    Kind("broker frozen", 1, "broker", (0.3, 4.0)),
    Kind("connection cut", 2, "link", (0.0, 3.0), may_be_aimed=True),
    Kind("connection stalled", 2, "link", (0.3, 6.0), may_be_aimed=True),
    Kind("connection stalled one way", 2, "link", (0.3, 6.0), may_be_aimed=True),
    Kind("connection silent", 1, "link", (0.0, 0.1), may_be_aimed=True),
    Kind("store locked", 1, "store", (0.3, 7.0)),
    Kind("Stripe fails", 2, "stripe", (0.5, 4.0)),
    Kind("Stripe does it and does not answer", 2, "stripe", (0.5, 4.0)),
    Kind("Stripe slow", 1, "stripe", (0.5, 4.0)),
    Kind("webhooks late", 1, "webhooks", (1.0, 5.0)),
    Kind("webhooks repeated, shuffled", 1, "webhooks", (2.0, 8.0)),
    Kind("webhooks never", 1, "webhooks", (0.5, 2.5)),
)


def draw(seed: int, seconds: float, targets: Mapping[str, Sequence[str]], long_s: float) -> list[Fault]:
    """The faults of a run, in their order. `targets` names what each `hits` may hit.

    A target has one fault at a time, all of them are over at `seconds`, and one that is long lasts `long_s`.
    """
    dice = random.Random(seed)
    free_at = {(hits, name): 0.0 for hits, names in targets.items() for name in names}
    every_share = [kind for kind in KINDS if targets.get(kind.hits) for _ in range(kind.share)]
    stack: list[Kind] = []
    drawn: list[Fault] = []
    at_s = 0.0
    while True:
        at_s += dice.expovariate(1 / EVERY_S)
        if at_s >= seconds:
            return drawn
        if not stack:  # like a pack of cards: a short storm has some of everything too
            stack = dice.sample(every_share, len(every_share))
        kind = stack.pop()
        free = [name for name in targets[kind.hits] if free_at[kind.hits, name] <= at_s]
        target = dice.choice(free or list(targets[kind.hits]))
        for_s = dice.uniform(*kind.for_s)
        if kind.may_be_long and seconds >= LONG_FROM_S and dice.randrange(LONG_ONE_IN) == 0:
            for_s = long_s
        number = dice.randrange(2**31)
        then_s = None
        if kind.may_be_aimed and dice.randrange(AIMED_OF) < AIMED:
            then_s = dice.uniform(0, THEN_WITHIN_S)
        latest_s = at_s + for_s + (0.0 if then_s is None else AIM_WITHIN_S + then_s)
        # Leave time to recover, or nothing would ever be delivered.
        if not free or latest_s > seconds:
            continue
        free_at[kind.hits, target] = latest_s + 1.0
        drawn.append(Fault(at_s, for_s, kind, target, number, then_s))
