"""All that the cloud reads (settings, records, correctly signed messages) is understood or refused by name."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arcade_cloud.adapters.store import records
from arcade_cloud.adapters.store.forms import FORMS
from arcade_cloud.config.settings import SettingsError, load
from arcade_cloud.config.variables import VARIABLES
from arcade_cloud.errors import FormTooNew, InvariantBroken
from arcade_shared.errors import BadMessage
from arcade_shared.messages import BY_KIND
from arcade_shared.signing import echo_key, machine_key, signature
from arcade_shared.topics import ECHO, machine_topic
from support.lives import Life
from support.site import SIGNING_SECRET, Site

FUZZ = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = [variable.name for variable in VARIABLES]
DECODERS = {
    "order": lambda record, order_id: records.order(record, order_id, FORMS),
    "history": records.history_entry,
    "machine": records.machine,
    "presence": records.presence,
    "alert": records.alert,
    "unmatched ack": records.unmatched_ack,
}
PUBLISHED = Life().funded().order
# Names that messages have, and one that none has.
FIELDS = sorted({name for cls in BY_KIND.values() for name in cls.__struct_encode_fields__} | {"echoId", "x"})
NEAR = st.sampled_from(
    ["cab-01", "a" * 32, "0" * 32, "2026-11-22T10:00:00.123Z", "done", "online", "game_over", 0, 1, True, False]
)


@pytest.fixture(scope="module")
def site() -> Site:
    return Site()


@FUZZ
@given(
    environ=st.dictionaries(st.sampled_from(NAMES), st.text(max_size=60) | st.integers().map(str), max_size=12),
    on_lambda=st.booleans(),
)
def test_any_environment_is_settings_or_a_list_of_faults(environ: dict[str, str], on_lambda: bool) -> None:
    lambda_too = {"AWS_LAMBDA_FUNCTION_NAME": "arcade"} if on_lambda else {}
    with suppress(SettingsError):
        load({**environ, **lambda_too}, None)


@FUZZ
@given(text=st.text(max_size=200) | st.binary(max_size=100).map(lambda raw: raw.decode("latin-1")))
def test_any_env_file_is_settings_or_a_list_of_faults(tmp_path_factory: Any, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.env"
    path.write_text(text, errors="surrogateescape")
    with suppress(SettingsError):
        load({}, path)


@pytest.mark.parametrize("kind", DECODERS)
@FUZZ
@given(record=st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_record_is_read_or_called_broken(kind: str, record: bytes) -> None:
    with suppress(InvariantBroken, FormTooNew):
        DECODERS[kind](record, "ord_1")


@FUZZ
@given(form=st.sampled_from([1, 2]), path=st.lists(st.integers(0, 30), min_size=1, max_size=4), value=JSON)
def test_an_order_s_record_with_anything_in_a_field_is_read_or_called_broken(
    form: int, path: list[int], value: object
) -> None:
    fields = json.loads(FORMS.write(PUBLISHED, form))
    part, name = fields, ""
    for step in path:
        name = sorted(part)[step % len(part)]
        if not isinstance(part[name], dict):
            break
        part = part[name]
    part[name if name in part else sorted(part)[0]] = value
    with suppress(InvariantBroken, FormTooNew):
        records.order(json.dumps(fields).encode(), "ord_1", FORMS)


@FUZZ
@given(
    kind=st.sampled_from([*BY_KIND, "echo"]),
    fields=st.dictionaries(st.sampled_from(FIELDS), NEAR | JSON, max_size=14),
    signed=st.booleans(),
)
def test_whatever_a_machine_signs_it_is_taken_in_or_refused(
    site: Site, kind: Any, fields: dict[str, Any], signed: bool
) -> None:
    """A cabinet's key is enough to be heard, but not enough to make the cloud fail."""
    topic = ECHO if kind == "echo" else machine_topic("cab-01", kind)
    key = echo_key(SIGNING_SECRET) if kind == "echo" else machine_key(SIGNING_SECRET, "cab-01")
    if signed:
        fields = json.loads(json.dumps({"machineId": "cab-01", **fields}))
        with suppress(UnicodeEncodeError):
            fields["signature"] = signature(key, topic, fields)
    with suppress(BadMessage):
        site.dependencies.messages.take_in(topic, json.dumps(fields).encode())


@FUZZ
@given(topic=st.text(max_size=80), payload=st.binary(max_size=300))
def test_whatever_arrives_on_whatever_topic_is_taken_in_or_refused(site: Site, topic: str, payload: bytes) -> None:
    with pytest.raises(BadMessage):
        site.dependencies.messages.take_in(topic, payload)


def test_after_all_of_that_a_purchase_goes_as_ever(site: Site) -> None:
    site.say_status("cab-01", boot_id="c" * 32)
    order_id = site.begin(2)
    site.pay(order_id)
    site.say_ack(order_id, "done", 2)
    assert (site.order(order_id).state, site.order(order_id).delivered) == ("settled", 2)
