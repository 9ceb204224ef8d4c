"""Signatures: HMAC-SHA256 with the machine's own key over the topic and all other fields.

The signed text is the topic, a line feed, and the fields without `signature` in canonical JSON: UTF-8, keys
sorted, no white space, integers only (what RFC 8785 gives for such objects). It is computed from the fields
as they arrived, so a field that this version does not know is covered too, and a rule engine may parse and
write the JSON anew on the way.

One secret of the cloud gives every machine its own key: the cloud stores none, and a stolen Pi reveals one.
"""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

import msgspec

from arcade_shared.errors import BadSignature
from arcade_shared.messages import Message, from_object

# 128 bits of entropy written in hexadecimal: below that a secret can be guessed from one signed message.
MIN_SECRET_LENGTH = 32


def machine_key(secret: str, machine_id: str) -> bytes:
    """The key (32 bytes) of one machine, derived from the cloud's signing secret."""
    return hmac.digest(secret.encode(), b"arcade machine key 1\n" + machine_id.encode(), hashlib.sha256)


def echo_key(secret: str) -> bytes:
    """The key (32 bytes) with which the cloud signs its own echoes. No machine has it."""
    return hmac.digest(secret.encode(), b"arcade echo key 1\n", hashlib.sha256)


def session_key(secret: str) -> bytes:
    """The key (32 bytes) that the cloud's client ids are made with. No machine has it."""
    return hmac.digest(secret.encode(), b"arcade session key 1\n", hashlib.sha256)


def payment_key(secret: str) -> bytes:
    """The key (32 bytes) with which the cloud marks its own payments at Stripe. No machine has it."""
    return hmac.digest(secret.encode(), b"arcade payment key 1\n", hashlib.sha256)


def key_fingerprint(key: bytes) -> str:
    """8 hexadecimal digits that tell two keys apart and reveal neither."""
    return hashlib.sha256(b"arcade key fingerprint 1\n" + key).hexdigest()[:8]


def signature(key: bytes, topic: str, fields: dict[str, Any]) -> str:
    """The signature (64 hexadecimal digits) of `fields` on `topic`; a field `signature` is left out."""
    signed = {name: value for name, value in fields.items() if name != "signature"}
    text = topic.encode() + b"\n" + msgspec.json.encode(signed, order="sorted")
    return hmac.digest(key, text, hashlib.sha256).hex()


def seal(key: bytes, topic: str, cls: type[Message], **fields: Any) -> bytes:
    """A signed payload of class `cls` for `topic`, ready to publish. `fields` are named as in Python.

    Raises:
        BadMessage: The fields make no valid message. A sender must not emit what it would refuse.
    """
    names = dict(zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True))
    travelling = {names[name]: value for name, value in fields.items()}
    travelling["signature"] = signature(key, topic, travelling)
    from_object(cls, travelling)
    return msgspec.json.encode(travelling)


def verify(keys: Sequence[bytes], topic: str, fields: dict[str, Any]) -> bytes:
    """The one of `keys` that signed `fields` on `topic`.

    Raises:
        BadSignature: None did.
    """
    given = fields.get("signature")
    if isinstance(given, str) and given.isascii():
        for key in keys:
            try:
                expected = signature(key, topic, fields)
            except (RecursionError, UnicodeEncodeError):
                break
            if hmac.compare_digest(expected, given):
                return key
    raise BadSignature("the signature is missing or wrong")
