"""The topics: built and parsed here and nowhere else."""

from dataclasses import dataclass
from typing import Literal, get_args

from arcade_shared.errors import BadTopic
from arcade_shared.ids import is_machine_id

Kind = Literal["coinpulse", "gameover", "ack", "revoke", "status", "clock"]
KINDS: frozenset[str] = frozenset(get_args(Kind))

ROOT = "arcade/machine"
ECHO = "arcade/cloud/echo"

# 15 + 64 + 11 characters at the most; anything longer is refused before it is looked at.
MAX_TOPIC_LENGTH = 128


@dataclass(frozen=True, slots=True)
class MachineTopic:
    """`arcade/machine/<machine_id>/<kind>`."""

    machine_id: str
    kind: Kind

    def __str__(self) -> str:
        return f"{ROOT}/{self.machine_id}/{self.kind}"


def check_machine_id(machine_id: object) -> str:
    """`machine_id` if it may stand in a topic.

    Raises:
        BadTopic: It may not; the text says what a machine id looks like.
    """
    if not isinstance(machine_id, str) or not is_machine_id(machine_id):
        raise BadTopic("a machine id is 1 to 64 letters, digits, '_' or '-', and begins with a letter or a digit")
    return machine_id


def machine_topic(machine_id: str, kind: Kind) -> str:
    """The topic of `kind` for one machine.

    Raises:
        BadTopic: The machine id is outside the contract.
    """
    return f"{ROOT}/{check_machine_id(machine_id)}/{kind}"


def every_machine(kind: Kind) -> str:
    """The filter that matches `kind` for all machines."""
    return f"{ROOT}/+/{kind}"


def parse_machine_topic(topic: str) -> MachineTopic:
    """The parts of a machine's topic.

    Raises:
        BadTopic: It is any other topic.
    """
    if len(topic) <= MAX_TOPIC_LENGTH and topic.startswith(ROOT + "/"):
        machine_id, _, kind = topic[len(ROOT) + 1 :].partition("/")
        if kind in KINDS:
            return MachineTopic(check_machine_id(machine_id), kind)  # type: ignore[arg-type]  # narrowed by KINDS
    raise BadTopic(f"not a topic of ours: {topic[:MAX_TOPIC_LENGTH]!r}")
