"""Tabs: one hold for a visit, at any machine of the arcade, and one tap a play.

The player's browser keeps a secret; what is stored of it is its hash. A tap carries a ticket that the machine's
page was given: for this tab, this machine, this offer at this price, and this moment. One ticket draws once,
however often it comes. The rules are in `domain.tab`.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from arcade_cloud.domain import tab as rules
from arcade_cloud.domain.events import CloseAsked, Drawn, FreshenAsked
from arcade_cloud.domain.keyring import Keyring
from arcade_cloud.domain.limits import MAX_QUANTITY
from arcade_cloud.domain.machines import Machine
from arcade_cloud.domain.money import Offer, format_amount
from arcade_cloud.domain.offers import still_sold
from arcade_cloud.domain.order import ClosedBy, Credit, Draw, Order, OrderPayment, Tab
from arcade_cloud.domain.ownership import Ours, mark
from arcade_cloud.domain.tab import TabLimit
from arcade_cloud.domain.words import ENGLISH, Words
from arcade_cloud.errors import (
    BadRequest,
    NotEnough,
    NotReady,
    PageOutdated,
    PaymentsRefused,
    PriceChanged,
    TabClosed,
    TooLittle,
    TryLater,
)
from arcade_cloud.ports.payments import CheckoutRequest
from arcade_cloud.ports.store import Waiting
from arcade_cloud.services.fulfilment import Fulfilment
from arcade_cloud.services.sales import FIRST_READ_MS, Sales
from arcade_shared.ids import uuid7

# Form 1 of the store's records holds no tab.
LEAST_FORM = 2
# Longer than any ticket, and than any secret.
_MAX_TEXT = 1000
_BATCH = 100


class _Ticket(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the cloud has signed: what one tap draws."""

    order_id: str
    machine_id: str
    offer_id: str
    quantity: int
    credits: int
    price_minor: int
    currency: str
    at_ms: int
    nonce: str


_TICKET = msgspec.json.Decoder(_Ticket)
_ERRORS: dict[rules.Reason, Callable[[str], BadRequest]] = {
    "closed": TabClosed,
    "not_open": TabClosed,
    "unread": NotReady,
    "busy": NotReady,
    "clock": NotReady,
    "too_little": TooLittle,
    "not_enough": NotEnough,
    "too_many": NotEnough,
    "outdated": PageOutdated,
}


@dataclass(frozen=True, kw_only=True)
class Tabs:
    """Opens tabs, draws on them and closes them.

    Attributes:
        choices: What players may choose from, all in one currency. None: there are no tabs.
    """

    fulfilment: Fulfilment
    sales: Sales
    keyring: Keyring
    choices: tuple[TabLimit, ...] = ()
    random_bytes: Callable[[int], bytes] = field(default=secrets.token_bytes)

    # --- opening -----------------------------------------------------------------------------------------

    def limits(self, machine: Machine) -> tuple[TabLimit, ...]:
        """The limits that a tab opened at this machine may have; none where there are no tabs.

        Raises:
            PaymentsUnavailable: The price of a machine without offers of its own cannot be read now.
            StoreUnavailable: Try again later.
        """
        try:
            currencies = {offer.currency for offer in self.sales.offers(machine)}
        except PaymentsRefused:  # a person is told
            return ()
        fitting = tuple(choice for choice in self.choices if currencies == {choice.currency})
        return fitting if fitting and self.why_none() is None else ()

    def why_none(self) -> str | None:
        """Why there are no tabs although TAB_LIMITS is set, and what to do; None if there are, or none are wanted.

        Raises:
            StoreUnavailable: Try again later.
        """
        if not self.choices or self.fulfilment.store.form() >= LEAST_FORM:
            return None
        return "the store keeps its orders in a form that holds no tab: run arcade-cloud store upgrade"

    def begin(self, machine_id: object, limit_minor: int, *, words: Words = ENGLISH) -> tuple[Order, str]:
        """Begin a tab with a checkout, at its `checkout_url`. It opens once its hold was read back.

        Args:
            words: The language of the player who asks.

        Returns:
            The order, and the secret by which the player's browser finds the tab again (`found`). It is told here
            only.

        Raises:
            UnknownMachine: No such machine is registered.
            NotReady: The machine is not ready, or nobody can pay now.
            BadRequest: There is no tab with this limit here.
            PaymentsUnavailable: Try again later.
            PaymentsRefused: The set-up at Stripe is wrong.
            StoreUnavailable: Try again later. As with every other error, nobody can have paid.
        """
        machine = self.sales.machine(machine_id)
        self.sales.ready_installation(machine, 1, words=words)
        choice = next((one for one in self.limits(machine) if one.amount_minor == limit_minor), None)
        if choice is None:
            raise BadRequest(f"machine {machine.machine_id} opens no tab with this limit")
        if (closed := self.sales.why_closed(words)) is not None:
            raise NotReady(closed)
        now_ms = self.fulfilment.now_ms()
        order_id = "tab_" + uuid7(now_ms, self.random_bytes).replace("-", "")
        secret = base64.urlsafe_b64encode(self.random_bytes(32)).decode().rstrip("=")
        order = Order(
            order_id=order_id,
            version=1,
            kind="tab",
            created_at_ms=now_ms,
            payment=OrderPayment(
                amount_minor=choice.amount_minor, currency=choice.currency, due_at_ms=now_ms + FIRST_READ_MS
            ),
            credits=(),
            tab=Tab(machine_id=machine.machine_id, secret_hash=rules.hash_of(secret)),
        )
        self.fulfilment.begin(order, "Ordered")
        return self.sales.send_to_checkout(order, self._checkout(order, machine, choice), words=words), secret

    def _checkout(self, order: Order, machine: Machine, choice: TabLimit) -> CheckoutRequest:
        ours = Ours(
            order_id=order.order_id,
            amount_minor=choice.amount_minor,
            currency=choice.currency,
            machine_id=machine.machine_id,
            site=self.sales.base_url,
        )
        held = format_amount(choice.amount_minor, choice.currency)
        return CheckoutRequest(
            order_id=order.order_id,
            machine_id=machine.machine_id,
            machine_name=machine.name or machine.machine_id,
            offer=Offer(
                offer_id="tab",
                credits=1,
                amount_minor=choice.amount_minor,
                currency=choice.currency,
                label=f"Tab: up to {held} is held. You pay only for what you play.",
            ),
            quantity=1,
            success_url=self.sales.order_page(machine.machine_id, order.order_id),
            cancel_url=f"{self.sales.base_url}/m/{machine.machine_id}",
            expires_at_ms=order.created_at_ms + self.fulfilment.limits.checkout_life_s * 1000,
            site=self.sales.base_url,
            mark=mark(self.keyring.of_payments[0], ours),
            is_tab=True,
        )

    # --- finding -----------------------------------------------------------------------------------------

    def found(self, secret: str) -> Order | None:
        """The tab with this secret, in whatever state it is; None if there is none.

        Raises:
            StoreUnavailable: Try again later.
        """
        if not secret or len(secret) > _MAX_TEXT:
            return None
        order_id = self.fulfilment.store.order_of_tab(rules.hash_of(secret))
        return None if order_id is None else self.fulfilment.store.order(order_id)

    def freshen(self, order: Order) -> Order:
        """Have the hold of an open tab read again if that was not done lately: for a page that is about to sell.

        Where Stripe is asked by another thread, the order may come back before it has answered.

        Raises:
            StoreUnavailable: Try again later.
        """
        if not order.is_open_tab or rules.is_fresh(order, self.fulfilment.now_ms(), self.fulfilment.limits):
            return order
        self.fulfilment.move(order.order_id, FreshenAsked())
        return self.fulfilment.store.order(order.order_id) or order

    def why_not(self, order: Order) -> rules.Reason | None:
        """Why nothing at all can be drawn on the tab now, for a page; None if something can."""
        return rules.why_none_drawn(order, self.fulfilment.context(order))

    # --- drawing -----------------------------------------------------------------------------------------

    def ticket(self, order: Order, machine: Machine, offer: Offer, quantity: int = 1) -> str:
        """What a page sends back to draw this once: good for ten minutes, for this tab, machine and price."""
        ticket = _Ticket(
            order_id=order.order_id,
            machine_id=machine.machine_id,
            offer_id=offer.offer_id,
            quantity=quantity,
            credits=offer.credits * quantity,
            price_minor=offer.amount_minor * quantity,
            currency=offer.currency,
            at_ms=self.fulfilment.now_ms(),
            nonce=self.random_bytes(8).hex(),
        )
        body = base64.urlsafe_b64encode(msgspec.json.encode(ticket)).decode().rstrip("=")
        return f"{body}.{_signature(self.keyring.of_tabs[0], body)}"

    def draw(self, secret: str, ticket: str, *, words: Words = ENGLISH) -> tuple[Order, Credit]:
        """Draw what a ticket is for. The same ticket draws once: later, what it has drawn is returned.

        Args:
            words: The language of the player who taps.

        Raises:
            TabClosed: There is no such tab, or nothing more can be drawn on it.
            PageOutdated: The ticket is too old, is not for this tab, or is none of ours.
            PriceChanged: The machine no longer sells this at the price that was shown. Nothing was drawn.
            NotEnough: Too little is left on the tab.
            TooLittle: It costs too little for a tab's first play.
            NotReady: The machine cannot take so many credits now, or the hold must be read again first.
            UnknownMachine: The machine is no longer registered.
            TryLater: Others keep drawing on the tab.
            StoreUnavailable: It may or may not have been drawn: the same ticket tells.
        """
        order, wanted = self.found(secret), self._ticket(ticket)
        if order is None:
            raise TabClosed(words.text("There is no tab on this phone any more."))
        if wanted is None or wanted.order_id != order.order_id:
            raise PageOutdated(words.text("This page is no longer up to date. Look at it again, then tap."))
        token = _token(ticket)
        drawn = rules.credit_drawn_by(order, token)
        if drawn is not None:
            return order, drawn
        if (why_not := self.why_not(order)) is not None:
            raise _ERRORS[why_not](rules.reason_text(why_not, order, words))
        credit = self._credit(wanted, token, words)
        moved = self.fulfilment.move(order.order_id, Drawn(credit, wanted.currency)) or order
        drawn = rules.credit_drawn_by(moved, token)
        if drawn is not None:
            return moved, drawn
        found = rules.why_not_drawn(moved, credit, wanted.currency, self.fulfilment.context(moved))
        if found is None:
            raise TryLater("Nothing was drawn. Try again in a moment.")
        raise _ERRORS[found](rules.reason_text(found, moved, words))

    def _credit(self, wanted: _Ticket, token: str, words: Words) -> Credit:
        """What the ticket is for, as it is sold now."""
        machine = self.sales.machine(wanted.machine_id)
        offers = {offer.offer_id: offer for offer in self.sales.offers(machine)}
        offer = offers.get(wanted.offer_id)
        number = wanted.quantity
        sold = None if offer is None else (offer.credits * number, offer.amount_minor * number, offer.currency)
        is_sold = offer is not None and still_sold(offer, self.fulfilment.now_ms(), self.sales.zone)
        if offer is None or not is_sold or sold != (wanted.credits, wanted.price_minor, wanted.currency):
            raise PriceChanged(words.text("The price has changed. Look at it again, then tap."))
        installation = self.sales.ready_installation(machine, wanted.credits, words=words)
        credit = self.sales.credit(machine, offer, number, installation)
        return msgspec.structs.replace(credit, draw=Draw(token=token, at_ms=wanted.at_ms))

    def _ticket(self, text: str) -> _Ticket | None:
        """The ticket, if this cloud has signed it."""
        body, dot, signature = text.partition(".")
        if not dot or len(text) > _MAX_TEXT or not text.isascii():
            return None
        if not any(hmac.compare_digest(_signature(key, body), signature) for key in self.keyring.of_tabs):
            return None
        try:
            found = _TICKET.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        except ValueError:  # of another version
            return None
        return found if 1 <= found.quantity <= MAX_QUANTITY else None

    # --- closing -----------------------------------------------------------------------------------------

    def finish(self, secret: str, *, words: Words = ENGLISH) -> Order:
        """The player has finished: nothing more is drawn, and what was delivered is charged. For good.

        Args:
            words: The language of the player.

        Raises:
            TabClosed: There is no such tab.
            StoreUnavailable: It may or may not be closed. Try again.
        """
        order = self.found(secret)
        if order is None:
            raise TabClosed(words.text("There is no tab on this phone any more."))
        return self.close(order.order_id, "player") or order

    def close(self, order_id: str, by: ClosedBy) -> Order | None:
        """Close a tab that is open or may still open. What is closed, or is no tab, stays as it is.

        Returns:
            The order; None if there is none with this id.

        Raises:
            StoreUnavailable: It may or may not be closed. Try again.
        """
        return self.fulfilment.move(order_id, CloseAsked(by))

    def close_all(self, by: ClosedBy) -> int:
        """Close every tab, after an older database was put back. Returns how many were open or could still open.

        Raises:
            StoreUnavailable: Some may be open still. Try again.
        """
        store, after, closed = self.fulfilment.store, Waiting(0, ""), 0
        while waiting := store.waiting_orders(after, _BATCH):
            for one in waiting:
                order = store.order(one.order_id)
                if order is not None and order.can_be_closed:
                    self.close(order.order_id, by)
                    closed += 1
            after = waiting[-1]
        return closed


def _signature(key: bytes, body: str) -> str:
    return hmac.digest(key, body.encode(), hashlib.sha256).hex()


def _token(ticket: str) -> str:
    """What draws with this ticket. It does not depend on the secret that has signed it."""
    return hashlib.sha256(ticket.partition(".")[0].encode()).hexdigest()[:32]
