"""Finding an order by whatever somebody has of it: a code, an id, or where and when it was made.

Nothing here walks through all orders. A search says what it tried, so that a person can try something else.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from arcade_cloud.domain.money import parse_amount
from arcade_cloud.domain.order import Order, code_in, last4_in
from arcade_cloud.domain.receipts import name_in
from arcade_cloud.errors import BadRequest, PaymentsError, PaymentsRefused
from arcade_cloud.ports.payments import LOOKED_UP, Payments
from arcade_cloud.ports.store import Store

# A code has a billion values, so even among millions of orders few share one.
AT_MOST = 20
# Orders that an older version made are not listed under their codes. Of those, so many are looked at.
NEWEST = 1000
# Of the orders that were paid with what ends in the same four digits, so many are looked at, and so many shown.
LAST4_LOOKED_AT, LAST4_SHOWN = 500, 50
# In one time span. What is more is said.
LOOKED_AT = 20_000
_PAGE = 500
# Stripe: "IDs … can be up to 255 characters".
_MAX_TEXT = 255


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, newest first, and what was tried, in words."""

    orders: tuple[Order, ...]
    tried: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Finds orders."""

    store: Store
    payments: Payments

    def by_text(self, text: str) -> Found:
        """Find orders by a code, an id, a page's address, a receipt, a credit, or a card's last digits.

        Raises:
            BadRequest: The text is none of these, however it is read.
        """
        of_receipt, last4 = self._of_receipt(text), last4_in(text)
        if last4 is not None:  # it may be both
            paid = self.by_last4(last4)
            others = (order for order in paid.orders if order not in of_receipt)
            return Found((*of_receipt, *others), (*paid.tried, "receipt number"))
        if of_receipt:
            return Found(of_receipt, ("receipt number",))
        name = text.strip().rstrip("/").rpartition("/")[2]
        if not 0 < len(name) <= _MAX_TEXT:
            raise BadRequest("give an order's code or id, a credit's id, or an id from Stripe")
        tried = ["order id", "credit id", *(["receipt number"] if name_in(text) is not None else [])]
        known = [name, self.store.order_of_credit(name.lower())]
        if name.startswith("pi_"):
            tried.append("payment intent")
            known.append(self.store.order_of_payment(name))
        found = [order for order in map(self._order, known) if order is not None]
        code = code_in(text)
        if not found and code is not None:
            tried.append(f"code {code}")
            found = self.store.orders_with_code(code, AT_MOST)
            if not found:
                tried.append(f"code {code} among the newest {NEWEST} orders")
                found = [order for order in self.store.recent_orders(NEWEST) if order.code == code]
        if not found and name.startswith("pi_"):
            self._look_at_unclaimed(name, tried)
        if not found and name.startswith(LOOKED_UP):
            found = self._at_stripe(name, tried)
        return Found(tuple(found), tuple(tried))

    def _of_receipt(self, text: str) -> tuple[Order, ...]:
        """The order whose receipt has this number; none if there is no such receipt."""
        name = name_in(text)
        if name is None:
            return ()
        prefix, number = name
        orders = (self.store.order(one.order_id) for one in self.store.receipts.numbered(prefix, number, number))
        return tuple(order for order in orders if order is not None)

    def by_last4(self, text: str, *, machine_id: str | None = None, amount: str | None = None) -> Found:
        """Find the newest orders that were paid with a card whose number ends so, by machine and price if need be.

        Args:
            amount: A price as people write it. The currency may be left out.

        Raises:
            BadRequest: These are not four digits.
        """
        last4 = last4_in(text)
        if last4 is None:
            raise BadRequest(f"{text[:40]!r}: write the last four digits of the card, such as 4242")
        is_narrow = machine_id is not None or amount is not None
        limit = LAST4_LOOKED_AT if is_narrow else LAST4_SHOWN + 1
        newest = self.store.orders_with_last4(last4, limit)
        orders = [
            order
            for order in newest
            if machine_id in (None, *order.machine_ids) and (amount is None or _is_price(order, amount))
        ]
        tried = [f"the newest {limit} orders" if len(newest) == limit else "all orders"]
        tried[0] += f" paid with a card that ends in {last4}; a phone may show other digits than the card"
        if len(orders) > LAST4_SHOWN:
            tried.append(f"only the newest {LAST4_SHOWN} are shown: name the machine or the price")
        return Found(tuple(orders[:LAST4_SHOWN]), tuple(tried))

    def made_between(
        self,
        from_ms: int,
        until_ms: int,
        *,
        machine_id: str | None = None,
        amount: str | None = None,
        at_most: int | None = None,
    ) -> Found:
        """Find orders by when they were made, both ends included, and by machine and price.

        Args:
            amount: A price as people write it. The currency may be left out.
            at_most: So many orders are looked at, the newest; LOOKED_AT if nothing is said.
        """
        at_most = LOOKED_AT if at_most is None else at_most
        tried, orders = [], []
        number = 0
        for number, order in enumerate(self._made_between(from_ms, until_ms, machine_id), 1):
            if number > at_most:
                tried.append(f"only the newest {at_most}: name the machine, or a shorter time")
                break
            if amount is None or _is_price(order, amount):
                orders.append(order)
        tried.insert(0, f"{min(number, at_most)} orders made in that time")
        return Found(tuple(orders), tuple(tried))

    def _made_between(self, from_ms: int, until_ms: int, machine_id: str | None) -> Iterator[Order]:
        before_ms, given = until_ms + 1, set[str]()
        while True:
            page = self.store.recent_orders(_PAGE, machine_id=machine_id, before_ms=before_ms)
            for order in page:
                if order.created_at_ms < from_ms:
                    return
                if order.order_id not in given:
                    given.add(order.order_id)
                    yield order
            if len(page) < _PAGE:
                return
            # The next page begins with the millisecond in which this one ended, unless that one is full of orders.
            last_ms = page[-1].created_at_ms
            before_ms = last_ms + 1 if last_ms + 1 < before_ms else last_ms

    def _order(self, order_id: str | None) -> Order | None:
        return None if order_id is None else self.store.order(order_id)

    def _at_stripe(self, stripe_id: str, tried: list[str]) -> list[Order]:
        """Ask Stripe to which payment an object belongs. Our own record decides to which order."""
        try:
            belongs = self.payments.belongs_to(stripe_id)
        except PaymentsError as error:
            is_unknown = isinstance(error, PaymentsRefused) and error.code == "resource_missing"
            tried.append("Stripe, which knows no such id" if is_unknown else f"Stripe ({error})")
            return []
        order = self._order(belongs.order_id)
        page = None if order is None or order.payment is None else order.payment.checkout
        if order is not None and page is not None and page.session_id == stripe_id:
            return [order]
        if belongs.payment_intent is None:
            tried.append("Stripe, where nobody has paid for it")
            return []
        order = self._order(self.store.order_of_payment(belongs.payment_intent))
        if order is not None:
            return [order]
        tried.append(f"Stripe, where it belongs to payment {belongs.payment_intent}")
        self._look_at_unclaimed(belongs.payment_intent, tried)
        return []

    def _look_at_unclaimed(self, payment_intent: str, tried: list[str]) -> None:
        if self.store.unclaimed_payment(payment_intent) is not None:
            tried.append("payments without proof, where it waits: see `arcade-cloud payment list`")


def _prices(order: Order) -> set[int]:
    """What an order costs. Of a tab: its limit, and what a statement shows."""
    return {order.amount_minor} if order.tab is None else {order.amount_minor, order.earned_minor}


def _is_price(order: Order, amount: str) -> bool:
    try:
        return order.payment is not None and parse_amount(amount, order.currency, bare_whole=True) in _prices(
            order
        )
    except BadRequest:  # not an amount of this order's currency
        return False
