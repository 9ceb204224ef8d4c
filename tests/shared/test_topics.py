"""Topics: what is built can be parsed, and nothing from outside gets into a topic unchecked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_shared.errors import BadTopic
from arcade_shared.ids import MACHINE_ID_PATTERN, is_machine_id
from arcade_shared.topics import (
    KINDS,
    MAX_TOPIC_LENGTH,
    MachineTopic,
    check_machine_id,
    every_machine,
    machine_topic,
    parse_machine_topic,
)

machine_ids = st.from_regex(rf"\A{MACHINE_ID_PATTERN}\Z")


@given(machine_ids, st.sampled_from(sorted(KINDS)))
def test_every_topic_that_is_built_is_parsed_to_the_same_parts(machine_id, kind):
    topic = machine_topic(machine_id, kind)
    assert parse_machine_topic(topic) == MachineTopic(machine_id, kind)
    assert str(parse_machine_topic(topic)) == topic
    assert len(topic) <= MAX_TOPIC_LENGTH


@pytest.mark.parametrize(
    "machine_id",
    ["", "#", "+", "../x", "a/b", "a b", "-a", "_a", "a\n", "a\x00", "é", "a" * 65, None, 1, b"cab", ["cab"]],
)
def test_what_is_no_machine_id_gets_into_no_topic(machine_id):
    assert not is_machine_id(machine_id)
    with pytest.raises(BadTopic, match="1 to 64"):
        check_machine_id(machine_id)
    with pytest.raises(BadTopic):
        machine_topic(machine_id, "coinpulse")


@pytest.mark.parametrize("machine_id", ["a", "0", "cab-01", "CAB_7", "a" * 64, "your-machine-id"])
def test_usual_machine_ids_are_accepted(machine_id):
    assert check_machine_id(machine_id) == machine_id


@given(st.text(max_size=200) | st.from_regex(r"arcade/machine/[^/]{0,70}/[a-z]{0,12}(/.*)?"))
def test_any_text_is_either_one_of_our_topics_or_refused(text):
    try:
        parsed = parse_machine_topic(text)
    except BadTopic:
        return
    assert str(parsed) == text


def test_the_filter_for_all_machines_has_one_wildcard_level():
    assert every_machine("ack") == "arcade/machine/+/ack"
