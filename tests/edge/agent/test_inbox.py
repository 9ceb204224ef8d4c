"""Which messages are the cloud's, and for this installation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_edge.agent.inbox import (
    BAD_SIGNATURE,
    MALFORMED,
    NOT_OUR_TOPIC,
    OTHER_INSTALLATION,
    RETAINED,
    UNSIGNED,
    Addressee,
    BenchPulse,
    ClockAnswer,
    Ignored,
    read_message,
)
from arcade_edge.domain.credits import Command, Revocation
from arcade_shared.ids import uuid7
from arcade_shared.times import format_ms
from arcade_shared.topics import Kind, machine_topic
from arcade_shared.trial import trial
from support.mqtt_cloud import clock, coinpulse, revoke

KEY = bytes(range(32))
US = "ab" * 16
THEM = "cd" * 16
NOW = 1_790_000_000_000
ID = uuid7(NOW)
TOPIC = machine_topic("cab-01", "coinpulse")
ADDRESSEE = Addressee("cab-01", US, (KEY,))
BENCH = Addressee("cab-01", US, (KEY,), allow_unsigned=True)
PULSE = coinpulse(KEY, "cab-01", ID, 2, US, NOW)


def why(payload: bytes, topic: str = TOPIC, *, retained: bool = False, addressee: Addressee = ADDRESSEE) -> str:
    request = read_message(topic, payload, retained, addressee)
    assert isinstance(request, Ignored)
    return request.why


def changed(payload: bytes, **fields: object) -> bytes:
    return json.dumps({**json.loads(payload), **fields}).encode()


def test_what_the_cloud_asks_is_understood() -> None:
    assert read_message(TOPIC, PULSE, False, ADDRESSEE) == Command(ID, 2, NOW)
    topic = machine_topic("cab-01", "revoke")
    assert read_message(topic, revoke(KEY, "cab-01", ID, US), False, ADDRESSEE) == Revocation(ID)
    topic = machine_topic("cab-01", "clock")
    assert read_message(topic, clock(KEY, "cab-01", US, NOW), False, ADDRESSEE) == ClockAnswer(US, NOW)


@pytest.mark.parametrize("addressee", [ADDRESSEE, BENCH])
def test_a_trial_message_asks_for_nothing_even_on_a_bench(addressee: Addressee) -> None:
    expected_of: dict[Kind, str] = {"coinpulse": MALFORMED, "revoke": BAD_SIGNATURE, "clock": BAD_SIGNATURE}
    for kind, expected in expected_of.items():
        message = trial(kind, "a mark", format_ms(NOW))
        assert why(message, machine_topic("cab-01", kind), addressee=addressee) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"credits": 3},
        {"expiresAt": "2027-01-01T00:00:00.000Z"},
        {"installation": THEM},
        {"creditId": uuid7(NOW + 1)},
        {"machineId": "cab-02"},
        {"timestamp": "2026-01-01T00:00:00.000Z"},
        {"more": 1},
        {"signature": "0" * 64},
        {"signature": None},
        {"creditId": None},
    ],
)
def test_whoever_changes_a_field_breaks_the_signature(fields: dict[str, object]) -> None:
    """Nobody with the broker in hand can enlarge, refresh or redirect a credit."""
    assert why(changed(PULSE, **fields)) == BAD_SIGNATURE
    assert why(changed(PULSE, **fields), addressee=BENCH) == BAD_SIGNATURE


def test_signature_and_id_taken_away_together_leave_an_unsigned_pulse() -> None:
    """Only a bench pulses these."""
    bare = changed(PULSE, creditId=None, signature=None)
    assert why(bare) == UNSIGNED
    assert read_message(TOPIC, bare, False, BENCH) == BenchPulse(2)


def test_a_message_moved_to_another_topic_is_not_signed_there() -> None:
    assert why(PULSE, machine_topic("cab-01", "revoke")) == BAD_SIGNATURE
    assert why(PULSE, machine_topic("cab-02", "coinpulse")) == NOT_OUR_TOPIC
    assert why(PULSE, machine_topic("cab-01", "status")) == NOT_OUR_TOPIC
    assert why(PULSE, "something/else") == NOT_OUR_TOPIC


def test_the_retained_flag_is_looked_at_before_anything_else() -> None:
    assert why(PULSE, retained=True) == RETAINED
    assert why(b"rubbish", retained=True) == RETAINED


def test_the_signature_is_checked_before_the_installation() -> None:
    """So the count of messages for other installations cannot be inflated by anybody."""
    assert why(coinpulse(KEY, "cab-01", ID, 1, THEM, NOW)) == OTHER_INSTALLATION
    assert why(coinpulse(bytes(32), "cab-01", ID, 1, THEM, NOW)) == BAD_SIGNATURE


@given(st.binary(max_size=300), st.sampled_from(["coinpulse", "revoke", "clock"]), st.booleans())
def test_no_bytes_are_taken_for_a_request_and_none_raise(payload: bytes, kind: str, bench: bool) -> None:
    topic = machine_topic("cab-01", kind)  # type: ignore[arg-type]
    assert why(payload, topic, addressee=BENCH if bench else ADDRESSEE) in (MALFORMED, BAD_SIGNATURE, UNSIGNED)


@given(
    st.dictionaries(
        st.sampled_from(["machineId", "credits", "timestamp", "creditId", "signature"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.none()),
    )
)
def test_no_object_raises(fields: dict[str, object]) -> None:
    request = read_message(TOPIC, json.dumps(fields).encode(), False, BENCH)
    assert isinstance(request, Ignored | BenchPulse)
