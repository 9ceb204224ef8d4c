"""Keys, canonical texts and signatures that openssl computed: whoever speaks the protocol must get the same.

Sender and receiver run the same code, so without these nobody would notice what both leave out of a signature.
docs/API.md says how to compute them by hand. Never change a vector: machines in the field sign as it does.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from arcade_shared.errors import BadSignature
from arcade_shared.signing import echo_key, machine_key, signature, verify

VECTORS = json.loads((Path(__file__).parents[1] / "fixtures" / "signatures.json").read_text())
MESSAGES = VECTORS["messages"]
ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def canonical(value: Any) -> str:
    """Canonical JSON, written by the definition and by nothing else."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            written = (ESCAPES.get(c) or (c if c >= " " else "\\u" + f"{ord(c):04x}") for c in value)
            return '"' + "".join(written) + '"'
        case list():
            return f"[{','.join(map(canonical, value))}]"
    return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in sorted(value)) + "}"


def hmac_sha256(key: bytes, text: bytes) -> bytes:
    """By the definition in RFC 2104; a key of more than 64 bytes is hashed first."""
    padded = (sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
    inner = sha256(bytes(byte ^ 0x36 for byte in padded) + text).digest()
    return sha256(bytes(byte ^ 0x5C for byte in padded) + inner).digest()


def test_keys_are_those_of_the_vectors() -> None:
    secret, keys = VECTORS["secret"], VECTORS["keys"]
    for name, key in keys.items():
        kind, _, machine_id = name.partition(" ")
        ours = echo_key(secret) if kind == "echo" else machine_key(secret, machine_id)
        purpose = f"arcade {kind} key 1\n{machine_id}"
        assert ours.hex() == key == hmac_sha256(secret.encode(), purpose.encode()).hex()


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["name"])
def test_a_signature_is_that_of_the_vector(message: dict[str, Any]) -> None:
    key, topic, fields = bytes.fromhex(message["key"]), message["topic"], message["fields"]
    text = canonical(fields)
    assert text == message["canonical"]
    assert hmac_sha256(key, f"{topic}\n{text}".encode()).hex() == message["signature"]
    assert signature(key, topic, fields) == message["signature"]
    backwards = dict(reversed({**fields, "signature": message["signature"]}.items()))
    assert verify([key], topic, backwards) == key


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message["name"])
def test_every_field_is_signed_whatever_its_value(message: dict[str, Any]) -> None:
    """One that is left out, or added, makes another message; so does another value of the same truth."""
    key, topic, fields = bytes.fromhex(message["key"]), message["topic"], message["fields"]
    changed = [{name: value for name, value in fields.items() if name != left_out} for left_out in fields]
    empty: tuple[Any, ...] = (None, False, 0, "", [], {})
    changed += [{**fields, "added": value} for value in empty]
    changed += [{**fields, name: None} for name, value in fields.items() if value is not None]
    for other in changed:
        with pytest.raises(BadSignature):
            verify([key], topic, {**other, "signature": message["signature"]})


def test_an_ack_without_a_meter_differs_from_one_whose_field_is_missing() -> None:
    with_null, without = (m for m in MESSAGES if m["name"].startswith(("an ack that registered", "the same ack")))
    assert with_null["fields"] == {**without["fields"], "registered": None}
    assert with_null["signature"] != without["signature"]
