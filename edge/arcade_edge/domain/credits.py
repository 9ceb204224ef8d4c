"""The life of a credit on the agent: `decide(credit, event, context) -> Decision` (pure).

    –         never seen    valid command → accepted; invalid for good → refused; revoke → revoked
    accepted  waits         its turn, still in life → pulsing; deadline, revoke or stop → done(0)
    pulsing   under way     last credit pulsed → done(n); stop asked for → done(i); fault → done(i, uncertain?);
                            machine not ready, cloud not heard → it waits between two pulses, then done(i)
    done, refused, revoked  final: never changes

Four rules carry the rest. A known id is answered with where it stands, whatever the message says now. The
intent of every credit is journaled before its pulse, so a credit begun and not ended is `uncertain` and is
never repeated. A start resumes nothing: it closes what it finds. And it begins nothing that was made before the
computer started: a card that lost its last writes with the power, or was restored, may have forgotten the pulses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from arcade_edge.domain.train import Pause, TrainEnd
from arcade_edge.errors import InvariantBroken
from arcade_shared.cabinet import NOT_REGISTERED, short_train
from arcade_shared.ids import uuid7_ms

State = Literal["accepted", "pulsing", "done", "refused", "revoked"]
FINAL_STATES: frozenset[str] = frozenset({"done", "refused", "revoked"})

# 35 days: the broker holds a session for hours, the cloud asks about a credit for a day at the most, and a
# dispute about a payment is rarely older than a month.
MEMORY_MS = 35 * 24 * 3600 * 1000
# A queue of players in front of one cabinet; at 60 s for the longest train it outlasts any deadline.
MAX_WAITING = 32

EXPIRED: Final = "expired"
TOO_MANY: Final = "too many credits"
BUSY: Final = "busy"
REVOKED: Final = "revoked"
RESTARTED: Final = "restarted"
COIN_LINE: Final = "coin line fault"
JOURNAL: Final = "journal fault"
STOPPED: Final = "stopped"
UNREGISTERED: Final = NOT_REGISTERED
FORGOTTEN: Final = "older than the journal"
MADE_BEFORE_START: Final = "made before this computer started"

Halt = Literal["", "coin line fault", "journal fault", "stopped", "coins not registered"]
"""Why no further pulse may begin; empty where nothing forbids it."""
Reason = (
    Halt
    | TrainEnd
    | Literal[
        "expired",
        "too many credits",
        "busy",
        "revoked",
        "restarted",
        "made before this computer started",
    ]
)
"""Why a credit has ended as it has; empty where there is nothing to say."""


@dataclass(frozen=True, slots=True)
class Credit:
    """One command as the journal holds it.

    `intent` says that the pulse of credit `delivered + 1` may have begun; while the train pauses between two
    credits it is False. A tombstone (`revoked`) has 0 credits, because a revoke does not say how many there
    were. `registered` is what the machine's coin meter has counted of this train, as far as it is known; None
    where no meter is wired.
    """

    credit_id: str
    credits: int
    state: State
    expires_at_ms: int
    delivered: int = 0
    uncertain: int = 0
    intent: bool = False
    reason: str = ""
    registered: int | None = None

    def __post_init__(self) -> None:
        if self.state not in FINAL_STATES and self.state not in ("accepted", "pulsing"):
            raise InvariantBroken(f"{self.credit_id}: unknown state {self.state!r}")
        if min(self.credits, self.delivered) < 0 or self.uncertain not in (0, 1):
            raise InvariantBroken(f"{self.credit_id}: a count is out of bounds: {self}")
        if self.delivered + self.uncertain + self.intent > self.credits:
            raise InvariantBroken(f"{self.credit_id}: more delivered, uncertain or begun than asked for: {self}")
        if self.state not in ("pulsing", "done") and self.delivered + self.uncertain:
            raise InvariantBroken(f"{self.credit_id}: delivered in state {self.state}")
        if self.intent and self.state != "pulsing":
            raise InvariantBroken(f"{self.credit_id}: a pulse is under way in state {self.state}")
        if self.uncertain and self.state != "done":
            raise InvariantBroken(f"{self.credit_id}: uncertain in state {self.state}")

    @property
    def final(self) -> bool:
        """Whether nothing can change this credit any more."""
        return self.state in FINAL_STATES

    @property
    def made_ms(self) -> int:
        """When the cloud made the id (epoch ms)."""
        return uuid7_ms(self.credit_id)


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds the credit at the moment of a decision.

    `cloud_ms` is the cloud's time, None while it is unknown; `started_ms` when this computer started, not
    before, known from then on. `forgotten_before_ms`: ids made earlier may
    have been in the journal and are gone. `waiting` counts the accepted credits. `halt` is the reason why no
    further pulse may begin ("" where there is none), and `end` why none of the train that is under way. `pause`:
    why its next pulse has to wait. `counts`: what the coin meter has not registered counts as not delivered.
    """

    cloud_ms: int | None
    max_credits: int
    forgotten_before_ms: int = 0
    waiting: int = 0
    machine_ready: bool = True
    halt: Halt = ""
    end: TrainEnd = ""
    pause: Pause = ""
    counts: bool = False
    started_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A coinpulse, signed and addressed to this installation."""

    credit_id: str
    credits: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Revocation:
    """A revoke, signed and addressed to this installation."""

    credit_id: str


@dataclass(frozen=True, slots=True)
class Turn:
    """The line is free and no other credit is ahead of this one."""


@dataclass(frozen=True, slots=True)
class FirstEdge:
    """The first intent is committed and the first edge comes next: the last look at the deadline."""


@dataclass(frozen=True, slots=True)
class Pulsed:
    """Every pulse of the credit under way was made."""


@dataclass(frozen=True, slots=True)
class NotPulsed:
    """The credit under way was not pulsed to its end; `started`: the line may have become active."""

    started: bool


@dataclass(frozen=True, slots=True)
class Held:
    """The line did not pulse the credit under way to its end: it was told to wait. `begun`: some of its pulses."""

    begun: bool


@dataclass(frozen=True, slots=True)
class Paused:
    """Time has passed in a pause of the train, or the context has changed. `begun`: as in `Held`."""

    begun: bool


@dataclass(frozen=True, slots=True)
class Settled:
    """The train is over as `ending` says, and the meter has had its time: it counted `registered`."""

    ending: Credit
    registered: int


@dataclass(frozen=True, slots=True)
class Waited:
    """Time has passed, or the context has changed."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The agent has started and found this credit in its journal."""


Event: TypeAlias = (
    Command | Revocation | Turn | FirstEdge | Pulsed | NotPulsed | Held | Paused | Settled | Waited | Restarted
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the cloud is told about a credit. `unknown` is the one state that no journal holds."""

    credit_id: str
    state: Literal["accepted", "pulsing", "done", "refused", "revoked", "unknown"]
    final: bool
    credits: int
    delivered: int
    uncertain: int
    reason: str
    registered: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The credit as it is from now on (None: nothing is known of it), and what to tell at once, if anything.

    A credit that differs from the one decided about must be committed before anything else is done. A final
    one is told from the journal's outbox, until the broker has confirmed it.
    """

    credit: Credit | None
    answer: Answer | None = None


def answer_of(credit: Credit, *, counts: bool = False) -> Answer:
    """Where `credit` stands, as it is told. `counts`: as in `Context`."""
    return Answer(
        credit.credit_id,
        credit.state,
        credit.final,
        credit.credits,
        credit.delivered if credit.final else _counted(credit, counts),
        credit.uncertain,
        credit.reason,
        credit.registered,
    )


def expired(credit: Credit | Command, context: Context) -> bool:
    """Whether the deadline has surely passed; not while the cloud's time is unknown."""
    return context.cloud_ms is not None and context.cloud_ms >= credit.expires_at_ms


def made_before_start(credit_id: str, context: Context) -> bool:
    """Whether an earlier run of this computer may have had the credit; not while the cloud's time is unknown."""
    return context.started_ms is not None and uuid7_ms(credit_id) < context.started_ms


def forgets_before_ms(forgotten_before_ms: int, cloud_ms: int | None) -> int:
    """Ids made before this are older than the journal's memory: what it has pruned, and what it would."""
    return forgotten_before_ms if cloud_ms is None else max(forgotten_before_ms, cloud_ms - MEMORY_MS)


def decide(credit: Credit | None, event: Event, context: Context) -> Decision:
    """What becomes of `credit` (None: the journal has no such id) at `event`.

    Raises:
        InvariantBroken: The event cannot happen in the credit's state.
    """
    match event:
        case Command() | Revocation():
            if credit is not None:
                if isinstance(event, Revocation) and credit.state == "accepted":
                    return Decision(_close(credit, REVOKED))
                return Decision(credit, answer_of(credit, counts=context.counts))
            return _first_seen(event, context)
        case Restarted():
            return Decision(_after_restart(_known(credit), context))
        case Turn() | Waited():
            return Decision(_waiting(_known(credit), event, context))
        case FirstEdge():
            return Decision(_before_first_edge(_under_way(credit), context))
        case Pulsed():
            return Decision(_after_pulse(_under_way(credit), context))
        case NotPulsed(started):
            return Decision(_close(_under_way(credit), COIN_LINE, uncertain=int(started)))
        case Held(begun):
            held = replace(_under_way(credit), intent=begun)
            return Decision(_in_pause(held, begun, context))
        case Paused(begun):
            paused = _in_pause(_known(credit), begun, context)
            goes_on = not (paused.final or context.pause)
            return Decision(replace(paused, intent=True) if goes_on else paused)
        case Settled(ending, registered):
            return Decision(_settled(_known(credit), ending, registered, context))


def _first_seen(event: Command | Revocation, context: Context) -> Decision:
    """An id without a row. Older than the journal's memory it may have had one: nothing final can be said."""
    if uuid7_ms(event.credit_id) < forgets_before_ms(context.forgotten_before_ms, context.cloud_ms):
        credits_ = event.credits if isinstance(event, Command) else 0
        return Decision(None, Answer(event.credit_id, "unknown", False, credits_, 0, 0, FORGOTTEN))
    if isinstance(event, Revocation):
        return Decision(Credit(event.credit_id, 0, "revoked", 0, reason=REVOKED))
    refusal: Reason = ""
    if expired(event, context):
        refusal = EXPIRED
    elif made_before_start(event.credit_id, context):
        refusal = MADE_BEFORE_START
    elif event.credits > context.max_credits:
        refusal = TOO_MANY
    elif context.halt:
        refusal = context.halt
    elif context.waiting >= MAX_WAITING:
        refusal = BUSY
    state: State = "refused" if refusal else "accepted"
    credit = Credit(event.credit_id, event.credits, state, event.expires_at_ms, reason=refusal)
    return Decision(credit, None if refusal else answer_of(credit))


def _waiting(credit: Credit, event: Turn | Waited, context: Context) -> Credit:
    """Without the cloud's time the deadline cannot be read, so the credit waits: the cloud will revoke it."""
    if credit.state != "accepted":
        if isinstance(event, Turn):
            raise InvariantBroken(f"{credit.credit_id}: a turn for a credit in state {credit.state}")
        return credit
    if expired(credit, context):
        return _close(credit, EXPIRED)
    if made_before_start(credit.credit_id, context):
        return _close(credit, MADE_BEFORE_START)
    if context.halt:
        return _close(credit, context.halt)
    may_begin = context.machine_ready and not context.pause and context.cloud_ms is not None
    if isinstance(event, Turn) and may_begin:
        return replace(credit, state="pulsing", intent=True)
    return credit


def _before_first_edge(credit: Credit, context: Context) -> Credit:
    if credit.delivered:
        raise InvariantBroken(f"{credit.credit_id}: a first edge after {credit.delivered} credits")
    if expired(credit, context) or context.cloud_ms is None:
        return _close(credit, EXPIRED)
    return _close(credit, context.halt) if context.halt else credit


def _after_pulse(credit: Credit, context: Context) -> Credit:
    delivered = credit.delivered + 1
    if delivered == credit.credits:
        return replace(credit, state="done", delivered=delivered, intent=False)
    if reason := context.halt or context.end:
        return _close(replace(credit, delivered=delivered, intent=False), reason)
    return replace(credit, delivered=delivered, intent=not context.pause)


def _in_pause(credit: Credit, begun: bool, context: Context) -> Credit:
    """Between two pulses of a train. The first edge of all still has its deadline.

    A credit of which some pulses were made keeps its intent: should the power fail now, it is uncertain.
    """
    if credit.state != "pulsing" or (begun and not credit.intent) or credit.delivered == credit.credits:
        raise InvariantBroken(f"{credit.credit_id}: no train that could pause, in state {credit.state}")
    reason: Reason = context.halt or context.end
    if not (reason or credit.delivered or begun) and (expired(credit, context) or context.cloud_ms is None):
        reason = EXPIRED
    return _close(credit, reason, uncertain=int(begun)) if reason else credit


def unsettled(ending: Credit, registered: int | None) -> Credit:
    """The train that is over as `ending` says, as it stands in the journal until the meter has had its time."""
    intent = bool(ending.uncertain)
    return replace(ending, state="pulsing", uncertain=0, intent=intent, reason="", registered=registered)


def _settled(credit: Credit, ending: Credit, registered: int, context: Context) -> Credit:
    if credit.state != "pulsing" or replace(unsettled(ending, 0), registered=credit.registered) != credit:
        raise InvariantBroken(f"{credit.credit_id}: the meter settled in the middle of a train")
    reason = ending.reason
    if registered < ending.delivered:
        told = short_train(registered, ending.delivered)
        reason = f"{told}; {reason}" if reason else told
    settled = replace(ending, registered=registered, reason=reason)
    return replace(settled, delivered=_counted(settled, context.counts))


def _counted(credit: Credit, counts: bool) -> int:
    """How many credits count as delivered: all that were pulsed or, where the meter counts, were registered."""
    if not counts or credit.registered is None:
        return credit.delivered
    return min(credit.delivered, credit.registered)


def _after_restart(credit: Credit, context: Context) -> Credit:
    """What the meter registered is known as of the last commit. What it said later is lost.

    Where it counts, that is all that counts. Elsewhere half its word would only mislead.
    """
    if credit.final:
        return credit
    delivered = _counted(credit, context.counts)
    reason: Reason = "" if delivered == credit.credits else RESTARTED
    closed = _close(replace(credit, delivered=delivered), reason, uncertain=int(credit.intent))
    return closed if context.counts else replace(closed, registered=None)


def _close(credit: Credit, reason: Reason, uncertain: int = 0) -> Credit:
    """`done` with what was delivered so far."""
    return replace(credit, state="done", intent=False, uncertain=uncertain, reason=reason)


def _known(credit: Credit | None) -> Credit:
    if credit is None:
        raise InvariantBroken("an event for a credit that the journal does not hold")
    return credit


def _under_way(credit: Credit | None) -> Credit:
    known = _known(credit)
    if known.state != "pulsing" or not known.intent:
        raise InvariantBroken(f"{known.credit_id}: a pulse without an intent, in state {known.state}")
    return known
