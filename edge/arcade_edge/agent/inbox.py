"""What a message asks for, once it is known to be the cloud's and meant for this installation (pure).

The order of the checks is a rule: the topic, then the retained flag, then the signature, then the machine and
the installation. Whoever looks the id up comes after all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from arcade_edge.domain.credits import Command, Revocation
from arcade_shared.errors import BadMessage, BadSignature, BadTopic
from arcade_shared.messages import BareCoinpulse, Clock, Coinpulse, Revoke, from_object, parse_object
from arcade_shared.signing import verify
from arcade_shared.topics import parse_machine_topic

NOT_OUR_TOPIC: Final = "not on a topic of this machine"
RETAINED: Final = "retained"
BAD_SIGNATURE: Final = "bad signature"
MALFORMED: Final = "malformed"
OTHER_INSTALLATION: Final = "for another installation"
UNSIGNED: Final = "unsigned"

Why = Literal[
    "not on a topic of this machine",
    "retained",
    "bad signature",
    "malformed",
    "for another installation",
    "unsigned",
]


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom messages must be meant for, and with which keys they may be signed."""

    machine_id: str
    installation: str
    keys: tuple[bytes, ...]
    allow_unsigned: bool = False


@dataclass(frozen=True, slots=True)
class ClockAnswer:
    """The cloud's time, in answer to a nonce."""

    nonce: str
    cloud_ms: int


@dataclass(frozen=True, slots=True)
class BenchPulse:
    """An unsigned coinpulse where the settings allow them."""

    credits: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """The message changes nothing; `why` is counted."""

    why: Why
    detail: str = ""


Request: TypeAlias = Command | Revocation | ClockAnswer | BenchPulse | Ignored


def read_message(topic: str, payload: bytes, retained: bool, addressee: Addressee) -> Request:
    """What the message asks for. Never raises: what cannot be read is Ignored."""
    try:
        parsed = parse_machine_topic(topic)
        if parsed.machine_id != addressee.machine_id or parsed.kind not in ("coinpulse", "revoke", "clock"):
            return Ignored(NOT_OUR_TOPIC)
        if retained:
            return Ignored(RETAINED)
        fields = parse_object(payload)
        if parsed.kind == "coinpulse" and fields.get("creditId") is None and fields.get("signature") is None:
            return _unsigned(fields, addressee)
        verify(addressee.keys, topic, fields)
        match parsed.kind:
            case "coinpulse":
                pulse = from_object(Coinpulse, fields)
                command = Command(pulse.credit_id, pulse.credits, pulse.expires_at_ms)
                return _if_ours(pulse.machine_id, pulse.installation, command, addressee)
            case "revoke":
                revoke = from_object(Revoke, fields)
                return _if_ours(revoke.machine_id, revoke.installation, Revocation(revoke.credit_id), addressee)
            case _:
                clock = from_object(Clock, fields)
                answer = ClockAnswer(clock.nonce, clock.timestamp_ms)
                return answer if clock.machine_id == addressee.machine_id else Ignored(MALFORMED)
    except BadTopic:
        return Ignored(NOT_OUR_TOPIC)
    except BadSignature:
        return Ignored(BAD_SIGNATURE)
    except BadMessage as error:
        return Ignored(MALFORMED, str(error))


def _if_ours(
    machine_id: str, installation: str, request: Command | Revocation, addressee: Addressee
) -> Command | Revocation | Ignored:
    if machine_id != addressee.machine_id:
        return Ignored(MALFORMED, "another machine's id in the payload")
    return request if installation == addressee.installation else Ignored(OTHER_INSTALLATION)


def _unsigned(fields: dict[str, Any], addressee: Addressee) -> BenchPulse | Ignored:
    pulse = from_object(BareCoinpulse, fields)
    if not addressee.allow_unsigned or pulse.machine_id != addressee.machine_id:
        return Ignored(UNSIGNED)
    return BenchPulse(pulse.credits)
