"""What an agent says of itself, in words, with what to do about it."""

from typing import Any

import pytest

from arcade_cloud.domain.closure import Closure
from arcade_cloud.domain.health import signs
from arcade_cloud.domain.machines import FRESH_MS, Machine, Presence
from arcade_cloud.domain.money import Offer

NOW_MS = 1_790_000_000_000
CAB = Machine(machine_id="cab-01")


def heard(**fields: Any) -> Presence:
    values = {
        "installation": "a" * 32,
        "online": True,
        "ready": True,
        "max_credits": 50,
        "stated_at_ms": NOW_MS,
        "heard_at_ms": NOW_MS,
    }
    return Presence(machine_id="cab-01", **{**values, **fields})


def told(presence: Presence | None, machine: Machine = CAB, *, has_older_key: bool = False) -> dict[str, str]:
    return {sign.name: sign.says for sign in signs(machine, presence, NOW_MS, has_older_key=has_older_key)}


def todo(presence: Presence | None, machine: Machine = CAB, *, has_older_key: bool = False) -> set[str]:
    return {sign.name for sign in signs(machine, presence, NOW_MS, has_older_key=has_older_key) if sign.todo}


def test_of_a_machine_that_is_well_nothing_is_to_do() -> None:
    assert told(heard()) == {
        "connection": "It is online.",
        "state": "It is ready.",
        "clock": "It has the cloud's time.",
        "key": "It signs with the newest secret's key.",
        "at most": "It takes 50 credits at once.",
    }
    assert todo(heard()) == set()


@pytest.mark.parametrize(
    ("fields", "name", "says"),
    [
        ({"online": False, "ready": False}, "connection", "The broker says that it is gone."),
        ({"stated_at_ms": NOW_MS - FRESH_MS - 1}, "connection", "Nothing is heard from it any more."),
        ({"ready": False, "reason": "no clock"}, "state", "It is not ready: it does not know the time yet."),
        ({"stated_at_ms": NOW_MS + 600_000}, "clock", "Its last word was 600 s ahead when it came."),
        (
            {"stated_at_ms": NOW_MS - 600_000},
            "clock",
            "Its last word was 600 s behind when it came.",
        ),
        ({"contested": True}, "client id", "Somebody else keeps taking its place at the broker."),
        (
            {"rival_installation": "b" * 32, "rival_heard_at_ms": NOW_MS},
            "installation",
            "Two Pis use this machine's id.",
        ),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(fields: dict[str, Any], name: str, says: str) -> None:
    assert told(heard(**fields))[name] == says
    assert name in todo(heard(**fields))


def test_without_the_time_the_clock_is_not_called_right() -> None:
    presence = heard(ready=False, reason="no clock", stated_at_ms=NOW_MS - 10**9)
    assert told(presence)["clock"] == "It has no time of the cloud yet."


def test_messages_with_another_key_are_told_also_before_it_was_ever_heard() -> None:
    refused: dict[str, Any] = {"refused_messages": 3, "refused_since_ms": NOW_MS - 60_000, "refused_at_ms": NOW_MS}
    for presence in (heard(**refused), Presence(machine_id="cab-01", **refused)):
        assert told(presence)["signature"].startswith("At least 3 messages were refused")
        assert "signature" in todo(presence)
    assert todo(heard(), has_older_key=True) == {"key"}


def test_a_machine_that_is_closed_may_be_switched_off() -> None:
    closed = Machine(machine_id="cab-01", closure=Closure(since_ms=NOW_MS - 1))
    assert todo(heard(online=False, ready=False), closed) == set()


def test_offers_that_its_agent_takes_no_more_are_told() -> None:
    six = Offer(offer_id="x", credits=6, amount_minor=900, currency="myr")
    machine = Machine(machine_id="cab-01", offers=(six,))
    assert todo(heard(max_credits=6), machine) == set()
    assert todo(heard(max_credits=5), machine) == {"at most"}


def test_what_never_spoke_and_what_only_listens() -> None:
    assert told(None) == {"connection": "It was never heard."}
    assert todo(None) == {"connection"}
    assert told(None, Machine(machine_id="cab-01", kind="subscriber")) == {}
