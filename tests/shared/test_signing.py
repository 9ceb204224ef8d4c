"""Signatures: only who has the machine's key can make one, and it covers the topic and every field."""

import json
import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_shared.errors import BadMessage, BadSignature
from arcade_shared.ids import random_hex_128, uuid7
from arcade_shared.messages import Coinpulse, Revoke, parse_object
from arcade_shared.signing import (
    echo_key,
    key_fingerprint,
    machine_key,
    seal,
    signature,
    verify,
)
from arcade_shared.times import format_ms
from support.sealed import unseal

SECRET = "s" * 32
KEY = machine_key(SECRET, "cab-01")
TOPIC = "arcade/machine/cab-01/coinpulse"
FIELDS = {
    "machine_id": "cab-01",
    "credits": 3,
    "timestamp": format_ms(1_700_000_000_000),
    "credit_id": uuid7(1_700_000_000_000),
    "installation": random_hex_128(),
    "expires_at": format_ms(1_700_000_120_000),
}
PAYLOAD = seal(KEY, TOPIC, Coinpulse, **FIELDS)


def test_what_was_sealed_is_unsealed():
    message = unseal([KEY], TOPIC, PAYLOAD, Coinpulse)
    assert (message.credits, message.credit_id, message.expires_at_ms) == (
        3,
        FIELDS["credit_id"],
        1_700_000_120_000,
    )


def test_a_known_example_pins_the_algorithm_for_others_who_implement_it():
    """HMAC-SHA256 over topic, line feed, canonical JSON; computed here by hand, with the standard library."""
    import hashlib
    import hmac

    key = hmac.new(b"s" * 32, b"arcade machine key 1\ncab-01", hashlib.sha256).digest()
    fields = {"b": 1, "a": "é\n", "signature": "left out", "c": {"z": [1, True, None], "y": "/"}}
    text = TOPIC + '\n{"a":"é\\n","b":1,"c":{"y":"/","z":[1,true,null]}}'
    assert key == KEY
    assert signature(KEY, TOPIC, fields) == hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


@pytest.mark.parametrize("name", sorted(json.loads(PAYLOAD)))
def test_a_change_of_any_field_breaks_the_signature(name):
    fields = json.loads(PAYLOAD)
    fields[name] = 4 if name == "credits" else str(fields[name])[:-1] + "x"
    with pytest.raises(BadSignature):
        unseal([KEY], TOPIC, json.dumps(fields).encode(), Coinpulse)


def test_a_field_more_or_less_breaks_the_signature():
    fields = json.loads(PAYLOAD)
    with pytest.raises(BadSignature):
        unseal([KEY], TOPIC, json.dumps({**fields, "test": 1}).encode(), Coinpulse)
    del fields["expiresAt"]
    with pytest.raises(BadSignature):
        unseal([KEY], TOPIC, json.dumps(fields).encode(), Coinpulse)


@pytest.mark.parametrize(
    "topic",
    ["arcade/machine/cab-02/coinpulse", "arcade/machine/cab-01/revoke", "arcade/machine/cab-01/coinpulse/"],
)
def test_a_message_can_not_be_redirected_to_another_topic(topic):
    with pytest.raises(BadSignature):
        unseal([KEY], topic, PAYLOAD, Coinpulse)


def test_each_machine_and_each_purpose_has_its_own_key():
    keys = [machine_key(SECRET, "cab-01"), machine_key(SECRET, "cab-02"), echo_key(SECRET)]
    keys += [machine_key("t" * 32, "cab-01"), machine_key(SECRET, "cab-0")]
    assert len(set(keys)) == len(keys)
    assert len({key_fingerprint(key) for key in keys}) == len(keys)


def test_while_a_secret_is_rotated_both_keys_verify_and_it_is_known_which_one_did():
    new = machine_key("n" * 32, "cab-01")
    fields = parse_object(PAYLOAD)
    assert verify([new, KEY], TOPIC, fields) == KEY
    with pytest.raises(BadSignature):
        verify([new], TOPIC, fields)


def test_fields_that_a_newer_sender_adds_are_covered_and_survive_rewriting_on_the_way():
    """A rule engine may parse the payload and write it anew, in another order and with white space."""
    fields = {**json.loads(PAYLOAD), "later": {"x": [1, 2], "é": "ü"}}
    fields["signature"] = signature(KEY, TOPIC, fields)
    names = list(fields)
    random.Random(1).shuffle(names)
    rewritten = json.dumps({name: fields[name] for name in names}, indent=3).encode()
    assert unseal([KEY], TOPIC, rewritten, Coinpulse).credits == 3


@pytest.mark.parametrize("given_signature", [None, "", "0" * 64, 5, [], "é" * 64, "A" * 64])
def test_a_signature_of_any_other_form_is_refused(given_signature):
    fields = {**parse_object(PAYLOAD), "signature": given_signature}
    with pytest.raises(BadSignature):
        verify([KEY], TOPIC, fields)


def test_no_key_at_all_verifies_nothing():
    with pytest.raises(BadSignature):
        verify([], TOPIC, parse_object(PAYLOAD))


def test_a_sender_does_not_emit_what_it_would_refuse():
    with pytest.raises(BadMessage):
        seal(KEY, TOPIC, Coinpulse, **{**FIELDS, "credits": 0})
    with pytest.raises(BadMessage):
        seal(KEY, TOPIC, Revoke, machine_id="cab-01", credit_id="x", installation="", timestamp="")


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_without_a_key(payload):
    with pytest.raises(BadMessage):
        unseal([KEY], TOPIC, payload, Coinpulse)


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8) | st.booleans(), max_size=6))
def test_any_flat_object_that_was_signed_verifies_after_the_way_through_json(fields):
    fields.pop("signature", None)
    try:
        sent = msgspec.json.encode({**fields, "signature": signature(KEY, TOPIC, fields)})
        received = parse_object(sent)
    except (UnicodeEncodeError, BadMessage):
        return  # lone surrogates and integers beyond 64 bits do not travel
    if all(not isinstance(value, float) for value in received.values()):
        assert verify([KEY], TOPIC, received) == KEY
