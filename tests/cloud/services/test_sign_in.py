"""Signing in with real hashes and codes: sessions that are stolen or old, guessing, codes that come twice."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pyotp
import pytest

from arcade_cloud.adapters import passwords
from arcade_cloud.adapters.passwords import Argon2Passwords
from arcade_cloud.domain.alerts import Alert
from arcade_cloud.domain.people import (
    CODE_WITHIN_MS,
    FREE_TRIES,
    IDLE_MS,
    LONGEST_WAIT_MS,
    Act,
    Role,
    command_line,
)
from arcade_cloud.errors import BadRequest, Forbidden, SignInRefused, TooManyRequests, TryLater
from arcade_cloud.services import second_factor
from arcade_cloud.services.accounts import Accounts
from arcade_cloud.services.audit_log import AuditLog
from arcade_cloud.services.sign_in import AT_ADDRESS, FOR_PERSON, SignIn
from support.memory_people import MemoryPeople
from support.stripe_side import eventually

ROOT = command_line("root")
PASSWORD = "correct horse battery"
HERE, ELSEWHERE = "192.0.2.1", "198.51.100.7"


class Door:
    """People, and the clock."""

    def __init__(self) -> None:
        self.now_ms = 1_790_000_000_000
        self.store = MemoryPeople()
        self.log = AuditLog(store=self.store, now_ms=lambda: self.now_ms)
        self.hashing = Argon2Passwords()
        self.accounts = Accounts(
            store=self.store, log=self.log, now_ms=lambda: self.now_ms, passwords=lambda: self.hashing
        )
        self.alerts: dict[str, Alert] = {}
        self.sign_in = SignIn(
            store=self.store,
            accounts=self.accounts,
            now_ms=lambda: self.now_ms,
            device_keys=[b"k" * 32],
            raise_alert=lambda alert: self.alerts.setdefault(alert.alert_id, alert),
        )
        self.accounts.add(ROOT, "ann", Role.OWNER, PASSWORD)

    def enter(self, password: str = PASSWORD, name: str = "ann", ip: str = HERE, device: str = ""):
        return self.sign_in.with_password(name, password, ip=ip, device=device)

    def is_in(self, token: str) -> bool:
        return self.sign_in.current(token, ip=HERE) is not None

    def with_phone(self) -> str:
        """Give Ann a second factor; its secret."""
        secret = pyotp.random_base32()
        self.accounts.set_second_factor(ROOT, "ann", secret)
        return secret

    def code(self, secret: str, steps: int = 0) -> str:
        return pyotp.TOTP(secret).at(self.now_ms // 1000 + 30 * steps)


@pytest.fixture
def door() -> Door:
    return Door()


def wrong(door: Door, times: int = 1, **how) -> None:
    for _ in range(times):
        with pytest.raises(SignInRefused):
            door.enter("something else", **how)


# --- the password ---------------------------------------------------------------------------------------------


def test_the_right_password_begins_a_session(door):
    entered = door.enter(name=" Ann ")
    assert entered.actor.name == "ann"
    assert not entered.actor.second_factor
    current = door.sign_in.current(entered.token, ip=HERE)
    assert current is not None
    assert current.actor == entered.actor
    assert current.form_token == entered.form_token


@pytest.mark.parametrize(
    ("name", "password"), [("ann", ""), ("ann", PASSWORD + " "), ("eve", PASSWORD), ("", ""), ("<b>", PASSWORD)]
)
def test_nothing_else_does_and_which_of_both_is_wrong_is_not_told(door, name, password):
    with pytest.raises(SignInRefused, match="The name or the password is wrong"):
        door.enter(password, name)


def test_who_is_disabled_cannot_sign_in_and_is_not_told_more(door):
    door.accounts.add(ROOT, "bob", Role.MANAGER, PASSWORD)
    door.accounts.change(ROOT, "bob", disabled=True)
    with pytest.raises(SignInRefused, match="The name or the password is wrong"):
        door.enter(name="bob")
    door.accounts.change(ROOT, "bob", disabled=False)
    door.enter(name="bob")


def test_the_store_has_neither_password_nor_token(door):
    entered = door.enter()
    kept = repr(vars(door.store))
    assert PASSWORD not in kept
    assert entered.token not in kept
    assert entered.form_token not in kept


def test_a_hash_of_older_parameters_is_renewed_with_the_next_sign_in(door):
    import argon2
    from msgspec.structs import replace

    old = argon2.PasswordHasher(time_cost=1, memory_cost=8_192, parallelism=1).hash(PASSWORD)
    person = door.accounts.person("ann")
    door.store.put_person(replace(person, version=person.version + 1, password_hash=old), person.version)
    entered = door.enter()
    assert "m=19456,t=2,p=1" in door.accounts.person("ann").password_hash
    assert door.is_in(entered.token)
    door.enter()


# --- sessions -------------------------------------------------------------------------------------------------


def test_after_signing_out_the_token_is_dead(door):
    entered = door.enter()
    door.sign_in.sign_out(entered.token)
    door.sign_in.sign_out(entered.token)
    assert not door.is_in(entered.token)
    assert not door.is_in("")


@pytest.mark.parametrize(
    "change",
    [
        lambda door: door.accounts.change(ROOT, "bob", disabled=True),
        lambda door: door.accounts.change(ROOT, "bob", role=Role.VIEWER),
        lambda door: door.accounts.set_password(ROOT, "bob", "another good one"),
        lambda door: door.accounts.set_second_factor(ROOT, "bob", pyotp.random_base32()),
        lambda door: door.accounts.set_second_factor(ROOT, "bob", ""),
    ],
    ids=["disabled", "role", "password", "second factor", "no second factor"],
)
def test_a_change_of_the_account_ends_its_sessions_and_no_others(door, change):
    door.accounts.add(ROOT, "bob", Role.MANAGER, PASSWORD)
    door.accounts.set_second_factor(ROOT, "bob", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    ann, bob = door.enter(), door.sign_in.with_password("bob", PASSWORD, ip=HERE)
    bob = door.sign_in.with_code(bob.token, door.code("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"), ip=HERE)
    assert door.is_in(bob.token)
    change(door)
    assert not door.is_in(bob.token)
    assert door.is_in(ann.token)


def test_an_idle_session_ends_and_a_used_one_does_not(door):
    entered = door.enter()
    for _ in range(5):
        door.now_ms += IDLE_MS - 1
        assert door.is_in(entered.token)
    door.now_ms += IDLE_MS
    assert not door.is_in(entered.token)


def test_a_page_that_renews_itself_keeps_no_session_alive(door):
    entered = door.enter()
    door.now_ms += IDLE_MS - 1
    assert door.sign_in.current(entered.token, ip=HERE, is_use=False) is not None
    door.now_ms += 1
    assert not door.is_in(entered.token)


def test_using_a_session_while_it_is_ended_does_not_bring_it_back(door):
    entered = door.enter()
    door.now_ms += 120_000
    change = door.store.change_session

    def ended_in_between(session):
        door.sign_in.sign_out(entered.token)
        return change(session)

    door.store.change_session = ended_in_between
    assert not door.is_in(entered.token)
    assert door.store.session(entered.session.session_id) is None


# --- the second factor ----------------------------------------------------------------------------------------


def test_with_a_second_factor_the_password_alone_opens_nothing(door):
    secret = door.with_phone()
    waiting = door.enter()
    assert not door.is_in(waiting.token)
    assert door.sign_in.waits_for_code(waiting.token)
    entered = door.sign_in.with_code(waiting.token, door.code(secret), ip=HERE)
    assert entered.actor.second_factor
    assert door.is_in(entered.token)
    assert entered.token != waiting.token
    assert not door.is_in(waiting.token)
    assert not door.sign_in.waits_for_code(waiting.token)


@pytest.mark.parametrize("steps", [-1, 0, 1])
def test_a_code_is_good_a_little_early_and_late_and_with_a_space_in_it(door, steps):
    secret = door.with_phone()
    code = door.code(secret, steps)
    door.sign_in.with_code(door.enter().token, f" {code[:3]} {code[3:]} ", ip=HERE)


@pytest.mark.parametrize("steps", [-2, 2])
def test_older_and_later_codes_are_refused(door, steps):
    secret = door.with_phone()
    with pytest.raises(SignInRefused):
        door.sign_in.with_code(door.enter().token, door.code(secret, steps), ip=HERE)


def test_each_code_is_good_once_whoever_has_seen_it(door):
    secret = door.with_phone()
    code = door.code(secret)
    door.sign_in.with_code(door.enter().token, code, ip=HERE)
    with pytest.raises(SignInRefused, match="was used already"):
        door.sign_in.with_code(door.enter().token, code, ip=ELSEWHERE)
    with pytest.raises(SignInRefused):  # nor an earlier one, which somebody may have seen too
        door.sign_in.with_code(door.enter().token, door.code(secret, -1), ip=ELSEWHERE)
    door.sign_in.with_code(door.enter().token, door.code(secret, 1), ip=HERE)


def test_the_step_of_a_code_is_used_up_with_all_before_it(door):
    secret = door.with_phone()
    step = second_factor.step_of(door.code(secret), secret, door.now_ms, 0)
    assert step is not None
    assert second_factor.step_of(door.code(secret), secret, door.now_ms, step) is None
    assert door.accounts.use_step("ann", step)
    assert not door.accounts.use_step("ann", step)
    assert not door.accounts.use_step("ann", step - 1)
    assert door.accounts.use_step("ann", step + 1)


def test_of_two_who_use_a_code_at_once_one_gets_in(door):
    secret = door.with_phone()
    tokens, code, start = [door.enter().token for _ in range(4)], door.code(secret), threading.Barrier(4)

    def enter(token: str) -> bool:
        start.wait()
        try:
            door.sign_in.with_code(token, code, ip=HERE)
        except SignInRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(enter, tokens)) == 1


@pytest.mark.parametrize("code", ["", "0", "abcdef", "١٢٣٤٥٦", "1" * 400, "\x00"])
def test_what_is_no_code_is_refused(door, code):
    door.with_phone()
    with pytest.raises(SignInRefused):
        door.sign_in.with_code(door.enter().token, code, ip=HERE)


def test_the_code_must_come_soon_and_for_a_session_that_waits_for_it(door):
    secret = door.with_phone()
    waiting = door.enter()
    for token in ("", "0" * 64):
        with pytest.raises(SignInRefused, match="begin again"):
            door.sign_in.with_code(token, door.code(secret), ip=HERE)
    door.now_ms += CODE_WITHIN_MS
    with pytest.raises(SignInRefused, match="begin again"):
        door.sign_in.with_code(waiting.token, door.code(secret), ip=HERE)


def test_codes_cannot_be_guessed_one_after_the_other(door):
    secret = door.with_phone()
    waiting = door.enter()
    for _ in range(FREE_TRIES):
        with pytest.raises(SignInRefused):
            door.sign_in.with_code(waiting.token, "000000", ip=HERE)
    with pytest.raises(TooManyRequests):
        door.sign_in.with_code(waiting.token, door.code(secret), ip=ELSEWHERE)


def test_a_second_factor_is_set_up_with_the_password_and_a_code(door):
    entered, other = door.enter(), door.enter()
    secret = door.sign_in.new_second_factor(entered)
    entered = door.sign_in.current(entered.token, ip=HERE)
    assert entered is not None
    assert door.sign_in.new_second_factor(entered) == secret
    with pytest.raises(SignInRefused, match="password is wrong"):
        door.sign_in.confirm_second_factor(entered, "no", door.code(secret))
    with pytest.raises(SignInRefused, match="code is wrong"):
        door.sign_in.confirm_second_factor(entered, PASSWORD, "000000")
    assert door.accounts.person("ann").totp_secret == ""
    fresh = door.sign_in.confirm_second_factor(entered, PASSWORD, door.code(secret))
    assert fresh.actor.second_factor
    assert door.is_in(fresh.token)
    assert not door.is_in(entered.token)
    assert not door.is_in(other.token)
    with pytest.raises(SignInRefused):  # the code that set it up is used
        door.sign_in.with_code(door.enter().token, door.code(secret), ip=HERE)


def test_nothing_is_confirmed_that_was_not_begun(door):
    with pytest.raises(SignInRefused, match="code is wrong"):
        door.sign_in.confirm_second_factor(door.enter(), PASSWORD, "000000")


def test_another_password_needs_the_old_one_and_ends_all_other_sessions(door):
    entered, other = door.enter(), door.enter()
    with pytest.raises(SignInRefused):
        door.sign_in.new_password(entered, "no", "another good one")
    with pytest.raises(BadRequest, match="10 to 256"):
        door.sign_in.new_password(entered, PASSWORD, "short")
    fresh = door.sign_in.new_password(entered, PASSWORD, "another good one")
    assert door.is_in(fresh.token)
    assert not door.is_in(entered.token)
    assert not door.is_in(other.token)
    wrong(door)
    door.enter("another good one")


# --- guessing -------------------------------------------------------------------------------------------------


def test_guessing_a_person_s_password_takes_longer_each_time_even_with_the_right_one(door):
    wrong(door, FREE_TRIES)
    with pytest.raises(TooManyRequests) as refused:
        door.enter()
    assert refused.value.wait_s == 30
    assert "Too many wrong tries. Try again in 30 s." in str(refused.value)
    door.now_ms += 30_000
    door.enter()
    wrong(door, FREE_TRIES)  # a right one counts as none


def test_trying_at_once_gives_no_more_tries(door, monkeypatch):
    monkeypatch.setattr(passwords, "_queue", threading.BoundedSemaphore(99))
    monkeypatch.setattr(passwords, "WAIT_S", 60)
    start = threading.Barrier(12)

    def guess(number: int) -> bool:
        start.wait()
        try:
            door.enter(f"guess number {number}")
        except (TooManyRequests, TryLater):
            return False
        except SignInRefused:
            return True
        raise AssertionError

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(guess, range(12))) <= FREE_TRIES


def test_who_was_overtaken_by_others_between_look_and_count_tries_no_more(door):
    for _ in range(FREE_TRIES):
        door.sign_in._count("person:ann", FREE_TRIES)
    with pytest.raises(TooManyRequests):
        door.sign_in._count("person:ann", FREE_TRIES)


def test_one_address_cannot_try_one_person_after_the_other(door):
    for number in range(AT_ADDRESS):
        wrong(door, name=f"person{number}")
    with pytest.raises(TooManyRequests):
        door.enter(name="another")
    door.enter(ip=ELSEWHERE)


def test_many_addresses_do_not_help_and_cannot_lock_the_owner_out(door):
    entered = door.enter()
    known = door.sign_in.device_token("ann")
    for number in range(FOR_PERSON):
        wrong(door, ip=f"203.0.113.{number}")
    (told,) = door.alerts.values()
    assert (told.kind, told.subject) == ("guessing", "ann")
    with pytest.raises(TooManyRequests):
        door.enter(ip=ELSEWHERE)  # from nowhere known
    assert door.is_in(entered.token)  # who is in stays in
    door.enter(ip=ELSEWHERE, device=known)  # and a browser that was in before comes in
    with pytest.raises(TooManyRequests):
        door.enter(ip=ELSEWHERE, device="made up")
    door.now_ms += LONGEST_WAIT_MS
    door.enter(ip=ELSEWHERE)  # and so does everybody else, once it stops


def test_guessing_the_names_of_people_alerts_nobody(door):
    for number in range(FOR_PERSON):
        wrong(door, name="eve", ip=f"203.0.113.{number}")
    wrong(door, FREE_TRIES)
    assert door.alerts == {}


def test_a_known_browser_guesses_no_more_than_others(door):
    known = door.sign_in.device_token("ann")
    wrong(door, FREE_TRIES, device=known)
    with pytest.raises(TooManyRequests):
        door.enter(device=known)


class Slow:
    """Makes hashes that take until `leave` is set, and notes how many are made at once."""

    def __init__(self, hash_of: Callable[[str], str]) -> None:
        self.most = self._now = 0
        self.leave = threading.Event()
        self._lock, self._hash_of = threading.Lock(), hash_of

    def hash(self, password: str) -> str:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        assert self.leave.wait(60)
        with self._lock:
            self._now -= 1
        return self._hash_of(password)


@pytest.fixture
def slow(door: Door) -> Slow:
    made = Slow(door.hashing._hasher.hash)
    door.hashing._hasher = made  # type: ignore[assignment]
    return made


def test_two_hashes_at_most_are_made_at_once(door, slow, monkeypatch):
    """A third waits a little, and is then told to try again; that costs it none of its tries."""
    monkeypatch.setattr(passwords, "WAIT_S", 0.01)
    with ThreadPoolExecutor(2) as pool:
        made = [pool.submit(door.hashing.hashed, "one of two") for _ in range(2)]
        eventually(lambda: slow.most == 2, "both are made")
        for _ in range(FREE_TRIES + 1):
            with pytest.raises(TryLater, match="Try again in a few seconds"):
                door.enter()
        slow.leave.set()
        assert all(future.result().startswith("$argon2id$") for future in made)
    assert slow.most == 2


def test_only_a_few_wait_so_that_players_find_threads(door, slow, monkeypatch):
    """Sign-ins from a thousand addresses hold six threads of the server at most."""
    monkeypatch.setattr(passwords, "WAIT_S", 60)
    with ThreadPoolExecutor(12) as pool:
        made = [pool.submit(door.hashing.hashed, "one of twelve") for _ in range(12)]
        turned_away = 12 - passwords.AT_ONCE - passwords.WAITING
        eventually(lambda: sum(one.done() for one in made) == turned_away, "the others are told at once", 45)
        slow.leave.set()
    assert sum(isinstance(one.exception(), TryLater) for one in made) == turned_away


def test_however_many_threads_ask_hashes_take_the_memory_of_two():
    """What a thread has freed stays its own: 32 threads, two at a time, would keep 300 MiB."""
    script = """
import resource, threading
import threading
from arcade_cloud.adapters import passwords
passwords.WAIT_S, passwords._queue = 60, threading.BoundedSemaphore(99)
hashing, end = passwords.Argon2Passwords(), threading.Barrier(32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def ask():
    hashing.hashed("a password")
    end.wait()
every = [threading.Thread(target=ask) for _ in range(32)]
for thread in every:
    thread.start()
for thread in every:
    thread.join()
kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(kept // (1024 if sys.platform == "darwin" else 1) // 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{script}"], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 90  # MiB; two hashes are 38


# --- accounts -------------------------------------------------------------------------------------------------


def test_somebody_is_added_once_and_the_log_says_by_whom(door):
    door.now_ms += 1000
    with pytest.raises(BadRequest, match="there is a person ann already"):
        door.accounts.add(ROOT, "ANN", Role.VIEWER, PASSWORD)
    refused, added = door.log.read(9, on="person ann")
    assert (added.entry.who, added.entry.act, added.outcome.result) == ("command line root", Act.PEOPLE, "done")
    assert added.outcome.after == "owner"
    assert refused.outcome.result == "refused"
    assert not any(PASSWORD in repr(line) for line in door.log.read(9))


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": Role.MANAGER}])
def test_the_last_owner_stays_one(door, change):
    with pytest.raises(BadRequest, match="only owner"):
        door.accounts.change(ROOT, "ann", **change)
    door.accounts.add(ROOT, "bob", Role.OWNER, PASSWORD)
    door.accounts.change(ROOT, "ann", **change)
    with pytest.raises(BadRequest, match="only owner"):
        door.accounts.change(ROOT, "bob", **change)


def test_of_two_owners_who_end_each_other_at_once_one_stays(door, monkeypatch):
    door.accounts.add(ROOT, "bob", Role.OWNER, PASSWORD)
    put_person = door.store.put_person
    meanwhile = iter([lambda: door.accounts.change(ROOT, "ann", role=Role.VIEWER)])

    def put(*args, **named):
        for do in meanwhile:  # the other's change comes between the look and the writing
            do()
        put_person(*args, **named)

    monkeypatch.setattr(door.store, "put_person", put)
    with pytest.raises(BadRequest, match="bob is the only owner"):
        door.accounts.change(ROOT, "bob", disabled=True)
    assert [(one.name, one.role, one.disabled) for one in door.store.people()] == [
        ("ann", Role.VIEWER, False),
        ("bob", Role.OWNER, False),
    ]


def test_only_an_owner_with_a_code_changes_people_and_everybody_their_own_password(door):
    door.accounts.add(ROOT, "bob", Role.MANAGER, PASSWORD)
    ann, bob = door.enter(), door.enter(name="bob")
    with pytest.raises(Forbidden, match="second factor"):
        door.accounts.change(ann.actor, "bob", role=Role.VIEWER)
    for act in (
        lambda: door.accounts.change(bob.actor, "bob", role=Role.OWNER),
        lambda: door.accounts.set_password(bob.actor, "ann", "another good one"),
        lambda: door.accounts.set_second_factor(bob.actor, "ann", ""),
        lambda: door.accounts.set_second_factor(bob.actor, "bob", ""),
        lambda: door.accounts.add(bob.actor, "eve", Role.OWNER, PASSWORD),
    ):
        with pytest.raises(Forbidden):
            act()
    door.accounts.set_password(bob.actor, "bob", "another good one")
    assert door.accounts.person("bob").role is Role.MANAGER
