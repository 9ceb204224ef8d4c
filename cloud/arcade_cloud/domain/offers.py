"""Offers as an operator writes them (pure)."""

import itertools
import re
from collections.abc import Iterator, Sequence
from datetime import tzinfo

from arcade_cloud.domain.hours import DAYS, Hours, parse_hours
from arcade_cloud.domain.money import Offer, currency_of, format_amount, parse_amount
from arcade_cloud.errors import BadRequest

# Stripe's largest charge in most currencies, in minor units; in a few it is more.
USUAL_MOST_MINOR = 99_999_999

_BETWEEN = re.compile(r"[\s,;|]+")
_OFFER = re.compile(
    r"(\d{1,3})(?:\+(\d{1,3}))?=(\d{1,7}(?:\.\d{1,3})?)([A-Za-z]{3})(?:@(price_\w+))?(?:/([\w:/+-]+))?", re.ASCII
)


def parse_offer(text: str) -> Offer:
    """Read `3=5.00MYR`: credits, and their price.

    A bonus is written `6+1=12.00MYR`, a price id at Stripe `3=5.00MYR@price_123`, and when it is sold, after all
    that, `3=4.00MYR/mon-fri/14:00-17:00`.

    Raises:
        BadRequest: `text` is not an offer, or Stripe cannot charge that amount in that currency.
    """
    found = _OFFER.fullmatch(text)
    if found is None:
        raise BadRequest(f"an offer is written CREDITS=AMOUNT with a currency, such as 3=5.00MYR, not {text!r}")
    paid, extra, amount, code, price_id, when = found.groups()
    currency = code.lower()
    if not currency_of(currency).is_known:
        raise BadRequest(f"Stripe takes no payments in {code.upper()}: is the currency right in {text!r}?")
    amount_minor = parse_amount(amount, currency, bare_whole=True)
    if int(paid) < 1 or amount_minor < 1:
        raise BadRequest(f"an offer sells at least one credit for more than nothing, so not {text!r}")
    hours, bonus = parse_hours(when or ""), int(extra or 0)
    parts = [f"c{int(paid)}b{bonus}" if bonus else f"c{int(paid)}", f"{amount_minor}{currency}"]
    if hours is not None:
        parts.append(re.sub(r"[^a-z0-9]+", "-", hours.text.replace(":", "")))
    return Offer(
        offer_id="-".join(parts),
        credits=int(paid) + bonus,
        amount_minor=amount_minor,
        currency=currency,
        price_id=price_id,
        bonus=bonus,
        hours=hours,
    )


def parse_offers(texts: Sequence[str]) -> tuple[Offer, ...]:
    """Read several offers of one machine.

    Raises:
        BadRequest: As `parse_offer`, or two are the same.
    """
    offers = tuple(parse_offer(text) for text in texts)
    if len({offer.offer_id for offer in offers}) != len(offers):
        raise BadRequest("the same offer is given twice")
    return offers


def read_offers(text: str) -> tuple[Offer, ...]:
    """Read offers as one text, with spaces, commas, semicolons or bars between them.

    Raises:
        BadRequest: As `parse_offers`.
    """
    return parse_offers([part for part in _BETWEEN.split(text) if part])


def mixed_currencies(offers: Sequence[Offer]) -> str | None:
    """Why offers in several currencies cannot be those of one machine, in a sentence; None if they are in one."""
    currencies = dict.fromkeys(offer.currency.upper() for offer in offers)
    if len(currencies) < 2:
        return None
    listed = ", ".join(offer_text(offer) for offer in offers)
    return f"a machine sells in one currency, not in {' and '.join(currencies)} ({listed})"


def doubts(offers: Sequence[Offer]) -> Iterator[str]:
    """What about the offers is probably not meant, in sentences: nothing forbids it."""
    for offer in offers:
        if offer.amount_minor > USUAL_MOST_MINOR:
            price = format_amount(offer.amount_minor, offer.currency)
            yield f"is {price} meant? Stripe takes no more than eight digits in most currencies"
    if offers and all(offer.hours is not None for offer in offers):
        yield "every offer has hours: outside them this machine sells nothing. Is there a price for the rest?"
    for worse, better in itertools.permutations(offers, 2):
        if better.hours not in (None, worse.hours):
            continue  # it is cheaper only at times
        more_for_less = worse.credits <= better.credits and worse.amount_minor >= better.amount_minor
        if more_for_less and worse.currency == better.currency:
            yield f"nobody has a reason to buy {offer_text(worse)} beside {offer_text(better)}: are both meant?"


def warnings(offers: Sequence[Offer]) -> Iterator[str]:
    """What somebody who enters offers should know, in sentences: doubts, and prices that nobody can pay."""
    yield from doubts(offers)
    for offer in offers:
        least_minor = currency_of(offer.currency).least_minor
        if least_minor is None:
            yield (
                f"Stripe does not say which payments in {offer.currency.upper()} are too small for it: "
                "try a purchase of this offer"
            )
        elif offer.amount_minor < least_minor:
            price, least = (format_amount(n, offer.currency) for n in (offer.amount_minor, least_minor))
            yield f"nobody can pay {price}: Stripe charges at least {least}; sell more credits at once, or on tabs"


def offer_text(offer: Offer) -> str:
    """The offer as `parse_offer` reads it."""
    currency = currency_of(offer.currency)
    whole, fraction = divmod(offer.amount_minor, currency.unit_minor)
    amount = f"{whole}.{fraction:0{currency.decimals}d}" if currency.decimals else str(whole)
    credits = f"{offer.credits - offer.bonus}+{offer.bonus}" if offer.bonus else str(offer.credits)
    price = f"@{offer.price_id}" if offer.price_id else ""
    when = f"/{offer.hours.text}" if offer.hours is not None else ""
    return f"{credits}={amount}{offer.currency.upper()}{price}{when}"


# --- when they are sold ----------------------------------------------------------------------------------


def sold_now(offers: Sequence[Offer], now_ms: int, zone: tzinfo) -> tuple[Offer, ...]:
    """The offers that are shown now."""
    return tuple(offer for offer in offers if offer.hours is None or offer.hours.holds(now_ms, zone))


def still_sold(offer: Offer, now_ms: int, zone: tzinfo) -> bool:
    """Whether a page that was opened a moment ago may have shown the offer, so that its price counts."""
    return offer.hours is None or offer.hours.held(now_ms, zone)


def next_sold_ms(offers: Sequence[Offer], now_ms: int, zone: tzinfo) -> int | None:
    """When one of the offers is sold next, if none is now; None if there are none with hours."""
    return min((offer.hours.next_ms(now_ms, zone) for offer in offers if offer.hours is not None), default=None)


def week(offers: Sequence[Offer]) -> list[tuple[str, list[tuple[str, Offer]]]]:
    """What is sold when, for whoever sets it: of each day, the times and the offers, from Monday on.

    The whole day is an empty text. Nothing if no offer has hours.
    """
    if all(offer.hours is None for offer in offers):
        return []
    always = Hours(tuple(range(len(DAYS))))
    return [
        (
            name,
            [
                ((offer.hours or always).times_text, offer)
                for offer in offers
                if day in (offer.hours or always).days
            ],
        )
        for day, name in enumerate(DAYS)
    ]
