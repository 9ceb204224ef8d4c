"""The payloads: one frozen class each, decoded strictly, every string and number bounded.

Unknown fields are ignored (a newer sender may add some) but are covered by the signature. Field names travel
in camelCase. `coinpulse` and `gameover` keep the names and meanings that existing subscribers know.
"""

from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from arcade_shared.errors import BadMessage
from arcade_shared.ids import HEX_128_PATTERN, MACHINE_ID_PATTERN, UUID7_PATTERN
from arcade_shared.times import parse_ms

# The largest payload of ours is a status of about 600 bytes; 4 KiB leaves room for fields to come.
MAX_PAYLOAD_BYTES = 4096
# No coin line takes more in a minute, the longest train; a bound for every number of credits on the wire.
MAX_CREDITS = 1000

MachineId = Annotated[str, Meta(pattern=rf"\A{MACHINE_ID_PATTERN}\Z")]
CreditId = Annotated[str, Meta(pattern=rf"\A{UUID7_PATTERN}\Z")]
Installation = Annotated[str, Meta(pattern=rf"\A{HEX_128_PATTERN}\Z")]
Hex128 = Annotated[str, Meta(pattern=rf"\A{HEX_128_PATTERN}\Z")]
OptionalHex128 = Annotated[str, Meta(pattern=rf"\A({HEX_128_PATTERN})?\Z")]
Signature = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
ShortText = Annotated[str, Meta(max_length=64)]
Reason = Annotated[str, Meta(max_length=120)]
Timestamp = Annotated[str, Meta(max_length=32, description="RFC 3339, UTC, written with Z")]
FreeTimestamp = Annotated[str, Meta(max_length=64, description="Any short text")]
Credits = Annotated[int, Meta(ge=1, le=MAX_CREDITS)]
Count = Annotated[int, Meta(ge=0, le=MAX_CREDITS)]
Ordinal = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Message(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=False):
    """Base of all payloads."""


class SignedMessage(Message, frozen=True, kw_only=True):
    """A payload that counts only with a signature over its topic and all other fields."""

    timestamp: Timestamp
    signature: Signature

    def __post_init__(self) -> None:
        parse_ms(self.timestamp)

    @property
    def timestamp_ms(self) -> int:
        """The moment of signing, epoch milliseconds."""
        return parse_ms(self.timestamp)


class BareCoinpulse(Message, frozen=True, kw_only=True):
    """cloud → machine, as published by hand: pulsed only where the agent allows unsigned pulses."""

    machine_id: MachineId
    credits: Credits
    timestamp: FreeTimestamp


class Coinpulse(SignedMessage, frozen=True, kw_only=True):
    """cloud → agent: pulse `credits` credits, at most once, on this installation, before `expires_at`."""

    machine_id: MachineId
    credits: Credits
    credit_id: CreditId
    installation: OptionalHex128
    expires_at: Timestamp

    def __post_init__(self) -> None:
        parse_ms(self.timestamp)
        parse_ms(self.expires_at)

    @property
    def expires_at_ms(self) -> int:
        """The moment from which on no first pulse may begin, epoch milliseconds."""
        return parse_ms(self.expires_at)


class Gameover(Message, frozen=True, kw_only=True, omit_defaults=True):
    """agent or cloud → all: the game has ended. Signed by our own senders, bare from others."""

    machine_id: MachineId
    status: Literal["game_over"]
    timestamp: FreeTimestamp
    event_id: ShortText | None = None
    source: ShortText | None = None
    signature: Signature | None = None


AckState = Literal["accepted", "pulsing", "done", "refused", "revoked", "unknown"]
FINAL_ACK_STATES: frozenset[str] = frozenset({"done", "refused", "revoked"})


class Ack(SignedMessage, frozen=True, kw_only=True):
    """agent → cloud: where a credit stands. Only a final one decides about money."""

    machine_id: MachineId
    credit_id: CreditId
    installation: Installation
    state: AckState
    final: bool
    credits: Count
    delivered: Count
    uncertain: Annotated[int, Meta(ge=0, le=1)]
    reason: Reason
    registered: Annotated[int, Meta(ge=0, le=2 * MAX_CREDITS)] | None = None

    def __post_init__(self) -> None:
        parse_ms(self.timestamp)
        if self.final != (self.state in FINAL_ACK_STATES):
            raise ValueError(f"an ack in state {self.state} cannot say final: {self.final}")
        if self.delivered + self.uncertain > self.credits:
            raise ValueError("delivered and uncertain exceed the credits")
        if self.state not in {"pulsing", "done"} and self.delivered + self.uncertain:
            raise ValueError(f"an ack in state {self.state} has delivered nothing")


class Revoke(SignedMessage, frozen=True, kw_only=True):
    """cloud → agent: begin no more of this credit, and say where it stands."""

    machine_id: MachineId
    credit_id: CreditId
    installation: Installation


# The will is the last word of its connection, so it sorts behind every other status of it.
WILL_SEQ = 2**53 - 1


class Status(SignedMessage, frozen=True, kw_only=True):
    """agent → all, retained; also the last will.

    `ready` is said only by an agent that knows the cloud's time, so its timestamp then proves a live round
    trip. `nonce` is empty where no answer is wanted. (`connection`, `seq`) orders the statuses of one boot:
    the n-th connection since the agent started, and the count within it; the will has WILL_SEQ. `contested`:
    within the last ten minutes, somebody else has kept taking the agent's client id at the broker. Which id is not
    told: a restarted agent has it again, and whoever knows it can take it.
    """

    machine_id: MachineId
    installation: Installation
    state: Literal["online", "offline"]
    ready: bool
    reason: Reason
    max_credits: Count
    nonce: OptionalHex128
    boot_id: Hex128
    agent: ShortText
    connection: Ordinal
    seq: Ordinal
    contested: bool = False


class Clock(SignedMessage, frozen=True, kw_only=True):
    """cloud → agent: the cloud's time, in answer to the nonce of a status."""

    machine_id: MachineId
    nonce: Hex128


class Echo(SignedMessage, frozen=True, kw_only=True):
    """cloud → itself, through the broker: the proof that the cloud hears what the broker has."""

    echo_id: Hex128


BY_KIND: dict[str, type[Message]] = {
    "coinpulse": Coinpulse,
    "gameover": Gameover,
    "ack": Ack,
    "revoke": Revoke,
    "status": Status,
    "clock": Clock,
}

M = TypeVar("M", bound=Message)


def parse_object(payload: bytes) -> dict[str, Any]:
    """The JSON object in `payload`.

    Raises:
        BadMessage: It is anything else, or longer than MAX_PAYLOAD_BYTES.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise BadMessage(f"{len(payload)} bytes; at most {MAX_PAYLOAD_BYTES} are accepted")
    try:
        fields = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadMessage(f"not JSON: {error}") from None
    except RecursionError:  # msgspec raises it for deep nesting, even in a field that we would ignore
        raise BadMessage("not JSON: nested too deeply") from None
    if not isinstance(fields, dict):
        raise BadMessage("not a JSON object")
    return fields


def from_object(cls: type[M], fields: dict[str, Any]) -> M:
    """The message of class `cls` in `fields`.

    Raises:
        BadMessage: A field is wrong; the text names it.
    """
    try:
        return msgspec.convert(fields, cls)
    except (msgspec.ValidationError, RecursionError) as error:
        raise BadMessage(f"not a {cls.__name__.lower()}: {error}") from None
