"""Money: offers, payments as Stripe shows them, and what is kept for what was delivered."""

from typing import Literal

from msgspec import Struct

from arcade_cloud.errors import InvariantBroken

# Stripe's own list of currencies without minor units, but for the Ugandan shilling, which has none either and is
# given in hundredths all the same. And those with three decimals.
ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905 - reads as Stripe prints it
)
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
# What Stripe charges at the least, by its own list, in minor units; where a currency is not named, 50 of them.
LEAST_MINOR = {"myr": 200, "gbp": 30, "hkd": 400, "mxn": 1000, "thb": 1000, "czk": 1500, "dkk": 250, "aed": 200}
LEAST_MINOR |= {"huf": 17_500, "nok": 300, "pln": 200, "ron": 200, "sek": 300}
SYMBOLS = {"myr": "RM", "usd": "$", "eur": "€", "gbp": "£", "sgd": "S$", "jpy": "¥"}

PaymentStatus = Literal[
    "requires_payment_method",
    "requires_confirmation",
    "requires_action",
    "processing",
    "requires_capture",
    "succeeded",
    "canceled",
]
Dispute = Literal["none", "open", "won", "lost"]


class Offer(Struct, frozen=True, kw_only=True):
    """What a machine sells: `credits` for `amount_minor` (minor units of `currency`, lower case ISO 4217)."""

    offer_id: str
    credits: int
    amount_minor: int
    currency: str
    price_id: str | None = None
    label: str = ""


class Payment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payment intent as Stripe showed it at one moment. Amounts in minor units.

    `received_minor`: captured; `capturable_minor`: held; `refunded_minor`: refunds that succeeded or are
    pending; `refunds`: how many refunds exist, failed ones included; `paid_at_ms`: when it was authorised.
    """

    payment_intent: str
    status: PaymentStatus
    amount_minor: int
    currency: str
    received_minor: int = 0
    capturable_minor: int = 0
    refunded_minor: int = 0
    refunds: int = 0
    refunds_failed: int = 0
    dispute: Dispute = "none"
    paid_at_ms: int | None = None
    capture_before_ms: int | None = None
    order_id: str | None = None

    @property
    def has_money(self) -> bool:
        """Whether the player's money is held or taken now."""
        return self.status in {"requires_capture", "succeeded"}

    @property
    def kept_minor(self) -> int:
        """What is captured and not given back. A dispute that was lost has given everything back."""
        return 0 if self.dispute == "lost" else max(0, self.received_minor - self.refunded_minor)


def kept_for(amount_minor: int, delivered: int, credits: int) -> int:
    """What the operator keeps for `delivered` of `credits`, rounded down: the player never pays for a part."""
    if not 0 <= delivered <= credits or credits < 1 or amount_minor < 0:
        raise InvariantBroken(f"{delivered} of {credits} credits for {amount_minor}")
    return amount_minor * delivered // credits


def least_minor(currency: str) -> int:
    """The smallest payment that Stripe takes in `currency`, in minor units."""
    return LEAST_MINOR.get(currency, 50)


def format_amount(amount_minor: int, currency: str) -> str:
    """An amount as people write it: `RM 3.00`, `¥ 300`."""
    symbol = SYMBOLS.get(currency, currency.upper())
    if currency in ZERO_DECIMAL:
        return f"{symbol} {amount_minor}"
    if currency in THREE_DECIMAL:
        return f"{symbol} {amount_minor // 1000}.{amount_minor % 1000:03d}"
    return f"{symbol} {amount_minor // 100}.{amount_minor % 100:02d}"
