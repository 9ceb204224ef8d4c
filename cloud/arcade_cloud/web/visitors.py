"""Who draws on which limit: visitors behind one address are told apart by a token that the site gave each of them.

A shop's Wi-Fi or a mobile carrier puts many phones behind one address. So each visitor has a small bucket of its
own within the large one of the address. The token is a signed cookie, and nothing about it is stored.

Whoever sends no token shares one bucket with all others of that address who send none. An address is given so many
new tokens a minute and no more, or one could fetch a new one for each post; whoever comes after that shares that
bucket too. What remains possible: somebody who passes as many phones can use up what the address may do, and then
newcomers behind the same address wait, and in the end everybody there. Other addresses never notice.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from flask import Request, Response

from arcade_cloud.config.settings import Settings
from arcade_cloud.domain.keyring import visitor_key
from arcade_cloud.errors import TooManyRequests
from arcade_cloud.services.rate_limit import Rate, RateLimiter, Share, client_of

COOKIE = "visitor"
LIFE_S = 30 * 86_400
_ID_BYTES, _AGE_BYTES, _MAC_BYTES = 9, 5, 16
_PHONE_DIGITS = 16
_SIZE = _ID_BYTES + _AGE_BYTES + _MAC_BYTES
# Parts of what one address may do in a minute: a visitor with a token; all without one; kiosk and game software;
# new tokens; reports for software with a key.
VISITOR, STRANGERS, SOFTWARE, TOKENS, REPORTS = 10, 4, 2, 2, 10


def new_token(key: bytes, now_s: int) -> str:
    """A token for a new visitor."""
    named = secrets.token_bytes(_ID_BYTES) + now_s.to_bytes(_AGE_BYTES, "big")
    return base64.urlsafe_b64encode(named + _mac(key, named)).decode()


def visitor_of(token: str, keys: Sequence[bytes], now_s: int) -> str | None:
    """The visitor whose token it is; None if it is too old or none of ours."""
    try:
        raw = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    named, mac = raw[: _ID_BYTES + _AGE_BYTES], raw[_ID_BYTES + _AGE_BYTES :]
    if len(raw) != _SIZE or not any(hmac.compare_digest(mac, _mac(key, named)) for key in keys):
        return None
    age_s = now_s - int.from_bytes(named[_ID_BYTES:], "big")
    return named[:_ID_BYTES].hex() if -LIFE_S < age_s < LIFE_S else None


def _mac(key: bytes, named: bytes) -> bytes:
    return hmac.digest(key, named, hashlib.sha256)[:_MAC_BYTES]


class Visitors:
    """Counts what visitors and software do, and gives visitors their tokens."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        self._keys = [visitor_key(secret) for secret in settings.signing_secrets]
        self._per_minute = settings.rate_limit_per_minute
        self._is_https = urlsplit(settings.public_base_url).scheme == "https"
        self._now_ms = now_ms
        self._limiter = RateLimiter()

    def welcome(self, request: Request, response: Response) -> None:
        """Give whoever opens a page a token, unless there is one or this address was given too many."""
        if self._visitor(request) is not None or self._wait_ms(self._share("tokens", request, TOKENS)) > 0:
            return
        token = new_token(self._keys[0], self._now_ms() // 1000)
        response.set_cookie(
            COOKIE, token, max_age=LIFE_S, secure=self._is_https, httponly=True, samesite="Lax", path="/"
        )

    def check_order(self, request: Request) -> None:
        """Check that a visitor may begin one more order.

        Raises:
            TooManyRequests: The visitor, or everybody behind the address, has begun too many.
        """
        visitor = self._visitor(request)
        if visitor is None:
            own = self._share("strangers", request, STRANGERS)
        else:
            own = Share(("visitor", visitor), self._rate(VISITOR))
        self._check(own, self._share("orders", request))

    def may_begin_emblem(self, request: Request) -> bool:
        """Whether this visitor may have one more machine show an emblem. It draws on nothing that orders need."""
        visitor = self._visitor(request)
        own = ("emblems of", visitor or client_of(request.remote_addr or ""))
        return self._wait_ms(Share(own, self._rate(VISITOR)), self._share("emblems", request)) == 0

    def phone_of(self, request: Request) -> str:
        """Tells one visitor, or all of an address who have no token, from others: a hash that leads to nobody."""
        visitor = self._visitor(request)
        who = f"visitor {visitor}" if visitor is not None else f"address {client_of(request.remote_addr or '')}"
        return hmac.digest(self._keys[0], who.encode(), hashlib.sha256).hex()[:_PHONE_DIGITS]

    def check_software_order(self, request: Request) -> None:
        """Check that software at this address may begin one more order. It shares the address with visitors.

        Raises:
            TooManyRequests: Software, or everybody behind the address, has begun too many.
        """
        self._check(self._share("software", request, SOFTWARE), self._share("orders", request))

    def check_key_order(self, key_id: str) -> None:
        """Check that whoever has this API key may begin one more order. It draws on no address.

        Raises:
            TooManyRequests: It has begun too many.
        """
        self._check(Share(("key", key_id), self._rate()))

    def check_key_report(self, key_id: str) -> None:
        """Check that whoever has this API key may have one more report.

        Raises:
            TooManyRequests: It has had too many.
        """
        self._check(Share(("report", key_id), self._rate(REPORTS)))

    def check_call(self, request: Request, route: str) -> None:
        """Check that software without a key may call `route` once more.

        Raises:
            TooManyRequests: This address has called it too often.
        """
        self._check(self._share(route, request, SOFTWARE))

    def _visitor(self, request: Request) -> str | None:
        token = request.cookies.get(COOKIE)
        return None if token is None else visitor_of(token, self._keys, self._now_ms() // 1000)

    def _rate(self, part: int = 1) -> Rate:
        per_minute = max(1, self._per_minute // part) if self._per_minute > 0 else 0
        return Rate(per_minute=per_minute, burst=per_minute)

    def _share(self, what: str, request: Request, part: int = 1) -> Share:
        return Share((what, client_of(request.remote_addr or "")), self._rate(part))

    def _wait_ms(self, *shares: Share) -> int:
        return self._limiter.wait_ms(self._now_ms(), *shares)

    def _check(self, *shares: Share) -> None:
        wait_ms = self._wait_ms(*shares)
        if wait_ms > 0:
            raise TooManyRequests(wait_ms)
