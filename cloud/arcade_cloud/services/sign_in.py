"""Signing in: a password, then the code of a phone where there is one; sessions that the server keeps.

A browser gets a random token, and the store has its hash alone. With each step up (password, code, second factor
set up) the token is a new one and the old is dead, so nobody can prepare one for somebody else.

Wrong tries are counted before a password is looked at, so trying many at once does not help:
    at an address       who is there tries more, whoever they pretend to be
    for a person there  five are free, then each doubles the wait
    for a person        from everywhere together, so many addresses do not help; but not from a browser that the
                        person has signed in with before, so nobody can lock somebody out from outside
    for a person's code whoever gets there has the password
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace

from arcade_cloud.domain.alerts import Alert, alert
from arcade_cloud.domain.devices import ID_BYTES, device_of, new_token
from arcade_cloud.domain.people import (
    FREE_TRIES,
    SEEN_EVERY_MS,
    Act,
    Actor,
    Person,
    Session,
    checked_name,
    is_live,
    tried,
    wait_ms,
)
from arcade_cloud.errors import BadRequest, Conflict, SignInRefused, TooManyRequests
from arcade_cloud.ports.people import PeopleStore
from arcade_cloud.services.accounts import Accounts
from arcade_cloud.services.rate_limit import client_of
from arcade_shared.times import format_ms

AT_ADDRESS, FOR_PERSON = 20, 50
_WRONG = "The name or the password is wrong."
_WRONG_CODE = "This code is wrong, or was used already. Wait for the next one on your phone."
_TOO_OFTEN = "Too many wrong tries."
_RETRIES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Whose browser this is.

    Attributes:
        actor: As acts take it.
        token: What the browser has.
    """

    person: Person
    session: Session
    actor: Actor
    token: str

    @property
    def form_token(self) -> str:
        """What each form of this session carries: no other site knows it."""
        return form_token(self.token)


def form_token(token: str) -> str:
    """The text in a form that proves that its page was made for the browser with this token."""
    return hmac.digest(token.encode(), b"arcade console form\n", hashlib.sha256).hex()


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """Sessions of people."""

    store: PeopleStore
    accounts: Accounts
    now_ms: Callable[[], int]
    device_keys: Sequence[bytes]
    raise_alert: Callable[[Alert], object]
    random_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes)

    # --- in ----------------------------------------------------------------------------------------------

    def with_password(self, name: str, password: str, *, ip: str, device: str = "") -> SignedIn:
        """Begin a session. If the person has a second factor, nothing may be done with it before `with_code`.

        Args:
            device: The token that the browser has from an earlier sign-in.

        Raises:
            SignInRefused: The name or the password is wrong, or the person is disabled.
            TooManyRequests: After too many wrong tries.
            TryLater: Too many people sign in at this moment.
        """
        try:
            known_as = checked_name(name)
        except BadRequest:
            known_as = ""
        with self._trying(self._counts(known_as, ip, device)):
            person = self.store.person(known_as) if known_as else None
            usable = None if person is None or person.disabled else person.password_hash or None
            if not self.accounts.passwords().is_right(password, usable) or person is None:
                if person is not None:
                    self._tell_of_guessing(person.name)
                raise SignInRefused(_WRONG)
        if self.accounts.passwords().is_old(person.password_hash):
            self.accounts.better_hash(person.name, password, person.password_hash)
        return self._begin(person, ip, waits_for_code=bool(person.totp_secret))

    def with_code(self, token: str, code: str, *, ip: str) -> SignedIn:
        """End the sign-in of a session that waits for a code.

        Raises:
            SignInRefused: The code is wrong or was used, or the session is over.
            TooManyRequests: After too many wrong codes.
        """
        waiting = self._live(token)
        if waiting is None or not waiting[0].waits_for_code:
            raise SignInRefused("This sign-in took too long: begin again.")
        session, person = waiting
        with self._trying({**self._at_address(ip), f"code:{person.name}": FREE_TRIES}):
            self._use_code(person, code, person.totp_secret)
        self.store.end_session(session.session_id)
        return self._begin(person, ip, second_factor=True)

    def check_password(self, signed_in: SignedIn, password: str) -> None:
        """Check that who sits at the browser knows the password, before the account is changed.

        Raises:
            SignInRefused: It is wrong.
            TooManyRequests: After too many wrong ones.
        """
        person = signed_in.person
        with self._trying({**self._at_address(signed_in.actor.ip), f"own:{person.name}": FREE_TRIES}):
            if not self.accounts.passwords().is_right(password, person.password_hash or None):
                raise SignInRefused("The password is wrong.")

    def _use_code(self, person: Person, code: str, secret: str) -> None:
        from arcade_cloud.services.second_factor import step_of

        step = step_of(code, secret, self.now_ms(), person.totp_step)
        if step is None or not self.accounts.use_step(person.name, step):
            raise SignInRefused(_WRONG_CODE)

    def _begin(
        self, person: Person, ip: str, *, waits_for_code: bool = False, second_factor: bool = False
    ) -> SignedIn:
        now_ms, token = self.now_ms(), self.random_bytes(32).hex()
        session = Session(
            session_id=_hashed(token),
            name=person.name,
            epoch=person.epoch,
            created_at_ms=now_ms,
            seen_at_ms=now_ms,
            waits_for_code=waits_for_code,
            second_factor=second_factor,
            ip=ip,
        )
        actor = _actor(person, session, ip)
        if waits_for_code:
            self.store.put_session(session)
        else:
            with self.accounts.log.doing(actor, Act.OWN_ACCOUNT, f"person {person.name}", wish="sign in"):
                self.store.put_session(session)
        return SignedIn(person=person, session=session, actor=actor, token=token)

    def device_token(self, name: str) -> str:
        """What the browser of somebody who has signed in keeps for the next time."""
        return new_token(self.device_keys[0], name, self.random_bytes(ID_BYTES), self.now_ms() // 1000)

    # --- while signed in ---------------------------------------------------------------------------------

    def current(self, token: str, *, ip: str, is_use: bool = True) -> SignedIn | None:
        """Who is signed in with this browser; None if nobody is.

        Args:
            is_use: Whether it counts as a use of the session: not where a page renews itself with nobody there.
        """
        live = self._live(token)
        if live is None or live[0].waits_for_code:
            return None
        session, person = live
        now_ms = self.now_ms()
        if is_use and now_ms - session.seen_at_ms >= SEEN_EVERY_MS:
            session = replace(session, seen_at_ms=now_ms)
            if not self.store.change_session(session):
                return None
        return SignedIn(person=person, session=session, actor=_actor(person, session, ip), token=token)

    def waits_for_code(self, token: str) -> bool:
        """Whether the password was right, and the code is to come."""
        live = self._live(token)
        return live is not None and live[0].waits_for_code

    def sign_out(self, token: str) -> None:
        """End a session, if there is one."""
        if token:
            self.store.end_session(_hashed(token))

    def _live(self, token: str) -> tuple[Session, Person] | None:
        session = self.store.session(_hashed(token)) if token else None
        if session is None:
            return None
        person = self.store.person(session.name)
        return (session, person) if person is not None and is_live(session, person, self.now_ms()) else None

    # --- the account of who is signed in -----------------------------------------------------------------

    def new_second_factor(self, signed_in: SignedIn) -> str:
        """The secret of a second factor that is being set up: the same for a session until it is confirmed."""
        from arcade_cloud.services.second_factor import new_secret

        if signed_in.session.new_secret:
            return signed_in.session.new_secret
        secret = new_secret()
        if not self.store.change_session(replace(signed_in.session, new_secret=secret)):
            raise SignInRefused("You are signed out.")
        return secret

    def confirm_second_factor(self, signed_in: SignedIn, password: str, code: str) -> SignedIn:
        """Set the second factor up. All other sessions end, and this one begins anew with it.

        Raises:
            SignInRefused: The password or the code is wrong, or nothing is being set up.
            TooManyRequests: After too many wrong ones.
        """
        from arcade_cloud.services.second_factor import step_of

        self.check_password(signed_in, password)
        name, secret = signed_in.person.name, signed_in.session.new_secret
        with self._trying({f"code:{name}": FREE_TRIES}):
            step = step_of(code, secret, self.now_ms(), 0) if secret else None
            if step is None:
                raise SignInRefused(_WRONG_CODE)
        person = self.accounts.set_second_factor(signed_in.actor, name, secret, step)
        self.sign_out(signed_in.token)
        return self._begin(person, signed_in.actor.ip, second_factor=True)

    def new_password(self, signed_in: SignedIn, old: str, new: str) -> SignedIn:
        """Give oneself another password. All other sessions end, and this one begins anew.

        Raises:
            SignInRefused: The old password is wrong.
            TooManyRequests: After too many wrong ones.
            BadRequest: The new one cannot be used.
        """
        self.check_password(signed_in, old)
        person = self.accounts.set_password(signed_in.actor, signed_in.person.name, new)
        self.sign_out(signed_in.token)
        return self._begin(person, signed_in.actor.ip, second_factor=signed_in.session.second_factor)

    # --- wrong tries -------------------------------------------------------------------------------------

    def _at_address(self, ip: str) -> dict[str, int]:
        return {f"address:{client_of(ip)}": AT_ADDRESS}

    def _counts(self, name: str, ip: str, device: str) -> dict[str, int]:
        """What a try counts for, and how many are free in each."""
        browser = device_of(device, name, self.device_keys, self.now_ms() // 1000) if device and name else None
        if browser is not None:
            return {f"browser:{browser}": FREE_TRIES}
        mine = {} if not name else {f"at:{name}:{client_of(ip)}": FREE_TRIES, f"person:{name}": FOR_PERSON}
        return {**self._at_address(ip), **mine}

    def _tell_of_guessing(self, name: str) -> None:
        """Tell people, once a day, that somebody tries one password after the other for one of them."""
        count = self.store.tries(f"person:{name}").count
        if count >= FOR_PERSON:
            at_ms = self.now_ms()
            text = (
                f"Somebody has tried {count} wrong passwords for {name} within the hour, from several addresses. "
                "Nobody got in by that. Give the person a long password and a second factor, if there is none."
            )
            self.raise_alert(alert("guessing", name, text, at_ms, format_ms(at_ms)[:10]))

    @contextmanager
    def _trying(self, counts: dict[str, int]) -> Iterator[None]:
        """Count a try before it is made, and take it back if it was right, or if nobody looked at it."""
        wait = max(wait_ms(self.store.tries(key), self.now_ms(), free) for key, free in counts.items())
        if wait > 0:
            raise TooManyRequests(wait, _TOO_OFTEN)
        for key, free in counts.items():
            self._count(key, free)
        try:
            yield
        except SignInRefused:
            raise
        except BaseException:
            self._take_back(counts)
            raise
        self._take_back(counts)

    def _count(self, key: str, free: int) -> None:
        for _ in range(_RETRIES):
            before = self.store.tries(key)
            wait = wait_ms(before, self.now_ms(), free)  # somebody else may have tried meanwhile
            if wait > 0:
                raise TooManyRequests(wait, _TOO_OFTEN)
            try:
                self.store.put_tries(tried(before, self.now_ms()), before.version)
            except Conflict:
                continue
            return
        raise TooManyRequests(1000, _TOO_OFTEN)

    def _take_back(self, counts: dict[str, int]) -> None:
        for key in counts:
            shared = key.startswith(("address:", "person:"))
            for _ in range(_RETRIES):
                before = self.store.tries(key)
                left = max(0, before.count - 1) if shared else 0
                try:
                    self.store.put_tries(replace(before, version=before.version + 1, count=left), before.version)
                except Conflict:
                    continue
                break


def _actor(person: Person, session: Session, ip: str) -> Actor:
    return Actor(name=person.name, role=person.role, second_factor=session.second_factor, ip=ip)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
