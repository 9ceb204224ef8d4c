"""The port to what hashes passwords. A hash holds its own salt and parameters."""

from typing import Protocol


class Passwords(Protocol):
    """Hashes passwords, and compares them. Each call takes time and memory on purpose.

    Raises TryLater, with nothing done, if too many others do the same at this moment.
    """

    def hashed(self, password: str) -> str: ...

    def is_right(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password. Without a hash it is not, and finding out takes as long."""
        ...

    def is_old(self, password_hash: str) -> bool:
        """Whether a new hash of the password would be better than this one."""
        ...
