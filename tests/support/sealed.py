"""Sealed payloads, read as whoever they are meant for reads them."""

from collections.abc import Sequence
from typing import TypeVar

from arcade_shared.messages import Message, from_object, parse_object
from arcade_shared.signing import verify

M = TypeVar("M", bound=Message)


def unseal(keys: Sequence[bytes], topic: str, payload: bytes, cls: type[M]) -> M:
    """The message of class `cls` in `payload`, its signature checked first.

    Raises BadMessage for what is not JSON, BadSignature for what none of `keys` signed, and BadMessage for
    fields outside the contract.
    """
    fields = parse_object(payload)
    verify(keys, topic, fields)
    return from_object(cls, fields)
