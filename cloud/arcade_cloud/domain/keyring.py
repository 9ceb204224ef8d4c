"""The keys of all machines, derived from the cloud's signing secrets (the first is the one in use)."""

from collections.abc import Sequence
from functools import lru_cache

from arcade_shared.signing import echo_key, key_fingerprint, machine_key

# Deriving a key takes 2 µs; a fleet's keys fit into memory all the same.
_CACHED_MACHINES = 4096


class Keyring:
    """Keys by machine. While a secret is rotated, the previous one stays valid."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)
        self.of_machine = lru_cache(_CACHED_MACHINES)(self._of_machine)
        self.of_echo = tuple(echo_key(secret) for secret in self._secrets)

    def _of_machine(self, machine_id: str) -> tuple[bytes, ...]:
        return tuple(machine_key(secret, machine_id) for secret in self._secrets)

    def to_sign(self, machine_id: str, fingerprint: str) -> bytes:
        """The key that the machine is known to have, by the fingerprint of what it signed last; else the first."""
        keys = self.of_machine(machine_id)
        return next((key for key in keys if key_fingerprint(key) == fingerprint), keys[0])
