"""Currencies as Stripe takes them (docs.stripe.com/currencies): decimals, steps and smallest charges.

It shares nothing with the cloud's table: where the two differ, one of them is wrong. A currency that is not listed
is refused, for nobody has looked up its rules.
"""

from arcade_sandbox.stripe.errors import StripeRefusal

_SYMBOLS = {"myr": "RM", "usd": "$", "eur": "€", "gbp": "£", "sgd": "S$", "jpy": "¥", "thb": "฿", "inr": "₹"}
# Code → decimals of an amount in the API, and what an amount must be divisible by.
_RULES: dict[str, tuple[int, int]] = dict.fromkeys(
    (
        *("usd", "aed", "ars", "aud", "bdt", "bgn", "bnd", "brl", "cad", "chf", "cny", "cop", "czk", "dkk", "egp"),
        *("eur", "gbp", "gel", "hkd", "huf", "idr", "ils", "inr", "kes", "khr", "kzt", "lak", "lkr", "mad", "mmk"),
        *("mop", "mxn", "myr", "ngn", "nok", "npr", "nzd", "pen", "php", "pkr", "pln", "qar", "ron", "rsd", "sar"),
        *("sek", "sgd", "thb", "try", "twd", "uah", "uyu", "zar"),
    ),
    (2, 1),
)
_RULES |= dict.fromkeys(
    (
        *("bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg"),
        *("rwf", "vnd", "vuv", "xaf", "xof", "xpf"),
    ),
    (0, 1),
)
_RULES |= dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), (3, 10))
_RULES |= dict.fromkeys(("isk", "ugx"), (2, 100))
CURRENCIES = tuple(_RULES)
# "Minimum and maximum charge amounts". Of currencies that are not named, 50 minor units are asked.
_SMALLEST = {"myr": 200, "gbp": 30, "hkd": 400, "mxn": 1000, "thb": 1000, "czk": 1500, "dkk": 250, "aed": 200}
_SMALLEST |= {"huf": 17_500, "nok": 300, "pln": 200, "ron": 200, "sek": 300, "bgn": 100}
_SMALLEST_ELSE = 50


def money_text(amount: int, currency: str) -> str:
    """`RM5.00`: as Stripe writes an amount in its messages."""
    symbol = _SYMBOLS.get(currency, currency.upper() + " ")
    decimals, _ = _RULES[currency]
    if not decimals:
        return f"{symbol}{amount}"
    return f"{symbol}{amount // 10**decimals}.{amount % 10**decimals:0{decimals}d}"


def smallest_charge(currency: str) -> int:
    """The smallest total that Stripe charges in `currency`, in minor units."""
    return _SMALLEST.get(currency, _SMALLEST_ELSE)


def check_step(amount: int, currency: str, param: str) -> None:
    """Check that Stripe moves this amount.

    Raises:
        StripeRefusal: It is not divisible by the currency's step.
    """
    _, step = _RULES[currency]
    if amount % step:
        raise StripeRefusal(
            f"Invalid amount: {amount}. Amounts in {currency.upper()} must be evenly divisible by {step}.",
            code="parameter_invalid_integer",
            param=param,
        )
