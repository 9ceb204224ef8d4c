"""Other businesses on the same Stripe account: threads that sell, and do with their money what they like.

Each is a program on Stripe's own library, and its customers pay on Stripe's pages. All its calls have keys that
begin with `KEYS`, so Stripe's list of events says what of its money it moved itself.
"""

import itertools
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import requests
import stripe

from chaos.plant import Plant
from support.shops import DECLINED, KINDS, LINK_KINDS, TAKEN, Sale, link, sale
from support.stripe_side import stripe_client

SHOPS = 2
EVERY_S = (0.1, 0.6)
KEYS = "shop-"
METHODS = ("card", "card", "link", "fpx", "grabpay", "fpx_later")
HELD_METHODS = ("card", "link")
TAKEN_METHODS = ("fpx", "grabpay", "fpx_later")
HELD_ONE_IN = 2
MOVES_ONE_IN = 2
# They copy what was bought just now too, while its own payment is under way.
COPIED_OF_LATEST = 8
MOVES_AFTER_S = (0.05, 1.0)
BANK_S = (0.1, 1.0)
TIMEOUT_S = 5.0

_SESSION = re.compile(r"/c/pay/(cs_test_\w+)")


@dataclass(frozen=True)
class Page:
    """A payment page of ours that a player was sent to."""

    order_id: str
    session_id: str
    amount_minor: int
    currency: str = "myr"


@dataclass
class Ledger:
    """What the shops did: what each session sold looks like, and the payments that they moved themselves."""

    sold: dict[str, str] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Shop:
    """One shop, for one thread."""

    def __init__(self, name: str, plant: Plant, ledger: Ledger, pages: Callable[[], list[Page]]) -> None:
        self._name, self._plant, self._ledger, self._pages = name, plant, ledger, pages
        self._url = plant.system.stripe.base_url
        self._api = stripe_client(self._url, retries=2, key="sk_test_another_shop").v1
        self._numbers = itertools.count(1)
        self._stack: list[str] = []

    def sell(self, dice: random.Random) -> None:
        """Sell something, and perhaps move its money.

        Raises:
            StripeError: Stripe refused, or failed.
            RequestException: Stripe's page failed.
        """
        if not self._stack:  # like a pack of cards: a short run has some of everything too
            self._stack = [*KINDS, TAKEN, *LINK_KINDS]
            dice.shuffle(self._stack)
        kind = self._stack.pop()
        held = dice.randrange(HELD_ONE_IN) == 0 and kind != TAKEN
        if kind in LINK_KINDS:
            looks, session_id = kind, self._visit_link(kind, held, dice)
        else:
            sold = self._sale(kind, dice)
            looks, session_id = sold.looks, self._checkout(sold, held)
        with self._ledger.lock:
            self._ledger.sold[session_id] = looks
        method = dice.choice(TAKEN_METHODS if kind == TAKEN else HELD_METHODS if held else METHODS)
        if kind == DECLINED:
            method = "card_declined"
        paid = self._press("pay", session=session_id, method=method, wait=False)
        if method == "fpx_later":
            time.sleep(dice.uniform(*BANK_S))
            self._press("settle_async", payment_intent=paid["payment_intent"], succeed=True)
        if not paid["declined"] and dice.randrange(MOVES_ONE_IN) == 0:
            time.sleep(dice.uniform(*MOVES_AFTER_S))
            self._move(paid["payment_intent"], held, dice)

    def _sale(self, kind: str, dice: random.Random) -> Sale:
        system = self._plant.system
        return sale(
            kind,
            dice,
            machine_ids=list(system.machine_ids),
            site=system.url,
            bought=self._pages()[-COPIED_OF_LATEST:],
            metadata_of=self._metadata_of,
        )

    def _metadata_of(self, session_id: str) -> dict[str, str]:
        metadata = self._api.checkout.sessions.retrieve(session_id).metadata
        return {} if metadata is None else metadata.to_dict()

    def _checkout(self, sold: Sale, held: bool) -> str:
        ware = {"currency": sold.currency, "unit_amount": sold.amount_minor, "product_data": {"name": "A lamp"}}
        params: Any = {
            "mode": "payment",
            "line_items": [{"quantity": 1, "price_data": ware}],
            "success_url": "https://lamps.example/thanks",
            "metadata": sold.metadata,
            "payment_intent_data": {"metadata": sold.metadata, **_held(held)},
        }
        return str(self._api.checkout.sessions.create(params, self._key()).id)

    def _visit_link(self, kind: str, held: bool, dice: random.Random) -> str:
        """Make a static link, and open it as a customer does; the session that this makes."""
        system = self._plant.system
        made = link(kind, dice, list(system.machine_ids))
        price = system.price_id
        if not made.at_our_price:
            ware: Any = {"currency": "myr", "unit_amount": 500, "product_data": {"name": "A lamp"}}
            price = self._api.prices.create(ware, self._key()).id
        params: Any = {
            "line_items": [{"price": price, "quantity": dice.randint(1, 3)}],
            "metadata": made.metadata,
            "payment_intent_data": {"metadata": made.metadata, **_held(held)},
        }
        address = self._api.payment_links.create(params, self._key()).url
        query = {} if made.reference is None else {"client_reference_id": made.reference}
        answer = requests.get(address, query, timeout=TIMEOUT_S)
        answer.raise_for_status()
        found = _SESSION.search(answer.url)
        if found is None:
            raise LookupError(f"{address} leads to {answer.url}, which is no payment page")
        return found[1]

    def _move(self, payment_intent: str, held: bool, dice: random.Random) -> None:
        """Capture or cancel what is held, give back what was taken."""
        with self._ledger.lock:
            self._ledger.moved.add(payment_intent)
        if not held:
            self._api.refunds.create({"payment_intent": payment_intent}, self._key())
        elif dice.randrange(2):
            self._api.payment_intents.capture(payment_intent, {}, self._key())
        else:
            self._api.payment_intents.cancel(payment_intent, {}, self._key())

    def _press(self, name: str, **fields: object) -> dict[str, Any]:
        """What customers and banks do."""
        answer = requests.post(f"{self._url}/_sandbox/{name}", json=fields, timeout=TIMEOUT_S)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made

    def _key(self) -> stripe.RequestOptions:
        return {"idempotency_key": f"{KEYS}{self._name}-{next(self._numbers)}"}


def _held(held: bool) -> dict[str, str]:
    return {"capture_method": "manual"} if held else {}
