"""Passwords by argon2id, and at most two of them at once.

A hash takes 19 MiB and about 20 ms (OWASP's first choice: m = 19,456 KiB, t = 2, p = 1). Without a bound, sign-ins
would be a way to fill the memory. Only who creates people or signs in imports this.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import argon2

from arcade_cloud.errors import TryLater

AT_ONCE = 2
# Many sign-ins fit into it; whoever waits longer holds a thread that players need.
WAIT_S = 2.0
_MEMORY_KIB, _PASSES = 19_456, 2
# Of all processes' threads in this one.
_places = threading.BoundedSemaphore(AT_ONCE)


class Argon2Passwords:
    """`ports.passwords.Passwords` by argon2-cffi."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1)
        self._nobody: str | None = None

    def hashed(self, password: str) -> str:
        """See `Passwords.hashed`."""
        with _place():
            return self._hasher.hash(password)

    def is_right(self, password: str, password_hash: str | None) -> bool:
        """See `Passwords.is_right`."""
        with _place():
            if password_hash is None:
                self._nobody = self._nobody or self._hasher.hash("nobody has this password")
            try:
                self._hasher.verify(password_hash or self._nobody or "", password)
            except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
                return False
        return password_hash is not None

    def is_old(self, password_hash: str) -> bool:
        """See `Passwords.is_old`."""
        return self._hasher.check_needs_rehash(password_hash)


@contextmanager
def _place() -> Iterator[None]:
    if not _places.acquire(timeout=WAIT_S):
        raise TryLater("Too many people sign in at this moment. Try again in a few seconds.")
    try:
        yield
    finally:
        _places.release()
