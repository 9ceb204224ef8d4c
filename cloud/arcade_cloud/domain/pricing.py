"""What a play costs: how much of a price Stripe keeps, paid singly or on one tab (pure).

A fee has a part for each payment, however small it is. That part eats small prices, and is what a bundle or a tab
saves.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from arcade_cloud.domain.money import Offer, currency_of, format_amount, parse_amount
from arcade_cloud.errors import BadRequest

_FEE = re.compile(r"(\d{1,2})(?:\.(\d{1,2}))?\s*%\s*\+\s*(\S+)", re.ASCII)
_HUNDRED_PERCENT = 10_000


@dataclass(frozen=True, slots=True)
class Fee:
    """What Stripe keeps of a card payment: `basis_points` (hundredths of a per cent) and `fixed_minor`."""

    basis_points: int
    fixed_minor: int

    def of(self, amount_minor: int) -> int:
        """The fee for one payment, in minor units, rounded to the nearest."""
        return (amount_minor * self.basis_points + _HUNDRED_PERCENT // 2) // _HUNDRED_PERCENT + self.fixed_minor


# Cards of the account's own country or area, at Stripe's standard prices. Sources: docs/PRICING.md.
STANDARD_FEES: Mapping[str, Fee] = MappingProxyType(
    {"myr": Fee(300, 100), "sgd": Fee(340, 50), "eur": Fee(150, 25), "usd": Fee(290, 30)}
)


def parse_fee(text: str) -> tuple[str, Fee]:
    """Read `3%+1.00MYR` into the currency (lower case) and the fee.

    Raises:
        BadRequest: `text` is not a fee, or it names no currency that Stripe takes.
    """
    found = _FEE.fullmatch(text.strip())
    currency = text.strip()[-3:].lower()
    if found is None or not currency_of(currency).is_known:
        raise BadRequest(
            f"a fee is written PERCENT%+AMOUNT with a currency, such as 3%+1.00MYR, not {text[:40]!r}"
        )
    percent, hundredths, fixed = found.groups(default="0")
    return currency, Fee(
        int(percent) * 100 + int(hundredths.ljust(2, "0")), parse_amount(fixed, currency, bare_whole=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What some plays of one offer cost.

    Attributes:
        how: `single`: each is a payment of its own. `tab`: one payment for all.
        credits: The credits of all plays.
        price_minor: What the player pays altogether.
        fee_minor: What Stripe keeps of that.
        is_sold: Whether Stripe takes so small a payment.
    """

    how: Literal["single", "tab"]
    plays: int
    credits: int
    price_minor: int
    fee_minor: int
    currency: str
    is_sold: bool

    @property
    def left_minor(self) -> int:
        """What the operator keeps. It is below 0 where the fee is more than the price."""
        return self.price_minor - self.fee_minor

    @property
    def fee_percent(self) -> int:
        """The fee in per cent of the price, rounded."""
        return (200 * self.fee_minor + self.price_minor) // (2 * self.price_minor)


def costs(offers: Sequence[Offer], plays: int, fees: Mapping[str, Fee]) -> Iterator[Cost]:
    """What each offer costs: once, and so many plays of it singly and on one tab.

    Offers in a currency whose fee is not known are left out.
    """
    for offer in offers:
        fee = fees.get(offer.currency)
        if fee is None:
            continue
        yield _cost(offer, "single", 1, fee)
        if plays > 1:
            yield _cost(offer, "single", plays, fee)
            yield _cost(offer, "tab", plays, fee)


def _cost(offer: Offer, how: Literal["single", "tab"], plays: int, fee: Fee) -> Cost:
    price, least = offer.amount_minor * plays, currency_of(offer.currency).least_minor or 0
    payment = price if how == "tab" else offer.amount_minor
    return Cost(
        how=how,
        plays=plays,
        credits=offer.credits * plays,
        price_minor=price,
        fee_minor=fee.of(payment) * (1 if how == "tab" else plays),
        currency=offer.currency,
        is_sold=payment >= least,
    )


def sentences(offers: Sequence[Offer], fees: Mapping[str, Fee]) -> Iterator[str]:
    """What Stripe keeps of each offer, in sentences for somebody who sets prices."""
    for cost in costs(offers, 1, fees):
        price, fee = (format_amount(minor, cost.currency) for minor in (cost.price_minor, cost.fee_minor))
        yield f"{price} by card: {fee} goes to Stripe ({cost.fee_percent} %)"
