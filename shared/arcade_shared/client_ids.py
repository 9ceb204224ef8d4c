"""What a session at the broker is called, so that no neighbour can take it over.

Whoever may log in may connect with any client id, and a second connection with one's id ends the first. So an id
ends in an HMAC that only the owner of a key can make: everything else about it may be public. It is at most 64
characters long. Every broker must accept 23 (MQTT 5, 3.1.3.1); Mosquitto and EMQX accept 65,535.

An id may leak all the same: a broker may tell it to whoever reads `$SYS`. So whoever loses one connection after
another goes on with an id that nobody has seen.
"""

import hashlib
import hmac
import secrets
from collections import deque

MAX_LENGTH = 64
# 64 bits: guessing takes one connection to the broker for each attempt.
TAG_DIGITS = 16
# So many connections that end within WINDOW_S are somebody's doing, or the broker can keep none.
# One that the broker itself has called a take-over counts twice.
ENOUGH = 4
WINDOW_S = 60.0
# Each fresh id leaves a session behind at the broker, which keeps it for a while and a limited number of them.
FRESH_EVERY_S = 3600.0
# An id that nobody has taken for so long is not contested any more.
CALM_S = 600.0


class ClientId:
    """The client id of one session. It stays the same over restarts, until it is contested.

    Args:
        key: What nobody else has.
        label: What people read in the broker's list of clients: public.
        identity: What tells this session from all others of the key's owner.
    """

    def __init__(self, key: bytes, label: str, identity: str) -> None:
        self._key, self._label, self._identity = key, label, identity
        self._ends: deque[float] = deque()
        self._refreshed_at_s: float | None = None
        self.text = self._made("")

    def _made(self, nonce: str) -> str:
        text = b"\n".join((b"arcade client id 1", self._identity.encode(), nonce.encode()))
        tag = hmac.digest(self._key, text, hashlib.sha256).hex()[:TAG_DIGITS]
        return f"{self._label[: MAX_LENGTH - TAG_DIGITS - 1]}-{tag}"

    def lost(self, now_s: float, *, taken_over: bool) -> bool:
        """Note that the broker has accepted a connection with this id, and thrown it off (`mqtt.Connection`).

        Args:
            now_s: By a monotonic clock.
            taken_over: The broker says that another client has connected with the id.

        Returns:
            Whether the id is contested. Then `text` is a fresh one, at most every FRESH_EVERY_S.
        """
        self._ends.extend([now_s] * (2 if taken_over else 1))
        while now_s - self._ends[0] > WINDOW_S:
            self._ends.popleft()
        if len(self._ends) < ENOUGH:
            return False
        self._ends.clear()
        if self._refreshed_at_s is None or now_s - self._refreshed_at_s >= FRESH_EVERY_S:
            self._refreshed_at_s = now_s
            self.text = self._made(secrets.token_hex(8))
        return True
