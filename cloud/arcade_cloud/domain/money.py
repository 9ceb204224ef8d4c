"""Money: currencies, offers, payments as Stripe shows them, and the price of what was delivered (pure)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from msgspec import Struct

from arcade_cloud.domain.hours import Hours
from arcade_cloud.errors import BadRequest, InvariantBroken

# --- currencies ------------------------------------------------------------------------------------------
# Source of all that follows: docs.stripe.com/currencies (presentment currencies, minor units, special cases,
# minimum charge amounts). Whatever needs to know a currency asks `currency_of`.

# Currencies without minor units: an amount of 500 is 500 yen.
_WHOLE = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())  # noqa: SIM905 - as printed
# Currencies without minor units that Stripe counts in hundredths all the same: 5 krónur are 500.
_WHOLE_IN_HUNDREDTHS = frozenset({"isk", "ugx"})
# Three decimals, the last of which must be 0.
_THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
# All others have two decimals.
_TWO_DECIMALS = frozenset(
    "usd aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny "  # noqa: SIM905
    "cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl htg huf idr ils inr jmd kes "
    "kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd "
    "pab pen pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd "
    "tzs uah usd uyu uzs wst xcd xcg yer zar zmw".split()
)
# The smallest charges, in minor units, for an account that is paid out in the currency. If it is paid out in
# another one, the smallest charge is what that one's is worth, so for currencies that are not listed nobody knows.
_LEAST_MINOR = dict.fromkeys(("usd", "aud", "brl", "cad", "chf", "eur", "inr", "jpy", "nzd", "sgd"), 50)
_LEAST_MINOR |= {"aed": 200, "bgn": 100, "czk": 1500, "dkk": 250, "gbp": 30, "hkd": 400, "huf": 17_500}
_LEAST_MINOR |= {"mxn": 1000, "myr": 200, "nok": 300, "pln": 200, "ron": 200, "sek": 300, "thb": 1000}
_SYMBOLS = {"myr": "RM", "usd": "$", "eur": "€", "gbp": "£", "sgd": "S$", "jpy": "¥"}

_WORDS = r"[^\d.,+-]*"
_AMOUNT = re.compile(rf"({_WORDS})(\d{{1,12}})(?:\.(\d{{1,3}}))?({_WORDS})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Currency:
    """How a currency is written, and what Stripe takes of it.

    Attributes:
        code: ISO 4217, lower case.
        decimals: How many decimals people write.
        unit_minor: How many of Stripe's minor units make one unit.
        step_minor: Stripe takes multiples of this only.
        least_minor: Stripe's smallest charge; None if it is not published.
        is_known: Whether Stripe lists it. Another one is taken to have two decimals.
    """

    code: str
    decimals: int
    unit_minor: int
    step_minor: int
    least_minor: int | None
    is_known: bool

    @property
    def symbol(self) -> str:
        """What stands before an amount: `RM`, `KWD`."""
        return _SYMBOLS.get(self.code, self.code.upper())

    def rounded_down(self, amount_minor: int) -> int:
        """The largest amount that Stripe takes and that is not above this one."""
        return amount_minor - amount_minor % self.step_minor


@lru_cache(maxsize=512)
def currency_of(code: str) -> Currency:
    """The currency with this code (ISO 4217, lower case)."""
    is_known = code in _TWO_DECIMALS
    decimals, unit, step = 2, 100, 1
    if code in _WHOLE:
        is_known, decimals, unit = True, 0, 1
    elif code in _WHOLE_IN_HUNDREDTHS:
        is_known, decimals, step = True, 0, 100
    elif code in _THREE_DECIMALS:
        is_known, decimals, unit, step = True, 3, 1000, 10
    return Currency(code, decimals, unit, step, _LEAST_MINOR.get(code), is_known)


def format_amount(amount_minor: int, currency: str) -> str:
    """An amount as people write it: `RM 3.00`, `¥ 300`, `ISK 5`, `-RM 3.00`."""
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{currency_of(currency).symbol} {plain_amount(abs(amount_minor), currency)}"


def plain_amount(amount_minor: int, currency: str) -> str:
    """An amount in the currency's own units, without its name: `3.00`, `300`."""
    found = currency_of(currency)
    sign = "-" if amount_minor < 0 else ""
    whole, rest = divmod(abs(amount_minor), found.unit_minor)
    digits = len(str(found.unit_minor)) - 1
    if not digits or (not found.decimals and not rest):
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:0{digits}d}"


def parse_amount(text: str, currency: str, *, bare_whole: bool = False) -> int:
    """Read an amount as people write it, `5.00`, `RM 5`, `5.00MYR`, into minor units.

    A whole number without a currency is refused where it could mean minor units as well (so never 0), unless
    `bare_whole`.

    Raises:
        BadRequest: It is not an amount of that currency, or Stripe cannot move it.
    """
    money = currency_of(currency)
    name = money.code.upper()
    example = f"{5:.{money.decimals}f}"
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise BadRequest(f"{text[:40]!r} is not an amount: write it as {example} or {name} {example}")
    before, whole, fraction, after = found.groups(default="")
    names = [word for word in (before.strip(), after.strip()) if word]
    if len(names) > 1 or any(word.upper() not in {name, money.symbol.upper()} for word in names):
        raise BadRequest(f"{text[:40]!r} is not an amount in {name}: write it as {example} or {name} {example}")
    if fraction and len(fraction) != money.decimals:
        right = whole + ("." + (fraction + "000")[: money.decimals] if money.decimals else "")
        raise BadRequest(f"{name} has {money.decimals or 'no'} decimals: write {right}, not {text[:40]!r}")
    if int(whole) and not fraction and not names and not bare_whole and money.unit_minor > 1:
        units, minor = (format_amount(int(whole) * each, currency) for each in (money.unit_minor, 1))
        raise BadRequest(
            f"{text[:40]!r} can mean {units} or {minor}: write {name} with it, as in {name} {example}"
        )
    amount_minor = int(whole) * money.unit_minor + int(fraction or 0)
    if amount_minor % money.step_minor:
        step = format_amount(money.step_minor, currency)
        raise BadRequest(f"Stripe moves {name} only in steps of {step}, so not {text[:40]!r}")
    return amount_minor


# --- payments --------------------------------------------------------------------------------------------

PaymentStatus = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
]
SessionStatus = Literal["open", "complete", "expired"]
Dispute = Literal["none", "open", "won", "lost"]


class Offer(Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What a machine sells: `credits` for `amount_minor`, in minor units of `currency` (ISO 4217, lower case).

    Attributes:
        bonus: How many of the credits are a present. What is not delivered is given back by the price of all.
        hours: When it is sold; None: always.
    """

    offer_id: str
    credits: int
    amount_minor: int
    currency: str
    price_id: str | None = None
    label: str = ""
    bonus: int = 0
    hours: Hours | None = None


class Payment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A payment intent as Stripe showed it at one moment. Amounts are in minor units.

    Attributes:
        received_minor: Captured.
        capturable_minor: Held.
        refunded_minor: Refunds that succeeded or are pending.
        refunds_failed: The number of refunds that failed.
        dispute: Of all disputes: open if one is, else lost if one was.
        lost_minor: What lost disputes took. None: nothing; or all, if `dispute` is "lost", for version 0.1 did not
            store how much.
        capture_mark: What a capture of ours left there (`ownership.captured_for` says whether it is ours).
        paid_at_ms: When it was authorised.
        capture_before_ms: When the hold ends.
        method: What it was paid by, as Stripe names it: `card`, `fpx`. None: not known.
        last4: The last four digits of the card or account, and nothing else of it is ever known here. None: Stripe
            shows none.
    """

    payment_intent: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    received_minor: int = 0
    capturable_minor: int = 0
    refunded_minor: int = 0
    refunds_failed: int = 0
    dispute: Dispute = "none"
    lost_minor: int | None = None
    paid_at_ms: int | None = None
    capture_before_ms: int | None = None
    capture_mark: str | None = None
    method: str | None = None
    last4: str | None = None

    @property
    def has_money(self) -> bool:
        """Whether the player's money is held or taken now."""
        return self.status in {"requires_capture", "succeeded"}

    @property
    def gone_minor(self) -> int:
        """What lost disputes took."""
        if self.lost_minor is None:
            return self.received_minor if self.dispute == "lost" else 0
        return self.lost_minor

    @property
    def kept_minor(self) -> int:
        """What is captured and neither given back nor lost to a dispute."""
        return max(0, self.received_minor - self.refunded_minor - self.gone_minor)

    def is_older_than(self, other: "Payment") -> bool:
        """Whether this was certainly shown before the other: something that never goes back has gone back.

        No clock is asked, for the readers may have different ones. A payment that has succeeded or was cancelled
        stays so, what was captured stays captured, and a refund counts until it fails.
        """
        if other.status in {"succeeded", "canceled"} and self.status != other.status:
            return True
        if (self.received_minor, self.refunds_failed) != (other.received_minor, other.refunds_failed):
            return self.received_minor < other.received_minor or self.refunds_failed < other.refunds_failed
        if self.refunded_minor < other.refunded_minor:
            return True
        return other.lost_minor is not None and self.gone_minor < other.lost_minor and self.dispute != "won"


def kept_for(amount_minor: int, delivered: int, credits: int, currency: str) -> int:
    """What the operator keeps for `delivered` of `credits`, rounded down to what Stripe takes."""
    if not 0 <= delivered <= credits or credits < 1 or amount_minor < 0:
        raise InvariantBroken(f"{delivered} of {credits} credits for {amount_minor}")
    if delivered == credits:
        return amount_minor
    return currency_of(currency).rounded_down(amount_minor * delivered // credits)
