"""Browsers that a person has signed in with before (pure).

Strangers who guess make everybody wait who comes from nowhere known, but never a browser that has a token from an
earlier sign-in. A token is signed, names its person, and nothing about it is stored. It opens nothing: it only
gives a browser a count of wrong tries of its own.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

LIFE_S = 90 * 86_400
ID_BYTES = 9
_AGE_BYTES, _MAC_BYTES = 5, 16
_SIZE = ID_BYTES + _AGE_BYTES + _MAC_BYTES


def new_token(key: bytes, name: str, device: bytes, now_s: int) -> str:
    """A token for a browser.

    Args:
        device: `ID_BYTES` random bytes.
    """
    plain = device + now_s.to_bytes(_AGE_BYTES, "big")
    return base64.urlsafe_b64encode(plain + _mac(key, name, plain)).decode()


def device_of(token: str, name: str, keys: Sequence[bytes], now_s: int) -> str | None:
    """The browser whose token it is; None if it is too old, somebody else's, or none of ours."""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    plain, mac = raw[: ID_BYTES + _AGE_BYTES], raw[ID_BYTES + _AGE_BYTES :]
    if len(raw) != _SIZE or not any(hmac.compare_digest(mac, _mac(key, name, plain)) for key in keys):
        return None
    age_s = now_s - int.from_bytes(plain[ID_BYTES:], "big")
    return plain[:ID_BYTES].hex() if -LIFE_S < age_s < LIFE_S else None


def _mac(key: bytes, name: str, plain: bytes) -> bytes:
    return hmac.digest(key, plain + name.encode(), hashlib.sha256)[:_MAC_BYTES]
