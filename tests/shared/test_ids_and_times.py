"""Ids are unique and ordered by time; moments survive the way to text and back."""

import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_shared.ids import HEX_128_PATTERN, UUID7_PATTERN, random_hex_128, uuid7, uuid7_ms
from arcade_shared.times import format_ms, parse_ms

moments = st.integers(min_value=0, max_value=253_402_300_799_999)  # to the end of the year 9999


@given(st.integers(min_value=0, max_value=(1 << 48) - 1), st.binary(min_size=10, max_size=10))
def test_a_uuid7_tells_its_moment_and_is_a_valid_uuid(now_ms, random):
    text = uuid7(now_ms, lambda count: random[:count])
    assert re.fullmatch(UUID7_PATTERN, text)
    assert uuid7_ms(text) == now_ms
    assert UUID(text).version == 7
    assert UUID(text).variant == "specified in RFC 4122"


def test_the_example_of_rfc_9562_is_reproduced():
    """RFC 9562, appendix A.6: unix_ts_ms 017F22E279B0, rand_a CC3, rand_b 18C4DC0C0C07398F."""
    random = (0xCC3 << 62 | 0x18C4DC0C0C07398F).to_bytes(10, "big")
    assert uuid7(0x017F22E279B0, lambda count: random) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


@given(st.lists(st.integers(min_value=0, max_value=1 << 47), min_size=2, max_size=20, unique=True))
def test_uuid7s_sort_by_time(times):
    assert [uuid7_ms(text) for text in sorted(uuid7(time) for time in times)] == sorted(times)


def test_the_same_moment_gives_different_ids():
    assert len({uuid7(1) for _ in range(1000)}) == 1000
    assert len({random_hex_128() for _ in range(1000)}) == 1000
    assert re.fullmatch(HEX_128_PATTERN, random_hex_128())


@pytest.mark.parametrize(
    "text", ["", "x", "018bcfe5-687b-4422-b440-0e4eda44fafe", "018BCFE5-687B-7422-B440-0E4EDA44FAFE"]
)
def test_other_ids_have_no_moment(text):
    with pytest.raises(ValueError, match="UUIDv7"):
        uuid7_ms(text)


@pytest.mark.parametrize("now_ms", [-1, 1 << 48])
def test_a_moment_outside_a_uuid7_is_refused(now_ms):
    with pytest.raises(ValueError, match="48 bits"):
        uuid7(now_ms)


@given(moments)
def test_a_moment_survives_the_way_to_text_and_back(moment_ms):
    assert parse_ms(format_ms(moment_ms)) == moment_ms


def test_text_and_moment_agree_on_a_known_example():
    assert format_ms(1_700_000_000_123) == "2023-11-14T22:13:20.123Z"
    assert parse_ms("2023-11-14T22:13:20Z") == 1_700_000_000_000
    assert parse_ms("2023-11-14T22:13:20.123999Z") == 1_700_000_000_123


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "timestamp-of-coinpulse",
        "2023-11-14",
        "2023-11-14Z",
        "2023-11-14T22:13:20",
        "2023-11-14T22:13:20+08:00",
        "2023-11-14T22:13:20+08:00Z",
        "2023-13-14T22:13:20Z",
        "٢٠٢٣-11-14T22:13:20Z",
        "T" * 30 + "Z",
    ],
)
def test_a_moment_without_a_clear_zone_is_refused(text):
    with pytest.raises(ValueError):
        parse_ms(text)
