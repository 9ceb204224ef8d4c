"""The keys of machines, echoes and payments, derived from the signing secrets. The first secret is current."""

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache

from arcade_shared.signing import echo_key, key_fingerprint, machine_key, payment_key, session_key

# Deriving a key takes 2 µs. The keys of a large fleet fit into memory.
_CACHED_MACHINES = 4096


def visitor_key(secret: str) -> bytes:
    """The key (32 bytes) with which the cloud signs what it gives browsers. No machine has it."""
    return hmac.digest(secret.encode(), b"arcade visitor key 1\n", hashlib.sha256)


def capture_key(secret: str) -> bytes:
    """The key (32 bytes) with which the cloud marks its captures at Stripe. No machine has it."""
    return hmac.digest(secret.encode(), b"arcade capture key 1\n", hashlib.sha256)


def device_key(secret: str) -> bytes:
    """The key (32 bytes) with which the cloud knows browsers again that people signed in with."""
    return hmac.digest(secret.encode(), b"arcade device key 1\n", hashlib.sha256)


def tab_key(secret: str) -> bytes:
    """The key (32 bytes) with which the cloud signs what may be drawn on a tab. No machine has it."""
    return hmac.digest(secret.encode(), b"arcade tab key 1\n", hashlib.sha256)


def endpoint_secret(secret: str, endpoint_id: str) -> str:
    """The secret (`whsec_…`) with which the cloud signs what it sends to an endpoint of other software."""
    mac = hmac.digest(secret.encode(), b"arcade endpoint key 1\n" + endpoint_id.encode(), hashlib.sha256)
    return "whsec_" + mac.hex()


class Keyring:
    """Keys by machine. The previous secret stays valid while secrets are rotated."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)
        self.of_machine = lru_cache(_CACHED_MACHINES)(self._of_machine)
        self.of_echo = tuple(echo_key(secret) for secret in self._secrets)
        self.of_sessions = session_key(self._secrets[0])
        self.of_payments = tuple(payment_key(secret) for secret in self._secrets)
        self.of_captures = tuple(capture_key(secret) for secret in self._secrets)
        self.of_devices = tuple(device_key(secret) for secret in self._secrets)
        self.of_tabs = tuple(tab_key(secret) for secret in self._secrets)

    def _of_machine(self, machine_id: str) -> tuple[bytes, ...]:
        return tuple(machine_key(secret, machine_id) for secret in self._secrets)

    def of_endpoint(self, endpoint_id: str) -> tuple[str, ...]:
        """The secrets that sign to an endpoint: the current one first."""
        return tuple(endpoint_secret(secret, endpoint_id) for secret in self._secrets)

    def is_of_an_older_secret(self, machine_id: str, fingerprint: str) -> bool:
        """Whether the key with that fingerprint is valid only until the older secret is taken away."""
        return fingerprint in {key_fingerprint(key) for key in self.of_machine(machine_id)[1:]}

    def to_sign(self, machine_id: str, fingerprint: str) -> bytes:
        """The key for signing to this machine.

        Args:
            fingerprint: Of the key with which the machine signed last. If it fits none of ours, the key of the
                current secret is used.
        """
        keys = self.of_machine(machine_id)
        return next((key for key in keys if key_fingerprint(key) == fingerprint), keys[0])
