"""Payloads: the public contract stands, and whatever arrives is a valid message or a BadMessage."""

import contextlib
import json
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_shared import schema_files
from arcade_shared.errors import BadMessage
from arcade_shared.ids import random_hex_128, uuid7
from arcade_shared.messages import (
    BY_KIND,
    MAX_CREDITS,
    MAX_PAYLOAD_BYTES,
    Ack,
    BareCoinpulse,
    Coinpulse,
    Gameover,
    Status,
    from_object,
    parse_object,
)
from arcade_shared.times import format_ms

NOW = format_ms(1_700_000_000_000)
SIGNATURE = "0" * 64
WRONG_VALUES: tuple[Any, ...] = (None, -1, 10**9, "#", "x" * 500, [], {})


def coinpulse(**changes):
    return {
        "machineId": "cab-01",
        "credits": 3,
        "timestamp": NOW,
        "creditId": uuid7(1_700_000_000_000),
        "installation": random_hex_128(),
        "expiresAt": NOW,
        "signature": SIGNATURE,
        **changes,
    }


def ack(**changes):
    return {
        "machineId": "cab-01",
        "creditId": uuid7(1_700_000_000_000),
        "installation": random_hex_128(),
        "state": "done",
        "final": True,
        "credits": 3,
        "delivered": 2,
        "uncertain": 1,
        "reason": "",
        "timestamp": NOW,
        "signature": SIGNATURE,
        **changes,
    }


def test_the_payloads_that_existing_subscribers_know_are_accepted_word_for_word():
    """The examples of the system that came before: free-text timestamps, no further fields."""
    pulse = parse_object(b'{"machineId": "your-machine-id", "credits": 1, "timestamp": "timestamp-of-coinpulse"}')
    assert from_object(BareCoinpulse, pulse) == BareCoinpulse(
        machine_id="your-machine-id", credits=1, timestamp="timestamp-of-coinpulse"
    )
    over = parse_object(
        b'{"machineId": "your-machine-id", "status": "game_over", "timestamp": "timestamp-of-gameover"}'
    )
    assert from_object(Gameover, over).status == "game_over"


def test_signed_payloads_still_carry_the_public_names():
    """A subscriber that knows only machineId, credits and timestamp (status for gameover) goes on working."""
    assert {"machineId", "credits", "timestamp"} <= set(msgspec.to_builtins(from_object(Coinpulse, coinpulse())))
    game_over = Gameover(machine_id="cab-01", status="game_over", timestamp=NOW)
    assert json.loads(msgspec.json.encode(game_over)) == {
        "machineId": "cab-01",
        "status": "game_over",
        "timestamp": NOW,
    }


def test_unknown_fields_are_ignored():
    assert from_object(Coinpulse, coinpulse(later="field", more=[1, {"deep": None}])).credits == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"machineId": "#"},
        {"machineId": "a/../b"},
        {"machineId": "cab-01\n"},
        {"machineId": 1},
        {"credits": 0},
        {"credits": -1},
        {"credits": MAX_CREDITS + 1},
        {"credits": 10**30},
        {"credits": "3"},
        {"credits": 3.5},
        {"credits": True},
        {"credits": None},
        {"timestamp": "timestamp-of-coinpulse"},
        {"timestamp": 1},
        {"expiresAt": "tomorrow"},
        {"expiresAt": None},
        {"creditId": "1"},
        {"creditId": "018bcfe5-687b-4422-b440-0e4eda44fafe"},
        {"installation": "x"},
        {"signature": "short"},
        {"signature": "G" * 64},
    ],
)
def test_a_field_outside_the_contract_refuses_the_message_and_is_named(wrong):
    (name,) = wrong
    with pytest.raises(BadMessage) as refused:
        from_object(Coinpulse, coinpulse(**wrong))
    if name not in {"timestamp", "expiresAt"}:  # these are refused by what they mean, not by their form
        assert name in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"final": False},
        {"state": "accepted"},
        {"state": "accepted", "final": False},
        {"state": "revoked"},
        {"delivered": 3},
        {"delivered": -1},
        {"uncertain": 2},
        {"state": "unheard-of"},
        {"registered": -1},
    ],
)
def test_an_ack_that_contradicts_itself_is_refused(wrong):
    with pytest.raises(BadMessage):
        from_object(Ack, ack(**wrong))


def test_the_longest_will_is_far_below_the_limit_of_a_payload():
    status = Status(
        timestamp=NOW,
        signature=SIGNATURE,
        machine_id="m" * 64,
        installation=random_hex_128(),
        state="offline",
        ready=False,
        reason="r" * 120,
        max_credits=MAX_CREDITS,
        nonce=random_hex_128(),
        boot_id=random_hex_128(),
        agent="a" * 64,
        connection=2**53 - 1,
        seq=2**53 - 1,
    )
    assert len(msgspec.json.encode(status)) * 4 < MAX_PAYLOAD_BYTES
    assert from_object(Status, parse_object(msgspec.json.encode(status))) == status


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"1",
        b'"text"',
        b"\xff\xfe",
        b'{"a": "\xff"}',
        b'{"a": NaN}',
        b"[" * MAX_PAYLOAD_BYTES,
        b'{"a":' * 600 + b"1" + b"}" * 600,
        b'{"a": "' + b"x" * MAX_PAYLOAD_BYTES + b'"}',
    ],
)
def test_what_is_no_small_json_object_is_refused(payload):
    with pytest.raises(BadMessage):
        from_object(Coinpulse, parse_object(payload))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda parts: st.lists(parts, max_size=4) | st.dictionaries(st.text(max_size=12), parts, max_size=4),
    max_leaves=12,
)


@given(
    st.sampled_from(sorted(BY_KIND)), st.binary(max_size=200) | json_values.map(lambda v: json.dumps(v).encode())
)
def test_any_bytes_are_a_message_or_a_bad_message(kind, payload):
    with contextlib.suppress(BadMessage):
        from_object(BY_KIND[kind], parse_object(payload))


@given(st.sampled_from(sorted(coinpulse())), json_values)
def test_any_value_in_any_field_is_accepted_or_refused(name, value):
    try:
        message = from_object(Coinpulse, coinpulse(**{name: value}))
    except BadMessage:
        return
    assert from_object(Coinpulse, parse_object(msgspec.json.encode(message))) == message


def test_the_committed_schemas_are_those_of_the_classes():
    """Stale? Run `python -m arcade_shared.schema_files`."""
    committed = {path.name: path.read_text() for path in schema_files.FOLDER.glob("*.json")}
    assert committed == schema_files.schemas()


@pytest.mark.parametrize(
    ("name", "cls", "fields"), [("coinpulse", Coinpulse, coinpulse), ("ack", Ack, ack)], ids=["coinpulse", "ack"]
)
def test_schema_and_class_agree(name, cls, fields):
    """What the schema refuses the class refuses too, field by field."""
    schema = json.loads((schema_files.FOLDER / f"{name}.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(fields())
    for field in fields():
        for value in WRONG_VALUES:
            if not validator.is_valid(fields(**{field: value})):
                with pytest.raises(BadMessage):
                    from_object(cls, fields(**{field: value}))
        missing = fields()
        del missing[field]
        assert not validator.is_valid(missing)
        with pytest.raises(BadMessage):
            from_object(cls, missing)
