"""Passwords by argon2id, and at most two of them at once.

A hash takes 19 MiB and about 20 ms (OWASP's first choice: m = 19,456 KiB, t = 2, p = 1). Without a bound,
sign-ins would be a way to fill the memory. Nor is a bound enough: glibc keeps what a thread has freed in that
thread's arena, so two hashes at a time, made by 32 threads, keep 300 MiB. So two threads make them all.

Only who creates people or signs in imports this.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import argon2

from arcade_cloud.errors import TryLater

AT_ONCE = 2
# So many more may wait, and so long: whoever waits holds a thread that players need.
WAITING = 4
WAIT_S = 2.0
_MEMORY_KIB, _PASSES = 19_456, 2
# For all threads of this process.
_queue = threading.BoundedSemaphore(AT_ONCE + WAITING)
_places = threading.BoundedSemaphore(AT_ONCE)

_Result = TypeVar("_Result")


class Argon2Passwords:
    """`ports.passwords.Passwords` by argon2-cffi."""

    def __init__(self) -> None:
        self._hasher = argon2.PasswordHasher(time_cost=_PASSES, memory_cost=_MEMORY_KIB, parallelism=1)
        self._nobody: str | None = None

    def hashed(self, password: str) -> str:
        """See `Passwords.hashed`."""
        return _in_a_place(lambda: self._hasher.hash(password))

    def is_right(self, password: str, password_hash: str | None) -> bool:
        """See `Passwords.is_right`."""
        return _in_a_place(lambda: self._is_right(password, password_hash))

    def _is_right(self, password: str, password_hash: str | None) -> bool:
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


def _in_a_place(work: Callable[[], _Result]) -> _Result:
    """What the work returns, once one of the two threads has done it.

    Raises:
        TryLater: Both are busy for too long, or too many wait already. Nothing was done.
    """
    with _place(_queue, 0), _place(_places, WAIT_S):
        return _threads().submit(work).result()


@contextmanager
def _place(places: threading.BoundedSemaphore, wait_s: float) -> Iterator[None]:
    if not places.acquire(timeout=wait_s):
        raise TryLater("Too many people sign in at this moment. Try again in a few seconds.")
    try:
        yield
    finally:
        places.release()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="password")
