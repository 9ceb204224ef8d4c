"""Offers as an operator writes them (pure)."""

import re

from arcade_cloud.domain.money import THREE_DECIMAL, ZERO_DECIMAL, Offer
from arcade_cloud.errors import BadRequest

_OFFER = re.compile(r"(\d{1,3})=(\d{1,7})(?:\.(\d{2,3}))?([A-Za-z]{3})(?:@(price_\w+))?")


def parse_offer(text: str) -> Offer:
    """Read `3=5.00MYR` or `3=5.00MYR@price_123`: credits, their price, and optionally a price id at Stripe.

    Raises:
        BadRequest: `text` is not an offer, or Stripe cannot charge that amount in that currency.
    """
    found = _OFFER.fullmatch(text)
    if found is None:
        raise BadRequest(f"an offer is written CREDITS=AMOUNT with a currency, such as 3=5.00MYR, not {text!r}")
    credits, whole, fraction, code, price_id = found.groups()
    currency = code.lower()
    decimals = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    if fraction is not None and len(fraction) != decimals:
        right = f"{whole}.{'0' * decimals}".rstrip(".")
        raise BadRequest(f"{code.upper()} has {decimals or 'no'} decimals: write {credits}={right}{code}")
    amount_minor = int(whole) * 10**decimals + int(fraction or 0)
    if decimals == 3 and amount_minor % 10:
        raise BadRequest(f"Stripe charges {code.upper()} only in steps of 0.010, so not {text!r}")
    if int(credits) < 1 or amount_minor < 1:
        raise BadRequest(f"an offer sells at least one credit for more than nothing, so not {text!r}")
    return Offer(
        offer_id=f"c{credits}-{amount_minor}{currency}",
        credits=int(credits),
        amount_minor=amount_minor,
        currency=currency,
        price_id=price_id,
    )
