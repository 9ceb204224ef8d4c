"""The people who run the arcade: who may do what, how long a sign-in lasts, and what guessing costs (pure).

A role is a set of acts, and `ALLOWED` is the only table of them. An act that moves money, or that leads to money,
also needs the second factor, whatever the role. The command line belongs to whoever may read the settings, so it
acts as an owner.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from arcade_cloud.domain.texts import NAME_LENGTH, checked_line
from arcade_cloud.errors import BadRequest, Forbidden

_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
# NIST SP 800-63B asks for 8 at least, and for no rules about which characters. An argon2 hash takes no longer for
# a long password, but a form should have an end.
PASSWORD_LEAST, PASSWORD_MOST = 10, 256

IDLE_MS = 30 * 60_000
SESSION_MS = 12 * 3_600_000
# The password is right, and the code is still to come.
CODE_WITHIN_MS = 5 * 60_000
# A session that is used is written down so often.
SEEN_EVERY_MS = 60_000

# So many wrong sign-ins cost nothing; each further one doubles the wait.
FREE_TRIES = 5
FIRST_WAIT_MS = 30_000
LONGEST_WAIT_MS = 15 * 60_000
# After that long without a try the count begins anew.
FORGET_TRIES_MS = 60 * 60_000


class Role(StrEnum):
    """What a person is to the arcade."""

    OWNER = "owner"
    MANAGER = "manager"
    TECHNICIAN = "technician"
    VIEWER = "viewer"


class Act(StrEnum):
    """What can be done. The values are in the audit log for ever."""

    SEE = "see"
    SEE_TAKINGS = "see takings"
    SEE_AUDIT = "see audit"
    SEE_SETTINGS = "see settings"
    OWN_ACCOUNT = "own account"
    ACKNOWLEDGE = "alert acknowledge"
    MACHINE_ADD = "machine add"
    MACHINE_SET = "machine set"
    MACHINE_SERVICE = "machine service"
    MACHINE_RETIRE = "machine retire"
    MACHINE_CONFIG = "machine config"
    MACHINE_TEST = "machine test"
    MACHINE_IDENTIFY = "machine identify"
    OFFERS = "offers"
    GRANT = "grant"
    REFUND = "refund"
    TAB_CLOSE = "tab close"
    CLAIM = "payment decide"
    PLAYER_CLAIM = "player's claim"
    RECONCILE = "reconcile"
    ACCEPT = "differences accept"
    PEOPLE = "people"
    KEYS = "API keys"
    WEBHOOKS = "webhooks"
    STORE = "store"


_VIEWER = frozenset({Act.SEE, Act.SEE_TAKINGS, Act.OWN_ACCOUNT})
_TECHNICIAN = frozenset(
    {
        Act.SEE,
        Act.OWN_ACCOUNT,
        Act.ACKNOWLEDGE,
        Act.MACHINE_ADD,
        Act.MACHINE_SET,
        Act.MACHINE_SERVICE,
        Act.MACHINE_CONFIG,
        Act.MACHINE_TEST,
        Act.MACHINE_IDENTIFY,
    }
)
_MANAGER = (
    _VIEWER
    | _TECHNICIAN
    | {
        Act.SEE_AUDIT,
        Act.SEE_SETTINGS,
        Act.MACHINE_RETIRE,
        Act.OFFERS,
        Act.GRANT,
        Act.REFUND,
        Act.TAB_CLOSE,
        Act.CLAIM,
        Act.PLAYER_CLAIM,
        Act.RECONCILE,
        Act.ACCEPT,
    }
)
ALLOWED: dict[Role, frozenset[Act]] = {
    Role.OWNER: frozenset(Act),
    Role.MANAGER: _MANAGER,
    Role.TECHNICIAN: _TECHNICIAN,
    Role.VIEWER: _VIEWER,
}
# A machine's config has its signing key, with which credits can be made; who changes people can become anybody.
NEEDS_SECOND_FACTOR = frozenset(
    {
        Act.OFFERS,
        Act.GRANT,
        Act.REFUND,
        Act.TAB_CLOSE,
        Act.CLAIM,
        Act.PLAYER_CLAIM,
        Act.PEOPLE,
        Act.KEYS,
        Act.WEBHOOKS,
        Act.STORE,
        Act.MACHINE_CONFIG,
    }
)


def may(role: Role, act: Act) -> bool:
    """Whether a role allows an act at all."""
    return act in ALLOWED[role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something now.

    Attributes:
        name: As the audit log has it: a person's name, or `command line` and the user of this computer.
        second_factor: A code of the person's phone was given in this session.
        ip: The address from which the request came; empty for the command line.
    """

    name: str
    role: Role
    second_factor: bool = False
    ip: str = ""

    def can(self, act: Act) -> bool:
        """Whether this person may do it now."""
        return may(self.role, act) and (self.second_factor or act not in NEEDS_SECOND_FACTOR)


def command_line(user: str) -> Actor:
    """Whoever may read the settings and the database may do all of it."""
    return Actor(name=f"command line {user}", role=Role.OWNER, second_factor=True)


def check_may(actor: Actor, act: Act) -> None:
    """Check that somebody may do it now.

    Raises:
        Forbidden: The role does not allow it, or the second factor is missing. The text says which.
    """
    if not may(actor.role, act):
        raise Forbidden(f"A {actor.role} may not do this ({act}). Ask an owner.")
    if not actor.can(act):
        raise Forbidden(
            f"This ({act}) needs a code of your phone: set up the second factor, then sign in with it."
        )


class Person(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Somebody who may sign in.

    Attributes:
        name: What they sign in with, in lower case.
        version: Rises by one with each change.
        full_name: As others know them.
        password_hash: As the hashing library writes it, with its own parameters.
        totp_secret: Base32, as authenticator apps take it; empty without a second factor.
        totp_step: The step (30 s each since 1970) of the last code that was used: a code is good once.
        epoch: Rises when the password, the role or the second factor changes, or the person is disabled. Sessions
            of an earlier epoch are over.
    """

    name: str
    version: int
    role: Role
    created_at_ms: int
    full_name: str = ""
    password_hash: str = ""
    totp_secret: str = ""
    totp_step: int = 0
    disabled: bool = False
    epoch: int = 0


class Session(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One sign-in of one person, as the server keeps it.

    Attributes:
        session_id: A hash of what the browser has: who reads the database can sign in as nobody.
        epoch: The person's, when the session began.
        waits_for_code: The password was right; nothing may be done before the code.
        second_factor: A code was given.
        new_secret: Of a second factor that is being set up.
    """

    session_id: str
    name: str
    epoch: int
    created_at_ms: int
    seen_at_ms: int
    waits_for_code: bool = False
    second_factor: bool = False
    new_secret: str = ""
    ip: str = ""

    @property
    def ends_at_ms(self) -> int:
        """When it ends, unless it is used before."""
        if self.waits_for_code:
            return self.created_at_ms + CODE_WITHIN_MS
        return min(self.seen_at_ms + IDLE_MS, self.created_at_ms + SESSION_MS)


def is_live(session: Session, person: Person | None, now_ms: int) -> bool:
    """Whether a session still stands for its person. One that begins in the future was made by a wrong clock."""
    return (
        person is not None
        and person.name == session.name
        and not person.disabled
        and person.epoch == session.epoch
        and session.created_at_ms - IDLE_MS <= now_ms < session.ends_at_ms
    )


class Tries(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The wrong sign-ins that are counted together.

    Attributes:
        key: Whose they are: an address, a person at an address, a browser that a person has used before.
    """

    key: str
    version: int = 0
    count: int = 0
    last_ms: int = 0


def wait_ms(tries: Tries, now_ms: int, free: int = FREE_TRIES) -> int:
    """How long the next try must wait: nothing at first, then twice as long each time, 15 minutes at most."""
    since_ms = now_ms - tries.last_ms
    if tries.count < free or since_ms >= FORGET_TRIES_MS:
        return 0
    doublings: int = min(tries.count - free, 20)
    wait = min(FIRST_WAIT_MS << doublings, LONGEST_WAIT_MS)
    # If the clock was set back, nobody waits longer than from now on.
    return max(0, wait - max(0, since_ms))


def tried(tries: Tries, now_ms: int) -> Tries:
    """One more."""
    count = 0 if now_ms - tries.last_ms >= FORGET_TRIES_MS else tries.count
    return replace(tries, version=tries.version + 1, count=count + 1, last_ms=now_ms)


def checked_name(text: str) -> str:
    """The name that somebody signs in with, in lower case.

    Raises:
        BadRequest: It is no name.
    """
    name = text.strip().lower()
    if _NAME.fullmatch(name) is None:
        raise BadRequest(
            f"{text[:70]!r} is no name to sign in with: use up to 64 letters a to z, digits, and . _ @ -"
        )
    return name


def checked_full_name(text: str) -> str:
    """A person's name as others know it.

    Raises:
        BadRequest: It is too long or cannot be shown.
    """
    return checked_line(text, "the full name", NAME_LENGTH)


def checked_role(text: str) -> Role:
    """The role of that name.

    Raises:
        BadRequest: There is none.
    """
    try:
        return Role(text)
    except ValueError:
        raise BadRequest(f"there is no role {text[:40]!r}: choose {', '.join(Role)}") from None


def checked_password(password: str, name: str) -> str:
    """A new password.

    Raises:
        BadRequest: It is too short, too long, or the person's own name.
    """
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        raise BadRequest(f"a password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters: take a few words")
    if password.strip().lower() == name or len(set(password)) < 4:
        raise BadRequest("this password is too easy to guess: take a few words that only you would put together")
    return password
