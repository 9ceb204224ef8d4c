"""Inbound messages: only what a machine signed for itself counts, once; all else is refused, without a trace."""

import contextlib
import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arcade_cloud.domain.game_overs import GameOver
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import SKEW_MS
from arcade_cloud.domain.machines import Presence, well_again
from arcade_cloud.domain.order import UnmatchedAck
from arcade_cloud.errors import StoreUnavailable
from arcade_shared.errors import BadMessage, BadSignature
from arcade_shared.messages import Ack, Clock, Coinpulse, Echo, Gameover, Status, parse_object
from arcade_shared.signing import echo_key, machine_key, seal, signature
from arcade_shared.times import format_ms
from arcade_shared.topics import ECHO, Kind, machine_topic
from arcade_shared.trial import DOCTOR, NOBODY
from support.mortal_cloud import INSTALLATION, MACHINE, SECRET, START_MS, MortalCloud, new_credit_id
from support.orders import only_command
from support.sealed import unseal

OTHER_SECRET = "fedcba9876543210" * 4
NONCE = "c" * 32
ACK, STATUS = machine_topic(MACHINE, "ack"), machine_topic(MACHINE, "status")


def status_fields(**fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "machine_id": MACHINE,
        "timestamp": format_ms(START_MS + 1000),
        "installation": INSTALLATION,
        "state": "online",
        "ready": True,
        "reason": "",
        "max_credits": 20,
        "nonce": "",
        "boot_id": "b" * 32,
        "agent": "test",
        "connection": 1,
        "seq": 1_000_000,
    }
    return {**values, **fields}


def ack_fields(cloud: MortalCloud, order_id: str | None = None, **fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "machine_id": MACHINE,
        "timestamp": format_ms(cloud.now_ms),
        "credit_id": new_credit_id() if order_id is None else only_command(cloud.order(order_id)).credit_id,
        "installation": INSTALLATION,
        "state": "done",
        "final": True,
        "credits": 3,
        "delivered": 3,
        "uncertain": 0,
        "reason": "",
    }
    return {**values, **fields}


def signed(kind: Kind, cls: Any, fields: dict[str, Any], *, secret: str = SECRET, of: str = MACHINE) -> bytes:
    return seal(machine_key(secret, of), machine_topic(of, kind), cls, **fields)


def waiting(cloud: MortalCloud) -> str:
    """An order whose credit was sent and not answered yet."""
    cloud.machine.is_up = False
    order_id = cloud.buy()
    assert order_id is not None
    cloud.settle_down(until=lambda: cloud.order(order_id).credit_ids != ())
    return order_id


ALERTS = {"_alerts", "_unsent", "_lasting"}
# Refused, but not what a machine with another key would send.
NOT_EVEN_SIGNED = {
    "unsigned",
    "empty signature",
    "no text as signature",
    "on another machine's topic",
    "about another machine",
    "an echo signed by a machine",
    "a forged game over",
}


def contents(part: Any) -> dict[str, Any]:
    """A copy of what a store in memory holds, with its parts."""
    held = {name: value for name, value in vars(part).items() if name not in {"_lock", "_check_up", "unavailable"}}
    return {
        name: contents(value) if name in {"people", "software", "receipts"} else copy.deepcopy(value)
        for name, value in held.items()
    }


def trace(cloud: MortalCloud) -> Any:
    """All that is stored, but alerts, and that a machine was refused."""
    kept = {name: value for name, value in contents(cloud.store).items() if name not in ALERTS}
    presences = kept["_presences"]
    for machine_id, presence in presences.items():
        presences[machine_id] = msgspec.structs.replace(well_again(presence), version=0)
    return kept


# --- acks ------------------------------------------------------------------------------------------------


def test_a_final_ack_resolves_its_order() -> None:
    cloud = MortalCloud()
    order_id = waiting(cloud)
    assert cloud.messages.take_in(ACK, signed("ack", Ack, ack_fields(cloud, order_id, delivered=2))) == "ack"
    assert (cloud.order(order_id).delivered, cloud.order(order_id).books.target_minor) == (2, 200)


def test_the_same_ack_any_number_of_times_moves_the_order_once() -> None:
    cloud = MortalCloud()
    order_id = waiting(cloud)
    ack = signed("ack", Ack, ack_fields(cloud, order_id))
    cloud.messages.take_in(ACK, ack)
    before = trace(cloud)
    for _ in range(5):
        assert cloud.messages.take_in(ACK, ack) == "ack"
    assert trace(cloud) == before
    assert cloud.payments.calls.count("capture") == 1


def test_an_ack_for_a_credit_that_nobody_knows_is_kept_shown_and_taken_in_once() -> None:
    cloud = MortalCloud()
    ack = signed("ack", Ack, ack_fields(cloud))
    for _ in range(3):
        assert cloud.messages.take_in(ACK, ack) == "unmatched"
    (orphan,) = cloud.store.unmatched_acks(9)
    assert (orphan.machine_id, orphan.credit_id, orphan.delivered) == (MACHINE, new_credit_id(), 3)
    assert [alert.kind for alert in cloud.store.recent_alerts(9)] == ["unmatched_ack"]


def test_the_alert_about_an_orphan_is_raised_even_if_the_cloud_died_right_after_noting_it() -> None:
    cloud = MortalCloud()
    fields = ack_fields(cloud)
    cloud.store.note_unmatched_ack(
        UnmatchedAck(
            machine_id=MACHINE,
            credit_id=fields["credit_id"],
            installation=INSTALLATION,
            state="done",
            delivered=3,
            uncertain=0,
            at_ms=START_MS,
        )
    )
    cloud.messages.take_in(ACK, signed("ack", Ack, fields))
    assert [alert.kind for alert in cloud.store.recent_alerts(9)] == ["unmatched_ack"]


def test_rule_an_ack_of_another_installation_resolves_nothing_and_is_shown() -> None:
    cloud = MortalCloud()
    order_id = waiting(cloud)
    before = cloud.order(order_id)
    cloud.messages.take_in(ACK, signed("ack", Ack, ack_fields(cloud, order_id, installation="e" * 32)))
    assert cloud.order(order_id) == before
    assert [alert.kind for alert in cloud.store.recent_alerts(9)] == ["wrong_installation"]


def test_a_stolen_pi_s_key_says_nothing_about_another_machine_s_credit() -> None:
    cloud = MortalCloud()
    order_id = waiting(cloud)
    before = cloud.order(order_id)
    stolen = signed("ack", Ack, ack_fields(cloud, order_id, machine_id="cab-66"), of="cab-66")
    cloud.messages.take_in(machine_topic("cab-66", "ack"), stolen)
    assert cloud.order(order_id) == before
    assert [alert.kind for alert in cloud.store.recent_alerts(9)] == ["wrong_machine"]


def test_an_ack_that_could_not_be_stored_is_taken_in_when_it_comes_again() -> None:
    cloud = MortalCloud()
    order_id = waiting(cloud)
    ack = signed("ack", Ack, ack_fields(cloud, order_id))
    cloud.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        cloud.messages.take_in(ACK, ack)
    cloud.store.unavailable = False
    cloud.messages.take_in(ACK, ack)
    assert cloud.order(order_id).delivered == 3


# --- what is refused -------------------------------------------------------------------------------------


def _refusals() -> dict[str, tuple[str, bytes]]:
    cloud = MortalCloud()
    fields = ack_fields(cloud)
    good = signed("ack", Ack, fields)
    decoded = msgspec.json.decode(good)
    unsigned = {name: value for name, value in decoded.items() if name != "signature"}

    def forged(**changes: Any) -> bytes:
        return msgspec.json.encode({**decoded, **changes})

    echo = seal(machine_key(SECRET, MACHINE), ECHO, Echo, echo_id="a" * 32, timestamp=format_ms(START_MS))
    late_echo = seal(
        echo_key(SECRET), ECHO, Echo, echo_id="a" * 32, timestamp=format_ms(START_MS + SKEW_MS + 60_000)
    )
    unknown = signed("status", Status, status_fields(machine_id="cab-77"), of="cab-77")
    return {
        "unsigned": (ACK, msgspec.json.encode(unsigned)),
        "empty signature": (ACK, forged(signature="")),
        "no text as signature": (ACK, forged(signature=["a"])),
        "another key": (ACK, signed("ack", Ack, fields, secret=OTHER_SECRET)),
        "another machine's key": (ACK, seal(machine_key(SECRET, "cab-02"), ACK, Ack, **fields)),
        "the echo's key": (ACK, seal(echo_key(SECRET), ACK, Ack, **fields)),
        "a field changed": (ACK, forged(delivered=2)),
        "a field added": (ACK, forged(extra=1)),
        "on another topic of the machine": (STATUS, good),
        "on another machine's topic": (machine_topic("cab-02", "ack"), good),
        "about another machine": (
            ACK,
            seal(machine_key(SECRET, MACHINE), ACK, Ack, **{**fields, "machine_id": "x"}),
        ),
        "outside the contract": (ACK, _sealed_anyhow(ACK, {**unsigned, "delivered": -1})),
        "final, but it is not": (ACK, _sealed_anyhow(ACK, {**unsigned, "state": "accepted", "delivered": 0})),
        "no JSON": (ACK, b"{"),
        "no object": (ACK, b"[]"),
        "no UTF-8": (ACK, b'{"a": "\xff"}'),
        "too long": (ACK, b'{"a": "' + b"a" * 5000 + b'"}'),
        "nested": (ACK, b"[" * 2000 + b"]" * 2000),
        "no topic of ours": ("arcade/elsewhere", good),
        "a wildcard": ("arcade/machine/#/ack", good),
        "a longer topic": (ACK + "/x", good),
        "a coinpulse": (machine_topic(MACHINE, "coinpulse"), good),
        "a clock": (machine_topic(MACHINE, "clock"), good),
        "an echo signed by a machine": (ECHO, echo),
        "an echo from the future": (ECHO, late_echo),
        "a machine that nobody registered": (machine_topic("cab-77", "status"), unknown),
        "a forged game over": (machine_topic(MACHINE, "gameover"), _forged_game_over()),
    }


def _sealed_anyhow(topic: str, fields: dict[str, Any]) -> bytes:
    return msgspec.json.encode({**fields, "signature": signature(machine_key(SECRET, MACHINE), topic, fields)})


def _forged_game_over() -> bytes:
    fields = {"machineId": MACHINE, "status": "game_over", "timestamp": "now", "signature": "0" * 64}
    return msgspec.json.encode(fields)


@pytest.mark.parametrize("which", list(_refusals()))
def test_what_no_machine_signed_for_itself_is_refused_and_leaves_no_trace(which: str) -> None:
    cloud = MortalCloud()
    before = trace(cloud)
    topic, payload = _refusals()[which]
    with pytest.raises(BadMessage) as refusal:
        cloud.messages.take_in(topic, payload)
    looks_signed = refusal.type is BadSignature and which not in NOT_EVEN_SIGNED
    assert trace(cloud) == before
    assert [(alert.kind, alert.subject) for alert in cloud.store.recent_alerts(9)] == (
        [("signature_refused", MACHINE)] if looks_signed else []
    )


@settings(max_examples=300)
@given(
    topic=st.sampled_from([ACK, STATUS, machine_topic(MACHINE, "gameover"), ECHO]) | st.text(max_size=40),
    payload=st.binary(max_size=300)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    ).map(lambda value: msgspec.json.encode(value)),
)
def test_whatever_arrives_is_taken_in_or_refused_and_nothing_else(topic: str, payload: bytes) -> None:
    cloud = MortalCloud()
    before = trace(cloud)
    with contextlib.suppress(BadMessage):
        assert cloud.messages.take_in(topic, payload) == "unsigned"
    assert trace(cloud) == before


# --- a client id that somebody else takes ----------------------------------------------------------------


def contested(cloud: MortalCloud) -> list[tuple[str, str]]:
    alerts = [alert for alert in cloud.store.recent_alerts(9) if alert.kind == "taken_over"]
    return [(alert.subject, "end" if alert.recovers else "begin") for alert in reversed(alerts)]


def say(cloud: MortalCloud, seq: int, **fields: Any) -> str:
    status = status_fields(seq=1_000_000 + seq, **fields)
    return cloud.messages.take_in(STATUS, signed("status", Status, status))


def test_a_machine_whose_client_id_is_taken_is_told_of_once_and_so_is_the_end() -> None:
    cloud = MortalCloud()
    for seq in range(3):
        say(cloud, seq, contested=True)
    assert contested(cloud) == [(MACHINE, "begin")]
    cloud.sales.begin_checkout(MACHINE)
    for seq in range(3, 6):
        say(cloud, seq)
    assert contested(cloud) == [(MACHINE, "begin"), (MACHINE, "end")]
    say(cloud, 6, contested=True)
    assert contested(cloud)[2:] == [(MACHINE, "begin")]


def test_what_a_cloud_that_died_has_not_told_is_told_with_the_next_status(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = MortalCloud()
    for word, told in ((True, "begin"), (False, "end")):
        with monkeypatch.context() as patch:
            patch.setattr(cloud.store, "raise_alert", _dies)
            patch.setattr(cloud.store, "change_alert", _dies)
            with pytest.raises(StoreUnavailable):
                say(cloud, 2 * word, contested=word) if word else say(cloud, 4)
        say(cloud, 3 if word else 5, contested=word)
        assert contested(cloud)[-1] == (MACHINE, told)


def _dies(*_: Any) -> bool:
    raise StoreUnavailable("it dies")


def test_an_agent_that_knows_nothing_of_it_says_no_such_thing() -> None:
    """Version 0.1 sends no `contested`, and a cloud of 0.1 passes over it."""
    cloud = MortalCloud()
    fields = msgspec.json.decode(signed("status", Status, status_fields()))
    assert "contested" not in fields
    assert say(cloud, 1) == "status"
    assert contested(cloud) == []


# --- statuses and the clock ------------------------------------------------------------------------------


def test_a_status_with_a_nonce_is_answered_with_the_signed_time() -> None:
    cloud = MortalCloud()
    topic = machine_topic(MACHINE, "clock")
    cloud.now_ms += 1000
    assert cloud.messages.take_in(STATUS, signed("status", Status, status_fields(nonce=NONCE))) == "status"
    (sent,) = cloud.broker.on(topic)
    clock = unseal([machine_key(SECRET, MACHINE)], topic, sent.payload, Clock)
    assert (clock.nonce, clock.timestamp_ms) == (NONCE, cloud.now_ms)


@pytest.mark.parametrize(("agent", "trials"), [("arcade-edge 1.0", 0), (DOCTOR, 1)])
def test_a_doctor_is_answered_with_what_it_cannot_publish_itself_and_nothing_that_counts(
    agent: str, trials: int
) -> None:
    """Trial messages: without a signature, for no credits, on the two topics that only the cloud writes."""
    cloud = MortalCloud()
    status = status_fields(nonce=NONCE, agent=agent, state="offline", ready=False)
    assert cloud.messages.take_in(STATUS, signed("status", Status, status)) == "status"
    assert cloud.machine.clock_answers == [NONCE]
    for kind in ("coinpulse", "revoke"):
        sent = cloud.broker.on(machine_topic(MACHINE, kind))
        assert len(sent) == trials
        for fields in (parse_object(one.payload) for one in sent):
            assert NONCE in fields["note"]
            assert (fields["machineId"], fields.get("credits", 0), "signature" in fields) == (NOBODY, 0, False)


def test_a_nonce_is_answered_once_however_often_its_status_comes() -> None:
    cloud = MortalCloud()
    status = signed("status", Status, status_fields(nonce=NONCE))
    answers = [cloud.messages.take_in(STATUS, status) for _ in range(4)]
    assert answers == ["status", "stale", "stale", "stale"]
    assert cloud.machine.clock_answers == [NONCE]


def test_a_status_updates_what_is_known() -> None:
    cloud = MortalCloud()
    cloud.messages.take_in(STATUS, signed("status", Status, status_fields(ready=False, reason="board off")))
    presence = cloud.store.presence(MACHINE)
    assert presence is not None
    assert (presence.ready, presence.reason, presence.max_credits) == (False, "board off", 20)


def test_a_machine_that_goes_out_of_sale_for_its_meter_raises_an_alert_once_a_day() -> None:
    cloud = MortalCloud()
    for number in range(3):
        fields = status_fields(ready=False, reason="coins not registered", seq=number + 1)
        cloud.messages.take_in(STATUS, signed("status", Status, fields))
    (raised,) = cloud.store.recent_alerts(9)
    assert (raised.kind, raised.subject) == ("meter", MACHINE)
    assert "arcade-edge pulse" in raised.text


def test_two_pis_with_one_id_raise_an_alert() -> None:
    cloud = MortalCloud()
    cloud.now_ms += 1000
    cloud.messages.take_in(
        STATUS, signed("status", Status, status_fields(installation="e" * 32, boot_id="f" * 32))
    )
    assert [alert.kind for alert in cloud.store.recent_alerts(9)] == ["two_installations"]


def test_of_two_workers_that_hear_a_machine_at_once_none_loses_what_it_heard() -> None:
    cloud = MortalCloud()

    class Raced:
        def __init__(self) -> None:
            self.times = 1

        def __getattr__(self, name: str) -> Any:
            return getattr(cloud.store, name)

        def put_presence(self, presence: Presence, expected_version: int, *changes: Any) -> None:
            if self.times > 0:
                self.times -= 1
                cloud.messages.take_in(
                    STATUS, signed("status", Status, status_fields(reason="newer", seq=2_000_000))
                )
            cloud.store.put_presence(presence, expected_version, *changes)

    quiet = cloud.messages
    cloud.start(store=Raced())
    slow, cloud.messages = cloud.messages, quiet
    slow.take_in(STATUS, signed("status", Status, status_fields(reason="older", seq=1_500_000)))
    presence = cloud.store.presence(MACHINE)
    assert presence is not None
    assert (presence.reason, presence.seq) == ("newer", 2_000_000)


# --- keys while they are rotated -------------------------------------------------------------------------


def test_a_machine_that_still_has_the_previous_key_is_heard_and_answered_with_it() -> None:
    cloud = MortalCloud()
    cloud.start(keyring=Keyring([OTHER_SECRET, SECRET]))
    cloud.machine.say_status(nonce=NONCE, seq=2_000_000)
    cloud.settle_down()
    assert cloud.machine.clock_answers == [NONCE]
    order_id = waiting(cloud)
    topic = machine_topic(MACHINE, "coinpulse")
    unseal([machine_key(SECRET, MACHINE)], topic, cloud.broker.on(topic)[-1].payload, Coinpulse)
    cloud.messages.take_in(ACK, signed("ack", Ack, ack_fields(cloud, order_id)))
    assert cloud.order(order_id).delivered == 3


def test_a_machine_that_has_its_new_key_is_answered_with_that() -> None:
    cloud = MortalCloud()
    cloud.start(keyring=Keyring([OTHER_SECRET, SECRET]))
    cloud.messages.take_in(STATUS, signed("status", Status, status_fields(), secret=OTHER_SECRET))
    waiting(cloud)
    topic = machine_topic(MACHINE, "coinpulse")
    unseal([machine_key(OTHER_SECRET, MACHINE)], topic, cloud.broker.on(topic)[-1].payload, Coinpulse)


def test_an_echo_of_before_the_rotation_is_still_heard() -> None:
    cloud = MortalCloud()
    cloud.start(keyring=Keyring([OTHER_SECRET, SECRET]))
    echo = seal(echo_key(SECRET), ECHO, Echo, echo_id="a" * 32, timestamp=format_ms(START_MS))
    assert cloud.messages.take_in(ECHO, echo) == "echo"
    assert cloud.store.heard_echo_ms() == START_MS


# --- echoes and game overs -------------------------------------------------------------------------------


def test_only_the_latest_echo_counts() -> None:
    cloud = MortalCloud()
    cloud.now_ms += 10_000
    for at_ms in (START_MS + 5000, START_MS + 9000, START_MS + 1000):
        echo = seal(echo_key(SECRET), ECHO, Echo, echo_id="a" * 32, timestamp=format_ms(at_ms))
        cloud.messages.take_in(ECHO, echo)
    assert cloud.store.heard_echo_ms() == START_MS + 9000


def game_over(cloud: MortalCloud, **fields: Any) -> bytes:
    values: dict[str, Any] = {
        "machine_id": MACHINE,
        "status": "game_over",
        "timestamp": format_ms(cloud.now_ms),
        "event_id": "evt-1",
        "source": "gpio",
    }
    return signed("gameover", Gameover, {**values, **fields})


def kept(cloud: MortalCloud) -> list[GameOver]:
    return cloud.store.game_overs(MACHINE, 0, cloud.now_ms + 1_000_000, 10)


def test_a_signed_game_over_is_kept_once_at_its_own_time_and_nothing_else_of_it() -> None:
    cloud = MortalCloud()
    before = trace(cloud)
    topic, sent, at_ms = machine_topic(MACHINE, "gameover"), game_over(cloud), cloud.now_ms
    assert cloud.messages.take_in(topic, sent) == "gameover"
    cloud.now_ms += 5_000
    assert cloud.messages.take_in(topic, sent) == "gameover"  # the broker delivers it again
    assert cloud.messages.take_in(topic, game_over(cloud, event_id="evt-2", source="api")) == "gameover"
    with pytest.raises(BadMessage):
        cloud.messages.take_in(machine_topic("cab-66", "gameover"), game_over(cloud))
    second, first = kept(cloud)
    assert (first.at_ms, first.heard_at_ms, first.source, first.signed) == (at_ms, at_ms, "gpio", True)
    assert (second.at_ms, second.source) == (at_ms + 5_000, "api")
    assert trace(cloud) | {"_game_overs": {}} == before


@pytest.mark.parametrize("said", ["half past three", "1970-01-01T00:00:09Z", "2099-01-01T00:00:00Z"])
def test_a_game_over_whose_time_cannot_be_right_is_dated_by_when_it_came(said: str) -> None:
    cloud = MortalCloud()
    cloud.messages.take_in(machine_topic(MACHINE, "gameover"), game_over(cloud, timestamp=said))
    (one,) = kept(cloud)
    assert (one.at_ms, one.said_at) == (cloud.now_ms, said)


def test_a_bare_game_over_of_game_software_is_for_other_subscribers_and_kept_as_unsigned() -> None:
    cloud = MortalCloud()
    bare = msgspec.json.encode({"machineId": MACHINE, "status": "game_over", "timestamp": format_ms(1)})
    assert cloud.messages.take_in(machine_topic(MACHINE, "gameover"), bare) == "unsigned"
    (one,) = kept(cloud)
    assert (one.at_ms, one.signed, one.source) == (cloud.now_ms, False, "")


def test_a_game_over_comes_again_while_the_store_is_down() -> None:
    cloud = MortalCloud()
    cloud.store.unavailable = True
    with pytest.raises(StoreUnavailable):
        cloud.messages.take_in(machine_topic(MACHINE, "gameover"), game_over(cloud))
