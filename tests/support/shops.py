"""What other businesses on the same Stripe account sell, for all who play them. Their metadata may look like ours.

What a sale looks like is the first word of its kind: `theirs` has nothing to do with us, and nobody may be
bothered with it; `ours` looks as if it were meant for us, so a person is asked.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

# The whole of our metadata, for the same sum, perhaps while our own payment has not come. Nobody pays it.
DECLINED = "ours: all, and declined"
# The same, and somebody pays it, not with a hold. It is shown, or taken for a second payment, which goes back.
TAKEN = "ours: all, and taken at once"
KINDS = (
    "theirs: nothing",
    "theirs: an order of its own",
    "theirs: a machine of its own",
    "theirs: another site of the same system",
    "ours: an order",
    "ours: all but the mark",
    "ours: all, for another amount",
    "ours: all, for another machine",
    "ours: all, for another order",
    "ours: a machine",
    DECLINED,
)
# Static links, which anybody may make in Stripe's dashboard.
LINK_KINDS = (
    "theirs: a link of its own",
    "ours: a link whose machine is misspelt",
    "ours: a link whose reference is misspelt",
    "ours: a link without a machine",
    "ours: a link for a machine at another price",
)
_OWN_ORDER = "theirs: an order of its own"
_CURRENCY = "myr"


class Bought(Protocol):
    """What a player has bought here, as everybody on the account may read it."""

    @property
    def session_id(self) -> str: ...
    @property
    def order_id(self) -> str | None: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def currency(self) -> str: ...


@dataclass(frozen=True)
class Sale:
    """What a shop's program asks of Stripe. `looks`: the kind that came of it."""

    looks: str
    metadata: dict[str, str]
    amount_minor: int
    currency: str


@dataclass(frozen=True)
class Link:
    """A static link, and the reference with which it is visited."""

    metadata: dict[str, str]
    reference: str | None
    at_our_price: bool


def looks_ours(kind: str) -> bool:
    """Whether a person may be asked about it."""
    return kind.startswith("ours")


def misspelt(machine_id: str) -> tuple[str, ...]:
    """What is written on links instead of a machine's id."""
    return ("cab-gone", machine_id.upper(), f"{machine_id} ")


def sale(
    kind: str,
    dice: random.Random,
    *,
    machine_ids: Sequence[str],
    site: str,
    bought: Sequence[Bought],
    metadata_of: Callable[[str], dict[str, str]],
) -> Sale:
    """A sale of one of `KINDS`. Where nothing was bought yet there is nothing to copy.

    Args:
        site: Our address.
        metadata_of: What a session carries.
    """
    number, price = str(dice.randint(1_000, 9_999)), dice.choice((200, 500, 4_900))
    match kind:
        case "theirs: nothing":
            return Sale(kind, {}, price, _CURRENCY)
        case "theirs: an order of its own":
            return Sale(kind, {"order_id": number}, price, _CURRENCY)
        case "theirs: a machine of its own":
            return Sale(kind, {"machine_id": "vending-7", "order_id": number}, price, _CURRENCY)
        case "theirs: another site of the same system":
            metadata = {"machine_id": machine_ids[0], "order_id": number, "site": "https://other.example"}
            return Sale(kind, metadata, price, _CURRENCY)
        case "ours: a machine":
            return Sale(kind, {"machine_id": dice.choice(machine_ids)}, price, _CURRENCY)
    if not bought:
        return Sale(_OWN_ORDER, {"order_id": number}, price, _CURRENCY)
    purchase = dice.choice(bought)
    copied, amount_minor = metadata_of(purchase.session_id), purchase.amount_minor
    match kind:
        case "ours: an order":
            copied = {"order_id": purchase.order_id or ""}
        case "ours: all but the mark":
            del copied["arcade_mark"]
        case "ours: all, for another amount":
            amount_minor += dice.choice((-1, 1, 100))
        case "ours: all, for another machine":
            copied |= {"machine_id": "cab-other"}
        case "ours: all, for another order":
            copied |= {"order_id": f"ord_{number}", "site": site}
    return Sale(kind, copied, amount_minor, purchase.currency)


def link(kind: str, dice: random.Random, machine_ids: Sequence[str]) -> Link:
    """A visit to a link of one of `LINK_KINDS`."""
    machine_id = dice.choice(machine_ids)
    match kind:
        case "ours: a link whose machine is misspelt":
            return Link({"machine_id": dice.choice(misspelt(machine_id))}, None, at_our_price=True)
        case "ours: a link whose reference is misspelt":
            return Link({}, dice.choice(misspelt(machine_id)), at_our_price=True)
        case "ours: a link without a machine":
            return Link({"campaign": "summer"}, None, at_our_price=True)
        case "ours: a link for a machine at another price":
            return Link({"machine_id": machine_id}, None, at_our_price=False)
    return Link({"order_id": "table 4"}, f"table-{dice.randint(1, 99)}", at_our_price=False)
