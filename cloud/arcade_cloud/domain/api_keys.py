"""API keys of other software: what each may do, and how one is known again (pure).

A key is `arcade_<id>_<secret>`. The id finds the record; the secret is 256 random bits, of which only a hash is
stored. A fast hash is right for it: nobody can try so many.
"""

import hashlib
import hmac
import re
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from arcade_cloud.errors import Forbidden

Scope = Literal["checkout", "gameover", "takings"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ID_BYTES, SECRET_BYTES = 6, 32
_BEGIN = re.compile(r"arcade_[0-9a-f]{12}_", re.ASCII)
_FORM = re.compile(r"arcade_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)
# The last use is written down so often: people want to know the day, and not every request is to be a write.
USED_EVERY_MS = 3_600_000


class ApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A key as it is stored. A later version's field may narrow what a key may do, so none is passed over.

    Attributes:
        name: What has it, in the operator's words.
        hashed: SHA-256 of the secret, in hexadecimal.
        machines: The machines that it is for; empty: for all.
        used_at_ms: When it was last used, an hour or less before the last time.
    """

    key_id: str
    version: int
    name: str
    scopes: tuple[Scope, ...]
    hashed: str
    created_at_ms: int
    created_by: str
    machines: tuple[str, ...] = ()
    used_at_ms: int | None = None
    revoked_at_ms: int | None = None
    revoked_by: str = ""


def text_of(key_id: str, secret: str) -> str:
    """The key as its owner sends it."""
    return f"arcade_{key_id}_{secret}"


def parts_of(text: str) -> tuple[str, str] | None:
    """A key's id and secret; None if the text does not have the form of one."""
    found = _FORM.fullmatch(text)
    return None if found is None else (found[1], found[2])


def is_meant(text: str) -> bool:
    """Whether this is meant as one of these keys, right or wrong. Other systems' keys look otherwise."""
    return _BEGIN.match(text) is not None


def hash_of(secret: str) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_valid(key: ApiKey, secret: str) -> bool:
    """Whether this is the key's secret, and the key was not revoked."""
    is_its_own = hmac.compare_digest(hash_of(secret), key.hashed)
    return is_its_own and key.revoked_at_ms is None


def used(key: ApiKey, now_ms: int) -> ApiKey | None:
    """The key with its use written down; None if that is on record closely enough."""
    if key.used_at_ms is not None and now_ms - key.used_at_ms < USED_EVERY_MS:
        return None
    return msgspec.structs.replace(key, used_at_ms=now_ms, version=key.version + 1)


def revoked(key: ApiKey, by: str, now_ms: int) -> ApiKey:
    """The key once it is revoked. The first time stays."""
    if key.revoked_at_ms is not None:
        return key
    return msgspec.structs.replace(key, revoked_at_ms=now_ms, revoked_by=by, version=key.version + 1)


def check_scope(key: ApiKey, scope: Scope) -> None:
    """Check that a key may do this at all.

    Raises:
        Forbidden: It may not.
    """
    if scope not in key.scopes:
        raise Forbidden(f"This key does not have the scope {scope}. The operator can make one that has it.")


def check_machine(key: ApiKey, machine_id: str) -> None:
    """Check that a key is for this machine.

    Raises:
        Forbidden: It is for others.
    """
    if key.machines and machine_id not in key.machines:
        raise Forbidden("This key is for other machines.")
