"""What an observer of a run has seen from outside: the material of the checkers, plain values only."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Pulse:
    """One active stretch of a coin line. `index`: which credit of the command, from 0; `cut`: power went in it."""

    line: str
    machine_id: str
    installation: str
    credit_id: str
    index: int
    on_ms: int
    off_ms: int | None = None
    cut: bool = False
    failed: bool = False


@dataclass(frozen=True)
class LineProfile:
    """What a board wants: widths and rests in ms, and pulses for one credit."""

    pulse_ms: int
    gap_ms: int
    pulses_per_credit: int


@dataclass
class Span:
    """Something that was so at a cabinet, named by its line, from a moment on until another (None: to the end)."""

    line: str
    from_ms: int
    until_ms: int | None = None


@dataclass(frozen=True)
class Registered:
    """The coin meter of a cabinet moved: a coin of this credit's train, pulsed or thrown in by hand."""

    at_ms: int
    line: str
    credit_id: str


@dataclass(frozen=True)
class Command:
    """A coinpulse that the cloud handed to the broker, and the broker's word."""

    at_ms: int
    machine_id: str
    credit_id: str
    credits: int
    installation: str
    expires_ms: int
    outcome: str


@dataclass(frozen=True)
class Asked:
    """A revoke that the cloud handed to the broker, and the broker's word."""

    at_ms: int
    credit_id: str
    outcome: str


@dataclass(frozen=True)
class Said:
    """An ack that the cloud took in, or that an agent handed to the broker. `fields`: as on the wire."""

    at_ms: int
    topic: str
    fields: dict[str, Any]


@dataclass(frozen=True)
class Purchase:
    """What a player chose to buy, in which checkout."""

    session_id: str
    order_id: str | None
    machine_id: str
    credits: int
    amount_minor: int
    deliverable: bool = True
    subscriber: bool = False
    currency: str = "myr"
    is_tab: bool = False  # the amount is the limit of a tab; `credits` is 0


@dataclass(frozen=True)
class Refund:
    """What the operator asked for; `certain` if the answer came.

    `play`: of a tab this play alone, from 1. `done_ms`: when the answer came.
    """

    at_ms: int
    order_id: str
    keep_minor: int
    certain: bool
    play: int | None = None
    done_ms: int = 0


@dataclass(frozen=True)
class Grant:
    """Free credits that the operator gave."""

    at_ms: int
    order_id: str
    machine_id: str
    credits: int


@dataclass(frozen=True)
class Decision:
    """What the operator decided about a payment without proof, and between when and when the cloud carried it out.

    `machine_id` and `credits`: what is to be delivered for it; 0 credits: it goes back.
    """

    begun_ms: int
    ended_ms: int
    payment_intent: str
    machine_id: str
    credits: int


@dataclass(frozen=True)
class Act:
    """What the cloud had Stripe do with a payment."""

    at_ms: int
    what: str
    payment_intent: str


@dataclass(frozen=True)
class Play:
    """A credit of a tab as it is on record: what drew it, what it costs, and how it stands.

    `drawn_ms`: by the clock of the process. `delivered` is None until it is resolved.
    """

    token: str
    credit_id: str | None
    machine_id: str
    credits: int
    price_minor: int
    drawn_ms: int
    is_revoking: bool
    delivered: int | None


@dataclass(frozen=True)
class TabStep:
    """A tab as one of its steps has left it. `stands`: the hold stood when it was last read."""

    plays: tuple[Play, ...]
    closed_by: str
    stands: bool


@dataclass(frozen=True)
class Reading:
    """What Stripe answered when it was asked about a payment: whether the whole of it was held just then."""

    at_ms: int
    payment_intent: str
    stood: bool


@dataclass(frozen=True)
class Tap:
    """A player's tap with a page's ticket, and what came of it.

    `token` is what drew, if the answer came; `ticket` counts tickets, the same one tapped again has its number.
    `shown_ms`: when the page was shown.
    """

    at_ms: int
    ticket: int
    order_id: str
    machine_id: str
    credits: int
    price_minor: int
    token: str | None
    shown_ms: int = 0


@dataclass(frozen=True)
class Finish:
    """A player has finished a tab, and was told so at that moment."""

    at_ms: int
    order_id: str


@dataclass(frozen=True)
class Step:
    """One line of an order's history as the cloud committed it. `noted_ms`: by the clock of the process.

    Of a tab, `tab` has what is drawn on it, and `delivered`, `by` and `credit_id` are empty.
    """

    at_ms: int
    order_id: str
    state: str
    delivered: int | None
    by: str
    credit_id: str | None
    noted_ms: int = 0
    tab: TabStep | None = None


@dataclass(frozen=True)
class Cause:
    """Something that befell a thing: what a named exception must be explained by."""

    at_ms: int
    what: str
    subject: str


@dataclass(frozen=True)
class Trouble:
    """A fault that lasted, or that might happen again and again, from one moment until before another."""

    begin_ms: int
    end_ms: int
    what: str


@dataclass
class Game:
    """A game that ended, as its agent was told. `lost_ms`: when that agent died."""

    line: str
    machine_id: str
    at_ms: int
    lost_ms: int | None = None


@dataclass
class Closed:
    """A machine that is certainly out of service from a moment on until another (None: to the end)."""

    machine_id: str
    from_ms: int
    until_ms: int | None = None


@dataclass(frozen=True)
class Restore:
    """The cloud's database is what it was at `backup_ms`, from `at_ms` on.

    It has forgotten the steps from number `first` on, until before `end`.
    """

    backup_ms: int
    at_ms: int
    first: int
    end: int


@dataclass
class WrongClock:
    """The clock of one of the cloud's processes was off by `off_ms`: ahead if positive. None: to the end."""

    from_ms: int
    off_ms: int
    until_ms: int | None = None


@dataclass(frozen=True)
class Condition:
    """Something that lasted, as it is on record at the end; `ended_ms` is None if it still does."""

    kind: str
    subject: str
    began_ms: int
    ended_ms: int | None


@dataclass(frozen=True)
class Stated:
    """A status that said online, when the cloud heard it, and when the machine said it."""

    at_ms: int
    machine_id: str
    stated_ms: int
    contested: bool = False


@dataclass(frozen=True)
class Limits:
    """The published limits of this run, seconds."""

    deliver_within_s: int
    silence_limit_s: int
    hold_silence_limit_s: int
    last_resort_s: int
    answer_s: int
    timer_s: int
    checkout_life_s: int = 1_860
    machine_silent_s: int = 0
    tab_idle_s: int = 3_600
    tab_life_s: int = 43_200
    tab_fresh_s: int = 600


@dataclass
class Evidence:
    """All of one run."""

    seed: int
    limits: Limits
    zone: str = "UTC"
    ahead_of_utc_ms: int = 0  # the clocks of that zone, all the year
    profiles: dict[str, LineProfile] = field(default_factory=dict)
    subscribers: set[str] = field(default_factory=set)
    pulses: list[Pulse] = field(default_factory=list)
    not_ready: list[Span] = field(default_factory=list)  # as the ready line was read, or could not be
    unplugged: list[Span] = field(default_factory=list)
    registered: list[Registered] = field(default_factory=list)
    metered: dict[str, bool] = field(default_factory=dict)  # the lines with a meter: whether it counts
    mended: list[Span] = field(default_factory=list)  # when a technician's pulse was registered
    commands: list[Command] = field(default_factory=list)
    revokes: list[Asked] = field(default_factory=list)
    heard: list[Said] = field(default_factory=list)
    told: list[Said] = field(default_factory=list)
    echoes: list[tuple[int, int]] = field(default_factory=list)
    purchases: dict[str, Purchase] = field(default_factory=dict)
    refunds: list[Refund] = field(default_factory=list)
    grants: dict[str, Grant] = field(default_factory=dict)
    foreign: dict[str, str] = field(default_factory=dict)  # sessions of other shops, and what they look like
    decisions: dict[str, Decision] = field(default_factory=dict)  # by payment intent
    acts: list[Act] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    orders: list[dict[str, Any]] = field(default_factory=list)
    tabs: list[dict[str, Any]] = field(default_factory=list)  # each with its `plays`, which look like orders
    taps: list[Tap] = field(default_factory=list)
    finished: list[Finish] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    prices: list[tuple[int, str, int]] = field(
        default_factory=list
    )  # from when on, at which machine: what it costs
    takings: list[dict[str, Any]] = field(default_factory=list)  # as they are on record, day by day
    tallies: list[dict[str, Any]] | None = None  # their sums as they are on record
    receipts: list[dict[str, Any]] | None = None  # as they are on record, by series and number
    receipts_waiting: int = 0  # at the end
    issued: list[tuple[str, int, str]] = field(default_factory=list)  # every number ever given, and its order
    counts: list[dict[str, Any]] = field(default_factory=list)  # what is on record of the coin meters
    announced: list[dict[str, Any]] = field(default_factory=list)  # the events that wait for other software
    money: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[tuple[str, str]] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    stated: list[Stated] = field(default_factory=list)
    machines_on_ms: int = 0
    posted: set[str] = field(default_factory=set)
    causes: list[Cause] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    games: list[Game] = field(default_factory=list)
    game_overs: dict[str, tuple[int, str]] = field(
        default_factory=dict
    )  # event id: when first, from which machine
    closed: list[Closed] = field(default_factory=list)
    restores: list[Restore] = field(default_factory=list)
    skew_ms: int = 0  # how far a clock of the cloud's was ever off, as a host's without NTP
    wrong_clocks: list[WrongClock] = field(default_factory=list)  # plainly wrong, and put right later
    defects: list[str] = field(default_factory=list)
    faults: dict[str, int] = field(default_factory=dict)
    quiet_from_ms: int = 0
    machines_off_ms: int = 0
    ended_ms: int = 0

    def ahead_ms(self, from_ms: int, until_ms: int) -> int:
        """How far ahead a clock of the cloud's was at most in that time."""
        return max([self.skew_ms, *(clock.off_ms for clock in self._wrong(from_ms, until_ms))])

    def behind_ms(self, from_ms: int, until_ms: int) -> int:
        """How far behind a clock of the cloud's was at most in that time."""
        return max([self.skew_ms, *(-clock.off_ms for clock in self._wrong(from_ms, until_ms))])

    def apart_ms(self, from_ms: int, until_ms: int) -> int:
        """How far two of the cloud's clocks, or one before and after it was set, differed at most in that time."""
        return self.ahead_ms(from_ms, until_ms) + self.behind_ms(from_ms, until_ms)

    def moments(self, noted_ms: int) -> list[int]:
        """When it may have been, where a process of the cloud's has noted that time."""
        wrong = [(clock, noted_ms - clock.off_ms) for clock in self.wrong_clocks]
        return [noted_ms, *(at_ms for clock, at_ms in wrong if _lasts(clock, at_ms, at_ms))]

    def _wrong(self, from_ms: int, until_ms: int) -> list[WrongClock]:
        return [clock for clock in self.wrong_clocks if _lasts(clock, from_ms, until_ms)]


# What a process has begun with one clock it may end some time after that was put right.
_BEGUN_MS = 60_000


def _lasts(clock: WrongClock, from_ms: int, until_ms: int) -> bool:
    ends_ms = until_ms if clock.until_ms is None else clock.until_ms + _BEGUN_MS
    return clock.from_ms <= until_ms and from_ms <= ends_ms
