"""Whose money it is: the mark on our payments, and payments that nobody here can prove to be ours (pure).

An act on money that cannot be undone needs proof that the money is ours. One of three counts, and nothing else:

- our own record names the Checkout Session or the payment intent;
- the payment carries our mark, which only this cloud can make;
- a static Payment Link was paid for a registered machine, at a price that is an offer of this machine.

Whatever else stands in a payment's metadata, anyone with the same Stripe account may have written.
"""

import hashlib
import hmac
from collections.abc import Iterable, Sequence

import msgspec
from msgspec import Struct

from arcade_cloud.domain.machines import near_matches

# Longer than any machine id with something around it.
_MAX_MISSPELT = 80
# What to do when something at Stripe shows that the database is older than what was done.
IF_RESTORED = (
    "If an older database was put back, run `arcade-cloud tab close --all`, and set a RECEIPT_PREFIX that was "
    "never used, or plays are given free and numbers of receipts twice"
)
# Of a sum in minor units. Stripe's largest has 14.
_MAX_DIGITS = 15


class Ours(Struct, frozen=True, kw_only=True):
    """What the mark of a payment vouches for. The amount is in minor units of `currency`."""

    order_id: str
    amount_minor: int
    currency: str
    machine_id: str
    site: str


class Unclaimed(Struct, frozen=True, kw_only=True):
    """A payment that looks as if it were meant for us, and is not proven to be. A person decides about it.

    Attributes:
        why: What speaks for it and what is missing, for people.
        reference: The machine that the payment names, exactly as it does; empty if it names none.
        likely_machine: The registered machine that was probably meant; empty if there is no telling.
        price_id: The price that was paid, and `quantity` how often. None if there was not exactly one.
    """

    payment_intent: str
    amount_minor: int
    currency: str
    why: str
    at_ms: int
    reference: str = ""
    likely_machine: str = ""
    price_id: str | None = None
    quantity: int = 1


def mark(key: bytes, ours: Ours) -> str:
    """The mark (64 hexadecimal digits) of a payment: nobody can make it without the key."""
    signed = [ours.order_id, ours.amount_minor, ours.currency, ours.machine_id, ours.site]
    return hmac.digest(key, msgspec.json.encode(signed), hashlib.sha256).hex()


def is_marked(keys: Sequence[bytes], ours: Ours, given: str | None) -> bool:
    """Whether `given` is the mark of exactly this, by one of the keys."""
    if given is None or not given.isascii():
        return False
    return any(hmac.compare_digest(mark(key, ours), given) for key in keys)


def capture_mark(key: bytes, payment_intent: str, target_minor: int) -> str:
    """What a capture carries at Stripe: the sum that is to be kept, and proof that this cloud decided so."""
    signed = msgspec.json.encode([payment_intent, target_minor])
    return f"{target_minor}.{hmac.digest(key, signed, hashlib.sha256).hex()}"


def captured_for(keys: Sequence[bytes], payment_intent: str, given: str | None) -> int | None:
    """The sum that was to be kept when this cloud captured the payment; None without a mark of ours."""
    target = "" if given is None else given.partition(".")[0]
    if given is None or not given.isascii() or not target.isdigit() or len(target) > _MAX_DIGITS:
        return None
    known = any(hmac.compare_digest(capture_mark(key, payment_intent, int(target)), given) for key in keys)
    return int(target) if known else None


def likely_machine(reference: str, machine_ids: Iterable[str]) -> str:
    """The machine that a misspelt reference probably means; empty if there is no telling."""
    meant = reference.strip()
    near = [] if len(meant) > _MAX_MISSPELT else near_matches(meant, machine_ids)
    is_plain = len(near) == 1 or (len(near) > 1 and near[0].casefold() == meant.casefold())
    return near[0] if is_plain else ""
