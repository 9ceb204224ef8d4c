"""Who may do what, cell by cell; how long a sign-in lasts; what guessing costs."""

import pytest
from msgspec.structs import replace

from arcade_cloud.domain.devices import LIFE_S, device_of, new_token
from arcade_cloud.domain.people import (
    CODE_WITHIN_MS,
    FORGET_TRIES_MS,
    FREE_TRIES,
    IDLE_MS,
    LONGEST_WAIT_MS,
    SESSION_MS,
    Act,
    Actor,
    Person,
    Role,
    Session,
    Tries,
    check_may,
    checked_full_name,
    checked_name,
    checked_password,
    checked_role,
    command_line,
    is_live,
    tried,
    wait_ms,
)
from arcade_cloud.errors import BadRequest, Forbidden

NOW_MS = 1_790_000_000_000
# Written by hand, so that no change of the table goes unnoticed: O, M, T, V: the role may do it; a small letter:
# only with the second factor; -: never. In the order owner, manager, technician, viewer.
TABLE = {
    Act.SEE: "OMTV",
    Act.SEE_TAKINGS: "OM-V",
    Act.SEE_AUDIT: "OM--",
    Act.SEE_SETTINGS: "OM--",
    Act.OWN_ACCOUNT: "OMTV",
    Act.ACKNOWLEDGE: "OMT-",
    Act.MACHINE_ADD: "OMT-",
    Act.MACHINE_SET: "OMT-",
    Act.MACHINE_SERVICE: "OMT-",
    Act.MACHINE_RETIRE: "OM--",
    Act.MACHINE_CONFIG: "omt-",
    Act.MACHINE_TEST: "OMT-",
    Act.MACHINE_IDENTIFY: "OMT-",
    Act.OFFERS: "om--",
    Act.GRANT: "om--",
    Act.REFUND: "om--",
    Act.TAB_CLOSE: "om--",
    Act.CLAIM: "om--",
    Act.PLAYER_CLAIM: "om--",
    Act.RECONCILE: "OM--",
    Act.ACCEPT: "OM--",
    Act.PEOPLE: "o---",
    Act.KEYS: "o---",
    Act.WEBHOOKS: "o---",
    Act.STORE: "o---",
}


def test_the_table_has_every_act():
    assert set(TABLE) == set(Act)


@pytest.mark.parametrize("act", list(Act))
@pytest.mark.parametrize(("place", "role"), list(enumerate(Role)), ids=list(Role))
@pytest.mark.parametrize("second_factor", [True, False], ids=["with a code", "without"])
def test_each_role_does_what_it_may_and_nothing_else(act, place, role, second_factor):
    cell = TABLE[act][place]
    allowed = cell != "-" and (second_factor or cell.isupper())
    actor = Actor(name="ann", role=role, second_factor=second_factor)
    assert actor.can(act) is allowed
    if allowed:
        check_may(actor, act)
        return
    with pytest.raises(Forbidden) as refused:
        check_may(actor, act)
    assert ("Ask an owner" if cell == "-" else "second factor") in str(refused.value)


@pytest.mark.parametrize("act", list(Act))
def test_the_command_line_may_do_all_of_it(act):
    check_may(command_line("root"), act)
    assert command_line("root").name == "command line root"


# --- sessions -----------------------------------------------------------------------------------------------

ANN = Person(name="ann", version=3, role=Role.OWNER, created_at_ms=0, epoch=2)
HERE = Session(session_id="x", name="ann", epoch=2, created_at_ms=NOW_MS, seen_at_ms=NOW_MS)


def test_a_session_ends_when_it_is_not_used_and_in_the_end_anyway():
    assert is_live(HERE, ANN, NOW_MS)
    assert is_live(HERE, ANN, NOW_MS + IDLE_MS - 1)
    assert not is_live(HERE, ANN, NOW_MS + IDLE_MS)
    busy = replace(HERE, seen_at_ms=NOW_MS + SESSION_MS - 1)
    assert is_live(busy, ANN, NOW_MS + SESSION_MS - 1)
    assert not is_live(busy, ANN, NOW_MS + SESSION_MS)


def test_a_code_must_come_soon():
    waiting = replace(HERE, waits_for_code=True)
    assert is_live(waiting, ANN, NOW_MS + CODE_WITHIN_MS - 1)
    assert not is_live(waiting, ANN, NOW_MS + CODE_WITHIN_MS)


@pytest.mark.parametrize(
    "person",
    [None, replace(ANN, disabled=True), replace(ANN, epoch=3), replace(ANN, epoch=1), replace(ANN, name="bob")],
)
def test_a_session_is_of_a_person_as_they_were_when_it_began(person):
    assert not is_live(HERE, person, NOW_MS)


def test_a_session_from_far_in_the_future_is_nobodys():
    assert not is_live(HERE, ANN, NOW_MS - IDLE_MS - 1)


# --- wrong tries --------------------------------------------------------------------------------------------


def test_the_first_tries_are_free_and_each_further_one_doubles_the_wait():
    tries, at_ms, waits = Tries(key="k"), NOW_MS, []
    for _ in range(FREE_TRIES + 7):
        at_ms += wait_ms(tries, at_ms)
        tries = tried(tries, at_ms)
        waits.append(wait_ms(tries, at_ms) // 1000)
    assert waits == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]
    assert tries.version == len(waits)


def test_nobody_waits_longer_than_that_whatever_the_count_or_the_clock_says():
    for tries in (
        Tries(key="k", count=10**9, last_ms=NOW_MS),
        Tries(key="k", count=10, last_ms=NOW_MS + 10**12),
    ):
        assert 0 < wait_ms(tries, NOW_MS) <= LONGEST_WAIT_MS


def test_the_count_begins_anew_after_a_while():
    tries = Tries(key="k", count=30, last_ms=NOW_MS)
    assert wait_ms(tries, NOW_MS + FORGET_TRIES_MS) == 0
    assert tried(tries, NOW_MS + FORGET_TRIES_MS).count == 1


# --- a browser that is known ----------------------------------------------------------------------------------


def test_a_browser_is_known_for_its_person_only_and_not_for_ever():
    key, older, now_s = b"k" * 32, b"o" * 32, NOW_MS // 1000
    token = new_token(older, "ann", b"123456789", now_s)
    assert device_of(token, "ann", [key, older], now_s) == b"123456789".hex()
    assert device_of(token, "bob", [key, older], now_s) is None
    assert device_of(token, "ann", [key], now_s) is None
    assert device_of(token, "ann", [older], now_s + LIFE_S) is None
    for broken in ("", "é", "AAAA", token[:-4], token[:-2] + "==", "!" * 40):
        assert device_of(broken, "ann", [older], now_s) is None


# --- texts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["ann", "Ann ", "ann@example.com", "a.b-c_d", "7"])
def test_a_name_is_taken_in_lower_case(text):
    assert checked_name(text) == text.strip().lower()


@pytest.mark.parametrize("text", ["", " ", "-ann", "a b", "<b>", "ann\n", "änn", "a" * 65, "a/b", "command line"])
def test_what_is_no_name_is_refused(text):
    if text == "ann\n":  # a line's end is not part of it
        assert checked_name(text) == "ann"
        return
    with pytest.raises(BadRequest, match="no name to sign in with"):
        checked_name(text)


@pytest.mark.parametrize("password", ["", "short", "a" * 300, "aaaaaaaaaaaa", "ann.the.owner"])
def test_a_password_that_is_easy_to_guess_is_refused(password):
    with pytest.raises(BadRequest, match="password"):
        checked_password(password, "ann.the.owner")


def test_other_passwords_are_taken_as_they_are():
    assert checked_password(" correct horse  ", "ann") == " correct horse  "


def test_roles_and_full_names_are_checked():
    assert checked_role("viewer") is Role.VIEWER
    with pytest.raises(BadRequest, match="owner, manager, technician, viewer"):
        checked_role("Boss")
    assert checked_full_name(" Ann <Ng> ") == "Ann <Ng>"
    with pytest.raises(BadRequest):
        checked_full_name("a\nb")
