"""Machines: what was last heard counts, in the order in which it was said; and who may be paid for."""

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from arcade_cloud.domain.limits import SKEW_MS
from arcade_cloud.domain.machines import (
    FRESH_MS,
    RIVAL_MS,
    WELL_AFTER_MS,
    Machine,
    Presence,
    PresenceUpdate,
    apply_status,
    is_fresh,
    is_refusal_recorded,
    is_well_again,
    readiness,
    refused,
    refused_text,
    speaks_unheard,
    well_again,
    why_not_ready,
    why_unfit,
)
from arcade_shared.messages import WILL_SEQ, Status
from arcade_shared.times import format_ms

NOW_MS = 1_790_000_000_000
FIRST, SECOND = "a" * 32, "b" * 32
BOOT, NEXT_BOOT = "1" * 32, "2" * 32
NONCE = "c" * 32
KEY = "12345678"


def a_status(**fields: Any) -> Status:
    """Online, ready, said now."""
    at_ms = fields.pop("at_ms", NOW_MS)
    values: dict[str, Any] = {
        "machine_id": "cab-01",
        "installation": FIRST,
        "state": "online",
        "ready": True,
        "reason": "",
        "max_credits": 50,
        "nonce": "",
        "boot_id": BOOT,
        "agent": "test",
        "connection": 1,
        "seq": 1,
        "timestamp": format_ms(at_ms),
        "signature": "0" * 64,
    }
    return Status(**{**values, **fields})


def the_will(**fields: Any) -> Status:
    """What the broker says for an agent that is gone."""
    return a_status(**{"state": "offline", "ready": False, "seq": WILL_SEQ, **fields})


def after(*statuses: Status, presence: Presence | None = None, now_ms: int = NOW_MS) -> Presence:
    """What is known after these, heard at once."""
    known = presence or Presence(machine_id="cab-01")
    for status in statuses:
        known = apply_status(known, status, KEY, now_ms).presence
    return known


def heard(presence: Presence, status: Status, now_ms: int = NOW_MS) -> PresenceUpdate:
    return apply_status(presence, status, KEY, now_ms)


# --- the order of what is heard --------------------------------------------------------------------------


def test_the_first_status_says_all() -> None:
    presence = after(a_status(reason="", max_credits=20, agent="1.2.3"))
    assert (presence.installation, presence.online, presence.ready, presence.max_credits) == (
        FIRST,
        True,
        True,
        20,
    )
    assert (presence.stated_at_ms, presence.heard_at_ms, presence.key_fingerprint) == (NOW_MS, NOW_MS, KEY)


def test_an_older_status_of_the_same_boot_changes_nothing() -> None:
    known = after(a_status(connection=2, seq=5))
    for connection, seq in ((2, 5), (2, 4), (1, 9), (1, WILL_SEQ)):
        late = a_status(connection=connection, seq=seq, ready=False, state="offline")
        assert heard(known, late).presence == known


def test_a_replayed_status_changes_nothing() -> None:
    status = a_status(nonce=NONCE)
    known = after(status)
    assert heard(known, status, NOW_MS + 1000) == PresenceUpdate(presence=known)


def test_the_will_ends_its_connection_whatever_its_last_number() -> None:
    known = after(a_status(seq=900), the_will())
    assert (known.online, known.ready) == (False, False)


def test_the_will_of_an_earlier_connection_that_comes_late_changes_nothing() -> None:
    known = after(a_status(connection=1), a_status(connection=2))
    assert heard(known, the_will(connection=1)).presence == known


def test_the_will_of_an_earlier_boot_that_comes_late_changes_nothing() -> None:
    known = after(a_status(boot_id=BOOT), a_status(boot_id=NEXT_BOOT))
    assert heard(known, the_will(boot_id=BOOT)).presence == known


def test_a_status_of_an_earlier_boot_that_comes_late_changes_nothing() -> None:
    known = after(a_status(boot_id=BOOT), a_status(boot_id=NEXT_BOOT))
    late_ms = NOW_MS + FRESH_MS + 1
    assert heard(known, a_status(boot_id=BOOT, seq=9, contested=True), late_ms) == PresenceUpdate(presence=known)


def test_a_boot_that_names_a_time_far_off_changes_nothing_until_it_knows_it() -> None:
    known = after(a_status(boot_id=BOOT))
    timeless = a_status(boot_id=NEXT_BOOT, ready=False, reason="coins not registered", at_ms=NOW_MS + FRESH_MS + 1)
    assert heard(known, timeless) == PresenceUpdate(presence=known)


def test_a_new_boot_begins_anew() -> None:
    known = after(a_status(connection=7, seq=70), a_status(boot_id=NEXT_BOOT, ready=False, reason="booting"))
    assert (known.boot_id, known.connection, known.seq, known.ready) == (NEXT_BOOT, 1, 1, False)


def test_an_agent_that_is_offline_is_never_ready_whatever_it_says() -> None:
    assert after(the_will(ready=True)).ready is False


@given(seed=st.integers(0, 2**32))
def test_statuses_of_one_boot_may_come_in_any_order_and_twice(seed: int) -> None:
    said = [
        a_status(connection=connection, seq=seq, reason=f"{connection}.{seq}", ready=seq % 2 == 0)
        for connection in (1, 2, 3)
        for seq in (1, 2, 3, 4)
    ] + [the_will(connection=connection) for connection in (1, 2)]
    shuffled = said * 2
    random.Random(seed).shuffle(shuffled)
    known = after(*shuffled)
    assert (known.connection, known.seq, known.reason, known.ready) == (3, 4, "3.4", True)


# --- installations ---------------------------------------------------------------------------------------


def test_the_first_installation_that_is_heard_is_addressed_even_unready() -> None:
    assert after(a_status(ready=False)).installation == FIRST


@pytest.mark.parametrize(
    "status",
    [
        a_status(installation=SECOND, ready=False),
        the_will(installation=SECOND),
        a_status(installation=SECOND, at_ms=NOW_MS - FRESH_MS - 1),
        a_status(installation=SECOND, at_ms=NOW_MS + SKEW_MS + 1),
    ],
    ids=["not ready", "offline", "old", "from the future"],
)
def test_another_installation_without_a_live_round_trip_changes_nothing(status: Status) -> None:
    known = after(a_status())
    assert heard(known, status) == PresenceUpdate(presence=known)


def test_a_repaired_pi_takes_over_once_it_is_ready() -> None:
    known = after(a_status(), the_will())
    taken_over = heard(known, a_status(installation=SECOND), NOW_MS + 1000)
    assert (taken_over.presence.installation, taken_over.rival) == (SECOND, None)
    assert why_not_ready(Machine(machine_id="cab-01"), taken_over.presence, NOW_MS + 1000) is None


def test_a_pi_that_is_not_ready_takes_over_from_one_that_is_gone() -> None:
    """Else a machine whose other Pi was switched off is called silent for ever, although its own Pi speaks."""
    unready = a_status(installation=SECOND, ready=False, reason="machine not ready")
    known = after(a_status(), the_will())
    taken_over = heard(known, unready, NOW_MS + 1000)
    assert (taken_over.presence.installation, taken_over.rival, taken_over.presence.ready) == (SECOND, None, False)
    later_ms = NOW_MS + RIVAL_MS + 1  # a will may be lost
    unready = a_status(installation=SECOND, ready=False, reason="machine not ready", at_ms=later_ms)
    assert heard(after(a_status()), unready, later_ms).presence.installation == SECOND
    timeless = a_status(installation=SECOND, ready=False, reason="no clock")
    assert heard(known, timeless, NOW_MS + 1000).presence.installation == FIRST


def test_two_pis_with_one_id_are_noticed_and_nobody_may_pay() -> None:
    known = after(a_status())
    taken_over = heard(known, a_status(installation=SECOND), NOW_MS + 1000)
    assert (taken_over.presence.installation, taken_over.rival) == (SECOND, FIRST)
    why = why_not_ready(Machine(machine_id="cab-01"), taken_over.presence, NOW_MS + 1000)
    assert why == "This machine is out of order. The operator has been told."
    unfit = why_unfit(Machine(machine_id="cab-01"), taken_over.presence, NOW_MS + 1000)
    assert unfit is not None
    assert "Two devices" in unfit
    back = heard(taken_over.presence, a_status(seq=2), NOW_MS + 2000)
    assert (back.presence.installation, back.rival) == (FIRST, SECOND)


def test_a_rival_that_has_gone_is_forgotten_in_time() -> None:
    known = heard(after(a_status()), a_status(installation=SECOND), NOW_MS + 1000).presence
    later_ms = NOW_MS + RIVAL_MS + 1
    known = heard(known, a_status(installation=SECOND, seq=2, at_ms=later_ms), later_ms).presence
    assert why_not_ready(Machine(machine_id="cab-01"), known, later_ms) is None


def test_a_pi_that_was_silent_for_long_is_no_rival() -> None:
    later_ms = NOW_MS + RIVAL_MS + 1
    taken_over = heard(after(a_status()), a_status(installation=SECOND, at_ms=later_ms), later_ms)
    assert taken_over.rival is None


# --- nonces ----------------------------------------------------------------------------------------------


def test_a_nonce_is_answered_once() -> None:
    first = heard(Presence(machine_id="cab-01"), a_status(nonce=NONCE))
    assert first.answer_nonce == NONCE
    assert heard(first.presence, a_status(nonce=NONCE, seq=2)).answer_nonce == ""
    assert heard(first.presence, a_status(nonce="d" * 32, seq=3)).answer_nonce == "d" * 32


def test_a_status_without_a_nonce_is_not_answered() -> None:
    assert heard(Presence(machine_id="cab-01"), a_status()).answer_nonce == ""


def test_an_unready_pi_beside_another_gets_its_answer_for_without_it_it_would_never_be_ready() -> None:
    known = after(a_status())
    asked = heard(known, a_status(installation=SECOND, ready=False, nonce=NONCE))
    assert asked.answer_nonce == NONCE
    assert asked.presence == msgspec.structs.replace(known, answered_nonce=NONCE)


# --- may anybody pay -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_ms", "fresh"),
    [(0, True), (FRESH_MS, True), (FRESH_MS + 1, False), (-SKEW_MS, True), (-SKEW_MS - 1, False)],
)
def test_a_status_is_fresh_for_a_while(age_ms: int, fresh: bool) -> None:
    assert is_fresh(NOW_MS - age_ms, NOW_MS) is fresh
    known = after(a_status(at_ms=NOW_MS - age_ms))
    assert (why_not_ready(Machine(machine_id="cab-01"), known, NOW_MS) is None) is fresh


@pytest.mark.parametrize(
    ("presence", "credits", "word"),
    [
        (None, 1, "cannot pay by phone here yet"),
        (Presence(machine_id="cab-01"), 1, "cannot pay by phone here yet"),
        (after(a_status(), the_will()), 1, "offline"),
        (after(a_status(ready=False)), 1, "not ready"),
        (after(a_status(max_credits=5)), 6, "at most 5"),
        (after(a_status(max_credits=0)), 1, "at most 0"),
    ],
)
def test_nobody_may_pay_for_a_machine_that_can_not_deliver(
    presence: Presence | None, credits: int, word: str
) -> None:
    why = why_not_ready(Machine(machine_id="cab-01"), presence, NOW_MS, credits)
    assert why is not None
    assert word in why


def test_a_ready_machine_may_be_paid_for_up_to_its_longest_train() -> None:
    assert why_not_ready(Machine(machine_id="cab-01"), after(a_status(max_credits=5)), NOW_MS, 5) is None


def test_a_subscriber_s_machine_says_nothing_and_may_always_be_paid_for() -> None:
    assert why_not_ready(Machine(machine_id="cab-01", kind="subscriber"), None, NOW_MS, 99) is None


def test_a_status_that_was_replayed_after_the_machine_went_away_makes_nobody_pay() -> None:
    """Whoever has the broker can repeat an old status, but not its time."""
    known = after(a_status(), the_will())
    later_ms = NOW_MS + FRESH_MS + 1
    again = heard(known, a_status(boot_id=NEXT_BOOT), later_ms).presence
    assert why_not_ready(Machine(machine_id="cab-01"), again, later_ms) is not None


def test_a_pi_that_was_heard_in_the_future_is_no_rival() -> None:
    """The cloud's clock was ahead, and was put right: nobody is kept from paying for as long as it was ahead."""
    ahead_ms = NOW_MS + 8 * 3_600_000
    known = heard(after(a_status()), a_status(seq=2, at_ms=ahead_ms), ahead_ms).presence
    taken_over = heard(known, a_status(installation=SECOND, at_ms=NOW_MS + 1000), NOW_MS + 1000)
    assert (taken_over.presence.installation, taken_over.rival) == (SECOND, None)
    two = heard(known, a_status(installation=SECOND, at_ms=ahead_ms + 1000), ahead_ms + 1000).presence
    right = heard(two, a_status(installation=SECOND, seq=2, at_ms=NOW_MS + 2000), NOW_MS + 2000).presence
    assert why_not_ready(Machine(machine_id="cab-01"), right, NOW_MS + 2000) is None


def test_a_machine_that_is_refused_is_not_ready_until_its_next_good_status() -> None:
    known = refused(after(a_status()), NOW_MS + 1000)
    machine = Machine(machine_id="cab-01")
    assert readiness(machine, known, NOW_MS + 1000) == "wrong key"
    assert "operator has been told" in (why_not_ready(machine, known, NOW_MS + 1000) or "")
    good = heard(known, a_status(seq=2, at_ms=NOW_MS + 2000), NOW_MS + 2000).presence
    assert readiness(machine, good, NOW_MS + 2000) == "ready"
    assert speaks_unheard(good, NOW_MS + 2000)
    assert not is_well_again(good, NOW_MS + 2000)
    assert is_well_again(good, NOW_MS + 1000 + WELL_AFTER_MS)
    assert well_again(good).refused_at_ms == 0


def test_a_contested_client_id_is_news_until_that_is_noted() -> None:
    known = after(a_status())
    first = heard(known, a_status(seq=2, contested=True))
    assert (first.contested, first.presence.contested) == (True, False), "whoever tells of it notes it then"
    assert heard(first.presence, a_status(seq=3, contested=True)).contested is True
    noted = msgspec.structs.replace(first.presence, contested=True)
    assert heard(noted, a_status(seq=3, contested=True)).contested is None
    assert heard(noted, a_status(seq=3)).contested is False
    assert heard(noted, a_status(seq=2)).contested is None, "it is older than what is known"
    assert heard(noted, a_status(installation=SECOND)).contested is False, "another Pi has another id"


def test_a_will_says_nothing_about_a_client_id() -> None:
    """It was made before its connection was ended."""
    known = after(a_status())
    assert heard(known, the_will(contested=True)).contested is None
    noted = msgspec.structs.replace(known, contested=True)
    assert heard(noted, the_will()).contested is None


def test_refused_messages_are_counted_from_the_first_to_the_last() -> None:
    once = refused(after(a_status()), NOW_MS + 1000)
    assert refused_text(
        once
    ) == f"at least 1 message was refused, from {format_ms(NOW_MS + 1000)} to " + format_ms(NOW_MS + 1000)
    more = refused(once, NOW_MS + 20_000, 41)
    told = f"messages were refused, from {format_ms(NOW_MS + 1000)} to {format_ms(NOW_MS + 20_000)}"
    assert refused_text(more) == f"at least 42 {told}"
    assert refused_text(more, 3) == f"at least 45 {told}"
    assert refused_text(well_again(more)) == ""
    assert refused_text(refused(well_again(more), NOW_MS + 90_000)).startswith("at least 1 message was")


def test_one_refusal_in_ten_seconds_is_recorded() -> None:
    known = refused(after(a_status()), NOW_MS)
    assert not is_refusal_recorded(None, NOW_MS)
    assert not is_refusal_recorded(after(a_status()), NOW_MS)
    assert is_refusal_recorded(known, NOW_MS + 9_999)
    assert not is_refusal_recorded(known, NOW_MS + 10_000)
    assert not is_refusal_recorded(known, NOW_MS - 8 * 3_600_000), "it was noted by a clock that was ahead"
    ahead = refused(after(a_status()), NOW_MS + 8 * 3_600_000)
    assert refused(ahead, NOW_MS).refused_since_ms == NOW_MS


def test_a_refusal_in_the_future_holds_nothing_up() -> None:
    known = refused(after(a_status()), NOW_MS + 8 * 3_600_000)
    assert not speaks_unheard(known, NOW_MS)
    assert readiness(Machine(machine_id="cab-01"), known, NOW_MS) == "ready"
    assert refused(known, NOW_MS).refused_at_ms == NOW_MS
    assert is_well_again(known, NOW_MS)
