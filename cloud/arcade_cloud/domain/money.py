"""Money: offers, payments as Stripe shows them, and the price of what was delivered (pure)."""

from typing import Literal

from msgspec import Struct

from arcade_cloud.errors import InvariantBroken

# Stripe's list of currencies without minor units. The Ugandan shilling has none either, but Stripe counts it in
# hundredths, so it is not listed here.
ZERO_DECIMAL = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split()  # noqa: SIM905 - reads as Stripe prints it
)
# Currencies with three decimals.
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
# Stripe's smallest charges, in minor units. For a currency that is not listed it is 50.
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
SessionStatus = Literal["open", "complete", "expired"]
Dispute = Literal["none", "open", "won", "lost"]


class Offer(Struct, frozen=True, kw_only=True):
    """What a machine sells: `credits` for `amount_minor`, in minor units of `currency` (ISO 4217, lower case)."""

    offer_id: str
    credits: int
    amount_minor: int
    currency: str
    price_id: str | None = None
    label: str = ""


class Payment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A payment intent as Stripe showed it at one moment. Amounts are in minor units.

    Attributes:
        received_minor: Captured.
        capturable_minor: Held.
        refunded_minor: Refunds that succeeded or are pending.
        refunds_failed: The number of refunds that failed.
        paid_at_ms: When it was authorised.
        capture_before_ms: When the hold ends.
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
    paid_at_ms: int | None = None
    capture_before_ms: int | None = None

    @property
    def has_money(self) -> bool:
        """Whether the player's money is held or taken now."""
        return self.status in {"requires_capture", "succeeded"}

    @property
    def kept_minor(self) -> int:
        """What is captured and not given back. A lost dispute has given everything back."""
        return 0 if self.dispute == "lost" else max(0, self.received_minor - self.refunded_minor)


def kept_for(amount_minor: int, delivered: int, credits: int) -> int:
    """What the operator keeps for `delivered` of `credits`, rounded down in the player's favour."""
    if not 0 <= delivered <= credits or credits < 1 or amount_minor < 0:
        raise InvariantBroken(f"{delivered} of {credits} credits for {amount_minor}")
    return amount_minor * delivered // credits


def least_minor(currency: str) -> int:
    """The smallest payment that Stripe accepts in `currency`, in minor units."""
    return LEAST_MINOR.get(currency, 50)


def format_amount(amount_minor: int, currency: str) -> str:
    """An amount as people write it: `RM 3.00`, `¥ 300`."""
    symbol = SYMBOLS.get(currency, currency.upper())
    if currency in ZERO_DECIMAL:
        return f"{symbol} {amount_minor}"
    if currency in THREE_DECIMAL:
        return f"{symbol} {amount_minor // 1000}.{amount_minor % 1000:03d}"
    return f"{symbol} {amount_minor // 100}.{amount_minor % 100:02d}"
