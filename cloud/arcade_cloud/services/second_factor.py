"""The second factor: codes of an authenticator app (TOTP, RFC 6238), each good once."""

import hmac

import pyotp

STEP_S = 30
# A phone's clock may be off, and typing takes time: the code before and the code after are good as well.
_SLACK = 1


def new_secret() -> str:
    """A secret of 160 bits, as authenticator apps take it."""
    return pyotp.random_base32()


def address(secret: str, name: str, site: str) -> str:
    """The `otpauth:` address that an app reads from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=site)


def step_of(code: str, secret: str, now_ms: int, used: int) -> int | None:
    """The step of the code, if it is one of about now and later than the last that was used; None if it is not.

    Args:
        used: The step of the last code that was used.
    """
    given = "".join(code.split())
    if not (given.isascii() and given.isdigit()):
        return None
    totp, now = pyotp.TOTP(secret), now_ms // 1000 // STEP_S
    right = [
        step
        for step in range(now - _SLACK, now + _SLACK + 1)
        if hmac.compare_digest(totp.generate_otp(step), given)
    ]
    return next((step for step in right if step > used), None)
